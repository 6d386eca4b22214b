//! Who has something to tell: the streams that were woken, and what became of connections.
//!
//! Wakers may be called from anywhere, also in the middle of a call of the client's. So they only leave a note here and
//! ring; whoever drives the client then calls [`crate::Client::serve_streams`], when nobody holds it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

use super::link::News;

/// Shared by all wakers of one client.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    slots: Vec<u32>,
    rung: bool,
    waiter: Option<Waker>,
}

/// Rings when [`crate::Client::serve_streams`] has something to do.
#[derive(Debug, Clone)]
pub struct Bell(Arc<Ready>);

impl Bell {
    pub(crate) fn new(ready: &Arc<Ready>) -> Bell {
        Bell(Arc::clone(ready))
    }

    /// Waits until it has rung since the last time. One waits at a time.
    pub async fn rung(&self) {
        poll_fn(|context| {
            let mut notes = self.0.lock();
            if std::mem::take(&mut notes.rung) {
                return Poll::Ready(());
            }
            notes.waiter = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Ready {
    pub(crate) fn ring(&self) {
        self.note(None);
    }

    /// What was noted, in place of the (empty) list given.
    pub(crate) fn take(&self, slots: &mut Vec<u32>) {
        std::mem::swap(&mut self.lock().slots, slots);
    }

    fn note(&self, slot: Option<u32>) {
        let waiter = {
            let mut notes = self.lock();
            notes.slots.extend(slot);
            notes.rung = true;
            notes.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of whatever stream a slot's exchange has: made once a slot. A late call is only looked at in vain.
#[derive(Debug)]
pub(crate) struct SlotWaker {
    slot: u32,
    is_noted: AtomicBool,
    ready: Arc<Ready>,
}

impl SlotWaker {
    pub(crate) fn new(slot: u32, ready: &Arc<Ready>) -> Arc<SlotWaker> {
        Arc::new(SlotWaker { slot, is_noted: AtomicBool::new(false), ready: Arc::clone(ready) })
    }

    /// From here on it can be woken again.
    pub(crate) fn rearm(&self) {
        self.is_noted.store(false, Ordering::Release);
    }
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_noted.swap(true, Ordering::AcqRel) {
            self.ready.note(Some(self.slot));
        }
    }
}

/// What connections have to tell, in order.
#[derive(Clone, Default)]
pub(crate) struct Board {
    pub(crate) news: Rc<RefCell<Vec<News>>>,
    pub(crate) ready: Arc<Ready>,
}

impl Board {
    pub(crate) fn tell(&self, news: News) {
        self.news.borrow_mut().push(news);
        self.ready.ring();
    }
}
