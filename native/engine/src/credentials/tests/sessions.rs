//! What identifies a session.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::session::Sessions;
use super::super::*;
use super::judging::key;
use crate::head::Head;

const INSTALLATION: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn sessions(installation: &str, sources: &Value) -> Sessions {
    let key = SessionKey::read(installation).unwrap();
    Sessions::new(&key, &serde_json::from_value::<Vec<_>>(sources.clone()).unwrap())
}

fn identified(sources: &Value, fields: &str, caller: &Caller, certificate: Option<&[u8; 32]>) -> Option<[u8; 16]> {
    let mut head = Head::default();
    head.parse_text(&format!("GET /\nhost:a\n{fields}")).unwrap();
    sessions(INSTALLATION, sources).identify(&head, caller, certificate)
}

fn by(source: Value, fields: &str) -> Option<[u8; 16]> {
    identified(&json!([source]), fields, &Caller::default(), None)
}

fn with_token(configuration: &str, claims: &Value) -> Caller {
    Caller { token: Some(Arc::new(Token::of(configuration, claims))), ..Caller::default() }
}

#[test]
fn the_first_source_that_a_request_has_identifies_its_session() {
    let sources = json!([{ "by": "header", "name": "x-session" }, { "by": "cookie", "name": "sid" }, { "by": "key" }]);
    let nobody = Caller::default();
    let keyed = Caller { key: key(&[]), ..Caller::default() };
    let header = identified(&sources, "x-session:1\ncookie:sid=2\n", &keyed, None);
    assert_eq!(header, by(json!({ "by": "header", "name": "x-session" }), "x-session:1\n"));
    let cookie = identified(&sources, "cookie:a=b; sid=2\n", &keyed, None);
    assert_eq!(cookie, by(json!({ "by": "cookie", "name": "sid" }), "cookie:sid=2\n"));
    let by_key = identified(&sources, "", &keyed, None);
    assert!(header.is_some() && cookie.is_some() && by_key.is_some());
    assert!(header != cookie && cookie != by_key);
    assert_eq!(identified(&sources, "", &nobody, None), None);
}

#[test]
fn kinds_of_sources_never_share_an_identity() {
    let value = "0123456789ab";
    let (claim, certificate) = (json!([{ "by": "jwt", "claim": "x" }]), json!([{ "by": "certificate" }]));
    let keyed = Caller { key: key(&[]), ..Caller::default() };
    let mut all = vec![
        by(json!({ "by": "header", "name": "x" }), &format!("x:{value}\n")),
        by(json!({ "by": "header", "name": "y" }), &format!("y:{value}\n")),
        by(json!({ "by": "cookie", "name": "x" }), &format!("cookie:x={value}\n")),
        identified(&claim, "", &with_token("a", &json!({ "x": value })), None),
        // Two issuers may give one subject to two people.
        identified(&claim, "", &with_token("b", &json!({ "x": value })), None),
        identified(&certificate, "", &Caller::default(), Some(&[b'x'; 32])),
        by(json!({ "by": "header", "name": "x" }), &format!("x:{}\n", "x".repeat(32))),
        identified(&json!([{ "by": "key" }]), "", &keyed, None),
    ];
    assert!(all.iter().all(Option::is_some));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn what_comes_twice_is_too_long_or_is_not_one_text_identifies_nobody() {
    let header = || json!({ "by": "header", "name": "x" });
    assert_eq!(by(header(), "x:1\nx:1\n"), None);
    assert_eq!(by(header(), "x:\n"), None);
    assert_eq!(by(header(), &format!("x:{}\n", "a".repeat(4097))), None);
    assert!(by(header(), &format!("x:{}\n", "a".repeat(4096))).is_some());
    assert_eq!(by(json!({ "by": "cookie", "name": "s" }), "cookie:s=1; s=2\n"), None);
    let claim = json!([{ "by": "jwt", "claim": "sub" }]);
    for claims in [json!({}), json!({ "sub": "" }), json!({ "sub": ["a", "b"] }), json!({ "sub": { "a": 1 } })] {
        assert_eq!(identified(&claim, "", &with_token("a", &claims), None), None, "{claims}");
    }
}

#[test]
fn another_installation_knows_other_identities() {
    let mut head = Head::default();
    head.parse_text("GET /\nhost:a\nx:1\n").unwrap();
    let sources = json!([{ "by": "header", "name": "x" }]);
    let of = |installation: &str| sessions(installation, &sources).identify(&head, &Caller::default(), None);
    assert_eq!(of(INSTALLATION), of(INSTALLATION));
    assert_eq!(of(""), of(""), "a key of the process lasts as long as the process");
    assert_ne!(of(INSTALLATION), of(&"0".repeat(64)));
    assert_ne!(of(INSTALLATION), of(""));
    for wrong in ["0", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64), &"é".repeat(32)] {
        assert!(SessionKey::read(wrong).is_none(), "{wrong}");
    }
}
