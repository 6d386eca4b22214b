//! One HTTP/2 connection to an origin: opened and driven by a task of the reactor.
//!
//! The task knows nothing of requests: it moves frames between socket and streams, and tells the client when the
//! connection stands, when the origin changes how many streams it takes, and when it is gone. Streams belong to
//! the client.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::PingPong;
use h2::client::{Builder, Connection, SendRequest};
use portcullis_engine::reason::Reason;
use portcullis_reactor::sleep;

use super::ready::Board;
use crate::arena::Token;
use crate::dial::{Dialed, dial};
use crate::response::MAX_HEAD_BYTES;
use crate::tls::{self, Identity};

/// Most streams of one connection: what RFC 9113, 6.5.2 recommends as the least that a peer should allow. The next
/// connection is opened beyond.
pub(crate) const MAX_STREAMS: u32 = 100;
/// What an origin may send of one response before the client has taken any: the protocol's own start (RFC 9113, 6.9.2).
/// It bounds what a slow client keeps in memory.
pub(crate) const STREAM_WINDOW: u32 = 65_535;
/// As much for every stream, so that slow clients never take from the others of their connection.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS;
/// The protocol's least, and its default: a frame always finds room in the arena.
pub(crate) const MAX_FRAME_BYTES: u32 = 16_384;
/// What a stream may hand to the connection ahead of the socket.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Names a connection; never used twice by one client but after 2^32 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Where a connection stands.
pub(crate) enum Stage {
    /// These requests wait for it.
    Opening(Vec<Token>),
    Open(SendRequest<Bytes>),
    /// It takes no further stream, and ends with its last one.
    Leaving,
}

pub(crate) struct Link {
    pub(crate) origin: u32,
    pub(crate) address: u32,
    pub(crate) stage: Stage,
    /// Requests on it, those that wait for it included.
    pub(crate) streams: u32,
    /// Most of them.
    pub(crate) most: u32,
    pub(crate) has_served: bool,
    pub(crate) idle_since_ms: u64,
    pub(crate) ping: Option<PingPong>,
    /// When a ping went out that was not answered yet.
    pub(crate) pinged_ms: Option<u64>,
    /// It was pinged since it became idle.
    pub(crate) is_proven: bool,
    /// One of its streams was silent for too long: nothing new goes there until a ping is answered.
    pub(crate) is_suspect: bool,
    stop: Rc<Stop>,
}

/// What a connection's task tells.
pub(crate) struct News {
    pub(crate) key: LinkKey,
    pub(crate) what: What,
}

pub(crate) enum What {
    Opened(SendRequest<Bytes>, Option<PingPong>, u32),
    /// How many streams the origin takes now.
    Streams(u32),
    Failed(Reason),
    Gone,
}

/// What is to be reached, and how.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<Identity>>,
    pub(crate) timeout: Duration,
}

/// Ends a connection's task from outside.
#[derive(Default)]
struct Stop {
    is_set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Link {
    /// Begins a connection. Where the thread has no reactor, it is gone at once.
    pub(crate) fn open(key: LinkKey, origin: u32, address: u32, target: Target, board: &Board, now_ms: u64) -> Link {
        let stop = Rc::<Stop>::default();
        let teller = Teller { key, board: board.clone() };
        portcullis_reactor::spawn(run(target, teller, Rc::clone(&stop)));
        Link {
            origin,
            address,
            stage: Stage::Opening(Vec::new()),
            streams: 0,
            most: MAX_STREAMS,
            has_served: false,
            idle_since_ms: now_ms,
            ping: None,
            pinged_ms: None,
            is_proven: false,
            is_suspect: false,
            stop,
        }
    }

    /// Ends it at once; its streams fail.
    pub(crate) fn stop(&self) {
        self.stop.is_set.set(true);
        if let Some(waiter) = self.stop.waiter.borrow_mut().take() {
            waiter.wake();
        }
    }
}

impl Stop {
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_set.get() {
            return Poll::Ready(());
        }
        *self.waiter.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Tells that the connection is gone, however its task ends.
struct Teller {
    key: LinkKey,
    board: Board,
}

impl Teller {
    fn tell(&self, what: What) {
        self.board.tell(News { key: self.key, what });
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(What::Gone);
    }
}

async fn run(target: Target, teller: Teller, stop: Rc<Stop>) {
    let timeout = target.timeout;
    let opened = {
        let mut opening = pin!(open(target));
        let mut late = pin!(sleep(timeout));
        poll_fn(|context| {
            if stop.poll(context).is_ready() || late.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Reason::OriginTimeout));
            }
            opening.as_mut().poll(context)
        })
        .await
    };
    match opened {
        Err(reason) => teller.tell(What::Failed(reason)),
        Ok((sender, connection)) => drive(sender, connection, &teller, &stop).await,
    }
}

type Opened = (SendRequest<Bytes>, Connection<Dialed, Bytes>);

async fn open(target: Target) -> Result<Opened, Reason> {
    let is_tls = target.tls.is_some();
    let reason = |error: io::Error| {
        let shook = is_tls && (tls::is_fault(&error) || error.kind() == io::ErrorKind::UnexpectedEof);
        if shook { Reason::OriginTls } else { Reason::OriginConnect }
    };
    let io = dial(target.address, target.tls.as_deref()).await.map_err(reason)?;
    if is_tls && io.alpn() != Some(b"h2") {
        return Err(Reason::OriginTls);
    }
    // In TLS 1.3 an origin tells behind the handshake that it does not like our certificate.
    let begun = begin(io).await;
    begun.map_err(|reason| if is_tls && reason == Reason::OriginClosed { Reason::OriginTls } else { reason })
}

/// Sends the preface and waits for the origin's settings: how many streams it takes is known before the first goes out.
async fn begin(io: Dialed) -> Result<Opened, Reason> {
    let made = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .initial_max_send_streams(0)
        .handshake(io)
        .await;
    let (sender, mut connection) = made.map_err(|error| fault(&error))?;
    poll_fn(|context| match std::pin::Pin::new(&mut connection).poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(Reason::OriginClosed)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(fault(&error))),
        Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok((sender, connection))
}

async fn drive(sender: SendRequest<Bytes>, mut connection: Connection<Dialed, Bytes>, teller: &Teller, stop: &Stop) {
    let most = |connection: &Connection<Dialed, Bytes>| {
        u32::try_from(connection.max_concurrent_send_streams()).unwrap_or(MAX_STREAMS).min(MAX_STREAMS)
    };
    let mut told = most(&connection);
    let ping = connection.ping_pong();
    teller.tell(What::Opened(sender, ping, told));
    poll_fn(|context| {
        if stop.poll(context).is_ready() || std::pin::Pin::new(&mut connection).poll(context).is_ready() {
            return Poll::Ready(());
        }
        let now = most(&connection);
        if now != told {
            told = now;
            teller.tell(What::Streams(now));
        }
        Poll::Pending
    })
    .await;
}

/// What an error of a stream, or of its connection, means to who waits for an answer.
pub(crate) fn fault(error: &h2::Error) -> Reason {
    match error.reason() {
        // It is there and says that it has enough to do.
        Some(h2::Reason::REFUSED_STREAM | h2::Reason::ENHANCE_YOUR_CALM) if error.is_remote() => {
            Reason::OriginSaturated
        }
        // What it sent is against the protocol, or beyond our bounds.
        Some(_) if error.is_library() => Reason::OriginMalformed,
        _ => Reason::OriginClosed,
    }
}
