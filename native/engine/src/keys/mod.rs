//! API keys and service tokens: which ones count.
//!
//! State of the process, told by the control plane: a change is in force for every request that any thread begins after
//! it. Nothing here holds a secret, only SHA-256 of secrets of 256 random bits. Nobody passes before all keys are here.
//!
//! A key is looked up by the id that stands in it. That one is public: time tells of a guessed id whether there is such a
//! key, of the rest nothing. What is compared is the hash of the whole, in constant time.

mod form;
mod table;
#[cfg(test)]
mod tests;
mod written;

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use serde::Serialize;

use crate::exchange::Now;
use crate::reason::Reason;
use form::ID_DIGITS;
use table::{Grant, Grants, Id, Outcome, Place, Record, SHARDS, Shard, Slot};
use written::{Entry, read_id};

pub use form::PREFIX;
pub use written::{Change, MAX_LISTED, MAX_TEXT_BYTES, Secret, Written};

/// Most keys at once: 4 million take 420 MB, twice that while all are told anew.
pub const MAX_KEYS: usize = if cfg!(test) { 200 } else { 4_000_000 };
/// Most uses that one call tells of, 4 MB of JSON; and most that are kept of keys that were removed meanwhile.
const MAX_TOLD: usize = if cfg!(test) { 50 } else { 100_000 };

/// One a process: [`Keys::of_process`].
pub struct Keys {
    slots: Box<[Slot]>,
    ready: AtomicBool,
    /// Who is not known may be one of those that did not fit.
    full: AtomicBool,
    epoch: AtomicU64,
    /// Refused without a look-up.
    malformed: AtomicU64,
    writing: Mutex<Writing>,
}

/// What only changes look at, one at a time.
#[derive(Default)]
struct Writing {
    in_force: Count,
    grants: Grants,
    staged: Option<Staged>,
    /// Uses of keys that were removed since this was last asked.
    left: Vec<Used>,
    /// The shard that is asked first for its uses.
    first: usize,
}

/// What a reset began.
struct Staged {
    shards: Vec<Shard>,
    count: Count,
}

#[derive(Default)]
struct Count {
    keys: usize,
    /// Something did not fit.
    full: bool,
}

/// 12 hex digits, in place: a look-up allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID_DIGITS]);

/// A key as it counts for one request.
#[derive(Clone)]
pub struct Key {
    pub id: KeyId,
    pub partner: Option<Arc<str>>,
    pub scopes: Arc<[String]>,
    /// Of the secret that it was presented with.
    digest: [u8; 32],
}

/// What a key is presented with.
#[derive(Debug, Clone, Copy)]
pub struct Presenting<'a> {
    /// Lower-case, without port.
    pub host: &'a str,
    pub address: IpAddr,
    /// SHA-256 of the client certificate, when it was verified.
    pub certificate: Option<&'a [u8; 32]>,
    pub now: Now,
}

/// A key that requests came with since this was last asked.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    pub id: String,
    /// Unix milliseconds, of whole seconds.
    pub at: u64,
}

/// For metrics.
#[derive(Debug, PartialEq, Eq)]
pub struct Figures {
    pub keys: usize,
    /// What they take.
    pub bytes: usize,
    /// By outcome.
    pub lookups: Vec<(&'static str, u64)>,
}

static OF_PROCESS: LazyLock<Keys> = LazyLock::new(Keys::default);

impl Keys {
    #[must_use]
    pub fn of_process() -> &'static Keys {
        &OF_PROCESS
    }

