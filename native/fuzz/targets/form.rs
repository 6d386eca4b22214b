//! Any form is accepted or refused.
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
                    "body": { "required": true, "content": [{
                        "media_type": "application/x-www-form-urlencoded", "format": "form", "schema": "a",
                        "encoding": [
                            { "name": "d", "style": "deepObject", "explode": true },
                            { "name": "p", "style": "pipeDelimited" },
                            { "name": "j", "content_types": ["application/json"] }
                        ]
                    }] } }],
                "schema": { "properties": { "a": { "type": "object", "maxProperties": 9, "properties": {
                    "i": { "type": ["integer", "null"] }, "s": { "type": "array", "items": { "type": "string" } },
                    "d": { "type": ["object", "array"], "properties": { "a": { "type": "array", "items": { "type": "object" } } } },
                    "p": { "type": "array", "items": { "type": "boolean" } }, "j": {},
                    "o": { "type": "object", "properties": { "x": { "type": "integer" } } }
                } } } },
            })).expect("a policy");
            Schemas::compile(&openapi, "", &mut Vec::new())
        };
    }
    SCHEMAS.with(|schemas| {
        if schemas.check(&Chosen::plain(0), body).is_ok() {
            assert!(std::str::from_utf8(body).is_ok());
        }
    });
});
