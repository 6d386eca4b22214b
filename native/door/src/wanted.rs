//! What native code wants done that only JavaScript can do: rows of one table, told in one call a turn.
//!
//! A row is a kind and a number. Rows are gathered wherever they come up; the task that tells them runs behind whatever
//! else is ready, and calls while no borrow of the edge is held.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// What is wanted; the numbers are part of the door's contract with src/native.ts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Wanted {
    /// uWebSockets.js takes over a connection: its descriptor.
    Adopt = 1,
    /// `ticket(slot)` waits for the inspection pool.
    Inspect = 2,
    /// The gateway itself answers: `own(slot)`, `own_body(slot)`, then `own_answer(slot, ..)`.
    Own = 3,
    /// The fleet's counters are asked: in the next batch, then `asked(slot)`.
    Ask = 4,
}

#[derive(Default)]
struct Rows {
    waiting: VecDeque<[u32; 2]>,
    teller: Option<Waker>,
}

thread_local! {
    static ROWS: RefCell<Rows> = RefCell::default();
}

pub fn want(kind: Wanted, number: u32) {
    let teller = ROWS.with(|rows| {
        let mut rows = rows.borrow_mut();
        rows.waiting.push_back([kind as u32, number]);
        rows.teller.take()
    });
    if let Some(teller) = teller {
        teller.wake();
    }
}

/// Tells rows as they come, until it is dropped. `table` has room for `capacity` rows, which are read within the call.
pub async fn tell(table: *mut [u32; 2], capacity: usize, call: impl Fn(usize)) {
    loop {
        let rows = poll_fn(|context| {
            ROWS.with(|rows| {
                let mut rows = rows.borrow_mut();
                if rows.waiting.is_empty() {
                    rows.teller = Some(context.waker().clone());
                    return Poll::Pending;
                }
                let count = rows.waiting.len().min(capacity);
                Poll::Ready(rows.waiting.drain(..count).collect::<Vec<_>>())
            })
        })
        .await;
        for (index, row) in rows.iter().enumerate() {
            // SAFETY: JavaScript's memory, referenced for the life of the environment, and within its length.
            unsafe { table.add(index).write(*row) };
        }
        call(rows.len());
    }
}

/// Forgets what was not told: the thread ends.
pub fn clear() {
    ROWS.with(|rows| rows.take());
}
