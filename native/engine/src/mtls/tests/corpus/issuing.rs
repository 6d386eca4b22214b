//! Who issued it: lengths, dates, keys, names, and ways that cross.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;

fn length(most: u8) -> impl FnOnce(&mut CertificateParams) {
    move |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(most))
}

fn leaf(ca: &Ca) -> String {
    leaf_with(ca, |_| {})
}

fn leaf_with(ca: &Ca, change: impl FnOnce(&mut CertificateParams)) -> String {
    ca.leaf_pem(&KeyPair::generate().unwrap(), change)
}

/// `count` authorities, each below the one before.
fn chain(root: &Ca, count: usize) -> Vec<Ca> {
    let mut chain: Vec<Ca> = Vec::new();
    for depth in 1..=count {
        let above = chain.last().unwrap_or(root);
        let next = above.sub(&format!("level {depth}"));
        chain.push(next);
    }
    chain
}

pub fn cases() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(dates());
    cases.extend(signatures());
    cases.extend(crossings());
    cases
}

fn lengths() -> Vec<Case> {
    let root = Ca::root("root");
    let none = Ca::root_with("none", length(0));
    let one = Ca::root_with("one", length(1));
    let (below_none, below_one) = (none.sub("below none"), one.sub("below one"));
    let further = below_one.sub("further");
    // Self-issued: its own name, another key (RFC 5280, 3.2 and 6.1.4 (l)).
    let named_by_key = |ca: &mut CertificateParams| ca.use_authority_key_identifier_extension = true;
    let rolled = below_one.sub_with("below one", named_by_key);
    let policy = root.sub_with("policy", length(0));
    let (under_policy, policy_again) = (policy.sub("under policy"), policy.sub_with("policy", named_by_key));
    let deep = chain(&root, 40);
    let deep: Vec<&Ca> = deep.iter().collect();
    let mut duplicates = below("an intermediate five times", &root, &[&policy; 5], leaf(&policy), Want::Passes);
    duplicates.anchors = root.pem.repeat(3);
    vec![
        direct("a leaf of the anchor", &root, leaf(&root), Want::Passes),
        direct("path length 0 of the anchor, no intermediate", &none, leaf(&none), Want::Passes),
        below("path length 0 of the anchor, an intermediate", &none, &[&below_none], leaf(&below_none), CONSTRAINTS),
        below("path length 1 of the anchor, an intermediate", &one, &[&below_one], leaf(&below_one), Want::Passes),
        below(
            "path length 1 of the anchor, two intermediates",
            &one,
            &[&below_one, &further],
            leaf(&further),
            CONSTRAINTS,
        ),
        below(
            "path length 1 of the anchor, one of two is self-issued",
            &one,
            &[&below_one, &rolled],
            leaf(&rolled),
            Want::Passes,
        ),
        below("path length 0 of an intermediate, a leaf", &root, &[&policy], leaf(&policy), Want::Passes),
        below(
            "path length 0 of an intermediate, another below",
            &root,
            &[&policy, &under_policy],
            leaf(&under_policy),
            CONSTRAINTS,
        ),
        below(
            "path length 0 of an intermediate, a self-issued one below",
            &root,
            &[&policy, &policy_again],
            leaf(&policy_again),
            // Of two failures the signature is told: the one tried with the other key of that name.
            SIGNATURE,
        ),
        below("six intermediates", &root, &deep[..6], leaf(deep[5]), Want::Passes),
        below("seven intermediates", &root, &deep[..7], leaf(deep[6]), UNTRUSTED),
        below("a chain of forty", &root, &deep, leaf(deep[39]), UNTRUSTED),
        duplicates,
    ]
}

const CONSTRAINTS: Want = Want::Denies(Reason::MtlsConstraints);
const UNTRUSTED: Want = Want::Denies(Reason::MtlsUntrusted);
const EXPIRED: Want = Want::Denies(Reason::MtlsExpired);
const EARLY: Want = Want::Denies(Reason::MtlsNotYetValid);
const SIGNATURE: Want = Want::Denies(Reason::MtlsSignature);

fn dates() -> Vec<Case> {
    let root = Ca::root("root");
    let past = |params: &mut CertificateParams| params.not_after = date_time_ymd(2029, 12, 31);
    let ahead = |params: &mut CertificateParams| params.not_before = date_time_ymd(2030, 1, 2);
    let (old, new) = (root.sub_with("old", past), root.sub_with("new", ahead));
    let (old_root, new_root) = (Ca::root_with("old root", past), Ca::root_with("new root", ahead));
    let beside = |case: Case| Case { anchors: case.anchors + &root.pem, ..case };
    vec![
        direct("the leaf has expired", &root, leaf_with(&root, past), EXPIRED),
        direct("the leaf is not valid yet", &root, leaf_with(&root, ahead), EARLY),
        direct(
            "the leaf ends this second",
            &root,
            leaf_with(&root, |leaf| leaf.not_after = date_time_ymd(2030, 1, 1)),
            Want::Passes,
        ),
        direct(
            "the leaf begins this second",
            &root,
            leaf_with(&root, |leaf| leaf.not_before = date_time_ymd(2030, 1, 1)),
            Want::Passes,
        ),
        direct(
            "the leaf ends before it begins",
            &root,
            leaf_with(&root, |leaf| {
                leaf.not_before = date_time_ymd(2031, 1, 1);
                leaf.not_after = date_time_ymd(2029, 1, 1);
            }),
            Want::Denies(Reason::MtlsMalformed),
        ),
        below("the intermediate has expired", &root, &[&old], leaf(&old), EXPIRED),
        below("the intermediate is not valid yet", &root, &[&new], leaf(&new), EARLY),
        beside(direct("the anchor has expired", &old_root, leaf(&old_root), EXPIRED)),
        beside(direct("the anchor is not valid yet", &new_root, leaf(&new_root), EARLY)),
    ]
}

