//! Bodies of every kind: test/corpus/schema/bodies, and what holds for any of them.

use std::io::Write as _;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::super::coding::Coding;
use super::*;

/// The body of a case: text, lines with their ends, or bytes.
fn body(case: &Value) -> Vec<u8> {
    if let Some(base64) = case["base64"].as_str() {
        return base64::engine::general_purpose::STANDARD.decode(base64).expect("base64");
    }
    match case["body"].as_array() {
        Some(lines) => {
            lines.iter().map(|line| line.as_str().expect("a line")).collect::<Vec<_>>().join("\r\n").into_bytes()
        }
        None => bytes(case),
    }
}

fn compile(content: &Value, schema: &Value) -> Schemas {
    let body: OperationBody = serde_json::from_value(content.clone()).expect("a body");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi(vec![operation("op", Some(body))], schema.clone()), "", &mut problems);
    assert_eq!(problems, []);
    schemas
}

/// Head and body, as a request meets them.
fn whole(schemas: &Schemas, fields: &str, body: &[u8]) -> Result<(), Violation> {
    let mut head = Head::default();
    // Whether there is a body is decided on the head alone: chunked, it may turn out to be none.
    head.parse_text(&format!("POST /\nhost:a\ntransfer-encoding:chunked{fields}")).expect("a head");
    match schemas.choose(0, &head)? {
        BodyCheck::Check(chosen) => schemas.check(&chosen, body).map(|_| ()),
        BodyCheck::NoBody | BodyCheck::Unchecked => panic!("a body that nobody checks"),
    }
}

#[test]
fn every_body_of_every_kind_gets_its_verdict() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test/corpus/schema/bodies");
    let mut read = 0;
    let mut wrong = Vec::new();
    for file in std::fs::read_dir(folder).expect("the corpus") {
        let path = file.expect("an entry").path();
        let corpus: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("a file")).expect("JSON");
        let schemas = compile(&corpus["body"], &corpus["schema"]);
        for case in corpus["cases"].as_array().expect("cases") {
            let mut fields: String = case["fields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|field| format!("\n{}", field.as_str().expect("a field")))
                .collect();
            if !fields.contains("content-type:") {
                fields.push_str(&format!("\ncontent-type:{}", corpus["type"].as_str().expect("a media type")));
            }
            let (found, errors) = match whole(&schemas, &fields, &body(case)) {
                Ok(()) => ("pass", json!([])),
                Err(violation) => {
                    let errors = violation.errors.iter().map(|error| json!([error.pointer, error.message]));
                    (violation.reason.id(), errors.collect())
                }
            };
            if case["verdict"] != found || (!case["errors"].is_null() && case["errors"] != errors) {
                wrong.push(format!("{}: {}: {found} {errors}", path.display(), case["name"]));
            }
            read += 1;
        }
    }
    assert!(read > 150);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn encode(coding: Coding, body: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Identity => body.to_vec(),
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(body).expect("gzip");
            encoder.finish().expect("gzip")
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).expect("zlib");
            encoder.finish().expect("zlib")
        }
        Coding::Brotli => {
            let mut out = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            brotli::BrotliCompress(&mut &body[..], &mut out, &parameters).expect("br");
            out
        }
        Coding::Zstd => compress_to_vec(body, CompressionLevel::Fastest),
    }
}

const CODINGS: [(Coding, &str); 5] = [
    (Coding::Identity, "identity"),
    (Coding::Gzip, "gzip"),
    (Coding::Deflate, "deflate"),
    (Coding::Brotli, "br"),
    (Coding::Zstd, "zstd"),
];

fn any_json() -> Schemas {
    let content =
        json!({ "required": true, "content": [{ "media_type": "application/json", "format": "json", "schema": "a" }] });
    compile(&content, &json!({ "properties": { "a": { "type": ["string", "object", "array"] } } }))
}

fn fields(coding: &str) -> String {
    format!("\ncontent-type:application/json\ncontent-encoding:{coding}")
}

