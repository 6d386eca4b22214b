//! One request to an HTTP/2 origin, on its stream or on the way to one.

use std::collections::VecDeque;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::link::LinkKey;
use crate::client::{Body, Request};

/// Bodies up to this length are kept until the origin answers, so that what it provably did not process can be sent
/// again: most calls of APIs, and what one stream holds at most in either direction.
pub(crate) const KEPT_BODY_BYTES: usize = 64 * 1024;

/// Smaller pieces that come in one turn, or behind a closed window, leave in one frame: a frame costs both sides as much
/// as many bytes do, and origins bound how many small ones they take (the h2 crate's `data_frame_budget`).
pub(crate) const PIECE_BYTES: usize = 4 * 1024;

pub(crate) struct Stream {
    /// The request's head as written for HTTP/1.1; its pairs are slices of it.
    pub(crate) head: Bytes,
    pub(crate) link: Option<LinkKey>,
    /// None until the connection stands.
    pub(crate) wire: Option<Wire>,
    /// Small pieces of the body that came in this turn.
    gathered: Vec<u8>,
    /// Pieces of the body that wait for the origin's window.
    pub(crate) unsent: VecDeque<Bytes>,
    /// Of both.
    pub(crate) unsent_bytes: usize,
    /// All of the body came from the client.
    pub(crate) is_complete: bool,
    /// What ends the body.
    pub(crate) trailers: Option<HeaderMap>,
    /// The body from its first byte on, while it may have to be sent again.
    pub(crate) kept: Option<Vec<Bytes>>,
    pub(crate) kept_bytes: usize,
    pub(crate) takes_trailers: bool,
    pub(crate) takes_interim: bool,
    pub(crate) interim: u32,
    /// Something came for it.
    pub(crate) is_heard: bool,
    pub(crate) paused: bool,
    /// What is left of the body by its Content-Length.
    pub(crate) left: Option<u64>,
}

/// A stream of its own.
pub(crate) struct Wire {
    pub(crate) answer: Answer,
    /// None once the request is out, or the origin takes no more of it.
    pub(crate) send: Option<SendStream<Bytes>>,
    /// Some of the body was handed over.
    pub(crate) has_begun: bool,
}

pub(crate) enum Answer {
    Awaited(ResponseFuture),
    Body(RecvStream),
}

impl Stream {
    pub(crate) fn new(request: &Request<'_>) -> Stream {
        let mut stream = Stream {
            head: Bytes::copy_from_slice(request.head),
            link: None,
            wire: None,
            gathered: Vec::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            is_complete: !matches!(request.body, Body::Stream { length } if length != Some(0)),
            trailers: None,
            kept: Some(Vec::new()),
            kept_bytes: 0,
            takes_trailers: request.takes_trailers,
            takes_interim: request.takes_interim,
            interim: 0,
            is_heard: false,
            paused: false,
            left: None,
        };
        if let Body::Whole(body) = request.body {
            stream.push(body);
        }
        stream
    }

    /// Takes the next piece of the body.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.unsent_bytes += piece.len();
        self.gathered.extend_from_slice(piece);
        if self.gathered.len() >= PIECE_BYTES {
            self.seal();
        }
    }

    /// All of the body was handed over.
    pub(crate) fn is_out(&self) -> bool {
        self.is_complete && self.unsent_bytes == 0
    }

    /// Small pieces so far become one: when it is their turn. Behind a closed window they go on being gathered.
    pub(crate) fn seal(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        self.kept_bytes += piece.len();
        if self.kept_bytes > KEPT_BODY_BYTES {
            self.kept = None;
        } else if let Some(kept) = &mut self.kept {
            kept.push(piece.clone());
        }
        self.unsent.push_back(piece);
    }

    /// Back to its beginning, off any connection; false when some of it is gone.
    pub(crate) fn rewind(&mut self) -> bool {
        self.seal();
        let Some(kept) = &self.kept else { return false };
        self.unsent = kept.iter().cloned().collect();
        self.unsent_bytes = self.kept_bytes;
        self.link = None;
        self.wire = None;
        self.interim = 0;
        true
    }

    /// The origin has answered: it is not sent again.
    pub(crate) fn heard(&mut self) {
        self.is_heard = true;
        self.kept = None;
    }
}

/// The error that ended a stream says that nothing was done about its request (RFC 9113, 8.7): refused, or above what
/// the origin's GOAWAY names as its last.
pub(crate) fn was_not_processed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}
