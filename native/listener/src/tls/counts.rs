//! How handshakes ended, in all threads.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::handshake::{Established, Failure};

static FULL: AtomicU64 = AtomicU64::new(0);
static RESUMED: AtomicU64 = AtomicU64::new(0);
static FAILED: [AtomicU64; Failure::ALL.len()] = [const { AtomicU64::new(0) }; Failure::ALL.len()];

pub(super) fn count(outcome: &io::Result<Established>) {
    let counter = match outcome {
        Ok(established) if established.resumed => &RESUMED,
        Ok(_) => &FULL,
        Err(error) => &FAILED[Failure::of(error) as usize],
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// By the label of the metric.
pub fn outcomes() -> impl Iterator<Item = (&'static str, u64)> {
    let failed = Failure::ALL.into_iter().map(|failure| (failure.name(), &FAILED[failure as usize]));
    let all = [("full", &FULL), ("resumed", &RESUMED)].into_iter().chain(failed);
    all.map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
}
