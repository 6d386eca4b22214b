//! Name constraints of every kind (RFC 5280, 4.2.1.10).
//!
//! webpki reads those of DNS names and addresses. Of mail addresses, URIs and directory names it only knows whether there
//! are any: such a name under such a constraint is denied, whatever they say.

use std::net::IpAddr;

use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType};

use super::*;

const MALFORMED: Want = Want::Denies(Reason::MtlsMalformed);
const CONSTRAINTS: Want = Want::Denies(Reason::MtlsConstraints);

/// A GeneralName by its tag.
fn subtree(tag: u8, value: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(tag, &[value])])
}

fn constrained(permitted: Option<&[u8]>, excluded: Option<&[u8]>) -> impl FnOnce(&mut CertificateParams) {
    let permitted = permitted.map(|subtrees| der(0xa0, &[subtrees])).unwrap_or_default();
    let excluded = excluded.map(|subtrees| der(0xa1, &[subtrees])).unwrap_or_default();
    raw(der(0x30, &[&permitted, &excluded]))
}

fn raw(content: Vec<u8>) -> impl FnOnce(&mut CertificateParams) {
    move |ca| {
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], content);
        extension.set_criticality(true);
        ca.custom_extensions.push(extension);
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn mail(address: &str) -> SanType {
    SanType::Rfc822Name(address.try_into().unwrap())
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse::<IpAddr>().unwrap())
}

const DNS: u8 = 0x82;
const MAIL: u8 = 0x81;
const URI: u8 = 0x86;
const IP: u8 = 0x87;
const DIRECTORY: u8 = 0xa4;

pub fn cases() -> Vec<Case> {
    let (permitted, excluded) =
        (|tag, value: &[u8]| (Some(subtree(tag, value)), None), |tag, value: &[u8]| (None, Some(subtree(tag, value))));
    let ten: &[u8] = &[10, 0, 0, 0, 255, 0, 0, 0];
    let documentation: Vec<u8> = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 12], &[255; 4], &[0; 12]].concat();
    let only = |(permitted, excluded): (Option<Vec<u8>>, Option<Vec<u8>>), names: Vec<SanType>, want| {
        (permitted, excluded, names, want)
    };
    let table = [
        ("a permitted DNS name", only(permitted(DNS, b"example.com"), vec![dns("a.example.com")], Want::Passes)),
        ("the permitted DNS name itself", only(permitted(DNS, b"example.com"), vec![dns("example.com")], Want::Passes)),
        (
            "a DNS name that only ends alike",
            only(permitted(DNS, b"example.com"), vec![dns("badexample.com")], CONSTRAINTS),
        ),
        ("another DNS name", only(permitted(DNS, b"example.com"), vec![dns("a.example.org")], CONSTRAINTS)),
        (
            "a permitted DNS name and another",
            only(permitted(DNS, b"example.com"), vec![dns("a.example.com"), dns("b.example.org")], CONSTRAINTS),
        ),
        ("an excluded DNS name", only(excluded(DNS, b"example.com"), vec![dns("a.example.com")], CONSTRAINTS)),
        (
            "a DNS name that is not excluded",
            only(excluded(DNS, b"example.com"), vec![dns("a.example.org")], Want::Passes),
        ),
        (
            "an excluded DNS name in other letters",
            only(excluded(DNS, b"example.com"), vec![dns("A.EXAMPLE.COM")], CONSTRAINTS),
        ),
        ("every DNS name excluded", only(excluded(DNS, b""), vec![dns("a.example.com")], CONSTRAINTS)),
        (
            "permitted and excluded",
            (
                Some(subtree(DNS, b"example.com")),
                Some(subtree(DNS, b"internal.example.com")),
                vec![dns("a.internal.example.com")],
                CONSTRAINTS,
            ),
        ),
        ("no DNS name at all", only(permitted(DNS, b"example.com"), vec![], Want::Passes)),
        (
            "a DNS constraint and a mail address",
            only(permitted(DNS, b"example.com"), vec![mail("a@example.org")], Want::Passes),
        ),
        ("a permitted address", only(permitted(IP, ten), vec![ip("10.1.2.3")], Want::Passes)),
        ("another address", only(permitted(IP, ten), vec![ip("192.0.2.1")], CONSTRAINTS)),
        ("an IPv6 address under an IPv4 constraint", only(permitted(IP, ten), vec![ip("2001:db8::1")], CONSTRAINTS)),
        ("an excluded address", only(excluded(IP, ten), vec![ip("10.1.2.3")], CONSTRAINTS)),
        ("an address that is not excluded", only(excluded(IP, ten), vec![ip("192.0.2.1")], Want::Passes)),
        ("a permitted IPv6 address", only(permitted(IP, &documentation), vec![ip("2001:db8::1")], Want::Passes)),
        ("another IPv6 address", only(permitted(IP, &documentation), vec![ip("2001:db9::1")], CONSTRAINTS)),
        (
            "an address constraint with a ragged mask",
            only(permitted(IP, &[10, 0, 0, 0, 255, 0, 255, 0]), vec![ip("10.1.0.3")], CONSTRAINTS),
        ),
        (
            "an address constraint of five octets",
            only(permitted(IP, &[10, 0, 0, 0, 8]), vec![ip("10.1.2.3")], CONSTRAINTS),
        ),
        ("a permitted mail address", only(permitted(MAIL, b"example.com"), vec![mail("a@example.com")], CONSTRAINTS)),
        ("another mail address", only(permitted(MAIL, b"example.com"), vec![mail("a@example.org")], CONSTRAINTS)),
        ("an excluded mail address", only(excluded(MAIL, b"example.com"), vec![mail("a@example.com")], CONSTRAINTS)),
        (
            "a mail address that is not excluded",
            only(excluded(MAIL, b"example.com"), vec![mail("a@example.org")], CONSTRAINTS),
        ),
        (
            "a mail constraint and no mail address",
            only(permitted(MAIL, b"example.com"), vec![dns("a.example.org")], Want::Passes),
        ),
        ("a permitted URI", only(permitted(URI, b"example.com"), vec![uri("spiffe://example.com/a")], CONSTRAINTS)),
        ("another URI", only(permitted(URI, b"example.com"), vec![uri("spiffe://example.org/a")], CONSTRAINTS)),
        ("an excluded URI", only(excluded(URI, b"example.com"), vec![uri("spiffe://example.com/a")], CONSTRAINTS)),
        (
            "a URI that is not excluded",
            only(excluded(URI, b"example.com"), vec![uri("spiffe://example.org/a")], CONSTRAINTS),
        ),
        ("a URI constraint and no URI", only(permitted(URI, b"example.com"), vec![dns("a.example.org")], Want::Passes)),
        ("a permitted directory name", only(permitted(DIRECTORY, &common_name("client")), vec![], CONSTRAINTS)),
        ("another directory name", only(permitted(DIRECTORY, &common_name("other")), vec![], CONSTRAINTS)),
        ("an excluded directory name", only(excluded(DIRECTORY, &common_name("client")), vec![], CONSTRAINTS)),
        (
            "a directory name that is not excluded",
            only(excluded(DIRECTORY, &common_name("other")), vec![], CONSTRAINTS),
        ),
    ];
    let mut cases = Vec::new();
    let root = Ca::root("root");
    for (name, (permitted, excluded, names, want)) in table {
        let anchor = Ca::root_with("anchor", constrained(permitted.as_deref(), excluded.as_deref()));
        let issuing = root.sub_with("issuing", constrained(permitted.as_deref(), excluded.as_deref()));
        let leaf =
            |ca: &Ca| ca.leaf_pem(&KeyPair::generate().unwrap(), |leaf| leaf.subject_alt_names.clone_from(&names));
        cases.push(direct(name, &anchor, leaf(&anchor), want));
        cases.push(below(below_an_intermediate(name), &root, &[&issuing], leaf(&issuing), want));
    }
    cases.extend(others());
    cases
}

