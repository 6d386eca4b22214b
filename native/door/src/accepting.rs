//! The acceptor's doors: where the main thread has it listen, and how an edge thread takes what it is handed.
//!
//! A connection that does not offer HTTP/2 is uWebSockets.js's. JavaScript says `adopt(fd)`, then `adoptSocket(fd)`,
//! within which uWebSockets.js tells that a connection was opened: that is how what was learned of the ClientHello gets
//! to the connection's record. A connection that nobody was told of by then was not adopted, and is closed.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use napi::{Error, Result};
use napi_derive::napi;
use portcullis_engine::guard::guarded;
use portcullis_engine::peer::ClientHello;
use portcullis_listener::acceptor::{self, Accepted, Bounds, Inbox, Place, acceptor};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::edge::streams;
use crate::wanted::{Wanted, want};

// --- the main thread's ----------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Written {
    max: usize,
    per_address: usize,
    handshakes: usize,
    hello_timeout_ms: u64,
}

fn bounds(json: &str) -> Result<Bounds> {
    let written: Written = serde_json::from_str(json).map_err(|error| Error::from_reason(error.to_string()))?;
    let Written { max, per_address, handshakes, hello_timeout_ms } = written;
    Ok(Bounds { max, per_address, handshakes, hello_timeout: Duration::from_millis(hello_timeout_ms) })
}

/// Listens for the whole process on a socket that is bound already, and may listen; answers the port. The descriptor
/// stays the caller's, who may close it. `bounds` is JSON: `max`, `per_address`, `handshakes`, `hello_timeout_ms`.
/// Connections are accepted from the first `serve_accepted` on.
///
/// # Errors
/// The system's code, such as EADDRINUSE.
#[napi]
pub fn acceptor_listen_fd(fd: i32, bounds: String) -> Result<u32> {
    acceptor().bound(self::bounds(&bounds)?);
    if fd < 0 {
        return Err(Error::from_reason("EBADF"));
    }
    cold(|| {
        // SAFETY: the caller keeps it open during this call.
        let own = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
        acceptor().listen_fd(own)
    })
    .map(|bound| bound.port().into())
}

/// Other bounds, for connections from now on.
#[napi]
pub fn acceptor_bound(bounds: String) -> Result<()> {
    acceptor().bound(self::bounds(&bounds)?);
    Ok(())
}

/// Closes the listening socket of an address. Who is in its backlog is accepted before.
#[napi]
pub fn acceptor_close(address: String, port: u32) -> Result<()> {
    acceptor().close(socket_address(&address, port)?);
    Ok(())
}

/// Closes all listening sockets.
#[napi]
pub fn acceptor_stop() {
    acceptor().stop();
}

/// Connections that were accepted and are nobody's yet: their ClientHello is not there, or no edge thread is.
#[napi]
pub fn acceptor_pending() -> u32 {
    let figures = acceptor().figures();
    (figures.pending + figures.waiting) as u32
}

fn socket_address(address: &str, port: u32) -> Result<SocketAddr> {
    let ip: IpAddr = address.parse().map_err(|_| Error::from_reason("EINVAL"))?;
    Ok(SocketAddr::new(ip, u16::try_from(port).map_err(|_| Error::from_reason("EINVAL"))?))
}

fn cold<T>(act: impl FnOnce() -> io::Result<T>) -> Result<T> {
    let done = guarded(act).unwrap_or_else(|| Err(io::Error::other("a bug: the acceptor panicked")));
    done.map_err(|error| Error::from_reason(code(&error)))
}

/// As Node.js names it; what a gateway's port may meet.
fn code(error: &io::Error) -> String {
    let known = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => "EADDRINUSE",
        Some(libc::EADDRNOTAVAIL) => "EADDRNOTAVAIL",
        Some(libc::EACCES | libc::EPERM) => "EACCES",
        Some(libc::EAFNOSUPPORT) => "EAFNOSUPPORT",
        Some(libc::EMFILE | libc::ENFILE) => "EMFILE",
        _ => return error.to_string(),
    };
    known.to_owned()
}

