//! The stage `limits`: every limit is asked as soon as all that it reads is known.
//!
//! All limits of a phase are asked, whatever the first of them say, so that their order changes nothing; the one that
//! refuses longest answers. What a refused request has spent of others is given back.

use super::{Outcome, request};
use crate::exchange::{Denial, Exchange};
use crate::limits::{Ask, Exceeded, Left, Limited, Limits, Looked, Phase, Rule, Spent, Taken, told};
use crate::peer::Peer;
use crate::policy::{Fallback, LimitAction, SharingMode};
use crate::reason::Reason;
use crate::rules::{Request, Scratch};
use crate::snapshot::Snapshot;

/// When somebody who finds no place, or too many under way, may try again: nobody can say.
const SOON_US: u64 = 1_000_000;

/// Asks the limits of one phase.
pub(super) fn limits(exchange: &mut Exchange, snapshot: &Snapshot, peer: &Peer, phase: Phase) -> Result<(), Denial> {
    exchange.limited.reached |= 1 << phase as u8;
    if snapshot.limits.stage(phase).is_empty() {
        return Ok(());
    }
    let mut limited = std::mem::take(&mut exchange.limited);
    let mut scratch = std::mem::take(&mut exchange.scratch);
    let mut logged = std::mem::take(&mut exchange.logged);
    scratch.begin();
    let request = request(exchange, snapshot, peer);
    let mut walk = Walk {
        limits: &snapshot.limits,
        request: &request,
        scratch: &mut scratch,
        limited: &mut limited,
        logged: &mut logged,
        strictest: None,
    };
    walk.each(exchange, phase, Walk::ask);
    let refused = walk.strictest.take();
    let ended = refused.map_or(Ok(()), |(_, denial)| {
        refuse(&snapshot.limits, &mut limited);
        Err(denial)
    });
    (exchange.limited, exchange.scratch, exchange.logged) = (limited, scratch, logged);
    ended
}

/// One phase, or one answer.
struct Walk<'a, 'r> {
    limits: &'a Limits,
    request: &'a Request<'r>,
    scratch: &'a mut Scratch,
    limited: &'a mut Limited,
    logged: &'a mut Vec<Denial>,
    /// How long, and why.
    strictest: Option<(u64, Denial)>,
}

impl<'a> Walk<'a, '_> {
    /// The limits of a phase that hold for the request.
    fn each(&mut self, exchange: &Exchange, phase: Phase, mut then: impl FnMut(&mut Self, u32, &'a Rule)) {
        let stage = self.limits.stage(phase);
        let mut candidates = std::mem::take(&mut self.limited.candidates);
        candidates.clear();
        candidates.extend_from_slice(stage.of_all());
        stage.tested().candidates(self.request, self.scratch, &mut candidates);
        if let Some((host, operation)) = exchange.host.zip(exchange.operation) {
            candidates.extend_from_slice(stage.of_operation(host, operation));
        }
        for &number in &candidates {
            if let Some(rule) = self.limits.rule(number)
                && rule.holds(self.request, self.scratch)
            {
                then(self, number, rule);
            }
        }
        self.limited.candidates = candidates;
    }

    fn ask(&mut self, number: u32, rule: &Rule) {
        let key = rule.key(self.request, self.scratch);
        let counters = self.limits.counters();
        let now = self.limited.now_us;
        if let Some(most) = rule.concurrency {
            let taken = counters.enter(key, most, now);
            if matches!(taken, Taken::Admitted { .. }) {
                self.limited.held.push(key);
            }
            return self.taken(number, rule, key, taken);
        }
        let cost = rule.cost(self.request, self.scratch);
        let counts = rule.settles || rule.counts(self.request, self.scratch);
        let peek = rule.settles || !counts;
        if rule.settles {
            self.limited.pending.push(Spent { rule: number, key, cost });
        }
        if rule.sharing.mode == SharingMode::Strict {
            self.limited.asks.push(Ask { rule: number, key, cost, peek });
            return;
        }
        let taken = match peek {
            true => counters.peek(key, &rule.quota, 1, now),
            false => counters.take(key, &rule.quota, cost, now),
        };
        if !peek && matches!(taken, Taken::Admitted { .. }) {
            self.limited.spent.push(Spent { rule: number, key, cost });
        }
        self.taken(number, rule, key, taken);
    }

    /// What a counter said, by the limit's action.
    fn taken(&mut self, number: u32, rule: &Rule, key: crate::limits::Key, taken: Taken) {
        let enforced = rule.action != LimitAction::Log;
        let (left, refused) = match taken {
            Taken::Admitted { remaining, reset_us } => (Some(Left { remaining, reset_us }), None),
            Taken::Refused { wait_us, .. } => {
                (Some(Left { remaining: 0, reset_us: wait_us }), Some((wait_us, Reason::Limit)))
            }
            Taken::Full if self.limits.allow_uncounted => (None, None),
            Taken::Full => (None, Some((SOON_US, Reason::LimitsFull))),
        };
        let left = left.filter(|_| rule.concurrency.is_none());
        self.limited.looked.push(Looked { rule: number, key, left, enforced, refused: refused.is_some() });
        if let Some((wait_us, reason)) = refused {
            self.refused(number, enforced, wait_us, reason);
        }
    }

    fn refused(&mut self, number: u32, enforced: bool, wait_us: u64, reason: Reason) {
        let retry_after_s = wait_us.div_ceil(1_000_000).max(1);
        let denial = Denial { limit: Some(Exceeded { rule: number, retry_after_s }), ..reason.into() };
        if !enforced {
            self.logged.push(denial);
        } else if self.strictest.as_ref().is_none_or(|(longest, _)| *longest < wait_us) {
            self.strictest = Some((wait_us, denial));
        }
    }
}

