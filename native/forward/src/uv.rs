//! The client inside a libuv loop: the one of the thread's Node.js environment.
//!
//! The loop's turn: sockets tell what they have in its poll phase ([`Client::ready`]; the front door's own sockets are
//! told in the same phase, and its handlers send requests right there), then the check phase hands all entries over
//! in one call. No borrow of the client is held while that call runs, so it may use the client as it likes.
//!
//! Every handle is unreferenced: the front door's sockets keep the loop alive, never ours. A loop that ends with open
//! handles aborts the whole process: [`InLoop::shutdown`] comes first.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell, RefMut};
use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::arena::Arena;
use crate::client::{Client, TICK_MS};
use crate::counters;
use crate::poller::{Interest, Key, Poller};

use portcullis_reactor::libuv::{self, Handle, HandleKind, Uv};

/// A client that the loop drives. Cheap to clone; all clones are the same client.
#[derive(Clone)]
pub struct InLoop {
    shared: Rc<Shared>,
}

/// Takes the number of entries that wait.
pub type OnTurn = Box<dyn FnMut(usize)>;

/// What the callbacks reach. Lives as long as any handle is open: each handle owns a count of it.
struct Shared {
    uv: &'static Uv,
    client: RefCell<Option<Client<UvPoller>>>,
    on_turn: RefCell<Option<OnTurn>>,
    on_closed: RefCell<Option<Box<dyn FnOnce()>>>,
    check: Cell<*mut Handle>,
    idle: Cell<*mut Handle>,
    timer: Cell<*mut Handle>,
    is_idling: Cell<bool>,
    /// A task of the reactor serves the client's streams.
    serves_streams: Cell<bool>,
    open_handles: Cell<usize>,
    is_shut: Cell<bool>,
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
        let uv = Uv::get().ok_or_else(|| io::Error::other("this process exports no libuv"))?;
        let shared = Rc::new(Shared {
            uv,
            client: RefCell::new(None),
            on_turn: RefCell::new(Some(on_turn)),
            on_closed: RefCell::new(None),
            check: Cell::default(),
            idle: Cell::default(),
            timer: Cell::default(),
            is_idling: Cell::new(false),
            serves_streams: Cell::new(false),
            open_handles: Cell::new(0),
            is_shut: Cell::new(false),
        });
        let poller = UvPoller { uv_loop, shared: Rc::downgrade(&shared), uv };
        // SAFETY: the caller vouches for loop and arena; each handle is initialised before it is started, and closed
        // before it is freed.
        unsafe {
            *shared.client.borrow_mut() = Some(Client::new(poller, arena));
            shared.check.set(shared.make(HandleKind::Check, NO_KEY, |handle| (uv.check_init)(uv_loop, handle))?);
            let in_loop = InLoop { shared };
            in_loop.start_phases(uv_loop).inspect_err(|_| in_loop.shutdown(Box::new(|| ())))?;
            Ok(in_loop)
        }
    }

    unsafe fn start_phases(&self, uv_loop: *mut c_void) -> io::Result<()> {
        let (shared, uv) = (&self.shared, self.shared.uv);
        // SAFETY: as in `start`.
        unsafe {
            shared.idle.set(shared.make(HandleKind::Idle, NO_KEY, |handle| (uv.idle_init)(uv_loop, handle))?);
            shared.timer.set(shared.make(HandleKind::Timer, NO_KEY, |handle| (uv.timer_init)(uv_loop, handle))?);
            succeeded((uv.check_start)(shared.check.get(), on_check))
        }
    }

    /// The client, borrowed for one call. Don't keep it across a call into JavaScript.
    ///
    /// # Panics
    /// When a borrow is held already: a mistake of the program.
    #[must_use]
    pub fn client(&self) -> RefMut<'_, Client<UvPoller>> {
        RefMut::map(self.shared.client.borrow_mut(), |client| client.as_mut().expect("set when the loop was entered"))
    }

    /// Closes every connection and handle; `on_closed` is called, from the loop, when the last is closed. A loop that
    /// ends before aborts the process. Calling it again does nothing.
    pub fn shutdown(&self, on_closed: Box<dyn FnOnce()>) {
        let shared = &self.shared;
        if shared.is_shut.replace(true) {
            return;
        }
        *shared.on_closed.borrow_mut() = Some(on_closed);
        self.client().shutdown();
        for handle in [&shared.check, &shared.idle, &shared.timer] {
            let handle = handle.replace(std::ptr::null_mut());
            if !handle.is_null() {
                // SAFETY: open, and closed once.
                unsafe { (shared.uv.close)(handle, Some(on_close)) };
            }
        }
    }

    /// Whether every handle is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_shut.get() && self.shared.open_handles.get() == 0
    }
}

