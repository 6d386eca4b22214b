//! Exchanges that wait: until the fleet's counters have answered, or until it is their turn.
//!
//! Their clients may send bodies meanwhile. What comes is kept in the slot's buffer and the socket is paused at the
//! first piece, so that a slot keeps what one read brings; when the wait is over, the exchange goes on as if its body
//! had come later.

use portcullis_engine::decide::{self, MAX_INSPECTED_BYTES, Outcome};
use portcullis_engine::exchange::Exchange;
use portcullis_engine::head::Framing;
use portcullis_engine::limits::Taken;
use portcullis_engine::limits::shared::{Asking, Batch};
use portcullis_engine::peer::Peer;
use portcullis_engine::reason::Reason;
use portcullis_forward::{Body, Flow, Token};

use super::{Edge, META_ASKS, NONE, Next, Stage, is_websocket};
use crate::clock;
use crate::wanted::{Wanted, want};

/// What a slot keeps of its buffer when a body has gone on: bodies up to 64 KiB find room in it.
const KEPT_BODY_BYTES: usize = 64 * 1024;

impl Edge {
    /// Does what the engine said comes next.
    pub(super) fn proceed(&mut self, index: u32, outcome: Outcome) -> Next {
        match outcome {
            Outcome::Deny => self.answer(index),
            Outcome::Pass => self.pass(index),
            Outcome::Inspect => self.collect(index),
            Outcome::Ask => self.ask(index),
            Outcome::Delay => {
                self.slots[index as usize].stage = Stage::Delayed;
                Next::Delay
            }
            Outcome::Own => {
                self.slots[index as usize].stage = Stage::Own;
                Next::Own
            }
        }
    }

    fn ask(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        slot.stage = Stage::Asking;
        if self.asking.ask(slot.waiter(index), &slot.exchange.limited.asks) {
            return Next::Ask;
        }
        // Nobody can be asked.
        self.answered_by_fleet(index, |_| Some(&[]))
    }

    /// What the exchanges of this thread ask now.
    pub fn next_batch(&mut self) -> Option<Batch> {
        // SAFETY: one word of JavaScript's, kept alive by the door for the edge's life.
        unsafe { *self.answer_meta.add(META_ASKS) = 0 };
        let batch = self.asking.next()?;
        self.batches.insert(batch.number, batch.calls.len());
        for waiter in &batch.waiters {
            if let Some(slot) = self.slots.get_mut(waiter.slot as usize)
                && slot.generation == waiter.generation
            {
                slot.batch = batch.number;
            }
        }
        Some(batch)
    }

    pub fn batch_answered(&mut self, number: u32, call: u32, reply: Option<&[u8]>) {
        self.asking.answered(number, call, reply, clock::mono_us());
        if let Some(left) = self.batches.get_mut(&number) {
            *left = left.saturating_sub(1);
        }
    }

    pub fn batch_over(&mut self, number: u32) {
        self.batches.remove(&number);
        self.asking.over(number);
    }

    /// The batch that an exchange was in is over; or that of the one before in its slot, while its own is under way.
    pub fn asked(&mut self, index: u32) -> Next {
        let Some(slot) = self.slots.get(index as usize).filter(|slot| slot.stage == Stage::Asking) else {
            return Next::Sent;
        };
        if self.batches.get(&slot.batch) != Some(&0) {
            return Next::Sent;
        }
        let waiter = slot.waiter(index);
        self.answered_by_fleet(index, |asking| asking.answers(waiter))
    }

