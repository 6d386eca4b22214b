//! TLS of this thread's HTTP/2 connections: made of the same files that uWebSockets.js gets.

use std::cell::RefCell;
use std::sync::Arc;

use napi::{Error, Result};
use napi_derive::napi;
use portcullis_engine::peer::Asked;
use portcullis_listener::tls::{Context, ContextSpec, Contexts, outcomes};
use serde_json::{Value, json};

thread_local! {
    static CONTEXTS: RefCell<Option<Contexts>> = const { RefCell::new(None) };
}

/// One host's, as src/accept/tls/contexts.ts has it: texts of files.
#[napi(object)]
pub struct TlsFiles {
    pub host: String,
    pub certificate: String,
    pub key: String,
    /// Whose certificates are asked for; without, none is.
    pub authorities: Option<String>,
}

impl From<TlsFiles> for ContextSpec {
    fn from(TlsFiles { host, certificate, key, authorities }: TlsFiles) -> ContextSpec {
        ContextSpec { host, certificate_pem: certificate, key_pem: key, authorities_pem: authorities }
    }
}

/// What this thread's HTTP/2 connections are served with.
#[napi]
pub fn tls_contexts(fallback: TlsFiles, hosts: Vec<TlsFiles>) -> Result<()> {
    let hosts: Vec<_> = hosts.into_iter().map(ContextSpec::from).collect();
    let contexts = Contexts::new(&fallback.into(), &hosts).map_err(Error::from_reason)?;
    CONTEXTS.with(|place| *place.borrow_mut() = Some(contexts));
    Ok(())
}

/// By the (lower-case) name that the client sent, and what it is asked by it.
pub fn context(server_name: Option<&str>) -> Option<(Arc<Context>, Option<Asked>)> {
    CONTEXTS.with(|contexts| {
        let contexts = contexts.borrow();
        let context = contexts.as_ref()?.find(server_name);
        Some((Arc::clone(context), contexts.as_ref()?.asked(context, server_name)))
    })
}

/// Metric families, as those of native/engine/src/meters.rs.
pub fn families() -> Vec<Value> {
    let sample = |(outcome, value)| json!({ "labels": { "outcome": outcome }, "value": value });
    let ended = portcullis_listener::h2::ended();
    let ended = ended.map(|(ended, value)| json!({ "labels": { "reason": ended.name() }, "value": value }));
    let connections = json!({
        "name": "portcullis_http2_connections_ended_total",
        "help": "HTTP/2 connections that have ended, by why.",
        "type": "counter",
        "samples": ended.collect::<Vec<_>>(),
    });
    let handshakes = json!({
        "name": "portcullis_http2_handshakes_total",
        "help": "TLS handshakes of HTTP/2 connections, by how they ended.",
        "type": "counter",
        "samples": outcomes().map(sample).collect::<Vec<_>>(),
    });
    vec![handshakes, connections]
}
