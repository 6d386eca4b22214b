//! Verified tokens of one thread.
//!
//! An entry is found by a keyed hash and counts only if its whole text is that of the token at hand. It is used while its
//! configuration is the same, the token has not ended, its key is still in the set and it was not taken back; who
//! presents it is looked at every time. Tokens that were refused are not kept: whoever sends what was never signed can
//! send another one each time, so that keeping them would fill memory and save nothing. One that was good and has ended
//! since is refused from its entry.

use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use quick_cache::unsync::{self, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use super::token::Token;
use crate::meters::TokenTally;
use crate::reason::Reason;

/// Most bytes of a thread's cache: some 10,000 tokens of 800 bytes.
const MAX_BYTES: u64 = if cfg!(test) { 64 * 1024 } else { 32 * 1024 * 1024 };
/// What an entry takes besides the token's text and claims; with it the bytes bound the entries too.
const ENTRY_BYTES: usize = 768;
/// How many of them that are, about: it remembers half as many that had to go.
const ENTRIES: usize = 10_000;

/// Bounded; one per edge thread.
pub struct Cache {
    entries: unsync::Cache<Name, Known, Weight, RandomState>,
    /// How tokens were judged; added to the meters when the exchange ends.
    pub tally: TokenTally,
}

/// What an entry is kept under.
struct Name {
    /// Of the [`super::Configuration`].
    id: u64,
    raw: Box<str>,
}

/// The same, of a token at hand.
struct Asked<'a> {
    id: u64,
    raw: &'a str,
}

/// A token that was verified, and when.
pub(super) struct Known {
    pub(super) token: Arc<Token>,
    /// Epoch of the key sets that the key was last found in.
    pub(super) keys_epoch: Cell<u64>,
    /// Epoch of [`super::Revoked`] that `revoked` was found in.
    pub(super) revoked_epoch: Cell<u64>,
    pub(super) revoked: Cell<Option<Reason>>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Name, Known> for Weight {
    fn weight(&self, name: &Name, known: &Known) -> u64 {
        (ENTRY_BYTES + name.raw.len() + known.token.bytes()) as u64
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Asked { id: self.id, raw: &self.raw }.hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.id == other.id && self.raw == other.raw
    }
}

impl Eq for Name {}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.id);
        state.write(self.raw.as_bytes());
    }
}

impl Equivalent<Name> for Asked<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        self.id == name.id && *self.raw == *name.raw
    }
}

impl Default for Cache {
    fn default() -> Cache {
        // A key of its own for each thread: nobody outside can tell which tokens would meet in one place.
        let hasher = RandomState::default();
        Cache {
            entries: unsync::Cache::with(ENTRIES, MAX_BYTES, Weight, hasher, DefaultLifecycle::default()),
            tally: TokenTally::default(),
        }
    }
}

/// Tokens are in it: no content.
impl fmt::Debug for Cache {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Cache").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Cache {
    pub(super) fn find(&self, id: u64, raw: &str) -> Option<&Known> {
        self.entries.get(&Asked { id, raw })
    }

    pub(super) fn keep(&mut self, id: u64, raw: &str, known: Known) {
        self.entries.insert(Name { id, raw: raw.into() }, known);
    }

    pub(super) fn remove(&mut self, id: u64, raw: &str) {
        self.entries.remove(&Asked { id, raw });
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }
}
