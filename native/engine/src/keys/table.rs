//! The table of keys: one access to memory a look-up, and no lock that all threads meet at.
//!
//! It is cut into shards by the key's id, each with a lock of its own: two edge threads meet only when they look at the
//! same 64th at the same moment, and who reads waits for one insertion at most, or for one shard to grow (16,000 records
//! of a million). A lock that all shared would be one cache line that every request of every thread writes twice.
//!
//! In a shard records stand in the table itself, one cache line each, near where the hash of their id says: with a million
//! keys a look-up waits for memory, and this way it waits once, while the hash of the secret is made. An index beside the
//! records would take less room (73 bytes a key instead of 100) and wait twice. A record holds what each key has of its
//! own. What keys have in common (partner, scopes, hosts) is kept once, what few have (a second secret, bindings) in a box.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use foldhash::HashSet;
use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::written::Entry;
use super::{Key, KeyId, Presenting, Used, sha256};
use crate::exchange::Now;
use crate::host_pattern;
use crate::reason::Reason;

pub(super) type Id = [u8; 6];

/// Shards: more than edge threads on any machine that is common, so that two of them seldom meet.
pub(super) const SHARDS: usize = if cfg!(test) { 2 } else { 64 };
/// At most 7 in 10 places are taken: two records are looked at for one that is found, on average.
const MOST_TAKEN: (usize, usize) = (7, 10);
/// Places of the smallest table that holds anything.
const FIRST_PLACES: usize = 8;
/// Most used keys of one shard that are noted one by one between two drains; more are found by a walk over the shard.
const MAX_TOUCHED: usize = if cfg!(test) { 2 } else { 1_024 };
/// The second that never comes.
pub(super) const NEVER: u32 = u32::MAX;

/// What many keys have in common.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) partner: Option<Arc<str>>,
    pub(super) scopes: Arc<[String]>,
    /// Lower-case; empty: all.
    pub(super) hosts: Box<[Box<str>]>,
}

/// What few keys have.
pub(super) struct Rare {
    /// Of the first secret; [`NEVER`]: there is none.
    pub(super) not_after: u32,
    /// The second secret of a key in rotation.
    pub(super) older: Option<([u8; 32], u32)>,
    /// What it is bound to; an empty list: to none.
    pub(super) certificates: Box<[[u8; 32]]>,
    pub(super) networks: Box<[IpNet]>,
}

/// One key. Times are Unix seconds, the first that it does not count in; [`NEVER`]: there is none.
#[repr(align(64))]
pub(super) struct Record {
    digest: [u8; 32],
    grant: Arc<Grant>,
    rare: Option<Box<Rare>>,
    expires: u32,
    /// The last second that a request came with it in.
    used: AtomicU32,
    id: Id,
    /// That second has not been told.
    touched: AtomicBool,
}

const _: () = assert!(size_of::<Option<Record>>() == 64);

/// Open addressing with linear probing. Whoever is removed leaves no mark: those behind move up.
#[derive(Default)]
pub(super) struct Shard {
    places: Box<[Option<Record>]>,
    taken: usize,
    /// What hangs on boxes, in bytes.
    boxed: usize,
}

/// A shard in force, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Slot {
    shard: RwLock<Shard>,
    /// Used since this was last asked; those with `more` are found by their marks.
    touched: Mutex<Vec<Id>>,
    more: AtomicBool,
    lookups: [AtomicU64; Outcome::ALL.len()],
}

/// What became of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Counted,
    Unknown,
    Expired,
    Binding,
    NotReady,
}

impl Outcome {
    pub const ALL: [(Outcome, &str); 5] = [
        (Outcome::Counted, "counted"),
        (Outcome::Unknown, "unknown"),
        (Outcome::Expired, "expired"),
        (Outcome::Binding, "binding"),
        (Outcome::NotReady, "not_ready"),
    ];

    fn of(result: Result<(), Reason>) -> Outcome {
        match result {
            Ok(()) => Outcome::Counted,
            Err(Reason::KeysExpired) => Outcome::Expired,
            Err(Reason::KeysBinding) => Outcome::Binding,
            Err(_) => Outcome::Unknown,
        }
    }
}

