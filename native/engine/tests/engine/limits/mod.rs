//! test/corpus/limits: limits, and requests at times of a clock of their own with what becomes of each.

mod asked;
mod properties;

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_engine::decide::{self, Outcome, Tally};
use portcullis_engine::exchange::{Exchange, Now};
use portcullis_engine::jwt::Cache;
use portcullis_engine::partners::{Partners, Written};
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// 2030-01-01
const NOW: Now = Now { mono_us: 1_000_000_000, unix_ms: 1_893_456_000_000 };
/// Longest time that the requests of a group take.
const GROUP_US: u64 = 3_000_000_000_000;

/// Counters are the process's, and their clock never goes back: one test at a time has it, each from where the one before
/// ended, for so long.
fn clock(span_us: u64) -> MutexGuard<'static, (u64, u64)> {
    static CLOCK: Mutex<(u64, u64)> = Mutex::new((0, NOW.mono_us));
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    *clock = (clock.1, clock.1 + span_us);
    clock
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    /// As the policy has them; expressions and characteristics are plain strings, `period_s` and `mitigation_timeout_s`
    /// whole seconds.
    limits: Vec<Map<String, Value>>,
    /// Passing answers tell what is left.
    #[serde(default)]
    headers: bool,
    /// `GET /orders/{id}`, which is its id too; a limit's `operation` is one of these.
    #[serde(default)]
    operations: Vec<String>,
    /// The host's `credentials` and the policy's `jwt`.
    #[serde(default)]
    credentials: Value,
    #[serde(default)]
    jwt: Value,
    /// As the engine is told of them (native/engine/src/partners/mod.rs).
    #[serde(default)]
    partners: Vec<Written>,
    #[serde(default)]
    rules: Vec<String>,
    /// What policy is refused: the message of the only problem.
    #[serde(default)]
    problem: Option<String>,
    #[serde(default)]
    requests: Vec<Request>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Milliseconds; not before that of the request before.
    #[serde(default)]
    at_ms: u64,
    /// So often, each with the same outcome.
    #[serde(default = "one")]
    times: u32,
    /// The lines of the door's text: `GET /a?b`, then `name:value`; a host is added.
    #[serde(default)]
    head: Vec<String>,
    #[serde(default = "somebody")]
    from: IpAddr,
    #[serde(default)]
    body: Option<String>,
    /// What the origin answers, or the status of the gateway's own answer.
    #[serde(default)]
    answer: Answer,
    /// `pass`, or the reason's id.
    #[serde(default = "pass")]
    expect: String,
    /// Of the denial.
    retry_after_s: Option<u64>,
    /// Milliseconds that a request that passes waits.
    #[serde(default)]
    delay_ms: u64,
    /// The answer's `RateLimit-Policy` and `RateLimit`; not looked at where there is none.
    policy: Option<String>,
    left: Option<String>,
    /// Reasons of limits in log mode.
    #[serde(default)]
    logged: Vec<String>,
    /// It stays under way under this name ..
    stays: Option<String>,
    /// .. until it ends here: nothing is asked.
    ends: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    status: Option<u16>,
    fields: HashMap<String, String>,
}

fn one() -> u32 {
    1
}

fn pass() -> String {
    "pass".to_owned()
}

fn somebody() -> IpAddr {
    [192, 0, 2, 1].into()
}

