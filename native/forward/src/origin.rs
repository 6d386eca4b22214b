//! An origin: its addresses, what is known of their health, and who waits for a connection.

use std::net::SocketAddr;

/// Where requests go and how long anything may take. Equal specs share one pool, also across reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginSpec {
    pub addresses: Vec<SocketAddr>,
    /// Most connections to one address.
    pub connections: u32,
    pub connect_timeout_ms: u32,
    pub first_byte_timeout_ms: u32,
    /// Between two reads of a response.
    pub idle_timeout_ms: u32,
    /// Most requests that wait for a connection.
    pub queue: u32,
}

impl OriginSpec {
    /// Most requests that wait for a connection, unless the operator says otherwise: at 64 connections and 10 ms a
    /// request the last of them has waited 160 ms.
    pub const QUEUE: u32 = 1024;
}

/// A live origin of one [`crate::Client`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}
