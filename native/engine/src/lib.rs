//! The engine decides every exchange.
//!
//! Pure Rust: no sockets, files, runtime or napi. What an operator wrote arrives as a [`policy::Policy`],
//! is compiled once into an immutable [`snapshot::Snapshot`], and every request is decided against one
//! snapshot from its start to its end. What changes between requests is counted in [`meters`] or cached with its connection.

pub mod answer;
pub mod by_host;
pub mod civil;
pub mod credentials;
pub mod decide;
pub mod endpoints;
pub mod event;
pub mod exchange;
pub mod explain;
pub mod grpc;
pub mod guard;
pub mod head;
mod host_pattern;
pub mod jwt;
pub mod keys;
pub mod limits;
pub mod meters;
pub mod mtls;
pub mod own;
pub mod pairs;
pub mod partners;
pub mod peer;
pub mod policy;
pub mod reason;
pub mod rules;
pub mod schema;
pub mod snapshot;
mod wildcard;
