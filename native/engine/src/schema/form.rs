//! `application/x-www-form-urlencoded` bodies: pairs of names and values, read as the object that the schema describes.
//!
//! A property is written in the style of its encoding, `form` with `explode` where there is none: an array is its name
//! several times. An object under its own name is JSON, and so are the items of an array of objects (OpenAPI,
//! Encoding Object, `contentType`); exploded, its members stand among the others. Names that nobody described stay
//! members of their own: `additionalProperties` decides about them. A name twice where one value is described is
//! a violation.

use std::cell::RefCell;

use jsonschema::Validator;
use serde_json::Value;

use super::builder::Builder;
use super::json::Refusal;
use super::media::MediaType;
use super::node::Body;
use super::pairs::{self, MAX_PAIRS, Owners, Pairs, Syntax};
use super::shape::{Shape, Types};
use super::style::{BROKEN, Encoding, Fault, Kind, REPEATED, Styled};
use super::violation::{Class, Location, Violation, token};
use super::{kept, percent, text};
use crate::policy::{Content, PropertyEncoding, Style};
use crate::reason::Reason;

/// Most bytes of decoded text that a thread keeps room for.
const MAX_KEPT_TEXT: usize = 1 << 16;

/// A form body's description.
#[derive(Debug)]
pub(super) struct Described {
    /// The property of the root schema; None: any form will do.
    property: Option<String>,
    shape: Shape,
    owners: Owners,
    each: Vec<Property>,
}

#[derive(Debug)]
struct Property {
    styled: Styled,
    /// Its text, or the text of each item, is JSON.
    json: bool,
    spread: bool,
}

/// Buffers of a thread.
#[derive(Debug, Default)]
struct Kept {
    pairs: Pairs,
    decoded: Vec<u8>,
    builder: Builder,
}

/// Checks a whole body.
///
/// # Errors
/// [`Reason::SchemaForm`] when it is no form, [`Reason::SchemaBody`] when it is not as it is described.
pub(super) fn verdict(
    described: &Described,
    validator: Option<&Validator<Body>>,
    body: &[u8],
) -> Result<(), Violation> {
    thread_local! {
        static KEPT: RefCell<Kept> = RefCell::default();
    }
    let text = text::utf8(body)?;
    let work = |kept: &mut Kept| {
        let outcome = match (&described.property, validator) {
            (Some(property), Some(validator)) => {
                described.read(text, kept).and_then(|()| kept.builder.verdict(validator, property))
            }
            (Some(_), None) => Err(Violation::unavailable()),
            (None, _) => described.decode(text, kept),
        };
        kept.builder.clear();
        outcome
    };
    kept::lend(&KEPT, work, |kept| kept.decoded.capacity() <= MAX_KEPT_TEXT)
}

impl Described {
    /// `root` is the host's schema document.
    pub(super) fn compile(content: &Content, root: &Value) -> Described {
        let property = content.schema.clone();
        let shape = Shape::of(root, property.as_deref().unwrap_or_default());
        let mut each: Vec<Property> = Vec::new();
        let mut owners = Owners::default();
        let mut names: Vec<&str> = shape.properties().map(|(name, _)| name).collect();
        names.extend(content.encoding.iter().map(|encoding| encoding.name.as_str()));
        names.sort_unstable();
        names.dedup();
        for name in names {
            let encoding = content.encoding.iter().find(|encoding| encoding.name == name);
            each.push(Property::new(name, shape.member(name), encoding));
        }
        for (owner, property) in (0..).zip(&each) {
            owners.name(&property.styled.name, owner);
            if property.styled.style == Style::DeepObject {
                owners.deep(&property.styled.name, owner);
            }
        }
        for (owner, property) in (0..).zip(&each).filter(|(_, property)| property.spread) {
            let member = shape.member(&property.styled.name);
            member.properties().for_each(|(name, _)| owners.name(name, owner));
        }
        Described { property, shape, owners, each }
    }

    /// Tells the pairs apart.
    fn scan(&self, text: &str, pairs: &mut Pairs) -> Result<(), Violation> {
        pairs.begin(self.each.len());
        pairs.scan(text, text, Syntax::Form, &self.owners).map_err(|fault| {
            let (class, message) = match fault {
                pairs::Fault::TooMany => (Class::Size, format!("expected at most {MAX_PAIRS} names and values")),
                pairs::Fault::Name => (Class::Malformed, BROKEN.message.to_owned()),
            };
            Violation::at(Reason::SchemaForm, Location::Body, class, "", &message)
        })
    }

    /// Reads what no schema describes.
    fn decode(&self, text: &str, kept: &mut Kept) -> Result<(), Violation> {
        self.scan(text, &mut kept.pairs)?;
        for (_, value) in kept.pairs.unowned(text) {
            percent::decode(value, true, &mut kept.decoded).map_err(|_| Unread::Style(BROKEN).violation(""))?;
        }
        Ok(())
    }

