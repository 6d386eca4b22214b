//! Wakers that stand for numbers, and a bell for the one task that looks at those that were woken: what has many places
//! needs no task for each.
//!
//! Wakers may be called from anywhere, also in the middle of what they are about. So they only leave a note here and
//! ring; the task looks when nobody holds what it looks at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The wakers of one owner, each made once.
#[derive(Debug, Default)]
pub struct Wakers {
    bell: Bell,
    made: Vec<Option<(Waker, Arc<Numbered>)>>,
}

/// Rings when a number was woken, or somebody rings it.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    woken: Vec<u32>,
    rung: bool,
    task: Option<Waker>,
}

#[derive(Debug)]
struct Numbered {
    number: u32,
    is_noted: AtomicBool,
    bell: Bell,
}

impl Wakers {
    #[must_use]
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Of a number, whatever that stands for by now: a late call is only looked at in vain.
    pub fn waker(&mut self, number: u32) -> Waker {
        let at = number as usize;
        if at >= self.made.len() {
            self.made.resize_with(at + 1, || None);
        }
        let bell = &self.bell;
        let (waker, _) = self.made[at].get_or_insert_with(|| {
            let own = Arc::new(Numbered { number, is_noted: AtomicBool::new(false), bell: bell.clone() });
            (Waker::from(Arc::clone(&own)), own)
        });
        waker.clone()
    }

    /// The numbers that were woken, each once, in place of the (empty) list given. From here on they can be woken again.
    pub fn take(&mut self, woken: &mut Vec<u32>) {
        std::mem::swap(&mut self.bell.lock().woken, woken);
        for (_, own) in woken.iter().filter_map(|&number| self.made.get(number as usize)?.as_ref()) {
            own.is_noted.store(false, Ordering::Release);
        }
    }
}

impl Bell {
    /// For no number.
    pub fn ring(&self) {
        self.note(None);
    }

    /// Whether it has rung since the last time. The task that asks, one of them, is woken when it rings from then on.
    pub fn poll_rung(&self, context: &Context<'_>) -> Poll<()> {
        let mut notes = self.lock();
        notes.task = Some(context.waker().clone());
        if std::mem::take(&mut notes.rung) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn note(&self, number: Option<u32>) {
        let task = {
            let mut notes = self.lock();
            notes.woken.extend(number);
            notes.rung = true;
            notes.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_noted.swap(true, Ordering::AcqRel) {
            self.bell.note(Some(self.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_once_and_can_be_woken_again() {
        let (mut wakers, mut woken) = (Wakers::default(), Vec::new());
        let (three, five) = (wakers.waker(3), wakers.waker(5));
        for waker in [&five, &three, &five] {
            waker.wake_by_ref();
        }
        wakers.take(&mut woken);
        assert_eq!(woken, [5, 3]);
        woken.clear();
        wakers.take(&mut woken);
        assert!(woken.is_empty());
        five.wake();
        wakers.waker(3).wake();
        wakers.take(&mut woken);
        assert_eq!(woken, [5, 3]);
    }

    #[test]
    fn a_bell_rings_once_for_all_that_came_and_wakes_the_task_that_asked() {
        let (mut tasks, mut wakers, mut woken) = (Wakers::default(), Wakers::default(), Vec::new());
        let (task, bell) = (tasks.waker(0), wakers.bell());
        let context = Context::from_waker(&task);
        assert!(bell.poll_rung(&context).is_pending());
        wakers.waker(1).wake();
        bell.ring();
        tasks.take(&mut woken);
        assert_eq!(woken, [0]);
        assert!(bell.poll_rung(&context).is_ready());
        assert!(bell.poll_rung(&context).is_pending());
        // Also when it rings while the task is at it.
        bell.ring();
        woken.clear();
        tasks.take(&mut woken);
        assert_eq!(woken, [0]);
    }
}
