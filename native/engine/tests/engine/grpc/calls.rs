//! Calls as a whole: which method, in which pieces, how many messages.

use std::io::Write as _;

use portcullis_engine::decide::Outcome;
use serde_json::json;

use super::{Walk, descriptors, framed, head, policy, snapshot};

const PROTO: &str = r#"
syntax = "proto3";
package shop;
import "buf/validate/validate.proto";
message Order {
  string id = 1 [(buf.validate.field).string.min_len = 2];
  User user = 2;
}
message User { string id = 1; int64 age = 2; }
message Ack {}
service Orders {
  rpc Place(Order) returns (Ack);
  rpc Upload(stream Order) returns (Ack);
  rpc Chat(stream Order) returns (stream Ack);
}
"#;

/// `id`, of two bytes or more.
fn order(id: &str) -> Vec<u8> {
    let mut message = vec![0x0a, id.len() as u8];
    message.extend(id.as_bytes());
    framed(&message)
}

#[test]
fn methods_are_operations_and_others_fall_through() {
    let snapshot = snapshot(policy(&descriptors(PROTO), &json!({}), &json!({})));
    let (walk, outcome) = Walk::begin(&snapshot, &head("/shop.Orders/Place", ""));
    assert_eq!(outcome, Outcome::Inspect);
    assert_eq!(walk.exchange.operation().map(|operation| operation.id.as_str()), Some("/shop.Orders/Place"));
    for path in ["/shop.Orders/Cancel", "/shop.Others/Place", "/shop.orders/Place", "/shop.Orders/Place/"] {
        let (walk, outcome) = Walk::begin(&snapshot, &head(path, ""));
        assert_eq!(outcome, Outcome::Deny);
        let denial = walk.exchange.denial.as_ref().unwrap();
        assert_eq!(walk.reason(denial), "endpoints.fallthrough", "{path}");
        assert_eq!(denial.reason.entry().grpc, 12);
    }
}

#[test]
fn what_is_no_call_of_a_method_is_refused() {
    let snapshot = snapshot(policy(&descriptors(PROTO), &json!({}), &json!({})));
    let refused = |head: &str| {
        let (walk, outcome) = Walk::begin(&snapshot, head);
        assert_eq!(outcome, Outcome::Deny, "{head}");
        walk.reason(walk.exchange.denial.as_ref().unwrap())
    };
    assert_eq!(refused("GET /shop.Orders/Place\nhost:a\n"), "endpoints.method");
    let post =
        |kind: &str| format!("POST /shop.Orders/Place\nhost:a\ncontent-type:{kind}\nte:trailers\ncontent-length:10\n");
    assert_eq!(refused(&post("application/json")), "grpc.format");
    assert_eq!(refused(&post("application/proto")), "grpc.format");
    assert_eq!(refused(&post("application/grpc+json")), "grpc.format");
    assert_eq!(refused("POST /shop.Orders/Place\nhost:a\ncontent-length:10\n"), "grpc.format");
    assert_eq!(refused(&head("/shop.Orders/Place", "grpc-encoding:zstd\n")), "grpc.encoding");
    assert_eq!(
        refused("POST /shop.Orders/Place\nhost:a\ncontent-type:application/grpc\nte:trailers\ncontent-length:0\n"),
        "grpc.malformed"
    );
    let (_, outcome) = Walk::begin(&snapshot, &post("application/grpc-web+proto"));
    assert_eq!(outcome, Outcome::Inspect);
}

#[test]
fn nothing_of_a_message_goes_on_before_it_is_whole_and_good() {
    let snapshot = snapshot(policy(&descriptors(PROTO), &json!({}), &json!({})));
    let (mut walk, outcome) = Walk::begin(&snapshot, &head("/shop.Orders/Upload", ""));
    assert_eq!(outcome, Outcome::Pass, "the origin may have to speak first");
    let body: Vec<u8> = ["ab", "abc", "abcd"].iter().flat_map(|id| order(id)).collect();
    for (sent, byte) in (1..).zip(&body) {
        walk.piece(&[*byte], false).unwrap();
        let whole = [9, 19, 30].iter().filter(|end| **end <= sent).max().copied().unwrap_or(0);
        assert_eq!(walk.on, body[..whole], "after {sent} bytes");
    }
    walk.piece(&[], true).unwrap();
    let denial = {
        let (mut walk, _) = Walk::begin(&snapshot, &head("/shop.Orders/Upload", ""));
        let two: Vec<u8> = [order("ab"), order("a")].concat();
        let denial = walk.piece(&two, false).unwrap_err();
        assert!(walk.on.is_empty());
        denial
    };
    assert_eq!(denial.reason.id(), "grpc.message");
    assert_eq!(denial.errors[0].pointer, "id");
}

