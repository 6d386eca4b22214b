//! What the client needs of an event loop. Level-triggered: what was not read is told again.

use std::io;
use std::os::fd::RawFd;

pub use portcullis_reactor::Interest;

/// Names a watched socket; never used twice by one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// An event loop of the same thread.
pub trait Poller {
    type Watch;

    /// Starts watching a non-blocking socket. From then on the loop calls [`crate::Client::ready`] with `key`.
    ///
    /// # Errors
    /// When the loop cannot take the socket.
    fn watch(&mut self, fd: RawFd, key: Key, interest: Interest) -> io::Result<Self::Watch>;

    /// Changes what a socket is watched for; both off means not watched for now.
    fn change(&mut self, watch: &Self::Watch, interest: Interest);

    /// Stops watching. No call for this socket follows, and it may be closed at once.
    fn unwatch(&mut self, watch: Self::Watch);

    /// Milliseconds of a monotonic clock as the loop last read it: cheap, called several times a request.
    fn now_ms(&self) -> u64;

    /// From now on [`crate::Client::tick`] is to be called about every [`crate::client::TICK_MS`], or no longer.
    fn tick(&mut self, on: bool);

    /// From now on [`crate::Client::serve_streams`] is to be called whenever the [`crate::Client::bell`] rings.
    fn serve_streams(&mut self);

    /// Entries came up outside the loop's poll phase: the next turn must not wait for a socket.
    fn wake(&mut self);
}
