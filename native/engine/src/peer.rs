//! Who is at the other end of a connection, and what its certificate is worth for the host it asks for.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::by_host::ByHost;
use crate::decide::Known;
use crate::mtls::Certificate;
use crate::reason::Reason;

/// What a client's TLS told of itself before anything was agreed upon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// Lower-case; None without SNI.
    pub server_name: Option<String>,
    /// JA4: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    pub ja4: String,
    /// Bytes of the message, its header included.
    pub length: u32,
    /// The client offers HTTP/2 by ALPN.
    pub offers_h2: bool,
}

/// One connection's other end; read once, when its first request comes.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: IpAddr,
    /// The address as text: logs and the origin get it with every request.
    pub text: String,
    /// The leaf that TLS presented. Never trusted by itself: see [`Identity`].
    pub certificate: Option<Rc<Known>>,
    /// None behind the plain listener, which does not look at it.
    pub hello: Option<Arc<ClientHello>>,
    /// None where a connection is for one host, or the client names none in its TLS.
    pub asked: Option<Asked>,
}

/// Whose certificates TLS asked for, on a connection that can bring requests for several hosts. A client chooses the
/// certificate by that: to a host that asks for others it has to connect anew.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Digest of the authorities.
    pub trust: u64,
    /// What TLS asks for, by host.
    pub by_host: Arc<ByHost<u64>>,
}

impl Asked {
    /// Whether a connection to this (lower-case) host would have asked for the same.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.by_host.get(host).is_none_or(|&trust| trust == self.trust)
    }
}

impl Peer {
    #[must_use]
    pub fn new(address: IpAddr, certificate: Option<Rc<Known>>) -> Peer {
        Peer { address, text: address.to_string(), certificate, hello: None, asked: None }
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
