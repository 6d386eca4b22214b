//! What an API key costs: a look-up among a million, and its place in memory. A look-up may take 0.3 us, a key 150 bytes.
//!
//! `sha256` is the bare work that no look-up can do without. Keys are asked in an order that no cache foresees: what a
//! million cost more than a thousand is one access to memory, and `memory` is just that.

mod memory;

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_engine::exchange::Now;
use portcullis_engine::keys::{Change, Keys, PREFIX, Presenting, Secret, Written};

use memory::spread;

/// 2030-01-01
const NOW_MS: u64 = 1_893_456_000_000;
const KEYS: u64 = 1_000_000;
/// So few that a core's cache holds them.
const FEW: u64 = 1_000;
/// Of one change, as the control plane tells them.
const CHUNK: u64 = 10_000;
/// Texts that are asked, 73 MB: more than a core's cache.
const ASKED: u64 = 1 << 20;

/// Ids and secrets are drawn at random: so are these, from their number.
fn id(number: u64) -> String {
    format!("{:012x}", spread(number) & 0xffff_ffff_ffff)
}

fn text(number: u64) -> String {
    let body = format!("{PREFIX}{}_{:043}", id(number), spread(number + 1));
    format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
}

fn written(number: u64) -> Written {
    let hash = digest(&SHA256, text(number).as_bytes());
    let digest = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Written {
        id: id(number),
        secrets: vec![Secret { digest, not_after: None }],
        partner: Some(format!("partner-{}", number % 1_000)),
        scopes: vec!["orders:read".into(), "orders:write".into()],
        expires_at: Some(NOW_MS * 2),
        ..Written::default()
    }
}

fn loaded(count: u64) -> Keys {
    let keys = Keys::default();
    let (before, mut spent) = (memory::held(), 0);
    for first in (0..count).step_by(CHUNK as usize) {
        let change = Change { keys: (first..count.min(first + CHUNK)).map(written).collect(), ..Change::default() };
        let start = Instant::now();
        keys.change(&change).unwrap();
        spent += start.elapsed().as_millis();
    }
    keys.change(&Change { ready: true, ..Change::default() }).unwrap();
    let held = memory::held() - before;
    let figures = keys.figures();
    println!(
        "{count} keys: {} bytes each, {} by their own count; loaded in {spent} ms",
        held as u64 / count,
        figures.bytes as u64 / count
    );
    assert_eq!(figures.keys as u64, count);
    assert!(count < KEYS || held as u64 <= 150 * count);
    keys
}

fn bench(criterion: &mut Criterion) {
    let (keys, few) = (loaded(KEYS), loaded(FEW));
    let now = Now { mono_us: 0, unix_ms: NOW_MS };
    let address = IpAddr::from([192, 0, 2, 1]);
    let presenting = Presenting { host: "api.example.com", address, certificate: None, now };
    let texts = |of: &dyn Fn(u64) -> u64| -> Vec<String> { (0..ASKED).map(|number| text(of(number))).collect() };
    let known = texts(&|number| spread(number) % KEYS);
    let known_few = texts(&|number| spread(number) % FEW);
    let unknown = texts(&|number| KEYS + 1 + number);
    let mistyped: Vec<String> = known.iter().map(|key| key.replace("_0000", "_0O00")).collect();

    let mut group = criterion.benchmark_group("keys");
    group.bench_function("sha256", |bencher| bencher.iter(|| digest(&SHA256, black_box(known[0].as_bytes()))));
    memory::walk(&mut group);
    for (name, keys, texts) in [
        ("of a thousand, known", &few, &known_few),
        ("of a million, known", &keys, &known),
        ("of a million, unknown", &keys, &unknown),
        ("of a million, mistyped", &keys, &mistyped),
    ] {
        let mut next = 0;
        group.bench_function(format!("verify, {name}"), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % texts.len();
                keys.verify(black_box(&texts[next]), None, &presenting).is_ok()
            });
        });
    }
    let key = keys.verify(&known[0], None, &presenting).unwrap();
    group.bench_function("counts", |bencher| bencher.iter(|| keys.counts(black_box(&key), now)));
    let mut next = 0;
    group.bench_function("verify, of a million, while another thread does", |bencher| {
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut next = 0;
                while !done.load(Ordering::Relaxed) {
                    next = (next + 7) % known.len();
                    black_box(keys.verify(&known[next], None, &presenting).is_ok());
                }
            });
            bencher.iter(|| {
                next = (next + 1) % known.len();
                keys.verify(black_box(&known[next]), None, &presenting).is_ok()
            });
            done.store(true, Ordering::Relaxed);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = bench
}
criterion_main!(benches);
