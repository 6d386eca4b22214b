//! multipart bodies: parts to the object that is described (OpenAPI, Encoding Object).
//!
//! A part is a member. Parts of one name are the items of an array where the schema has one, and refused elsewhere:
//! which of them an origin takes is its own affair. Files are members too, as empty strings: the control plane gives
//! them a schema that says nothing, and their size and media type are checked here.

use jsonschema::Validator;
use serde_json::Value;

use super::builder::Builder;
use super::media::{self, Charset, MediaType};
use super::multipart::{self, Part};
use super::node::Body;
use super::shape::{Shape, Types};
use super::text;
use super::validator::escape;
use super::violation::{Class, Location, Violation};
use crate::policy::{Content, PropertyEncoding};
use crate::reason::Reason;

/// What a text can be without being JSON.
const SCALARS: Types = Types::NULL.or(Types::BOOLEAN).or(Types::NUMBER).or(Types::STRING);

/// The parts that a body may have.
#[derive(Debug)]
pub(super) struct Parts {
    shape: Shape,
    /// Whether every part has to have a name.
    named: bool,
    encodings: Vec<Encoding>,
}

#[derive(Debug)]
struct Encoding {
    name: String,
    content_types: Vec<String>,
    binary: bool,
    max_bytes: Option<u64>,
    headers: Vec<Header>,
}

#[derive(Debug)]
struct Header {
    name: String,
    required: bool,
    property: String,
    shape: Shape,
}

impl Parts {
    pub(super) fn compile(content: &Content, schema: &Value) -> Parts {
        let shape = match &content.schema {
            Some(property) => Shape::of(schema, property),
            None => Shape::of(&Value::Null, ""),
        };
        let named = content.schema.is_some() || content.media_type == "multipart/form-data";
        let encodings = content.encoding.iter().map(|encoding| Encoding::compile(encoding, schema)).collect();
        Parts { shape, named, encodings }
    }

