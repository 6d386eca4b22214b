//! Responses of streams: rows of the turn, answers of the gateway's own, and what was held back.
//!
//! What a client's windows have no room for waits here, and its origin waits too. h2 gets no more than it can write, so
//! that what it holds of a stream is bounded by its send buffer.

use std::collections::HashMap;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason as Code;
use http::{Response, header};
use portcullis_engine::reason::Reason;
use portcullis_forward::{Entry, Kind};
use portcullis_listener::h2::bounds::{CROWD_STALL_MS, STALL_MS, STALLED};
use portcullis_listener::h2::{linger, response};
use portcullis_reactor::now_ms;

use super::{Edge, End, Next, Stage, place_of, slot_of};
use crate::clock;

/// Most bytes that wait for clients in one thread. Above, the stream that has waited longest is reset: 128 streams with
/// the largest whole response each, of two connections.
const UNSENT_BYTES: usize = 16 * 1024 * 1024;

impl Edge {
    /// A row of the turn that is a stream's.
    pub(in crate::edge) fn stream_row(&mut self, entry: &Entry) {
        let index = entry.slot;
        let is = |kind: Kind| entry.kind == kind as u32;
        if self.streams.all[place_of(index)].connection == 0 {
            return;
        }
        let (block, body) = self.bytes(entry);
        let length = entry.length();
        let written = if is(Kind::Whole) {
            let bodiless = entry.flags & Entry::NO_BODY != 0;
            let length = if bodiless { length } else { Some(body.len() as u64) };
            let mut bytes = Vec::with_capacity(block.len() + body.len());
            bytes.extend_from_slice(block);
            bytes.extend_from_slice(body);
            let mut head = Bytes::from(bytes);
            let body = head.split_off(block.len());
            self.write_whole(index, head, body, length, bodiless)
        } else if is(Kind::Head) {
            self.write_head(index, &Bytes::copy_from_slice(block), length)
        } else if is(Kind::Chunk) {
            self.write(index, Bytes::copy_from_slice(body));
            if entry.flags & Entry::LAST != 0 {
                self.write_end(index);
            }
            true
        } else if is(Kind::End) {
            self.write_end(index);
            true
        } else if is(Kind::Drained) {
            self.read_again(index);
            true
        } else if is(Kind::Responded) {
            let next = self.responded(index);
            self.act(index, next);
            true
        } else if is(Kind::Failed) && entry.flags & Entry::HEAD_SENT == 0 {
            let reason = Reason::ALL.get(entry.fault as usize).copied().unwrap_or(Reason::InternalPanic);
            let next = self.refuse(index, reason);
            self.act(index, next);
            true
        } else if is(Kind::Trailers) {
            self.streams.all[place_of(index)].end =
                response::trailers(&Bytes::copy_from_slice(block)).map_or(End::Open, End::Trailers);
            if entry.flags & Entry::LAST != 0 {
                self.write_end(index);
            }
            true
        } else if is(Kind::Interim) {
            self.write_interim(index, &Bytes::copy_from_slice(block));
            true
        } else {
            // The client has half a response, and no end may be made up.
            false
        };
        if !written {
            self.drop_stream(index, Code::INTERNAL_ERROR);
        }
    }

    /// The head of a response, dated.
    fn stream_head(&mut self, block: &Bytes, length: Option<u64>) -> Option<Response<()>> {
        let mut answer = response::response(block, length)?;
        answer.headers_mut().insert(header::DATE, self.streams.date.at(clock::now().unix_ms / 1000));
        Some(answer)
    }

    /// Answers false when the response cannot be written.
    pub(in crate::edge) fn write_whole(
        &mut self,
        index: u32,
        block: Bytes,
        body: Bytes,
        length: Option<u64>,
        bodiless: bool,
    ) -> bool {
        let Some(answer) = self.stream_head(&block, length) else { return false };
        let stream = &mut self.streams.all[place_of(index)];
        let Some(mut respond) = stream.respond.take() else { return false };
        let ends = bodiless || body.is_empty();
        let Ok(send) = respond.send_response(answer, ends) else {
            // Reset meanwhile: nobody waits for it.
            self.stream_gone(index);
            return true;
        };
        stream.send = Some(send);
        if ends {
            self.stream_over(index);
        } else {
            self.streams.all[place_of(index)].end = End::Data;
            self.write(index, body);
        }
        true
    }