#[test]
fn a_body_that_expands_beyond_its_bounds_is_refused() {
    let schemas = any_json();
    let text = |length: usize| format!("\"{}\"", "a".repeat(length - 2)).into_bytes();
    // Text that hardly shrinks: hexadecimal digits of a running hash.
    let dense = |length: usize| {
        let mut state = 1_u64;
        let digits = (0..length - 2).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_digit((state >> 60) as u32, 16).expect("a digit")
        });
        format!("\"{}\"", digits.collect::<String>()).into_bytes()
    };
    for (coding, name) in &CODINGS[1..] {
        let verdict = |body: &[u8]| whole(&schemas, &fields(name), &encode(*coding, body));
        assert_eq!(verdict(&text(64 * 1024)), Ok(()), "{name}: no ratio below 64 KiB");
        assert_eq!(verdict(&dense(1024 * 1024)), Ok(()), "{name}: as large as a body may be");
        for bomb in [dense(1024 * 1024 + 1), text(1024 * 1024), text(100 << 20)] {
            let violation = verdict(&bomb).expect_err("a bomb");
            assert_eq!(violation.reason, Reason::SchemaDecoding, "{name} of {}", bomb.len());
            assert_eq!(violation.errors[0].class, Class::Size, "{name} of {}", bomb.len());
        }
    }
}

#[test]
fn an_encoded_body_counts_as_what_it_may_become() {
    let schemas = any_json();
    let most = |coding: &str, length| {
        let mut head = Head::default();
        head.parse_text(&format!("POST /\nhost:a\ntransfer-encoding:chunked{}", fields(coding))).expect("a head");
        let Ok(BodyCheck::Check(chosen)) = schemas.choose(0, &head) else { panic!("a body that nobody checks") };
        chosen.most_bytes(length)
    };
    assert_eq!(most("identity", 10), 10);
    assert_eq!(most("gzip", 10), 64 * 1024);
    assert_eq!(most("gzip", 1_000), 100_000);
    assert_eq!(most("gzip", 100_000), 1024 * 1024);
}

#[test]
fn bytes_that_decode_in_two_ways_are_refused() {
    // zlib's two bytes, then a stored block of 65,534 bytes. Bare: a stored block of one byte, one with `{}`, the end.
    let mut inner = vec![2, 0, 0xfd, 0xff, b'{', b'}', 1, 0, 0, 0xff, 0xff];
    inner.resize(0xfffe, b' ');
    let mut both = vec![0x78, 0x01, 0x00, 0xfe, 0xff, 0x01, 0x00];
    both.extend_from_slice(&inner);
    both.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    let (mut low, mut high) = (1_u32, 0_u32);
    for &byte in &inner {
        low = (low + u32::from(byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    both.extend_from_slice(&(high << 16 | low).to_be_bytes());
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&both[..]), &mut read).expect("zlib");
    assert_eq!(read, inner);
    read.clear();
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(&both[..]), &mut read).expect("bare deflate");
    assert_eq!(read, b"\x01{}");
    let violation = whole(&any_json(), &fields("deflate"), &both).expect_err("two bodies");
    assert_eq!(violation.errors[0].message, "two ways to decode the body");
}

#[test]
fn lines_share_one_bound_on_steps() {
    let content = json!({ "required": true, "content": [{ "media_type": "application/jsonl", "format": "ndjson", "schema": "a" }] });
    let many: Vec<Value> =
        (0..200).map(|index| json!({ "items": { "type": "integer" }, "minItems": index % 2 })).collect();
    let schemas = compile(&content, &json!({ "properties": { "a": { "allOf": many } } }));
    let line = format!("[{}1]\n", "1,".repeat(999));
    assert_eq!(whole(&schemas, "\ncontent-type:application/jsonl", line.repeat(10).as_bytes()), Ok(()));
    let violation =
        whole(&schemas, "\ncontent-type:application/jsonl", line.repeat(100).as_bytes()).expect_err("20 million steps");
    assert_eq!(violation.reason, Reason::SchemaSteps);
}

