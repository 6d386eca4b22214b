//! The acceptor of connections, and HTTP/2 with gRPC over the same engine.

pub mod acceptor;
pub mod h2;
pub mod hello;
mod ja4;
pub mod tls;
