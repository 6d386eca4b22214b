//! TLS of HTTP/2 connections: rustls over aws-lc, versions 1.2 and 1.3.
//!
//! TLS here proves possession and decides nothing: any client certificate is taken whose key signed the handshake, none
//! too. What it is worth is the engine's answer, for each request and the host that it asks for.

mod ahead;
mod contexts;
mod counts;
mod handshake;
mod possession;
#[cfg(test)]
mod tests;
mod tickets;
pub mod x509;

pub use ahead::Ahead;
pub use contexts::{Context, ContextSpec, Contexts};
pub use counts::outcomes;
pub use handshake::{Established, Failure, HANDSHAKE_SECONDS, TlsStream, handshake};
pub use possession::{MAX_CERTIFICATES, MAX_HINT_BYTES};
