//! Path validation, case by case: who is trusted, what the client shows, and what has to come of it.
//!
//! The same cases are put to `openssl verify -purpose sslclient`. Where it judges otherwise the case stands in
//! [`DIVERGENCES`] with the reason; an entry there that turns out to agree fails the test as well.

mod constraints;
mod identities;
mod issuing;
mod usage;

use std::fs;
use std::process::Command;

use super::pki::*;
use crate::mtls::{Certificate, Standings, TrustSet};
use crate::policy::Authority;
use crate::reason::Reason;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Want {
    Passes,
    Denies(Reason),
    /// The configuration is refused: part of what it is told.
    Refuses(&'static str),
}

/// One case. Everything is PEM.
struct Case {
    name: &'static str,
    anchors: String,
    intermediates: String,
    leaf: String,
    want: Want,
}

/// The leaf directly below the anchor.
fn direct(name: &'static str, anchor: &Ca, leaf: String, want: Want) -> Case {
    below(name, anchor, &[], leaf, want)
}

fn below(name: &'static str, anchor: &Ca, intermediates: &[&Ca], leaf: String, want: Want) -> Case {
    let intermediates = intermediates.iter().map(|ca| ca.pem.as_str()).collect();
    Case { name, anchors: anchor.pem.clone(), intermediates, leaf, want }
}

fn all() -> Vec<Case> {
    let mut cases = issuing::cases();
    cases.extend(usage::cases());
    cases.extend(constraints::cases());
    cases.extend(identities::cases());
    cases
}

/// Where OpenSSL 3 judges otherwise, and why.
const DIVERGENCES: &[(&str, &str)] = &[
    ("seven intermediates", "our bound is six intermediates, OpenSSL's a hundred"),
    ("a chain of forty", "our bound is six intermediates, OpenSSL's a hundred"),
    ("the leaf ends this second", "notAfter is the last good second (RFC 5280, 4.1.2.5); OpenSSL ends there"),
    ("cross-signed, one way for servers only", "OpenSSL builds one chain and does not come back for the other way"),
    ("cross-signed, one way ends at a stranger", "OpenSSL builds one chain and does not come back for the other way"),
    (
        "path length 0 of an intermediate, a self-issued one below",
        "webpki counts self-issued intermediates of intermediates: stricter than RFC 5280, 6.1.4 (l)",
    ),
    ("keyAgreement only", "OpenSSL takes keyAgreement for the fixed Diffie-Hellman of old; a client signs"),
    (
        "an address constraint with a ragged mask",
        "RFC 5280, 4.2.1.10 takes masks in the style of RFC 4632, which have no holes",
    ),
    ("a permitted mail address", "webpki does not read constraints of this kind: whatever they speak of is denied"),
    (
        "a mail address that is not excluded",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    ("a permitted URI", "webpki does not read constraints of this kind: whatever they speak of is denied"),
    ("a URI that is not excluded", "webpki does not read constraints of this kind: whatever they speak of is denied"),
    ("a permitted directory name", "webpki does not read constraints of this kind: whatever they speak of is denied"),
    (
        "a directory name that is not excluded",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    (
        "an address constraint with a ragged mask, by an intermediate",
        "RFC 5280, 4.2.1.10 takes masks in the style of RFC 4632, which have no holes",
    ),
    (
        "a permitted mail address, by an intermediate",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    (
        "a mail address that is not excluded, by an intermediate",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    (
        "a permitted URI, by an intermediate",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    (
        "a URI that is not excluded, by an intermediate",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    (
        "a permitted directory name, by an intermediate",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    (
        "a directory name that is not excluded, by an intermediate",
        "webpki does not read constraints of this kind: whatever they speak of is denied",
    ),
    (
        "a host's name in the subject under a DNS constraint",
        "OpenSSL takes a common name for a DNS name; RFC 5280 speaks of alternative names only",
    ),
    ("version 1", "without the extensions of version 3 nothing says what a certificate is for"),
    ("version 2", "without the extensions of version 3 nothing says what a certificate is for"),
    ("version 4", "without the extensions of version 3 nothing says what a certificate is for"),
    ("an anchor of version 1", "without the extensions of version 3 nothing says what a certificate is for"),
    ("RSA of 2040 bits", "OpenSSL counts 112 bits of strength there; our bound is 2048 bits"),
    ("RSA of 16384 bits", "larger keys than 8192 bits only cost time"),
    (
        "an issuer in other letters",
        "OpenSSL compares names as RFC 5280, 7.1 folds them; we compare DER, so that nothing is equal that is not the same",
    ),
    (
        "an issuer with a space more",
        "OpenSSL compares names as RFC 5280, 7.1 folds them; we compare DER, so that nothing is equal that is not the same",
    ),
    (
        "an issuer in another string type",
        "OpenSSL compares names as RFC 5280, 7.1 folds them; we compare DER, so that nothing is equal that is not the same",
    ),
    ("a serial of 21 octets", "RFC 5280, 4.1.2.2 ends at 20, and no list may name more"),
    ("a serial of 60 octets", "RFC 5280, 4.1.2.2 ends at 20, and no list may name more"),
    ("an anchor with a serial of 21 octets", "RFC 5280, 4.1.2.2 ends at 20, and no list may name more"),
];

#[test]
fn every_case_of_the_corpus_is_judged_as_it_should_be() {
    let wrong: Vec<String> =
        all().iter().filter_map(|case| wrong(case).map(|what| format!("{}: {what}", case.name))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn wrong(case: &Case) -> Option<String> {
    let authority = Authority {
        name: "devices".into(),
        at: "/authorities/devices".into(),
        certificates: case.anchors.clone(),
        intermediates: case.intermediates.clone(),
        ..Authority::default()
    };
    let mut problems = Vec::new();
    let set = TrustSet::compile(&[&authority], NOW, &mut problems);
    if let Want::Refuses(part) = case.want {
        let told = problems.iter().any(|problem| problem.message.contains(part));
        return (!told).then(|| format!("the configuration should be refused: {problems:?}"));
    }
    if !problems.is_empty() {
        return Some(format!("the configuration was refused: {problems:?}"));
    }
    let (leaf, standings) = (Certificate::from_pem(&case.leaf), Standings::default());
    let verdict = set.verify(&leaf, &standings, NOW);
    let want = if let Want::Denies(reason) = case.want { Some(reason) } else { None };
    if verdict.fault != want {
        return Some(format!("{:?} instead of {want:?}", verdict.fault));
    }
    let authority = want.is_none().then_some("devices");
    if verdict.authority.as_deref() != authority {
        return Some(format!("verified by {:?}", verdict.authority));
    }
    // What explains a verdict must not contradict it.
    let judgement = set.judge(&leaf, &standings, NOW);
    let steps: Vec<_> = judgement.steps.iter().filter(|step| step.step != "verdict").collect();
    if judgement.reason != want.map(Reason::id) || steps.iter().all(|step| step.ok) != want.is_none() {
        return Some(format!("judged {judgement:#?}"));
    }
    None
}

#[test]
fn names_every_case_once() {
    let mut names: Vec<_> = all().iter().map(|case| case.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn openssl_agrees_but_for_the_divergences() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return;
    }
    let folder = std::env::temp_dir().join(format!("portcullis-corpus-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut wrong = Vec::new();
    let cases = all();
    for case in &cases {
        let (passes, said) = openssl(&folder, case);
        let agrees = passes == (case.want == Want::Passes);
        let listed = DIVERGENCES.iter().any(|(name, _)| *name == case.name);
        match (agrees, listed) {
            (false, false) => wrong.push(format!("{}: OpenSSL says {said}", case.name)),
            (true, true) => wrong.push(format!("{}: agrees, and is listed as a divergence", case.name)),
            _ => {}
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    for (name, _) in DIVERGENCES {
        if !cases.iter().any(|case| case.name == *name) {
            wrong.push(format!("{name}: a divergence without its case"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn openssl(folder: &std::path::Path, case: &Case) -> (bool, String) {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let mut verify = Command::new("openssl");
    // Level 2 is our bound on keys and signatures, 112 bits; an anchor here may be an intermediate authority.
    verify.args(["verify", "-purpose", "sslclient", "-auth_level", "2", "-partial_chain", "-no-CApath", "-no-CAstore"]);
    verify.args(["-attime", &NOW.to_string()]).arg("-CAfile").arg(write("anchors.pem", &case.anchors));
    if !case.intermediates.is_empty() {
        verify.arg("-untrusted").arg(write("intermediates.pem", &case.intermediates));
    }
    let output = verify.arg(write("leaf.pem", &case.leaf)).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}
