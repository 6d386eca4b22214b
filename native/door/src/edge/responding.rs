//! Responses of operations that describe them: checked before the client sees any of it.
//!
//! A small one that came whole is checked where it lies and stays in its row. Others are held back: their rows are
//! taken out of the turn, and one row Responded stands where there is news, upon which JavaScript asks
//! [`Edge::responded`]. Until it has asked, later rows of the same turn are gathered here too: nothing overtakes.

use portcullis_engine::decide::{self, MAX_INSPECTED_BYTES, ResponseOutcome};
use portcullis_engine::guard::guarded;
use portcullis_engine::reason::Reason;
use portcullis_engine::schema::{Extent, Passed, Violation};
use portcullis_forward::held::Held;
use portcullis_forward::{Entry, Kind, Token};

use super::inspecting::schemas;
use super::streams::is_stream;
use super::waiting::settle;
use super::{Edge, Next, Stage, lock, most_bytes};

/// What becomes of a row of the turn.
pub(super) enum Row {
    /// As with responses that nobody looks at.
    Goes(Entry),
    /// JavaScript gets another kind to see: 0, or Responded.
    Becomes(u32),
}

const TAKEN: Row = Row::Becomes(0);
const RESPONDED: Row = Row::Becomes(Kind::Responded as u32);

/// Flags of a held response in the answer's memory.
const HELD_WHOLE: u32 = 4;
const HELD_MORE: u32 = 8;
const HELD_LENGTH: u32 = 16;

impl Edge {
    pub(super) fn check_row(&mut self, entry: Entry) -> Row {
        let is = |kind: Kind| entry.kind == kind as u32;
        match self.slots[entry.slot as usize].stage {
            Stage::Forwarded if is(Kind::Whole) || is(Kind::Head) => self.response_head(entry),
            Stage::Holding | Stage::Settled if is(Kind::Chunk) => self.response_piece(entry),
            Stage::Holding | Stage::Settled if is(Kind::End) => self.response_end(entry.slot),
            Stage::Holding | Stage::Settled if is(Kind::Failed) => self.response_failed(entry),
            _ => Row::Goes(entry),
        }
    }

