//! How a caller is held against a requirement.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::*;
use crate::exchange::Presented;
use crate::policy::HostCredentials;

const REALM: &str = "api";

pub(super) fn token(configuration: &str, scopes: &[&str], roles: &[&str]) -> Arc<Token> {
    Arc::new(Token::of(configuration, &json!({ "scope": scopes, "roles": roles })))
}

pub(super) fn key(scopes: &[&str]) -> Option<Key> {
    Key::of("0123456789ab", None, scopes)
}

fn compiled(any: &Value) -> Credentials {
    let jwt: Vec<crate::policy::Jwt> = serde_json::from_value(json!([
        { "name": "a", "algorithms": ["ES256"], "url": "https://a.test", "locations": [{ "in": "header", "name": "authorization", "scheme": "Bearer" }] },
        { "name": "b", "algorithms": ["ES256"], "url": "https://b.test", "locations": [{ "in": "header", "name": "authorization", "scheme": "Bearer" }] },
    ]))
    .unwrap();
    let mut problems = Vec::new();
    let configurations: Vec<_> =
        jwt.iter().map(|written| Arc::new(Configuration::compile(written, &mut Vec::new()))).collect();
    let written: HostCredentials = serde_json::from_value(json!({
        "at": "/hosts/x/credentials",
        "jwt": ["a", "b"],
        "keys": [{ "in": "header", "name": "x-api-key" }, { "in": "basic" }],
        "unmatched": { "at": "/hosts/x/credentials/require", "realm": REALM, "any": any },
    }))
    .unwrap();
    let around = Around {
        jwt: &jwt,
        configurations: &configurations,
        authorities: &[],
        session_key: &SessionKey::read("").unwrap(),
        operations: 0,
    };
    let compiled = Credentials::compile(&written, &around, &mut problems);
    assert_eq!(problems, []);
    compiled
}

/// Reason of the denial, if any; callers without a certificate.
fn judged(any: &Value, caller: &Caller) -> Option<&'static str> {
    judged_with(any, caller, Presented::Absent)
}

fn judged_with(any: &Value, caller: &Caller, presented: Presented) -> Option<&'static str> {
    let compiled = compiled(any);
    let shown = Shown { caller, presented, authority: Some("devices") };
    compiled.requirement(None).judge(&shown).err().map(|refusal| refusal.reason.id())
}

fn jwt(configuration: &str) -> Value {
    json!({ "kind": "jwt", "configurations": [configuration] })
}

#[test]
fn an_empty_alternative_lets_everybody_in_and_no_alternative_nobody() {
    let faulty = Caller { token_fault: Some(Reason::JwtExpired), ..Caller::default() };
    assert_eq!(judged(&json!([[]]), &Caller::default()), None);
    assert_eq!(judged(&json!([[]]), &faulty), None);
    assert_eq!(judged(&json!([]), &Caller::default()), Some("credentials.unaccepted"));
    assert_eq!(judged(&json!([]), &faulty), Some("credentials.unaccepted"));
}

#[test]
fn the_denial_is_of_the_alternative_that_came_furthest() {
    let (a, k, c) = (jwt("a"), json!({ "kind": "key" }), json!({ "kind": "certificate" }));
    let a_scoped = json!({ "kind": "jwt", "configurations": ["a"], "scopes": ["write"] });
    let a_role = json!({ "kind": "jwt", "configurations": ["a"], "roles": ["clerk"] });
    let k_scoped = json!({ "kind": "key", "scopes": ["write"] });
    let of = |token: Option<Arc<Token>>, key| Caller { token, key, ..Caller::default() };
    let (none, ta, tb) = (|| None, || Some(token("a", &["read"], &[])), || Some(token("b", &["write"], &[])));
    let expired = || Caller { token_fault: Some(Reason::JwtExpired), ..Caller::default() };
    let unknown = || Caller { key_fault: Some(Reason::KeysUnknown), ..Caller::default() };
    let absent = Presented::Absent;
    let faulty = Presented::Fault(Reason::MtlsExpired);
    for (any, caller, presented, expected) in [
        (json!([[a]]), of(ta(), None), absent, None),
        (json!([[a], [k]]), of(None, key(&[])), absent, None),
        (json!([[a, k]]), of(ta(), key(&[])), absent, None),
        (json!([[a, c]]), of(ta(), None), Presented::Verified, None),
        (json!([[a]]), of(None, None), absent, Some("credentials.missing")),
        (json!([[a], [k]]), of(none(), None), absent, Some("credentials.missing")),
        (json!([[a]]), expired(), absent, Some("jwt.expired")),
        (json!([[k]]), unknown(), absent, Some("keys.unknown")),
        // A fault of what nobody asked for is nobody's business.
        (json!([[k]]), expired(), absent, Some("credentials.missing")),
        (json!([[k], [a]]), expired(), absent, Some("jwt.expired")),
        // Good, but of another kind or configuration.
        (json!([[a]]), of(tb(), None), absent, Some("credentials.unaccepted")),
        (json!([[k]]), of(ta(), None), absent, Some("credentials.unaccepted")),
        (json!([[k], [a, c]]), of(ta(), None), absent, Some("mtls.missing")),
        (
            json!([[a], [k]]),
            Caller { key_fault: Some(Reason::KeysExpired), ..of(tb(), None) },
            absent,
            Some("keys.expired"),
        ),
        // Good, but not good enough.
        (json!([[a_scoped]]), of(ta(), None), absent, Some("credentials.scope")),
        (json!([[a_role]]), of(ta(), None), absent, Some("credentials.role")),
        (json!([[k_scoped]]), of(None, key(&["read"])), absent, Some("credentials.scope")),
        (json!([[a_role], [a_scoped]]), of(ta(), None), absent, Some("credentials.role")),
        (
            json!([[k], [a_scoped]]),
            Caller { key_fault: Some(Reason::KeysExpired), ..of(ta(), None) },
            absent,
            Some("credentials.scope"),
        ),
        // Who somebody is comes before what they may do.
        (json!([[a_scoped, k]]), of(ta(), None), absent, Some("credentials.missing")),
        // Certificates.
        (json!([[c]]), of(None, None), absent, Some("mtls.missing")),
        (json!([[c]]), of(None, None), Presented::NotLooked, Some("mtls.missing")),
        (json!([[c]]), of(None, None), faulty, Some("mtls.expired")),
        (json!([[c], [a]]), of(None, None), absent, Some("credentials.missing")),
        (json!([[a, c]]), of(None, None), absent, Some("credentials.missing")),
        (json!([[a, c]]), of(ta(), None), absent, Some("mtls.missing")),
        (json!([[a, c]]), of(ta(), None), faulty, Some("mtls.expired")),
        (json!([[a, c]]), of(None, None), Presented::Verified, Some("credentials.missing")),
    ] {
        assert_eq!(judged_with(&any, &caller, presented), expected, "{any} {caller:?} {presented:?}");
    }
}
