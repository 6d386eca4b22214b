//! Records and replies of the functions that keep the counters: little-endian doubles, times in microseconds.
//!
//! A call begins with the birth of the server's memory as this node knows it, then follow its records, eight words each:
//! `[kind, t, tolerance, cost, penalty, ttl_ms, a, b]`. A reply begins with the server's time and the birth of its
//! memory, negative if there was another before; then follow three words for each record. A reply is as long as its
//! call says, or it is none; a word that is no finite number makes its record unanswered.

use super::{Ask, most, refused};
use crate::limits::{Key, Quota, Taken};
use crate::policy::Algorithm;

/// Before the first record.
pub(super) const HEAD_BYTES: usize = 8;
const REPLY_HEAD_BYTES: usize = 16;
const REPLY_RECORD_BYTES: usize = 24;
/// What is counted together: keys that begin alike.
pub(super) const PARTITIONS: usize = 16;
/// Parts of a period that a sliding window is counted in.
const PARTS: u64 = 8;
/// No time, and no number of units, is larger: doubles are whole up to here.
const MOST: f64 = 9_007_199_254_740_992.0;

/// What a record is for. Each also by sliding window, with the next number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    /// Spends if all of it can be spent, at once or within so many microseconds.
    Take {
        delay_us: u64,
    },
    Peek,
    Spend,
    /// What was taken at this time of the server.
    GiveBack {
        at_us: f64,
    },
    /// Told: what was spent. Asked: what may be spent next.
    Settle {
        want: u64,
        penalize: bool,
    },
}

impl Act {
    fn kind(self) -> f64 {
        match self {
            Act::Take { .. } => 1.0,
            Act::Peek => 3.0,
            Act::Spend => 5.0,
            Act::GiveBack { .. } => 7.0,
            Act::Settle { .. } => 20.0,
        }
    }
}

/// Microseconds until one unit has come back, never less than by the policy; the part of a period, of a window.
#[expect(clippy::cast_precision_loss, reason = "a period is below 2^53 us, an amount below 2^53")]
pub(super) fn unit_us(quota: &Quota) -> f64 {
    match quota.algorithm {
        Algorithm::Gcra => {
            let unit = quota.period_us as f64 / quota.amount.max(1) as f64;
            if unit * (quota.amount.max(1) as f64) < quota.period_us as f64 { unit.next_up() } else { unit }
        }
        Algorithm::SlidingWindow => quota.period_us.div_ceil(PARTS) as f64,
    }
}

/// How far a bucket may be overdrawn, in microseconds; how much fits in a window, in units.
#[expect(clippy::cast_precision_loss, reason = "an amount is below 2^53")]
pub(super) fn tolerance(quota: &Quota) -> f64 {
    match quota.algorithm {
        Algorithm::Gcra => unit_us(quota) * quota.burst as f64,
        Algorithm::SlidingWindow => quota.amount as f64,
    }
}

/// `beyond`: units that may be counted on top of the policy, so that no state is cut that still means something.
#[expect(clippy::cast_precision_loss, reason = "costs, delays and penalties are below 2^53")]
pub(super) fn write(records: &mut Vec<u8>, act: Act, quota: &Quota, cost: u64, beyond: u64) {
    let (t, tolerance) = (unit_us(quota), tolerance(quota));
    let (by_window, beyond_us) = match quota.algorithm {
        Algorithm::Gcra => (0.0, t * beyond as f64),
        Algorithm::SlidingWindow => (1.0, 0.0),
    };
    let (penalty_us, a, b) = match act {
        Act::Take { delay_us } => (quota.penalty_us, delay_us as f64, 0.0),
        Act::Peek | Act::Spend => (quota.penalty_us, 0.0, 0.0),
        Act::GiveBack { at_us } => (0, at_us, 0.0),
        // The fifth word is what comes back, always with a record of its own; the last begins a penalty.
        Act::Settle { want, penalize } => (0, want as f64, if penalize { quota.penalty_us as f64 } else { 0.0 }),
    };
    let delay_us = if let Act::Take { delay_us } = act { delay_us as f64 } else { 0.0 };
    let longest_us = 2.0 * (1.125 * quota.period_us as f64 + delay_us + beyond_us) + quota.penalty_us as f64;
    let ttl_ms = (longest_us / 1000.0).ceil();
    for word in [act.kind() + by_window, t, tolerance, cost as f64, penalty_us as f64, ttl_ms, a, b] {
        records.extend_from_slice(&word.to_le_bytes());
    }
}

