//! Facts about the way from a leaf to an anchor.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
    SanType, date_time_ymd,
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
fn denies_a_leaf_signed_by_an_authority_of_another_trust_set() {
    let (devices, partners) = (Ca::root("devices"), Ca::root("partners"));
    assert_passes(&partners.trust(), &partners.leaf());
    assert_denies(&devices.trust(), &partners.leaf(), Reason::MtlsUntrusted);
}

#[test]
fn denies_a_leaf_signed_by_a_namesake_of_the_authority() {
    let (real, false_one) = (Ca::root("devices"), Ca::root("devices"));
    assert_denies(&real.trust(), &false_one.leaf(), Reason::MtlsSignature);
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
fn trusts_both_keys_of_an_authority_that_rolls_over() {
    let (old, new) = (Ca::root("devices"), Ca::root("devices"));
    let mut authority = old.authority();
    authority.certificates.push_str(&new.pem);
    let set = trust(&authority);
    assert_passes(&set, &old.leaf());
    assert_passes(&set, &new.leaf());
}

#[test]
fn finds_the_way_over_configured_intermediates() {
    let root = Ca::root("root");
    let middle = root.sub("middle");
    let issuing = middle.sub("issuing");
    assert_denies(&root.trust(), &issuing.leaf(), Reason::MtlsUntrusted);
    assert_passes(&trust(&intermediates(root.authority(), &[&issuing, &middle])), &issuing.leaf());
}

#[test]
fn takes_an_intermediate_as_anchor_without_its_root() {
    let issuing = Ca::root("root").sub("issuing");
    assert_passes(&issuing.trust(), &issuing.leaf());
}

#[test]
fn finds_the_good_way_of_a_cross_signed_authority() {
    let (old_root, new_root) = (Ca::root("old root"), Ca::root("new root"));
    let key = KeyPair::generate().unwrap();
    let mut params = ca_params("issuing");
    params.not_after = date_time_ymd(2029, 1, 1);
    let expired = params.signed_by(&key, &old_root.issuer).unwrap();
    params.not_after = date_time_ymd(2035, 1, 1);
    let good = params.signed_by(&key, &new_root.issuer).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params, key);
    let leaf = Certificate::from_pem(&leaf_params().signed_by(&leaf_key, &issuer).unwrap().pem());

    let mut authority = old_root.authority();
    authority.certificates.push_str(&new_root.pem);
    authority.intermediates = expired.pem() + &good.pem();
    assert_passes(&trust(&authority), &leaf);

    authority.intermediates = expired.pem();
    assert_denies(&trust(&authority), &leaf, Reason::MtlsExpired);
}

#[test]
fn does_not_run_in_circles_when_two_authorities_sign_each_other() {
    let (a_key, b_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (a, b) = (ca_params("a"), ca_params("b"));
    let a_by_b = a.signed_by(&a_key, &Issuer::from_params(&b, &b_key)).unwrap();
    let b_by_a = b.signed_by(&b_key, &Issuer::from_params(&a, &a_key)).unwrap();
    let leaf = leaf_params().signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&a, &a_key)).unwrap();
    let mut authority = Ca::root("elsewhere").authority();
    authority.intermediates = a_by_b.pem() + &b_by_a.pem();
    assert_denies(&trust(&authority), &Certificate::from_pem(&leaf.pem()), Reason::MtlsUntrusted);
}

#[test]
fn denies_an_expired_leaf() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| leaf.not_after = date_time_ymd(2029, 12, 31));
    assert_denies(&root.trust(), &leaf, Reason::MtlsExpired);
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
fn denies_behind_an_expired_intermediate() {
    let root = Ca::root("root");
    let issuing = root.sub_with("issuing", |ca| ca.not_after = date_time_ymd(2029, 1, 1));
    assert_denies(&trust(&intermediates(root.authority(), &[&issuing])), &issuing.leaf(), Reason::MtlsExpired);
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
fn denies_behind_an_expired_anchor_although_another_is_current() {
    let old = Ca::root_with("old", |ca| ca.not_after = date_time_ymd(2029, 1, 1));
    let new = Ca::root("new");
    let mut authority = old.authority();
    authority.certificates.push_str(&new.pem);
    let set = trust(&authority);
    assert_denies(&set, &old.leaf(), Reason::MtlsExpired);
    assert_passes(&set, &new.leaf());
}

#[test]
fn denies_behind_an_anchor_that_is_not_valid_yet() {
    let root = Ca::root_with("root", |ca| ca.not_before = date_time_ymd(2031, 1, 1));
    assert_denies(&root.trust(), &root.leaf(), Reason::MtlsNotYetValid);
}

#[test]
fn denies_a_leaf_for_servers_only() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_denies(&root.trust(), &leaf, Reason::MtlsUsage);
}

