//! Patterns of subjects (RFC 2253), held against a subject name by name.
//!
//! A star ends where its name's value ends: a subject is a list, and a value may hold whatever its owner could talk an
//! authority into, commas included. `CN=*,O=Acme` over the bare text would fit a client called `x,O=Acme`, which is
//! written `CN=x\,O=Acme`. So both sides are taken apart first, by the commas and plus signs that are not escaped, and
//! compared as the bytes that their escapes stand for. Only a star that stands alone between two commas stands for
//! names: any number of them.
//!
//! Every text is a pattern; one that makes no sense fits nothing.

use crate::wildcard::Wildcard;

/// Most names of a subject, and most attributes of one name: RFC 5280 knows some dozens. A subject with more fits nothing.
const MAX_NAMES: usize = 64;

/// A pattern of whole subjects.
#[derive(Debug)]
pub(super) struct SubjectPattern(Box<[Part]>);

#[derive(Debug)]
enum Part {
    /// Any number of names.
    Any,
    /// One name; its attributes in the order in which certificates show them.
    Name(Box<[AttributePattern]>),
}

#[derive(Debug)]
struct AttributePattern {
    kind: String,
    value: Wildcard,
    dumped: bool,
    any: bool,
}

/// A certificate's subject, taken apart.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject(Vec<Vec<Attribute>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Attribute {
    /// Lower-case: types are the same in any case (RFC 4512, 1.4).
    kind: String,
    value: Vec<u8>,
    /// The value is the hex of something that is no text (`#04...`).
    dumped: bool,
}

impl SubjectPattern {
    pub(super) fn new(text: &str) -> SubjectPattern {
        let names = names(text).into_iter().map(|name| match &*name {
            [alone] if alone.kind.is_empty() && *alone.value == [None] => Part::Any,
            _ => Part::Name(name.into_iter().map(AttributePattern::new).collect()),
        });
        SubjectPattern(names.collect())
    }

    /// The one subject that fits; None: there may be several.
    pub(super) fn exact(text: &str) -> Option<Subject> {
        let exact = |written: Written| {
            let value: Option<Vec<u8>> = written.value.into_iter().collect();
            Some(Attribute { kind: written.kind, value: value?, dumped: written.dumped })
        };
        let names = names(text).into_iter().map(|name| name.into_iter().map(exact).collect());
        names.collect::<Option<_>>().map(Subject)
    }

    pub(super) fn fits(&self, subject: &Subject) -> bool {
        let (parts, names) = (&self.0, &subject.0);
        let (mut part, mut name) = (0, 0);
        // Where the last star is, and how many names it stands for by now.
        let mut star: Option<(usize, usize)> = None;
        while name < names.len() {
            match parts.get(part) {
                Some(Part::Any) => {
                    star = Some((part, name));
                    part += 1;
                }
                Some(Part::Name(attributes)) if fit(attributes, &names[name]) => {
                    part += 1;
                    name += 1;
                }
                _ => {
                    let Some((at, upto)) = star else { return false };
                    star = Some((at, upto + 1));
                    part = at + 1;
                    name = upto + 1;
                }
            }
        }
        parts[part..].iter().all(|part| matches!(part, Part::Any))
    }
}

fn fit(patterns: &[AttributePattern], attributes: &[Attribute]) -> bool {
    patterns.len() == attributes.len()
        && patterns.iter().zip(attributes).all(|(pattern, attribute)| pattern.fits(attribute))
}

impl AttributePattern {
    fn new(Written { kind, value, dumped }: Written) -> AttributePattern {
        AttributePattern { any: value == [None], kind, value: Wildcard::of(value), dumped }
    }

    fn fits(&self, attribute: &Attribute) -> bool {
        // What is no text looks like text that begins with `#`: only a star alone stands for both.
        self.kind == attribute.kind
            && (self.any || self.dumped == attribute.dumped && self.value.matches(&attribute.value))
    }
}

impl Subject {
    /// As [`crate::mtls`] writes them. None: it has more names than any pattern is held against, or none at all.
    pub(super) fn read(text: &str) -> Option<Subject> {
        let literal = |name: Written| Attribute {
            kind: name.kind,
            value: name.value.into_iter().map(|byte| byte.unwrap_or(b'*')).collect(),
            dumped: name.dumped,
        };
        let names: Vec<Vec<Attribute>> =
            names(text).into_iter().map(|name| name.into_iter().map(literal).collect()).collect();
        let most = names.iter().map(Vec::len).max().unwrap_or_default().max(names.len());
        (!text.is_empty() && most <= MAX_NAMES).then_some(Subject(names))
    }
}

/// One attribute as it is written: None is a star that is not escaped.
struct Written {
    /// Empty: there is no `=`.
    kind: String,
    value: Vec<Option<u8>>,
    dumped: bool,
}

/// What stands between commas, each with what stands between its plus signs.
fn names(text: &str) -> Vec<Vec<Written>> {
    split(text, b',').into_iter().map(|name| split(name, b'+').into_iter().map(attribute).collect()).collect()
}

