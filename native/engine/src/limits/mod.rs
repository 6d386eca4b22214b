//! Rate limits: which requests count, what tells counters apart, and how much each may spend.
//!
//! [`Limits`] is the compiled part of the policy. What was spent outlives it: [`Counters`] belong to the process, and a
//! [`Key`] is made of the limit's name, so that a reload forgets nothing.

mod compile;
mod counters;
mod key;
mod rule;
pub mod told;

use foldhash::HashMap;

use crate::policy::Sharing;
use crate::rules::Selection;

pub use compile::{MAX_CHARACTERISTICS, MAX_LIMITS};
pub use counters::{Counters, Key, Quota, Taken};
pub use key::Keys;
pub use rule::{Phase, Rule};
pub use told::Left;

/// Number of the implicit limit that is a partner's quota.
pub const QUOTA: u32 = u32::MAX;

/// Of one snapshot.
#[derive(Debug, Default)]
pub struct Limits {
    /// By their place in the policy.
    rules: Box<[Rule]>,
    stages: [Stage; 3],
    /// Whether one is spent when the answer is known.
    settles: bool,
    quota_keys: Option<Keys>,
    pub entries: u64,
    pub allow_uncounted: bool,
    pub headers: bool,
    pub allow_identities: bool,
    pub quotas: Sharing,
}

/// Which limits are asked in one phase.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    of_all: Vec<u32>,
    tested: Selection,
    /// By host and operation.
    of_operations: HashMap<(u32, u32), Vec<u32>>,
}

/// Which limit refuses, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Index of the rule, or [`QUOTA`].
    pub rule: u32,
    /// Seconds, at least 1: `Retry-After`.
    pub retry_after_s: u64,
}

/// What the limits know of one exchange.
#[derive(Debug, Default)]
pub struct Limited {
    /// What the clock says: the exchange's start, until somebody tells a later time.
    pub now_us: u64,
    /// What the fleet's counters are asked.
    pub asks: Vec<Ask>,
    /// What comes when they have answered, or its turn has come.
    pub then: Option<crate::decide::Outcome>,
    pub delay_us: u64,
    /// `RateLimit` and `RateLimit-Policy` lines of the answer, each preceded by CR LF.
    pub fields: String,
    /// Limits that held for the request, log mode included.
    pub looked: Vec<Looked>,
    /// What was spent: given back if another limit refuses.
    pub(crate) spent: Vec<Spent>,
    /// Counted when the answer is known.
    pub(crate) pending: Vec<Spent>,
    /// Places among those under way.
    pub(crate) held: Vec<Key>,
    /// Phases that were done.
    pub(crate) reached: u8,
    /// A limit refused the request, or the answer was counted.
    pub(crate) over: bool,
    /// Room for numbers of limits.
    pub(crate) candidates: Vec<u32>,
}

/// A limit that held for a request.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    pub rule: u32,
    pub key: Key,
    /// None: nothing to tell, of requests under way and of what was not counted.
    pub left: Option<Left>,
    pub enforced: bool,
    pub refused: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub rule: u32,
    pub key: Key,
    pub cost: u64,
}

/// One question to the fleet's counters.
#[derive(Debug, Clone)]
pub struct Ask {
    pub rule: u32,
    pub key: Key,
    pub cost: u64,
    /// Nothing is spent yet.
    pub peek: bool,
}

impl Limited {
    pub fn clear(&mut self) {
        self.now_us = 0;
        self.asks.clear();
        self.then = None;
        self.delay_us = 0;
        self.fields.clear();
        self.looked.clear();
        self.spent.clear();
        self.pending.clear();
        self.held.clear();
        self.reached = 0;
        self.over = false;
    }
}

impl Limits {
    #[must_use]
    pub fn name(&self, rule: u32) -> &str {
        if rule == QUOTA { "quota" } else { &self.rules[rule as usize].name }
    }

    #[must_use]
    pub fn rule(&self, rule: u32) -> Option<&Rule> {
        self.rules.get(rule as usize)
    }

    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether one is spent when the answer is known.
    #[must_use]
    pub fn settles(&self) -> bool {
        self.settles
    }

    pub(crate) fn stage(&self, phase: Phase) -> &Stage {
        &self.stages[phase as usize]
    }

    pub(crate) fn counters(&self) -> &'static Counters {
        Counters::of_process(self.entries)
    }

    /// What counts a partner's quota.
    #[must_use]
    pub fn quota_key(&self, partner: &str) -> Option<Key> {
        Some(self.quota_keys.as_ref()?.of_text(partner))
    }
}

impl Stage {
    pub fn is_empty(&self) -> bool {
        self.of_all.is_empty() && self.tested.is_empty() && self.of_operations.is_empty()
    }

    /// Limits without an expression, for all requests.
    pub fn of_all(&self) -> &[u32] {
        &self.of_all
    }

    pub fn tested(&self) -> &Selection {
        &self.tested
    }

    pub fn of_operation(&self, host: usize, operation: u32) -> &[u32] {
        if self.of_operations.is_empty() {
            return &[];
        }
        self.of_operations.get(&(host as u32, operation)).map_or(&[], Vec::as_slice)
    }
}
