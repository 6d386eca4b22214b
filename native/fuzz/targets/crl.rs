//! Any bytes as a revocation list: the engine's reader, which believes nothing that its authority did not sign, and
//! `inspect`.
#![no_main]

mod ask;

use std::sync::LazyLock;

use ask::{ask, base64};
use libfuzzer_sys::fuzz_target;
use portcullis_engine::mtls::TrustSet;
use portcullis_engine::policy::Authority;
use serde_json::{Value, json};

static ISSUER: LazyLock<Value> = LazyLock::new(ask::authority);

fuzz_target!(|der: &[u8]| {
    let encoded = base64(der);
    ask(&json!({ "command": "inspect", "bytes": encoded }));
    let authority: Authority = serde_json::from_value(json!({
        "name": "a", "at": "/authorities/a", "certificates": ISSUER["certificate"],
        "crls": [format!("-----BEGIN X509 CRL-----\n{encoded}\n-----END X509 CRL-----\n")],
    }))
    .expect("an authority");
    let mut problems = Vec::new();
    TrustSet::compile(&[&authority], 1_800_000_000, &mut problems);
    assert!(!problems.is_empty(), "nobody but the authority signs its lists");
});
