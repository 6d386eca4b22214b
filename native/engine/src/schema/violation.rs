//! What a body violates, for the eyes of the API client's author.
//!
//! An answer names the place and what the description expects there. It never repeats a value of the client's, and
//! names only in short: what a client sends can be a secret, or markup for whoever reads the log.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::json::{Fault, Refusal};
use super::pointer::escape;
use crate::reason::Reason;

/// Most errors that are told: enough to mend a request in one go, too few to make an answer costly.
pub const MAX_ERRORS: usize = 10;
/// Most bytes of a pointer; it can hold names that the client chose.
const MAX_POINTER_BYTES: usize = 256;
/// Most bytes of a message; it can hold a pattern or an enumeration of the description.
const MAX_MESSAGE_BYTES: usize = 256;
/// Most bytes of a name that the client chose, and how many are told.
pub(super) const MAX_NAME_BYTES: usize = 32;
const MAX_NAMES: usize = 3;

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// One of `Schema*` or `Grpc*`.
    pub reason: Reason,
    /// At least one, at most [`MAX_ERRORS`].
    pub errors: Vec<ViolationError>,
}

/// One place that is not as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViolationError {
    pub location: Location,
    pub class: Class,
    /// JSON Pointer (RFC 6901): into the body, or `/name` of a parameter and on from there. Of a response: `/status`,
    /// `/headers/name`, `/body` and on from there. Empty for the whole body. Of a message, the way to a field:
    /// `user.items[3].id`.
    pub pointer: String,
    /// What is expected there.
    pub message: String,
}

/// Which part of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    Body,
    Query,
    Path,
    Header,
    Cookie,
    Response,
    /// One message of a call.
    Message,
}

impl Location {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Location::Body => "body",
            Location::Query => "query",
            Location::Path => "path",
            Location::Header => "header",
            Location::Cookie => "cookie",
            Location::Response => "response",
            Location::Message => "message",
        }
    }
}

/// What kind of fault; stable words for whoever counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Not what the bytes should be at all: syntax, encoding.
    Malformed,
    Type,
    /// Something is missing.
    Required,
    /// Something is there that is not described.
    Unknown,
    /// Not one of the values: enum, const.
    Value,
    /// Numbers: minimum, maximum, multipleOf.
    Range,
    /// Strings.
    Length,
    Pattern,
    Format,
    /// How many items or members, and whether they differ.
    Count,
    /// allOf, anyOf, oneOf, not.
    Alternatives,
    MediaType,
    Status,
    /// Bounds of ours.
    Size,
}

impl Class {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Malformed => "malformed",
            Class::Type => "type",
            Class::Required => "required",
            Class::Unknown => "unknown",
            Class::Value => "value",
            Class::Range => "range",
            Class::Length => "length",
            Class::Pattern => "pattern",
            Class::Format => "format",
            Class::Count => "count",
            Class::Alternatives => "alternatives",
            Class::MediaType => "media_type",
            Class::Status => "status",
            Class::Size => "size",
        }
    }
}

impl Violation {
    /// One error at one place.
    pub(super) fn at(reason: Reason, location: Location, class: Class, pointer: &str, message: &str) -> Violation {
        let error = ViolationError {
            location,
            class,
            pointer: shorten(pointer, MAX_POINTER_BYTES),
            message: shorten(message, MAX_MESSAGE_BYTES),
        };
        Violation { reason, errors: vec![error] }
    }

    pub(super) fn body(reason: Reason, class: Class, message: &str) -> Violation {
        Violation::at(reason, Location::Body, class, "", message)
    }

    pub(super) fn missing() -> Violation {
        Violation::body(Reason::SchemaBody, Class::Required, "a body is required")
    }

    pub(super) fn exhausted() -> Violation {
        Violation::body(Reason::SchemaSteps, Class::Size, "too large to be checked against its description")
    }

    pub(super) fn unavailable() -> Violation {
        Violation::body(Reason::SchemaBody, Class::Malformed, "the description of this body is not available")
    }

