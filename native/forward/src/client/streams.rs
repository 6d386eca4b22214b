//! Exchanges with HTTP/2 origins: which connection a request joins, and its way there.
//!
//! A pool's connections are listed with their address, as idle ones of HTTP/1.1 are; each takes many requests. What
//! comes back is received in `client/stream_receive.rs`.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use portcullis_engine::reason::Reason;
use portcullis_reactor::Bell;

use super::transmit::{DRAINED_BYTES, PAUSE_BYTES};
use super::{Client, Flow, NEVER};
use crate::arena::{Kind, Token};
use crate::counters;
use crate::exchange::{Coming, Stage};
use crate::h2::head;
use crate::h2::link::{Link, LinkKey, MAX_STREAMS, News, Stage as LinkStage, Target, What};
use crate::h2::stream::{Answer, PIECE_BYTES, Wire};
use crate::poller::Poller;

/// An address gets this many connections when there is something to do: one that dies takes not everything along.
const SPARE_LINKS: usize = 2;
/// So many requests on one connection are something to do: fewer gain nothing from a second one.
const BUSY_STREAMS: u32 = 8;

/// Bodies up to this length leave with their head, whatever the window: less than any peer's that lets calls through.
const FIRST_BYTES: usize = 16 * 1024;

/// Where a request can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pick {
    Join(LinkKey),
    /// A new connection to this address.
    Open(u32),
    Full,
    Exhausted,
}

impl<P: Poller> Client<P> {
    /// What rings when [`Client::serve_streams`] is to be called.
    #[must_use]
    pub fn bell(&self) -> Bell {
        self.h2.bell()
    }

    /// Finds a connection for a request whose stream is yet to come.
    pub(super) fn assign_stream(&mut self, slot: u32) {
        loop {
            let now = self.poller.now_ms();
            let exchange = &self.exchanges[slot as usize];
            let (origin, tried, fault) = (exchange.origin, exchange.tried, exchange.fault);
            if tried != 0 && now >= exchange.deadline_ms {
                return self.fail(slot, fault);
            }
            match self.pick_link(origin, now, tried) {
                Pick::Join(key) => {
                    if self.join(slot, key) {
                        return;
                    }
                }
                Pick::Open(address) => {
                    let exchange = &self.exchanges[slot as usize];
                    let left_ms = exchange.deadline_ms.saturating_sub(now);
                    let key = self.open_link(origin, address, left_ms, tried);
                    self.join(slot, key);
                    return;
                }
                Pick::Full => return self.enqueue(slot),
                Pick::Exhausted => return self.fail(slot, fault),
            }
        }
    }

