//! Whether the certificates of one path are still good: what was revoked here, lists from files, lists and OCSP answers
//! that arrived since.
//!
//! Everything is about an issuer's key. A list speaks for what its authority's keys of the list's issuer name have
//! issued (keys are rolled over, names stay; RFC 5280, 5.1.1.3), and never for another authority of that name. Among
//! lists of one scope the newest counts; lists of different scopes (partitioned by distribution point, or signed by an
//! older key) add up, and each of them has to be current.
//!
//! A list or an answer is demanded for what the client brings, the leaf and intermediates of its own, where the policy
//! says that they arrive. Configured intermediates are the operator's choice: what is known about them counts, what is
//! not known does not stop them.

use std::sync::Arc;

use super::Certificate;
use super::authority::{Authority, KeyId};
use super::revocation_list::{RevocationList, Serial};
use super::standings::{Standings, Status, Table};
use crate::policy::Stale;
use crate::reason::Reason;

/// A key that issues for a trust set, with the name it issues under.
#[derive(Debug, Clone)]
pub(super) struct IssuerKey {
    pub(super) key_id: KeyId,
    /// Content of the name.
    pub(super) name: Vec<u8>,
    /// RFC 2253.
    pub(super) shown: String,
    /// Indices of the set's authorities that hold it.
    pub(super) authorities: Vec<u32>,
}

/// One certificate of a path as revocation knows it; the leaf comes first. The anchor has none: it is believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Index of an [`IssuerKey`] among [`Issuers`].
    pub(super) issuer: u32,
    /// None when longer than 20 octets, which neither leaves nor issuers may have.
    pub(super) serial: Option<Serial>,
    /// The client brought this certificate, as it does the leaf.
    pub(super) brought: bool,
}

/// Who issued the certificates of a path: those of the trust set, and behind them those of the path alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Issuers<'a> {
    pub(super) configured: &'a [IssuerKey],
    pub(super) brought: &'a [IssuerKey],
}

impl<'a> Issuers<'a> {
    pub(super) fn of(self, link: &Link) -> &'a IssuerKey {
        let index = link.issuer as usize;
        match index.checked_sub(self.configured.len()) {
            None => &self.configured[index],
            Some(index) => &self.brought[index],
        }
    }
}

/// Nothing speaks against a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Good {
    /// Unix seconds; then it has to be looked up again.
    pub(super) until: u64,
    /// Index of the authority whose `soft` or `grace` let an unknown or outdated standing pass.
    pub(super) leniently: Option<u32>,
}

/// What is known about one link from one authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody speaks for the issuer, and nobody has to.
    Unchecked,
    /// Until the given second.
    Good(u64, Source),
    Revoked(Source),
    /// Known once, until the given second.
    Outdated(u64, Source),
    /// Never known; first asked at the given second.
    Unknown(u64),
}

/// Who says so. Times in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Here,
    List { this_update: i64 },
    Ocsp { this_update: u64 },
}

/// The path's links in the state of this moment. `now` is in Unix seconds.
pub(super) fn look_up(
    issuers: Issuers<'_>,
    authorities: &[Arc<Authority>],
    certificate: &Certificate,
    links: &[Link],
    standings: &Standings,
    now: u64,
) -> Result<Good, Reason> {
    let table = standings.read();
    if table.is_revoked_leaf(certificate.sha256()) {
        return Err(Reason::MtlsRevoked);
    }
    if table.is_full() {
        return Err(Reason::MtlsRevocationUnknown);
    }
    let mut all = Good { until: u64::MAX, leniently: None };
    for link in links {
        let issuer = issuers.of(link);
        for &index in &issuer.authorities {
            let authority = &authorities[index as usize];
            let standing = standing(&table, standings, authority, issuer, link, now);
            let good = weigh(authority, standing, now)?;
            all.until = all.until.min(good.until);
            all.leniently = all.leniently.or(good.leniently.then_some(index));
        }
    }
    Ok(all)
}

/// What one standing comes to.
pub(super) struct Weighed {
    pub(super) until: u64,
    pub(super) leniently: bool,
}