impl Group {
    fn policy(&self, number: usize) -> Policy {
        let expression = |value: &Value| json!({ "at": "", "expression": value });
        let limit = |written: &Map<String, Value>| {
            let mut limit = Map::new();
            for (name, value) in written {
                let value = match name.as_str() {
                    "expression" | "counting" => expression(value),
                    "characteristics" => value.as_array().unwrap().iter().map(expression).collect(),
                    "score" => match value.as_object().unwrap().get("expression") {
                        Some(text) => json!({ "expression": expression(text) }),
                        None => value.clone(),
                    },
                    "operation" => json!([0, self.operations.iter().position(|known| known == value).unwrap()]),
                    "period_s" | "mitigation_timeout_s" => json!(value.as_u64().unwrap() * 1000),
                    _ => value.clone(),
                };
                limit.insert(name.strip_suffix("_s").map_or(name.clone(), |name| format!("{name}_ms")), value);
            }
            limit
        };
        let operations = self.operations.iter().map(|called| {
            let (method, path) = called.split_once(' ').unwrap();
            json!({ "id": called, "at": "", "method": method, "path": path })
        });
        let rule = |(n, text): (usize, &String)| json!({ "name": format!("r{n}"), "at": "", "expression": text, "action": "block" });
        let mut host =
            json!({ "name": "api", "at": "", "origin": 0, "mtls": { "mode": "off" }, "max_body_bytes": 1 << 24 });
        if !self.operations.is_empty() {
            let operations: Vec<Value> = operations.collect();
            host["openapi"] =
                json!({ "action": "block", "fallthrough": "block", "schema": {}, "operations": operations });
        }
        if !self.credentials.is_null() {
            host["credentials"] = self.credentials.clone();
        }
        serde_json::from_value(json!({
            // Counters are the process's: each group has some of its own.
            "session_key": format!("{number:064x}"),
            "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1,
                "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
            "jwt": if self.jwt.is_null() { json!([]) } else { self.jwt.clone() },
            "rules": self.rules.iter().enumerate().map(rule).collect::<Vec<_>>(),
            "limits": { "headers": self.headers, "rules": self.limits.iter().map(limit).collect::<Vec<_>>() },
            "hosts": [host],
        }))
        .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn run(&self, number: usize) {
        let policy = self.policy(number);
        let snapshot = match (Snapshot::compile(&policy, NOW.unix_ms / 1000, 1), &self.problem) {
            (Ok(snapshot), None) => Arc::new(snapshot),
            (Err(problems), Some(wanted)) => {
                let found: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
                assert_eq!(found, [wanted], "{}", self.name);
                return;
            }
            (Ok(_), Some(wanted)) => panic!("{}: compiled, expected \"{wanted}\"", self.name),
            (Err(problems), None) => panic!("{}: {problems:?}", self.name),
        };
        let since_us = clock(GROUP_US);
        Partners::of_process().replace(&self.partners).unwrap();
        let mut under_way: HashMap<&str, Exchange> = HashMap::new();
        for (place, request) in self.requests.iter().enumerate() {
            if let Some(name) = &request.ends {
                decide::released(&mut under_way.remove(name.as_str()).unwrap());
                continue;
            }
            for time in 0..request.times {
                let mut exchange = Exchange::default();
                let place = format!("{}, request {place}, time {time}", self.name);
                request.judge(&mut exchange, &snapshot, since_us.0, &place);
                match &request.stays {
                    Some(name) => {
                        under_way.insert(name, exchange);
                    }
                    None => decide::released(&mut exchange),
                }
            }
        }
    }
}

impl Request {
    fn judge(&self, exchange: &mut Exchange, snapshot: &Arc<Snapshot>, since_us: u64, place: &str) {
        let now = Now { mono_us: since_us + self.at_ms * 1000, unix_ms: NOW.unix_ms + self.at_ms };
        exchange.begin(now, "0");
        let mut head = self.head.first().map_or("GET /", String::as_str).to_owned();
        head.push_str("\nhost:api");
        for line in self.head.iter().skip(1) {
            head.push('\n');
            head.push_str(line);
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("\ncontent-length:{}", body.len()));
        }
        exchange.head.parse_text(&head).unwrap_or_else(|reason| panic!("{place}: {}", reason.id()));
        let peer = Peer::new(self.from, None);
        let (mut tally, mut cache) = (Tally::default(), Cache::default());
        let mut outcome = decide::decide(exchange, snapshot, &peer, None, &mut tally, &mut cache);
        if outcome == Outcome::Inspect {
            outcome = decide::inspected(exchange, &peer, self.body.as_deref().unwrap_or_default().as_bytes(), None);
        }
        let delay_us = exchange.limited.delay_us;
        if outcome == Outcome::Delay {
            outcome = decide::delayed(exchange);
        }
        let denial = exchange.denial.clone();
        let found = match outcome {
            Outcome::Pass => "pass".to_owned(),
            Outcome::Deny => exchange.reason_id(denial.as_ref().unwrap()),
            other => panic!("{place}: {other:?}"),
        };
        assert_eq!(found, self.expect, "{place}");
        assert_eq!(delay_us, self.delay_ms * 1000, "{place}: delay");
        if let Some(wanted) = self.retry_after_s {
            assert_eq!(denial.and_then(|denial| denial.limit).unwrap().retry_after_s, wanted, "{place}: Retry-After");
        }
        for (name, wanted) in [("RateLimit-Policy", &self.policy), ("RateLimit", &self.left)] {
            let Some(wanted) = wanted else { continue };
            let fields = &exchange.limited.fields;
            let field = fields.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            assert_eq!(field, Some(wanted.as_str()), "{place}: {name}");
        }
        let logged: Vec<String> = exchange.logged.iter().map(|denial| exchange.reason_id(denial)).collect();
        assert_eq!(logged, self.logged, "{place}: logged");
        let status = self.answer.status.unwrap_or(if found == "pass" { 200 } else { 429 });
        let fields = self.answer.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        decide::settled(exchange, &peer, status, fields);
    }
}

#[test]
fn corpus() {
    let folder = format!("{}/../../test/corpus/limits", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut number, mut requests) = (0, 0);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let text = fs::read_to_string(file).unwrap();
        let groups: Vec<Group> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for group in groups {
            number += 1;
            requests += group.requests.len();
            group.run(number);
        }
    }
    assert!(requests > 0, "no cases in {folder}");
}
