//! What the expressions of limits want of a body: found once, by whoever has the body, on whatever thread.
//!
//! [`Wanted`] is of a snapshot: each value by its number. A [`Reading`] is what the head of one request says about its
//! body; [`Reading::read`] gives the values. A body that is not there, is not what its head says, or cannot be read with
//! one meaning, has none of them: such requests share one counter, and are limited by it.

use std::sync::Arc;

use super::decode::url_decode;
use super::graphql::{self, Size};
use crate::head::Head;
use crate::pairs::arguments;
use crate::schema::coding::{Coding, with_decoded};
use crate::schema::json::{Entry, Parsed, with_tape};
use crate::schema::media::{Charset, MediaType};

/// Most values of one name in a form: whoever sends more is told apart by those.
const MAX_VALUES: usize = 16;
/// Most bytes of a GraphQL document in a query: a head is shorter.
const QUERY: &[u8] = b"query";
/// Most operations of one request that are looked at together; servers that take more at once are rare.
const MAX_BATCH: u32 = 100;

/// A step into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(Box<str>),
    At(u32),
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    Text(Box<[Step]>),
    Integer(Box<[Step]>),
    /// Of a form, by its decoded name.
    Form(Box<[u8]>),
    Depth,
    Fields,
}

/// All values that the limits of a policy read.
#[derive(Debug, Default)]
pub struct Wanted {
    values: Vec<Want>,
}

/// What is to be read of one request's body.
#[derive(Debug, Clone)]
pub struct Reading {
    wanted: Arc<Wanted>,
    kind: Kind,
    coding: Coding,
    /// The GraphQL document of the query.
    document: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
    Graphql,
    Foreign,
}

/// What was read, by the numbers of what was wanted.
#[derive(Debug, Default)]
pub struct Read {
    found: Box<[Found]>,
}

#[derive(Debug, Default)]
enum Found {
    #[default]
    Missing,
    Number(i64),
    Texts(Vec<Box<[u8]>>),
}

impl Wanted {
    /// The number of a value.
    pub(super) fn number(&mut self, want: Want) -> usize {
        self.values.iter().position(|known| *known == want).unwrap_or_else(|| {
            self.values.push(want);
            self.values.len() - 1
        })
    }

    fn has(&self, wanted: impl Fn(&Want) -> bool) -> bool {
        self.values.iter().any(wanted)
    }
}

impl Reading {
    #[must_use]
    pub fn of(wanted: &Arc<Wanted>, head: &Head) -> Reading {
        let is_graphql = wanted.has(|want| matches!(want, Want::Depth | Want::Fields));
        let document = || {
            let (_, value) = arguments(head).find(|(name, _)| name.as_bytes() == QUERY)?;
            let mut text = value.as_bytes().to_vec();
            url_decode(&mut text, 0, false, false);
            String::from_utf8(text).ok()
        };
        let coding = Coding::named(head.values("content-encoding"));
        Reading {
            wanted: wanted.clone(),
            kind: if coding.is_some() { kind(head) } else { Kind::Foreign },
            coding: coding.unwrap_or(Coding::Identity),
            document: if is_graphql { document() } else { None },
        }
    }

    /// Reads the body; None: there is none, or too much of it.
    #[must_use]
    pub fn read(&self, body: Option<&[u8]>) -> Read {
        let mut found: Box<[Found]> = self.wanted.values.iter().map(|_| Found::Missing).collect();
        if let Some(document) = &self.document {
            self.sized(Some(graphql::size(document)), &mut found);
        }
        if let Some(body) = body.filter(|_| self.kind != Kind::Foreign) {
            // What cannot be decoded has no values.
            let _ = with_decoded(self.coding, body, |body| {
                self.decoded(body, &mut found);
                Ok(())
            });
        }
        Read { found }
    }

    fn decoded(&self, body: &[u8], found: &mut [Found]) {
        match self.kind {
            Kind::Json => with_tape(body, |parsed| {
                if let Ok(parsed) = parsed {
                    self.json(parsed, found);
                }
            }),
            Kind::Form => self.form(body, found),
            Kind::Graphql => self.sized(std::str::from_utf8(body).ok().map(graphql::size), found),
            Kind::Foreign => {}
        }
    }

