//! Whom a host believes: the anchors and intermediates of its authorities.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use super::authority::{Authority, Issuer, KeyId};
use super::path::{self, Fault, Path};
use super::revocation::{self, Good, IssuerKey, Issuers, Link};
use super::{Certificate, Standings};
use crate::meters::StaleSeries;
use crate::policy::{self, Problem, Stale};
use crate::reason::Reason;

/// How long a denial may be kept. A denial can end without a new snapshot or a change of the standings only when a
/// notBefore passes somewhere in a path; five minutes is what a client with a fresh certificate waits at most.
pub const FAULT_RECHECK_SECONDS: u64 = 300;

/// The compiled trust of one host. Immutable; share it among hosts with the same authorities.
pub struct TrustSet {
    pub(super) authorities: Vec<Arc<Authority>>,
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    /// What webpki does not keep of an anchor; `limits[n]` is of `anchors[n]`.
    pub(super) limits: Vec<Limits>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// `intermediate_limits[n]` is of `intermediates[n]`.
    pub(super) intermediate_limits: Vec<Limits>,
    pub(super) issuers: Vec<IssuerKey>,
}

/// What a path has to know of an issuer's certificate.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) path_length: Option<u32>,
    /// Index into `issuers`.
    pub(super) issuer: u32,
    pub(super) constrains_mail: bool,
    pub(super) names_mail: bool,
    /// Indices of the authorities that hold this certificate.
    pub(super) authorities: Vec<u32>,
}

/// What a certificate is worth for one trust set.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// None: verified.
    pub fault: Option<Reason>,
    /// Unix seconds; the verdict must not be used from then on.
    pub expires_at: u64,
    /// Whose anchor its path ends at; of several the one that holds the leaf's issuer as well. Also where only its
    /// standing is against it: [`Self::fault`] says whether it is verified.
    pub authority: Option<Arc<str>>,
    /// The key of the leaf's issuer, where there is an authority.
    pub issuer_key: Option<KeyId>,
    /// Verified although the standing of a certificate in the path is unknown or outdated.
    pub lenient: Option<Lenient>,
    /// Unix seconds. A clock that was set back ends the verdict too.
    made_at: u64,
    /// The standings' epoch that it was reached in.
    epoch: u64,
    /// When the path itself ends, whatever its standing.
    path_ends_at: u64,
    /// The path, to look it up again.
    links: Box<[Link]>,
    /// Issuers in it that only the client knows.
    brought: Box<[IssuerKey]>,
    /// Its intermediates: see [`TrustSet::intermediate`].
    chain: Box<[u32]>,
    /// A denial that a change of the standings may turn.
    revocable: bool,
}

/// Who let an unknown standing pass.
#[derive(Debug, Clone, Copy)]
pub struct Lenient {
    /// `soft` or `grace`.
    pub mode: Stale,
    series: StaleSeries,
}

impl Lenient {
    /// Counts a request that passed so.
    pub fn count(&self) {
        self.series.count(self.mode);
    }
}

/// What it took to have a verdict of this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Nothing: it holds.
    Held,
    /// Its path was looked up again, without signatures.
    LookedUp,
    /// It was reached anew.
    Verified,
}

impl TrustSet {
    /// Reads the authorities; whatever is wrong with them is added to `problems`, and the set must then not be used.
    /// `now` is in Unix seconds.
    pub fn compile(authorities: &[&policy::Authority], now: u64, problems: &mut Vec<Problem>) -> TrustSet {
        let compiled = authorities.iter().map(|written| Arc::new(Authority::compile(written, now, problems)));
        TrustSet::of(compiled.collect())
    }

