//! Whom a host believes: the anchors, intermediates and revocation lists of its authorities.

use super::Certificate;
use crate::policy::{Authority, Problem};
use crate::reason::Reason;

/// The compiled trust of one host.
#[derive(Debug)]
pub struct TrustSet {}

/// What a certificate is worth for one trust set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// None: verified.
    pub fault: Option<Reason>,
    /// Unix seconds; the verdict must not be used from then on.
    pub expires_at: u64,
}

impl TrustSet {
    /// `now` is in Unix seconds.
    pub fn compile(_authorities: &[&Authority], _now: u64, _problems: &mut Vec<Problem>) -> TrustSet {
        TrustSet {}
    }

    /// Builds and checks a path from the certificate to an anchor. Costs its signature checks: keep the verdict.
    #[must_use]
    pub fn verify(&self, _certificate: &Certificate, now: u64) -> Verdict {
        Verdict { fault: Some(Reason::MtlsUntrusted), expires_at: now }
    }
}
