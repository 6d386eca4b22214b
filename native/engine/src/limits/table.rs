//! One shard of the table of counters: entries of 48 bytes in the table itself, near where their mark says, so that a
//! look-up waits for memory once.
//!
//! All places are there from the start. Open addressing with linear probing; whoever is removed leaves no mark, those
//! behind move up. A new key takes the place of an idle entry that it meets on its way; when the shard is full and it
//! met none, all are looked at.
//!
//! Of a key's 128 bits, an entry keeps 62, and its shard stands for six more: that any two of a million keys that are
//! counted share a counter has a probability of 2^-29, and nobody can look for such keys who has not what they are hashed
//! with.

use super::entry::{Entry, Kind, Moment};

/// At most 13 of 16 places are taken, so that an entry takes 59 bytes: a known key looks at three places on average, a
/// new one at fifteen.
const MOST_TAKEN: (usize, usize) = (13, 16);
/// Idle entries that a walk through a full shard takes out: new keys find room for a while.
const ENOUGH: usize = 256;
/// A walk that came around is not repeated for so long: else made-up keys would make one of every request. An idle entry
/// that none of them meets on its way is found a tenth of a second late.
const REST_US: u64 = 100_000;

/// The first word of a place: a mark, with the entry's kind in its low bits; 0: nobody. Behind it its words.
type Place = [u64; 6];

const KIND: u64 = 3;
/// Odd, so that no two halves become one: 2^64 over the golden ratio.
pub(super) const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What tells a key from the others of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

#[derive(Debug)]
pub(super) struct Shard {
    places: Vec<Place>,
    taken: usize,
    most: usize,
    /// Where the next walk begins, and when at the earliest.
    hand: usize,
    rests_us: u64,
    /// The latest time that was told here.
    latest_us: u64,
    /// All that was forgotten had been idle by then. Threads tell times in another order than they read them: of a key
    /// that is new, it is that time at least.
    forgotten_us: u64,
    pub(super) evictions: u64,
    pub(super) full: u64,
}

impl Mark {
    pub(super) fn of(half: u64) -> Mark {
        // The two bits that the kind needs are of the lowest, which a multiplication tells least of.
        Mark(half.wrapping_mul(SPREAD) & !KIND)
    }

    fn is(self, word: u64) -> bool {
        word != 0 && word & !KIND == self.0
    }
}