/// A request that an enforced limit refuses spends nothing of the others.
fn refuse(limits: &Limits, limited: &mut Limited) {
    let counters = limits.counters();
    let now = limited.now_us;
    for Spent { rule, key, cost } in limited.spent.drain(..) {
        if let Some(rule) = limits.rule(rule) {
            counters.give_back(key, &rule.quota, cost, now);
        }
    }
    for key in limited.held.drain(..) {
        counters.leave(key);
    }
    limited.pending.clear();
    limited.asks.clear();
    limited.over = true;
    tell(limits, limited);
}

/// Writes the fields that tell the client what is left.
fn tell(limits: &Limits, limited: &mut Limited) {
    let Limited { looked, fields, .. } = limited;
    let policies = looked.iter().filter(|looked| looked.enforced).filter_map(|looked| {
        let rule = limits.rule(looked.rule)?;
        Some((&*rule.told, looked.left?))
    });
    told::fields(policies, fields);
}

/// Everything else has passed: the fleet's counters come last, then the exchange's turn.
pub(super) fn passed(exchange: &mut Exchange, outcome: Outcome) -> Outcome {
    if !exchange.limited.asks.is_empty() {
        exchange.limited.then = Some(outcome);
        return Outcome::Ask;
    }
    admitted(exchange, outcome)
}

fn admitted(exchange: &mut Exchange, outcome: Outcome) -> Outcome {
    if let Some(snapshot) = &exchange.snapshot
        && snapshot.limits.headers
    {
        tell(&snapshot.limits, &mut exchange.limited);
    }
    if exchange.limited.delay_us > 0 {
        exchange.limited.then = Some(outcome);
        return Outcome::Delay;
    }
    outcome
}

/// The fleet's counters have answered for all of `limited.asks`, or nobody could ask them: by each, `None`.
pub fn asked(exchange: &mut Exchange, peer: &Peer, answers: &[Option<Taken>]) -> Outcome {
    let (Some(then), Some(snapshot)) = (exchange.limited.then.take(), exchange.snapshot.clone()) else {
        return Outcome::Deny;
    };
    let mut limited = std::mem::take(&mut exchange.limited);
    let mut scratch = std::mem::take(&mut exchange.scratch);
    let mut logged = std::mem::take(&mut exchange.logged);
    let request = request(exchange, &snapshot, peer);
    let asks = std::mem::take(&mut limited.asks);
    let mut walk = Walk {
        limits: &snapshot.limits,
        request: &request,
        scratch: &mut scratch,
        limited: &mut limited,
        logged: &mut logged,
        strictest: None,
    };
    for (n, ask) in asks.iter().enumerate() {
        let Some(rule) = walk.limits.rule(ask.rule) else { continue };
        match answers.get(n).copied().flatten() {
            Some(taken) => walk.taken(ask.rule, rule, ask.key, taken),
            None if rule.sharing.fallback == Fallback::Closed => {
                let enforced = rule.action != LimitAction::Log;
                walk.refused(ask.rule, enforced, SOON_US, Reason::LimitsUnavailable);
            }
            None => {}
        }
    }
    let refused = walk.strictest.take();
    limited.asks = asks;
    if refused.is_some() {
        refuse(&snapshot.limits, &mut limited);
    }
    limited.asks.clear();
    (exchange.limited, exchange.scratch, exchange.logged) = (limited, scratch, logged);
    match refused {
        Some((_, denial)) => super::denied(exchange, denial),
        None => admitted(exchange, then),
    }
}

/// The exchange has waited for its turn.
pub fn delayed(exchange: &mut Exchange) -> Outcome {
    exchange.limited.then.take().unwrap_or(Outcome::Deny)
}

/// Counts by what was answered, the gateway's own answers included; `fields` are names, lower-case, and values.
pub fn settled<'a>(
    _exchange: &mut Exchange,
    _peer: &Peer,
    _status: u16,
    _fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) {
}

/// The exchange is over, however it ended.
pub fn released(exchange: &mut Exchange) {
    if let Some(snapshot) = &exchange.snapshot {
        for key in exchange.limited.held.drain(..) {
            snapshot.limits.counters().leave(key);
        }
    }
}
