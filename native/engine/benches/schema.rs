//! Bytes to verdict of a JSON body, and the look-up of an operation.
//!
//! `cargo bench --profile release -p portcullis-engine --bench schema`. The rivals that docs/decisions/0003 compares with are
//! measured in the same run: serde_json's Value (which keeps the last of two equal names) through the same crate.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_engine::endpoints::{Endpoints, Match};
use portcullis_engine::head::Head;
use portcullis_engine::policy::{HostOpenapi, Operation};
use portcullis_engine::schema::{BodyCheck, Chosen, Schemas};
use serde_json::{Value, json};

fn order_schema() -> Value {
    json!({
        "$defs": {
            "Order": {
                "type": "object",
                "required": ["customer", "currency", "lines"],
                "additionalProperties": false,
                "properties": {
                    "customer": { "type": "string", "minLength": 1, "maxLength": 64 },
                    "currency": { "enum": ["EUR", "USD", "GBP"] },
                    "placed": { "type": "string", "format": "date-time" },
                    "lines": { "type": "array", "minItems": 1, "maxItems": 200, "items": { "$ref": "#/$defs/Line" } }
                }
            },
            "Line": {
                "type": "object",
                "required": ["sku", "quantity", "price"],
                "additionalProperties": false,
                "properties": {
                    "sku": { "type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$" },
                    "quantity": { "type": "integer", "minimum": 1, "maximum": 1000 },
                    "price": { "type": "number", "minimum": 0 },
                    "note": { "type": "string", "maxLength": 100 }
                }
            }
        },
        "properties": { "order": { "$ref": "#/$defs/Order" } }
    })
}

fn order(lines: usize) -> String {
    let mut body =
        String::from(r#"{"customer":"ada lovelace","currency":"EUR","placed":"2026-11-02T10:00:00Z","lines":["#);
    for index in 0..lines {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            body,
            r#"{comma}{{"sku":"ABC-{index:04}","quantity":{},"price":{}.95,"note":"leave it at the door"}}"#,
            index + 1,
            index * 7
        );
    }
    body.push_str("]}");
    body
}

fn bodies(criterion: &mut Criterion) {
    let operation = json!({ "id": "order", "at": "", "method": "POST", "path": "/orders",
        "body": { "required": true, "content": [{ "media_type": "application/json", "format": "json", "schema": "order" }] } });
    let openapi: HostOpenapi = serde_json::from_value(
        json!({ "action": "block", "fallthrough": "log", "operations": [operation], "schema": order_schema() }),
    )
    .expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    let mut root = order_schema();
    root["$ref"] = json!("#/$defs/Order");
    root.as_object_mut().expect("an object").remove("properties");
    let rival = jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .should_validate_formats(true)
        .build(&root)
        .expect("a schema");

    let mut group = criterion.benchmark_group("schema");
    // 12 lines are 1 KiB.
    for lines in [2, 12, 100] {
        let body = order(lines);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("check", body.len()), &body, |bencher, body| {
            bencher.iter(|| schemas.check(&Chosen::plain(0), black_box(body.as_bytes())).expect("a good order"));
        });
        group.bench_with_input(BenchmarkId::new("serde_json::Value", body.len()), &body, |bencher, body| {
            bencher.iter(|| {
                let value: Value = serde_json::from_slice(black_box(body.as_bytes())).expect("JSON");
                assert!(rival.is_valid(&value));
            });
        });
    }
    let bad = order(12).replace("\"quantity\":12", "\"quantity\":0");
    group.bench_function("refuse 1 KiB", |bencher| {
        bencher.iter(|| schemas.check(&Chosen::plain(0), black_box(bad.as_bytes())).expect_err("a bad order"));
    });
    group.finish();
}

