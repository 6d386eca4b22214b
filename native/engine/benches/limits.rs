//! What a counter costs: one take among a million keys, and its place in memory. A take may take 150 ns, a key 64 bytes,
//! a note of who asked 100 ns.
//!
//! Keys are asked in an order that no cache foresees; `memory` is one access of that kind.

mod memory;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use portcullis_engine::limits::volume::{Asked, Method, Volumes};
use portcullis_engine::limits::{Counters, Key, Quota, Taken};
use portcullis_engine::meters;
use portcullis_engine::policy::Algorithm;

use memory::spread;

const KEYS: u64 = 1_000_000;
/// As many as are taken when nobody says how many.
const ENTRIES: u64 = 1_048_576;
/// Keys that are asked, 16 MB, in the order they stand in.
const ASKED: u64 = 1 << 20;
/// That two threads ask at once.
const HOT: u64 = 4;
const MINUTE_US: u64 = 60_000_000;

/// Keys are hashes: so are these, of their number.
fn key(number: u64) -> Key {
    let half = |number: u64| {
        let mixed = spread(number);
        mixed ^ mixed >> 32
    };
    Key([half(number), half(!number)])
}

fn keys(of: impl Fn(u64) -> u64) -> Vec<Key> {
    (0..ASKED).map(|number| key(of(number))).collect()
}

/// Of which nothing becomes idle while a benchmark runs.
fn quota(algorithm: Algorithm) -> Quota {
    Quota { algorithm, amount: 2_000_000, period_us: 60 * MINUTE_US, burst: 2_000_000, penalty_us: 0 }
}

fn loaded(quota: &Quota) -> Counters {
    let before = memory::held();
    let counters = Counters::new(ENTRIES);
    for number in 0..KEYS {
        let taken = counters.take(key(number), quota, 1_000, MINUTE_US);
        assert!(matches!(taken, Taken::Admitted { .. }), "{number}: {taken:?}");
        counters.refused(key(number), "logins", || Some("192.0.2.1".to_owned()));
    }
    let each = (memory::held() - before) as f64 / KEYS as f64;
    println!("{KEYS} keys, {:?}: {each:.1} bytes each", quota.algorithm);
    assert_eq!(counters.stats().entries, KEYS);
    assert!(each <= 64.0);
    counters
}

fn takes(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, counters: &Counters, quota: &Quota, keys: &[Key]) {
    let (mut next, mut now_us) = (0, MINUTE_US);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            next = if next + 1 == keys.len() { 0 } else { next + 1 };
            now_us += 1;
            counters.take(black_box(keys[next]), quota, 1, now_us)
        });
    });
}

/// The same while another thread asks for `others`.
fn beside(others: &[Key], counters: &Counters, quota: &Quota, run: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (number, &key) in others.iter().cycle().enumerate() {
                black_box(counters.take(key, quota, 1, MINUTE_US + number as u64));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        run();
        done.store(true, Ordering::Relaxed);
    });
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits");
    memory::walk(&mut group);
    let one = keys(|_| 1);
    let hot = keys(|number| number % HOT);
    let random = keys(|number| key(number).0[0] % KEYS);
    let unknown = keys(|number| KEYS + number);
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
        let quota = quota(algorithm);
        let counters = loaded(&quota);
        takes(&mut group, &format!("take, {algorithm:?}, one key"), &counters, &quota, &one);
        takes(&mut group, &format!("take, {algorithm:?}, of a million"), &counters, &quota, &random);
        beside(&hot, &counters, &quota, || {
            takes(&mut group, &format!("take, {algorithm:?}, hot, while another thread does"), &counters, &quota, &hot);
        });
        beside(&random, &counters, &quota, || {
            let name = format!("take, {algorithm:?}, of a million, while another thread does");
            takes(&mut group, &name, &counters, &quota, &random);
        });
        // The places that are left are taken at once: from then on none is idle.
        takes(&mut group, &format!("take, {algorithm:?}, new, table full"), &counters, &quota, &unknown);
    }
    let quota = quota(Algorithm::Gcra);
    let counters = Counters::new(ENTRIES);
    let (mut next, mut now_us) = (0, MINUTE_US);
    group.bench_function("take, new, others idle", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % unknown.len();
            now_us += 1_000;
            counters.take(black_box(unknown[next]), &quota, 1, now_us)
        });
    });
    group.bench_function("refused, of many", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % random.len();
            counters.refused(black_box(random[next]), "logins", || None);
        });
    });
    group.bench_function("is exempt, of none", |bencher| bencher.iter(|| counters.is_exempt(black_box(one[0]), 1)));
    volumes(&mut group, &random);
    group.finish();
}

fn volumes(group: &mut BenchmarkGroup<'_, WallTime>, random: &[Key]) {
    let volumes = Volumes::default();
    let recorder = volumes.recorder();
    let operation = meters::operation_series("api.example.com", "op1");
    for (name, sessions) in [("note, a thousand sessions", 1_000), ("note, a million sessions", random.len())] {
        let mut next = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                next = (next + 1) % sessions;
                recorder.note(Asked {
                    operation,
                    who: random[next].bytes(),
                    anonymous: false,
                    method: Method::of(black_box("GET")),
                    status: 200,
                    second: 1_200_000 + next as u64 / 10_000,
                });
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = bench
}
criterion_main!(benches);
