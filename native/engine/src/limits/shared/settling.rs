//! What this node has spent, and what comes back: told in rounds, one call at a time.
//!
//! A round tells of every lease that has something to tell, some thousand at once, and ends when all were. While nobody
//! answers, a round is one call: it asks whether somebody does again.

use std::collections::VecDeque;
use std::mem;

use super::leases::Leases;
use super::record::{self, Act, HEAD_BYTES, PARTITIONS, Reply};
use super::{Call, Key, MAX_RECORDS};
use crate::policy::Shared;

/// Of one lease: two that go back, and what is told.
const MOST_RECORDS: usize = 3;
/// Leases of one part of a round, some 10 MB of calls.
const PART: usize = 16_384;
/// Calls in a row that nobody answers; then leases fall back.
const FAILURES: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Settling {
    calls: VecDeque<Told>,
    flying: Option<Told>,
    /// The round is over.
    rests: bool,
    /// The shard that is told of next.
    shard: usize,
    failures: u32,
}

#[derive(Debug, Default)]
struct Told {
    partition: usize,
    keys: Vec<String>,
    records: Vec<u8>,
    /// By record: whose answer it is; None: nobody's.
    leases: Vec<Option<Key>>,
}

impl Settling {
    /// Whether leases can be settled.
    pub(super) fn is_up(&self) -> bool {
        self.failures < FAILURES
    }

    pub(super) fn next(
        &mut self,
        leases: &Leases,
        names: &Shared,
        birth_us: impl Fn(usize) -> f64,
        nodes: u32,
        now_us: u64,
    ) -> Option<Call> {
        if self.flying.is_some() {
            // Whoever has asked before has never said what came of it.
            self.failed(leases);
        }
        if mem::take(&mut self.rests) {
            return None;
        }
        if self.calls.is_empty() {
            self.collect(leases, names, nodes, now_us);
        }
        if self.calls.is_empty() && !self.is_up() {
            self.calls.push_back(Told::begun(names, 0));
            self.rests = true;
        }
        let mut told = self.calls.pop_front()?;
        told.records[..HEAD_BYTES].copy_from_slice(&birth_us(told.partition).to_le_bytes());
        let call = Call { keys: mem::take(&mut told.keys), records: mem::take(&mut told.records) };
        self.rests |= self.shard == 0 && self.calls.is_empty();
        self.flying = Some(told);
        Some(call)
    }

    /// The partition and the reply of the call under way. None: nobody has answered it.
    pub(super) fn answered<'a>(
        &mut self,
        leases: &Leases,
        reply: Option<&'a [u8]>,
        now_us: u64,
        mut overshot: impl FnMut(u32, u64),
    ) -> Option<(usize, Reply<'a>)> {
        let records = self.flying.as_ref()?.leases.len();
        let Some(reply) = reply.and_then(|reply| Reply::read(reply, records)) else {
            self.failed(leases);
            return None;
        };
        let told = self.flying.take()?;
        self.failures = 0;
        for (record, key) in told.leases.iter().enumerate() {
            let Some(key) = *key else { continue };
            let mut shard = leases.of(key);
            let Some(mut place) = shard.look(key) else { continue };
            let lease = place.lease();
            match reply.row(record) {
                Some(row) => match lease.settled(row, reply.now_us, reply.forgot_penalty(&lease.quota), now_us) {
                    0 => {}
                    units => overshot(lease.rule, units),
                },
                None => lease.unsettled(),
            }
            if lease.owes() {
                place.mark();
            }
        }
        Some((told.partition, reply))
    }

    /// Tells all of it again; if it is not the first time, not before the next round.
    fn failed(&mut self, leases: &Leases) {
        self.failures = self.failures.saturating_add(1);
        let mut untold: Vec<Told> = self.flying.take().into_iter().collect();
        if !self.is_up() {
            untold.extend(self.calls.drain(..));
            self.rests = true;
        }
        for key in untold.iter().flat_map(|told| told.leases.iter().copied().flatten()) {
            let mut shard = leases.of(key);
            if let Some(mut place) = shard.look(key) {
                place.lease().unsettled();
                place.mark();
            }
        }
    }

    fn collect(&mut self, leases: &Leases, names: &Shared, nodes: u32, now_us: u64) {
        let mut open: [Option<Told>; PARTITIONS] = [const { None }; PARTITIONS];
        let mut count = 0;
        while count < PART {
            let told = leases.tell(self.shard, |lease| {
                count += 1;
                let partition = record::partition(lease.key, names.cluster);
                if open[partition].as_ref().is_some_and(|told| told.leases.len() + MOST_RECORDS > MAX_RECORDS) {
                    self.calls.extend(open[partition].take());
                }
                let told = open[partition].get_or_insert_with(|| Told::begun(names, partition));
                let settle = lease.settle(now_us);
                for (units, at_us) in settle.returned {
                    if units > 0 {
                        told.push(names, lease.key, None);
                        record::write(&mut told.records, Act::GiveBack { at_us }, &lease.quota, units, 0);
                    }
                }
                told.push(names, lease.key, Some(lease.key));
                let act = Act::Settle { want: settle.want, penalize: settle.penalize };
                let beyond = settle.spent.saturating_mul(u64::from(nodes));
                record::write(&mut told.records, act, &lease.quota, settle.spent, beyond);
            });
            if told.is_none() {
                self.shard = 0;
                break;
            }
            self.shard += 1;
        }
        self.calls.extend(open.into_iter().flatten());
    }
}

impl Told {
    fn begun(names: &Shared, partition: usize) -> Told {
        Told {
            partition,
            keys: vec![record::birth_key(&names.prefix, partition)],
            records: vec![0; HEAD_BYTES],
            leases: Vec::new(),
        }
    }

    fn push(&mut self, names: &Shared, key: Key, answers: Option<Key>) {
        self.keys.push(record::counter_key(&names.prefix, self.partition, key));
        self.leases.push(answers);
    }
}
