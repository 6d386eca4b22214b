//! The JSON Schema test suite, through our own representation of bodies.
//!
//! `JSON_SCHEMA_TEST_SUITE` is its folder (test/check/conformance.test.ts fetches it and runs this); without it there
//! is nothing to do. What comes out otherwise than the suite says is listed here with its reason, and a case that is
//! listed and passes fails the test. `converted` of the same folder holds what the control plane makes of schemas: of
//! the suite's, and of the corpus.

use std::path::{Path, PathBuf};

use jsonschema::{Draft, Registry};
use serde_json::{Value, json};

use super::{json as tape, node, validator};

const DRAFTS: [(&str, Draft); 5] = [
    ("draft4", Draft::Draft4),
    ("draft6", Draft::Draft6),
    ("draft7", Draft::Draft7),
    ("draft2019-09", Draft::Draft201909),
    ("draft2020-12", Draft::Draft202012),
];

/// Start of `draft/file: group: test`, and why it comes out otherwise.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn every_case_of_the_suite_gets_its_verdict() {
    let Some(folder) = std::env::var_os("JSON_SCHEMA_TEST_SUITE").map(PathBuf::from) else { return };
    let remotes = files(&folder.join("remotes"));
    let (mut cases, mut wrong, mut used) = (0, Vec::new(), vec![false; EXCEPTIONS.len()]);
    for (name, draft) in DRAFTS {
        let registry = registry(&folder.join("remotes"), &remotes, draft);
        let tests = folder.join("tests").join(name);
        for file in files(&tests) {
            let groups = read(&file);
            let shown = file.strip_prefix(&folder.join("tests")).expect("a part").display().to_string();
            for group in groups.as_array().expect("groups") {
                let validator = compile(group, &registry, draft);
                for case in group["tests"].as_array().expect("tests") {
                    cases += 1;
                    let title = format!("{shown}: {}: {}", text(group), text(case));
                    let found = match &validator {
                        Ok(validator) => Ok(accepts(validator, &case["data"], "case")),
                        Err(error) => Err(error.clone()),
                    };
                    let right = found == Ok(case["valid"] == true);
                    let exception = EXCEPTIONS.iter().position(|(start, _)| title.contains(start));
                    if let Some(exception) = exception {
                        used[exception] |= !right;
                    }
                    if right == exception.is_some() {
                        wrong.push(format!("{title}: {found:?}"));
                    }
                }
            }
        }
    }
    for ((start, _), used) in EXCEPTIONS.iter().zip(used) {
        if !used {
            wrong.push(format!("{start}: listed, and no such case"));
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 5_000, "only {cases} cases");
}

#[test]
fn every_converted_case_gets_its_verdict() {
    let Some(folder) = std::env::var_os("JSON_SCHEMA_TEST_SUITE").map(PathBuf::from) else { return };
    let (mut cases, mut wrong, mut used) = (0, Vec::new(), vec![false; EXCEPTIONS.len()]);
    for file in files(&folder.join("converted")) {
        for group in read(&file).as_array().expect("groups") {
            let mut problems = Vec::new();
            let validator = validator::build(&group["document"], "", &mut problems);
            for case in group["tests"].as_array().expect("tests") {
                cases += 1;
                let title = format!("{}: {}", text(group), text(case));
                let property = case["property"].as_str().expect("a property");
                let found = validator.as_ref().map(|validator| accepts(validator, &case["data"], property));
                let right = found == Some(case["valid"] == true);
                let exception = EXCEPTIONS.iter().position(|(start, _)| title.contains(start));
                if let Some(exception) = exception {
                    used[exception] |= !right;
                }
                if right == exception.is_some() {
                    wrong.push(format!("{title}: {found:?} {problems:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 5_000, "only {cases} cases");
}

type Validator = jsonschema::Validator<node::Body>;

/// The schema stands where a body's does: below a property of a root of its own.
fn compile(group: &Value, registry: &Registry<'_>, draft: Draft) -> Result<Validator, String> {
    let schema = &group["schema"];
    let id = schema[if draft == Draft::Draft4 { "id" } else { "$id" }].as_str().unwrap_or("https://suite.invalid/case");
    let registry = registry
        .add(id, draft.create_resource(schema.clone()))
        .and_then(|registry| registry.draft(draft).prepare())
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

fn registry(folder: &Path, files: &[PathBuf], draft: Draft) -> Registry<'static> {
    let mut registry = Registry::new().draft(draft);
    for file in files {
        let path = file.strip_prefix(folder).expect("a part").display();
        let contents = read(file);
        registry = registry
            .add(format!("http://localhost:1234/{path}"), draft.detect(&contents).create_resource(contents))
            .expect("a remote");
    }
    registry.prepare().expect("the remotes")
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
