//! The gateway's own answers: RFC 9457 problem details, the same for every front door.

use std::fmt::Write as _;

use crate::exchange::{Denial, Exchange};
use crate::head::Framing;
use crate::policy::Detail;
use crate::reason::Reason;
use crate::schema::Location;

/// Bodies up to this length are read and thrown away so that the connection can go on; above, it is closed.
const MAX_DISCARDED_BYTES: u64 = 64 * 1024;

/// An answer of our own.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Fields after the first, each preceded by CRLF.
    pub fields: String,
    pub body: String,
    /// Nothing more can be read from this connection with certainty.
    pub close: bool,
}

impl Answer {
    /// Renders a denial for its exchange, replacing what this answer held.
    pub fn render(&mut self, exchange: &Exchange, denial: &Denial) {
        let entry = denial.reason.entry();
        let reason = exchange.reason_id(denial);
        self.status = entry.status;
        self.fields.clear();
        self.fields.push_str("\r\nContent-Type: application/problem+json\r\nCache-Control: no-store");
        if let Some(allow) = &denial.allow {
            let _ = write!(self.fields, "\r\nAllow: {allow}");
        }
        self.fields.push_str(&denial.challenges);
        if let Some(exceeded) = &denial.limit {
            let _ = write!(self.fields, "\r\nRetry-After: {}", exceeded.retry_after_s);
        } else if entry.status == 503 {
            // One second: the bounds that answer 503 are queues that empty within a turn of traffic.
            self.fields.push_str("\r\nRetry-After: 1");
        }
        self.fields.push_str(&exchange.limited.fields);
        self.body.clear();
        let _ = write!(
            self.body,
            "{{\"type\":\"urn:portcullis:reason:{reason}\",\"title\":{},\"status\":{},\"reason\":{},\"requestId\":\"{}\"",
            serde_json::Value::from(entry.title),
            entry.status,
            serde_json::Value::from(reason.as_str()),
            exchange.id,
        );
        self.errors(exchange, denial);
        self.body.push('}');
        // Whoever was revoked is no longer a client: nothing more is read from it, and its TLS session ends here.
        self.close = denial.reason == Reason::MtlsRevoked || closes(exchange, entry.status);
    }
}

impl Answer {
    /// As much as the operator lets the client know. What an origin answered wrongly is not the client's to know.
    fn errors(&mut self, exchange: &Exchange, denial: &Denial) {
        let detail = exchange.host().map_or(Detail::Full, |host| host.detail(exchange.operation));
        let mut told =
            denial.errors.iter().filter(|error| detail != Detail::None && error.location != Location::Response);
        let Some(first) = told.next() else { return };
        let mut separator = ",\"errors\":[";
        for error in std::iter::once(first).chain(told) {
            let (location, class) = (error.location.name(), error.class.name());
            let pointer = serde_json::Value::from(error.pointer.as_str());
            let _ = write!(self.body, "{separator}{{\"location\":\"{location}\",\"pointer\":{pointer}");
            if detail == Detail::Full {
                let message = serde_json::Value::from(error.message.as_str());
                let _ = write!(self.body, ",\"class\":\"{class}\",\"message\":{message}");
            }
            self.body.push('}');
            separator = ",";
        }
        self.body.push(']');
    }
}

/// Whether the connection ends with an answer of ours.
fn closes(exchange: &Exchange, status: u16) -> bool {
    // A head that was refused has no framing to be relied on: whatever was read of it so far, where it ends is unknown.
    if matches!(status, 400 | 431) && exchange.host.is_none() {
        return true;
    }
    match exchange.head.framing() {
        Framing::Chunked => true,
        Framing::Length(length) => length > MAX_DISCARDED_BYTES || status == 408,
        Framing::None => false,
    }
}
