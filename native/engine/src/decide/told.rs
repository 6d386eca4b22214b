//! What the origin is told about who sent a request.

use std::borrow::Cow;
use std::rc::Rc;

use crate::credentials::Counted;
use crate::exchange::{Exchange, Presented};
use crate::peer::Peer;
use crate::policy::CredentialLocation;
use crate::reason::Reason;

/// What the origin is told about who calls, and what it is not to see. Nothing for most hosts.
#[derive(Default)]
pub struct Told<'a> {
    certificate: Option<Rc<str>>,
    no_certificate: &'static str,
    caller: Cow<'a, str>,
    headers: &'a [String],
    counted: Counted<'a>,
}

impl Told<'_> {
    /// Whole lines about the client's certificate, each ended by CR LF.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().unwrap_or(self.no_certificate)
    }

    /// Whole lines about the token and the partner, as above.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// Names of the fields that may stand there: clients' own are none.
    #[must_use]
    pub fn headers(&self) -> &[String] {
        self.headers
    }

    /// Where the credentials stood that stay behind.
    #[must_use]
    pub fn stripped(&self) -> &[&CredentialLocation] {
        self.counted.locations()
    }
}

/// What the origin is told about who sent a request that was decided.
#[must_use]
pub fn told<'a>(exchange: &'a Exchange, peer: &Peer) -> Told<'a> {
    let mut told = Told::default();
    let Some(host) = exchange.host() else { return told };
    if !host.forward.forwarding.is_empty() {
        match (exchange.presented, &peer.certificate) {
            (Presented::Verified, Some(known)) => {
                told.certificate = Some(known.told(&host.mtls(exchange.head.path()).trust, &host.forward));
            }
            (Presented::Fault(reason), _) => {
                told.no_certificate = host.forward.forwarding.unverified(true, reason == Reason::MtlsRevoked);
            }
            _ => told.no_certificate = host.forward.forwarding.unverified(false, false),
        }
    }
    if let Some(credentials) = &host.credentials {
        told.caller = credentials.told(&exchange.caller);
        told.headers = credentials.told_headers();
        if credentials.strip {
            told.counted = credentials.counted(&exchange.caller);
        }
    }
    told
}
