//! Request bodies of streams: read as they come, given back to the client's window as they are taken.

use std::task::{Context, Poll};

use h2::Reason as Code;
use http::{HeaderMap, Response, StatusCode};
use portcullis_engine::reason::Reason;
use portcullis_forward::Token;

use super::{Edge, Next, Stage, is_stream, place_of};
use crate::clock;
use crate::wanted::{Wanted, want};

/// Of a request that the gateway itself answers: a certificate request with a hundred names and an RSA key stays below
/// 16 KiB; base64 and EST's wrapping fit too.
const OWN_BODY_BYTES: usize = 64 * 1024;

impl Edge {
    /// What woke a stream's waker is unknown: looks at all that it may be.
    pub fn stream_news(&mut self, index: u32) -> Next {
        let stream = &mut self.streams.all[place_of(index)];
        if stream.connection == 0 {
            return Next::Sent;
        }
        if stream.is_gone() {
            self.stream_gone(index);
            return Next::Sent;
        }
        self.write_on(index);
        self.read_on(index);
        Next::Sent
    }

    /// Somebody takes the body from now on, or again.
    pub(super) fn read_body(&mut self, index: u32) {
        let expects = self.slots[index as usize].exchange.head.field("expect").is_some();
        let stream = &mut self.streams.all[place_of(index)];
        if expects
            && !stream.reading
            && let Some(respond) = &mut stream.respond
        {
            let mut interim = Response::new(());
            *interim.status_mut() = StatusCode::CONTINUE;
            let _ = respond.send_informational(interim);
        }
        self.streams.all[place_of(index)].reading = true;
        self.read_again(index);
    }

    /// The origin takes more, or whoever waited has gone on.
    pub(super) fn read_again(&mut self, index: u32) {
        let stream = &mut self.streams.all[place_of(index)];
        stream.stopped = false;
        stream.waits_from_now();
        let lent = std::mem::take(&mut stream.lent);
        if lent > 0
            && let Some(recv) = &mut stream.recv
        {
            let _ = recv.flow_control().release_capacity(lent);
        }
        self.read_on(index);
    }

    /// What of the body comes while its exchange waits.
    pub(super) fn read_meanwhile(&mut self, index: u32) {
        if !self.streams.all[place_of(index)].reading {
            let next = self.meanwhile(index);
            self.act(index, next);
        }
    }

    fn read_on(&mut self, index: u32) {
        loop {
            let stream = &mut self.streams.all[place_of(index)];
            if !stream.reading || stream.stopped {
                return;
            }
            let Some(recv) = &mut stream.recv else { return };
            let context = &mut Context::from_waker(&stream.waker);
            let (piece, last) = match recv.poll_data(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(piece))) => (piece, recv.is_end_stream()),
                Poll::Ready(None) => match recv.poll_trailers(context) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(trailers)) => {
                        stream.recv = None;
                        return self.read_end(index, trailers);
                    }
                    Poll::Ready(Err(_)) => return self.stream_gone(index),
                },
                // The connection failed, or the client broke its word on the length: the stream is reset by now.
                Poll::Ready(Some(Err(_))) => return self.stream_gone(index),
            };
            let length = piece.len();
            stream.moved(length);
            if last {
                stream.recv = None;
            }
            let next = self.read_piece(index, &piece, last);
            let stream = &mut self.streams.all[place_of(index)];
            match (&mut stream.recv, next) {
                (Some(_), Next::Pause) => stream.lent += length,
                (Some(recv), _) => {
                    let _ = recv.flow_control().release_capacity(length);
                }
                (None, _) => {}
            }
            self.act(index, next);
        }
    }

    fn read_piece(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        if self.slots[index as usize].stage == Stage::Own {
            self.own_piece(index, piece, last)
        } else {
            self.body(index, piece, last)
        }
    }

    /// Trailers go on with a body that streams; who gathers one has no use for them.
    fn read_end(&mut self, index: u32, trailers: Option<HeaderMap>) {
        let slot = &mut self.slots[index as usize];
        if let (Some(trailers), Stage::Forwarded | Stage::Holding | Stage::Answering) = (trailers, slot.stage) {
            slot.exchange.upload_us += clock::mono_us().saturating_sub(slot.waiting_us);
            let token = Token { slot: index, generation: slot.generation };
            return self.client.client().trailers(token, &lines(&trailers));
        }
        let next = self.read_piece(index, &[], true);
        self.act(index, next);
    }

    // --- what the gateway itself answers -----------------------------------------------------------------------

    /// Reads the body of a request that the main thread answers; it is asked when all of it is here.
    pub(super) fn read_own(&mut self, index: u32) {
        if self.streams.all[place_of(index)].recv.is_none() {
            want(Wanted::Own, index);
        } else {
            self.read_body(index);
        }
    }

    fn own_piece(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let body = &mut self.slots[index as usize].body;
        if body.len() + piece.len() > OWN_BODY_BYTES {
            return self.refuse(index, Reason::HttpBodyTooLarge);
        }
        body.extend_from_slice(piece);
        if last {
            want(Wanted::Own, index);
        }
        Next::Sent
    }

    /// Which request of its slot it is, and the body of one that the gateway itself answers.
    pub fn own_body(&mut self, index: u32) -> Option<(u32, Vec<u8>)> {
        let slot = self.slots.get_mut(index as usize).filter(|slot| is_stream(index) && slot.stage == Stage::Own)?;
        Some((slot.generation, std::mem::take(&mut slot.body)))
    }

    /// Whether the slot still holds that request, and it was not answered.
    pub fn waits_for_own(&self, index: u32, generation: u32) -> bool {
        let slot = self.slots.get(index as usize);
        slot.is_some_and(|slot| is_stream(index) && slot.stage == Stage::Own && slot.generation == generation)
    }

    /// The main thread's answer: status line and fields, and a body.
    pub fn own_answer(&mut self, index: u32, generation: u32, status: u16, block: &str, body: Vec<u8>) {
        if !self.waits_for_own(index, generation) {
            return;
        }
        let bytes = body.len() as u64;
        let is_head = self.slots[index as usize].exchange.head.method() == "HEAD";
        self.answered(index, status, if is_head { 0 } else { bytes });
        if !self.write_whole(index, block.to_owned().into(), body.into(), Some(bytes), is_head) {
            self.drop_stream(index, Code::INTERNAL_ERROR);
        }
    }
}

/// `Name: value` lines, CR LF between them.
fn lines(fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for (name, value) in fields {
        if !out.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    out
}
