//! Any bytes as a certification request, also when a certificate is to be made of them.
#![no_main]

mod ask;

use std::sync::LazyLock;

use ask::{ask, base64};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static ISSUER: LazyLock<Value> = LazyLock::new(ask::authority);

fuzz_target!(|der: &[u8]| {
    let csr = base64(der);
    let read = ask(&json!({ "command": "read_csr", "csr": csr }));
    let issued = ask(&json!({
        "command": "issue", "issuer": *ISSUER, "csr": csr, "subject": { "common_name": "a" }, "eku": [],
        "not_before": 0, "not_after": 1_000_000,
    }));
    assert!(read.get("error").is_some() || issued.get("error").is_none(), "what is read can be issued: {issued}");
    ask(&json!({ "command": "inspect", "bytes": csr }));
});
