//! One edge thread's exchanges: joins the engine's decision, the upstream client and the record.

mod calls;
mod inspecting;
mod messages;
mod owning;
mod responding;
pub mod streams;
mod waiting;

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use portcullis_engine::answer::Answer;
use portcullis_engine::decide::{self, Admission, Certificates, Known, MAX_INSPECTED_BYTES, Outcome, Places, Tally};
use portcullis_engine::event::{self, Dates, Ending};
use portcullis_engine::exchange::{Denial, Exchange, Presented};
use portcullis_engine::guard::guarded;
use portcullis_engine::head::{Framing, Head};
use portcullis_engine::jwt;
use portcullis_engine::limits::shared::{Asking, Waiter};
use portcullis_engine::limits::volume::{Asked, Recorder};
use portcullis_engine::meters::{self, Meters};
use portcullis_engine::mtls::{Certificate, seen};
use portcullis_engine::peer::Peer;
use portcullis_engine::policy::{OriginProtocol, OriginTls};
use portcullis_engine::reason::Reason;
use portcullis_engine::snapshot::Snapshot;
use portcullis_forward::held::{Fields, Held};
use portcullis_forward::request::{Forwarded, client_traceparent, is_idempotent, write_head};
use portcullis_forward::tls::Identity;
use portcullis_forward::uv::InLoop;
use portcullis_forward::{Body, Entry, Flow, Kind, OriginId, OriginSpec, Request, Token};

use crate::accepting::Met;
use crate::clock::{self, Ids};
use crate::journal::Journal;
use crate::policy;
pub use calls::{Area, FILLED_EIGHTHS};
use calls::{Deadlines, ToldOfCall, Web};
use responding::Row;
use streams::{Native, Streams, is_stream};
use waiting::settle;

/// What JavaScript does next with an exchange. Part of the door's contract with src/native.ts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Next {
    /// Nothing: the request is on its way, the response comes in a turn.
    Sent = 0,
    /// Read the body and give it to `body(slot, ..)`.
    Body = 1,
    /// The same; it comes in chunks, so the connection ends with this exchange.
    LastBody = 8,
    /// The answer's memory holds an answer of our own: write it.
    Answer = 2,
    /// The connection's peer is not known yet: `peer(slot, ..)`.
    Peer = 3,
    /// Close the connection without an answer.
    Close = 4,
    /// Stop reading the body until the turn says Drained.
    Pause = 5,
    /// A WebSocket handshake that passed: `upgrade(slot)`.
    Upgrade = 6,
    /// `ticket(slot)` waits for the inspection pool.
    Inspect = 7,
    /// The answer's memory holds a response that was held back, or how it begins: write it.
    Held = 9,
    /// The gateway itself answers: `own(slot)`, then `answered(slot, ..)`.
    Own = 10,
    /// The fleet's counters are asked: in the next batch, then `asked(slot)`.
    Ask = 11,
    /// Its turn comes in `delay_of(slot)` milliseconds, then `delayed(slot)`.
    Delay = 12,
}

/// No exchange on this connection.
const NONE: u32 = u32::MAX;
/// Most certificates that a thread's JavaScript cache may hold at once, with room for those being evicted.
const MAX_CERTIFICATES: usize = 65_536;

struct Connection {
    peer: Option<Rc<Peer>>,
    /// None where the edge thread itself listens.
    met: Option<Met>,
    /// The slot of its exchange under way, or NONE.
    active: u32,
    /// A chunked request came: nothing behind it is read.
    last: bool,
    /// Of a connection of streams, which has an exchange for each.
    native: Option<Box<Native>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Free,
    Deciding,
    /// Decided to pass; the request is not sent yet.
    Passed,
    /// The fleet's counters are asked.
    Asking,
    /// It is not its turn yet.
    Delayed,
    /// The body is gathered for inspection.
    Collecting,
    Inspecting,
    /// The gateway's main thread answers.
    Own,
    Forwarded,
    /// A response is gathered to be checked: the client has seen nothing of it.
    Holding,
    /// JavaScript is told to ask what became of the response.
    Settled,
    /// A response head went to the client; the end is still to come.
    Answering,
    Upgraded,
}

