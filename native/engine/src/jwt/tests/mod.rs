//! Facts about tokens. Every key is made here, at run time, and every token is judged at one fixed moment.

mod attacks;
mod caching;
mod claims;
mod dpop;
mod keys;
mod properties;
mod revocations;
mod signing;
mod tokens;

use super::*;
use crate::exchange::Now;
use crate::head::Head;
use crate::policy;
use crate::reason::Reason;
use signing::Signer;

/// 2030-01-01
const NOW: u64 = 1_893_456_000;

/// A configuration as most tests want it: everything is asked, `change` turns what a test is about.
fn configuration(keys: &[&Signer], change: impl FnOnce(&mut policy::Jwt)) -> Configuration {
    let mut written = written(keys);
    change(&mut written);
    let mut problems = Vec::new();
    let compiled = Configuration::compile(&written, &mut problems);
    assert_eq!(problems, []);
    compiled
}

fn written(keys: &[&Signer]) -> policy::Jwt {
    let mut algorithms: Vec<String> = keys.iter().map(|key| key.algorithm().to_owned()).collect();
    algorithms.dedup();
    policy::Jwt {
        name: "customers".to_owned(),
        at: "/jwt/customers".to_owned(),
        issuer: Some("https://login.example.com/".to_owned()),
        audiences: vec!["orders".to_owned()],
        algorithms,
        keys: Some(signing::set(keys)),
        skew_s: 60,
        types: vec![String::new(), "jwt".to_owned(), "at+jwt".to_owned()],
        max_lifetime_s: Some(86_400),
        max_bytes: 8192,
        scope_claims: vec!["scope".to_owned(), "scp".to_owned()],
        role_claims: vec!["roles".to_owned()],
        ..policy::Jwt::default()
    }
}

/// Claims that a configuration of [`configuration`] accepts, `change` turns what a test is about.
fn claims(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut claims = serde_json::json!({
        "iss": "https://login.example.com/", "sub": "u-1", "aud": "orders", "jti": "t-1",
        "iat": NOW - 60, "exp": NOW + 3600, "scope": "orders:read orders:write", "roles": ["clerk"],
    });
    change(&mut claims);
    claims.to_string()
}

fn at(seconds: u64) -> Now {
    Now { mono_us: 0, unix_ms: seconds * 1000 }
}

/// What a token is worth at [`NOW`], to somebody who has not seen it before.
fn judged(configuration: &Configuration, raw: &str) -> Result<std::sync::Arc<Token>, Reason> {
    let head = Head::default();
    let presenting = Presenting { head: &head, certificate: None, now: at(NOW) };
    configuration.verify_with(raw, &presenting, &mut Cache::default(), &Revoked::default())
}
