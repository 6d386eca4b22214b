//! Responses of HTTP/2 origins on their way in.
//!
//! A stream is looked at when it was woken. What it has is copied into the turn's arena at once, and only what was
//! copied opens its window again; a paused stream, or one that finds no room, is left as it is.

use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use portcullis_engine::reason::Reason;

use super::receive::MAX_INTERIM;
use super::{Client, NEVER};
use crate::arena::{Entry, Kind};
use crate::counters;
use crate::exchange::Stage;
use crate::h2::answer::{self, Written};
use crate::h2::link::{MAX_FRAME_BYTES, fault};
use crate::h2::stream::{Answer, Wire, was_not_processed};
use crate::poller::Poller;
use crate::response::{BLOCK_GROWTH, MAX_HEAD_BYTES};
use crate::trailers;

/// A look at a stream brings at most a head and a frame of its body, then a frame at a time.
const LOOK_BYTES: usize = MAX_HEAD_BYTES + BLOCK_GROWTH + MAX_FRAME_BYTES as usize;

/// What a stream had.
enum Found {
    /// Nothing more now.
    Nothing,
    Interim(Response<()>),
    Head(Response<h2::RecvStream>),
    Piece(Bytes),
    Trailers(HeaderMap),
    End,
    Error(h2::Error),
}

impl<P: Poller> Client<P> {
    /// Looks at streams that were woken, and hears what became of connections. Called when the [`Client::bell`] rang.
    pub fn serve_streams(&mut self) {
        if self.turn.is_taken() {
            self.h2.missed = true;
            return;
        }
        self.hear_news();
        let mut slots = std::mem::take(&mut self.h2.slots);
        self.h2.take_woken(&mut slots);
        for slot in slots.drain(..) {
            self.h2.serving = Some(slot);
            self.flush_stream(slot);
            self.receive_stream(slot);
        }
        self.h2.serving = None;
        self.h2.slots = slots;
        self.settle();
        self.wake_if_waiting();
    }

    /// Gives up what was being served when a panic came: its state can't be trusted.
    pub fn condemn_stream(&mut self) {
        if let Some(slot) = self.h2.serving.take()
            && self.exchanges.get(slot as usize).is_some_and(|exchange| exchange.stage == Stage::Stream)
        {
            self.abort_stream(slot, Reason::InternalPanic);
            self.settle();
        }
    }

    /// Streams that found no room are looked at again.
    pub(super) fn feed_streams(&mut self) {
        if !self.h2.starved.is_empty() || self.h2.missed {
            self.h2.missed = false;
            for slot in std::mem::take(&mut self.h2.starved) {
                self.h2.waker(slot).wake();
            }
            self.h2.board.bell.ring();
        }
    }

    pub(super) fn receive_stream(&mut self, slot: u32) {
        let waker = self.h2.waker(slot);
        let mut context = Context::from_waker(&waker);
        loop {
            let has_room = self.turn.has_entries_for_a_read() && self.turn.room() >= LOOK_BYTES;
            let Some(exchange) = self.exchanges.get_mut(slot as usize) else { return };
            let Some(stream) = &mut exchange.stream else { return };
            if stream.paused {
                return;
            }
            let Some(wire) = &mut stream.wire else { return };
            if !has_room {
                self.h2.starved.push(slot);
                return;
            }
            let found = look(wire, &mut context);
            if !matches!(found, Found::Nothing | Found::Error(_)) {
                self.note_heard(slot);
            }
            let goes_on = match found {
                Found::Nothing => false,
                Found::Interim(response) => self.stream_interim(slot, &response),
                Found::Head(response) => self.stream_head(slot, response, &mut context),
                Found::Piece(piece) => self.stream_piece(slot, &piece),
                Found::Trailers(fields) => self.stream_ends_with(slot, &fields),
                Found::End => self.stream_ended(slot),
                Found::Error(error) => self.stream_died(slot, &error),
            };
            if !goes_on {
                return;
            }
        }
    }

    fn note_heard(&mut self, slot: u32) {
        let now = self.poller.now_ms();
        let exchange = &mut self.exchanges[slot as usize];
        let timeout = self.origins[exchange.origin as usize].as_ref().map_or(0, |it| it.spec.idle_timeout_ms);
        self.h2.set_deadline(slot, now + u64::from(timeout));
        if let Some(stream) = &mut exchange.stream
            && !stream.is_heard
        {
            stream.heard();
            exchange.origin_us = exchange.sent_at.map_or(0, |at| at.elapsed().as_micros().min(u32::MAX.into()) as u32);
        }
    }

