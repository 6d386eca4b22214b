//! Facts about what origins are told of a certificate.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rcgen::{DnType, KeyPair, SanType, SerialNumber, string::Ia5String};

use super::certificates::name;
use super::pki::*;
use crate::mtls::{Certificate, CertificateField, Forwarding, Standings, TrustSet};
use crate::policy::CertificateHeader as Header;

const ALL: [Header; 6] =
    [Header::Rfc9440, Header::Chain, Header::Xfcc, Header::Nginx, Header::Cloudflare, Header::Sha256];

pub fn all_headers() -> Forwarding {
    Forwarding::new(&ALL, &["spiffe://example.com/gateway".to_owned()])
}

/// Name and value of each line; a line that is not exactly one field with a clean value is a failure.
fn fields(lines: &str) -> Vec<(&str, &str)> {
    let mut fields = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let (line, after) = rest.split_once("\r\n").expect("a line without its end");
        let (name, value) = line.split_once(": ").expect("a line without a colon");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{name}");
        assert!(!value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value:?}");
        fields.push((name, value));
        rest = after;
    }
    fields
}

fn value<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    let mut values = fields(lines).into_iter().filter(|(found, _)| *found == name);
    let value = values.next().map(|(_, value)| value);
    assert_eq!(values.next(), None, "{name} twice");
    value
}

/// As an Envoy-minded origin reads it: elements by comma, pairs by semicolon, both outside quotes.
fn pairs(value: &str) -> Vec<(String, String)> {
    let (mut pairs, mut key, mut text) = (Vec::new(), None, String::new());
    let (mut quoted, mut escaped) = (false, false);
    for character in value.chars() {
        match character {
            _ if escaped => {
                text.push(character);
                escaped = false;
            }
            '\\' if quoted => {
                text.push(character);
                escaped = true;
            }
            '"' => quoted = !quoted,
            '=' if !quoted && key.is_none() => key = Some(std::mem::take(&mut text)),
            ';' if !quoted => pairs.push((key.take().unwrap(), std::mem::take(&mut text))),
            ',' if !quoted => panic!("a second element: {value}"),
            _ => text.push(character),
        }
    }
    assert!(!quoted && !escaped, "the quote is open: {value}");
    pairs.push((key.unwrap(), text));
    pairs
}

fn keys(value: &str) -> Vec<String> {
    pairs(value).into_iter().map(|(key, _)| key).collect()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn no_chain() -> std::iter::Empty<&'static [u8]> {
    std::iter::empty()
}

#[test]
fn the_chain_is_the_verified_paths_intermediates_without_the_anchor() {
    let root = Ca::root("house");
    let upper = root.sub("upper");
    let lower = upper.sub("lower");
    let other = root.sub("other");
    let mut authority = root.authority();
    authority.intermediates = format!("{}{}{}", other.pem, upper.pem, lower.pem);
    let set = trust(&authority);
    let leaf = lower.leaf();
    let verdict = set.verify(&leaf, &Standings::default(), NOW);
    assert_eq!(verdict.fault, None);
    let chain: Vec<&[u8]> = set.chain(&verdict, &leaf).collect();
    assert_eq!(chain, [&lower.der[..], &upper.der[..]]);
    let lines = all_headers().lines(&leaf, chain.iter().copied());
    let expected = format!(":{}:, :{}:", STANDARD.encode(&lower.der), STANDARD.encode(&upper.der));
    assert_eq!(value(&lines, "client-cert-chain"), Some(&*expected));
    let pairs = pairs(value(&lines, "x-forwarded-client-cert").unwrap());
    let chain = &pairs.iter().find(|(key, _)| key == "Chain").unwrap().1;
    assert_eq!(unescaped(chain), format!("{}{}{}", leaf.pem(), crlf_free(&lower.pem), crlf_free(&upper.pem)));
}

fn crlf_free(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}

#[test]
fn an_anchor_that_issues_itself_leaves_no_chain() {
    let root = Ca::root("devices");
    let set: TrustSet = root.trust();
    let leaf = root.leaf();
    let verdict = set.verify(&leaf, &Standings::default(), NOW);
    assert_eq!(set.chain(&verdict, &leaf).count(), 0);
    assert!(verdict.issuer_key.is_some());
    let lines = all_headers().lines(&leaf, set.chain(&verdict, &leaf));
    assert_eq!(value(&lines, "client-cert-chain"), None);
    let bad = Ca::root("others").leaf();
    let verdict = set.verify(&bad, &Standings::default(), NOW);
    assert_eq!((set.chain(&verdict, &leaf).count(), verdict.issuer_key), (0, None));
}

