//! One connection's handshake, under a deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use portcullis_reactor::{Socket, sleep};
use rustls::{HandshakeKind, ProtocolVersion, SupportedCipherSuite};
use tokio_rustls::TlsAcceptor;

use super::ahead::Ahead;
use super::contexts::Context;
use super::counts;

/// How long a handshake may take: what uWebSockets.js gives one.
pub const HANDSHAKE_SECONDS: u64 = 10;

pub type TlsStream = tokio_rustls::server::TlsStream<Ahead<Socket>>;

/// A connection whose handshake is over.
pub struct Established {
    pub stream: TlsStream,
    /// What the client showed, DER, its own certificate first; empty when it has none.
    pub chain: Vec<Vec<u8>>,
    /// The session of an earlier connection goes on, its chain included.
    pub resumed: bool,
    /// `TLSv1.3`
    pub version: &'static str,
    pub suite: Option<SupportedCipherSuite>,
}

/// Why a handshake failed, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Not over in time.
    Timeout,
    /// The connection ended.
    Closed,
    /// The client sent an alert: as a rule it does not trust the host's certificate.
    Alert,
    /// No version, cipher suite, group or protocol in common.
    Incompatible,
    /// The client's certificate cannot be read, or its chain is too long.
    Certificate,
    /// What came is not TLS as it should be.
    Malformed,
}

/// Shakes hands as the context says.
///
/// # Errors
/// [`Failure::of`] tells its kind.
pub async fn handshake(context: &Context, socket: Socket) -> io::Result<Established> {
    let outcome = handshake_within(context, socket, Duration::from_secs(HANDSHAKE_SECONDS)).await;
    counts::count(&outcome);
    outcome
}

pub(super) async fn handshake_within(context: &Context, socket: Socket, most: Duration) -> io::Result<Established> {
    let mut accepting = pin!(TlsAcceptor::from(Arc::clone(&context.config)).accept(Ahead::new(socket)));
    let mut deadline = pin!(sleep(most));
    let stream = poll_fn(|task| match accepting.as_mut().poll(task) {
        Poll::Pending => deadline.as_mut().poll(task).map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready => ready,
    })
    .await?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect();
    let is_newest = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let version = if is_newest { "TLSv1.3" } else { "TLSv1.2" };
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    let suite = session.negotiated_cipher_suite();
    Ok(Established { chain, resumed, version, suite, stream })
}

impl Failure {
    pub(super) const ALL: [Failure; 6] = [
        Failure::Timeout,
        Failure::Closed,
        Failure::Alert,
        Failure::Incompatible,
        Failure::Certificate,
        Failure::Malformed,
    ];

    #[must_use]
    pub fn of(error: &io::Error) -> Failure {
        use rustls::Error::{AlertReceived, InvalidCertificate, NoApplicationProtocol, PeerIncompatible};
        match (error.kind(), error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())) {
            (_, Some(AlertReceived(_))) => Failure::Alert,
            (_, Some(InvalidCertificate(_))) => Failure::Certificate,
            (_, Some(NoApplicationProtocol | PeerIncompatible(_))) => Failure::Incompatible,
            (_, Some(_)) => Failure::Malformed,
            (io::ErrorKind::TimedOut, None) => Failure::Timeout,
            (_, None) => Failure::Closed,
        }
    }

    /// As it stands in a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Closed => "closed",
            Failure::Alert => "alert",
            Failure::Incompatible => "incompatible",
            Failure::Certificate => "certificate",
            Failure::Malformed => "malformed",
        }
    }
}