    /// Moves with each change that can turn a verdict.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// In force for every request that any thread begins after this returned, unless it belongs to a reset that is not
    /// ready. Each key is changed at once, the keys of one change one after the other.
    ///
    /// # Errors
    /// An entry that cannot be read: nothing of the change is in force then. Or a full table: the rest is, and keys that
    /// are not known meet `keys.not_ready` until a reset that fits.
    pub fn change(&self, change: &Change) -> Result<(), String> {
        let place = |index: usize, list: &str, problem: &str| format!("{list}[{index}] {problem}");
        let read = change.keys.iter().enumerate();
        let read = read.map(|(index, key)| key.read().map_err(|problem| place(index, "keys", problem)));
        let entries: Vec<Entry> = read.collect::<Result<_, _>>()?;
        let read = change.removed.iter().enumerate();
        let read = read.map(|(index, id)| read_id(id).map_err(|problem| place(index, "removed", problem)));
        let removed: Vec<Id> = read.collect::<Result<_, _>>()?;

        let mut writing = self.writing();
        if change.reset {
            let shards = (0..SHARDS).map(|_| Shard::default()).collect();
            if let Some(before) = writing.staged.replace(Staged { shards, count: Count::default() }) {
                writing.let_go(before.shards);
            }
        }
        for entry in entries {
            self.put(&mut writing, entry);
        }
        for id in removed {
            self.remove(&mut writing, Place::of(id));
        }
        let full = writing.staged.as_ref().map_or(writing.in_force.full, |staged| staged.count.full);
        if change.ready
            && let Some(staged) = writing.staged.take()
        {
            self.put_in_force(&mut writing, staged);
        }
        self.full.store(writing.in_force.full, Ordering::Release);
        if change.ready {
            self.ready.store(true, Ordering::Release);
        }
        // Behind all of it: who sees the new epoch finds the new table.
        self.epoch.fetch_add(1, Ordering::Release);
        if full {
            return Err(format!(
                "More than {MAX_KEYS} keys: those that did not fit are refused until a reset that fits."
            ));
        }
        Ok(())
    }

    fn put(&self, writing: &mut Writing, entry: Entry) {
        let place = Place::of(entry.id);
        let Writing { in_force, grants, staged, .. } = writing;
        let record = Record::new(entry, grants);
        let freed = match staged {
            Some(Staged { shards, count }) => count.put(&mut shards[place.shard()], place, record),
            None => in_force.put(&mut self.slots[place.shard()].write(), place, record),
        };
        if let Some(grant) = freed {
            grants.release(&grant);
        }
    }

    /// From what is in force too, whatever is being prepared: what is taken back does not wait for a reset's end.
    fn remove(&self, writing: &mut Writing, place: Place) {
        if let Some((grant, used)) = self.slots[place.shard()].write().remove(place) {
            writing.in_force.keys -= 1;
            writing.grants.release(&grant);
            writing.keep(used);
        }
        let Writing { grants, staged, .. } = writing;
        if let Some(Staged { shards, count }) = staged
            && let Some((grant, _)) = shards[place.shard()].remove(place)
        {
            count.keys -= 1;
            grants.release(&grant);
        }
    }

    fn put_in_force(&self, writing: &mut Writing, staged: Staged) {
        // Before the first key of a table that is not whole: nobody may be unknown to it for want of room.
        self.full.fetch_or(staged.count.full, Ordering::Release);
        let mut before = Vec::with_capacity(SHARDS);
        for (slot, shard) in self.slots.iter().zip(staged.shards) {
            before.push(slot.replace(shard, |used| writing.keep(Some(used))));
        }
        writing.in_force = staged.count;
        writing.let_go(before);
    }

