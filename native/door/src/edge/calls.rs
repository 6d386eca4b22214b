//! gRPC calls: gRPC-Web is made gRPC towards the origin and back, deadlines run, and an answer that breaks off ends in a
//! status.
//!
//! Rows of the turn are translated where they stand, so that whoever writes them, here or in JavaScript, sees no
//! difference. What becomes of their bytes lies in the same memory, behind what the upstream client fills: as much as a
//! turn's rows can grow to.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_engine::answer::last_words;
use portcullis_engine::exchange::{Denial, Exchange};
use portcullis_engine::grpc::answer::{answered_as, content_type};
use portcullis_engine::grpc::web::{self, TextReader};
use portcullis_engine::grpc::{Dialect, deadline};
use portcullis_engine::guard::guarded;
use portcullis_engine::head::Framing;
use portcullis_engine::policy::OriginProtocol;
use portcullis_engine::reason::Reason;
use portcullis_forward::request::Call;
use portcullis_forward::{Entry, Kind, Token};

use super::streams::is_stream;
use super::{Edge, Next, Stage};
use crate::clock;

/// Of memory for a turn's rows, what the upstream client fills: base64 makes four bytes of three, and a third of that is
/// left for frames of trailers and content types (1,024 rows with 300 bytes each, of 2.75 MiB).
pub const FILLED_EIGHTHS: usize = 3;

/// Timers are whole milliseconds and no longer than this: however deadlines follow each other, there are at most a
/// thousand.
const LONGEST_SLEEP_US: u64 = 1_000_000;

/// A call that came as gRPC-Web, for an origin that speaks gRPC.
pub(super) struct Web {
    /// Reads a body in base64.
    reader: Option<TextReader>,
    /// None when the origin's answer is none to a call: it goes on as it is.
    answer: Option<web::Answer>,
}

/// When the calls under way end, soonest first. One timer serves them all, and what is over leaves nothing behind: a
/// client can say any time, as often as it likes.
#[derive(Default)]
pub(super) struct Deadlines {
    /// Microseconds, and the slot.
    all: BTreeSet<(u64, u32)>,
    /// When the timer that comes first does.
    wakes_us: Option<u64>,
}

impl Deadlines {
    pub(super) fn forget(&mut self, until_us: u64, index: u32) {
        self.all.remove(&(until_us, index));
    }

    /// Starts a timer unless one comes soon enough.
    fn arm(&mut self) {
        let Some(&(first, _)) = self.all.first() else { return };
        let now_us = clock::mono_us();
        let at = first.min(now_us + LONGEST_SLEEP_US).div_ceil(1000) * 1000;
        if self.wakes_us.is_some_and(|wakes| wakes <= at) {
            return;
        }
        self.wakes_us = Some(at);
        portcullis_reactor::spawn(async move {
            portcullis_reactor::sleep(Duration::from_micros(at.saturating_sub(now_us))).await;
            crate::with_edge(|edge| edge.look_at_deadlines(at));
        });
    }
}

/// The part of the rows' memory that translated rows lie in.
pub struct Area {
    bytes: *mut u8,
    start: usize,
    end: usize,
    used: usize,
}

impl Area {
    /// `bytes`: memory of `end` bytes, of which those from `start` on are this area's.
    pub fn new(bytes: *mut u8, start: usize, end: usize) -> Area {
        Area { bytes, start, end, used: start }
    }

    /// With each turn.
    fn begin(&mut self) {
        self.used = self.start;
    }

    /// Keeps bytes until the next turn; where they lie. None: there is no room.
    fn keep(&mut self, bytes: &[u8]) -> Option<(u32, u32)> {
        let at = self.used;
        if bytes.len() > self.end - at {
            return None;
        }
        // SAFETY: `new` was given `end` bytes, which live as long as the edge; from `start` on nobody else writes, and
        // JavaScript reads only what rows of this turn point to, before the next one.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.bytes.add(at), bytes.len()) };
        self.used += bytes.len();
        Some((at as u32, bytes.len() as u32))
    }
}

/// What an origin is told of a call, as text.
#[derive(Default)]
pub(super) struct ToldOfCall {
    content_type: Option<String>,
    timeout: Option<String>,
}

impl ToldOfCall {
    /// None for what is no call, or where nobody would understand it.
    pub(super) fn of(exchange: &Exchange) -> Option<ToldOfCall> {
        let dialect = exchange.grpc?;
        if !speaks_grpc(exchange) {
            return None;
        }
        let timeout = exchange.deadline_us.map(|until| {
            let mut text = String::new();
            // What has no time left is ended by its timer.
            deadline::write(&mut text, until.saturating_sub(clock::mono_us()).max(1));
            text
        });
        let content_type = (dialect != Dialect::Grpc).then(|| content_type(&exchange.head, Dialect::Grpc));
        Some(ToldOfCall { content_type, timeout })
    }

    pub(super) fn as_call(&self) -> Call<'_> {
        Call { content_type: self.content_type.as_deref(), timeout: self.timeout.as_deref() }
    }
}