/// The same 1 KiB, encoded and in other formats.
fn formats(criterion: &mut Criterion) {
    let rows = [
        ("application/json", "json", "order"),
        ("application/x-ndjson", "ndjson", "order"),
        ("multipart/form-data", "multipart", "parts"),
        ("text/plain", "text", "text"),
    ];
    let content: Vec<Value> = rows
        .iter()
        .map(|(media_type, format, schema)| json!({ "media_type": media_type, "format": format, "schema": schema }))
        .collect();
    let mut schema = order_schema();
    let parts: serde_json::Map<String, Value> =
        (0..10).map(|index| (format!("field{index}"), json!({ "type": "string", "maxLength": 100 }))).collect();
    schema["properties"]["parts"] = json!({ "type": "object", "additionalProperties": false, "properties": parts });
    schema["properties"]["text"] = json!({ "type": "string", "maxLength": 2000 });
    let operation = json!({ "id": "a", "at": "", "method": "POST", "path": "/a", "body": { "required": true, "content": content } });
    let openapi: HostOpenapi = serde_json::from_value(
        json!({ "action": "block", "fallthrough": "log", "operations": [operation], "schema": schema }),
    )
    .expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    let chosen = |fields: &str| {
        let mut head = Head::default();
        head.parse_text(&format!("POST /a\nhost:a\ncontent-length:1\n{fields}")).expect("a head");
        match schemas.choose(0, &head) {
            Ok(BodyCheck::Check(chosen)) => chosen,
            other => panic!("{other:?}"),
        }
    };
    let text = order(12).into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text).expect("gzip");
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    deflate.write_all(&text).expect("deflate");
    let mut br = Vec::new();
    brotli::BrotliCompress(&mut &text[..], &mut br, &brotli::enc::BrotliEncoderParams::default()).expect("br");
    let zstd = ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
    let json = "content-type:application/json";
    let part = |index| format!("--x\r\ncontent-disposition: form-data; name=\"field{index}\"\r\n\r\n{:50}\r\n", index);
    let parts: String = (0..10).map(part).chain(["--x--\r\n".to_owned()]).collect();
    let bodies = [
        ("gzip", format!("{json}\ncontent-encoding:gzip"), gzip.finish().expect("gzip")),
        ("deflate", format!("{json}\ncontent-encoding:deflate"), deflate.finish().expect("deflate")),
        ("br", format!("{json}\ncontent-encoding:br"), br),
        ("zstd", format!("{json}\ncontent-encoding:zstd"), zstd),
        ("10 lines", "content-type:application/x-ndjson".to_owned(), format!("{}\n", order(1)).repeat(10).into_bytes()),
        ("10 parts", "content-type:multipart/form-data; boundary=x".to_owned(), parts.into_bytes()),
        ("text", "content-type:text/plain".to_owned(), vec![b'a'; 1024]),
    ];
    let mut group = criterion.benchmark_group("format");
    for (name, fields, body) in bodies {
        let chosen = chosen(&fields);
        group.bench_function(BenchmarkId::new(name, body.len()), |bencher| {
            bencher.iter(|| schemas.check(&chosen, black_box(&body)).expect("a good body"));
        });
    }
    group.finish();
}

fn endpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoints");
    for count in [50, 10_000] {
        let operations: Vec<Operation> = (0..count)
            .map(|index| {
                let (group, method) = (index / 4, ["GET", "PUT", "DELETE", "PATCH"][index % 4]);
                let path = format!("/v1/resource-{group}/{{id}}/items/{{item}}");
                serde_json::from_value(json!({ "id": "", "at": "", "method": method, "path": path }))
                    .expect("an operation")
            })
            .collect();
        let mut problems = Vec::new();
        let endpoints = Endpoints::compile(&operations, &mut problems);
        assert_eq!(problems, []);
        let paths: Vec<String> =
            (0..64).map(|index| format!("/v1/resource-{}/4711/items/0815", index * count / 4 / 64)).collect();
        let mut next = 0;
        let mut captures = Vec::new();
        group.bench_function(BenchmarkId::new("find", count), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % paths.len();
                captures.clear();
                assert!(matches!(
                    endpoints.find(black_box("PUT"), black_box(&paths[next]), &mut captures),
                    Match::Operation(_)
                ));
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = bodies, formats, endpoints
}
criterion_main!(benches);
