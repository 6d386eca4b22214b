//! The corpus (test/corpus/schema/form.json), and what holds for every form.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::validator;

fn check(schema: &Value, encoding: &Value, body: &[u8]) -> Result<(), Violation> {
    let root = json!({ "properties": { "form": schema } });
    let content = serde_json::from_value(json!({
        "media_type": "application/x-www-form-urlencoded", "format": "form",
        "schema": if schema.is_null() { Value::Null } else { json!("form") },
        "encoding": if encoding.is_null() { json!([]) } else { encoding.clone() }
    }))
    .expect("a content row");
    let described = Described::compile(&content, &root);
    let validator = if schema.is_null() { None } else { validator::build(&root, "", &mut Vec::new()) };
    verdict(&described, validator.as_ref(), body)
}

fn bytes(case: &Value) -> Vec<u8> {
    match &case["hex"] {
        Value::String(hex) => hex.split(' ').map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect(),
        _ => case["body"].as_str().expect("a body").as_bytes().to_vec(),
    }
}

#[test]
fn every_form_of_the_corpus_gets_its_verdict() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/corpus/schema/form.json");
    let corpus: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the corpus")).expect("JSON");
    let mut wrong = Vec::new();
    for case in corpus["cases"].as_array().expect("cases") {
        let (found, errors) = match check(&case["schema"], &case["encoding"], &bytes(case)) {
            Ok(()) => ("pass", json!([])),
            Err(violation) => {
                let errors = violation.errors.iter().map(|error| json!([error.pointer, error.message]));
                (violation.reason.id(), errors.collect())
            }
        };
        if found != case["verdict"] || (!case["errors"].is_null() && errors != case["errors"]) {
            wrong.push(format!("{}: {found} {errors}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() => (byte as char).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn what_a_browser_writes_is_read_back(
        texts in prop::collection::btree_map("[a-zé \\[\\]&=+%]{1,6}", "\\PC{0,8}", 0..6),
        lists in prop::collection::btree_map("[A-Z]{1,3}", prop::collection::vec("\\PC{0,8}", 1..4), 0..3),
    ) {
        let mut expected = json!(texts);
        let mut pairs: Vec<String> =
            texts.iter().map(|(name, text)| format!("{}={}", encoded(name), encoded(text))).collect();
        let mut properties = json!({});
        for (name, items) in &lists {
            properties[name] = json!({ "type": "array", "items": { "type": "string" } });
            expected[name] = json!(items);
            pairs.extend(items.iter().map(|text| format!("{name}={}", encoded(text))));
        }
        let schema = json!({
            "type": "object", "properties": properties, "additionalProperties": { "type": "string" }, "const": expected
        });
        prop_assert_eq!(check(&schema, &Value::Null, pairs.join("&").as_bytes()), Ok(()));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(body in "[a-c\\[\\]{}\":%0-9,|+;.=&]{0,60}") {
        let object = json!({ "type": "object", "properties": {
            "a": { "type": "array", "items": { "type": ["integer", "object"] } },
            "b": { "type": "object", "properties": { "c": { "type": ["array", "object"] } } } } });
        let encoding = json!([{ "name": "b", "style": "deepObject", "explode": true }]);
        let _ = check(&object, &encoding, body.as_bytes());
        let _ = check(&Value::Null, &Value::Null, body.as_bytes());
    }
}
