//! Formats beyond those of the jsonschema crate; the list that is documented is in src/check/endpoints/formats.ts.
//!
//! What a format says of text is a check of its own. What it says of numbers becomes bounds of the schema, before that
//! is compiled: JavaScript, which wrote the schema, holds no bounds beyond 2^53 exactly, serde_json does.

use serde_json::{Map, Number, Value};

use super::node::Body;

type Holds = fn(&str) -> bool;

/// Formats of text: `byte` and `base64url` are RFC 4648, 4 and 5; the others are of the OpenAPI Format Registry, where
/// 64-bit integers and decimals may be text too.
pub(super) const TEXT: [(&str, Holds); 6] = [
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bounded(schema: Value) -> Value {
        let Value::Object(mut schema) = schema else { panic!("an object") };
        bound(&mut schema);
        Value::Object(schema)
    }

    #[test]
    fn bounds_of_64_bits_are_exact() {
        let bounds = bounded(json!({ "type": "integer", "format": "int64" }));
        assert_eq!(bounds["minimum"].to_string(), "-9223372036854775808");
        assert_eq!(bounds["maximum"].to_string(), "9223372036854775807");
        let bounds = bounded(json!({ "type": "integer", "format": "uint64" }));
        assert_eq!((bounds["minimum"].to_string(), bounds["maximum"].to_string()), ("0".into(), u64::MAX.to_string()));
        // What JavaScript makes of 9223372036854775807.
        let rounded: Value = serde_json::from_str(r#"{"format":"int64","maximum":9223372036854776000}"#).expect("JSON");
        assert_eq!(bounded(rounded)["maximum"].to_string(), "9223372036854775807");
    }

    #[test]
    fn tighter_bounds_of_the_description_stay() {
        let schema = bounded(json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 1e18 }));
        assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(1), &json!(i32::MAX)));
    }

    #[test]
    fn integer_formats_are_whole_and_floats_finite() {
        assert_eq!(bounded(json!({ "type": "number", "format": "int8" }))["multipleOf"], json!(1));
        assert_eq!(bounded(json!({ "type": ["integer", "null"], "format": "int8" })).get("multipleOf"), None);
        let float = bounded(json!({ "type": "number", "format": "float" }));
        assert_eq!(float["maximum"].as_f64(), Some(f64::from(f32::MAX)));
        assert_eq!(bounded(json!({ "format": "email" })), json!({ "format": "email" }));
    }

    #[test]
    fn text_of_a_format_is_checked() {
        for (format, good, bad) in [
            ("byte", &["", "YQ==", "YWI=", "YWJj", "+/+/"][..], &["YQ", "YQ=", "Y===", "YW-_", "YWJj=", "YW Jj"][..]),
            ("base64url", &["YQ", "YQ==", "-_-_"], &["Y", "+/+/", "YQ="]),
            ("char", &["a", "é"], &["", "ab"]),
            ("decimal", &["1", "-1.50"], &["1.", ".5", "1e3", "+1", ""]),
            ("int64", &["-9223372036854775808"], &["9223372036854775808", "+1", "1.0", ""]),
            ("uint64", &["18446744073709551615"], &["-1", "18446744073709551616"]),
        ] {
            let (_, holds) = TEXT.into_iter().find(|(name, _)| *name == format).expect("a format");
            for text in good {
                assert!(holds(text), "{format} {text}");
            }
            for text in bad {
                assert!(!holds(text), "{format} {text}");
            }
        }
    }
}
