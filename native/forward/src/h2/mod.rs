//! HTTP/2 towards origins: the same requests, the same entries.
//!
//! Connections are tasks of the thread's reactor ([`link`]); streams belong to the client, which looks at those that
//! were woken ([`ready`]) and copies what they have straight into the turn's arena (`client/streams.rs`). What finds no
//! room there stays in its stream, whose window then closes: the origin feels a slow client as it does over HTTP/1.1.

pub(crate) mod answer;
pub(crate) mod head;
pub(crate) mod link;
pub(crate) mod ready;
pub(crate) mod stream;

use std::rc::Rc;
use std::task::Waker;

use portcullis_reactor::{Bell, Wakers};

use crate::client::NEVER;
use link::{Link, LinkKey};
use ready::Board;

/// A client's HTTP/2 connections, and what its streams share.
pub(crate) struct Links {
    places: Vec<Place>,
    free: Vec<u32>,
    pub(crate) board: Board,
    /// Of whatever stream a slot's exchange has.
    wakers: Wakers,
    /// When something has to happen to a stream, by its slot.
    pub(crate) deadlines_ms: Vec<u64>,
    /// Streams that found no room in the arena.
    pub(crate) starved: Vec<u32>,
    /// They were woken when the arena was not to be touched.
    pub(crate) missed: bool,
    /// Empty, kept for its memory.
    pub(crate) slots: Vec<u32>,
    /// The slot being served: a panic is its.
    pub(crate) serving: Option<u32>,
}

#[derive(Default)]
struct Place {
    generation: u32,
    link: Option<Link>,
}

impl Default for Links {
    fn default() -> Links {
        let wakers = Wakers::default();
        Links {
            places: Vec::new(),
            free: Vec::new(),
            board: Board { news: Rc::default(), bell: wakers.bell() },
            wakers,
            deadlines_ms: Vec::new(),
            starved: Vec::new(),
            missed: false,
            slots: Vec::new(),
            serving: None,
        }
    }
}

impl Links {
    /// Rings when a stream was woken, or a connection has news.
    pub(crate) fn bell(&self) -> Bell {
        self.board.bell.clone()
    }

    /// A key for a connection that is about to be made.
    pub(crate) fn next_key(&mut self) -> LinkKey {
        let index = self.free.pop().unwrap_or(self.places.len() as u32);
        if index as usize == self.places.len() {
            self.places.push(Place::default());
        }
        LinkKey { index, generation: self.places[index as usize].generation }
    }

    pub(crate) fn put(&mut self, key: LinkKey, link: Link) {
        self.places[key.index as usize].link = Some(link);
    }

    pub(crate) fn get(&mut self, key: LinkKey) -> Option<&mut Link> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation == key.generation { place.link.as_mut() } else { None }
    }

    /// By its place alone, as pools name them.
    pub(crate) fn at(&self, index: u32) -> Option<&Link> {
        self.places.get(index as usize)?.link.as_ref()
    }

    pub(crate) fn key_at(&self, index: u32) -> LinkKey {
        let generation = self.places.get(index as usize).map_or(0, |place| place.generation);
        LinkKey { index, generation }
    }

    pub(crate) fn remove(&mut self, key: LinkKey) -> Option<Link> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let link = place.link.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(link)
    }

    pub(crate) fn len(&self) -> u32 {
        self.places.len() as u32
    }

    pub(crate) fn keys(&self) -> Vec<LinkKey> {
        let open = self.places.iter().enumerate().filter(|(_, place)| place.link.is_some());
        open.map(|(index, place)| LinkKey { index: index as u32, generation: place.generation }).collect()
    }

    pub(crate) fn waker(&mut self, slot: u32) -> Waker {
        self.wakers.waker(slot)
    }

    /// The slots whose streams were woken, in place of the (empty) list given.
    pub(crate) fn take_woken(&mut self, slots: &mut Vec<u32>) {
        self.wakers.take(slots);
    }

    pub(crate) fn set_deadline(&mut self, slot: u32, at_ms: u64) {
        let at = slot as usize;
        if at >= self.deadlines_ms.len() {
            self.deadlines_ms.resize(at + 1, NEVER);
        }
        self.deadlines_ms[at] = at_ms;
    }
}
