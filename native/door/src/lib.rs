//! The door: conversion only, over the engine and the upstream client.
//!
//! Hot functions take scalars, strings and buffers. Each catches panics: one request is denied, the process goes on.
//! The generated index.d.ts is the contract with src/native.ts.

pub mod accepting;
mod clock;
mod edge;
mod explain;
mod glibc;
mod identity;
mod journal;
pub mod jwt;
pub mod keys;
pub mod limits;
mod listening;
pub mod partners;
pub mod pki;
mod policy;
pub mod revoking;
mod tickets;
pub mod tls;
mod wanted;

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{Buffer, FunctionRef, Uint8Array, Unknown};
use napi::{Env, Error, JsValue, Result, sys};
use napi_derive::napi;
use portcullis_engine::grpc::written;
use portcullis_engine::guard::guarded;
use portcullis_engine::head::MAX_HEAD_BYTES;
use portcullis_engine::policy::OriginTls;
use portcullis_engine::reason::{self, Reason};
use portcullis_forward::uv::InLoop;
use portcullis_forward::{Arena, Entry};

use edge::streams::is_stream;
use edge::{Area, Edge, Next, Shared};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

thread_local! {
    static EDGE: RefCell<Option<Edge>> = const { RefCell::new(None) };
}

/// Runs `act` on this thread's edge. A panic, or a call without or within another's, is None.
fn with_edge<T>(act: impl FnOnce(&mut Edge) -> T) -> Option<T> {
    guarded(|| EDGE.with(|edge| edge.try_borrow_mut().ok()?.as_mut().map(act))).flatten()
}

/// A hot call about one slot: a panic denies that request and is counted.
fn on_slot(slot: u32, act: impl FnOnce(&mut Edge) -> Next) -> u32 {
    let next = with_edge(act).or_else(|| {
        with_edge(|edge| {
            edge.panicked();
            edge.refuse(slot, Reason::InternalPanic)
        })
    });
    let next = next.unwrap_or(Next::Close);
    if !is_stream(slot) {
        return next as u32;
    }
    let acted = with_edge(|edge| {
        edge.act(slot, next);
        edge.tell_of_asks_by_streams();
    });
    if acted.is_none() {
        with_edge(|edge| {
            edge.panicked();
            edge.stream_failed(slot);
        });
    }
    Next::Sent as u32
}

/// A call of JavaScript's about one slot: what it wakes is served at once.
fn called(slot: u32, act: impl FnOnce(&mut Edge) -> Next) -> u32 {
    if is_stream(slot) { portcullis_reactor::batch(|| on_slot(slot, act)) } else { on_slot(slot, act) }
}

/// JavaScript's memory and callback, for the life of an edge thread.
#[napi(object)]
pub struct EdgeMemory<'env> {
    /// Uint8Array, 2.75 MiB: what origins answered in a turn, and what is made of it.
    pub arena: Unknown<'env>,
    /// Uint32Array, sixteen words a row: the turn's entries.
    pub entries: Unknown<'env>,
    /// Uint8Array, 128 KiB: the last answer of the gateway's own, or a piece of a response that was held back.
    pub answer: Unknown<'env>,
    /// Uint32Array of six words: head bytes, body bytes, flags (1 close, 2 no body, 4 whole, 8 more follows, 16 length
    /// known), length (low and high word); and, at all times, whether `next_batch` has something that nobody waits for.
    pub answer_meta: Unknown<'env>,
    /// Uint32Array, two words a row: what native code wants done.
    pub wanted: Unknown<'env>,
    /// Bodies up to this many bytes are inspected on the edge thread.
    pub inline_bytes: u32,
    /// Most streams of HTTP/2 at once; 503 above.
    pub streams: u32,
}

