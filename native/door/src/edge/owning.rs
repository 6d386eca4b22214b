//! Requests that the gateway itself answers: JavaScript reads the body and asks the main thread.

use portcullis_engine::exchange::{Exchange, Presented};
use portcullis_engine::head::Framing;
use portcullis_engine::peer::Peer;
use serde::Serialize;

use super::{Edge, Stage};
use crate::clock;

/// What the main thread is told of a request, and how the edge thread writes the answer. The names are the contract
/// with src/own-paths.ts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    /// X-Request-Id of the answer.
    id: &'a str,
    method: &'a str,
    path: &'a str,
    host: &'a str,
    content_type: Option<&'a str>,
    authorization: Option<&'a str>,
    /// The client's certificate is good for this host.
    verified: bool,
    /// PEM, whatever it is worth; None when there is none.
    certificate: Option<String>,
    address: &'a str,
    /// The connection ends with this exchange: its request came in chunks, and what follows cannot be told for certain.
    last: bool,
    /// The client asked for the connection's end; uWebSockets.js then closes without saying so.
    asks_to_close: bool,
}

impl Edge {
    /// Tells what the main thread has to know; None when the slot holds no such request.
    pub fn own(&self, index: u32) -> Option<String> {
        let slot = self.slots.get(index as usize).filter(|slot| slot.stage == Stage::Own)?;
        let peer = self.connections.get(&slot.connection)?.peer.as_deref()?;
        serde_json::to_string(&told(&slot.exchange, peer)).ok()
    }

    /// The answer was written: `bytes` of body.
    pub fn answered(&mut self, index: u32, status: u16, bytes: u64) {
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| slot.stage == Stage::Own) else { return };
        slot.sent_bytes = bytes;
        // The main thread's time is no more this thread's own than an origin's would be.
        slot.exchange.origin_us = clock::mono_us().saturating_sub(slot.exchange.started.mono_us);
        self.end(index, status);
    }
}

fn told<'a>(exchange: &'a Exchange, peer: &'a Peer) -> Told<'a> {
    let head = &exchange.head;
    let presented = !matches!(exchange.presented, Presented::NotLooked | Presented::Absent);
    let certificate = peer.certificate.as_ref().filter(|_| presented).map(|known| known.certificate.pem());
    Told {
        id: &exchange.id,
        method: head.method(),
        path: head.path(),
        host: head.host(),
        content_type: head.field("content-type"),
        authorization: head.field("authorization"),
        verified: exchange.presented == Presented::Verified,
        certificate,
        address: &peer.text,
        last: head.framing() == Framing::Chunked,
        asks_to_close: super::asks_to_close(head),
    }
}
