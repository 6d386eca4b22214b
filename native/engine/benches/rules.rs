//! What rules cost a request: `cargo bench --profile release -p portcullis-engine --bench rules`.
//!
//! The request is that of the quickstart, and no rule matches it, so that everything that has to be evaluated is.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_engine::credentials::Caller;
use portcullis_engine::head::Head;
use portcullis_engine::peer::Identity;
use portcullis_engine::policy::{List, Rule, RuleAction};
use portcullis_engine::rules::{Beyond, Language, Request, Rules, Scratch};

const HEAD: &str = "GET /api/v1/orders/8f14e45fceea167a?status=open&limit=20\nhost:api.example.com\n\
    user-agent:orders-client/2.4.1 (linux; x86_64)\naccept:application/json\naccept-encoding:gzip, br\n\
    content-type:application/json\nx-request-id:0af7651916cd43dd8448eb211c80319c\n\
    traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ncookie:session=5f4dcc3b5aa765d61d8327deb882cf99; theme=dark";

/// Twenty rules as a team writes them; none holds for the request.
const TYPICAL: [&str; 20] = [
    "http.host eq \"admin.example.com\" and not ip.src in {10.0.0.0/8 192.168.0.0/16}",
    "http.request.uri.path eq \"/internal/metrics\"",
    "starts_with(http.request.uri.path, \"/admin\")",
    "http.request.method in {\"PUT\" \"DELETE\"} and not cf.tls_client_auth.cert_verified",
    "ip.src in $blocked",
    "http.user_agent contains \"sqlmap\"",
    "http.user_agent eq \"\"",
    "lower(http.user_agent) contains \"nikto\"",
    "http.request.uri.path matches \"\\.(php|asp|jsp)$\"",
    "http.request.uri.path wildcard \"/wp-*\"",
    "any(http.request.headers[\"x-debug\"][*] eq \"1\")",
    "any(lower(http.request.headers[\"content-type\"][*])[*] contains \"xml\")",
    "http.request.uri.query contains \"../\"",
    "len(http.request.uri.query) gt 2048",
    "any(http.request.uri.args[\"redirect\"][*] contains \"://\")",
    "http.request.cookies[\"session\"][0] eq \"\"",
    "cf.tls_client_auth.cert_revoked",
    "http.host eq \"api.example.com\" and starts_with(http.request.uri.path, \"/api/v0/\")",
    "http.host eq \"api.example.com\" and http.request.method eq \"POST\" and http.request.uri.path eq \"/api/v1/orders\"",
    "cf.tls_client_auth.cert_issuer_dn contains \"Retired CA\"",
];

/// The n-th of many rules of the usual kinds: hosts, paths, methods, addresses, and these combined.
fn usual(n: usize) -> String {
    let (a, b, c) = (n / 65536, n / 256 % 256, n % 256);
    match n % 8 {
        0 => format!("http.host eq \"tenant-{n}.example.com\" and http.request.uri.path eq \"/login\""),
        1 => format!("http.request.uri.path eq \"/api/v1/orders/{n}\""),
        2 => format!("starts_with(http.request.uri.path, \"/api/v1/archive/{n}/\")"),
        3 => format!("ip.src eq 10.{a}.{b}.{c}"),
        4 => format!("ip.src in {{172.{b}.{c}.0/24}} and http.host eq \"api.example.com\""),
        5 => format!("http.request.method eq \"DELETE\" and http.request.uri.path wildcard \"/api/v2/items/{n}*\""),
        6 => format!("http.host in {{\"a{n}.example.net\" \"b{n}.example.net\"}} and http.request.method eq \"GET\""),
        _ => format!("http.host eq \"api.example.com\" and http.request.uri.path eq \"/api/v1/users/{n}\" and not ssl"),
    }
}

fn compile(expressions: impl Iterator<Item = String>) -> Rules {
    let rules: Vec<Rule> = expressions
        .enumerate()
        .map(|(n, expression)| Rule {
            name: format!("rule-{n}"),
            at: format!("/rules/{n}/expression"),
            expression,
            action: RuleAction::Block,
        })
        .collect();
    let blocked = (0..2_000).map(|n| format!("198.{}.{}.0/24", 18 + n / 256, n % 256)).collect();
    let lists = [List { name: "blocked".into(), at: "/lists/blocked".into(), items: blocked }];
    let mut problems = Vec::new();
    let rules = {
        let mut language = Language::new(&lists, &[], &mut problems);
        Rules::compile(&rules, &mut language, &mut problems)
    };
    assert!(problems.is_empty(), "{problems:?}");
    rules
}

fn rules(criterion: &mut Criterion) {
    let mut head = Head::default();
    head.parse_text(HEAD).expect("the head is clean");
    let identity = Identity::default();
    let (address, found, caller) = (IpAddr::from([203, 0, 113, 7]), Default::default(), Caller::default());
    let request = Request {
        head: &head,
        address,
        identity,
        hello: None,
        now: 0,
        found,
        caller: &caller,
        configurations: &[],
        operation: None,
        beyond: Beyond::default(),
    };
    let mut group = criterion.benchmark_group("rules");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(30);
    let sets = [
        ("20 typical", compile(TYPICAL.iter().map(|text| (*text).to_owned()))),
        ("10 usual", compile((0..10).map(usual))),
        ("10000 usual", compile((0..10_000).map(usual))),
        ("none", compile(std::iter::empty())),
    ];
    for (name, rules) in &sets {
        let (mut scratch, mut logged) = (Scratch::default(), Vec::new());
        println!("{name}: {} of {} rules are evaluated for every request", rules.unindexed(), rules.len());
        group.bench_function(*name, |bench| {
            bench.iter(|| {
                let blocked = rules.evaluate(black_box(&request), &mut scratch, &mut logged);
                assert_eq!(blocked, None);
            });
        });
    }
    group.finish();
    criterion.bench_function("rules/compile 10000", |bench| {
        bench.iter_with_large_drop(|| compile((0..10_000).map(usual)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1)).sample_size(10);
    targets = rules
}
criterion_main!(benches);
