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
    counts: Counts,
    /// Number of the newest eighth.
    newest: u64,
    now_us: u64,
}

/// Nine counts, the newest lowest in the first word.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counts([u64; 3]);

impl Counts {
    fn get(self, at: usize) -> u64 {
        self.0[at / COUNTS_A_WORD] >> shift(at) & MOST
    }

    fn set(&mut self, at: usize, count: u64) {
        let word = &mut self.0[at / COUNTS_A_WORD];
        *word = *word & !(MOST << shift(at)) | count.min(MOST) << shift(at);
    }

    #[inline]
    fn total(self) -> u64 {
        let [first, second, third] = self.0;
        let sum = |word: u64| (word & MOST) + (word >> shift(1) & MOST) + (word >> shift(2));
        sum(first) + sum(second) + sum(third)
    }

    /// To the newest.
    #[inline]
    fn add(&mut self, cost: u64) {
        let [first, ..] = &mut self.0;
        *first = *first & !MOST | (*first & MOST).saturating_add(cost).min(MOST);
    }

    /// Each is one eighth older; the oldest goes.
    #[inline]
    fn age(&mut self) {
        let [first, second, third] = self.0;
        let oldest = shift(COUNTS_A_WORD - 1);
        let behind = |word: u64, before: u64| (word & !(MOST << oldest)) << COUNT_BITS | before >> oldest;
        self.0 = [behind(first, 0), behind(second, first), behind(third, second)];
    }

    /// How old the newest is that is not 0.
    #[inline]
    fn youngest(self) -> Option<usize> {
        let [first, second, third] = self.0;
        let (words, word) = match (first, second, third) {
            (0, 0, 0) => return None,
            (0, 0, word) => (2, word),
            (0, word, _) => (1, word),
            (word, ..) => (0, word),
        };
        Some(words * COUNTS_A_WORD + (word.trailing_zeros() / COUNT_BITS) as usize)
    }
}

const fn shift(at: usize) -> u32 {
    (at % COUNTS_A_WORD) as u32 * COUNT_BITS
}

impl Window {
    /// As it is at this time. When its newest eighth lies ahead, that is a turn that somebody waits for, or another thread
    /// has read the clock since and was first: then it is that time already.
    #[inline]
    fn read([words @ .., last]: &Words, quota: &Quota, at: Moment) -> Window {
        let newest = *last >> 32;
        let now_us = at.now_us.max(at.latest_us.min(newest.saturating_mul(eighth_us(quota))));
        let counts = if now_us < idle_us(*last) { Counts(*words) } else { Counts::default() };
        let mut window = Window { counts, newest, now_us };
        window.move_on((now_us / eighth_us(quota)).max(newest));
        window
    }

    #[inline]
    fn write(&self, quota: &Quota, [words @ .., last]: &mut Words) {
        *words = self.counts.0;
        let idle = self.empty_us(quota).div_ceil(IDLE_UNIT_US).min(u64::from(u32::MAX));
        *last = self.newest.min(u64::from(u32::MAX)) << 32 | idle;
    }

    #[inline]
    fn move_on(&mut self, newest: u64) {
        for _ in 0..(newest - self.newest).min(COUNTS as u64) {
            self.counts.age();
        }
        self.newest = newest;
    }

    /// Moves on to the first eighth in which the cost fits; how long that is from now.
    #[inline]
    fn fit(&mut self, quota: &Quota, cost: u64) -> u64 {
        while self.counts.total().saturating_add(cost) > amount(quota) && self.counts != Counts::default() {
            self.move_on(self.newest + 1);
        }
        self.newest.saturating_mul(eighth_us(quota)).saturating_sub(self.now_us)
    }

    /// When the last that counts has left.
    #[inline]
    fn empty_us(&self, quota: &Quota) -> u64 {
        let youngest = self.counts.youngest().unwrap_or(COUNTS) as u64;
        (self.newest + COUNTS as u64).saturating_sub(youngest).saturating_mul(eighth_us(quota))
    }

    #[inline]
    fn turn(&self, quota: &Quota, wait_us: u64) -> Turn {
        let remaining = amount(quota).saturating_sub(self.counts.total());
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
    window.counts.add(cost);
    window.write(quota, words);
    Ok(window.turn(quota, wait_us))
}

/// Whether [`take`] would spend; and what is left, as nothing is spent.
pub(super) fn peek(words: &Words, quota: &Quota, cost: u64, at: Moment) -> Result<Turn, u64> {
    let (window, wait_us) = turn(words, quota, cost, at, 0)?;
    Ok(window.turn(quota, wait_us))
}

#[inline]
fn turn(words: &Words, quota: &Quota, cost: u64, at: Moment, most_wait_us: u64) -> Result<(Window, u64), u64> {
    let mut window = Window::read(words, quota, at);
    let wait_us = window.fit(quota, cost);
    if wait_us > most_wait_us || cost > amount(quota) { Err(wait_us) } else { Ok((window, wait_us)) }
}

/// Spends in any case; else how long it would have had to wait.
pub(super) fn spend(words: &mut Words, quota: &Quota, cost: u64, at: Moment) -> Result<Turn, u64> {
    let mut window = Window::read(words, quota, at);
    window.counts.add(cost);
    window.write(quota, words);
    if window.counts.total() <= amount(quota) {
        return Ok(window.turn(quota, 0));
    }
    Err(window.fit(quota, 0))
}

/// Takes the cost out again, from the eighth it was spent in or, as it may have had to wait, from those behind. When that
/// eighth does not count any more, nothing is left of it.
pub(super) fn give_back(words: &mut Words, quota: &Quota, cost: u64, taken_us: u64, at: Moment) {
    let mut window = Window::read(words, quota, at);
    let age = window.newest.saturating_sub(taken_us / eighth_us(quota));
    if age > EIGHTHS {
        return;
    }
    let mut left = cost;
    for eighth in (0..=age as usize).rev() {
        let count = window.counts.get(eighth);
        window.counts.set(eighth, count.saturating_sub(left));
        left = left.saturating_sub(count);
    }
    window.write(quota, words);
}

pub(super) fn used(words: &Words, quota: &Quota, at: Moment) -> u64 {
    Window::read(words, quota, at).counts.total()
}

/// The first microsecond, rounded up, at which the window is empty: of its last word.
pub(super) fn idle_us(last: u64) -> u64 {
    (last & u64::from(u32::MAX)) * IDLE_UNIT_US
}
