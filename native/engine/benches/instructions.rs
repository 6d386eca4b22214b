//! Instruction counts, which a busy machine does not change: `cargo bench --profile release -p portcullis-engine --bench
//! instructions`. It needs valgrind, and gungraun-runner in the version of Cargo.lock.

use std::fmt::Write as _;
use std::hint::black_box;

use gungraun::prelude::*;
use portcullis_engine::endpoints::{Endpoints, Match};
use portcullis_engine::policy::{HostOpenapi, Operation};
use portcullis_engine::schema::{Chosen, Schemas};
use serde_json::json;

fn orders(lines: usize) -> (Schemas, String) {
    let line = json!({
        "type": "object",
        "required": ["sku", "quantity"],
        "additionalProperties": false,
        "properties": {
            "sku": { "type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$" },
            "quantity": { "type": "integer", "minimum": 1, "maximum": 1000 },
            "text": { "type": "string", "maxLength": 100 }
        }
    });
    let order = json!({
        "type": "object",
        "required": ["lines"],
        "properties": { "lines": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/Line" } } }
    });
    let openapi: HostOpenapi = serde_json::from_value(json!({
        "action": "block",
        "fallthrough": "block",
        "operations": [{ "id": "order", "at": "", "method": "POST", "path": "/orders", "body": { "required": true,
            "content": [{ "media_type": "application/json", "format": "json", "schema": "order" }] } }],
        "schema": { "$defs": { "Line": line }, "properties": { "order": order } }
    }))
    .expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    let mut body = String::from(r#"{"lines":["#);
    for index in 0..lines {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            body,
            r#"{comma}{{"sku":"AB-{:04}","quantity":{},"text":"leave it at the door"}}"#,
            index,
            index + 1
        );
    }
    body.push_str("]}");
    // What a thread allocates once is not the body's.
    schemas.check(&Chosen::plain(0), body.as_bytes()).expect("an order that fits");
    (schemas, body)
}

#[library_benchmark]
#[bench::lines_10(orders(10))]
#[bench::lines_100(orders(100))]
fn check((schemas, body): (Schemas, String)) -> (Schemas, String) {
    black_box(schemas.check(&Chosen::plain(0), black_box(body.as_bytes()))).expect("an order that fits");
    (schemas, body)
}

fn operations(count: usize) -> (Endpoints, Vec<(u32, u32)>) {
    let operations: Vec<Operation> = (0..count)
        .map(|index| {
            let path = format!("/v1/resource-{index}/{{id}}/items/{{item}}");
            serde_json::from_value(json!({ "id": "", "at": "", "method": "GET", "path": path })).expect("an operation")
        })
        .collect();
    let mut problems = Vec::new();
    let endpoints = Endpoints::compile(&operations, &mut problems);
    assert_eq!(problems, []);
    (endpoints, Vec::with_capacity(8))
}

#[library_benchmark]
#[bench::operations_50(operations(50))]
#[bench::operations_10000(operations(10_000))]
fn find((endpoints, mut captures): (Endpoints, Vec<(u32, u32)>)) -> Endpoints {
    let found = endpoints.find(black_box("GET"), black_box("/v1/resource-37/4711/items/0815"), &mut captures);
    assert!(matches!(black_box(found), Match::Operation(_)));
    endpoints
}

library_benchmark_group!(name = bodies, benchmarks = check);
library_benchmark_group!(name = endpoints, benchmarks = find);
main!(library_benchmark_groups = [bodies, endpoints]);
