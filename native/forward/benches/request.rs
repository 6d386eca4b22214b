//! What a request costs the processor before and behind its system calls.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_engine::head::{Framing, Head};
use portcullis_engine::policy::CredentialLocation;
use portcullis_forward::request::{Forwarded, write_head};

/// What a browser-like API client sends.
const TEXT: &str = "GET /api/v1/orders/12345?expand=lines&limit=50\nhost:api.example.com\nuser-agent:Mozilla/5.0 (X11; \
Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\naccept:application/json\n\
accept-encoding:gzip, deflate, br\naccept-language:en-US,en;q=0.9\nauthorization:Bearer \
eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl\nconnection:keep-alive\n\
cookie:session=0123456789abcdef0123456789abcdef";

fn heads(criterion: &mut Criterion) {
    let mut head = Head::default();
    head.parse_text(TEXT).unwrap();
    let certificate = format!("client-cert: :{}:\r\n", "A".repeat(1_100));
    let forwarded = Forwarded {
        peer: "192.0.2.7",
        proto: "https",
        request_id: "01JC5M3V7Q8XK2Z9YTRWB4N6HD",
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        certificate: "cf-client-cert-sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\r\n",
        caller: "",
        told: &[],
        stripped: &[],
        call: None,
        body: Framing::None,
    };
    let mut out = Vec::new();
    criterion.bench_function("write_head, 8 fields", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_head(&mut out, black_box(&head), &forwarded);
        });
    });
    let forwarded = Forwarded { certificate: &certificate, ..forwarded };
    criterion.bench_function("write_head, 8 fields and a certificate", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_head(&mut out, black_box(&head), &forwarded);
        });
    });
    let told = ["x-user-id".to_owned(), "x-partner".to_owned()];
    let stripped = [CredentialLocation::Header { name: "authorization".to_owned(), scheme: Some("Bearer".to_owned()) }];
    let caller = "x-user-id: 1234567890\r\nx-partner: acme\r\n";
    let forwarded = Forwarded { certificate: "", caller, told: &told, stripped: &stripped.each_ref(), ..forwarded };
    criterion.bench_function("write_head, 8 fields and who calls", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_head(&mut out, black_box(&head), &forwarded);
        });
    });
}

criterion_group!(benches, heads);
criterion_main!(benches);