/// A WebSocket's handshake towards its origin.
pub struct Handshake {
    pub addresses: Vec<String>,
    /// The head as the origin gets it.
    pub head: String,
    /// None in the clear.
    pub tls: Option<OriginTls>,
    /// The same, for who shakes hands here.
    pub identity: Option<Arc<Identity>>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    /// As in the exchange, as bytes.
    id: [u8; 32],
    stage: Stage,
    exchange: Exchange,
    malformed: Option<Reason>,
    connection: usize,
    /// Of the request's body, what was gathered.
    body: Vec<u8>,
    /// All of the body was.
    complete: bool,
    /// Bytes of the body so far.
    received: u64,
    /// When the upload began to be waited for.
    waiting_us: u64,
    ticket: u32,
    /// Where its questions to the fleet's counters are.
    batch: u32,
    /// What the origin answers is looked at.
    checks: bool,
    held: Option<Box<Held>>,
    /// It is gRPC-Web, and its origin speaks gRPC.
    web: Option<Box<Web>>,
    sent_bytes: u64,
    status: u16,
}

impl Slot {
    fn waiter(&self, index: u32) -> Waiter {
        Waiter { slot: index, generation: self.generation }
    }
}

pub struct Edge {
    pub client: InLoop,
    /// `[head bytes, body bytes, flags, length (low, high)]` of the last answer, which JavaScript reads at once; and
    /// whether something is to be asked of the fleet's counters.
    answer_meta: *mut u32,
    answer_bytes: *mut u8,
    answer_len: usize,
    arena: *const u8,
    entries: *mut Entry,
    area: Area,
    deadlines: Deadlines,
    snapshot: arc_swap::Cache<&'static arc_swap::ArcSwap<Snapshot>, Arc<Snapshot>>,
    /// Of the snapshot with this generation.
    origins: (u64, Vec<OriginId>),
    connections: HashMap<usize, Connection, foldhash::fast::RandomState>,
    slots: Vec<Slot>,
    /// WebSockets that a certificate, token or key let in, by the number that JavaScript knows them by.
    admissions: HashMap<u32, Admission, foldhash::fast::RandomState>,
    next_admission: u32,
    /// WebSockets that are counted as under way, by the same numbers.
    places: HashMap<u32, Places, foldhash::fast::RandomState>,
    /// What the acceptor knows of WebSockets' connections, by the same numbers.
    met: HashMap<u32, Met, foldhash::fast::RandomState>,
    certificates: Vec<Option<Rc<Known>>>,
    /// Certificates with requests that were not gathered yet.
    seen: Vec<Rc<Known>>,
    free_certificates: Vec<u32>,
    pub meters: Arc<Mutex<Meters>>,
    pub journal: Journal,
    ids: Ids,
    /// Added to the meters with the next exchange that ends: one lock an exchange.
    tally: Tally,
    tokens: jwt::Cache,
    /// Certificates of streams' connections.
    chains: Certificates,
    /// Exchanges under way.
    open: u64,
    pub asking: Asking,
    /// Calls without an answer, by the batches under way.
    batches: HashMap<u32, usize, foldhash::fast::RandomState>,
    volumes: Recorder<'static>,
    dates: Dates,
    answer: Answer,
    head: Vec<u8>,
    fields: Fields,
    inline_bytes: usize,
    pub streams: Streams,
    /// It takes no new connections any more.
    is_draining: bool,
}

/// Bodies up to this length go into the buffer of the head.
const SMALL_BODY_BYTES: usize = 8 * 1024;

/// Flags of an answer of ours.
const ANSWER_CLOSE: u32 = 1;
const ANSWER_NO_BODY: u32 = 2;

/// The word of the answer's meta that says whether there is a batch that no exchange waits for.
const META_ASKS: usize = 5;

/// JavaScript's memory that the edge writes into.
pub struct Shared {
    pub answer_meta: *mut u32,
    pub answer_bytes: *mut u8,
    pub answer_len: usize,
    pub arena: *const u8,
    pub entries: *mut Entry,
}

impl Edge {
    pub fn new(client: InLoop, shared: &Shared, area: Area, inline_bytes: usize, exchanges: usize) -> Edge {
        Edge {
            client,
            answer_meta: shared.answer_meta,
            answer_bytes: shared.answer_bytes,
            answer_len: shared.answer_len,
            arena: shared.arena,
            entries: shared.entries,
            area,
            deadlines: Deadlines::default(),
            snapshot: arc_swap::Cache::new(policy::current()),
            origins: (0, Vec::new()),
            connections: HashMap::default(),
            slots: Vec::new(),
            admissions: HashMap::default(),
            next_admission: 0,
            places: HashMap::default(),
            met: HashMap::default(),
            certificates: Vec::new(),
            seen: Vec::new(),
            free_certificates: Vec::new(),
            meters: Meters::register(),
            journal: Journal::register(),
            ids: Ids::seeded(),
            tally: Tally::default(),
            tokens: jwt::Cache::default(),
            chains: Certificates::default(),
            open: 0,
            asking: Asking::new(policy::current().load().limits.fleet()),
            batches: HashMap::default(),
            volumes: Recorder::of_process(),
            dates: Dates::default(),
            answer: Answer::default(),
            head: Vec::with_capacity(2048),
            fields: Fields::default(),
            inline_bytes: inline_bytes.min(MAX_INSPECTED_BYTES as usize),
            streams: Streams::new(exchanges),
            is_draining: false,
        }
    }

