//! What a process knows of its fleet.

use std::sync::OnceLock;

use super::{Ask, Call};
use crate::limits::Taken;
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
pub struct Fleet {}

static OF_PROCESS: OnceLock<Fleet> = OnceLock::new();

impl Fleet {
    /// `entries`: most keys that hold a lease at once.
    #[must_use]
    pub fn new(_entries: u64) -> Fleet {
        Fleet {}
    }

    /// The first call says how many.
    #[must_use]
    pub fn of_process(entries: u64) -> &'static Fleet {
        OF_PROCESS.get_or_init(|| Fleet::new(entries))
    }

    /// Names of the counters from now on: to be told with every policy.
    pub fn named(&self, _shared: &Shared) {}

    /// Mode `fast`: spends (or peeks) from this node's lease; never waits. None: nobody can tell, [`Fleet::fall_back`].
    #[must_use]
    pub fn take(&self, _ask: &Ask, _now_us: u64) -> Option<Taken> {
        None
    }

    /// Mode `fast`: spends whatever is left; for what is counted by its answer.
    pub fn spend(&self, _ask: &Ask, _now_us: u64) {}

    /// Mode `fast`: what [`Fleet::take`] admitted, and another limit refused.
    pub fn give_back(&self, _ask: &Ask, _now_us: u64) {}

    /// What holds for a question that nobody has answered, by `ask.sharing.fallback`. A share spends, or peeks.
    #[must_use]
    pub fn fall_back(&self, ask: &Ask, _now_us: u64) -> Fallen {
        match ask.sharing.fallback {
            Fallback::Local | Fallback::Closed => Fallen::Closed,
            Fallback::Open => Fallen::Open,
        }
    }

    /// The next call of what is to be settled; one at a time, [`Fleet::settled`] has to follow. None: nothing more for now,
    /// come back in 100 ms. To be asked in a row until then.
    #[must_use]
    pub fn spent(&self, _now_us: u64) -> Option<Call> {
        None
    }

    /// What was answered to the last [`Fleet::spent`]; None: nobody did. `nodes`: how many there are; 0: not known.
    pub fn settled(&self, _reply: Option<&[u8]>, _nodes: u32, _now_us: u64) {}
}
