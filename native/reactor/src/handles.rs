//! Handles in a libuv loop, of one owner in the loop's thread: what each owner has of them is made, called back and
//! closed here.
//!
//! Every handle is unreferenced: the front door's sockets keep the loop alive, never ours. A loop that ends with open
//! handles aborts the whole process: [`Handles::close`] comes first.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use crate::driver::Interest;
use crate::libuv::{self, Handle, HandleKind, Uv};

/// Whose handles they are, and what the loop calls. Panics end at the callback: who wants to know of them catches them.
pub trait Owner: Sized + 'static {
    /// Names a watched socket.
    type Key: Copy + 'static;

    fn handles(&self) -> &Handles;

    /// In the loop's poll phase, for a watched socket. An error of the socket is both: `recv` tells it, behind what
    /// arrived ahead of it.
    fn ready(&self, key: Self::Key, readable: bool, writable: bool);

    /// In each turn, behind the poll phase.
    fn check(&self);

    /// The time of [`Handles::alarm`] has come.
    fn timer(&self);
}

/// The handles of one owner. Each open one owns a count of it.
pub struct Handles {
    uv: &'static Uv,
    uv_loop: *mut c_void,
    check: Cell<*mut Handle>,
    idle: Cell<*mut Handle>,
    timer: Cell<*mut Handle>,
    woken: Cell<*mut Handle>,
    is_idling: Cell<bool>,
    open: Cell<usize>,
    is_shut: Cell<bool>,
    on_closed: RefCell<Option<Box<dyn FnOnce()>>>,
    /// The handle that other threads call; null when there is none (any more).
    remote: Arc<Mutex<Remote>>,
}

struct Remote(*mut Handle);

// SAFETY: `uv_async_send` may be called from any thread on an open handle, and the mutex keeps it open meanwhile.
unsafe impl Send for Remote {}

/// A watched socket.
pub struct Watch<O>(*mut Handle, PhantomData<O>);

/// What a handle's data points to.
struct Own<O: Owner> {
    owner: Rc<O>,
    kind: HandleKind,
    /// Of a watched socket.
    key: Option<O::Key>,
    /// What a uv_poll handle is started for.
    events: Cell<c_int>,
}

impl Handles {
    /// None are open yet.
    ///
    /// # Safety
    /// `uv_loop` is the running loop of this thread (`napi_get_uv_event_loop`), and outlives [`Handles::close`].
    ///
    /// # Errors
    /// When this process exports no libuv.
    pub unsafe fn new(uv_loop: *mut c_void) -> io::Result<Handles> {
        let uv = Uv::get().ok_or_else(|| io::Error::other("this process exports no libuv"))?;
        Ok(Handles {
            uv,
            uv_loop,
            check: Cell::new(ptr::null_mut()),
            idle: Cell::new(ptr::null_mut()),
            timer: Cell::new(ptr::null_mut()),
            woken: Cell::new(ptr::null_mut()),
            is_idling: Cell::new(false),
            open: Cell::new(0),
            is_shut: Cell::new(false),
            on_closed: RefCell::default(),
            remote: Arc::new(Mutex::new(Remote(ptr::null_mut()))),
        })
    }

    /// From now on the loop calls [`Owner::check`] and, when asked to, [`Owner::timer`].
    ///
    /// # Errors
    /// When the loop refuses a handle; those that it took are for [`Handles::close`].
    pub fn start<O: Owner>(owner: &Rc<O>) -> io::Result<()> {
        let own = owner.handles();
        let (uv, uv_loop) = (own.uv, own.uv_loop);
        // SAFETY: `new`'s caller vouches for the loop; each handle is initialised before it is started.
        unsafe {
            own.check.set(make(owner, HandleKind::Check, None, |handle| (uv.check_init)(uv_loop, handle))?);
            own.idle.set(make(owner, HandleKind::Idle, None, |handle| (uv.idle_init)(uv_loop, handle))?);
            own.timer.set(make(owner, HandleKind::Timer, None, |handle| (uv.timer_init)(uv_loop, handle))?);
            succeeded((uv.check_start)(own.check.get(), on_check::<O>))
        }
    }

    /// From now on [`Handles::remote`] wakes the loop.
    ///
    /// # Errors
    /// When the loop refuses the handle.
    pub fn start_remote<O: Owner>(owner: &Rc<O>) -> io::Result<()> {
        let own = owner.handles();
        let init = |handle| {
            // SAFETY: `new`'s caller vouches for the loop.
            unsafe { (own.uv.async_init)(own.uv_loop, handle, Some(on_nothing)) }
        };
        let handle = make(owner, HandleKind::Async, None, init)?;
        own.woken.set(handle);
        own.remote.lock().unwrap_or_else(PoisonError::into_inner).0 = handle;
        Ok(())
    }

