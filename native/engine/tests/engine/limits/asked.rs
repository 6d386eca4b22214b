//! Limits that the fleet counts at every request: what is asked, and what becomes of the answers.

use std::sync::Arc;

use portcullis_engine::decide::{self, Outcome, Tally};
use portcullis_engine::exchange::{Exchange, Now};
use portcullis_engine::jwt::Cache;
use portcullis_engine::limits::Taken;
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use serde_json::{Value, json};

use super::{NOW, clock};

const ADMITTED: Taken = Taken::Admitted { remaining: 4, reset_us: 2_000_000 };

struct Gate {
    snapshot: Arc<Snapshot>,
    peer: Peer,
    now: Now,
}

fn limit(name: &str, mode: &str, more: &Value) -> Value {
    let mut limit = json!({ "name": name, "amount": 5, "period_ms": 60_000, "sharing": { "mode": mode } });
    for (key, value) in more.as_object().unwrap() {
        limit[key] = value.clone();
    }
    limit
}

fn gate(key: u64, limits: &[Value]) -> Gate {
    let policy: Policy = serde_json::from_value(json!({
        "session_key": format!("{:064x}", key + (1 << 48)),
        "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1,
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "limits": { "rules": limits, "headers": true },
        "hosts": [{ "name": "api", "at": "", "origin": 0, "mtls": { "mode": "off" }, "max_body_bytes": 0 }],
    }))
    .unwrap();
    let snapshot = Snapshot::compile(&policy, NOW.unix_ms / 1000, 1).unwrap_or_else(|problems| panic!("{problems:?}"));
    Gate {
        snapshot: Arc::new(snapshot),
        peer: Peer::new([192, 0, 2, 1].into(), None),
        now: Now { mono_us: clock(1).0, ..NOW },
    }
}

impl Gate {
    fn decide(&self) -> (Exchange, Outcome) {
        let mut exchange = Exchange::default();
        exchange.begin(self.now, "0");
        exchange.head.parse_text("GET /\nhost:api").unwrap();
        let (mut tally, mut cache) = (Tally::default(), Cache::default());
        let outcome = decide::decide(&mut exchange, &self.snapshot, &self.peer, None, &mut tally, &mut cache);
        (exchange, outcome)
    }

    /// The reason's id, or none.
    fn answered(&self, answers: &[Option<Taken>]) -> (Exchange, Option<String>) {
        let (mut exchange, outcome) = self.decide();
        assert_eq!(outcome, Outcome::Ask);
        assert_eq!(exchange.limited.asks.len(), answers.len());
        match decide::asked(&mut exchange, &self.peer, answers) {
            Outcome::Pass | Outcome::Delay => (exchange, None),
            Outcome::Deny => {
                let reason = exchange.reason_id(exchange.denial.as_ref().unwrap());
                (exchange, Some(reason))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_the_fleet_says_holds_and_is_told() {
    let gate = gate(1, &[limit("f", "strict", &json!({}))]);
    let (exchange, reason) = gate.answered(&[Some(ADMITTED)]);
    assert_eq!(reason, None);
    assert_eq!(exchange.limited.fields, "\r\nRateLimit-Policy: \"f\";q=5;w=60\r\nRateLimit: \"f\";r=4;t=2");
    let refused = Taken::Refused { wait_us: 1_500_000, penalty: false };
    let (exchange, reason) = gate.answered(&[Some(refused)]);
    assert_eq!(reason.as_deref(), Some("limits.f"));
    assert_eq!(exchange.denial.unwrap().limit.unwrap().retry_after_s, 2);
}

#[test]
fn what_the_fleet_refuses_spends_nothing_here() {
    let gate = gate(2, &[limit("here", "local", &json!({ "amount": 1 })), limit("f", "strict", &json!({}))]);
    let refused = Some(Taken::Refused { wait_us: 1, penalty: false });
    for _ in 0..3 {
        assert_eq!(gate.answered(&[refused]).1.as_deref(), Some("limits.f"));
    }
    assert_eq!(gate.answered(&[Some(ADMITTED)]).1, None);
    let (exchange, outcome) = gate.decide();
    assert_eq!(outcome, Outcome::Deny, "nobody is asked about what is refused here");
    assert!(exchange.limited.asks.is_empty());
}

#[test]
fn without_an_answer_the_fallback_holds() {
    let with = |key: u64, fallback: &str| {
        gate(key, &[limit("f", "strict", &json!({ "sharing": { "mode": "strict", "fallback": fallback } }))])
    };
    let (open, closed) = (with(3, "open"), with(4, "closed"));
    for _ in 0..20 {
        assert_eq!(open.answered(&[None]).1, None);
        assert_eq!(closed.answered(&[None]).1.as_deref(), Some("limits.unavailable"));
    }
}

#[test]
fn in_log_mode_the_fleet_is_asked_and_refuses_nobody() {
    let gate = gate(5, &[limit("f", "strict", &json!({ "action": "log" }))]);
    let (exchange, reason) = gate.answered(&[Some(Taken::Refused { wait_us: 1, penalty: true })]);
    assert_eq!(reason, None);
    assert_eq!(exchange.logged.len(), 1);
    assert_eq!(exchange.limited.fields, "", "what is not enforced is not told");
}

#[test]
fn a_turn_that_the_fleet_gave_is_waited_for() {
    let gate = gate(6, &[limit("f", "strict", &json!({ "action": { "delay": 1000 } }))]);
    let (mut exchange, outcome) = gate.decide();
    assert_eq!((outcome, exchange.limited.asks[0].delay_us), (Outcome::Ask, 1_000_000));
    let later = Some(Taken::Refused { wait_us: 700_000, penalty: false });
    assert_eq!(decide::asked(&mut exchange, &gate.peer, &[later]), Outcome::Delay);
    assert_eq!((exchange.limited.delay_us, exchange.limited.delayed), (700_000, Some(0)));
    assert_eq!(decide::delayed(&mut exchange), Outcome::Pass);
    let too_late = Some(Taken::Refused { wait_us: 1_700_000, penalty: false });
    assert_eq!(gate.answered(&[too_late]).1.as_deref(), Some("limits.f"));
}

#[test]
fn what_counts_by_its_answer_is_peeked_at_and_then_left_to_be_spent() {
    let counting = json!({ "counting": { "at": "", "expression": "http.response.code eq 401" } });
    let gate = gate(7, &[limit("f", "strict", &counting)]);
    for (status, spent) in [(200, 0), (401, 1)] {
        let (mut exchange, outcome) = gate.decide();
        assert_eq!((outcome, exchange.limited.asks[0].peek), (Outcome::Ask, true));
        assert_eq!(decide::asked(&mut exchange, &gate.peer, &[Some(ADMITTED)]), Outcome::Pass);
        assert!(exchange.limited.wants_response);
        for _ in 0..2 {
            decide::settled(&mut exchange, &gate.peer, status, std::iter::empty());
            assert_eq!(exchange.limited.asks.iter().filter(|ask| !ask.peek).count(), spent, "once");
        }
    }
}