/// gRPC needs HTTP/2. Towards others a call is a request like any other.
fn speaks_grpc(exchange: &Exchange) -> bool {
    let origin = exchange.snapshot.as_ref().zip(exchange.host());
    origin.is_some_and(|(snapshot, host)| snapshot.origins[host.origin].protocol == OriginProtocol::H2)
}

impl Edge {
    /// After the decision on its head, before anything is done for it: what its body and its time are to be read by.
    pub(super) fn begin_call(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.web = None;
        let Some(dialect) = slot.exchange.grpc else { return };
        if dialect != Dialect::Grpc && speaks_grpc(&slot.exchange) {
            let (answered, content_type) = answered_as(&slot.exchange.head, dialect);
            slot.web = Some(Box::new(Web {
                reader: (dialect == Dialect::WebText).then(TextReader::default),
                answer: Some(web::Answer::new(answered, content_type)),
            }));
        }
        if let Some(until) = slot.exchange.deadline_us {
            self.deadlines.all.insert((until, index));
            self.deadlines.arm();
        }
    }

    /// Ends the calls whose time has passed.
    fn look_at_deadlines(&mut self, woken_us: u64) {
        if self.deadlines.wakes_us == Some(woken_us) {
            self.deadlines.wakes_us = None;
        }
        let now_us = clock::mono_us();
        while let Some(&(until, index)) = self.deadlines.all.first()
            && until <= now_us
        {
            self.deadlines.all.pop_first();
            self.expired(index);
        }
        self.deadlines.arm();
    }

    /// How the body is framed towards the origin, as far as the head tells.
    pub(super) fn framing_onwards(&self, index: u32) -> Framing {
        let slot = &self.slots[index as usize];
        match slot.exchange.head.framing() {
            // Nobody knows yet how long it is without base64.
            Framing::Length(1..) if slot.web.as_ref().is_some_and(|web| web.reader.is_some()) => Framing::Chunked,
            framing => framing,
        }
    }

    /// A piece of the request's body, as its client sent it.
    pub fn body(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let Some(reader) = self.slots[index as usize].web.as_mut().and_then(|web| web.reader.as_mut()) else {
            return self.body_onwards(index, piece, last);
        };
        let mut decoded = Vec::new();
        let read = reader.push(piece, &mut decoded).and_then(|()| if last { reader.end() } else { Ok(()) });
        match read {
            Ok(()) => self.body_onwards(index, &decoded, last),
            Err(_) => self.refuse_amid(index, Reason::GrpcText),
        }
    }

    /// Denies an exchange for what came of its body.
    fn refuse_amid(&mut self, index: u32, reason: Reason) -> Next {
        let slot = &mut self.slots[index as usize];
        let token = Token { slot: index, generation: slot.generation };
        match slot.stage {
            Stage::Forwarded | Stage::Holding => {
                self.client.client().cancel(token);
                self.refuse(index, reason)
            }
            Stage::Answering => {
                // The client has part of the origin's answer.
                slot.exchange.denial = Some(reason.into());
                self.break_off(token, reason)
            }
            Stage::Deciding | Stage::Passed | Stage::Asking | Stage::Delayed | Stage::Collecting => {
                self.refuse(index, reason)
            }
            Stage::Free | Stage::Inspecting | Stage::Own | Stage::Settled | Stage::Upgraded => Next::Sent,
        }
    }

    /// Ends an answer that is under way, as if its origin had failed: in the next turn.
    pub(super) fn break_off(&mut self, token: Token, reason: Reason) -> Next {
        let failed = Entry { fault: reason as u32, flags: Entry::HEAD_SENT, ..Entry::of(token, Kind::Failed) };
        let mut client = self.client.client();
        client.cancel(token);
        client.tell(failed);
        Next::Sent
    }

    /// The time of a call has passed.
    fn expired(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let token = Token { slot: index, generation: slot.generation };
        match slot.stage {
            Stage::Free | Stage::Upgraded => return,
            Stage::Answering => {
                self.break_off(token, Reason::GrpcDeadline);
                return;
            }
            _ => self.call_off(index),
        }
        let slot = &mut self.slots[index as usize];
        slot.exchange.denial.get_or_insert_with(|| Reason::GrpcDeadline.into());
        slot.held = None;
        if std::mem::replace(&mut slot.stage, Stage::Settled) != Stage::Settled {
            // Whoever writes for this slot asks what there is to write.
            self.client.client().tell(Entry::of(token, Kind::Responded));
        }
    }

    /// With each turn.
    pub(super) fn begin_rows(&mut self) {
        self.area.begin();
    }

    /// A row of a call, as its client is to see it.
    pub(super) fn call_row(&mut self, entry: Entry) -> Entry {
        let slot = &self.slots[entry.slot as usize];
        if slot.exchange.grpc.is_none() {
            return entry;
        }
        match guarded(|| self.translated(entry)) {
            Some(entry) => entry,
            None => {
                self.panicked();
                self.cut(entry, Reason::InternalPanic)
            }
        }
    }