    pub(in crate::edge) fn write_head(&mut self, index: u32, block: &Bytes, length: Option<u64>) -> bool {
        let Some(answer) = self.stream_head(block, length) else { return false };
        let stream = &mut self.streams.all[place_of(index)];
        let Some(mut respond) = stream.respond.take() else { return false };
        let Ok(send) = respond.send_response(answer, false) else {
            self.stream_gone(index);
            return true;
        };
        stream.send = Some(send);
        // Whether the client resets it is told to the handle that lives on.
        if stream.is_gone() {
            self.stream_gone(index);
        }
        true
    }

    fn write_interim(&mut self, index: u32, block: &Bytes) {
        if let Some(interim) = response::response(block, None)
            && let Some(respond) = &mut self.streams.all[place_of(index)].respond
        {
            let _ = respond.send_informational(interim);
        }
    }

    /// A piece of a response: written as far as there is room, the rest waits.
    pub(in crate::edge) fn write(&mut self, index: u32, mut piece: Bytes) {
        let place = place_of(index);
        let stream = &mut self.streams.all[place];
        let Some(send) = &mut stream.send else { return };
        if stream.unsent.is_empty() {
            send.reserve_capacity(piece.len());
            let room = send.capacity();
            let ends = matches!(stream.end, End::Data);
            if room >= piece.len() {
                let sent = send.send_data(piece, ends).is_ok();
                if ends {
                    self.stream_over(index);
                } else if !sent {
                    self.stream_gone(index);
                }
                return;
            }
            let now = piece.split_to(room);
            if !now.is_empty() && send.send_data(now, false).is_err() {
                return self.stream_gone(index);
            }
            stream.waits_from_now();
        }
        stream.unsent_bytes += piece.len();
        self.streams.unsent += piece.len();
        stream.unsent.push_back(piece);
        if matches!(stream.end, End::Open) && !std::mem::replace(&mut stream.paused, true) {
            self.pause(index);
        }
        self.write_on(index);
        self.keep_bound(index);
    }

    /// Nothing more comes of the response.
    pub(in crate::edge) fn write_end(&mut self, index: u32) {
        let stream = &mut self.streams.all[place_of(index)];
        if matches!(stream.end, End::Open) {
            stream.end = End::Data;
        }
        if stream.unsent.is_empty() {
            self.write_last(index);
        }
    }

    fn write_last(&mut self, index: u32) {
        let stream = &mut self.streams.all[place_of(index)];
        let end = std::mem::replace(&mut stream.end, End::Data);
        if let Some(send) = &mut stream.send {
            let _ = match end {
                End::Trailers(trailers) => send.send_trailers(trailers),
                End::Open | End::Data => send.send_data(Bytes::new(), true),
            };
        }
        self.stream_over(index);
    }

    /// Writes what waits, as far as there is room by now.
    pub(super) fn write_on(&mut self, index: u32) {
        let place = place_of(index);
        loop {
            let stream = &mut self.streams.all[place];
            let Some(mut piece) = stream.unsent.pop_front() else { return };
            let Some(send) = &mut stream.send else { return };
            send.reserve_capacity(piece.len());
            let mut room = send.capacity();
            if room == 0 {
                let context = &mut Context::from_waker(&stream.waker);
                room = match send.poll_capacity(context) {
                    Poll::Ready(Some(Ok(room))) => room,
                    Poll::Ready(_) => return self.stream_gone(index),
                    Poll::Pending => {
                        stream.unsent.push_front(piece);
                        return;
                    }
                };
            }
            let now = piece.split_to(room.min(piece.len()));
            let (taken, rest) = (now.len(), !piece.is_empty());
            if rest {
                stream.unsent.push_front(piece);
            }
            let ends = stream.unsent.is_empty() && matches!(stream.end, End::Data);
            let failed = taken > 0 && send.send_data(now, ends).is_err();
            stream.unsent_bytes -= taken;
            stream.moved(taken);
            self.streams.unsent -= taken;
            if failed {
                return self.stream_gone(index);
            }
            if ends {
                return self.stream_over(index);
            }
            if self.streams.all[place].unsent.is_empty() {
                return self.written_up(index);
            }
        }
    }