/// Makes this thread an edge thread. `on_turn(count)` is called after the loop's poll phase with the entries filled,
/// `on_wanted(count)` with so many rows of `wanted`.
#[napi]
pub fn attach(
    env: Env,
    memory: EdgeMemory,
    on_turn: FunctionRef<u32, ()>,
    on_wanted: FunctionRef<u32, ()>,
) -> Result<()> {
    let (arena, arena_len) = typed_array(&env, &memory.arena)?;
    let (entries, entry_bytes) = typed_array(&env, &memory.entries)?;
    let (answer_bytes, answer_len) = typed_array(&env, &memory.answer)?;
    let (answer_meta, _) = typed_array(&env, &memory.answer_meta)?;
    let (wanted, wanted_bytes) = typed_array(&env, &memory.wanted)?;
    let mut uv_loop = ptr::null_mut();
    // SAFETY: a live environment; the loop it answers is this thread's own.
    unsafe { sys::napi_get_uv_event_loop(env.raw(), &raw mut uv_loop) };
    let entries = entries.cast::<Entry>();
    let capacity = entry_bytes / size_of::<Entry>();
    // The rest of it is for rows that are made into others.
    let filled = arena_len / 8 * edge::FILLED_EIGHTHS;
    let area = Area::new(arena, filled, arena_len);
    let arena = Arena { bytes: arena, len: filled, entries, capacity };
    let (turn, call) = (Turn::new(&env, on_turn), Turn::new(&env, on_wanted));
    // SAFETY: the loop of this thread; the buffers are referenced above for the life of the environment.
    let client = unsafe { InLoop::start(uv_loop.cast(), arena, Box::new(move |count| turn.call(count))) }
        .map_err(|error| Error::from_reason(format!("the event loop refused the upstream client: {error}")))?;
    // The phase that was entered last comes first: tasks have told what they have when the turn is handed over.
    // SAFETY: the loop of this thread, which outlives `detach`.
    if let Err(error) = unsafe { portcullis_reactor::uv::start(uv_loop.cast()) } {
        client.shutdown(Box::new(|| ()));
        return Err(Error::from_reason(format!("the event loop refused the reactor: {error}")));
    }
    portcullis_reactor::spawn(wanted::tell(wanted.cast(), wanted_bytes / size_of::<[u32; 2]>(), move |count| {
        call.invoke(count);
        accepting::settle();
    }));
    let shared = Shared { answer_meta: answer_meta.cast(), answer_bytes, answer_len, arena: arena.bytes, entries };
    let edge = Edge::new(client, &shared, area, memory.inline_bytes as usize, memory.streams as usize);
    portcullis_reactor::spawn(edge::streams::follow(edge.streams.bell()));
    EDGE.with(|place| *place.borrow_mut() = Some(edge));
    Ok(())
}

/// Drops this thread's tasks, closes the handles of the reactor and of the upstream client, and ends the edge; `done`
/// is called when the loop holds none of them any more. A worker thread that ends before aborts the process.
#[napi]
pub fn detach(env: Env, done: FunctionRef<u32, ()>) -> Result<()> {
    let turn = Turn::new(&env, done);
    let edge = EDGE.with(|edge| edge.borrow_mut().take());
    accepting::clear();
    wanted::clear();
    match edge {
        Some(edge) => {
            let left = Cell::new(2);
            let closed = Rc::new(move || {
                left.set(left.get() - 1);
                if left.get() == 0 {
                    turn.call(0);
                }
            });
            let reactor_closed = Rc::clone(&closed);
            portcullis_reactor::uv::shutdown(Box::new(move || reactor_closed()));
            edge.client.shutdown(Box::new(move || closed()));
        }
        None => turn.call(0),
    }
    Ok(())
}

/// Whether connections have an identity here; without, every request is asked for its peer.
#[napi]
pub fn has_identity() -> bool {
    identity::available()
}

/// Bounds the receive buffers of connections that this process accepts on a port from now on. Answers how many
/// listening sockets it found.
#[napi]
pub fn bound_receive_buffers(port: u32) -> u32 {
    u16::try_from(port).map_or(0, listening::bound_receive_buffers)
}

/// A connection was opened.
#[napi]
pub fn opened(response: Unknown) {
    let connection = identity::of(response.raw());
    let met = accepting::met();
    if connection != 0 {
        with_edge(|edge| edge.opened(connection, met));
    }
}

/// A connection was closed. Answers the slot of its exchange under way, or 2^32 - 1.
#[napi]
pub fn closed(response: Unknown) -> u32 {
    let connection = identity::of(response.raw());
    with_edge(|edge| edge.closed(connection)).unwrap_or(u32::MAX)
}

/// Without identity: the exchange of this slot is over, or its client is gone.
#[napi]
pub fn abandoned(slot: u32) {
    with_edge(|edge| edge.closed(slot as usize + 2));
}

/// Parses a client certificate; the number stands for it until `forget`. 2^32 - 1 when too many are held.
#[napi]
pub fn certificate(pem: String) -> u32 {
    with_edge(|edge| edge.certificate(&pem)).unwrap_or(u32::MAX)
}

