//! How many connections are open, in all and of each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::counts::Refusal;
use super::{Bounds, lock};

/// What a client cannot change at will: its IPv4 address, or the network of 64 bits that an IPv6 subscriber is given
/// (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    V6(u64),
}

impl Network {
    fn of(address: SocketAddr) -> Network {
        match address.ip().to_canonical() {
            IpAddr::V4(address) => Network::V4(address.to_bits()),
            IpAddr::V6(address) => Network::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Bounded by the connections that may be open at once.
#[derive(Debug, Default)]
pub(super) struct Places {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    /// Keyed at random: clients choose their addresses.
    networks: HashMap<Network, usize>,
}

/// An open connection's; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    network: Network,
    /// Of its edge thread.
    thread: Option<Arc<AtomicUsize>>,
}

impl Places {
    pub(super) fn take(self: &Arc<Self>, address: SocketAddr, bounds: &Bounds) -> Result<Place, Refusal> {
        let network = Network::of(address);
        let mut table = lock(&self.table);
        if table.open >= bounds.max {
            return Err(Refusal::Max);
        }
        let count = table.networks.entry(network).or_default();
        if *count >= bounds.per_address {
            return Err(Refusal::PerAddress);
        }
        *count += 1;
        table.open += 1;
        Ok(Place { places: Arc::clone(self), network, thread: None })
    }

    pub(super) fn open(&self) -> usize {
        lock(&self.table).open
    }
}

impl Place {
    /// Counts it among those of a thread, and of no other any more.
    pub(super) fn assign(&mut self, thread: Option<&Arc<AtomicUsize>>) {
        if let Some(thread) = thread {
            thread.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(before) = std::mem::replace(&mut self.thread, thread.cloned()) {
            before.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.assign(None);
        let mut table = lock(&self.places.table);
        table.open -= 1;
        if let Entry::Occupied(mut count) = table.networks.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