#[test]
fn envoys_header_has_its_keys_in_envoys_order() {
    let leaf = Ca::root("devices").leaf_with(|leaf| {
        leaf.distinguished_name = name(&[(DnType::OrganizationName, "Example, Inc."), (DnType::CommonName, "a\"b\\")]);
        leaf.subject_alt_names = vec![
            SanType::DnsName("one.example".try_into().unwrap()),
            SanType::URI("spiffe://example.com/a".try_into().unwrap()),
            SanType::URI("urn:b;By=spiffe://example.com/root".try_into().unwrap()),
            SanType::DnsName("two.example".try_into().unwrap()),
        ];
    });
    let lines = all_headers().lines(&leaf, no_chain());
    let value = value(&lines, "x-forwarded-client-cert").unwrap();
    let escaped = unescaped_pem(&leaf);
    assert_eq!(
        value,
        format!(
            "By=spiffe://example.com/gateway;Hash={};Cert=\"{escaped}\";Chain=\"{escaped}\";\
             Subject=\"CN=a\\\"b\\5C,O=Example\\, Inc.\";URI=spiffe://example.com/a;\
             URI=\"urn:b;By=spiffe://example.com/root\";DNS=one.example;DNS=two.example",
            leaf.sha256_hex()
        )
    );
    assert_eq!(keys(value), ["By", "Hash", "Cert", "Chain", "Subject", "URI", "URI", "DNS", "DNS"]);
}

fn unescaped_pem(leaf: &Certificate) -> String {
    let escapes = [('\n', "%0A"), (' ', "%20"), ('+', "%2B"), ('/', "%2F"), ('=', "%3D")];
    escapes.into_iter().fold(leaf.pem(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn nginxs_header_is_the_pem_with_all_but_unreserved_characters_escaped() {
    let leaf = Ca::root("devices").leaf();
    let lines = Forwarding::new(&[Header::Nginx], &[]).lines(&leaf, no_chain());
    let value = value(&lines, "x-ssl-client-cert").unwrap();
    assert!(
        value.starts_with("-----BEGIN%20CERTIFICATE-----%0AMI") && value.ends_with("-----END%20CERTIFICATE-----%0A")
    );
    assert_eq!(value, unescaped_pem(&leaf));
    assert_eq!(unescaped(value), leaf.pem());
}

#[test]
fn pem_is_what_openssl_writes() {
    let leaf = Ca::root("devices").leaf();
    let Ok(mut openssl) =
        Command::new("openssl").args(["x509", "-outform", "PEM"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    else {
        return;
    };
    std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), leaf.pem().as_bytes()).unwrap();
    assert_eq!(String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap(), leaf.pem());
}

#[test]
fn cloudflares_set_has_every_value_that_the_certificate_has() {
    let leaf = Ca::root("devices").leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc])));
    let forwarding = Forwarding::new(&[Header::Cloudflare], &[]);
    let lines = forwarding.lines(&leaf, no_chain());
    let names: Vec<&str> = fields(&lines).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "cf-cert-revoked",
            "cf-cert-verified",
            "cf-cert-presented",
            "cf-cert-issuer-dn",
            "cf-cert-subject-dn",
            "cf-cert-issuer-dn-rfc2253",
            "cf-cert-subject-dn-rfc2253",
            "cf-cert-issuer-dn-legacy",
            "cf-cert-subject-dn-legacy",
            "cf-cert-serial",
            "cf-cert-fingerprint-sha256",
            "cf-cert-fingerprint-sha1",
            "cf-cert-not-before",
            "cf-cert-not-after",
            "cf-cert-ski",
            "cf-cert-issuer-ski",
        ]
    );
    assert_eq!(value(&lines, "cf-cert-serial"), Some("0ABC"));
    assert_eq!(value(&lines, "cf-cert-verified"), Some("true"));
    for (presented, revoked) in [(false, false), (true, false), (true, true)] {
        let lines = forwarding.unverified(presented, revoked);
        assert_eq!(fields(lines).len(), 3);
        assert_eq!(value(lines, "cf-cert-verified"), Some("false"));
        assert_eq!(value(lines, "cf-cert-presented"), Some(if presented { "true" } else { "false" }));
        assert_eq!(value(lines, "cf-cert-revoked"), Some(if revoked { "true" } else { "false" }));
    }
    assert_eq!(Forwarding::new(&[Header::Rfc9440, Header::Xfcc], &[]).unverified(true, false), "");
}

