//! The door of the rate limits: what a fleet's counters are asked, and what the control plane sees and changes.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::{on_slot, with_edge};

/// What the fleet's counters are asked at once, for all requests of a turn.
#[napi(object)]
pub struct Batch {
    /// For `batch_answered`, `asked` and `batch_over`.
    pub number: u32,
    pub calls: Vec<Call>,
    /// Of the exchanges that wait: `asked(slot, number)` for each, when all calls have answered or their time is up.
    pub slots: Vec<u32>,
}

/// One call of the function `portcullis_take` or `portcullis_settle`.
#[napi(object)]
pub struct Call {
    /// Keys of one hash slot: the partition's birth first, then one for each record of `records`.
    pub keys: Vec<String>,
    pub records: Buffer,
}

/// What the exchanges of this thread wait for; null: nothing.
#[napi]
pub fn next_batch() -> Option<Batch> {
    None
}

/// What the function answered to a call (by its place) of a batch; null: nobody answered.
#[napi]
pub fn batch_answered(_number: u32, _call: u32, _reply: Option<Buffer>) {}

/// All calls of a batch have answered or their time is up: what one of its exchanges does next.
#[napi]
pub fn asked(slot: u32, batch: u32) -> u32 {
    on_slot(slot, |edge| edge.asked(slot, batch))
}

/// A batch is over, and its exchanges were asked: its number may be used again.
#[napi]
pub fn batch_over(_number: u32) {}

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
    None
}

/// What `portcullis_settle` answered to the last `spent`; null: nobody did.
#[napi]
pub fn spending_settled(_reply: Option<Buffer>, _nodes: u32) {}

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
