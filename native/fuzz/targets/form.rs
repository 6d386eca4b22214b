//! Any form is accepted or refused.
#![no_main]

mod host;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::schema::{Chosen, Schemas};
use serde_json::json;

fuzz_target!(|body: &[u8]| {
    thread_local! {
        static HOST: (Schemas, Chosen) = host::prepared(
            json!({ "media_type": "application/x-www-form-urlencoded", "format": "form", "schema": "a", "encoding": [
                { "name": "d", "style": "deepObject", "explode": true },
                { "name": "p", "style": "pipeDelimited" },
                { "name": "j", "content_types": ["application/json"] }
            ] }),
            json!({ "a": { "type": "object", "maxProperties": 9, "properties": {
                "i": { "type": ["integer", "null"] }, "s": { "type": "array", "items": { "type": "string" } },
                "d": { "type": ["object", "array"], "properties": { "a": { "type": "array", "items": { "type": "object" } } } },
                "p": { "type": "array", "items": { "type": "boolean" } }, "j": {},
                "o": { "type": "object", "properties": { "x": { "type": "integer" } } }
            } } }),
            "content-type:application/x-www-form-urlencoded",
        );
    }
    HOST.with(|(schemas, chosen)| {
        if schemas.check(chosen, body).is_ok() {
            assert!(std::str::from_utf8(body).is_ok());
        }
    });
});
