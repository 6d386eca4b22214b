//! A node's share of a limit: what it goes on with while nobody can be asked.
//!
//! Amount and burst divided by the number of nodes, at least 1. The number is the largest that was told within the last
//! minutes in which any was told: an outage makes nobody's share larger, neither while it lasts nor right after it, when
//! most nodes have not been seen again. A node that was never told takes itself for the only one.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::{Ask, refused};
use crate::limits::{Counters, Key, Quota, Taken};

/// For so long, and no longer than twice that, the largest number is remembered.
const REMEMBERED_US: u64 = 60_000_000;
/// Tells a share's counter from that of the same limit when it is counted in this process alone.
const SHARE: u64 = 0x7368_6172_6564_0001;

#[derive(Debug)]
pub(super) struct Shares {
    counters: &'static Counters,
    nodes: AtomicU32,
    told: Mutex<Nodes>,
}

#[derive(Debug, Default)]
struct Nodes {
    since_us: u64,
    most: u32,
    most_before: u32,
}

impl Shares {
    pub(super) fn new(counters: &'static Counters) -> Shares {
        Shares { counters, nodes: AtomicU32::new(1), told: Mutex::default() }
    }

    pub(super) fn nodes(&self) -> u32 {
        self.nodes.load(Relaxed)
    }

    pub(super) fn told(&self, nodes: u32, now_us: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if now_us.saturating_sub(told.since_us) >= REMEMBERED_US {
            *told = Nodes { since_us: now_us, most: 0, most_before: told.most };
        }
        told.most = told.most.max(nodes);
        self.nodes.store(told.most.max(told.most_before).max(1), Relaxed);
    }

    /// Refused for no longer than `ask.delay_us`, without penalty: it is spent, and its turn comes then.
    pub(super) fn take(&self, ask: &Ask, now_us: u64) -> Taken {
        let quota = self.of(&ask.quota);
        if ask.peek {
            return self.counters.peek(key(ask.key), &quota, ask.cost, now_us);
        }
        match self.counters.take_late(key(ask.key), &quota, ask.cost, now_us, ask.delay_us) {
            Ok(turn) if turn.wait_us == 0 => Taken::Admitted { remaining: turn.remaining, reset_us: turn.reset_us },
            Ok(turn) => Taken::Refused { wait_us: turn.wait_us, penalty: false },
            Err(Taken::Refused { wait_us, penalty: false }) => refused(ask, wait_us),
            Err(taken) => taken,
        }
    }

    pub(super) fn spend(&self, ask: &Ask, now_us: u64) {
        let _ = self.counters.spend(key(ask.key), &self.of(&ask.quota), ask.cost, now_us);
    }

    pub(super) fn give_back(&self, ask: &Ask, taken_us: u64) {
        self.counters.give_back(key(ask.key), &self.of(&ask.quota), ask.cost, taken_us);
    }

    pub(super) fn reset(&self, of: Key) -> bool {
        self.counters.reset(key(of))
    }

    fn of(&self, quota: &Quota) -> Quota {
        let nodes = u64::from(self.nodes());
        Quota { amount: (quota.amount / nodes).max(1), burst: (quota.burst / nodes).max(1), ..*quota }
    }
}

fn key(Key([first, second]): Key) -> Key {
    Key([first, second ^ SHARE])
}
