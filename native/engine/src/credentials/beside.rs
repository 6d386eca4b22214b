//! What hosts make of a verified token: made once, kept with it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::partners::Partner;
use crate::reason::Reason;

/// Hosts whose lines are kept with one token: more than this only costs making them again.
const MAX_HOSTS: usize = 4;

/// Lines that the origin is told, or why it cannot be.
type Lines = Result<Option<Arc<str>>, Reason>;
type Belonging = Result<Option<Arc<Partner>>, Reason>;

/// A token is kept by one thread; the lock is there because an exchange may be looked at by another.
#[derive(Default)]
pub(crate) struct Beside(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// By the number of the host's credentials.
    told: Vec<(u64, Lines)>,
    /// In an epoch of the partners.
    partner: Option<(u64, Belonging)>,
}

impl Beside {
    pub(super) fn told(&self, credentials: u64, make: impl FnOnce() -> Lines) -> Lines {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lines)) = kept.told.iter().find(|(id, _)| *id == credentials) {
            return lines.clone();
        }
        let lines = make();
        if kept.told.len() == MAX_HOSTS {
            kept.told.drain(..1);
        }
        kept.told.push((credentials, lines.clone()));
        lines
    }

    /// `epoch`: read before.
    pub(crate) fn partner(&self, epoch: u64, find: impl FnOnce() -> Belonging) -> Belonging {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, partner)) = kept.partner.as_ref().filter(|(known, _)| *known == epoch) {
            return partner.clone();
        }
        let partner = find();
        kept.partner = Some((epoch, partner.clone()));
        partner
    }
}

/// What a token says stands in it.
impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}