impl Shard {
    pub(super) fn new(most: usize) -> Shard {
        // Zeros come from the system as they are touched; one place stays empty, where every search ends.
        let places = most.max(1) * MOST_TAKEN.1 / MOST_TAKEN.0 + 1;
        Shard {
            places: vec![[0; 6]; places],
            taken: 0,
            most: most.max(1),
            hand: 0,
            rests_us: 0,
            latest_us: 0,
            forgotten_us: 0,
            evictions: 0,
            full: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// The entry of a known key.
    pub(super) fn look(&mut self, mark: Mark, kind: Kind, now_us: u64) -> Option<(Entry<'_>, Moment)> {
        let moment = self.tell(now_us);
        let at = self.find(mark).ok()?;
        (Kind::read(self.places[at][0]) == Some(kind)).then(|| (self.entry(at), moment))
    }

    /// The entry of a key, known or new; None: there is no place.
    pub(super) fn enter(&mut self, mark: Mark, kind: Kind, now_us: u64) -> Option<(Entry<'_>, Moment)> {
        let moment = self.tell(now_us);
        match self.find(mark) {
            Ok(at) => {
                if Kind::read(self.places[at][0]) != Some(kind) {
                    // The limit's algorithm was changed: what was counted says nothing, a penalty goes on.
                    let penalty_us = self.places[at][1];
                    self.places[at] = [mark.0 | kind as u64, penalty_us, 0, 0, 0, 0];
                }
                Some((self.entry(at), moment))
            }
            Err(_) => {
                let at = self.room(mark)?;
                self.places[at] = [mark.0 | kind as u64, 0, 0, 0, 0, 0];
                let moment = self.moment(now_us);
                Some((self.entry(at), moment))
            }
        }
    }

    /// Whether a key that is not known could enter.
    pub(super) fn makes_room(&mut self, mark: Mark) -> bool {
        self.taken < self.most || self.idle_on_the_way(mark).is_some() || self.sweep() || {
            self.full += 1;
            false
        }
    }

    /// When a key that is new decides.
    pub(super) fn moment(&self, now_us: u64) -> Moment {
        Moment { now_us: now_us.max(self.forgotten_us), latest_us: self.latest_us }
    }

    /// In microseconds of the clock; 0: there is none.
    pub(super) fn penalty_ends_us(&self, mark: Mark) -> u64 {
        self.find(mark).map_or(0, |at| self.places[at][1])
    }

    /// Forgets what was spent, and the penalty. Whether they said anything.
    pub(super) fn reset(&mut self, mark: Mark) -> bool {
        let Ok(at) = self.find(mark) else { return false };
        let said = self.idle_us(at) > self.latest_us;
        if Kind::read(self.places[at][0]) == Some(Kind::Concurrency) {
            return false;
        }
        self.places[at][1..].fill(0);
        said
    }

    fn tell(&mut self, now_us: u64) -> Moment {
        self.latest_us = self.latest_us.max(now_us);
        Moment { now_us, latest_us: self.latest_us }
    }

    fn entry(&mut self, at: usize) -> Entry<'_> {
        let [_, words @ ..] = &mut self.places[at];
        Entry { words }
    }

    /// Where a key stands, or else the first empty place behind where it would.
    fn find(&self, mark: Mark) -> Result<usize, usize> {
        let mut at = self.home(mark.0);
        loop {
            match self.places[at][0] {
                0 => return Err(at),
                word if mark.is(word) => return Ok(at),
                _ => at = self.behind(at),
            }
        }
    }

    /// A place for a key that is not known.
    fn room(&mut self, mark: Mark) -> Option<usize> {
        if let Some(at) = self.idle_on_the_way(mark) {
            self.forgotten_us = self.forgotten_us.max(self.idle_us(at));
            self.evictions += 1;
            return Some(at);
        }
        if self.taken >= self.most && !self.sweep() {
            self.full += 1;
            return None;
        }
        self.taken += 1;
        // The walk may have moved the empty place.
        self.find(mark).err()
    }

    fn idle_on_the_way(&self, mark: Mark) -> Option<usize> {
        let mut at = self.home(mark.0);
        while self.places[at][0] != 0 {
            if self.idle_us(at) <= self.latest_us {
                return Some(at);
            }
            at = self.behind(at);
        }
        None
    }

    /// Takes idle entries out; whether there were any.
    fn sweep(&mut self) -> bool {
        if self.latest_us < self.rests_us {
            return false;
        }
        let mut found = 0;
        for _ in 0..self.places.len() {
            while self.places[self.hand][0] != 0 && self.idle_us(self.hand) <= self.latest_us {
                self.forgotten_us = self.forgotten_us.max(self.idle_us(self.hand));
                self.remove(self.hand);
                found += 1;
            }
            if found >= ENOUGH {
                break;
            }
            self.hand = self.behind(self.hand);
        }
        self.evictions += found as u64;
        if found < ENOUGH {
            self.rests_us = self.latest_us.saturating_add(REST_US);
        }
        found > 0
    }

    fn remove(&mut self, mut hole: usize) {
        self.places[hole] = [0; 6];
        self.taken -= 1;
        let mut at = hole;
        loop {
            at = self.behind(at);
            if self.places[at][0] == 0 {
                break;
            }
            // Into the hole moves what would be looked for there on the way to its place.
            let home = self.home(self.places[at][0]);
            let steps = |from: usize| if at >= from { at - from } else { at + self.places.len() - from };
            if steps(home) >= steps(hole) {
                self.places.swap(hole, at);
                hole = at;
            }
        }
    }

    fn idle_us(&self, at: usize) -> u64 {
        let [word, words @ ..] = &self.places[at];
        Kind::read(*word).map_or(0, |kind| kind.idle_us(words))
    }

    /// By the high bits of the mark, for a number of places that is no power of two.
    fn home(&self, word: u64) -> usize {
        ((u128::from(word & !KIND) * self.places.len() as u128) >> 64) as usize
    }

    fn behind(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }
}
