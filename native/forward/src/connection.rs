//! One connection to an origin.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::chunked::Chunked;
use crate::poller::Interest;
use crate::socket;
use crate::tls::Session;

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
    /// None in the clear.
    pub(crate) tls: Option<Box<Session>>,
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
    /// Sends as much as is taken of the parts, in one call.
    pub(crate) fn send(&mut self, parts: &[&[u8]]) -> io::Result<usize> {
        match &mut self.tls {
            None => socket::send(self.fd.as_raw_fd(), parts),
            Some(tls) => tls.send(self.fd.as_raw_fd(), parts),
        }
    }

    /// 0 at the end of the stream.
    pub(crate) fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => socket::recv(self.fd.as_raw_fd(), into),
            Some(tls) => tls.recv(self.fd.as_raw_fd(), into),
        }
    }

    /// Whether the origin has said nothing, neither bytes nor the end.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match &mut self.tls {
            None => socket::is_quiet(self.fd.as_raw_fd()),
            Some(tls) => tls.is_quiet(self.fd.as_raw_fd()),
        }
    }

    /// Bytes of ours that wait encrypted for the socket.
    pub(crate) fn is_stuck(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// A read that did not fill its buffer may have left something that the loop does not tell of.
    pub(crate) fn may_have_more(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.may_have_more())
    }

    /// Decrypted bytes that nobody took yet: the loop does not tell of them.
    pub(crate) fn has_plaintext(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_plaintext())
    }

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
