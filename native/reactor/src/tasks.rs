//! Tasks: futures that are polled when something woke them, until nothing is ready.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use slab::Slab;

use crate::driver::Driver;
use crate::sleep::Timers;
use crate::socket::Watched;

/// Most polls before the loop looks at its sockets again: one busy connection leaves the others their turn.
const POLLS_A_TURN: usize = 1024;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// One thread's tasks, and what they wait for.
pub(crate) struct Reactor {
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) sockets: RefCell<Slab<Rc<Watched>>>,
    pub(crate) timers: RefCell<Timers>,
    tasks: RefCell<Slab<Place>>,
    ready: Arc<Ready>,
    is_running: Cell<bool>,
    panics: Cell<u64>,
}

struct Place {
    /// None while it is polled.
    task: Option<Task>,
    waker: Waker,
    state: Arc<TaskWaker>,
}

/// Tasks to be polled, by their places.
struct Ready {
    thread: ThreadId,
    queue: Mutex<VecDeque<usize>>,
    remote: Box<dyn Fn() + Send + Sync>,
}

struct TaskWaker {
    place: usize,
    is_queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let was_empty = {
            let mut queue = self.ready.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push_back(self.place);
            queue.len() == 1
        };
        if !was_empty {
            return;
        }
        if thread::current().id() == self.ready.thread {
            with(|reactor| {
                if !reactor.is_running.get() {
                    reactor.driver.wake();
                }
            });
        } else {
            (self.ready.remote)();
        }
    }
}

thread_local! {
    static REACTOR: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

/// Calls with this thread's reactor; None where there is none (any more).
pub(crate) fn with<T>(act: impl FnOnce(&Rc<Reactor>) -> T) -> Option<T> {
    let reactor = REACTOR.try_with(|reactor| reactor.try_borrow().ok()?.clone()).ok()??;
    Some(act(&reactor))
}

/// Makes `driver` the one of this thread.
pub(crate) fn enter(driver: Box<dyn Driver>) {
    let ready = Ready { thread: thread::current().id(), queue: Mutex::default(), remote: driver.remote() };
    let reactor = Rc::new(Reactor {
        driver,
        sockets: RefCell::default(),
        timers: RefCell::default(),
        tasks: RefCell::default(),
        ready: Arc::new(ready),
        is_running: Cell::new(false),
        panics: Cell::new(0),
    });
    REACTOR.with(|place| *place.borrow_mut() = Some(reactor));
}

/// Drops every task, while sockets and timers can still be given back, then the reactor.
pub(crate) fn leave() {
    let Some(reactor) = with(Rc::clone) else { return };
    // What a task drops may spawn another: those are dropped too.
    while !reactor.tasks.borrow().is_empty() {
        let tasks = std::mem::take(&mut *reactor.tasks.borrow_mut());
        drop(tasks);
    }
    REACTOR.with(|place| place.borrow_mut().take());
}

/// Runs a future on this thread's loop from its next turn on. Without a reactor it is dropped.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    with(|reactor| {
        let waker = {
            let mut tasks = reactor.tasks.borrow_mut();
            let entry = tasks.vacant_entry();
            let (place, ready) = (entry.key(), Arc::clone(&reactor.ready));
            let state = Arc::new(TaskWaker { place, is_queued: AtomicBool::new(false), ready });
            let waker = Waker::from(Arc::clone(&state));
            entry.insert(Place { task: Some(Box::pin(future)), waker: waker.clone(), state });
            waker
        };
        waker.wake();
    });
}

/// Panics that tasks ended with.
#[must_use]
pub fn panics() -> u64 {
    with(|reactor| reactor.panics.get()).unwrap_or_default()
}

/// Polls what is ready until nothing is, or the others have waited long enough. The loop calls it in its check phase;
/// whoever wakes tasks from elsewhere in a turn may call it to have them served in the same turn.
pub fn run() {
    with(|reactor| {
        if reactor.is_running.replace(true) {
            return;
        }
        let mut left = POLLS_A_TURN;
        while left > 0 {
            let next = lock(&reactor.ready.queue).pop_front();
            let Some(place) = next else { break };
            reactor.poll(place);
            left -= 1;
        }
        reactor.is_running.set(false);
        if left == 0 {
            reactor.driver.wake();
        }
    });
}

/// Acts, then polls what that has woken: nothing waits for the loop's next turn. Within a task, or another batch, those
/// are polled when it is over.
pub fn batch<T>(act: impl FnOnce() -> T) -> T {
    /// Also after a panic.
    struct Running(bool);
    impl Drop for Running {
        fn drop(&mut self) {
            if !self.0 {
                with(|reactor| reactor.is_running.set(false));
            }
        }
    }
    let was_running = with(|reactor| reactor.is_running.replace(true)).unwrap_or(true);
    let running = Running(was_running);
    let answer = act();
    drop(running);
    run();
    answer
}

impl Reactor {
    fn poll(&self, place: usize) {
        let taken = self.tasks.borrow_mut().get_mut(place).and_then(|it| {
            // From here on it can be woken again.
            it.state.is_queued.store(false, Ordering::Release);
            Some((it.task.take()?, it.waker.clone()))
        });
        let Some((mut task, waker)) = taken else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
        match outcome {
            Ok(Poll::Pending) => {
                if let Some(it) = self.tasks.borrow_mut().get_mut(place) {
                    it.task = Some(task);
                    return;
                }
            }
            Ok(Poll::Ready(())) => {}
            Err(panic) => self.panicked(panic),
        }
        // Its place is free before it is dropped: that may spawn.
        let gone = self.tasks.borrow_mut().try_remove(place);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop((gone, task)))) {
            self.panicked(panic);
        }
    }

    fn panicked(&self, _: Box<dyn Any + Send>) {
        self.panics.set(self.panics.get() + 1);
    }

    pub(crate) fn has_ready(&self) -> bool {
        !lock(&self.ready.queue).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
