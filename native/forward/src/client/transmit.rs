//! Request bytes on their way out.
//!
//! Written at once, in the call that brings them; what the kernel does not take waits in the exchange's buffer until
//! the socket is writable. Only then is the socket watched for writing.

use std::io;
use std::time::Instant;

use portcullis_engine::reason::Reason;

use super::timers::NEVER;
use super::{Body, Client, Flow, Request};
use crate::arena::{Kind, Token};
use crate::connection::{Connection, Phase};
use crate::exchange::{Coming, Exchange, Stage};
use crate::h2::head::read_trailers;
use crate::poller::{Interest, Poller};
use crate::trailers::{self, MAX_TRAILER_BYTES};

/// More than this waiting to be written pauses a streamed body: one read of the front door.
pub(super) const PAUSE_BYTES: usize = 64 * 1024;
/// At most this waiting lets it go on.
pub(super) const DRAINED_BYTES: usize = 16 * 1024;

impl<P: Poller> Client<P> {
    /// The next piece of a streamed request body. More or fewer bytes than the head promised fail the exchange: what
    /// is behind a body would be read by the origin as another request.
    pub fn body(&mut self, token: Token, piece: &[u8], last: bool) -> Flow {
        let stage = self.stage_of(token);
        if stage == Stage::Free {
            return Flow::Continue;
        }
        let exchange = &mut self.exchanges[token.slot as usize];
        if exchange.stream.is_some() {
            return self.stream_body(token, piece, last);
        }
        let mut size = [0; SIZE_LINE];
        let parts: [&[u8]; 3] = match exchange.coming {
            Coming::Bytes(left) => {
                let after = left.checked_sub(piece.len() as u64);
                match after {
                    Some(0) => exchange.coming = Coming::Nothing,
                    Some(after) if !last => exchange.coming = Coming::Bytes(after),
                    _ => return self.break_off(token.slot, stage),
                }
                [piece, b"", b""]
            }
            Coming::Chunks => {
                if last {
                    exchange.coming = Coming::Nothing;
                }
                match (piece.is_empty(), last) {
                    // An empty chunk would be the last.
                    (true, false) => return Flow::Continue,
                    (true, true) => [b"0\r\n\r\n", b"", b""],
                    (false, true) => [size_line(piece.len(), &mut size), piece, b"\r\n0\r\n\r\n"],
                    (false, false) => [size_line(piece.len(), &mut size), piece, b"\r\n"],
                }
            }
            Coming::Nothing if piece.is_empty() => return Flow::Continue,
            Coming::Nothing => return self.break_off(token.slot, stage),
        };
        self.transmit_parts(token.slot, stage, parts)
    }

    /// Ends a streamed request body with trailers: `Name: value` lines, CR LF between them. In place of the last piece
    /// of [`Client::body`]; what a body of known length cannot carry is left out.
    pub fn trailers(&mut self, token: Token, block: &[u8]) {
        let stage = self.stage_of(token);
        if stage == Stage::Free {
            return;
        }
        let exchange = &mut self.exchanges[token.slot as usize];
        if exchange.stream.is_some() {
            return self.stream_trailers(token, block);
        }
        let mut lines = vec![0; MAX_TRAILER_BYTES + b"\r\n".len()];
        let written = read_trailers(block).and_then(|fields| {
            let pairs = fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
            trailers::write_block(pairs, &mut lines).ok()
        });
        match (exchange.coming, written) {
            (Coming::Chunks, Some(written)) => {
                exchange.coming = Coming::Nothing;
                if written > 0 {
                    lines[written..written + 2].copy_from_slice(b"\r\n");
                }
                let lines = &lines[..if written > 0 { written + 2 } else { 0 }];
                self.transmit_parts(token.slot, stage, [b"0\r\n", lines, b"\r\n"]);
            }
            (Coming::Nothing, Some(_)) => {}
            _ => {
                self.break_off(token.slot, stage);
            }
        }
    }

    fn transmit_parts(&mut self, slot: u32, stage: Stage, parts: [&[u8]; 3]) -> Flow {
        let exchange = &mut self.exchanges[slot as usize];
        if exchange.deaf {
            return Flow::Continue;
        }
        let total = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut sent = 0;
        if let Stage::On(index) = stage
            && exchange.pending() == 0
            && let Some(connection) = self.connections[index as usize].connection.as_mut()
            && !matches!(connection.phase, Phase::Connecting)
        {
            match connection.send(&parts) {
                Ok(written) => sent = written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // What the origin said before it closed is still to be read: the loop tells.
                Err(_) => exchange.deaf = true,
            }
        }
        if sent > 0 {
            exchange.kept = false;
        }
        if sent < total && !exchange.deaf {
            exchange.forget_written();
            let mut skip = sent;
            for part in parts {
                exchange.output.extend_from_slice(&part[skip.min(part.len())..]);
                skip = skip.saturating_sub(part.len());
            }
        }
        let flow = if exchange.pending() > PAUSE_BYTES {
            exchange.told_pause = true;
            Flow::Pause
        } else {
            Flow::Continue
        };
        if let Stage::On(index) = stage {
            self.after_write(index);
        }
        flow
    }

    /// The body is not what its head said.
    fn break_off(&mut self, slot: u32, stage: Stage) -> Flow {
        match stage {
            Stage::On(index) => self.close(index),
            _ => self.leave_queue(self.exchanges[slot as usize].token),
        }
        self.fail(slot, Reason::HttpFraming);
        self.settle();
        self.wake_if_waiting();
        Flow::Continue
    }

