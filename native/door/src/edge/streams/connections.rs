//! HTTP/2 connections of an edge thread: from the accepted socket to the last stream.

use std::rc::Rc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use portcullis_engine::peer::Peer;
use portcullis_listener::acceptor::Accepted;
use portcullis_listener::h2::{Control, Door};
use portcullis_listener::tls::handshake;
use portcullis_reactor::{Socket, spawn};

use super::{Edge, slot_of};
use crate::edge::{Connection, NONE, lock};

/// What a connection of streams has besides.
pub struct Native {
    control: Rc<Control>,
    /// Places of its streams.
    pub(super) streams: Vec<u32>,
}

/// Serves an accepted connection, whose client offers HTTP/2, in this thread.
pub fn serve(accepted: Accepted) {
    spawn(async move {
        let Accepted { fd, address, hello, place } = accepted;
        let Some((context, asked)) = crate::tls::context(hello.server_name.as_deref()) else { return };
        let Ok(socket) = Socket::new(fd) else { return };
        // What failed is the client's to know: TLS has told it.
        let Ok(established) = handshake(&context, socket).await else { return };
        let certificate = crate::with_edge(|edge| edge.certificate_of(&established.chain)).flatten();
        let peer = Peer { hello: Some(hello), asked, ..Peer::new(address.ip().to_canonical(), certificate) };
        let control = Rc::new(Control::default());
        let told = Rc::clone(&control);
        let Some(key) = crate::with_edge(|edge| edge.connected(peer, told)) else { return };
        let open = Open(key);
        portcullis_listener::h2::serve(established.stream, Requests(key), &control).await;
        drop((open, place));
    });
}

/// Tells the edge of the connection's end, also when its task panics or is dropped.
struct Open(usize);

impl Drop for Open {
    fn drop(&mut self) {
        crate::with_edge(|edge| edge.disconnected(self.0));
    }
}

struct Requests(usize);

impl Door for Requests {
    fn request(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        // Dropped handles reset a stream: so it ends when this panics.
        if let Some(index) = crate::with_edge(|edge| edge.take_stream(self.0, request, respond)).flatten() {
            crate::on_slot(index, |edge| edge.decide_stream(index));
        }
    }
}

impl Edge {
    /// A connection whose handshake is over. Its number is odd: no address of uWebSockets.js's is.
    fn connected(&mut self, peer: Peer, control: Rc<Control>) -> usize {
        let key = self.streams.next_connection;
        self.streams.next_connection += 2;
        if self.is_draining {
            control.drain();
        }
        let native = Some(Box::new(Native { control, streams: Vec::new() }));
        self.connections
            .insert(key, Connection { peer: Some(Rc::new(peer)), met: None, active: NONE, last: false, native });
        self.streams.connections += 1;
        let mut meters = lock(&self.meters);
        meters.scalars.connections_opened += 1;
        meters.scalars.connections_open += 1;
        key
    }

    fn disconnected(&mut self, key: usize) {
        let streams = self.connections.get_mut(&key).and_then(|known| known.native.as_mut());
        for place in streams.map(|native| std::mem::take(&mut native.streams)).unwrap_or_default() {
            self.stream_gone(slot_of(place));
        }
        if self.connections.remove(&key).is_some() {
            self.streams.connections -= 1;
            let mut meters = lock(&self.meters);
            meters.scalars.connections_open = meters.scalars.connections_open.saturating_sub(1);
        }
    }

    /// Tells every connection to go with its last stream, also those that are still to come.
    pub fn drain_streams(&mut self) {
        self.is_draining = true;
        for native in self.connections.values().filter_map(|known| known.native.as_ref()) {
            native.control.drain();
        }
    }

    /// Connections of streams.
    pub fn stream_connections(&self) -> u32 {
        self.streams.connections
    }

    /// Streams that have not all of their answers yet.
    pub fn open_streams(&self) -> u32 {
        u32::try_from(self.streams.open()).unwrap_or(u32::MAX)
    }

    /// Tells a stream's connection to go.
    pub(in crate::edge) fn drain_connection_of(&self, index: u32) {
        let connection = self.slots[index as usize].connection;
        if let Some(native) = self.connections.get(&connection).and_then(|known| known.native.as_ref()) {
            native.control.drain();
        }
    }
}
