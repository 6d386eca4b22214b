//! Facts about the way from a leaf to an anchor that are more than a verdict; corpus.rs has the cases.

use rcgen::{
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
    date_time_ymd,
};

use super::pki::*;
use crate::mtls::{Certificate, Standings, TrustSet};
use crate::reason::Reason;

#[test]
fn passes_a_leaf_of_the_anchor() {
    let root = Ca::root("devices");
    let verdict = assert_passes(&root.trust(), &root.leaf());
    let year_2035 = date_time_ymd(2035, 1, 1).unix_timestamp() as u64;
    assert_eq!(verdict.expires_at, year_2035 + 1, "notAfter is the last good second");
}

#[test]
fn denies_everything_when_nobody_is_trusted() {
    let nobody = TrustSet::compile(&[], NOW, &mut Vec::new());
    assert_denies(&nobody, &Ca::root("devices").leaf(), Reason::MtlsUntrusted);
}

#[test]
fn trusts_each_of_several_authorities() {
    let (devices, partners) = (Ca::root("devices"), Ca::root("partners"));
    let mut problems = Vec::new();
    let both = TrustSet::compile(&[&devices.authority(), &partners.authority()], NOW, &mut problems);
    assert_eq!(problems, []);
    assert_passes(&both, &devices.leaf());
    assert_passes(&both, &partners.leaf());
}

#[test]
fn passes_at_notafter_and_denies_a_second_later() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| leaf.not_after = date_time_ymd(2030, 6, 1));
    let last = date_time_ymd(2030, 6, 1).unix_timestamp() as u64;
    let set = root.trust();
    assert_eq!(set.verify(&leaf, &Standings::default(), last).fault, None);
    assert_eq!(set.verify(&leaf, &Standings::default(), last).expires_at, last + 1);
    assert_eq!(set.verify(&leaf, &Standings::default(), last + 1).fault, Some(Reason::MtlsExpired));
}

#[test]
fn looks_again_when_a_leaf_becomes_valid() {
    let root = Ca::root("devices");
    let begins = date_time_ymd(2030, 1, 1) + (date_time_ymd(2030, 1, 2) - date_time_ymd(2030, 1, 1)) / 1440;
    let leaf = root.leaf_with(|leaf| leaf.not_before = begins);
    let verdict = assert_denies(&root.trust(), &leaf, Reason::MtlsNotYetValid);
    assert_eq!(verdict.expires_at, NOW + 60, "sooner than the usual five minutes");
    assert_eq!(root.trust().verify(&leaf, &Standings::default(), NOW + 60).fault, None);
}

#[test]
fn looks_again_after_five_minutes_when_a_leaf_begins_later() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| leaf.not_before = date_time_ymd(2031, 1, 1));
    assert_eq!(assert_denies(&root.trust(), &leaf, Reason::MtlsNotYetValid).expires_at, NOW + 300);
}

#[test]
fn a_verdict_ends_with_the_first_certificate_of_its_path() {
    let root = Ca::root("root");
    let issuing = root.sub_with("issuing", |ca| ca.not_after = date_time_ymd(2030, 3, 1));
    let verdict = assert_passes(&trust(&intermediates(root.authority(), &[&issuing])), &issuing.leaf());
    assert_eq!(verdict.expires_at, date_time_ymd(2030, 3, 1).unix_timestamp() as u64 + 1);

    let root = Ca::root_with("root", |ca| ca.not_after = date_time_ymd(2030, 2, 1));
    let verdict = assert_passes(&root.trust(), &root.leaf());
    assert_eq!(verdict.expires_at, date_time_ymd(2030, 2, 1).unix_timestamp() as u64 + 1);
}

#[test]
fn tells_of_the_missing_path_before_the_wrong_usage() {
    let leaf = Ca::root("partners").leaf_with(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert_denies(&Ca::root("devices").trust(), &leaf, Reason::MtlsUntrusted);
}

#[test]
fn passes_the_kinds_of_keys_that_are_strong() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let root = Ca::root_of(ca_params("devices"), KeyPair::generate_for(algorithm).unwrap());
        assert_passes(&root.trust(), &root.leaf_of(&KeyPair::generate_for(algorithm).unwrap(), |_| {}));
    }
}

#[test]
fn denies_version_1_with_a_reason_of_its_own() {
    let root = Ca::root("devices");
    let key = KeyPair::generate().unwrap();
    let der = certificate_by_hand(&[], ECDSA_SHA256, "devices", "old client", &key, &[], root.issuer.key());
    let leaf = Certificate::from_pem(&pem("CERTIFICATE", &der));
    assert_eq!(leaf.fault(), Some(Reason::MtlsVersion));
    assert_denies(&root.trust(), &leaf, Reason::MtlsVersion);
    assert!(Reason::MtlsVersion.entry().hint.contains("reissue"));
}
