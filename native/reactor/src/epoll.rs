//! Linux's epoll, and the reactor in a loop of its own on it, for threads without libuv: tests, benches, and loads that
//! they make.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use libc::c_int;

use crate::driver::{Driver, Interest};
use crate::{sleep, socket, tasks};

struct Turns {
    epoll: Epoll,
    woken: Event,
    sockets: RefCell<HashMap<usize, RawFd>>,
    started: Instant,
    alarm: Cell<Option<u64>>,
}

/// The key of the descriptor that other threads write to.
const WOKEN: u64 = u64::MAX;
const EVENTS: usize = 256;

/// Runs a future, and what it spawns, until it is ready; what is not over by then is dropped.
///
/// # Panics
/// When the future does, when the thread has a reactor already, or when the system gives no descriptors.
pub fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    assert!(tasks::with(|_| ()).is_none(), "this thread has a reactor");
    let shared = Rc::new(Turns::new().expect("two descriptors"));
    tasks::enter(Box::new(InThread(Rc::clone(&shared))));
    let answer = Rc::new(RefCell::new(None));
    let place = Rc::clone(&answer);
    tasks::spawn(async move {
        let mut future = Box::pin(future);
        // A panic ends the task alone, and its caller would wait for ever.
        let outcome = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        });
        *place.borrow_mut() = Some(outcome.await);
    });
    let answer = loop {
        tasks::run();
        if let Some(answer) = answer.borrow_mut().take() {
            break answer;
        }
        shared.turn();
    };
    tasks::leave();
    answer.unwrap_or_else(|panic| resume_unwind(panic))
}

impl Turns {
    fn new() -> io::Result<Turns> {
        let (epoll, woken) = (Epoll::new()?, Event::new()?);
        epoll.add(woken.as_raw_fd(), WOKEN, libc::EPOLLIN)?;
        Ok(Turns { epoll, woken, sockets: RefCell::default(), started: Instant::now(), alarm: Cell::default() })
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn turn(&self) {
        let has_ready = tasks::with(|reactor| reactor.has_ready()).unwrap_or_default();
        let until = self.alarm.get().map(|at| at.saturating_sub(self.now_ms()));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let count = self.epoll.wait(&mut events, if has_ready { Some(0) } else { until });
        for event in &events[..count] {
            let (flags, key) = (event.events, event.u64);
            if key == WOKEN {
                self.woken.clear();
                continue;
            }
            let failed = flags & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0;
            let is = |flag: i32| failed || flags & flag as u32 != 0;
            socket::ready(key as usize, is(libc::EPOLLIN), is(libc::EPOLLOUT));
        }
        if self.alarm.get().is_some_and(|at| at <= self.now_ms()) {
            sleep::fire();
        }
    }
}

struct InThread(Rc<Turns>);

impl Driver for InThread {
    fn watch(&self, fd: RawFd, key: usize) -> io::Result<()> {
        self.0.epoll.add(fd, key as u64, libc::EPOLLIN)?;
        self.0.sockets.borrow_mut().insert(key, fd);
        Ok(())
    }

    fn change(&self, key: usize, interest: Interest) {
        let flag = |on, flag| if on { flag } else { 0 };
        let events = flag(interest.readable, libc::EPOLLIN) | flag(interest.writable, libc::EPOLLOUT);
        if let Some(&fd) = self.0.sockets.borrow().get(&key) {
            // It cannot fail for a watched descriptor.
            let _ = self.0.epoll.change(fd, key as u64, events);
        }
    }

    fn unwatch(&self, key: usize) {
        if let Some(fd) = self.0.sockets.borrow_mut().remove(&key) {
            self.0.epoll.remove(fd);
        }
    }

    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn alarm(&self, at_ms: Option<u64>) {
        self.0.alarm.set(at_ms);
    }

    // Every turn looks whether a task is ready before it waits.
    fn wake(&self) {}

    fn remote(&self) -> Box<dyn Fn() + Send + Sync> {
        let woken = self.0.woken.clone();
        Box::new(move || woken.tell())
    }
}

// --- the system's -----------------------------------------------------------------------------------------------------

/// Wakes whoever waits for it; an eventfd.
#[derive(Clone)]
pub struct Event(Arc<OwnedFd>);

impl Event {
    /// # Errors
    /// When the system gives no descriptor.
    pub fn new() -> io::Result<Event> {
        // SAFETY: answers a new descriptor or -1, which is owned by nobody else.
        unsafe {
            let fd = succeeded(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
            Ok(Event(Arc::new(OwnedFd::from_raw_fd(fd))))
        }
    }

    pub fn tell(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes, as an eventfd wants them.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    pub fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes, as an eventfd gives them.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for Event {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Descriptors that are watched, by keys.
pub struct Epoll(OwnedFd);

impl Epoll {
    /// # Errors
    /// When the system gives no descriptor.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: answers a new descriptor or -1, which is owned by nobody else.
        unsafe { Ok(Epoll(OwnedFd::from_raw_fd(succeeded(libc::epoll_create1(libc::EPOLL_CLOEXEC))?))) }
    }

    /// # Errors
    /// When the system cannot watch it.
    pub fn add(&self, fd: RawFd, key: u64, events: c_int) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, events)
    }

    /// # Errors
    /// When it was not added.
    pub fn change(&self, fd: RawFd, key: u64, events: c_int) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, events)
    }

    pub fn remove(&self, fd: RawFd) {
        // It cannot fail for a descriptor that was added.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    fn control(&self, operation: c_int, fd: RawFd, key: u64, events: c_int) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: key };
        // SAFETY: open descriptors and an event that lives for the call.
        succeeded(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits for events; 0 when the time is up, or a signal came. No time: until one comes.
    pub fn wait(&self, events: &mut [libc::epoll_event], within_ms: Option<u64>) -> usize {
        let within = within_ms.map_or(-1, |ms| c_int::try_from(ms).unwrap_or(c_int::MAX));
        // SAFETY: room for so many events.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), events.len() as c_int, within) };
        usize::try_from(count).unwrap_or_default()
    }
}

fn succeeded(code: c_int) -> io::Result<c_int> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code) }
}