#[test]
fn more_parts_than_are_read_are_refused() {
    let content = json!({ "required": true, "content": [{ "media_type": "multipart/form-data", "format": "multipart", "schema": "a" }] });
    let schemas = compile(&content, &json!({ "properties": { "a": { "properties": { "a": { "type": "array" } } } } }));
    let parts = |count: usize| {
        format!("{}--x--", "--x\r\ncontent-disposition:form-data;name=a\r\n\r\n1\r\n".repeat(count)).into_bytes()
    };
    let head = "\ncontent-type:multipart/form-data;boundary=x";
    assert_eq!(whole(&schemas, head, &parts(1_000)), Ok(()));
    let violation = whole(&schemas, head, &parts(1_001)).expect_err("a part too many");
    assert_eq!(violation.reason, Reason::SchemaMultipart);
}

proptest! {
    #[test]
    fn an_encoded_body_gets_the_verdict_of_its_text(value in value()) {
        let schemas = any_json();
        let text = value.to_string();
        let plain = whole(&schemas, &fields("identity"), text.as_bytes());
        for (coding, name) in CODINGS {
            prop_assert_eq!(&whole(&schemas, &fields(name), &encode(coding, text.as_bytes())), &plain, "{}", name);
        }
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(text.as_bytes()).expect("deflate");
        let bare = bare.finish().expect("deflate");
        prop_assert_eq!(whole(&schemas, &fields("deflate"), &bare), plain);
    }

    #[test]
    fn a_cut_encoding_is_never_accepted(value in value(), cut in any::<prop::sample::Index>()) {
        let schemas = any_json();
        for (coding, name) in &CODINGS[1..] {
            let encoded = encode(*coding, format!("[{value}]").as_bytes());
            let cut = cut.index(encoded.len());
            let verdict = whole(&schemas, &fields(name), &encoded[..cut]);
            prop_assert!(verdict.is_err(), "{} {}", name, cut);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), flip in any::<prop::sample::Index>()) {
        let schemas = any_json();
        for (coding, name) in &CODINGS[1..] {
            let _ = whole(&schemas, &fields(name), &bytes);
            let mut encoded = encode(*coding, &bytes);
            let at = flip.index(encoded.len());
            encoded[at] ^= 1 << (at % 8);
            let _ = whole(&schemas, &fields(name), &encoded);
        }
    }

    #[test]
    fn parts_are_read_as_they_were_written(texts in prop::collection::vec(("[a-z]{1,3}", "[ -~é\r\n]{0,20}"), 0..8)) {
        let mut expected: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
        let mut body = String::new();
        for (name, text) in &texts {
            expected.entry(name).or_default().push(text);
            body.push_str(&format!("--boundary42\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"));
        }
        body.push_str("--boundary42--\r\n");
        let content = json!({ "required": true, "content": [{ "media_type": "multipart/form-data", "format": "multipart", "schema": "a" }] });
        let list = json!({ "type": "array", "items": { "type": "string" } });
        let schema = json!({ "allOf": [
            { "type": "object", "additionalProperties": list },
            { "const": expected }
        ] });
        let schemas = compile(&content, &json!({ "properties": { "a": schema } }));
        let found = whole(&schemas, "\ncontent-type:multipart/form-data; boundary=boundary42", body.as_bytes());
        prop_assert_eq!(found, Ok(()));
    }

    #[test]
    fn no_bytes_make_the_part_reader_panic(bytes in prop::collection::vec(prop_oneof![
        Just("--x".to_owned()), Just("--".to_owned()), Just("\r\n".to_owned()), Just("\r\n\r\n".to_owned()),
        Just("content-disposition: form-data; name=\"a\"".to_owned()), Just("content-type: application/json".to_owned()),
        "[ -~]{0,4}", "\\PC{0,2}"
    ], 0..20)) {
        let content = json!({ "required": true, "content": [{ "media_type": "multipart/form-data", "format": "multipart", "schema": "a" }] });
        let schemas = compile(&content, &json!({ "properties": { "a": { "properties": { "a": { "type": ["array", "integer"] } } } } }));
        let _ = whole(&schemas, "\ncontent-type:multipart/form-data; boundary=x", bytes.concat().as_bytes());
    }
}
