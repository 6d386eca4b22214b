//! What was spent, by key.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use crate::policy::Algorithm;

/// A limit's name and what tells its counters apart, hashed with the installation's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u64; 2]);

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        wait_us: u64,
        /// In penalty: it was refused before it was counted.
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

/// Of the process, all limits and all edge threads.
#[derive(Debug, Default)]
pub struct Counters {
    cells: Mutex<HashMap<Key, (u64, u64)>>,
}

static OF_PROCESS: OnceLock<Counters> = OnceLock::new();

impl Counters {
    #[must_use]
    pub fn new(_entries: u64) -> Counters {
        Counters::default()
    }

    /// The first call says how many.
    #[must_use]
    pub fn of_process(entries: u64) -> &'static Counters {
        OF_PROCESS.get_or_init(|| Counters::new(entries))
    }

    /// Spends, if all of it can be spent now. `now_us`: a clock that never goes back.
    #[must_use]
    pub fn take(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        self.gcra(key, quota, cost, now_us, true)
    }

    #[must_use]
    pub fn peek(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        self.gcra(key, quota, cost, now_us, false)
    }

    pub fn spend(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        let t = quota.period_us / quota.amount;
        let mut cells = self.cells.lock().unwrap();
        let cell = cells.entry(key).or_default();
        cell.0 = cell.0.max(now_us) + t * cost;
        Taken::Full
    }

    pub fn give_back(&self, key: Key, quota: &Quota, cost: u64, _now_us: u64) {
        let t = quota.period_us / quota.amount;
        let mut cells = self.cells.lock().unwrap();
        let cell = cells.entry(key).or_default();
        cell.0 = cell.0.saturating_sub(t * cost);
    }

    pub fn take_late(
        &self,
        key: Key,
        quota: &Quota,
        cost: u64,
        now_us: u64,
        _most_wait_us: u64,
    ) -> Result<Turn, Taken> {
        match self.take(key, quota, cost, now_us) {
            Taken::Admitted { remaining, reset_us } => Ok(Turn { wait_us: 0, remaining, reset_us }),
            other => Err(other),
        }
    }

    pub fn is_exempt(&self, _key: Key, _unix_ms: u64) -> bool {
        false
    }

    pub fn refused(&self, _key: Key, _limit: &str, _identity: impl FnOnce() -> Option<String>, _now_us: u64) {}

    #[must_use]
    pub fn enter(&self, key: Key, most: u64) -> Taken {
        let mut cells = self.cells.lock().unwrap();
        let cell = cells.entry(key).or_default();
        if cell.0 >= most {
            return Taken::Refused { wait_us: 1, penalty: false };
        }
        cell.0 += 1;
        Taken::Admitted { remaining: most - cell.0, reset_us: 0 }
    }

    pub fn leave(&self, key: Key) {
        let mut cells = self.cells.lock().unwrap();
        let cell = cells.entry(key).or_default();
        cell.0 = cell.0.saturating_sub(1);
    }

    fn gcra(&self, key: Key, quota: &Quota, cost: u64, now_us: u64, take: bool) -> Taken {
        let t = quota.period_us / quota.amount;
        let tolerance = t * quota.burst;
        let mut cells = self.cells.lock().unwrap();
        let cell = cells.entry(key).or_default();
        if cell.1 > now_us {
            return Taken::Refused { wait_us: cell.1 - now_us, penalty: true };
        }
        let tat = cell.0.max(now_us) + t * cost;
        if tat > now_us + tolerance {
            if take && quota.penalty_us > 0 {
                cell.1 = now_us + quota.penalty_us;
                return Taken::Refused { wait_us: quota.penalty_us, penalty: false };
            }
            return Taken::Refused { wait_us: tat - now_us - tolerance, penalty: false };
        }
        if take {
            cell.0 = tat;
        }
        let spent = if take { tat } else { cell.0.max(now_us) };
        Taken::Admitted { remaining: (now_us + tolerance - spent) / t, reset_us: spent - now_us }
    }
}