/// At a separator that no backslash stands before.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        if byte == separator && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// Spaces around a type or a value count only when they are escaped.
fn attribute(text: &str) -> Written {
    let (kind, value) = text.split_once('=').unwrap_or(("", text));
    let value = value.trim_start_matches(' ');
    let dumped = value.starts_with('#');
    let (mut bytes, mut parts, mut kept) = (value.bytes().peekable(), Vec::new(), 0);
    while let Some(byte) = bytes.next() {
        let part = match byte {
            b'*' => None,
            b'\\' => Some(unescaped(&mut bytes)),
            _ => Some(byte),
        };
        parts.push(part);
        if byte != b' ' {
            kept = parts.len();
        }
    }
    parts.truncate(kept);
    Written { kind: kind.trim_matches(' ').to_ascii_lowercase(), value: parts, dumped }
}

/// What stands behind a backslash: two hex digits, or the character itself (RFC 2253, 3). At the end, the backslash.
fn unescaped(bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>) -> u8 {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let Some(first) = bytes.next() else { return b'\\' };
    match (digit(first), bytes.peek().copied().and_then(digit)) {
        (Some(high), Some(low)) => {
            bytes.next();
            high << 4 | low
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::{Subject, SubjectPattern};

    fn fits(pattern: &str, subject: &str) -> bool {
        let fits = Subject::read(subject).is_some_and(|subject| SubjectPattern::new(pattern).fits(&subject));
        if let Some(exact) = SubjectPattern::exact(pattern) {
            assert_eq!(Subject::read(subject).is_some_and(|subject| subject == exact), fits, "{pattern} {subject}");
        }
        fits
    }

    #[test]
    fn patterns_and_the_subjects_that_fit_them() {
        for (pattern, subject) in [
            ("CN=pump", "CN=pump"),
            ("CN=*", "CN=pump"),
            ("CN=*,O=Acme", "CN=pump,O=Acme"),
            ("CN=*,O=Acme", r"CN=pump\, the second,O=Acme"),
            ("cn=pump-*, o=Acme", "CN=pump-7,O=Acme"),
            ("*,O=Acme", "CN=pump,OU=Berlin,O=Acme"),
            ("*,O=Acme", "O=Acme"),
            ("CN=*,*,O=Acme,C=DE", "CN=pump,OU=a,OU=b,O=Acme,C=DE"),
            ("CN=pump,*", "CN=pump,O=Acme,C=DE"),
            ("*,OU=b,*", "CN=pump,OU=a,OU=b,O=Acme"),
            ("CN=*+UID=7,O=Acme", "CN=pump+UID=7,O=Acme"),
            ("O=Café", r"O=Caf\C3\A9"),
            (r"O=Acme\2C Inc", r"O=Acme\, Inc"),
            (r"CN=a\*b", "CN=a*b"),
            ("CN=a*b", "CN=a*b"),
            ("CN=*", "CN=#04024869"),
            ("CN=#04024869", "CN=#04024869"),
            ("CN=a*c*e", "CN=abcde"),
            ("2.5.4.99=x", "2.5.4.99=x"),
        ] {
            assert!(fits(pattern, subject), "{pattern} has to fit {subject}");
        }
    }

    #[test]
    fn patterns_and_the_subjects_that_do_not_fit_them() {
        for (pattern, subject) in [
            ("CN=pump", "CN=pump2"),
            ("CN=pump", "cn=Pump"),
            ("CN=*", "CN=pump,O=Acme"),
            ("CN=*", "O=Acme,CN=pump"),
            ("CN=*,O=Acme", "CN=pump,OU=Berlin,O=Acme"),
            ("CN=*,O=Acme", r"CN=x\,O=Acme"),
            ("CN=*,O=Acme", r"CN=x\\\,O=Acme"),
            ("CN=*,O=Acme", r"CN=x\+O=Acme"),
            ("CN=*,O=Acme", "CN=x+O=Acme"),
            ("CN=*,O=Acme", "CN=pump,O=Acme,O=Other"),
            ("*,O=Acme", r"CN=x\,O=Acme"),
            ("*,O=Acme", "CN=pump,O=Acme Inc"),
            ("*O=Acme", "CN=pump,O=Acme"),
            ("CN=*", "CN=pump+UID=7"),
            ("CN=*+UID=7", "UID=7+CN=pump"),
            ("CN=*,O=Acme", "UID=pump,O=Acme"),
            (r"CN=a\*b", "CN=axb"),
            ("CN=*69", "CN=#04024869"),
            (r"CN=\#04024869", "CN=#04024869"),
            ("CN=#04024869", r"CN=\#04024869"),
            ("pump", "CN=pump"),
            ("", "CN=pump"),
            ("=pump", "CN=pump"),
            ("*", ""),
            ("", ""),
        ] {
            assert!(!fits(pattern, subject), "{pattern} has not to fit {subject}");
        }
    }

    #[test]
    fn a_subject_of_endless_names_fits_nothing() {
        assert!(!fits("*,O=Acme", &format!("{}O=Acme", "CN=x,".repeat(64))));
        assert!(!fits("CN=*", &vec!["CN=x"; 65].join("+")));
    }
}
