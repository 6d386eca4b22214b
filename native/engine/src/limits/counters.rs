//! What was spent, by key.

use std::sync::OnceLock;

use crate::policy::Algorithm;

/// A limit's name and what tells its counters apart, hashed with the installation's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u64; 2]);

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
        wait_us: u64,
        /// In penalty: it was refused before it was counted.
        penalty: bool,
    },
    /// No place for a new key.
    Full,
}

/// Of the process, all limits and all edge threads.
#[derive(Debug)]
pub struct Counters {}

static OF_PROCESS: OnceLock<Counters> = OnceLock::new();

impl Counters {
    #[must_use]
    pub fn new(_entries: u64) -> Counters {
        Counters {}
    }

    /// The first call says how many.
    #[must_use]
    pub fn of_process(entries: u64) -> &'static Counters {
        OF_PROCESS.get_or_init(|| Counters::new(entries))
    }

    /// Spends, if all of it can be spent now. `now_us`: a clock that never goes back.
    #[must_use]
    pub fn take(&self, _key: Key, quota: &Quota, cost: u64, _now_us: u64) -> Taken {
        Taken::Admitted { remaining: quota.burst.saturating_sub(cost), reset_us: 0 }
    }
}
