//! Certificates a second on one core: what a bulk order and a fleet that renews at once cost.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};

/// 2030-01-01, Unix milliseconds
const BEGIN: i64 = 1_893_456_000_000;
const DAY: i64 = 86_400_000;

fn ask(command: &Value) -> Value {
    let answer: Value = serde_json::from_str(&portcullis_pki::run(&command.to_string())).expect("JSON");
    assert_eq!(answer["error"], Value::Null);
    answer
}

fn authority() -> Value {
    let created = ask(&json!({
        "command": "create_authority", "subject": { "common_name": "Devices" }, "key_type": "P-256",
        "not_before": BEGIN, "not_after": BEGIN + 3650 * DAY, "path_length": 0,
    }));
    json!({ "certificate": created["certificate"], "key": created["key"] })
}

fn leaf(issuer: &Value) -> Value {
    json!({
        "command": "issue", "issuer": issuer, "key_type": "P-256",
        "subject": { "common_name": "sensor-1", "organization": "Example" },
        "dns": ["sensor-1.devices.example.com"], "uri": ["spiffe://example.com/sensor-1"], "eku": ["clientAuth"],
        "not_before": BEGIN, "not_after": BEGIN + 90 * DAY,
        "crl_url": "http://pki.example.com/devices.crl", "ocsp_url": "http://pki.example.com/ocsp",
    })
}

fn issue(criterion: &mut Criterion) {
    let issuer = authority();
    let command = leaf(&issuer).to_string();
    criterion.bench_function("a P-256 certificate with a key made here", |bencher| {
        bencher.iter(|| portcullis_pki::run(black_box(&command)));
    });

    let key = rcgen::KeyPair::generate().expect("key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("CSR").pem().expect("PEM");
    let mut of_csr = leaf(&issuer);
    of_csr.as_object_mut().expect("object").remove("key_type");
    of_csr["csr"] = csr.into();
    let of_csr = of_csr.to_string();
    criterion.bench_function("a P-256 certificate from a CSR", |bencher| {
        bencher.iter(|| portcullis_pki::run(black_box(&of_csr)));
    });

    let mut item = leaf(&issuer);
    item.as_object_mut().expect("object").retain(|field, _| field != "issuer" && field != "command");
    let many = json!({ "command": "issue_many", "issuer": issuer, "items": vec![item; 100] }).to_string();
    criterion.bench_function("100 P-256 certificates with keys made here, in one command", |bencher| {
        bencher.iter(|| portcullis_pki::run(black_box(&many)));
    });
}

criterion_group!(benches, issue);
criterion_main!(benches);
