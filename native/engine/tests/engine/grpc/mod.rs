//! test/corpus/grpc: descriptors, and calls with what becomes of their messages.

mod calls;
mod oracle;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine as _;
use portcullis_engine::decide::{self, Messages, Outcome, Tally};
use portcullis_engine::exchange::{Denial, Exchange, Now};
use portcullis_engine::grpc::{Sources, compile};
use portcullis_engine::jwt::Cache;
use portcullis_engine::peer::Peer;
use portcullis_engine::snapshot::Snapshot;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Deserialize;
use serde_json::{Value, json};

/// 2030-01-01
const NOW: Now = Now { mono_us: 1_000_000, unix_ms: 1_893_456_000_000 };

/// The descriptors of one `.proto` file, `a.proto`.
pub fn descriptors(proto: &str) -> Vec<u8> {
    let texts = vec![("a.proto".to_owned(), proto.to_owned())];
    compile(Sources { files: vec!["a.proto".to_owned()], texts }).expect("a .proto that compiles")
}

/// A policy of one host with these descriptors; `grpc`: what else its section says.
pub fn policy(set: &[u8], grpc: &Value, beside: &Value) -> Value {
    let described = portcullis_engine::grpc::read(set).expect("descriptors");
    let operations: Vec<Value> =
        described.model.methods.iter().map(|method| json!({ "path": method.path, "at": "" })).collect();
    let mut written = json!({
        "at": "/hosts/a/grpc", "descriptors": base64::engine::general_purpose::STANDARD.encode(set),
        "max_message_bytes": 4096, "max_depth": 8, "max_fields": 1000, "operations": operations,
    });
    merge(&mut written, grpc);
    let mut policy = json!({
        "session_key": "0".repeat(64),
        "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1,
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "hosts": [{ "name": "a", "at": "/hosts/a", "origin": 0, "mtls": { "mode": "off" }, "max_body_bytes": 100_000,
            "grpc": written }],
    });
    merge(&mut policy, beside);
    policy
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

pub fn snapshot(policy: Value) -> Arc<Snapshot> {
    let policy = serde_json::from_value(policy).expect("a policy");
    Arc::new(Snapshot::compile(&policy, NOW.unix_ms / 1000, 1).unwrap_or_else(|problems| panic!("{problems:?}")))
}

/// The head of a call, as the door gives it.
pub fn head(path: &str, more: &str) -> String {
    format!("POST {path}\nhost:a\ncontent-type:application/grpc\ntransfer-encoding:chunked\nte:trailers\n{more}")
}

/// A message with its prefix.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend((message.len() as u32).to_be_bytes());
    out.extend(message);
    out
}

/// One call through the engine, as a door walks it.
pub struct Walk {
    pub exchange: Exchange,
    pub peer: Peer,
    /// What went on to the origin.
    pub on: Vec<u8>,
    waits: bool,
}

impl Walk {
    pub fn begin(snapshot: &Arc<Snapshot>, head: &str) -> (Walk, Outcome) {
        let mut exchange = Exchange::default();
        exchange.begin(NOW, "0123456789abcdef0123456789abcdef");
        let malformed = exchange.head.parse_text(head).err();
        let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None);
        let outcome =
            decide::decide(&mut exchange, snapshot, &peer, malformed, &mut Tally::default(), &mut Cache::default());
        (Walk { exchange, peer, on: Vec::new(), waits: outcome == Outcome::Inspect }, outcome)
    }

    /// A piece of the body; the denial if there is one.
    pub fn piece(&mut self, piece: &[u8], last: bool) -> Result<(), Denial> {
        let denied = |exchange: &mut Exchange| exchange.denial.clone().expect("a denial");
        if self.waits {
            match decide::first_messages(&mut self.exchange, &self.peer, piece, last, &mut self.on) {
                Outcome::Inspect => {}
                Outcome::Pass => self.waits = false,
                Outcome::Deny => return Err(denied(&mut self.exchange)),
                other => panic!("{other:?}"),
            }
            return Ok(());
        }
        match decide::messages(&mut self.exchange, &self.peer, piece, last) {
            Messages::On(from, to) => {
                self.on.extend_from_slice(self.exchange.call.as_ref().map_or(&[], |call| call.whole()));
                self.on.extend_from_slice(&piece[from..to]);
                Ok(())
            }
            Messages::Deny => Err(denied(&mut self.exchange)),
        }
    }

    pub fn reason(&self, denial: &Denial) -> String {
        self.exchange.reason_id(denial)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    /// Text of a `.proto` file, in lines.
    proto: Vec<String>,
    /// Beside the descriptors.
    #[serde(default)]
    grpc: Value,
    /// Beside the host.
    #[serde(default)]
    policy: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `/package.Service/Method`
    path: String,
    /// In the JSON of Protocol Buffers.
    #[serde(default)]
    message: Option<Value>,
    /// Instead: bytes, in hex.
    #[serde(default)]
    bytes: Option<String>,
    /// `pass`, or the reason's id.
    expect: String,
    /// The field that is named.
    #[serde(default)]
    at: Option<String>,
    /// Reasons that are recorded.
    #[serde(default)]
    logged: Vec<String>,
}

#[test]
fn messages_are_as_they_are_described() {
    let folder = format!("{}/../../test/corpus/grpc/messages", env!("CARGO_MANIFEST_DIR"));
    let mut ran = 0;
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let groups: Vec<Group> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for group in groups {
            ran += run(&group);
        }
    }
    assert!(ran > 50, "the corpus was read: {ran}");
}

fn run(group: &Group) -> usize {
    let set = descriptors(&group.proto.join("\n"));
    let pool = DescriptorPool::decode(&set[..]).unwrap();
    let snapshot = snapshot(policy(&set, &group.grpc, &group.policy));
    for case in &group.cases {
        let name = format!("{}: {}", group.name, case.name);
        let bytes = match (&case.message, &case.bytes) {
            (Some(message), None) => {
                let (service, method) = case.path[1..].split_once('/').unwrap();
                let service = pool.get_service_by_name(service).expect(&name);
                let input = service.methods().find(|known| known.name() == method).expect(&name).input();
                DynamicMessage::deserialize(input, message.clone()).expect(&name).encode_to_vec()
            }
            (None, Some(hex)) => unhex(hex),
            _ => Vec::new(),
        };
        let (mut walk, outcome) = Walk::begin(&snapshot, &head(&case.path, ""));
        let result = match outcome {
            Outcome::Deny => Err(walk.exchange.denial.clone().unwrap()),
            _ => walk.piece(&framed(&bytes), true),
        };
        let found = result.as_ref().map_or_else(|denial| walk.reason(denial), |()| "pass".to_owned());
        let errors = result.as_ref().err().map(|denial| &denial.errors[..]).unwrap_or_default();
        assert_eq!(found, case.expect, "{name}: {errors:?}");
        if let Some(at) = &case.at {
            assert_eq!(errors.first().map(|error| &error.pointer), Some(at), "{name}: {errors:?}");
        }
        let logged: Vec<String> = walk.exchange.logged.iter().map(|denial| walk.reason(denial)).collect();
        assert_eq!(logged, case.logged, "{name}");
        if result.is_ok() && outcome != Outcome::Deny && walk.exchange.call.is_some() {
            assert_eq!(walk.on, framed(&bytes), "{name}: what passes goes on as it is");
        } else if result.is_err() {
            assert!(walk.on.is_empty(), "{name}: nothing of what is refused goes on");
        }
    }
    group.cases.len()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}
