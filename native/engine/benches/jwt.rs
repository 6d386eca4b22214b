//! What a token costs: the first time a thread sees it (`cold`), every time after (`cached`), and a key set when it
//! arrives.
//!
//! `bare` is the work that no verification can do without: the signature check by the same library, with a key that was
//! prepared before. `cold` of ES256 may take 1.15 times that; `cached` of 800 bytes 0.4 us.

use std::hint::black_box;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use portcullis_engine::exchange::Now;
use portcullis_engine::head::Head;
use portcullis_engine::jwt::{Cache, Change, Configuration, KeySets, Kind, Named, Presenting, Revoked};
use portcullis_engine::policy::Jwt;
use serde_json::{Value, json};

/// 2030-01-01
const NOW: u64 = 1_893_456_000;
const TOKEN_BYTES: usize = 800;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// As identity providers write them.
fn claims(padding: usize) -> String {
    json!({
        "iss": "https://login.example.com/realms/customers", "sub": "8f14e45f-ceea-467f-a8d2-6a1c8d1f3b0e",
        "aud": ["orders", "account"], "exp": NOW + 300, "iat": NOW - 10, "nbf": NOW - 10,
        "jti": "c4ca4238-a0b9-4382-8dcc-509a6f75849b", "azp": "shop", "scope": "openid orders:read orders:write",
        "realm_access": { "roles": ["clerk", "user"] }, "email_verified": true, "tenant": "acme",
        "note": "x".repeat(padding),
    })
    .to_string()
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;
/// Of a message and its signature.
type Check = Box<dyn Fn(&[u8], &[u8]) -> bool>;

struct Case {
    algorithm: &'static str,
    jwk: Value,
    sign: Sign,
    bare: Check,
}

fn cases() -> Vec<Case> {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = ec.public_key().as_ref().to_vec();
    let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).unwrap();
    let es256 = Case {
        algorithm: "ES256",
        jwk: json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) }),
        sign: Box::new(move |signed| ec.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()),
        bare: Box::new(move |signed, signature| parsed.verify_sig(signed, signature).is_ok()),
    };
    let ed = Ed25519KeyPair::generate().unwrap();
    let x = ed.public_key().as_ref().to_vec();
    let parsed = ParsedPublicKey::new(&ED25519, &x).unwrap();
    let eddsa = Case {
        algorithm: "EdDSA",
        jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&x) }),
        sign: Box::new(move |signed| ed.sign(signed).as_ref().to_vec()),
        bare: Box::new(move |signed, signature| parsed.verify_sig(signed, signature).is_ok()),
    };
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let components: RsaPublicKeyComponents<Vec<u8>> = rsa.public_key().into();
    let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).unwrap();
    let rs256 = Case {
        algorithm: "RS256",
        jwk: json!({ "kty": "RSA", "n": encode(&components.n), "e": encode(&components.e) }),
        sign: Box::new(move |signed| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
            signature
        }),
        bare: Box::new(move |signed, signature| parsed.verify_sig(signed, signature).is_ok()),
    };
    let secret = [0x5a; 32];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let again = key.clone();
    let hs256 = Case {
        algorithm: "HS256",
        jwk: json!({ "kty": "oct", "k": encode(secret) }),
        sign: Box::new(move |signed| hmac::sign(&again, signed).as_ref().to_vec()),
        bare: Box::new(move |signed, signature| hmac::verify(&key, signed, signature).is_ok()),
    };
    vec![es256, eddsa, rs256, hs256]
}

fn configuration(case: &Case) -> Configuration {
    let mut jwk = case.jwk.clone();
    jwk["kid"] = "2030-01".into();
    let written = Jwt {
        name: "customers".to_owned(),
        issuer: Some("https://login.example.com/realms/customers".to_owned()),
        audiences: vec!["orders".to_owned()],
        algorithms: vec![case.algorithm.to_owned()],
        keys: Some(json!({ "keys": [jwk] }).to_string()),
        skew_s: 60,
        types: vec![String::new(), "jwt".to_owned(), "at+jwt".to_owned()],
        max_lifetime_s: Some(86_400),
        max_bytes: 8192,
        scope_claims: vec!["scope".to_owned()],
        role_claims: vec!["realm_access.roles".to_owned()],
        ..Jwt::default()
    };
    let mut problems = Vec::new();
    let configuration = Configuration::compile(&written, &mut problems);
    assert_eq!(problems, []);
    configuration
}