    // --- connections -------------------------------------------------------------------------------------------

    pub fn opened(&mut self, connection: usize, met: Option<Met>) {
        self.connections.insert(connection, Connection { peer: None, met, active: NONE, last: false, native: None });
        let mut meters = lock(&self.meters);
        meters.scalars.connections_opened += 1;
        meters.scalars.connections_open += 1;
    }

    /// The connection is gone: its exchange is given up. Answers the slot of that exchange, or NONE.
    pub fn closed(&mut self, connection: usize) -> u32 {
        let Some(gone) = self.connections.remove(&connection) else { return NONE };
        {
            let mut meters = lock(&self.meters);
            meters.scalars.connections_open = meters.scalars.connections_open.saturating_sub(1);
        }
        if gone.active == NONE {
            return NONE;
        }
        self.give_up(gone.active, gone.peer.as_deref());
        gone.active
    }

    fn give_up(&mut self, index: u32, peer: Option<&Peer>) {
        if self.slots[index as usize].stage == Stage::Free {
            return;
        }
        self.call_off(index);
        lock(&self.meters).scalars.clients_gone += 1;
        let slot = &self.slots[index as usize];
        let status = if slot.stage == Stage::Answering { slot.status } else { 499 };
        let nobody = nobody();
        self.finish(index, peer.unwrap_or(&nobody), status, clock::mono_us());
    }

    /// Stops what the upstream client or the pool do for an exchange.
    fn call_off(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        match slot.stage {
            Stage::Forwarded | Stage::Holding | Stage::Settled | Stage::Answering => {
                self.client.client().cancel(Token { slot: index, generation: slot.generation });
            }
            Stage::Inspecting => self.forget_ticket(index),
            Stage::Free
            | Stage::Deciding
            | Stage::Passed
            | Stage::Asking
            | Stage::Delayed
            | Stage::Collecting
            | Stage::Own
            | Stage::Upgraded => {}
        }
    }

    // --- certificates ------------------------------------------------------------------------------------------

    /// Parses a certificate for JavaScript's cache. NONE when the table is full.
    pub fn certificate(&mut self, pem: &str) -> u32 {
        lock(&self.meters).scalars.certificates_parsed += 1;
        let known = Some(Rc::new(Known::new(Arc::new(Certificate::from_pem(pem)))));
        if let Some(index) = self.free_certificates.pop() {
            self.certificates[index as usize] = known;
            return index;
        }
        if self.certificates.len() >= MAX_CERTIFICATES {
            return NONE;
        }
        self.certificates.push(known);
        self.certificates.len() as u32 - 1
    }

    /// JavaScript's cache dropped a certificate; connections that present it keep theirs.
    pub fn forget(&mut self, certificate: u32) {
        if let Some(place) = self.certificates.get_mut(certificate as usize)
            && place.take().is_some()
        {
            self.free_certificates.push(certificate);
        }
    }

    // --- deciding ----------------------------------------------------------------------------------------------

    /// The head buffer of a slot, to be filled before [`Edge::decide`].
    pub fn head_buffer(&mut self, index: u32) -> &mut String {
        let index = index as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots[index].exchange.head.buffer()
    }

    /// Decides the request whose head stands in the slot's buffer, and sends it when there is nothing to wait for.
    pub fn decide(&mut self, index: u32, connection: usize) -> Next {
        let slot = &mut self.slots[index as usize];
        slot.malformed = slot.exchange.head.parse().err();
        self.begin(index, connection);
        let slot = &mut self.slots[index as usize];
        let Some(known) = self.connections.get_mut(&connection) else { return Next::Peer };
        if known.last {
            slot.stage = Stage::Free;
            lock(&self.meters).denial(Reason::HttpPipelined, None, true);
            return Next::Close;
        }
        known.active = index;
        known.last = slot.exchange.head.framing() == Framing::Chunked;
        if known.peer.is_none() { Next::Peer } else { self.judge(index) }
    }

    /// Makes a slot, whose head was read, ready for its decision.
    fn begin(&mut self, index: u32, connection: usize) {
        let slot = &mut self.slots[index as usize];
        let id = self.ids.request_id();
        slot.id = id;
        slot.exchange.begin(clock::now(), std::str::from_utf8(&id).unwrap_or_default());
        slot.stage = Stage::Deciding;
        slot.connection = connection;
        slot.received = 0;
        slot.sent_bytes = 0;
        slot.status = 0;
        slot.checks = false;
        slot.complete = false;
        slot.body.clear();
    }

