//! The stage `limits`: every limit is asked as soon as all that it reads is known.
//!
//! All limits of a phase are asked, whatever the first of them say, so that their order changes nothing; the one that
//! refuses longest answers. What a refused request has spent of others is given back. Limits that a fleet counts at every
//! request are gathered, and asked together when everything else has passed.

use std::sync::Arc;

use super::{MAX_INSPECTED_BYTES, Outcome, denied, request, staged};
use crate::exchange::{Denial, Exchange};
use crate::head::Framing;
use crate::limits::shared::{Fallen, turn_us};
use crate::limits::{
    Ask, Counters, Exceeded, Key, Left, Limited, Limits, Phase, QUOTA, Rule, SpentOf, Taken, Terms, Turn, told,
};
use crate::peer::Peer;
use crate::policy::{Action, SharingMode};
use crate::reason::Reason;
use crate::rules::{Beyond, Reading, Request, Response, Scratch};
use crate::snapshot::Snapshot;

/// When somebody who finds no place, or too many under way, may try again: nobody can say.
const SOON_US: u64 = 1_000_000;

/// Asks the limits of one phase.
pub(super) fn limits(exchange: &mut Exchange, snapshot: &Snapshot, peer: &Peer, phase: Phase) -> Result<(), Denial> {
    exchange.limited.reached |= 1 << phase as u8;
    let has_quota =
        phase == Phase::Caller && exchange.caller.partner.as_ref().is_some_and(|partner| partner.quota().is_some());
    if snapshot.limits.stage(phase).is_empty() && !has_quota {
        return Ok(());
    }
    let refused = with_walk(exchange, snapshot, peer, None, |walk, exchange| {
        walk.each(exchange, phase, Walk::ask);
        if has_quota {
            walk.ask_quota();
        }
        walk.ended()
    });
    refused.map_or(Ok(()), Err)
}

/// Asks the limits that count messages, for one message. Of a call whose head has gone on, nothing but what this message
/// has spent is given back, and the answer's fields are written.
pub(super) fn message(exchange: &mut Exchange, snapshot: &Snapshot, peer: &Peer) -> Result<(), Denial> {
    if snapshot.limits.stage(Phase::Message).is_empty() {
        return Ok(());
    }
    let kept = exchange.limited.keep();
    let asked = limits(exchange, snapshot, peer, Phase::Message);
    exchange.limited.restore(kept);
    asked
}

/// Lends what a walk needs from the exchange.
fn with_walk<T>(
    exchange: &mut Exchange,
    snapshot: &Snapshot,
    peer: &Peer,
    response: Option<Response<'_>>,
    work: impl FnOnce(&mut Walk<'_, '_>, &Exchange) -> T,
) -> T {
    let mut limited = std::mem::take(&mut exchange.limited);
    let mut scratch = std::mem::take(&mut exchange.scratch);
    let mut logged = std::mem::take(&mut exchange.logged);
    let read = limited.read.take();
    scratch.begin();
    let request = Request {
        beyond: Beyond { response, body: read.as_ref(), ..request(exchange, snapshot, peer).beyond },
        ..request(exchange, snapshot, peer)
    };
    let mut walk = Walk {
        limits: &snapshot.limits,
        counters: snapshot.limits.counters(),
        request: &request,
        unix_ms: exchange.started.unix_ms,
        scratch: &mut scratch,
        limited: &mut limited,
        logged: &mut logged,
        strictest: None,
    };
    let done = work(&mut walk, exchange);
    limited.read = read;
    (exchange.limited, exchange.scratch, exchange.logged) = (limited, scratch, logged);
    done
}

/// Over limits for one exchange.
struct Walk<'a, 'r> {
    limits: &'a Limits,
    counters: &'static Counters,
    request: &'a Request<'r>,
    unix_ms: u64,
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