/// Metric families, as those of native/engine/src/meters.rs.
pub fn families() -> Vec<Value> {
    let figures = acceptor().figures();
    let one = |name: &str, kind: &str, help: &str, value: u64| json!({ "name": name, "help": help, "type": kind, "samples": [{ "labels": {}, "value": value }] });
    let refused = figures
        .refused
        .iter()
        .map(|(refusal, count)| json!({ "labels": { "reason": refusal.label() }, "value": count }));
    vec![
        json!({
            "name": "portcullis_connections_refused_total",
            "help": "Client connections closed before a request could be read, by reason.",
            "type": "counter",
            "samples": refused.collect::<Vec<_>>(),
        }),
        one(
            "portcullis_connections_pending",
            "gauge",
            "Client connections whose ClientHello is waited for now.",
            figures.pending as u64,
        ),
        one(
            "portcullis_connections_waiting",
            "gauge",
            "Client connections that wait for an edge thread now.",
            figures.waiting as u64,
        ),
        one(
            "portcullis_connections_accept_pauses_total",
            "counter",
            "How often accepting waited because no file descriptor was left.",
            figures.pauses,
        ),
    ]
}

// --- an edge thread's -----------------------------------------------------------------------------------------------

/// What the acceptor knows of a connection.
pub struct Met {
    pub hello: Arc<ClientHello>,
    pub place: Place,
}

#[derive(Default)]
struct Adopting {
    inbox: Option<Rc<Inbox>>,
    /// Told to JavaScript and not asked for yet.
    wanted: HashMap<RawFd, Accepted>,
    /// Given to uWebSockets.js, which has not told of it yet.
    current: Option<(RawFd, Met)>,
}

thread_local! {
    static ADOPTING: RefCell<Adopting> = RefCell::default();
}

/// From now on this thread is handed connections.
#[napi]
pub fn serve_accepted() {
    guarded(|| {
        let inbox = Rc::new(acceptor::register());
        ADOPTING.with(|adopting| adopting.borrow_mut().inbox = Some(Rc::clone(&inbox)));
        portcullis_reactor::spawn(async move {
            loop {
                serve(inbox.next().await);
            }
        });
    });
}

fn serve(accepted: Accepted) {
    if accepted.hello.offers_h2 {
        return streams::serve(accepted);
    }
    let fd = accepted.fd.as_raw_fd();
    ADOPTING.with(|adopting| adopting.borrow_mut().wanted.insert(fd, accepted));
    want(Wanted::Adopt, fd as u32);
}

/// This thread is handed nothing more. What it was handed goes to others; where there are none, it serves that still.
#[napi]
pub fn leave_accepted() {
    guarded(|| {
        let inbox = ADOPTING.with(|adopting| adopting.borrow().inbox.clone());
        if let Some(inbox) = inbox {
            inbox.leave();
        }
    });
}

/// The next connection that uWebSockets.js opens is this one. False: it is not there (any more).
#[napi]
pub fn adopt(fd: u32) -> bool {
    settle();
    let Some(accepted) = ADOPTING.with(|adopting| adopting.borrow_mut().wanted.remove(&(fd as RawFd))) else {
        return false;
    };
    let Accepted { fd, hello, place, .. } = accepted;
    let current = (fd.into_raw_fd(), Met { hello, place });
    ADOPTING.with(|adopting| adopting.borrow_mut().current = Some(current));
    true
}

/// What is known of the connection that is being opened.
pub fn met() -> Option<Met> {
    ADOPTING.with(|adopting| adopting.borrow_mut().current.take()).map(|(_, met)| met)
}

/// Closes a connection that was given to uWebSockets.js and that it did not take.
pub fn settle() {
    let left = ADOPTING.with(|adopting| adopting.borrow_mut().current.take());
    if let Some((fd, _)) = left {
        acceptor().not_adopted();
        // SAFETY: uWebSockets.js did not take it, so it is nobody's.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

/// The thread ends: what it was handed and did not serve goes to others.
pub fn clear() {
    settle();
    drop(ADOPTING.with(|adopting| adopting.take()));
}
