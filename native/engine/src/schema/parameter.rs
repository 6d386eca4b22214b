//! One parameter, header or form property: from its texts to a verdict.

use jsonschema::Validator;
use serde_json::Value;

use super::builder::Builder;
use super::media::MediaType;
use super::node::{self, Body, Budget};
use super::scalar::{List, Scalar};
use super::shape::{Shape, Types};
use super::style::{Encoding, Fault, Kind, Styled};
use super::violation::{Class, Location, MAX_ERRORS, Violation, ViolationError, token};
use crate::policy::{Parameter, ParameterLocation, Style};
use crate::reason::Reason;

/// Buffers that are kept from one value to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) decoded: Vec<u8>,
    pub(super) builder: Builder,
}

/// What is described.
#[derive(Debug)]
pub(super) struct One {
    pub(super) styled: Styled,
    pub(super) shape: Shape,
    location: Location,
    /// `/name`
    pointer: String,
    /// The property of the root schema.
    property: String,
    required: bool,
    allow_empty: bool,
    reading: Reading,
    quick: Quick,
}

/// How its text becomes a value.
#[derive(Debug)]
enum Reading {
    /// Of those one after the other until one passes.
    Styled(Vec<Kind>),
    /// `content` with a JSON media type.
    Json,
    /// `content` with another one.
    Text,
}

/// A check that needs no value to be made.
#[derive(Debug)]
enum Quick {
    Scalar(Scalar),
    List(List),
    None,
}

impl One {
    /// `root` is the host's schema document.
    pub(super) fn compile(parameter: &Parameter, root: &Value) -> One {
        let shape = Shape::of(root, &parameter.schema);
        let schema = root.get("properties").and_then(|all| all.get(&parameter.schema)).unwrap_or(&Value::Null);
        let reading = match &parameter.content {
            Some(media_type) if MediaType::parse(media_type).is_some_and(|named| named.is_json()) => Reading::Json,
            Some(_) => Reading::Text,
            None => Reading::Styled(kinds(shape.types())),
        };
        let quick = match &reading {
            Reading::Styled(kinds) if parameter.style != Style::DeepObject => match kinds.as_slice() {
                [Kind::Scalar] => Scalar::of(root, schema).map_or(Quick::None, Quick::Scalar),
                [Kind::Array] => List::of(root, schema).map_or(Quick::None, Quick::List),
                _ => Quick::None,
            },
            _ => Quick::None,
        };
        let (location, encoding) = match parameter.location {
            ParameterLocation::Path => (Location::Path, Encoding::Percent),
            ParameterLocation::Query => (Location::Query, Encoding::Form),
            ParameterLocation::Header => (Location::Header, Encoding::Verbatim),
            ParameterLocation::Cookie => (Location::Cookie, Encoding::Percent),
        };
        // Fields are the same in any case (RFC 9110, 5.1); the head's are in lower case.
        let name = match location {
            Location::Header => parameter.name.to_ascii_lowercase(),
            _ => parameter.name.clone(),
        };
        One {
            pointer: token(&name),
            styled: Styled { name, style: parameter.style, explode: parameter.explode, encoding },
            location,
            property: parameter.schema.clone(),
            required: parameter.required,
            allow_empty: parameter.allow_empty,
            shape,
            reading,
            quick,
        }
    }

    /// Whether its members are pairs of their own, under their own names.
    pub(super) fn is_spread(&self) -> bool {
        let object = matches!(&self.reading, Reading::Styled(kinds) if kinds.contains(&Kind::Object));
        object && self.styled.style != Style::DeepObject && self.styled.in_pairs()
    }

    /// Whether it can stand under its own name.
    pub(super) fn is_named(&self) -> bool {
        !self.is_spread() || !matches!(&self.reading, Reading::Styled(kinds) if kinds == &[Kind::Object])
    }