    fn json(&self, parsed: Parsed<'_>, found: &mut [Found]) {
        for (want, found) in self.wanted.values.iter().zip(found.iter_mut()) {
            match want {
                Want::Text(steps) => {
                    let text = walk(parsed, steps).and_then(|at| parsed.string(at));
                    *found = text.map_or(Found::Missing, |text| Found::Texts(vec![text.as_bytes().into()]));
                }
                Want::Integer(steps) => {
                    let number = walk(parsed, steps).and_then(|at| integer(parsed, at));
                    *found = number.map_or(Found::Missing, Found::Number);
                }
                Want::Form(_) | Want::Depth | Want::Fields => {}
            }
        }
        if self.wanted.has(|want| matches!(want, Want::Depth | Want::Fields)) {
            self.sized(documents(parsed), found);
        }
    }

    fn form(&self, body: &[u8], found: &mut [Found]) {
        let mut decoded = Vec::new();
        for pair in body.split(|&byte| byte == b'&') {
            let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            let mut decode = |text: &[u8]| {
                decoded.clear();
                decoded.extend_from_slice(text);
                url_decode(&mut decoded, 0, false, false);
                Box::<[u8]>::from(decoded.as_slice())
            };
            let name = decode(name);
            for (want, found) in self.wanted.values.iter().zip(found.iter_mut()) {
                if !matches!(want, Want::Form(wanted) if *wanted == name) {
                    continue;
                }
                match found {
                    Found::Texts(texts) if texts.len() == MAX_VALUES => {}
                    Found::Texts(texts) => texts.push(decode(value)),
                    _ => *found = Found::Texts(vec![decode(value)]),
                }
            }
        }
    }

    fn sized(&self, size: Option<Size>, found: &mut [Found]) {
        let Some(Size { depth, fields }) = size else { return };
        for (want, found) in self.wanted.values.iter().zip(found.iter_mut()) {
            match want {
                Want::Depth => *found = Found::Number(depth),
                Want::Fields => *found = Found::Number(fields),
                _ => {}
            }
        }
    }
}

impl Read {
    pub(super) fn number(&self, number: usize) -> Option<i64> {
        if let Some(Found::Number(number)) = self.found.get(number) { Some(*number) } else { None }
    }

    pub(super) fn texts(&self, number: usize) -> impl Iterator<Item = &[u8]> {
        let texts = if let Some(Found::Texts(texts)) = self.found.get(number) { &texts[..] } else { &[] };
        texts.iter().map(|text| &**text)
    }
}

/// What the head says that the body is; more than one Content-Type says nothing.
fn kind(head: &Head) -> Kind {
    let mut types = head.values("content-type");
    let (Some(only), None) = (types.next(), types.next()) else { return Kind::Foreign };
    match MediaType::parse(only) {
        Some(media) if media.charset == Charset::Foreign => Kind::Foreign,
        Some(media) if media.is_json() => Kind::Json,
        Some(media) if media.essence() == "application/x-www-form-urlencoded" => Kind::Form,
        Some(media) if media.essence() == "application/graphql" => Kind::Graphql,
        _ => Kind::Foreign,
    }
}

fn walk(parsed: Parsed<'_>, steps: &[Step]) -> Option<u32> {
    steps.iter().try_fold(0, |at, step| match (step, parsed.tape.entries[at as usize]) {
        (Step::Member(name), Entry::Object { .. }) => parsed.member(at, name),
        (Step::At(index), Entry::Array { length, .. }) if *index < length => {
            Some((0..*index).fold(at + 1, |at, _| parsed.after(at)))
        }
        _ => None,
    })
}

fn integer(parsed: Parsed<'_>, at: u32) -> Option<i64> {
    let Entry::Number { start, length } = parsed.tape.entries[at as usize] else { return None };
    parsed.body[start as usize..(start + length) as usize].parse().ok()
}