#[test]
fn a_unary_call_has_one_message() {
    let snapshot = snapshot(policy(&descriptors(PROTO), &json!({}), &json!({})));
    let call = |pieces: &[&[u8]]| {
        let (mut walk, _) = Walk::begin(&snapshot, &head("/shop.Orders/Place", ""));
        let mut result = Ok(());
        for (index, piece) in pieces.iter().enumerate() {
            result = result.and_then(|()| walk.piece(piece, index + 1 == pieces.len()));
        }
        result.map_err(|denial| denial.reason.id())
    };
    assert_eq!(call(&[&order("ab")]), Ok(()));
    assert_eq!(call(&[&order("ab"), &[]]), Ok(()));
    assert_eq!(call(&[&order("ab"), &order("ab")]), Err("grpc.malformed"));
    assert_eq!(call(&[&[]]), Err("grpc.malformed"));
    assert_eq!(call(&[&order("ab")[..8]]), Err("grpc.malformed"));
    assert_eq!(call(&[&[0, 0, 0, 0x10, 1]]), Err("grpc.message_too_large"));
    assert_eq!(call(&[&[1, 0, 0, 0, 0]]), Err("grpc.malformed"));
}

#[test]
fn a_compressed_message_is_read_and_goes_on_as_it_came() {
    let snapshot = snapshot(policy(&descriptors(PROTO), &json!({}), &json!({})));
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        let compressed = encoder.finish().unwrap();
        let mut out = framed(&compressed);
        out[0] = 1;
        out
    };
    let call = |message: &[u8]| {
        let (mut walk, _) = Walk::begin(&snapshot, &head("/shop.Orders/Place", "grpc-encoding:gzip\n"));
        walk.piece(message, true).map(|()| walk.on).map_err(|denial| denial.reason.id())
    };
    let good = gzip(&order("ab")[5..]);
    assert_eq!(call(&good), Ok(good.clone()));
    assert_eq!(call(&gzip(&order("a")[5..])), Err("grpc.message"));
    assert_eq!(call(&gzip(&[0; 5000])), Err("grpc.message_too_large"));
    let mut broken = good;
    broken[20] ^= 0xff;
    assert_eq!(call(&broken), Err("grpc.malformed"));
    let uncompressed = order("ab");
    assert_eq!(call(&uncompressed), Ok(uncompressed.clone()));
}

#[test]
fn what_is_only_recorded_passes_whole() {
    let grpc = json!({ "operations": [
        { "path": "/shop.Orders/Upload", "at": "", "action": "log" },
        { "path": "/shop.Orders/Place", "at": "", "action": "log" },
    ], "fallthrough": "log" });
    let snapshot = snapshot(policy(&descriptors(PROTO), &grpc, &json!({})));
    for path in ["/shop.Orders/Upload", "/shop.Orders/Place", "/shop.Orders/Chat"] {
        let (mut walk, outcome) = Walk::begin(&snapshot, &head(path, ""));
        let body = [order("ab"), order("a"), vec![9, 9, 9, 9, 9, 9]].concat();
        if walk.exchange.call.is_none() {
            assert_eq!((path, outcome), ("/shop.Orders/Chat", Outcome::Pass));
            assert_eq!(walk.exchange.logged.len(), 1);
            continue;
        }
        for piece in body.chunks(7) {
            walk.piece(piece, false).unwrap();
        }
        walk.piece(&[], true).unwrap();
        assert_eq!(walk.on, body, "{path}");
        assert!(!walk.exchange.logged.is_empty());
    }
}

