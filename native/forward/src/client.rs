//! The client: what an edge thread calls, and what its loop calls back.

use std::sync::Arc;

use crate::arena::{Arena, Token};
use crate::counters::Counters;
use crate::origin::{OriginId, OriginSpec};
use crate::poller::{Key, Poller};

/// One request to be sent. Nothing in it is kept by reference after [`Client::send`].
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The complete head with its blank line, as [`crate::request::write_head`] wrote it.
    pub head: &'a [u8],
    pub body: Body<'a>,
    /// The method is HEAD: the response has no body, whatever its head says.
    pub is_head: bool,
    /// May be sent a second time when a reused connection turns out dead ([`crate::request::is_idempotent`]).
    pub idempotent: bool,
}

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    None,
    /// All of it; the head says the same Content-Length.
    Whole(&'a [u8]),
    /// Comes through [`Client::body`]. With a length the head says it, and exactly as many bytes are let through;
    /// without one the head says `Transfer-Encoding: chunked`, and the chunks are written by the client.
    Stream {
        length: Option<u64>,
    },
}

/// Whether more of a request's body may be given now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// More than a small buffer waits to be written: wait for the Drained entry.
    Pause,
}

/// The upstream client of one thread.
pub struct Client<P: Poller> {
    poller: P,
    arena: Arena,
    counters: Arc<Counters>,
}

impl<P: Poller> Client<P> {
    /// # Safety
    /// The arena's memory must be valid for writes, aligned for [`crate::Entry`], used by this thread alone and live
    /// as long as the client.
    ///
    /// # Panics
    /// When the arena is smaller than its bounds: a mistake of the program, found at its start.
    pub unsafe fn new(poller: P, arena: Arena) -> Client<P> {
        assert!(arena.len >= Arena::MIN_BYTES && arena.capacity >= Arena::MIN_ENTRIES, "the arena is too small");
        Client { poller, arena, counters: Arc::default() }
    }

    /// The live origin of that spec, made on first sight.
    pub fn origin(&mut self, spec: &OriginSpec) -> OriginId {
        let _ = spec;
        todo!()
    }

    /// Names the origins of the policy in force; others are dropped once nothing of theirs is left.
    pub fn retain(&mut self, in_force: &[OriginId]) {
        let _ = in_force;
    }

    /// Sends a request, now when a connection is there. Exactly one Whole, End or Failed entry answers it, unless it
    /// is cancelled; never within this call.
    pub fn send(&mut self, token: Token, origin: OriginId, request: Request<'_>) {
        let _ = (token, origin, request);
        todo!()
    }

    /// The next piece of a streamed request body.
    pub fn body(&mut self, token: Token, piece: &[u8], last: bool) -> Flow {
        let _ = (token, piece, last);
        todo!()
    }

    /// Stops reading the response: its client is slower than its origin.
    pub fn pause(&mut self, token: Token) {
        let _ = token;
    }

    /// Reads on.
    pub fn resume(&mut self, token: Token) {
        let _ = token;
    }

    /// The exchange is over for its client: nothing more is told of it.
    pub fn cancel(&mut self, token: Token) {
        let _ = token;
    }

    /// Called by the loop for a watched socket.
    pub fn ready(&mut self, key: Key, readable: bool, writable: bool) {
        let _ = (key, readable, writable);
    }

    /// Timers. Cheap when nothing is due; called about every [`TICK_MS`](crate::client::TICK_MS).
    pub fn tick(&mut self) {
        let _ = &self.poller;
    }

    /// Entries filled since the last [`Client::reset`]. From here on they stay as they are until `reset`.
    pub fn take(&mut self) -> usize {
        let _ = self.arena;
        0
    }

    /// The entries were read; their memory is used again.
    pub fn reset(&mut self) {}

    /// Closes every connection and forgets every exchange; nothing is told of them.
    pub fn shutdown(&mut self) {}

    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// How often timers are looked at.
pub const TICK_MS: u64 = 50;
