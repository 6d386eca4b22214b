//! What the reactor needs of an event loop. Level-triggered: what was not read is told again.

use std::io;
use std::os::fd::RawFd;

/// What a socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    pub readable: bool,
    pub writable: bool,
}

impl Interest {
    pub const READ: Interest = Interest { readable: true, writable: false };
    pub const BOTH: Interest = Interest { readable: true, writable: true };
}

/// An event loop of the same thread. It calls [`crate::socket::ready`] for a watched socket, [`crate::sleep::fire`] when
/// the time of [`Driver::alarm`] has come, and [`crate::run`] behind either.
pub(crate) trait Driver {
    /// Starts watching a non-blocking socket for reading; `key` comes back with its events.
    fn watch(&self, fd: RawFd, key: usize) -> io::Result<()>;

    /// Changes what a socket is watched for; both off means not watched for now.
    fn change(&self, key: usize, interest: Interest);

    /// Stops watching. No event for this socket follows, and it may be closed at once.
    fn unwatch(&self, key: usize);

    /// Milliseconds of a monotonic clock as the loop last read it.
    fn now_ms(&self) -> u64;

    /// When to call [`crate::sleep::fire`] next; None: never.
    fn alarm(&self, at_ms: Option<u64>);

    /// A task became ready outside the loop's own events: the next turn must not wait for a socket.
    fn wake(&self);

    /// What wakes the loop from another thread.
    fn remote(&self) -> Box<dyn Fn() + Send + Sync>;
}
