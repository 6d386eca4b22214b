//! Which connection a request goes to, and which request a connection goes to.

use std::os::fd::AsRawFd;

use portcullis_engine::policy::OriginProtocol;
use portcullis_engine::reason::Reason;

use super::{Body, Client, NOBODY, Request};
use crate::arena::Token;
use crate::connection::{Connection, Phase, Place};
use crate::counters;
use crate::exchange::{Coming, Stage};
use crate::h2::stream::Stream;
use crate::origin::{Origin, OriginId, Pick};
use crate::poller::{Interest, Key, Poller};
use crate::response::MAX_ADDED_BYTES;
use crate::socket;
use crate::tls::Session;

use super::timers::NEVER;

/// How long a pooled connection is kept without a word from the origin: nginx's `keepalive_timeout` of an upstream.
pub(super) const POOLED_MS: u64 = 60_000;
/// A request that can't be repeated is not put on a connection that was idle for this long before a look whether the
/// origin has closed it. Within it the loop has told already, but for one turn.
const LOOK_AFTER_MS: u64 = 100;

impl<P: Poller> Client<P> {
    pub(super) fn begin(&mut self, token: Token, origin: OriginId, request: &Request<'_>) {
        let now = self.poller.now_ms();
        let exchange = &mut self.exchanges[token.slot as usize];
        exchange.token = token;
        exchange.id = request.id;
        exchange.closes = request.closes;
        if !request.fields.is_empty() && request.fields.len() <= MAX_ADDED_BYTES {
            exchange.fields.extend_from_slice(request.fields);
        }
        exchange.is_head = request.is_head;
        exchange.takes_trailers = request.takes_trailers;
        exchange.takes_interim = request.takes_interim;
        exchange.idempotent = request.idempotent;
        exchange.is_whole = !matches!(request.body, Body::Stream { .. });
        exchange.coming = match request.body {
            Body::Stream { length: None } => Coming::Chunks,
            Body::Stream { length: Some(length) } if length > 0 => Coming::Bytes(length),
            _ => Coming::Nothing,
        };
        exchange.origin = origin.index;
        let live = self.origins.get(origin.index as usize).and_then(Option::as_ref);
        let Some(live) = live.filter(|live| live.generation == origin.generation) else {
            return self.fail(token.slot, Reason::OriginConnect);
        };
        exchange.deadline_ms = now + u64::from(live.spec.connect_timeout_ms);
        if live.is_unusable() {
            return self.fail(token.slot, Reason::OriginTls);
        }
        if live.spec.protocol == OriginProtocol::H2 {
            exchange.stream = Some(Box::new(Stream::new(request)));
            return self.assign_stream(token.slot);
        }
        self.assign(token.slot, Some(request), false);
    }

    /// Finds a connection for a request, which is at hand or already in its output buffer.
    pub(super) fn assign(&mut self, slot: u32, mut request: Option<&Request<'_>>, fresh: bool) {
        loop {
            let now = self.poller.now_ms();
            let exchange = &self.exchanges[slot as usize];
            let (tried, fault) = (exchange.tried, exchange.fault);
            if tried != 0 && now >= exchange.deadline_ms {
                return self.fail(slot, fault);
            }
            let Some(origin) = self.origins[exchange.origin as usize].as_mut() else {
                return self.fail(slot, Reason::OriginConnect);
            };
            let mut pick = origin.pick(now, tried, fresh);
            if fresh && pick == Pick::Full {
                pick = origin.pick(now, tried, false);
            }
            match pick {
                Pick::Idle(_) | Pick::Open(_) => {
                    if self.place(slot, &mut request, pick) {
                        return;
                    }
                }
                Pick::Full => {
                    self.save(slot, &mut request);
                    return self.enqueue(slot);
                }
                Pick::Exhausted => return self.fail(slot, fault),
            }
        }
    }

    /// Puts a request on a connection; false when that was dead or cannot be opened.
    fn place(&mut self, slot: u32, request: &mut Option<&Request<'_>>, pick: Pick) -> bool {
        match pick {
            Pick::Idle(connection) => self.reuse(connection, slot, request),
            Pick::Open(address) => {
                self.save(slot, request);
                self.open(address, slot)
            }
            Pick::Full | Pick::Exhausted => false,
        }
    }

    /// Copies a request that can't be written now into its exchange.
    fn save(&mut self, slot: u32, request: &mut Option<&Request<'_>>) {
        if let Some(request) = request.take() {
            let exchange = &mut self.exchanges[slot as usize];
            exchange.output.clear();
            exchange.output.extend_from_slice(request.head);
            if let Body::Whole(body) = request.body {
                exchange.output.extend_from_slice(body);
            }
            exchange.written = 0;
            exchange.kept = true;
        }
    }

