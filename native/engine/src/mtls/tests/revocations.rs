//! Facts about revocation lists.

use rcgen::{
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::pki::*;
use crate::mtls::serial_set::SerialSet;
use crate::mtls::{Certificate, CertificateField, Standings, TrustSet};
use crate::policy::Authority;
use crate::reason::Reason;

fn numbered(ca: &Ca, serial: &[u8]) -> Certificate {
    ca.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(serial)))
}

#[track_caller]
fn assert_refused(authority: Authority, message: &str) {
    let problems = problems(&authority);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].at, "/authorities/devices/revocation/crl/0");
    assert!(problems[0].message.contains(message), "{}", problems[0].message);
}

#[test]
fn denies_a_revoked_leaf_and_passes_its_sibling() {
    let root = Ca::root("devices");
    let set = trust(&crls(root.authority(), &[&root.crl(&[&[1, 2, 3], &[0x80, 1]])]));
    assert_denies(&set, &numbered(&root, &[1, 2, 3]), Reason::MtlsRevoked);
    assert_denies(&set, &numbered(&root, &[0x80, 1]), Reason::MtlsRevoked);
    assert_passes(&set, &numbered(&root, &[1, 2, 4]));
    assert_passes(&set, &numbered(&root, &[1, 2, 3, 0]));
}

#[test]
fn reads_a_list_as_base64_of_der() {
    let root = Ca::root("devices");
    let list = root.crl(&[&[1]]);
    let base64: String = list.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    assert_denies(&trust(&crls(root.authority(), &[&base64])), &numbered(&root, &[1]), Reason::MtlsRevoked);
}

#[test]
fn a_verdict_ends_with_nextupdate_and_then_nobody_passes() {
    let root = Ca::root("devices");
    let list = root.crl_with(&[&[1]], |list| list.next_update = date_time_ymd(2030, 1, 8));
    let set = trust(&crls(root.authority(), &[&list]));
    let next_update = date_time_ymd(2030, 1, 8).unix_timestamp() as u64;
    let leaf = numbered(&root, &[9]);
    assert_eq!(assert_passes(&set, &leaf).expires_at, next_update);
    assert_eq!(set.verify(&leaf, &Standings::default(), next_update - 1).fault, None);
    assert_eq!(set.verify(&leaf, &Standings::default(), next_update).fault, Some(Reason::MtlsCrlExpired));
    assert_eq!(set.verify(&numbered(&root, &[1]), &Standings::default(), next_update).fault, Some(Reason::MtlsRevoked));
}

#[test]
fn loads_an_expired_list_and_lets_nobody_pass() {
    let root = Ca::root("devices");
    let list = root.crl_with(&[], |list| list.next_update = date_time_ymd(2029, 12, 31));
    assert_denies(&trust(&crls(root.authority(), &[&list])), &root.leaf(), Reason::MtlsCrlExpired);
}

#[test]
fn denies_behind_a_revoked_intermediate() {
    let root = Ca::root("root");
    let issuing = root.sub_with("issuing", |ca| ca.serial_number = Some(SerialNumber::from_slice(&[5])));
    let other = root.sub_with("other", |ca| ca.serial_number = Some(SerialNumber::from_slice(&[6])));
    let authority = intermediates(root.authority(), &[&issuing, &other]);
    let set = trust(&crls(authority, &[&root.crl(&[&[5]])]));
    assert_denies(&set, &issuing.leaf(), Reason::MtlsRevoked);
    assert_passes(&set, &other.leaf());
}

#[test]
fn a_list_of_the_root_says_nothing_about_leaves_of_an_intermediate() {
    let root = Ca::root("root");
    let issuing = root.sub("issuing");
    let authority = intermediates(root.authority(), &[&issuing]);
    assert_passes(&trust(&crls(authority, &[&root.crl(&[&[7]])])), &numbered(&issuing, &[7]));
}

#[test]
fn denies_a_leaf_on_its_intermediates_list() {
    let root = Ca::root("root");
    let issuing = root.sub("issuing");
    let authority = intermediates(root.authority(), &[&issuing]);
    let set = trust(&crls(authority, &[&issuing.crl(&[&[7]]), &root.crl(&[])]));
    assert_denies(&set, &numbered(&issuing, &[7]), Reason::MtlsRevoked);
    assert_passes(&set, &numbered(&issuing, &[8]));
}

#[test]
fn the_newest_of_two_lists_counts_whatever_their_order() {
    let root = Ca::root("devices");
    let old = root.crl_with(&[&[1]], |list| list.next_update = date_time_ymd(2029, 12, 15));
    let new = root.crl_with(&[&[2]], |list| list.crl_number = SerialNumber::from(2u64));
    for order in [[&old, &new], [&new, &old]] {
        let set = trust(&crls(root.authority(), &[order[0], order[1]]));
        assert_passes(&set, &numbered(&root, &[1]));
        assert_denies(&set, &numbered(&root, &[2]), Reason::MtlsRevoked);
    }
}

