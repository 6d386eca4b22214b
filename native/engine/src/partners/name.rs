//! Patterns of alternative names: DNS names, URIs and mail addresses, each held against its own kind.
//!
//! One with a `:` is of URIs, one with an `@` of mail addresses, any other of DNS names: otherwise `*.acme.example` would
//! fit `spiffe://evil.example/x.acme.example`. For the same reason no star stands for what ends a URI's scheme or
//! authority, or a mail address's local part.

use crate::wildcard::Wildcard;

#[derive(Debug)]
pub(super) enum NamePattern {
    /// Lower-case. A star stands for labels too.
    Dns(Wildcard),
    Mail {
        local: Wildcard,
        domain: Wildcard,
    },
    /// `scheme://authority` and what follows.
    Uri {
        scheme: Wildcard,
        authority: Wildcard,
        rest: Wildcard,
    },
    /// Without an authority: `urn:example:*`.
    Opaque(Wildcard),
}

/// The alternative names of a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) dns: &'a [String],
    pub(super) mail: &'a [String],
    pub(super) uris: &'a [String],
}

impl NamePattern {
    pub(super) fn new(text: &str) -> NamePattern {
        if text.contains(':') {
            return match hierarchical(text) {
                Some([scheme, authority, rest]) => {
                    NamePattern::Uri { scheme: pattern(scheme), authority: pattern(authority), rest: pattern(rest) }
                }
                None => NamePattern::Opaque(pattern(text)),
            };
        }
        match text.rsplit_once('@') {
            Some((local, domain)) => {
                NamePattern::Mail { local: pattern(local), domain: pattern(&domain.to_ascii_lowercase()) }
            }
            None => NamePattern::Dns(pattern(&text.to_ascii_lowercase())),
        }
    }

    /// The one name that fits, as [`Names::spelled`] has it; None: there may be several.
    pub(super) fn exact(text: &str) -> Option<String> {
        (!text.contains('*')).then(|| spelled(text))
    }

    pub(super) fn fits(&self, names: &Names<'_>) -> bool {
        match self {
            NamePattern::Dns(pattern) => {
                names.dns.iter().any(|name| pattern.matches(name.to_ascii_lowercase().as_bytes()))
            }
            NamePattern::Mail { local, domain } => names.mail.iter().any(|name| {
                name.rsplit_once('@').is_some_and(|(its_local, its_domain)| {
                    local.matches(its_local.as_bytes()) && domain.matches(its_domain.to_ascii_lowercase().as_bytes())
                })
            }),
            NamePattern::Uri { scheme, authority, rest } => {
                let patterns = [scheme, authority, rest];
                names
                    .uris
                    .iter()
                    .filter_map(|uri| hierarchical(uri))
                    .any(|parts| patterns.iter().zip(parts).all(|(pattern, part)| pattern.matches(part.as_bytes())))
            }
            NamePattern::Opaque(pattern) => {
                names.uris.iter().any(|uri| hierarchical(uri).is_none() && pattern.matches(uri.as_bytes()))
            }
        }
    }
}

impl<'a> Names<'a> {
    /// Each name as an exact pattern of its kind would be kept.
    pub(super) fn spelled(&self) -> impl Iterator<Item = String> + use<'a> {
        let (dns, mail, uris) = (self.dns.iter(), self.mail.iter(), self.uris.iter());
        // A name of one kind that looks like another's would be found under that one's.
        let dns = dns.filter(|name| !name.contains([':', '@']));
        let mail = mail.filter(|name| name.contains('@') && !name.contains(':'));
        let uris = uris.filter(|name| name.contains(':'));
        dns.chain(mail).chain(uris).map(|name| spelled(name))
    }
}

/// What is the same in any case is lower-case: DNS names, and the domain of a mail address.
fn spelled(name: &str) -> String {
    if name.contains(':') {
        return name.to_owned();
    }
    match name.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None => name.to_ascii_lowercase(),
    }
}

