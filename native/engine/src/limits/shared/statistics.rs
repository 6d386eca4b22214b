//! What is told of a fleet's limits in metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;

use crate::policy::Fallback;

/// Most rules that are told apart.
const MAX_RULES: usize = 4_096;

/// Since the start of the process, but for what is [`Statistics::taken`].
#[derive(Debug, Default)]
pub struct Statistics {
    asks: AtomicU64,
    memory_lost: AtomicU64,
    untold: AtomicU64,
    fallbacks: Mutex<HashMap<(u32, Fallback), u64>>,
    overshoot: Mutex<HashMap<u32, u64>>,
}

/// At this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Questions to the fleet's counters.
    pub asks: u64,
    /// Keys that hold a lease or owe something.
    pub leases: u64,
    /// As of the last settling.
    pub nodes: u32,
    pub memory_lost: u64,
    /// Records of what was spent, or goes back, that found no room.
    pub untold: u64,
    /// Whether leases can be settled.
    pub settles: bool,
    /// By rule, since this was last asked.
    pub fallbacks: Vec<(u32, Fallback, u64)>,
    /// Units that went beyond the policy, by rule, since this was last asked.
    pub overshoot: Vec<(u32, u64)>,
}

impl Statistics {
    pub(super) fn asked(&self, asks: usize) {
        self.asks.fetch_add(asks as u64, Relaxed);
    }

    pub(super) fn memory_lost(&self) {
        self.memory_lost.fetch_add(1, Relaxed);
    }

    pub(super) fn untold(&self) {
        self.untold.fetch_add(1, Relaxed);
    }

    pub(super) fn fell_back(&self, rule: u32, fallback: Fallback) {
        add(&self.fallbacks, (rule, fallback), 1);
    }

    pub(super) fn overshot(&self, rule: u32, units: u64) {
        add(&self.overshoot, rule, units);
    }

    pub(super) fn taken(&self) -> Told {
        let fallbacks = std::mem::take(&mut *self.fallbacks.lock().unwrap_or_else(PoisonError::into_inner));
        let overshoot = std::mem::take(&mut *self.overshoot.lock().unwrap_or_else(PoisonError::into_inner));
        Told {
            asks: self.asks.load(Relaxed),
            memory_lost: self.memory_lost.load(Relaxed),
            untold: self.untold.load(Relaxed),
            fallbacks: fallbacks.into_iter().map(|((rule, fallback), count)| (rule, fallback, count)).collect(),
            overshoot: overshoot.into_iter().collect(),
            ..Told::default()
        }
    }
}

fn add<K: std::hash::Hash + Eq>(counts: &Mutex<HashMap<K, u64>>, which: K, more: u64) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    if counts.len() < MAX_RULES || counts.contains_key(&which) {
        let count = counts.entry(which).or_default();
        *count = count.saturating_add(more);
    }
}