#[napi]
pub fn forget(certificate: u32) {
    with_edge(|edge| edge.forget(certificate));
}

/// Decides a request, and sends it to its origin when it passed and has no body to wait for. `head` is `METHOD /path?query\n` and `name:value\n` for every field. Answers what to do next.
#[napi]
pub fn decide(env: Env, slot: u32, response: Unknown, head: Unknown) -> u32 {
    let connection = match identity::of(response.raw()) {
        // Even, as those are: odd ones are connections of streams.
        0 => slot as usize + 2,
        connection => connection,
    };
    on_slot(slot, |edge| {
        read_text(&env, &head, edge.head_buffer(slot));
        edge.decide(slot, connection)
    })
}

/// Tells who is at the other end, when `decide` asked. Answers what to do next.
#[napi]
pub fn peer(slot: u32, address: String, certificate: u32) -> u32 {
    on_slot(slot, |edge| edge.peer(slot, &address, certificate))
}

/// A piece of the request's body. Answers what to do next.
#[napi]
pub fn body(env: Env, slot: u32, piece: Unknown, last: bool) -> u32 {
    let (mut bytes, mut length) = (ptr::null_mut(), 0);
    // SAFETY: a live environment; uWebSockets.js hands over an ArrayBuffer that lives until its callback returns.
    let status = unsafe { sys::napi_get_arraybuffer_info(env.raw(), piece.raw(), &raw mut bytes, &raw mut length) };
    let piece: &[u8] = if status == sys::Status::napi_ok && length > 0 {
        // SAFETY: `length` bytes, untouched while this call runs.
        unsafe { std::slice::from_raw_parts(bytes.cast(), length) }
    } else {
        &[]
    };
    on_slot(slot, |edge| edge.body(slot, piece, last))
}

/// The number under which a pool thread finds a body that waits for inspection.
#[napi]
pub fn ticket(slot: u32) -> u32 {
    with_edge(|edge| edge.ticket(slot)).unwrap_or(u32::MAX)
}

/// Inspects a waiting body, on whatever thread this is called.
#[napi]
pub fn inspect(ticket: u32) {
    guarded(|| {
        if let Some(ticket) = tickets::find(ticket) {
            let result = ticket.schemas.check(&ticket.chosen, &ticket.body);
            let _ = ticket.result.set(result);
        }
    });
}

/// The pool is done with a body, or gave it up. Answers what to do next.
#[napi]
pub fn inspected(slot: u32, ticket: u32) -> u32 {
    called(slot, |edge| edge.inspected(slot, ticket))
}

/// The pool's queue has no room for a body. Answers what to do next.
#[napi]
pub fn crowded(slot: u32) -> u32 {
    called(slot, |edge| edge.crowded(slot))
}

/// A row of the turn said Responded: answers what to do next.
#[napi]
pub fn responded(slot: u32) -> u32 {
    on_slot(slot, |edge| edge.responded(slot))
}

/// Copies what a held response's body holds from `offset` on into the answer's memory; answers how many bytes.
#[napi]
pub fn piece(slot: u32, offset: u32) -> u32 {
    with_edge(|edge| edge.piece(slot, offset as usize)).unwrap_or(0)
}

/// All pieces of a held response were taken.
#[napi]
pub fn written(slot: u32) {
    with_edge(|edge| edge.written(slot));
}

/// Denies an exchange for a reason found by JavaScript or told by a failed entry: the reason's number.
#[napi]
pub fn refuse(slot: u32, reason: u32) -> u32 {
    let reason = Reason::ALL.get(reason as usize).copied().unwrap_or(Reason::InternalPanic);
    called(slot, |edge| edge.refuse(slot, reason))
}

/// What the main thread has to know of a request that the gateway itself answers: JSON of edge/owning.rs.
#[napi]
pub fn own(slot: u32) -> Option<String> {
    with_edge(|edge| edge.own(slot)).flatten()
}

/// The gateway's own answer was written, with so many bytes of body: the exchange is over.
#[napi]
pub fn answered(slot: u32, status: u32, bytes: u32) {
    with_edge(|edge| edge.answered(slot, status as u16, u64::from(bytes)));
}

