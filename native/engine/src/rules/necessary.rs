//! What a request must have for a condition to hold: the index is built from it.
//!
//! A necessary condition is a list of alternatives, each a few facts that all must be there. It may admit too much,
//! for the rule itself is evaluated afterwards, but never too little. Texts are compared in lower case, so that
//! `lower(..)` and `wildcard` need no place of their own.

use crate::mtls::CertificateField;

use super::condition::{Condition, Number, Text, TextTest};
use super::request::{Source, TextField};
use super::set::{self, Prefix};
use super::wildcard::Wildcard;

/// Most alternatives of one rule; above it the more selective part of an `and` is kept, an `or` or set is not
/// indexed. Bounds the index to a few hundred entries for each rule.
pub(super) const MAX_ALTERNATIVES: usize = 256;

/// Facts that must all be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub host: Option<Box<[u8]>>,
    pub method: Option<Box<[u8]>>,
    pub path: Option<Path>,
    pub address: Option<Prefix>,
    pub certificate: Option<(CertificateField, Box<[u8]>)>,
    /// A header of that name.
    pub header: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    Whole(Box<[u8]>),
    Prefix(Box<[u8]>),
}

/// None: nothing is known to be needed. An empty list: it never holds.
pub(super) fn alternatives(condition: &Condition) -> Option<Vec<Facts>> {
    match condition {
        Condition::Constant(false) => Some(Vec::new()),
        Condition::Constant(true)
        | Condition::Certificate(_)
        | Condition::Finding(_)
        | Condition::Token(_)
        | Condition::Same(_, _)
        | Condition::Among(_, _)
        | Condition::Not(_) => None,
        Condition::And(all) => all.iter().filter_map(alternatives).reduce(both),
        // An odd number of true parts is at least one.
        Condition::Or(any) | Condition::Xor(any) => {
            let mut found = Vec::new();
            for part in any {
                found.extend(alternatives(part)?);
            }
            (found.len() <= MAX_ALTERNATIVES).then_some(found)
        }
        Condition::Address(set) => {
            let prefixes = set::prefixes(set, MAX_ALTERNATIVES)?;
            Some(prefixes.into_iter().map(|prefix| Facts { address: Some(prefix), ..Facts::default() }).collect())
        }
        Condition::Text(text, test) => compared(text, test),
        Condition::Wildcard(text, wildcard) => like(text, wildcard),
        Condition::StartsWith(text, Text::Literal(start)) => match field(text) {
            Some(field @ (TextField::Path | TextField::Uri)) => Some(vec![path(field, start, false)]),
            _ => present(text),
        },
        Condition::StartsWith(text, _) | Condition::EndsWith(text, _) => present(text),
        Condition::Quantified { source, every: false, .. } | Condition::At { source, .. } => needs(source),
        Condition::Quantified { every: true, .. } => None,
        Condition::Number(number, _) => match number {
            Number::Field(_) | Number::Body(_) => None,
            Number::Length(text) | Number::Of(text) => present(text),
            Number::Count(source) | Number::At { source, .. } => needs(source),
        },
    }
}

fn compared(text: &Text, test: &TextTest) -> Option<Vec<Facts>> {
    match (field(text), test) {
        (Some(field), TextTest::Equal(literal)) => Some(vec![equal(field, literal)?]),
        (Some(field), TextTest::In(set)) if set.len() <= MAX_ALTERNATIVES => {
            set.items().map(|item| equal(field, item)).collect()
        }
        (_, TextTest::Wildcard(wildcard)) => like(text, wildcard),
        (Some(_), _) => None,
        (None, _) => present(text),
    }
}

fn like(text: &Text, wildcard: &Wildcard) -> Option<Vec<Facts>> {
    match (field(text), wildcard.prefix()) {
        (Some(field), (literal, true)) => Some(vec![equal(field, literal)?]),
        (Some(field @ (TextField::Path | TextField::Uri)), (prefix, false)) if !prefix.is_empty() => {
            Some(vec![path(field, prefix, false)])
        }
        (Some(_), _) => None,
        (None, _) => present(text),
    }
}

/// The field that the text is, whatever its case.
fn field(text: &Text) -> Option<TextField> {
    match text {
        Text::Field(field) => Some(*field),
        Text::Lower(of) | Text::Upper(of) => field(of),
        _ => None,
    }
}

