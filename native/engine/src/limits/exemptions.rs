//! Keys that no limit refuses or counts, each until its time is over.

use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use foldhash::HashMap;

use super::counters::Key;

#[derive(Debug, Default)]
pub(super) struct Exemptions {
    /// Until which Unix millisecond.
    keys: ArcSwap<HashMap<Key, u64>>,
    /// Whether there are any: most installations have none, and requests ask for every limit.
    any: AtomicBool,
}

impl Exemptions {
    pub(super) fn replace(&self, exemptions: impl IntoIterator<Item = (Key, u64)>) {
        let keys: HashMap<Key, u64> = exemptions.into_iter().collect();
        let any = !keys.is_empty();
        self.keys.store(keys.into());
        self.any.store(any, Ordering::Release);
    }

    pub(super) fn hold(&self, key: Key, unix_ms: u64) -> bool {
        self.any.load(Ordering::Acquire) && self.keys.load().get(&key).is_some_and(|&until| unix_ms < until)
    }
}
