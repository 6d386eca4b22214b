//! Facts about reading one certificate.

use std::process::{Command, Stdio};

use proptest::prelude::*;
use rcgen::{CustomExtension, DistinguishedName, DnType, DnValue, KeyPair, SanType, SerialNumber, date_time_ymd};

use super::headers::all_headers;
use super::pki::*;
use crate::mtls::{Certificate, CertificateField, CertificateNames, MAX_DER_BYTES, Standings};
use crate::reason::Reason;

fn james() -> (Ca, Certificate) {
    let root = Ca::root_with("Access Testing CA", |ca| {
        ca.distinguished_name = name(&[
            (DnType::CountryName, "US"),
            (DnType::StateOrProvinceName, "Texas"),
            (DnType::LocalityName, "Austin"),
            (DnType::OrganizationName, "Access Testing"),
            (DnType::OrganizationalUnitName, "TX"),
            (DnType::CommonName, "Access Testing CA"),
        ]);
    });
    let leaf = root.leaf_with(|leaf| {
        leaf.distinguished_name = name(&[
            (DnType::CountryName, "US"),
            (DnType::OrganizationName, "Access"),
            (DnType::CommonName, "James Royal"),
        ]);
        leaf.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc, 0x01]));
        leaf.not_before = date_time_ymd(2022, 3, 1);
        leaf.not_after = date_time_ymd(2033, 3, 21);
        leaf.subject_alt_names = vec![
            SanType::DnsName("james.example".try_into().unwrap()),
            SanType::Rfc822Name("james@example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/james".try_into().unwrap()),
        ];
    });
    (root, leaf)
}

pub(super) fn name(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}

#[test]
fn spells_names_as_cloudflare_does() {
    let (_, leaf) = james();
    let issuer = "CN=Access Testing CA,OU=TX,O=Access Testing,L=Austin,ST=Texas,C=US";
    assert_eq!(leaf.field(CertificateField::IssuerDn), issuer);
    assert_eq!(leaf.field(CertificateField::IssuerDnRfc2253), issuer);
    assert_eq!(
        leaf.field(CertificateField::IssuerDnLegacy),
        "/C=US/ST=Texas/L=Austin/O=Access Testing/OU=TX/CN=Access Testing CA"
    );
    assert_eq!(leaf.field(CertificateField::SubjectDn), "CN=James Royal,O=Access,C=US");
    assert_eq!(leaf.field(CertificateField::SubjectDnRfc2253), "CN=James Royal,O=Access,C=US");
    assert_eq!(leaf.field(CertificateField::SubjectDnLegacy), "/C=US/O=Access/CN=James Royal");
}

#[test]
fn spells_numbers_and_dates_as_cloudflare_does() {
    let (_, leaf) = james();
    assert_eq!(leaf.field(CertificateField::Serial), "0ABC01");
    assert_eq!(leaf.field(CertificateField::NotBefore), "Mar  1 00:00:00 2022 GMT");
    assert_eq!(leaf.field(CertificateField::NotAfter), "Mar 21 00:00:00 2033 GMT");
    assert_eq!(leaf.field(CertificateField::FingerprintSha256), leaf.sha256_hex());
    assert_eq!(leaf.sha256_hex().len(), 64);
    assert_eq!(leaf.field(CertificateField::FingerprintSha1).len(), 40);
    let lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    assert!(lower(leaf.sha256_hex()) && lower(leaf.field(CertificateField::FingerprintSha1)));
}

#[test]
fn links_a_leaf_to_its_issuer_by_key_identifier() {
    let (root, leaf) = james();
    let issuer = Certificate::from_pem(&root.pem);
    let id = leaf.field(CertificateField::IssuerSki);
    assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)));
    assert_eq!(id, issuer.field(CertificateField::Ski));
    assert_eq!(leaf.field(CertificateField::IssuerSerial), "", "rcgen names no serial in the key identifier");
}

#[test]
fn shows_the_issuers_serial_where_the_key_identifier_has_it() {
    let root = Ca::root("devices");
    let leaf = root.leaf_with(|leaf| {
        leaf.use_authority_key_identifier_extension = false;
        let value = der(0x30, &[&[0x80, 2, 0xab, 0xcd], &[0x82, 3, 0, 0xfe, 1]]);
        leaf.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 35], value));
    });
    assert_eq!(leaf.field(CertificateField::IssuerSki), "ABCD");
    assert_eq!(leaf.field(CertificateField::IssuerSerial), "FE01");
}

