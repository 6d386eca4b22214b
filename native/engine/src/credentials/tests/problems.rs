//! What a policy cannot say of credentials, and where that is told.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::*;
use crate::policy::{HostCredentials, Jwt};

const AT: &str = "/hosts/x/credentials";

/// Places and messages of the problems that a change of good credentials has.
fn problems(change: impl FnOnce(&mut Value)) -> Vec<(String, String)> {
    let jwt: Vec<Jwt> = serde_json::from_value(json!([{ "name": "a", "algorithms": ["ES256"], "url": "https://a.test", "locations": [{ "in": "header", "name": "x-token" }] }]))
        .unwrap();
    let configurations: Vec<_> =
        jwt.iter().map(|written| Arc::new(Configuration::compile(written, &mut Vec::new()))).collect();
    let mut written = json!({
        "at": AT,
        "jwt": ["a"],
        "keys": [{ "in": "header", "name": "x-api-key" }],
        "unmatched": { "at": "/unmatched", "any": [[{ "kind": "jwt", "configurations": ["a"] }]] },
        "operations": [{ "at": "/first", "any": [[{ "kind": "key" }]] }],
        "claims": [{ "header": "x-user-id", "claim": "sub" }],
    });
    change(&mut written);
    let around = Around {
        jwt: &jwt,
        configurations: &configurations,
        authorities: &[],
        session_key: &SessionKey::read("").unwrap(),
        operations: 1,
    };
    let mut problems = Vec::new();
    let _ = Credentials::compile(&serde_json::from_value::<HostCredentials>(written).unwrap(), &around, &mut problems);
    problems.into_iter().map(|problem| (problem.at, problem.message)).collect()
}

#[test]
fn every_fault_is_told_with_its_place() {
    assert_eq!(problems(|_| {}), []);
    type Change = fn(&mut Value);
    let cases: [(Change, &str, &str); 20] = [
        (|c| c["jwt"] = json!(["b", "a"]), "/hosts/x/credentials/jwt/0", "no token configuration is called \"b\""),
        (|c| c["operations"] = json!([]), AT, "0 requirements for 1 operations"),
        (
            |c| c["unmatched"]["any"][0][0]["configurations"] = json!(["b"]),
            "/unmatched",
            "a token of \"b\" is required, but none is looked for on this host",
        ),
        (
            |c| c["operations"][0]["any"] = json!([[{ "kind": "jwt", "configurations": [] }]]),
            "/first",
            "a token is required, but of no configuration",
        ),
        (
            |c| c["operations"][0]["any"][0][0]["locations"] = json!([{ "in": "cookie", "name": "k" }]),
            "/first",
            "a key is required where none is looked for on this host",
        ),
        (|c| c["keys"] = json!([]), "/first", "a key is required, but none is looked for on this host"),
        (
            |c| c["operations"][0]["any"] = json!([[{ "kind": "certificate", "authorities": ["devices"] }]]),
            "/first",
            "no authority is called \"devices\"",
        ),
        (
            |c| c["operations"][0]["any"][0][0]["scopes"] = json!(["a b"]),
            "/first",
            "the scope \"a b\" holds a space or another character that none has",
        ),
        (
            |c| c["operations"][0]["any"][0][0]["scopes"] = json!(["\""]),
            "/first",
            "the scope \"\\\"\" holds a space or another character that none has",
        ),
        (|c| c["unmatched"]["realm"] = json!("a\r\nb"), "/unmatched", "the realm holds a control character"),
        (
            |c| c["keys"] = Value::Array((0..33).map(|n| json!({ "in": "cookie", "name": format!("k{n}") })).collect()),
            AT,
            "keys are looked for in 33 places, 32 at most",
        ),
        (
            |c| c["claims"][0]["header"] = json!("X-User-Id"),
            "/hosts/x/credentials/claims",
            "the header \"X-User-Id\" cannot be told to the origin: that is no name of a header, or not in lower case",
        ),
        (
            |c| c["claims"][0]["header"] = json!("content_length"),
            "/hosts/x/credentials/claims",
            "the header \"content_length\" cannot be told to the origin: it has a meaning of its own",
        ),
        (
            |c| c["claims"][0]["header"] = json!("x-forwarded-user"),
            "/hosts/x/credentials/claims",
            "the header \"x-forwarded-user\" cannot be told to the origin: it has a meaning of its own",
        ),
        (
            |c| c["claims"][0]["header"] = json!("x_api_key"),
            "/hosts/x/credentials/claims",
            "the header \"x_api_key\" cannot be told to the origin: clients send it",
        ),
        (
            |c| c["claims"][0]["header"] = json!("x-token"),
            "/hosts/x/credentials/claims",
            "the header \"x-token\" cannot be told to the origin: clients send it",
        ),
        (
            |c| c["partner_header"] = json!("x_user_id"),
            "/hosts/x/credentials/partnerHeader",
            "the header \"x_user_id\" cannot be told to the origin: two values would stand in it",
        ),
        (
            |c| {
                c["partner_header"] = json!("x-session");
                c["session"] = json!([{ "by": "header", "name": "x-session" }]);
            },
            "/hosts/x/credentials/partnerHeader",
            "the header \"x-session\" cannot be told to the origin: clients send it",
        ),
        (
            |c| c["partner_header"] = json!("a b"),
            "/hosts/x/credentials/partnerHeader",
            "the header \"a b\" cannot be told to the origin: that is no name of a header, or not in lower case",
        ),
        (
            |c| c["partner_header"] = json!("cf-cert-verified"),
            "/hosts/x/credentials/partnerHeader",
            "the header \"cf-cert-verified\" cannot be told to the origin: it has a meaning of its own",
        ),
    ];
    for (change, at, message) in cases {
        assert_eq!(problems(change), [(at.to_owned(), message.to_owned())]);
    }
}
