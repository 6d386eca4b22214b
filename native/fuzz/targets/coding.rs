//! Any encoded body is decoded within its bounds, or refused. The first byte says how it is encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::head::Head;
use portcullis_engine::policy::HostOpenapi;
use portcullis_engine::schema::{BodyCheck, Chosen, Schemas};

fn prepared() -> (Schemas, Vec<Chosen>) {
    let openapi: HostOpenapi = serde_json::from_value(serde_json::json!({
        "action": "block", "fallthrough": "block",
        "operations": [{ "id": "a", "at": "", "method": "POST", "path": "/a",
            "body": { "required": true, "content": [{ "media_type": "text/plain", "format": "text", "schema": "a" }] } }],
        "schema": { "properties": { "a": { "type": "string", "maxLength": 1_048_576 } } },
    }))
    .expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    let chosen = ["gzip", "deflate", "br", "zstd"].map(|coding| {
        let mut head = Head::default();
        let text = format!("POST /a\nhost:a\ncontent-type:text/plain\ncontent-encoding:{coding}\ncontent-length:1");
        head.parse_text(&text).expect("a head");
        let Ok(BodyCheck::Check(chosen)) = schemas.choose(0, &head) else { panic!("a body that nobody checks") };
        chosen
    });
    (schemas, chosen.into())
}

fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static PREPARED: (Schemas, Vec<Chosen>) = prepared();
    }
    let [first, body @ ..] = bytes else { return };
    PREPARED.with(|(schemas, chosen)| {
        // The schema allows as many characters as a decoded body may have bytes: only nothing violates it.
        if let Err(violation) = schemas.check(&chosen[*first as usize % chosen.len()], body) {
            assert!(violation.reason.id() != "schema.body" || violation.errors[0].class.name() == "required");
        }
    });
});