#[test]
fn what_is_too_large_is_left_out_whole() {
    let large = Ca::root("devices").leaf_with(|leaf| {
        leaf.distinguished_name = name(&[(DnType::CommonName, &"n".repeat(5_000))]);
        leaf.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from("d".repeat(7_000)).unwrap())];
    });
    let lines = all_headers().lines(&large, no_chain());
    let names: Vec<&str> = fields(&lines).into_iter().map(|(name, _)| name).collect();
    for absent in ["client-cert", "x-forwarded-client-cert", "x-ssl-client-cert", "cf-cert-subject-dn"] {
        assert!(!names.contains(&absent), "{absent}");
    }
    for there in ["cf-cert-issuer-dn", "cf-client-cert-sha256"] {
        assert!(names.contains(&there), "{there}");
    }
    let intermediates = vec![large.der(); 4];
    let leaf = Ca::root("devices").leaf();
    assert_eq!(value(&all_headers().lines(&leaf, intermediates.into_iter()), "client-cert-chain"), None);
}

/// What could end a value, a line or an element, and what text is made of.
fn evil() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\0",
        "\r",
        "\n",
        "\r\n",
        ",",
        ";",
        "=",
        "\"",
        "\\",
        "\\\"",
        "\\\\",
        " ",
        "\t",
        "%",
        "+",
        "#",
        "<",
        "a",
        "\u{7f}",
        "x-injected: 1",
        ";URI=spiffe://root",
        "\",Hash=00",
    ]);
    prop::collection::vec(pieces, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_name_breaks_a_header_or_adds_to_one(
        subject in evil(), wide in "\\PC{0,12}", uri in evil(), dns in evil(), organisation in evil()
    ) {
        let leaf = Ca::root(&organisation).leaf_with(|leaf| {
            leaf.distinguished_name =
                name(&[(DnType::OrganizationName, &organisation), (DnType::CommonName, &format!("{subject}{wide}"))]);
            leaf.subject_alt_names = vec![
                SanType::URI(Ia5String::try_from(uri.clone()).unwrap()),
                SanType::DnsName(Ia5String::try_from(dns.clone()).unwrap()),
            ];
        });
        prop_assert_eq!(leaf.fault(), None);
        let lines = all_headers().lines(&leaf, no_chain());
        let names: Vec<&str> = fields(&lines).into_iter().map(|(name, _)| name).collect();
        prop_assert!(!names.contains(&"x-injected"));
        let xfcc = value(&lines, "x-forwarded-client-cert").unwrap();
        prop_assert_eq!(keys(xfcc), ["By", "Hash", "Cert", "Chain", "Subject", "URI", "DNS"]);
        // A reader that takes every backslash before a quote for an escape finds the same ends.
        prop_assert!(!xfcc.contains("\\\\"));
        prop_assert!(!xfcc.contains("\\\";") || leaf.field(CertificateField::SubjectDnRfc2253).contains('"')
            || uri.contains('"') || dns.contains('"'));
    }
}

#[test]
fn names_outside_ascii_are_escaped_bytes() {
    let key = KeyPair::generate().unwrap();
    let pem = Ca::root("devices").leaf_pem(&key, |leaf| {
        leaf.distinguished_name = name(&[(DnType::CommonName, "J\u{fc}rgen\n\0")]);
    });
    let leaf = Certificate::from_pem(&pem);
    let lines = all_headers().lines(&leaf, no_chain());
    assert_eq!(value(&lines, "cf-cert-subject-dn"), Some("CN=J\\C3\\BCrgen\\0A\\00"));
    let pairs = pairs(value(&lines, "x-forwarded-client-cert").unwrap());
    assert!(pairs.contains(&("Subject".into(), "CN=J\\C3\\BCrgen\\0A\\00".into())));
}