    fn reuse(&mut self, index: u32, slot: u32, request: &mut Option<&Request<'_>>) -> bool {
        let now = self.poller.now_ms();
        counters::sub(&self.counters.idle_now);
        let exchange = &mut self.exchanges[slot as usize];
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return false };
        let repeatable = exchange.idempotent && exchange.is_whole;
        let looked_at = repeatable || now < connection.idle_since_ms + LOOK_AFTER_MS || connection.is_quiet();
        connection.renew(Phase::Head, slot);
        let sent = if looked_at { exchange.transmit_start(connection, *request) } else { None };
        let Some(sent) = sent else {
            // Dead, and nothing of this request was sent: its exchange is where it was before.
            connection.exchange = NOBODY;
            self.close(index);
            return false;
        };
        exchange.stage = Stage::On(index);
        exchange.address = connection.address;
        exchange.reused = true;
        if let Some(request) = request.take() {
            exchange.keep_unsent(request, sent);
        }
        counters::add(&self.counters.reused);
        self.after_write(index);
        true
    }

    fn open(&mut self, address: u32, slot: u32) -> bool {
        let now = self.poller.now_ms();
        let exchange = &mut self.exchanges[slot as usize];
        let Some(origin) = self.origins[exchange.origin as usize].as_mut() else { return false };
        exchange.address = address;
        exchange.reused = false;
        let tls = origin.identity.as_deref().and_then(Session::new).map(Box::new);
        let encrypted = tls.is_some();
        let opened = socket::connect(&origin.addresses[address as usize].address).and_then(|(fd, established)| {
            let index = self.free_places.pop().unwrap_or(self.connections.len() as u32);
            let generation = self.connections.get(index as usize).map_or(0, |place| place.generation);
            let interest = if established && tls.is_none() { Interest::READ } else { Interest::BOTH };
            match self.poller.watch(fd.as_raw_fd(), Key { index, generation }, interest) {
                Ok(watch) => Ok((fd, established, index, watch, interest)),
                Err(error) => {
                    if (index as usize) < self.connections.len() {
                        self.free_places.push(index);
                    }
                    Err(error)
                }
            }
        });
        let Ok((fd, established, index, watch, interest)) = opened else {
            self.connect_failed(slot, Reason::OriginConnect);
            return false;
        };
        origin.addresses[address as usize].open += 1;
        exchange.stage = Stage::On(index);
        // Each address gets its share of what is left, so that a silent one leaves time for the others.
        let share = exchange.deadline_ms.saturating_sub(now) / origin.untried(exchange.tried);
        let mut connection = Connection {
            fd,
            tls,
            watch,
            interest,
            origin: exchange.origin,
            address,
            phase: Phase::Connecting,
            exchange: slot,
            input: Vec::new(),
            searched: 0,
            needed: 0,
            interim: 0,
            heard: false,
            paused: false,
            keep_alive: false,
            keep_ms: POOLED_MS,
            idle_since_ms: now,
        };
        connection.renew(Phase::Connecting, slot);
        if index as usize == self.connections.len() {
            self.connections.push(Place { generation: 0, connection: None });
            self.deadlines_ms.push(NEVER);
        }
        self.connections[index as usize].connection = Some(connection);
        self.deadlines_ms[index as usize] = now + share;
        counters::add(&self.counters.opened);
        if counters::add(&self.counters.open_now) == 1 {
            self.poller.tick(true);
        }
        if established {
            match encrypted {
                true => self.finish_connecting(index),
                false => self.established(index),
            }
        }
        true
    }

    /// Connecting to the exchange's current address came to nothing; it keeps its request.
    pub(super) fn connect_failed(&mut self, slot: u32, reason: Reason) {
        let now = self.poller.now_ms();
        counters::add(&self.counters.connect_failures);
        let exchange = &mut self.exchanges[slot as usize];
        exchange.tried |= 1 << exchange.address;
        exchange.fault = reason;
        let (origin, address) = (exchange.origin, exchange.address);
        self.note_failure(origin, address, now);
    }

    pub(super) fn note_failure(&mut self, origin: u32, address: u32, now: u64) {
        if let Some(origin) = self.origins[origin as usize].as_mut()
            && origin.failed(address, now)
        {
            counters::add(&self.counters.ejected);
        }
    }

    /// The exchange on a connection is over and answered: the connection waits for the next, or is closed.
    pub(super) fn release(&mut self, index: u32, reusable: bool) {
        let now = self.poller.now_ms();
        let Some(connection) = self.connections[index as usize].connection.as_mut() else { return };
        if !reusable {
            connection.exchange = NOBODY;
            return self.close(index);
        }
        connection.renew(Phase::Idle, NOBODY);
        connection.idle_since_ms = now;
        let (origin_index, address, keep_ms) = (connection.origin, connection.address, connection.keep_ms);
        self.deadlines_ms[index as usize] = now + keep_ms.min(POOLED_MS);
        self.set_interest(index, Interest::READ);
        counters::add(&self.counters.idle_now);
        let Some(origin) = self.origins[origin_index as usize].as_mut() else { return };
        origin.addresses[address as usize].idle.push(index);
        if origin.waiting > 0 {
            self.relieved.push(origin_index);
        }
    }

    /// Closes a connection. Its exchange, if it has one, is the caller's to end or to assign again.
    pub(super) fn close(&mut self, index: u32) {
        let Some(place) = self.connections.get_mut(index as usize) else { return };
        let Some(mut connection) = place.connection.take() else { return };
        if let Some(tls) = &mut connection.tls {
            tls.close(connection.fd.as_raw_fd());
        }
        place.generation = place.generation.wrapping_add(1);
        self.poller.unwatch(connection.watch);
        drop(connection.fd);
        self.free_places.push(index);
        self.deadlines_ms[index as usize] = NEVER;
        if counters::sub(&self.counters.open_now) == 0 {
            self.poller.tick(false);
        }
        let Some(origin) = self.origins[connection.origin as usize].as_mut() else { return };
        let address = &mut origin.addresses[connection.address as usize];
        address.open -= 1;
        if matches!(connection.phase, Phase::Idle)
            && let Some(at) = address.idle.iter().position(|&idle| idle == index)
        {
            address.idle.swap_remove(at);
            counters::sub(&self.counters.idle_now);
        }
        if origin.waiting > 0 {
            self.relieved.push(connection.origin);
        }
    }

    pub(super) fn enqueue(&mut self, slot: u32) {
        let exchange = &mut self.exchanges[slot as usize];
        let Some(origin) = self.origins[exchange.origin as usize].as_mut() else { return };
        if origin.waiting >= origin.spec.queue {
            return self.fail(slot, Reason::OriginSaturated);
        }
        exchange.stage = Stage::Waiting;
        origin.queue.push_back(exchange.token);
        origin.waiting += 1;
        counters::add(&self.counters.waiting_now);
    }

    /// Takes an exchange off its origin's queue by count; its place there is passed over later.
    pub(super) fn leave_queue(&mut self, token: Token) {
        let exchange = &self.exchanges[token.slot as usize];
        counters::sub(&self.counters.waiting_now);
        let Some(origin) = self.origins[exchange.origin as usize].as_mut() else { return };
        origin.waiting -= 1;
        // A storm of cancelled requests must not grow the queue.
        if origin.queue.len() > 2 * origin.waiting as usize + 64 {
            let exchanges = &self.exchanges;
            origin.queue.retain(|&other| other != token && is_waiting(exchanges, other));
        }
    }

    /// Hands connections that became free to requests that wait.
    pub(super) fn settle(&mut self) {
        while let Some(origin) = self.relieved.pop() {
            while self.serve_waiting(origin) {}
        }
    }

    fn serve_waiting(&mut self, index: u32) -> bool {
        let now = self.poller.now_ms();
        let Some(origin) = self.origins[index as usize].as_mut() else { return false };
        if origin.spec.protocol == OriginProtocol::H2 {
            return self.serve_waiting_stream(index);
        }
        let Some(token) = next_waiting(origin, &self.exchanges) else { return false };
        let pick = origin.pick(now, 0, false);
        if matches!(pick, Pick::Full | Pick::Exhausted) {
            return false;
        }
        origin.queue.pop_front();
        origin.waiting -= 1;
        counters::sub(&self.counters.waiting_now);
        let exchange = &mut self.exchanges[token.slot as usize];
        exchange.deadline_ms = now + u64::from(origin.spec.connect_timeout_ms);
        if !self.place(token.slot, &mut None, pick) {
            self.assign(token.slot, None, false);
        }
        true
    }
}

/// The first of the queue that still waits; those ahead of it are dropped.
pub(super) fn next_waiting(origin: &mut Origin, exchanges: &[crate::exchange::Exchange]) -> Option<Token> {
    while let Some(&token) = origin.queue.front() {
        if is_waiting(exchanges, token) {
            return Some(token);
        }
        origin.queue.pop_front();
    }
    None
}

fn is_waiting(exchanges: &[crate::exchange::Exchange], token: Token) -> bool {
    exchanges.get(token.slot as usize).is_some_and(|it| it.token == token && it.stage == Stage::Waiting)
}
