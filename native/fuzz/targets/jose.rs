//! Tokens that are signed here, so that what stands behind the signature is reached.
#![allow(dead_code, reason = "each target uses a part")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_engine::exchange::Now;
use portcullis_engine::jwt::Configuration;
use portcullis_engine::policy::Jwt;
use serde_json::json;

/// 2030-01-01
pub const NOW: Now = Now { mono_us: 0, unix_ms: 1_893_456_000_000 };

const SECRET: [u8; 32] = [7; 32];

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A configuration whose tokens [`signed`] makes.
pub fn configuration(change: impl FnOnce(&mut Jwt)) -> Configuration {
    let mut written = Jwt {
        name: "a".to_owned(),
        issuer: Some("i".to_owned()),
        audiences: vec!["o".to_owned()],
        algorithms: vec!["HS256".to_owned()],
        keys: Some(json!({ "keys": [{ "kty": "oct", "k": encode(SECRET) }] }).to_string()),
        skew_s: 60,
        max_bytes: 8192,
        max_lifetime_s: Some(86_400),
        scope_claims: vec!["scope".to_owned()],
        role_claims: vec!["roles".to_owned()],
        ..Jwt::default()
    };
    change(&mut written);
    let mut problems = Vec::new();
    let configuration = Configuration::compile(&written, &mut problems);
    assert_eq!(problems, []);
    configuration
}

pub fn signed(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

/// Who a token is bound to.
pub struct Holder {
    pair: EcdsaKeyPair,
    pub jwk: String,
    pub thumbprint: String,
}

impl Holder {
    pub fn new() -> Holder {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let point = pair.public_key().as_ref();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = encode(digest(&SHA256, jwk.as_bytes()));
        Holder { pair, jwk, thumbprint }
    }

    pub fn signed(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", encode(signature))
    }
}