    /// Tells who the connection's peer is, then decides the request that asked for it.
    pub fn peer(&mut self, index: u32, address: &str, certificate: u32) -> Next {
        let certificate = self.certificates.get(certificate as usize).cloned().flatten();
        let slot = &self.slots[index as usize];
        let last = slot.exchange.head.framing() == Framing::Chunked;
        let connection = self.connections.entry(slot.connection).or_insert(Connection {
            peer: None,
            met: None,
            active: index,
            last,
            native: None,
        });
        let hello = connection.met.as_ref().map(|met| Arc::clone(&met.hello));
        connection.peer = Some(Rc::new(Peer { hello, ..Peer::new(parse_address(address), certificate) }));
        self.judge(index)
    }

    fn judge(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return self.refuse(index, Reason::InternalPanic);
        };
        let snapshot = self.snapshot.load();
        let outcome =
            decide::decide(&mut slot.exchange, snapshot, peer, slot.malformed, &mut self.tally, &mut self.tokens);
        self.open += 1;
        if outcome != Outcome::Deny {
            self.begin_call(index);
        }
        self.proceed(index, outcome)
    }

    /// Denies an exchange for a reason found outside the engine's stages, and renders the answer.
    pub fn refuse(&mut self, index: u32, reason: Reason) -> Next {
        let Some(slot) = self.slots.get_mut(index as usize) else { return Next::Close };
        if slot.stage == Stage::Free {
            return Next::Close;
        }
        slot.exchange.denial = Some(Denial::from(reason));
        self.answer(index)
    }

    /// Renders the denial of an exchange into the answer's memory and ends the exchange.
    fn answer(&mut self, index: u32) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(denial) = slot.exchange.denial.take() else { return Next::Close };
        self.answer.render(&slot.exchange, &denial);
        let is_head = slot.exchange.head.method() == "HEAD";
        slot.exchange.denial = Some(denial);
        let mut line = Vec::with_capacity(256);
        status_line(&mut line, self.answer.status, &slot.exchange.id);
        if asks_to_close(&slot.exchange.head) {
            line.extend_from_slice(b"\r\nConnection: close");
        }
        line.extend_from_slice(self.answer.fields.as_bytes());
        let body = self.answer.body.as_slice();
        let (status, close) = (self.answer.status, self.answer.close);
        if is_stream(index) {
            return self.answer_stream(index, line, is_head);
        }
        if line.len() + body.len() > self.answer_len {
            self.end(index, status);
            return Next::Close;
        }
        // SAFETY: JavaScript's buffers of the lengths checked above, kept alive by the door for the edge's life, and
        // read only after this call returns.
        unsafe {
            std::ptr::copy_nonoverlapping(line.as_ptr(), self.answer_bytes, line.len());
            std::ptr::copy_nonoverlapping(body.as_ptr(), self.answer_bytes.add(line.len()), body.len());
            *self.answer_meta = line.len() as u32;
            *self.answer_meta.add(1) = body.len() as u32;
            *self.answer_meta.add(2) = if close { ANSWER_CLOSE } else { 0 } | if is_head { ANSWER_NO_BODY } else { 0 };
        }
        if close && let Some(connection) = self.connections.get_mut(&slot.connection) {
            connection.last = true;
        }
        slot.sent_bytes = body.len() as u64;
        self.end(index, status);
        Next::Answer
    }

    // --- forwarding --------------------------------------------------------------------------------------------

    fn send(&mut self, index: u32, framing: Framing, body: Body<'_>) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(snapshot) = slot.exchange.snapshot.as_ref() else { return Next::Close };
        let Some(host) = slot.exchange.host.map(|host| &snapshot.hosts[host]) else { return Next::Close };
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return Next::Close;
        };
        // An HTTP/2 origin's bodies stand in frames of their own.
        let is_http1 = snapshot.origins[host.origin].protocol == OriginProtocol::Http1;
        let origin = origin(&self.client, &mut self.origins, snapshot, host.origin);
        let head = &slot.exchange.head;
        let traceparent = match client_traceparent(head) {
            Some(_) => None,
            None => {
                let mut line = *b"00-00000000000000000000000000000000-0000000000000000-00";
                line[3..35].copy_from_slice(slot.exchange.id.as_bytes());
                clock::hex(self.ids.word() | 1, &mut line[36..52]);
                Some(line)
            }
        };
        let traceparent = traceparent.as_ref().and_then(|line| std::str::from_utf8(line).ok());
        write_origin_head(&mut self.head, &slot.exchange, peer, traceparent, framing);
        // One buffer goes out with a cheaper system call than two, and copying this much costs less than that.
        let body = match body {
            Body::Whole(bytes) if bytes.len() <= SMALL_BODY_BYTES && is_http1 => {
                self.head.extend_from_slice(bytes);
                Body::None
            }
            other => other,
        };
        slot.stage = Stage::Forwarded;
        slot.checks = decide::looks_at_responses(&slot.exchange);
        self.client.client().send(
            Token { slot: index, generation: slot.generation },
            origin,
            Request {
                head: &self.head,
                id: slot.id,
                closes: asks_to_close(head),
                fields: slot.exchange.limited.fields.as_bytes(),
                body,
                is_head: head.method() == "HEAD",
                takes_trailers: is_stream(index) || slot.web.is_some(),
                takes_interim: is_stream(index),
                idempotent: is_idempotent(head.method()),
            },
        );
        Next::Sent
    }

    /// A piece of the request's body, as the origin gets it.
    fn body_onwards(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let slot = &mut self.slots[index as usize];
        slot.received += piece.len() as u64;
        // A Content-Length was held against the bound on the head; a chunked body says only now how long it is.
        // Of a call, every message is held against a bound of its own.
        let is_call = slot.exchange.call.is_some();
        let too_large = !is_call && slot.exchange.host().is_some_and(|host| slot.received > host.max_body_bytes);
        match slot.stage {
            Stage::Forwarded | Stage::Holding | Stage::Answering if is_call => self.messages(index, piece, last),
            Stage::Asking | Stage::Delayed if is_call => self.meanwhile_messages(index, piece, last),
            Stage::Collecting if is_call => self.first_messages(index, piece, last),
            Stage::Forwarded | Stage::Holding | Stage::Answering if too_large => {
                let answering = slot.stage == Stage::Answering;
                self.client.client().cancel(Token { slot: index, generation: slot.generation });
                if !answering {
                    return self.refuse(index, Reason::HttpBodyTooLarge);
                }
                slot.exchange.denial = Some(Reason::HttpBodyTooLarge.into());
                if slot.exchange.grpc.is_some() {
                    let token = Token { slot: index, generation: slot.generation };
                    return self.break_off(token, Reason::HttpBodyTooLarge);
                }
                // The client has part of the origin's response: closing is the only way to say so.
                let status = slot.status;
                self.end(index, status);
                Next::Close
            }
            Stage::Forwarded | Stage::Holding | Stage::Answering => {
                if last {
                    slot.exchange.upload_us += clock::mono_us().saturating_sub(slot.waiting_us);
                }
                let token = Token { slot: index, generation: slot.generation };
                match self.client.client().body(token, piece, last) {
                    Flow::Continue => Next::Sent,
                    Flow::Pause => Next::Pause,
                }
            }
            Stage::Asking | Stage::Delayed | Stage::Collecting if too_large => {
                self.refuse(index, Reason::HttpBodyTooLarge)
            }
            Stage::Asking | Stage::Delayed => self.wait_with(index, piece, last),
            Stage::Collecting => {
                if slot.received > MAX_INSPECTED_BYTES {
                    return self.outgrown(index, piece, last);
                }
                slot.body.extend_from_slice(piece);
                if !last {
                    return Next::Sent;
                }
                self.collected(index)
            }
            // An answer went out before the whole body was here: the rest is read and dropped.
            Stage::Free
            | Stage::Deciding
            | Stage::Passed
            | Stage::Inspecting
            | Stage::Own
            | Stage::Settled
            | Stage::Upgraded => Next::Sent,
        }
    }

    pub fn pause(&mut self, index: u32) {
        let generation = self.slots[index as usize].generation;
        self.client.client().pause(Token { slot: index, generation });
    }

    pub fn resume(&mut self, index: u32) {
        let generation = self.slots[index as usize].generation;
        self.client.client().resume(Token { slot: index, generation });
    }

    // --- what the origin answered ------------------------------------------------------------------------------

    /// Keeps the record of what a turn brought, and writes what is for streams. Answers how many rows are left for
    /// JavaScript.
    pub fn turn(&mut self, count: usize) -> usize {
        let now_us = clock::mono_us();
        self.begin_rows();
        let mut left = 0;
        for row in 0..count {
            // SAFETY: the client filled `count` rows of the table and leaves them until its reset.
            let entry = unsafe { *self.entries.add(row) };
            let mut entry = self.row(entry, now_us);
            if entry.kind != 0 && is_stream(entry.slot) {
                if guarded(|| self.stream_row(&entry)).is_none() {
                    self.panicked();
                    self.drop_stream(entry.slot, h2::Reason::INTERNAL_ERROR);
                }
                entry.kind = 0;
            }
            left += usize::from(entry.kind != 0);
            // SAFETY: as above.
            unsafe { *self.entries.add(row) = entry };
        }
        if left == 0 {
            self.tell_of_asks_by_streams();
        }
        left
    }

    /// Keeps the record of a row. Answers it as it goes on; its kind is 0 when it does not.
    fn row(&mut self, entry: Entry, now_us: u64) -> Entry {
        {
            let slot = self.slots.get_mut(entry.slot as usize).filter(|slot| slot.generation == entry.generation);
            // The slot may serve another request by now.
            let Some(slot) = slot else { return Entry { kind: 0, ..entry } };
            if slot.exchange.limited.wants_response {
                self.settle_limits(&entry);
            }
            let entry = match self.slots[entry.slot as usize].checks {
                false => entry,
                // Its operation describes responses: it goes on only if that has nothing against it.
                true => match self.check_row(entry) {
                    Row::Goes(entry) => entry,
                    Row::Becomes(kind) => return Entry { kind, ..entry },
                },
            };
            let told = self.call_row(entry);
            // What cannot be handed on ends as a failure.
            let entry = if told.kind == Kind::Failed as u32 { told } else { entry };
            let slot = &mut self.slots[entry.slot as usize];
            if entry.kind == Kind::Whole as u32 || entry.kind == Kind::Head as u32 {
                slot.exchange.origin_us = u64::from(entry.origin_us);
                slot.exchange.origin_status = entry.status as u16;
                slot.status = entry.status as u16;
                slot.stage = Stage::Answering;
            }
            slot.sent_bytes += u64::from(told.body_len);
            let over = entry.kind == Kind::Whole as u32
                || entry.kind == Kind::End as u32
                || (entry.kind == Kind::Failed as u32 && entry.flags & Entry::HEAD_SENT != 0);
            if over {
                let status = slot.status;
                if entry.kind == Kind::Failed as u32
                    && let Some(&reason) = Reason::ALL.get(entry.fault as usize)
                    && slot.exchange.denial.as_ref().is_none_or(|denial| denial.reason != reason)
                {
                    slot.exchange.denial = Some(reason.into());
                }
                self.end_at(entry.slot, status, now_us);
            }
            told
        }
    }

    // --- WebSocket ---------------------------------------------------------------------------------------------

    /// What the handshake towards the origin is made of. None where the origin speaks HTTP/2: WebSockets go over HTTP/1.1.
    pub fn upgrade(&mut self, index: u32) -> Option<Handshake> {
        let slot = &mut self.slots[index as usize];
        let snapshot = slot.exchange.snapshot.clone()?;
        let host = &snapshot.hosts[slot.exchange.host?];
        let target = &snapshot.origins[host.origin];
        if target.protocol != OriginProtocol::Http1 {
            return None;
        }
        let peer = self.connections.get(&slot.connection)?.peer.as_deref()?;
        write_origin_head(&mut self.head, &slot.exchange, peer, None, Framing::None);
        slot.stage = Stage::Upgraded;
        lock(&self.meters).scalars.websockets_opened += 1;
        let head = String::from_utf8(self.head.clone()).ok()?;
        let id = origin(&self.client, &mut self.origins, &snapshot, host.origin);
        let identity = self.client.client().identity(id);
        Some(Handshake { addresses: target.addresses.clone(), head, tls: target.tls.clone(), identity })
    }

    /// A WebSocket's handshake is over. Answers the number under which the opened one is told of by [`withdrawn`], or
    /// NONE when nothing let it in that can be taken back, and nothing counts it as under way.
    ///
    /// [`withdrawn`]: Self::withdrawn
    pub fn upgraded(&mut self, index: u32, status: u16) -> u32 {
        let Some(slot) = self.slots.get(index as usize).filter(|slot| slot.stage == Stage::Upgraded) else {
            return NONE;
        };
        let peer = self.connections.get(&slot.connection).and_then(|connection| connection.peer.as_deref());
        let admission = peer.filter(|_| status == 101).and_then(|peer| Admission::of(&slot.exchange, peer));
        let places = if status == 101 { Places::of(&mut self.slots[index as usize].exchange) } else { None };
        // Its HTTP connection ends here, but the client's place is taken until the WebSocket ends.
        let connection = self.slots[index as usize].connection;
        let met = if status == 101 { self.connections.get_mut(&connection).and_then(|it| it.met.take()) } else { None };
        self.end(index, status);
        if admission.is_none() && places.is_none() && met.is_none() {
            return NONE;
        }
        let number = self.next_admission;
        self.next_admission = if number == NONE - 1 { 0 } else { number + 1 };
        if let Some(admission) = admission {
            self.admissions.insert(number, admission);
        }
        if let Some(places) = places {
            self.places.insert(number, places);
        }
        if let Some(met) = met {
            self.met.insert(number, met);
        }
        number
    }

    pub fn web_socket_closed(&mut self, number: u32) {
        self.admissions.remove(&number);
        self.places.remove(&number);
        self.met.remove(&number);
    }

    /// WebSockets whose certificate, token or key does not count any more: each is told once.
    pub fn withdrawn(&mut self) -> Vec<u32> {
        let snapshot = self.snapshot.load();
        let now = clock::now();
        let gone = self.admissions.extract_if(|_, admission| admission.is_withdrawn(snapshot, now));
        let gone: Vec<u32> = gone.map(|(number, _)| number).collect();
        for number in &gone {
            self.places.remove(number);
            self.met.remove(number);
        }
        if !gone.is_empty() {
            lock(&self.meters).scalars.websockets_withdrawn += gone.len() as u64;
        }
        gone
    }

    // --- the end -----------------------------------------------------------------------------------------------

    fn end(&mut self, index: u32, status: u16) {
        self.end_at(index, status, clock::mono_us());
    }

    fn end_at(&mut self, index: u32, status: u16, ended_us: u64) {
        let connection = self.slots[index as usize].connection;
        let peer = match self.connections.get_mut(&connection) {
            Some(known) => {
                if known.active == index {
                    known.active = NONE;
                }
                known.peer.clone()
            }
            None => None,
        };
        match peer {
            Some(peer) => self.finish(index, &peer, status, ended_us),
            None => self.finish(index, &nobody(), status, ended_us),
        }
    }

    fn finish(&mut self, index: u32, peer: &Peer, status: u16, ended_us: u64) {
        let slot = &mut self.slots[index as usize];
        if let Some(until) = slot.exchange.deadline_us {
            self.deadlines.forget(until, index);
        }
        // What a call's denial says by its status, others say by that of HTTP.
        let denied = slot.exchange.denial.as_ref().filter(|_| slot.exchange.grpc.is_some());
        let meant = denied.map_or(status, |denial| denial.reason.entry().status);
        if slot.exchange.limited.wants_response {
            // No origin has answered: what counts is the gateway's own answer.
            settle(&mut slot.exchange, &mut self.asking, peer, meant, std::iter::empty());
            self.tell_of_asks();
        }
        let slot = &mut self.slots[index as usize];
        decide::released(&mut slot.exchange);
        if let Some(snapshot) = &slot.exchange.snapshot
            && let Some(asked) = Asked::of(&slot.exchange, peer, meant, ended_us, |text| snapshot.limits.hashed(text))
        {
            self.volumes.note(asked);
        }
        if slot.exchange.presented != Presented::NotLooked
            && let (Some(known), Some(host)) = (&peer.certificate, slot.exchange.host())
            && known.count.add(host.series, slot.exchange.started.unix_ms)
        {
            self.seen.push(known.clone());
        }
        let ending = Ending { status, body_bytes: slot.sent_bytes, ended_us };
        let wanted = event::is_security_event(&slot.exchange) || self.journal.sampled(self.ids.word());
        let dates = &mut self.dates;
        let written = wanted && self.journal.record(|out| event::write(out, dates, &slot.exchange, peer, &ending));
        self.open = self.open.saturating_sub(1);
        let tally = std::mem::take(&mut self.tally);
        let mut meters = lock(&self.meters);
        slot.exchange.count(&mut meters, status, ending.ended_us);
        meters.tokens(&mut self.tokens.tally);
        let scalars = &mut meters.scalars;
        scalars.exchanges_open = self.open;
        scalars.verify_hits += tally.verify_hits;
        scalars.verify_misses += tally.verify_misses;
        scalars.verify_lookups += tally.verify_lookups;
        scalars.events_written += u64::from(written);
        scalars.events_dropped += u64::from(wanted && !written);
        drop(meters);
        slot.stage = Stage::Free;
        slot.generation = slot.generation.wrapping_add(1);
        slot.exchange.snapshot = None;
        slot.held = None;
        slot.web = None;
    }

    /// The certificate that a connection of streams was opened with, parsed.
    fn certificate_of(&mut self, chain: &[Vec<u8>]) -> Option<Rc<Known>> {
        let meters = &self.meters;
        self.chains.of(chain, || lock(meters).scalars.certificates_parsed += 1)
    }

    /// Copies the upstream client's counters where a scrape finds them.
    pub fn publish(&mut self) {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = self.client.client().counters();
        let mut meters = lock(&self.meters);
        let scalars = &mut meters.scalars;
        scalars.exchanges_open = self.open;
        scalars.origin_opened = counters.opened.load(Relaxed);
        scalars.origin_reused = counters.reused.load(Relaxed);
        scalars.origin_retried = counters.retried.load(Relaxed);
        scalars.origin_errors = counters.connect_failures.load(Relaxed)
            + counters.timeouts.load(Relaxed)
            + counters.closed.load(Relaxed)
            + counters.malformed.load(Relaxed)
            + counters.saturated.load(Relaxed);
        scalars.origin_ejected = counters.ejected.load(Relaxed);
        scalars.origin_open = counters.open_now.load(Relaxed);
        scalars.origin_idle = counters.idle_now.load(Relaxed);
    }

    /// Hands the certificates that requests came with to the table of the process.
    pub fn gather(&mut self) {
        if !self.seen.is_empty() {
            seen::gather(self.seen.iter().map(|known| (&known.certificate, known.identity(), &known.count)));
            self.seen.clear();
        }
    }

    /// Counts a denial of a request that never got a slot.
    pub fn refused(&mut self, reason: Reason) {
        lock(&self.meters).denial(reason, None, true);
    }

    pub fn panicked(&mut self) {
        lock(&self.meters).scalars.panics += 1;
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.publish();
        self.gather();
        meters::ended(&self.meters);
    }
}

