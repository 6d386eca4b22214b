//! The client: what an edge thread calls, and what its loop calls back.
//!
//! A request's way: [`Client::send`] assigns it a connection (`client/assign.rs`), its bytes are transmitted
//! (`client/transmit.rs`), the loop tells that something can be read ([`Client::ready`]), the response is received
//! (`client/receive.rs`) into the turn's arena, and the connection goes back to its pool or is closed. Time is looked
//! at in `client/timers.rs`. Nothing here calls back: what happened is entries, handed over once a turn.

mod assign;
mod link_timers;
mod receive;
mod stream_receive;
mod streams;
mod timers;
mod transmit;

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_engine::reason::Reason;

use crate::arena::{Arena, Entry, Kind, Token, Turn};
use crate::connection::{Connection, Place};
use crate::counters::{self, Counters};
use crate::exchange::{Exchange, Stage};
use crate::h2::Links;
use crate::origin::{Origin, OriginId, OriginSpec};
use crate::poller::{Key, Poller};
use crate::tls::Identity;

pub(crate) use timers::NEVER;
pub use timers::TICK_MS;

/// Length of a request's id.
pub const ID_BYTES: usize = 32;

/// One request to be sent. Nothing in it is kept by reference after [`Client::send`].
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The request's id, which its response carries too (`X-Request-Id`).
    pub id: [u8; ID_BYTES],
    /// The client asked for its connection to end: the response says so too (RFC 9112, 9.6).
    pub closes: bool,
    /// Fields that the response carries besides, each preceded by CR LF, checked; more than 2 KiB are left out.
    pub fields: &'a [u8],
    /// The complete head with its blank line, as [`crate::request::write_head`] wrote it.
    pub head: &'a [u8],
    pub body: Body<'a>,
    /// The method is HEAD: the response has no body, whatever its head says.
    pub is_head: bool,
    /// Trailers are handed over; else they are dropped.
    pub takes_trailers: bool,
    /// 1xx responses are handed over; else they are dropped.
    pub takes_interim: bool,
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

/// Most exchanges at once: slots index a table, and a wild one must not make it huge.
const MAX_SLOTS: usize = 1 << 20;
/// One read. What a socket holds by default is of this order (net.ipv4.tcp_rmem), and it stays in the second-level cache.
const SCRATCH_BYTES: usize = 64 * 1024;

/// The upstream client of one thread.
pub struct Client<P: Poller> {
    poller: P,
    turn: Turn,
    counters: Arc<Counters>,
    origins: Vec<Option<Origin>>,
    by_spec: HashMap<OriginSpec, u32>,
    origins_made: u32,
    connections: Vec<Place<P::Watch>>,
    free_places: Vec<u32>,
    /// When something has to happen to a connection, by its place; apart from the rest, since all of it is read at
    /// every tick.
    deadlines_ms: Vec<u64>,
    exchanges: Vec<Exchange>,
    h2: Links,
    /// TLS connections with decrypted bytes that found no room.
    unread: Vec<Key>,
    /// Origins where a connection became free while requests wait.
    relieved: Vec<u32>,
    scratch: Box<[u8]>,
    is_shut: bool,
}

impl<P: Poller> Client<P> {
    /// # Safety
    /// The arena's memory must be valid for writes, initialised, aligned for [`crate::Entry`], used by this thread
    /// alone and live as long as the client.
    ///
    /// # Panics
    /// When the arena is smaller than its bounds: a mistake of the program, found at its start.
    pub unsafe fn new(poller: P, arena: Arena) -> Client<P> {
        assert!(arena.len >= Arena::MIN_BYTES && arena.capacity >= Arena::MIN_ENTRIES, "the arena is too small");
        assert!(u32::try_from(arena.len).is_ok(), "the arena is too large");
        Client {
            poller,
            turn: Turn::new(arena),
            counters: Arc::default(),
            origins: Vec::new(),
            by_spec: HashMap::new(),
            origins_made: 0,
            connections: Vec::new(),
            free_places: Vec::new(),
            deadlines_ms: Vec::new(),
            exchanges: Vec::new(),
            h2: Links::default(),
            unread: Vec::new(),
            relieved: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            is_shut: false,
        }
    }

    /// The live origin of that spec, made on first sight.
    pub fn origin(&mut self, spec: &OriginSpec) -> OriginId {
        if let Some(&index) = self.by_spec.get(spec)
            && let Some(origin) = &mut self.origins[index as usize]
        {
            origin.retired_ms = None;
            return OriginId { index, generation: origin.generation };
        }
        let generation = self.origins_made;
        self.origins_made = self.origins_made.wrapping_add(1);
        let origin = Some(Origin::new(spec, generation));
        let index = self.origins.iter().position(Option::is_none).unwrap_or(self.origins.len());
        if index == self.origins.len() {
            self.origins.push(origin);
        } else {
            self.origins[index] = origin;
        }
        self.by_spec.insert(spec.clone(), index as u32);
        OriginId { index: index as u32, generation }
    }

    /// How an origin is known over TLS; None in the clear.
    #[must_use]
    pub fn identity(&self, id: OriginId) -> Option<Arc<Identity>> {
        let origin = self.origins.get(id.index as usize)?.as_ref()?;
        origin.identity.clone().filter(|_| origin.generation == id.generation)
    }

    /// Names the origins of the policy in force. Others are forgotten once they have been left and idle for long
    /// enough that no request decided under an older policy can still come for them ([`timers::RETIRED_MS`]).
    pub fn retain(&mut self, in_force: &[OriginId]) {
        let now = self.poller.now_ms();
        for (index, origin) in self.origins.iter_mut().enumerate() {
            if let Some(origin) = origin {
                let id = OriginId { index: index as u32, generation: origin.generation };
                origin.retired_ms = if in_force.contains(&id) { None } else { origin.retired_ms.or(Some(now)) };
            }
        }
        self.forget_retired(now);
    }