#[test]
fn denies_any_extended_key_usage_without_client_auth() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]);
    assert_denies(&root.trust(), &leaf, Reason::MtlsUsage);
}

#[test]
fn passes_client_auth_among_other_purposes() {
    let root = Ca::root("devices");
    let both = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    assert_passes(&root.trust(), &root.leaf_with(|leaf| leaf.extended_key_usages = both));
}

#[test]
fn passes_a_leaf_without_any_usage() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| {
        leaf.extended_key_usages.clear();
        leaf.key_usages.clear();
    });
    assert_passes(&root.trust(), &leaf);
}

#[test]
fn denies_a_key_usage_without_digital_signature() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert_denies(&root.trust(), &leaf, Reason::MtlsUsage);
}

#[test]
fn tells_of_the_missing_path_before_the_wrong_usage() {
    let leaf = Ca::root("partners").leaf_with(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert_denies(&Ca::root("devices").trust(), &leaf, Reason::MtlsUntrusted);
}

#[test]
fn denies_behind_an_intermediate_for_servers_only() {
    let root = Ca::root("root");
    let issuing = root.sub_with("issuing", |ca| ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_denies(&trust(&intermediates(root.authority(), &[&issuing])), &issuing.leaf(), Reason::MtlsUsage);
}

#[test]
fn denies_an_authority_as_client() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_denies(&root.trust(), &leaf, Reason::MtlsConstraints);
}

#[test]
fn denies_a_leaf_issued_by_a_leaf() {
    let root = Ca::root("root");
    let key = KeyPair::generate().unwrap();
    let mut not_a_ca = leaf_params();
    not_a_ca.distinguished_name.push(DnType::CommonName, "clerk");
    let clerk = not_a_ca.signed_by(&key, &root.issuer).unwrap();
    let forged = leaf_params().signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&not_a_ca, &key)).unwrap();
    let forged = Certificate::from_pem(&forged.pem());
    assert_denies(&root.trust(), &forged, Reason::MtlsUntrusted);
    let mut authority = root.authority();
    authority.intermediates = clerk.pem();
    assert!(problems(&authority)[0].message.contains("is not an authority"));
}

#[test]
fn denies_a_path_longer_than_an_intermediate_allows() {
    let root = Ca::root("root");
    let policy = root.sub_with("policy", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let issuing = policy.sub("issuing");
    let set = trust(&intermediates(root.authority(), &[&policy, &issuing]));
    assert_passes(&set, &policy.leaf());
    assert_denies(&set, &issuing.leaf(), Reason::MtlsConstraints);
}

#[test]
fn denies_a_path_longer_than_the_anchor_allows() {
    let root = Ca::root_with("root", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let issuing = root.sub("issuing");
    let set = trust(&intermediates(root.authority(), &[&issuing]));
    assert_passes(&set, &root.leaf());
    assert_denies(&set, &issuing.leaf(), Reason::MtlsConstraints);
}

#[test]
fn denies_more_intermediates_than_six() {
    let root = Ca::root("0");
    let mut chain = vec![root.sub("1")];
    for depth in 2..=7 {
        let next = chain.last().unwrap().sub(&depth.to_string());
        chain.push(next);
    }
    let set = trust(&intermediates(root.authority(), &chain.iter().collect::<Vec<_>>()));
    assert_passes(&set, &chain[5].leaf());
    assert_denies(&set, &chain[6].leaf(), Reason::MtlsUntrusted);
}

#[test]
fn denies_names_outside_the_constraints_of_anchor_or_intermediate() {
    let only_example = |ca: &mut rcgen::CertificateParams| {
        ca.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".into())],
            excluded_subtrees: vec![GeneralSubtree::DnsName("internal.example.com".into())],
        });
    };
    let named = |ca: &Ca, name: &str| {
        ca.leaf_with(|leaf| leaf.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())])
    };
    let anchor = Ca::root_with("anchor", only_example);
    let root = Ca::root("root");
    let issuing = root.sub_with("issuing", only_example);
    let by_intermediate = trust(&intermediates(root.authority(), &[&issuing]));
    for (set, ca) in [(&anchor.trust(), &anchor), (&by_intermediate, &issuing)] {
        assert_passes(set, &named(ca, "a.example.com"));
        assert_denies(set, &named(ca, "a.example.org"), Reason::MtlsConstraints);
        assert_denies(set, &named(ca, "a.internal.example.com"), Reason::MtlsConstraints);
    }
}

