//! Counters on a virtual clock.

mod properties;
mod threads;

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

#[test]
fn who_goes_over_is_refused_until_the_penalty_ends() {
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
        let (counters, key) = (Counters::new(1_024), Key([1, 2]));
        let quota = Quota { penalty_us: 600 * S, ..quota(algorithm, 2, 8) };
        assert!(admitted(counters.take(key, &quota, 2, 80 * S)));
        assert_eq!(counters.penalty_us(key, 80 * S), 0);
        let refused = |wait_us| Taken::Refused { wait_us, penalty: true };
        assert_eq!(counters.take(key, &quota, 1, 81 * S), refused(600 * S));
        assert_eq!(counters.peek(key, &quota, 1, 281 * S), refused(400 * S));
        assert_eq!(counters.take(key, &quota, 1, 681 * S - 1), refused(1));
        assert_eq!(counters.penalty_us(key, 680 * S), S);
        assert!(admitted(counters.take(key, &quota, 2, 681 * S)));
        assert_eq!(counters.take(key, &quota, 1, 681 * S), refused(600 * S));
        assert!(counters.reset(key));
        assert!(!counters.reset(key));
        assert!(admitted(counters.take(key, &quota, 2, 681 * S)));
    }
}

#[test]
fn what_counts_by_its_answer_is_asked_first_and_spent_later() {
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
        let (counters, key) = (Counters::new(1_024), Key([1, 2]));
        let quota = Quota { penalty_us: 60 * S, ..quota(algorithm, 2, 8) };
        for _ in 0..3 {
            assert_eq!(counters.peek(key, &quota, 1, 80 * S), Taken::Admitted { remaining: 2, reset_us: 0 });
        }
        assert_eq!(counters.stats().entries, 0, "nothing was spent");
        assert!(admitted(counters.spend(key, &quota, 1, 80 * S)));
        assert!(admitted(counters.peek(key, &quota, 1, 80 * S)));
        assert!(admitted(counters.spend(key, &quota, 1, 80 * S)));
        // Another that was under way goes beyond, and from there on nobody passes.
        assert!(matches!(counters.spend(key, &quota, 1, 80 * S), Taken::Refused { penalty: true, .. }));
        assert_eq!(counters.used(key, Some(&quota), 80 * S), 3);
        assert!(matches!(counters.peek(key, &quota, 1, 139 * S), Taken::Refused { penalty: true, .. }));
        assert!(admitted(counters.peek(key, &quota, 1, 140 * S)));
    }
}

#[test]
fn an_answer_that_costs_nothing_changes_nothing() {
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
        let (counters, key) = (Counters::new(1_024), Key([1, 2]));
        let quota = Quota { penalty_us: 60 * S, ..quota(algorithm, 2, 3_600) };
        assert_eq!(counters.spend(key, &quota, 0, 80 * S), Taken::Admitted { remaining: 2, reset_us: 0 });
        assert_eq!(counters.stats().entries, 0);
        assert!(!admitted(counters.spend(key, &quota, 3, 80 * S)));
        assert!(matches!(counters.spend(key, &quota, 0, 90 * S), Taken::Refused { penalty: true, .. }));
        // Its penalty is over, and what it has spent is not; still it did not go over again.
        assert!(matches!(counters.spend(key, &quota, 0, 140 * S), Taken::Refused { penalty: false, .. }));
        assert_eq!(counters.penalty_us(key, 140 * S), 0);
    }
}

#[test]
fn who_asks_in_vain_goes_over_also_when_only_answers_count() {
    let (counters, key) = (Counters::new(1_024), Key([1, 2]));
    let quota = Quota { penalty_us: 60 * S, ..quota(Algorithm::Gcra, 2, 8) };
    assert!(admitted(counters.spend(key, &quota, 2, 80 * S)));
    assert_eq!(counters.peek(key, &quota, 1, 80 * S), Taken::Refused { wait_us: 60 * S, penalty: true });
    assert!(!admitted(counters.peek(key, &quota, 1, 120 * S)));
}

#[test]
fn what_never_fits_is_refused_and_spends_nothing() {
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
        let (counters, quota, key) = (Counters::new(1_024), quota(algorithm, 3, 8), Key([1, 2]));
        assert!(!admitted(counters.take(key, &quota, 4, 80 * S)));
        assert!(counters.take_late(key, &quota, u64::MAX, 80 * S, u64::MAX).is_err());
        assert!(!admitted(counters.peek(Key([1, 3]), &quota, 4, 80 * S)));
        assert!(admitted(counters.take(key, &quota, 3, 80 * S)));
    }
}

