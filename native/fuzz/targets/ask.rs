//! Commands as the door gives them.
#![allow(dead_code, reason = "each target uses a part")]

use serde_json::{Value, json};

pub fn ask(command: &Value) -> Value {
    let answer: Value = serde_json::from_str(&portcullis_pki::run(&command.to_string())).expect("JSON");
    let message = answer["error"]["message"].as_str().unwrap_or("");
    assert!(!message.contains("inside the gateway"), "a panic, or what cannot be: {message}");
    answer
}

pub fn authority() -> Value {
    let made = ask(&json!({
        "command": "create_authority", "subject": { "common_name": "a" }, "key_type": "P-256", "not_before": 0,
        "not_after": 4_000_000_000_000_i64, "path_length": null,
    }));
    json!({ "certificate": made["certificate"], "key": made["key"] })
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = if place <= chunk.len() { DIGITS[(word >> (18 - 6 * place)) as usize & 63] } else { b'=' };
            out.push(digit as char);
        }
    }
    out
}