#[test]
fn denies_addresses_outside_the_constraints() {
    let root = Ca::root_with("root", |ca| {
        ca.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::IpAddress(rcgen::CidrSubnet::from_v4_prefix([10, 0, 0, 0], 8))],
            excluded_subtrees: vec![],
        });
    });
    let addressed = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        root.leaf_with(|leaf| leaf.subject_alt_names = vec![SanType::IpAddress(address)])
    };
    assert_passes(&root.trust(), &addressed("10.1.2.3"));
    assert_denies(&root.trust(), &addressed("192.0.2.1"), Reason::MtlsConstraints);
}

#[test]
fn passes_the_kinds_of_keys_that_are_strong() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let root = Ca::root_of(ca_params("devices"), KeyPair::generate_for(algorithm).unwrap());
        assert_passes(&root.trust(), &root.leaf_of(&KeyPair::generate_for(algorithm).unwrap(), |_| {}));
    }
}

#[test]
fn denies_leaves_with_weak_keys() {
    let root = Ca::root("devices");
    let (p224, secp256k1): (&[u8], &[u8]) = (&[0x2b, 0x81, 4, 0, 33], &[0x2b, 0x81, 4, 0, 10]);
    let leaf = |key: &CarriedKey| {
        let der = certificate_by_hand(VERSION_3, ECDSA_SHA256, "devices", "client", key, &[], root.issuer.key());
        Certificate::from_pem(&pem("CERTIFICATE", &der))
    };
    for weak in [rsa_key(1024), rsa_key(2040), rsa_key(16384), ec_key(p224, 28), ec_key(secp256k1, 32)] {
        assert_denies(&root.trust(), &leaf(&weak), Reason::MtlsSignature);
    }
    assert_passes(&root.trust(), &leaf(&rsa_key(2048)));
}

#[test]
fn denies_a_signature_with_sha1() {
    let root = Ca::root("devices");
    let key = KeyPair::generate().unwrap();
    let make = |algorithm| {
        let der = certificate_by_hand(VERSION_3, algorithm, "devices", "client", &key, &[], root.issuer.key());
        Certificate::from_pem(&pem("CERTIFICATE", &der))
    };
    assert_passes(&root.trust(), &make(ECDSA_SHA256));
    assert_denies(&root.trust(), &make(ECDSA_SHA1), Reason::MtlsSignature);
}

#[test]
fn denies_a_leaf_that_was_changed_after_it_was_signed() {
    let root = Ca::root("devices");
    let mut der = root.leaf().der().to_vec();
    let at = der.windows(6).position(|bytes| bytes == b"client").unwrap();
    der[at] = b'C';
    assert_denies(&root.trust(), &Certificate::from_pem(&pem("CERTIFICATE", &der)), Reason::MtlsSignature);
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

#[test]
fn denies_a_critical_extension_that_is_not_understood() {
    let root = Ca::root("devices");
    let leaf = |critical| {
        root.leaf_with(|leaf| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(critical);
            leaf.custom_extensions.push(extension);
        })
    };
    assert_passes(&root.trust(), &leaf(false));
    assert_denies(&root.trust(), &leaf(true), Reason::MtlsMalformed);
}

#[test]
fn denies_a_repeated_extension() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| {
        leaf.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 128]));
    });
    assert_denies(&root.trust(), &leaf, Reason::MtlsMalformed);
}
