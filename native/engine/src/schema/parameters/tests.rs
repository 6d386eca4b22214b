//! The corpus (test/corpus/schema/parameters), and what holds for every parameter.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::endpoints::{Endpoints, Match};
use crate::head::Head;
use crate::policy::{HostOpenapi, Operation};
use crate::schema::scalar::Scalar;
use crate::schema::shape::Shape;
use crate::schema::{Parameterised, Parameters, Schemas, ViolationError, builder::Builder, validator};

/// A host with one operation.
struct Host {
    endpoints: Endpoints,
    schemas: Schemas,
}

/// `parameters` hold their schemas themselves.
fn host(path: &str, parameters: &[Value], unknown_query: &str) -> Host {
    let mut properties = Map::new();
    let mut described = Vec::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let mut parameter = parameter.clone();
        let name = format!("p{index}");
        properties.insert(name.clone(), parameter["schema"].take());
        parameter["schema"] = name.into();
        described.push(parameter);
    }
    let operation: Operation = serde_json::from_value(json!({
        "id": "op", "at": "", "method": "GET", "path": path, "action": "block", "unknown_query": unknown_query,
        "parameters": described
    }))
    .expect("an operation");
    let mut problems = Vec::new();
    let openapi = HostOpenapi {
        operations: vec![operation],
        schema: json!({ "properties": properties }),
        ..HostOpenapi::default()
    };
    let endpoints = Endpoints::compile(&openapi.operations, &mut problems);
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    Host { endpoints, schemas }
}

impl Host {
    fn check(&self, request: &str, fields: &[&str], kept: &mut Parameters) -> Parameterised {
        let mut head = Head::default();
        head.parse_text(&format!(
            "{request}\nhost:a{}",
            fields.iter().map(|field| format!("\n{field}")).collect::<String>()
        ))
        .expect("a head");
        let mut captures = Vec::new();
        assert_eq!(self.endpoints.find("GET", head.path(), &mut captures), Match::Operation(0), "{request}");
        self.schemas.parameters(0, &head, &captures, kept)
    }

    fn accepts(&self, request: &str, fields: &[&str]) -> bool {
        self.check(request, fields, &mut Parameters::default()).violation.is_none()
    }
}

fn told(errors: &[ViolationError]) -> Value {
    errors.iter().map(|error| json!([error.location.name(), error.pointer, error.message])).collect()
}

