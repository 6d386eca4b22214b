//! The leases of this node: one bounded table for all edge threads, in shards with a lock each.
//!
//! A new key takes the place of one that is idle: owes nothing, holds nothing, is not refused. So a flood of made-up keys
//! can evict neither a debt nor a penalty; when none is idle, it finds no place.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::lease::Lease;
use super::{Ask, Key};

/// So that two edge threads rarely wait for each other.
const SHARDS: usize = if cfg!(test) { 2 } else { 64 };
/// How many places one new key looks at.
const LOOKED: usize = 16;

#[derive(Debug)]
pub(super) struct Leases {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
pub(super) struct Shard {
    places: HashTable<u32>,
    leases: Vec<Lease>,
    most: usize,
    /// Where the next one looks first.
    hand: usize,
    /// Which have something to tell.
    dirty: Vec<u32>,
}

impl Leases {
    pub(super) fn new(entries: u64) -> Leases {
        let most = usize::try_from(entries).unwrap_or(usize::MAX).div_ceil(SHARDS).clamp(1, u32::MAX as usize);
        let shard = || Shard { places: HashTable::new(), leases: Vec::new(), most, hand: 0, dirty: Vec::new() };
        Leases { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect() }
    }

    pub(super) fn of(&self, key: Key) -> MutexGuard<'_, Shard> {
        self.lock((key.0[0] >> 32) as usize % SHARDS)
    }

    pub(super) fn count(&self) -> u64 {
        (0..SHARDS).map(|shard| self.lock(shard).leases.len() as u64).sum()
    }

    /// Those of a shard that have something to tell. None: there is no such shard.
    pub(super) fn tell(&self, shard: usize, mut tell: impl FnMut(&mut Lease)) -> Option<()> {
        let Shard { leases, dirty, .. } = &mut *(shard < SHARDS).then(|| self.lock(shard))?;
        for place in std::mem::take(dirty) {
            let lease = &mut leases[place as usize];
            lease.dirty = false;
            tell(lease);
        }
        Some(())
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // A panic between two changes of a lease leaves numbers, and no number of it is trusted with memory.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// The key's lease, a new one if need be. None: all are taken.
    pub(super) fn enter(&mut self, ask: &Ask, now_us: u64) -> Option<Place<'_>> {
        let found = self.place(ask.key);
        let place = match found {
            Some(place) => place,
            None => self.vacate(now_us).map(|place| self.put(place, Lease::new(ask)))?,
        };
        Some(Place { shard: self, place })
    }

    /// The key's lease, if there is one.
    pub(super) fn look(&mut self, key: Key) -> Option<Place<'_>> {
        let place = self.place(key)?;
        Some(Place { shard: self, place })
    }

    fn place(&self, key: Key) -> Option<u32> {
        self.places.find(key.0[1], |&place| self.leases[place as usize].key == key).copied()
    }

    /// A place that is free, or of a lease that says nothing.
    fn vacate(&mut self, now_us: u64) -> Option<u32> {
        if self.leases.len() < self.most {
            return u32::try_from(self.leases.len()).ok();
        }
        for _ in 0..2 * LOOKED.min(self.leases.len()) {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.leases.len();
            let lease = &mut self.leases[place];
            if !std::mem::take(&mut lease.touched) && lease.is_idle(now_us) {
                return u32::try_from(place).ok();
            }
        }
        None
    }

    fn put(&mut self, place: u32, lease: Lease) -> u32 {
        let Shard { places, leases, .. } = self;
        let hash = lease.key.0[1];
        if let Some(before) = leases.get_mut(place as usize) {
            if let Ok(entry) = places.find_entry(before.key.0[1], |&other| other == place) {
                entry.remove();
            }
            *before = lease;
        } else {
            leases.push(lease);
        }
        places.insert_unique(hash, place, |&other| leases[other as usize].key.0[1]);
        place
    }
}

/// A lease in its table; whatever has changed it, what it has to tell is not forgotten.
pub(super) struct Place<'a> {
    shard: &'a mut Shard,
    place: u32,
}

impl Place<'_> {
    pub(super) fn lease(&mut self) -> &mut Lease {
        &mut self.shard.leases[self.place as usize]
    }

    /// It has something to tell.
    pub(super) fn mark(&mut self) {
        let lease = &mut self.shard.leases[self.place as usize];
        if !lease.dirty {
            lease.dirty = true;
            self.shard.dirty.push(self.place);
        }
    }
}
