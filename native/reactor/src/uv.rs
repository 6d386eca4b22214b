//! The reactor inside a libuv loop: the one of the thread's Node.js environment.
//!
//! Sockets wake tasks in the loop's poll phase, and the check phase polls them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::driver::{Driver, Interest};
use crate::handles::{Handles, Owner, Watch};
use crate::{sleep, socket, tasks};

struct InLoop {
    handles: Handles,
    watched: RefCell<HashMap<usize, Watch<InLoop>>>,
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
    // SAFETY: the caller vouches for the loop.
    let handles = unsafe { Handles::new(uv_loop)? };
    let shared = Rc::new(InLoop { handles, watched: RefCell::default() });
    if let Err(error) = Handles::start(&shared).and_then(|()| Handles::start_remote(&shared)) {
        Handles::close(&*shared, Box::new(|| ()));
        return Err(error);
    }
    LOOP.with(|place| *place.borrow_mut() = Some(Rc::clone(&shared)));
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
            let watched = std::mem::take(&mut *shared.watched.borrow_mut());
            watched.into_values().for_each(|watch| shared.handles.unwatch(watch));
            Handles::close(&*shared, on_closed);
        }
        None => on_closed(),
    }
}

impl Owner for InLoop {
    type Key = usize;

    fn handles(&self) -> &Handles {
        &self.handles
    }

    fn ready(&self, key: usize, readable: bool, writable: bool) {
        socket::ready(key, readable, writable);
    }

    fn check(&self) {
        tasks::run();
        if !tasks::with(|reactor| reactor.has_ready()).unwrap_or_default() {
            self.handles.rest();
        }
    }

    fn timer(&self) {
        sleep::fire();
    }
}

struct InThread(Rc<InLoop>);

impl Driver for InThread {
    fn watch(&self, fd: RawFd, key: usize) -> io::Result<()> {
        let watch = Handles::watch(&self.0, fd, key, Interest::READ)?;
        self.0.watched.borrow_mut().insert(key, watch);
        Ok(())
    }

    fn change(&self, key: usize, interest: Interest) {
        if let Some(watch) = self.0.watched.borrow().get(&key) {
            self.0.handles.change(watch, interest);
        }
    }

    fn unwatch(&self, key: usize) {
        if let Some(watch) = self.0.watched.borrow_mut().remove(&key) {
            self.0.handles.unwatch(watch);
        }
    }

    fn now_ms(&self) -> u64 {
        self.0.handles.now_ms()
    }

    fn alarm(&self, at_ms: Option<u64>) {
        Handles::alarm(&*self.0, at_ms.map(|at| at.saturating_sub(self.now_ms())), 0);
    }

    fn wake(&self) {
        self.0.handles.wake();
    }

    fn remote(&self) -> Box<dyn Fn() + Send + Sync> {
        self.0.handles.remote()
    }
}
