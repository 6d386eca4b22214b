//! Bodies that wait for the inspection pool. Process-wide: pool threads read the same memory that edge threads
//! filled, so that only a number crosses between threads.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use portcullis_engine::schema::{Chosen, Passed, Schemas, Violation};

/// Most bodies waiting in the process. With the 1 MiB bound of an inspected body: 1 GiB at the very worst.
const MAX_TICKETS: usize = 1024;

/// One body to inspect.
pub struct Ticket {
    pub schemas: Arc<Schemas>,
    pub chosen: Chosen,
    pub body: Vec<u8>,
    pub result: OnceLock<Result<Passed, Violation>>,
    pub queued_us: u64,
}

/// What is left of a ticket: its body, and the verdict if there is one.
pub fn torn(ticket: Arc<Ticket>) -> (Vec<u8>, Option<Result<Passed, Violation>>) {
    match Arc::try_unwrap(ticket) {
        Ok(ticket) => (ticket.body, ticket.result.into_inner()),
        // A pool thread that was given up still holds it.
        Err(ticket) => (ticket.body.clone(), ticket.result.get().cloned()),
    }
}

struct Place {
    generation: u32,
    ticket: Option<Arc<Ticket>>,
}

static TABLE: Mutex<(Vec<Place>, Vec<u32>)> = Mutex::new((Vec::new(), Vec::new()));

fn table() -> std::sync::MutexGuard<'static, (Vec<Place>, Vec<u32>)> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers are a place and its generation, so that a late pool thread never meets a newer body.
fn number(place: usize, generation: u32) -> u32 {
    (generation & 0xF_FFFF) << 10 | place as u32
}

/// Gives the ticket back when the table is full.
pub fn issue(ticket: Box<Ticket>) -> Result<u32, Box<Ticket>> {
    let mut guard = table();
    let (places, free) = &mut *guard;
    let place = match free.pop() {
        Some(place) => place as usize,
        None if places.len() < MAX_TICKETS => {
            places.push(Place { generation: 0, ticket: None });
            places.len() - 1
        }
        None => return Err(ticket),
    };
    places[place].generation = places[place].generation.wrapping_add(1);
    places[place].ticket = Some(Arc::from(ticket));
    Ok(number(place, places[place].generation))
}

pub fn find(ticket: u32) -> Option<Arc<Ticket>> {
    let guard = table();
    let place = guard.0.get(ticket as usize & 0x3FF)?;
    (number(ticket as usize & 0x3FF, place.generation) == ticket).then(|| place.ticket.clone())?
}

/// Ends a ticket's life; a pool thread that still holds it finishes on its own copy of the handle.
pub fn take(ticket: u32) -> Option<Arc<Ticket>> {
    let mut guard = table();
    let (places, free) = &mut *guard;
    let index = ticket as usize & 0x3FF;
    let place = places.get_mut(index)?;
    if number(index, place.generation) != ticket {
        return None;
    }
    let taken = place.ticket.take()?;
    free.push(index as u32);
    Some(taken)
}
