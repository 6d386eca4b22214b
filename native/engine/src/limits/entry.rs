//! What is known of one key: when its penalty ends, and what it has spent.

use crate::policy::Algorithm;

use super::counters::{Quota, Taken, Turn};
use super::{gcra, window};

/// What an entry's words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gcra = 1,
    Window = 2,
    Concurrency = 3,
}

impl Kind {
    /// Of the low bits of an entry's first word.
    pub(super) fn read(word: u64) -> Option<Kind> {
        match word & 3 {
            1 => Some(Kind::Gcra),
            2 => Some(Kind::Window),
            3 => Some(Kind::Concurrency),
            _ => None,
        }
    }

    pub(super) fn of(algorithm: Algorithm) -> Kind {
        match algorithm {
            Algorithm::Gcra => Kind::Gcra,
            Algorithm::SlidingWindow => Kind::Window,
        }
    }

    /// The first microsecond from which on it says no more than no entry would; the last of all: not by time.
    pub(super) fn idle_us(self, words: &Words) -> u64 {
        let [penalty_us, full_ns, _, _, last] = *words;
        match self {
            Kind::Gcra => gcra::idle_us(full_ns).max(penalty_us),
            Kind::Window => window::idle_us(last).max(penalty_us),
            Kind::Concurrency if full_ns > 0 => u64::MAX,
            Kind::Concurrency => 0,
        }
    }
}

/// When something is decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_us: u64,
    /// The latest time that any thread has told.
    pub(super) latest_us: u64,
}

/// Words of an entry behind its mark: the microsecond that the penalty ends in, and its state.
pub(super) type Words = [u64; 5];

pub(super) struct Entry<'a> {
    pub(super) words: &'a mut Words,
}

impl Entry<'_> {
    pub(super) fn take(&mut self, quota: &Quota, cost: u64, at: Moment, most_wait_us: u64) -> Result<Turn, Taken> {
        self.penalized(quota, cost, at)?;
        let [_, state @ ..] = &mut *self.words;
        let turn = match quota.algorithm {
            Algorithm::Gcra => gcra::take(&mut state[0], quota, cost, at.now_us, most_wait_us),
            Algorithm::SlidingWindow => window::take(state, quota, cost, at, most_wait_us),
        };
        turn.map_err(|wait_us| self.over(quota, wait_us, at))
    }

    pub(super) fn peek(&mut self, quota: &Quota, cost: u64, at: Moment) -> Taken {
        if let Err(taken) = self.penalized(quota, cost, at) {
            return taken;
        }
        match self.could(quota, cost, at) {
            Ok(turn) => turn.into(),
            Err(wait_us) => self.over(quota, wait_us, at),
        }
    }

    pub(super) fn spend(&mut self, quota: &Quota, cost: u64, at: Moment) -> Taken {
        let [penalty_us, state @ ..] = &mut *self.words;
        let turn = match quota.algorithm {
            Algorithm::Gcra => gcra::spend(&mut state[0], quota, cost, at.now_us),
            Algorithm::SlidingWindow => window::spend(state, quota, cost, at),
        };
        match (turn, penalty_us.saturating_sub(at.now_us)) {
            (Ok(turn), 0) => turn.into(),
            (Err(wait_us), 0) => self.over(quota, wait_us, at),
            (turn, penalty_us) => Taken::Refused { wait_us: turn.err().unwrap_or(0).max(penalty_us), penalty: true },
        }
    }

    /// What there is, for who spends nothing.
    pub(super) fn left(&self, quota: &Quota, at: Moment) -> Taken {
        let taken = self
            .penalized(quota, 0, at)
            .and_then(|()| self.could(quota, 0, at).map_err(|wait_us| Taken::Refused { wait_us, penalty: false }));
        taken.map_or_else(|refused| refused, Taken::from)
    }

    pub(super) fn give_back(&mut self, quota: &Quota, cost: u64, taken_us: u64, at: Moment) {
        let [_, state @ ..] = &mut *self.words;
        match quota.algorithm {
            Algorithm::Gcra => gcra::give_back(&mut state[0], quota, cost, taken_us, at.latest_us),
            Algorithm::SlidingWindow => window::give_back(state, quota, cost, taken_us, at),
        }
    }

    pub(super) fn enter(&mut self, most: u64) -> Taken {
        let under_way = &mut self.words[1];
        if *under_way >= most {
            return Taken::Refused { wait_us: 0, penalty: false };
        }
        *under_way += 1;
        Taken::Admitted { remaining: most - *under_way, reset_us: 0 }
    }

    pub(super) fn leave(&mut self) {
        self.words[1] = self.words[1].saturating_sub(1);
    }

    pub(super) fn used(&self, quota: Option<&Quota>, at: Moment) -> u64 {
        let [_, state @ ..] = &*self.words;
        match quota {
            None => state[0],
            Some(quota) => match quota.algorithm {
                Algorithm::Gcra => gcra::used(state[0], quota, at.now_us),
                Algorithm::SlidingWindow => window::used(state, quota, at),
            },
        }
    }

    /// What it costs, as far as it can be told without spending.
    fn could(&self, quota: &Quota, cost: u64, at: Moment) -> Result<Turn, u64> {
        let [_, state @ ..] = &*self.words;
        match quota.algorithm {
            Algorithm::Gcra => gcra::peek(state[0], quota, cost, at.now_us),
            Algorithm::SlidingWindow => window::peek(state, quota, cost, at),
        }
    }

    /// Refuses who is in penalty.
    fn penalized(&self, quota: &Quota, cost: u64, at: Moment) -> Result<(), Taken> {
        match self.words[0].saturating_sub(at.now_us) {
            0 => Ok(()),
            penalty_us => {
                let wait_us = self.could(quota, cost, at).err().unwrap_or(0);
                Err(Taken::Refused { wait_us: wait_us.max(penalty_us), penalty: true })
            }
        }
    }

    fn over(&mut self, quota: &Quota, wait_us: u64, at: Moment) -> Taken {
        let penalty = quota.penalty_us > 0;
        if penalty {
            self.words[0] = at.now_us.saturating_add(quota.penalty_us);
        }
        Taken::Refused { wait_us: wait_us.max(quota.penalty_us), penalty }
    }
}

impl From<Turn> for Taken {
    fn from(Turn { remaining, reset_us, .. }: Turn) -> Taken {
        Taken::Admitted { remaining, reset_us }
    }
}