impl Shared {
    /// Makes an unreferenced handle whose data is an [`Own`].
    unsafe fn make(
        self: &Rc<Shared>,
        kind: HandleKind,
        key: Key,
        init: impl FnOnce(*mut Handle) -> c_int,
    ) -> io::Result<*mut Handle> {
        let uv = self.uv;
        // SAFETY: libuv says how large the handle is; it is freed in `on_close`, or here when it was never opened.
        unsafe {
            let layout = layout(uv, kind);
            let handle = alloc_zeroed(layout).cast::<Handle>();
            if handle.is_null() {
                handle_alloc_error(layout);
            }
            if let Err(error) = succeeded(init(handle)) {
                dealloc(handle.cast(), layout);
                return Err(error);
            }
            let own = Own { shared: Rc::clone(self), key, kind, events: Cell::new(0) };
            (uv.handle_set_data)(handle, Box::into_raw(Box::new(own)).cast());
            (uv.unref)(handle);
            self.open_handles.set(self.open_handles.get() + 1);
            Ok(handle)
        }
    }

    /// Hands over what waits, in the check phase.
    fn turn(&self) {
        let count = match self.client.try_borrow_mut() {
            Ok(mut client) => client.as_mut().map_or(0, Client::take),
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
        let Some(client) = client.as_mut() else { return };
        if count > 0 {
            client.reset();
        }
        if !client.waits() && self.is_idling.replace(false) {
            let idle = self.idle.get();
            if !idle.is_null() {
                // SAFETY: an open handle.
                unsafe { (self.uv.idle_stop)(idle) };
            }
        }
    }

    fn with_client(&self, act: impl FnOnce(&mut Client<UvPoller>)) {
        if let Ok(mut client) = self.client.try_borrow_mut()
            && let Some(client) = client.as_mut()
        {
            act(client);
        }
    }

    fn count_panic(&self) {
        self.with_client(|client| {
            counters::add(&client.counters().panics);
        });
    }
}

/// What a handle's data points to.
struct Own {
    shared: Rc<Shared>,
    key: Key,
    kind: HandleKind,
    /// What a uv_poll handle is started for.
    events: Cell<c_int>,
}

/// The key of a handle that watches no socket.
const NO_KEY: Key = Key { index: u32::MAX, generation: u32::MAX };

/// Watches sockets with `uv_poll`.
pub struct UvPoller {
    uv_loop: *mut c_void,
    /// Weak: the client, and so the poller, is owned by it.
    shared: std::rc::Weak<Shared>,
    uv: &'static Uv,
}

/// A watched socket.
#[derive(Debug)]
pub struct UvWatch(*mut Handle);

impl Poller for UvPoller {
    type Watch = UvWatch;

    fn watch(&mut self, fd: RawFd, key: Key, interest: Interest) -> io::Result<UvWatch> {
        let shared = self.shared.upgrade().ok_or_else(|| io::Error::other("the loop has ended"))?;
        // SAFETY: `start`'s caller vouches for the loop.
        let handle = unsafe {
            shared.make(HandleKind::Poll, key, |handle| (self.uv.poll_init_socket)(self.uv_loop, handle, fd))?
        };
        let watch = UvWatch(handle);
        self.change(&watch, interest);
        Ok(watch)
    }

    fn change(&mut self, watch: &UvWatch, interest: Interest) {
        let readable = if interest.readable { libuv::READABLE } else { 0 };
        let events = readable | if interest.writable { libuv::WRITABLE } else { 0 };
        // SAFETY: a watch's handle is open until `unwatch` takes it, and its data is an `Own` until `on_close`.
        unsafe {
            (*(self.uv.handle_get_data)(watch.0).cast::<Own>()).events.set(events);
            // Neither can fail on an open handle: the loop's memory was grown when the socket was first watched.
            let _ =
                if events == 0 { (self.uv.poll_stop)(watch.0) } else { (self.uv.poll_start)(watch.0, events, on_poll) };
        }
    }

    fn unwatch(&mut self, watch: UvWatch) {
        // SAFETY: open, and taken by value: closed once. libuv forgets the descriptor within this call.
        unsafe { (self.uv.close)(watch.0, Some(on_close)) };
    }

    fn now_ms(&self) -> u64 {
        // SAFETY: the loop lives as long as the client.
        unsafe { (self.uv.now)(self.uv_loop) }
    }

    fn tick(&mut self, on: bool) {
        let Some(shared) = self.shared.upgrade() else { return };
        let timer = shared.timer.get();
        if timer.is_null() {
            return;
        }
        // SAFETY: an open handle.
        unsafe {
            let _ =
                if on { (self.uv.timer_start)(timer, on_tick, TICK_MS, TICK_MS) } else { (self.uv.timer_stop)(timer) };
        }
    }

