//! A connection to an origin as a task of the reactor has it: in the clear or over TLS, one type for both.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use portcullis_reactor::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::socket;
use crate::tls::Identity;

/// A connected origin.
#[derive(Debug)]
pub enum Dialed {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Connects, and shakes hands where the origin has an identity. There is no timeout: the caller's bounds hold.
///
/// # Errors
/// What the socket says, or TLS ([`crate::tls::is_fault`]).
pub async fn dial(address: SocketAddr, identity: Option<&Identity>) -> io::Result<Dialed> {
    let socket = Socket::new(socket::connect(&address)?.0)?;
    std::future::poll_fn(|context| socket.poll_connected(context)).await?;
    Ok(match identity {
        None => Dialed::Plain(socket),
        Some(identity) => Dialed::Tls(Box::new(identity.connect(socket).await?)),
    })
}

impl Dialed {
    /// What TLS agreed to speak.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Dialed::Plain(_) => None,
            Dialed::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

macro_rules! either {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Dialed::Plain($io) => {
                let $io = Pin::new($io);
                $call
            }
            Dialed::Tls($io) => {
                let $io = Pin::new($io.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Dialed {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_read(context, into))
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Dialed::Plain(io) => io.is_write_vectored(),
            Dialed::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_shutdown(context))
    }
}