#[test]
fn lists_alternative_names_by_kind() {
    let (_, leaf) = james();
    assert_eq!(leaf.names(CertificateNames::Dns), ["james.example"]);
    assert_eq!(leaf.names(CertificateNames::Email), ["james@example.com"]);
    assert_eq!(leaf.names(CertificateNames::Uri), ["spiffe://example.com/james"]);
}

#[test]
fn encodes_itself_by_rfc_9440_up_to_10_kib() {
    let (root, leaf) = james();
    assert!(leaf.rfc9440().starts_with(":MII") && leaf.rfc9440().ends_with(':'));
    assert_eq!(leaf.rfc9440(), leaf.field(CertificateField::Rfc9440));
    assert!(!leaf.rfc9440_too_large());

    let large = root.leaf_with(|leaf| {
        leaf.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![0; 8000]));
    });
    assert_eq!(large.fault(), None);
    assert_eq!(large.rfc9440(), "");
    assert!(large.rfc9440_too_large());
}

#[test]
fn has_no_chain_because_tls_shows_none() {
    let (_, leaf) = james();
    assert_eq!(leaf.field(CertificateField::ChainRfc9440), "");
    assert!(!leaf.chain_rfc9440_too_large());
}

#[test]
fn takes_the_pem_that_openssl_writes() {
    let (_, leaf) = james();
    let text = pem("CERTIFICATE", leaf.der());
    assert_eq!(Certificate::from_pem(&text).sha256_hex(), leaf.sha256_hex());
    assert_eq!(Certificate::from_pem(&text.replace('\n', "\r\n")).sha256_hex(), leaf.sha256_hex());
}

#[test]
fn what_cannot_be_read_is_malformed() {
    let (_, leaf) = james();
    let cut = &leaf.der()[..leaf.der().len() - 1];
    let mut trailing = leaf.der().to_vec();
    trailing.push(0);
    let cases = [
        String::new(),
        "nonsense".to_owned(),
        "-----BEGIN CERTIFICATE-----\n".to_owned(),
        pem("CERTIFICATE", &[]),
        pem("CERTIFICATE", b"nonsense"),
        pem("CERTIFICATE", cut),
        pem("CERTIFICATE", &trailing),
        pem("PRIVATE KEY", leaf.der()),
    ];
    for text in cases {
        let certificate = Certificate::from_pem(&text);
        assert_eq!(certificate.fault(), Some(Reason::MtlsMalformed), "{text}");
        assert_denies(&Ca::root("devices").trust(), &certificate, Reason::MtlsMalformed);
        assert_eq!(certificate.field(CertificateField::SubjectDn), "");
        assert!(certificate.names(CertificateNames::Dns).is_empty());
    }
}

#[test]
fn what_is_larger_than_16_kib_is_malformed() {
    let root = Ca::root("devices");
    let sized = |bytes| {
        root.leaf_with(|leaf| {
            let oid = [1, 3, 6, 1, 4, 1, 99999, 2];
            leaf.custom_extensions.push(CustomExtension::from_oid_content(&oid, vec![0; bytes]));
        })
    };
    assert_passes(&root.trust(), &sized(MAX_DER_BYTES - 1000));
    assert_denies(&root.trust(), &sized(MAX_DER_BYTES), Reason::MtlsMalformed);
    assert_denies(&root.trust(), &sized(MAX_DER_BYTES * 4), Reason::MtlsMalformed);
}

#[test]
fn is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let (root, leaf) = james();
    shared(&leaf);
    shared(&root.trust());
}

#[test]
fn spells_names_as_openssl_does() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return;
    }
    let values = [
        DnValue::from("plain"),
        DnValue::from("a,b+c\"d\\e<f>g;h=i/j"),
        DnValue::from("#hash"),
        DnValue::from(" both ends "),
        DnValue::from(" "),
        DnValue::from("Zoë Ångström 東京"),
        DnValue::from("new\nline\u{7f}"),
        DnValue::BmpString("Grüße".try_into().unwrap()),
        DnValue::UniversalString("Grüße".try_into().unwrap()),
        DnValue::TeletexString("caffe".try_into().unwrap()),
        DnValue::Ia5String("user@example.com".try_into().unwrap()),
    ];
    let root = Ca::root("devices");
    for value in values {
        let key = KeyPair::generate().unwrap();
        let text = root.leaf_pem(&key, |leaf| {
            let mut name = DistinguishedName::new();
            name.push(DnType::CountryName, "US");
            name.push(DnType::from_oid(&[0, 9, 2342, 19_200_300, 100, 1, 25]), "example");
            name.push(DnType::from_oid(&[1, 2, 840, 113_549, 1, 9, 1]), value.clone());
            name.push(DnType::from_oid(&[1, 3, 6, 1, 4, 1, 99999, 3]), "unknown type");
            name.push(DnType::CommonName, value.clone());
            leaf.distinguished_name = name;
        });
        let leaf = Certificate::from_pem(&text);
        let openssl = |option: &str| {
            let mut child = Command::new("openssl")
                .args(["x509", "-noout", "-subject", "-nameopt", option])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
            let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            printed.strip_prefix("subject=").unwrap().trim_end_matches('\n').to_owned()
        };
        assert_eq!(leaf.field(CertificateField::SubjectDnRfc2253), openssl("RFC2253"), "{value:?}");
        // OpenSSL before 3 does not escape these two.
        if !text_of(&value).contains(['/', '+']) {
            assert_eq!(leaf.field(CertificateField::SubjectDnLegacy), openssl("compat"), "{value:?}");
        }
    }
}

