//! The node's side of counters that a fleet shares.
//!
//! - [`Asking`], one an edge thread: what its exchanges ask (`strict`), written as calls and read from replies.
//! - [`Fleet`], one a process: leases (`fast`), what holds while nobody can be asked, how many nodes there are.

mod batch;
mod fleet;

pub use batch::{Asking, Batch, Call, Waiter};
pub use fleet::{Fallen, Fleet};

use super::{Key, Quota};
use crate::policy::Sharing;

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
    /// Longest time that a request may wait for its turn; 0: none.
    pub delay_us: u64,
    pub sharing: Sharing,
}
