//! Rules about who calls, by the whole decision on a head.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_engine::decide::{self, Outcome, Tally};
use portcullis_engine::exchange::{Exchange, Now};
use portcullis_engine::jwt::Cache;
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use serde_json::{Value, json};

/// 2030-01-01
const NOW: Now = Now { mono_us: 0, unix_ms: 1_893_456_000_000 };

static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut secret = [0; 32];
    rand::fill(&mut secret).unwrap();
    secret
});

fn token(claims: &Value) -> String {
    let [header, claims] = [&json!({ "alg": "HS256" }), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What becomes of requests where one expression blocks: the reason's id, or none.
fn judged(expression: &str) -> impl Fn(&str, Option<&str>) -> Option<String> {
    let operation =
        |id: &str, path: &str| json!({ "id": id, "at": "", "method": "GET", "path": path, "action": "off" });
    let keys = json!({ "keys": [{ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(*SECRET) }] }).to_string();
    let policy: Policy = serde_json::from_value(json!({
        "session_key": "00".repeat(32),
        "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1,
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "jwt": [{ "name": "customers", "at": "", "algorithms": ["HS256"], "max_bytes": 8192, "allow_no_expiry": true,
            "keys": keys, "locations": [{ "in": "header", "name": "authorization", "scheme": "Bearer" }] }],
        "rules": [{ "name": "r", "at": "", "expression": expression, "action": "block" }],
        "hosts": [{ "name": "api", "at": "", "origin": 0, "mtls": { "mode": "off" }, "max_body_bytes": 0,
            "openapi": { "action": "block", "fallthrough": "off", "schema": {},
                "operations": [operation("getAccount", "/accounts/{accountId}"), operation("list", "/accounts")] },
            "credentials": { "at": "", "jwt": ["customers"], "unmatched": { "action": "off" },
                "operations": [{ "action": "off" }, { "action": "off" }] } }],
    }))
    .unwrap();
    let snapshot =
        Arc::new(Snapshot::compile(&policy, NOW.unix_ms / 1000, 1).unwrap_or_else(|problems| panic!("{problems:?}")));
    move |target, token| {
        let authorization = token.map(|token| format!("\nauthorization:Bearer {token}")).unwrap_or_default();
        let mut exchange = Exchange::default();
        exchange.begin(NOW, "0");
        exchange.head.parse_text(&format!("GET {target}\nhost:api{authorization}")).unwrap();
        let peer = Peer::new([127, 0, 0, 1].into(), None);
        let (mut tally, mut cache) = (Tally::default(), Cache::default());
        match decide::decide(&mut exchange, &snapshot, &peer, None, &mut tally, &mut cache) {
            Outcome::Pass => None,
            Outcome::Deny => exchange.denial.as_ref().map(|denial| exchange.reason_id(denial)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_the_owner_of_what_a_path_names_gets_through() {
    let judged =
        judged(r#"portcullis.operation eq "getAccount" and not path.accountId eq http.request.jwt.claims["sub"]"#);
    let blocked = Some("rules.r".to_owned());
    let ada = token(&json!({ "sub": "ada b" }));
    assert_eq!(judged("/accounts/ada%20b", Some(&ada)), None);
    assert_eq!(judged("/accounts/eve/../ada%20b", Some(&ada)), None);
    assert_eq!(judged("/accounts/ada", Some(&ada)), blocked);
    assert_eq!(judged("/accounts/ADA%20B", Some(&ada)), blocked);
    assert_eq!(judged("/accounts/ada%2520b", Some(&ada)), blocked);
    assert_eq!(judged("/accounts/ada+b", Some(&ada)), blocked);
    for stranger in [json!({}), json!({ "sub": "" }), json!({ "sub": "eve" })] {
        assert_eq!(judged("/accounts/ada%20b", Some(&token(&stranger))), blocked, "{stranger}");
    }
    assert_eq!(judged("/accounts/ada%20b", None), blocked, "without a token");
    assert_eq!(judged("/accounts/ada%20b", Some(&format!("{ada}A"))), blocked, "with one that does not count");
    assert_eq!(judged("/accounts", Some(&ada)), None, "where the rule does not speak of");
    assert_eq!(judged("/else", Some(&ada)), None);
}

#[test]
fn ne_between_two_fields_lets_nobody_through_who_has_none() {
    let judged = judged(
        r#"starts_with(http.request.uri.path, "/accounts/") and path.accountId ne http.request.jwt.claims["accounts"]"#,
    );
    let blocked = Some("rules.r".to_owned());
    let both = token(&json!({ "accounts": ["a", "b"] }));
    assert_eq!(judged("/accounts/a", Some(&both)), None);
    assert_eq!(judged("/accounts/b", Some(&both)), None);
    assert_eq!(judged("/accounts/c", Some(&both)), blocked);
    assert_eq!(judged("/accounts/a", Some(&token(&json!({ "accounts": { "a": true } })))), blocked);
    assert_eq!(judged("/accounts/a", None), blocked);
}

#[test]
fn a_token_is_present_and_valid_or_only_present() {
    let (present, valid) = (judged(r#"is_jwt_present("customers")"#), judged(r#"is_jwt_valid("customers")"#));
    let good = token(&json!({}));
    let expired = token(&json!({ "exp": 1 }));
    let told = |token: Option<&str>| (present("/accounts", token).is_some(), valid("/accounts", token).is_some());
    assert_eq!(told(None), (false, false));
    assert_eq!(told(Some(&good)), (true, true));
    assert_eq!(told(Some(&expired)), (true, false));
    assert_eq!(told(Some("x")), (true, false));
    assert_eq!(told(Some("pck_0123456789ab_x")), (false, false), "a key is no token");
}
