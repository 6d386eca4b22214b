//! Which record of a shard belongs to an id: one memory access where a hash table of the kind that is common takes two.
//!
//! Open addressing with linear probing over numbers of 32 bits: the low ones say which record, the high ones are those of
//! the hash, so that a record of another id is looked at once in 2,000 steps. An empty place is 0. Whoever is removed
//! leaves no mark: those behind move up.

/// Of an entry: which record.
const NUMBER_BITS: u32 = 20;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
/// Most records of one index.
pub(super) const MAX_RECORDS: usize = 1 << NUMBER_BITS;
/// Places of the smallest index that holds anything.
const FIRST_PLACES: usize = 16;

#[derive(Default)]
pub(super) struct Index {
    /// A power of two, at most 7 in 8 of them taken.
    places: Box<[u32]>,
    taken: usize,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.places)
    }

    /// The record for which `is` holds, of those that may have this hash.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let (at, number) = self.place(hash, is)?;
        debug_assert_eq!(self.places[at] & NUMBER, number);
        Some(number)
    }

    /// `hash_of`: of a record that is in the index.
    pub(super) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.taken + 1) * 8 > self.places.len() * 7 {
            let places = vec![0; (self.places.len() * 2).max(FIRST_PLACES)].into_boxed_slice();
            for entry in std::mem::replace(&mut self.places, places).into_iter().filter(|&entry| entry != 0) {
                self.put(hash_of(entry & NUMBER), entry);
            }
        }
        self.put(hash, tag(hash) | number);
        self.taken += 1;
    }

    /// The record `from` is `to` from now on.
    pub(super) fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        let (at, _) = self.place(hash, |number| number == from).expect("every record is in the index");
        self.places[at] = tag(hash) | to;
    }

    pub(super) fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let (mut hole, _) = self.place(hash, |known| known == number).expect("every record is in the index");
        let mask = self.places.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let entry = self.places[at];
            if entry == 0 {
                break;
            }
            // Into the hole moves what would be looked for there on the way to its place.
            let home = hash_of(entry & NUMBER) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.places[hole] = entry;
                hole = at;
            }
        }
        self.places[hole] = 0;
        self.taken -= 1;
    }

    fn place(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let entry = self.places[at];
            if entry == 0 {
                return None;
            }
            if entry & !NUMBER == tag(hash) && is(entry & NUMBER) {
                return Some((at, entry & NUMBER));
            }
            at = (at + 1) & mask;
        }
    }

    fn put(&mut self, hash: u64, entry: u32) {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at] != 0 {
            at = (at + 1) & mask;
        }
        self.places[at] = entry;
    }
}

/// The high bits of a hash, where an entry has them; never 0.
fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32 | 1 << 31) & !NUMBER
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::Index;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Hashes of few values, so that most places are somebody else's; the tag of every second one is the same.
        #[test]
        fn it_finds_what_a_plain_map_finds(steps in proptest::collection::vec((0..3u8, 0..60u32), 1..300)) {
            let hash = |key: u32| u64::from(key & 1) * (1 << 60) + u64::from(key % 7) * 5;
            let (mut index, mut keys) = (Index::default(), Vec::<u32>::new());
            for (step, key) in steps {
                let at = |keys: &[u32], key| keys.iter().position(|&known| known == key).map(|at| at as u32);
                match (step, at(&keys, key)) {
                    (0 | 1, None) => {
                        index.insert(hash(key), keys.len() as u32, |number| hash(keys[number as usize]));
                        keys.push(key);
                    }
                    (2, Some(number)) => {
                        index.remove(hash(key), number, |number| hash(keys[number as usize]));
                        let end = keys.len() as u32 - 1;
                        if number != end {
                            index.renumber(hash(keys[end as usize]), end, number);
                        }
                        keys.swap_remove(number as usize);
                    }
                    _ => {}
                }
                let expected: HashMap<u32, u32> = keys.iter().copied().zip(0..).collect();
                for key in 0..60 {
                    let found = index.find(hash(key), |number| keys[number as usize] == key);
                    prop_assert_eq!(found, expected.get(&key).copied());
                }
                prop_assert_eq!(index.len(), keys.len());
            }
        }
    }
}
