//! Every value of an exchange that the description says something about: parameters, bodies, responses.
//!
//! One validator per host: `properties` of its root hold one schema per checked value, so that a shared component is
//! compiled once, whatever number of operations use it (docs/decisions/0003). Parameters are checked on the head.
//! Which schema checks a body is decided on the head too; the body itself is read once, strictly, by threads that share
//! this snapshot.

mod builder;
pub(crate) mod coding;
mod content;
mod form;
mod formats;
mod inflate;
// Tokens are JSON that has to have one meaning too; limits read single values of bodies.
pub(crate) mod json;
mod kept;
mod lines;
pub(crate) mod media;
mod multipart;
mod node;
mod outline;
mod pairs;
mod parameter;
mod parameters;
mod parts;
mod percent;
pub(crate) mod pointer;
mod responses;
mod scalar;
mod shape;
mod shown;
mod strip;
mod style;
#[cfg(test)]
mod tests;
mod text;
mod validator;
mod violation;

use jsonschema::Validator;

use crate::head::Head;
use crate::policy::{HostOpenapi, Problem};
use content::{Accepted, Described};
pub use content::{BodyCheck, Chosen};
use node::Body;
use outline::{Outliner, Outlines};
pub use parameters::Parameters;
pub use responses::{Extent, ResponseCheck};
pub use strip::Stripped;
pub use violation::{Class, Location, MAX_ERRORS, Violation, ViolationError};

/// What a host's operations say about their values.
#[derive(Debug, Default)]
pub struct Schemas {
    validator: Option<Validator<Body>>,
    /// Violations may show what was found.
    allow_values: bool,
    /// In the order of [`HostOpenapi::operations`].
    operations: Vec<Checks>,
    /// Every described body: [`Chosen`] holds an index.
    bodies: Vec<Described>,
    outgoing: responses::Outgoing,
    outlines: Outlines,
}

/// What is described for one operation.
#[derive(Debug, Default)]
struct Checks {
    parameters: parameters::Described,
    body: Option<Accepted>,
    responses: Option<responses::Described>,
}

/// A value that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    AsItIs,
    /// What goes on instead: members that are not described were taken out.
    Instead(Stripped),
    /// Of responses: more than is decoded to be looked at.
    NotEvaluated,
}

impl Schemas {
    /// Compiles everything described. A schema that cannot be compiled is a problem at `{at}/schema/<its place>`.
    #[must_use]
    pub fn compile(openapi: &HostOpenapi, at: &str, problems: &mut Vec<Problem>) -> Schemas {
        let mut schemas = Schemas { allow_values: openapi.allow_values, ..Schemas::default() };
        let mut outliner = Outliner::new(&openapi.schema, at);
        for operation in &openapi.operations {
            let checks = Checks {
                parameters: parameters::Described::compile(operation, &openapi.schema),
                body: operation.body.as_ref().map(|body| Accepted::request(body, &openapi.schema, &mut schemas.bodies)),
                responses: operation.responses.as_ref().map(|described| {
                    let mut stripping =
                        responses::Stripping { outgoing: &mut schemas.outgoing, outliner: &mut outliner };
                    responses::Described::compile(
                        described,
                        &openapi.schema,
                        &mut schemas.bodies,
                        &mut stripping,
                        problems,
                    )
                }),
            };
            schemas.operations.push(checks);
        }
        let described = openapi.schema.get("properties").and_then(|all| all.as_object());
        if described.is_some_and(|all| !all.is_empty()) {
            let (outlines, document) = outliner.finish();
            schemas.outlines = outlines;
            schemas.validator = validator::build(&document, at, problems);
        }
        schemas
    }

    /// Checks the parameters of a request for `operation`. `captures` are the ranges of the head's path that stood in the
    /// place of the path template's parameters, in their order.
    pub fn parameters(
        &self,
        operation: u32,
        head: &Head,
        captures: &[(u32, u32)],
        kept: &mut Parameters,
    ) -> Parameterised {
        let Some(checks) = self.operations.get(operation as usize) else { return Parameterised::default() };
        let mut found = checks.parameters.check(self.validator.as_ref(), head, captures, kept);
        if self.allow_values
            && let Some(violation) = &mut found.violation
        {
            shown::in_head(&mut violation.errors, head);
        }
        found
    }

    /// Decides on the head what has to happen to the body of a request for `operation`.
    ///
    /// A body for an operation that describes none is passed on unchecked: OpenAPI 3.0 says that its meaning is then
    /// undefined, and Cloudflare ignores it too.
    ///
    /// # Errors
    /// What the head says about the body that no entry of the operation accepts.
    pub fn choose(&self, operation: u32, head: &Head) -> Result<BodyCheck, Violation> {
        match self.operations.get(operation as usize).and_then(|checks| checks.body.as_ref()) {
            Some(accepted) => accepted.choose(head),
            None => Ok(if head.has_body() { BodyCheck::Unchecked } else { BodyCheck::NoBody }),
        }
    }

    /// Decides on a response's head what has to happen to its body. `fields` are its names, lower-case, and values.
    ///
    /// # Errors
    /// What the head violates.
    pub fn response<'a>(
        &self,
        operation: u32,
        status: u16,
        extent: Extent,
        fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        kept: &mut Parameters,
    ) -> Result<ResponseCheck, Violation> {
        match self.operations.get(operation as usize).and_then(|checks| checks.responses.as_ref()) {
            Some(described) => described.choose(self.validator.as_ref(), status, extent, fields, kept),
            None => Ok(ResponseCheck::Pass),
        }
    }

    /// Checks a whole body. Called by several threads at once.
    ///
    /// # Errors
    /// What the body violates.
    pub fn check(&self, chosen: &Chosen, body: &[u8]) -> Result<Passed, Violation> {
        let (Some(described), validator) = (self.bodies.get(chosen.body as usize), self.validator.as_ref()) else {
            return Err(Violation::unavailable());
        };
        let (mut checked, prefix) = match self.outgoing.get(&chosen.body) {
            None => (described.check(validator, chosen, body), ""),
            Some(&outline) => {
                (responses::check(described, validator, (&self.outlines, outline), chosen, body), "/body")
            }
        };
        if self.allow_values
            && described.is_json()
            && let Err(violation) = &mut checked
        {
            let _ = coding::with_decoded(chosen.coding, body, |body| {
                json::with_tape(body, |tape| {
                    if let Ok(parsed) = tape {
                        shown::in_body(&mut violation.errors, prefix, parsed);
                    }
                    Ok(())
                })
            });
        }
        checked
    }
}

/// What came of a request's parameters.
#[derive(Debug, Default)]
pub struct Parameterised {
    pub violation: Option<Violation>,
    /// Query parameters that are not described.
    pub unknown: Option<Violation>,
}

fn problem(at: &str, message: String, hint: Option<&str>) -> Problem {
    Problem { at: at.to_owned(), span: None, message, hint: hint.map(str::to_owned) }
}