#[test]
fn rules_read_the_first_message() {
    let rule = json!({ "rules": [
        { "name": "nobody", "at": "", "action": "block",
          "expression": "any(grpc.message[\"user.id\"][*] eq \"mallory\") and grpc.service eq \"shop.Orders\"" },
        { "name": "old", "at": "", "action": "block",
          "expression": "to_number(grpc.message[\"user.age\"][0]) gt 100 and grpc.method eq \"Chat\"" },
    ] });
    let snapshot = snapshot(policy(&descriptors(PROTO), &json!({}), &rule));
    let with = |user: &[u8]| {
        let mut message = vec![0x0a, 2, b'a', b'b', 0x12, user.len() as u8];
        message.extend(user);
        framed(&message)
    };
    for path in ["/shop.Orders/Place", "/shop.Orders/Upload", "/shop.Orders/Chat"] {
        let call = |message: &[u8]| {
            let (mut walk, outcome) = Walk::begin(&snapshot, &head(path, ""));
            assert_eq!(outcome, Outcome::Inspect, "the head waits for the message that rules read");
            walk.piece(&message[..5], false).unwrap();
            let result = walk.piece(&message[5..], true);
            result.map_err(|denial| walk.reason(&denial))
        };
        assert_eq!(call(&with(b"\x0a\x05alice")), Ok(()));
        assert_eq!(call(&with(b"\x0a\x07mallory")), Err("rules.nobody".to_owned()));
        // The last one counts.
        assert_eq!(call(&with(b"\x0a\x07mallory\x0a\x05alice")), Ok(()));
        assert_eq!(call(&with(b"\x0a\x05alice\x0a\x07mallory")), Err("rules.nobody".to_owned()));
        let none = format!("POST {path}\nhost:a\ncontent-type:application/grpc\nte:trailers\n");
        let (_, outcome) = Walk::begin(&snapshot, &none);
        assert_eq!(outcome == Outcome::Pass, !path.ends_with("Place"), "nobody waits for a body that does not come");
        let old = if path.ends_with("Chat") { Err("rules.old".to_owned()) } else { Ok(()) };
        assert_eq!(call(&with(b"\x10\x65")), old);
    }
}

#[test]
fn a_path_that_no_message_has_is_a_problem() {
    let rule = json!({ "rules": [
        { "name": "typo", "at": "/rules/0/expression", "action": "block",
          "expression": "any(grpc.message[\"user.idd\"][*] eq \"mallory\")" },
    ] });
    let policy = serde_json::from_value(policy(&descriptors(PROTO), &json!({}), &rule)).unwrap();
    let problems = portcullis_engine::snapshot::Snapshot::compile(&policy, 0, 1).err().unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].at, "/rules/0/expression");
    assert!(problems[0].message.contains("user.idd"));
}

#[test]
fn messages_in_a_stream_are_limited_one_by_one() {
    let limits = json!({ "limits": { "rules": [
        { "name": "chatty", "at": "", "per": "message", "amount": 3, "period_ms": 60_000, "burst": 3,
          "characteristics": [{ "at": "", "expression": "grpc.message[\"user.id\"][0]" }] },
    ] } });
    let snapshot = snapshot(policy(&descriptors(PROTO), &json!({}), &limits));
    let with = |user: &str| {
        let mut message = vec![0x0a, 2, b'a', b'b', 0x12, user.len() as u8 + 2, 0x0a, user.len() as u8];
        message.extend(user.as_bytes());
        framed(&message)
    };
    let (mut walk, _) = Walk::begin(&snapshot, &head("/shop.Orders/Chat", ""));
    for user in ["ada", "bob", "ada", "ada"] {
        walk.piece(&with(user), false).unwrap();
    }
    let before = walk.on.clone();
    let denial = walk.piece(&with("ada"), false).unwrap_err();
    assert_eq!(walk.reason(&denial), "limits.chatty");
    assert!(denial.limit.unwrap().retry_after_s > 0);
    assert_eq!(walk.on, before);
    // Others are not concerned, and a call of one message is a message too.
    let (mut walk, _) = Walk::begin(&snapshot, &head("/shop.Orders/Place", ""));
    walk.piece(&with("eve"), true).unwrap();
    let (mut walk, _) = Walk::begin(&snapshot, &head("/shop.Orders/Place", ""));
    assert_eq!(walk.piece(&with("ada"), true).unwrap_err().reason.id(), "limits.");
}

#[test]
fn limits_of_messages_do_not_wait() {
    for (more, message) in [
        (json!({ "concurrency": 3, "amount": 0, "period_ms": 0 }), "messages are not under way at once"),
        (json!({ "sharing": { "mode": "strict" } }), "a message does not wait for the fleet's counters"),
        (json!({ "action": { "delay": 5 } }), "a message does not wait for its turn"),
        (json!({ "score": { "response_header": "x-cost" } }), "a message has no response to count by"),
    ] {
        let mut rule = json!({ "name": "a", "at": "", "per": "message", "amount": 3, "period_ms": 60_000 });
        super::merge(&mut rule, &more);
        let limits = json!({ "limits": { "rules": [rule] } });
        let policy = serde_json::from_value(policy(&descriptors(PROTO), &json!({}), &limits)).unwrap();
        let problems = portcullis_engine::snapshot::Snapshot::compile(&policy, 0, 1).err().unwrap();
        assert_eq!(problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(), [message]);
    }
}
