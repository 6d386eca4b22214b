//! One request under way, from `send` to its last entry.

use std::time::Instant;

use portcullis_engine::reason::Reason;

use crate::arena::{Entry, Kind, Token};
use crate::client::ID_BYTES;
use crate::h2::stream::Stream;
use crate::response::Added;

/// Where an exchange stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The slot is empty.
    Free,
    /// In its origin's queue.
    Waiting,
    /// On a connection, which may still be connecting.
    On(u32),
    /// On an HTTP/2 connection, which may still be opening: [`Exchange::stream`] says which.
    Stream,
}

/// What of the request's body is still to come from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coming {
    Nothing,
    Bytes(u64),
    Chunks,
}

pub(crate) struct Exchange {
    pub(crate) token: Token,
    pub(crate) id: [u8; ID_BYTES],
    pub(crate) closes: bool,
    /// What the response says besides, each preceded by CR LF.
    pub(crate) fields: Vec<u8>,
    pub(crate) stage: Stage,
    pub(crate) origin: u32,
    /// The address in use, or tried last.
    pub(crate) address: u32,
    /// Request bytes: those from `written` on are not sent yet. Kept from the first byte on while `kept`.
    pub(crate) output: Vec<u8>,
    pub(crate) written: usize,
    /// `output` starts with the request's first byte, so that it can be sent again.
    pub(crate) kept: bool,
    /// The origin takes nothing more, but may have answered already: what comes for it is dropped.
    pub(crate) deaf: bool,
    pub(crate) coming: Coming,
    /// Every byte of the request went to the kernel.
    pub(crate) sent: bool,
    /// The client was told to pause its body.
    pub(crate) told_pause: bool,
    pub(crate) is_head: bool,
    pub(crate) takes_trailers: bool,
    pub(crate) takes_interim: bool,
    pub(crate) idempotent: bool,
    /// All of the request was there at once: nothing comes through `body`.
    pub(crate) is_whole: bool,
    /// The connection had served before.
    pub(crate) reused: bool,
    pub(crate) retried: bool,
    pub(crate) head_sent: bool,
    /// One bit an address to which connecting failed.
    pub(crate) tried: u64,
    /// What connecting failed with last.
    pub(crate) fault: Reason,
    /// While waiting: when to give up. While connecting: when all attempts end.
    pub(crate) deadline_ms: u64,
    pub(crate) sent_at: Option<Instant>,
    pub(crate) origin_us: u32,
    /// Its way to an HTTP/2 origin; None towards others.
    pub(crate) stream: Option<Box<Stream>>,
}

/// What a slot keeps of its output buffer between exchanges: most heads fit, and 10,000 slots hold 40 MiB at worst.
const KEPT_CAPACITY: usize = 4 * 1024;

impl Exchange {
    pub(crate) fn free() -> Exchange {
        Exchange {
            token: Token { slot: 0, generation: 0 },
            id: [0; ID_BYTES],
            closes: false,
            fields: Vec::new(),
            stage: Stage::Free,
            origin: 0,
            address: Entry::NO_ADDRESS,
            output: Vec::new(),
            written: 0,
            kept: false,
            deaf: false,
            coming: Coming::Nothing,
            sent: false,
            told_pause: false,
            is_head: false,
            takes_trailers: false,
            takes_interim: false,
            idempotent: false,
            is_whole: false,
            reused: false,
            retried: false,
            head_sent: false,
            tried: 0,
            fault: Reason::OriginConnect,
            deadline_ms: 0,
            sent_at: None,
            origin_us: 0,
            stream: None,
        }
    }

    /// Empties the slot.
    pub(crate) fn clear(&mut self) {
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        if output.capacity() > KEPT_CAPACITY {
            output = Vec::new();
        }
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Exchange { output, fields, ..Exchange::free() };
    }

    pub(crate) fn added(&self) -> Added<'_> {
        Added { id: &self.id, closes: self.closes, fields: &self.fields }
    }

    /// Bytes that wait to be written.
    pub(crate) fn pending(&self) -> usize {
        if self.deaf { 0 } else { self.output.len() - self.written }
    }

    /// Whether the request may go out a second time: repeating it does no harm, or nobody has seen any of it.
    pub(crate) fn may_be_retried(&self) -> bool {
        self.reused && !self.retried && self.kept && ((self.idempotent && self.is_whole) || self.written == 0)
    }

    /// Forgets what is written, once it is not needed for a retry.
    pub(crate) fn forget_written(&mut self) {
        if self.written > 0 && !self.may_be_retried() {
            self.output.drain(..self.written);
            self.written = 0;
            self.kept = false;
        }
    }

    pub(crate) fn entry(&self, kind: Kind) -> Entry {
        Entry {
            flags: if self.reused { Entry::REUSED } else { 0 },
            address: self.address,
            ..Entry::of(self.token, kind)
        }
    }

    /// Of a response's head, whose block begins at `start` in the arena.
    pub(crate) fn head_entry(
        &self,
        kind: Kind,
        status: u16,
        start: u32,
        block_len: usize,
        length: Option<u64>,
    ) -> Entry {
        let mut entry = self.entry(kind);
        entry.status = u32::from(status);
        entry.block_start = start;
        entry.block_len = block_len as u32;
        entry.origin_us = self.origin_us;
        if let Some(length) = length {
            entry.flags |= Entry::LENGTH;
            entry.length_lo = length as u32;
            entry.length_hi = (length >> 32) as u32;
        }
        entry
    }

    /// [`Entry::EARLY`], if the response's end is.
    pub(crate) fn early(&self) -> u32 {
        if self.sent { 0 } else { Entry::EARLY }
    }
}
