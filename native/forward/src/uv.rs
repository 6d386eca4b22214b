//! The client inside a libuv loop: the one of the thread's Node.js environment.
//!
//! The loop's turn: sockets tell what they have in its poll phase ([`Client::ready`]; the front door's own sockets are
//! told in the same phase, and its handlers send requests right there), then the check phase hands all entries over
//! in one call. No borrow of the client is held while that call runs, so it may use the client as it likes.
//!
//! Every handle is unreferenced: the front door's sockets keep the loop alive, never ours. A loop that ends with open
//! handles aborts the whole process: [`InLoop::shutdown`] comes first.

use std::cell::{Cell, RefCell, RefMut};
use std::ffi::c_void;
use std::future::poll_fn;
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::task::Poll;

use portcullis_reactor::handles::{Handles, Owner, Watch};

use crate::arena::Arena;
use crate::client::{Client, TICK_MS};
use crate::counters;
use crate::poller::{Interest, Key, Poller};

/// A client that the loop drives. Cheap to clone; all clones are the same client.
#[derive(Clone)]
pub struct InLoop {
    shared: Rc<Shared>,
}

/// Takes the number of entries that wait.
pub type OnTurn = Box<dyn FnMut(usize)>;

/// What the loop's callbacks reach. Lives as long as any handle is open.
struct Shared {
    handles: Rc<Handles>,
    client: RefCell<Client<UvPoller>>,
    on_turn: RefCell<Option<OnTurn>>,
    /// A task of the reactor serves the client's streams.
    serves_streams: Cell<bool>,
}

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
    pub unsafe fn start(uv_loop: *mut c_void, arena: Arena, on_turn: OnTurn) -> io::Result<InLoop> {
        // SAFETY: the caller vouches for the loop.
        let handles = Rc::new(unsafe { Handles::new(uv_loop)? });
        let shared = Rc::new_cyclic(|shared| {
            let poller = UvPoller { handles: Rc::clone(&handles), shared: shared.clone() };
            // SAFETY: the caller vouches for the arena.
            let client = unsafe { Client::new(poller, arena) };
            Shared {
                handles,
                client: RefCell::new(client),
                on_turn: RefCell::new(Some(on_turn)),
                serves_streams: Cell::new(false),
            }
        });
        let started = Handles::start(&shared);
        let in_loop = InLoop { shared };
        started.inspect_err(|_| in_loop.shutdown(Box::new(|| ())))?;
        Ok(in_loop)
    }

    /// The client, borrowed for one call. Don't keep it across a call into JavaScript.
    ///
    /// # Panics
    /// When a borrow is held already: a mistake of the program.
    #[must_use]
    pub fn client(&self) -> RefMut<'_, Client<UvPoller>> {
        self.shared.client.borrow_mut()
    }

    /// Closes every connection and handle; `on_closed` is called, from the loop, when the last is closed. A loop that
    /// ends before aborts the process. Calling it again does nothing.
    pub fn shutdown(&self, on_closed: Box<dyn FnOnce()>) {
        let shared = Rc::clone(&self.shared);
        if shared.handles.is_shut() {
            return;
        }
        self.client().shutdown();
        let closed = move || {
            // It may own a clone of the client: dropping it breaks the circle.
            let on_turn = shared.on_turn.borrow_mut().take();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(on_turn)));
            on_closed();
        };
        Handles::close(&*self.shared, Box::new(closed));
    }

    /// Whether every handle is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.handles.is_closed()
    }
}

impl Owner for Shared {
    type Key = Key;

    fn handles(&self) -> &Handles {
        &self.handles
    }

    fn ready(&self, key: Key, readable: bool, writable: bool) {
        let ready = || self.with_client(|client| client.ready(key, readable, writable));
        if catch_unwind(AssertUnwindSafe(ready)).is_err() {
            let _ = catch_unwind(AssertUnwindSafe(|| self.with_client(|client| client.condemn(key))));
            self.count_panic();
        }
    }

    fn check(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.turn())).is_err() {
            self.count_panic();
        }
    }

    fn timer(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.with_client(Client::tick))).is_err() {
            self.count_panic();
        }
    }
}

impl Shared {
    /// Hands over what waits, in the check phase.
    fn turn(&self) {
        let count = match self.client.try_borrow_mut() {
            Ok(mut client) => client.take(),
            Err(_) => return,
        };
        if count > 0 {
            // Out of its place while it runs: it may shut the client down, and must not be called inside itself.
            let on_turn = self.on_turn.borrow_mut().take();
            if let Some(mut on_turn) = on_turn {
                let outcome = catch_unwind(AssertUnwindSafe(|| on_turn(count)));
                *self.on_turn.borrow_mut() = Some(on_turn);
                if outcome.is_err() {
                    self.count_panic();
                }
            }
        }
        let Ok(mut client) = self.client.try_borrow_mut() else { return };
        if count > 0 {
            client.reset();
        }
        if !client.waits() {
            self.handles.rest();
        }
    }

    fn with_client(&self, act: impl FnOnce(&mut Client<UvPoller>)) {
        if let Ok(mut client) = self.client.try_borrow_mut() {
            act(&mut client);
        }
    }

    fn count_panic(&self) {
        self.with_client(|client| {
            counters::add(&client.counters().panics);
        });
    }
}

/// Watches sockets with `uv_poll`.
pub struct UvPoller {
    handles: Rc<Handles>,
    /// The client, and so the poller, is owned by it.
    shared: Weak<Shared>,
}

/// A watched socket.
pub struct UvWatch(Watch<Shared>);

impl Poller for UvPoller {
    type Watch = UvWatch;

    fn watch(&mut self, fd: RawFd, key: Key, interest: Interest) -> io::Result<UvWatch> {
        let shared = self.shared.upgrade().ok_or_else(|| io::Error::other("the loop has ended"))?;
        Handles::watch(&shared, fd, key, interest).map(UvWatch)
    }

    fn change(&mut self, watch: &UvWatch, interest: Interest) {
        self.handles.change(&watch.0, interest);
    }

    fn unwatch(&mut self, watch: UvWatch) {
        self.handles.unwatch(watch.0);
    }

    fn now_ms(&self) -> u64 {
        self.handles.now_ms()
    }

    fn tick(&mut self, on: bool) {
        if let Some(shared) = self.shared.upgrade() {
            Handles::alarm(&*shared, on.then_some(TICK_MS), TICK_MS);
        }
    }

    fn serve_streams(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        if shared.serves_streams.replace(true) {
            return;
        }
        let shared = self.shared.clone();
        portcullis_reactor::spawn(async move {
            let Some(bell) = shared.upgrade().and_then(|it| Some(it.client.try_borrow().ok()?.bell())) else { return };
            poll_fn(|context| {
                let Some(shared) = shared.upgrade() else { return Poll::Ready(()) };
                let serve = || shared.with_client(Client::serve_streams);
                if bell.poll_rung(context).is_ready() && catch_unwind(AssertUnwindSafe(serve)).is_err() {
                    let condemn = || shared.with_client(Client::condemn_stream);
                    let _ = catch_unwind(AssertUnwindSafe(condemn));
                    shared.count_panic();
                }
                Poll::Pending
            })
            .await;
        });
    }

    fn wake(&mut self) {
        self.handles.wake();
    }
}