    #[must_use]
    pub fn of(authorities: Vec<Arc<Authority>>) -> TrustSet {
        let mut set = TrustSet {
            anchors: Vec::new(),
            limits: Vec::new(),
            intermediates: Vec::new(),
            intermediate_limits: Vec::new(),
            issuers: Vec::new(),
            authorities: Vec::new(),
        };
        let mut anchors: HashMap<_, usize> = HashMap::new();
        let mut intermediates: HashMap<_, usize> = HashMap::new();
        for (index, authority) in authorities.iter().enumerate() {
            for anchor in &authority.anchors {
                let limits = set.limits_of(anchor, index as u32);
                match anchors.entry(anchor.der.clone()) {
                    Entry::Occupied(place) => set.limits[*place.get()].authorities.push(index as u32),
                    Entry::Vacant(place) => {
                        // Authority::compile has tried the same conversion.
                        let Ok(trusted) = webpki::anchor_from_trusted_cert(&anchor.der) else { continue };
                        place.insert(set.anchors.len());
                        set.anchors.push(trusted.to_owned());
                        set.limits.push(limits);
                    }
                }
            }
            for intermediate in &authority.intermediates {
                let limits = set.limits_of(intermediate, index as u32);
                match intermediates.entry(intermediate.der.clone()) {
                    Entry::Occupied(place) => set.intermediate_limits[*place.get()].authorities.push(index as u32),
                    Entry::Vacant(place) => {
                        place.insert(set.intermediates.len());
                        set.intermediates.push(intermediate.der.clone());
                        set.intermediate_limits.push(limits);
                    }
                }
            }
        }
        set.authorities = authorities;
        set
    }

    fn limits_of(&mut self, issuer: &Issuer, authority: u32) -> Limits {
        let same = |known: &IssuerKey| known.key_id == issuer.key_id && known.name == issuer.subject;
        let index = self.issuers.iter().position(same).unwrap_or_else(|| {
            self.issuers.push(IssuerKey {
                key_id: issuer.key_id,
                name: issuer.subject.clone(),
                shown: issuer.shown.clone(),
                authorities: Vec::new(),
            });
            self.issuers.len() - 1
        });
        if !self.issuers[index].authorities.contains(&authority) {
            self.issuers[index].authorities.push(authority);
        }
        Limits {
            not_before: issuer.not_before,
            not_after: issuer.not_after,
            path_length: issuer.path_length,
            issuer: index as u32,
            constrains_mail: issuer.constrains_mail,
            names_mail: issuer.names_mail,
            authorities: vec![authority],
        }
    }

    /// An issuer that a client sent, under this anchor. It answers to whoever the anchor's authority is, and to those that
    /// hold its key and name themselves: what they know of the key's certificates counts whichever way was taken.
    pub(super) fn issuer_key(&self, issuer: &Issuer, anchor: &Limits) -> IssuerKey {
        let same = |known: &&IssuerKey| known.key_id == issuer.key_id && known.name == issuer.subject;
        let mut authorities = self.issuers.iter().find(same).map_or_else(Vec::new, |known| known.authorities.clone());
        authorities.extend(anchor.authorities.iter().filter(|index| !authorities.contains(index)).collect::<Vec<_>>());
        let Issuer { key_id, subject, shown, .. } = issuer;
        IssuerKey { key_id: *key_id, name: subject.clone(), shown: shown.clone(), authorities }
    }

    /// Builds and checks a path from the certificate to an anchor; `now` is in Unix seconds. Costs its signature
    /// checks, at most the 100 of webpki's budget: keep the verdict, and [renew](Self::renew) it.
    #[must_use]
    pub fn verify(&self, certificate: &Certificate, standings: &Standings, now: u64) -> Verdict {
        self.reach(certificate, standings, now).0
    }

    /// The verdict, and the last path that was looked at, good or not.
    pub(super) fn reach(&self, certificate: &Certificate, standings: &Standings, now: u64) -> (Verdict, Option<Path>) {
        // Before the table is read: a change in between makes the verdict look again.
        let epoch = standings.epoch();
        let (outcome, path) = match certificate.fault() {
            Some(reason) => (Err(Fault { reason, ends_at: None, revocable: false }), None),
            None => path::verify(self, certificate, standings, now),
        };
        let mut verdict = Verdict {
            fault: None,
            expires_at: now,
            authority: None,
            issuer_key: None,
            lenient: None,
            made_at: now,
            epoch,
            path_ends_at: now,
            links: Box::default(),
            brought: Box::default(),
            chain: Box::default(),
            revocable: false,
        };
        match (outcome, &path) {
            (Ok(good), Some(path)) => {
                verdict.links = path.links.clone().into();
                verdict.brought = path.brought.clone().into();
                verdict.chain = path.chain.clone().into();
                verdict.path_ends_at = path.ends_at;
                self.vouched(&mut verdict, path);
                verdict.passes(good, self);
            }
            (Ok(_), None) => verdict.fault = Some(Reason::MtlsUntrusted),
            (Err(fault), _) => {
                let recheck = now.saturating_add(FAULT_RECHECK_SECONDS);
                verdict.expires_at = fault.ends_at.map_or(recheck, |end| end.min(recheck));
                verdict.fault = Some(fault.reason);
                verdict.revocable = fault.revocable;
                // Its path holds: whoever looks its standing up has to know where, or an unknown one stays unknown.
                if let (true, Some(path)) = (fault.reason.is_standing(), &path) {
                    self.vouched(&mut verdict, path);
                }
            }
        }
        (verdict, path)
    }

