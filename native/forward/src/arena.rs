//! What one turn of the loop hands over: a table of entries beside the bytes that they point into.
//!
//! Both belong to the caller (two JavaScript ArrayBuffers); nothing here grows. When either is full, sockets are left
//! unread until the next turn: the kernel keeps the bytes and the origin feels it as backpressure.

use std::collections::VecDeque;
use std::mem;

/// Names one exchange. The generation keeps a late answer away from a newer request in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub slot: u32,
    pub generation: u32,
}

/// What an [`Entry`] tells. The numbers are part of the door's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A whole response: head and body, nothing follows. Also a head alone that ends its stream: gRPC's trailers-only.
    Whole = 1,
    /// A response head; Chunk entries and one End (or Failed) follow.
    Head = 2,
    /// A piece of the body.
    Chunk = 3,
    /// The body is complete.
    End = 4,
    /// No (further) response: `fault` holds the reason. With [`Entry::HEAD_SENT`] a head went before, so that the
    /// client's connection has to be closed: a made-up end would look like a whole answer.
    Failed = 5,
    /// [`crate::Client::body`] said Pause; it may be called again.
    Drained = 6,
    /// Never made here: the edge puts it in the place of a response that it checks, to be asked about.
    Responded = 7,
    /// Trailers, ahead of End: the block holds `Name: value` lines, CR LF between them. Only for requests that say
    /// [`crate::Request::takes_trailers`].
    Trailers = 8,
    /// A 1xx response, ahead of Whole or Head: `status` and `block` as theirs. Only for requests that say
    /// [`crate::Request::takes_interim`].
    Interim = 9,
}

/// One row of the table: sixteen 32-bit words, so that JavaScript finds row n at word 16 n.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Entry {
    pub slot: u32,
    pub generation: u32,
    /// [`Kind`] as a number.
    pub kind: u32,
    /// 200 to 599 in Whole and Head.
    pub status: u32,
    /// The constants below, or'ed.
    pub flags: u32,
    /// Status line and fields as they are written to the client, checked: `200 OK\r\nX-Request-Id: ..\r\nName: value`.
    pub block_start: u32,
    pub block_len: u32,
    pub body_start: u32,
    pub body_len: u32,
    /// Content-Length as the origin gave it, low and high word; counts only with [`Entry::LENGTH`].
    pub length_lo: u32,
    pub length_hi: u32,
    /// Microseconds from the request's last byte written to the response's first byte read; Whole and Head.
    pub origin_us: u32,
    /// `Reason as u32` in Failed, else [`Entry::NO_FAULT`].
    pub fault: u32,
    /// Which of the origin's addresses it was, [`Entry::NO_ADDRESS`] when none was reached.
    pub address: u32,
    pub reserved: [u32; 2],
}

impl Entry {
    /// HEAD, 204 or 304: there is no body, whatever the length says.
    pub const NO_BODY: u32 = 1;
    /// `length_lo` and `length_hi` hold the origin's Content-Length.
    pub const LENGTH: u32 = 2;
    /// Failed: a Head entry of this exchange went before.
    pub const HEAD_SENT: u32 = 4;
    /// Whole and End: the origin answered before it had the whole request body; further pieces are ignored.
    pub const EARLY: u32 = 8;
    /// The request went out on a connection that had served before.
    pub const REUSED: u32 = 16;
    /// Chunk and Trailers: nothing follows. Never set here: whoever hands rows on may put it where an End would be one
    /// row too many.
    pub const LAST: u32 = 32;

    pub const NO_FAULT: u32 = u32::MAX;
    pub const NO_ADDRESS: u32 = u32::MAX;

    #[must_use]
    pub fn of(token: Token, kind: Kind) -> Entry {
        Entry {
            slot: token.slot,
            generation: token.generation,
            kind: kind as u32,
            fault: Entry::NO_FAULT,
            address: Entry::NO_ADDRESS,
            ..Entry::default()
        }
    }

    /// Content-Length as the origin gave it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        (self.flags & Entry::LENGTH != 0).then(|| u64::from(self.length_hi) << 32 | u64::from(self.length_lo))
    }
}

