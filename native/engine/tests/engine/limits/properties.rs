//! What holds for any limits and any requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_engine::decide::{self, Outcome, Tally};
use portcullis_engine::exchange::{Exchange, Now};
use portcullis_engine::jwt::Cache;
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW, clock};

/// Longer than 60 requests 3 s apart, and what they leave behind. A multiple of every eighth of [`PERIODS_MS`]: where a
/// window's eighths begin is the clock's, and runs that are compared have to meet them alike.
const RUN_US: u64 = 600_000_000;
const PERIODS_MS: [u64; 9] = [1000, 1200, 1600, 2000, 2400, 3000, 4800, 5000, 6000];

/// Counters are the process's: each run has some of its own.
static RUNS: AtomicU64 = AtomicU64::new(1 << 32);

#[derive(Debug, Clone)]
struct Limit {
    characteristics: usize,
    expression: usize,
    amount: u64,
    burst: u64,
    period_ms: u64,
    sliding: bool,
    penalty: bool,
}

#[derive(Debug, Clone)]
struct Asked {
    after_ms: u64,
    from: u8,
    path: usize,
}

const CHARACTERISTICS: [&[&str]; 4] =
    [&[], &["ip.src"], &["http.request.uri.path"], &["cidr(ip.src, 31, 127)", "http.request.uri.path"]];
const EXPRESSIONS: [Option<&str>; 4] =
    [None, None, Some("http.request.uri.path eq \"/a\""), Some("ip.src in {192.0.2.0/30}")];
const PATHS: [&str; 3] = ["/a", "/b", "/a/b"];

fn limit() -> impl Strategy<Value = Limit> {
    (0..4usize, 0..4usize, 1..6u64, 1..6u64, 0..PERIODS_MS.len(), any::<bool>(), any::<bool>()).prop_map(
        |(characteristics, expression, amount, burst, period, sliding, penalty)| Limit {
            characteristics,
            expression,
            amount,
            burst: burst.min(amount),
            period_ms: PERIODS_MS[period],
            sliding,
            penalty,
        },
    )
}

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let one = (prop_oneof![Just(0u64), 0..50u64, 0..3000u64], 1..6u8, 0..3usize);
    prop::collection::vec(one.prop_map(|(after_ms, from, path)| Asked { after_ms, from, path }), 1..60)
}

fn written(limit: &Limit, name: &str, action: &str, penalties: bool) -> Value {
    let expression = |text: &&str| json!({ "at": "", "expression": text });
    json!({
        "name": name, "action": action, "amount": limit.amount, "burst": limit.burst, "period_ms": limit.period_ms,
        "algorithm": if limit.sliding { "sliding_window" } else { "gcra" },
        "mitigation_timeout_ms": if penalties && limit.penalty { 2500 } else { 0 },
        "characteristics": CHARACTERISTICS[limit.characteristics].iter().map(expression).collect::<Vec<_>>(),
        "expression": EXPRESSIONS[limit.expression].as_ref().map(expression),
    })
}

/// By each request: whether it was refused, and until when.
fn judged(limits: &[Value], requests: &[Asked], skipped: &[bool]) -> Vec<Option<u64>> {
    let policy: Policy = serde_json::from_value(json!({
        "session_key": format!("{:064x}", RUNS.fetch_add(1, Ordering::Relaxed)),
        "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1,
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "limits": { "rules": limits },
        "hosts": [{ "name": "api", "at": "", "origin": 0, "mtls": { "mode": "off" }, "max_body_bytes": 0 }],
    }))
    .unwrap();
    let snapshot =
        Arc::new(Snapshot::compile(&policy, NOW.unix_ms / 1000, 1).unwrap_or_else(|problems| panic!("{problems:?}")));
    let clock = clock(2 * RUN_US);
    let since_us = clock.0.next_multiple_of(RUN_US);
    let (mut tally, mut cache, mut exchange) = (Tally::default(), Cache::default(), Exchange::default());
    let mut at_ms = 0;
    let mut verdicts = Vec::new();
    for (n, request) in requests.iter().enumerate() {
        at_ms += request.after_ms;
        if skipped.get(n) == Some(&true) {
            continue;
        }
        exchange.begin(Now { mono_us: since_us + at_ms * 1000, unix_ms: NOW.unix_ms + at_ms }, "0");
        exchange.head.parse_text(&format!("GET {}\nhost:api", PATHS[request.path])).unwrap();
        let peer = Peer::new(IpAddr::from([192, 0, 2, request.from]), None);
        verdicts.push(match decide::decide(&mut exchange, &snapshot, &peer, None, &mut tally, &mut cache) {
            Outcome::Pass => None,
            Outcome::Deny => Some(exchange.denial.as_ref().unwrap().limit.as_ref().unwrap().retry_after_s),
            other => panic!("{other:?}"),
        });
        decide::released(&mut exchange);
    }
    verdicts
}

fn all(limits: &[Limit], penalties: bool) -> Vec<Value> {
    limits.iter().enumerate().map(|(n, limit)| written(limit, &format!("l{n}"), "block", penalties)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_limit_in_log_mode_changes_no_verdict(
        limits in prop::collection::vec(limit(), 0..4), more in limit(), at in 0..4usize, requests in asked(),
    ) {
        let without = all(&limits, true);
        let mut with = without.clone();
        with.insert(at.min(limits.len()), written(&more, "watched", "log", true));
        prop_assert_eq!(judged(&without, &requests, &[]), judged(&with, &requests, &[]));
    }

    #[test]
    fn the_order_of_limits_changes_no_verdict(
        limits in prop::collection::vec(limit(), 2..5), turn in 1..4usize, requests in asked(),
    ) {
        let one = all(&limits, true);
        let mut other = one.clone();
        other.rotate_left(turn % limits.len());
        prop_assert_eq!(judged(&one, &requests, &[]), judged(&other, &requests, &[]));
    }

    #[test]
    fn a_refused_request_spends_nothing(limits in prop::collection::vec(limit(), 1..5), requests in asked()) {
        // Penalties are what a refused request leaves behind.
        let limits = all(&limits, false);
        let verdicts = judged(&limits, &requests, &[]);
        let refused: Vec<bool> = verdicts.iter().map(Option::is_some).collect();
        let passed = judged(&limits, &requests, &refused);
        prop_assert!(passed.iter().all(Option::is_none), "{:?}", passed);
    }
}
