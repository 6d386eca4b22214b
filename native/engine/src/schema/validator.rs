//! The host's one JSON Schema document, compiled.

use jsonschema::{Draft, PatternOptions, Validator};

use super::node::Body;
use super::problem;
use super::violation::{self, MAX_ERRORS};
use crate::policy::Problem;

/// Most bytes of one compiled `pattern`: the regex crate's own default is 10 MiB, and a description may hold
/// thousands of patterns.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A schema that cannot be compiled is a problem at `{at}/schema/<its place>`.
pub(super) fn build(root: &serde_json::Value, at: &str, problems: &mut Vec<Problem>) -> Option<Validator<Body>> {
    let before = problems.len();
    for error in jsonschema::draft202012::meta::validator().iter_errors(root) {
        let place = error.instance_path().as_str();
        problems.push(problem(&format!("{at}/schema{place}"), violation::expected(&error), None));
        if problems.len() - before == MAX_ERRORS {
            return None;
        }
    }
    patterns(root, &mut format!("{at}/schema"), problems);
    if problems.len() > before {
        return None;
    }
    let options = jsonschema::options_for::<Body>()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .offline();
    match options.build(root) {
        Ok(validator) => Some(validator),
        Err(error) => {
            let place = error.instance_path().as_str();
            problems.push(problem(&format!("{at}/schema{place}"), error.to_string(), None));
            None
        }
    }
}

/// Tries every `pattern` by itself: one that cannot be compiled would hide all the others.
fn patterns(schema: &serde_json::Value, at: &mut String, problems: &mut Vec<Problem>) {
    let length = at.len();
    match schema {
        serde_json::Value::Object(members) => {
            if let Some(serde_json::Value::String(pattern)) = members.get("pattern") {
                try_pattern(pattern, &format!("{at}/pattern"), problems);
            }
            if let Some(serde_json::Value::Object(properties)) = members.get("patternProperties") {
                for pattern in properties.keys() {
                    try_pattern(pattern, &format!("{at}/patternProperties/{}", escape(pattern)), problems);
                }
            }
            for (name, member) in members {
                if !matches!(name.as_str(), "enum" | "const") {
                    at.push('/');
                    at.push_str(&escape(name));
                    patterns(member, at, problems);
                    at.truncate(length);
                }
            }
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push('/');
                at.push_str(itoa::Buffer::new().format(index));
                patterns(item, at, problems);
                at.truncate(length);
            }
        }
        _ => {}
    }
}

fn try_pattern(pattern: &str, at: &str, problems: &mut Vec<Problem>) {
    let schema = serde_json::json!({ "pattern": pattern });
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES));
    if options.build(&schema).is_err() {
        problems.push(problem(
            at,
            format!("the pattern `{pattern}` cannot be compiled"),
            Some("look-around and back-references are not supported: matching has to take linear time"),
        ));
    }
}

/// One reference token of a JSON Pointer (RFC 6901, 3).
pub(super) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
