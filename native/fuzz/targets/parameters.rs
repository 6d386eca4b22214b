//! Any head's parameters are accepted or refused; what a strict integer is agrees with the standard library.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::endpoints::{Endpoints, Match};
use portcullis_engine::head::Head;
use portcullis_engine::policy::HostOpenapi;
use portcullis_engine::schema::{Parameters, Schemas};
use serde_json::{Value, json};

struct Host {
    endpoints: Endpoints,
    schemas: Schemas,
}

fn host() -> Host {
    let styles = [
        ("path", "m", "matrix", true),
        ("path", "l", "label", false),
        ("query", "a", "form", true),
        ("query", "b", "form", false),
        ("query", "c", "deepObject", true),
        ("query", "d", "pipeDelimited", false),
        ("query", "e", "spaceDelimited", false),
        ("header", "x-f", "simple", true),
        ("cookie", "g", "form", false),
        ("cookie", "h", "form", true),
    ];
    let mut parameters: Vec<Value> = styles
        .iter()
        .map(|(location, name, style, explode)| {
            json!({ "name": name, "location": location, "style": style, "explode": explode, "schema": "any" })
        })
        .collect();
    parameters.push(json!({ "name": "n", "location": "query", "style": "form", "explode": true, "schema": "n" }));
    parameters.push(
        json!({ "name": "j", "location": "query", "style": "form", "schema": "any", "content": "application/json" }),
    );
    let openapi: HostOpenapi = serde_json::from_value(json!({
        "action": "block", "fallthrough": "block",
        "operations": [{ "id": "a", "at": "", "method": "GET", "path": "/t/{m}/{l}..{r}", "unknown_query": "log",
            "parameters": parameters }],
        "schema": { "properties": {
            "n": { "type": "integer" },
            "any": { "type": ["array", "object", "integer", "null"], "items": { "type": ["integer", "boolean", "string"] },
                "properties": { "i": { "type": "integer" }, "o": { "type": "object", "properties": { "p": { "type": "array" } } } },
                "uniqueItems": true, "maxProperties": 3 }
        } },
    }))
    .expect("a policy");
    let mut problems = Vec::new();
    let endpoints = Endpoints::compile(&openapi.operations, &mut problems);
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert!(problems.is_empty());
    Host { endpoints, schemas }
}

fuzz_target!(|text: &str| {
    thread_local! {
        static HOST: Host = host();
    }
    let mut head = Head::default();
    if head.parse_text(&format!("GET /t/{text}\nhost:a")).is_err() {
        return;
    }
    HOST.with(|host| {
        let mut captures = Vec::new();
        if host.endpoints.find("GET", head.path(), &mut captures) != Match::Operation(0) {
            return;
        }
        let found = host.schemas.parameters(0, &head, &captures, &mut Parameters::default());
        if found.violation.is_none() {
            let numbers = head.query().split('&').filter_map(|pair| pair.strip_prefix("n="));
            assert!(numbers.clone().count() < 2);
            for number in numbers.filter(|number| !number.contains(['%', '.', 'e', 'E'])) {
                let digits = number.strip_prefix('-').unwrap_or(number);
                assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
            }
        }
    });
});
