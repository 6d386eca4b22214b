//! Whom a host believes: the anchors, intermediates and revocation lists of its authorities.

use std::collections::HashSet;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use super::Certificate;
use super::authority::{Issuer, read_anchors, read_intermediates};
use super::path::{self, Fault};
use super::revocation::Revocations;
use super::revocation_list::read_lists;
use crate::policy::{Authority, Problem};
use crate::reason::Reason;

/// How long a denial may be kept. A denial can end without a new snapshot only when a notBefore passes somewhere in a
/// path; five minutes is what a client with a fresh certificate waits at most.
pub const FAULT_RECHECK_SECONDS: u64 = 300;

/// The compiled trust of one host. Immutable; share it among hosts with the same authorities, for its revocation lists
/// may be large.
pub struct TrustSet {
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    /// What webpki does not keep of an anchor; `limits[n]` is of `anchors[n]`.
    pub(super) limits: Vec<Limits>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// notAfter of `intermediates[n]`, Unix seconds.
    pub(super) intermediates_not_after: Vec<u64>,
    pub(super) revocations: Revocations,
}

/// Validity and path length of an anchor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) path_length: Option<u32>,
}

/// What a certificate is worth for one trust set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// None: verified.
    pub fault: Option<Reason>,
    /// Unix seconds; the verdict must not be used from then on.
    pub expires_at: u64,
}

impl TrustSet {
    /// Reads the authorities; whatever is wrong with them is added to `problems`, and the set must then not be used.
    /// `now` is in Unix seconds.
    pub fn compile(authorities: &[&Authority], now: u64, problems: &mut Vec<Problem>) -> TrustSet {
        let mut set = TrustSet {
            anchors: Vec::new(),
            limits: Vec::new(),
            intermediates: Vec::new(),
            intermediates_not_after: Vec::new(),
            revocations: Revocations::default(),
        };
        let mut lists = Vec::new();
        let mut seen = HashSet::new();
        for authority in authorities {
            let anchors = read_anchors(authority, now, problems);
            let intermediates = read_intermediates(authority, problems);
            let issuers: Vec<&Issuer> = anchors.iter().chain(&intermediates).collect();
            lists.extend(read_lists(authority, &issuers, problems));
            for anchor in anchors {
                if seen.insert((true, anchor.der.clone())) {
                    set.add_anchor(&anchor);
                }
            }
            for intermediate in intermediates {
                if seen.insert((false, intermediate.der.clone())) {
                    set.intermediates_not_after.push(intermediate.not_after);
                    set.intermediates.push(intermediate.der);
                }
            }
        }
        set.revocations = Revocations::merge(lists);
        set
    }

    fn add_anchor(&mut self, anchor: &Issuer) {
        // read_anchors has tried the same conversion.
        let Ok(trusted) = webpki::anchor_from_trusted_cert(&anchor.der) else { return };
        self.anchors.push(trusted.to_owned());
        self.limits.push(Limits {
            not_before: anchor.not_before,
            not_after: anchor.not_after,
            path_length: anchor.path_length,
        });
    }

    /// Builds and checks a path from the certificate to an anchor; `now` is in Unix seconds. Costs its signature
    /// checks, at most the 100 of webpki's budget: keep the verdict.
    #[must_use]
    pub fn verify(&self, certificate: &Certificate, now: u64) -> Verdict {
        let outcome = match certificate.fault() {
            Some(reason) => Err(Fault { reason, ends_at: None }),
            None => path::verify(self, certificate, now),
        };
        match outcome {
            Ok(expires_at) => Verdict { fault: None, expires_at },
            Err(fault) => {
                let recheck = now.saturating_add(FAULT_RECHECK_SECONDS);
                let expires_at = fault.ends_at.map_or(recheck, |end| end.min(recheck));
                Verdict { fault: Some(fault.reason), expires_at }
            }
        }
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
