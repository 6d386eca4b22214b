//! The acceptor of connections, and HTTP/2 with gRPC over the same engine.

pub mod tls;