fn signatures() -> Vec<Case> {
    let (root, namesake) = (Ca::root("devices"), Ca::root("devices"));
    let both = Case {
        anchors: root.pem.clone() + &namesake.pem,
        ..direct("the namesake, both trusted", &root, leaf(&namesake), Want::Passes)
    };
    let (issuing, false_issuing) = (root.sub("issuing"), Ca::root("elsewhere").sub("issuing"));
    let key = KeyPair::generate().unwrap();
    let by_hand = |algorithm: &[u8]| {
        pem(
            "CERTIFICATE",
            &certificate_by_hand(VERSION_3, algorithm, "devices", "client", &key, &[], root.issuer.key()),
        )
    };
    let mut changed = Certificate::from_pem(&leaf(&root)).der().to_vec();
    let at = changed.windows(6).position(|bytes| bytes == b"client").unwrap();
    changed[at] = b'C';
    let two_algorithms = {
        let whole = Certificate::from_pem(&by_hand(ECDSA_SHA256)).der().to_vec();
        let at = whole.windows(8).rposition(|bytes| bytes == ECDSA_SHA256).unwrap();
        // ecdsa-with-SHA384 outside, SHA-256 inside.
        [&whole[..at + 7], &[3], &whole[at + 8..]].concat()
    };
    let self_signed = leaf_params().self_signed(&key).unwrap().pem();
    vec![
        direct("issued by a stranger", &root, leaf(&Ca::root("stranger")), UNTRUSTED),
        direct("signed by itself", &root, self_signed, UNTRUSTED),
        direct("issued by a namesake with another key", &root, leaf(&namesake), SIGNATURE),
        both,
        below("issued by a namesake of the intermediate", &root, &[&issuing], leaf(&false_issuing), SIGNATURE),
        below("the intermediate is missing", &root, &[], leaf(&issuing), UNTRUSTED),
        direct("changed after it was signed", &root, pem("CERTIFICATE", &changed), SIGNATURE),
        direct("signed with SHA-1", &root, by_hand(ECDSA_SHA1), SIGNATURE),
        direct("two signature algorithms", &root, pem("CERTIFICATE", &two_algorithms), SIGNATURE),
        direct("the anchor itself", &root, root.pem.clone(), CONSTRAINTS),
        direct("an authority as client", &root, issuing.pem.clone(), CONSTRAINTS),
        direct("an intermediate as anchor", &issuing, leaf(&issuing), Want::Passes),
    ]
}

fn crossings() -> Vec<Case> {
    let (a, b, stranger) = (Ca::root("a"), Ca::root("b"), Ca::root("stranger"));
    let key = KeyPair::generate().unwrap();
    let cross = |by: &Ca, change: &dyn Fn(&mut CertificateParams)| {
        let mut params = ca_params("issuing");
        change(&mut params);
        params.signed_by(&key, &by.issuer).unwrap().pem()
    };
    let same = |_: &mut CertificateParams| {};
    let past = |params: &mut CertificateParams| params.not_after = date_time_ymd(2029, 1, 1);
    let web = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    };
    let params = ca_params("issuing");
    let issuer = Issuer::from_params(&params, &key);
    let client = leaf_params().signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem();
    let crossed = |name, intermediates: [String; 2], want| Case {
        name,
        anchors: a.pem.clone() + &b.pem,
        intermediates: intermediates.concat(),
        leaf: client.clone(),
        want,
    };
    let (x_key, y_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (x, y) = (ca_params("x"), ca_params("y"));
    let (by_x, by_y) = (Issuer::from_params(&x, &x_key), Issuer::from_params(&y, &y_key));
    let loop_of_two = x.signed_by(&x_key, &by_y).unwrap().pem() + &y.signed_by(&y_key, &by_x).unwrap().pem();
    let way_out = x.signed_by(&x_key, &a.issuer).unwrap().pem();
    let of_loop = leaf_params().signed_by(&KeyPair::generate().unwrap(), &by_x).unwrap().pem();
    let looped = |name, intermediates: String, want| Case {
        name,
        anchors: a.pem.clone(),
        intermediates,
        leaf: of_loop.clone(),
        want,
    };
    let mut clerk = leaf_params();
    clerk.distinguished_name.push(DnType::CommonName, "clerk");
    let forged = leaf_params().signed_by(&y_key, &Issuer::from_params(&clerk, &x_key)).unwrap().pem();
    let clerk = clerk.signed_by(&x_key, &a.issuer).unwrap().pem();
    vec![
        crossed("cross-signed, both ways good", [cross(&a, &same), cross(&b, &same)], Want::Passes),
        crossed("cross-signed, one way expired", [cross(&a, &past), cross(&b, &same)], Want::Passes),
        crossed("cross-signed, one way for servers only", [cross(&a, &web), cross(&b, &same)], Want::Passes),
        crossed("cross-signed, one way ends at a stranger", [cross(&stranger, &same), cross(&b, &same)], Want::Passes),
        crossed("cross-signed, both ways expired", [cross(&a, &past), cross(&b, &past)], EXPIRED),
        crossed("cross-signed, one way expired, one for servers only", [cross(&a, &past), cross(&b, &web)], EXPIRED),
        looped("two that sign each other", loop_of_two.clone(), UNTRUSTED),
        looped("two that sign each other, and a way out", loop_of_two + &way_out, Want::Passes),
        Case {
            intermediates: clerk,
            ..direct("issued by a leaf", &a, forged.clone(), Want::Refuses("is not an authority"))
        },
        direct("issued by a leaf that nobody configured", &a, forged, UNTRUSTED),
    ]
}
