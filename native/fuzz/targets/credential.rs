//! Any fields and query in front of a host that looks for keys and tokens everywhere: nobody is let in who has no key, and
//! whoever is leaves it behind.
#![no_main]

mod jose;

use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use jose::NOW;
use libfuzzer_sys::fuzz_target;
use portcullis_engine::decide::{self, Outcome, Tally};
use portcullis_engine::exchange::Exchange;
use portcullis_engine::head::Framing;
use portcullis_engine::jwt::Cache;
use portcullis_engine::keys::Keys;
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use portcullis_forward::request::{Forwarded, write_head};
use serde_json::{Value, json};

const ID: &str = "0123456789ab";

/// Made at the start, of random bytes: what the fuzzer learns of it does not outlive the run.
static KEY: LazyLock<String> = LazyLock::new(|| {
    let mut random = [0; 43];
    aws_lc_rs::rand::fill(&mut random).expect("random bytes");
    let secret: String = random.iter().map(|byte| (b'a' + byte % 26) as char).collect();
    let key = format!("pck_{ID}_{secret}");
    let sum = format!("{key}_{:08x}", crc32(key.as_bytes()));
    let hash = digest(&SHA256, sum.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let change: portcullis_engine::keys::Change = serde_json::from_value(json!({
        "reset": true, "ready": true,
        "keys": [{ "id": ID, "secrets": [{ "digest": hex }], "scopes": ["a"] }],
    }))
    .expect("a change");
    Keys::of_process().change(&change).expect("room");
    sum
});

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let policy: Policy = serde_json::from_value(policy()).expect("a policy");
    Arc::new(Snapshot::compile(&policy, NOW.unix_ms / 1000, 1).expect("no problems"))
});

fn policy() -> Value {
    let places = json!([
        { "in": "header", "name": "x-api-key" },
        { "in": "header", "name": "authorization", "scheme": "Bearer" },
        { "in": "pair", "id": "x-id", "secret": "x-secret" },
        { "in": "basic" },
        { "in": "cookie", "name": "key" },
        { "in": "query", "name": "key" },
    ]);
    let secret = jose::encode([7; 32]);
    json!({
        "session_key": "00".repeat(32),
        "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1,
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "jwt": [{ "name": "a", "at": "", "algorithms": ["HS256"], "max_bytes": 8192,
            "keys": json!({ "keys": [{ "kty": "oct", "k": secret }] }).to_string(),
            "locations": [{ "in": "header", "name": "authorization", "scheme": "Bearer" }, { "in": "cookie", "name": "token" }] }],
        "hosts": [{ "name": "a", "at": "", "origin": 0, "mtls": { "mode": "off" }, "max_body_bytes": 0,
            "credentials": { "jwt": ["a"], "keys": places, "unmatched": { "any": [[{ "kind": "key" }]] },
                "session": [{ "by": "key" }, { "by": "cookie", "name": "sid" }, { "by": "header", "name": "x-session" }],
                "claims": [{ "header": "x-user", "claim": "sub" }], "partner_header": "x-partner", "strip": true } }],
    })
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

// `$KEY` in the input is the key, `$BASIC` what Basic makes of it.
fuzz_target!(|text: &str| {
    let key = &**KEY;
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{ID}:{key}"));
    let (query, fields) = text.split_once('\n').unwrap_or((text, ""));
    let whole = format!("GET /?{query}\nhost:a\n{fields}").replace("$KEY", key).replace("$BASIC", &basic);
    let mut exchange = Exchange::default();
    exchange.begin(NOW, &"0".repeat(32));
    if exchange.head.parse_text(whole.trim_end_matches('\n')).is_err() {
        return;
    }
    let peer = Peer::new([127, 0, 0, 1].into(), None);
    let outcome =
        decide::decide(&mut exchange, &SNAPSHOT, &peer, None, &mut Tally::default(), &mut Cache::default());
    assert_eq!(outcome == Outcome::Pass, exchange.caller.key.is_some());
    if outcome != Outcome::Pass {
        return;
    }
    assert!(whole.contains(key) || whole.contains(&basic), "somebody came in without a key");
    let told = decide::told(&exchange, &peer);
    let mut out = Vec::new();
    let forwarded = Forwarded {
        peer: &peer.text,
        proto: "https",
        request_id: &exchange.id,
        traceparent: None,
        certificate: told.certificate(),
        caller: told.caller(),
        told: told.headers(),
        stripped: told.stripped(),
        call: None,
        body: Framing::None,
    };
    write_head(&mut out, &exchange.head, &forwarded);
    let out = String::from_utf8(out).expect("text");
    let count = |text: &str| text.matches(key).count() + text.matches(&*basic).count();
    assert!(count(&out) < count(exchange.head.text()), "the key that counted went on: {out}");
    assert!(!out.contains("\nx-partner:") && !out.contains("\nx-user:") && !out.contains("\nx_user:"));
});
