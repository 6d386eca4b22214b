//! Who is at the other end of a connection, and what its certificate is worth for the host it asks for.

use std::net::IpAddr;
use std::rc::Rc;

use crate::decide::Known;
use crate::mtls::Certificate;
use crate::reason::Reason;

/// One connection's other end; read once, when its first request comes.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: IpAddr,
    /// The address as text: logs and the origin get it with every request.
    pub text: String,
    /// The leaf that TLS presented. Never trusted by itself: see [`Identity`].
    pub certificate: Option<Rc<Known>>,
}

impl Peer {
    #[must_use]
    pub fn new(address: IpAddr, certificate: Option<Rc<Known>>) -> Peer {
        Peer { address, text: address.to_string(), certificate }
    }
}

/// The client certificate as it counts for one request: verified against the trust of the host asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity<'a> {
    /// None when none was presented, or the host's mode is `off`.
    pub certificate: Option<&'a Certificate>,
    /// Why it is not to be trusted; None with a certificate means verified.
    pub fault: Option<Reason>,
    /// Name of the authority that it was verified by; None unless it was.
    pub authority: Option<&'a str>,
}

impl Identity<'_> {
    #[must_use]
    pub fn presented(&self) -> bool {
        self.certificate.is_some()
    }

    #[must_use]
    pub fn verified(&self) -> bool {
        self.certificate.is_some() && self.fault.is_none()
    }

    #[must_use]
    pub fn revoked(&self) -> bool {
        self.fault == Some(Reason::MtlsRevoked)
    }
}
