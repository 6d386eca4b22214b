//! The sliding window: what was admitted in each eighth of a period, and in the eight before it.
//!
//! Never more than the amount in any period: the oldest eighth counts whole as long as any of it is within the period,
//! so nine are kept. Eighths are cut by the clock alone. The counts lie in three words, so that they fit where a bucket
//! does.

use super::counters::{Quota, Turn};
use super::entry::Moment;

/// A window's words: counts, the newest lowest in the first word; then the number of the newest eighth, and when the
/// window is empty.
pub(super) type Words = [u64; 4];

const EIGHTHS: u64 = 8;
const COUNTS: usize = 9;
const COUNT_BITS: u32 = 21;
const COUNTS_A_WORD: usize = 3;
/// Most that an eighth can count, and so most that a window can allow. With more, a bucket is as good: its burst is one
/// part in two million a request.
pub const MOST: u64 = (1 << COUNT_BITS) - 1;
/// What the time at which a window is empty is told in: 2^32 of them are 17 years.
const IDLE_UNIT_US: u64 = 125_000;

struct Window {
    counts: [u64; COUNTS],
    /// Number of the newest eighth.
    newest: u64,
    now_us: u64,
}

impl Window {
    /// As it is at this time. When its newest eighth lies ahead, that is a turn that somebody waits for, or another thread
    /// has read the clock since and was first: then it is that time already.
    fn read([words @ .., last]: &Words, quota: &Quota, at: Moment) -> Window {
        let newest = *last >> 32;
        let now_us = at.now_us.max(at.latest_us.min(newest.saturating_mul(eighth_us(quota))));
        let mut counts = [0; COUNTS];
        if now_us < idle_us(*last) {
            for (at, count) in counts.iter_mut().enumerate() {
                *count = words[at / COUNTS_A_WORD] >> (at % COUNTS_A_WORD) as u32 * COUNT_BITS & MOST;
            }
        }
        let mut window = Window { counts, newest, now_us };
        window.move_on((now_us / eighth_us(quota)).max(newest));
        window
    }

    fn write(&self, quota: &Quota, [words @ .., last]: &mut Words) {
        *words = [0; 3];
        for (at, count) in self.counts.iter().enumerate() {
            words[at / COUNTS_A_WORD] |= count << (at % COUNTS_A_WORD) as u32 * COUNT_BITS;
        }
        let idle = self.empty_us(quota).div_ceil(IDLE_UNIT_US).min(u64::from(u32::MAX));
        *last = self.newest.min(u64::from(u32::MAX)) << 32 | idle;
    }

    fn move_on(&mut self, newest: u64) {
        let steps = (newest - self.newest).min(COUNTS as u64) as usize;
        self.counts.copy_within(..COUNTS - steps, steps);
        self.counts[..steps].fill(0);
        self.newest = newest;
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, cost: u64) {
        self.counts[0] = self.counts[0].saturating_add(cost).min(MOST);
    }

    /// Moves on to the first eighth in which the cost fits; how long that is from now.
    fn fit(&mut self, quota: &Quota, cost: u64) -> u64 {
        while self.total() > 0 && self.total().saturating_add(cost) > amount(quota) {
            self.move_on(self.newest + 1);
        }
        self.newest.saturating_mul(eighth_us(quota)).saturating_sub(self.now_us)
    }

    /// When the last that counts has left.
    fn empty_us(&self, quota: &Quota) -> u64 {
        let age = self.counts.iter().position(|&count| count > 0).unwrap_or(COUNTS) as u64;
        (self.newest + COUNTS as u64).saturating_sub(age).saturating_mul(eighth_us(quota))
    }

    fn turn(&self, quota: &Quota, wait_us: u64) -> Turn {
        let remaining = amount(quota).saturating_sub(self.total());
        Turn { wait_us, remaining, reset_us: self.empty_us(quota).saturating_sub(self.now_us) }
    }
}

fn eighth_us(quota: &Quota) -> u64 {
    quota.period_us.div_ceil(EIGHTHS).max(1)
}

fn amount(quota: &Quota) -> u64 {
    quota.amount.min(MOST)
}

/// Spends, if its turn comes within `most_wait_us`; else how long it would be.
pub(super) fn take(words: &mut Words, quota: &Quota, cost: u64, at: Moment, most_wait_us: u64) -> Result<Turn, u64> {
    let (mut window, wait_us) = turn(words, quota, cost, at, most_wait_us)?;
    window.add(cost);
    window.write(quota, words);
    Ok(window.turn(quota, wait_us))
}

/// Whether [`take`] would spend; and what is left, as nothing is spent.
pub(super) fn peek(words: &Words, quota: &Quota, cost: u64, at: Moment) -> Result<Turn, u64> {
    let (window, wait_us) = turn(words, quota, cost, at, 0)?;
    Ok(window.turn(quota, wait_us))
}

fn turn(words: &Words, quota: &Quota, cost: u64, at: Moment, most_wait_us: u64) -> Result<(Window, u64), u64> {
    let mut window = Window::read(words, quota, at);
    let wait_us = window.fit(quota, cost);
    if wait_us > most_wait_us || cost > amount(quota) { Err(wait_us) } else { Ok((window, wait_us)) }
}

/// Spends in any case; else how long it would have had to wait.
pub(super) fn spend(words: &mut Words, quota: &Quota, cost: u64, at: Moment) -> Result<Turn, u64> {
    let mut window = Window::read(words, quota, at);
    window.add(cost);
    window.write(quota, words);
    if window.total() <= amount(quota) {
        return Ok(window.turn(quota, 0));
    }
    Err(window.fit(quota, 0))
}

/// Takes the cost out again, from the eighth it was spent in or, as it may have had to wait, from those behind.
pub(super) fn give_back(words: &mut Words, quota: &Quota, cost: u64, taken_us: u64, at: Moment) {
    let mut window = Window::read(words, quota, at);
    let age = window.newest.saturating_sub(taken_us / eighth_us(quota));
    let mut left = cost;
    for count in window.counts.iter_mut().rev().skip((COUNTS as u64 - 1).saturating_sub(age) as usize) {
        let back = left.min(*count);
        *count -= back;
        left -= back;
    }
    window.write(quota, words);
}

pub(super) fn used(words: &Words, quota: &Quota, at: Moment) -> u64 {
    Window::read(words, quota, at).total()
}

/// The first microsecond, rounded up, at which the window is empty: of its last word.
pub(super) fn idle_us(last: u64) -> u64 {
    (last & u64::from(u32::MAX)) * IDLE_UNIT_US
}