/// What the documents of a request ask for together: one, or a batch of them.
fn documents(parsed: Parsed<'_>) -> Option<Size> {
    let of = |at: u32| parsed.member(at, "query").and_then(|at| parsed.string(at)).map(graphql::size);
    match parsed.tape.entries[0] {
        Entry::Object { .. } => of(0),
        Entry::Array { length, .. } if length > MAX_BATCH => Some(Size::BEYOND),
        Entry::Array { length, .. } => {
            let (mut at, mut sum) = (1, None);
            for _ in 0..length {
                if let Entry::Object { .. } = parsed.tape.entries[at as usize] {
                    sum = of(at).map(|size| size.beside(sum)).or(sum);
                }
                at = parsed.after(at);
            }
            sum
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wants: &[Want], head: &str, body: Option<&[u8]>) -> Read {
        let mut wanted = Wanted::default();
        for want in wants {
            wanted.number(want.clone());
        }
        let mut parsed = Head::default();
        parsed.parse_text(&format!("POST /?query=%7Bquery%7D\nhost:api\n{head}")).unwrap();
        Reading::of(&Arc::new(wanted), &parsed).read(body)
    }

    fn text(path: &[&str]) -> Want {
        Want::Text(path.iter().map(|name| Step::Member((*name).into())).collect())
    }

    fn texts(read: &Read, number: usize) -> Vec<&[u8]> {
        read.texts(number).collect()
    }

    #[test]
    fn values_of_json() {
        let integer = Want::Integer([Step::Member("ids".into()), Step::At(1)].into());
        let wants = [text(&["user", "id"]), integer, text(&["user"])];
        let body = br#"{"user":{"id":"\u0061da"},"ids":[1,-20,"x"]}"#;
        let found = read(&wants, "content-type:application/json; charset=utf-8", Some(body));
        assert_eq!((texts(&found, 0), found.number(1), texts(&found, 2)), (vec![&b"ada"[..]], Some(-20), vec![]));
        for (head, body) in [
            ("content-type:text/plain", &body[..]),
            ("content-type:application/json; charset=utf-16", body),
            ("content-type:application/json\ncontent-encoding:gzip", body),
            ("content-type:application/json\ncontent-type:application/json", body),
            ("content-type:application/json", br#"{"user":{"id":"a","id":"b"}}"#),
            ("content-type:application/json", b"[]"),
            ("content-type:application/json", b""),
        ] {
            let found = read(&wants, head, Some(body));
            assert_eq!((texts(&found, 0), found.number(1)), (vec![], None), "{head}");
        }
        assert_eq!(texts(&read(&wants, "content-type:application/json", None), 0), Vec::<&[u8]>::new());
    }

    #[test]
    fn values_of_forms() {
        let wants = [Want::Form(b"user name"[..].into()), Want::Form(b"none"[..].into())];
        let head = "content-type:application/x-www-form-urlencoded";
        let found = read(&wants, head, Some(b"a=b&user+name=x%26y&user%20name=&user"));
        assert_eq!((texts(&found, 0), texts(&found, 1)), (vec![&b"x&y"[..], b""], vec![]));
        let many = b"user+name=1&".repeat(100);
        assert_eq!(texts(&read(&wants, head, Some(&many)), 0).len(), MAX_VALUES);
    }

    #[test]
    fn graphql_wherever_it_stands() {
        let wants = [Want::Depth, Want::Fields];
        let size = |head: &str, body: Option<&[u8]>| {
            let found = read(&wants, head, body);
            (found.number(0), found.number(1))
        };
        assert_eq!(size("accept:*/*", None), (Some(1), Some(1)), "in the query");
        assert_eq!(size("content-type:application/graphql", Some(b"{ a { b c } }")), (Some(2), Some(3)));
        let json = "content-type:application/json";
        assert_eq!(size(json, Some(br#"{"query":"{ a { b { c } } }"}"#)), (Some(3), Some(3)));
        assert_eq!(size(json, Some(br#"[{"query":"{ a { b } }"},{"query":"{ a }"}]"#)), (Some(2), Some(3)));
        let many = format!("[{}{{}}]", r#"{"query":"{a}"},"#.repeat(100));
        assert_eq!(size(json, Some(many.as_bytes())).0, Some(Size::BEYOND.depth));
    }
}