    /// Whether a key counts, at this moment. `id`: of a pair, the client id it was presented with. A key that is no key by
    /// its form is told without a look-up, also before all keys are here.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify(&self, secret: &str, id: Option<&str>, presenting: &Presenting<'_>) -> Result<Key, Reason> {
        let Some(own) = form::id(secret) else {
            self.malformed.fetch_add(1, Ordering::Relaxed);
            return Err(Reason::KeysMalformed);
        };
        let place = Place::of(form::packed(own));
        let slot = &self.slots[place.shard()];
        if !self.ready.load(Ordering::Acquire) {
            slot.count(Outcome::NotReady);
            return Err(Reason::KeysNotReady);
        }
        if id.is_some_and(|id| verify_slices_are_equal(id.as_bytes(), own).is_err()) {
            slot.count(Outcome::Unknown);
            return Err(Reason::KeysUnknown);
        }
        slot.verify(place, secret, presenting, self.full.load(Ordering::Acquire))
    }

    /// A key that counted before, as it counts at this moment: for connections that go on without requests, and may be
    /// held against its scopes again. No use of it.
    ///
    /// # Errors
    /// Why it does not any more.
    pub fn renew(&self, key: &Key, presenting: &Presenting<'_>) -> Result<Key, Reason> {
        let place = key.place();
        self.slots[place.shard()].renew(place, key, presenting.now, Some(presenting))
    }

    /// Whether a key that counted still does: for connections that go on without requests. Not whether it may still be
    /// used from there: that is [`Keys::renew`].
    #[must_use]
    pub fn counts(&self, key: &Key, now: Now) -> bool {
        let place = key.place();
        self.slots[place.shard()].renew(place, key, now, None).is_ok()
    }

    /// Keys that were used since this was last asked. With a full list there may be more: ask again.
    #[must_use]
    pub fn used(&self) -> Vec<Used> {
        let mut writing = self.writing();
        let mut told = std::mem::take(&mut writing.left);
        // Another one is first each time, so that none waits for ever behind a busy one.
        writing.first = (writing.first + 1) % SHARDS;
        let (before, from) = self.slots.split_at(writing.first);
        for slot in from.iter().chain(before) {
            slot.used(&mut told, MAX_TOLD);
        }
        told
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        let writing = self.writing();
        let staged = writing.staged.iter().flat_map(|staged| &staged.shards).map(Shard::bytes).sum::<usize>();
        let in_force = self.slots.iter().map(|slot| slot.read().bytes()).sum::<usize>();
        let mut lookups = vec![("malformed", self.malformed.load(Ordering::Relaxed))];
        lookups.extend(
            Outcome::ALL.map(|(outcome, name)| (name, self.slots.iter().map(|slot| slot.counted(outcome)).sum())),
        );
        Figures {
            keys: writing.in_force.keys,
            bytes: in_force + staged + writing.grants.bytes() + self.slots.len() * size_of::<Slot>(),
            lookups,
        }
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        // A panic in between leaves whole records. Their number may be wrong by one.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    /// A use of a key that is gone.
    fn keep(&mut self, used: Option<Used>) {
        self.left.extend(used.filter(|_| self.left.len() < MAX_TOLD));
    }

    fn let_go(&mut self, shards: Vec<Shard>) {
        for grant in shards.into_iter().flat_map(Shard::into_grants) {
            self.grants.release(&grant);
        }
    }
}

impl Count {
    /// Puts a key in if there is room. Answers with a grant that nobody may hold any more.
    fn put(&mut self, shard: &mut Shard, place: Place, record: Record) -> Option<Arc<Grant>> {
        let new = !shard.holds(place);
        if new && self.keys >= MAX_KEYS {
            self.full = true;
            return Some(record.into_grant());
        }
        self.keys += usize::from(new);
        shard.put(place, record)
    }
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            slots: (0..SHARDS).map(|_| Slot::default()).collect(),
            ready: AtomicBool::new(false),
            full: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            writing: Mutex::default(),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.slots.iter().map(|slot| slot.read().len()).sum::<usize>();
        f.debug_struct("Keys").field("keys", &keys).finish_non_exhaustive()
    }
}

impl Key {
    /// A key that no table knows, for those who read what a key says; None: `id` is not of 12 hex digits.
    #[must_use]
    pub fn of(id: &str, partner: Option<&str>, scopes: &[&str]) -> Option<Key> {
        Some(Key {
            id: KeyId::of(&read_id(id).ok()?),
            partner: partner.map(Into::into),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            digest: [0; 32],
        })
    }

    fn place(&self) -> Place {
        Place::of(form::packed(&self.id.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { id, partner, scopes, digest: _ } = self;
        f.debug_struct("Key").field("id", id).field("partner", partner).field("scopes", scopes).finish_non_exhaustive()
    }
}

impl KeyId {
    fn of(id: &Id) -> KeyId {
        KeyId(form::spelled(id))
    }
}

impl Deref for KeyId {
    type Target = str;

    fn deref(&self) -> &str {
        // Only hex digits are ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}