    fn stream_interim(&mut self, slot: u32, response: &Response<()>) -> bool {
        let exchange = &mut self.exchanges[slot as usize];
        let Some(stream) = &mut exchange.stream else { return false };
        stream.interim += 1;
        if stream.interim > MAX_INTERIM || response.status() == 101 {
            return self.stream_malformed(slot);
        }
        if !stream.takes_interim {
            return true;
        }
        let status = response.status().as_u16();
        let Ok(written) = answer::write_block(status, response.headers(), exchange.added(), self.turn.tail()) else {
            return self.stream_malformed(slot);
        };
        let Written { block_len, length } = written;
        let entry = exchange.head_entry(Kind::Interim, status, self.turn.start(), block_len, length);
        self.turn.keep(block_len);
        self.turn.push(entry);
        true
    }

    /// The head, together with what came of the body: all of it, if that is so.
    fn stream_head(&mut self, slot: u32, response: Response<h2::RecvStream>, context: &mut Context<'_>) -> bool {
        let (parts, mut body) = response.into_parts();
        let status = parts.status.as_u16();
        let exchange = &mut self.exchanges[slot as usize];
        let (origin, address) = (exchange.origin, exchange.address);
        if !(200..=599).contains(&status) {
            return self.stream_malformed(slot);
        }
        let Ok(written) = answer::write_block(status, &parts.headers, exchange.added(), self.turn.tail()) else {
            return self.stream_malformed(slot);
        };
        let Written { block_len: at, length } = written;
        let Some(stream) = &mut exchange.stream else { return false };
        let no_body = exchange.is_head || matches!(status, 204 | 304);
        stream.left = if no_body { None } else { length };
        let mut first = Bytes::new();
        if !body.is_end_stream()
            && let Poll::Ready(Some(Ok(piece))) = body.poll_data(context)
        {
            let _ = body.flow_control().release_capacity(piece.len());
            first = piece;
        }
        let is_whole = body.is_end_stream();
        if let Some(wire) = &mut stream.wire {
            wire.answer = Answer::Body(body);
        }
        if let Some(origin) = self.origins[origin as usize].as_mut() {
            origin.answered(address);
        }
        self.turn.tail()[at..at + first.len()].copy_from_slice(&first);
        let start = self.turn.start();
        // A head that is the end stays one row: gRPC's trailers-only counts as such by its END_STREAM alone.
        if is_whole {
            let mut entry = exchange.head_entry(Kind::Whole, status, start, at, length);
            entry.flags |= exchange.early() | if no_body { Entry::NO_BODY } else { 0 };
            entry.body_start = start + at as u32;
            entry.body_len = first.len() as u32;
            self.turn.keep(at + first.len());
            self.turn.push(entry);
            return self.stream_over(slot);
        }
        exchange.head_sent = true;
        let mut entry = exchange.head_entry(Kind::Head, status, start, at, length);
        if no_body {
            entry.flags |= Entry::NO_BODY;
        }
        let token = exchange.token;
        if let Some(left) = exchange.stream.as_mut().and_then(|stream| stream.left.as_mut()) {
            *left = left.saturating_sub(first.len() as u64);
        }
        self.turn.keep(at);
        self.turn.push(entry);
        if !first.is_empty() {
            self.turn.push_chunk(token, first.len());
        }
        true
    }

    fn stream_piece(&mut self, slot: u32, piece: &[u8]) -> bool {
        let exchange = &mut self.exchanges[slot as usize];
        let token = exchange.token;
        if let Some(left) = exchange.stream.as_mut().and_then(|stream| stream.left.as_mut()) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        if !piece.is_empty() {
            self.turn.tail()[..piece.len()].copy_from_slice(piece);
            self.turn.push_chunk(token, piece.len());
        }
        true
    }

    fn stream_ends_with(&mut self, slot: u32, fields: &HeaderMap) -> bool {
        let exchange = &self.exchanges[slot as usize];
        if exchange.stream.as_ref().is_some_and(|stream| stream.takes_trailers) {
            let pairs = fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
            let Ok(block_len) = trailers::write_block(pairs, self.turn.tail()) else {
                return self.stream_malformed(slot);
            };
            let block_start = self.turn.start();
            self.turn.keep(block_len);
            let entry = Entry { block_start, block_len: block_len as u32, ..exchange.entry(Kind::Trailers) };
            self.turn.push(entry);
        }
        self.stream_ended(slot)
    }

    fn stream_ended(&mut self, slot: u32) -> bool {
        let exchange = &self.exchanges[slot as usize];
        let mut entry = exchange.entry(Kind::End);
        entry.flags |= exchange.early();
        self.turn.push(entry);
        self.stream_over(slot)
    }

    /// The exchange is answered. What is left of its request is not sent any more.
    fn stream_over(&mut self, slot: u32) -> bool {
        self.leave_link(slot);
        self.exchanges[slot as usize].clear();
        false
    }

