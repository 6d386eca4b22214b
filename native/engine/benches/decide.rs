//! What one request costs the engine: head text in, verdict out, 20 rules, 50 operations, a verified certificate, with
//! and without a token that is required.
//!
//! `cargo bench --profile release -p portcullis-engine --bench decide`

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_engine::decide::{self, Known, Outcome, Tally};
use portcullis_engine::event::{self, Ending};
use portcullis_engine::exchange::{Exchange, Now};
use portcullis_engine::jwt;
use portcullis_engine::mtls::Certificate;
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

/// An authority's certificate and one client's that it issued, PEM.
fn pki() -> (String, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let mut client = CertificateParams::new(Vec::new()).unwrap();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (ca_pem, client.signed_by(&key, &issuer).unwrap().pem())
}

/// Who signs tokens, and for how long: the JWK's secret.
const SECRET: [u8; 32] = [0x5a; 32];

/// A token of the usual size that the policy's configuration accepts.
fn token(now: u64) -> String {
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({ "alg": "HS256", "kid": "2030-01", "typ": "at+jwt" }));
    let claims = encode(json!({
        "iss": "https://login.example.com/realms/customers", "aud": "orders", "sub": "b2f0c7d4-6a51-4f4e-9d0b-6f2f1f0c7d4a",
        "iat": now - 60, "exp": now + 3600, "jti": "0f9d2f6e-5e0c-4a57-8f0a-3f6e5e0c4a57", "azp": "orders-web",
        "scope": "orders:read orders:write profile", "realm_access": { "roles": ["clerk", "viewer"] },
    }));
    let signed = format!("{header}.{claims}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// What is asked of callers: every operation requires a token with a scope.
fn callers(policy: &mut Policy, beside: serde_json::Value) {
    let jwk = json!({ "kty": "oct", "kid": "2030-01", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    policy.jwt = serde_json::from_value(json!([{
        "name": "customers", "issuer": "https://login.example.com/realms/customers", "audiences": ["orders"],
        "algorithms": ["HS256"], "keys": json!({ "keys": [jwk] }).to_string(),
        "locations": [{ "in": "header", "name": "authorization", "scheme": "Bearer" }],
        "skew_s": 60, "types": ["", "jwt", "at+jwt"], "max_lifetime_s": 86_400, "max_bytes": 8192,
        "scope_claims": ["scope"], "role_claims": ["realm_access.roles"],
    }]))
    .unwrap();
    let need = json!({ "kind": "jwt", "configurations": ["customers"], "scopes": ["orders:read"] });
    let requirement = json!({ "realm": "api", "any": [[need]] });
    let mut credentials = json!({
        "jwt": ["customers"],
        "keys": [{ "in": "header", "name": "x-api-key" }, { "in": "header", "name": "authorization", "scheme": "Bearer" }],
        "unmatched": requirement,
        "operations": vec![requirement.clone(); 50],
    });
    for (name, value) in beside.as_object().unwrap() {
        credentials[name] = value.clone();
    }
    policy.hosts[0].credentials = Some(serde_json::from_value(credentials).unwrap());
}

fn policy(ca: &str, rules: usize) -> Policy {
    let rules: Vec<_> = (0..rules)
        .map(|n| {
            let expression = match n % 4 {
                0 => format!(r#"http.host eq "internal-{n}.example" and http.request.uri.path eq "/admin/{n}""#),
                1 => format!(r#"http.request.method eq "DELETE" and starts_with(http.request.uri.path, "/v{n}/")"#),
                2 => format!("ip.src in {{10.{}.{}.0/24 192.0.2.{}}}", n / 250 % 250, n % 250, n % 250),
                _ => format!(r#"http.request.uri.path eq "/legacy/{n}" or http.request.uri.path eq "/old/{n}""#),
            };
            json!({ "name": format!("rule-{n}"), "at": "", "expression": expression, "action": "block" })
        })
        .collect();
    let operations: Vec<_> = (0..50)
        .map(|n| match n {
            0 => json!({ "id": "getOrder", "at": "", "method": "GET", "path": "/orders/{id}", "parameters": [
                { "name": "id", "location": "path", "required": true, "style": "simple", "schema": "id" },
                { "name": "expand", "location": "query", "style": "form", "explode": true, "schema": "expand" },
            ] }),
            _ => json!({ "id": format!("op{n}"), "at": "", "method": "GET", "path": format!("/resource{n}/{{id}}/items/{{item}}") }),
        })
        .collect();
    serde_json::from_value(json!({
        "authorities": [{ "name": "devices", "at": "", "certificates": ca }],
        "rules": rules,
        "origins": [{ "addresses": ["127.0.0.1:3000"], "connections": 64, "connect_timeout_ms": 1, "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "hosts": [{
            "name": "localhost", "at": "", "origin": 0, "max_body_bytes": 1_048_576,
            "mtls": { "mode": "require", "trust": ["devices"] },
            "openapi": {
                "action": "block", "fallthrough": "block", "operations": operations,
                "schema": { "properties": { "id": { "type": "integer", "minimum": 1 }, "expand": { "enum": ["lines"] } } },
            },
        }],
    }))
    .unwrap()
}

/// What is measured is what passes.
fn limit(name: &str, characteristic: &str) -> Value {
    json!({ "name": name, "amount": 1_000_000_000_000u64, "period_ms": 1000,
        "characteristics": [{ "at": "", "expression": characteristic }] })
}

fn head(token: &str) -> String {
    let mut head = String::from("GET /orders/4711?expand=lines\nhost:localhost:8443\n");
    for (name, value) in [
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
        ),
        ("accept", "application/json, text/plain, */*"),
        ("accept-encoding", "gzip, deflate, br"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
        ("authorization", &format!("Bearer {token}")),
        ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
        ("x-client-version", "3.14.1"),
    ] {
        let _ = writeln!(head, "{name}:{value}");
    }
    head
}

fn bench(criterion: &mut Criterion) {
    let (ca, client) = pki();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let address: IpAddr = "192.0.2.77".parse().unwrap();
    let peer = Peer::new(address, Some(Rc::new(Known::new(Arc::new(Certificate::from_pem(&client))))));
    let head = head(&token(now));
    let mut tally = Tally::default();
    let mut tokens = jwt::Cache::default();
    let mut exchange = Exchange::default();
    let id = "0123456789abcdef0123456789abcdef";
    let mut passes = |name: &str, policy: &Policy| {
        let snapshot = Arc::new(Snapshot::compile(policy, now, 1).unwrap());
        let mut started = Now { mono_us: 1, unix_ms: now * 1000 };
        let mut decided = || {
            // Of requests that all came at one time, limits would refuse some.
            started.mono_us += 1;
            exchange.head.buffer().push_str(black_box(&head));
            exchange.begin(started, id);
            let malformed = exchange.head.parse().err();
            decide::decide(&mut exchange, &snapshot, &peer, malformed, &mut tally, &mut tokens)
        };
        assert_eq!(decided(), Outcome::Pass);
        criterion.bench_function(&format!("decide, {name}"), |bencher| bencher.iter(&mut decided));
    };
    for rules in [20, 10_000] {
        passes(&format!("{rules} rules"), &policy(&ca, rules));
    }
    for (name, beside) in [
        ("a cached token", json!({})),
        ("a cached token, claims told", json!({ "claims": [{ "header": "x-user-id", "claim": "sub" }] })),
        ("a cached token, session by its subject", json!({ "session": [{ "by": "jwt", "claim": "sub" }] })),
    ] {
        let mut policy = policy(&ca, 20);
        callers(&mut policy, beside);
        passes(&format!("20 rules, {name}"), &policy);
    }
    let mut limited = policy(&ca, 20);
    limited.limits.rules = serde_json::from_value(json!([
        limit("address", "ip.src"),
        limit("client", "cf.tls_client_auth.cert_fingerprint_sha256"),
        limit("operation", "portcullis.operation"),
    ]))
    .unwrap();
    passes("20 rules, three limits", &limited);
    criterion.bench_function("parse the head", |bencher| {
        bencher.iter(|| exchange.head.parse_text(black_box(&head)));
    });
    let mut line = Vec::with_capacity(4096);
    let mut dates = event::Dates::default();
    criterion.bench_function("event line", |bencher| {
        bencher.iter(|| {
            line.clear();
            event::write(
                &mut line,
                &mut dates,
                &exchange,
                &peer,
                &Ending { status: 200, body_bytes: 142, ended_us: 900 },
            );
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2));
    targets = bench
}
criterion_main!(benches);
