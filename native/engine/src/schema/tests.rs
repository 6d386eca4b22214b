//! The corpus (test/corpus/schema), and what holds for every body.

mod bodies;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::media::MediaType;
use super::*;
use crate::policy::{Operation, OperationBody};
use crate::reason::Reason;

mod conformance;

fn corpus(name: &str) -> Value {
    let path = format!("{}/../../test/corpus/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the corpus")).expect("JSON")
}

fn operation(id: &str, body: Option<OperationBody>) -> Operation {
    Operation {
        id: id.to_owned(),
        at: format!("/{id}"),
        method: "POST".to_owned(),
        path: "/".to_owned(),
        body,
        ..Operation::default()
    }
}

fn openapi(operations: Vec<Operation>, schema: Value) -> HostOpenapi {
    HostOpenapi { operations, schema, ..HostOpenapi::default() }
}

/// One operation whose JSON body has that schema; `$defs` are shared.
fn one(schema: &Value, defs: &Value, required: bool) -> (Schemas, Vec<Problem>) {
    let body: OperationBody = serde_json::from_value(json!({
        "required": required, "content": [{ "media_type": "application/json", "format": "json", "schema": "op0" }]
    }))
    .expect("a body");
    let defs = if defs.is_null() { json!({}) } else { defs.clone() };
    let root = json!({ "$defs": defs, "properties": { "op0": schema } });
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi(vec![operation("op", Some(body))], root), "/openapi", &mut problems);
    (schemas, problems)
}

fn accepts(schema: Value, body: &str) -> bool {
    let (schemas, problems) = one(&schema, &Value::Null, true);
    assert_eq!(problems, []);
    schemas.check(&Chosen::plain(0), body.as_bytes()).is_ok()
}

fn bytes(case: &Value) -> Vec<u8> {
    match &case["hex"] {
        Value::String(hex) => {
            let digits: Vec<char> = hex.chars().filter(|digit| *digit != ' ').collect();
            let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
            pairs.map(|pair| u8::from_str_radix(&pair, 16).expect("hex")).collect()
        }
        _ => case["body"].as_str().expect("a body").as_bytes().to_vec(),
    }
}

#[test]
fn every_body_of_the_corpus_gets_its_verdict() {
    for name in ["json", "order"] {
        let corpus = corpus(name);
        let (schemas, problems) = one(&corpus["schema"], &corpus["$defs"], corpus["required"] == true);
        assert_eq!(problems, [], "{name}");
        for case in corpus["cases"].as_array().expect("cases") {
            let (found, errors) = match schemas.check(&Chosen::plain(0), &bytes(case)) {
                Ok(_) => ("pass", json!([])),
                Err(violation) => {
                    let errors: Vec<Value> =
                        violation.errors.iter().map(|error| json!([error.pointer, error.message])).collect();
                    (violation.reason.id(), Value::Array(errors))
                }
            };
            assert_eq!(found, case["verdict"], "{name}: {} {errors}", case["name"]);
            if !case["errors"].is_null() {
                assert_eq!(errors, case["errors"], "{name}: {}", case["name"]);
            }
        }
    }
}

#[test]
fn every_head_of_the_corpus_gets_its_choice() {
    let corpus = corpus("choice");
    let described = corpus["operations"].as_object().expect("operations");
    let names: Vec<&String> = described.keys().collect();
    let operations =
        described.iter().map(|(id, body)| operation(id, serde_json::from_value(body.clone()).expect("a body")));
    let root = json!({ "properties": { "order": {}, "plus": {}, "exact": {}, "lines": {}, "form": {}, "parts": {}, "text": {} } });
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi(operations.collect(), root), "/openapi", &mut problems);
    assert_eq!(problems, []);
    for case in corpus["cases"].as_array().expect("cases") {
        let fields: String = case["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .map(|field| format!("\n{}", field.as_str().unwrap()))
            .collect();
        let mut head = Head::default();
        head.parse_text(&format!("POST /\nhost:a{fields}")).expect("a head");
        let index = names.iter().position(|name| **name == case["operation"]).expect("an operation");
        let found = match schemas.choose(index as u32, &head) {
            Ok(BodyCheck::NoBody) => "no body".to_owned(),
            Ok(BodyCheck::Unchecked) => "unchecked".to_owned(),
            Ok(BodyCheck::Check(chosen)) => {
                let property = schemas.bodies[chosen.body as usize].property.as_deref().unwrap_or("-");
                let mut told = format!("check {property}");
                if chosen.coding != coding::Coding::Identity {
                    told.push_str(&format!(" {:?}", chosen.coding).to_lowercase());
                }
                if chosen.ascii {
                    told.push_str(" ascii");
                }
                if let Some(boundary) = chosen.boundary {
                    told.push_str(&format!(" {boundary}"));
                }
                told
            }
            Err(violation) => violation.reason.id().to_owned(),
        };
        assert_eq!(found, case["choice"], "{}", case["name"]);
    }
}