    pub(super) fn malformed(refusal: &Refusal) -> Violation {
        let reason = match refusal.fault {
            Fault::Utf8 => Reason::SchemaUtf8,
            Fault::Duplicate => Reason::SchemaDuplicateKey,
            Fault::Surrogate => Reason::SchemaSurrogate,
            Fault::Depth => Reason::SchemaDepth,
            Fault::Number => Reason::SchemaNumber,
            Fault::Precision => Reason::SchemaPrecision,
            Fault::Syntax | Fault::Truncated | Fault::Trailing | Fault::Size => Reason::SchemaJson,
        };
        Violation::body(reason, Class::Malformed, &format!("{} at byte {}", refusal.fault, refusal.offset))
    }

    /// `property` is the first token of every pointer, and no part of the body.
    pub(super) fn invalid<'a>(errors: impl Iterator<Item = ValidationError<'a>>, property: &str) -> Violation {
        let prefix = property.len() + 1;
        let mut told: Vec<ViolationError> = Vec::new();
        for error in errors {
            tell(&error, prefix, &mut told);
            if told.len() == MAX_ERRORS {
                break;
            }
        }
        if told.is_empty() {
            return Violation::body(Reason::SchemaBody, Class::Alternatives, "does not match its description");
        }
        Violation { reason: Reason::SchemaBody, errors: told }
    }

    /// The same, found elsewhere than in a request's body: `pointer` goes ahead of every pointer.
    pub(super) fn moved(mut self, reason: Reason, location: Location, pointer: &str) -> Violation {
        self.reason = reason;
        for error in &mut self.errors {
            error.location = location;
            error.pointer.insert_str(0, pointer);
        }
        self
    }
}

/// Adds what `error` says; of alternatives that all failed, what the closest one says.
fn tell(error: &ValidationError<'_>, prefix: usize, told: &mut Vec<ViolationError>) {
    if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } = error.kind()
        && let Some(branch) = closest(context)
    {
        for inner in branch {
            if told.len() == MAX_ERRORS {
                return;
            }
            tell(inner, prefix, told);
        }
        return;
    }
    let pointer = error.instance_path().as_str();
    let one = ViolationError {
        location: Location::Body,
        class: class(error),
        pointer: shorten(pointer.get(prefix..).unwrap_or_default(), MAX_POINTER_BYTES),
        message: shorten(&expected(error), MAX_MESSAGE_BYTES),
    };
    // Two ways to one schema find the same fault.
    if !told.contains(&one) {
        told.push(one);
    }
}

