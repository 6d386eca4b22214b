//! Facts about what an operator may configure.

use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};

use super::pki::*;
use crate::policy::{Authority, Problem};

#[track_caller]
fn assert_problem(authority: &Authority, at: &str, message: &str) -> Problem {
    let mut problems = problems(authority);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems.remove(0);
    assert_eq!(problem.at, format!("/authorities/devices{at}"));
    assert!(problem.message.contains(message), "{}", problem.message);
    assert!(problem.hint.is_some());
    problem
}

fn certificates(pem: &str) -> Authority {
    Authority {
        name: "devices".into(),
        at: "/authorities/devices".into(),
        certificates: pem.to_owned(),
        ..Authority::default()
    }
}

#[test]
fn refuses_text_without_a_certificate() {
    assert_problem(&certificates(""), "/certificates", "no certificate");
    assert_problem(&certificates("see wiki"), "/certificates", "no certificate");
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert_problem(&certificates(&key), "/certificates", "no certificate");
    let authority = Authority { intermediates: "# none yet".into(), ..Ca::root("devices").authority() };
    assert_problem(&authority, "/intermediates", "no certificate");
}

#[test]
fn refuses_broken_pem() {
    let whole = Ca::root("devices").pem;
    assert_problem(&certificates(&whole[..whole.len() - 40]), "/certificates", "Not readable as PEM");
    let broken = whole.replacen("MII", "M!!", 1);
    assert_problem(&certificates(&broken), "/certificates", "Not readable as PEM");
}

#[test]
fn refuses_broken_der_and_says_which_certificate() {
    let mut der = Ca::root("devices").der;
    der.truncate(100);
    let text = Ca::root("first").pem + &pem("CERTIFICATE", &der);
    assert_problem(&certificates(&text), "/certificates", "Certificate 2 (unreadable) is not valid DER");
}

#[test]
fn refuses_a_leaf_as_authority() {
    let leaf = Ca::root("devices").leaf_pem(&KeyPair::generate().unwrap(), |_| {});
    assert_problem(&certificates(&leaf), "/certificates", "(CN=client) is not an authority");
    let plain = Ca::root("x").leaf_pem(&KeyPair::generate().unwrap(), |leaf| leaf.is_ca = IsCa::NoCa);
    assert_problem(&certificates(&plain), "/certificates", "no basicConstraints");
}

#[test]
fn refuses_an_authority_of_version_1_and_says_how_to_reissue() {
    let key = KeyPair::generate().unwrap();
    let der = certificate_by_hand(&[], ECDSA_SHA256, "old", "old", &key, &[], &key);
    let problem = assert_problem(&certificates(&pem("CERTIFICATE", &der)), "/certificates", "version 1");
    assert!(problem.hint.unwrap().contains("Reissue"));
}

#[test]
fn refuses_an_authority_that_may_not_issue() {
    let ca = Ca::root_with("devices", |ca| ca.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_problem(&ca.authority(), "/certificates", "keyCertSign");
    let ca = Ca::root_with("web", |ca| ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_problem(&ca.authority(), "/certificates", "clientAuth");
}

#[test]
fn refuses_an_authority_with_a_weak_key() {
    let signer = KeyPair::generate().unwrap();
    // basicConstraints CA:TRUE
    let extension = der(0x30, &[&[6, 3, 0x55, 0x1d, 19], &der(0x04, &[&[0x30, 3, 1, 1, 0xff]])]);
    let extensions = der(0xa3, &[&der(0x30, &[&extension])]);
    let by_hand = |key: &CarriedKey| {
        pem("CERTIFICATE", &certificate_by_hand(VERSION_3, ECDSA_SHA256, "a", "weak", key, &extensions, &signer))
    };
    assert_problem(&certificates(&by_hand(&rsa_key(1024))), "/certificates", "(CN=weak) has a key that is too weak");
    assert_eq!(problems(&certificates(&by_hand(&rsa_key(2048)))), []);
}

#[test]
fn refuses_an_authority_whose_certificates_have_all_expired() {
    let old = Ca::root_with("old", |ca| ca.not_after = date_time_ymd(2029, 1, 1));
    let older = Ca::root_with("older", |ca| ca.not_after = date_time_ymd(2028, 1, 1));
    assert_problem(&certificates(&(old.pem.clone() + &older.pem)), "/certificates", "has expired");
    assert_eq!(problems(&certificates(&(old.pem + &Ca::root("new").pem))), []);
}

#[test]
fn tells_all_problems_at_once() {
    let leaf = Ca::root("x").leaf_pem(&KeyPair::generate().unwrap(), |_| {});
    let authority = Authority {
        intermediates: leaf.clone(),
        crls: vec!["nonsense".into()],
        ..certificates(&(leaf.clone() + &leaf))
    };
    let places: Vec<_> = problems(&authority).into_iter().map(|problem| problem.at).collect();
    let at = |place: &str| format!("/authorities/devices{place}");
    assert_eq!(places, [at("/certificates"), at("/certificates"), at("/intermediates"), at("/revocation/crl/0")]);
}
