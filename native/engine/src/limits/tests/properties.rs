//! Counters against plain models that keep a log of all that was admitted, and against another's bucket.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::{Quota as Theirs, RateLimiter};
use proptest::prelude::*;

use super::super::{Counters, Key, Quota, Taken, Turn};
use crate::policy::Algorithm;

/// Times are no matter: any start will do.
const START_US: u64 = 5_000_000_007;

/// What was admitted, and when it came.
#[derive(Debug, Default)]
struct Log(Vec<(u64, u64)>);

impl Log {
    /// Whether in every window that ends now (and so in all) there is no more than the burst, and one for each interval.
    fn bucket_admits(&self, quota: &Quota, interval_ns: u128, cost: u64, now_us: u64) -> bool {
        let starts = self.0.iter().map(|&(at_us, _)| at_us).chain([now_us]);
        starts.filter(|&start_us| start_us <= now_us).all(|start_us| {
            let within: u64 = self.0.iter().filter(|(at_us, _)| *at_us >= start_us).map(|(_, cost)| cost).sum();
            let beyond = u128::from(within + cost).saturating_sub(u128::from(quota.burst));
            beyond * interval_ns <= u128::from(now_us - start_us) * 1_000
        })
    }

    /// The policy's own words: burst + floor(w * amount / period) in any window w, of times that are so much too late.
    fn keeps_bucket(&self, quota: &Quota, late_us: u64) -> bool {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        (0..sorted.len()).all(|first| {
            let mut sum = 0;
            sorted[first..].iter().all(|&(at_us, cost)| {
                sum += u128::from(cost);
                let grown = u128::from(at_us + late_us - sorted[first].0) * u128::from(quota.amount)
                    / u128::from(quota.period_us);
                sum <= u128::from(quota.burst) + grown
            })
        })
    }

    /// What lies within so many eighths before the one that it is.
    fn in_eighths(&self, quota: &Quota, now_us: u64) -> u64 {
        let eighth = |at_us: u64| at_us / (quota.period_us / 8);
        self.0.iter().filter(|(at_us, _)| eighth(*at_us) + 8 >= eighth(now_us)).map(|(_, cost)| cost).sum()
    }

    /// Never more than the amount in any period.
    fn keeps_window(&self, quota: &Quota) -> bool {
        self.0.iter().all(|&(last_us, _)| {
            let within = |at_us: u64| at_us <= last_us && at_us + quota.period_us > last_us;
            self.0.iter().filter(|(at_us, _)| within(*at_us)).map(|(_, cost)| cost).sum::<u64>() <= quota.amount
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Take(u64),
    /// Admitted, and given back at once.
    Try(u64),
    /// Until later, in thousandths of the period.
    Wait(u64),
    WaitUs(u64),
}

fn steps(most: u64) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..=most).prop_map(Step::Take),
        2 => Just(Step::Take(1)),
        1 => (1..=most).prop_map(Step::Try),
        2 => (0..400_u64).prop_map(Step::Wait),
        2 => (0..3_u64).prop_map(Step::WaitUs),
    ];
    prop::collection::vec(step, 1..120)
}

fn buckets() -> impl Strategy<Value = Quota> {
    (1..40_u64, 1..5_000_000_u64, 1..=100_u64).prop_map(|(amount, period_us, percent)| {
        let burst = (amount * percent).div_ceil(100);
        Quota { algorithm: Algorithm::Gcra, amount, period_us, burst, penalty_us: 0 }
    })
}

fn windows() -> impl Strategy<Value = Quota> {
    (1..40_u64, 1_000..1_000_000_u64).prop_map(|(amount, eighth_us)| {
        let period_us = eighth_us * 8;
        Quota { algorithm: Algorithm::SlidingWindow, amount, period_us, burst: amount, penalty_us: 0 }
    })
}

/// Runs the steps; `admits`: what the log says of a cost at a time.
fn agree(quota: &Quota, steps: &[Step], admits: impl Fn(&Log, u64, u64) -> bool) -> Result<Log, TestCaseError> {
    let (counters, key) = (Counters::new(1_024), Key([1, 2]));
    let (mut log, mut now_us) = (Log::default(), START_US);
    for &step in steps {
        let (cost, keep) = match step {
            Step::Take(cost) => (cost, true),
            Step::Try(cost) => (cost, false),
            Step::Wait(part) => {
                now_us += quota.period_us * part / 1_000;
                continue;
            }
            Step::WaitUs(us) => {
                now_us += us;
                continue;
            }
        };
        let peeked = counters.peek(key, quota, cost, now_us);
        let taken = counters.take(key, quota, cost, now_us);
        let admitted = matches!(taken, Taken::Admitted { .. });
        prop_assert_eq!(admitted, admits(&log, cost, now_us), "{:?} at {} of {:?}", step, now_us, &log);
        prop_assert_eq!(admitted, matches!(peeked, Taken::Admitted { .. }));
        match taken {
            Taken::Admitted { remaining, .. } => {
                log.0.push((now_us, cost));
                // What is said to be left is all that is left.
                prop_assert!(admits(&log, remaining, now_us) && !admits(&log, remaining + 1, now_us));
                if !keep {
                    counters.give_back(key, quota, cost, now_us);
                    log.0.pop();
                }
            }
            // What never fits has no time at which it does.
            Taken::Refused { wait_us, .. } if cost <= quota.burst => {
                prop_assert!(admits(&log, cost, now_us + wait_us) && !admits(&log, cost, now_us + wait_us - 1));
            }
            _ => {}
        }
    }
    Ok(log)
}

