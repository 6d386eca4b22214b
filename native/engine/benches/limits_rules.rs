//! What limits cost the decision on a head: none, one, ten that all hold for the request, and ten thousand of which one does.
//!
//! `cargo bench --profile release -p portcullis-engine --bench limits_rules`

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_engine::decide::{self, Outcome, Tally};
use portcullis_engine::exchange::{Exchange, Now};
use portcullis_engine::jwt;
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use serde_json::{Value, json};

const HEAD: &str = "GET /orders/4711?expand=lines\nhost:localhost:8443\nuser-agent:curl/8.5.0\naccept:*/*\n\
    cookie:session=0123456789abcdef0123456789abcdef; theme=dark\nx-client-version:3.14.1\n";

/// Characteristics of the usual kinds.
const USUAL: [&str; 10] = [
    "ip.src",
    "http.host",
    "http.request.uri.path",
    "cidr(ip.src, 24, 64)",
    "http.request.cookies[\"session\"][0]",
    "http.request.headers[\"x-client-version\"]",
    "http.request.uri.args[\"expand\"][0]",
    "http.request.method",
    "ip.src",
    "http.user_agent",
];

/// Nothing is ever refused: what is measured is what passes.
fn limit(name: &str, expression: Option<String>, characteristic: &str) -> Value {
    let expression_of = |text: &str| json!({ "at": "", "expression": text });
    json!({
        "name": name, "amount": 1_000_000_000_000u64, "period_ms": 1000,
        "expression": expression.as_deref().map(expression_of), "characteristics": [expression_of(characteristic)],
    })
}

fn snapshot(limits: &[Value]) -> Arc<Snapshot> {
    let policy: Policy = serde_json::from_value(json!({
        "origins": [{ "addresses": ["127.0.0.1:3000"], "connections": 64, "connect_timeout_ms": 1,
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "limits": { "rules": limits },
        "hosts": [{ "name": "localhost", "at": "", "origin": 0, "max_body_bytes": 1_048_576, "mtls": { "mode": "off" } }],
    }))
    .unwrap();
    Arc::new(Snapshot::compile(&policy, 0, 1).unwrap_or_else(|problems| panic!("{problems:?}")))
}

fn bench(criterion: &mut Criterion) {
    let address: IpAddr = "192.0.2.77".parse().unwrap();
    let peer = Peer::new(address, None);
    let usual: Vec<Value> = USUAL.iter().enumerate().map(|(n, of)| limit(&format!("l{n}"), None, of)).collect();
    let tested = |n: usize| {
        let expression = Some(format!("http.request.uri.path eq \"/orders/{}\"", 4711 + n));
        limit(&format!("t{n}"), expression, "ip.src")
    };
    let many: Vec<Value> = (0..10_000).map(tested).collect();
    let mut exchange = Exchange::default();
    let (mut tally, mut tokens) = (Tally::default(), jwt::Cache::default());
    let mut started = Now { mono_us: 1_000_000, unix_ms: 0 };
    for (name, limits) in
        [("no limit", &[][..]), ("one", &usual[..1]), ("ten", &usual[..]), ("one of 10,000", &many[..])]
    {
        let snapshot = snapshot(limits);
        let mut decided = || {
            started.mono_us += 1;
            exchange.head.buffer().push_str(black_box(HEAD));
            exchange.begin(started, "0");
            let malformed = exchange.head.parse().err();
            decide::decide(&mut exchange, &snapshot, &peer, malformed, &mut tally, &mut tokens)
        };
        assert_eq!(decided(), Outcome::Pass);
        criterion.bench_function(&format!("decide, {name}"), |bencher| bencher.iter(&mut decided));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = bench
}
criterion_main!(benches);
