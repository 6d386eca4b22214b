//! One connection to an origin.

use std::os::fd::OwnedFd;

use crate::chunked::Chunked;
use crate::poller::Interest;

/// What the next bytes from the origin are.
#[derive(Debug)]
pub(crate) enum Phase {
    Connecting,
    /// In its pool. Nothing may come.
    Idle,
    /// A response head (or, once the head is known, a body small enough to be handed over with it).
    Head,
    /// So many bytes of a body.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

#[derive(Debug)]
pub(crate) struct Connection<W> {
    pub(crate) fd: OwnedFd,
    pub(crate) watch: W,
    pub(crate) interest: Interest,
    pub(crate) origin: u32,
    pub(crate) address: u32,
    pub(crate) phase: Phase,
    /// The exchange's slot, unless idle.
    pub(crate) exchange: u32,
    /// Bytes that are not understood yet: part of a head, or a head with part of its small body.
    pub(crate) input: Vec<u8>,
    /// How much of `input` was searched for a head's end: a head that drips in is not parsed again for every byte.
    pub(crate) searched: usize,
    /// Head and small body together, once the head is known.
    pub(crate) needed: usize,
    /// 1xx responses seen in this exchange.
    pub(crate) interim: u32,
    /// A byte came for this exchange: from here on the request was answered, and is never sent again.
    pub(crate) heard: bool,
    pub(crate) paused: bool,
    pub(crate) keep_alive: bool,
    /// How long it may stay idle.
    pub(crate) keep_ms: u64,
    pub(crate) idle_since_ms: u64,
}

/// What an idle connection keeps of its input buffer.
const KEPT_CAPACITY: usize = 4 * 1024;

impl<W> Connection<W> {
    /// Ready for the next exchange.
    pub(crate) fn renew(&mut self, phase: Phase, exchange: u32) {
        self.phase = phase;
        self.exchange = exchange;
        self.input.clear();
        self.input.shrink_to(KEPT_CAPACITY);
        self.searched = 0;
        self.needed = 0;
        self.interim = 0;
        self.heard = false;
        self.paused = false;
        self.keep_alive = false;
    }
}

/// A place for a connection. Its generation tells events of an earlier one apart.
#[derive(Debug)]
pub(crate) struct Place<W> {
    pub(crate) generation: u32,
    pub(crate) connection: Option<Connection<W>>,
}
