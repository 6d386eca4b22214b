//! Parameters: text on the head that stands for values (OpenAPI, Parameter Object).
//!
//! What two readers could take for different values is a violation: a value given twice where one is described, a
//! broken escape, bytes that are not UTF-8. Escapes are decoded once. Of the query and of cookies only what is
//! described is looked at. A header is the list of its lines where an array is described, and is not decoded; a cookie
//! is decoded as a path is, as the style `form` has it.
//!
//! An object of style `form` with `explode` has no name on the wire: it takes the names that its properties describe
//! and that are no parameter's own; with `additionalProperties` it takes every other name too. `allowEmptyValue` lets
//! `name` and `name=` pass whatever the schema says. `default` is the origin's business.

use jsonschema::Validator;
use serde_json::Value;

use super::Parameterised;
use super::node::Body;
use super::pairs::{Fault, MAX_PAIRS, Owners, Pairs, Syntax};
use super::parameter::{One, Scratch};
use super::percent;
use super::violation::{Class, Location, MAX_ERRORS, Violation, ViolationError, token};
use crate::endpoints;
use crate::head::Head;
use crate::policy::{Action, Operation, Parameter, ParameterLocation, Style};
use crate::reason::Reason;

/// Most parameters of a path template that are looked at; real ones stay below 10.
const MAX_CAPTURES: usize = 16;
/// Fields that have descriptions of their own (OpenAPI, Parameter Object and Header Object, `name`).
const NOT_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// Buffers that are kept between requests, one per thread or slot.
#[derive(Debug, Default)]
pub struct Parameters {
    pairs: Pairs,
    scratch: Scratch,
}

/// The parameters of one operation.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Each with the number of its capture.
    path: Vec<(usize, One)>,
    query: Named,
    headers: Headers,
    cookies: Named,
    /// Whether query parameters that are not described are told.
    unknown: bool,
}

impl Described {
    /// `schema` is the host's document: the types that a text may stand for are read from it.
    pub(super) fn compile(operation: &Operation, schema: &Value) -> Described {
        let at = |location| operation.parameters.iter().filter(move |parameter| parameter.location == location);
        let captured: Vec<&str> = endpoints::parameters(&operation.path).collect();
        let path = at(ParameterLocation::Path).filter_map(|parameter| {
            let capture = captured.iter().position(|name| *name == parameter.name)?;
            Some((capture, One::compile(parameter, schema)))
        });
        Described {
            path: path.collect(),
            query: Named::compile(at(ParameterLocation::Query), schema),
            headers: Headers::compile(at(ParameterLocation::Header), schema),
            cookies: Named::compile(at(ParameterLocation::Cookie), schema),
            unknown: operation.unknown_query != Action::Off,
        }
    }

    pub(super) fn check(
        &self,
        validator: Option<&Validator<Body>>,
        head: &Head,
        captures: &[(u32, u32)],
        kept: &mut Parameters,
    ) -> Parameterised {
        let mut errors = Vec::new();
        let mut unknown = Vec::new();
        for (capture, one) in &self.path {
            let range = captures.iter().take(MAX_CAPTURES).nth(*capture);
            let text = range.map(|&(start, end)| ("", &head.path()[start as usize..end as usize]));
            one.check(validator, text.into_iter(), &mut kept.scratch, &mut errors);
        }
        if self.unknown || !self.query.each.is_empty() {
            let query = head.query();
            kept.pairs.begin(self.query.each.len());
            match kept.pairs.scan(query, query, Syntax::Form, &self.query.owners) {
                Ok(()) => {
                    self.query.check(validator, query, kept, &mut errors);
                    if self.unknown {
                        undescribed(&kept.pairs, query, &mut unknown);
                    }
                }
                Err(fault) => tell(fault, Location::Query, &mut errors),
            }
        }
        self.headers.gather(validator, |name| head.values(name), &mut kept.scratch, &mut errors);
        if !self.cookies.each.is_empty() {
            let text = head.text();
            kept.pairs.begin(self.cookies.each.len());
            let mut lines = head.values("cookie");
            match lines.try_for_each(|line| kept.pairs.scan(text, line, Syntax::Cookie, &self.cookies.owners)) {
                Ok(()) => self.cookies.check(validator, text, kept, &mut errors),
                Err(fault) => tell(fault, Location::Cookie, &mut errors),
            }
        }
        Parameterised {
            violation: violation(Reason::SchemaParameter, errors),
            unknown: violation(Reason::SchemaUnknownParameter, unknown),
        }
    }
}

