//! Timers: one alarm of the loop for all of them, at milliseconds.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::tasks::with;

#[derive(Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<(u64, u64), Waker>,
    made: u64,
}

/// Ends at its time. Dropping it takes the timer back.
#[derive(Debug)]
pub struct Sleep {
    at_ms: u64,
    /// 0: not registered yet.
    number: u64,
}

/// Milliseconds of the loop's monotonic clock; 0 without a reactor.
#[must_use]
pub fn now_ms() -> u64 {
    with(|reactor| reactor.driver.now_ms()).unwrap_or_default()
}

/// Ends after so much time, rounded up to milliseconds.
#[must_use]
pub fn sleep(duration: Duration) -> Sleep {
    let ms = u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    sleep_until(now_ms().saturating_add(ms))
}

/// Ends when [`now_ms`] has reached `at_ms`.
#[must_use]
pub fn sleep_until(at_ms: u64) -> Sleep {
    Sleep { at_ms, number: 0 }
}

impl Sleep {
    /// Moves its end.
    pub fn reset(&mut self, at_ms: u64) {
        self.forget();
        self.at_ms = at_ms;
    }

    fn forget(&mut self) {
        let key = (self.at_ms, std::mem::take(&mut self.number));
        if key.1 != 0 {
            with(|reactor| reactor.timers.borrow_mut().waiting.remove(&key));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at_ms = self.at_ms;
        with(|reactor| {
            if reactor.driver.now_ms() >= at_ms {
                return Poll::Ready(());
            }
            let first = {
                let mut timers = reactor.timers.borrow_mut();
                if self.number == 0 {
                    timers.made += 1;
                    self.number = timers.made;
                }
                timers.waiting.insert((at_ms, self.number), context.waker().clone());
                timers.waiting.first_key_value().map(|(&(at, _), _)| at)
            };
            if first == Some(at_ms) {
                reactor.driver.alarm(first);
            }
            Poll::Pending
        })
        .unwrap_or(Poll::Pending)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Wakes whose time has come, and sets the next alarm.
pub(crate) fn fire() {
    with(|reactor| {
        let now = reactor.driver.now_ms();
        loop {
            let due = {
                let mut timers = reactor.timers.borrow_mut();
                match timers.waiting.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => break,
                }
            };
            due.wake();
        }
        let next = reactor.timers.borrow().waiting.first_key_value().map(|(&(at, _), _)| at);
        reactor.driver.alarm(next);
    });
}
