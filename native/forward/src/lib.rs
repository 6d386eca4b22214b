//! The upstream HTTP/1.1 client that lives inside an edge thread's own event loop.
//!
//! One [`client::Client`] a thread, never shared. A request is written in the call that submits it; what came back
//! during a turn of the loop is gathered in one [`arena::Arena`] and handed over in ONE call at the turn's end
//! ([`uv::InLoop`]). Origin sockets stay watched for reading from their opening to their closing, so that a request
//! costs one `send` and one `recv` and no `epoll_ctl`.
//!
//! Whatever a client or an origin can make grow has a bound, and each bound is one named constant.

pub mod arena;
mod chunked;
pub mod client;
mod connection;
pub mod counters;
mod dial;
mod exchange;
mod h2;
pub mod held;
pub mod origin;
pub mod poller;
pub mod request;
mod response;
mod socket;
pub mod status;
pub mod tls;
mod trailers;
pub mod uv;

pub use arena::{Arena, Entry, Kind, Token};
pub use client::{Body, Client, Flow, Request};
pub use counters::Counters;
pub use dial::{Dialed, dial};
pub use origin::{OriginId, OriginSpec};
