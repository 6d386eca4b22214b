//! Response bytes on their way in.
//!
//! A head is read through one scratch buffer and leaves its block, and what came of its body, in the turn's arena. A
//! long body of known length, or one until the end of its connection, goes from the kernel straight into the arena.
//! A response is complete without a further `recv` that only says so.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use portcullis_engine::reason::Reason;

use super::{Client, SCRATCH_BYTES};
use crate::arena::{Entry, Kind, Token};
use crate::chunked::Chunked;
use crate::connection::Phase;
use crate::counters;
use crate::exchange::Exchange;
use crate::poller::{Interest, Key, Poller};
use crate::response::{self, BLOCK_GROWTH, Framing, Head, Parsed};
use crate::socket;
use crate::tls;
use crate::trailers::{self, MAX_TRAILER_BYTES};

/// A body of known length up to this is handed over together with its head, even if it comes in several reads.
const SMALL_BODY_BYTES: u64 = 64 * 1024;
/// Most bytes that one connection brings in one turn, so that a fast origin leaves room for the others.
const TURN_BYTES: usize = 256 * 1024;
/// Less room than this in the arena is left for the next turn: tiny reads cost more than waiting.
const MIN_READ_BYTES: usize = 8 * 1024;
/// Most 1xx responses ahead of a final one. Node.js and Envoy send at most one or two.
pub(super) const MAX_INTERIM: u32 = 8;

/// How a step of reading ended.
enum Step {
    /// There may be more to read.
    More,
    /// Nothing more now, or the exchange is over.
    Stop,
}

impl<P: Poller> Client<P> {
    /// A socket has something to tell.
    pub(super) fn serve(&mut self, index: u32, readable: bool, writable: bool) {
        let Some(connection) = self.connection(index) else { return };
        match connection.phase {
            Phase::Connecting if readable || writable => self.finish_connecting(index),
            Phase::Connecting => {}
            // Closed by the origin, or bytes that nobody asked for: either way not to be used again.
            Phase::Idle => {
                // TLS has things to say between two requests.
                if connection.tls.is_none() || !connection.is_quiet() {
                    self.close(index);
                }
            }
            _ => {
                if writable {
                    self.flush(index);
                }
                if readable {
                    self.receive(index);
                }
            }
        }
    }

    pub(super) fn finish_connecting(&mut self, index: u32) {
        let Some(connection) = self.connection(index) else { return };
        let (slot, fd) = (connection.exchange, connection.fd.as_raw_fd());
        let shaken = match (socket::connected(fd), &mut connection.tls) {
            (Ok(()), None) => Ok(true),
            (Ok(()), Some(tls)) => tls.shake(fd).map_err(|_| Reason::OriginTls),
            (Err(_), _) => Err(Reason::OriginConnect),
        };
        match shaken {
            Ok(true) => self.established(index),
            Ok(false) => {
                let interest = Interest { readable: true, writable: connection.is_stuck() };
                self.set_interest(index, interest);
            }
            Err(reason) => {
                self.close(index);
                self.connect_failed(slot, reason);
                self.assign(slot, None, false);
            }
        }
    }

    pub(super) fn receive(&mut self, index: u32) {
        let mut left = TURN_BYTES;
        while let Step::More = self.receive_once(index, &mut left) {}
        if let Some(place) = self.connections.get(index as usize)
            && let Some(connection) = &place.connection
            && connection.has_plaintext()
            && !connection.paused
        {
            self.unread.push(Key { index, generation: place.generation });
        }
    }

    /// Decrypted bytes that found no room in the turn before: the loop would not tell of them again.
    pub(super) fn read_on(&mut self) {
        if !self.unread.is_empty() {
            for key in std::mem::take(&mut self.unread) {
                self.ready(key, true, false);
            }
        }
    }

