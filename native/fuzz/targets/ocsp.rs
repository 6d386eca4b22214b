//! Any bytes as a request to our responder, and as the answer of another.
#![no_main]

mod ask;

use std::sync::LazyLock;

use ask::{ask, base64};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static ISSUER: LazyLock<Value> = LazyLock::new(ask::authority);

fuzz_target!(|der: &[u8]| {
    let encoded = base64(der);
    ask(&json!({ "command": "ocsp_read", "request": encoded }));
    ask(&json!({
        "command": "ocsp_sign", "issuer": *ISSUER, "request": encoded, "answers": [], "this_update": 0,
        "next_update": 1_000_000,
    }));
    let verified = ask(&json!({
        "command": "ocsp_verify", "response": encoded, "issuer": ISSUER["certificate"], "serial": "1234", "nonce": null,
        "now": 500_000,
    }));
    assert!(verified.get("error").is_some(), "nobody but the issuer answers for it");
    ask(&json!({ "command": "inspect", "bytes": encoded }));
});
