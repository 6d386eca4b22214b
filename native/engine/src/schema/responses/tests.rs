//! The corpora of responses (test/corpus/schema/responses, strip.json), and what holds for every stripped body.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::{HostOpenapi, Operation};
use crate::schema::Schemas;

fn corpus(name: &str) -> Value {
    let path = format!("{}/../../test/corpus/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the corpus")).expect("JSON")
}

fn compile(responses: &Value, schema: Value) -> (Schemas, Vec<Problem>) {
    let responses = Some(serde_json::from_value(responses.clone()).expect("responses"));
    let operations = vec![Operation { responses, ..Operation::default() }];
    let openapi = HostOpenapi { operations, schema, ..HostOpenapi::default() };
    let mut problems = Vec::new();
    (Schemas::compile(&openapi, "/openapi", &mut problems), problems)
}

/// Responses whose JSON body has that schema, stripped.
fn stripping(schema: &Value, defs: &Value) -> (Schemas, Vec<Problem>) {
    let content = json!([{ "media_type": "application/json", "format": "json", "schema": "body" }]);
    let responses = json!({ "action": "strip", "statuses": [{ "status": "200", "content": content }] });
    compile(&responses, json!({ "$defs": defs, "properties": { "body": schema } }))
}

fn told(violation: &Violation) -> Vec<(String, String)> {
    assert!(violation.errors.iter().all(|error| error.location == Location::Response), "{violation:?}");
    violation.errors.iter().map(|error| (error.pointer.clone(), error.message.clone())).collect()
}

/// `expected` is a list of pointers and messages; a message that is null may be any.
fn expect_errors(case: &Value, violation: &Violation) {
    let Some(expected) = case["errors"].as_array() else { return };
    let found = told(violation);
    assert_eq!(found.len(), expected.len(), "{} {found:?}", case["name"]);
    for (expected, (pointer, message)) in expected.iter().zip(&found) {
        assert_eq!(expected[0], pointer.as_str(), "{}", case["name"]);
        assert!(expected[1].is_null() || expected[1] == message.as_str(), "{} {message}", case["name"]);
    }
}

#[test]
fn every_response_of_the_corpus_gets_its_verdict() {
    for name in ["responses/order", "responses/few"] {
        let corpus = corpus(name);
        let root = json!({ "$defs": corpus.get("$defs").unwrap_or(&json!({})), "properties": corpus["properties"] });
        let (schemas, problems) = compile(&corpus["responses"], root);
        assert_eq!(problems, [], "{name}");
        for case in corpus["cases"].as_array().expect("cases") {
            let fields: Vec<(&str, &str)> = case["fields"]
                .as_array()
                .expect("fields")
                .iter()
                .filter_map(|field| field.as_str()?.split_once(": "))
                .collect();
            let extent = match case["extent"].as_str() {
                Some("none") => Extent::None,
                Some("open") => Extent::Open,
                _ => Extent::Known,
            };
            let status = case["status"].as_u64().expect("a status") as u16;
            let chosen = schemas.response(0, status, extent, fields.iter().copied(), &mut Parameters::default());
            let head = match &chosen {
                Ok(ResponseCheck::Pass) => "pass",
                Ok(ResponseCheck::NotEvaluated) => "not evaluated",
                Ok(ResponseCheck::Check(_)) => "check",
                Err(violation) => violation.reason.id(),
            };
            assert_eq!(head, case["head"], "{name}: {}", case["name"]);
            if let Err(violation) = &chosen {
                expect_errors(case, violation);
            }
            if let (Ok(ResponseCheck::Check(chosen)), Some(body)) = (&chosen, case["body"].as_str()) {
                let checked = schemas.check(chosen, body.as_bytes());
                let verdict = checked.as_ref().map_or_else(|violation| violation.reason.id(), |_| "pass");
                assert_eq!(verdict, case["verdict"], "{name}: {}", case["name"]);
                if let Err(violation) = &checked {
                    expect_errors(case, violation);
                }
            }
        }
    }
}

#[test]
fn every_body_of_the_corpus_is_stripped() {
    let corpus = corpus("strip");
    for case in corpus["cases"].as_array().expect("cases") {
        let (schemas, problems) = stripping(&case["schema"], &corpus["$defs"]);
        assert_eq!(problems, [], "{}", case["name"]);
        let checked = schemas.check(&Chosen::plain(0), case["body"].as_str().expect("a body").as_bytes());
        let verdict = checked.as_ref().map_or_else(|violation| violation.reason.id(), |_| "pass");
        assert_eq!(verdict, case["verdict"].as_str().unwrap_or("pass"), "{} {checked:?}", case["name"]);
        match checked {
            Ok(Passed::AsItIs | Passed::NotEvaluated) => assert_eq!(case["stripped"], Value::Null, "{}", case["name"]),
            Ok(Passed::Instead(stripped)) => {
                assert_eq!(String::from_utf8(stripped.body).expect("text"), case["stripped"], "{}", case["name"]);
            }
            Err(violation) => expect_errors(case, &violation),
        }
    }
}

