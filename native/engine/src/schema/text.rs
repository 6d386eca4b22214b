//! Text: the whole body is one string, or what its schema makes of it.

use jsonschema::Validator;

use super::builder::Builder;
use super::node::Body;
use super::shape::Shape;
use super::violation::{Class, Violation};
use crate::reason::Reason;

/// # Errors
/// What the text violates.
pub(super) fn verdict(
    validator: &Validator<Body>,
    property: &str,
    shape: &Shape,
    body: &[u8],
    builder: &mut Builder,
) -> Result<(), Violation> {
    let text = utf8(body)?;
    builder.clear();
    builder.scalar(text, shape);
    builder.verdict(validator, property)
}

/// # Errors
/// Where the bytes stop being text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("invalid UTF-8 at byte {}", error.valid_up_to());
        Violation::body(Reason::SchemaUtf8, Class::Malformed, &message)
    })
}
