//! The door of the rate limits: what a fleet's counters are asked, and what the control plane sees and changes.

use napi::bindgen_prelude::Buffer;
use napi::{Error, Result};
use napi_derive::napi;

use portcullis_engine::guard::guarded;
use portcullis_engine::limits::geo::{self, Kind};
use portcullis_engine::limits::shared::{self, Fleet};
use portcullis_engine::limits::volume::Volumes;
use portcullis_engine::limits::{Counters, shown};

use crate::edge::Edge;
use crate::{called, clock, on_slot, policy, with_edge};

/// What the fleet's counters are asked at once, for all requests of a turn.
#[napi(object)]
pub struct Batch {
    /// For `batch_answered` and `batch_over`.
    pub number: u32,
    pub calls: Vec<Call>,
    /// Of the exchanges that wait: `asked(slot)` for each, when all calls have answered or their time is up.
    pub slots: Vec<u32>,
}

/// One call of the function `portcullis_take` or `portcullis_settle`.
#[napi(object)]
pub struct Call {
    /// Keys of one hash slot: the partition's birth first, then one for each record of `records`.
    pub keys: Vec<String>,
    pub records: Buffer,
}

impl From<shared::Call> for Call {
    fn from(call: shared::Call) -> Call {
        Call { keys: call.keys, records: call.records.into() }
    }
}

fn fleet() -> &'static Fleet {
    policy::current().load().limits.fleet()
}

fn counters() -> &'static Counters {
    policy::current().load().limits.counters()
}

fn told<T>(answer: Option<std::result::Result<T, String>>) -> Result<T> {
    answer
        .unwrap_or_else(|| Err("a bug: looking at limits or changing them panicked".to_owned()))
        .map_err(Error::from_reason)
}

/// What the exchanges of this thread wait for; null: nothing.
#[napi]
pub fn next_batch() -> Option<Batch> {
    let batch = with_edge(Edge::next_batch).flatten()?;
    let calls = batch.calls.into_iter().map(Call::from).collect();
    let slots = batch.waiters.iter().map(|waiter| waiter.slot).collect();
    Some(Batch { number: batch.number, calls, slots })
}

/// What the function answered to a call (by its place) of a batch; null: nobody answered.
#[napi]
pub fn batch_answered(number: u32, call: u32, reply: Option<Buffer>) {
    with_edge(|edge| edge.batch_answered(number, call, reply.as_deref()));
}

/// All calls of a batch have answered or their time is up: what one of its exchanges does next.
#[napi]
pub fn asked(slot: u32) -> u32 {
    called(slot, |edge| edge.asked(slot))
}

/// A batch is over, and its exchanges were asked: its number may be used again.
#[napi]
pub fn batch_over(number: u32) {
    with_edge(|edge| edge.batch_over(number));
}

/// What has to be read of the body of an exchange that waits: Body or LastBody, or Sent for nothing.
#[napi]
pub fn meanwhile(slot: u32) -> u32 {
    on_slot(slot, |edge| edge.meanwhile(slot))
}

/// Milliseconds that an exchange has to wait for its turn.
#[napi]
pub fn delay_of(slot: u32) -> u32 {
    with_edge(|edge| edge.delay_of(slot)).unwrap_or(0)
}

/// The exchange has waited for its turn: answers what to do next.
#[napi]
pub fn delayed(slot: u32) -> u32 {
    on_slot(slot, |edge| edge.delayed(slot))
}

/// Whether the fleet's counters can be asked from this thread; while not, limits fall back at once.
#[napi]
pub fn counters_up(up: bool) {
    with_edge(|edge| edge.asking.set_up(up));
}

/// What this process has spent of its leases since this was last asked, and which keys want more; null: nothing.
#[napi]
pub fn spent() -> Option<Call> {
    guarded(|| fleet().spent(clock::mono_us())).flatten().map(Call::from)
}

/// What `portcullis_settle` answered to the last `spent`; null: nobody did.
#[napi]
pub fn spending_settled(reply: Option<Buffer>, nodes: u32) {
    guarded(|| fleet().settled(reply.as_deref(), nodes, clock::mono_us()));
}

/// The limits in force, with what this process has counted: JSON of native/engine/src/limits/shown.rs.
#[napi]
pub fn limits() -> String {
    guarded(|| shown::limits(&policy::current().load().limits)).unwrap_or_else(|| "[]".to_owned())
}

/// Keys that were refused, those most often first: JSON `{ "rule"?, "most" }` in, JSON `[{ "rule", "key", "identity",
/// "used", "refused", "penalty_ends" }]` out.
///
/// # Errors
/// What cannot be read.
#[napi]
pub fn top_limited(asked: String) -> Result<String> {
    told(guarded(|| shown::top(&policy::current().load().limits, counters(), &asked, clock::now())))
}

/// Forgets what a key has spent in this process, penalty included: JSON `{ "rule", "key" }`. Whether there was something.
///
/// # Errors
/// What cannot be read.
#[napi]
pub fn reset_limited(asked: String) -> Result<bool> {
    told(guarded(|| shown::reset(counters(), fleet(), &asked)))
}

/// Puts these exemptions in place of all before: JSON `[{ "rule", "key", "until" }]`, times in Unix milliseconds; null:
/// until it is taken away.
///
/// # Errors
/// What cannot be read: those before stay.
#[napi]
pub fn exempt_limited(exemptions: String) -> Result<()> {
    told(guarded(|| shown::exempt(counters(), &exemptions)))
}

/// Takes a MaxMind database, `country` or `asn`; null: none.
///
/// # Errors
/// What cannot be read: the one before stays.
#[napi]
pub fn load_database(kind: String, bytes: Option<Buffer>) -> Result<()> {
    let kind = match kind.as_str() {
        "country" => Kind::Country,
        "asn" => Kind::Asn,
        _ => return Err(Error::from_reason(format!("`{kind}` is no kind of database"))),
    };
    guarded(|| geo::load(kind, bytes.map(Vec::from)))
        .unwrap_or_else(|| Err("a bug: reading a database panicked".to_owned()))
        .map_err(Error::from_reason)
}

/// What was asked of each operation, by session, in buckets that have ended by this time (Unix milliseconds): JSON of
/// native/engine/src/limits/volume.rs. Each bucket is told once.
#[napi]
pub fn volumes(until: f64) -> String {
    guarded(|| Volumes::of_process().take(until as u64)).unwrap_or_else(|| "[]".to_owned())
}
