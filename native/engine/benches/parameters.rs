//! Six typed parameters of one request, head to verdict.
//!
//! `cargo bench --profile release -p portcullis-engine --bench parameters`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_engine::head::Head;
use portcullis_engine::policy::HostOpenapi;
use portcullis_engine::schema::{Parameters, Schemas};
use serde_json::json;

/// `plain` schemas have compiled checks; the others say one thing more, which takes the validator.
fn schemas(plain: bool) -> Schemas {
    let more = |schema: serde_json::Value| if plain { schema } else { json!({ "allOf": [schema] }) };
    let parameter = |name: &str, location: &str, style: &str, explode: bool| json!({ "name": name, "location": location, "required": true, "style": style, "explode": explode, "schema": name });
    let openapi: HostOpenapi = serde_json::from_value(json!({
        "operations": [{
            "id": "list", "at": "", "method": "GET", "path": "/customers/{customer}/orders/{order}", "action": "block",
            "unknown_query": "block", "parameters": [
                parameter("customer", "path", "simple", false),
                parameter("order", "path", "simple", false),
                parameter("limit", "query", "form", true),
                parameter("sort", "query", "form", true),
                parameter("state", "query", "form", false),
                parameter("x-request-version", "header", "simple", false),
            ]
        }],
        "schema": { "properties": {
            "customer": more(json!({ "type": "string", "format": "uuid" })),
            "order": more(json!({ "type": "integer", "format": "int64", "minimum": 1 })),
            "limit": more(json!({ "type": "integer", "minimum": 1, "maximum": 100 })),
            "sort": more(json!({ "type": "string", "enum": ["created", "-created", "total", "-total"] })),
            "state": more(json!({ "type": "array", "maxItems": 5, "items": { "type": "string", "enum": ["open", "paid", "shipped", "closed"] } })),
            "x-request-version": more(json!({ "type": "string", "format": "date" }))
        } },
    }))
    .expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    schemas
}

fn six(criterion: &mut Criterion) {
    let captures = [(11, 47), (55, 59)];
    let head = |query: &str| {
        let mut head = Head::default();
        head.parse_text(&format!(
            "GET /customers/123e4567-e89b-12d3-a456-426614174000/orders/4711?{query}\nhost:api.example.com\naccept:application/json\nuser-agent:bench/1\nx-request-version:2026-11-02"
        ))
        .expect("a head");
        head
    };
    let good = head("limit=50&sort=-created&state=open,paid,shipped");
    let bad = head("limit=500&sort=-created&state=open,paid,shipped");
    let mut kept = Parameters::default();
    let mut group = criterion.benchmark_group("parameters");
    for (name, schemas) in [("six", schemas(true)), ("six, by the validator", schemas(false))] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let found = schemas.parameters(0, black_box(&good), &captures, &mut kept);
                assert!(found.violation.is_none() && found.unknown.is_none());
            });
        });
        group.bench_function(format!("{name}, one wrong"), |bencher| {
            bencher.iter(|| {
                assert!(schemas.parameters(0, black_box(&bad), &captures, &mut kept).violation.is_some());
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = six
}
criterion_main!(benches);
