//! The engine decides every exchange.
//!
//! Pure Rust: no sockets, files, runtime or napi. What an operator wrote arrives as a [`policy::Policy`],
//! is compiled once into an immutable [`snapshot::Snapshot`], and every request is decided against one
//! snapshot from its start to its end. What changes between requests lives in [`state`].

pub mod endpoints;
pub mod head;
pub mod mtls;
pub mod peer;
pub mod policy;
pub mod reason;
pub mod rules;
pub mod schema;