/// What was answered to a call.
pub(super) struct Reply<'a> {
    /// Of the server.
    pub now_us: f64,
    /// When its memory began.
    pub birth_us: f64,
    /// There was a memory before, of which this one knows nothing.
    pub lost: bool,
    rows: &'a [u8],
}

impl<'a> Reply<'a> {
    /// None: this is no answer to so many records.
    pub(super) fn read(bytes: &'a [u8], records: usize) -> Option<Reply<'a>> {
        if bytes.len() != REPLY_HEAD_BYTES + records * REPLY_RECORD_BYTES {
            return None;
        }
        let (now_us, birth_us) = (word(bytes, 0), word(bytes, 1));
        let fits = (0.0..MOST).contains(&now_us) && birth_us.abs() < MOST;
        fits.then(|| Reply { now_us, birth_us: birth_us.abs(), lost: birth_us < 0.0, rows: &bytes[REPLY_HEAD_BYTES..] })
    }

    /// None: it is not there, or no three numbers.
    pub(super) fn row(&self, record: usize) -> Option<[f64; 3]> {
        let row = self.rows.get(record * REPLY_RECORD_BYTES..)?.get(..REPLY_RECORD_BYTES)?;
        let words = [word(row, 0), word(row, 1), word(row, 2)];
        words.iter().all(|word| word.abs() < MOST).then_some(words)
    }

    /// By a record that takes or peeks. One whose turn comes later is `Refused` until then.
    pub(super) fn taken(&self, record: usize, ask: &Ask) -> Option<Taken> {
        let [verdict, remaining, reset_us] = self.row(record)?;
        let wait_us = whole(verdict.abs()).max(1);
        Some(match verdict {
            0.0 => Taken::Admitted { remaining: whole(remaining), reset_us: whole(reset_us) },
            ..0.0 => Taken::Refused { wait_us, penalty: true },
            // Nothing waits for what can never be had.
            _ if ask.peek || ask.cost > most(&ask.quota) => refused(ask, wait_us),
            _ => Taken::Refused { wait_us, penalty: false },
        })
    }

    /// Whether the server has not been counting for as long as a limit looks back.
    pub(super) fn forgot(&self, quota: &Quota) -> bool {
        self.is_younger_than(quota.period_us)
    }

    /// Whether a penalty may have begun before the server's memory did.
    pub(super) fn forgot_penalty(&self, quota: &Quota) -> bool {
        self.is_younger_than(quota.penalty_us)
    }

    #[expect(clippy::cast_precision_loss, reason = "periods and penalties are below 2^53 us")]
    fn is_younger_than(&self, us: u64) -> bool {
        self.lost && self.now_us - self.birth_us < us as f64
    }
}

/// Rounded up; nothing is below 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
pub(super) fn whole(word: f64) -> u64 {
    word.ceil() as u64
}

fn word(bytes: &[u8], index: usize) -> f64 {
    let word = bytes[index * 8..index * 8 + 8].try_into().expect("eight bytes");
    f64::from_le_bytes(word)
}

/// By its first byte, as the server's cluster spreads them; all in one when there is one server.
pub(super) fn partition(key: Key, cluster: bool) -> usize {
    if cluster { (key.0[0] >> 56) as usize % PARTITIONS } else { 0 }
}

/// `<prefix>{<partition>}:born`
pub(super) fn birth_key(prefix: &str, partition: usize) -> String {
    format!("{prefix}{{{partition:x}}}:born")
}

/// `<prefix>{<partition>}:<32 hex digits>`
pub(super) fn counter_key(prefix: &str, partition: usize, key: Key) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(prefix.len() + 36);
    text.push_str(prefix);
    text.push('{');
    text.push(DIGITS[partition % PARTITIONS] as char);
    text.push_str("}:");
    let mut digits = [0; 32];
    let bytes = key.0[0].to_be_bytes().into_iter().chain(key.0[1].to_be_bytes());
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text.push_str(std::str::from_utf8(&digits).expect("digits"));
    text
}