    fn ask(&mut self, number: u32, rule: &'a Rule) {
        let key = rule.key(self.request, self.scratch);
        if self.counters.is_exempt(key, self.unix_ms) {
            return;
        }
        let terms = rule.terms();
        if let Some(most) = rule.concurrency {
            self.limited.checked.push(number);
            let taken = self.limited.held.enter(self.counters, key, most, self.limited.now_us);
            // How long others take is nobody's to say.
            let taken = if let Taken::Refused { penalty, .. } = taken {
                Taken::Refused { wait_us: SOON_US, penalty }
            } else {
                taken
            };
            return self.taken(number, &terms, key, taken);
        }
        // What the answer decides is asked for with the least that it can cost.
        let counts = !rule.settles && rule.counts(self.request, self.scratch);
        let cost = if counts { rule.cost(self.request, self.scratch) } else { 1 };
        let ask = terms.ask(number, key, cost, !counts);
        if rule.settles {
            self.limited.pending.push(ask);
        }
        self.count(&terms, ask);
    }

    /// What the partner has agreed to is a limit like others.
    fn ask_quota(&mut self) {
        let partner = self.request.caller.partner.as_deref();
        let Some(terms) = self.limits.terms(QUOTA, partner) else { return };
        let Some(key) = partner.and_then(|partner| self.limits.quota_key(&partner.name)) else { return };
        if !self.counters.is_exempt(key, self.unix_ms) {
            self.count(&terms, terms.ask(QUOTA, key, 1, false));
        }
    }

    fn count(&mut self, terms: &Terms<'_>, ask: Ask) {
        let now = self.limited.now_us;
        if ask.rule != QUOTA {
            self.limited.checked.push(ask.rule);
        }
        let Ask { rule, key, cost, peek, delay_us, .. } = ask;
        let taken = match terms.sharing.mode {
            SharingMode::Strict => {
                self.limited.asks.push(ask);
                return;
            }
            SharingMode::Fast => {
                let Some(taken) = self.limits.fleet().take(&ask, now) else {
                    if let Some(taken) = self.fallen(terms, &ask) {
                        self.taken(rule, terms, key, taken);
                    }
                    return;
                };
                self.turn(&ask, taken)
            }
            SharingMode::Local if peek => self.counters.peek(key, terms.quota, cost, now),
            SharingMode::Local => match self.counters.take_late(key, terms.quota, cost, now, delay_us) {
                Ok(Turn { wait_us, remaining, reset_us }) => {
                    self.waits(rule, wait_us);
                    Taken::Admitted { remaining, reset_us }
                }
                Err(taken) => taken,
            },
        };
        if !peek && matches!(taken, Taken::Admitted { .. }) {
            let of = if terms.sharing.mode == SharingMode::Fast { SpentOf::Lease } else { SpentOf::Counter };
            self.limited.spent.push((ask, now, of));
        }
        self.taken(rule, terms, key, taken);
    }

    /// What holds while nobody can be asked; None: that is all that there is to say.
    fn fallen(&mut self, terms: &Terms<'_>, ask: &Ask) -> Option<Taken> {
        let now = self.limited.now_us;
        match self.limits.fleet().fall_back(ask, now) {
            Fallen::Taken(taken) => {
                let taken = self.turn(ask, taken);
                if !ask.peek && matches!(taken, Taken::Admitted { .. }) {
                    self.limited.spent.push((*ask, now, SpentOf::Share));
                }
                return Some(taken);
            }
            Fallen::Open => {}
            Fallen::Closed => self.refused(ask.rule, terms, ask.key, SOON_US, Reason::LimitsUnavailable),
        }
        None
    }

    /// What was taken for a later turn was taken.
    fn turn(&mut self, ask: &Ask, taken: Taken) -> Taken {
        match turn_us(taken, ask.delay_us) {
            Some(wait_us) if wait_us > 0 && !ask.peek => {
                self.waits(ask.rule, wait_us);
                Taken::Admitted { remaining: 0, reset_us: wait_us }
            }
            _ => taken,
        }
    }

