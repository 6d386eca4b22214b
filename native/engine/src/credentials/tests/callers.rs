//! Who is let in, and for how long: partners, and connections that go on without requests.

use std::sync::Arc;

use serde_json::{Value, json};

use super::corpus::{Corpus, Decided, Made, NOW};
use crate::decide::Admission;
use crate::exchange::Now;
use crate::jwt::{self, Revoked};
use crate::keys::{self, Keys};
use crate::partners::{self, Partners};

fn corpus(configuration: &str) -> Corpus {
    serde_json::from_value(json!({
        "description": "",
        "jwt": [{ "name": configuration }],
        "keys": { "reader": {}, "acme": { "partner": "acme" }, "other": { "partner": "other" } },
        "credentials": {
            "jwt": [configuration],
            "keys": [{ "in": "header", "name": "x-api-key" }],
            "unmatched": { "realm": "api", "any": [
                [{ "kind": "jwt", "configurations": [configuration] }],
                [{ "kind": "key" }],
                [{ "kind": "certificate" }],
            ] },
            "partner_header": "x-partner",
        },
        "cases": [],
    }))
    .unwrap()
}

fn decided(made: &Made, corpus: &Corpus, case: Value) -> Decided {
    made.decide(corpus, &serde_json::from_value(case).unwrap()).unwrap()
}

fn reason(decided: &Decided) -> Option<&'static str> {
    decided.exchange.denial.as_ref().map(|denial| denial.reason.id())
}

fn later(seconds: u64) -> Now {
    Now { mono_us: 0, unix_ms: (NOW + seconds) * 1000 }
}

fn withdrawn(admission: &Admission, decided: &Decided, seconds: u64) -> bool {
    admission.is_withdrawn(&decided.snapshot, later(seconds))
}

fn with_key(key: &str) -> Value {
    json!({ "name": "", "request": ["GET /ws", format!("x-api-key:{{key:{key}}}")], "expect": {} })
}

fn with_token(by: &str, claims: &Value) -> Value {
    let tokens = json!({ "t": { "by": by, "claims": claims } });
    json!({ "name": "", "request": ["GET /ws", "authorization:Bearer {token:t}"], "tokens": tokens, "expect": {} })
}

#[test]
fn a_connection_ends_with_the_key_that_let_it_in() {
    let corpus = corpus("ends-with-the-key");
    let made = Made::of(&corpus);
    let decided = decided(&made, &corpus, with_key("reader"));
    let admission = Admission::of(&decided.exchange, &decided.peer).unwrap();
    assert!(!withdrawn(&admission, &decided, 0));
    assert!(!withdrawn(&admission, &decided, 0), "what was found is kept");
    let removed = vec![decided.exchange.caller.key.as_ref().unwrap().id.to_string()];
    Keys::of_process().change(&keys::Change { removed, ..keys::Change::default() }).unwrap();
    assert!(withdrawn(&admission, &decided, 0));
}

#[test]
fn a_connection_ends_with_the_token_that_let_it_in() {
    let corpus = corpus("ends-with-the-token");
    let made = Made::of(&corpus);
    let decided = decided(&made, &corpus, with_token("ends-with-the-token", &json!({ "sub": "alice" })));
    let admission = Admission::of(&decided.exchange, &decided.peer).unwrap();
    assert!(!withdrawn(&admission, &decided, 0));
    assert!(!withdrawn(&admission, &decided, 299));
    assert!(withdrawn(&admission, &decided, 300));
    let revoked = jwt::Named {
        configuration: "ends-with-the-token".to_owned(),
        kind: jwt::Kind::Subject,
        value: "alice".to_owned(),
        at: NOW * 1000,
        until: None,
    };
    let change = jwt::Change { revoked: vec![revoked], ..jwt::Change::default() };
    Revoked::of_process().change(&change, NOW * 1000).unwrap();
    assert!(withdrawn(&admission, &decided, 0));
}

#[test]
fn a_connection_ends_when_the_policy_no_longer_lets_it_in() {
    let corpus = corpus("ends-with-the-policy");
    let made = Made::of(&corpus);
    let case = |any: Value| {
        let mut case = with_token("ends-with-the-policy", &json!({}));
        case["require"] = any;
        decided(&made, &corpus, case)
    };
    let first = case(json!([[{ "kind": "jwt", "configurations": ["ends-with-the-policy"] }]]));
    let admission = Admission::of(&first.exchange, &first.peer).unwrap();
    assert!(!withdrawn(&admission, &first, 0));
    let mut stricter = case(json!([[{ "kind": "jwt", "configurations": ["ends-with-the-policy"], "scopes": ["ws"] }]]));
    assert_eq!(reason(&stricter), Some("credentials.scope"));
    stricter.exchange.snapshot = None;
    Arc::get_mut(&mut stricter.snapshot).expect("nobody else holds it").generation = 2;
    assert!(withdrawn(&admission, &stricter, 0));
}

