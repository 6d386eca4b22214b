//! Any body is accepted or refused; what a strict reader refuses is refused here too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::policy::HostOpenapi;
use portcullis_engine::schema::{Chosen, Schemas};

fuzz_target!(|body: &[u8]| {
    thread_local! {
        static SCHEMAS: Schemas = {
            let openapi: HostOpenapi = serde_json::from_value(serde_json::json!({
                "action": "block", "fallthrough": "block",
                "operations": [{ "id": "a", "at": "", "method": "POST", "path": "/a",
                    "body": { "required": true, "content": [{ "media_type": "application/json", "format": "json", "schema": "a" }] } }],
                "schema": { "properties": { "a": { "type": ["object", "array", "string", "number", "boolean", "null"],
                    "properties": { "a": { "type": "string", "maxLength": 3 } } } } },
            })).expect("a policy");
            Schemas::compile(&openapi, "", &mut Vec::new())
        };
    }
    SCHEMAS.with(|schemas| {
        if schemas.check(&Chosen::plain(0), body).is_ok() {
            assert!(std::str::from_utf8(body).is_ok());
            serde_json::from_slice::<serde_json::Value>(body).expect("what passes is JSON");
        }
    });
});