    /// Its turn comes then: the latest of all counts.
    fn waits(&mut self, rule: u32, wait_us: u64) {
        if wait_us > self.limited.delay_us {
            self.limited.delay_us = wait_us;
            self.limited.delayed = Some(rule);
        }
    }

    /// What a counter said, by the limit's action.
    fn taken(&mut self, number: u32, terms: &Terms<'_>, key: Key, taken: Taken) {
        let (left, refused) = match taken {
            Taken::Admitted { remaining, reset_us } => (Some(Left { remaining, reset_us }), None),
            Taken::Refused { wait_us, .. } => {
                let reason = if number == QUOTA { Reason::LimitsQuota } else { Reason::Limit };
                (Some(Left { remaining: 0, reset_us: wait_us }), Some((wait_us, reason)))
            }
            Taken::Full if self.limits.allow_uncounted => (None, None),
            Taken::Full => (None, Some((SOON_US, Reason::LimitsFull))),
        };
        if let Some(left) = left
            && terms.is_enforced()
            && !terms.told.is_empty()
        {
            self.limited.left.push((number, left));
        }
        if let Some((wait_us, reason)) = refused {
            self.refused(number, terms, key, wait_us, reason);
        }
    }

    fn refused(&mut self, number: u32, terms: &Terms<'_>, key: Key, wait_us: u64, reason: Reason) {
        let Walk { limits, counters, request, scratch, .. } = self;
        let stands_for = || limits.allow_identities.then(|| identity(limits, number, request, scratch));
        counters.refused(key, terms.name, stands_for);
        let retry_after_s = wait_us.div_ceil(1_000_000).max(1);
        let denial = Denial { limit: Some(Box::new(Exceeded { rule: number, key, retry_after_s })), ..reason.into() };
        let action = if terms.is_enforced() { Action::Block } else { Action::Log };
        let Err(denial) = staged(action, denial, self.logged) else { return };
        if self.strictest.as_ref().is_none_or(|(longest, _)| *longest < wait_us) {
            self.strictest = Some((wait_us, denial));
        }
    }

    /// The denial of the strictest limit. A request that an enforced limit refuses spends nothing of the others.
    fn ended(&mut self) -> Option<Denial> {
        let (_, denial) = self.strictest.take()?;
        for (ask, taken_us, of) in self.limited.spent.drain(..) {
            match of {
                SpentOf::Counter => self.counters.give_back(ask.key, &ask.quota, ask.cost, taken_us),
                SpentOf::Lease => self.limits.fleet().give_back(&ask),
                SpentOf::Share => self.limits.fleet().give_back_share(&ask, taken_us),
            }
        }
        self.limited.held.leave();
        self.limited.pending.clear();
        self.limited.asks.clear();
        (self.limited.delay_us, self.limited.delayed) = (0, None);
        self.limited.over = true;
        self.tell();
        Some(denial)
    }

    /// Writes the fields that tell the client what is left.
    fn tell(&mut self) {
        let Limited { left, fields, .. } = &mut *self.limited;
        let partner = self.request.caller.partner.as_deref();
        let told = left.iter().filter_map(|(rule, left)| Some((self.limits.terms(*rule, partner)?.told, *left)));
        told::fields(told, fields);
    }

    /// Spends what the answer says.
    fn spend(&mut self, ask: Ask, rule: &Rule, fields: &[(&str, &str)]) {
        if !rule.counts(self.request, self.scratch) {
            return;
        }
        let cost = rule.cost_by_answer(self.request, self.scratch, fields.iter().copied());
        if cost == 0 {
            return;
        }
        let ask = Ask { cost, peek: false, ..ask };
        let now = self.limited.now_us;
        match ask.sharing.mode {
            SharingMode::Local => {
                let _ = self.counters.spend(ask.key, &ask.quota, cost, now);
            }
            SharingMode::Fast => self.limits.fleet().spend(&ask, now),
            SharingMode::Strict => self.limited.asks.push(ask),
        }
    }
}

