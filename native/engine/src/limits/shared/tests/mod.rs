//! Several nodes and one server, on a clock of the tests' own.

mod batches;
mod fast;
mod leases;
mod replies;
mod server;
mod strict;

use super::{Ask, Asking, Fleet, Waiter};
use crate::limits::{Counters, Key, Quota};
use crate::policy::{Algorithm, Fallback, Sharing, SharingMode};

const SECOND_US: u64 = 1_000_000;
const KEY: Key = Key([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);

fn quota(algorithm: Algorithm, amount: u64, burst: u64, period_us: u64) -> Quota {
    Quota { algorithm, amount, burst, period_us, penalty_us: 0 }
}

fn ask(mode: SharingMode, fallback: Fallback, quota: Quota) -> Ask {
    let sharing = Sharing { mode, fallback, advance: 1 };
    Ask { rule: 0, key: KEY, quota, cost: 1, peek: false, delay_us: 0, sharing }
}

fn fleet() -> &'static Fleet {
    Box::leak(Box::new(Fleet::new(64, Box::leak(Box::new(Counters::new(64))))))
}

fn waiter(slot: u32) -> Waiter {
    Waiter { slot, generation: 7 }
}

/// What was admitted, and when.
#[derive(Debug, Default)]
struct Admitted(Vec<(u64, u64)>);

impl Admitted {
    fn add(&mut self, at_us: u64, cost: u64) {
        self.0.push((at_us, cost));
    }

    /// The first span in which more was admitted than `most` says of its length: when, how long, how much, and how much
    /// that is too much.
    fn beyond(&mut self, most: impl Fn(u64) -> u64) -> Option<(u64, u64, u64, u64)> {
        self.0.sort_unstable();
        for (first, &(from, _)) in self.0.iter().enumerate() {
            let mut sum = 0;
            for &(to, cost) in &self.0[first..] {
                sum += cost;
                let most = most(to - from);
                if sum > most {
                    return Some((from, to - from, sum, sum - most));
                }
            }
        }
        None
    }
}

/// Most that the policy admits in a span of so many microseconds.
fn policy(quota: &Quota, span_us: u64) -> u64 {
    match quota.algorithm {
        Algorithm::Gcra => {
            quota.burst + (u128::from(span_us) * u128::from(quota.amount) / u128::from(quota.period_us)) as u64
        }
        Algorithm::SlidingWindow => quota.amount * (span_us / quota.period_us + 1),
    }
}

/// The same of each node's share.
fn share(quota: &Quota, nodes: u64, span_us: u64) -> u64 {
    let part = Quota { amount: (quota.amount / nodes).max(1), burst: (quota.burst / nodes).max(1), ..*quota };
    policy(&part, span_us)
}