    /// Starts watching a non-blocking socket; `key` comes back with its events.
    ///
    /// # Errors
    /// When the loop cannot take the socket.
    pub fn watch<O: Owner>(owner: &Rc<O>, fd: RawFd, key: O::Key, interest: Interest) -> io::Result<Watch<O>> {
        let own = owner.handles();
        let init = |handle| {
            // SAFETY: `new`'s caller vouches for the loop.
            unsafe { (own.uv.poll_init_socket)(own.uv_loop, handle, fd) }
        };
        let watch = Watch(make(owner, HandleKind::Poll, Some(key), init)?, PhantomData);
        own.change(&watch, interest);
        Ok(watch)
    }

    /// Changes what a socket is watched for; both off means not watched for now.
    pub fn change<O: Owner>(&self, watch: &Watch<O>, interest: Interest) {
        let flag = |on, flag| if on { flag } else { 0 };
        let events = flag(interest.readable, libuv::READABLE) | flag(interest.writable, libuv::WRITABLE);
        // SAFETY: a watch's handle is open until `unwatch` takes it, and its data is an `Own<O>` until `on_close`.
        unsafe {
            own::<O>(watch.0).events.set(events);
            // Neither can fail on an open handle: the loop's memory was grown when the socket was first watched.
            let _ = if events == 0 {
                (self.uv.poll_stop)(watch.0)
            } else {
                (self.uv.poll_start)(watch.0, events, on_poll::<O>)
            };
        }
    }

    /// Stops watching. No event for this socket follows, and it may be closed at once: libuv forgets the descriptor
    /// within this call.
    pub fn unwatch<O: Owner>(&self, watch: Watch<O>) {
        // SAFETY: open, and taken by value: closed once.
        unsafe { (self.uv.close)(watch.0, Some(on_close::<O>)) };
    }

    /// Milliseconds of a monotonic clock as the loop last read it.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        // SAFETY: the loop lives as long as the handles.
        unsafe { (self.uv.now)(self.uv_loop) }
    }

    /// When to call [`Owner::timer`] next, from now on and, unless it is 0, in each period from then on; None: never.
    pub fn alarm<O: Owner>(owner: &O, after_ms: Option<u64>, period_ms: u64) {
        let own = owner.handles();
        let timer = own.timer.get();
        if timer.is_null() {
            return;
        }
        // SAFETY: an open handle of this owner.
        unsafe {
            let _ = match after_ms {
                Some(after) => (own.uv.timer_start)(timer, on_timer::<O>, after, period_ms),
                None => (own.uv.timer_stop)(timer),
            };
        }
    }

    /// From now on the loop does not wait in its poll phase: an active idle handle keeps it from that.
    pub fn wake(&self) {
        let idle = self.idle.get();
        if !idle.is_null() && !self.is_idling.replace(true) {
            // SAFETY: an open handle.
            unsafe { (self.uv.idle_start)(idle, on_nothing) };
        }
    }

    /// Takes [`Handles::wake`] back.
    pub fn rest(&self) {
        let idle = self.idle.get();
        if self.is_idling.replace(false) && !idle.is_null() {
            // SAFETY: an open handle.
            unsafe { (self.uv.idle_stop)(idle) };
        }
    }

    /// Wakes the loop from any thread, once [`Handles::start_remote`] was called, as long as it has its handles.
    #[must_use]
    pub fn remote(&self) -> Box<dyn Fn() + Send + Sync> {
        let (uv, remote) = (self.uv, Arc::clone(&self.remote));
        Box::new(move || {
            let handle = remote.lock().unwrap_or_else(PoisonError::into_inner);
            if !handle.0.is_null() {
                // SAFETY: open while the lock is held.
                unsafe { (uv.async_send)(handle.0) };
            }
        })
    }

    /// Closes the owner's handles, but for its sockets, which it has to unwatch by itself. `on_closed` is called when the
    /// last of all is closed: from the loop, or at once where none was made.
    pub fn close<O: Owner>(owner: &O, on_closed: Box<dyn FnOnce()>) {
        let own = owner.handles();
        own.is_shut.set(true);
        own.remote.lock().unwrap_or_else(PoisonError::into_inner).0 = ptr::null_mut();
        if own.open.get() == 0 {
            return on_closed();
        }
        *own.on_closed.borrow_mut() = Some(on_closed);
        for handle in [&own.check, &own.idle, &own.timer, &own.woken] {
            let handle = handle.replace(ptr::null_mut());
            if !handle.is_null() {
                // SAFETY: open, and taken out of its place: closed once.
                unsafe { (own.uv.close)(handle, Some(on_close::<O>)) };
            }
        }
    }

    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    /// Whether every handle is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_shut.get() && self.open.get() == 0
    }
}

