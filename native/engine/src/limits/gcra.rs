//! The generic cell rate algorithm: a bucket that fills evenly, in one word.
//!
//! The word is the time at which the bucket will be full again, in nanoseconds (the theoretical arrival time of ITU-T
//! I.371): a request moves it on by what it costs, and may come if that leaves it within what the burst allows. The time
//! that one unit takes is rounded up, so that never more is admitted than the policy says: at most `burst + floor(w *
//! amount / period)` in any window w. Rounding costs a part in 10^9 for each unit a second.

use super::counters::{Quota, Turn};

const NS: u64 = 1_000;

struct Pace {
    /// Of one unit of cost.
    interval_ns: u64,
    /// How far the word may be ahead of the clock.
    tolerance_ns: u64,
}

impl Pace {
    fn of(quota: &Quota) -> Pace {
        let interval_ns = quota.period_us.saturating_mul(NS).div_ceil(quota.amount.max(1)).max(1);
        Pace { interval_ns, tolerance_ns: quota.burst.saturating_mul(interval_ns) }
    }

    /// Full again, if the cost is spent now.
    fn due_ns(&self, full_ns: u64, cost: u64, now_us: u64) -> u64 {
        full_ns.max(now_us.saturating_mul(NS)).saturating_add(cost.saturating_mul(self.interval_ns))
    }

    /// Until the clock has come near enough.
    fn wait_us(&self, due_ns: u64, now_us: u64) -> u64 {
        due_ns.saturating_sub(self.tolerance_ns).saturating_sub(now_us.saturating_mul(NS)).div_ceil(NS)
    }

    fn turn(&self, due_ns: u64, now_us: u64, wait_us: u64) -> Turn {
        let ahead_ns = due_ns.saturating_sub(now_us.saturating_mul(NS));
        Turn {
            wait_us,
            remaining: self.tolerance_ns.saturating_sub(ahead_ns) / self.interval_ns,
            reset_us: ahead_ns.div_ceil(NS),
        }
    }
}

/// Spends, if its turn comes within `most_wait_us`; else how long it would be.
pub(super) fn take(full_ns: &mut u64, quota: &Quota, cost: u64, now_us: u64, most_wait_us: u64) -> Result<Turn, u64> {
    let pace = Pace::of(quota);
    let (due_ns, wait_us) = turn(&pace, *full_ns, quota, cost, now_us, most_wait_us)?;
    *full_ns = due_ns;
    Ok(pace.turn(due_ns, now_us, wait_us))
}

/// Whether [`take`] would spend; and what is left, as nothing is spent.
pub(super) fn peek(full_ns: u64, quota: &Quota, cost: u64, now_us: u64) -> Result<Turn, u64> {
    let pace = Pace::of(quota);
    turn(&pace, full_ns, quota, cost, now_us, 0)?;
    Ok(pace.turn(full_ns, now_us, 0))
}

fn turn(pace: &Pace, full_ns: u64, quota: &Quota, cost: u64, now_us: u64, most: u64) -> Result<(u64, u64), u64> {
    let due_ns = pace.due_ns(full_ns, cost, now_us);
    let wait_us = pace.wait_us(due_ns, now_us);
    // What is more than the bucket holds would not pass even when it is full.
    if wait_us > most || cost > quota.burst { Err(wait_us) } else { Ok((due_ns, wait_us)) }
}

/// Spends in any case; else how long it would have had to wait.
pub(super) fn spend(full_ns: &mut u64, quota: &Quota, cost: u64, now_us: u64) -> Result<Turn, u64> {
    let pace = Pace::of(quota);
    *full_ns = pace.due_ns(*full_ns, cost, now_us);
    match pace.wait_us(*full_ns, now_us) {
        0 => Ok(pace.turn(*full_ns, now_us, 0)),
        wait_us => Err(wait_us),
    }
}

/// What was spent at `taken_us` and has not run out since: had it never been spent, the word would be behind by the whole
/// cost then, and by less for as long as the bucket may have been full since.
pub(super) fn give_back(full_ns: &mut u64, quota: &Quota, cost: u64, taken_us: u64, latest_us: u64) {
    let cost_ns = cost.saturating_mul(Pace::of(quota).interval_ns);
    let gone_ns = latest_us.saturating_sub(taken_us).saturating_mul(NS);
    *full_ns = full_ns.saturating_sub(cost_ns.saturating_sub(gone_ns));
}

pub(super) fn used(full_ns: u64, quota: &Quota, now_us: u64) -> u64 {
    full_ns.saturating_sub(now_us.saturating_mul(NS)).div_ceil(Pace::of(quota).interval_ns)
}

/// The first microsecond at which the bucket is full.
pub(super) fn idle_us(full_ns: u64) -> u64 {
    full_ns.div_ceil(NS)
}
