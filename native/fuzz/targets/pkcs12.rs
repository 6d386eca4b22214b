//! Any bytes as a bundle, with a password and without.
#![no_main]

mod ask;

use ask::{ask, base64};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|der: &[u8]| {
    let encoded = base64(der);
    ask(&json!({ "command": "inspect", "bytes": encoded, "password": "secret" }));
    ask(&json!({ "command": "inspect", "bytes": encoded }));
});
