//! test/corpus/credentials/requests: a host's part of the policy, requests with credentials that are made at run time, and
//! what becomes of them.

use std::collections::HashMap;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::decide::{self, Known, Outcome, Tally};
use crate::exchange::{Exchange, Now};
use crate::jwt;
use crate::keys::{self, Keys};
use crate::mtls::Certificate;
use crate::peer::Peer;
use crate::policy::{self, Policy, Problem};
use crate::snapshot::Snapshot;

/// 2030-01-01
pub(super) const NOW: u64 = 1_893_456_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Corpus {
    #[serde(rename = "description")]
    _description: String,
    /// Token configurations; their keys are made at run time.
    #[serde(default)]
    jwt: Vec<Value>,
    /// API keys by the names that requests use.
    #[serde(default)]
    keys: HashMap<String, Value>,
    /// The host's `credentials`, as the policy has them.
    credentials: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    name: String,
    /// In place of the host's `unmatched.any`.
    require: Option<Value>,
    action: Option<String>,
    /// Lines with `{token:NAME}`, `{key:NAME}`, `{id:NAME}` and `{basic:NAME}` in them.
    request: Vec<String>,
    #[serde(default)]
    tokens: HashMap<String, Signed>,
    /// A verified client certificate comes along.
    #[serde(default)]
    certificate: bool,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    by: String,
    #[serde(default = "five_minutes")]
    expires_in: i64,
    #[serde(default)]
    claims: serde_json::Map<String, Value>,
}

fn five_minutes() -> i64 {
    300
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    /// None: it passes.
    reason: Option<String>,
    /// Recorded and let through.
    logged: Vec<String>,
    status: Option<u16>,
    /// Values of WWW-Authenticate; None: whatever.
    challenges: Option<Vec<String>>,
    /// Lines that tell the origin who calls.
    told: Vec<String>,
    /// Names of cookies, headers and parameters that stay behind.
    stripped: Vec<String>,
    /// Whether something was presented, whatever it is worth.
    presented: Option<bool>,
}

/// What is made at run time.
pub(super) struct Made {
    signers: HashMap<String, EcdsaKeyPair>,
    keys: HashMap<String, (String, String)>,
    ca: String,
    client: Rc<Known>,
}

impl Made {
    pub(super) fn of(corpus: &Corpus) -> Made {
        let named = corpus.jwt.iter().map(|written| written["name"].as_str().unwrap().to_owned());
        let signers = named.map(|name| (name, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()));
        let mut written = Vec::new();
        let keys = corpus.keys.iter().map(|(name, fields)| {
            let mut random = [0; 22];
            aws_lc_rs::rand::fill(&mut random).unwrap();
            let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            let id = &hex[..12];
            let body = format!("pck_{id}_{}", &format!("{hex:0<43}")[..43]);
            let key = format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()));
            let mut fields = fields.clone();
            let sha256: String = digest(&SHA256, key.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
            fields["id"] = json!(id);
            fields["secrets"] = json!([{ "digest": sha256 }]);
            written.push(serde_json::from_value::<keys::Written>(fields).unwrap());
            (name.clone(), (id.to_owned(), key))
        });
        let keys = keys.collect();
        Keys::of_process().change(&keys::Change { keys: written, ready: true, ..keys::Change::default() }).unwrap();
        let (ca, client) = pki();
        let client = Rc::new(Known::new(Arc::new(Certificate::from_pem(&client))));
        Made { signers: signers.collect(), keys, ca, client }
    }

    fn token(&self, Signed { by, expires_in, claims }: &Signed) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut claims = claims.clone();
        claims.entry("exp").or_insert(json!(NOW.cast_signed() + expires_in));
        let signed = format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": by })), encode(&Value::Object(claims)));
        let signature = self.signers[by].sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn policy(&self, corpus: &Corpus, case: &Case) -> Policy {
        let jwt: Vec<Value> = corpus
            .jwt
            .iter()
            .map(|written| {
                let name = written["name"].as_str().unwrap();
                let point = &self.signers[name].public_key().as_ref()[1..];
                let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
                let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": name, "x": x, "y": y });
                let mut written = written.clone();
                let fields = written.as_object_mut().unwrap();
                for (field, value) in [
                    ("keys", json!(json!({ "keys": [jwk] }).to_string())),
                    ("algorithms", json!(["ES256"])),
                    ("max_bytes", json!(8192)),
                    ("scope_claims", json!(["scope"])),
                    ("role_claims", json!(["roles"])),
                    ("locations", json!([{ "in": "header", "name": "authorization", "scheme": "Bearer" }])),
                ] {
                    fields.entry(field).or_insert(value);
                }
                written
            })
            .collect();
        let mut credentials = corpus.credentials.clone();
        credentials["at"] = json!("/hosts/a/credentials");
        if let Some(any) = &case.require {
            credentials["unmatched"]["any"] = any.clone();
        }
        if let Some(action) = &case.action {
            credentials["unmatched"]["action"] = json!(action);
        }
        serde_json::from_value(json!({
            "authorities": [{ "name": "devices", "at": "", "certificates": self.ca }],
            "jwt": jwt,
            "origins": [{ "addresses": ["127.0.0.1:3000"], "connections": 1, "connect_timeout_ms": 1, "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
            "hosts": [{
                "name": "a", "at": "/hosts/a", "origin": 0, "max_body_bytes": 0,
                "mtls": { "mode": "request", "trust": ["devices"] },
                "credentials": credentials,
            }],
        }))
        .unwrap()
    }

    /// The head as a front door hands it over.
    fn head(&self, case: &Case) -> String {
        let mut text = case.request.join("\n");
        for (name, signed) in &case.tokens {
            text = text.replace(&format!("{{token:{name}}}"), &self.token(signed));
        }
        for (name, (id, key)) in &self.keys {
            text = text.replace(&format!("{{key:{name}}}"), key).replace(&format!("{{id:{name}}}"), id);
            text = text.replace(&format!("{{basic:{name}}}"), &STANDARD.encode(format!("{id}:{key}")));
        }
        assert!(!text.contains("{token:") && !text.contains("{key:"), "{}: {text}", case.name);
        let (line, fields) =
            text.split_once('\n').map_or((&*text, String::new()), |(line, rest)| (line, format!("{rest}\n")));
        format!("{line}\nhost:a\n{fields}")
    }
}

/// An authority's certificate and one client's that it issued, PEM.
fn pki() -> (String, String) {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = ca.self_signed(&key).unwrap().pem();
    let mut client = CertificateParams::new(Vec::new()).unwrap();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let issuer = Issuer::new(ca, key);
    (pem, client.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem())
}

/// A request that was decided.
pub(super) struct Decided {
    pub(super) exchange: Exchange,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) peer: Peer,
    outcome: Outcome,
}

