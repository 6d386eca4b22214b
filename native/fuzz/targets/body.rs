//! Any body is accepted or refused; what a strict reader refuses is refused here too.
#![no_main]

mod host;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::schema::{Chosen, Schemas};
use serde_json::{Value, json};

fuzz_target!(|body: &[u8]| {
    thread_local! {
        static HOST: (Schemas, Chosen) = host::prepared(
            json!({ "media_type": "application/json", "format": "json", "schema": "a" }),
            json!({ "a": { "type": ["object", "array", "string", "number", "boolean", "null"],
                "properties": { "a": { "type": "string", "maxLength": 3 } } } }),
            "content-type:application/json",
        );
    }
    HOST.with(|(schemas, chosen)| {
        if schemas.check(chosen, body).is_ok() {
            assert!(std::str::from_utf8(body).is_ok());
            serde_json::from_slice::<Value>(body).expect("what passes is JSON");
        }
    });
});
