//! Sets behind `in`: strings, numbers, addresses. Built once, asked in logarithmic or constant time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use ipnet::IpNet;

/// Below this a scan over lengths and bytes beats hashing.
const SCANNED_STRINGS: usize = 8;

#[derive(Debug)]
pub(super) enum TextSet {
    Scanned(Box<[Box<[u8]>]>),
    Hashed(HashSet<Box<[u8]>, FixedState>),
}

impl TextSet {
    pub fn new(items: impl Iterator<Item = Box<[u8]>>) -> TextSet {
        let items: Vec<_> = items.collect();
        if items.len() <= SCANNED_STRINGS {
            return TextSet::Scanned(items.into_boxed_slice());
        }
        // The set's content is the operator's; a client can only look up. So a fixed seed is safe.
        let mut set = HashSet::with_capacity_and_hasher(items.len(), FixedState::default());
        set.extend(items);
        TextSet::Hashed(set)
    }

    pub fn contains(&self, text: &[u8]) -> bool {
        match self {
            TextSet::Scanned(items) => items.iter().any(|item| **item == *text),
            TextSet::Hashed(set) => set.contains(text),
        }
    }

    pub fn items(&self) -> impl Iterator<Item = &[u8]> {
        let (scanned, hashed) = match self {
            TextSet::Scanned(items) => (Some(items.iter()), None),
            TextSet::Hashed(set) => (None, Some(set.iter())),
        };
        scanned.into_iter().flatten().chain(hashed.into_iter().flatten()).map(|item| &**item)
    }

    pub fn len(&self) -> usize {
        match self {
            TextSet::Scanned(items) => items.len(),
            TextSet::Hashed(set) => set.len(),
        }
    }
}

/// Sorted ranges that do not touch, both ends included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ranges<T>(Box<[(T, T)]>);

impl<T: Copy + Ord> Ranges<T> {
    pub fn new(mut ranges: Vec<(T, T)>) -> Ranges<T> {
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        Ranges(merged.into_boxed_slice())
    }

    pub fn contains(&self, value: T) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= value);
        after > 0 && value <= self.0[after - 1].1
    }

    pub fn iter(&self) -> impl Iterator<Item = (T, T)> {
        self.0.iter().copied()
    }
}

/// Families are kept apart, so that `::/0` holds no IPv4 address. Addresses are asked in canonical form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressSet {
    pub v4: Ranges<u32>,
    pub v6: Ranges<u128>,
}

/// The first and last address of an item of a set; both of one family.
pub(super) type AddressRange = (IpAddr, IpAddr);

impl AddressSet {
    pub fn new(items: impl Iterator<Item = AddressRange>) -> AddressSet {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.to_bits(), last.to_bits())),
                _ => unreachable!("a range has one family"),
            }
        }
        AddressSet { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }
}

/// First and last address of a prefix. IPv4 written as IPv6 (`::ffff:192.0.2.0/120`) is IPv4.
pub(super) fn range_of(network: IpNet) -> AddressRange {
    if let IpNet::V6(network) = network
        && network.prefix_len() >= 96
        && let Some(first) = network.network().to_ipv4_mapped()
        && let Some(last) = network.broadcast().to_ipv4_mapped()
    {
        return (first.into(), last.into());
    }
    (network.network(), network.broadcast())
}

/// A prefix: its bits, left-aligned in the family's width, and how many count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub v6: bool,
    pub bits: u128,
    pub length: u8,
}

impl Prefix {
    /// The prefix of that length which holds the address.
    pub fn of(address: IpAddr, length: u8) -> Prefix {
        let (v6, width, bits) = match address {
            IpAddr::V4(address) => (false, 32, u128::from(Ipv4Addr::to_bits(address))),
            IpAddr::V6(address) => (true, 128, Ipv6Addr::to_bits(address)),
        };
        let host = width - u32::from(length);
        Prefix { v6, bits: if host == 128 { 0 } else { bits >> host << host }, length }
    }
}

/// The fewest prefixes that make up a range, None if more than `most`.
pub(super) fn prefixes(ranges: &AddressSet, most: usize) -> Option<Vec<Prefix>> {
    let mut found = Vec::new();
    for (first, last) in ranges.v4.iter() {
        cover(false, first.into(), last.into(), 32, most, &mut found)?;
    }
    for (first, last) in ranges.v6.iter() {
        cover(true, first, last, 128, most, &mut found)?;
    }
    Some(found)
}

fn cover(v6: bool, mut first: u128, last: u128, width: u32, most: usize, found: &mut Vec<Prefix>) -> Option<()> {
    loop {
        if found.len() == most {
            return None;
        }
        // The widest block that starts here and ends by `last`.
        let mut host = first.trailing_zeros().min(width);
        while host == 128 || (host > 0 && (1u128 << host) - 1 > last - first) {
            if host == 128 && first == 0 && last == u128::MAX {
                break;
            }
            host -= 1;
        }
        found.push(Prefix { v6, bits: first, length: (width - host) as u8 });
        let end = if host == 128 { u128::MAX } else { first + ((1u128 << host) - 1) };
        if end >= last {
            return Some(());
        }
        first = end + 1;
    }
}