/// The caller's memory.
#[derive(Debug, Clone, Copy)]
pub struct Arena {
    pub bytes: *mut u8,
    /// At least [`Arena::MIN_BYTES`].
    pub len: usize,
    pub entries: *mut Entry,
    /// At least [`Arena::MIN_ENTRIES`].
    pub capacity: usize,
}

impl Arena {
    /// One largest head, one largest whole body and one read must fit together, with room to spare.
    pub const MIN_BYTES: usize = 512 * 1024;
    /// What one read makes at most has to fit.
    pub const MIN_ENTRIES: usize = 16;
}

/// The turn being filled.
pub(crate) struct Turn {
    arena: Arena,
    used: usize,
    count: usize,
    /// Between `take` and `reset` JavaScript reads the memory: nothing may be written.
    taken: bool,
    /// Entries that found no place; they carry no bytes, and each exchange has at most three of them (Drained, Failed, one of
    /// the caller's own).
    deferred: VecDeque<Entry>,
}

impl Turn {
    pub(crate) fn new(arena: Arena) -> Turn {
        Turn { arena, used: 0, count: 0, taken: false, deferred: VecDeque::new() }
    }

    /// Whether a read's entries would find a place.
    pub(crate) fn has_entries_for_a_read(&self) -> bool {
        !self.taken && self.deferred.is_empty() && self.count + ENTRIES_A_READ <= self.arena.capacity
    }

    /// Where the next byte goes.
    pub(crate) fn start(&self) -> u32 {
        // An arena of 4 GiB or more is refused when the client is made.
        self.used as u32
    }

    pub(crate) fn room(&self) -> usize {
        self.arena.len - self.used
    }

    /// The free part of the arena.
    pub(crate) fn tail(&mut self) -> &mut [u8] {
        debug_assert!(!self.taken);
        // SAFETY: the creator vouches for the memory (`Client::new`), `used` never passes its length, and nobody else
        // holds a reference into it: JavaScript looks at it between `take` and `reset` only, when nothing is written.
        unsafe { std::slice::from_raw_parts_mut(self.arena.bytes.add(self.used), self.arena.len - self.used) }
    }

    /// Keeps the first `len` bytes of the tail.
    pub(crate) fn keep(&mut self, len: usize) {
        assert!(len <= self.room());
        self.used += len;
    }

    /// Adds an entry, at the next turn when there is no place in this one.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.taken || self.count == self.arena.capacity || !self.deferred.is_empty() {
            self.deferred.push_back(entry);
        } else {
            self.write(entry);
        }
    }

    /// Keeps `len` bytes of the tail as a piece of a body; grown onto the piece before, when that lies right ahead.
    pub(crate) fn push_chunk(&mut self, token: Token, len: usize) {
        let start = self.start();
        self.keep(len);
        if self.count > 0 {
            // SAFETY: entries below `count` were written.
            let last = unsafe { &mut *self.arena.entries.add(self.count - 1) };
            let same = (last.slot, last.generation) == (token.slot, token.generation);
            if same && last.kind == Kind::Chunk as u32 && last.body_start + last.body_len == start {
                last.body_len += len as u32;
                return;
            }
        }
        self.push(Entry { body_start: start, body_len: len as u32, ..Entry::of(token, Kind::Chunk) });
    }

    fn write(&mut self, entry: Entry) {
        // SAFETY: `count` is below the capacity that the creator vouches for.
        unsafe { self.arena.entries.add(self.count).write(entry) };
        self.count += 1;
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.taken
    }

    pub(crate) fn waits(&self) -> bool {
        self.count > 0 || !self.deferred.is_empty()
    }

    pub(crate) fn take(&mut self) -> usize {
        self.taken = self.count > 0;
        self.count
    }

    pub(crate) fn reset(&mut self) {
        if !mem::take(&mut self.taken) {
            return;
        }
        self.used = 0;
        self.count = 0;
        while self.count < self.arena.capacity
            && let Some(entry) = self.deferred.pop_front()
        {
            self.write(entry);
        }
    }
}

/// A read makes at most eight Interims, a Head, a Chunk, Trailers and an End; a connection that is handed on at once
/// may add a Failed.
const ENTRIES_A_READ: usize = 13;
