//! What was spent, by key.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

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

/// Spent, at a turn that may lie in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// 0: now.
    pub wait_us: u64,
    pub remaining: u64,
    pub reset_us: u64,
}

/// Of the process, all limits and all edge threads.
#[derive(Debug)]
pub struct Counters {
    cells: Mutex<HashMap<Key, f64>>,
}

static OF_PROCESS: OnceLock<Counters> = OnceLock::new();

impl Counters {
    #[must_use]
    pub fn new(_entries: u64) -> Counters {
        Counters { cells: Mutex::default() }
    }

    /// The first call says how many.
    #[must_use]
    pub fn of_process(entries: u64) -> &'static Counters {
        OF_PROCESS.get_or_init(|| Counters::new(entries))
    }

    /// Spends, if all of it can be spent now. `now_us`: a clock that never goes back.
    #[must_use]
    pub fn take(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        match self.take_late(key, quota, cost, now_us, 0) {
            Ok(Turn { remaining, reset_us, .. }) => Taken::Admitted { remaining, reset_us },
            Err(refused) => refused,
        }
    }

    /// # Errors
    /// Refused.
    pub fn take_late(&self, key: Key, quota: &Quota, cost: u64, now_us: u64, most_wait_us: u64) -> Result<Turn, Taken> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cells.entry(key).or_default();
        let (now, unit) = (now_us as f64, quota.period_us as f64 / quota.amount as f64);
        let then = at.max(now) + unit * cost as f64;
        let wait_us = (then - now - unit * quota.burst as f64).max(0.0).ceil() as u64;
        if wait_us > most_wait_us {
            return Err(Taken::Refused { wait_us, penalty: false });
        }
        *at = then;
        Ok(Turn { wait_us, remaining: 0, reset_us: 0 })
    }

    #[must_use]
    pub fn peek(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        let before = self.cells.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        let taken = self.take(key, quota, cost, now_us);
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).insert(key, before.unwrap_or(0.0));
        taken
    }

    pub fn spend(&self, key: Key, quota: &Quota, cost: u64, now_us: u64) -> Taken {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cells.entry(key).or_default();
        *at = at.max(now_us as f64) + quota.period_us as f64 / quota.amount as f64 * cost as f64;
        Taken::Full
    }

    pub fn give_back(&self, _key: Key, _quota: &Quota, _cost: u64, _taken_us: u64) {}
}