/// The branch whose failures lie deepest in the body, of those the one with the fewest: it is the alternative that
/// the client most likely meant. None when they are equally far, for then any choice would mislead.
fn closest<'a>(context: &'a [Vec<ValidationError<'static>>]) -> Option<&'a [ValidationError<'static>]> {
    let rank = |branch: &[ValidationError<'_>]| {
        let depth = branch.iter().map(|error| error.instance_path().as_str().matches('/').count()).min().unwrap_or(0);
        (depth, usize::MAX - branch.len())
    };
    let mut branches = context.iter().filter(|branch| !branch.is_empty()).map(|branch| (rank(branch), branch));
    let mut best = branches.next()?;
    let mut tied = false;
    for branch in branches {
        tied = (tied && branch.0 <= best.0) || branch.0 == best.0;
        if branch.0 > best.0 {
            best = branch;
        }
    }
    (!tied).then_some(best.1)
}

fn class(error: &ValidationError<'_>) -> Class {
    use ValidationErrorKind as Kind;
    match error.kind() {
        Kind::Type { .. } => Class::Type,
        Kind::Required { .. } => Class::Required,
        Kind::AdditionalProperties { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::AdditionalItems { .. }
        | Kind::UnevaluatedItems { .. }
        | Kind::PropertyNames { .. }
        | Kind::FalseSchema => Class::Unknown,
        Kind::Constant { .. } | Kind::Enum { .. } => Class::Value,
        Kind::Maximum { .. }
        | Kind::Minimum { .. }
        | Kind::ExclusiveMaximum { .. }
        | Kind::ExclusiveMinimum { .. }
        | Kind::MultipleOf { .. } => Class::Range,
        Kind::MaxLength { .. } | Kind::MinLength { .. } => Class::Length,
        Kind::MaxItems { .. }
        | Kind::MinItems { .. }
        | Kind::MaxProperties { .. }
        | Kind::MinProperties { .. }
        | Kind::UniqueItems
        | Kind::Contains => Class::Count,
        Kind::Pattern { .. } => Class::Pattern,
        Kind::Format { .. } | Kind::ContentEncoding { .. } | Kind::ContentMediaType { .. } => Class::Format,
        _ => Class::Alternatives,
    }
}

/// What the description expects, in one phrase.
pub(super) fn expected(error: &ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    match error.kind() {
        Kind::Type { kind } => match kind {
            TypeKind::Single(kind) => format!("expected {kind}"),
            TypeKind::Multiple(kinds) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                format!("expected {}", kinds.join(" or "))
            }
        },
        Kind::Required { property } => format!("expected a member named {property}"),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("expected no further members, found {}", names(unexpected))
        }
        Kind::AdditionalItems { limit } => format!("expected at most {limit} items"),
        Kind::UnevaluatedItems { .. } => "expected no further items".to_owned(),
        Kind::PropertyNames { error } => format!("expected other member names: {}", expected(error)),
        Kind::Constant { expected_value } => format!("expected {expected_value}"),
        Kind::Enum { options } => match &**options {
            Value::Array(options) => {
                let options: Vec<String> = options.iter().map(Value::to_string).collect();
                format!("expected one of {}", options.join(", "))
            }
            other => format!("expected {other}"),
        },
        Kind::Maximum { limit } => format!("expected at most {limit}"),
        Kind::Minimum { limit } => format!("expected at least {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("expected less than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("expected more than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("expected a multiple of {multiple_of}"),
        Kind::MaxLength { limit } => format!("expected at most {limit} characters"),
        Kind::MinLength { limit } => format!("expected at least {limit} characters"),
        Kind::MaxItems { limit } => format!("expected at most {limit} items"),
        Kind::MinItems { limit } => format!("expected at least {limit} items"),
        Kind::MaxProperties { limit } => format!("expected at most {limit} members"),
        Kind::MinProperties { limit } => format!("expected at least {limit} members"),
        Kind::UniqueItems => "expected no two equal items".to_owned(),
        Kind::Contains => "expected an item that matches".to_owned(),
        Kind::Pattern { pattern } => format!("expected text that matches {pattern}"),
        Kind::Format { format } => format!("expected the format {format}"),
        Kind::ContentEncoding { content_encoding } => format!("expected text encoded as {content_encoding}"),
        Kind::ContentMediaType { content_media_type } => format!("expected text that is {content_media_type}"),
        Kind::FalseSchema => "expected nothing here".to_owned(),
        Kind::Not { .. } => "expected something else".to_owned(),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => "expected one of several alternatives".to_owned(),
        Kind::OneOfMultipleValid { .. } => "expected exactly one of several alternatives, found more".to_owned(),
        // Their own texts hold library details, or the client's values.
        Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Custom { .. }
        | Kind::FromUtf8 { .. }
        | Kind::Referencing(_) => "does not match its description".to_owned(),
    }
}

fn names(unexpected: &[String]) -> String {
    let mut told: Vec<String> = unexpected
        .iter()
        .take(MAX_NAMES)
        .map(|name| Value::String(shorten(name, MAX_NAME_BYTES)).to_string())
        .collect();
    if unexpected.len() > MAX_NAMES {
        told.push(format!("and {} more", unexpected.len() - MAX_NAMES));
    }
    told.join(", ")
}

/// A name as the first token of a pointer (RFC 6901, 3).
pub(super) fn token(name: &str) -> String {
    shorten(&format!("/{}", escape(name)), MAX_POINTER_BYTES)
}

pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
