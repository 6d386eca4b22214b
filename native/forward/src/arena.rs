//! What one turn of the loop hands over: a table of entries beside the bytes that they point into.
//!
//! Both belong to the caller (two JavaScript ArrayBuffers); nothing here grows. When either is full, sockets are left
//! unread until the next turn: the kernel keeps the bytes and the origin feels it as backpressure.

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
    /// A whole response: head and body, nothing follows.
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
    /// The response's fields, each preceded by CRLF and checked: `\r\nName: value\r\nName: value`; may be empty.
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

    pub const NO_FAULT: u32 = u32::MAX;
    pub const NO_ADDRESS: u32 = u32::MAX;
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
    /// A read makes at most three entries.
    pub const MIN_ENTRIES: usize = 16;
}
