//! What was found in place of what is expected, for operators who allow it (`problem.allowValues`).
//!
//! Looked up again when a value was refused already, so that a good one pays nothing. Values are in JSON bodies, query
//! and fields; of other bodies only what is expected is told.

use super::json::{Entry, Parsed};
use super::pointer::unescape;
use super::violation::{Location, ViolationError, shorten};
use crate::head::Head;

/// Most bytes of a value that are shown.
const MAX_VALUE_BYTES: usize = 64;

/// Adds to each error what stands at its pointer, below `prefix`.
pub(super) fn in_body(errors: &mut [ViolationError], prefix: &str, parsed: Parsed<'_>) {
    for error in errors {
        if let Some(pointer) = error.pointer.strip_prefix(prefix)
            && let Some(entry) = parsed.find(pointer)
        {
            add(&mut error.message, &value(parsed, entry));
        }
    }
}

/// The same for parameters, as they came.
pub(super) fn in_head(errors: &mut [ViolationError], head: &Head) {
    for error in errors {
        let name = unescape(error.pointer.split('/').nth(1).unwrap_or_default());
        let found = match error.location {
            Location::Query => head.query().split('&').find_map(|pair| pair.strip_prefix(&*name)?.strip_prefix('=')),
            Location::Header => head.field(&name),
            Location::Body | Location::Path | Location::Cookie | Location::Response | Location::Message => None,
        };
        if let Some(found) = found {
            add(&mut error.message, &quoted(found));
        }
    }
}

fn add(message: &mut String, value: &str) {
    message.push_str(", found ");
    message.push_str(value);
}

fn value(parsed: Parsed<'_>, entry: u32) -> String {
    match parsed.tape.entries[entry as usize] {
        Entry::Null => "null".to_owned(),
        Entry::Boolean(value) => value.to_string(),
        Entry::Number { start, length } => {
            shorten(&parsed.body[start as usize..(start + length) as usize], MAX_VALUE_BYTES)
        }
        Entry::Text { .. } | Entry::Decoded { .. } => quoted(parsed.string(entry).unwrap_or_default()),
        Entry::Array { length, .. } => format!("an array of {length}"),
        Entry::Object { length, .. } => format!("an object of {length}"),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(shorten(text, MAX_VALUE_BYTES)).to_string()
}