    /// Counts by what the origin answered, before anything is made of it: an answer that is refused was given all the
    /// same.
    pub(super) fn settle_limits(&mut self, entry: &Entry) {
        if entry.kind != Kind::Whole as u32 && entry.kind != Kind::Head as u32 {
            return;
        }
        let (block, _) = self.bytes(entry);
        self.fields.read(block);
        let slot = &mut self.slots[entry.slot as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else { return };
        let (exchange, asking, fields) = (&mut slot.exchange, &mut self.asking, &self.fields);
        if guarded(|| settle(exchange, asking, peer, entry.status as u16, fields.iter())).is_none() {
            self.panicked();
        }
        self.tell_of_asks();
    }

    fn response_head(&mut self, entry: Entry) -> Row {
        let index = entry.slot;
        let (block, body) = self.bytes(&entry);
        let whole = entry.kind == Kind::Whole as u32;
        let length = entry.length();
        let extent = match length {
            _ if entry.flags & Entry::NO_BODY != 0 => Extent::None,
            None if !whole => Extent::Open,
            _ => Extent::Known,
        };
        self.fields.read(block);
        let slot = &mut self.slots[index as usize];
        slot.exchange.origin_us = u64::from(entry.origin_us);
        slot.exchange.origin_status = entry.status as u16;
        slot.status = entry.status as u16;
        let (exchange, status, fields) = (&mut slot.exchange, slot.status, &self.fields);
        let Some(outcome) = guarded(|| decide::responded(exchange, status, extent, fields.iter())) else {
            return self.failed_within(index);
        };
        match outcome {
            ResponseOutcome::Pass => Row::Goes(entry),
            ResponseOutcome::NotEvaluated => self.not_evaluated(entry),
            ResponseOutcome::Deny => self.refused_response(index),
            ResponseOutcome::Collect if !whole && length.is_some_and(|length| length > MAX_INSPECTED_BYTES) => {
                self.not_evaluated(entry)
            }
            ResponseOutcome::Collect
                if whole && most_bytes(&self.slots[index as usize].exchange, body.len()) <= self.inline_bytes =>
            {
                self.check_in_row(entry)
            }
            ResponseOutcome::Collect => match Held::new(block, body, length) {
                Some(held) => {
                    let slot = &mut self.slots[index as usize];
                    slot.held = Some(held);
                    slot.stage = Stage::Holding;
                    if whole { self.response_end(index) } else { TAKEN }
                }
                None => self.no_room(entry),
            },
        }
    }

    /// A small response that came whole: it stays where it is, unless there is something against it.
    fn check_in_row(&mut self, entry: Entry) -> Row {
        let index = entry.slot;
        let (block, body) = self.bytes(&entry);
        let Some(result) = self.check_here(index, body) else { return self.failed_within(index) };
        if matches!(result, Ok(Passed::Instead(_))) {
            match Held::new(block, &[], None) {
                Some(held) => self.slots[index as usize].held = Some(held),
                None => return self.no_room(entry),
            }
        }
        match self.evaluated(index, result) {
            ResponseOutcome::Deny => self.refused_response(index),
            _ => match &mut self.slots[index as usize].held {
                None => Row::Goes(entry),
                Some(held) => {
                    held.complete = true;
                    self.settled(index)
                }
            },
        }
    }

    fn response_piece(&mut self, entry: Entry) -> Row {
        let (_, piece) = self.bytes(&entry);
        let slot = &mut self.slots[entry.slot as usize];
        // Denied already: what still comes of it in this turn is nobody's.
        let Some(held) = &mut slot.held else { return TAKEN };
        if slot.stage == Stage::Settled {
            held.force(piece);
            return TAKEN;
        }
        let room = held.push(piece);
        if room && held.body.len() as u64 <= MAX_INSPECTED_BYTES {
            return TAKEN;
        }
        if room {
            lock(&self.meters).scalars.responses_not_evaluated += 1;
        } else {
            held.force(piece);
            if !self.passes_unchecked(entry.slot) {
                return self.overloaded(entry.slot);
            }
        }
        self.slots[entry.slot as usize].exchange.chosen = None;
        self.settled(entry.slot)
    }

    fn response_end(&mut self, index: u32) -> Row {
        let slot = &mut self.slots[index as usize];
        let Some(held) = &mut slot.held else { return TAKEN };
        held.complete = true;
        if slot.stage == Stage::Settled {
            return TAKEN;
        }
        if most_bytes(&slot.exchange, held.body.len()) <= self.inline_bytes {
            let body = std::mem::take(&mut held.body);
            let Some(result) = self.check_here(index, &body) else { return self.failed_within(index) };
            if let Some(held) = &mut self.slots[index as usize].held {
                held.body = body;
            }
            if self.evaluated(index, result) == ResponseOutcome::Deny {
                return self.refused_response(index);
            }
        }
        self.settled(index)
    }

    /// The client has seen nothing of what came: it gets an answer that says what happened.
    fn response_failed(&mut self, entry: Entry) -> Row {
        let slot = &mut self.slots[entry.slot as usize];
        slot.held = None;
        if slot.stage == Stage::Settled {
            let fault = Reason::ALL.get(entry.fault as usize).copied().unwrap_or(Reason::OriginClosed);
            slot.exchange.denial.get_or_insert_with(|| fault.into());
            return TAKEN;
        }
        slot.stage = Stage::Forwarded;
        Row::Goes(Entry { flags: entry.flags & !Entry::HEAD_SENT, ..entry })
    }

    fn not_evaluated(&mut self, entry: Entry) -> Row {
        self.slots[entry.slot as usize].exchange.chosen = None;
        lock(&self.meters).scalars.responses_not_evaluated += 1;
        Row::Goes(entry)
    }

    /// No room to hold a response back.
    fn no_room(&mut self, entry: Entry) -> Row {
        if !self.passes_unchecked(entry.slot) {
            return self.overloaded(entry.slot);
        }
        self.slots[entry.slot as usize].exchange.chosen = None;
        Row::Goes(entry)
    }

    fn overloaded(&mut self, index: u32) -> Row {
        self.slots[index as usize].exchange.denial = Some(Reason::SchemaOverload.into());
        self.refused_response(index)
    }

    /// What still comes from the origin is not for the client.
    fn refused_response(&mut self, index: u32) -> Row {
        let slot = &mut self.slots[index as usize];
        slot.held = None;
        self.client.client().cancel(Token { slot: index, generation: slot.generation });
        self.settled(index)
    }

    fn settled(&mut self, index: u32) -> Row {
        self.slots[index as usize].stage = Stage::Settled;
        RESPONDED
    }

    /// None after a panic: rows that nobody has looked at must not go on, whatever happens.
    fn check_here(&mut self, index: u32, body: &[u8]) -> Option<Result<Passed, Violation>> {
        lock(&self.meters).scalars.inspected_in_place += 1;
        let exchange = &mut self.slots[index as usize].exchange;
        let (schemas, chosen) = (schemas(exchange)?, exchange.chosen.take()?);
        guarded(|| schemas.check(&chosen, body))
    }

    fn failed_within(&mut self, index: u32) -> Row {
        self.panicked();
        self.slots[index as usize].exchange.denial = Some(Reason::InternalPanic.into());
        self.refused_response(index)
    }

    /// After a panic in the midst of a turn: rows that were not looked at deny their exchanges.
    pub fn turn_failed(&mut self, count: usize) {
        self.panicked();
        for row in 0..count {
            // SAFETY: as in `turn`.
            let entry = unsafe { *self.entries.add(row) };
            let slot = self.slots.get(entry.slot as usize).filter(|slot| slot.generation == entry.generation);
            let checks = slot.is_some_and(|slot| {
                slot.checks && matches!(slot.stage, Stage::Forwarded | Stage::Holding | Stage::Settled)
            });
            let settled = [0, Kind::Responded as u32, Kind::Drained as u32].contains(&entry.kind);
            if checks
                && !settled
                && let Row::Becomes(kind) = self.failed_within(entry.slot)
            {
                // SAFETY: as in `turn`.
                unsafe { (*self.entries.add(row)).kind = kind };
            }
        }
    }

    /// Lets the engine say what an inspection means; what was stripped takes the place of what is held.
    pub(super) fn evaluated(&mut self, index: u32, result: Result<Passed, Violation>) -> ResponseOutcome {
        let slot = &mut self.slots[index as usize];
        let outcome = decide::evaluated(&mut slot.exchange, &result);
        if outcome == ResponseOutcome::NotEvaluated {
            lock(&self.meters).scalars.responses_not_evaluated += 1;
        }
        if let Ok(Passed::Instead(stripped)) = result {
            {
                let mut meters = lock(&self.meters);
                meters.scalars.responses_stripped += 1;
                meters.scalars.members_stripped += stripped.members;
            }
            if let Some(held) = &mut slot.held {
                held.replace(stripped);
            }
        }
        outcome
    }

    /// A row said Responded: what to do now.
    pub fn responded(&mut self, index: u32) -> Next {
        match self.slots.get(index as usize) {
            Some(slot) if slot.stage == Stage::Settled => self.settle(index),
            _ => Next::Sent,
        }
    }

    /// Denies, has the pool look at it, or writes.
    pub(super) fn settle(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        if slot.exchange.denial.is_some() {
            return self.answer(index);
        }
        match &slot.held {
            None => self.refuse(index, Reason::InternalPanic),
            Some(held) if held.complete && slot.exchange.chosen.is_some() => self.queue(index),
            Some(_) => self.write_held(index),
        }
    }

    /// Puts the head, and a body that finds room behind it, into the answer's memory. What finds none is fetched with
    /// [`Edge::piece`].
    fn write_held(&mut self, index: u32) -> Next {
        if is_stream(index) {
            return self.stream_held(index);
        }
        let slot = &mut self.slots[index as usize];
        let Some(held) = &slot.held else { return Next::Close };
        let (block, body) = (held.block.as_slice(), held.body.as_slice());
        if block.len() > self.answer_len {
            return self.refuse(index, Reason::OriginMalformed);
        }
        let whole = held.complete && block.len() + body.len() <= self.answer_len;
        let length = held.length.unwrap_or_default();
        let flags = [(whole, HELD_WHOLE), (!held.complete, HELD_MORE), (held.length.is_some(), HELD_LENGTH)];
        let flags = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum();
        // SAFETY: JavaScript's buffers, the first of the length checked above, the second of five words, kept alive by
        // the door for the edge's life, and read only after this call returns.
        unsafe {
            std::ptr::copy_nonoverlapping(block.as_ptr(), self.answer_bytes, block.len());
            if whole {
                std::ptr::copy_nonoverlapping(body.as_ptr(), self.answer_bytes.add(block.len()), body.len());
            }
            let words = [block.len() as u32, body.len() as u32, flags, length as u32, (length >> 32) as u32];
            std::ptr::copy_nonoverlapping(words.as_ptr(), self.answer_meta, words.len());
        }
        slot.sent_bytes = body.len() as u64;
        slot.stage = Stage::Answering;
        if whole {
            let status = slot.status;
            self.end(index, status);
        }
        Next::Held
    }

    /// Copies a held body from `offset` on into the answer's memory, as much as finds room there.
    pub fn piece(&mut self, index: u32, offset: usize) -> u32 {
        let held = self.slots.get(index as usize).and_then(|slot| slot.held.as_ref());
        let rest = held.and_then(|held| held.body.get(offset..)).unwrap_or_default();
        let length = rest.len().min(self.answer_len);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), self.answer_bytes, length) };
        length as u32
    }

    /// JavaScript has taken all pieces: a complete response is over, of another the rest streams.
    pub fn written(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| slot.stage == Stage::Answering) else {
            return;
        };
        let status = slot.status;
        if slot.held.take().is_some_and(|held| held.complete) {
            self.end(index, status);
        }
    }

    /// A row's block and body.
    pub(super) fn bytes<'a>(&self, entry: &Entry) -> (&'a [u8], &'a [u8]) {
        // SAFETY: the client filled the arena for this turn and leaves it until its reset, which comes after the turn;
        // an entry's ranges lie inside.
        let at =
            |start: u32, len: u32| unsafe { std::slice::from_raw_parts(self.arena.add(start as usize), len as usize) };
        (at(entry.block_start, entry.block_len), at(entry.body_start, entry.body_len))
    }
}