/// The client's pool for an origin of a snapshot; the current snapshot's are looked up once.
fn origin(client: &InLoop, known: &mut (u64, Vec<OriginId>), snapshot: &Snapshot, index: usize) -> OriginId {
    if known.0 != snapshot.generation {
        let mut client = client.client();
        known.1 = snapshot.origins.iter().map(|origin| client.origin(&spec(origin))).collect();
        if snapshot.generation > known.0 {
            client.retain(&known.1);
        }
        known.0 = snapshot.generation;
    }
    known.1[index]
}

/// The head as the origin gets it, in place of what `out` held.
fn write_origin_head(out: &mut Vec<u8>, exchange: &Exchange, peer: &Peer, traceparent: Option<&str>, body: Framing) {
    let told = decide::told(exchange, peer);
    let call = ToldOfCall::of(exchange);
    out.clear();
    write_head(
        out,
        &exchange.head,
        &Forwarded {
            peer: &peer.text,
            proto: "https",
            request_id: &exchange.id,
            traceparent,
            certificate: told.certificate(),
            caller: told.caller(),
            told: told.headers(),
            stripped: told.stripped(),
            call: call.as_ref().map(ToldOfCall::as_call),
            body,
        },
    );
}

fn spec(origin: &portcullis_engine::policy::Origin) -> OriginSpec {
    OriginSpec {
        // The control plane resolved and checked them; one that does not parse would leave the origin unreachable.
        addresses: origin.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
        protocol: origin.protocol,
        tls: origin.tls.clone().map(Arc::new),
        connections: origin.connections,
        connect_timeout_ms: origin.connect_timeout_ms,
        first_byte_timeout_ms: origin.first_byte_timeout_ms,
        idle_timeout_ms: origin.idle_timeout_ms,
        queue: OriginSpec::QUEUE,
    }
}