/// The constraint stands in an intermediate instead of the anchor.
fn below_an_intermediate(name: &'static str) -> &'static str {
    Box::leak(format!("{name}, by an intermediate").into_boxed_str())
}

fn others() -> Vec<Case> {
    let by_mail = Ca::root_with("by mail", constrained(Some(&subtree(MAIL, b"example.com")), None));
    let by_dns = Ca::root_with("by dns", constrained(Some(&subtree(DNS, b"example.com")), None));
    let (shorter, mut looser) = (by_dns.sub("unconstrained"), Vec::new());
    looser.push(by_dns.sub_with("looser", constrained(Some(&subtree(DNS, b"example.org")), None)));
    let named = |ca: &Ca, name: &str| {
        ca.leaf_pem(&KeyPair::generate().unwrap(), |leaf| leaf.subject_alt_names = vec![dns(name)])
    };
    let mail_in_subject = |ca: &Ca| {
        ca.leaf_pem(&KeyPair::generate().unwrap(), |leaf| {
            leaf.distinguished_name.push(
                DnType::from_oid(&[1, 2, 840, 113_549, 1, 9, 1]),
                DnValue::Ia5String("a@example.org".try_into().unwrap()),
            );
        })
    };
    let host_in_subject = by_dns.leaf_pem(&KeyPair::generate().unwrap(), |leaf| {
        leaf.distinguished_name.push(DnType::CommonName, "a.example.org");
    });
    let with_minimum = der(0x30, &[&der(0xa0, &[&der(0x30, &[&der(DNS, &[b"example.com"]), &[0x80, 1, 1]])])]);
    let minimum = Ca::root_with("minimum", raw(with_minimum));
    let garbage = Ca::root_with("garbage", raw(vec![0x30, 5, 1, 2]));
    vec![
        below(
            "a constraint of the anchor over an intermediate without",
            &by_dns,
            &[&shorter],
            named(&shorter, "a.example.org"),
            CONSTRAINTS,
        ),
        below(
            "an intermediate cannot loosen its anchor's constraint",
            &by_dns,
            &[&looser[0]],
            named(&looser[0], "a.example.org"),
            CONSTRAINTS,
        ),
        direct(
            "a mail address in the subject under a mail constraint",
            &by_mail,
            mail_in_subject(&by_mail),
            CONSTRAINTS,
        ),
        direct("a mail address in the subject under a DNS constraint", &by_dns, mail_in_subject(&by_dns), Want::Passes),
        direct("a host's name in the subject under a DNS constraint", &by_dns, host_in_subject, Want::Passes),
        direct("a constraint with a minimum", &minimum, named(&minimum, "a.example.com"), MALFORMED),
        direct(
            "constraints that cannot be read",
            &garbage,
            named(&garbage, "a.example.com"),
            Want::Refuses("not valid DER"),
        ),
    ]
}
