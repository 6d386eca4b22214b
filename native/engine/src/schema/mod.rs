//! JSON bodies against their schema.
//!
//! One validator per host: `properties` of its root hold one schema per checked body, so that a shared component is
//! compiled once, whatever number of operations use it (docs/decisions/0003). Which schema checks a body is decided
//! on the head; the body itself is read once, strictly, by threads that share this snapshot.

mod formats;
mod json;
mod media;
mod node;
#[cfg(test)]
mod tests;
mod validator;
mod violation;

use jsonschema::Validator;

use crate::head::Head;
use crate::policy::{HostOpenapi, Operation, OperationBody, Problem};
use crate::reason::Reason;
use media::{Fit, MediaType};
use node::Body;
pub use violation::{MAX_ERRORS, Violation, ViolationError};

/// What has to happen to a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyCheck {
    /// There is none, and none is needed.
    NoBody,
    /// It is passed on as it comes.
    Unchecked,
    /// It has to be collected and given to [`Schemas::check`] with this number.
    Check(u32),
}

/// The bodies that a host's operations accept.
#[derive(Debug, Default)]
pub struct Schemas {
    validator: Option<Validator<Body>>,
    /// In the order of [`HostOpenapi::operations`].
    operations: Vec<Option<Accepted>>,
    bodies: Vec<Checked>,
}

/// One body that is checked: [`BodyCheck::Check`] is its index.
#[derive(Debug)]
struct Checked {
    /// The property of the root schema.
    property: String,
    required: bool,
}

#[derive(Debug)]
struct Accepted {
    required: bool,
    /// Media type or range, with the body that checks it; None means that its content is not looked at.
    entries: Vec<(String, Option<u32>)>,
}

impl Schemas {
    /// Compiles every body's schema. A schema that cannot be compiled is a problem at `{at}/schema/<its place>`.
    #[must_use]
    pub fn compile(openapi: &HostOpenapi, at: &str, problems: &mut Vec<Problem>) -> Schemas {
        let mut schemas = Schemas::default();
        for operation in &openapi.operations {
            let accepted = operation.body.as_ref().map(|body| schemas.accept(body, operation, openapi, problems));
            schemas.operations.push(accepted);
        }
        if !schemas.bodies.is_empty() {
            schemas.validator = validator::build(&openapi.schema, at, problems);
        }
        schemas
    }

    fn accept(
        &mut self,
        body: &OperationBody,
        operation: &Operation,
        openapi: &HostOpenapi,
        problems: &mut Vec<Problem>,
    ) -> Accepted {
        let mut entries = Vec::with_capacity(body.json.len() + body.unchecked.len());
        for json in &body.json {
            if openapi.schema.pointer("/properties").and_then(|all| all.get(&json.schema)).is_none() {
                problems.push(problem(&operation.at, format!("no schema is named `{}`", json.schema), None));
            }
            entries.push((json.media_type.clone(), Some(self.bodies.len() as u32)));
            self.bodies.push(Checked { property: json.schema.clone(), required: body.required });
        }
        entries.extend(body.unchecked.iter().map(|media_type| (media_type.clone(), None)));
        Accepted { required: body.required, entries }
    }

    /// Decides on the head what has to happen to the body of a request for `operation`.
    ///
    /// A body for an operation that describes none is passed on unchecked: OpenAPI 3.0 says that its meaning is then
    /// undefined, and Cloudflare ignores it too.
    ///
    /// # Errors
    /// `SchemaBody` when a required body is absent, `SchemaMediaType` when no entry of the operation accepts its
    /// media type or charset, `SchemaEncoding` when a body that has to be checked comes encoded.
    pub fn choose(&self, operation: u32, head: &Head) -> Result<BodyCheck, Reason> {
        let Some(accepted) = self.operations.get(operation as usize).and_then(Option::as_ref) else {
            return Ok(if head.has_body() { BodyCheck::Unchecked } else { BodyCheck::NoBody });
        };
        if !head.has_body() {
            return if accepted.required { Err(Reason::SchemaBody) } else { Ok(BodyCheck::NoBody) };
        }
        let mut values = head.values("content-type");
        let media_type = values.next().and_then(MediaType::parse);
        // Two Content-Type fields are two opinions about the body: which one the origin follows is unknown.
        let (Some(media_type), None) = (media_type, values.next()) else { return Err(Reason::SchemaMediaType) };
        let Some(body) = accepted.entry(&media_type).ok_or(Reason::SchemaMediaType)? else {
            return Ok(BodyCheck::Unchecked);
        };
        if media_type.foreign {
            return Err(Reason::SchemaMediaType);
        }
        let encoded = head
            .values("content-encoding")
            .flat_map(|value| value.split(','))
            .any(|coding| !coding.trim().is_empty() && !coding.trim().eq_ignore_ascii_case("identity"));
        if encoded { Err(Reason::SchemaEncoding) } else { Ok(BodyCheck::Check(body)) }
    }

    /// Checks a whole body against the schema that [`Schemas::choose`] named. Called by several threads at once.
    ///
    /// # Errors
    /// What the body violates, for the client's eyes: no value of the client's is repeated.
    pub fn check(&self, schema: u32, body: &[u8]) -> Result<(), Violation> {
        let (Some(validator), Some(checked)) = (&self.validator, self.bodies.get(schema as usize)) else {
            return Err(Violation::unavailable());
        };
        if body.is_empty() {
            return if checked.required { Err(Violation::missing()) } else { Ok(()) };
        }
        json::with_tape(body, |tape| match tape {
            Ok(tape) => node::verdict(validator, tape, &checked.property),
            Err(fault) => Err(Violation::malformed(&fault)),
        })
    }
}

impl Accepted {
    /// The most specific entry; between equals the one that checks.
    fn entry(&self, media_type: &MediaType) -> Option<Option<u32>> {
        let json = media_type.is_json();
        let mut best: Option<(Fit, Option<u32>)> = None;
        for (accepted, body) in &self.entries {
            // A range that covers JSON among others checks only what is JSON.
            if body.is_some() && !json {
                continue;
            }
            if let Some(fit) = media_type.fit(accepted)
                && best.is_none_or(|(other, current)| fit > other || (fit == other && current.is_none()))
            {
                best = Some((fit, *body));
            }
        }
        best.map(|(_, body)| body)
    }
}

fn problem(at: &str, message: String, hint: Option<&str>) -> Problem {
    Problem { at: at.to_owned(), span: None, message, hint: hint.map(str::to_owned) }
}
