//! Operations of an OpenAPI description: method and path template, matched in one walk.
//!
//! One router over path templates; the value of a template is its small table of methods, so that "the path is
//! described, the method is not" (405 with Allow) costs no second look-up. Templates are brought into the form of
//! [`crate::head::Head::path`] first: the same bytes then mean the same path on both sides.

use std::fmt::Write as _;

use hashbrown::HashMap;
use matchit::{InsertError, Router};

use crate::policy::{Operation, Problem};

/// What a request's method and path amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'a> {
    /// Index into [`crate::policy::HostOpenapi::operations`].
    Operation(u32),
    /// The path is described, the method is not; `allow` is the value of the Allow field (RFC 9110, 10.2.1).
    Method { allow: &'a str },
    /// No template matches.
    None,
}

/// All operations of one host.
#[derive(Default)]
pub struct Endpoints {
    router: Router<Methods>,
}

/// The operations of one path template.
#[derive(Debug, Default)]
struct Methods {
    /// At most a dozen: scanned.
    operations: Vec<(String, u32)>,
    allow: String,
}

impl Endpoints {
    /// Compiles the operations; what cannot be told apart or matched becomes a problem at its operation.
    #[must_use]
    pub fn compile(operations: &[Operation], problems: &mut Vec<Problem>) -> Endpoints {
        let mut templates: Vec<(String, usize, Methods)> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, operation) in operations.iter().enumerate() {
            let template = match normalise(&operation.path) {
                Ok(template) => template,
                Err(fault) => {
                    problems.push(fault.problem(operation));
                    continue;
                }
            };
            let slot = *seen.entry(template.clone()).or_insert_with(|| {
                templates.push((template, index, Methods::default()));
                templates.len() - 1
            });
            let methods = &mut templates[slot].2;
            if let Some((_, first)) = methods.operations.iter().find(|(method, _)| *method == operation.method) {
                problems.push(taken(operation, &operations[*first as usize]));
                continue;
            }
            methods.operations.push((operation.method.clone(), index as u32));
        }
        let mut router = Router::new();
        for (template, index, mut methods) in templates {
            methods.allow = allow(&methods.operations);
            if let Err(error) = router.insert(template, methods) {
                problems.push(ambiguous(&operations[index], &error));
            }
        }
        Endpoints { router }
    }

    /// The operation of a request; `path` is the head's normalised path.
    ///
    /// HEAD is an operation wherever GET is (RFC 9110, 9.3.2: the same as GET, without the content), unless the
    /// description gives HEAD an operation of its own.
    /// What stood in the place of the template's parameters is left in `captures`, as ranges of `path`, in the
    /// template's order.
    #[must_use]
    pub fn find(&self, method: &str, path: &str, captures: &mut Vec<(u32, u32)>) -> Match<'_> {
        let Ok(found) = self.router.at(path) else { return Match::None };
        captures.extend(found.params.iter().map(|(_, value)| {
            let start = (value.as_ptr() as usize - path.as_ptr() as usize) as u32;
            (start, start + value.len() as u32)
        }));
        let methods = found.value;
        let operation =
            methods.operation(method).or_else(|| if method == "HEAD" { methods.operation("GET") } else { None });
        operation.map_or(Match::Method { allow: &methods.allow }, Match::Operation)
    }
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Endpoints").finish_non_exhaustive()
    }
}

impl Methods {
    fn operation(&self, method: &str) -> Option<u32> {
        self.operations.iter().find(|(name, _)| name == method).map(|&(_, index)| index)
    }
}