#[test]
fn lists_of_different_distribution_points_add_up() {
    let root = Ca::root("devices");
    let part = |name: &str, serial: u8, until: i32| {
        root.crl_with(&[&[serial]], |list| {
            list.next_update = date_time_ymd(until, 1, 1);
            list.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint { uris: vec![format!("http://ca.example/{name}")] },
                scope: Some(CrlScope::UserCertsOnly),
            });
        })
    };
    let set = trust(&crls(root.authority(), &[&part("a", 1, 2031), &part("b", 2, 2032)]));
    assert_denies(&set, &numbered(&root, &[1]), Reason::MtlsRevoked);
    assert_denies(&set, &numbered(&root, &[2]), Reason::MtlsRevoked);
    let verdict = assert_passes(&set, &numbered(&root, &[3]));
    assert_eq!(verdict.expires_at, date_time_ymd(2031, 1, 1).unix_timestamp() as u64, "the first to end");
}

#[test]
fn a_list_signed_by_the_old_key_still_counts_after_a_roll_over() {
    let (old, new) = (Ca::root("devices"), Ca::root("devices"));
    let mut authority = old.authority();
    authority.certificates.push_str(&new.pem);
    let set = trust(&crls(authority, &[&old.crl(&[&[1]]), &new.crl(&[&[2]])]));
    for revoked in [numbered(&old, &[1]), numbered(&old, &[2]), numbered(&new, &[1]), numbered(&new, &[2])] {
        assert_denies(&set, &revoked, Reason::MtlsRevoked);
    }
    assert_passes(&set, &numbered(&old, &[3]));
}

#[test]
fn refuses_a_list_of_another_authority() {
    let (devices, partners, namesake) = (Ca::root("devices"), Ca::root("partners"), Ca::root("devices"));
    assert_refused(crls(devices.authority(), &[&partners.crl(&[])]), "not issued by this authority");
    assert_refused(crls(devices.authority(), &[&namesake.crl(&[])]), "signature is not valid");
}

#[test]
fn refuses_a_list_that_was_changed_after_it_was_signed() {
    let root = Ca::root("devices");
    let list = root.crl(&[&[0x11, 0x22, 0x33, 0x44]]);
    let (_, whole) = x509_parser::pem::parse_x509_pem(list.as_bytes()).unwrap();
    let mut der = whole.contents;
    let at = der.windows(4).position(|bytes| bytes == [0x11, 0x22, 0x33, 0x44]).unwrap();
    der[at] = 0x12;
    assert_refused(crls(root.authority(), &[&pem("X509 CRL", &der)]), "signature is not valid");
}

#[test]
fn refuses_a_list_whose_issuer_may_not_sign_lists() {
    let key = KeyPair::generate().unwrap();
    let serialized = key.serialize_der();
    let may = Ca::root_of(ca_params("devices"), key);
    let mut params = ca_params("devices");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let may_not = Ca::root_of(params, KeyPair::try_from(serialized).unwrap());
    assert_refused(crls(may_not.authority(), &[&may.crl(&[])]), "may not sign lists");
}

/// A list by hand: `version`, dates and `extensions` are whole elements, or empty.
fn list_by_hand(root: &Ca, version: &[u8], next_update: &[u8], revoked: &[u8], extensions: &[u8]) -> String {
    let algorithm = der(0x30, &[&der(0x06, &[ECDSA_SHA256])]);
    let this_update = der(0x17, &[b"291201000000Z"]);
    let tagged = if extensions.is_empty() { vec![] } else { der(0xa0, &[&der(0x30, &[extensions])]) };
    let tbs = der(0x30, &[version, &algorithm, &common_name("devices"), &this_update, next_update, revoked, &tagged]);
    pem("X509 CRL", &signed(&tbs, ECDSA_SHA256, root.issuer.key()))
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    der(0x30, &[&der(0x06, &[id]), critical, &der(0x04, &[value])])
}

