//! An origin: its addresses, what is known of their health, and who waits for a connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_engine::policy::{OriginProtocol, OriginTls};

use crate::arena::Token;
use crate::tls::Identity;

/// Where requests go and how long anything may take. Equal specs share one pool, also across reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginSpec {
    /// At most [`OriginSpec::MAX_ADDRESSES`]: those behind are not used.
    pub addresses: Vec<SocketAddr>,
    pub protocol: OriginProtocol,
    /// None: in the clear.
    pub tls: Option<Arc<OriginTls>>,
    /// Most connections to one address.
    pub connections: u32,
    /// All attempts of one request together; also the longest wait for a free connection.
    pub connect_timeout_ms: u32,
    /// From the request's last byte to the end of the response's head.
    pub first_byte_timeout_ms: u32,
    /// Between two reads of a response.
    pub idle_timeout_ms: u32,
    /// Most requests that wait for a connection.
    pub queue: u32,
}

impl OriginSpec {
    /// Most requests that wait for a connection, unless the operator says otherwise: at 64 connections and 10 ms a
    /// request the last of them has waited 160 ms.
    pub const QUEUE: u32 = 1024;
    /// Most addresses of one origin: what a request has tried is one 64-bit word.
    pub const MAX_ADDRESSES: usize = 64;
}

/// A live origin of one [`crate::Client`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Failures in a row that take an address out.
const FAILURES_TO_EJECT: u32 = 3;
/// The first time out. It doubles with every failure behind it, up to the longest.
const EJECT_MS: u64 = 10_000;
const MAX_EJECT_MS: u64 = 60_000;

pub(crate) struct Origin {
    pub(crate) spec: OriginSpec,
    pub(crate) generation: u32,
    pub(crate) addresses: Vec<Address>,
    /// Which address comes next.
    next: usize,
    /// In order of arrival; some may have gone since.
    pub(crate) queue: VecDeque<Token>,
    /// How many of the queue still wait.
    pub(crate) waiting: u32,
    /// How it is known over TLS; None in the clear.
    pub(crate) identity: Option<Arc<Identity>>,
    /// When no policy named it any more.
    pub(crate) retired_ms: Option<u64>,
}

pub(crate) struct Address {
    pub(crate) address: SocketAddr,
    /// Connections, connecting ones included.
    pub(crate) open: u32,
    /// The last to become idle is the first to serve: the others may be given up. Of HTTP/2 connections, all that
    /// take streams.
    pub(crate) idle: Vec<u32>,
    failures: u32,
    ejected_ms: u64,
    ejected_until_ms: u64,
}

/// Where a request can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// This connection, taken out of its pool.
    Idle(u32),
    /// A new connection to this address.
    Open(u32),
    /// Every connection is in use.
    Full,
    /// Connecting to every address was tried.
    Exhausted,
}

impl Origin {
    pub(crate) fn new(spec: &OriginSpec, generation: u32) -> Origin {
        let addresses = spec.addresses.iter().take(OriginSpec::MAX_ADDRESSES).map(|&address| Address::new(address));
        Origin {
            spec: spec.clone(),
            generation,
            addresses: addresses.collect(),
            next: 0,
            queue: VecDeque::new(),
            waiting: 0,
            identity: spec.tls.as_deref().and_then(|tls| Identity::new(tls, spec.protocol)).map(Arc::new),
            retired_ms: None,
        }
    }

    /// Round robin over the addresses that are in; over all when all are out, since a guess is better than a refusal.
    pub(crate) fn pick(&mut self, now_ms: u64, tried: u64, fresh: bool) -> Pick {
        let count = self.addresses.len();
        let limit = self.spec.connections.max(1);
        let mut outcome = Pick::Exhausted;
        for even_ejected in [false, true] {
            for step in 0..count {
                let index = (self.next + step) % count;
                let address = &mut self.addresses[index];
                if tried & (1 << index) != 0 || (!even_ejected && address.ejected_until_ms > now_ms) {
                    continue;
                }
                outcome = Pick::Full;
                if !fresh && let Some(connection) = address.idle.pop() {
                    self.next = index + 1;
                    return Pick::Idle(connection);
                }
                if address.open < limit {
                    self.next = index + 1;
                    return Pick::Open(index as u32);
                }
            }
            if outcome == Pick::Full {
                break;
            }
        }
        outcome
    }