#[test]
fn what_was_taken_out_is_told_by_its_place_and_shortened() {
    let schema = json!({ "items": { "type": "object", "properties": { "a/b": { "properties": { "k": {} } } } } });
    let (schemas, _) = stripping(&schema, &json!({}));
    let long = "secret".repeat(20);
    let body = format!("[{{\"x\":1}},{{\"a/b\":{{\"{long}\":1}}}}]");
    let Ok(Passed::Instead(stripped)) = schemas.check(&Chosen::plain(0), body.as_bytes()) else { panic!() };
    assert_eq!(stripped.members, 2);
    let pointers: Vec<String> = told(&stripped.told).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers[0], "/body/0/x");
    assert!(pointers[1].starts_with("/body/1/a~1b/secretsecret") && pointers[1].len() < 60, "{}", pointers[1]);
    assert!(stripped.told.errors.iter().all(|error| error.class == Class::Unknown));

    let many: Vec<String> = (0..50).map(|index| format!("\"m{index}\":{index}")).collect();
    let body = format!("[{{{}}}]", many.join(","));
    let Ok(Passed::Instead(stripped)) = schemas.check(&Chosen::plain(0), body.as_bytes()) else { panic!() };
    assert_eq!((stripped.members, stripped.told.errors.len()), (50, crate::schema::MAX_ERRORS));
}

#[test]
fn a_reference_that_cannot_be_followed_is_a_problem() {
    let (_, problems) = stripping(&json!({ "properties": { "a": { "$dynamicRef": "#nowhere" } } }), &json!({}));
    let problem = problems.first().expect("a problem");
    assert_eq!(problem.at, "/openapi/schema/properties/body/properties/a");
    assert!(problem.message.contains("#nowhere"), "{}", problem.message);
}

#[test]
fn alternatives_upon_alternatives_meet_a_bound() {
    // Each level doubles what is looked at: 2^40 without a bound.
    let node = json!({
        "type": "object",
        "anyOf": [{ "properties": { "n": { "$ref": "#/$defs/N" } }, "required": ["q"] }, { "properties": { "n": { "$ref": "#/$defs/N" } } }]
    });
    let (schemas, problems) = stripping(&json!({ "$ref": "#/$defs/N" }), &json!({ "N": node }));
    assert_eq!(problems, []);
    let body = format!("{}1{}", "{\"n\":".repeat(60), "}".repeat(60));
    let found = schemas.check(&Chosen::plain(0), body.as_bytes());
    assert!(matches!(found, Ok(Passed::AsItIs) | Err(_)), "{found:?}");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c\"\\\\/{}\\[\\],: \u{e9}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-d\"\\\\]{1,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What stripping by `{ $defs: N: { properties: a, b: N, items: N } }` leaves.
fn expected(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(expected).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(name, _)| matches!(name.as_str(), "a" | "b"))
                .map(|(name, value)| (name.clone(), expected(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_left_is_what_is_described(value in value(), pretty in any::<bool>()) {
        let reference = json!({ "$ref": "#/$defs/N" });
        let node = json!({ "type": ["object", "array", "string", "number", "boolean", "null"],
            "properties": { "a": reference, "b": reference }, "items": reference });
        let (schemas, problems) = stripping(&reference, &json!({ "N": node }));
        prop_assert_eq!(problems, []);
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let expected = expected(&value);
        match schemas.check(&Chosen::plain(0), body.as_bytes()) {
            Ok(Passed::AsItIs | Passed::NotEvaluated) => prop_assert_eq!(&value, &expected),
            Ok(Passed::Instead(stripped)) => {
                prop_assert_ne!(&value, &expected);
                prop_assert_eq!(serde_json::from_slice::<Value>(&stripped.body).unwrap(), expected);
                // Nothing is left for a second time.
                prop_assert_eq!(schemas.check(&Chosen::plain(0), &stripped.body), Ok(Passed::AsItIs));
            }
            Err(violation) => prop_assert!(false, "{violation:?}"),
        }
    }
}
