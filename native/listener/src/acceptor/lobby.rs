//! Where accepted connections wait for an edge thread: an inbox for each of them.
//!
//! Threads come and go. What lies in the inbox of one that goes is given to the others; where there is no other, it
//! waits for the next one to come.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::counts::Refusal;
use super::{Accepted, Shared, lock};

/// Most connections that wait while no edge thread is there. Nothing is accepted meanwhile, so these are those whose
/// ClientHello came when the last thread had just gone.
const MAX_WAITING: usize = 1024;

#[derive(Default)]
pub(super) struct Lobby {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shelves: Vec<Arc<Shelf>>,
    /// Where to begin to look, so that equals take turns.
    turn: usize,
    waiting: VecDeque<Accepted>,
}

/// What an edge thread and the acceptor share.
#[derive(Default)]
struct Shelf {
    content: Mutex<Content>,
    /// Connections of the thread: those it was handed, until they are closed.
    open: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Content {
    queue: VecDeque<Accepted>,
    waker: Option<Waker>,
}

/// An edge thread's. Dropping it takes the thread out.
pub struct Inbox {
    shared: Arc<Shared>,
    shelf: Arc<Shelf>,
}

impl Lobby {
    pub(super) fn register(shared: &Arc<Shared>) -> Inbox {
        let shelf = Arc::new(Shelf::default());
        let mut state = lock(&shared.lobby.state);
        state.shelves.push(Arc::clone(&shelf));
        for accepted in std::mem::take(&mut state.waiting) {
            shelf.put(accepted);
        }
        Inbox { shared: Arc::clone(shared), shelf }
    }

    /// Hands a connection to the thread with the fewest. Answers it where nobody can take it and no more may wait.
    pub(super) fn give(&self, accepted: Accepted) -> Result<(), Accepted> {
        let mut state = lock(&self.state);
        let count = state.shelves.len();
        if count == 0 {
            if state.waiting.len() >= MAX_WAITING {
                return Err(accepted);
            }
            state.waiting.push_back(accepted);
            return Ok(());
        }
        state.turn = (state.turn + 1) % count;
        let in_turn = (0..count).map(|step| &state.shelves[(state.turn + step) % count]);
        // Of equals the first.
        if let Some(shelf) = in_turn.min_by_key(|shelf| shelf.open.load(Ordering::Relaxed)) {
            shelf.put(accepted);
        }
        Ok(())
    }

    pub(super) fn has_threads(&self) -> bool {
        !lock(&self.state).shelves.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }
}

impl Shelf {
    fn put(&self, mut accepted: Accepted) {
        accepted.place.assign(Some(&self.open));
        let waker = {
            let mut content = lock(&self.content);
            content.queue.push_back(accepted);
            content.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Inbox {
    /// The next connection for this thread.
    pub async fn next(&self) -> Accepted {
        poll_fn(|context| {
            let mut content = lock(&self.shelf.content);
            match content.queue.pop_front() {
                Some(accepted) => Poll::Ready(accepted),
                None => {
                    content.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Takes this thread out: it is handed nothing more. What was handed to it goes to the others; where there are
    /// none, it stays for [`Inbox::next`].
    pub fn leave(&self) {
        if self.out() {
            self.pass_on(false);
        }
    }

    /// Whether it was in.
    fn out(&self) -> bool {
        let mut state = lock(&self.shared.lobby.state);
        let before = state.shelves.len();
        state.shelves.retain(|shelf| !Arc::ptr_eq(shelf, &self.shelf));
        state.shelves.len() < before
    }

    fn pass_on(&self, for_good: bool) {
        let lobby = &self.shared.lobby;
        if for_good || lobby.has_threads() {
            let left = std::mem::take(&mut lock(&self.shelf.content).queue);
            for mut accepted in left {
                accepted.place.assign(None);
                if lobby.give(accepted).is_err() {
                    self.shared.counts.refuse(Refusal::Unserved);
                }
            }
        }
        // Without threads nothing is accepted.
        self.shared.wake();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.out();
        self.pass_on(true);
    }
}
