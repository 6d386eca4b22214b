//! Bodies: which description applies, by media type, and the way from bytes to a verdict.

use std::cell::RefCell;

use jsonschema::Validator;
use serde_json::Value;

use super::builder::Builder;
use super::coding::{self, Coding};
use super::media::{Charset, Fit, MediaType};
use super::node::{self, Body, Budget};
use super::parts::Parts;
use super::shape::Shape;
use super::violation::{Class, Location, Violation};
use super::{Passed, form, kept, lines, text};
use crate::head::Head;
use crate::policy::{Content, Format, OperationBody};
use crate::reason::Reason;

/// What has to happen to a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyCheck {
    /// There is none, and none is needed.
    NoBody,
    /// It is passed on as it comes.
    Unchecked,
    /// It has to be collected and given to [`super::Schemas::check`] with this.
    Check(Chosen),
}

/// A body's description, and what the head said about its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub(super) body: u32,
    pub(super) coding: Coding,
    /// Whether the head named US-ASCII: a body with other characters is not what it says.
    pub(super) ascii: bool,
    /// Of a multipart body.
    pub(super) boundary: Option<Box<str>>,
}

impl Chosen {
    /// A description by its number, of a body about which the head says nothing more.
    #[must_use]
    pub fn plain(body: u32) -> Chosen {
        Chosen { body, coding: Coding::Identity, ascii: false, boundary: None }
    }

    /// Most bytes there may be to check, of a body of `length` bytes: an encoded one gets larger.
    #[must_use]
    pub fn most_bytes(&self, length: usize) -> usize {
        if self.coding == Coding::Identity { length } else { coding::limit(length) }
    }
}

/// One body that is checked.
#[derive(Debug)]
pub(super) struct Described {
    /// The property of the root schema.
    pub(super) property: Option<String>,
    required: bool,
    pub(super) reader: Reader,
}

/// How its bytes become a value.
#[derive(Debug)]
pub(super) enum Reader {
    Json,
    Lines,
    Form(Box<form::Described>),
    Multipart(Box<Parts>),
    Text(Box<Shape>),
}

/// The bodies that one operation, or one response, takes.
#[derive(Debug)]
pub(super) struct Accepted {
    required: bool,
    /// Media type or range, lower-case, and what is done about it.
    entries: Vec<(String, Treatment)>,
    /// What a body of another media type is told.
    expected: String,
}

/// In ascending order of what counts between entries that are equally specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Treatment {
    Unchecked,
    Refused,
    /// A range that covers JSON among others: checks what is JSON, and says nothing about the rest.
    JsonOf(u32),
    Checked(u32),
}

impl Accepted {
    pub(super) fn request(body: &OperationBody, schema: &Value, bodies: &mut Vec<Described>) -> Accepted {
        Accepted::new(&body.content, body.required, schema, bodies)
    }

    /// `schema` is the host's document: the types that a text may stand for are read from it.
    pub(super) fn new(content: &[Content], required: bool, schema: &Value, bodies: &mut Vec<Described>) -> Accepted {
        let mut entries = Vec::with_capacity(content.len());
        for entry in content {
            let treatment = match entry.format {
                Format::Unchecked => Treatment::Unchecked,
                Format::Refused => Treatment::Refused,
                format => {
                    let reader = Reader::compile(entry, schema);
                    bodies.push(Described { property: entry.schema.clone(), required, reader });
                    let body = bodies.len() as u32 - 1;
                    let range = entry.media_type.contains('*');
                    if range && format == Format::Json { Treatment::JsonOf(body) } else { Treatment::Checked(body) }
                }
            };
            entries.push((entry.media_type.clone(), treatment));
        }
        let mut names: Vec<&str> = entries
            .iter()
            .filter(|(_, treatment)| *treatment != Treatment::Refused)
            .map(|(media_type, _)| media_type.as_str())
            .collect();
        names.dedup();
        let expected = match names.as_slice() {
            [] => "expected no body of any media type".to_owned(),
            names => format!("expected the media type {}", names.join(" or ")),
        };
        Accepted { required, entries, expected }
    }

    pub(super) fn choose(&self, head: &Head) -> Result<BodyCheck, Violation> {
        if !head.has_body() {
            return if self.required { Err(Violation::missing()) } else { Ok(BodyCheck::NoBody) };
        }
        let chosen = self.choose_fields(head.values("content-type"), head.values("content-encoding"))?;
        Ok(chosen.map_or(BodyCheck::Unchecked, BodyCheck::Check))
    }