/// Scheme, authority and the rest of a URI (RFC 3986, 3); None: it has no authority.
fn hierarchical(uri: &str) -> Option<[&str; 3]> {
    let (scheme, behind) = uri.split_once(':')?;
    let behind = behind.strip_prefix("//")?;
    let (authority, rest) = behind.split_at(behind.find(['/', '?', '#']).unwrap_or(behind.len()));
    Some([scheme, authority, rest])
}

/// `*` stands for any characters; there is no escape, as no name has a star of its own.
fn pattern(text: &str) -> Wildcard {
    Wildcard::of(text.bytes().map(|byte| (byte != b'*').then_some(byte)))
}

#[cfg(test)]
mod tests {
    use super::{NamePattern, Names};

    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Dns,
        Mail,
        Uri,
    }
    use Kind::{Dns, Mail, Uri};

    fn fits(pattern: &str, kind: Kind, name: &str) -> bool {
        let of = |wanted| if kind == wanted { vec![name.to_owned()] } else { vec![] };
        let (dns, mail, uris) = (of(Dns), of(Mail), of(Uri));
        let names = Names { dns: &dns, mail: &mail, uris: &uris };
        let fits = NamePattern::new(pattern).fits(&names);
        if let Some(exact) = NamePattern::exact(pattern) {
            assert_eq!(names.spelled().any(|name| name == exact), fits, "{pattern} {name}");
        }
        fits
    }

    #[test]
    fn patterns_and_the_names_that_fit_them() {
        for (pattern, kind, name) in [
            ("pump.acme.example", Dns, "PUMP.acme.example"),
            ("*.acme.example", Dns, "pump.acme.example"),
            ("*.acme.example", Dns, "pump.berlin.acme.example"),
            ("*@acme.example", Mail, "ops@ACME.example"),
            ("ops@acme.example", Mail, "ops@acme.example"),
            ("spiffe://acme.example/*", Uri, "spiffe://acme.example/orders/pump"),
            ("spiffe://*.acme.example/pump", Uri, "spiffe://eu.acme.example/pump"),
            ("spiffe://acme.example/pump", Uri, "spiffe://acme.example/pump"),
            ("urn:acme:*", Uri, "urn:acme:pump:7"),
        ] {
            assert!(fits(pattern, kind, name), "{pattern} has to fit {name}");
        }
    }

    #[test]
    fn patterns_and_the_names_that_do_not_fit_them() {
        for (pattern, kind, name) in [
            ("*.acme.example", Dns, "acme.example"),
            ("*.acme.example", Dns, "pump.acme.example.evil"),
            ("*.acme.example", Uri, "spiffe://evil.example/pump.acme.example"),
            ("*.acme.example", Mail, "ops@pump.acme.example"),
            ("*", Uri, "spiffe://evil.example"),
            ("*", Mail, "ops@evil.example"),
            ("ops@acme.example", Mail, "Ops@acme.example"),
            ("*@acme.example", Mail, "ops@evil@acme.example.evil"),
            ("ops@*.acme.example", Mail, "ops@x@evil.acme.example.evil"),
            ("ops@*", Mail, "ops@evil@acme.example"),
            ("*@acme.example", Dns, "ops@acme.example"),
            ("spiffe://acme.example/*", Uri, "spiffe://acme.example"),
            ("spiffe://*.acme.example/pump", Uri, "spiffe://evil.example/x.acme.example/pump"),
            ("spiffe://*.acme.example/pump", Uri, "spiffe://evil.example#x.acme.example/pump"),
            ("*://acme.example/pump", Uri, "http://evil.example/?://acme.example/pump"),
            ("spiffe:*", Uri, "spiffe://evil.example/pump"),
            ("urn:acme:*", Uri, "urn://acme:x"),
            ("spiffe://acme.example/pump", Uri, "spiffe://acme.example/Pump"),
            ("", Dns, "pump.acme.example"),
        ] {
            assert!(!fits(pattern, kind, name), "{pattern} has not to fit {name}");
        }
    }
}
