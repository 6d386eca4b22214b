//! What a process knows of its fleet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::leases::Leases;
use super::record::{self, PARTITIONS, Reply, whole};
use super::settling::Settling;
use super::share::Shares;
use super::statistics::{Statistics, Told};
use super::{Ask, Call, turn_us};
use crate::limits::{Counters, Key, Quota, Taken};
use crate::policy::{Fallback, Shared};

/// What holds while the fleet's counters cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallen {
    /// The node's share has answered.
    Taken(Taken),
    /// It passes, uncounted.
    Open,
    /// It does not: reason `limits.unavailable`.
    Closed,
}

/// Of the process, all limits and all edge threads: [`Fleet::of_process`].
#[derive(Debug)]
pub struct Fleet {
    names: ArcSwap<Shared>,
    leases: Leases,
    shares: Shares,
    memories: [Memory; PARTITIONS],
    settling: Mutex<Settling>,
    settles: AtomicBool,
    statistics: Statistics,
}

/// Of the server that counts a partition.
#[derive(Debug, Default)]
struct Memory {
    /// The latest birth that was heard of, by the server's time; 0: none.
    birth_us: AtomicU64,
    /// When that was by this node's clock, if there was a memory before; 0: there was none.
    lost_us: AtomicU64,
}

static OF_PROCESS: OnceLock<Fleet> = OnceLock::new();

impl Fleet {
    /// `entries`: most keys that hold a lease at once. `counters`: of the shares.
    #[must_use]
    pub fn new(entries: u64, counters: &'static Counters) -> Fleet {
        Fleet {
            names: ArcSwap::default(),
            leases: Leases::new(entries),
            shares: Shares::new(counters),
            memories: Default::default(),
            settling: Mutex::default(),
            settles: AtomicBool::new(true),
            statistics: Statistics::default(),
        }
    }

    /// The first call says how many.
    #[must_use]
    pub fn of_process(entries: u64) -> &'static Fleet {
        OF_PROCESS.get_or_init(|| Fleet::new(entries, Counters::of_process(entries)))
    }

    /// None: no policy has been compiled yet.
    #[must_use]
    pub fn started() -> Option<&'static Fleet> {
        OF_PROCESS.get()
    }

    /// Names of the counters from now on: to be told with every policy.
    pub fn named(&self, shared: &Shared) {
        if **self.names.load() != *shared {
            self.names.store(Arc::new(shared.clone()));
        }
    }

    /// Mode `fast`: spends (or peeks) from this node's lease; never waits. None: nobody can tell, [`Fleet::fall_back`].
    #[must_use]
    pub fn take(&self, ask: &Ask, now_us: u64) -> Option<Taken> {
        if !self.settles.load(Relaxed) {
            return None;
        }
        let memory = self.memory(ask.key);
        let forgot = memory.forgot(&ask.quota, now_us);
        if forgot && ask.sharing.fallback == Fallback::Closed {
            return None;
        }
        let taken = {
            let mut shard = self.leases.of(ask.key);
            let Some(mut place) = shard.enter(ask, now_us) else { return Some(Taken::Full) };
            let taken = place.lease().take(ask, memory.birth_us(), now_us);
            place.mark();
            taken
        };
        if !forgot || turn_us(taken, ask.delay_us).is_none() {
            return Some(taken);
        }
        let both = self.also(ask, taken, now_us);
        if both.is_none_or(|both| turn_us(both, ask.delay_us).is_none()) {
            self.give_back(ask);
        }
        both
    }

    /// Mode `fast`: spends whatever is left; for what is counted by its answer.
    pub fn spend(&self, ask: &Ask, now_us: u64) {
        if let Some(mut place) = self.leases.of(ask.key).enter(ask, now_us) {
            place.lease().spend(ask, now_us);
            place.mark();
        } else {
            self.statistics.untold();
        }
        if !self.settles.load(Relaxed) || self.memory(ask.key).forgot(&ask.quota, now_us) {
            self.spend_share(ask, now_us);
        }
    }

    /// Mode `fast`: what [`Fleet::take`] admitted, and another limit refused.
    pub fn give_back(&self, ask: &Ask) {
        if ask.peek {
            return;
        }
        if let Some(mut place) = self.leases.of(ask.key).look(ask.key) {
            place.lease().give_back(ask.cost);
        }
    }

    /// What holds for a question that nobody has answered, by `ask.sharing.fallback`. A share spends, or peeks.
    #[must_use]
    pub fn fall_back(&self, ask: &Ask, now_us: u64) -> Fallen {
        self.statistics.fell_back(ask.rule, ask.sharing.fallback);
        match ask.sharing.fallback {
            Fallback::Local => Fallen::Taken(self.shares.take(ask, now_us)),
            Fallback::Open => Fallen::Open,
            Fallback::Closed => Fallen::Closed,
        }
    }

    /// What the share has admitted ([`Fallen::Taken`]) at this time, and another limit refused.
    pub fn give_back_share(&self, ask: &Ask, taken_us: u64) {
        if !ask.peek {
            self.shares.give_back(ask, taken_us);
        }
    }

    /// Forgets how a key stands at this node, penalty included; not what it owes. Whether there was something. The fleet's
    /// counter is forgotten by a call of its own, and other nodes hear of that when they settle.
    #[must_use]
    pub fn reset(&self, key: Key) -> bool {
        let share = self.shares.reset(key);
        self.leases.of(key).look(key).is_some_and(|mut place| place.lease().reset()) || share
    }

    /// The next call of what is to be settled; one at a time, [`Fleet::settled`] has to follow. None: nothing more for now,
    /// come back in 100 ms. To be asked in a row until then.
    #[must_use]
    pub fn spent(&self, now_us: u64) -> Option<Call> {
        let names = self.names.load();
        let birth_us = |partition: usize| self.memories[partition].birth_us();
        let mut settling = self.settling();
        let call = settling.next(&self.leases, &names, birth_us, self.shares.nodes(), now_us);
        self.settles.store(settling.is_up(), Relaxed);
        call
    }

    /// What was answered to the last [`Fleet::spent`]; None: nobody did. `nodes`: how many there are; 0: not known.
    pub fn settled(&self, reply: Option<&[u8]>, nodes: u32, now_us: u64) {
        if nodes > 0 {
            self.shares.told(nodes, now_us);
        }
        let mut settling = self.settling();
        let overshot = |rule, units| self.statistics.overshot(rule, units);
        if let Some((partition, reply)) = settling.answered(&self.leases, reply, now_us, overshot) {
            self.heard(partition, &reply, now_us);
        }
        self.settles.store(settling.is_up(), Relaxed);
    }

    /// For metrics. What is told by rule is told once.
    #[must_use]
    pub fn told(&self) -> Told {
        Told {
            leases: self.leases.count(),
            nodes: self.shares.nodes(),
            settles: self.settles.load(Relaxed),
            ..self.statistics.taken()
        }
    }
}