    /// The connection stands: the request goes out.
    pub(super) fn established(&mut self, index: u32) {
        let Some(connection) = self.connection(index) else { return };
        connection.phase = Phase::Head;
        self.flush(index);
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, index: u32) {
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return };
        let Some(exchange) = self.exchanges.get_mut(connection.exchange as usize) else { return };
        if exchange.pending() > 0 || connection.is_stuck() {
            // With nothing pending it is what TLS has left to write.
            let pending = if exchange.deaf { &[][..] } else { &exchange.output[exchange.written..] };
            match connection.send(&[pending]) {
                Ok(written) => exchange.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => exchange.deaf = true,
            }
        }
        self.after_write(index);
    }

    /// Sets what the loop and the clock should look for, now that bytes went out or were added.
    pub(super) fn after_write(&mut self, index: u32) {
        let now = self.poller.now_ms();
        let Some(connection) = self.connections[index as usize].connection.as_ref() else { return };
        let Some(exchange) = self.exchanges.get_mut(connection.exchange as usize) else { return };
        if matches!(connection.phase, Phase::Connecting) {
            return;
        }
        exchange.forget_written_when_all_is();
        let pending = exchange.pending() + usize::from(connection.is_stuck() && !exchange.deaf);
        let awaits_head = matches!(connection.phase, Phase::Head) && connection.needed == 0;
        let was_sent = exchange.sent;
        if pending == 0 && exchange.coming == Coming::Nothing && !exchange.sent {
            exchange.sent = !exchange.deaf;
            exchange.sent_at = Some(Instant::now());
        }
        if awaits_head && !was_sent {
            // A stalled write counts as silence of the origin; the client's own pauses are the front door's to bound.
            let silent = pending > 0 || exchange.sent || exchange.deaf;
            let timeout =
                self.origins[connection.origin as usize].as_ref().map_or(0, |it| it.spec.first_byte_timeout_ms);
            self.deadlines_ms[index as usize] = if silent { now + u64::from(timeout) } else { NEVER };
        }
        if exchange.told_pause && pending <= DRAINED_BYTES {
            exchange.told_pause = false;
            let entry = exchange.entry(Kind::Drained);
            self.turn.push(entry);
        }
        let interest = Interest { readable: !connection.paused, writable: pending > 0 };
        self.set_interest(index, interest);
    }

    pub(super) fn set_interest(&mut self, index: u32, interest: Interest) {
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return };
        if connection.interest != interest {
            connection.interest = interest;
            self.poller.change(&connection.watch, interest);
        }
    }

    pub(super) fn set_paused(&mut self, token: Token, paused: bool) {
        let index = match self.stage_of(token) {
            Stage::On(index) => index,
            Stage::Stream => return self.set_stream_paused(token.slot, paused),
            Stage::Free | Stage::Waiting => return,
        };
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return };
        // Before the head there is nothing that a client could be slower than.
        if matches!(connection.phase, Phase::Connecting | Phase::Idle | Phase::Head) || connection.paused == paused {
            return;
        }
        connection.paused = paused;
        let interest = Interest { readable: !paused, writable: connection.interest.writable };
        let has_plaintext = connection.has_plaintext();
        self.deadlines_ms[index as usize] = if paused { NEVER } else { self.idle_deadline(index) };
        self.set_interest(index, interest);
        if !paused && has_plaintext {
            self.receive(index);
            self.settle();
            self.wake_if_waiting();
        }
    }
}

impl Exchange {
    /// The first write of a request on a reused connection: how much was taken, None when the connection is dead.
    pub(super) fn transmit_start<W>(
        &mut self,
        connection: &mut Connection<W>,
        request: Option<&Request<'_>>,
    ) -> Option<usize> {
        let outcome = match request {
            Some(Request { head, body: Body::Whole(body), .. }) => connection.send(&[head, body]),
            Some(Request { head, .. }) => connection.send(&[head]),
            None => connection.send(&[&self.output]),
        };
        match outcome {
            Ok(sent) => {
                if request.is_none() {
                    self.written = sent;
                }
                Some(sent)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        }
    }

    /// Keeps of a request what a later write or a retry needs.
    pub(super) fn keep_unsent(&mut self, request: &Request<'_>, sent: usize) {
        let body = if let Body::Whole(body) = request.body { body } else { b"" };
        let total = request.head.len() + body.len();
        self.kept = sent == 0 || (self.idempotent && self.is_whole);
        let skip = if self.kept { 0 } else { sent };
        self.output.clear();
        self.written = sent - skip;
        if skip < total {
            self.output.extend_from_slice(&request.head[skip.min(request.head.len())..]);
            self.output.extend_from_slice(&body[skip.saturating_sub(request.head.len())..]);
        }
    }

    fn forget_written_when_all_is(&mut self) {
        if self.written == self.output.len() {
            self.forget_written();
        }
    }
}

/// Sixteen hexadecimal digits and CRLF.
const SIZE_LINE: usize = 18;

fn size_line(size: usize, line: &mut [u8; SIZE_LINE]) -> &[u8] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (mut at, mut left) = (SIZE_LINE - 2, size);
    line[at..].copy_from_slice(b"\r\n");
    loop {
        at -= 1;
        line[at] = HEX[left & 15];
        left >>= 4;
        if left == 0 {
            return &line[at..];
        }
    }
}