fn token(case: &Case) -> String {
    let header = encode(json!({ "alg": case.algorithm, "kid": "2030-01", "typ": "at+jwt" }).to_string());
    let of = |padding| {
        let signed = format!("{header}.{}", encode(claims(padding)));
        let signature = encode((case.sign)(signed.as_bytes()));
        format!("{signed}.{signature}")
    };
    let short = of(0);
    of(TOKEN_BYTES.saturating_sub(short.len()) * 3 / 4)
}

fn bench(criterion: &mut Criterion) {
    let head = Head::default();
    let now = Now { mono_us: 0, unix_ms: NOW * 1000 };
    let presenting = Presenting { head: &head, certificate: None, now };
    let mut group = criterion.benchmark_group("jwt");
    for case in cases() {
        let (configuration, raw) = (configuration(&case), token(&case));
        let (signed, signature) = raw.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        println!("{}: a token of {} bytes", case.algorithm, raw.len());
        group.bench_function(format!("{}, bare", case.algorithm), |bencher| {
            bencher.iter(|| assert!((case.bare)(black_box(signed.as_bytes()), &signature)));
        });
        group.bench_function(format!("{}, cold", case.algorithm), |bencher| {
            bencher.iter_batched_ref(
                Cache::default,
                |cache| configuration.verify(black_box(&raw), &presenting, cache).unwrap(),
                BatchSize::SmallInput,
            );
        });
        let algorithm = case.algorithm.parse().unwrap();
        let jwk = serde_json::from_value(case.jwk.clone()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let text = encode(&signature);
        group.bench_function(format!("{}, jsonwebtoken's check alone", case.algorithm), |bencher| {
            bencher
                .iter(|| jsonwebtoken::crypto::verify(&text, black_box(signed.as_bytes()), &key, algorithm).unwrap());
        });
        let mut validation = jsonwebtoken::Validation::new(algorithm);
        validation.set_audience(&["orders"]);
        validation.set_issuer(&["https://login.example.com/realms/customers"]);
        group.bench_function(format!("{}, jsonwebtoken's decode into serde_json", case.algorithm), |bencher| {
            bencher.iter(|| jsonwebtoken::decode::<Value>(black_box(&raw), &key, &validation).unwrap());
        });
        if case.algorithm != "ES256" {
            continue;
        }
        let mut cache = Cache::default();
        group.bench_function("cached", |bencher| {
            bencher.iter(|| configuration.verify(black_box(&raw), &presenting, &mut cache).unwrap());
        });
        // A cache as full as it gets, with tokens of other people.
        let others: Vec<String> = (0..10_000).map(|_| token(&case)).collect();
        for other in &others {
            configuration.verify(other, &presenting, &mut cache).unwrap();
        }
        let mut at = 0;
        group.bench_function("cached, one of 10,000 in turn", |bencher| {
            bencher.iter(|| {
                at = (at + 1) % others.len();
                configuration.verify(black_box(&others[at]), &presenting, &mut cache).unwrap()
            });
        });
        group.bench_function("cached, revocations have changed, a million of them", |bencher| {
            let named = |number: usize| Named {
                configuration: "customers".to_owned(),
                kind: Kind::Jti,
                value: format!("t-{number}"),
                at: 0,
                until: None,
            };
            let million = Change { reset: true, revoked: (0..1_000_000).map(named).collect(), ..Change::default() };
            Revoked::of_process().change(&million, now.unix_ms).unwrap();
            bencher.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    Revoked::of_process().change(&Change::default(), now.unix_ms).unwrap();
                    let start = std::time::Instant::now();
                    black_box(configuration.verify(&raw, &presenting, &mut cache).unwrap());
                    spent += start.elapsed();
                }
                spent
            });
            Revoked::of_process().change(&Change { reset: true, ..Change::default() }, now.unix_ms).unwrap();
        });
        let forged = format!("{signed}.{}", encode([0x11; 64]));
        group.bench_function("ES256, forged", |bencher| {
            bencher.iter(|| configuration.verify(black_box(&forged), &presenting, &mut cache).unwrap_err());
        });
        group.bench_function("nonsense of 800 bytes", |bencher| {
            let nonsense = "a".repeat(TOKEN_BYTES);
            bencher.iter(|| configuration.verify(black_box(&nonsense), &presenting, &mut cache).unwrap_err());
        });
        let keys: Vec<Value> = (0..100)
            .map(|number| {
                let mut jwk = cases().swap_remove(0).jwk;
                jwk["kid"] = format!("k{number}").into();
                jwk
            })
            .collect();
        let set = json!({ "keys": keys }).to_string();
        group.bench_function("a set of 100 keys, loaded again", |bencher| {
            let sets = KeySets::default();
            bencher.iter(|| sets.load("customers", "https://login.example.com/jwks", black_box(&set)).unwrap());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = bench
}
criterion_main!(benches);
