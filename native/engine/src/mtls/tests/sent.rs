//! Facts about intermediates that the client sends along.

use std::sync::Arc;
use std::time::Instant;

use rcgen::{BasicConstraints, DnType, IsCa, KeyPair, SerialNumber, date_time_ymd};

use super::pki::*;
use crate::mtls::standings::{Change, Named};
use crate::mtls::{Authority, Certificate, MAX_SENT, MAX_SENT_BYTES, Standings, TrustSet};
use crate::policy::{Revocation, Stale};
use crate::reason::Reason;

fn with(leaf: &Certificate, sent: &[&Ca]) -> Certificate {
    let sent: Vec<&[u8]> = sent.iter().map(|ca| &ca.der[..]).collect();
    Certificate::from_chain(leaf.der(), &sent)
}

#[test]
fn an_intermediate_that_the_client_sends_completes_the_path() {
    let root = Ca::root("devices");
    let (upper, other) = (root.sub("upper"), root.sub("other"));
    let lower = upper.sub("lower");
    let (set, leaf) = (root.trust(), lower.leaf());
    assert_denies(&set, &leaf, Reason::MtlsUntrusted);
    assert_denies(&set, &with(&leaf, &[&lower]), Reason::MtlsUntrusted);
    for sent in [&[&lower, &upper][..], &[&upper, &lower], &[&lower, &upper, &root], &[&other, &root, &lower, &upper]] {
        let leaf = with(&leaf, sent);
        let verdict = assert_passes(&set, &leaf);
        assert_eq!(verdict.authority.as_deref(), Some("devices"));
        let chain: Vec<&[u8]> = set.chain(&verdict, &leaf).collect();
        assert_eq!(chain, [&lower.der[..], &upper.der[..]], "from the leaf's issuer on, whatever their order was");
    }
    let configured = trust(&intermediates(root.authority(), &[&upper]));
    assert_passes(&configured, &with(&leaf, &[&lower]));
}

#[test]
fn what_the_client_sends_is_believed_no_more_than_itself() {
    let (root, stranger) = (Ca::root("devices"), Ca::root("stranger"));
    // Of the anchor's name, and of an intermediate's.
    let (twin, issuing) = (Ca::root("devices"), root.sub("issuing"));
    let set = trust(&intermediates(root.authority(), &[&issuing]));
    for forged in [&stranger, &twin, &twin.sub("issuing"), &stranger.sub("issuing")] {
        let denied = set.verify(&with(&forged.leaf(), &[forged, &twin, &stranger]), &Standings::default(), NOW);
        assert!(matches!(denied.fault, Some(Reason::MtlsUntrusted | Reason::MtlsSignature)), "{:?}", denied.fault);
    }
    // A client's own certificate issues nothing.
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params();
    params.distinguished_name.push(DnType::CommonName, "client");
    let client = params.signed_by(&key, &root.issuer).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let forged = leaf_params().signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let forged = Certificate::from_chain(forged.der(), &[client.der()]);
    assert_denies(&set, &forged, Reason::MtlsUntrusted);
}

#[test]
fn a_good_leaf_stays_good_whatever_comes_with_it() {
    let root = Ca::root("devices");
    let issuing = root.sub("issuing");
    let set = trust(&intermediates(root.authority(), &[&issuing]));
    let leaf = issuing.leaf();
    let twin = Ca::root("devices").sub("issuing");
    let garbage = [vec![0x30; 300], Vec::new(), twin.der.clone(), vec![0xff; 5]];
    assert_passes(&set, &Certificate::from_chain(leaf.der(), &garbage));
    // Too many and too long: as if they had not come.
    assert_passes(&set, &Certificate::from_chain(leaf.der(), &[&twin.der; MAX_SENT + 1]));
    let alone = Certificate::from_chain(leaf.der(), &[vec![0; MAX_SENT_BYTES + 1]]);
    assert_passes(&set, &alone);
    assert!(!alone.chain_rfc9440_too_large());
}

#[test]
fn constraints_of_what_was_sent_hold() {
    let root = Ca::root("devices");
    let set = root.trust();
    let expired = root.sub_with("issuing", |ca| ca.not_after = date_time_ymd(2029, 1, 1));
    assert_denies(&set, &with(&expired.leaf(), &[&expired]), Reason::MtlsExpired);
    let short = root.sub_with("issuing", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let lower = short.sub("lower");
    assert_denies(&set, &with(&lower.leaf(), &[&lower, &short]), Reason::MtlsConstraints);
    let soon = root.sub_with("issuing", |ca| ca.not_after = date_time_ymd(2030, 3, 1));
    let verdict = assert_passes(&set, &with(&soon.leaf(), &[&soon]));
    assert_eq!(verdict.expires_at, date_time_ymd(2030, 3, 1).unix_timestamp() as u64 + 1);
}

fn revoke(standings: &Standings, issuer: &Ca, serial: &str) {
    let key_id = issuer_key(issuer);
    let revoked = vec![Named { key_id, serial: serial.to_owned() }];
    standings.change(&Change { revoked, ..Change::default() }).unwrap();
}

fn issuer_key(issuer: &Ca) -> String {
    use rcgen::PublicKeyData;
    crate::mtls::fields::lower_hex(&crate::mtls::authority::key_id(&issuer.issuer.key().subject_public_key_info()))
}

#[test]
fn revocation_reaches_leaves_and_intermediates_of_a_path_that_was_sent() {
    let root = Ca::root("devices");
    let issuing = root.sub_with("issuing", |ca| ca.serial_number = Some(SerialNumber::from(0x0a_u64)));
    let set = root.trust();
    let leaf = issuing.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from(0x0b_u64)));
    let leaf = with(&leaf, &[&issuing]);
    let standings = Standings::default();
    let mut verdict = set.verify(&leaf, &standings, NOW);
    assert_eq!(verdict.fault, None);
    revoke(&standings, &issuing, "0b");
    set.renew(&mut verdict, &leaf, &standings, NOW);
    assert_eq!(verdict.fault, Some(Reason::MtlsRevoked), "a kept verdict is held against what was revoked since");

    let standings = Standings::default();
    revoke(&standings, &root, "0a");
    assert_eq!(set.verify(&leaf, &standings, NOW).fault, Some(Reason::MtlsRevoked), "its issuer");
    let listed = trust(&crls(root.authority(), &[&root.crl(&[&[0x0a]])]));
    assert_denies(&listed, &leaf, Reason::MtlsRevoked);
}

