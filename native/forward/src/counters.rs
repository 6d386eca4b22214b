//! What the client counts, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Written by the client's thread alone; shared with whoever renders metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections begun, failed ones included.
    pub opened: AtomicU64,
    /// Requests sent on a connection that had served before.
    pub reused: AtomicU64,
    /// Requests sent a second time because a reused connection turned out dead.
    pub retried: AtomicU64,
    /// Connection attempts that were refused, unreachable or too slow.
    pub connect_failures: AtomicU64,
    /// Requests given up because the origin was silent for too long.
    pub timeouts: AtomicU64,
    /// Connections that the origin closed in the middle of an exchange.
    pub closed: AtomicU64,
    /// Responses refused.
    pub malformed: AtomicU64,
    /// Requests refused or given up because every connection was in use.
    pub saturated: AtomicU64,
    /// Times an address was taken out.
    pub ejected: AtomicU64,
    /// Panics caught in callbacks of the loop.
    pub panics: AtomicU64,
    /// Connections open now, idle ones included.
    pub open_now: AtomicU64,
    /// Connections idle now.
    pub idle_now: AtomicU64,
    /// Requests waiting for a connection now.
    pub waiting_now: AtomicU64,
}

/// One writer: a load and a store, without the cost of a locked add. Answers the new value, as `sub` does.
pub(crate) fn add(counter: &AtomicU64) -> u64 {
    let value = counter.load(Relaxed).wrapping_add(1);
    counter.store(value, Relaxed);
    value
}

pub(crate) fn sub(counter: &AtomicU64) -> u64 {
    let value = counter.load(Relaxed).saturating_sub(1);
    counter.store(value, Relaxed);
    value
}

pub(crate) fn set(counter: &AtomicU64, value: u64) {
    counter.store(value, Relaxed);
}
