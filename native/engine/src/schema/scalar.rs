//! Compiled checks of texts whose schema is plain: most parameters are an integer in a range or one of a few words.
//!
//! A check says yes only where the schema, asked with the whole machinery, would. Everything else, and every text
//! that seems wrong, is left to it: it has the last word and finds the words for errors.

use serde_json::{Map, Value};

use super::validator::ANNOTATIONS;

/// Longest chain of `$ref` that is followed.
const MAX_CHAIN: usize = 16;
/// Most characters of a number that is compared as a double: up to 15 digits differ as doubles where they differ as
/// decimals (IEEE 754).
const MAX_DOUBLE_BYTES: usize = 15;
/// Most characters of an integer that certainly fits 64 bits, sign included.
const MAX_INTEGER_BYTES: usize = 18;

/// What a text is checked for.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar {
    Integer {
        least: i64,
        most: i64,
    },
    Number {
        least: f64,
        most: f64,
    },
    Boolean,
    Text {
        least: usize,
        most: usize,
        format: Option<Format>,
    },
    /// Sorted.
    Word(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Uuid,
    Date,
    DateTime,
}

/// What a list of texts is checked for.
#[derive(Debug, PartialEq)]
pub(super) struct List {
    pub(super) item: Scalar,
    pub(super) least: usize,
    pub(super) most: usize,
}

impl List {
    /// None: the schema says more than that.
    pub(super) fn of(root: &Value, schema: &Value) -> Option<List> {
        let schema = plain(root, schema)?;
        if schema.get("type")? != "array" || !only(schema, &["items", "minItems", "maxItems"]) {
            return None;
        }
        Some(List {
            item: Scalar::of(root, schema.get("items")?)?,
            least: size(schema, "minItems", 0)?,
            most: size(schema, "maxItems", usize::MAX)?,
        })
    }
}

impl Scalar {
    /// None: the schema says more than that.
    pub(super) fn of(root: &Value, schema: &Value) -> Option<Scalar> {
        let schema = plain(root, schema)?;
        match kind(schema)? {
            "integer" => Scalar::integer(schema),
            "number" if only(schema, &["minimum", "maximum"]) => Some(Scalar::Number {
                least: schema.get("minimum").map_or(Some(f64::NEG_INFINITY), Value::as_f64)?,
                most: schema.get("maximum").map_or(Some(f64::INFINITY), Value::as_f64)?,
            }),
            "boolean" if only(schema, &[]) => Some(Scalar::Boolean),
            "string" => Scalar::text(schema),
            _ => None,
        }
    }

    fn integer(schema: &Map<String, Value>) -> Option<Scalar> {
        if !only(schema, &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"]) {
            return None;
        }
        let (mut least, mut most) = match schema.get("format").map(Value::as_str) {
            None | Some(Some("int64")) => (i64::MIN, i64::MAX),
            Some(Some("int32")) => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Some(_) => return None,
        };
        for (name, limit) in schema {
            match name.as_str() {
                "minimum" => least = least.max(limit.as_i64()?),
                "maximum" => most = most.min(limit.as_i64()?),
                "exclusiveMinimum" => least = least.max(limit.as_i64()?.checked_add(1)?),
                "exclusiveMaximum" => most = most.min(limit.as_i64()?.checked_sub(1)?),
                _ => {}
            }
        }
        Some(Scalar::Integer { least, most })
    }

