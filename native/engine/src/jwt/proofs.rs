//! Proofs that have counted, so that each counts once (RFC 9449, 11.1).
//!
//! One memory a process, in shards, so that threads rarely wait for each other. A proof is known by a keyed hash of its
//! key and its `jti`, and forgotten when its time is over: from then on its `iat` refuses it. What does not fit is
//! refused, whatever it is: were a proof forgotten to make room for others, it could be had to count again by sending
//! them.
//!
//! Processes do not tell each other: a proof counts once in each of them, and once more when one was started again
//! within its lifetime.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use foldhash::{HashSet, HashSetExt as _};

use crate::reason::Reason;

/// Most proofs that are remembered at once: 16,000 a second with the lifetime of 60 s, which is more signatures than a
/// core verifies. They take up to 100 MB, and nothing while there are none.
const MAX_PROOFS: usize = 1_000_000;
/// Enough that the threads of a large machine rarely meet.
const SHARDS: usize = 16;

pub(super) struct Proofs {
    /// Nobody can choose which shard is full, or what is taken for another's proof.
    key: [u8; 32],
    shards: [Mutex<Shard>; SHARDS],
    /// Of one shard.
    most: usize,
}

struct Shard {
    known: HashSet<u128>,
    /// The first to end on top. Unix milliseconds.
    ends: BinaryHeap<Reverse<(u64, u128)>>,
}

static OF_PROCESS: LazyLock<Proofs> = LazyLock::new(|| Proofs::new(MAX_PROOFS));

impl Proofs {
    pub(super) fn of_process() -> &'static Proofs {
        &OF_PROCESS
    }

    pub(super) fn new(most: usize) -> Proofs {
        let mut key = [0; 32];
        rand::fill(&mut key).expect("the system gives random bytes");
        let shard = || Mutex::new(Shard { known: HashSet::new(), ends: BinaryHeap::new() });
        Proofs { key, shards: std::array::from_fn(|_| shard()), most: most.div_ceil(SHARDS) }
    }

    /// Lets a proof count, once, until its time is over.
    ///
    /// # Errors
    /// It has counted before, or nobody can tell.
    pub(super) fn take(&self, jkt: &str, jti: &str, until_ms: u64, now_ms: u64) -> Result<(), Reason> {
        let name = self.name(jkt, jti);
        let shard = &self.shards[name as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&Reverse((until, ended))) = shard.ends.peek()
            && until < now_ms
        {
            shard.ends.pop();
            shard.known.remove(&ended);
        }
        if shard.known.contains(&name) {
            return Err(Reason::JwtDpopReplayed);
        }
        if shard.known.len() >= self.most {
            return Err(Reason::JwtDpopOverload);
        }
        shard.known.insert(name);
        shard.ends.push(Reverse((until_ms, name)));
        Ok(())
    }

    fn name(&self, jkt: &str, jti: &str) -> u128 {
        let mut context = Context::new(&SHA256);
        // A thumbprint has one length, so that the two cannot be cut elsewhere.
        for part in [&self.key[..], jkt.as_bytes(), jti.as_bytes()] {
            context.update(part);
        }
        let hash = context.finish();
        u128::from_le_bytes(std::array::from_fn(|at| hash.as_ref()[at]))
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().known.len()).sum()
    }
}