/// Whether a standing passes under what its authority says about unknown and outdated ones.
pub(super) fn weigh(authority: &Authority, standing: Standing, now: u64) -> Result<Weighed, Reason> {
    let (since, reason) = match standing {
        Standing::Unchecked => return Ok(Weighed { until: u64::MAX, leniently: false }),
        Standing::Good(until, _) => return Ok(Weighed { until, leniently: false }),
        Standing::Revoked(_) => return Err(Reason::MtlsRevoked),
        Standing::Outdated(since, Source::List { .. }) => (since, Reason::MtlsCrlExpired),
        Standing::Outdated(since, _) | Standing::Unknown(since) => (since, Reason::MtlsRevocationUnknown),
    };
    let end = since.saturating_add(authority.revocation.grace_s);
    match authority.revocation.stale {
        Stale::Soft => Ok(Weighed { until: u64::MAX, leniently: true }),
        Stale::Grace if now < end => Ok(Weighed { until: end, leniently: true }),
        Stale::Hard | Stale::Grace => Err(reason),
    }
}

/// What `authority` knows about one certificate of `issuer`.
pub(super) fn standing(
    table: &Table,
    standings: &Standings,
    authority: &Authority,
    issuer: &IssuerKey,
    &Link { serial, brought, .. }: &Link,
    now: u64,
) -> Standing {
    if serial.is_some_and(|serial| table.is_revoked(&issuer.key_id, &serial)) {
        return Standing::Revoked(Source::Here);
    }
    let listed = listed(table, authority, issuer, serial.as_ref(), now);
    if matches!(listed, Standing::Revoked(_)) {
        return listed;
    }
    let answered = match serial.and_then(|serial| table.answer(&issuer.key_id, &serial, now)) {
        None => Standing::Unchecked,
        Some(answer) => {
            let source = Source::Ocsp { this_update: answer.this_update };
            match answer.status {
                Status::Revoked => return Standing::Revoked(source),
                Status::Unknown => Standing::Unchecked,
                Status::Good if now < answer.next_update => Standing::Good(answer.next_update, source),
                Status::Good => Standing::Outdated(answer.next_update, source),
            }
        }
    };
    match (listed, answered) {
        // One of the two is enough; with both the later end counts.
        (Standing::Good(one, _), Standing::Good(other, _)) if one < other => answered,
        (Standing::Good(..), _) => listed,
        (_, Standing::Good(..)) => answered,
        (Standing::Outdated(..), _) => listed,
        (_, Standing::Outdated(..)) => answered,
        _ if !brought => Standing::Unchecked,
        _ if authority.revocation.fetch => Standing::Unknown(standings.first_asked(issuer.key_id, None, now)),
        _ if authority.revocation.ocsp => {
            // A serial that no answer can be kept for shares its issuer's question.
            Standing::Unknown(standings.first_asked(issuer.key_id, serial, now))
        }
        _ => Standing::Unchecked,
    }
}

fn listed(table: &Table, authority: &Authority, issuer: &IssuerKey, serial: Option<&Serial>, now: u64) -> Standing {
    let arrived = table.lists(&authority.name);
    // Scopes are unique within each of the two.
    let kept = authority.lists.iter().filter(|list| !is_replaced(list, arrived));
    let come = arrived.iter().filter(|list| !is_replaced(list, &authority.lists));
    let mut standing = Standing::Unchecked;
    for list in kept.chain(come).filter(|list| list.issuer == issuer.name) {
        // The snapshot may have lost the certificate that signed a list since it arrived.
        if !authority.holds_key(&list.signer) {
            continue;
        }
        let source = Source::List { this_update: list.this_update };
        if serial.is_some_and(|serial| list.serials.contains(serial)) {
            return Standing::Revoked(source);
        }
        // Each has to be current: the first to end counts.
        let until = match standing {
            Standing::Good(until, _) | Standing::Outdated(until, _) => until,
            _ => u64::MAX,
        };
        if list.next_update < until {
            standing = if now < list.next_update {
                Standing::Good(list.next_update, source)
            } else {
                Standing::Outdated(list.next_update, source)
            };
        }
    }
    standing
}

/// Whether a newer list of the same scope is among `others`.
fn is_replaced(list: &RevocationList, others: &[Arc<RevocationList>]) -> bool {
    others.iter().any(|other| other.scope == list.scope && other.age() > list.age())
}