/// What a key stands for.
fn identity(limits: &Limits, number: u32, request: &Request<'_>, scratch: &mut Scratch) -> String {
    match limits.rule(number) {
        Some(rule) => rule.identity(request, scratch),
        None => request.caller.partner.as_ref().map_or_else(String::new, |partner| partner.name.to_string()),
    }
}

/// What is to be read of the body; None: no limit that holds for the request reads it.
pub(super) fn reading(exchange: &mut Exchange, snapshot: &Snapshot, peer: &Peer) -> Option<Reading> {
    let wanted = snapshot.limits.wanted()?;
    let mut reads = false;
    with_walk(exchange, snapshot, peer, None, |walk, exchange| {
        let stage = walk.limits.stage(Phase::Body);
        let of_operation = exchange.host.zip(exchange.operation);
        let of_operation = of_operation.map_or(&[][..], |(host, operation)| stage.of_operation(host, operation));
        let mut candidates = Vec::new();
        stage.tested().candidates(walk.request, walk.scratch, &mut candidates);
        for &number in stage.of_all().iter().chain(of_operation).chain(&candidates) {
            let Some(rule) = walk.limits.rule(number) else { continue };
            reads = reads || (rule.reads_body && rule.may_hold(walk.request, walk.scratch));
        }
    });
    reads.then(|| Reading::of(wanted, &exchange.head))
}

/// Whether the body that is read has to be collected for it.
pub(super) fn collects(exchange: &Exchange) -> bool {
    exchange.limited.reading.is_some()
        && match exchange.head.framing() {
            Framing::None => false,
            Framing::Length(length) => (1..=MAX_INSPECTED_BYTES).contains(&length),
            Framing::Chunked => true,
        }
}

/// Reads what limits want of the body; None: there is none, or too much of it.
pub(super) fn read(exchange: &mut Exchange, body: Option<&[u8]>) {
    if let Some(reading) = exchange.limited.reading.take() {
        exchange.limited.read = Some(reading.read(body));
    }
}

/// Everything else has passed: the fleet's counters come last, then the exchange's turn.
pub(super) fn passed(exchange: &mut Exchange, peer: &Peer) -> Outcome {
    if !exchange.limited.asks.is_empty() {
        exchange.limited.then = Some(Outcome::Pass);
        return Outcome::Ask;
    }
    admitted(exchange, peer)
}

fn admitted(exchange: &mut Exchange, peer: &Peer) -> Outcome {
    let tells = |snapshot: &&Arc<Snapshot>| snapshot.limits.headers;
    if !exchange.limited.left.is_empty()
        && let Some(snapshot) = exchange.snapshot.as_ref().filter(tells).cloned()
    {
        with_walk(exchange, &snapshot, peer, None, |walk, _| walk.tell());
    }
    if exchange.limited.delay_us > 0 {
        exchange.limited.then = Some(Outcome::Pass);
        return Outcome::Delay;
    }
    Outcome::Pass
}

/// The fleet's counters have answered for all of `limited.asks`, or nobody could ask them: by each, `None`.
pub fn asked(exchange: &mut Exchange, peer: &Peer, answers: &[Option<Taken>]) -> Outcome {
    let (Some(_), Some(snapshot)) = (exchange.limited.then.take(), exchange.snapshot.clone()) else {
        return Outcome::Deny;
    };
    let asks = std::mem::take(&mut exchange.limited.asks);
    let refused = with_walk(exchange, &snapshot, peer, None, |walk, _| {
        let partner = walk.request.caller.partner.as_deref();
        for (n, ask) in asks.iter().enumerate() {
            let Some(terms) = walk.limits.terms(ask.rule, partner) else { continue };
            let answer = answers.get(n).copied().flatten();
            if let Some(taken) = answer.map(|taken| walk.turn(ask, taken)).or_else(|| walk.fallen(&terms, ask)) {
                walk.taken(ask.rule, &terms, ask.key, taken);
            }
        }
        walk.ended()
    });
    match refused {
        Some(denial) => denied(exchange, denial),
        None => admitted(exchange, peer),
    }
}