fn allow(operations: &[(String, u32)]) -> String {
    let mut names: Vec<&str> = operations.iter().map(|(method, _)| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Why a template cannot be matched.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// Does not start with a slash.
    Relative,
    /// A brace without its partner, or nothing between two.
    Braces,
    /// Two parameters in one segment.
    Crowded,
    /// Holds what [`crate::head::Head`] removes or refuses, so that no request could ever match.
    Unreachable,
}

impl Fault {
    fn problem(&self, operation: &Operation) -> Problem {
        let path = &operation.path;
        let (message, hint) = match self {
            Fault::Relative => (format!("path `{path}` does not start with `/`"), "start it with `/`"),
            Fault::Braces => (
                format!("path `{path}` has a brace without its partner, or a parameter without a name"),
                "write parameters as `{name}`",
            ),
            Fault::Crowded => (
                format!("path `{path}` has more than one parameter between two slashes, which is not supported"),
                "use one parameter per segment; `/files/{name}.json` is fine, `/{from}-{to}` is not",
            ),
            Fault::Unreachable => (
                format!("path `{path}` can never be asked for"),
                "empty segments, `.` and `..`, `?`, `#`, backslashes and encoded slashes never reach the operations",
            ),
        };
        Problem { at: operation.at.clone(), span: None, message, hint: Some(hint.to_owned()) }
    }
}

fn taken(operation: &Operation, first: &Operation) -> Problem {
    Problem {
        at: operation.at.clone(),
        span: None,
        message: format!(
            "`{} {}` matches the same requests as `{} {}`",
            operation.method, operation.path, first.method, first.path
        ),
        hint: Some("two templates that differ only in the names of their parameters are one".to_owned()),
    }
}

fn ambiguous(operation: &Operation, error: &InsertError) -> Problem {
    // The template that matchit names as the rival is not always the right one, so it is left out.
    let message = match error {
        InsertError::Conflict { .. } => {
            format!(
                "path `{}` cannot be told apart from another path at a segment that is partly a parameter",
                operation.path
            )
        }
        other => format!("path `{}` is not supported: {other}", operation.path),
    };
    Problem {
        at: operation.at.clone(),
        span: None,
        message,
        hint: Some("a parameter with text on both sides allows no other partial parameter at its position".to_owned()),
    }
}

/// The template in the router's notation: literal text as [`crate::head::Head::path`] would give it, parameters
/// without their names (the position is what counts).
fn normalise(path: &str) -> Result<String, Fault> {
    let Some(rest) = path.strip_prefix('/') else { return Err(Fault::Relative) };
    let mut out = String::with_capacity(path.len() + 8);
    let last = rest.split('/').count() - 1;
    for (position, segment) in rest.split('/').enumerate() {
        out.push('/');
        // An empty last segment is a trailing slash, which is kept; others are dropped from what clients send.
        if matches!(segment, "." | "..") || (segment.is_empty() && position < last) {
            return Err(Fault::Unreachable);
        }
        let mut text = segment;
        let mut parameters = 0;
        while let Some(open) = text.find(['{', '}']) {
            let Some(inside) = text[open..].strip_prefix('{') else { return Err(Fault::Braces) };
            let Some(close) = inside.find('}') else { return Err(Fault::Braces) };
            if close == 0 || inside[..close].contains('{') {
                return Err(Fault::Braces);
            }
            parameters += 1;
            if parameters > 1 {
                return Err(Fault::Crowded);
            }
            literal(&text[..open], &mut out)?;
            out.push_str("{p}");
            text = &inside[close + 1..];
        }
        literal(text, &mut out)?;
    }
    Ok(out)
}

/// Appends literal text the way a request's path is normalised: unreserved characters decoded, everything that
/// RFC 3986 does not allow in a path percent-encoded with upper-case digits.
fn literal(text: &str, out: &mut String) -> Result<(), Fault> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digits = text.get(at + 1..at + 3).ok_or(Fault::Unreachable)?;
                let byte = u8::from_str_radix(digits, 16).map_err(|_| Fault::Unreachable)?;
                match byte {
                    b'/' | b'\\' | 0 => return Err(Fault::Unreachable),
                    b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
                    _ if byte.is_ascii_alphanumeric() => out.push(byte as char),
                    _ => encode(byte, out),
                }
                at += 2;
            }
            b'?' | b'#' | b'\\' => return Err(Fault::Unreachable),
            byte @ (b'"' | b'<' | b'>' | b'^' | b'`' | b'|') => encode(byte, out),
            byte if !byte.is_ascii_graphic() => encode(byte, out),
            byte => out.push(byte as char),
        }
        at += 1;
    }
    Ok(())
}