    /// Checks its texts: names and values as written.
    pub(super) fn check<'t>(
        &self,
        validator: Option<&Validator<Body>>,
        texts: impl Iterator<Item = (&'t str, &'t str)> + Clone,
        scratch: &mut Scratch,
        errors: &mut Vec<ViolationError>,
    ) {
        let mut probe = texts.clone();
        match (probe.next(), probe.next()) {
            (None, _) if !self.required => return,
            // An object without members leaves no trace.
            (None, _) if !self.is_named() => {}
            (None, _) => {
                let message = format!("expected a parameter named {}", self.styled.name);
                return self.tell(Class::Required, &message, errors);
            }
            (Some((_, "")), None) if self.allow_empty => return,
            _ => {}
        }
        if self.passes(texts.clone(), scratch) {
            return;
        }
        let Some(validator) = validator else {
            return self.tell_all(Violation::unavailable(), errors);
        };
        match self.verdict(validator, texts, scratch) {
            Ok(Ok(())) => {}
            Ok(Err(violation)) => self.tell_all(violation, errors),
            Err(fault) => self.tell(fault.class, fault.message, errors),
        }
    }

    /// Whether all is certainly well.
    fn passes<'t>(&self, texts: impl Iterator<Item = (&'t str, &'t str)>, scratch: &mut Scratch) -> bool {
        let (styled, decoded) = (&self.styled, &mut scratch.decoded);
        match &self.quick {
            Quick::Scalar(scalar) => {
                styled.scalar(texts).and_then(|text| styled.decode(text, decoded)).is_ok_and(|text| scalar.passes(text))
            }
            Quick::List(list) => {
                let mut length = 0;
                let mut good = true;
                let read = styled.items(texts, |item| {
                    length += 1;
                    good &= list.item.passes(styled.decode(item, decoded)?);
                    Ok(())
                });
                good && read.is_ok() && (list.least..=list.most).contains(&length)
            }
            Quick::None => false,
        }
    }

    fn verdict<'t>(
        &self,
        validator: &Validator<Body>,
        texts: impl Iterator<Item = (&'t str, &'t str)> + Clone,
        scratch: &mut Scratch,
    ) -> Result<Result<(), Violation>, Fault> {
        let Scratch { decoded, builder } = scratch;
        builder.clear();
        let kinds = match &self.reading {
            Reading::Json => {
                let text = self.styled.decode(self.styled.scalar(texts)?, decoded)?;
                let mut budget = Budget::default();
                return Ok(node::check(Some(validator), Some(&self.property), text.as_bytes(), &mut budget));
            }
            Reading::Text => {
                builder.string(self.styled.decode(self.styled.scalar(texts)?, decoded)?);
                return Ok(builder.verdict(validator, &self.property));
            }
            Reading::Styled(kinds) => kinds,
        };
        let mut outcome = None;
        for kind in kinds {
            // What is given as members is no value of its own, whatever else the schema would take.
            if *kind != Kind::Object && self.is_spread() && texts.clone().any(|(name, _)| !self.is_own(name)) {
                continue;
            }
            builder.clear();
            let found = self
                .styled
                .read(*kind, &self.shape, texts.clone(), decoded, builder)
                .map(|()| builder.verdict(validator, &self.property));
            match (&found, &outcome) {
                (Ok(Ok(())), _) => return found,
                // What the schema says tells more than that one way of writing was not kept.
                (Ok(Err(_)), None | Some(Err(_))) | (Err(_), None) => outcome = Some(found),
                _ => {}
            }
        }
        outcome.unwrap_or(Ok(Err(Violation::unavailable())))
    }

    fn is_own(&self, name: &str) -> bool {
        self.styled.decode(name, &mut Vec::new()) == Ok(self.styled.name.as_str())
    }

    fn tell(&self, class: Class, message: &str, errors: &mut Vec<ViolationError>) {
        self.tell_all(Violation::at(Reason::SchemaParameter, self.location, class, "", message), errors);
    }

    fn tell_all(&self, violation: Violation, errors: &mut Vec<ViolationError>) {
        let room = MAX_ERRORS.saturating_sub(errors.len());
        let violation = violation.moved(Reason::SchemaParameter, self.location, &self.pointer);
        errors.extend(violation.errors.into_iter().take(room));
    }
}

/// What a text of these types is tried as. Where nothing is said it is one value: what stands there twice is told.
fn kinds(types: Types) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if types == Types::ANY || types.meets(Types::SCALAR) || !types.meets(Types::ARRAY.or(Types::OBJECT)) {
        kinds.push(Kind::Scalar);
    }
    if types != Types::ANY && types.meets(Types::ARRAY) {
        kinds.push(Kind::Array);
    }
    if types != Types::ANY && types.meets(Types::OBJECT) {
        kinds.push(Kind::Object);
    }
    kinds
}