/// The reasons that JavaScript gives, as the numbers that `refuse` takes.
#[napi(object)]
pub struct ReasonNumbers {
    pub malformed: u32,
    pub origin_connect: u32,
    pub overload: u32,
    pub body_too_large: u32,
    pub own_timeout: u32,
}

#[napi]
pub fn reason_numbers() -> ReasonNumbers {
    ReasonNumbers {
        malformed: Reason::HttpMalformed as u32,
        origin_connect: Reason::OriginConnect as u32,
        overload: Reason::InternalOverload as u32,
        body_too_large: Reason::HttpBodyTooLarge as u32,
        own_timeout: Reason::OwnTimeout as u32,
    }
}

/// Counts a denial of a request that never got a slot.
#[napi]
pub fn refused(reason: u32) {
    if let Some(&reason) = Reason::ALL.get(reason as usize) {
        with_edge(|edge| edge.refused(reason));
    }
}

/// The body of a request that the gateway itself answers, over HTTP/2.
#[napi(object)]
pub struct OwnBody {
    /// Which request of its slot it is.
    pub generation: u32,
    pub body: Buffer,
}

/// Takes the body of a request that `wanted` told of as Own; none when that is over.
#[napi]
pub fn own_body(slot: u32) -> Option<OwnBody> {
    let (generation, body) = with_edge(|edge| edge.own_body(slot)).flatten()?;
    Some(OwnBody { generation, body: body.into() })
}

/// The gateway's own answer to such a request: `block` is its status line and fields.
#[napi]
pub fn own_answer(slot: u32, generation: u32, status: u32, block: String, body: Uint8Array) {
    portcullis_reactor::batch(|| {
        with_edge(|edge| edge.own_answer(slot, generation, status as u16, &block, body.to_vec()));
    });
}

/// Denies such a request for a reason found by JavaScript.
#[napi]
pub fn own_refuse(slot: u32, generation: u32, reason: u32) {
    if with_edge(|edge| edge.waits_for_own(slot, generation)) == Some(true) {
        refuse(slot, reason);
    }
}

/// Tells the clients of HTTP/2 connections to go; those connections end with their last stream.
#[napi]
pub fn drain_streams() {
    portcullis_reactor::batch(|| with_edge(Edge::drain_streams));
}

/// HTTP/2 connections that are open.
#[napi]
pub fn stream_connections() -> u32 {
    with_edge(|edge| edge.stream_connections()).unwrap_or(0)
}

/// HTTP/2 streams that have not all of their answers yet, WebSockets included.
#[napi]
pub fn open_streams() -> u32 {
    with_edge(|edge| edge.open_streams()).unwrap_or(0)
}

/// Stops reading a response: the client is slower than the origin.
#[napi]
pub fn pause(slot: u32) {
    with_edge(|edge| edge.pause(slot));
}

#[napi]
pub fn resume(slot: u32) {
    with_edge(|edge| edge.resume(slot));
}

/// A WebSocket handshake that passed.
#[napi(object)]
pub struct Upgrade {
    /// `address:port` of the origin, one or more.
    pub addresses: Vec<String>,
    /// The request head as the origin gets it.
    pub head: String,
    /// None: in the clear.
    pub tls: Option<UpgradeTls>,
}

/// How the origin of a WebSocket is known, and what it is shown; all PEM.
#[napi(object)]
pub struct UpgradeTls {
    pub server_name: String,
    pub roots: String,
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub allow_unverified: bool,
}

/// What the handshake towards the origin is made of. From here on the exchange ends with `upgraded`.
#[napi]
pub fn upgrade(slot: u32) -> Option<Upgrade> {
    let handshake = with_edge(|edge| edge.upgrade(slot)).flatten()?;
    let tls = handshake.tls.map(|tls| {
        let (certificate, key) = tls.certificate.unzip();
        let OriginTls { server_name, roots, allow_unverified, .. } = tls;
        UpgradeTls { server_name, roots, certificate, key, allow_unverified }
    });
    Some(Upgrade { addresses: handshake.addresses, head: handshake.head, tls })
}

/// A WebSocket's handshake is over: 101 when it was opened, else the status the client was given. Answers the number by
/// which `withdrawn` tells of an opened one, or 2^32 - 1 when nothing let it in that can be taken back, and nothing counts
/// it as under way.
#[napi]
pub fn upgraded(slot: u32, status: u32) -> u32 {
    with_edge(|edge| edge.upgraded(slot, status as u16)).unwrap_or(u32::MAX)
}

