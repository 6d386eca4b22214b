//! A host with one operation that takes one body, for the targets of bodies.

use portcullis_engine::head::Head;
use portcullis_engine::policy::HostOpenapi;
use portcullis_engine::schema::{BodyCheck, Chosen, Schemas};
use serde_json::{Value, json};

/// `content` describes the body by one of `properties`; `fields` are what its head says about it.
pub fn prepared(content: Value, properties: Value, fields: &str) -> (Schemas, Chosen) {
    let openapi: HostOpenapi = serde_json::from_value(json!({
        "action": "block", "fallthrough": "block",
        "operations": [{ "id": "a", "at": "", "method": "POST", "path": "/a",
            "body": { "required": true, "content": [content] } }],
        "schema": { "properties": properties },
    }))
    .expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);
    let mut head = Head::default();
    head.parse_text(&format!("POST /a\nhost:a\n{fields}\ncontent-length:1")).expect("a head");
    let Ok(BodyCheck::Check(chosen)) = schemas.choose(0, &head) else { panic!("a body that nobody checks") };
    (schemas, chosen)
}