/// Most bytes there may be to check of a body: one that comes encoded gets larger.
fn most_bytes(exchange: &Exchange, length: usize) -> usize {
    exchange.chosen.as_ref().map_or(length, |chosen| chosen.most_bytes(length))
}

fn is_websocket(method: &str, upgrade: Option<&str>) -> bool {
    method == "GET" && upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Whether the client ends the connection with this request. uWebSockets.js then closes without saying so.
fn asks_to_close(head: &Head) -> bool {
    head.values("connection").any(|value| value.eq_ignore_ascii_case("close"))
}

/// `403 Forbidden\r\nX-Request-Id: ...`: uWebSockets.js writes a status as it is given, so one call carries the whole
/// head. What goes in was parsed and checked.
fn status_line(out: &mut Vec<u8>, status: u16, id: &str) {
    out.extend_from_slice(portcullis_forward::status::line(status).as_bytes());
    out.extend_from_slice(b"\r\nX-Request-Id: ");
    out.extend_from_slice(id.as_bytes());
}

fn parse_address(text: &str) -> IpAddr {
    match text.parse() {
        Ok(IpAddr::V6(address)) => address.to_canonical(),
        Ok(address) => address,
        Err(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// Stands in where a connection ended before its peer was known.
fn nobody() -> Peer {
    Peer::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), None)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
