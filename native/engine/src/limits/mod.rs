//! Rate limits: which requests count, what tells counters apart, and how much each may spend.
//!
//! [`Limits`] is the compiled part of the policy. What was spent outlives it: [`Counters`] belong to the process, and a
//! [`Key`] is made of the limit's name, so that a reload forgets nothing.

mod compile;
mod counters;
mod entry;
mod exemptions;
mod gcra;
pub mod geo;
mod key;
mod refused;
mod rule;
pub mod shared;
pub mod shown;
mod table;
pub mod told;
pub mod volume;
mod window;

use std::sync::Arc;

use foldhash::HashMap;

use crate::partners::Partner;
use crate::policy::{LimitAction, Sharing};
use crate::rules::{Read, Reading, Selection, Wanted};
use shared::Fleet;

pub use compile::{MAX_CHARACTERISTICS, MAX_LIMITS};
pub use counters::{Counters, Key, Quota, Stats, Taken, Turn};
pub use key::Keys;
pub use refused::Refused;
pub use rule::{Phase, Rule};
pub use shared::Ask;
pub use told::Left;
pub use window::MOST as MOST_OF_WINDOW;

/// Number of the implicit limit that is a partner's quota.
pub const QUOTA: u32 = u32::MAX;

/// Of one snapshot.
#[derive(Debug, Default)]
pub struct Limits {
    /// By their place in the policy.
    rules: Box<[Rule]>,
    stages: [Stage; 4],
    /// Whether one is spent when the answer is known.
    settles: bool,
    quota_keys: Option<Keys>,
    volume_keys: Option<Keys>,
    /// What they read of bodies.
    wanted: Option<Arc<Wanted>>,
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
    /// Whether one is spent when the answer is known.
    settles: bool,
}

/// How one limit counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub name: &'a str,
    pub quota: &'a Quota,
    pub sharing: Sharing,
    pub action: LimitAction,
    /// Item of `RateLimit-Policy`.
    pub told: &'a str,
}

impl Terms<'_> {
    pub fn ask(&self, rule: u32, key: Key, cost: u64, peek: bool) -> Ask {
        let Terms { quota, sharing, .. } = *self;
        Ask { rule, key, quota: *quota, cost, peek, delay_us: self.delay_us(), sharing }
    }

    pub fn is_enforced(&self) -> bool {
        self.action != LimitAction::Log
    }

    /// Longest time that a request may wait for its turn.
    pub fn delay_us(&self) -> u64 {
        if let LimitAction::Delay(most_ms) = self.action { most_ms.saturating_mul(1000) } else { 0 }
    }
}

/// Which limit refuses, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Index of the rule, or [`QUOTA`].
    pub rule: u32,
    /// What it was counted under.
    pub key: Key,
    /// Seconds, at least 1: `Retry-After`.
    pub retry_after_s: u64,
}

/// Whose it was what a request has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpentOf {
    /// A counter of this process.
    Counter,
    /// What the fleet has lent this node.
    Lease,
    /// The node's share, while the fleet cannot be asked.
    Share,
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
    /// What is left of the limits that are enforced.
    pub(crate) left: Vec<(u32, Left)>,
    /// What was spent, and when: given back if another limit refuses.
    pub(crate) spent: Vec<(Ask, u64, SpentOf)>,
    /// Counted when the answer is known.
    pub(crate) pending: Vec<Ask>,
    /// Places among those under way.
    pub(crate) held: crate::decide::Places,
    /// Phases that were done.
    pub(crate) reached: u8,
    /// A limit refused the request, or its answer was counted.
    pub(crate) over: bool,
    /// What is to be read of the body.
    pub reading: Option<Reading>,
    /// What was.
    pub read: Option<Read>,
    /// The body is collected for limits alone.
    pub(crate) alone: bool,
    /// Room for numbers of limits.
    pub(crate) candidates: Vec<u32>,
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
        self.left.clear();
        self.spent.clear();
        self.pending.clear();
        self.held.leave();
        self.reached = 0;
        self.over = false;
        self.reading = None;
        self.read = None;
        self.alone = false;
    }
}

/// What one of many messages leaves as it was.
pub(crate) struct Kept {
    left: Vec<(u32, Left)>,
    spent: Vec<(Ask, u64, SpentOf)>,
    held: crate::decide::Places,
    pending: Vec<Ask>,
    fields: String,
    over: bool,
    checked: usize,
}

impl Limited {
    /// To be called before the limits of a message are asked.
    pub(crate) fn keep(&mut self) -> Kept {
        Kept {
            left: std::mem::take(&mut self.left),
            spent: std::mem::take(&mut self.spent),
            held: std::mem::take(&mut self.held),
            pending: std::mem::take(&mut self.pending),
            fields: std::mem::take(&mut self.fields),
            over: self.over,
            checked: self.checked.len(),
        }
    }

    /// To be called when they were.
    pub(crate) fn restore(&mut self, kept: Kept) {
        let Kept { left, spent, held, pending, fields, over, checked } = kept;
        (self.left, self.spent, self.held, self.pending) = (left, spent, held, pending);
        self.fields = fields;
        self.over = over;
        // Each limit once, however many messages it was asked for.
        let (before, new) = self.checked.split_at(checked);
        let new: Vec<u32> = new.iter().filter(|number| !before.contains(number)).copied().collect();
        self.checked.truncate(checked);
        self.checked.extend(new);
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

    /// What limits read of bodies; None: none does.
    pub(crate) fn wanted(&self) -> Option<&Arc<Wanted>> {
        self.wanted.as_ref()
    }

    pub(crate) fn stage(&self, phase: Phase) -> &Stage {
        &self.stages[phase as usize]
    }

    #[must_use]
    pub fn counters(&self) -> &'static Counters {
        Counters::of_process(self.entries)
    }

    #[must_use]
    pub fn fleet(&self) -> &'static Fleet {
        Fleet::of_process(self.entries)
    }

    /// Who asks, where only the volume is observed: a value's keyed hash.
    #[must_use]
    pub fn hashed(&self, text: &str) -> Key {
        self.volume_keys.as_ref().map_or(Key([0; 2]), |keys| keys.of_text(text))
    }

    /// What a number stands for: a limit, or the partner's quota.
    pub(crate) fn terms<'a>(&'a self, number: u32, partner: Option<&'a Partner>) -> Option<Terms<'a>> {
        if number == QUOTA {
            let quota = partner?.quota()?;
            let action = LimitAction::Block;
            return Some(Terms { name: "quota", quota: &quota.quota, sharing: self.quotas, action, told: &quota.told });
        }
        Some(self.rule(number)?.terms())
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

    pub fn settles(&self) -> bool {
        self.settles
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

#[cfg(test)]
mod tests;
