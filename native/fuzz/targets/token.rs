//! Any text as a token, and any header and claims as one that is signed: what counts is what a strict reader would let
//! count.
#![no_main]

mod jose;

use std::str::from_utf8;

use jose::NOW;
use libfuzzer_sys::fuzz_target;
use portcullis_engine::head::Head;
use portcullis_engine::jwt::{Cache, Configuration, Presenting};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static CONFIGURATION: Configuration = jose::configuration(|_| {});
    }
    let head = Head::default();
    let presenting = Presenting { head: &head, certificate: None, now: NOW };
    CONFIGURATION.with(|configuration| {
        let mut cache = Cache::default();
        if let Ok(text) = from_utf8(bytes) {
            assert!(configuration.verify(text, &presenting, &mut cache).is_err(), "nobody signed it");
        }
        let (header, claims) = match bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => (&br#"{"alg":"HS256"}"#[..], bytes),
        };
        let raw = jose::signed(header, claims);
        let first = configuration.verify(&raw, &presenting, &mut cache);
        let again = configuration.verify(&raw, &presenting, &mut cache);
        assert_eq!(first.as_ref().err(), again.as_ref().err(), "a cached token is worth what it was worth");
        let Ok(token) = first else { return };
        let header: Value = serde_json::from_slice(header).expect("a header that counts is JSON");
        assert_eq!(header["alg"], "HS256");
        assert!(header.get("crit").is_none());
        let claims: Value = serde_json::from_str(token.claims()).expect("claims that count are JSON");
        assert_eq!(claims["iss"], "i");
        assert!(claims["aud"] == "o" || claims["aud"].as_array().is_some_and(|list| list.iter().any(|one| one == "o")));
        let expires = claims["exp"].as_f64().expect("a moment");
        assert!(expires * 1000.0 > (NOW.unix_ms - 61_000) as f64);
        assert!(claims.get("cnf").is_none(), "it belongs to somebody who did not show it");
    });
});