impl Made {
    pub(super) fn decide(&self, corpus: &Corpus, case: &Case) -> Result<Decided, Vec<Problem>> {
        let snapshot = Arc::new(Snapshot::compile(&self.policy(corpus, case), NOW, 1)?);
        let peer = Peer::new("192.0.2.7".parse().unwrap(), case.certificate.then(|| self.client.clone()));
        let mut exchange = Exchange::default();
        let malformed = exchange.head.parse_text(&self.head(case)).err();
        let (mut tally, mut tokens, mut outcome) = (Tally::default(), jwt::Cache::default(), Outcome::Deny);
        // Twice: the second time, what is kept is used.
        for _ in 0..2 {
            exchange.begin(Now { mono_us: 1, unix_ms: NOW * 1000 }, "0123456789abcdef0123456789abcdef");
            outcome = decide::decide(&mut exchange, &snapshot, &peer, malformed, &mut tally, &mut tokens);
        }
        Ok(Decided { exchange, snapshot, peer, outcome })
    }
}

/// What is not as it is expected.
fn run(corpus: &Corpus, made: &Made, case: &Case) -> Vec<String> {
    let Decided { mut exchange, peer, outcome, .. } = match made.decide(corpus, case) {
        Ok(decided) => decided,
        Err(problems) => return vec![format!("{problems:?}")],
    };
    let mut wrong = Vec::new();
    let mut same = |what: &str, found: Value, expected: Value| {
        if found != expected {
            wrong.push(format!("{what}: {found}, not {expected}"));
        }
    };
    let Expected { reason, logged, status, challenges, told, stripped, presented } = &case.expect;
    same("reason", json!(exchange.denial.as_ref().map(|denial| denial.reason.id())), json!(reason));
    same("denied", json!(outcome != Outcome::Pass), json!(reason.is_some()));
    let ids: Vec<_> = exchange.logged.iter().map(|denial| denial.reason.id()).collect();
    same("logged", json!(ids), json!(logged));
    if let Some(presented) = presented {
        same("presented", json!(exchange.caller.presented), json!(presented));
    }
    if let Some(denial) = exchange.denial.take() {
        let mut answer = Answer::default();
        answer.render(&exchange, &denial);
        let sent = answer.fields.split("\r\n").filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
        let sent: Vec<_> = sent.collect();
        if let Some(challenges) = challenges {
            same("challenges", json!(sent), json!(challenges));
        }
        same("status", json!(answer.status), json!(status.unwrap_or(answer.status)));
        // RFC 9110, 15.5.2.
        same("401 without a challenge", json!(answer.status == 401 && sent.is_empty()), json!(false));
    } else {
        let lines = decide::told(&exchange, &peer);
        same("told", json!(lines.caller().split_terminator("\r\n").collect::<Vec<_>>()), json!(told));
        let names: Vec<&str> = lines.stripped().iter().flat_map(|place| names(place)).collect();
        same("stripped", json!(names), json!(stripped));
    }
    wrong
}

fn names(place: &policy::CredentialLocation) -> Vec<&str> {
    use policy::CredentialLocation::{Basic, Cookie, Header, Pair, Query};
    match place {
        Header { name, .. } | Cookie { name } | Query { name } => vec![name],
        Pair { id, secret } => vec![id, secret],
        Basic => vec!["authorization"],
    }
}

#[test]
fn every_request_of_the_corpus_gets_its_verdict() {
    let folder = format!("{}/../../test/corpus/credentials/requests", env!("CARGO_MANIFEST_DIR"));
    let (mut ran, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let corpus: Corpus = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let made = Made::of(&corpus);
        for case in &corpus.cases {
            wrong.extend(run(&corpus, &made, case).into_iter().map(|what| format!("{}: {what}", case.name)));
            ran += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran > 100, "the corpus was read");
}
