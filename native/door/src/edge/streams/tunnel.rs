//! WebSockets over HTTP/2 (RFC 8441): decided as requests, joined with the origin by a task each.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason as Code, RecvStream};
use portcullis_engine::reason::Reason;
use portcullis_forward::tls::Identity;
use portcullis_forward::{Dialed, dial};
use portcullis_listener::h2::{response, websocket};
use portcullis_reactor::{sleep, spawn};

use super::{Edge, Next, place_of};
use crate::edge::NONE;

/// Bound of a handshake with the origin: as on the other door.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells a tunnel to end.
#[derive(Default)]
pub struct Stop {
    is_set: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Stop {
    fn set(&self) {
        self.is_set.set(true);
        if let Some(waker) = self.task.borrow_mut().take() {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            *self.task.borrow_mut() = Some(context.waker().clone());
            if self.is_set.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Edge {
    /// The handshake has passed: the origin is asked.
    pub(super) fn open_tunnel(&mut self, index: u32) {
        let stream = &mut self.streams.all[place_of(index)];
        let (Some(respond), Some(recv)) = (stream.respond.take(), stream.recv.take()) else {
            // It came as a plain GET with an Upgrade field, which HTTP/2 has not.
            let next = self.refuse(index, Reason::HttpMalformed);
            return self.act(index, next);
        };
        let generation = self.slots[index as usize].generation;
        let Some(handshake) = self.upgrade(index) else {
            self.streams.all[place_of(index)].respond = Some(respond);
            let next = self.refuse(index, Reason::OriginConnect);
            return self.act(index, next);
        };
        let address = handshake.addresses.first().and_then(|address| address.parse().ok());
        let origin = Target { address, identity: handshake.identity, is_tls: handshake.tls.is_some() };
        let head = handshake.head;
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.ids.word().to_ne_bytes());
        key[8..].copy_from_slice(&self.ids.word().to_ne_bytes());
        spawn(open(Opening { index, generation, respond, recv, origin, head, key }));
    }

    /// Ends those of the given WebSockets that are streams; answers the others.
    pub fn end_tunnels(&mut self, numbers: Vec<u32>) -> Vec<u32> {
        let others = numbers.into_iter().filter(|number| match self.streams.tunnels.remove(number) {
            Some(stop) => {
                stop.set();
                false
            }
            None => true,
        });
        others.collect()
    }
}

struct Opening {
    index: u32,
    generation: u32,
    respond: SendResponse<Bytes>,
    recv: RecvStream,
    origin: Target,
    head: String,
    key: [u8; 16],
}

struct Target {
    address: Option<SocketAddr>,
    identity: Option<Arc<Identity>>,
    is_tls: bool,
}

async fn open(mut opening: Opening) {
    let shaken = {
        let Opening { respond, origin, head, key, .. } = &mut opening;
        let mut shaking = pin!(shake_hands(origin, head, key));
        let mut deadline = pin!(sleep(HANDSHAKE_TIMEOUT));
        poll_fn(|context| {
            if respond.poll_reset(context).is_ready() {
                return Poll::Ready(None);
            }
            match shaking.as_mut().poll(context) {
                Poll::Ready(shaken) => Poll::Ready(Some(shaken)),
                Poll::Pending => deadline.as_mut().poll(context).map(|()| Some(Err(io::ErrorKind::TimedOut.into()))),
            }
        })
        .await
    };
    let Opening { index, generation, mut respond, recv, .. } = opening;
    let is_ours = |edge: &Edge| edge.slots[index as usize].generation == generation;
    let (socket, accepted) = match shaken {
        Some(Ok(shaken)) => shaken,
        Some(Err(_)) => {
            // The handles go back for the answer.
            crate::on_slot(index, |edge| {
                if !is_ours(edge) {
                    return Next::Sent;
                }
                edge.streams.all[place_of(index)].respond = Some(respond);
                edge.refuse(index, Reason::OriginConnect)
            });
            return;
        }
        None => {
            crate::with_edge(|edge| {
                if is_ours(edge) {
                    edge.stream_gone(index);
                }
            });
            return;
        }
    };
    let stop = Rc::new(Stop::default());
    let number = crate::with_edge(|edge| {
        is_ours(edge).then(|| {
            let number = edge.upgraded(index, 101);
            edge.free_stream(index);
            if number != NONE {
                edge.streams.tunnels.insert(number, Rc::clone(&stop));
            }
            Open(number)
        })
    });
    let Some(Some(_open)) = number else { return };
    let block = Bytes::from([b"200 OK\r\n", accepted.block.as_slice()].concat());
    let Some(answer) = response::response(&block, None) else { return respond.send_reset(Code::INTERNAL_ERROR) };
    let Ok(send) = respond.send_response(answer, false) else { return };
    websocket::tunnel(socket, accepted.behind, recv, send, stop.wait()).await;
}

/// Tells the edge of a WebSocket's end, also when its task panics or is dropped.
struct Open(u32);

impl Drop for Open {
    fn drop(&mut self) {
        crate::with_edge(|edge| {
            edge.streams.tunnels.remove(&self.0);
            edge.web_socket_closed(self.0);
        });
    }
}

async fn shake_hands(origin: &Target, head: &str, key: &[u8; 16]) -> io::Result<(Dialed, websocket::Accepted)> {
    let address = origin.address.ok_or(io::ErrorKind::AddrNotAvailable)?;
    // What a policy says of TLS and cannot be read never means: in the clear.
    if origin.is_tls != origin.identity.is_some() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut socket = dial(address, origin.identity.as_deref()).await?;
    let accepted = websocket::shake_hands(&mut socket, head.as_bytes(), key).await?;
    Ok((socket, accepted))
}
