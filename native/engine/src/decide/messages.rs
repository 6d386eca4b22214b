//! The messages of a call: judged one by one as they come, before any byte of them goes on.
//!
//! Where the client sends one message, the head waits for it, so that an origin hears nothing of a call that is refused.
//! Where it may send many, the origin may have to speak first: the head goes ahead, unless rules or limits read the
//! first message.

use super::{Outcome, at_last, denied, limits, violated};
use crate::exchange::{Denial, Exchange};
use crate::grpc::{Call, Next, Terms};
use crate::limits::Phase;
use crate::peer::Peer;
use crate::policy::Action;
use crate::schema::{MAX_ERRORS, Violation};
use crate::snapshot::{Grpc, Snapshot};

/// Looks at the head of a call: whether, and how, its messages can be read.
pub(super) fn begin(exchange: &mut Exchange, snapshot: &Snapshot, grpc: &Grpc, operation: u32) -> Result<(), Denial> {
    let Some(method) = grpc.method(operation) else { return Ok(()) };
    let action = exchange.operation().map_or(Action::Block, |operation| operation.action);
    let reads = !grpc.wanted[method as usize].is_empty();
    let counts = !snapshot.limits.stage(Phase::Message).is_empty();
    if action == Action::Off && grpc.unknown_fields == Action::Off && !reads && !counts {
        return Ok(());
    }
    match Call::new(&grpc.terms(method), method, &exchange.head) {
        Ok(mut call) => {
            let rules_wait = reads || snapshot.rules.reads_violations();
            // Without a body there is no message to wait for.
            call.held = exchange.head.has_body() && (call.held || rules_wait);
            exchange.rules_wait = call.held && rules_wait;
            exchange.call = Some(Box::new(call));
            Ok(())
        }
        Err(violation) => violated(action, violation, exchange),
    }
}

/// What of a piece of a call's body may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// [`Call::whole`], then the bytes of the piece from the first number to the second.
    On(usize, usize),
    /// Answer with the exchange's denial.
    Deny,
}

/// A piece of the body of a call whose head has gone on; `last`: there is no more. `Exchange::limited.now_us` tells when.
pub fn messages(exchange: &mut Exchange, peer: &Peer, piece: &[u8], last: bool) -> Passed {
    match judge(exchange, peer, piece, last) {
        Ok((from, to)) => Passed::On(from, to),
        Err(denial) => {
            exchange.denial = Some(denial);
            Passed::Deny
        }
    }
}

/// A piece of the body of a call whose head waits; what may go on is added to `good`. [`Outcome::Inspect`]: it waits on.
pub fn first_messages(exchange: &mut Exchange, peer: &Peer, piece: &[u8], last: bool, good: &mut Vec<u8>) -> Outcome {
    let judged = judge(exchange, peer, piece, last);
    match judged {
        Ok((from, to)) => {
            if let Some(call) = &exchange.call {
                good.extend_from_slice(call.whole());
                good.extend_from_slice(&piece[from..to]);
                if call.held {
                    return Outcome::Inspect;
                }
            }
            limits::passed(exchange, peer)
        }
        Err(denial) => denied(exchange, denial),
    }
}

/// Judges all that a piece makes whole.
fn judge(exchange: &mut Exchange, peer: &Peer, piece: &[u8], last: bool) -> Result<(usize, usize), Denial> {
    let Some(snapshot) = exchange.snapshot.clone() else { return Ok((0, piece.len())) };
    let grpc = exchange.host.and_then(|host| snapshot.hosts[host].grpc.as_ref());
    let method = grpc.zip(exchange.operation).and_then(|(grpc, operation)| grpc.method(operation));
    let (Some(grpc), Some(method)) = (grpc, method) else { return Ok((0, piece.len())) };
    let terms = grpc.terms(method);
    let action = exchange.operation().map_or(Action::Block, |operation| operation.action);
    let Some(call) = &mut exchange.call else { return Ok((0, piece.len())) };
    call.begin();
    if call.is_lost() {
        return Ok((0, piece.len()));
    }
    let (mut from, mut at) = (0, 0);
    let mut good = 0;
    loop {
        let Some(call) = &mut exchange.call else { return Ok((0, piece.len())) };
        let has_whole = !call.whole().is_empty();
        let next = call.next(&terms, piece, &mut at, last);
        if !has_whole && !call.whole().is_empty() {
            from = at;
        }
        match next {
            Next::Message(verdict) => {
                good = at;
                if let Some(violation) = verdict.violation {
                    told(action, violation, exchange)?;
                }
                if let Some(violation) = verdict.unknown {
                    told(grpc.unknown_fields, violation, exchange)?;
                }
                released(exchange, peer)?;
                limits::message(exchange, &snapshot, peer)?;
            }
            Next::More => break,
            Next::Broken(violation) => {
                told(action, violation, exchange)?;
                released(exchange, peer)?;
                // It was only to be recorded: what was gathered, and all that comes from here on, goes on as it is.
                if let Some(call) = &mut exchange.call {
                    call.lose();
                }
                return Ok((from, piece.len()));
            }
        }
    }
    if last {
        released(exchange, peer)?;
    }
    Ok((from, good.max(from)))
}

/// The first message is good, or there is none: what has waited for it is decided.
fn released(exchange: &mut Exchange, peer: &Peer) -> Result<(), Denial> {
    match &mut exchange.call {
        Some(call) if call.held => call.held = false,
        _ => return Ok(()),
    }
    // Limits that read bodies have none to read.
    limits::read(exchange, None);
    at_last(exchange, peer)
}

/// A violation; of those that are only recorded, the first of a call.
fn told(action: Action, violation: Violation, exchange: &mut Exchange) -> Result<(), Denial> {
    if action == Action::Log {
        let Some(call) = &mut exchange.call else { return Ok(()) };
        call.told += 1;
        if call.told as usize > MAX_ERRORS {
            return Ok(());
        }
    }
    violated(action, violation, exchange)
}

impl Grpc {
    /// What holds for the messages of a method.
    pub(crate) fn terms(&self, method: u32) -> Terms<'_> {
        Terms {
            model: &self.model,
            bounds: self.bounds,
            max_message_bytes: self.max_message_bytes,
            wanted: &self.wanted[method as usize],
        }
    }
}
