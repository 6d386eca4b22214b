//! Any text as a key set that was fetched, and as the keys that stand in a policy.
#![no_main]

mod jose;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::jwt::{Configuration, KeySets};
use portcullis_engine::policy::Jwt;

fuzz_target!(|text: &str| {
    let sets = KeySets::default();
    if let Ok(loaded) = sets.load("a", "https://a/", text) {
        for key in loaded.keys {
            assert_eq!(key.thumbprint.len(), 43);
            assert!(!key.algorithms.is_empty());
            assert!(!key.algorithms.iter().any(|name| name.starts_with("HS")), "a secret is never fetched");
        }
    }
    let written = Jwt {
        name: "a".to_owned(),
        algorithms: vec!["RS256".to_owned(), "ES256".to_owned(), "EdDSA".to_owned()],
        keys: Some(text.to_owned()),
        ..Jwt::default()
    };
    let _ = Configuration::compile(&written, &mut Vec::new());
});