    /// Who issued a certificate whose path holds.
    fn vouched(&self, verdict: &mut Verdict, path: &Path) {
        verdict.issuer_key = path.links.first().map(|link| path.issuers(self).of(link).key_id);
        // A copy: each request counts its references, and threads that share a counter wait for each other.
        verdict.authority = self.authorities.get(path.authority as usize).map(|known| Arc::from(known.name()));
    }

    /// Makes a verdict of this set about this certificate one of this moment, at the least cost: nothing while it
    /// holds; a look-up of its links (100 to 200 ns each) when the standings have moved; all of [`verify`](Self::verify)
    /// when that finds something, or when what was denied may now pass.
    pub fn renew(&self, verdict: &mut Verdict, certificate: &Certificate, standings: &Standings, now: u64) -> Renewal {
        let epoch = standings.epoch();
        let in_time = verdict.made_at <= now && now < verdict.expires_at;
        if in_time && (verdict.epoch == epoch || (verdict.fault.is_some() && !verdict.revocable)) {
            return Renewal::Held;
        }
        if verdict.fault.is_none()
            && verdict.made_at <= now
            && now < verdict.path_ends_at
            && let Ok(good) = revocation::look_up(
                verdict.issuers(self),
                &self.authorities,
                certificate,
                &verdict.links,
                standings,
                now,
            )
        {
            verdict.epoch = epoch;
            verdict.passes(good, self);
            return Renewal::LookedUp;
        }
        *verdict = self.verify(certificate, standings, now);
        Renewal::Verified
    }

    /// The intermediates of a verdict of this set about this certificate, DER, from the leaf's issuer on and without the
    /// anchor; none unless verified.
    pub fn chain<'a>(
        &'a self,
        verdict: &'a Verdict,
        certificate: &'a Certificate,
    ) -> impl Iterator<Item = &'a [u8]> + Clone {
        verdict.chain.iter().filter_map(|&index| self.intermediate(index, certificate)).map(|der| &**der)
    }

    /// An intermediate by its number: the set's own, and behind them what the client sent.
    fn intermediate<'a>(&'a self, index: u32, certificate: &'a Certificate) -> Option<&'a CertificateDer<'static>> {
        let index = index as usize;
        match index.checked_sub(self.intermediates.len()) {
            None => self.intermediates.get(index),
            Some(index) => certificate.issuers().get(index).map(|issuer| &issuer.der),
        }
    }

    /// Names of the authorities, in the order in which they are trusted.
    pub fn authorities(&self) -> impl Iterator<Item = &str> {
        self.authorities.iter().map(|authority| authority.name())
    }
}

impl Verdict {
    fn issuers<'a>(&'a self, set: &'a TrustSet) -> Issuers<'a> {
        Issuers { configured: &set.issuers, brought: &self.brought }
    }

    fn passes(&mut self, good: Good, set: &TrustSet) {
        self.expires_at = self.path_ends_at.min(good.until);
        self.lenient = good.leniently.map(|index| {
            let authority = &set.authorities[index as usize];
            Lenient { mode: authority.revocation.stale, series: authority.stale }
        });
    }
}

impl std::fmt::Debug for TrustSet {
    /// Counts only: a set can hold a million serials.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TrustSet")
            .field("anchors", &self.anchors.len())
            .field("intermediates", &self.intermediates.len())
            .finish_non_exhaustive()
    }
}
