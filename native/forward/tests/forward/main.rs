//! The client over real sockets, in loops of the tests' own.

mod exchange;
mod h2;
mod in_loop;
mod pool;
mod request;
mod support;
mod tls;