fn equal(field: TextField, literal: &[u8]) -> Option<Facts> {
    let lower = || literal.to_ascii_lowercase().into_boxed_slice();
    let facts = Facts::default();
    Some(match field {
        TextField::Host => Facts { host: Some(lower()), ..facts },
        TextField::Method => Facts { method: Some(lower()), ..facts },
        TextField::Path | TextField::Uri => path(field, literal, true),
        TextField::Certificate(field) => Facts { certificate: Some((field, lower())), ..facts },
        TextField::UserAgent if !literal.is_empty() => Facts { header: Some("user-agent".into()), ..facts },
        TextField::Referer if !literal.is_empty() => Facts { header: Some("referer".into()), ..facts },
        TextField::Cookie if !literal.is_empty() => Facts { header: Some("cookie".into()), ..facts },
        TextField::Query
        | TextField::UserAgent
        | TextField::Referer
        | TextField::Version
        | TextField::Ja4
        | TextField::Cookie
        | TextField::VerifyError
        | TextField::Authority
        | TextField::Partner
        | TextField::Key
        | TextField::Session
        | TextField::Operation
        | TextField::Service
        | TextField::Procedure
        | TextField::Country => return None,
    })
}

/// A URI that starts with `/a?b` has the path `/a`; without a question mark the path itself starts so.
fn path(field: TextField, literal: &[u8], whole: bool) -> Facts {
    let lower = literal.to_ascii_lowercase();
    let question = lower.iter().position(|&byte| byte == b'?').filter(|_| field == TextField::Uri);
    let path = match question {
        Some(at) => Path::Whole(lower[..at].into()),
        None if whole => Path::Whole(lower.into()),
        None => Path::Prefix(lower.into()),
    };
    Facts { path: Some(path), ..Facts::default() }
}

/// A text that is missing without some header.
fn present(text: &Text) -> Option<Vec<Facts>> {
    match text {
        Text::At { source, .. } => needs(source),
        Text::Lower(of) | Text::Upper(of) | Text::UrlDecode { of, .. } => present(of),
        Text::Field(_) | Text::Body(_) | Text::Parameter(_) | Text::Literal(_) | Text::Element | Text::Concat(_) => {
            None
        }
    }
}

fn needs(source: &Source) -> Option<Vec<Facts>> {
    let header = match source {
        Source::Header(name) => name.clone(),
        Source::Cookie(_) => "cookie".into(),
        Source::Argument(_)
        | Source::Array(_)
        | Source::Claim(_)
        | Source::ClaimOf(..)
        | Source::ResponseHeader(_)
        | Source::Body(_)
        | Source::Message(_) => return None,
    };
    Some(vec![Facts { header: Some(header), ..Facts::default() }])
}

/// Both lists are needed: every pair, or, where these are too many, the shorter list.
fn both(left: Vec<Facts>, right: Vec<Facts>) -> Vec<Facts> {
    if left.len() * right.len() > MAX_ALTERNATIVES {
        return if left.len() <= right.len() { left } else { right };
    }
    left.iter().flat_map(|a| right.iter().map(|b| merged(a, b))).collect()
}

fn merged(a: &Facts, b: &Facts) -> Facts {
    let narrower = |a: &Prefix, b: &Prefix| if a.length >= b.length { *a } else { *b };
    Facts {
        host: a.host.clone().or_else(|| b.host.clone()),
        method: a.method.clone().or_else(|| b.method.clone()),
        path: match (&a.path, &b.path) {
            (Some(Path::Prefix(short)), Some(other @ Path::Prefix(long))) if long.len() > short.len() => {
                Some(other.clone())
            }
            (Some(Path::Prefix(_)), Some(whole @ Path::Whole(_))) => Some(whole.clone()),
            (Some(path), _) => Some(path.clone()),
            (None, path) => path.clone(),
        },
        address: match (&a.address, &b.address) {
            (Some(a), Some(b)) => Some(narrower(a, b)),
            (a, b) => a.or(*b),
        },
        certificate: a.certificate.clone().or_else(|| b.certificate.clone()),
        header: a.header.clone().or_else(|| b.header.clone()),
    }
}