/// An id with its hash.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) id: Id,
    hash: u64,
}

impl Place {
    /// Ids are drawn by the gateway; who presents others only looks up. So a fixed seed is safe.
    pub(super) fn of(id: Id) -> Place {
        let [a, b, c, d, e, f] = id;
        Place { id, hash: FixedState::with_seed(0).hash_one(u64::from_be_bytes([0, 0, a, b, c, d, e, f])) }
    }

    /// From other bits than those that say where in the shard.
    pub(super) fn shard(&self) -> usize {
        self.hash as usize % SHARDS
    }
}

impl Slot {
    /// Whether a key counts, at this moment. `full`: who is not known may be one of those that did not fit.
    ///
    /// The record is looked for first: it is on its way from memory while the hash is made.
    pub(super) fn verify(
        &self,
        place: Place,
        secret: &str,
        presenting: &Presenting<'_>,
        full: bool,
    ) -> Result<Key, Reason> {
        let now = seconds(presenting.now.unix_ms);
        let shard = self.read();
        let Some(record) = shard.find(place) else {
            let outcome = if full { Outcome::NotReady } else { Outcome::Unknown };
            self.count(outcome);
            return Err(if full { Reason::KeysNotReady } else { Reason::KeysUnknown });
        };
        let digest = sha256(secret.as_bytes());
        let result = if record.holds(&digest, now) { record.admits(presenting, now) } else { Err(Reason::KeysUnknown) };
        self.count(Outcome::of(result));
        result?;
        if record.used.load(Ordering::Relaxed) != now {
            record.used.store(now, Ordering::Relaxed);
            self.touch(record);
        }
        Ok(record.key(place, &digest))
    }

    /// The same for a key that counted before, without a use.
    pub(super) fn renew(
        &self,
        place: Place,
        key: &Key,
        now: Now,
        presenting: Option<&Presenting<'_>>,
    ) -> Result<Key, Reason> {
        let now = seconds(now.unix_ms);
        let shard = self.read();
        let known = shard.find(place).filter(|record| record.holds(&key.digest, now));
        let record = known.ok_or(Reason::KeysUnknown)?;
        match presenting {
            Some(presenting) => record.admits(presenting, now)?,
            None => record.lasts(now)?,
        }
        Ok(record.key(place, &key.digest))
    }

    /// Notes a use; once for all uses until it is told. The mark is set behind the second and taken away before the
    /// second is read, and `more` is looked at behind the mark and taken away before the walk: what comes in between is
    /// noted again.
    fn touch(&self, record: &Record) {
        if record.touched.swap(true, Ordering::SeqCst) || self.more.load(Ordering::SeqCst) {
            return;
        }
        let mut touched = self.touched();
        if touched.len() < MAX_TOUCHED {
            touched.push(record.id);
        } else {
            self.more.store(true, Ordering::SeqCst);
        }
    }

