//! Wakers that stand for streams, and the task that looks at those that were woken.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};

use super::slot_of;

/// Which streams of this thread have news. Wakers may be called from anywhere by their contract, so it is locked;
/// nobody else ever holds the lock.
#[derive(Clone, Default)]
pub struct News {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    woken: Mutex<Vec<Arc<Woken>>>,
    task: Mutex<Option<Waker>>,
}

struct Woken {
    place: u32,
    is_told: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_told.swap(true, Ordering::AcqRel) {
            return;
        }
        lock(&self.shared.woken).push(Arc::clone(self));
        let task = lock(&self.shared.task).take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl News {
    /// Of one place, for as long as the thread lives.
    pub fn waker(&self, place: u32) -> Waker {
        Waker::from(Arc::new(Woken { place, is_told: AtomicBool::new(false), shared: Arc::clone(&self.shared) }))
    }

    /// The thread's task for all of them.
    pub async fn follow(self) {
        let mut woken = Vec::new();
        poll_fn(|context| {
            *lock(&self.shared.task) = Some(context.waker().clone());
            std::mem::swap(&mut woken, &mut *lock(&self.shared.woken));
            for it in woken.drain(..) {
                it.is_told.store(false, Ordering::Release);
                let index = slot_of(it.place);
                crate::on_slot(index, |edge| edge.stream_news(index));
            }
            Poll::<()>::Pending
        })
        .await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
