//! Any encoded body is decoded within its bounds, or refused. The first byte says how it is encoded.
#![no_main]

mod host;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::schema::{Chosen, Schemas};
use serde_json::json;

fn host(coding: &str) -> (Schemas, Chosen) {
    host::prepared(
        json!({ "media_type": "text/plain", "format": "text", "schema": "a" }),
        json!({ "a": { "type": "string", "maxLength": 1_048_576 } }),
        &format!("content-type:text/plain\ncontent-encoding:{coding}"),
    )
}

fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static HOSTS: [(Schemas, Chosen); 4] = ["gzip", "deflate", "br", "zstd"].map(host);
    }
    let [first, body @ ..] = bytes else { return };
    HOSTS.with(|hosts| {
        let (schemas, chosen) = &hosts[*first as usize % hosts.len()];
        // The schema allows as many characters as a decoded body may have bytes: only nothing violates it.
        if let Err(violation) = schemas.check(chosen, body) {
            assert!(violation.reason.id() != "schema.body" || violation.errors[0].class.name() == "required");
        }
    });
});