    /// Takes uses that have not been told until there are `most` of them; the others stay.
    pub(super) fn used(&self, told: &mut Vec<Used>, most: usize) {
        if told.len() >= most {
            return;
        }
        let shard = self.read();
        let more = self.more.swap(false, Ordering::SeqCst);
        let mut ids = std::mem::take(&mut *self.touched());
        while told.len() < most
            && let Some(id) = ids.pop()
        {
            told.extend(shard.find(Place::of(id)).and_then(Record::told));
        }
        let mut left = !ids.is_empty();
        if more && !left {
            let mut records = shard.records();
            while told.len() < most
                && let Some(record) = records.next()
            {
                told.extend(record.told());
            }
            left = records.next().is_some();
        }
        if left {
            self.more.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Shard> {
        // A panic in between leaves whole records: they are put in and taken out one by one.
        self.shard.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Shard> {
        self.shard.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a shard in force. Uses of the one before that have not been told go on with it, those of keys that are gone
    /// are `left`.
    pub(super) fn replace(&self, fresh: Shard, mut left: impl FnMut(Used)) -> Shard {
        let before = std::mem::replace(&mut *self.write(), fresh);
        let shard = self.read();
        for record in before.records().filter(|record| record.touched.load(Ordering::Acquire)) {
            match shard.find(record.place()) {
                Some(same) => {
                    same.used.fetch_max(record.used.load(Ordering::Relaxed), Ordering::Relaxed);
                    self.touch(same);
                }
                None => record.told().into_iter().for_each(&mut left),
            }
        }
        drop(shard);
        before
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.lookups[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted(&self, outcome: Outcome) -> u64 {
        self.lookups[outcome as usize].load(Ordering::Relaxed)
    }

    fn touched(&self) -> MutexGuard<'_, Vec<Id>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn find(&self, place: Place) -> Option<&Record> {
        self.places.get(self.look(place)?)?.as_ref()
    }

    /// Where a record stands, or else the place where it would.
    fn look(&self, place: Place) -> Option<usize> {
        let mut at = self.home(place)?;
        while let Some(record) = &self.places[at] {
            if record.id == place.id {
                break;
            }
            at = self.behind(at);
        }
        Some(at)
    }

    /// By the high bits of the hash, for a number of places that is no power of two; None: there are none.
    fn home(&self, place: Place) -> Option<usize> {
        let home = (u128::from(place.hash) * self.places.len() as u128) >> 64;
        (!self.places.is_empty()).then_some(home as usize)
    }

    fn behind(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }

    pub(super) fn holds(&self, place: Place) -> bool {
        self.find(place).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Adds a key, or puts it in place of the one with its id: that one's uses are kept, its grant is handed back.
    pub(super) fn put(&mut self, place: Place, mut new: Record) -> Option<Arc<Grant>> {
        self.boxed += new.boxed();
        if let Some(at) = self.look(place)
            && let Some(known) = &mut self.places[at]
        {
            self.boxed -= known.boxed();
            new.used = AtomicU32::new(*known.used.get_mut());
            new.touched = AtomicBool::new(*known.touched.get_mut());
            return Some(std::mem::replace(known, new).grant);
        }
        if (self.taken + 1) * MOST_TAKEN.1 > self.places.len() * MOST_TAKEN.0 {
            self.grow();
        }
        if let Some(at) = self.look(place) {
            self.places[at] = Some(new);
            self.taken += 1;
        }
        None
    }

    /// By a quarter: half of a doubled table would be empty.
    fn grow(&mut self) {
        let length = (self.places.len() + self.places.len() / 4).max(FIRST_PLACES);
        let places = std::iter::repeat_with(|| None).take(length).collect();
        for record in std::mem::replace(&mut self.places, places).into_iter().flatten() {
            if let Some(at) = self.look(record.place()) {
                self.places[at] = Some(record);
            }
        }
    }

    /// Forgets a key: its grant, and its use that has not been told.
    pub(super) fn remove(&mut self, place: Place) -> Option<(Arc<Grant>, Option<Used>)> {
        let mut hole = self.look(place)?;
        let removed = self.places[hole].take()?;
        let mut at = hole;
        loop {
            at = self.behind(at);
            let Some(home) = self.places[at].as_ref().and_then(|record| self.home(record.place())) else { break };
            // Into the hole moves what would be looked for there on the way to its place.
            let steps = |from: usize| if at >= from { at - from } else { at + self.places.len() - from };
            if steps(home) >= steps(hole) {
                self.places.swap(hole, at);
                hole = at;
            }
        }
        self.taken -= 1;
        self.boxed -= removed.boxed();
        let told = removed.told();
        Some((removed.grant, told))
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.places) + self.boxed
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.places.iter().flatten()
    }

    /// Grants of all keys, one by one.
    pub(super) fn into_grants(self) -> impl Iterator<Item = Arc<Grant>> {
        self.places.into_iter().flatten().map(Record::into_grant)
    }
}

impl Record {
    pub(super) fn new(entry: Entry, grants: &mut Grants) -> Record {
        let Entry { id, digest, expires, grant, rare } = entry;
        let (used, touched) = (AtomicU32::new(0), AtomicBool::new(false));
        Record { digest, grant: grants.intern(grant), rare, expires, used, id, touched }
    }

    pub(super) fn into_grant(self) -> Arc<Grant> {
        self.grant
    }

    /// Whether one of its secrets that still count has this digest. Digests are compared in constant time, both of them
    /// in any case.
    fn holds(&self, digest: &[u8; 32], now: u32) -> bool {
        let same = |known: &[u8; 32]| verify_slices_are_equal(known, digest).is_ok();
        let Some(rare) = &self.rare else { return same(&self.digest) };
        let newest = same(&self.digest) & (now < rare.not_after);
        newest | rare.older.as_ref().is_some_and(|(older, not_after)| same(older) & (now < *not_after))
    }

    fn lasts(&self, now: u32) -> Result<(), Reason> {
        if now < self.expires { Ok(()) } else { Err(Reason::KeysExpired) }
    }

    fn admits(&self, presenting: &Presenting<'_>, now: u32) -> Result<(), Reason> {
        self.lasts(now)?;
        let hosts = &self.grant.hosts;
        let fits = (hosts.is_empty() || hosts.iter().any(|host| host_pattern::fits(host, presenting.host)))
            && self.rare.as_ref().is_none_or(|rare| rare.fits(presenting));
        if fits { Ok(()) } else { Err(Reason::KeysBinding) }
    }

    fn key(&self, place: Place, digest: &[u8; 32]) -> Key {
        let Grant { partner, scopes, .. } = &*self.grant;
        Key { id: KeyId::of(&place.id), partner: partner.clone(), scopes: scopes.clone(), digest: *digest }
    }

    /// Its last use, if that has not been told.
    fn told(&self) -> Option<Used> {
        let touched = self.touched.swap(false, Ordering::SeqCst);
        let at = u64::from(self.used.load(Ordering::Relaxed)) * 1000;
        touched.then(|| Used { id: KeyId::of(&self.id).to_string(), at })
    }

    fn boxed(&self) -> usize {
        let of = |rare: &Rare| size_of_val(&*rare.certificates) + size_of_val(&*rare.networks);
        self.rare.as_ref().map_or(0, |rare| size_of::<Rare>() + of(rare))
    }

    fn place(&self) -> Place {
        Place::of(self.id)
    }
}

impl Rare {
    fn fits(&self, presenting: &Presenting<'_>) -> bool {
        let Rare { certificates, networks, .. } = self;
        let address = presenting.address.to_canonical();
        (certificates.is_empty() || presenting.certificate.is_some_and(|shown| certificates.contains(shown)))
            && (networks.is_empty() || networks.iter().any(|network| network.contains(&address)))
    }
}

/// Behind 2106 everything that ends has ended.
fn seconds(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / 1000).map_or(NEVER - 1, |seconds| seconds.min(NEVER - 1))
}

/// All grants that a key has, each once.
#[derive(Default)]
pub(super) struct Grants {
    known: HashSet<Arc<Grant>>,
    /// Behind their pointers.
    bytes: usize,
}

impl Grants {
    pub(super) fn intern(&mut self, grant: Grant) -> Arc<Grant> {
        if let Some(known) = self.known.get(&grant) {
            return known.clone();
        }
        self.bytes += grant.bytes();
        let grant = Arc::new(grant);
        self.known.insert(grant.clone());
        grant
    }

    /// A record let go of its grant. It and the set are the only ones to hold it then, if no other key has it.
    pub(super) fn release(&mut self, grant: &Arc<Grant>) {
        if Arc::strong_count(grant) == 2 && self.known.remove(grant) {
            self.bytes -= grant.bytes();
        }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.known.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.known.capacity() * (size_of::<Arc<Grant>>() + 1)
    }
}

impl Grant {
    fn bytes(&self) -> usize {
        let texts = self.scopes.iter().map(|scope| scope.capacity()).chain(self.hosts.iter().map(|host| host.len()));
        // Two counters in front of what an Arc holds.
        let counters = 3 * 2 * size_of::<usize>();
        let lists = size_of_val(&*self.scopes) + size_of_val(&*self.hosts);
        size_of::<Grant>()
            + counters
            + lists
            + self.partner.as_ref().map_or(0, |name| name.len())
            + texts.sum::<usize>()
    }
}