    fn translated(&mut self, entry: Entry) -> Entry {
        let is = |kind: Kind| entry.kind == kind as u32;
        if is(Kind::Trailers) || is(Kind::Whole) || is(Kind::Head) {
            let status = web::status_of(self.bytes(&entry).0);
            let exchange = &mut self.slots[entry.slot as usize].exchange;
            exchange.grpc_status = status.or(exchange.grpc_status);
        }
        if is(Kind::Failed) && entry.flags & Entry::HEAD_SENT != 0 {
            return self.last_row(entry);
        }
        let Some(web) = self.slots[entry.slot as usize].web.as_mut() else { return entry };
        let Some(mut answer) = web.answer.take() else {
            // An error page. JavaScript knows no trailers.
            let is_dropped = is(Kind::Trailers) && !is_stream(entry.slot);
            return Entry { kind: if is_dropped { 0 } else { entry.kind }, ..entry };
        };
        match self.web_row(entry, &mut answer) {
            Some(Entry { kind: 0, .. }) => entry,
            Some(translated) => {
                if let Some(web) = &mut self.slots[entry.slot as usize].web {
                    web.answer = Some(answer);
                }
                translated
            }
            None => self.cut(entry, Reason::OriginMalformed),
        }
    }

    /// None when there is no room; kind 0 when the answer goes on as it is.
    fn web_row(&mut self, entry: Entry, answer: &mut web::Answer) -> Option<Entry> {
        let is = |kind: Kind| entry.kind == kind as u32;
        let (block, body) = self.bytes(&entry);
        let mut out = Vec::new();
        if is(Kind::Whole) || is(Kind::Head) {
            let whole = is(Kind::Whole);
            if !answer.head(block, &mut out) {
                return Some(Entry { kind: 0, ..entry });
            }
            let (block_start, block_len) = self.area.keep(&out)?;
            // It gets longer, and says its own length where it is whole.
            let flags = entry.flags & !(Entry::LENGTH | Entry::NO_BODY);
            let entry = Entry { block_start, block_len, flags, ..entry };
            if !whole {
                return Some(entry);
            }
            out.clear();
            answer.piece(body, &mut out);
            answer.end(&mut out);
            let (body_start, body_len) = self.area.keep(&out)?;
            return Some(Entry { body_start, body_len, ..entry });
        }
        let flags = if is(Kind::Chunk) {
            if answer.keeps_pieces() {
                return Some(entry);
            }
            answer.piece(body, &mut out);
            0
        } else if is(Kind::Trailers) {
            answer.trailers(block, &mut out);
            0
        } else if is(Kind::End) {
            answer.end(&mut out);
            if out.is_empty() {
                return Some(entry);
            }
            Entry::LAST
        } else {
            return Some(entry);
        };
        let (body_start, body_len) = self.area.keep(&out)?;
        let kind = Kind::Chunk as u32;
        Some(Entry { kind, body_start, body_len, block_len: 0, flags: entry.flags | flags, ..entry })
    }

    /// An answer that breaks off, as far as its client can be told why: by trailers, or the frame of them.
    fn last_row(&mut self, entry: Entry) -> Entry {
        let Some(&reason) = Reason::ALL.get(entry.fault as usize) else { return entry };
        let slot = &mut self.slots[entry.slot as usize];
        slot.exchange.grpc_status = Some(reason.entry().grpc);
        let known = slot.exchange.denial.take().filter(|denial| denial.reason == reason);
        let denial = known.unwrap_or_else(|| Denial::from(reason));
        let lines = last_words(&slot.exchange, &denial);
        slot.exchange.denial = Some(denial);
        let answer = slot.web.as_mut().map(|web| web.answer.as_mut());
        let told =
            match answer {
                Some(Some(answer)) => {
                    let mut out = Vec::new();
                    answer.trailers(lines.as_bytes(), &mut out);
                    self.area.keep(&out).map(|(body_start, body_len)| Entry {
                        kind: Kind::Chunk as u32,
                        body_start,
                        body_len,
                        ..entry
                    })
                }
                None if is_stream(entry.slot) => self.area.keep(lines.as_bytes()).map(|(block_start, block_len)| {
                    Entry { kind: Kind::Trailers as u32, block_start, block_len, ..entry }
                }),
                // Half of something else, or of HTTP/1.1: closing is the only way to say so.
                _ => None,
            };
        told.map_or(entry, |told| Entry { flags: Entry::LAST, ..told })
    }

    /// A row that cannot be handed on: its answer ends here, without a made-up end.
    fn cut(&mut self, entry: Entry, reason: Reason) -> Entry {
        let token = Token { slot: entry.slot, generation: entry.generation };
        self.client.client().cancel(token);
        let begun = entry.kind != Kind::Whole as u32 && entry.kind != Kind::Head as u32;
        let flags = if begun { Entry::HEAD_SENT } else { 0 };
        Entry { fault: reason as u32, flags, ..Entry::of(token, Kind::Failed) }
    }
}