    fn stream_malformed(&mut self, slot: u32) -> bool {
        self.abort_stream(slot, Reason::OriginMalformed);
        false
    }

    fn stream_died(&mut self, slot: u32, error: &h2::Error) -> bool {
        let now = self.poller.now_ms();
        let exchange = &mut self.exchanges[slot as usize];
        let (origin, address, reused) = (exchange.origin, exchange.address, exchange.reused);
        let is_answered = exchange.head_sent;
        let Some(stream) = &mut exchange.stream else { return false };
        // Only RST_STREAM leaves the connection as it is.
        if !error.is_reset()
            && let Some(key) = stream.link
        {
            self.retire_link(key);
        }
        let exchange = &mut self.exchanges[slot as usize];
        let Some(stream) = &mut exchange.stream else { return false };
        // RFC 9113, 8.1: with this the origin asks that the rest of the request be spared, behind a whole response.
        let is_enough = error.is_reset() && error.reason() == Some(h2::Reason::NO_ERROR);
        if is_enough && is_answered && !exchange.sent && stream.left.unwrap_or(0) == 0 {
            return self.stream_ended(slot);
        }
        let repeatable = was_not_processed(error) || (reused && exchange.idempotent && exchange.is_whole);
        if repeatable && !exchange.retried && stream.kept.is_some() {
            exchange.retried = true;
            exchange.sent = false;
            exchange.deaf = false;
            let timeout = self.origins[origin as usize].as_ref().map_or(0, |it| it.spec.connect_timeout_ms);
            exchange.deadline_ms = now + u64::from(timeout);
            counters::add(&self.counters.retried);
            self.leave_link(slot);
            if self.exchanges[slot as usize].stream.as_mut().is_some_and(|stream| stream.rewind()) {
                self.assign_stream(slot);
                return false;
            }
        }
        if !is_answered && !reused && !error.is_reset() {
            self.note_failure(origin, address, now);
        }
        self.abort_stream(slot, fault(error));
        false
    }

    /// A stream was silent for too long.
    pub(super) fn expire_stream(&mut self, slot: u32, now: u64) {
        self.h2.set_deadline(slot, NEVER);
        let Some(exchange) = self.exchanges.get(slot as usize) else { return };
        if exchange.stage != Stage::Stream {
            return;
        }
        let (origin, address, is_answered) = (exchange.origin, exchange.address, exchange.head_sent);
        let key = exchange.stream.as_ref().and_then(|stream| stream.link);
        if !is_answered {
            self.note_failure(origin, address, now);
        }
        if let Some(key) = key {
            self.suspect_link(key, now);
        }
        self.abort_stream(slot, Reason::OriginTimeout);
    }

    pub(super) fn set_stream_paused(&mut self, slot: u32, paused: bool) {
        let exchange = &mut self.exchanges[slot as usize];
        // Before the head there is nothing that a client could be slower than.
        if !exchange.head_sent {
            return;
        }
        let Some(stream) = &mut exchange.stream else { return };
        if stream.paused == paused {
            return;
        }
        stream.paused = paused;
        if paused {
            self.h2.set_deadline(slot, NEVER);
        } else {
            self.note_heard(slot);
            self.h2.waker(slot).wake();
        }
    }
}

fn look(wire: &mut Wire, context: &mut Context<'_>) -> Found {
    match &mut wire.answer {
        Answer::Awaited(response) => {
            // Read also when nobody takes them: they are counted.
            match response.poll_informational(context) {
                Poll::Ready(Some(Ok(interim))) => return Found::Interim(interim),
                Poll::Ready(Some(Err(error))) => return Found::Error(error),
                Poll::Ready(None) => {}
                Poll::Pending => return Found::Nothing,
            }
            match std::pin::Pin::new(response).poll(context) {
                Poll::Ready(Ok(response)) => Found::Head(response),
                Poll::Ready(Err(error)) => Found::Error(error),
                Poll::Pending => Found::Nothing,
            }
        }
        Answer::Body(body) => match body.poll_data(context) {
            Poll::Ready(Some(Ok(piece))) => {
                let _ = body.flow_control().release_capacity(piece.len());
                Found::Piece(piece)
            }
            Poll::Ready(Some(Err(error))) => Found::Error(error),
            Poll::Ready(None) => match body.poll_trailers(context) {
                Poll::Ready(Ok(Some(fields))) => Found::Trailers(fields),
                Poll::Ready(Ok(None)) => Found::End,
                Poll::Ready(Err(error)) => Found::Error(error),
                Poll::Pending => Found::Nothing,
            },
            Poll::Pending => Found::Nothing,
        },
    }
}