    /// # Errors
    /// What the body, a part of it or the object made of them violates.
    pub(super) fn verdict(
        &self,
        validator: Option<&Validator<Body>>,
        property: Option<&str>,
        boundary: Option<&str>,
        body: &[u8],
        builder: &mut Builder,
    ) -> Result<(), Violation> {
        let parts = multipart::parts(boundary, body)
            .map_err(|(fault, index)| malformed(&format!("{fault}; see part {index}")))?;
        if self.named && parts.iter().any(|part| part.name.is_none()) {
            return Err(malformed("expected every part to have a name"));
        }
        let Some(property) = property else { return Ok(()) };
        let validator = validator.ok_or_else(Violation::unavailable)?;
        let mut named: Vec<(&str, &Part<'_>)> =
            parts.iter().map(|part| (part.name.unwrap_or_default(), part)).collect();
        // Stable: the items of an array keep their order.
        named.sort_by_key(|(name, _)| *name);
        builder.clear();
        let open = builder.open();
        let mut members = 0;
        for same in named.chunk_by(|(left, _), (right, _)| left == right) {
            self.member(validator, same, builder)?;
            members += 1;
        }
        if !builder.close_object(open, members) {
            return Err(malformed("expected different names"));
        }
        builder.verdict(validator, property)
    }

    fn member(
        &self,
        validator: &Validator<Body>,
        same: &[(&str, &Part<'_>)],
        builder: &mut Builder,
    ) -> Result<(), Violation> {
        let &[(name, first), ..] = same else { return Ok(()) };
        let pointer = format!("/{}", escape(name));
        // RFC 7578, 4.6: the charset of all parts that name none.
        if name == "_charset_" && !first.body.eq_ignore_ascii_case(b"utf-8") {
            return Err(refused(Reason::SchemaMediaType, Class::MediaType, &pointer, "expected the charset UTF-8"));
        }
        let shape = self.shape.member(name);
        let types = shape.types();
        let encoding = self.encodings.iter().find(|encoding| encoding.name == name);
        builder.name(name);
        if let [(_, part)] = same
            && (!types.meets(Types::ARRAY) || types.meets(SCALARS) || is_whole_array(part, encoding, shape))
        {
            return value(validator, part, encoding, shape, &pointer, builder);
        }
        if !types.meets(Types::ARRAY) {
            let message = "expected one part of this name";
            return Err(refused(Reason::SchemaMultipart, Class::Count, &pointer, message));
        }
        let open = builder.open();
        for (index, (_, part)) in same.iter().enumerate() {
            value(validator, part, encoding, shape.item(index), &format!("{pointer}/{index}"), builder)?;
        }
        builder.close_array(open, same.len());
        Ok(())
    }
}

/// Items come as parts of their own, but a JSON part can hold the array as well.
fn is_whole_array(part: &Part<'_>, encoding: Option<&Encoding>, shape: &Shape) -> bool {
    let named = part.media_type.and_then(MediaType::parse);
    let item = shape.item(0);
    part.body.trim_ascii_start().starts_with(b"[")
        && !item.types().meets(Types::ARRAY)
        && reads_json(named.as_ref(), encoding, item)
}

/// Whether a part holds JSON. Browsers send texts without a media type: they are what is described.
fn reads_json(named: Option<&MediaType<'_>>, encoding: Option<&Encoding>, shape: &Shape) -> bool {
    match (named, encoding) {
        (Some(named), _) => named.is_json(),
        (None, Some(encoding)) if !encoding.content_types.is_empty() => {
            encoding.content_types.iter().any(|accepted| media::is_json(accepted))
        }
        (None, _) => !shape.types().meets(SCALARS),
    }
}

/// Appends what a part says.
fn value(
    validator: &Validator<Body>,
    part: &Part<'_>,
    encoding: Option<&Encoding>,
    shape: &Shape,
    pointer: &str,
    builder: &mut Builder,
) -> Result<(), Violation> {
    let named = match part.media_type.map(MediaType::parse) {
        Some(None) => {
            return Err(refused(Reason::SchemaMultipart, Class::Malformed, pointer, "expected one media type"));
        }
        Some(named) => named,
        None => None,
    };
    let json = reads_json(named.as_ref(), encoding, shape);
    if let Some(encoding) = encoding {
        encoding.check(validator, part, named.as_ref(), json, pointer)?;
        if encoding.binary {
            builder.string("");
            return Ok(());
        }
    }
    let charset = named.as_ref().map_or(Charset::Utf8, |named| named.charset);
    let nothing_said = encoding.is_none() && shape.is_any();
    let textual = named.as_ref().is_none_or(|named| json || named.essence().starts_with("text/"));
    if nothing_said && (part.file || !textual) {
        builder.string("");
        return Ok(());
    }
    if charset == Charset::Foreign || (charset == Charset::Ascii && !part.body.is_ascii()) {
        let message = "expected text in the charset UTF-8";
        return Err(refused(Reason::SchemaMediaType, Class::MediaType, pointer, message));
    }
    let moved = |violation: Violation| {
        let reason = violation.reason;
        violation.moved(reason, Location::Body, pointer)
    };
    if json {
        return builder.json(part.body).map_err(|refusal| moved(Violation::malformed(&refusal)));
    }
    builder.scalar(text::utf8(part.body).map_err(moved)?, shape);
    Ok(())
}

impl Encoding {
    fn compile(encoding: &PropertyEncoding, schema: &Value) -> Encoding {
        let headers = encoding.headers.iter().map(|header| Header {
            name: header.name.clone(),
            required: header.required,
            property: header.schema.clone(),
            shape: Shape::of(schema, &header.schema),
        });
        Encoding {
            name: encoding.name.clone(),
            content_types: encoding.content_types.clone(),
            binary: encoding.binary,
            max_bytes: encoding.max_bytes,
            headers: headers.collect(),
        }
    }

    /// Media type, size and headers.
    fn check(
        &self,
        validator: &Validator<Body>,
        part: &Part<'_>,
        named: Option<&MediaType<'_>>,
        json: bool,
        pointer: &str,
    ) -> Result<(), Violation> {
        // RFC 7578, 4.4: text is what names no media type.
        let text = MediaType::parse("text/plain");
        let fits = |accepted: &String| named.or(text.as_ref()).is_some_and(|named| named.fit(accepted).is_some());
        if !(self.content_types.is_empty() || self.content_types.iter().any(fits) || (named.is_none() && json)) {
            let message = format!("expected the media type {}", self.content_types.join(" or "));
            return Err(refused(Reason::SchemaMediaType, Class::MediaType, pointer, &message));
        }
        if let Some(most) = self.max_bytes
            && part.body.len() as u64 > most
        {
            let message = format!("expected at most {most} bytes");
            return Err(refused(Reason::SchemaBody, Class::Length, pointer, &message));
        }
        self.headers.iter().try_for_each(|header| header.check(validator, part, pointer))
    }
}

impl Header {
    /// Style `simple`: items between commas.
    fn check(&self, validator: &Validator<Body>, part: &Part<'_>, pointer: &str) -> Result<(), Violation> {
        let pointer = format!("{pointer}/headers/{}", escape(&self.name));
        let Some(&(_, value)) = part.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.name)) else {
            if self.required {
                return Err(refused(Reason::SchemaBody, Class::Required, &pointer, "a part header is required"));
            }
            return Ok(());
        };
        let mut builder = Builder::default();
        if self.shape.types().meets(SCALARS) {
            builder.scalar(value, &self.shape);
        } else {
            let open = builder.open();
            let mut length = 0;
            for item in value.split(',').map(|item| item.trim_matches([' ', '\t'])) {
                builder.scalar(item, self.shape.item(length));
                length += 1;
            }
            builder.close_array(open, length);
        }
        builder
            .verdict(validator, &self.property)
            .map_err(|violation| violation.moved(Reason::SchemaBody, Location::Body, &pointer))
    }
}

fn malformed(message: &str) -> Violation {
    Violation::body(Reason::SchemaMultipart, Class::Malformed, message)
}

fn refused(reason: Reason, class: Class, pointer: &str, message: &str) -> Violation {
    Violation::at(reason, Location::Body, class, pointer, message)
}