    fn text(schema: &Map<String, Value>) -> Option<Scalar> {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let mut words: Vec<String> =
                words.iter().map(|word| word.as_str().map(str::to_owned)).collect::<Option<_>>()?;
            words.sort_unstable();
            return only(schema, &["enum"]).then_some(Scalar::Word(words));
        }
        if let Some(word) = schema.get("const") {
            return only(schema, &["const"]).then_some(Scalar::Word(vec![word.as_str()?.to_owned()]));
        }
        let format = match schema.get("format").map(Value::as_str) {
            None => None,
            Some(Some("uuid")) => Some(Format::Uuid),
            Some(Some("date")) => Some(Format::Date),
            Some(Some("date-time")) => Some(Format::DateTime),
            Some(_) => return None,
        };
        only(schema, &["minLength", "maxLength", "format"]).then_some(())?;
        Some(Scalar::Text {
            least: size(schema, "minLength", 0)?,
            most: size(schema, "maxLength", usize::MAX)?,
            format,
        })
    }

    /// Whether the text certainly is what the schema wants. No is no verdict.
    pub(super) fn passes(&self, text: &str) -> bool {
        match self {
            Scalar::Integer { least, most } => {
                text.len() <= MAX_INTEGER_BYTES
                    && decimal(text, false)
                    && text.parse().is_ok_and(|value: i64| (*least..=*most).contains(&value))
            }
            Scalar::Number { least, most } => {
                text.len() <= MAX_DOUBLE_BYTES
                    && decimal(text, true)
                    && text.parse().is_ok_and(|value: f64| (*least..=*most).contains(&value))
            }
            Scalar::Boolean => matches!(text, "true" | "false"),
            Scalar::Text { least, most, format } => {
                let length = if text.is_ascii() { text.len() } else { text.chars().count() };
                (*least..=*most).contains(&length) && format.is_none_or(|format| format.passes(text.as_bytes()))
            }
            Scalar::Word(words) => words.binary_search_by(|word| word.as_str().cmp(text)).is_ok(),
        }
    }
}

impl Format {
    fn passes(self, text: &[u8]) -> bool {
        match self {
            Format::Uuid => {
                text.len() == 36
                    && text.iter().enumerate().all(|(at, byte)| match at {
                        8 | 13 | 18 | 23 => *byte == b'-',
                        _ => byte.is_ascii_hexdigit(),
                    })
            }
            Format::Date => date(text),
            Format::DateTime => {
                text.len() == 20
                    && text[10] == b'T'
                    && text[19] == b'Z'
                    && date(&text[..10])
                    && (text[13], text[16]) == (b':', b':')
                    && number(&text[11..13]).is_some_and(|hour| hour < 24)
                    && number(&text[14..16]).is_some_and(|minute| minute < 60)
                    && number(&text[17..19]).is_some_and(|second| second < 60)
            }
        }
    }
}

/// Days that every month has: the last ones are left to the schema.
fn date(text: &[u8]) -> bool {
    text.len() == 10
        && (text[4], text[7]) == (b'-', b'-')
        && number(&text[..4]).is_some()
        && number(&text[5..7]).is_some_and(|month| (1..=12).contains(&month))
        && number(&text[8..]).is_some_and(|day| (1..=28).contains(&day))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// Whether it is written as JSON writes it, without an exponent; `-0` is left to the schema.
fn decimal(text: &str, fraction: bool) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = match unsigned.split_once('.') {
        Some((whole, part)) if fraction && digits(part) => whole,
        Some(_) => return false,
        None => unsigned,
    };
    digits(whole) && (text == "0" || !whole.starts_with('0') || (whole == "0" && unsigned.len() > 1))
}

/// The schema at the end of a chain of references that add nothing.
fn plain<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Map<String, Value>> {
    let mut schema = schema.as_object()?;
    for _ in 0..MAX_CHAIN {
        let Some(reference) = schema.get("$ref") else { return Some(schema) };
        if !schema.keys().all(|name| name == "$ref" || ANNOTATIONS.contains(&name.as_str())) {
            return None;
        }
        schema = root.pointer(reference.as_str()?.strip_prefix('#')?)?.as_object()?;
    }
    None
}

/// The one type that is not null; without one, words are strings.
fn kind(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => Some(name),
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.next().filter(|_| names.next().is_none())
        }
        Some(_) => None,
        None => (schema.contains_key("enum") || schema.contains_key("const")).then_some("string"),
    }
}

fn only(schema: &Map<String, Value>, keywords: &[&str]) -> bool {
    schema.keys().all(|name| {
        let name = name.as_str();
        name == "type" || keywords.contains(&name) || ANNOTATIONS.contains(&name) || name.starts_with("x-")
    })
}

fn size(schema: &Map<String, Value>, name: &str, unsaid: usize) -> Option<usize> {
    schema.get(name).map_or(Some(unsaid), |limit| limit.as_u64().map(|limit| limit as usize))
}