impl Fleet {
    pub(super) fn names(&self) -> Guard<Arc<Shared>> {
        self.names.load()
    }

    pub(super) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    pub(super) fn birth_us(&self, partition: usize) -> f64 {
        self.memories[partition].birth_us()
    }

    pub(super) fn spend_share(&self, ask: &Ask, now_us: u64) {
        if ask.sharing.fallback == Fallback::Local {
            self.shares.spend(ask, now_us);
        }
    }

    /// What the fleet has admitted, and what has to be so by the fallback as well, because the server's memory is younger
    /// than what the limit looks back on. None: it falls back.
    pub(super) fn also(&self, ask: &Ask, taken: Taken, now_us: u64) -> Option<Taken> {
        match ask.sharing.fallback {
            Fallback::Open => Some(taken),
            Fallback::Closed => None,
            Fallback::Local => {
                let share = self.shares.take(ask, now_us);
                let waits = |taken| turn_us(taken, ask.delay_us);
                Some(if waits(share).is_some_and(|wait| Some(wait) <= waits(taken)) { taken } else { share })
            }
        }
    }

    /// What a reply tells of the server.
    pub(super) fn heard(&self, partition: usize, reply: &Reply<'_>, now_us: u64) {
        let memory = &self.memories[partition];
        let birth_us = whole(reply.birth_us);
        let before = memory.birth_us.fetch_max(birth_us, Relaxed);
        if birth_us < before {
            return;
        }
        if before > 0 && birth_us > before {
            self.statistics.memory_lost();
        }
        let age_us = whole(reply.now_us - reply.birth_us);
        memory.lost_us.store(if reply.lost { now_us.saturating_sub(age_us).max(1) } else { 0 }, Relaxed);
    }

    fn memory(&self, key: Key) -> &Memory {
        &self.memories[record::partition(key, self.names.load().cluster)]
    }

    fn settling(&self) -> MutexGuard<'_, Settling> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53: it was read from a double")]
    fn birth_us(&self) -> f64 {
        self.birth_us.load(Relaxed) as f64
    }

    fn forgot(&self, quota: &Quota, now_us: u64) -> bool {
        let lost_us = self.lost_us.load(Relaxed);
        lost_us > 0 && now_us < lost_us.saturating_add(quota.period_us)
    }
}