#[test]
fn another_certificate_of_a_configured_issuers_key_is_no_way_around_its_list() {
    let (root, other) = (Ca::root("devices"), Ca::root("partners"));
    let issuing = root.sub("issuing");
    let leaf = issuing.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from(0x0b_u64)));
    let devices = crls(intermediates(root.authority(), &[&issuing]), &[&issuing.crl(&[&[0x0b]])]);
    let partners = crate::policy::Authority { name: "partners".into(), ..other.authority() };
    let set = TrustSet::compile(&[&devices, &partners], NOW, &mut Vec::new());
    assert_denies(&set, &leaf, Reason::MtlsRevoked);
    let cross = ca_params("issuing").signed_by(issuing.issuer.key(), &other.issuer).unwrap();
    assert_denies(&set, &Certificate::from_chain(leaf.der(), &[cross.der()]), Reason::MtlsRevoked);
    let again = ca_params("issuing").signed_by(issuing.issuer.key(), &root.issuer).unwrap();
    assert_denies(&set, &Certificate::from_chain(leaf.der(), &[again.der()]), Reason::MtlsRevoked);
}

#[test]
fn where_a_list_is_demanded_an_issuer_that_nobody_speaks_for_does_not_count() {
    let root = Ca::root("devices");
    let issuing = root.sub("issuing");
    let leaf = with(&issuing.leaf(), &[&issuing]);
    let revocation = Revocation { fetch: true, stale: Stale::Hard, ..Revocation::default() };
    let demanding = crate::policy::Authority { revocation, ..root.authority() };
    assert_eq!(trust(&demanding).verify(&leaf, &Standings::default(), NOW).fault, Some(Reason::MtlsRevocationUnknown));
    // A list of the anchor's speaks for the intermediate, not for what that issues.
    let listed = crls(demanding, &[&root.crl(&[])]);
    assert_eq!(trust(&listed).verify(&leaf, &Standings::default(), NOW).fault, Some(Reason::MtlsRevocationUnknown));
}

#[test]
fn a_judgement_shows_the_path_that_was_sent() {
    let root = Ca::root("devices");
    let issuing = root.sub("issuing");
    let compiled = Arc::new(Authority::compile(&root.authority(), NOW, &mut Vec::new()));
    let judged = TrustSet::of(vec![compiled]).judge(&with(&issuing.leaf(), &[&issuing]), &Standings::default(), NOW);
    assert_eq!(judged.reason, None);
    let path = judged.steps.iter().find(|step| step.step == "path").unwrap();
    assert!(path.detail.contains("<- CN=issuing <- CN=devices"), "{}", path.detail);
}

#[test]
fn what_was_sent_is_a_field_and_no_header() {
    let root = Ca::root("devices");
    let issuing = root.sub("issuing");
    let leaf = with(&issuing.leaf(), &[&issuing, &root]);
    let field = leaf.field(crate::mtls::CertificateField::ChainRfc9440);
    assert_eq!(field.matches(", :").count(), 1, "both, as they came");
    let large = Certificate::from_chain(leaf.der(), &vec![vec![7_u8; 6_000]; 3]);
    assert!(large.chain_rfc9440_too_large());
    assert_eq!(large.field(crate::mtls::CertificateField::ChainRfc9440), "");
}

/// A client that is nobody's sends seven issuers made to be tried in every order.
#[test]
fn a_hostile_chain_costs_few_signature_checks() {
    let root = Ca::root("devices");
    let set = root.trust();
    let one_of_a_name: Vec<Ca> = (0..MAX_SENT).map(|_| Ca::root("devices")).collect();
    let key = KeyPair::generate().unwrap();
    let leaf = one_of_a_name[0].leaf_of(&key, |_| {});
    let mut line = vec![Ca::root("devices")];
    for index in 1..MAX_SENT {
        line.push(line[index - 1].sub(&format!("step {index}")));
    }
    // The best of a few, because tests run beside each other.
    let time = |certificate: &Certificate| {
        let once = || {
            let began = Instant::now();
            let _ = set.verify(certificate, &Standings::default(), NOW);
            began.elapsed()
        };
        (0..8).map(|_| once()).min().unwrap()
    };
    let honest = time(&root.leaf());
    for (chain, leaf) in [(&one_of_a_name, leaf), (&line, line[MAX_SENT - 1].leaf())] {
        let hostile = with(&leaf, &chain.iter().collect::<Vec<_>>());
        assert!(set.verify(&hostile, &Standings::default(), NOW).fault.is_some());
        let took = time(&hostile);
        // An honest leaf takes one check, and 100 are webpki's bound.
        assert!(took < honest * 30, "{took:?} against {honest:?}");
    }
}
