//! What is revoked, by issuer: the lists of all authorities of a trust set, merged.
//!
//! A list counts for every certificate whose issuer has its name, whichever of that name's keys signed it (keys are
//! rolled over, names stay). Among lists of one scope the newest counts; lists of different scopes (partitioned by
//! distribution point, or signed by an older key) add up, and each of them has to be current.

use std::collections::HashMap;

use super::revocation_list::{RevocationList, Scope, Serial, serial_key};
use super::serial_set::SerialSet;

/// Per issuer name, what is revoked.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    by_issuer: HashMap<Vec<u8>, Revoked>,
}

#[derive(Debug)]
struct Revoked {
    serials: SerialSet,
    /// The earliest nextUpdate of the lists.
    next_update: u64,
}

/// What the lists say about one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// No list speaks for the issuer.
    Unchecked,
    /// On no list; holds until the given second.
    Good(u64),
    Revoked,
    /// A list of the issuer is past its nextUpdate, given here: nothing is known.
    Unknown(u64),
}

impl Revocations {
    pub(super) fn merge(lists: Vec<RevocationList>) -> Revocations {
        let mut newest: HashMap<Scope, RevocationList> = HashMap::new();
        for list in lists {
            if newest.get(&list.scope).is_none_or(|known| known.age < list.age) {
                newest.insert(list.scope.clone(), list);
            }
        }
        let mut merged: HashMap<Vec<u8>, (Vec<Serial>, u64)> = HashMap::new();
        for (scope, list) in newest {
            let (serials, next_update) = merged.entry(scope.issuer).or_insert((Vec::new(), u64::MAX));
            serials.extend(list.serials);
            *next_update = list.next_update.min(*next_update);
        }
        let by_issuer = merged.into_iter().map(|(issuer, (serials, next_update))| {
            (issuer, Revoked { serials: SerialSet::new(&serials), next_update })
        });
        Revocations { by_issuer: by_issuer.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_issuer.is_empty()
    }

    /// `issuer` and `serial` as webpki shows them: content octets, without tag and length.
    pub(super) fn look_up(&self, issuer: &[u8], serial: &[u8], now: u64) -> Standing {
        let Some(revoked) = self.by_issuer.get(issuer) else { return Standing::Unchecked };
        // A serial too long for a list cannot be on one: lists with such serials are refused when loaded.
        let listed = serial_key(serial).is_some_and(|serial| revoked.serials.contains(&serial));
        if listed {
            Standing::Revoked
        } else if now >= revoked.next_update {
            Standing::Unknown(revoked.next_update)
        } else {
            Standing::Good(revoked.next_update)
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.by_issuer.values().map(|revoked| revoked.serials.bytes()).sum()
    }
}