#[test]
fn requests_under_way_are_counted_until_they_leave() {
    let (counters, key) = (Counters::new(1_024), Key([1, 2]));
    assert_eq!(counters.enter(key, 2, S), Taken::Admitted { remaining: 1, reset_us: 0 });
    assert_eq!(counters.enter(key, 2, S), Taken::Admitted { remaining: 0, reset_us: 0 });
    assert!(matches!(counters.enter(key, 2, S), Taken::Refused { penalty: false, .. }));
    assert_eq!(counters.used(key, None, S), 2);
    assert!(!counters.reset(key), "they are under way all the same");
    counters.leave(key);
    assert!(admitted(counters.enter(key, 2, S)));
    for _ in 0..4 {
        counters.leave(key);
    }
    assert_eq!(counters.used(key, None, S), 0);
}

#[test]
fn a_limit_that_changes_its_algorithm_starts_anew_but_keeps_the_penalty() {
    let (counters, key) = (Counters::new(1_024), Key([1, 2]));
    let bucket = Quota { penalty_us: 60 * S, ..quota(Algorithm::Gcra, 1, 3_600) };
    let window = Quota { algorithm: Algorithm::SlidingWindow, ..bucket };
    assert!(admitted(counters.take(key, &bucket, 1, S)));
    assert!(admitted(counters.take(key, &window, 1, S)));
    assert!(!admitted(counters.take(key, &window, 1, S)));
    assert_eq!(counters.take(key, &bucket, 1, 2 * S), Taken::Refused { wait_us: 59 * S, penalty: true });
}

#[test]
fn a_full_table_of_active_keys_takes_no_new_one() {
    let (counters, quota) = (Counters::new(1_024), quota(Algorithm::Gcra, 1, 60));
    let key = |number| Key([number, number]);
    for number in 0..1_024 {
        assert!(admitted(counters.take(key(number), &quota, 1, number)));
    }
    assert_eq!(counters.take(key(2_000), &quota, 1, S), Taken::Full);
    assert_eq!(counters.peek(key(2_000), &quota, 1, S), Taken::Full);
    assert_eq!(counters.spend(key(2_000), &quota, 1, S), Taken::Full);
    assert_eq!(counters.enter(key(2_000), 1, S), Taken::Full);
    let stats = counters.stats();
    assert_eq!((stats.entries, stats.entries_max, stats.evictions, stats.full), (1_024, 1_024, 0, 4));
    assert!(!admitted(counters.take(key(5), &quota, 1, S)), "those that are counted go on being counted");
    // The first is full again, and only that one.
    assert!(admitted(counters.take(key(2_000), &quota, 1, 60 * S)));
    assert_eq!(counters.take(key(2_001), &quota, 1, 60 * S), Taken::Full);
    assert_eq!(counters.stats().evictions, 1);
}

#[test]
fn exempt_keys_are_exempt_until_their_time_is_over() {
    let counters = Counters::new(1_024);
    assert!(!counters.is_exempt(Key([1, 2]), 0));
    counters.exempt([(Key([1, 2]), 1_000)]);
    assert!(counters.is_exempt(Key([1, 2]), 999));
    assert!(!counters.is_exempt(Key([1, 2]), 1_000));
    assert!(!counters.is_exempt(Key([2, 1]), 0));
    counters.exempt([]);
    assert!(!counters.is_exempt(Key([1, 2]), 0));
}

#[test]
fn those_refused_most_are_told_however_many_others_are() {
    let counters = Counters::new(1_024);
    let flood = |number: u64| Key([number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number]);
    for number in 0..100_000 {
        counters.refused(flood(number), "flood", || None);
        if number % 100 == 0 {
            counters.refused(Key([7, 7]), "logins", || Some("é".repeat(200)));
        }
    }
    let top = counters.top(None, 1);
    assert_eq!((top[0].key, &*top[0].limit), (Key([7, 7]), "logins"));
    assert!(top[0].refused >= 1_000 && top[0].refused - top[0].uncertain <= 1_000);
    assert_eq!(top[0].identity.as_deref(), Some("é".repeat(128).as_str()));
    assert_eq!(counters.top(Some("logins"), 10).len(), 1);
    assert!(counters.top(None, usize::MAX).len() <= 4_096);
    assert!(counters.reset(Key([7, 7])));
    assert!(counters.top(Some("logins"), 10).is_empty());
}