    /// `answers` finds what came of each question; None when the exchange waits for another batch.
    fn answered_by_fleet(&mut self, index: u32, answers: impl FnOnce(&Asking) -> Option<&[Option<Taken>]>) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return Next::Close;
        };
        let Some(answers) = answers(&self.asking) else { return Next::Sent };
        slot.exchange.limited.now_us = clock::mono_us();
        match decide::asked(&mut slot.exchange, peer, answers) {
            // Counters are asked once, or this would never end.
            Outcome::Ask => self.refuse(index, Reason::InternalPanic),
            Outcome::Deny => {
                self.asking.give_back(slot.waiter(index));
                self.tell_of_asks();
                self.answer(index)
            }
            outcome => self.proceed(index, outcome),
        }
    }

    /// Lets JavaScript know of questions that no exchange waits for.
    pub(super) fn tell_of_asks(&mut self) {
        if self.asking.is_pending() {
            // SAFETY: as above.
            unsafe { *self.answer_meta.add(META_ASKS) = 1 };
        }
    }

    /// The same for questions that came up where no JavaScript looks.
    pub fn tell_of_asks_by_streams(&self) {
        // SAFETY: as above.
        if unsafe { *self.answer_meta.add(META_ASKS) } != 0 {
            want(Wanted::Ask, NONE);
        }
    }

    /// Milliseconds until its turn.
    pub fn delay_of(&self, index: u32) -> u32 {
        let slot = self.slots.get(index as usize).filter(|slot| slot.stage == Stage::Delayed);
        slot.map_or(0, |slot| slot.exchange.limited.delay_us.div_ceil(1000).min(u64::from(u32::MAX)) as u32)
    }

    /// It has waited for its turn.
    pub fn delayed(&mut self, index: u32) -> Next {
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| slot.stage == Stage::Delayed) else {
            return Next::Sent;
        };
        match decide::delayed(&mut slot.exchange) {
            Outcome::Delay => self.refuse(index, Reason::InternalPanic),
            outcome => self.proceed(index, outcome),
        }
    }

    /// What of the client's body has to be read while its exchange waits: Body, LastBody, or Sent for nothing.
    pub fn meanwhile(&self, index: u32) -> Next {
        let Some(slot) = self.slots.get(index as usize) else { return Next::Sent };
        match slot.exchange.head.framing() {
            _ if slot.complete || !matches!(slot.stage, Stage::Asking | Stage::Delayed) => Next::Sent,
            Framing::None | Framing::Length(0) => Next::Sent,
            Framing::Length(_) => Next::Body,
            Framing::Chunked => Next::LastBody,
        }
    }

    /// A piece of a body whose exchange waits. The last one leaves the socket as it is.
    pub(super) fn wait_with(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let slot = &mut self.slots[index as usize];
        slot.body.extend_from_slice(piece);
        slot.complete = last;
        if last { Next::Sent } else { Next::Pause }
    }

    /// Sends what passed: with its body when that is here, else as much of it as came, with the rest streaming behind.
    fn pass(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        slot.stage = Stage::Passed;
        let head = &slot.exchange.head;
        if !head.has_body() && is_websocket(head.method(), head.field("upgrade")) {
            return Next::Upgrade;
        }
        let framing = self.framing_onwards(index);
        let slot = &mut self.slots[index as usize];
        if matches!(framing, Framing::None | Framing::Length(0)) {
            return self.send(index, framing, Body::None);
        }
        let mut body = std::mem::take(&mut slot.body);
        let next = if slot.complete {
            self.send(index, Framing::Length(body.len() as u64), Body::Whole(&body))
        } else {
            self.stream(index, framing, &body)
        };
        if body.capacity() <= KEPT_BODY_BYTES {
            body.clear();
            self.slots[index as usize].body = body;
        }
        next
    }

    fn stream(&mut self, index: u32, framing: Framing, gathered: &[u8]) -> Next {
        let length = if let Framing::Length(length) = framing { Some(length) } else { None };
        let sent = self.send(index, framing, Body::Stream { length });
        if sent != Next::Sent {
            return sent;
        }
        let slot = &mut self.slots[index as usize];
        slot.waiting_us = clock::mono_us();
        let token = Token { slot: index, generation: slot.generation };
        if !gathered.is_empty() && self.client.client().body(token, gathered, false) == Flow::Pause {
            return Next::Pause;
        }
        match self.slots[index as usize].exchange.head.framing() {
            Framing::Length(_) => Next::Body,
            Framing::None | Framing::Chunked => Next::LastBody,
        }
    }

    /// Waits for the whole body, which is inspected then.
    fn collect(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        // Whoever waited before was not waiting for the client.
        slot.waiting_us = if slot.stage == Stage::Deciding { slot.exchange.started.mono_us } else { clock::mono_us() };
        slot.stage = Stage::Collecting;
        if slot.complete {
            return self.collected(index);
        }
        if slot.body.len() as u64 > MAX_INSPECTED_BYTES {
            return self.outgrown(index, &[], false);
        }
        if self.slots[index as usize].exchange.head.framing() == Framing::Chunked { Next::LastBody } else { Next::Body }
    }
}

/// Counts by the answer, once. What is counted by the fleet leaves with the next batch: nobody waits for it.
pub(super) fn settle<'a>(
    exchange: &mut Exchange,
    asking: &mut Asking,
    peer: &Peer,
    status: u16,
    fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) {
    exchange.limited.wants_response = false;
    exchange.limited.asks.clear();
    let now_us = clock::mono_us();
    exchange.limited.now_us = now_us;
    decide::settled(exchange, peer, status, fields);
    for ask in exchange.limited.asks.drain(..) {
        asking.spend(&ask, now_us);
    }
}