    /// The addresses, from the one whose turn it is.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (next, count) = (self.next, self.addresses.len());
        (0..count).map(move |step| (next + step) % count)
    }

    pub(crate) fn went_to(&mut self, index: usize) {
        self.next = index + 1;
    }

    /// It should speak TLS, and cannot: what its policy holds is not to be read.
    pub(crate) fn is_unusable(&self) -> bool {
        self.spec.tls.is_some() && self.identity.is_none()
    }

    /// Addresses that a request has not tried, at least 1.
    pub(crate) fn untried(&self, tried: u64) -> u64 {
        (self.addresses.len() as u64).saturating_sub(u64::from(tried.count_ones())).max(1)
    }

    /// A request failed at this address before it was answered; true when that takes the address out.
    pub(crate) fn failed(&mut self, index: u32, now_ms: u64) -> bool {
        let alone = self.addresses.len() < 2;
        let Some(address) = self.addresses.get_mut(index as usize) else { return false };
        address.failures = address.failures.saturating_add(1);
        if alone || address.failures < FAILURES_TO_EJECT || address.ejected_until_ms > now_ms {
            return false;
        }
        address.ejected_ms = (address.ejected_ms * 2).clamp(EJECT_MS, MAX_EJECT_MS);
        address.ejected_until_ms = now_ms + address.ejected_ms;
        true
    }

    /// The address answered.
    pub(crate) fn answered(&mut self, index: u32) {
        if let Some(address) = self.addresses.get_mut(index as usize)
            && address.failures > 0
        {
            address.failures = 0;
            address.ejected_ms = 0;
            address.ejected_until_ms = 0;
        }
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.waiting == 0 && self.addresses.iter().all(|address| address.open == 0)
    }
}

impl Address {
    pub(crate) fn is_ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms > now_ms
    }

    fn new(address: SocketAddr) -> Address {
        Address { address, open: 0, idle: Vec::new(), failures: 0, ejected_ms: 0, ejected_until_ms: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(addresses: u16) -> Origin {
        let addresses = (0..addresses).map(|n| SocketAddr::from(([127, 0, 0, 1], 1000 + n))).collect();
        let (connections, connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms, queue) = (2, 1, 1, 1, 1);
        let timeouts = (connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms);
        let (connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms) = timeouts;
        let spec = OriginSpec {
            addresses,
            protocol: OriginProtocol::Http1,
            tls: None,
            connections,
            connect_timeout_ms,
            first_byte_timeout_ms,
            idle_timeout_ms,
            queue,
        };
        Origin::new(&spec, 0)
    }

    #[test]
    fn addresses_take_turns() {
        let mut origin = origin(3);
        let picks: Vec<_> = (0..4).map(|_| origin.pick(0, 0, false)).collect();
        assert_eq!(picks, [Pick::Open(0), Pick::Open(1), Pick::Open(2), Pick::Open(0)]);
    }

    #[test]
    fn an_idle_connection_goes_before_a_new_one_and_the_newest_first() {
        let mut origin = origin(1);
        origin.addresses[0].idle = vec![4, 7];
        assert_eq!(origin.pick(0, 0, false), Pick::Idle(7));
        assert_eq!(origin.pick(0, 0, true), Pick::Open(0));
        assert_eq!(origin.pick(0, 0, false), Pick::Idle(4));
    }

    #[test]
    fn an_address_is_out_after_three_failures_for_ten_seconds_and_then_twice_as_long() {
        let mut origin = origin(2);
        assert!(!origin.failed(0, 0) && !origin.failed(0, 0) && origin.failed(0, 0));
        assert!((0..4).all(|_| origin.pick(9_999, 0, false) == Pick::Open(1)));
        assert_eq!(origin.pick(10_000, 0, false), Pick::Open(0));
        assert!(origin.failed(0, 10_000));
        assert!((0..4).all(|_| origin.pick(29_999, 0, false) == Pick::Open(1)));
        origin.answered(0);
        assert_eq!(origin.pick(10_001, 0, false), Pick::Open(0));
    }

    #[test]
    fn when_every_address_is_out_all_are_tried() {
        let mut origin = origin(2);
        for address in [0, 1] {
            assert!((0..3).any(|_| origin.failed(address, 0)));
        }
        assert!(matches!(origin.pick(1, 0, false), Pick::Open(_)));
    }

    #[test]
    fn a_lone_address_is_never_out() {
        let mut origin = origin(1);
        assert!((0..9).all(|_| !origin.failed(0, 0)));
    }

    #[test]
    fn in_use_is_full_and_tried_is_exhausted() {
        let mut origin = origin(2);
        origin.addresses[0].open = 2;
        origin.addresses[1].open = 2;
        assert_eq!(origin.pick(0, 0, false), Pick::Full);
        assert_eq!(origin.pick(0, 0b11, false), Pick::Exhausted);
    }
}
