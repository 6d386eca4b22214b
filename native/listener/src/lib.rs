//! The acceptor of connections, and HTTP/2 with gRPC over the same engine.

pub mod acceptor;
pub mod hello;
mod ja4;
