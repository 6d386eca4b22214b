//! Operations of an OpenAPI description: method and path template, matched in one walk.
//!
//! One router over path templates; the value of a template is its small table of methods, so that "the path is
//! described, the method is not" (405 with Allow) costs no second look-up. Templates are brought into the form of
//! [`crate::head::Head::path`] first: the same bytes then mean the same path on both sides.
//!
//! A segment with several parameters (`/compare/{base}...{head}`) is one to the router; what stands between them is
//! looked for afterwards, each parameter ending where the text behind it first appears. It comes before a segment that
//! is one parameter. A path that does not hold the text is tried with the other templates of that kind, those with
//! more text first, and then with the templates that have no such segment.

use std::fmt::Write as _;

use hashbrown::HashMap;
use matchit::{InsertError, Router};

use crate::policy::{Operation, Problem};

/// A parameter in the router's notation.
const PARAMETER: &str = "{p}";

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
    router: Router<Slot>,
    /// Templates with several parameters in a segment; those with more text first.
    crowded: Vec<Crowded>,
    /// The templates without, where there are others.
    plain: Option<Router<Methods>>,
}

/// What the router cannot tell apart.
#[derive(Debug, Default, Clone)]
struct Slot {
    /// Numbers of crowded templates, in ascending order.
    crowded: Vec<u32>,
    plain: Option<Methods>,
}

/// A template with several parameters in a segment.
#[derive(Debug, Clone)]
struct Crowded {
    /// The text ahead of the first parameter, between the parameters, and behind the last one.
    text: Vec<String>,
    methods: Methods,
}

/// The operations of one path template.
#[derive(Debug, Default, Clone)]
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
        Endpoints::route(templates, operations, problems)
    }

    fn route(
        templates: Vec<(String, usize, Methods)>,
        operations: &[Operation],
        problems: &mut Vec<Problem>,
    ) -> Endpoints {
        let mut slots: Vec<(String, usize, Slot)> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut crowded: Vec<(String, usize, Crowded)> = Vec::new();
        let mut plain: Vec<(String, Methods)> = Vec::new();
        for (template, index, mut methods) in templates {
            methods.allow = allow(&methods.operations);
            let key = collapsed(&template);
            let slot = *seen.entry(key.clone()).or_insert_with(|| {
                slots.push((key.clone(), index, Slot::default()));
                slots.len() - 1
            });
            if key == template {
                plain.push((template, methods.clone()));
                slots[slot].2.plain = Some(methods);
            } else {
                let text = template.split(PARAMETER).map(str::to_owned).collect();
                crowded.push((key, index, Crowded { text, methods }));
            }
        }
        crowded.sort_by_key(|(_, index, crowded)| (usize::MAX - crowded.text.concat().len(), *index));
        for (number, (key, ..)) in (0..).zip(&crowded) {
            slots[seen[key]].2.crowded.push(number);
        }
        let mut endpoints = Endpoints::default();
        for (template, index, slot) in slots {
            if let Err(error) = endpoints.router.insert(template, slot) {
                problems.push(ambiguous(&operations[index], &error));
            }
        }
        if !crowded.is_empty() {
            let mut router = Router::new();
            for (template, methods) in plain {
                // What is in conflict here was a problem above.
                let _ = router.insert(template, methods);
            }
            endpoints.plain = Some(router);
        }
        endpoints.crowded = crowded.into_iter().map(|(.., crowded)| crowded).collect();
        endpoints
    }

    /// The operation of a request; `path` is the head's normalised path.
    ///
    /// HEAD is an operation wherever GET is (RFC 9110, 9.3.2: the same as GET, without the content), unless the
    /// description gives HEAD an operation of its own.
    /// What stood in the place of the template's parameters is left in `captures`, as ranges of `path`, in the
    /// template's order.
    #[must_use]
    pub fn find(&self, method: &str, path: &str, captures: &mut Vec<(u32, u32)>) -> Match<'_> {
        let Some(methods) = self.template(path, captures) else { return Match::None };
        let operation =
            methods.operation(method).or_else(|| if method == "HEAD" { methods.operation("GET") } else { None });
        operation.map_or(Match::Method { allow: &methods.allow }, Match::Operation)
    }

    fn template(&self, path: &str, captures: &mut Vec<(u32, u32)>) -> Option<&Methods> {
        let found = self.router.at(path).ok()?;
        for number in &found.value.crowded {
            let crowded = &self.crowded[*number as usize];
            if crowded.matches(path, captures) {
                return Some(&crowded.methods);
            }
        }
        if let Some(methods) = &found.value.plain {
            keep(path, found.params.iter(), captures);
            return Some(methods);
        }
        // The router knew only templates whose text the path does not hold.
        if let Some(crowded) = self.crowded.iter().find(|crowded| crowded.matches(path, captures)) {
            return Some(&crowded.methods);
        }
        let found = self.plain.as_ref()?.at(path).ok()?;
        keep(path, found.params.iter(), captures);
        Some(found.value)
    }
}