/// Makes an unreferenced handle whose data is an [`Own`].
fn make<O: Owner>(
    owner: &Rc<O>,
    kind: HandleKind,
    key: Option<O::Key>,
    init: impl FnOnce(*mut Handle) -> c_int,
) -> io::Result<*mut Handle> {
    let Handles { uv, open, .. } = owner.handles();
    let layout = layout(uv, kind);
    // SAFETY: libuv says how large the handle is; it is freed in `on_close`, or here when it was never opened.
    unsafe {
        let handle = alloc_zeroed(layout).cast::<Handle>();
        if handle.is_null() {
            handle_alloc_error(layout);
        }
        if let Err(error) = succeeded(init(handle)) {
            dealloc(handle.cast(), layout);
            return Err(error);
        }
        let own = Own { owner: Rc::clone(owner), kind, key, events: Cell::new(0) };
        (uv.handle_set_data)(handle, Box::into_raw(Box::new(own)).cast());
        (uv.unref)(handle);
        open.set(open.get() + 1);
        Ok(handle)
    }
}

// The callbacks. None lets a panic out: unwinding into C is the end of the process.

/// SAFETY: for handles that `make` made for an `O` only.
unsafe fn own<'a, O: Owner>(handle: *mut Handle) -> &'a Own<O> {
    // SAFETY: such a handle's data is an `Own<O>` until `on_close`, in which nobody else looks.
    unsafe {
        let uv = Uv::get().expect("there are handles");
        &*(uv.handle_get_data)(handle).cast::<Own<O>>()
    }
}

unsafe extern "C" fn on_poll<O: Owner>(handle: *mut Handle, status: c_int, events: c_int) {
    // SAFETY: called by the loop for an open handle. It may be closed meanwhile, but is freed in a later phase.
    let own = unsafe { own::<O>(handle) };
    let Some(key) = own.key else { return };
    let failed = status < 0;
    let (readable, writable) = (failed || events & libuv::READABLE != 0, failed || events & libuv::WRITABLE != 0);
    let _ = catch_unwind(AssertUnwindSafe(|| own.owner.ready(key, readable, writable)));
    let (uv, events) = (own.owner.handles().uv, own.events.get());
    // SAFETY: see above.
    unsafe {
        // libuv stops a handle whose socket has an error; what was not read of it yet is still wanted.
        if failed && events != 0 && (uv.is_closing)(handle) == 0 {
            (uv.poll_start)(handle, events, on_poll::<O>);
        }
    }
}

unsafe extern "C" fn on_check<O: Owner>(handle: *mut Handle) {
    // SAFETY: as in `on_poll`.
    let own = unsafe { own::<O>(handle) };
    let _ = catch_unwind(AssertUnwindSafe(|| own.owner.check()));
}

unsafe extern "C" fn on_timer<O: Owner>(handle: *mut Handle) {
    // SAFETY: as in `on_poll`.
    let own = unsafe { own::<O>(handle) };
    let _ = catch_unwind(AssertUnwindSafe(|| own.owner.timer()));
}

/// The check phase of the same turn does what there is to do.
unsafe extern "C" fn on_nothing(_: *mut Handle) {}

unsafe extern "C" fn on_close<O: Owner>(handle: *mut Handle) {
    // SAFETY: the last that libuv does with a handle; its memory is ours again, and its data is still the `Own<O>`.
    let owner = unsafe {
        let Some(uv) = Uv::get() else { return };
        let own = Box::from_raw((uv.handle_get_data)(handle).cast::<Own<O>>());
        dealloc(handle.cast(), layout(uv, own.kind));
        own.owner
    };
    let own = owner.handles();
    own.open.set(own.open.get() - 1);
    if own.is_closed() {
        let on_closed = own.on_closed.borrow_mut().take();
        let _ = catch_unwind(AssertUnwindSafe(|| on_closed.map(|closed| closed())));
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