/// A WebSocket with a number is over.
#[napi]
pub fn web_socket_closed(number: u32) {
    with_edge(|edge| edge.web_socket_closed(number));
}

/// WebSockets whose certificate was revoked, has expired or is not trusted any more; each is told once. To be asked with
/// every `tick`.
#[napi]
pub fn withdrawn() -> Vec<u32> {
    let gone = || {
        with_edge(|edge| {
            let gone = edge.withdrawn();
            edge.end_tunnels(gone)
        })
    };
    portcullis_reactor::batch(gone).unwrap_or_default()
}

/// Now and then (about four times a second): publishes counters and event lines that no later exchange has flushed.
#[napi]
pub fn tick() {
    with_edge(|edge| {
        edge.journal.flush();
        edge.publish();
        edge.gather();
    });
    portcullis_reactor::batch(|| with_edge(Edge::reset_stalled));
}

/// Compiles a policy (JSON of native/engine/src/policy.rs). Answers JSON `{ generation, problems }`; without problems
/// and with `activate` it is in force for the whole process.
#[napi]
pub fn compile(policy: String, activate: bool) -> String {
    let compiled = guarded(|| policy::compile(&policy, activate));
    compiled.and_then(|compiled| serde_json::to_string(&compiled).ok()).unwrap_or_else(|| {
        r#"{"generation":0,"problems":[{"at":"","message":"a bug: compiling this policy panicked"}]}"#.to_owned()
    })
}

/// What descriptors, or `.proto` files, describe: JSON of native/engine/src/grpc/outline.rs, both ways.
#[napi]
pub fn describe_calls(asked: String) -> String {
    let told = guarded(|| match serde_json::from_str(&asked) {
        Ok(asked) => serde_json::to_string(&portcullis_engine::grpc::outline::outline(asked)).ok(),
        Err(_) => None,
    });
    told.flatten().unwrap_or_else(|| {
        r#"{"descriptors":null,"methods":[],"problems":[{"file":"","line":0,"column":0,"message":"a bug: reading these descriptors failed"}],"unchecked":[]}"#.to_owned()
    })
}

/// What a policy makes of one request and, where given, its response: JSON of native/engine/src/explain.rs. The head is
/// `METHOD /target`, then `name:value` lines with names in lower case; a response's head is JSON `{ status, fields }`.
#[napi]
pub fn explain(
    policy: String,
    head: String,
    body: Uint8Array,
    response_head: Option<String>,
    response_body: Option<Uint8Array>,
) -> Result<String> {
    let response = response_head.as_deref().map(|head| (head, response_body.as_deref().unwrap_or_default()));
    guarded(|| explain::explain(&policy, &head, &body, response))
        .unwrap_or_else(|| Err("a bug: explaining this request panicked".to_owned()))
        .map_err(Error::from_reason)
}

/// A message for a method (`/package.Service/Method`), written as JSON, as the bytes that a client would send. The
/// descriptors are a policy's: base64 of a FileDescriptorSet.
#[napi]
pub fn encode_message(descriptors: String, path: String, json: String) -> Result<Buffer> {
    guarded(|| written::encode(&descriptors, &path, &json))
        .unwrap_or_else(|| Err("a bug: writing this message panicked".to_owned()))
        .map(Buffer::from)
        .map_err(Error::from_reason)
}

/// Share (0 to 1) of plain access lines that are written; security events always are.
#[napi]
pub fn sample(rate: f64) {
    journal::set_sample_rate(rate);
}

/// Metric families as JSON, all threads added up.
#[napi]
pub fn metrics() -> String {
    let others = || [accepting::families(), tls::families()].concat();
    guarded(|| portcullis_engine::meters::scrape(&policy::current().load(), others())).unwrap_or_else(|| "[]".into())
}

/// Certificates with requests since they were last told, taken out of the table: JSON of
/// native/engine/src/mtls/seen.rs, at most 1,000 a call.
#[napi]
pub fn seen() -> String {
    guarded(portcullis_engine::mtls::seen::drain).unwrap_or_else(|| "[]".into())
}

/// Moves whole event lines into `buffer`; answers their bytes, 0 when none waits.
#[napi]
pub fn drain(env: Env, buffer: Unknown) -> u32 {
    let Ok((bytes, length)) = typed_array(&env, &buffer) else { return 0 };
    // SAFETY: JavaScript's own buffer, untouched while this call runs.
    let out = unsafe { std::slice::from_raw_parts_mut(bytes, length) };
    guarded(|| journal::drain(out)).unwrap_or(0) as u32
}