#[test]
fn every_request_of_the_corpus_gets_its_verdict() {
    let mut kept = Parameters::default();
    let mut wrong = Vec::new();
    for name in ["styles", "query", "places"] {
        let path = format!("{}/../../test/corpus/schema/parameters/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let corpus: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the corpus")).expect("JSON");
        for case in corpus["cases"].as_array().expect("cases") {
            let parameters = case["parameters"].as_array().expect("parameters");
            let unknown_query = case["unknown_query"].as_str().unwrap_or("off");
            let host = host(case["path"].as_str().expect("a path"), parameters, unknown_query);
            let fields: Vec<&str> = case["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let found = host.check(case["request"].as_str().expect("a request"), &fields, &mut kept);
            let (verdict, errors) = match &found.violation {
                Some(violation) => (violation.reason.id(), told(&violation.errors)),
                None => ("pass", json!([])),
            };
            let unknown = found.unknown.map_or(json!([]), |violation| told(&violation.errors));
            let expected = if case["unknown"].is_null() { json!([]) } else { case["unknown"].clone() };
            if verdict != case["verdict"]
                || (!case["errors"].is_null() && errors != case["errors"])
                || unknown != expected
            {
                wrong.push(format!("{name}: {}: {verdict} {errors} {unknown}", case["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As RFC 6570 expands reserved characters; a query holds no bare space.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => (byte as char).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn what_every_style_writes_is_read_back(
        texts in prop::collection::vec("[a-zé ,;.=&|+%/\\[\\]-]{1,6}", 1..5),
        style in 0_usize..10,
    ) {
        let items: Vec<String> = texts.iter().map(|text| encoded(text)).collect();
        // A label separates by dots, and encoded slashes never reach the operations.
        let spaced: Vec<String> = texts.iter().map(|text| encoded(&text.replace([' ', '|', '/'], "x"))).collect();
        let in_path: Vec<String> = texts.iter().map(|text| encoded(&text.replace(['.', '/'], "x"))).collect();
        let joined = |items: &[String], prefix: &str, between: &str| format!("{prefix}{}", items.join(between));
        let (location, name, explode, text, swapped) = match style {
            0 => ("query", "form", false, joined(&items, "?p=", ","), ""),
            1 => ("query", "form", true, joined(&items, "?p=", "&p="), ""),
            2 => ("query", "spaceDelimited", false, joined(&spaced, "?p=", "%20"), " |/"),
            3 => ("query", "pipeDelimited", false, joined(&spaced, "?p=", "|"), " |/"),
            4 => ("path", "simple", false, joined(&in_path, "/", ","), "./"),
            5 => ("path", "label", true, joined(&in_path, "/.", "."), "./"),
            6 => ("path", "matrix", false, joined(&in_path, "/;p=", ","), "./"),
            7 => ("path", "matrix", true, joined(&in_path, "/;p=", ";p="), "./"),
            8 => ("query", "deepObject", true, joined(&items, "?p[]=", "&p[]="), ""),
            _ => ("cookie", "form", false, joined(&items, "", ","), ""),
        };
        let expected: Vec<String> = texts
            .iter()
            .map(|text| text.replace(|found: char| swapped.contains(found), "x"))
            .collect();
        let schema = json!({ "type": "array", "items": { "type": "string" }, "const": expected });
        let parameter = json!({ "name": "p", "location": location, "style": name, "explode": explode, "schema": schema });
        let (request, fields) = match location {
            "query" => (format!("GET /things{text}"), Vec::new()),
            "path" => (format!("GET /things{text}"), Vec::new()),
            _ => ("GET /things".to_owned(), vec![format!("cookie: p={text}")]),
        };
        let path = if location == "path" { "/things/{p}" } else { "/things" };
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        prop_assert!(host(path, &[parameter], "off").accepts(&request, &fields), "{}", request);
    }

    #[test]
    fn what_every_style_writes_of_an_object_is_read_back(
        members in prop::collection::btree_map("[a-zé]{1,3}", "[a-zé ,;=&+%-]{1,6}", 1..5),
        style in 0_usize..7,
    ) {
        let pairs: Vec<(String, String)> = members.iter().map(|(name, text)| (encoded(name), encoded(text))).collect();
        let joined = |prefix: &str, equals: &str, between: &str, suffix: &str| {
            let parts: Vec<String> = pairs.iter().map(|(name, text)| format!("{name}{equals}{text}")).collect();
            format!("{prefix}{}{suffix}", parts.join(between))
        };
        let (location, name, explode, text) = match style {
            0 => ("query", "form", false, joined("?p=", ",", ",", "")),
            1 => ("query", "form", true, joined("?", "=", "&", "")),
            2 => ("query", "deepObject", true, joined("?p[", "]=", "&p[", "")),
            3 => ("path", "simple", false, joined("/", ",", ",", "")),
            4 => ("path", "simple", true, joined("/", "=", ",", "")),
            5 => ("path", "label", true, joined("/.", "=", ".", "")),
            _ => ("path", "matrix", true, joined("/;", "=", ";", "")),
        };
        let schema = json!({ "type": "object", "additionalProperties": { "type": "string" }, "const": members });
        let parameter = json!({ "name": "p", "location": location, "style": name, "explode": explode, "schema": schema });
        let path = if location == "path" { "/things/{p}" } else { "/things" };
        let request = format!("GET /things{text}");
        prop_assert!(host(path, &[parameter], "off").accepts(&request, &[]), "{}", request);
    }

    #[test]
    fn a_compiled_check_never_says_yes_where_the_schema_says_no(
        kind in 0_usize..9, low in -20_i64..20, span in 0_i64..40, text in text(),
    ) {
        let high = low + span;
        let (few, many) = (low.unsigned_abs(), low.unsigned_abs() + span.unsigned_abs());
        let schema = match kind {
            0 => json!({ "type": "integer", "minimum": low, "maximum": high }),
            1 => json!({ "type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": high, "format": "int32" }),
            2 => json!({ "type": "number", "minimum": low as f64 / 2.0, "maximum": high as f64 / 2.0 }),
            3 => json!({ "type": ["boolean", "null"] }),
            4 => json!({ "type": "string", "minLength": few, "maxLength": many }),
            5 => json!({ "enum": [text, "true", "7"] }),
            6 => json!({ "type": "string", "format": "uuid" }),
            7 => json!({ "type": "string", "format": "date" }),
            _ => json!({ "type": "string", "format": "date-time" }),
        };
        let root = json!({ "properties": { "p": schema } });
        let scalar = Scalar::of(&root, &root["properties"]["p"]).expect("a plain schema");
        let validator = validator::build(&root, "", &mut Vec::new()).expect("a validator");
        let mut builder = Builder::default();
        builder.scalar(&text, &Shape::of(&root, "p"));
        let passes = builder.verdict(&validator, "p").is_ok();
        prop_assert!(passes || !scalar.passes(&text), "{} {}", root, text);
        // What clients write every day needs no more than the compiled check.
        let daily = match kind {
            0 | 1 => text.len() < 10 && !text.contains(['.', 'e', 'E']) && text != "-0",
            2 => text.len() < 10 && !text.contains(['e', 'E']) && !text.starts_with("-0"),
            4 | 5 => true,
            _ => false,
        };
        prop_assert!(!daily || passes == scalar.passes(&text), "{} {}", root, text);
    }

    #[test]
    fn no_head_makes_the_reader_panic(
        query in "[a-c\\[\\]%0-9,|+;.=&]{0,40}", segment in "[a-c%2-3,;.=]{1,12}", cookie in "[a-c%0-9 ;=,]{0,20}",
    ) {
        thread_local! {
            static HOST: Host = {
                let object = json!({ "type": "object", "properties": { "a": { "type": "array", "items": { "type": "integer" } },
                    "b": { "type": "object", "properties": { "c": { "type": "integer" } } } } });
                let mut parameters = vec![
                    json!({ "name": "p", "location": "path", "style": "matrix", "explode": true, "schema": object }),
                    json!({ "name": "a", "location": "cookie", "style": "form", "explode": false, "schema": { "type": "array" } }),
                    json!({ "name": "c", "location": "query", "style": "form", "explode": true, "schema": { "type": ["array", "object", "null"] } }),
                ];
                for (name, style) in [("a", "deepObject"), ("b", "pipeDelimited"), ("d", "form")] {
                    parameters.push(json!({ "name": name, "location": "query", "style": style, "explode": name != "b", "schema": object }));
                }
                host("/things/{p}", &parameters, "block")
            };
        }
        let mut head = Head::default();
        let text = format!("GET /things/{segment}?{query}\nhost:a\ncookie:{cookie}");
        if head.parse_text(&text).is_ok() {
            HOST.with(|host| {
                let mut captures = Vec::new();
                if host.endpoints.find("GET", head.path(), &mut captures) == Match::Operation(0) {
                    let _ = host.schemas.parameters(0, &head, &captures, &mut Parameters::default());
                }
            });
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        (-30_i64..60).prop_map(|number| number.to_string()),
        "-?[0-9]{1,2}(\\.[0-9]{1,3})?(e[0-9])?",
        "[a-zé]{0,30}",
        "true|false|null|7||-|-0|00|0\\.|1\\.5\\.5|[0-9]{17,20}",
        "[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](Z|\\+01:00))?",
        "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-g]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ]
}