#[test]
fn what_the_control_plane_writes_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/corpus/endpoints/descriptions");
    let mut read = 0;
    for file in std::fs::read_dir(folder).expect("the corpus") {
        let path = file.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        if text.ends_with("null\n") {
            continue;
        }
        // Remarks first, then the policy.
        let start = if text.starts_with("{\n") { 0 } else { text.find("\n{\n").expect("a policy") };
        let openapi: HostOpenapi = serde_json::from_str(&text[start..]).expect("a policy");
        let mut problems = Vec::new();
        let _ = Schemas::compile(&openapi, "", &mut problems);
        let _ = crate::endpoints::Endpoints::compile(&openapi.operations, &mut problems);
        assert_eq!(problems, [], "{}", path.display());
        read += 1;
    }
    assert!(read >= 4);
}

#[test]
fn a_thousand_operations_over_shared_components_compile_once() {
    let defs: serde_json::Map<String, Value> = (0..200)
        .map(|index| {
            let next = format!("#/$defs/C{}", (index + 1) % 200);
            (
                format!("C{index}"),
                json!({ "type": "object", "properties": { "next": { "$ref": next }, "n": { "type": "integer" } } }),
            )
        })
        .collect();
    let mut operations = Vec::new();
    let mut properties = serde_json::Map::new();
    for index in 0..1_000 {
        let name = format!("body{index}");
        properties.insert(name.clone(), json!({ "$ref": format!("#/$defs/C{}", index % 200) }));
        let body = json!({ "required": true, "content": [{ "media_type": "application/json", "format": "json", "schema": name }] });
        operations.push(operation(&name, serde_json::from_value(body).expect("a body")));
    }
    let mut problems = Vec::new();
    let root = json!({ "$defs": defs, "properties": properties });
    let schemas = Schemas::compile(&openapi(operations, root), "", &mut problems);
    assert_eq!(problems, []);
    let violation = schemas.check(&Chosen::plain(999), br#"{"next":{"next":{"n":"x"}}}"#).expect_err("text");
    assert_eq!(violation.errors[0].pointer, "/next/next/n");
}

#[test]
fn one_root_serves_many_operations() {
    let mut operations = Vec::new();
    let mut properties = serde_json::Map::new();
    for index in 0..40 {
        let name = format!("op{index}");
        properties.insert(name.clone(), json!({ "type": "object", "properties": { "n": { "const": index } } }));
        let body = json!({ "required": true, "content": [{ "media_type": "application/json", "format": "json", "schema": name }] });
        operations.push(operation(&name, serde_json::from_value(body).expect("a body")));
    }
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi(operations, json!({ "properties": properties })), "", &mut problems);
    assert_eq!(problems, []);
    for index in 0..40 {
        assert_eq!(schemas.check(&Chosen::plain(index), format!("{{\"n\":{index}}}").as_bytes()), Ok(Passed::AsItIs));
        let violation = schemas.check(&Chosen::plain(index), b"{\"n\":-1}").expect_err("another constant");
        assert_eq!(violation.errors[0].pointer, "/n");
        assert_eq!(violation.errors[0].message, format!("expected {index}"));
    }
}

#[test]
fn a_schema_that_does_not_exist_refuses() {
    let (schemas, _) = one(&json!({}), &Value::Null, true);
    assert_eq!(schemas.check(&Chosen::plain(7), b"{}").map_err(|violation| violation.reason), Err(Reason::SchemaBody));
    assert_eq!(
        Schemas::default().check(&Chosen::plain(0), b"{}").map_err(|violation| violation.reason),
        Err(Reason::SchemaBody)
    );
}

