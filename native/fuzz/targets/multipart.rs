//! Any multipart body is accepted or refused; what passes has the parts that a lenient split finds too.
#![no_main]

mod host;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::schema::{Chosen, Schemas};
use serde_json::json;

fuzz_target!(|body: &[u8]| {
    thread_local! {
        static HOST: (Schemas, Chosen) = host::prepared(
            json!({ "media_type": "multipart/form-data", "format": "multipart", "schema": "a", "encoding": [
                { "name": "file", "content_types": ["image/*"], "binary": true, "max_bytes": 64 },
                { "name": "meta", "content_types": ["application/json"],
                  "headers": [{ "name": "x-a", "location": "header", "style": "simple", "schema": "h" }] }
            ] }),
            json!({ "h": { "type": "array", "items": { "type": "integer" } }, "a": { "type": "object", "properties": {
                "file": {}, "meta": { "type": "object" }, "n": { "type": "integer" }, "s": { "type": "string", "maxLength": 5 },
                "l": { "type": "array", "items": { "type": ["integer", "string"] } } } } }),
            "content-type:multipart/form-data; boundary=x",
        );
    }
    HOST.with(|(schemas, chosen)| {
        if schemas.check(chosen, body).is_ok() {
            // Nothing that looks like a boundary was taken for content.
            let boundaries = body.windows(3).filter(|window| window == b"--x").count();
            let lines = body.windows(5).filter(|window| window == b"\r\n--x").count();
            assert!(body.starts_with(b"--x"));
            assert_eq!(boundaries, lines + 1);
        }
    });
});