/// The exchange has waited for its turn.
pub fn delayed(exchange: &mut Exchange) -> Outcome {
    exchange.limited.then.take().unwrap_or(Outcome::Deny)
}

/// Whether the answer decides what some limits count: of requests that came as far as to an operation, or would have.
pub(super) fn wants_response(exchange: &Exchange) -> bool {
    let Limited { pending, over, reached, .. } = &exchange.limited;
    let Some(snapshot) = exchange.snapshot.as_ref().filter(|snapshot| snapshot.limits.settles()) else { return false };
    let is_left = |phase: Phase| reached & 1 << phase as u8 == 0 && snapshot.limits.stage(phase).settles();
    !over
        && exchange.host.is_some()
        && exchange.own.is_none()
        && (!pending.is_empty() || Phase::ALL.into_iter().any(is_left))
}

/// Counts by what was answered, the gateway's own answers included; `fields` are names, lower-case, and values. What the
/// fleet counts at every request is left in `limited.asks`, to be spent.
pub fn settled<'a>(
    exchange: &mut Exchange,
    peer: &Peer,
    status: u16,
    fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) {
    if !wants_response(exchange) {
        return;
    }
    let Some(snapshot) = exchange.snapshot.clone() else { return };
    exchange.limited.over = true;
    exchange.limited.wants_response = false;
    exchange.limited.asks.clear();
    let fields: Vec<(&str, &str)> = fields.collect();
    let response = Response { status, fields: &fields };
    with_walk(exchange, &snapshot, peer, Some(response), |walk, exchange| {
        for ask in std::mem::take(&mut walk.limited.pending) {
            if let Some(rule) = walk.limits.rule(ask.rule) {
                walk.spend(ask, rule, &fields);
            }
        }
        // What was answered before a limit's turn came counts as well, if it is known whose it is: who tries keys never
        // gets as far. A value that nobody has looked for is not a missing one.
        for phase in Phase::ALL {
            let done = walk.limited.reached & 1 << phase as u8 != 0 || !walk.limits.stage(phase).settles();
            if done || (phase != Phase::Endpoint && !exchange.caller.looked) {
                continue;
            }
            walk.each(exchange, phase, |walk, number, rule| {
                if rule.settles && !rule.reads_body {
                    let key = rule.key(walk.request, walk.scratch);
                    if !walk.counters.is_exempt(key, walk.unix_ms) {
                        walk.spend(rule.terms().ask(number, key, 1, true), rule, &fields);
                    }
                }
            });
        }
    });
}

/// The exchange is over, however it ended.
pub fn released(exchange: &mut Exchange) {
    exchange.limited.held.leave();
}

/// Places among those under way, of an exchange or of what goes on when it has ended. Left when this is dropped: counters
/// outlive a panic that is caught, and the thread.
#[derive(Debug, Default)]
pub struct Places {
    held: Vec<(&'static Counters, Key)>,
}

impl Places {
    /// Out of an exchange, before it is over; None: it has none.
    pub fn of(exchange: &mut Exchange) -> Option<Places> {
        let places = std::mem::take(&mut exchange.limited.held);
        (!places.held.is_empty()).then_some(places)
    }

    /// Takes one, if it is free.
    fn enter(&mut self, counters: &'static Counters, key: Key, most: u64, now_us: u64) -> Taken {
        let taken = counters.enter(key, most, now_us);
        if matches!(taken, Taken::Admitted { .. }) {
            self.held.push((counters, key));
        }
        taken
    }

    /// All of them; its room stays.
    pub(crate) fn leave(&mut self) {
        for (counters, key) in self.held.drain(..) {
            counters.leave(key);
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests;