#[test]
fn broken_schemas_are_problems_with_their_places() {
    let (_, problems) = one(&json!({ "type": "text", "minLength": -1 }), &Value::Null, true);
    let places: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
    assert_eq!(places.len(), 2, "{problems:?}");
    assert!(places.contains(&"/openapi/schema/properties/op0/type"), "{places:?}");
    assert!(places.contains(&"/openapi/schema/properties/op0/minLength"), "{places:?}");
}

#[test]
fn patterns_that_could_take_exponential_time_are_problems() {
    let schema = json!({ "properties": { "a": { "pattern": "(?=x)y" }, "b/c": { "pattern": "(a)\\1" }, "d": { "pattern": "(" } } });
    let (_, problems) = one(&schema, &Value::Null, true);
    let places: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
    assert_eq!(
        places,
        [
            "/openapi/schema/properties/op0/properties/a/pattern",
            "/openapi/schema/properties/op0/properties/b~1c/pattern",
            "/openapi/schema/properties/op0/properties/d/pattern"
        ]
    );
}

#[test]
fn nothing_is_fetched() {
    for reference in ["https://example.com/a.json", "file:///etc/passwd", "other.json"] {
        let (_, problems) = one(&json!({ "$ref": reference }), &Value::Null, true);
        assert_eq!(problems.len(), 1, "{reference}");
    }
}

#[test]
fn alternatives_that_recurse_are_refused_in_bounded_time() {
    let defs = json!({ "Node": { "anyOf": [
        { "required": ["a"], "properties": { "child": { "$ref": "#/$defs/Node" } } },
        { "required": ["b"], "properties": { "child": { "$ref": "#/$defs/Node" } } }
    ] } });
    let (schemas, problems) = one(&json!({ "$ref": "#/$defs/Node" }), &defs, true);
    assert_eq!(problems, []);
    let deep = |leaf: &str| format!("{}{leaf}{}", "{\"a\":1,\"b\":1,\"child\":".repeat(60), "}".repeat(60));
    assert_eq!(schemas.check(&Chosen::plain(0), deep("{\"b\":1}").as_bytes()), Ok(Passed::AsItIs));
    let violation =
        schemas.check(&Chosen::plain(0), deep("{}").as_bytes()).expect_err("a leaf that no alternative allows");
    assert!(violation.errors.len() <= MAX_ERRORS);
}

#[test]
fn a_body_of_errors_is_refused_in_bounded_memory() {
    let alternatives = json!({ "anyOf": [ { "type": "array", "items": { "type": "string" } }, { "type": "array", "items": { "type": "null" } } ] });
    let (schemas, _) = one(&alternatives, &Value::Null, true);
    let body = format!("[{}1]", "1,".repeat(400_000));
    let violation = schemas.check(&Chosen::plain(0), body.as_bytes()).expect_err("neither strings nor nulls");
    assert!((1..=MAX_ERRORS).contains(&violation.errors.len()));
}

#[test]
fn a_verdict_that_ran_out_of_steps_is_a_refusal() {
    let many: Vec<Value> = (0..200).map(|index| json!({ "items": { "type": "integer" }, "minItems": index })).collect();
    let (schemas, _) = one(&json!({ "allOf": many }), &Value::Null, true);
    let body = format!("[{}1]", "1,".repeat(100_000));
    let violation = schemas.check(&Chosen::plain(0), body.as_bytes()).expect_err("20 million steps");
    assert_eq!(violation.errors[0].message, "too large to be checked against its description");
}

#[test]
fn answers_stay_short_and_repeat_no_values() {
    let (schemas, _) = one(&json!({ "additionalProperties": { "type": "integer" } }), &Value::Null, true);
    let name = "n".repeat(5_000);
    let violation =
        schemas.check(&Chosen::plain(0), format!("{{\"{name}\":\"hunter2\"}}").as_bytes()).expect_err("text");
    assert!(violation.errors[0].pointer.len() <= 256);
    assert!(!violation.errors[0].message.contains("hunter2"));
    let (schemas, _) = one(&json!({ "additionalProperties": false }), &Value::Null, true);
    let violation =
        schemas.check(&Chosen::plain(0), format!("{{\"{name}\":1}}").as_bytes()).expect_err("a member too many");
    assert!(violation.errors[0].message.len() <= 256);
}

