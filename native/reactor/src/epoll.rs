//! A loop of its own, for threads without libuv: tests, benches, and loads that they make.

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

use crate::driver::{Driver, Interest};
use crate::{sleep, socket, tasks};

struct Epoll {
    epoll: OwnedFd,
    woken: Arc<OwnedFd>,
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
    let shared = Rc::new(Epoll::new().expect("two descriptors"));
    tasks::enter(Box::new(Turns(Rc::clone(&shared))));
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

struct Turns(Rc<Epoll>);

impl Epoll {
    fn new() -> io::Result<Epoll> {
        // SAFETY: both answer a new descriptor or -1.
        let (epoll, woken) = unsafe {
            (libc::epoll_create1(libc::EPOLL_CLOEXEC), libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))
        };
        if epoll < 0 || woken < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nobody else.
        let (epoll, woken) = unsafe { (OwnedFd::from_raw_fd(epoll), OwnedFd::from_raw_fd(woken)) };
        let (sockets, alarm) = (RefCell::default(), Cell::default());
        let it = Epoll { epoll, woken: Arc::new(woken), sockets, started: Instant::now(), alarm };
        it.control(libc::EPOLL_CTL_ADD, it.woken.as_raw_fd(), WOKEN, libc::EPOLLIN as u32)?;
        Ok(it)
    }

    fn control(&self, operation: i32, fd: RawFd, key: u64, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: key };
        // SAFETY: open descriptors and an event that lives for the call.
        match unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn turn(&self) {
        let has_ready = tasks::with(|reactor| reactor.has_ready()).unwrap_or_default();
        let wait = match self.alarm.get() {
            _ if has_ready => 0,
            Some(at) => i32::try_from(at.saturating_sub(self.now_ms())).unwrap_or(i32::MAX),
            None => -1,
        };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: room for so many events.
        let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), EVENTS as i32, wait) };
        for event in &events[..usize::try_from(count).unwrap_or_default()] {
            let (flags, key) = (event.events, event.u64);
            if key == WOKEN {
                let mut count = 0_u64;
                // SAFETY: eight bytes, as an eventfd wants them.
                unsafe { libc::read(self.woken.as_raw_fd(), (&raw mut count).cast(), 8) };
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

impl Driver for Turns {
    fn watch(&self, fd: RawFd, key: usize) -> io::Result<()> {
        self.0.control(libc::EPOLL_CTL_ADD, fd, key as u64, libc::EPOLLIN as u32)?;
        self.0.sockets.borrow_mut().insert(key, fd);
        Ok(())
    }

    fn change(&self, key: usize, interest: Interest) {
        let flag = |on, flag: i32| if on { flag as u32 } else { 0 };
        let events = flag(interest.readable, libc::EPOLLIN) | flag(interest.writable, libc::EPOLLOUT);
        if let Some(&fd) = self.0.sockets.borrow().get(&key) {
            // It cannot fail for a watched descriptor.
            let _ = self.0.control(libc::EPOLL_CTL_MOD, fd, key as u64, events);
        }
    }

    fn unwatch(&self, key: usize) {
        if let Some(fd) = self.0.sockets.borrow_mut().remove(&key) {
            let _ = self.0.control(libc::EPOLL_CTL_DEL, fd, key as u64, 0);
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
        let woken = Arc::clone(&self.0.woken);
        Box::new(move || {
            let one = 1_u64;
            // SAFETY: eight bytes, as an eventfd wants them.
            unsafe { libc::write(woken.as_raw_fd(), (&raw const one).cast(), 8) };
        })
    }
}
