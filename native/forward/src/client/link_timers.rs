//! What time does to HTTP/2 connections: idle ones are proven with a ping and given up in the end, silent ones are
//! found out.

use std::task::{Context, Poll, Waker};

use h2::Ping;

use super::Client;
use super::assign::POOLED_MS;
use crate::h2::link::{LinkKey, Stage};
use crate::poller::Poller;

/// An idle connection is pinged once, after so long. gRPC servers count pings between calls against their client and
/// end the connection after the second (grpc-core, `max_ping_strikes`).
const PING_AFTER_MS: u64 = 30_000;
/// How long a ping may take: the origin is near, and answers it without asking the application.
const PONG_MS: u64 = 5_000;

impl<P: Poller> Client<P> {
    pub(super) fn look_after_links(&mut self, now: u64) {
        for index in 0..self.h2.len() {
            self.look_after_link(self.h2.key_at(index), now);
        }
    }

    fn look_after_link(&mut self, key: LinkKey, now: u64) {
        let Some(link) = self.h2.get(key) else { return };
        if !matches!(link.stage, Stage::Open(_)) {
            return;
        }
        let (is_idle, idle_ms) = (link.streams == 0, now.saturating_sub(link.idle_since_ms));
        if let (Some(since), Some(ping)) = (link.pinged_ms, &mut link.ping) {
            // Looked at with every tick: nothing has to be woken.
            match ping.poll_pong(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending if now < since + PONG_MS => {}
                Poll::Pending => link.stop(),
                Poll::Ready(_) => {
                    (link.pinged_ms, link.is_proven, link.is_suspect) = (None, true, false);
                    let origin = link.origin;
                    self.relieved.push(origin);
                }
            }
        } else if is_idle && idle_ms >= POOLED_MS {
            // Its last owner gone, it says goodbye by itself.
            self.retire_link(key);
        } else if is_idle && idle_ms >= PING_AFTER_MS && !link.is_proven {
            self.ping_link(key, now);
        }
    }

    /// One of its streams was silent for too long: is that the request's fault, or is nobody there?
    pub(super) fn suspect_link(&mut self, key: LinkKey, now: u64) {
        if let Some(link) = self.h2.get(key) {
            link.is_suspect = link.ping.is_some();
            self.ping_link(key, now);
        }
    }

    fn ping_link(&mut self, key: LinkKey, now: u64) {
        let Some(link) = self.h2.get(key) else { return };
        if link.pinged_ms.is_none()
            && let Some(ping) = &mut link.ping
        {
            let sent = ping.send_ping(Ping::opaque()).is_ok();
            link.pinged_ms = sent.then_some(now);
            link.is_suspect &= sent;
        }
    }
}