#[test]
fn formats_are_asserted_as_documented() {
    let corpus = corpus("formats");
    for (format, text) in corpus["refused"].as_object().expect("texts") {
        assert!(!accepts(json!({ "format": format }), &text.to_string()), "{format}");
    }
    for format in corpus["ignored"].as_array().expect("names") {
        assert!(accepts(json!({ "format": format }), "\"( no / such } thing\""), "{format}");
    }
}

#[test]
fn unique_items_compares_by_value() {
    let schema = json!({ "uniqueItems": true });
    for body in [
        "[1,1.0]",
        "[1e2,100]",
        "[0,-0.0]",
        "[{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":1}]",
        "[[1],[1.0]]",
        "[\"a\",\"\\u0061\"]",
    ] {
        assert!(!accepts(schema.clone(), body), "{body}");
    }
    for body in [
        "[1,\"1\"]",
        "[[],{}]",
        "[null,false,0,\"\"]",
        "[[1,2],[2,1]]",
        "[[\"a\",\"b\"],[\"ab\"]]",
        "[9007199254740993,9007199254740992]",
    ] {
        assert!(accepts(schema.clone(), body), "{body}");
    }
}

/// Any JSON value, its text with random white space and escapes.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::hash_map("[a-z\"\\\\é]{0,4}", inner, 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_back_equal(value in value()) {
        let same = json!({ "const": value });
        prop_assert!(accepts(same.clone(), &value.to_string()));
        prop_assert!(accepts(same, &serde_json::to_string_pretty(&value).unwrap()));
    }

    #[test]
    fn a_changed_value_is_not_equal(left in value(), right in value()) {
        let equal = jsonschema::json::cmp::equal(&left, &right);
        prop_assert_eq!(accepts(json!({ "const": left }), &right.to_string()), equal);
    }

    #[test]
    fn whatever_serde_refuses_is_refused(text in "[\\[\\]{}\",:0-9.eE+\\-truefalsn \\\\ud8]{0,24}") {
        let ours = json::with_tape(text.as_bytes(), |parsed| parsed.is_ok());
        let theirs = serde_json::from_str::<Value>(&text).is_ok();
        // We refuse more (duplicate names), never less.
        prop_assert!(!ours || theirs, "{}", text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = json::with_tape(&bytes, |parsed| parsed.is_ok());
    }

    #[test]
    fn a_cut_body_is_never_accepted(value in value(), cut in any::<prop::sample::Index>()) {
        let text = format!("[{value}]");
        let bytes = &text.as_bytes()[..cut.index(text.len())];
        prop_assert!(json::with_tape(bytes, |parsed| parsed.is_err()));
    }

    #[test]
    fn no_media_type_makes_the_reader_panic(text in "[a/*+;=\" ,json\\\\-]{0,24}") {
        let _ = MediaType::parse(&text);
    }
}

#[test]
fn values_are_shown_only_where_that_is_allowed() {
    let schema = json!({ "properties": { "a/b": { "items": { "type": "integer" } }, "c": { "maxLength": 2 } } });
    let body = br#"{"a/b":[1,"hunter2"],"c":"\u0041bc"}"#;
    let told = |allow_values| -> Vec<String> {
        let (_, problems) = one(&schema, &Value::Null, true);
        assert_eq!(problems, []);
        let body_of: OperationBody = serde_json::from_value(json!({
            "required": true, "content": [{ "media_type": "application/json", "format": "json", "schema": "op0" }]
        }))
        .expect("a body");
        let host = HostOpenapi {
            allow_values,
            ..openapi(vec![operation("op", Some(body_of))], json!({ "properties": { "op0": schema.clone() } }))
        };
        let schemas = Schemas::compile(&host, "", &mut Vec::new());
        let violation = schemas.check(&Chosen::plain(0), body).expect_err("two faults");
        let mut messages: Vec<String> = violation.errors.into_iter().map(|error| error.message).collect();
        messages.sort();
        messages
    };
    assert_eq!(told(false), ["expected at most 2 characters", "expected integer"]);
    assert_eq!(told(true), ["expected at most 2 characters, found \"Abc\"", "expected integer, found \"hunter2\""]);
}
