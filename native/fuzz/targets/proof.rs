//! Any text as a proof, and any header and claims as one that the holder of the token's key signed. `$JWK` and `$ATH`
//! stand for what fits.
#![no_main]

mod jose;

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use jose::{Holder, NOW};
use libfuzzer_sys::fuzz_target;
use portcullis_engine::head::Head;
use portcullis_engine::jwt::{Cache, Configuration, Presenting};
use serde_json::{Value, json};

struct Bound {
    configuration: Configuration,
    holder: Holder,
    token: String,
}

static BOUND: LazyLock<Bound> = LazyLock::new(|| {
    let configuration = jose::configuration(|written| {
        written.binding.dpop = true;
        written.binding.dpop_lifetime_s = 60;
        written.binding.dpop_algorithms = vec!["ES256".to_owned(), "EdDSA".to_owned()];
    });
    let holder = Holder::new();
    let claims = json!({ "iss": "i", "aud": "o", "exp": NOW.unix_ms / 1000 + 60, "cnf": { "jkt": holder.thumbprint } });
    let token = jose::signed(br#"{"alg":"HS256"}"#, claims.to_string().as_bytes());
    Bound { configuration, holder, token }
});

fuzz_target!(|text: &str| {
    let Bound { configuration, holder, token } = &*BOUND;
    let counts = |proof: &str| {
        let mut head = Head::default();
        let parsed = head.parse_text(&format!("GET /a/b\nhost:a\nauthorization:DPoP {token}\ndpop:{proof}"));
        let presenting = Presenting { head: &head, certificate: None, now: NOW };
        parsed.is_ok() && configuration.verify(token, &presenting, &mut Cache::default()).is_ok()
    };
    assert!(!counts(text), "nobody signed it");
    let ath = jose::encode(digest(&SHA256, token.as_bytes()));
    let text = text.replace("$JWK", &holder.jwk).replace("$ATH", &ath);
    let (header, claims) = match text.split_once('\n') {
        Some(parts) => parts,
        None => (&*format!(r#"{{"alg":"ES256","typ":"dpop+jwt","jwk":{}}}"#, holder.jwk), &*text),
    };
    let proof = holder.signed(header, claims);
    if !counts(&proof) {
        return;
    }
    assert!(!counts(&proof), "it counts once");
    let header: Value = serde_json::from_str(header).expect("a header that counts is JSON");
    assert_eq!(header["alg"], "ES256");
    assert!(header["jwk"].get("d").is_none());
    let claims: Value = serde_json::from_str(claims).expect("claims that count are JSON");
    assert_eq!((&claims["htm"], &claims["ath"]), (&json!("GET"), &json!(ath)));
    let uri = claims["htu"].as_str().expect("a URI").to_ascii_lowercase();
    assert!(uri.starts_with("https://a") && uri.contains('b'));
    let age = claims["iat"].as_f64().expect("a moment") - NOW.unix_ms as f64 / 1000.0;
    assert!(age.abs() < 60.002);
});
