//! The JSON Schema test suite, through our own representation of bodies.
//!
//! `JSON_SCHEMA_TEST_SUITE` is its folder (test/check/conformance.test.ts fetches it and runs this); without it there
//! is nothing to do. What comes out otherwise than the suite says is listed here with its reason, and a case that is
//! listed and passes fails the test. `converted` of the same folder holds what the control plane makes of schemas: of
//! the suite's, and of the corpus.

use std::path::{Path, PathBuf};

use jsonschema::{Draft, Registry, Retrieve, Uri};
use serde_json::{Value, json};

use crate::schema::{json as tape, node, validator};

const DRAFTS: [(&str, Draft); 5] = [
    ("draft4", Draft::Draft4),
    ("draft6", Draft::Draft6),
    ("draft7", Draft::Draft7),
    ("draft2019-09", Draft::Draft201909),
    ("draft2020-12", Draft::Draft202012),
];

/// Part of `draft/file: group: test`, and why it comes out otherwise.
type Exceptions = &'static [(&'static str, &'static str)];

const ASSERTED: (&str, &str) = ("is only an annotation by default", "formats are asserted here, as the option allows");
const EXCEPTIONS: Exceptions = &[
    ASSERTED,
    ("draft4/optional/bignum.json: integer: a bignum is an integer", "in draft 4 whole numbers end at 64 bits"),
    ("draft4/optional/bignum.json: integer: a negative bignum", "the same"),
    (
        "draft2019-09/recursiveRef.json: $recursiveRef with nesting: integer now matches",
        "the root of another draft around it ends the search; converted, as descriptions are, it is found",
    ),
    ("draft2019-09/recursiveRef.json: $recursiveRef with nesting: two levels, properties match with $rec", "the same"),
];
const CONVERTED_EXCEPTIONS: Exceptions = &[
    ASSERTED,
    (
        "no validation: invalid number, but it still validates",
        "a dialect that is not known is read as draft 2020-12, with a warning",
    ),
    ("draft4/optional/zeroTerminatedFloats.json", "since draft 6, and so everywhere here, 1.0 is an integer"),
    ("draft7/optional/content.json", "contentEncoding and contentMediaType decide nothing, as since 2019-09"),
];

#[test]
fn every_case_of_the_suite_gets_its_verdict() {
    let Some(folder) = std::env::var_os("JSON_SCHEMA_TEST_SUITE").map(PathBuf::from) else { return };
    let remotes = Remotes(folder.join("remotes"));
    let mut tally = Tally::new(EXCEPTIONS);
    for (name, draft) in DRAFTS {
        let tests = folder.join("tests").join(name);
        for file in files(&tests) {
            let groups = read(&file);
            let shown = file.strip_prefix(folder.join("tests")).expect("a part").display().to_string();
            for group in groups.as_array().expect("groups") {
                let validator = compile(group, &remotes, draft);
                for case in group["tests"].as_array().expect("tests") {
                    let found = match &validator {
                        Ok(validator) => Ok(accepts(validator, &case["data"], "case")),
                        Err(error) => Err(error.clone()),
                    };
                    tally.add(&format!("{shown}: {}: {}", text(group), text(case)), case, found);
                }
            }
        }
    }
    tally.end();
}

#[test]
fn every_converted_case_gets_its_verdict() {
    let Some(folder) = std::env::var_os("JSON_SCHEMA_TEST_SUITE").map(PathBuf::from) else { return };
    let mut tally = Tally::new(CONVERTED_EXCEPTIONS);
    for file in files(&folder.join("converted")) {
        for group in read(&file).as_array().expect("groups") {
            let mut problems = Vec::new();
            let validator = validator::build(&group["document"], "", &mut problems);
            for case in group["tests"].as_array().expect("tests") {
                let property = case["property"].as_str().expect("a property");
                let found = match &validator {
                    Some(validator) => Ok(accepts(validator, &case["data"], property)),
                    None => Err(format!("{problems:?}")),
                };
                tally.add(&format!("{}: {}", text(group), text(case)), case, found);
            }
        }
    }
    tally.end();
}

struct Tally {
    exceptions: Exceptions,
    used: Vec<bool>,
    cases: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn new(exceptions: Exceptions) -> Tally {
        Tally { exceptions, used: vec![false; exceptions.len()], cases: 0, wrong: Vec::new() }
    }

    /// An exception has to cover what comes out wrong, nothing that comes out right, except where it names a file.
    fn add(&mut self, title: &str, case: &Value, found: Result<bool, String>) {
        self.cases += 1;
        let right = found == Ok(case["valid"] == true);
        let listed = self.exceptions.iter().position(|(part, _)| title.contains(part));
        if let Some(listed) = listed {
            self.used[listed] |= !right;
        }
        let whole_file = listed.is_some_and(|listed| self.exceptions[listed].0.ends_with(".json"));
        if (right == listed.is_some()) && !whole_file {
            self.wrong.push(format!("{title}: {found:?}"));
        }
    }

    fn end(mut self) {
        for ((part, _), used) in self.exceptions.iter().zip(&self.used) {
            if !used {
                self.wrong.push(format!("{part}: listed, and all such cases are right"));
            }
        }
        assert!(self.wrong.is_empty(), "{} of {}:\n{}", self.wrong.len(), self.cases, self.wrong.join("\n"));
        assert!(self.cases > 5_000, "only {} cases", self.cases);
    }
}

type Validator = jsonschema::Validator<node::Body>;

/// The schema stands where a body's does: below a property of a root of its own.
fn compile(group: &Value, remotes: &Remotes, draft: Draft) -> Result<Validator, String> {
    let schema = &group["schema"];
    let id = schema[if draft == Draft::Draft4 { "id" } else { "$id" }].as_str().unwrap_or("https://suite.invalid/case");
    let registry = Registry::new()
        .retriever(remotes.clone())
        .draft(draft)
        .add(id, schema)
        .and_then(|registry| registry.prepare())
        .map_err(|error| error.to_string())?;
    validator::options()
        .with_draft(Draft::Draft202012)
        .with_registry(&registry)
        .build(&json!({ "properties": { "case": { "$ref": id } } }))
        .map_err(|error| error.to_string())
}

fn accepts(validator: &Validator, value: &Value, property: &str) -> bool {
    tape::with_tape(value.to_string().as_bytes(), |parsed| {
        node::verdict(validator, parsed.expect("JSON"), property).is_ok()
    })
}

/// What the suite expects to find on its own server.
#[derive(Clone)]
struct Remotes(PathBuf);

impl Retrieve for Remotes {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let path = uri.as_str().strip_prefix("http://localhost:1234/").ok_or("another server")?;
        Ok(serde_json::from_str(&std::fs::read_to_string(self.0.join(path))?)?)
    }
}

fn text(value: &Value) -> &str {
    value["description"].as_str().unwrap_or_default()
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("JSON")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}