    /// Makes the object.
    fn read(&self, text: &str, kept: &mut Kept) -> Result<(), Violation> {
        let Kept { pairs, decoded, builder } = kept;
        builder.clear();
        self.scan(text, pairs)?;
        let object = builder.open();
        let mut length = 0;
        for (owner, property) in self.each.iter().enumerate() {
            let texts = pairs.of(owner, text);
            if texts.clone().next().is_none() {
                continue;
            }
            let name = property.styled.name.as_str();
            builder.name(name);
            let shape = self.shape.member(name);
            property.read(shape, texts, decoded, builder).map_err(|fault| fault.violation(name))?;
            length += 1;
        }
        length += self.others(pairs, text, decoded, builder)?;
        if !builder.close_object(object, length) {
            return Err(Unread::Style(REPEATED).violation(""));
        }
        Ok(())
    }

    /// Names that nobody described, each a member; how many.
    fn others(
        &self,
        pairs: &Pairs,
        text: &str,
        decoded: &mut Vec<u8>,
        builder: &mut Builder,
    ) -> Result<usize, Violation> {
        let mut others: Vec<(String, &str, &str)> = Vec::new();
        for (name, value) in pairs.unowned(text) {
            let decoded = percent::decode(name, true, decoded).unwrap_or_default().to_owned();
            others.push((decoded, name, value));
        }
        others.sort_by(|left, right| left.0.cmp(&right.0));
        let mut length = 0;
        for group in others.chunk_by(|left, right| left.0 == right.0) {
            let name = group[0].0.as_str();
            let shape = self.shape.member(name);
            builder.name(name);
            let property = Property::new(name, shape, None);
            let texts = group.iter().map(|(_, name, value)| (*name, *value));
            property.read(shape, texts, decoded, builder).map_err(|fault| fault.violation(name))?;
            length += 1;
        }
        Ok(length)
    }
}

/// Why a property cannot be read.
enum Unread {
    Style(Fault),
    Json(Refusal),
}

impl Unread {
    fn violation(self, name: &str) -> Violation {
        match self {
            Unread::Style(fault) => {
                // A value too many is a matter of the description, a broken escape is none.
                let reason = if fault.class == Class::Malformed { Reason::SchemaForm } else { Reason::SchemaBody };
                let pointer = if name.is_empty() { String::new() } else { token(name) };
                Violation::at(reason, Location::Body, fault.class, &pointer, fault.message)
            }
            Unread::Json(refusal) => {
                Violation::malformed(&refusal).moved(Reason::SchemaForm, Location::Body, &token(name))
            }
        }
    }
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Unread {
        Unread::Style(fault)
    }
}

impl Property {
    fn new(name: &str, shape: &Shape, encoding: Option<&PropertyEncoding>) -> Property {
        let (style, explode) = encoding.map_or((Style::Form, true), |encoding| (encoding.style, encoding.explode));
        let named = encoding.map_or(&[][..], |encoding| encoding.content_types.as_slice());
        let is_json = |name: &String| MediaType::parse(name).is_some_and(|named| named.is_json());
        let json = match named {
            [] => {
                let inner = inner(shape);
                let plain = style == Style::Form && explode;
                plain && inner.meets(Types::ARRAY.or(Types::OBJECT)) && !inner.meets(Types::SCALAR)
            }
            named => named.iter().all(is_json),
        };
        let object = shape.types().meets(Types::OBJECT) && !shape.is_any();
        let spread = object && explode && style != Style::DeepObject;
        Property { styled: Styled { name: name.to_owned(), style, explode, encoding: Encoding::Form }, json, spread }
    }

    /// Appends the property's value; there is at least one text.
    fn read<'t>(
        &self,
        shape: &Shape,
        texts: impl Iterator<Item = (&'t str, &'t str)> + Clone,
        decoded: &mut Vec<u8>,
        out: &mut Builder,
    ) -> Result<(), Unread> {
        let types = shape.types();
        let several = texts.clone().nth(1).is_some();
        let array = types.meets(Types::ARRAY) && !shape.is_any();
        let own = |name: &str| percent::decode(name, true, &mut Vec::new()) == Ok(self.styled.name.as_str());
        let spread = self.spread && texts.clone().any(|(name, _)| !own(name));
        if spread && texts.clone().any(|(name, _)| own(name)) {
            return Err(REPEATED.into());
        }
        if self.json && !spread {
            if !array || !self.styled.in_pairs() {
                let text = self.styled.scalar(texts)?;
                return out.json(self.styled.decode(text, decoded)?.as_bytes()).map_err(Unread::Json);
            }
            let open = out.open();
            let mut length = 0;
            for (_, text) in texts {
                out.json(self.styled.decode(text, decoded)?.as_bytes()).map_err(Unread::Json)?;
                length += 1;
            }
            out.close_array(open, length);
            return Ok(());
        }
        let delimited = !self.styled.in_pairs() && types.meets(Types::ARRAY.or(Types::OBJECT));
        let kind = if spread || (types.meets(Types::OBJECT) && !shape.is_any() && !types.meets(Types::SCALAR) && !array)
        {
            Kind::Object
        } else if array && (several || delimited || !types.meets(Types::SCALAR)) {
            Kind::Array
        } else {
            Kind::Scalar
        };
        Ok(self.styled.read(kind, shape, texts, decoded, out)?)
    }
}

/// The types of a value, of an array those of its items.
fn inner(shape: &Shape) -> Types {
    let types = shape.types();
    if types.meets(Types::ARRAY) && !types.meets(Types::SCALAR) && !types.meets(Types::OBJECT) {
        return shape.item(0).types();
    }
    types
}

#[cfg(test)]
mod tests;
