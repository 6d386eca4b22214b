//! Several threads at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::super::{Counters, Key, Quota, Taken};
use crate::policy::Algorithm;

const THREADS: u64 = 4;
const KEYS: u64 = 3;
const ASKS: u64 = 100_000;

/// Admitted by each thread, of each key, with the time it told.
fn admitted(counters: &Counters, quota: &Quota) -> Vec<Vec<u64>> {
    let start = Instant::now();
    let now_us = || 1_000_000 + start.elapsed().as_micros() as u64;
    let by_thread = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut admitted = vec![Vec::new(); KEYS as usize];
                    for number in 0..ASKS {
                        let (key, now_us) = (number % KEYS, now_us());
                        if let Taken::Admitted { .. } = counters.take(Key([key, key]), quota, 1, now_us) {
                            admitted[key as usize].push(now_us);
                        }
                        // Others come and go meanwhile, in the same shard.
                        let _ = counters.take(Key([0, number + KEYS]), quota, 1, now_us);
                    }
                    admitted
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let of_key = |key: usize| {
        let mut times: Vec<u64> = by_thread.iter().flat_map(|admitted| admitted[key].iter().copied()).collect();
        times.sort_unstable();
        times
    };
    (0..KEYS as usize).map(of_key).collect()
}

#[test]
fn threads_together_get_no_more_than_one() {
    let (counters, interval_us) = (Counters::new(1_024), 20);
    let amount = 50;
    let quota = Quota { algorithm: Algorithm::Gcra, amount, period_us: amount * interval_us, burst: 5, penalty_us: 0 };
    for times in admitted(&counters, &quota) {
        assert!(times.len() as u64 > quota.burst);
        for (first, &from_us) in times.iter().enumerate() {
            for (count, &at_us) in (1..).zip(&times[first..]).take(200) {
                assert!(count <= quota.burst + (at_us - from_us) / interval_us);
            }
        }
    }
}

#[test]
fn threads_together_get_no_more_than_a_window_holds() {
    let (counters, amount) = (Counters::new(1_024), 500);
    let quota =
        Quota { algorithm: Algorithm::SlidingWindow, amount, period_us: 80_000_000, burst: amount, penalty_us: 0 };
    for times in admitted(&counters, &quota) {
        // They ask for much less than a period.
        assert_eq!(times.len() as u64, amount);
    }
}

#[test]
fn threads_together_are_never_more_under_way_than_the_limit() {
    let (counters, under_way, most_seen) = (Counters::new(1_024), AtomicU64::new(0), AtomicU64::new(0));
    let key = Key([1, 2]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..20_000 {
                    if let Taken::Admitted { .. } = counters.enter(key, 2, number) {
                        let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        most_seen.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        counters.leave(key);
                    }
                }
            });
        }
    });
    assert_eq!(most_seen.into_inner(), 2);
    assert_eq!(counters.used(key, None, 1), 0);
}
