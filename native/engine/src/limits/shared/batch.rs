//! What the exchanges of one edge thread ask, gathered for a turn of its loop.

use super::{Ask, Fleet};
use crate::limits::Taken;

/// An exchange: its slot, and what tells it from those before and after in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    pub slot: u32,
    pub generation: u32,
}

/// What is asked at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    pub number: u32,
    pub calls: Vec<Call>,
    /// Exchanges that have all their answers when all calls are answered or given up.
    pub waiters: Vec<Waiter>,
}

/// One call of the function.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The partition's birth first, then one for each record.
    pub keys: Vec<String>,
    pub records: Vec<u8>,
}

/// Of one edge thread.
#[derive(Debug)]
pub struct Asking {
    fleet: &'static Fleet,
    up: bool,
}

impl Asking {
    #[must_use]
    pub fn new(fleet: &'static Fleet) -> Asking {
        Asking { fleet, up: true }
    }

    /// While not, [`Asking::ask`] answers at once that nobody can be asked.
    pub fn set_up(&mut self, up: bool) {
        self.up = up;
    }

    /// Takes an exchange's questions (mode `strict`) into the next batch. Whether it did: else all of them fall back.
    #[must_use]
    pub fn ask(&mut self, _waiter: Waiter, _asks: &[Ask]) -> bool {
        self.up && false
    }

    /// Spends whatever is left; for what is counted by its answer. Nobody waits; on the share while nobody can be asked.
    pub fn spend(&mut self, ask: &Ask, now_us: u64) {
        let _ = self.fleet.fall_back(ask, now_us);
    }

    /// Whether [`Asking::next`] has something.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        false
    }

    /// What is to be asked now; what did not fit follows in the next.
    #[must_use]
    pub fn next(&mut self) -> Option<Batch> {
        None
    }

    /// What was answered to a call (by its place) of a batch; None: nobody answered.
    pub fn answered(&mut self, _number: u32, _call: u32, _reply: Option<&[u8]>, _now_us: u64) {}

    /// By each question of the exchange, in their order; for `decide::asked`. None: it waits for nothing, or too early
    /// was asked by another one's slot.
    #[must_use]
    pub fn answers(&self, _waiter: Waiter) -> Option<&[Option<Taken>]> {
        None
    }

    /// The exchange is refused after all: what the fleet has taken for it goes back with the next batch. Before the batch is
    /// over.
    pub fn give_back(&mut self, _waiter: Waiter) {}

    /// All of the batch's exchanges have been told; its number may come again.
    pub fn over(&mut self, _number: u32) {}
}
