use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

use super::{CertificatePattern, MAX_OPERATIONS, MAX_PARTNERS, MAX_PATTERNS, Partner, Partners, TokenPattern, Written};
use crate::mtls::{Certificate, CertificateField};
use crate::reason::Reason;

fn certificate(subject: &[(DnType, &str)], names: &[SanType]) -> Certificate {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    // From the most to the least significant, as they stand in a certificate.
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), DnValue::Utf8String((*value).to_owned()));
    }
    params.subject_alt_names = names.to_vec();
    let key = KeyPair::generate().unwrap();
    Certificate::from_pem(&params.self_signed(&key).unwrap().pem())
}

fn pump() -> Certificate {
    let names = [
        SanType::DnsName("pump.acme.example".try_into().unwrap()),
        SanType::URI("spiffe://acme.example/pump".try_into().unwrap()),
        SanType::Rfc822Name("ops@acme.example".try_into().unwrap()),
    ];
    certificate(&[(DnType::OrganizationName, "Acme"), (DnType::CommonName, "pump")], &names)
}

fn pattern() -> CertificatePattern {
    CertificatePattern::default()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn owner(name: &str, certificates: Vec<CertificatePattern>) -> Written {
    Written { name: name.into(), certificates, ..Written::default() }
}

fn told(written: &[Written]) -> Partners {
    let partners = Partners::default();
    partners.replace(written).unwrap();
    partners
}

fn of(partners: &Partners, certificate: &Certificate, authority: &str) -> Result<Option<String>, Reason> {
    partners.of_certificate(certificate, authority).map(|partner| partner.map(|partner| partner.name.to_string()))
}

fn refused(written: &[Written]) -> String {
    let partners = told(&[owner("before", vec![])]);
    let epoch = partners.epoch();
    let problem = partners.replace(written).unwrap_err();
    assert!(partners.named("before").is_some() && partners.epoch() == epoch);
    problem
}

#[test]
fn each_part_of_a_pattern_decides_whose_a_certificate_is() {
    let pump = pump();
    assert_eq!(pump.field(CertificateField::SubjectDnRfc2253), "CN=pump,O=Acme");
    let print = || text(pump.sha256_hex());
    let upper = || text(&pump.sha256_hex().to_uppercase());
    let fits = [
        CertificatePattern { fingerprint: print(), ..pattern() },
        CertificatePattern { fingerprint: upper(), ..pattern() },
        CertificatePattern { fingerprint: print(), subject: text("*,O=Acme"), ..pattern() },
        CertificatePattern { authority: text("devices"), ..pattern() },
        CertificatePattern { subject: text("CN=pump,O=Acme"), ..pattern() },
        CertificatePattern { subject: text("CN=*,O=Acme"), ..pattern() },
        CertificatePattern { subject: text("CN=*,O=Acme"), authority: text("devices"), ..pattern() },
        CertificatePattern { san: text("PUMP.acme.example"), ..pattern() },
        CertificatePattern { san: text("*.acme.example"), ..pattern() },
        CertificatePattern { san: text("spiffe://acme.example/*"), ..pattern() },
        CertificatePattern { san: text("ops@acme.example"), subject: text("CN=pump,O=Acme"), ..pattern() },
    ];
    for pattern in fits {
        let partners = told(&[owner("other", vec![]), owner("acme", vec![pattern.clone()])]);
        assert_eq!(of(&partners, &pump, "devices"), Ok(Some("acme".into())), "{pattern:?}");
    }
    let misses = [
        CertificatePattern { fingerprint: text(&"00".repeat(32)), ..pattern() },
        CertificatePattern { fingerprint: print(), subject: text("*,O=Other"), ..pattern() },
        CertificatePattern { fingerprint: print(), authority: text("others"), ..pattern() },
        CertificatePattern { authority: text("others"), ..pattern() },
        CertificatePattern { authority: text("device*"), ..pattern() },
        CertificatePattern { subject: text("CN=*"), ..pattern() },
        CertificatePattern { subject: text("CN=*,O=Acme"), authority: text("others"), ..pattern() },
        CertificatePattern { subject: text("CN=pump,O=Acme"), san: text("*.other.example"), ..pattern() },
        CertificatePattern { san: text("pump.acme.example"), authority: text("others"), ..pattern() },
        CertificatePattern { san: text("acme.example"), ..pattern() },
    ];
    for pattern in misses {
        assert_eq!(of(&told(&[owner("acme", vec![pattern.clone()])]), &pump, "devices"), Ok(None), "{pattern:?}");
    }
}

#[test]
fn a_name_of_one_kind_is_not_one_of_another() {
    let names = [SanType::URI("spiffe://evil.example/x.acme.example".try_into().unwrap())];
    let evil = certificate(&[(DnType::CommonName, "evil,O=Acme")], &names);
    assert_eq!(evil.field(CertificateField::SubjectDnRfc2253), r"CN=evil\,O=Acme");
    for pattern in [
        CertificatePattern { san: text("*.acme.example"), ..pattern() },
        CertificatePattern { san: text("spiffe://*.acme.example"), ..pattern() },
        CertificatePattern { subject: text("CN=*,O=Acme"), ..pattern() },
        CertificatePattern { subject: text("*,O=Acme"), ..pattern() },
    ] {
        assert_eq!(of(&told(&[owner("acme", vec![pattern.clone()])]), &evil, "devices"), Ok(None), "{pattern:?}");
    }
}

#[test]
fn a_certificate_of_several_partners_is_nobodys() {
    let pump = pump();
    let acme = owner("acme", vec![CertificatePattern { subject: text("CN=*,O=Acme"), ..pattern() }]);
    let other = owner("other", vec![CertificatePattern { san: text("*.acme.example"), ..pattern() }]);
    let printed = owner("third", vec![CertificatePattern { fingerprint: text(pump.sha256_hex()), ..pattern() }]);
    for both in [[acme.clone(), other.clone()], [acme, printed.clone()], [other, printed]] {
        assert_eq!(of(&told(&both), &pump, "devices"), Err(Reason::PartnersMismatch));
    }
    let twice = vec![
        CertificatePattern { subject: text("CN=*,O=Acme"), ..pattern() },
        CertificatePattern { fingerprint: text(pump.sha256_hex()), ..pattern() },
    ];
    assert_eq!(of(&told(&[owner("acme", twice)]), &pump, "devices"), Ok(Some("acme".into())));
}

#[test]
fn each_part_of_a_pattern_decides_whose_a_token_is() {
    let pattern = |parts: [&str; 3]| {
        let [configuration, claim, value] = parts.map(|part| (!part.is_empty()).then(|| part.to_owned()));
        Written { tokens: vec![TokenPattern { configuration, claim, value }], ..owner("acme", vec![]) }
    };
    let of = |written: &[Written]| {
        let texts = |claim: &str, tell: &mut dyn FnMut(&str)| match claim {
            "azp" => tell("acme-app"),
            "groups" => ["acme", "ops"].into_iter().for_each(tell),
            _ => {}
        };
        let found = super::Table::new(written).unwrap().of_token("customers", texts);
        found.map(|partner| partner.map(|partner| partner.name.to_string()))
    };
    for fits in [
        ["customers", "", ""],
        ["customers", "azp", "acme-app"],
        ["customers", "azp", ""],
        ["", "azp", "acme-app"],
        ["", "groups", "ops"],
        ["", "groups", ""],
    ] {
        assert_eq!(of(&[pattern(fits)]), Ok(Some("acme".into())), "{fits:?}");
        let other = Written { name: "other".into(), ..pattern(["", "groups", "acme"]) };
        assert_eq!(of(&[other, pattern(fits)]), Err(Reason::PartnersMismatch), "{fits:?}");
    }
    for misses in [
        ["others", "", ""],
        ["others", "azp", "acme-app"],
        ["customers", "azp", "acme-app2"],
        ["", "azp", "acme-*"],
        ["", "sub", ""],
    ] {
        assert_eq!(of(&[pattern(misses)]), Ok(None), "{misses:?}");
    }
}

#[test]
fn what_cannot_be_read_or_is_too_much_leaves_those_before() {
    let print = || CertificatePattern { fingerprint: text(&"ab".repeat(32)), ..pattern() };
    let more = || CertificatePattern { authority: text("devices"), ..print() };
    for (first, second) in [(print(), print()), (print(), more()), (more(), print()), (more(), more())] {
        let problem = refused(&[owner("acme", vec![first]), owner("other", vec![second])]);
        assert!(
            problem.starts_with("[1] \"other\" certificates[0] names a certificate that is \"acme\"'s"),
            "{problem}"
        );
    }
    let token = |token| Written { tokens: vec![token], ..owner("acme", vec![]) };
    let empty = || Some(String::new());
    for (written, part) in [
        (owner("", vec![]), "empty name"),
        (owner("acme", vec![pattern()]), "would fit every certificate"),
        (owner("acme", vec![CertificatePattern { subject: empty(), ..pattern() }]), "empty"),
        (owner("acme", vec![CertificatePattern { san: Some("x".repeat(10_000)), ..pattern() }]), "longer than"),
        (owner("acme", vec![CertificatePattern { fingerprint: text("ab:cd"), ..pattern() }]), "SHA-256"),
        (token(TokenPattern::default()), "would fit every token"),
        (token(TokenPattern { value: text("x"), configuration: text("y"), ..TokenPattern::default() }), "no `claim`"),
        (Written { operations: vec!["x".into(); MAX_OPERATIONS + 1], ..owner("acme", vec![]) }, "operations"),
        (
            owner("acme", vec![CertificatePattern { authority: text("devices"), ..pattern() }; MAX_PATTERNS + 1]),
            "patterns",
        ),
    ] {
        let problem = refused(&[written]);
        assert!(problem.starts_with("[0] ") && problem.contains(part), "{problem}");
    }
    assert!(refused(&[owner("acme", vec![]), owner("acme", vec![])]).contains("is there twice"));
    let crowd: Vec<Written> = (0..=MAX_PARTNERS).map(|number| owner(&number.to_string(), vec![])).collect();
    assert!(refused(&crowd).contains("more than 10000 partners"));
    let stars = |number| vec![CertificatePattern { subject: Some(format!("CN=*,O={number}")), ..pattern() }; 100];
    let walked: Vec<Written> = (0..201).map(|number| owner(&number.to_string(), stars(number))).collect();
    assert!(refused(&walked).contains("patterns with `*`"));
}

#[test]
fn lone_fingerprints_are_no_patterns_that_are_walked() {
    let print = |number| CertificatePattern { fingerprint: Some(format!("{number:064x}")), ..pattern() };
    let mut certificates: Vec<_> = (0..50_000).map(print).collect();
    let pump = pump();
    certificates.push(CertificatePattern { fingerprint: text(pump.sha256_hex()), ..pattern() });
    assert_eq!(of(&told(&[owner("acme", certificates)]), &pump, ""), Ok(Some("acme".into())));
}

#[test]
fn a_text_that_is_no_pattern_fits_nothing_and_harms_nobody() {
    for pattern in [
        CertificatePattern { subject: text("pump"), ..pattern() },
        CertificatePattern { subject: text(r"CN=pump\"), ..pattern() },
        CertificatePattern { subject: text(",,+="), ..pattern() },
        CertificatePattern { san: text("**@**@"), ..pattern() },
        CertificatePattern { san: text(":"), ..pattern() },
    ] {
        let other = CertificatePattern { authority: text("devices"), ..super::CertificatePattern::default() };
        let partners = told(&[owner("acme", vec![pattern]), owner("other", vec![other])]);
        assert_eq!(of(&partners, &pump(), "devices"), Ok(Some("other".into())));
    }
}

#[test]
fn a_partner_is_let_in_until_it_is_suspended_or_expires() {
    let partner = |written| Partner::new(&written).unwrap();
    assert_eq!(partner(owner("acme", vec![])).admits(u64::MAX), Ok(()));
    let expiring = partner(Written { expires_at: Some(1_000), ..owner("acme", vec![]) });
    assert_eq!([expiring.admits(999), expiring.admits(1_000)], [Ok(()), Err(Reason::PartnersExpired)]);
    let suspended = partner(Written { suspended: true, expires_at: Some(1_000), ..owner("acme", vec![]) });
    assert_eq!([suspended.admits(0), suspended.admits(1_000)], [Err(Reason::PartnersSuspended); 2]);
}

#[test]
fn a_partner_calls_what_its_list_names_and_with_none_everything() {
    let partner = |operations: &[&str]| {
        let operations = operations.iter().map(|&operation| operation.to_owned()).collect();
        Partner::new(&Written { operations, ..owner("acme", vec![]) }).unwrap()
    };
    assert!(partner(&[]).may_call("api.example.com", None));
    let listed =
        partner(&["listOrders", "two words", "GET /items/{id}", "API.example.com PUT /orders", "*.eu.example POST /x"]);
    for (host, operation) in [
        ("api.example.com", "listOrders"),
        ("other.example.com", "two words"),
        ("other.example.com", "GET /items/{id}"),
        ("api.example.com", "PUT /orders"),
        ("a.eu.example", "POST /x"),
    ] {
        assert!(listed.may_call(host, Some(operation)), "{host} {operation}");
    }
    for (host, operation) in [
        ("api.example.com", None),
        ("api.example.com", Some("listorders")),
        ("api.example.com", Some("GET /items/{other}")),
        ("other.example.com", Some("PUT /orders")),
        ("a.b.eu.example", Some("POST /x")),
        ("api.example.com", Some("API.example.com PUT /orders")),
        ("api.example.com", Some("")),
    ] {
        assert!(!listed.may_call(host, operation), "{host} {operation:?}");
    }
}

#[test]
fn a_key_of_a_partner_that_does_not_exist_is_refused() {
    let partners = told(&[owner("acme", vec![])]);
    assert_eq!(partners.of_key("acme").unwrap().name.as_ref(), "acme");
    assert_eq!(partners.of_key("other").err(), Some(Reason::PartnersUnknown));
    partners.replace(&[]).unwrap();
    assert!(partners.is_empty());
    assert_eq!(partners.of_key("acme").err(), Some(Reason::PartnersUnknown));
}

#[test]
fn who_sees_a_new_epoch_finds_the_new_table() {
    let partners = Arc::new(Partners::default());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let epoch = partners.epoch();
                let found = (epoch..epoch + 1_000).any(|name| partners.named(&name.to_string()).is_some());
                assert!(found || epoch == 0 || partners.epoch() > epoch);
            }
        });
        for number in 1..500 {
            let epoch = partners.epoch();
            partners.replace(&[owner(&number.to_string(), vec![])]).unwrap();
            assert_eq!((partners.epoch(), partners.is_empty()), (epoch + 1, false));
        }
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
}
