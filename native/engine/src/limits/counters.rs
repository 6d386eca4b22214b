//! What was spent, by key: one bounded table of the process, for all limits and all edge threads.
//!
//! It is cut into shards, each with a lock of its own: what is looked at and what is changed is one step, whatever other
//! threads do. Nothing in here reads a clock; callers bring the time of the decision, and times that come in another
//! order than they were read, as those of several threads do, make a counter stricter at most.
//!
//! A key's entry goes only to make room for another, and only when it says nothing any more: its bucket is full again,
//! its window empty, its penalty over, nobody under way. So who comes with made-up keys pushes nobody out. When no entry
//! is idle, new keys meet [`Taken::Full`], and those that are counted go on being counted.

use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::policy::Algorithm;

use super::entry::{Entry, Kind, Words};
use super::exemptions::Exemptions;
use super::refused::{Refusals, Refused};
use super::table::{Mark, SPREAD, Shard};

/// More shards than edge threads on any machine that is common, so that two of them seldom meet.
const SHARDS: u64 = 64;
/// Of a shard, so that chance fills them evenly: with a million keys the first shard is full when 97 in 100 are in use,
/// in the smallest table (one shard) when all are.
const FEWEST_ENTRIES: u64 = 1_024;
/// Of a shard, so that a walk through it takes a tenth of a millisecond.
const MOST_ENTRIES: u64 = 16_384;

/// A limit's name and what tells its counters apart, hashed with the installation's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u64; 2]);

impl Key {
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        let [high, low] = self.0.map(u64::to_be_bytes);
        std::array::from_fn(|at| if at < high.len() { high[at] } else { low[at - high.len()] })
    }
}

/// 32 hex digits.
impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

/// How much a key may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub algorithm: Algorithm,
    pub amount: u64,
    pub period_us: u64,
    pub burst: u64,
    /// How long a key that went over is refused; 0: the excess only.
    pub penalty_us: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Admitted {
        /// What can be spent at once after this.
        remaining: u64,
        /// Until all of it can be spent again.
        reset_us: u64,
    },
    Refused {
        /// Until the same can be spent, if nobody else spends; of a cost that never can, until nothing is spent.
        wait_us: u64,
        /// In penalty, from now on or from before.
        penalty: bool,
    },
    /// No place for a new key.
    Full,
}

/// Spent, at a turn that may lie in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// 0: now.
    pub wait_us: u64,
    pub remaining: u64,
    pub reset_us: u64,
}

/// What the table holds, and what it could not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that have an entry, idle ones included.
    pub entries: u64,
    pub entries_max: u64,
    /// Idle entries that made room.
    pub evictions: u64,
    /// New keys that found none.
    pub full: u64,
}

/// Of the process, all limits and all edge threads.
#[derive(Debug)]
pub struct Counters {
    slots: Box<[Slot]>,
    entries_max: u64,
    exemptions: Exemptions,
    refusals: Refusals,
}

/// A shard on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Slot(Mutex<Shard>);

static OF_PROCESS: OnceLock<Counters> = OnceLock::new();

impl Counters {
    /// Memory is asked for at once, and used as keys come.
    #[must_use]
    pub fn new(entries: u64) -> Counters {
        let shards = entries.div_ceil(MOST_ENTRIES).max(SHARDS.min(entries / FEWEST_ENTRIES)).max(1);
        let of_shard = |shard: u64| entries / shards + u64::from(shard < entries % shards);
        Counters {
            slots: (0..shards).map(|shard| Slot(Mutex::new(Shard::new(of_shard(shard) as usize)))).collect(),
            entries_max: entries,
            exemptions: Exemptions::default(),
            refusals: Refusals::default(),
        }
    }

