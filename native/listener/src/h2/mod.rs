//! HTTP/2 connections: what a client may do on one, and what its requests look like.
//!
//! A connection is one task ([`serve`]): it reads frames, hands each request to the [`Door`] and writes what the door
//! has given to streams meanwhile. A stream has no task. Whoever holds its handles polls them with a waker of its own
//! choice; nothing here knows what a request means.
//!
//! Three things bound a connection: the `h2` crate's own limits, set from [`bounds`]; a [`guard`] that counts frames
//! ahead of it; and the clocks of [`connection`].

pub mod bounds;
mod connection;
pub mod date;
pub mod guard;
pub mod head;
pub mod linger;
pub mod response;
pub mod websocket;

pub use connection::{Control, Door, Ended, ended, serve};