fn text_of(value: &DnValue) -> &str {
    if let DnValue::Utf8String(text) = value { text } else { "" }
}

#[test]
fn a_value_cannot_pose_as_further_attributes() {
    let leaf = Ca::root("devices").leaf_with(|leaf| {
        leaf.distinguished_name = name(&[(DnType::CommonName, "x/CN=admin+OU=ops,O=a")]);
    });
    assert_eq!(leaf.field(CertificateField::SubjectDnLegacy), "/CN=x\\/CN=admin\\+OU=ops,O=a");
    assert_eq!(leaf.field(CertificateField::SubjectDnRfc2253), "CN=x/CN=admin\\+OU=ops\\,O=a");
}

#[test]
fn joins_the_attributes_of_a_multi_valued_name_with_plus() {
    let attribute =
        |kind: u8, value: &str| der(0x30, &[&der(0x06, &[&[0x55, 4, kind]]), &der(0x0c, &[value.as_bytes()])]);
    let both = der(0x31, &[&attribute(3, "client"), &attribute(11, "ops")]);
    let subject = der(0x30, &[&der(0x31, &[&attribute(6, "US")]), &both]);
    let (_, subject) = <x509_parser::x509::X509Name as x509_parser::prelude::FromDer<_>>::from_der(&subject).unwrap();
    assert_eq!(super::super::distinguished_name::rfc2253(&subject), "OU=ops+CN=client,C=US");
    assert_eq!(super::super::distinguished_name::legacy(&subject), "/C=US/CN=client+OU=ops");
}

fn ask_everything(certificate: &Certificate) {
    use CertificateField as Field;
    for field in [
        Field::IssuerDn,
        Field::SubjectDnLegacy,
        Field::Serial,
        Field::IssuerSerial,
        Field::FingerprintSha1,
        Field::NotBefore,
        Field::Ski,
        Field::Rfc9440,
    ] {
        let _ = certificate.field(field);
    }
    let _ = (certificate.names(CertificateNames::Usages).len(), certificate.rfc9440_too_large());
    let _ = all_headers().lines(certificate, std::iter::empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn garbage_text_never_panics(text in "\\PC{0,300}") {
        ask_everything(&Certificate::from_pem(&text));
    }

    #[test]
    fn garbage_in_pem_never_passes(der in proptest::collection::vec(any::<u8>(), 0..600)) {
        let certificate = Certificate::from_pem(&pem("CERTIFICATE", &der));
        ask_everything(&certificate);
        prop_assert!(certificate.fault().is_some());
    }
}

#[test]
fn damage_anywhere_never_panics_and_never_passes() {
    let (root, leaf) = james();
    let set = root.trust();
    for position in 0..leaf.der().len() {
        for change in [0x01, 0x80, 0xff] {
            let mut der = leaf.der().to_vec();
            der[position] ^= change;
            let damaged = Certificate::from_pem(&pem("CERTIFICATE", &der));
            ask_everything(&damaged);
            assert!(set.verify(&damaged, &Standings::default(), NOW).fault.is_some(), "byte {position} ^ {change:#x}");
        }
    }
}

#[test]
fn damaged_lists_and_authorities_never_panic() {
    let root = Ca::root("devices");
    let list = root.crl(&[&[1, 2, 3]]);
    let (_, list) = x509_parser::pem::parse_x509_pem(list.as_bytes()).unwrap();
    for position in 0..list.contents.len() {
        let mut der = list.contents.clone();
        der[position] ^= 0xff;
        assert!(!problems(&crls(root.authority(), &[&pem("X509 CRL", &der)])).is_empty(), "byte {position}");
    }
    for position in 0..root.der.len() {
        let mut der = root.der.clone();
        der[position] ^= 0xff;
        let mut authority = root.authority();
        authority.certificates = pem("CERTIFICATE", &der);
        let _ = problems(&authority);
    }
}