    /// Nothing waits for the client any more: its origin goes on.
    fn written_up(&mut self, index: u32) {
        let stream = &mut self.streams.all[place_of(index)];
        if let End::Trailers(_) = stream.end {
            return self.write_last(index);
        }
        if std::mem::replace(&mut stream.paused, false) {
            self.resume(index);
        }
    }

    /// All of the answer is with the connection. What the client still sends nobody wants.
    fn stream_over(&mut self, index: u32) {
        if let Some(rest) = self.streams.all[place_of(index)].recv.take() {
            linger::discard(rest);
        }
        self.free_stream(index);
    }

    /// Resets what has waited longest when too much waits.
    fn keep_bound(&mut self, index: u32) {
        while self.streams.unsent > UNSENT_BYTES {
            let waiting = self.streams.all.iter().enumerate().filter(|(_, stream)| stream.unsent_bytes > 0);
            let oldest = waiting.min_by_key(|(_, stream)| stream.moved_ms);
            let oldest = oldest.map_or(index, |(place, _)| slot_of(place as u32));
            self.drop_stream(oldest, Code::ENHANCE_YOUR_CALM);
        }
    }

    /// Resets streams that make no progress: their client takes nothing of a response, or sends nothing of a body that
    /// is waited for. To be called now and then.
    pub fn reset_stalled(&mut self) {
        let now = now_ms();
        let mut crowds: HashMap<usize, usize> = HashMap::new();
        for place in 0..self.streams.all.len() {
            let stream = &self.streams.all[place];
            let index = slot_of(place as u32);
            let stalled_ms = now.saturating_sub(stream.moved_ms);
            if stream.connection == 0 || stalled_ms < CROWD_STALL_MS {
                continue;
            }
            let waits_for_body = stream.reading && !stream.stopped && stream.recv.is_some();
            if stream.unsent_bytes == 0 && (!waits_for_body || self.may_be_silent(index)) {
                continue;
            }
            let crowd = crowds.entry(stream.connection).or_default();
            *crowd += 1;
            if stalled_ms >= STALL_MS {
                self.drop_stream(index, Code::CANCEL);
            } else if *crowd > STALLED {
                self.drop_stream(index, Code::ENHANCE_YOUR_CALM);
            }
        }
    }

    /// Whether a client may send nothing for long: a gRPC call whose messages go on as they come.
    fn may_be_silent(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        slot.exchange.grpc.is_some() && matches!(slot.stage, Stage::Forwarded | Stage::Answering)
    }

    /// Writes the answer of the gateway's own that was just rendered, and ends the exchange.
    pub(in crate::edge) fn answer_stream(&mut self, index: u32, line: Vec<u8>, is_head: bool) -> Next {
        let body = Bytes::copy_from_slice(&self.answer.body);
        let (status, length) = (self.answer.status, body.len() as u64);
        if self.slots[index as usize].exchange.denial.as_ref().is_some_and(|it| it.reason == Reason::MtlsRevoked) {
            // Whoever was revoked is no longer a client.
            self.drain_connection_of(index);
        }
        self.slots[index as usize].sent_bytes = length;
        self.end(index, status);
        if !self.write_whole(index, line.into(), body, Some(length), is_head) {
            self.drop_stream(index, Code::INTERNAL_ERROR);
        }
        Next::Answer
    }

    /// Writes what was held back, or what came of it until it was let go.
    pub(in crate::edge) fn stream_held(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(mut held) = slot.held.take() else { return Next::Close };
        let (block, body) = (std::mem::take(&mut held.block), Bytes::from(std::mem::take(&mut held.body)));
        let (complete, status) = (held.complete, slot.status);
        slot.sent_bytes = body.len() as u64;
        slot.stage = Stage::Answering;
        let written = if complete {
            self.end(index, status);
            let length = Some(body.len() as u64);
            self.write_whole(index, block.into(), body, length, false)
        } else {
            let written = self.write_head(index, &block.into(), held.length);
            if written {
                self.write(index, body);
            }
            written
        };
        if !written {
            self.drop_stream(index, Code::INTERNAL_ERROR);
        }
        Next::Sent
    }
}
