//! What happens because time passes.

use portcullis_engine::reason::Reason;

use super::Client;
use super::assign::next_waiting;
use crate::connection::Phase;
use crate::poller::Poller;

/// How often timers are looked at: timeouts are told in seconds, and looking costs a microsecond.
pub const TICK_MS: u64 = 50;
/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;
/// How long an origin that no policy names is remembered: longer than any request takes to be decided.
pub const RETIRED_MS: u64 = 10 * 60_000;

impl<P: Poller> Client<P> {
    /// Timers. Cheap when nothing is due; called about every [`TICK_MS`].
    pub fn tick(&mut self) {
        let now = self.poller.now_ms();
        for index in 0..self.deadlines_ms.len() {
            if self.deadlines_ms[index] <= now {
                self.expire(index as u32, now);
            }
        }
        for slot in 0..self.h2.deadlines_ms.len() {
            if self.h2.deadlines_ms[slot] <= now {
                self.expire_stream(slot as u32, now);
            }
        }
        self.look_after_links(now);
        for index in 0..self.origins.len() {
            self.expire_waiting(index, now);
        }
        self.forget_retired(now);
        self.settle();
        self.wake_if_waiting();
    }

    fn expire(&mut self, index: u32, now: u64) {
        self.deadlines_ms[index as usize] = NEVER;
        let Some(connection) = self.connection(index) else { return };
        let (origin, address, slot) = (connection.origin, connection.address, connection.exchange);
        match connection.phase {
            Phase::Idle => self.close(index),
            Phase::Connecting => {
                self.close(index);
                self.connect_failed(slot, Reason::OriginTimeout);
                self.assign(slot, None, false);
            }
            Phase::Head => {
                self.note_failure(origin, address, now);
                self.abandon(index, Reason::OriginTimeout);
            }
            Phase::Length(_) | Phase::Chunked(_) | Phase::UntilClose => self.abandon(index, Reason::OriginTimeout),
        }
    }

    /// A queue is in order of arrival, and all of it waits equally long: the first in it is the first to give up.
    fn expire_waiting(&mut self, index: usize, now: u64) {
        while let Some(origin) = self.origins[index].as_mut()
            && origin.waiting > 0
            && let Some(token) = next_waiting(origin, &self.exchanges)
            && self.exchanges[token.slot as usize].deadline_ms <= now
        {
            self.leave_queue(token);
            self.fail(token.slot, Reason::OriginSaturated);
        }
    }

    pub(super) fn forget_retired(&mut self, now: u64) {
        for place in &mut self.origins {
            let over = |origin: &crate::origin::Origin| {
                origin.retired_ms.is_some_and(|since| now >= since + RETIRED_MS) && origin.is_unused()
            };
            if place.as_ref().is_some_and(over)
                && let Some(origin) = place.take()
            {
                self.by_spec.remove(&origin.spec);
            }
        }
    }

    /// When the silence of a response's origin ends it.
    pub(super) fn idle_deadline(&self, index: u32) -> u64 {
        let connection = self.connections[index as usize].connection.as_ref();
        let origin = connection.and_then(|it| self.origins[it.origin as usize].as_ref());
        origin.map_or(NEVER, |origin| self.poller.now_ms() + u64::from(origin.spec.idle_timeout_ms))
    }
}
