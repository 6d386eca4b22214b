//! gRPC calls, by the whole decision on a head: what they have to be, and when they end.

use std::sync::Arc;

use portcullis_engine::answer::Answer;
use portcullis_engine::decide::{self, Outcome, Tally};
use portcullis_engine::exchange::{Exchange, Now};
use portcullis_engine::jwt::Cache;
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use serde_json::{Value, json};

const NOW: Now = Now { mono_us: 5_000_000, unix_ms: 1_893_456_000_000 };

/// The reason's id and the deadline of a call of a host that passes everything else.
fn decided(line: &str, fields: &[&str]) -> (Option<&'static str>, Option<u64>) {
    let exchange = exchange(line, fields);
    (exchange.denial.as_ref().map(|denial| denial.reason.id()), exchange.deadline_us)
}

fn exchange(line: &str, fields: &[&str]) -> Exchange {
    exchange_of(&json!(null), line, fields)
}

/// `grpc`: what the host says of calls.
fn exchange_of(grpc: &Value, line: &str, fields: &[&str]) -> Exchange {
    let policy: Policy = serde_json::from_value(json!({
        "session_key": "00".repeat(32),
        "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1,
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "hosts": [{ "name": "api", "at": "", "origin": 0, "mtls": { "mode": "off" }, "max_body_bytes": 100,
            "grpc": grpc }],
    }))
    .unwrap();
    let snapshot = Arc::new(Snapshot::compile(&policy, 0, 1).unwrap_or_else(|problems| panic!("{problems:?}")));
    let mut exchange = Exchange::default();
    exchange.begin(NOW, "0");
    exchange.head.parse_text(&format!("{line}\nhost:api\n{}", fields.join("\n"))).unwrap();
    let peer = Peer::new([127, 0, 0, 1].into(), None);
    let outcome = decide::decide(&mut exchange, &snapshot, &peer, None, &mut Tally::default(), &mut Cache::default());
    assert_eq!(outcome == Outcome::Deny, exchange.denial.is_some());
    exchange
}

const CALL: &str = "POST /a.B/C";
const GRPC: &str = "content-type:application/grpc";
const TE: &str = "te:trailers";

#[test]
fn a_call_is_a_post_that_takes_trailers() {
    assert_eq!(decided(CALL, &[GRPC, TE]), (None, None));
    assert_eq!(decided(CALL, &[GRPC, "te:Trailers"]), (None, None));
    assert_eq!(decided(CALL, &["content-type:application/grpc-web+proto"]), (None, None));
    assert_eq!(decided(CALL, &["content-type:application/json"]), (None, None));
    assert_eq!(decided(CALL, &[GRPC]).0, Some("grpc.call"));
    assert_eq!(decided(CALL, &[GRPC, "te:gzip"]).0, Some("grpc.call"));
    for method in ["GET", "PUT", "HEAD"] {
        assert_eq!(decided(&format!("{method} /a.B/C"), &[GRPC, TE]).0, Some("grpc.call"), "{method}");
    }
    assert_eq!(decided("GET /a.B/C", &["content-type:application/grpc-web-text"]).0, Some("grpc.call"));
}

#[test]
fn a_call_ends_when_its_client_says() {
    assert_eq!(decided(CALL, &[GRPC, TE, "grpc-timeout:100m"]), (None, Some(NOW.mono_us + 100_000)));
    assert_eq!(decided(CALL, &[GRPC, TE, "grpc-timeout:99999999H"]).0, None);
    assert_eq!(decided(CALL, &[GRPC, TE, "grpc-timeout:0m"]).0, Some("grpc.deadline"));
    for wrong in ["", "1", "1s", "-1S", "123456789S", "1.5S"] {
        assert_eq!(decided(CALL, &[GRPC, TE, &format!("grpc-timeout:{wrong}")]).0, Some("grpc.call"), "{wrong}");
    }
    assert_eq!(decided(CALL, &[GRPC, TE, "grpc-timeout:1S", "grpc-timeout:1S"]).0, Some("grpc.call"));
    // Of what is no call, it is a field as any other.
    assert_eq!(decided(CALL, &["grpc-timeout:soon"]), (None, None));
}

#[test]
fn a_host_may_give_less_time_and_hides_what_there_is() {
    let terms = json!({ "max_deadline_ms": 1000 });
    let until = |fields: &[&str]| exchange_of(&terms, CALL, fields).deadline_us;
    assert_eq!(until(&[GRPC, TE]), Some(NOW.mono_us + 1_000_000));
    assert_eq!(until(&[GRPC, TE, "grpc-timeout:2S"]), Some(NOW.mono_us + 1_000_000));
    assert_eq!(until(&[GRPC, TE, "grpc-timeout:999m"]), Some(NOW.mono_us + 999_000));
    let asked = |terms: &Value, service: &str| {
        let exchange = exchange_of(terms, &format!("POST /{service}/ServerReflectionInfo"), &[GRPC, TE]);
        exchange.denial.map(|denial| denial.reason.id())
    };
    for service in ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"] {
        assert_eq!(asked(&terms, service), Some("grpc.reflection"));
        assert_eq!(asked(&json!({ "allow_reflection": true }), service), None);
        assert_eq!(asked(&json!(null), service), None);
    }
    assert_eq!(asked(&terms, "grpc.reflections.Own"), None);
}

#[test]
fn a_denial_ahead_of_a_host_is_a_status_too() {
    let mut exchange = Exchange::default();
    exchange.begin(NOW, "0");
    exchange.head.parse_text(&format!("{CALL}\nhost:other\n{GRPC}\n{TE}")).unwrap();
    let snapshot =
        Arc::new(Snapshot::compile(&Policy::default(), 0, 1).unwrap_or_else(|problems| panic!("{problems:?}")));
    let peer = Peer::new([127, 0, 0, 1].into(), None);
    decide::decide(&mut exchange, &snapshot, &peer, None, &mut Tally::default(), &mut Cache::default());
    let denial = exchange.denial.take().unwrap();
    let mut answer = Answer::default();
    answer.render(&exchange, &denial);
    assert_eq!((denial.reason.id(), answer.status), ("http.unknown_host", 200));
    assert!(answer.fields.contains("\r\ngrpc-status: 5\r\n"), "{}", answer.fields);
}
