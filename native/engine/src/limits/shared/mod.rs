//! The node's side of counters that a fleet shares.
//!
//! - [`Asking`], one an edge thread: what its exchanges ask (`strict`), written as calls and read from replies.
//! - [`Fleet`], one a process: leases (`fast`), what holds while nobody can be asked, how many nodes there are.
//!
//! No clock of a node decides when something was spent: the server's does. A node's own, which never goes back, only
//! measures how long ago an answer came.
//!
//! # How far each mode goes over
//!
//! `P(w)` is what the policy admits in any time `w`: `burst + floor(w * amount / period)`; by sliding window `amount` for
//! `w` up to a period. `n`: nodes that live at any moment of `w`; a node that starts again is another one. `a`: the
//! limit's `advance`, or the highest cost of a request if that is more. `S(w)`: the policy with amount and burst divided by the number of nodes, each at least 1.
//!
//! | what happens within `w` | `strict` | `fast` |
//! |---|---|---|
//! | nothing; nodes die, replies are lost or late | `P(w)` | `P(w + 500 ms) + n * a` |
//! | the server cannot be asked, or forgets: `closed` | `P(w)` | `P(w + 500 ms) + n * a` |
//! | ... `local` | `P(w) + n * S(w)` | `P(w + 500 ms) + n * (a + S(w))` |
//! | ... and forgets `k` times: `open` | what comes | what comes |
//! | ... has forgotten, and can be asked: `open` | `(k + 1) * P(w)` | `(k + 1) * (P(w + 500 ms) + n * a)` |
//!
//! - `n * S(w)` is no more than `P(w)` when amount and burst are divisible by `n`, and nodes know of each other.
//! - A server that forgets with `local`: the bound holds for one loss within `w`; each further one adds `P(w)` or
//!   `n * S(w)`, whichever is less, because until one period after each loss a request needs the server's word and
//!   the share's.
//! - The 500 ms are what leases live: what was granted before the window may be spent in it.
//! - A limit that is counted by its answer goes over by the requests that were under way when it was exhausted.
//! - A node learns that memory was lost from the first answer after it. Somebody has to know that there was one: the
//!   server itself, if anything of it is left, or a node that has asked it before. A node that has not, and asks first,
//!   is answered like one of a new fleet.
//! - A server's replica that takes over without its last writes has forgotten just those. A server that evicts counters
//!   (any `maxmemory-policy` but `noeviction`) forgets without telling.
//! - Penalties are forgotten with the rest; those that a node has been told of, it keeps.

mod batch;
mod fleet;
mod lease;
mod leases;
mod record;
mod settling;
mod share;
mod statistics;
#[cfg(test)]
mod tests;

pub use batch::{Asking, Batch, Call, MAX_RECORDS, Waiter};
pub use fleet::{Fallen, Fleet};
pub use statistics::Told;

use super::{Key, Quota, Taken};
use crate::policy::{Algorithm, Sharing};

/// One question to the fleet's counters, or to the leases of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Index of the rule, for statistics.
    pub rule: u32,
    pub key: Key,
    pub quota: Quota,
    pub cost: u64,
    /// Only looks whether `cost` could be spent: it is spent when the answer is known ([`Asking::spend`],
    /// [`Fleet::spend`]).
    pub peek: bool,
    /// Longest time that a request may wait for its turn; 0: none. An answer that refuses for no longer than this,
    /// without penalty, has spent: the turn comes then.
    pub delay_us: u64,
    pub sharing: Sharing,
}

/// Most that a key can ever have at once.
fn most(quota: &Quota) -> u64 {
    match quota.algorithm {
        Algorithm::Gcra => quota.burst.max(1),
        Algorithm::SlidingWindow => quota.amount.max(1),
    }
}

/// A refusal of what was asked: whatever wait was told, it is no turn within the delay.
fn refused(ask: &Ask, wait_us: u64) -> Taken {
    Taken::Refused { wait_us: wait_us.max(ask.delay_us.saturating_add(1)), penalty: false }
}

/// Until the turn of what was taken; None: it was not.
#[must_use]
pub fn turn_us(taken: Taken, delay_us: u64) -> Option<u64> {
    match taken {
        Taken::Admitted { .. } => Some(0),
        Taken::Refused { wait_us, penalty: false } if (1..=delay_us).contains(&wait_us) => Some(wait_us),
        Taken::Refused { .. } | Taken::Full => None,
    }
}
