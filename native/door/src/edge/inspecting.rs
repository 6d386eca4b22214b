//! Bodies under inspection, in place or by the pool: of requests, and of responses that are held back.

use std::sync::{Arc, OnceLock};

use portcullis_engine::decide;
use portcullis_engine::exchange::Exchange;
use portcullis_engine::policy::Overload;
use portcullis_engine::reason::Reason;
use portcullis_engine::schema::{Passed, Schemas, Violation};

use super::{Edge, Next, Stage, lock, most_bytes};
use crate::clock;
use crate::tickets::{self, Ticket};

impl Edge {
    /// The whole body is here, its last piece just came.
    pub(super) fn collected(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        slot.complete = true;
        slot.exchange.upload_us += clock::mono_us().saturating_sub(slot.waiting_us);
        if slot.exchange.chosen.is_none() {
            // Only limits read it.
            self.verdict(index, Ok(Passed::AsItIs))
        } else if most_bytes(&slot.exchange, slot.body.len()) <= self.inline_bytes {
            self.inspect_here(index)
        } else {
            self.queue(index)
        }
    }

    fn inspect_here(&mut self, index: u32) -> Next {
        lock(&self.meters).scalars.inspected_in_place += 1;
        let slot = &mut self.slots[index as usize];
        let (Some(schemas), Some(chosen)) = (schemas(&slot.exchange), &slot.exchange.chosen) else {
            return self.refuse(index, Reason::InternalPanic);
        };
        let result = schemas.check(chosen, &slot.body);
        self.verdict(index, result)
    }

    /// Leaves the exchange's body to the pool.
    pub(super) fn queue(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        let (Some(schemas), Some(chosen)) = (schemas(&slot.exchange), slot.exchange.chosen.take()) else {
            return self.refuse(index, Reason::InternalPanic);
        };
        let body = match &mut slot.held {
            Some(held) => std::mem::take(&mut held.body),
            None => std::mem::take(&mut slot.body),
        };
        let ticket = Box::new(Ticket { schemas, chosen, body, result: OnceLock::new(), queued_us: clock::mono_us() });
        match tickets::issue(ticket) {
            Ok(number) => slot.ticket = number,
            Err(ticket) => return self.unchecked(index, ticket.body),
        }
        slot.stage = Stage::Inspecting;
        let mut meters = lock(&self.meters);
        meters.scalars.inspected_in_pool += 1;
        meters.scalars.inspect_queue += 1;
        Next::Inspect
    }

    pub fn ticket(&self, index: u32) -> u32 {
        self.slots[index as usize].ticket
    }

    /// The pool is done with an exchange's ticket, or gave it up.
    pub fn inspected(&mut self, index: u32, ticket: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        if slot.stage != Stage::Inspecting || slot.ticket != ticket {
            return Next::Sent;
        }
        let Some(taken) = tickets::take(ticket) else { return self.refuse(index, Reason::InternalPanic) };
        {
            let mut meters = lock(&self.meters);
            meters.scalars.inspect_queue = meters.scalars.inspect_queue.saturating_sub(1);
            meters.scalars.inspect_wait_us += clock::mono_us().saturating_sub(taken.queued_us);
        }
        match tickets::torn(taken) {
            (body, Some(result)) => self.judged(index, result, body),
            (_, None) => self.refuse(index, Reason::InternalTimeout),
        }
    }

    /// The pool's queue has no room for an exchange's ticket.
    pub fn crowded(&mut self, index: u32) -> Next {
        let slot = &self.slots[index as usize];
        if slot.stage != Stage::Inspecting {
            return Next::Sent;
        }
        let Some(taken) = tickets::take(slot.ticket) else { return self.refuse(index, Reason::InternalPanic) };
        {
            let mut meters = lock(&self.meters);
            meters.scalars.inspect_queue = meters.scalars.inspect_queue.saturating_sub(1);
            meters.scalars.inspected_in_pool = meters.scalars.inspected_in_pool.saturating_sub(1);
        }
        let (body, _) = tickets::torn(taken);
        self.unchecked(index, body)
    }

    /// A body that nobody has the room to look at: refused, or passed on, as the operator said.
    fn unchecked(&mut self, index: u32, body: Vec<u8>) -> Next {
        if !self.passes_unchecked(index) {
            return self.refuse(index, Reason::SchemaOverload);
        }
        self.judged(index, Ok(Passed::AsItIs), body)
    }

    /// Whether overload lets this exchange pass, which is then counted.
    pub(super) fn passes_unchecked(&mut self, index: u32) -> bool {
        let openapi = self.slots[index as usize].exchange.host().and_then(|host| host.openapi.as_ref());
        let passes = openapi.is_some_and(|openapi| openapi.overload == Overload::Pass);
        if passes {
            lock(&self.meters).scalars.passed_unchecked += 1;
        }
        passes
    }

    fn judged(&mut self, index: u32, result: Result<Passed, Violation>, body: Vec<u8>) -> Next {
        let slot = &mut self.slots[index as usize];
        match &mut slot.held {
            Some(held) => {
                held.body = body;
                self.evaluated(index, result);
                self.settle(index)
            }
            None => {
                slot.body = body;
                self.verdict(index, result)
            }
        }
    }

    fn verdict(&mut self, index: u32, result: Result<Passed, Violation>) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return Next::Close;
        };
        slot.exchange.limited.now_us = clock::mono_us();
        let outcome = decide::inspected(&mut slot.exchange, peer, &slot.body, result.err());
        self.proceed(index, outcome)
    }

    /// A body in chunks that is too large to be inspected. Where that is only recorded, what was gathered goes to the
    /// origin, and the rest streams behind it.
    pub(super) fn outgrown(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return Next::Close;
        };
        slot.exchange.chosen = None;
        slot.exchange.limited.now_us = clock::mono_us();
        let outcome = decide::oversized(&mut slot.exchange, peer);
        slot.body.extend_from_slice(piece);
        slot.complete = last;
        slot.exchange.upload_us += clock::mono_us().saturating_sub(slot.waiting_us);
        self.proceed(index, outcome)
    }

    /// The client is gone: nobody asks for the verdict any more.
    pub(super) fn forget_ticket(&mut self, index: u32) {
        if tickets::take(self.slots[index as usize].ticket).is_some() {
            let mut meters = lock(&self.meters);
            meters.scalars.inspect_queue = meters.scalars.inspect_queue.saturating_sub(1);
        }
    }
}

pub(super) fn schemas(exchange: &Exchange) -> Option<Arc<Schemas>> {
    Some(exchange.host()?.openapi.as_ref()?.schemas.clone())
}
