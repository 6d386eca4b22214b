//! Any multipart body is accepted or refused; what passes has the parts that a lenient split finds too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::head::Head;
use portcullis_engine::policy::HostOpenapi;
use portcullis_engine::schema::{BodyCheck, Chosen, Schemas};

fn prepared() -> (Schemas, Chosen) {
    let openapi: HostOpenapi = serde_json::from_value(serde_json::json!({
        "action": "block", "fallthrough": "block",
        "operations": [{ "id": "a", "at": "", "method": "POST", "path": "/a",
            "body": { "required": true, "content": [{ "media_type": "multipart/form-data", "format": "multipart", "schema": "a",
                "encoding": [
                    { "name": "file", "content_types": ["image/*"], "binary": true, "max_bytes": 64 },
                    { "name": "meta", "content_types": ["application/json"],
                      "headers": [{ "name": "x-a", "location": "header", "style": "simple", "schema": "h" }] }
                ] }] } }],
        "schema": { "properties": { "h": { "type": "array", "items": { "type": "integer" } }, "a": { "type": "object", "properties": {
            "file": {}, "meta": { "type": "object" }, "n": { "type": "integer" }, "s": { "type": "string", "maxLength": 5 },
            "l": { "type": "array", "items": { "type": ["integer", "string"] } } } } } },
    }))
    .expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    let mut head = Head::default();
    head.parse_text("POST /a\nhost:a\ncontent-type:multipart/form-data; boundary=x\ncontent-length:1").expect("a head");
    let Ok(BodyCheck::Check(chosen)) = schemas.choose(0, &head) else { panic!("a body that nobody checks") };
    (schemas, chosen)
}

fuzz_target!(|body: &[u8]| {
    thread_local! {
        static PREPARED: (Schemas, Chosen) = prepared();
    }
    PREPARED.with(|(schemas, chosen)| {
        if schemas.check(chosen, body).is_ok() {
            // Nothing that looks like a boundary was taken for content.
            let boundaries = body.windows(3).filter(|window| window == b"--x").count();
            let lines = body.windows(5).filter(|window| window == b"\r\n--x").count();
            assert!(body.starts_with(b"--x"));
            assert_eq!(boundaries, lines + 1);
        }
    });
});
