//! Counters on a virtual clock.

use super::{Counters, Key, Quota, Taken};
use crate::policy::Algorithm;

const S: u64 = 1_000_000;

fn quota(algorithm: Algorithm, amount: u64, period_s: u64) -> Quota {
    Quota { algorithm, amount, period_us: period_s * S, burst: amount, penalty_us: 0 }
}

fn admitted(taken: Taken) -> bool {
    matches!(taken, Taken::Admitted { .. })
}

#[test]
fn a_bucket_is_spent_at_once_and_fills_evenly() {
    let (counters, quota, key) = (Counters::new(1_024), quota(Algorithm::Gcra, 5, 10), Key([1, 2]));
    for left in (0..5).rev() {
        let reset_us = (5 - left) * 2 * S;
        assert_eq!(counters.take(key, &quota, 1, S), Taken::Admitted { remaining: left, reset_us });
    }
    assert_eq!(counters.take(key, &quota, 1, S), Taken::Refused { wait_us: 2 * S, penalty: false });
    assert_eq!(counters.take(key, &quota, 1, 3 * S - 1), Taken::Refused { wait_us: 1, penalty: false });
    assert!(admitted(counters.take(key, &quota, 1, 3 * S)));
    assert_eq!(counters.used(key, Some(&quota), 3 * S), 5);
    assert!(admitted(counters.take(Key([1, 3]), &quota, 5, S)));
    assert!(counters.reset(key));
    assert!(admitted(counters.take(key, &quota, 5, 3 * S)));
}

#[test]
fn a_window_is_spent_at_once_and_empties_by_eighths() {
    let (counters, quota, key) = (Counters::new(1_024), quota(Algorithm::SlidingWindow, 5, 8), Key([1, 2]));
    assert_eq!(counters.take(key, &quota, 3, 80 * S), Taken::Admitted { remaining: 2, reset_us: 9 * S });
    assert_eq!(counters.take(key, &quota, 2, 81 * S), Taken::Admitted { remaining: 0, reset_us: 9 * S });
    assert_eq!(counters.take(key, &quota, 1, 81 * S), Taken::Refused { wait_us: 8 * S, penalty: false });
    assert_eq!(counters.take(key, &quota, 4, 81 * S), Taken::Refused { wait_us: 9 * S, penalty: false });
    assert!(admitted(counters.take(key, &quota, 3, 89 * S)));
    assert!(!admitted(counters.take(key, &quota, 1, 89 * S)));
}