/// docs/reasons.md.
#[napi]
pub fn reasons() -> String {
    reason::markdown()
}

/// Takes standard output for records alone: answers a duplicate of descriptor 1, and points 1 at standard error,
/// where native code that prints does no harm. -1 when the system refuses.
#[napi]
pub fn claim_stdout() -> i32 {
    // SAFETY: descriptors 1 and 2 exist in every process that Node started.
    unsafe {
        let records = libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 3);
        if records >= 0 && libc::dup2(2, 1) < 0 {
            libc::close(records);
            return -1;
        }
        records
    }
}

/// A JavaScript function that native code calls from the loop. It makes no promises and sets no ticks, so it needs no
/// callback scope of Node's, which costs as much as delivering a response.
struct Turn {
    env: sys::napi_env,
    function: FunctionRef<u32, ()>,
}

impl Turn {
    fn new(env: &Env, function: FunctionRef<u32, ()>) -> Turn {
        Turn { env: env.raw(), function }
    }

    fn call(&self, count: usize) {
        let left = portcullis_reactor::batch(|| {
            if count == 0 {
                return None;
            }
            let left = with_edge(|edge| edge.turn(count));
            if left.is_none() {
                with_edge(|edge| edge.turn_failed(count));
            }
            left
        });
        // Nothing of it is for JavaScript.
        if left != Some(0) {
            self.invoke(count);
        }
    }

    fn invoke(&self, count: usize) {
        // SAFETY: called from the loop of the environment's own thread, outside any JavaScript. An exception that
        // JavaScript let out is cleared: src/edge.ts contains its own.
        unsafe {
            let mut scope = ptr::null_mut();
            if sys::napi_open_handle_scope(self.env, &raw mut scope) != sys::Status::napi_ok {
                return;
            }
            let env = Env::from_raw(self.env);
            if let Ok(function) = self.function.borrow_back(&env) {
                let (mut global, mut argument, mut result) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
                sys::napi_get_global(self.env, &raw mut global);
                sys::napi_create_uint32(self.env, count as u32, &raw mut argument);
                let status =
                    sys::napi_call_function(self.env, global, function.raw(), 1, &raw const argument, &raw mut result);
                if status == sys::Status::napi_pending_exception {
                    sys::napi_get_and_clear_last_exception(self.env, &raw mut result);
                }
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
    }
}

/// The memory of a typed array, referenced so that it lives as long as the environment.
fn typed_array(env: &Env, array: &Unknown) -> Result<(*mut u8, usize)> {
    let (mut kind, mut length, mut bytes, mut buffer, mut offset) = (0, 0, ptr::null_mut(), ptr::null_mut(), 0);
    // SAFETY: a live environment; anything but a typed array is answered with a status.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env.raw(),
            array.raw(),
            &raw mut kind,
            &raw mut length,
            &raw mut bytes,
            &raw mut buffer,
            &raw mut offset,
        )
    };
    if status != sys::Status::napi_ok || bytes.is_null() {
        return Err(Error::from_reason("a typed array was expected"));
    }
    let word = if kind == sys::TypedarrayType::uint32_array { 4 } else { 1 };
    Ok((bytes.cast(), length * word))
}

/// Reads a string into a buffer that is kept. Longer than a head may be: cut, and then refused for its length.
fn read_text(env: &Env, text: &Unknown, into: &mut String) {
    let mut bytes = std::mem::take(into).into_bytes();
    bytes.clear();
    // One more than the bound, so that a cut is noticed, and room for the last character and the terminator.
    bytes.reserve(MAX_HEAD_BYTES + 8);
    let mut length = 0;
    // SAFETY: the capacity was reserved above; napi writes at most that many bytes and tells how many.
    unsafe {
        let status = sys::napi_get_value_string_utf8(
            env.raw(),
            text.raw(),
            bytes.as_mut_ptr().cast(),
            MAX_HEAD_BYTES + 8,
            &raw mut length,
        );
        bytes.set_len(if status == sys::Status::napi_ok { length } else { 0 });
    }
    // An empty text is malformed: fails closed.
    *into = String::from_utf8(bytes).unwrap_or_default();
}
