//! The reactor inside a libuv loop: the one of the thread's Node.js environment.
//!
//! Sockets wake tasks in the loop's poll phase, and the check phase polls them. Every handle is unreferenced: the front
//! door's sockets keep the loop alive, never ours. A loop that ends with open handles aborts the whole process:
//! [`shutdown`] comes first.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use crate::driver::{Driver, Interest};
use crate::libuv::{self, Handle, HandleKind, Uv};
use crate::{sleep, socket, tasks};

struct InLoop {
    uv: &'static Uv,
    uv_loop: *mut c_void,
    check: Cell<*mut Handle>,
    idle: Cell<*mut Handle>,
    timer: Cell<*mut Handle>,
    woken: Cell<*mut Handle>,
    polls: RefCell<HashMap<usize, *mut Handle>>,
    is_idling: Cell<bool>,
    open_handles: Cell<usize>,
    is_shut: Cell<bool>,
    on_closed: RefCell<Option<Box<dyn FnOnce()>>>,
    /// The handle that other threads call; null once it is closed.
    remote: Arc<Mutex<Remote>>,
}

struct Remote(*mut Handle);

// SAFETY: `uv_async_send` may be called from any thread on an open handle, and the mutex keeps it open meanwhile.
unsafe impl Send for Remote {}

/// What a handle's data points to.
struct Own {
    shared: Rc<InLoop>,
    kind: HandleKind,
    /// Of the watched socket.
    key: usize,
    events: Cell<c_int>,
}

thread_local! {
    static LOOP: RefCell<Option<Rc<InLoop>>> = const { RefCell::new(None) };
}

/// Gives this thread a reactor in its libuv loop.
///
/// # Safety
/// `uv_loop` is the running loop of this thread (`napi_get_uv_event_loop`), and outlives [`shutdown`].
///
/// # Errors
/// When this process exports no libuv, or the loop refuses a handle.
pub unsafe fn start(uv_loop: *mut c_void) -> io::Result<()> {
    let uv = Uv::get().ok_or_else(|| io::Error::other("this process exports no libuv"))?;
    let shared = Rc::new(InLoop {
        uv,
        uv_loop,
        check: Cell::new(ptr::null_mut()),
        idle: Cell::new(ptr::null_mut()),
        timer: Cell::new(ptr::null_mut()),
        woken: Cell::new(ptr::null_mut()),
        polls: RefCell::default(),
        is_idling: Cell::new(false),
        open_handles: Cell::new(0),
        is_shut: Cell::new(false),
        on_closed: RefCell::default(),
        remote: Arc::new(Mutex::new(Remote(ptr::null_mut()))),
    });
    LOOP.with(|place| *place.borrow_mut() = Some(Rc::clone(&shared)));
    // SAFETY: the caller vouches for the loop; each handle is initialised before it is started.
    let made = unsafe {
        (|| {
            shared.check.set(shared.make(HandleKind::Check, 0, |handle| (uv.check_init)(uv_loop, handle))?);
            shared.idle.set(shared.make(HandleKind::Idle, 0, |handle| (uv.idle_init)(uv_loop, handle))?);
            shared.timer.set(shared.make(HandleKind::Timer, 0, |handle| (uv.timer_init)(uv_loop, handle))?);
            let woken = |handle| (uv.async_init)(uv_loop, handle, Some(on_nothing));
            shared.woken.set(shared.make(HandleKind::Async, 0, woken)?);
            succeeded((uv.check_start)(shared.check.get(), on_check))
        })()
    };
    shared.remote.lock().unwrap_or_else(PoisonError::into_inner).0 = shared.woken.get();
    if let Err(error) = made {
        shared.close(Box::new(|| ()));
        return Err(error);
    }
    tasks::enter(Box::new(InThread(shared)));
    Ok(())
}

/// Drops every task and closes every handle; `on_closed` is called, from the loop, when the last is closed. A loop that
/// ends before aborts the process.
pub fn shutdown(on_closed: Box<dyn FnOnce()>) {
    let shared = LOOP.with(|place| place.borrow_mut().take());
    match shared {
        Some(shared) => {
            tasks::leave();
            shared.close(on_closed);
        }
        None => on_closed(),
    }
}

impl InLoop {
    fn close(&self, on_closed: Box<dyn FnOnce()>) {
        self.is_shut.set(true);
        *self.on_closed.borrow_mut() = Some(on_closed);
        self.remote.lock().unwrap_or_else(PoisonError::into_inner).0 = ptr::null_mut();
        let polls: Vec<_> = self.polls.borrow_mut().drain().map(|(_, handle)| handle).collect();
        let own = [&self.check, &self.idle, &self.timer, &self.woken].map(|handle| handle.replace(ptr::null_mut()));
        for handle in polls.into_iter().chain(own).filter(|handle| !handle.is_null()) {
            // SAFETY: open, and taken out of its place: closed once.
            unsafe { (self.uv.close)(handle, Some(on_close)) };
        }
    }

