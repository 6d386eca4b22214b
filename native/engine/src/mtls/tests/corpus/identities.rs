//! What it says of itself: version, key, names, serial.

use rcgen::{CertificateParams, DnType, DnValue, Issuer, KeyPair, PublicKeyData, SerialNumber};

use super::*;

const SIGNATURE: Want = Want::Denies(Reason::MtlsSignature);
const UNTRUSTED: Want = Want::Denies(Reason::MtlsUntrusted);
const MALFORMED: Want = Want::Denies(Reason::MtlsMalformed);

pub fn cases() -> Vec<Case> {
    let mut cases = versions_and_keys();
    cases.extend(names());
    cases.extend(serials());
    cases
}

fn versions_and_keys() -> Vec<Case> {
    let root = Ca::root("devices");
    let key = KeyPair::generate().unwrap();
    let by_hand = |version: &[u8], key: &dyn Fn() -> Vec<u8>| {
        let key = Spki(key());
        pem(
            "CERTIFICATE",
            &certificate_by_hand(version, ECDSA_SHA256, "devices", "client", &key, &[], root.issuer.key()),
        )
    };
    let own = || key.subject_public_key_info();
    let old_root = pem("CERTIFICATE", &certificate_by_hand(&[], ECDSA_SHA256, "old", "old", &key, &[], &key));
    let of_old = pem("CERTIFICATE", &certificate_by_hand(VERSION_3, ECDSA_SHA256, "old", "client", &key, &[], &key));
    let carried = |key: CarriedKey| by_hand(VERSION_3, &|| key.subject_public_key_info());
    let (p224, secp256k1): (&[u8], &[u8]) = (&[0x2b, 0x81, 4, 0, 33], &[0x2b, 0x81, 4, 0, 10]);
    vec![
        direct("version 3", &root, by_hand(VERSION_3, &own), Want::Passes),
        direct("version 1", &root, by_hand(&[], &own), Want::Denies(Reason::MtlsVersion)),
        direct("version 2", &root, by_hand(&[0xa0, 3, 2, 1, 1], &own), Want::Denies(Reason::MtlsVersion)),
        direct("version 4", &root, by_hand(&[0xa0, 3, 2, 1, 3], &own), Want::Denies(Reason::MtlsVersion)),
        Case { anchors: old_root, ..direct("an anchor of version 1", &root, of_old, Want::Refuses("version 1")) },
        direct("RSA of 2048 bits", &root, carried(rsa_key(2048)), Want::Passes),
        direct("RSA of 1024 bits", &root, carried(rsa_key(1024)), SIGNATURE),
        direct("RSA of 2040 bits", &root, carried(rsa_key(2040)), SIGNATURE),
        direct("RSA of 16384 bits", &root, carried(rsa_key(16_384)), SIGNATURE),
        direct("P-224", &root, carried(ec_key(p224, 28)), SIGNATURE),
        direct("secp256k1", &root, carried(ec_key(secp256k1, 32)), SIGNATURE),
    ]
}

/// A public key as whole SubjectPublicKeyInfo.
struct Spki(Vec<u8>);

impl PublicKeyData for Spki {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }

    fn subject_public_key_info(&self) -> Vec<u8> {
        self.0.clone()
    }
}

fn names() -> Vec<Case> {
    let root = Ca::root("devices");
    let called = |name: &str| {
        root.leaf_pem(&KeyPair::generate().unwrap(), |leaf| {
            leaf.distinguished_name.push(DnType::CommonName, name);
        })
    };
    // The same key under names that only look alike: what counts is the DER.
    let under = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = ca_params("devices");
        change(&mut params);
        let issuer = Issuer::from_params(&params, root.issuer.key());
        let mut leaf = leaf_params();
        leaf.use_authority_key_identifier_extension = false;
        leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem()
    };
    let renamed = |name: &'static str| {
        under(&move |ca| {
            ca.distinguished_name.push(DnType::CommonName, name);
        })
    };
    let two = Ca::root_with("b", |ca| {
        ca.distinguished_name.push(DnType::OrganizationName, "a");
    });
    let one = Ca::root("b,O=a");
    vec![
        direct("a NUL in the name", &root, called("client\0admin"), Want::Passes),
        direct("a line break in the name", &root, called("client\r\nX-Role: admin"), Want::Passes),
        direct("commas in the name", &root, called("client,CN=admin,O=ops"), Want::Passes),
        direct("an empty name", &root, called(""), Want::Passes),
        direct("an issuer that continues behind a NUL", &root, renamed("devices\0"), UNTRUSTED),
        direct("an issuer in other letters", &root, renamed("Devices"), UNTRUSTED),
        direct("an issuer with a space more", &root, renamed("devices "), UNTRUSTED),
        direct(
            "an issuer in another string type",
            &root,
            under(&|ca| {
                ca.distinguished_name.push(DnType::CommonName, DnValue::PrintableString("devices".try_into().unwrap()));
            }),
            UNTRUSTED,
        ),
        direct(
            "an issuer that prints as one of two attributes",
            &two,
            one.leaf_pem(&KeyPair::generate().unwrap(), |_| {}),
            UNTRUSTED,
        ),
    ]
}

fn serials() -> Vec<Case> {
    let root = Ca::root("devices");
    let numbered = |content: &[u8]| {
        // By hand: rcgen writes every serial as a positive number.
        let plain = root.leaf_pem(&KeyPair::generate().unwrap(), |leaf| {
            leaf.serial_number = Some(SerialNumber::from_slice(&[0x5a, 0x5a, 0x5a, 0x5a]));
        });
        let whole = Certificate::from_pem(&plain).der().to_vec();
        let tbs = resized(&whole, content);
        pem("CERTIFICATE", &signed(&tbs, ECDSA_SHA256, root.issuer.key()))
    };
    let octets = |count: usize, first: u8| [vec![first], vec![0x11; count - 1]].concat();
    let long_root = Ca::root_with("long", |ca| ca.serial_number = Some(SerialNumber::from_slice(&octets(21, 1))));
    vec![
        direct("a serial of one octet", &root, numbered(&[1]), Want::Passes),
        direct("a serial of 20 octets", &root, numbered(&octets(20, 0x7f)), Want::Passes),
        direct(
            "a serial of 20 octets and a sign",
            &root,
            numbered(&[vec![0], octets(20, 0x80)].concat()),
            Want::Passes,
        ),
        direct("a serial of 21 octets", &root, numbered(&octets(21, 1)), MALFORMED),
        direct("a serial of 60 octets", &root, numbered(&octets(60, 1)), MALFORMED),
        direct("a negative serial", &root, numbered(&[0xff, 0x21, 0x52]), Want::Passes),
        direct("the serial 0", &root, numbered(&[0]), Want::Passes),
        direct(
            "an anchor with a serial of 21 octets",
            &long_root,
            long_root.leaf_pem(&KeyPair::generate().unwrap(), |_| {}),
            Want::Refuses("more than 20 octets"),
        ),
    ]
}

/// The TBSCertificate of a certificate with the serial 5A5A5A5A, with another in its place.
fn resized(whole: &[u8], serial: &[u8]) -> Vec<u8> {
    let (_, certificate) = x509_parser::parse_x509_certificate(whole).unwrap();
    let tbs = certificate.tbs_certificate.as_ref();
    let at = tbs.windows(6).position(|bytes| bytes == [2, 4, 0x5a, 0x5a, 0x5a, 0x5a]).unwrap();
    let start = at - VERSION_3.len();
    der(0x30, &[&tbs[start..at], &der(0x02, &[serial]), &tbs[at + 6..]])
}
