//! Formats beyond those of the jsonschema crate; the list that is documented is in src/check/endpoints/formats.ts.
//!
//! What a format says of text is a check of its own. What it says of numbers becomes bounds of the schema, before that
//! is compiled: JavaScript, which wrote the schema, holds no bounds beyond 2^53 exactly, serde_json does.

use serde_json::{Map, Number, Value};

use super::node::Body;

/// Formats of text: `byte` and `base64url` are RFC 4648, 4 and 5; the others are of the OpenAPI Format Registry, where
/// 64-bit integers and decimals may be text too.
pub(super) const TEXT: [(&str, fn(&str) -> bool); 6] = [
    ("byte", |text| base64(text, b'+', b'/', true)),
    ("base64url", |text| base64(text, b'-', b'_', false)),
    ("char", |text| text.chars().nth(1).is_none() && !text.is_empty()),
    ("decimal", decimal),
    ("int64", |text| integer(text) && text.parse::<i64>().is_ok()),
    ("uint64", |text| integer(text) && text.parse::<u64>().is_ok()),
];

/// Adds the bounds of a numeric format to a schema that has one.
pub(super) fn bound(schema: &mut Map<String, Value>) {
    let Some(Value::String(format)) = schema.get("format") else { return };
    let (least, most) = match format.as_str() {
        "int8" => (Number::from(i8::MIN), Number::from(i8::MAX)),
        "int16" => (Number::from(i16::MIN), Number::from(i16::MAX)),
        "int32" => (Number::from(i32::MIN), Number::from(i32::MAX)),
        "int64" => (Number::from(i64::MIN), Number::from(i64::MAX)),
        "uint8" => (Number::from(0), Number::from(u8::MAX)),
        "uint16" => (Number::from(0), Number::from(u16::MAX)),
        "uint32" => (Number::from(0), Number::from(u32::MAX)),
        "uint64" => (Number::from(0), Number::from(u64::MAX)),
        // What a double holds exactly (RFC 8259, 6).
        "double-int" => (Number::from(-MAX_SAFE), Number::from(MAX_SAFE)),
        // A double is finite by itself: the reader refuses all others.
        "float" => return float(schema),
        _ => return,
    };
    tighten(schema, "minimum", least, |old, new| old < new);
    tighten(schema, "maximum", most, |old, new| old > new);
    if !schema.contains_key("multipleOf") && admits_fractions(schema) {
        schema.insert("multipleOf".to_owned(), Value::from(1));
    }
}

const MAX_SAFE: i64 = (1 << 53) - 1;

fn float(schema: &mut Map<String, Value>) {
    let most = f64::from(f32::MAX);
    let (Some(least), Some(most)) = (Number::from_f64(-most), Number::from_f64(most)) else { return };
    tighten(schema, "minimum", least, |old, new| old < new);
    tighten(schema, "maximum", most, |old, new| old > new);
}

/// Writes a bound, unless there is one that is as tight. `looser` compares what is there with what the format says; a
/// bound of the description that is a double was rounded, so that equal ones are replaced too.
fn tighten(schema: &mut Map<String, Value>, keyword: &str, bound: Number, looser: fn(f64, f64) -> bool) {
    let value = bound.as_f64().unwrap_or_default();
    let keep = schema
        .get(keyword)
        .and_then(Value::as_f64)
        .is_some_and(|old| old.to_bits() != value.to_bits() && !looser(old, value));
    if !keep {
        schema.insert(keyword.to_owned(), Value::Number(bound));
    }
}

fn admits_fractions(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        None => true,
        Some(Value::String(name)) => name == "number",
        Some(Value::Array(names)) => names.iter().any(|name| name == "number"),
        Some(_) => false,
    }
}

/// Whole groups of four, padded or, where padding is optional, not.
fn base64(text: &str, plus: u8, slash: u8, padded: bool) -> bool {
    let data = text.trim_end_matches('=');
    let padding = text.len() - data.len();
    let whole = match data.len() % 4 {
        0 => padding == 0,
        2 => padding == 2 || (!padded && padding == 0),
        3 => padding == 1 || (!padded && padding == 0),
        _ => false,
    };
    whole && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == plus || byte == slash)
}

fn integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

/// Registers the formats of text.
pub(super) fn register<'i, R>(
    options: jsonschema::ValidationOptions<'i, R, Body>,
) -> jsonschema::ValidationOptions<'i, R, Body> {
    TEXT.into_iter().fold(options, |options, (name, holds)| options.with_format(name, holds))
}
