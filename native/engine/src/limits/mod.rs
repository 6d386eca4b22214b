//! Rate limits: which requests count, what tells counters apart, and how much each may spend.
//!
//! [`Limits`] is the compiled part of the policy. What was spent outlives it: [`Counters`] belong to the process, and a
//! [`Key`] is made of the limit's name, so that a reload forgets nothing.

mod counters;
mod entry;
mod exemptions;
mod gcra;
mod refused;
pub mod shared;
mod table;
mod window;

use crate::policy::{Policy, Problem};

pub use counters::{Counters, Key, Quota, Stats, Taken, Turn};
pub use refused::Refused;
pub use shared::Ask;
pub use window::MOST as MOST_OF_WINDOW;

/// Of one snapshot.
#[derive(Debug, Default)]
pub struct Limits {
    names: Vec<Box<str>>,
}

/// Which limit refuses, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Index of the rule.
    pub rule: u32,
    /// What it was counted under.
    pub key: Key,
    /// Seconds, at least 1: `Retry-After`.
    pub retry_after_s: u64,
}

/// What the limits know of one exchange.
#[derive(Debug, Default)]
pub struct Limited {
    /// What the clock says: the exchange's start, until somebody tells a later time.
    pub now_us: u64,
    /// What the fleet's counters are asked; behind [`crate::decide::settled`], what is spent of them.
    pub asks: Vec<Ask>,
    /// What comes when they have answered, or its turn has come.
    pub then: Option<crate::decide::Outcome>,
    pub delay_us: u64,
    /// Whose turn it waits for.
    pub delayed: Option<u32>,
    /// Indexes of the limits that were looked at, each once.
    pub checked: Vec<u32>,
    /// The answer decides what some of them count: [`crate::decide::settled`].
    pub wants_response: bool,
    /// `RateLimit` and `RateLimit-Policy` lines of the answer, each preceded by CR LF.
    pub fields: String,
}

impl Limited {
    pub fn clear(&mut self) {
        self.now_us = 0;
        self.asks.clear();
        self.then = None;
        self.delay_us = 0;
        self.delayed = None;
        self.checked.clear();
        self.wants_response = false;
        self.fields.clear();
    }
}

impl Limits {
    /// Compiles all limits; every one that cannot be compiled adds a problem.
    #[must_use]
    pub fn compile(policy: &Policy, _problems: &mut Vec<Problem>) -> Limits {
        Limits { names: policy.limits.rules.iter().map(|limit| limit.name.as_str().into()).collect() }
    }

    #[must_use]
    pub fn name(&self, rule: u32) -> &str {
        &self.names[rule as usize]
    }
}

#[cfg(test)]
mod tests;
