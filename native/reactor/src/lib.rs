//! Futures, sockets and timers inside an edge thread's own event loop.
//!
//! uWebSockets.js, the upstream client and HTTP/2 share one loop, so that an exchange never crosses threads. What this
//! adds to the loop is little: tasks that are polled in its check phase, sockets that wake them, and timers. Libraries
//! see the traits of tokio's I/O, never its runtime.
//!
//! What touches the loop or the system's sockets is here for others too: [`handles`], [`address`], [`epoll`].
//!
//! One reactor a thread: [`uv::start`] puts it into a libuv loop, [`epoll::block_on`] into a loop of its own where
//! there is none (tests, benches). Nothing here is `Send`, but for the wakers.

pub mod address;
mod driver;
pub mod epoll;
pub mod handles;
mod libuv;
mod sleep;
mod socket;
mod tasks;
pub mod uv;
mod wakers;

pub use driver::Interest;
pub use sleep::{Sleep, now_ms, sleep, sleep_until};
pub use socket::Socket;
pub use tasks::{batch, panics, run, spawn};
pub use wakers::{Bell, Wakers};