    fn serve_streams(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        if shared.serves_streams.replace(true) {
            return;
        }
        let shared = self.shared.clone();
        portcullis_reactor::spawn(async move {
            let Some(bell) = shared.upgrade().and_then(|it| Some(it.client.try_borrow().ok()?.as_ref()?.bell())) else {
                return;
            };
            loop {
                bell.rung().await;
                let Some(shared) = shared.upgrade() else { return };
                let serve = || shared.with_client(Client::serve_streams);
                if catch_unwind(AssertUnwindSafe(serve)).is_err() {
                    let condemn = || shared.with_client(Client::condemn_stream);
                    let _ = catch_unwind(AssertUnwindSafe(condemn));
                    shared.count_panic();
                }
            }
        });
    }

    fn wake(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let idle = shared.idle.get();
        if !idle.is_null() && !shared.is_idling.replace(true) {
            // An active idle handle keeps the loop from waiting in its poll phase.
            // SAFETY: an open handle.
            unsafe { (self.uv.idle_start)(idle, on_idle) };
        }
    }
}

// The callbacks. None lets a panic out: unwinding into C is the end of the process.

/// SAFETY: for handles made by `Shared::make` only.
unsafe fn own<'a>(handle: *mut Handle) -> &'a Own {
    // SAFETY: such a handle's data is an `Own` until `on_close`, in which nobody else looks.
    unsafe {
        let uv = Uv::get().expect("there are handles");
        &*(uv.handle_get_data)(handle).cast::<Own>()
    }
}

unsafe extern "C" fn on_poll(handle: *mut Handle, status: c_int, events: c_int) {
    // SAFETY: called by the loop for an open handle. It may be closed meanwhile, but is freed in a later phase.
    let own = unsafe { own(handle) };
    let shared = Rc::clone(&own.shared);
    // An error of the socket is for `recv` to tell, behind what arrived ahead of it.
    let failed = status < 0;
    let (readable, writable) = (failed || events & libuv::READABLE != 0, failed || events & libuv::WRITABLE != 0);
    let outcome =
        catch_unwind(AssertUnwindSafe(|| shared.with_client(|client| client.ready(own.key, readable, writable))));
    if outcome.is_err() {
        let _ = catch_unwind(AssertUnwindSafe(|| shared.with_client(|client| client.condemn(own.key))));
        shared.count_panic();
    }
    let events = own.events.get();
    // SAFETY: see above.
    unsafe {
        // libuv stops a handle whose socket has an error; what was not read of it yet (arena full) is still wanted.
        if failed && events != 0 && (shared.uv.is_closing)(handle) == 0 {
            (shared.uv.poll_start)(handle, events, on_poll);
        }
    }
}

unsafe extern "C" fn on_check(handle: *mut Handle) {
    // SAFETY: called by the loop for an open handle.
    let shared = Rc::clone(unsafe { &own(handle).shared });
    if catch_unwind(AssertUnwindSafe(|| shared.turn())).is_err() {
        shared.count_panic();
    }
}

unsafe extern "C" fn on_tick(handle: *mut Handle) {
    // SAFETY: called by the loop for an open handle.
    let shared = Rc::clone(unsafe { &own(handle).shared });
    if catch_unwind(AssertUnwindSafe(|| shared.with_client(Client::tick))).is_err() {
        shared.count_panic();
    }
}

unsafe extern "C" fn on_idle(_: *mut Handle) {}

unsafe extern "C" fn on_close(handle: *mut Handle) {
    // SAFETY: the last that libuv does with a handle; its memory is ours again, and its data is still the `Own`.
    let shared = unsafe {
        let Some(uv) = Uv::get() else { return };
        let own = Box::from_raw((uv.handle_get_data)(handle).cast::<Own>());
        dealloc(handle.cast(), layout(uv, own.kind));
        own.shared
    };
    shared.open_handles.set(shared.open_handles.get() - 1);
    if shared.is_shut.get() && shared.open_handles.get() == 0 {
        // It may own a clone of the client: dropping it breaks the circle.
        let on_turn = shared.on_turn.borrow_mut().take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(on_turn)));
        let on_closed = shared.on_closed.borrow_mut().take();
        if let Some(on_closed) = on_closed {
            let _ = catch_unwind(AssertUnwindSafe(on_closed));
        }
    }
}

fn layout(uv: &Uv, kind: HandleKind) -> Layout {
    // SAFETY: a pure function of libuv.
    let size = unsafe { (uv.handle_size)(kind as c_int) };
    // The alignment of malloc, which is what libuv's own users allocate with.
    Layout::from_size_align(size, 16).expect("handles are small")
}

fn succeeded(code: c_int) -> io::Result<()> {
    if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) }
}
