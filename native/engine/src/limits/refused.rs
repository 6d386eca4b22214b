//! The keys that limits refuse most: beside the table of counters, so that an entry there stays small.
//!
//! Bounded, and what is told of it: a key that finds no room takes that of one that was refused little, and goes on from
//! its count (as Metwally's Space-Saving does, but among a few places instead of all). So a key that is refused often is
//! kept, however many others are refused once; its count may be too high by what it took over, never too low.

use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;

use super::counters::Key;

const SHARDS: usize = 16;
/// Keys of one shard: 4,096 in all.
const MOST: usize = 256;
/// Whose room is taken: the least of so many.
const COMPARED: usize = 8;
/// Of what a key stands for: 1 MiB with all keys.
pub(super) const MAX_IDENTITY_BYTES: usize = 256;

/// A key that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub key: Key,
    pub limit: Box<str>,
    /// What it stands for, if that may be shown; cut at 256 bytes.
    pub identity: Option<Box<str>>,
    /// How often, at most.
    pub refused: u64,
    /// So many of those may have been of other keys.
    pub uncertain: u64,
}

#[derive(Debug, Default)]
pub(super) struct Refusals {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    /// Where in `keys`.
    places: HashMap<Key, usize>,
    keys: Vec<Refused>,
    hand: usize,
}

impl Refusals {
    pub(super) fn note(&self, key: Key, limit: &str, identity: impl FnOnce() -> Option<String>) {
        self.with(key, |shard| {
            if let Some(&at) = shard.places.get(&key) {
                shard.keys[at].refused += 1;
                return;
            }
            let identity = identity().map(|text| text[..text.floor_char_boundary(MAX_IDENTITY_BYTES)].into());
            shard.add(Refused { key, limit: limit.into(), identity, refused: 1, uncertain: 0 });
        });
    }

    pub(super) fn forget(&self, key: Key) -> bool {
        self.with(key, |shard| {
            let Some(at) = shard.places.remove(&key) else { return false };
            shard.keys.swap_remove(at);
            if let Some(moved) = shard.keys.get(at) {
                shard.places.insert(moved.key, at);
            }
            true
        })
    }

    pub(super) fn top(&self, limit: Option<&str>, most: usize) -> Vec<Refused> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(shard.keys.iter().filter(|key| limit.is_none_or(|limit| *key.limit == *limit)).cloned());
        }
        found.sort_unstable_by(|a, b| b.refused.cmp(&a.refused).then(a.key.cmp(&b.key)));
        found.truncate(most);
        found
    }

    fn with<T>(&self, key: Key, change: impl FnOnce(&mut Shard) -> T) -> T {
        let shard = &self.shards[key.0[0] as usize % SHARDS];
        change(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    fn add(&mut self, mut new: Refused) {
        if self.keys.len() < MOST {
            self.places.insert(new.key, self.keys.len());
            self.keys.push(new);
            return;
        }
        let compared = (0..COMPARED).map(|step| (self.hand + step) % MOST);
        let Some(least) = compared.min_by_key(|&at| self.keys[at].refused) else { return };
        self.hand = (self.hand + COMPARED) % MOST;
        new.uncertain = self.keys[least].refused;
        new.refused += new.uncertain;
        self.places.remove(&self.keys[least].key);
        self.places.insert(new.key, least);
        self.keys[least] = new;
    }
}
