//! Whatever the bytes: an answer or an error, never a panic, and nothing that grows beyond its input's measure.

use std::sync::LazyLock;

use crate::support::{DAY, ask, authority, base64, bytes, der, leaf_command, now, signer};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One of every kind that is read.
static REAL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    let list = json!({
        "command": "crl", "issuer": signer(&root), "number": 1, "this_update": now(), "next_update": now() + DAY,
        "revoked": [{ "serial": "1234", "at": now(), "reason": "key_compromise" }], "url": "http://a.example",
    });
    let asked =
        ask(&json!({ "command": "ocsp_request", "issuer": root["certificate"], "serial": "1234", "nonce": true }));
    let signed = ask(&json!({
        "command": "ocsp_sign", "issuer": signer(&root), "request": asked["der"], "this_update": now(),
        "next_update": now() + DAY, "answers": [{ "serial": "1234", "status": "revoked", "revoked_at": now() }],
    }));
    let bundle = ask(&json!({
        "command": "pkcs12", "certificate": leaf["certificate"], "chain": [root["certificate"]], "key": leaf["key"],
        "password": "secret", "name": "a", "encryption": "legacy",
    }));
    let certificates = ask(&json!({ "command": "pkcs7", "certificates": [leaf["certificate"], root["certificate"]] }));
    let key = rcgen::KeyPair::generate().unwrap();
    let wishes = rcgen::CertificateParams::new(["a.example.com".to_owned()]).unwrap();
    vec![
        der(&leaf["certificate"]),
        der(&root["certificate"]),
        der(&leaf["key"]),
        wishes.serialize_request(&key).unwrap().der().to_vec(),
        bytes(&ask(&list)["der"]),
        bytes(&asked["der"]),
        bytes(&signed["der"]),
        bytes(&bundle["der"]),
        bytes(&certificates["der"]),
        leaf["certificate"].as_str().unwrap().as_bytes().to_vec(),
    ]
});

static ROOT: LazyLock<Value> = LazyLock::new(authority);

/// Every command that takes bytes of somebody else.
fn all_readers(input: &[u8]) {
    let encoded = base64(input);
    let commands = [
        json!({ "command": "inspect", "bytes": encoded, "password": "secret" }),
        json!({ "command": "inspect", "bytes": encoded }),
        json!({ "command": "read_csr", "csr": encoded }),
        json!({ "command": "ocsp_read", "request": encoded }),
        json!({
            "command": "ocsp_verify", "response": encoded, "issuer": ROOT["certificate"], "serial": "1234",
            "nonce": null, "now": now(),
        }),
        json!({ "command": "read_authority", "certificates": String::from_utf8_lossy(input), "key": String::from_utf8_lossy(input) }),
    ];
    for command in commands {
        let answer = portcullis_pki::run(&command.to_string());
        let parsed: Value = serde_json::from_str(&answer).expect("JSON");
        let message = parsed["error"]["message"].as_str().unwrap_or("");
        assert!(!message.contains("inside the gateway"), "{message}: {encoded}");
        // Names are cut, lists are counted: the answer has the input's size and a little more.
        assert!(answer.len() < 16 * 1024 + 40 * input.len(), "{} bytes", answer.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_arbitrary_bytes(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        all_readers(&input);
    }

    #[test]
    fn on_real_ones_with_bytes_changed_cut_and_doubled(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let mut input = which.get(&REAL).clone();
        for (at, byte, kind) in changes {
            if input.is_empty() { break; }
            let at = at.index(input.len());
            match kind {
                0 => input[at] = byte,
                1 => { input.remove(at); }
                2 => input.insert(at, byte),
                _ => input.truncate(at.max(1)),
            }
        }
        all_readers(&input);
    }

    #[test]
    fn on_arbitrary_commands(text in ".{0,200}") {
        let answer = portcullis_pki::run(&text);
        prop_assert!(answer.contains("\"error\""));
    }
}

#[test]
fn on_deep_nesting() {
    for (tag, depth) in [(0x30u8, 20_000), (0xa0, 20_000), (0x31, 20_000)] {
        all_readers(&vec![tag; depth]);
        // Indefinite lengths, and lengths that promise more than there is.
        all_readers(&[tag, 0x80].repeat(depth / 2));
        all_readers(&[tag, 0x84, 0x7f, 0xff, 0xff, 0xff].repeat(100));
    }
}