    /// The first call says how many.
    #[must_use]
    pub fn of_process(entries: u64) -> &'static Counters {
        OF_PROCESS.get_or_init(|| Counters::new(entries))
    }

    /// None: no policy has been compiled yet.
    #[must_use]
    pub fn started() -> Option<&'static Counters> {
        OF_PROCESS.get()
    }

    /// Spends, if all of it can be spent now; who cannot goes over, which starts the penalty. `now_us`: a clock that
    /// never goes back, read when this is decided (not when the exchange started).
    #[must_use]
    pub fn take(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        match self.take_late(key, quota, cost, now_us, 0) {
            Ok(Turn { remaining, reset_us, .. }) => Taken::Admitted { remaining, reset_us },
            Err(taken) => taken,
        }
    }

    /// Spends now, or at the first turn that comes within `most_wait_us`: whoever asks later comes behind it.
    ///
    /// # Errors
    /// Refused: its turn comes later, or never; or the table is full.
    pub fn take_late(&self, key: Key, quota: &Quota, cost: u64, now_us: u64, most_wait_us: u64) -> Result<Turn, Taken> {
        let (mut shard, mark) = self.shard(key);
        let Some((mut entry, at)) = shard.enter(mark, Kind::of(quota.algorithm), now_us) else {
            return Err(Taken::Full);
        };
        entry.take(quota, cost, at, most_wait_us)
    }

    /// Whether as much could be spent now, for requests that are counted by their answer. Nothing is spent; but who asks
    /// in vain goes over, which starts the penalty.
    #[must_use]
    pub fn peek(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        let (mut shard, mark) = self.shard(key);
        let kind = Kind::of(quota.algorithm);
        if let Some((mut entry, at)) = shard.look(mark, kind, now_us) {
            return entry.peek(quota, cost, at);
        }
        // Who is not known has spent nothing, and needs an entry only when even that is too little; but a place for one
        // has to be there, as what the answer costs could not be counted.
        let mut words = Words::default();
        let taken = Entry { words: &mut words }.peek(quota, cost, shard.moment(now_us));
        if words == Words::default() {
            return if shard.makes_room(mark) { taken } else { Taken::Full };
        }
        match shard.enter(mark, kind, now_us) {
            Some((mut entry, at)) => entry.peek(quota, cost, at),
            None => Taken::Full,
        }
    }

    /// Spends what was asked for already, beyond the limit if need be: then the key goes over, and that is answered.
    /// `Full`: nothing was counted. An answer that costs nothing changes nothing.
    pub fn spend(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        let (mut shard, mark) = self.shard(key);
        let kind = Kind::of(quota.algorithm);
        if cost == 0 {
            let (mut words, at) = (Words::default(), shard.moment(now_us));
            let known = shard.look(mark, kind, now_us);
            let (entry, at) = known.unwrap_or((Entry { words: &mut words }, at));
            return entry.left(quota, at);
        }
        match shard.enter(mark, kind, now_us) {
            Some((mut entry, at)) => entry.spend(quota, cost, at),
            None => Taken::Full,
        }
    }

    /// Takes back what was admitted at `taken_us` (the very time that [`Counters::take`] was given): as much of it as can
    /// be had again without anybody getting more than the limit allows. Right after it, that is all.
    pub fn give_back(&self, key: Key, quota: &Quota, cost: u64, taken_us: u64) {
        let (mut shard, mark) = self.shard(key);
        if let Some((mut entry, at)) = shard.look(mark, Kind::of(quota.algorithm), taken_us) {
            entry.give_back(quota, cost, taken_us, at);
        }
    }

    /// One more request under way, if there are fewer than `most`. Whoever is admitted has to [`Counters::leave`], and
    /// nobody else. `remaining`: how many more could be.
    #[must_use]
    pub fn enter(&self, key: Key, most: u64, now_us: u64) -> Taken {
        let (mut shard, mark) = self.shard(key);
        match shard.enter(mark, Kind::Concurrency, now_us) {
            Some((mut entry, _)) => entry.enter(most),
            None => Taken::Full,
        }
    }

    pub fn leave(&self, key: Key) {
        let (mut shard, mark) = self.shard(key);
        if let Some((mut entry, _)) = shard.look(mark, Kind::Concurrency, 0) {
            entry.leave();
        }
    }

    /// What is spent of the quota at this time; requests under way, of a concurrency limit (`None`).
    #[must_use]
    pub fn used(&self, key: Key, quota: Option<&Quota>, now_us: u64) -> u64 {
        let (mut shard, mark) = self.shard(key);
        let kind = quota.map_or(Kind::Concurrency, |quota| Kind::of(quota.algorithm));
        shard.look(mark, kind, now_us).map_or(0, |(entry, at)| entry.used(quota, at))
    }

    /// Until the key's penalty ends; 0: it is in none.
    #[must_use]
    pub fn penalty_us(&self, key: Key, now_us: u64) -> u64 {
        let (shard, mark) = self.shard(key);
        shard.penalty_ends_us(mark).saturating_sub(now_us)
    }

    /// Forgets what a key has spent, penalty and refusals included; requests under way stay counted. Whether there was
    /// something.
    #[must_use]
    pub fn reset(&self, key: Key) -> bool {
        let told = self.refusals.forget(key);
        let (mut shard, mark) = self.shard(key);
        shard.reset(mark) || told
    }

    /// Puts these exemptions in place of all before: keys, and the Unix millisecond that each ends in.
    pub fn exempt(&self, exemptions: impl IntoIterator<Item = (Key, u64)>) {
        self.exemptions.replace(exemptions);
    }

    #[must_use]
    pub fn is_exempt(&self, key: Key, unix_ms: u64) -> bool {
        self.exemptions.hold(key, unix_ms)
    }

    /// Notes that a limit refused a key, for [`Counters::top`]. `identity`: what the key stands for, asked for once and
    /// cut; None: nobody may know.
    pub fn refused(&self, key: Key, limit: &str, identity: impl FnOnce() -> Option<String>) {
        self.refusals.note(key, limit, identity);
    }

    /// The keys that were refused most, of one limit or of all, those with most refusals first.
    #[must_use]
    pub fn top(&self, limit: Option<&str>, most: usize) -> Vec<Refused> {
        self.refusals.top(limit, most)
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { entries_max: self.entries_max, ..Stats::default() };
        for slot in &self.slots {
            let shard = slot.lock();
            stats.entries += shard.len() as u64;
            stats.evictions += shard.evictions;
            stats.full += shard.full;
        }
        stats
    }

    /// The key's shard, and what tells it from the others there. The first half of the key says which shard, the second
    /// is its mark.
    fn shard(&self, Key([shard, mark]): Key) -> (MutexGuard<'_, Shard>, Mark) {
        let at = (u128::from(shard.wrapping_mul(SPREAD)) * self.slots.len() as u128) >> 64;
        (self.slots[at as usize].lock(), Mark::of(mark))
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Shard> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