fn encode(byte: u8, out: &mut String) {
    let _ = write!(out, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::head::Head;

    fn operations(lines: &[Value]) -> Vec<Operation> {
        let operation = |(index, line): (usize, &Value)| {
            let line = line.as_str().expect("a line");
            let (method, path) = line.split_once(' ').expect("method and path");
            Operation {
                id: line.to_owned(),
                at: index.to_string(),
                method: method.to_owned(),
                path: path.to_owned(),
                ..Operation::default()
            }
        };
        lines.iter().enumerate().map(operation).collect()
    }

    fn described(lines: &[&str]) -> Endpoints {
        let lines: Vec<Value> = lines.iter().map(|&line| line.into()).collect();
        let mut problems = Vec::new();
        let endpoints = Endpoints::compile(&operations(&lines), &mut problems);
        assert_eq!(problems, []);
        endpoints
    }

    #[test]
    fn every_case_of_the_corpus_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/corpus/endpoints");
        for file in std::fs::read_dir(folder).expect("the corpus") {
            let path = file.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file");
            let corpus: Value = serde_json::from_str(&text).expect("JSON");
            let operations = operations(corpus["operations"].as_array().expect("operations"));
            let mut problems = Vec::new();
            let endpoints = Endpoints::compile(&operations, &mut problems);
            let found: Vec<Value> = problems
                .iter()
                .map(|problem| {
                    serde_json::json!({ "at": problem.at.parse::<usize>().expect("an index"), "message": problem.message })
                })
                .collect();
            let mut expected = corpus["problems"].as_array().expect("problems").clone();
            expected.sort_by_key(|problem| problem["at"].as_u64());
            let mut found_sorted = found;
            found_sorted.sort_by_key(|problem| problem["at"].as_u64());
            assert_eq!(found_sorted, expected, "{}", path.display());
            for case in corpus["cases"].as_array().expect("cases") {
                let request = case["request"].as_str().expect("a request");
                let (method, path) = request.split_once(' ').expect("method and path");
                let found = match endpoints.find(method, path, &mut Vec::new()) {
                    Match::Operation(index) => operations[index as usize].id.clone(),
                    Match::Method { allow } => format!("allow {allow}"),
                    Match::None => "none".to_owned(),
                };
                let expected = match (&case["operation"], &case["allow"]) {
                    (Value::String(operation), _) => operation.clone(),
                    (_, Value::String(allow)) => format!("allow {allow}"),
                    _ => "none".to_owned(),
                };
                assert_eq!(found, expected, "{}", case["name"]);
            }
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_search_panic(path in "\\PC{0,40}") {
            let endpoints = described(&["GET /a/{x}", "GET /a/{x}/b/{y}.json", "GET /a/b"]);
            let _ = endpoints.find("GET", &path, &mut Vec::new());
        }

        #[test]
        fn no_template_makes_the_compiler_panic(paths in prop::collection::vec("[/{}a.%2F*é-]{0,12}", 0..12)) {
            let lines: Vec<Value> = paths.iter().map(|path| format!("GET {path}").into()).collect();
            let _ = Endpoints::compile(&operations(&lines), &mut Vec::new());
        }

        #[test]
        fn a_literal_template_matches_the_head_that_asks_for_it(segments in prop::collection::vec("[a-zA-Z0-9~%é!$&'()*+,;=:@ \"-]{1,8}", 1..4)) {
            // A percent sign that encodes nothing is refused on both sides; here it always encodes itself.
            let path: String = segments.iter().map(|segment| format!("/{}", segment.replace('%', "%25"))).collect();
            let line = format!("GET {path}");
            let endpoints = described(&[&line]);
            let asked: String = path.bytes().map(|byte| {
                if byte.is_ascii_graphic() { (byte as char).to_string() } else { format!("%{byte:02x}") }
            }).collect();
            let mut head = Head::default();
            head.parse_text(&format!("GET {asked}\nhost:a")).expect("a head");
            prop_assert_eq!(endpoints.find("GET", head.path(), &mut Vec::new()), Match::Operation(0));
        }
    }
}
