//! Rate limits: which requests count, what tells counters apart, and how much each may spend.
//!
//! [`Limits`] is the compiled part of the policy. What was spent outlives it: [`Counters`] belong to the process, and a
//! [`Key`] is made of the limit's name, so that a reload forgets nothing.

mod counters;
pub mod shared;

use crate::policy::{Policy, Problem};

pub use counters::{Counters, Key, Quota, Taken};

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
    /// Seconds, at least 1: `Retry-After`.
    pub retry_after_s: u64,
}

/// What the limits know of one exchange.
#[derive(Debug, Default)]
pub struct Limited {
    /// What the fleet's counters are asked.
    pub asks: Vec<Ask>,
    /// What comes when they have answered, or its turn has come.
    pub then: Option<crate::decide::Outcome>,
    pub delay_us: u64,
    /// `RateLimit` and `RateLimit-Policy` lines of the answer, each preceded by CR LF.
    pub fields: String,
}

/// One question to the fleet's counters.
#[derive(Debug, Clone)]
pub struct Ask {
    pub rule: u32,
    pub key: Key,
    pub cost: u64,
}

impl Limited {
    pub fn clear(&mut self) {
        self.asks.clear();
        self.then = None;
        self.delay_us = 0;
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