fn keep<'p>(path: &str, parameters: impl Iterator<Item = (&'p str, &'p str)>, captures: &mut Vec<(u32, u32)>) {
    captures.extend(parameters.map(|(_, value)| {
        let start = (value.as_ptr() as usize - path.as_ptr() as usize) as u32;
        (start, start + value.len() as u32)
    }));
}

impl Crowded {
    /// Every parameter is at least one character and ends where the text behind it first appears; at the end of a
    /// segment, with the segment.
    fn matches(&self, path: &str, captures: &mut Vec<(u32, u32)>) -> bool {
        captures.clear();
        let matched = self.walk(path, captures).is_some();
        if !matched {
            captures.clear();
        }
        matched
    }

    fn walk(&self, path: &str, captures: &mut Vec<(u32, u32)>) -> Option<()> {
        let (first, texts) = self.text.split_first()?;
        let mut at = path.starts_with(first.as_str()).then_some(first.len())?;
        for (index, text) in texts.iter().enumerate() {
            let segment = path[at..].find('/').map_or(path.len(), |slash| at + slash);
            // The text up to the next parameter: within the segment, or from its end on.
            let (inside, beyond) = text.split_at(text.find('/').unwrap_or(text.len()));
            let ends = !beyond.is_empty() || index + 1 == texts.len();
            let end = if ends {
                segment.checked_sub(inside.len()).filter(|end| path.as_bytes()[*end..segment] == *inside.as_bytes())?
            } else {
                let from = at + path[at..segment].chars().next()?.len_utf8();
                from + path[from..segment].find(inside)?
            };
            if end <= at {
                return None;
            }
            captures.push((at as u32, end as u32));
            at = end + inside.len();
            at += path[at..].starts_with(beyond).then_some(beyond.len())?;
        }
        (at == path.len()).then_some(())
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

/// Names of a template's parameters, in its order.
pub fn parameters(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
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
    /// Two parameters with nothing between them.
    Adjacent,
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
            Fault::Adjacent => (
                format!("path `{path}` has two parameters with nothing between them"),
                "where one ends and the other begins cannot be told; `/{from}-{to}` is fine",
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

/// The template as the router takes it: a segment's first parameter stands for all up to the last one.
fn collapsed(template: &str) -> String {
    let segments = template.split('/').map(|segment| match (segment.find(PARAMETER), segment.rfind(PARAMETER)) {
        (Some(first), Some(last)) if first < last => format!("{}{}", &segment[..first], &segment[last..]),
        _ => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
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
        let mut parameters = false;
        while let Some(open) = text.find(['{', '}']) {
            let Some(inside) = text[open..].strip_prefix('{') else { return Err(Fault::Braces) };
            let Some(close) = inside.find('}') else { return Err(Fault::Braces) };
            if close == 0 || inside[..close].contains('{') {
                return Err(Fault::Braces);
            }
            if open == 0 && parameters {
                return Err(Fault::Adjacent);
            }
            parameters = true;
            literal(&text[..open], &mut out)?;
            out.push_str(PARAMETER);
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
                let mut captures = Vec::new();
                let found = match endpoints.find(method, path, &mut captures) {
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
                if let Value::Array(expected) = &case["captures"] {
                    let captured: Vec<&str> =
                        captures.iter().map(|&(start, end)| &path[start as usize..end as usize]).collect();
                    assert_eq!(&captured, expected, "{}", case["name"]);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_search_panic(path in "\\PC{0,40}") {
            let endpoints = described(&["GET /a/{x}", "GET /a/{x}/b/{y}.json", "GET /a/b", "GET /{x}-{y}", "GET /{x}é{y}.{z}"]);
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