/// Parameters that are found by the names of pairs.
#[derive(Debug, Default)]
struct Named {
    owners: Owners,
    each: Vec<One>,
}

impl Named {
    fn compile<'p>(parameters: impl Iterator<Item = &'p Parameter>, schema: &Value) -> Named {
        let mut named = Named::default();
        named.each = parameters.map(|parameter| One::compile(parameter, schema)).collect();
        named.owners = Owners::of_all(&named.each);
        named
    }

    fn check(
        &self,
        validator: Option<&Validator<Body>>,
        text: &str,
        kept: &mut Parameters,
        errors: &mut Vec<ViolationError>,
    ) {
        for (owner, one) in self.each.iter().enumerate() {
            one.check(validator, kept.pairs.of(owner, text), &mut kept.scratch, errors);
        }
    }
}

impl Owners {
    /// Own names come before those of members.
    pub(super) fn of_all(each: &[One]) -> Owners {
        let mut owners = Owners::default();
        let numbered = || (0u32..).zip(each);
        for (owner, one) in numbered().filter(|(_, one)| one.is_named()) {
            owners.name(&one.styled.name, owner);
            if one.styled.style == Style::DeepObject {
                owners.deep(&one.styled.name, owner);
            }
        }
        for (owner, one) in numbered().filter(|(_, one)| one.is_spread()) {
            one.shape.properties().for_each(|(name, _)| owners.name(name, owner));
            if one.shape.invites() {
                owners.rest(owner);
            }
        }
        owners
    }
}

/// Header parameters of a request, headers of a response or of a part.
#[derive(Debug, Default)]
pub(super) struct Headers {
    each: Vec<One>,
}

impl Headers {
    pub(super) fn compile<'p>(parameters: impl Iterator<Item = &'p Parameter>, schema: &Value) -> Headers {
        let described =
            parameters.filter(|parameter| !NOT_PARAMETERS.contains(&parameter.name.to_ascii_lowercase().as_str()));
        Headers { each: described.map(|parameter| One::compile(parameter, schema)).collect() }
    }

    /// Checks `fields`: names, in lower case, and values.
    ///
    /// # Errors
    /// What they violate: reason [`Reason::SchemaParameter`], pointers `/name`.
    pub(super) fn check<'a>(
        &self,
        validator: Option<&Validator<Body>>,
        fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        kept: &mut Parameters,
    ) -> Result<(), Violation> {
        let mut errors = Vec::new();
        for one in &self.each {
            let name = one.styled.name.as_str();
            let texts = fields.clone().filter(|(field, _)| *field == name);
            one.check(validator, texts, &mut kept.scratch, &mut errors);
        }
        violation(Reason::SchemaParameter, errors).map_or(Ok(()), Err)
    }

    fn gather<'a, Values: Iterator<Item = &'a str> + Clone>(
        &'a self,
        validator: Option<&Validator<Body>>,
        values: impl Fn(&'a str) -> Values,
        scratch: &mut Scratch,
        errors: &mut Vec<ViolationError>,
    ) {
        for one in &self.each {
            let texts = values(&one.styled.name).map(|value| ("", value));
            one.check(validator, texts, scratch, errors);
        }
    }
}

/// One error for each name that nobody described.
fn undescribed(pairs: &Pairs, query: &str, errors: &mut Vec<ViolationError>) {
    let mut decoded = Vec::new();
    for (name, _) in pairs.unowned(query) {
        let name = percent::decode(name, true, &mut decoded).unwrap_or_default();
        let pointer = token(name);
        if errors.iter().all(|error| error.pointer != pointer) {
            let message = "expected no parameter of this name".to_owned();
            errors.push(ViolationError { location: Location::Query, class: Class::Unknown, pointer, message });
        }
        if errors.len() == MAX_ERRORS {
            return;
        }
    }
}

fn tell(fault: Fault, location: Location, errors: &mut Vec<ViolationError>) {
    let (class, message) = match fault {
        Fault::TooMany => (Class::Size, format!("expected at most {MAX_PAIRS} names and values")),
        Fault::Name => (Class::Malformed, "expected percent-encoded UTF-8, found a broken escape in a name".to_owned()),
    };
    if errors.len() < MAX_ERRORS {
        errors.push(ViolationError { location, class, pointer: String::new(), message });
    }
}

fn violation(reason: Reason, errors: Vec<ViolationError>) -> Option<Violation> {
    (!errors.is_empty()).then_some(Violation { reason, errors })
}

#[cfg(test)]
mod tests;
