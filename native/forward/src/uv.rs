//! The client inside a libuv loop: the one of the thread's Node.js environment.

use std::cell::RefMut;
use std::ffi::c_void;
use std::io;
use std::os::fd::RawFd;

use crate::arena::Arena;
use crate::client::Client;
use crate::poller::{Interest, Key, Poller};

/// A client that the loop drives. Cheap to clone; all clones are the same client.
pub struct InLoop {}

impl InLoop {
    /// Puts a client into a loop. `on_turn` is called right after the loop's poll phase when entries wait, with their
    /// number; no borrow of the client is held then, so it may call [`InLoop::client`] as it likes. When it returns,
    /// the entries' memory is used again. It has to open its own napi handle scope.
    ///
    /// # Safety
    /// `uv_loop` is the running loop of this thread (`napi_get_uv_event_loop`), and the arena's memory lives until
    /// [`InLoop::shutdown`] has called back (see [`Client::new`]).
    ///
    /// # Errors
    /// When this process exports no libuv, or the loop refuses a handle.
    pub unsafe fn start(uv_loop: *mut c_void, arena: Arena, on_turn: Box<dyn FnMut(usize)>) -> io::Result<InLoop> {
        let _ = (uv_loop, arena, on_turn);
        todo!()
    }

    /// The client, borrowed for one call. Don't keep it across a call into JavaScript.
    #[must_use]
    pub fn client(&self) -> RefMut<'_, Client<UvPoller>> {
        todo!()
    }

    /// Closes every connection and handle; `on_closed` is called, from the loop, when the last is closed. A loop that
    /// ends before aborts the process. Calling it again does nothing.
    pub fn shutdown(&self, on_closed: Box<dyn FnOnce()>) {
        let _ = on_closed;
    }

    /// Whether every handle is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}

/// Watches sockets with `uv_poll`.
pub struct UvPoller {}

impl Poller for UvPoller {
    type Watch = ();

    fn watch(&mut self, _fd: RawFd, _key: Key, _interest: Interest) -> io::Result<()> {
        todo!()
    }
    fn change(&mut self, _watch: &(), _interest: Interest) {}
    fn unwatch(&mut self, _watch: ()) {}
    fn now_ms(&self) -> u64 {
        0
    }
    fn wake(&mut self) {}
}