    fn receive_once(&mut self, index: u32, left: &mut usize) -> Step {
        let room = self.turn.room();
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return Step::Stop };
        if connection.paused || *left == 0 || !self.turn.has_entries_for_a_read() {
            return Step::Stop;
        }
        let direct = match connection.phase {
            Phase::Length(length) => usize::try_from(length).unwrap_or(usize::MAX).min(room),
            Phase::UntilClose => room,
            _ => 0,
        };
        if direct > 0 || matches!(connection.phase, Phase::Length(_) | Phase::UntilClose) {
            let most = direct.min(*left);
            if room < MIN_READ_BYTES {
                return Step::Stop;
            }
            let outcome = connection.recv(&mut self.turn.tail()[..most]);
            return match outcome {
                Ok(0) => self.ended(index),
                Ok(read) => {
                    *left -= read;
                    let over = self.direct_piece(index, read);
                    if over || (read < most && !self.may_have_more(index)) { Step::Stop } else { Step::More }
                }
                Err(error) => self.read_failed(index, &error),
            };
        }
        // What is read and what waits to be understood must fit into the arena whole, blocks growing a little.
        let exchange = &self.exchanges[connection.exchange as usize];
        let blocks = if exchange.takes_interim { 1 + MAX_INTERIM as usize } else { 1 };
        let behind = if exchange.takes_trailers { MAX_TRAILER_BYTES } else { 0 };
        let reserved = connection.input.len() + blocks * BLOCK_GROWTH + behind;
        let most = room.saturating_sub(reserved).min(SCRATCH_BYTES).min(*left);
        if most < MIN_READ_BYTES.min(*left) {
            return Step::Stop;
        }
        let mut scratch = mem::take(&mut self.scratch);
        if scratch.len() < SCRATCH_BYTES {
            // A panic that was caught has lost it.
            scratch = vec![0; SCRATCH_BYTES].into_boxed_slice();
        }
        let outcome = connection.recv(&mut scratch[..most]);
        let step = match outcome {
            Ok(0) => self.ended(index),
            Ok(read) => {
                *left -= read;
                let over = self.understand(index, &scratch[..read]);
                if over || (read < most && !self.may_have_more(index)) { Step::Stop } else { Step::More }
            }
            Err(error) => self.read_failed(index, &error),
        };
        self.scratch = scratch;
        step
    }

    fn may_have_more(&mut self, index: u32) -> bool {
        self.connection(index).is_some_and(|connection| connection.may_have_more())
    }

    /// Bytes of a long body that lie in the arena's tail; true when they were its last.
    fn direct_piece(&mut self, index: u32, read: usize) -> bool {
        let deadline = self.idle_deadline(index);
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return true };
        let token = self.exchanges[connection.exchange as usize].token;
        self.turn.push_chunk(token, read);
        self.deadlines_ms[index as usize] = deadline;
        if let Phase::Length(length) = &mut connection.phase {
            *length -= read as u64;
            if *length == 0 {
                self.complete(index, false);
                return true;
            }
        }
        false
    }

    /// Takes new bytes in behind those that wait; true when the exchange is over.
    fn understand(&mut self, index: u32, new: &[u8]) -> bool {
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return true };
        let exchange = &mut self.exchanges[connection.exchange as usize];
        if !connection.heard {
            connection.heard = true;
            exchange.origin_us = exchange.sent_at.map_or(0, |at| at.elapsed().as_micros().min(u32::MAX.into()) as u32);
        }
        if connection.input.is_empty() {
            return match self.digest(index, new) {
                None => true,
                Some(used) => {
                    if let Some(connection) = self.connection(index) {
                        connection.input.extend_from_slice(&new[used..]);
                    }
                    false
                }
            };
        }
        let mut input = mem::take(&mut connection.input);
        input.extend_from_slice(new);
        let used = self.digest(index, &input);
        if let Some(connection) = self.connection(index) {
            input.drain(..used.unwrap_or(input.len()));
            connection.input = input;
        }
        used.is_none()
    }

    /// Reads what can be understood; how many bytes that were, None when the exchange is over.
    fn digest(&mut self, index: u32, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let deadline = self.idle_deadline(index);
            let connection = self.connections[index as usize].connection.as_mut()?;
            let exchange = &mut self.exchanges[connection.exchange as usize];
            match &mut connection.phase {
                Phase::Head => match self.digest_head(index, &input[at..]) {
                    Progress::Interim(len) => at += len,
                    Progress::Wait => return Some(at),
                    Progress::Body => return Some(input.len()),
                    Progress::Over => return None,
                },
                Phase::Chunked(chunked) => {
                    let Ok(decoded) = chunked.decode(&input[at..], self.turn.tail()) else {
                        self.abandon(index, Reason::OriginMalformed);
                        return None;
                    };
                    if decoded.written > 0 {
                        self.turn.push_chunk(exchange.token, decoded.written);
                    }
                    self.deadlines_ms[index as usize] = deadline;
                    if decoded.end {
                        let trailers = Box::<[u8]>::from(chunked.trailers());
                        if self.push_trailers(index, &trailers) {
                            self.complete(index, at + decoded.read < input.len());
                        }
                        return None;
                    }
                    return Some(input.len());
                }
                // These are read directly, or there is nobody to read for.
                Phase::Length(_) | Phase::UntilClose | Phase::Connecting | Phase::Idle => return Some(input.len()),
            }
        }
    }

    fn digest_head(&mut self, index: u32, input: &[u8]) -> Progress {
        let deadline = self.idle_deadline(index);
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return Progress::Over };
        let slot = connection.exchange;
        let exchange = &mut self.exchanges[slot as usize];
        if connection.needed > 0 {
            self.deadlines_ms[index as usize] = deadline;
        }
        if input.len() < connection.needed {
            return Progress::Wait;
        }
        if connection.searched > 0 && connection.needed == 0 && input.len() <= response::MAX_HEAD_BYTES {
            let from = connection.searched.saturating_sub(3);
            connection.searched = input.len();
            if !holds_blank_line(&input[from..]) {
                return Progress::Wait;
            }
        }
        let head = match response::parse(input, exchange.is_head, exchange.added(), self.turn.tail()) {
            Ok(Parsed::Final(head)) => head,
            Ok(Parsed::Partial) => {
                connection.searched = input.len();
                return Progress::Wait;
            }
            Ok(Parsed::Interim { status, len, block_len }) if connection.interim < MAX_INTERIM => {
                connection.interim += 1;
                connection.searched = 0;
                if exchange.takes_interim {
                    let block_start = self.turn.start();
                    self.turn.keep(block_len);
                    let (status, block_len) = (u32::from(status), block_len as u32);
                    self.turn.push(Entry { status, block_start, block_len, ..exchange.entry(Kind::Interim) });
                }
                return Progress::Interim(len);
            }
            Ok(Parsed::Interim { .. }) | Err(_) => {
                self.abandon(index, Reason::OriginMalformed);
                return Progress::Over;
            }
        };
        let rest = &input[head.len..];
        connection.keep_alive = head.keep_alive;
        if let Some(seconds) = head.keeps_for_s {
            connection.keep_ms = keep_ms(seconds);
            connection.keep_alive &= seconds > 0;
        }
        let (origin, address) = (connection.origin, connection.address);
        match head.framing {
            Framing::Length(length) if length <= SMALL_BODY_BYTES && length > rest.len() as u64 => {
                connection.needed = head.len + length as usize;
                self.deadlines_ms[index as usize] = deadline;
                return Progress::Wait;
            }
            Framing::Length(length) if length > rest.len() as u64 => {
                self.turn.tail()[head.block_len..head.block_len + rest.len()].copy_from_slice(rest);
                connection.phase = Phase::Length(length - rest.len() as u64);
                self.begin_response(index, &head, rest.len());
            }
            Framing::UntilClose => {
                self.turn.tail()[head.block_len..head.block_len + rest.len()].copy_from_slice(rest);
                connection.phase = Phase::UntilClose;
                self.begin_response(index, &head, rest.len());
            }
            Framing::Chunked => {
                let mut chunked = Chunked::new(exchange.takes_trailers);
                let Ok(decoded) = chunked.decode(rest, &mut self.turn.tail()[head.block_len..]) else {
                    self.abandon(index, Reason::OriginMalformed);
                    return Progress::Over;
                };
                if decoded.end && chunked.trailers().is_empty() {
                    self.push_whole(slot, &head, decoded.written);
                    self.over(index, decoded.read < rest.len());
                } else if decoded.end {
                    self.begin_response(index, &head, decoded.written);
                    if self.push_trailers(index, chunked.trailers()) {
                        self.complete(index, decoded.read < rest.len());
                    }
                } else {
                    connection.phase = Phase::Chunked(chunked);
                    self.begin_response(index, &head, decoded.written);
                }
            }
            Framing::None | Framing::Length(_) => {
                let length = if let Framing::Length(length) = head.framing { length as usize } else { 0 };
                self.turn.tail()[head.block_len..head.block_len + length].copy_from_slice(&rest[..length]);
                self.push_whole(slot, &head, length);
                self.over(index, rest.len() > length);
            }
        }
        if let Some(origin) = self.origins[origin as usize].as_mut() {
            origin.answered(address);
        }
        match self.connection(index) {
            Some(connection) if connection.exchange == slot && !matches!(connection.phase, Phase::Idle) => {
                self.deadlines_ms[index as usize] = deadline;
                Progress::Body
            }
            _ => Progress::Over,
        }
    }

    /// The arena's tail holds a block and a whole body.
    fn push_whole(&mut self, slot: u32, head: &Head, body_len: usize) {
        let start = self.turn.start();
        self.turn.keep(head.block_len + body_len);
        let exchange = &self.exchanges[slot as usize];
        let mut entry = head_entry(exchange, Kind::Whole, head, start);
        entry.flags |= exchange.early();
        entry.body_start = start + head.block_len as u32;
        entry.body_len = body_len as u32;
        self.turn.push(entry);
    }

    /// The arena's tail holds a block and the first piece of a body.
    fn begin_response(&mut self, index: u32, head: &Head, piece_len: usize) {
        let Some(connection) = self.connections[index as usize].connection.as_ref() else { return };
        let exchange = &mut self.exchanges[connection.exchange as usize];
        exchange.head_sent = true;
        let (token, start): (Token, u32) = (exchange.token, self.turn.start());
        self.turn.keep(head.block_len);
        self.turn.push(head_entry(exchange, Kind::Head, head, start));
        if piece_len > 0 {
            self.turn.push_chunk(token, piece_len);
        }
    }

    /// Hands trailers over; false when they are none, and the exchange is over.
    fn push_trailers(&mut self, index: u32, lines: &[u8]) -> bool {
        if lines.is_empty() {
            return true;
        }
        let Some(connection) = self.connections[index as usize].connection.as_ref() else { return false };
        let exchange = &self.exchanges[connection.exchange as usize];
        let Ok(block_len) = trailers::rewrite(lines, self.turn.tail()) else {
            self.abandon(index, Reason::OriginMalformed);
            return false;
        };
        let block_start = self.turn.start();
        let entry = Entry { block_start, block_len: block_len as u32, ..exchange.entry(Kind::Trailers) };
        self.turn.keep(block_len);
        self.turn.push(entry);
        true
    }

    /// The body of a response in pieces is complete.
    fn complete(&mut self, index: u32, garbage: bool) {
        let Some(connection) = self.connections[index as usize].connection.as_ref() else { return };
        let exchange = &self.exchanges[connection.exchange as usize];
        let mut entry = exchange.entry(Kind::End);
        entry.flags |= exchange.early();
        self.turn.push(entry);
        self.over(index, garbage);
    }

    /// The exchange is answered. Bytes behind a response make its connection unusable: they would be read as the
    /// answer to a request that was not sent yet.
    fn over(&mut self, index: u32, garbage: bool) {
        let Some(connection) = self.connections[index as usize].connection.as_ref() else { return };
        let exchange = &mut self.exchanges[connection.exchange as usize];
        let reusable = connection.keep_alive && !garbage && exchange.sent;
        exchange.clear();
        self.release(index, reusable);
    }

    fn read_failed(&mut self, index: u32, error: &io::Error) -> Step {
        if tls::is_fault(error) {
            // What the handshake's end left for later: a certificate of ours that is refused, in TLS 1.3.
            self.abandon(index, Reason::OriginTls);
        } else if error.kind() != io::ErrorKind::WouldBlock {
            self.died(index, false);
        }
        Step::Stop
    }

    fn ended(&mut self, index: u32) -> Step {
        self.died(index, true);
        Step::Stop
    }

    /// The origin ended the connection, in order (`cleanly`) or not.
    fn died(&mut self, index: u32, cleanly: bool) {
        let now = self.poller.now_ms();
        let Some(connection) = self.connection(index) else { return };
        let (slot, heard, awaits_head) =
            (connection.exchange, connection.heard, matches!(connection.phase, Phase::Head));
        let (origin, address) = (connection.origin, connection.address);
        if cleanly && matches!(connection.phase, Phase::UntilClose) {
            return self.complete(index, false);
        }
        let exchange = &mut self.exchanges[slot as usize];
        if awaits_head && !heard && exchange.may_be_retried() {
            exchange.retried = true;
            exchange.written = 0;
            exchange.deaf = false;
            exchange.sent = false;
            let timeout = self.origins[origin as usize].as_ref().map_or(0, |it| it.spec.connect_timeout_ms);
            exchange.deadline_ms = now + u64::from(timeout);
            counters::add(&self.counters.retried);
            self.close(index);
            return self.assign(slot, None, true);
        }
        if awaits_head && !exchange.reused {
            self.note_failure(origin, address, now);
        }
        self.abandon(index, Reason::OriginClosed);
    }
}

/// What reading at a head came to.
enum Progress {
    Interim(usize),
    /// The bytes are to be shown again, with more behind them.
    Wait,
    /// All bytes were taken; more of the body follows.
    Body,
    Over,
}

fn head_entry(exchange: &Exchange, kind: Kind, head: &Head, start: u32) -> Entry {
    let mut entry = exchange.head_entry(kind, head.status, start, head.block_len, head.length);
    if head.framing == Framing::None {
        entry.flags |= Entry::NO_BODY;
    }
    entry
}

fn holds_blank_line(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| {
        let behind = &bytes[at + 1..];
        behind.starts_with(b"\n") || behind.starts_with(b"\r\n")
    })
}

/// A second less than the origin says, so that its closing and our sending do not meet; half of a single second.
fn keep_ms(seconds: u32) -> u64 {
    let origin_ms = u64::from(seconds) * 1000;
    origin_ms.saturating_sub(1000).max(origin_ms / 2)
}