    /// Makes an unreferenced handle whose data is an [`Own`].
    unsafe fn make(
        self: &Rc<InLoop>,
        kind: HandleKind,
        key: usize,
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
            let own = Own { shared: Rc::clone(self), kind, key, events: Cell::new(0) };
            (uv.handle_set_data)(handle, Box::into_raw(Box::new(own)).cast());
            (uv.unref)(handle);
            self.open_handles.set(self.open_handles.get() + 1);
            Ok(handle)
        }
    }

    fn start_poll(&self, handle: *mut Handle, interest: Interest) {
        let flag = |on, flag| if on { flag } else { 0 };
        let events = flag(interest.readable, libuv::READABLE) | flag(interest.writable, libuv::WRITABLE);
        // SAFETY: an open handle, whose data is an `Own` until `on_close`.
        unsafe {
            own(handle).events.set(events);
            // Neither can fail on an open handle: the loop's memory was grown when the socket was first watched.
            let _ =
                if events == 0 { (self.uv.poll_stop)(handle) } else { (self.uv.poll_start)(handle, events, on_poll) };
        }
    }
}

struct InThread(Rc<InLoop>);

impl Driver for InThread {
    fn watch(&self, fd: RawFd, key: usize) -> io::Result<()> {
        let shared = &self.0;
        // SAFETY: `start`'s caller vouches for the loop.
        let handle = unsafe {
            shared.make(HandleKind::Poll, key, |handle| (shared.uv.poll_init_socket)(shared.uv_loop, handle, fd))?
        };
        shared.polls.borrow_mut().insert(key, handle);
        shared.start_poll(handle, Interest { readable: true, writable: false });
        Ok(())
    }

    fn change(&self, key: usize, interest: Interest) {
        if let Some(&handle) = self.0.polls.borrow().get(&key) {
            self.0.start_poll(handle, interest);
        }
    }

    fn unwatch(&self, key: usize) {
        if let Some(handle) = self.0.polls.borrow_mut().remove(&key) {
            // SAFETY: open, and taken out of its place: closed once. libuv forgets the descriptor within this call.
            unsafe { (self.0.uv.close)(handle, Some(on_close)) };
        }
    }

    fn now_ms(&self) -> u64 {
        // SAFETY: the loop lives as long as the reactor.
        unsafe { (self.0.uv.now)(self.0.uv_loop) }
    }

    fn alarm(&self, at_ms: Option<u64>) {
        let timer = self.0.timer.get();
        if timer.is_null() {
            return;
        }
        // SAFETY: an open handle.
        unsafe {
            let _ = match at_ms {
                Some(at) => (self.0.uv.timer_start)(timer, on_timer, at.saturating_sub(self.now_ms()), 0),
                None => (self.0.uv.timer_stop)(timer),
            };
        }
    }

    fn wake(&self) {
        let idle = self.0.idle.get();
        if !idle.is_null() && !self.0.is_idling.replace(true) {
            // An active idle handle keeps the loop from waiting in its poll phase.
            // SAFETY: an open handle.
            unsafe { (self.0.uv.idle_start)(idle, on_nothing) };
        }
    }

    fn remote(&self) -> Box<dyn Fn() + Send + Sync> {
        let (uv, remote) = (self.0.uv, Arc::clone(&self.0.remote));
        Box::new(move || {
            let handle = remote.lock().unwrap_or_else(PoisonError::into_inner);
            if !handle.0.is_null() {
                // SAFETY: open while the lock is held.
                unsafe { (uv.async_send)(handle.0) };
            }
        })
    }
}

// The callbacks. None lets a panic out: unwinding into C is the end of the process.

/// SAFETY: for handles made by `InLoop::make` only.
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
    // An error of the socket is for `recv` to tell, behind what arrived ahead of it.
    let failed = status < 0;
    let (readable, writable) = (failed || events & libuv::READABLE != 0, failed || events & libuv::WRITABLE != 0);
    let _ = catch_unwind(AssertUnwindSafe(|| socket::ready(own.key, readable, writable)));
    let events = own.events.get();
    // SAFETY: see above.
    unsafe {
        // libuv stops a handle whose socket has an error; what was not read of it yet is still wanted.
        if failed && events != 0 && (own.shared.uv.is_closing)(handle) == 0 {
            (own.shared.uv.poll_start)(handle, events, on_poll);
        }
    }
}

unsafe extern "C" fn on_check(handle: *mut Handle) {
    // SAFETY: called by the loop for an open handle.
    let shared = Rc::clone(unsafe { &own(handle).shared });
    let _ = catch_unwind(tasks::run);
    let has_ready = tasks::with(|reactor| reactor.has_ready()).unwrap_or_default();
    let idle = shared.idle.get();
    if !has_ready && !idle.is_null() && shared.is_idling.replace(false) {
        // SAFETY: an open handle.
        unsafe { (shared.uv.idle_stop)(idle) };
    }
}

unsafe extern "C" fn on_timer(_: *mut Handle) {
    let _ = catch_unwind(sleep::fire);
}

/// The check phase of the same turn does what there is to do.
unsafe extern "C" fn on_nothing(_: *mut Handle) {}

unsafe extern "C" fn on_close(handle: *mut Handle) {
    // SAFETY: the last that libuv does with a handle; its memory is ours again, and its data is still the `Own`.
    let shared = unsafe {
        let Some(uv) = Uv::get() else { return };
        let own = Box::from_raw((uv.handle_get_data)(handle).cast::<Own>());
        dealloc(handle.cast(), layout(uv, own.kind));
        own.shared
    };
    shared.open_handles.set(shared.open_handles.get() - 1);
    if shared.is_shut.get()
        && shared.open_handles.get() == 0
        && let Some(on_closed) = shared.on_closed.borrow_mut().take()
    {
        let _ = catch_unwind(AssertUnwindSafe(on_closed));
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