#[test]
fn what_is_not_required_may_cease_to_count() {
    let corpus = corpus("not-required");
    let made = Made::of(&corpus);
    let mut case = with_token("not-required", &json!({}));
    case["require"] = json!([[]]);
    let decided = decided(&made, &corpus, case);
    let admission = Admission::of(&decided.exchange, &decided.peer).unwrap();
    assert!(!withdrawn(&admission, &decided, 300));
}

#[test]
fn who_came_with_nothing_is_not_watched() {
    let corpus = corpus("not-watched");
    let made = Made::of(&corpus);
    let case = json!({ "name": "", "request": ["GET /ws"], "require": [[]], "expect": {} });
    let decided = decided(&made, &corpus, case);
    assert!(Admission::of(&decided.exchange, &decided.peer).is_none());
}

/// One test, because the partners of the process are told whole.
#[test]
fn partners_are_of_one_mind_or_nobody() {
    let corpus = corpus("partnered");
    let made = Made::of(&corpus);
    let tell = |change: &dyn Fn(&mut Value)| {
        let mut all = json!([
            { "name": "acme", "tokens": [{ "configuration": "partnered", "claim": "tenant", "value": "acme" }] },
            { "name": "other", "certificates": [{ "authority": "devices" }] },
        ]);
        change(&mut all);
        let all: Vec<partners::Written> = serde_json::from_value(all).unwrap();
        Partners::of_process().replace(&all).unwrap();
    };
    let get = |case: Value| decided(&made, &corpus, case);
    let of_acme = || with_token("partnered", &json!({ "tenant": "acme" }));
    let both = |key: &str| {
        let mut case = of_acme();
        case["request"].as_array_mut().unwrap().push(json!(format!("x-api-key:{{key:{key}}}")));
        case
    };
    let certified = |mut case: Value| {
        case["certificate"] = json!(true);
        case
    };
    assert_eq!(reason(&get(with_key("acme"))), Some("partners.unknown"), "no partner is known yet");
    tell(&|_| {});
    for (case, partner) in [
        (of_acme(), Some("acme")),
        (with_token("partnered", &json!({ "tenant": "nobody" })), None),
        (with_key("acme"), Some("acme")),
        (with_key("reader"), None),
        (both("acme"), Some("acme")),
        (both("reader"), Some("acme")),
        (certified(with_key("other")), Some("other")),
        (certified(with_key("reader")), Some("other")),
    ] {
        let decided = get(case);
        assert_eq!(reason(&decided), None);
        assert_eq!(decided.exchange.caller.partner.as_ref().map(|partner| &*partner.name), partner);
        let told = crate::decide::told(&decided.exchange, &decided.peer).caller().to_owned();
        assert_eq!(told, partner.map_or(String::new(), |name| format!("x-partner: {name}\r\n")));
    }
    assert_eq!(reason(&get(both("other"))), Some("partners.mismatch"));
    assert_eq!(reason(&get(certified(of_acme()))), Some("partners.mismatch"));
    let decided = get(of_acme());
    let admission = Admission::of(&decided.exchange, &decided.peer).unwrap();
    assert!(!withdrawn(&admission, &decided, 0));
    // Whatever the requirement's action is.
    let mut logged = of_acme();
    logged["action"] = json!("log");
    tell(&|all| all[0]["suspended"] = json!(true));
    assert_eq!(reason(&get(of_acme())), Some("partners.suspended"));
    assert_eq!(reason(&get(logged)), Some("partners.suspended"));
    assert!(withdrawn(&admission, &decided, 0));
    tell(&|all| all[0]["expires_at"] = json!(NOW * 1000));
    assert_eq!(reason(&get(of_acme())), Some("partners.expired"));
    tell(&|all| all[0]["operations"] = json!(["listOrders"]));
    assert_eq!(reason(&get(of_acme())), Some("partners.operation"));
    tell(&|_| {});
    assert_eq!(reason(&get(of_acme())), None);
}
