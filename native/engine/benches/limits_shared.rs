//! What limits of a fleet cost at this node: a question written into its call and its answer read, and a request paid
//! from a lease, which may take 150 ns.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis_engine::limits::shared::{Ask, Asking, Fleet, Waiter};
use portcullis_engine::limits::{Counters, Key, Quota};
use portcullis_engine::policy::{Algorithm, Fallback, Sharing, SharingMode};

/// Of a turn.
const EXCHANGES: u32 = 64;
const KEYS: u64 = 100_000;

fn ask(mode: SharingMode, number: u64) -> Ask {
    let spread = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Ask {
        rule: 0,
        key: Key([spread, spread.rotate_left(29) ^ number]),
        quota: Quota {
            algorithm: Algorithm::Gcra,
            amount: 1 << 40,
            period_us: 1_000_000,
            burst: 1 << 40,
            penalty_us: 0,
        },
        cost: 1,
        peek: false,
        delay_us: 0,
        sharing: Sharing { mode, fallback: Fallback::Local, advance: 1 << 39 },
    }
}

fn fleet() -> &'static Fleet {
    Box::leak(Box::new(Fleet::new(2 * KEYS, Counters::of_process(1 << 20))))
}

/// All admitted.
fn reply(records: usize) -> Vec<u8> {
    let words = [2.0_f64, 1.0].into_iter().chain((0..records).flat_map(|_| [0.0, 9.0, 100.0]));
    words.flat_map(f64::to_le_bytes).collect()
}

fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits_shared");
    for asks in [1_usize, 3] {
        let mut asking = Asking::new(fleet());
        let asked: Vec<Vec<Ask>> = (0..u64::from(EXCHANGES))
            .map(|exchange| (0..asks as u64).map(|n| ask(SharingMode::Strict, exchange * 8 + n)).collect())
            .collect();
        let reply = reply(EXCHANGES as usize * asks);
        group.throughput(Throughput::Elements(u64::from(EXCHANGES) * asks as u64));
        group.bench_function(format!("a batch of {EXCHANGES} exchanges, {asks} each"), |bencher| {
            bencher.iter(|| {
                for (slot, asks) in asked.iter().enumerate() {
                    assert!(asking.ask(Waiter { slot: slot as u32, generation: 0 }, asks));
                }
                let batch = asking.next().expect("questions");
                asking.answered(batch.number, 0, Some(&reply), 5);
                for waiter in &batch.waiters {
                    black_box(asking.answers(*waiter).expect("answers"));
                }
                asking.over(batch.number);
            });
        });
    }
    group.finish();
}

fn lease(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits_shared");
    group.throughput(Throughput::Elements(1));
    let fleet = fleet();
    for keys in [1, 1_000, KEYS] {
        let asks: Vec<Ask> = (0..keys).map(|number| ask(SharingMode::Fast, number)).collect();
        let (at, now_us) = (Cell::new(0), Cell::new(1_u64));
        group.bench_function(format!("fast: one of {keys} keys"), |bencher| {
            bencher.iter(|| {
                // In an order that no cache foresees.
                at.set((at.get() + 7_919) % keys);
                now_us.set(now_us.get() + 1);
                black_box(fleet.take(&asks[at.get() as usize], now_us.get()))
            });
        });
    }
    group.finish();
}

/// A round of `KEYS` keys, of which each has something to tell.
fn settling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits_shared");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10).measurement_time(Duration::from_secs(5));
    let fleet = fleet();
    let asks: Vec<Ask> = (0..KEYS).map(|number| ask(SharingMode::Fast, number)).collect();
    group.bench_function(format!("fast: {KEYS} keys taken and settled"), |bencher| {
        bencher.iter(|| {
            for ask in &asks {
                black_box(fleet.take(ask, 1));
            }
            while let Some(call) = fleet.spent(1) {
                fleet.settled(Some(&reply(call.keys.len() - 1)), 1, 1);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, batch, lease, settling);
criterion_main!(benches);