    /// Round robin over addresses as for HTTP/1.1; at an address the connection with the fewest streams, those that
    /// stand ahead of those that are being opened.
    fn pick_link(&mut self, origin_index: u32, now: u64, tried: u64) -> Pick {
        let Some(origin) = self.origins[origin_index as usize].as_mut() else { return Pick::Exhausted };
        let limit = origin.spec.connections.max(1);
        let mut outcome = Pick::Exhausted;
        let mut spare = None;
        'all: for even_ejected in [false, true] {
            for index in origin.in_turn() {
                let address = &origin.addresses[index];
                if tried & (1 << index) != 0 || (!even_ejected && address.is_ejected(now)) {
                    continue;
                }
                outcome = Pick::Full;
                let best = address
                    .idle
                    .iter()
                    .filter_map(|&place| Some((place, self.h2.at(place)?)))
                    .filter(|(_, link)| link.streams < link.most && !link.is_suspect)
                    .min_by_key(|(_, link)| (matches!(link.stage, LinkStage::Opening(_)), link.streams));
                if let Some((place, link)) = best {
                    if link.streams >= BUSY_STREAMS && address.idle.len() < SPARE_LINKS && address.open < limit {
                        spare = Some(index as u32);
                    }
                    outcome = Pick::Join(self.h2.key_at(place));
                } else if address.open < limit {
                    outcome = Pick::Open(index as u32);
                }
                if outcome != Pick::Full {
                    origin.went_to(index);
                    break 'all;
                }
            }
            if outcome == Pick::Full {
                break;
            }
        }
        let timeout_ms = u64::from(origin.spec.connect_timeout_ms);
        if let Some(address) = spare {
            self.open_link(origin_index, address, timeout_ms, 0);
        }
        outcome
    }

    fn open_link(&mut self, origin_index: u32, address: u32, left_ms: u64, tried: u64) -> LinkKey {
        let now = self.poller.now_ms();
        let key = self.h2.next_key();
        if let Some(origin) = self.origins[origin_index as usize].as_mut() {
            // Each address gets its share of what is left, so that a silent one leaves time for the others.
            let timeout = Duration::from_millis(left_ms / origin.untried(tried));
            let target =
                Target { address: origin.addresses[address as usize].address, tls: origin.identity.clone(), timeout };
            let link = Link::open(key, origin_index, address, target, &self.h2.board, now);
            self.h2.put(key, link);
            let address = &mut origin.addresses[address as usize];
            address.open += 1;
            address.idle.push(key.index);
        }
        counters::add(&self.counters.opened);
        if counters::add(&self.counters.open_now) == 1 {
            self.poller.tick(true);
        }
        self.poller.serve_streams();
        key
    }

    /// Puts a request on a connection, or among those that wait for it; false when it takes none.
    fn join(&mut self, slot: u32, key: LinkKey) -> bool {
        let Some(link) = self.h2.get(key) else { return false };
        let exchange = &mut self.exchanges[slot as usize];
        exchange.stage = Stage::Stream;
        exchange.address = link.address;
        exchange.reused = link.has_served;
        if let Some(stream) = &mut exchange.stream {
            stream.link = Some(key);
        }
        if link.streams == 0 && matches!(link.stage, LinkStage::Open(_)) {
            counters::sub(&self.counters.idle_now);
        }
        link.streams += 1;
        match &mut link.stage {
            LinkStage::Opening(waiting) => {
                waiting.push(exchange.token);
                true
            }
            LinkStage::Open(_) => self.start_stream(slot, key),
            LinkStage::Leaving => {
                self.leave_link(slot);
                false
            }
        }
    }

    /// Begins the stream; false when its connection takes no more, with the exchange off it.
    fn start_stream(&mut self, slot: u32, key: LinkKey) -> bool {
        let exchange = &mut self.exchanges[slot as usize];
        let origin = self.origins[exchange.origin as usize].as_ref();
        let https = origin.is_some_and(|origin| origin.spec.tls.is_some());
        let (Some(stream), Some(link)) = (&mut exchange.stream, self.h2.get(key)) else { return false };
        let LinkStage::Open(sender) = &mut link.stage else { return false };
        let ends = stream.is_out() && stream.trailers.is_none();
        let Some(request) = head::read(&stream.head, https) else {
            self.abort_stream(slot, Reason::InternalPanic);
            return true;
        };
        let mut begun = sender.send_request(request, ends);
        if begun.as_ref().is_err_and(is_rejected)
            && let Some(request) = head::read(&stream.head, https)
        {
            // The stream before it waits for one that was reset to be out of the origin's count. A new name for the
            // same connection has no stream before it: the library puts them in a line.
            *sender = sender.clone();
            begun = sender.send_request(request, ends);
        }
        let Ok((answer, send)) = begun else {
            self.retire_link(key);
            self.leave_link(slot);
            return false;
        };
        stream.wire = Some(Wire { answer: Answer::Awaited(answer), send: (!ends).then_some(send), has_begun: false });
        link.has_served = true;
        if exchange.reused {
            counters::add(&self.counters.reused);
        }
        self.flush_stream(slot);
        self.receive_stream(slot);
        true
    }

    /// The next piece of a body on its way to a stream; as [`Client::body`].
    pub(super) fn stream_body(&mut self, token: Token, piece: &[u8], last: bool) -> Flow {
        let slot = token.slot;
        let exchange = &mut self.exchanges[slot as usize];
        match exchange.coming {
            Coming::Bytes(left) => match left.checked_sub(piece.len() as u64) {
                Some(0) => exchange.coming = Coming::Nothing,
                Some(after) if !last => exchange.coming = Coming::Bytes(after),
                _ => return self.break_off_stream(slot),
            },
            Coming::Chunks if last => exchange.coming = Coming::Nothing,
            Coming::Chunks => {}
            Coming::Nothing if piece.is_empty() => return Flow::Continue,
            Coming::Nothing => return self.break_off_stream(slot),
        }
        let complete = exchange.coming == Coming::Nothing;
        let Some(stream) = &mut exchange.stream else { return Flow::Continue };
        stream.push(piece);
        stream.is_complete = complete;
        if complete || stream.unsent_bytes >= PIECE_BYTES {
            self.flush_stream(slot);
        } else {
            // Small pieces of one turn leave in one frame.
            self.h2.waker(slot).wake();
        }
        let exchange = &mut self.exchanges[slot as usize];
        match &exchange.stream {
            Some(stream) if stream.unsent_bytes > PAUSE_BYTES => {
                exchange.told_pause = true;
                Flow::Pause
            }
            _ => Flow::Continue,
        }
    }

    /// Ends a streamed body with trailers.
    pub(super) fn stream_trailers(&mut self, token: Token, block: &[u8]) {
        let exchange = &mut self.exchanges[token.slot as usize];
        let ends = exchange.coming == Coming::Chunks;
        match head::read_trailers(block) {
            Some(trailers) if ends => {
                exchange.coming = Coming::Nothing;
                if let Some(stream) = &mut exchange.stream {
                    stream.is_complete = true;
                    stream.trailers = (!trailers.is_empty()).then_some(trailers);
                }
                self.flush_stream(token.slot);
            }
            // All that the head promised has gone: the end went with it.
            Some(_) if exchange.coming == Coming::Nothing => {}
            _ => {
                self.break_off_stream(token.slot);
            }
        }
    }

    fn break_off_stream(&mut self, slot: u32) -> Flow {
        self.abort_stream(slot, Reason::HttpFraming);
        self.settle();
        self.wake_if_waiting();
        Flow::Continue
    }

    /// Hands to the stream what its window takes.
    pub(super) fn flush_stream(&mut self, slot: u32) {
        let now = self.poller.now_ms();
        let waker = self.h2.waker(slot);
        let mut context = Context::from_waker(&waker);
        let Some(exchange) = self.exchanges.get_mut(slot as usize) else { return };
        let Some(stream) = &mut exchange.stream else { return };
        let Some(mut wire) = stream.wire.take() else { return };
        let is_answered = matches!(wire.answer, Answer::Body(_));
        let mut moved = false;
        let mut cut = false;
        if let Some(send) = &mut wire.send {
            loop {
                if stream.unsent.is_empty() {
                    stream.seal();
                }
                let Some(piece) = stream.unsent.front_mut() else { break };
                send.reserve_capacity(stream.unsent_bytes);
                let mut room = send.capacity();
                if room == 0 && !wire.has_begun && stream.unsent_bytes <= FIRST_BYTES {
                    // The library tells of no window before the head went out, and a body behind it would be a write of
                    // its own.
                    room = stream.unsent_bytes;
                }
                if room == 0 {
                    match send.poll_capacity(&mut context) {
                        Poll::Ready(Some(Ok(_))) => continue,
                        Poll::Pending => break,
                        // Why is told with the answer, or in its place.
                        Poll::Ready(_) => {
                            cut = true;
                            break;
                        }
                    }
                }
                let part = if room < piece.len() { piece.split_to(room) } else { std::mem::take(piece) };
                stream.unsent_bytes -= part.len();
                if piece.is_empty() {
                    stream.unsent.pop_front();
                }
                let ends = stream.is_out() && stream.trailers.is_none();
                cut |= send.send_data(part, ends).is_err();
                wire.has_begun = true;
                moved = true;
                if ends || cut {
                    break;
                }
            }
            let is_out = stream.is_out();
            if is_out && !cut && !(moved && stream.trailers.is_none()) {
                // The last piece, if there was one, did not say that it was the last.
                let ended = match stream.trailers.take() {
                    Some(trailers) => send.send_trailers(trailers),
                    None => send.send_data(Bytes::new(), true),
                };
                cut |= ended.is_err();
                moved = true;
            }
            if is_out || cut {
                wire.send = None;
            }
        }
        stream.wire = Some(wire);
        let (pending, is_out) = (stream.unsent_bytes, stream.is_out());
        exchange.deaf |= cut;
        let was_sent = exchange.sent;
        if is_out && !exchange.sent {
            exchange.sent = !exchange.deaf;
            exchange.sent_at = Some(Instant::now());
        }
        if !is_answered && !was_sent && (moved || pending > 0 || exchange.sent || exchange.deaf) {
            // A closed window counts as silence of the origin; the client's own pauses are the front door's to bound.
            let silent = pending > 0 || exchange.sent || exchange.deaf;
            let timeout = self.origins[exchange.origin as usize].as_ref().map_or(0, |it| it.spec.first_byte_timeout_ms);
            self.h2.set_deadline(slot, if silent { now + u64::from(timeout) } else { NEVER });
        }
        if exchange.told_pause && pending <= DRAINED_BYTES {
            exchange.told_pause = false;
            let entry = exchange.entry(Kind::Drained);
            self.turn.push(entry);
        }
    }

    /// Takes an exchange off its connection. A stream under way is reset.
    pub(super) fn leave_link(&mut self, slot: u32) {
        let now = self.poller.now_ms();
        let exchange = &mut self.exchanges[slot as usize];
        let token = exchange.token;
        let Some(stream) = &mut exchange.stream else { return };
        stream.wire = None;
        let Some(key) = stream.link.take() else { return };
        self.h2.set_deadline(slot, NEVER);
        let Some(link) = self.h2.get(key) else { return };
        link.streams -= 1;
        if let LinkStage::Opening(waiting) = &mut link.stage {
            waiting.retain(|&other| other != token);
        }
        if link.streams == 0 && matches!(link.stage, LinkStage::Open(_)) {
            link.idle_since_ms = now;
            link.is_proven = false;
            counters::add(&self.counters.idle_now);
        }
        let origin = link.origin;
        if self.origins[origin as usize].as_ref().is_some_and(|origin| origin.waiting > 0) {
            self.relieved.push(origin);
        }
    }

    /// Ends an exchange whose stream, or way to one, comes to nothing.
    pub(super) fn abort_stream(&mut self, slot: u32, reason: Reason) {
        match self.exchanges[slot as usize].stage {
            Stage::Waiting => self.leave_queue(self.exchanges[slot as usize].token),
            _ => self.leave_link(slot),
        }
        self.fail(slot, reason);
    }

    /// The connection takes no further stream. Those on it go on.
    pub(super) fn retire_link(&mut self, key: LinkKey) {
        let Some(link) = self.h2.get(key) else { return };
        if link.streams == 0 && matches!(link.stage, LinkStage::Open(_)) {
            counters::sub(&self.counters.idle_now);
        }
        link.stage = LinkStage::Leaving;
        link.ping = None;
        let (origin, address) = (link.origin, link.address);
        if let Some(origin) = self.origins[origin as usize].as_mut() {
            origin.addresses[address as usize].idle.retain(|&place| place != key.index);
        }
    }

    /// What connections have told since the last time.
    pub(super) fn hear_news(&mut self) {
        loop {
            let news = std::mem::take(&mut *self.h2.board.news.borrow_mut());
            if news.is_empty() {
                return;
            }
            for News { key, what } in news {
                match what {
                    What::Opened(sender, ping, most) => self.link_opened(key, sender, ping, most),
                    What::Streams(most) => self.link_takes(key, most),
                    What::Failed(reason) => self.link_failed(key, reason),
                    What::Gone => self.link_gone(key),
                }
            }
        }
    }

    fn link_opened(&mut self, key: LinkKey, sender: SendRequest<Bytes>, ping: Option<h2::PingPong>, most: u32) {
        let now = self.poller.now_ms();
        let Some(link) = self.h2.get(key) else { return };
        let LinkStage::Opening(waiting) = std::mem::replace(&mut link.stage, LinkStage::Open(sender)) else {
            link.stage = LinkStage::Leaving;
            return;
        };
        link.ping = ping;
        link.most = most;
        link.idle_since_ms = now;
        let origin = link.origin;
        if link.streams == 0 {
            counters::add(&self.counters.idle_now);
        }
        for (count, token) in waiting.into_iter().enumerate() {
            if self.stage_of(token) != Stage::Stream {
                continue;
            }
            let started = count < most as usize && self.start_stream(token.slot, key);
            if !started {
                self.leave_link(token.slot);
                self.assign_stream(token.slot);
            }
        }
        self.relieved.push(origin);
    }

    fn link_takes(&mut self, key: LinkKey, most: u32) {
        if let Some(link) = self.h2.get(key) {
            link.most = most.min(MAX_STREAMS);
            let origin = link.origin;
            self.relieved.push(origin);
        }
    }

    fn link_failed(&mut self, key: LinkKey, reason: Reason) {
        let now = self.poller.now_ms();
        let Some(link) = self.h2.get(key) else { return };
        let (origin, address) = (link.origin, link.address);
        let waiting = match std::mem::replace(&mut link.stage, LinkStage::Leaving) {
            LinkStage::Opening(waiting) => waiting,
            _ => Vec::new(),
        };
        counters::add(&self.counters.connect_failures);
        self.note_failure(origin, address, now);
        let waiting: Vec<Token> = waiting.into_iter().filter(|&it| self.stage_of(it) == Stage::Stream).collect();
        for token in &waiting {
            self.leave_link(token.slot);
            let exchange = &mut self.exchanges[token.slot as usize];
            exchange.tried |= 1 << address;
            exchange.fault = reason;
        }
        self.forget_link(key);
        for token in waiting {
            if self.stage_of(token) == Stage::Stream {
                self.assign_stream(token.slot);
            }
        }
    }

    fn link_gone(&mut self, key: LinkKey) {
        match self.h2.get(key) {
            // Its task ended without a word.
            Some(Link { stage: LinkStage::Opening(_), .. }) => self.link_failed(key, Reason::OriginConnect),
            _ => self.forget_link(key),
        }
    }

    /// The connection is gone; its streams are told by themselves.
    fn forget_link(&mut self, key: LinkKey) {
        self.retire_link(key);
        let Some(link) = self.h2.remove(key) else { return };
        if counters::sub(&self.counters.open_now) == 0 {
            self.poller.tick(false);
        }
        if let Some(origin) = self.origins[link.origin as usize].as_mut() {
            origin.addresses[link.address as usize].open -= 1;
            if origin.waiting > 0 {
                self.relieved.push(link.origin);
            }
        }
    }

    /// Serves the first request that waits for this origin; false when none does, or there is no room.
    pub(super) fn serve_waiting_stream(&mut self, index: u32) -> bool {
        let now = self.poller.now_ms();
        let Some(origin) = self.origins[index as usize].as_mut() else { return false };
        let Some(token) = super::assign::next_waiting(origin, &self.exchanges) else { return false };
        let timeout_ms = u64::from(origin.spec.connect_timeout_ms);
        if !matches!(self.pick_link(index, now, 0), Pick::Join(_) | Pick::Open(_)) {
            return false;
        }
        self.leave_queue(token);
        let exchange = &mut self.exchanges[token.slot as usize];
        exchange.stage = Stage::Stream;
        exchange.deadline_ms = now + timeout_ms;
        self.assign_stream(token.slot);
        true
    }
}

/// A mistake of ours in the library's eyes: it would have to be asked first.
fn is_rejected(error: &h2::Error) -> bool {
    error.reason().is_none() && !error.is_io()
}