#[test]
fn refuses_lists_that_cannot_be_relied_on() {
    let root = Ca::root("devices");
    let version_2: &[u8] = &[2, 1, 1];
    let next = der(0x17, &[b"310101000000Z"]);
    let number = extension(&[0x55, 0x1d, 20], false, &[2, 1, 1]);
    let refused = |version: &[u8], next: &[u8], revoked: &[u8], extensions: &[u8], message: &str| {
        assert_refused(crls(root.authority(), &[&list_by_hand(&root, version, next, revoked, extensions)]), message);
    };
    let good = list_by_hand(&root, version_2, &next, &[], &number);
    assert_passes(&trust(&crls(root.authority(), &[&good])), &root.leaf());

    refused(&[], &next, &[], &number, "not valid DER");
    refused(version_2, &next, &[], &[], "not version 2 with its extensions");
    refused(version_2, &[], &[], &number, "not valid DER");
    let delta = extension(&[0x55, 0x1d, 27], true, &[2, 1, 1]);
    refused(version_2, &next, &[], &[number.clone(), delta].concat(), "delta");
    let unknown = extension(&[0x2a, 3, 4], true, &[5, 0]);
    refused(version_2, &next, &[], &[number.clone(), unknown].concat(), "critical extension");

    let uri = der(0xa0, &[&der(0xa0, &[&der(0x86, &[b"http://ca.example/crl"])])]);
    let indirect = extension(&[0x55, 0x1d, 28], true, &der(0x30, &[&uri, &[0x84, 1, 0xff]]));
    refused(version_2, &next, &[], &[number.clone(), indirect].concat(), "indirect");
    let some_reasons = extension(&[0x55, 0x1d, 28], true, &der(0x30, &[&uri, &[0x83, 2, 6, 0x40]]));
    refused(version_2, &next, &[], &[number.clone(), some_reasons].concat(), "only some reasons");

    let long = der(0x30, &[&der(0x30, &[&der(0x02, &[&[1; 21]]), &der(0x17, &[b"290601000000Z"])])]);
    refused(version_2, &next, &long, &number, "more than 20 octets");
}

#[test]
fn refuses_text_that_is_no_list() {
    let root = Ca::root("devices");
    assert_refused(crls(root.authority(), &["..."]), "Neither PEM nor");
    assert_refused(crls(root.authority(), &[""]), "no revocation list");
    assert_refused(crls(root.authority(), &[&root.pem]), "no revocation list");
    assert_refused(crls(root.authority(), &["AAECAw=="]), "not valid DER");
}

#[test]
fn a_verdict_without_lists_ends_with_the_certificates() {
    let root = Ca::root("devices");
    assert!(assert_passes(&root.trust(), &root.leaf()).expires_at > NOW + YEAR);
}

#[test]
fn shows_the_serial_that_a_list_names() {
    let root = Ca::root("devices");
    assert_eq!(numbered(&root, &[0x80, 0x0a, 0x01]).field(CertificateField::Serial), "800A01");
}

#[test]
fn holds_a_million_serials_in_21_megabytes() {
    let serial = |number: u64| {
        let mut serial = [0x40; 20];
        serial[12..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        serial
    };
    let serials = SerialSet::new(&(0..1_000_000).map(serial).collect::<Vec<_>>());
    assert!(serials.bytes() < 22_000_000, "at most 40 bytes a serial are asked for");
    assert!((0..200_000).all(|number| serials.contains(&serial(number * 5))));
    assert!(!serials.contains(&serial(1_000_001)));
}

#[test]
fn finds_every_serial_of_sets_of_all_sizes() {
    for size in [0, 1, 2, 3, 4, 7, 8, 9, 100, 1023, 1024, 1025] {
        let serial = |number: usize| {
            let mut serial = [0; 20];
            serial[12..].copy_from_slice(&number.to_be_bytes());
            serial
        };
        let set = SerialSet::new(&(0..size).map(serial).collect::<Vec<_>>());
        assert!((0..size).all(|number| set.contains(&serial(number))), "{size}");
        assert!((size..size + 100).all(|number| !set.contains(&serial(number))), "{size}");
    }
}

#[test]
fn loads_a_signed_list_of_a_hundred_thousand() {
    let root = Ca::root("devices");
    let serials: Vec<[u8; 16]> = (0..100_000u128).map(|number| (number | 1 << 120).to_be_bytes()).collect();
    let list = root.crl(&serials.iter().map(<[u8; 16]>::as_slice).collect::<Vec<_>>());
    let set = trust(&crls(root.authority(), &[&list]));
    assert_denies(&set, &numbered(&root, &serials[77_777]), Reason::MtlsRevoked);
}

#[test]
fn each_authority_answers_for_its_own_lists() {
    let (devices, partners) = (Ca::root("devices"), Ca::root("partners"));
    let devices_authority = crls(devices.authority(), &[&devices.crl(&[&[1]])]);
    let mut problems = Vec::new();
    let both = TrustSet::compile(&[&devices_authority, &partners.authority()], NOW, &mut problems);
    assert_eq!(problems, []);
    assert_denies(&both, &numbered(&devices, &[1]), Reason::MtlsRevoked);
    assert_passes(&both, &numbered(&partners, &[1]));
}
