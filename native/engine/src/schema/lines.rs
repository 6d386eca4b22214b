//! NDJSON: one JSON value a line, each as it is described. Pointers start with the line's number, from 0.

use jsonschema::Validator;

use super::node::{self, Body, Budget};
use super::violation::{Class, Location, MAX_ERRORS, Violation};
use crate::reason::Reason;

/// `property` None: every line only has to be JSON.
///
/// # Errors
/// What the first lines that are not as they should be violate, with the reason of the first.
pub(super) fn verdict(
    validator: Option<&Validator<Body>>,
    property: Option<&str>,
    body: &[u8],
) -> Result<(), Violation> {
    let mut budget = Budget::default();
    let mut found: Option<Violation> = None;
    // What stands behind the last line feed is no line when it is empty.
    let lines = body.strip_suffix(b"\n").unwrap_or(body).split(|&byte| byte == b'\n');
    for (index, line) in lines.enumerate() {
        let Err(violation) = check(validator, property, line, &mut budget) else { continue };
        let end = violation.reason != Reason::SchemaBody;
        let reason = violation.reason;
        let violation = violation.moved(reason, Location::Body, &format!("/{index}"));
        match &mut found {
            Some(found) => found.errors.extend(violation.errors),
            None => found = Some(violation),
        }
        // Behind a line that cannot be read it is not certain where lines start.
        if end || found.as_ref().is_some_and(|found| found.errors.len() >= MAX_ERRORS) {
            break;
        }
    }
    let Some(mut found) = found else { return Ok(()) };
    found.errors.truncate(MAX_ERRORS);
    Err(found)
}

fn check(
    validator: Option<&Validator<Body>>,
    property: Option<&str>,
    line: &[u8],
    budget: &mut Budget,
) -> Result<(), Violation> {
    if line.trim_ascii().is_empty() {
        // Some readers skip blank lines, others stop there.
        return Err(Violation::body(Reason::SchemaJson, Class::Malformed, "a blank line"));
    }
    node::check(validator, property, line, budget)
}