proptest! {
    #[test]
    fn a_bucket_admits_what_the_policy_admits((quota, steps) in buckets().prop_flat_map(|quota| (Just(quota), steps(quota.burst + 1)))) {
        let interval_ns = (u128::from(quota.period_us) * 1_000).div_ceil(u128::from(quota.amount));
        let log = agree(&quota, &steps, |log, cost, now_us| {
            cost <= quota.burst && log.bucket_admits(&quota, interval_ns, cost, now_us)
        })?;
        prop_assert!(log.keeps_bucket(&quota, 0));
    }

    #[test]
    fn a_window_admits_what_its_eighths_admit((quota, steps) in windows().prop_flat_map(|quota| (Just(quota), steps(quota.amount + 1)))) {
        let log = agree(&quota, &steps, |log, cost, now_us| {
            log.in_eighths(&quota, now_us) + cost <= quota.amount || cost == 0
        })?;
        prop_assert!(log.keeps_window(&quota));
    }

    /// Equal in rate and burst to a bucket of the governor crate, whose nanoseconds are whole.
    #[test]
    fn a_bucket_is_governors(
        amount in 1..200_u32,
        interval_us in 1..2_000_000_u64,
        percent in 1..=100_u32,
        steps in prop::collection::vec((0..3_000_u64, 1..6_u32), 1..200),
    ) {
        let burst = (amount * percent).div_ceil(100);
        let period_us = interval_us * u64::from(amount);
        let quota =
            Quota { algorithm: Algorithm::Gcra, amount: amount.into(), period_us, burst: burst.into(), penalty_us: 0 };
        let clock = FakeRelativeClock::default();
        let theirs = Theirs::with_period(Duration::from_micros(interval_us)).unwrap();
        let theirs = RateLimiter::direct_with_clock(theirs.allow_burst(NonZeroU32::new(burst).unwrap()), clock.clone());
        let (counters, key, mut now_us) = (Counters::new(1_024), Key([1, 2]), START_US);
        for (wait, cost) in steps {
            let wait_us = wait * interval_us / 1_000;
            clock.advance(Duration::from_micros(wait_us));
            now_us += wait_us;
            let ours = matches!(counters.take(key, &quota, cost.into(), now_us), Taken::Admitted { .. });
            let theirs = matches!(theirs.check_n(NonZeroU32::new(cost).unwrap()), Ok(Ok(())));
            prop_assert_eq!(ours, theirs);
        }
    }

    /// At the times that they are told to come, those who wait keep the policy too; and nobody waits longer than the bound.
    #[test]
    fn who_waits_for_a_turn_keeps_the_policy(
        quota in prop_oneof![buckets(), windows()],
        most in 0..2_000_u64,
        asks in prop::collection::vec((0..400_u64, 1..4_u64), 1..100),
    ) {
        let (counters, key) = (Counters::new(1_024), Key([1, 2]));
        let most_wait_us = quota.period_us * most / 1_000;
        let (mut log, mut now_us) = (Log::default(), START_US);
        for (wait, cost) in asks {
            now_us += quota.period_us * wait / 1_000;
            match counters.take_late(key, &quota, cost, now_us, most_wait_us) {
                Ok(Turn { wait_us, .. }) => {
                    prop_assert!(wait_us <= most_wait_us);
                    prop_assert!(log.0.last().is_none_or(|&(last_us, _)| last_us <= now_us + wait_us));
                    log.0.push((now_us + wait_us, cost));
                }
                Err(Taken::Refused { wait_us, penalty: false }) => {
                    prop_assert!(wait_us > most_wait_us || cost > quota.burst);
                }
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
        match quota.algorithm {
            // Turns are told in whole microseconds, rounded up.
            Algorithm::Gcra => prop_assert!(log.keeps_bucket(&quota, 1)),
            Algorithm::SlidingWindow => prop_assert!(log.keeps_window(&quota)),
        }
    }

    /// Whenever it is given back: nobody gets more than if it had never been spent.
    #[test]
    fn what_is_given_back_late_gives_nobody_more(
        quota in prop_oneof![buckets(), windows()],
        asks in prop::collection::vec((0..400_u64, 1..4_u64, prop::bool::ANY), 1..100),
    ) {
        let (counters, key) = (Counters::new(1_024), Key([1, 2]));
        let (mut log, mut held, mut now_us) = (Log::default(), Vec::new(), START_US);
        for (wait, cost, keep) in asks {
            now_us += quota.period_us * wait / 1_000;
            if let Taken::Admitted { .. } = counters.take(key, &quota, cost, now_us) {
                if keep { log.0.push((now_us, cost)) } else { held.push((now_us, cost)) }
            }
            if wait % 3 == 0 && let Some((at_us, cost)) = held.pop() {
                counters.give_back(key, &quota, cost, at_us);
            }
        }
        match quota.algorithm {
            Algorithm::Gcra => prop_assert!(log.keeps_bucket(&quota, 0)),
            Algorithm::SlidingWindow => prop_assert!(log.keeps_window(&quota)),
        }
    }

    /// Threads tell times in another order than they read them. By the times they told, a bucket never admits more.
    #[test]
    fn times_out_of_order_give_nobody_more(
        quota in buckets(),
        asks in prop::collection::vec((0..100_u64, 0..200_u64, 0..3_u64), 1..200),
    ) {
        let counters = Counters::new(1_024);
        let (mut logs, mut now_us) = (HashMap::<u64, Log>::new(), START_US);
        for (wait, late, key) in asks {
            now_us += quota.period_us * wait / 1_000;
            let told_us = now_us - quota.period_us * late / 1_000;
            if let Taken::Admitted { .. } = counters.take(Key([1, key]), &quota, 1, told_us) {
                logs.entry(key).or_default().0.push((told_us, 1));
            }
        }
        prop_assert!(logs.values().all(|log| log.keeps_bucket(&quota, 0)));
    }
}

/// When who asks: many keys at chance, 20,000 times within some seconds.
fn flood(seed: u64, keys: u64) -> impl Iterator<Item = (u64, u64)> {
    let (mut now_us, mut random) = (START_US, seed | 1);
    std::iter::repeat_with(move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        now_us += random % 1_500;
        (now_us, (random >> 32) % keys)
    })
    .take(20_000)
}

/// Of a key of the flood: what a table without bounds would know.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    full_us: u64,
    penalty_us: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Made-up keys that fill the table push nobody out: every answer is that of a table without bounds, or that there is
    /// no place; and there is none only where all places are in use.
    #[test]
    fn a_flood_of_keys_changes_nothing_for_the_others(seed in any::<u64>(), amount in 1..4_u64, penalty_s in 0..3_u64, keys in 900..3_000_u64) {
        const ENTRIES: usize = 1_024;
        let quota = Quota {
            algorithm: Algorithm::Gcra, amount, period_us: 1_000_000 * amount, burst: amount, penalty_us: penalty_s * 1_000_000,
        };
        let counters = Counters::new(ENTRIES as u64);
        let mut known = HashMap::<u64, Known>::new();
        let (mut full, mut busy) = (0_u64, 0_u64);
        for (now_us, number) in flood(seed, keys) {
            let entry = known.entry(number).or_default();
            let taken = counters.take(Key([number, number]), &quota, 1, now_us);
            let due_us = entry.full_us.max(now_us) + 1_000_000;
            let expected = if now_us < entry.penalty_us { None } else { Some(due_us <= now_us + quota.burst * 1_000_000) };
            match (taken, expected) {
                (Taken::Full, _) => {
                    full += 1;
                    prop_assert!(entry.full_us.max(entry.penalty_us) <= now_us, "one that is counted has its place");
                    // A walk through the table is repeated after a tenth of a second at the earliest.
                    let active = known.values().filter(|known| known.full_us.max(known.penalty_us) + 100_000 > now_us);
                    if full % 50 == 1 {
                        busy += 1;
                        prop_assert!(active.count() >= ENTRIES);
                    }
                }
                (Taken::Admitted { .. }, Some(true)) => entry.full_us = due_us,
                (Taken::Refused { penalty, .. }, Some(false)) => {
                    prop_assert_eq!(penalty, penalty_s > 0);
                    if penalty {
                        entry.penalty_us = now_us + quota.penalty_us;
                    }
                }
                (Taken::Refused { penalty: true, .. }, None) => {}
                other => prop_assert!(false, "{:?} of {:?}", other, entry),
            }
        }
        let stats = counters.stats();
        prop_assert!(stats.entries <= ENTRIES as u64);
        prop_assert_eq!(stats.full, full);
        prop_assert!(busy > 0 || full == 0);
    }

    /// The same of windows: what is evicted had nothing left in it.
    #[test]
    fn a_flood_of_keys_changes_nothing_for_the_windows_of_others(seed in any::<u64>(), amount in 1..4_u64, keys in 900..3_000_u64) {
        let quota = Quota { algorithm: Algorithm::SlidingWindow, amount, period_us: 1_000_000, burst: amount, penalty_us: 0 };
        let counters = Counters::new(1_024);
        let mut logs = HashMap::<u64, Log>::new();
        for (now_us, number) in flood(seed, keys) {
            let log = logs.entry(number).or_default();
            let within = log.in_eighths(&quota, now_us);
            match counters.take(Key([number, number]), &quota, 1, now_us) {
                Taken::Full => prop_assert_eq!(within, 0),
                Taken::Admitted { remaining, .. } => {
                    log.0.push((now_us, 1));
                    prop_assert_eq!(remaining + within + 1, amount);
                }
                Taken::Refused { penalty, .. } => prop_assert!(!penalty && within == amount),
            }
        }
        let stats = counters.stats();
        prop_assert!(stats.entries <= 1_024 && (stats.evictions > 0 || keys <= 1_024));
    }
}
