//! The host's one JSON Schema document, compiled.

use std::collections::HashSet;

use jsonschema::{Draft, PatternOptions, Validator};
use regex_automata::meta::Regex;
use serde_json::{Map, Value};

use super::node::Body;
use super::pointer::escape;
use super::violation::{self, MAX_ERRORS};
use super::{formats, problem};
use crate::policy::Problem;

/// The URI of the document, from which its embedded resources count; the same in src/check/endpoints/dialect.ts.
const BASE: &str = "json-schema:///";
/// Most bytes of one compiled `pattern`: the regex crate's own default is 10 MiB, and a description may hold
/// thousands of patterns.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Most bytes of all compiled patterns of a host: 64 of the largest, a fifth of what a description may take in all
/// (docs/schema.md).
const MAX_PATTERNS_BYTES: usize = 64 << 20;

/// Keywords whose value is a schema, a list of schemas, a map of schemas.
const SCHEMA: [&str; 11] = [
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const MAP: [&str; 5] = ["$defs", "definitions", "properties", "patternProperties", "dependentSchemas"];

/// Keywords without a say in the verdict.
pub(super) const ANNOTATIONS: [&str; 11] = [
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "xml",
    "externalDocs",
];

/// A schema that cannot be compiled is a problem at `{at}/schema/<its place>`.
pub(super) fn build(root: &Value, at: &str, problems: &mut Vec<Problem>) -> Option<Validator<Body>> {
    let before = problems.len();
    let mut root = root.clone();
    let mut patterns = Patterns::default();
    visit(&mut root, &mut format!("{at}/schema"), &mut |schema, at| {
        formats::bound(schema);
        patterns.of(schema, at, problems);
    });
    if problems.len() > before {
        return None;
    }
    let fault = match options().with_draft(Draft::Draft202012).with_base_uri(BASE).build(&root) {
        Ok(validator) => return Some(validator),
        Err(error) => error,
    };
    // The first fault of a schema hides the others: all of them are told at once.
    for error in jsonschema::draft202012::meta::validator().iter_errors(&root).take(MAX_ERRORS) {
        let place = error.instance_path().as_str();
        problems.push(problem(&format!("{at}/schema{place}"), violation::expected(&error), None));
    }
    if problems.len() == before {
        let place = fault.instance_path().as_str();
        problems.push(problem(&format!("{at}/schema{place}"), fault.to_string(), None));
    }
    None
}

/// Everything but the draft. Nothing is fetched, and matching takes linear time.
pub(super) fn options<'i>() -> jsonschema::ValidationOptions<'i, std::sync::Arc<dyn jsonschema::Retrieve>, Body> {
    let options = jsonschema::options_for::<Body>()
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .offline();
    formats::register(options)
}

/// Hands every schema that is an object to `then`, with its place; the outer one first.
fn visit(schema: &mut Value, at: &mut String, then: &mut dyn FnMut(&mut Map<String, Value>, &str)) {
    let Value::Object(members) = schema else { return };
    then(members, at);
    let length = at.len();
    for (keyword, value) in members {
        at.push('/');
        at.push_str(&escape(keyword));
        let keyword = keyword.as_str();
        match value {
            Value::Array(items) if LIST.contains(&keyword) => {
                let length = at.len();
                for (index, item) in items.iter_mut().enumerate() {
                    at.push('/');
                    at.push_str(itoa::Buffer::new().format(index));
                    visit(item, at, then);
                    at.truncate(length);
                }
            }
            Value::Object(schemas) if MAP.contains(&keyword) => {
                let length = at.len();
                for (name, item) in schemas {
                    at.push('/');
                    at.push_str(&escape(name));
                    visit(item, at, then);
                    at.truncate(length);
                }
            }
            item if SCHEMA.contains(&keyword) => visit(item, at, then),
            _ => {}
        }
        at.truncate(length);
    }
}

/// Tries every pattern by itself: one that cannot be compiled would hide all the others.
#[derive(Default)]
struct Patterns {
    known: HashSet<String>,
    bytes: usize,
}

impl Patterns {
    fn of(&mut self, schema: &Map<String, Value>, at: &str, problems: &mut Vec<Problem>) {
        if let Some(Value::String(pattern)) = schema.get("pattern") {
            self.compile(pattern, &format!("{at}/pattern"), problems);
        }
        if let Some(Value::Object(properties)) = schema.get("patternProperties") {
            for pattern in properties.keys() {
                self.compile(pattern, &format!("{at}/patternProperties/{}", escape(pattern)), problems);
            }
        }
    }

    fn compile(&mut self, pattern: &str, at: &str, problems: &mut Vec<Problem>) {
        if self.bytes > MAX_PATTERNS_BYTES || self.known.contains(pattern) {
            return;
        }
        let compiled = jsonschema_regex::to_rust_regex(pattern).ok().and_then(|translated| {
            let config = Regex::config().nfa_size_limit(Some(MAX_PATTERN_BYTES));
            Regex::builder().configure(config).build(&translated).ok()
        });
        let Some(compiled) = compiled else {
            problems.push(problem(
                at,
                format!("the pattern `{pattern}` cannot be compiled"),
                Some("look-around and back-references are not supported: matching has to take linear time"),
            ));
            return;
        };
        self.known.insert(pattern.to_owned());
        self.bytes += compiled.memory_usage();
        if self.bytes > MAX_PATTERNS_BYTES {
            let most = MAX_PATTERNS_BYTES >> 20;
            problems.push(problem(at, format!("the patterns up to here take more than {most} MiB"), None));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compiled(root: &Value) -> Result<Validator<Body>, Vec<(String, String)>> {
        let mut problems = Vec::new();
        build(root, "", &mut problems)
            .ok_or_else(|| problems.into_iter().map(|problem| (problem.at, problem.message)).collect())
    }

    fn accepts(validator: &Validator<Body>, body: &str) -> bool {
        super::super::json::with_tape(body.as_bytes(), |parsed| {
            // What 64 bits do not hold is refused while it is read.
            parsed.is_ok_and(|parsed| super::super::node::verdict(validator, parsed, "a").is_ok())
        })
    }

    #[test]
    fn formats_bound_numbers_exactly() {
        for (format, good, bad) in [
            ("int64", "9223372036854775807", "9223372036854775808"),
            ("int64", "-9223372036854775808", "-9223372036854775809"),
            ("uint64", "18446744073709551615", "18446744073709551616"),
            ("int32", "-2147483648", "2147483648"),
            ("uint8", "255", "-1"),
            ("double-int", "9007199254740991", "9007199254740992"),
            ("float", "3.4e38", "3.5e38"),
            ("int16", "7.0", "7.5"),
        ] {
            let validator = compiled(&json!({ "properties": { "a": { "format": format } } })).expect("a schema");
            assert!(accepts(&validator, good), "{format} {good}");
            assert!(!accepts(&validator, bad), "{format} {bad}");
        }
    }

    #[test]
    fn data_and_names_of_members_are_no_keywords() {
        let root = json!({ "properties": { "a": {
            "properties": { "enum": { "pattern": "(" } }, "const": { "format": "int8", "pattern": "(" }
        } } });
        let places: Vec<String> = compiled(&root).expect_err("a pattern").into_iter().map(|(at, _)| at).collect();
        assert_eq!(places, ["/schema/properties/a/properties/enum/pattern"]);
        let validator =
            compiled(&json!({ "properties": { "a": { "const": { "format": "int8" } } } })).expect("a schema");
        assert!(accepts(&validator, r#"{"format":"int8"}"#));
    }

    #[test]
    fn patterns_mean_what_they_mean_in_javascript() {
        for (pattern, good, bad) in [
            (r"\d", "x1", "x٣"),
            (r"^\w$", "a", "é"),
            ("a$", "ba", "a\n"),
            (r"^\p{L}+$", "é", "1"),
            (r"^\s$", "\u{feff}", "x"),
            (r"^\u0041\/\-$", "A/-", "a/-"),
            ("^.$", "😀", "\n"),
        ] {
            let validator = compiled(&json!({ "properties": { "a": { "pattern": pattern } } })).expect("a schema");
            assert!(accepts(&validator, &Value::from(good).to_string()), "{pattern} {good:?}");
            assert!(!accepts(&validator, &Value::from(bad).to_string()), "{pattern} {bad:?}");
        }
    }

    #[test]
    fn patterns_are_bounded_together() {
        let patterns: Vec<Value> = (0..400).map(|n| json!({ "pattern": format!("{n}\\p{{L}}{{20}}") })).collect();
        let problems = compiled(&json!({ "properties": { "a": { "anyOf": patterns } } })).expect_err("too many");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].1, "the patterns up to here take more than 64 MiB");
    }

    #[test]
    fn resources_inside_of_the_document_extend_each_other() {
        let root = json!({
            "$defs": {
                "Page": { "$id": "json-schema:///Page", "items": { "$dynamicRef": "#item" }, "$defs": { "item": { "$dynamicAnchor": "item" } } },
                "Users": { "$id": "json-schema:///Users", "$ref": "json-schema:///Page", "$defs": { "item": { "$dynamicAnchor": "item", "$ref": "json-schema:///#/$defs/User" } } },
                "User": { "type": "object" }
            },
            "properties": { "a": { "$ref": "json-schema:///Users" } }
        });
        let validator = compiled(&root).expect("a schema");
        assert!(accepts(&validator, "[{}]"));
        assert!(!accepts(&validator, "[1]"));
    }
}