    /// What checks a body that has these Content-Type and Content-Encoding fields; None: it is not looked at.
    pub(super) fn choose_fields<'a>(
        &self,
        mut types: impl Iterator<Item = &'a str>,
        codings: impl Iterator<Item = &'a str>,
    ) -> Result<Option<Chosen>, Violation> {
        let refused = |reason, message| Err(Violation::at(reason, Location::Body, Class::MediaType, "", message));
        let named = types.next().and_then(MediaType::parse);
        // Two Content-Type fields are two opinions about the body: which one the origin follows is unknown.
        let (Some(named), None) = (named, types.next()) else {
            return refused(Reason::SchemaMediaType, &self.expected);
        };
        let body = match self.treatment(&named) {
            Some(Treatment::Unchecked) => return Ok(None),
            Some(Treatment::JsonOf(body) | Treatment::Checked(body)) => body,
            Some(Treatment::Refused) => return refused(Reason::SchemaXml, "expected another media type than XML"),
            None => return refused(Reason::SchemaMediaType, &self.expected),
        };
        if named.charset == Charset::Foreign {
            return refused(Reason::SchemaMediaType, "expected the charset UTF-8, and each parameter once");
        }
        let Some(coding) = Coding::named(codings) else {
            return refused(Reason::SchemaEncoding, "expected one content coding of gzip, deflate, br and zstd");
        };
        let ascii = named.charset == Charset::Ascii;
        Ok(Some(Chosen { body, coding, ascii, boundary: named.boundary.map(Box::from) }))
    }

    /// The most specific entry; between equals the one that checks.
    fn treatment(&self, media_type: &MediaType<'_>) -> Option<Treatment> {
        let json = media_type.is_json();
        let mut best: Option<(Fit, Treatment)> = None;
        for (accepted, treatment) in &self.entries {
            if !json && matches!(treatment, Treatment::JsonOf(_)) {
                continue;
            }
            if let Some(fit) = media_type.fit(accepted)
                && best.is_none_or(|other| (fit, *treatment) > other)
            {
                best = Some((fit, *treatment));
            }
        }
        best.map(|(_, treatment)| treatment)
    }
}

impl Reader {
    fn compile(content: &Content, schema: &Value) -> Reader {
        match content.format {
            Format::Ndjson => Reader::Lines,
            Format::Form => Reader::Form(Box::new(form::Described::compile(content, schema))),
            Format::Multipart => Reader::Multipart(Box::new(Parts::compile(content, schema))),
            Format::Text => {
                let property = content.schema.as_deref().unwrap_or_default();
                Reader::Text(Box::new(Shape::of(schema, property)))
            }
            Format::Json | Format::Unchecked | Format::Refused => Reader::Json,
        }
    }
}

impl Described {
    pub(super) fn is_json(&self) -> bool {
        matches!(self.reader, Reader::Json)
    }

    pub(super) fn check(
        &self,
        validator: Option<&Validator<Body>>,
        chosen: &Chosen,
        body: &[u8],
    ) -> Result<Passed, Violation> {
        // An encoding of nothing still has bytes.
        let coding = if body.is_empty() { Coding::Identity } else { chosen.coding };
        coding::with_decoded(coding, body, |decoded| self.read(validator, chosen, decoded))?;
        Ok(Passed::AsItIs)
    }

    fn read(&self, validator: Option<&Validator<Body>>, chosen: &Chosen, body: &[u8]) -> Result<(), Violation> {
        if body.is_empty() {
            return if self.required { Err(Violation::missing()) } else { Ok(()) };
        }
        if chosen.ascii && !matches!(self.reader, Reader::Multipart(_)) && !body.is_ascii() {
            let message = "expected US-ASCII text, as the media type says";
            return Err(Violation::body(Reason::SchemaMediaType, Class::MediaType, message));
        }
        let property = self.property.as_deref();
        match &self.reader {
            Reader::Json => node::check(validator, property, body, &mut Budget::default()),
            Reader::Lines => lines::verdict(validator, property, body),
            Reader::Form(described) => form::verdict(described, validator, body),
            Reader::Multipart(parts) => {
                let boundary = chosen.boundary.as_deref();
                with_builder(|builder| parts.verdict(validator, property, boundary, body, builder))
            }
            Reader::Text(shape) => match (property, validator) {
                (None, _) => text::utf8(body).map(|_| ()),
                (Some(_), None) => Err(Violation::unavailable()),
                (Some(property), Some(validator)) => {
                    with_builder(|builder| text::verdict(validator, property, shape, body, builder))
                }
            },
        }
    }
}

/// Lends this thread's builder.
fn with_builder<T>(then: impl FnOnce(&mut Builder) -> T) -> T {
    thread_local! {
        static BUILDER: RefCell<Builder> = RefCell::default();
    }
    let work = |builder: &mut Builder| {
        let outcome = then(builder);
        builder.clear();
        outcome
    };
    // What grew too large is gone when it is cleared.
    kept::lend(&BUILDER, work, |_| true)
}