    /// Sends a request, now when a connection is there. Exactly one Whole, End or Failed entry answers it, unless it
    /// is cancelled; never within this call.
    pub fn send(&mut self, token: Token, origin: OriginId, request: Request<'_>) {
        let slot = token.slot as usize;
        if self.is_shut || slot >= MAX_SLOTS {
            return;
        }
        if slot >= self.exchanges.len() {
            self.exchanges.resize_with(slot + 1, Exchange::free);
        }
        if self.exchanges[slot].stage != Stage::Free {
            // The slot was given away without a word: its older exchange has lost its client.
            self.cancel(self.exchanges[slot].token);
        }
        self.begin(token, origin, &request);
        self.settle();
        self.wake_if_waiting();
    }

    /// The exchange is over for its client: nothing more is told of it.
    pub fn cancel(&mut self, token: Token) {
        match self.stage_of(token) {
            Stage::Free => return,
            Stage::Waiting => self.leave_queue(token),
            // Part of a request or of a response is under way: the connection serves nobody else.
            Stage::On(connection) => self.close(connection),
            Stage::Stream => self.leave_link(token.slot),
        }
        self.exchanges[token.slot as usize].clear();
        self.settle();
        self.wake_if_waiting();
    }

    /// Adds a row of the caller's own, to be seen in its order.
    pub fn tell(&mut self, entry: Entry) {
        self.turn.push(entry);
        self.wake_if_waiting();
    }

    /// Stops reading the response: its client is slower than its origin.
    pub fn pause(&mut self, token: Token) {
        self.set_paused(token, true);
    }

    /// Reads on.
    pub fn resume(&mut self, token: Token) {
        self.set_paused(token, false);
    }

    /// Called by the loop for a watched socket. An error of the socket is told as both: reading gives what came ahead
    /// of it.
    pub fn ready(&mut self, key: Key, readable: bool, writable: bool) {
        let current = self.connections.get(key.index as usize).is_some_and(|place| place.generation == key.generation);
        if current && !self.turn.is_taken() {
            self.serve(key.index, readable, writable);
            self.settle();
        }
    }

    /// Gives a connection up after a panic: its state can't be trusted.
    pub fn condemn(&mut self, key: Key) {
        let Some(place) = self.connections.get(key.index as usize) else { return };
        if place.generation == key.generation {
            self.abandon(key.index, Reason::InternalPanic);
            self.settle();
        }
    }

    /// Entries filled since the last [`Client::reset`]. From here on they stay as they are until `reset`.
    pub fn take(&mut self) -> usize {
        self.turn.take()
    }

    /// The entries were read; their memory is used again.
    pub fn reset(&mut self) {
        self.turn.reset();
        self.read_on();
        self.feed_streams();
        self.wake_if_waiting();
    }

    /// Whether there is anything to [`Client::take`].
    #[must_use]
    pub fn waits(&self) -> bool {
        self.turn.waits()
    }

    /// Closes every connection and forgets every exchange; nothing is told of them, and nothing can be sent any more.
    pub fn shutdown(&mut self) {
        self.is_shut = true;
        for index in 0..self.connections.len() {
            self.close(index as u32);
        }
        for key in self.h2.keys() {
            if let Some(link) = self.h2.remove(key) {
                link.stop();
                counters::sub(&self.counters.open_now);
            }
        }
        self.exchanges.clear();
        self.origins.clear();
        self.by_spec.clear();
        self.relieved.clear();
        counters::set(&self.counters.waiting_now, 0);
    }

    /// The poller it was made with.
    pub fn poller(&mut self) -> &mut P {
        &mut self.poller
    }

    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    fn stage_of(&self, token: Token) -> Stage {
        match self.exchanges.get(token.slot as usize) {
            Some(exchange) if exchange.token == token => exchange.stage,
            _ => Stage::Free,
        }
    }

    fn connection(&mut self, index: u32) -> Option<&mut Connection<P::Watch>> {
        self.connections.get_mut(index as usize)?.connection.as_mut()
    }

    fn wake_if_waiting(&mut self) {
        if self.turn.waits() {
            self.poller.wake();
        }
    }

    /// Ends an exchange without a (whole) response.
    fn fail(&mut self, slot: u32, reason: Reason) {
        let exchange = &mut self.exchanges[slot as usize];
        let mut entry = exchange.entry(Kind::Failed);
        entry.fault = reason as u32;
        if exchange.head_sent {
            entry.flags |= Entry::HEAD_SENT;
        }
        exchange.clear();
        let counter = match reason {
            Reason::OriginTimeout => Some(&self.counters.timeouts),
            Reason::OriginClosed => Some(&self.counters.closed),
            Reason::OriginMalformed => Some(&self.counters.malformed),
            Reason::OriginSaturated => Some(&self.counters.saturated),
            _ => None,
        };
        counter.map(counters::add);
        self.turn.push(entry);
    }

    /// Closes a connection and fails its exchange, if it has one.
    fn abandon(&mut self, index: u32, reason: Reason) {
        let Some(connection) = self.connection(index) else { return };
        let slot = connection.exchange;
        self.close(index);
        if slot != NOBODY {
            self.fail(slot, reason);
        }
    }
}

/// The exchange of an idle connection.
const NOBODY: u32 = u32::MAX;

impl<P: Poller> Drop for Client<P> {
    fn drop(&mut self) {
        self.shutdown();
    }
}
