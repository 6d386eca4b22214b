//! The gateway's own answers, the same for every front door: RFC 9457 problem details, or a status to a gRPC call.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::exchange::{Denial, Exchange};
use crate::grpc::{self, Dialect};
use crate::head::Framing;
use crate::policy::Detail;
use crate::reason::Reason;
use crate::schema::{Location, ViolationError};

/// Bodies up to this length are read and thrown away so that the connection can go on; above, it is closed.
const MAX_DISCARDED_BYTES: u64 = 64 * 1024;

/// An answer of our own.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Fields after the first, each preceded by CRLF.
    pub fields: String,
    pub body: Vec<u8>,
    /// Nothing more can be read from this connection with certainty.
    pub close: bool,
}

impl Answer {
    /// Renders a denial for its exchange, replacing what this answer held.
    pub fn render(&mut self, exchange: &Exchange, denial: &Denial) {
        let entry = denial.reason.entry();
        self.fields.clear();
        self.body.clear();
        // One second: the bounds that answer 503 are queues that empty within a turn of traffic.
        let soon = (entry.status == 503).then_some(1);
        let retry_after_s = denial.limit.as_ref().map(|exceeded| exceeded.retry_after_s).or(soon);
        match exchange.grpc {
            Some(dialect) => self.call(exchange, denial, dialect, retry_after_s),
            None => self.problem(exchange, denial),
        }
        self.fields.push_str(&denial.challenges);
        if let Some(seconds) = retry_after_s {
            let _ = write!(self.fields, "\r\nRetry-After: {seconds}");
        }
        self.fields.push_str(&exchange.limited.fields);
        // Whoever was revoked is no longer a client: nothing more is read from it, and its TLS session ends here.
        self.close = denial.reason == Reason::MtlsRevoked || closes(exchange, entry.status);
    }

    fn call(&mut self, exchange: &Exchange, denial: &Denial, dialect: Dialect, retry_after_s: Option<u64>) {
        let (dialect, content_type) = grpc::answer::answered_as(&exchange.head, dialect);
        self.status = 200;
        let _ = write!(self.fields, "\r\nContent-Type: {content_type}\r\nCache-Control: no-store");
        let (told, detail) = told(exchange, denial);
        let told: Vec<&ViolationError> = told.collect();
        let mut lines = String::with_capacity(256);
        let full = detail == Detail::Full;
        grpc::answer::status_lines(&mut lines, exchange, denial, retry_after_s, &told, full);
        grpc::answer::place(dialect, &lines, &mut self.fields, &mut self.body);
    }

    fn problem(&mut self, exchange: &Exchange, denial: &Denial) {
        let entry = denial.reason.entry();
        let reason = exchange.reason_id(denial);
        self.status = entry.status;
        self.fields.push_str("\r\nContent-Type: application/problem+json\r\nCache-Control: no-store");
        if let Some(allow) = &denial.allow {
            let _ = write!(self.fields, "\r\nAllow: {allow}");
        }
        let _ = write!(
            self.body,
            "{{\"type\":\"urn:portcullis:reason:{reason}\",\"title\":{},\"status\":{},\"reason\":{},\"requestId\":\"{}\"",
            serde_json::Value::from(entry.title),
            entry.status,
            serde_json::Value::from(reason.as_str()),
            exchange.id,
        );
        self.errors(exchange, denial);
        self.body.push(b'}');
    }

    fn errors(&mut self, exchange: &Exchange, denial: &Denial) {
        let (told, detail) = told(exchange, denial);
        let mut separator = ",\"errors\":[";
        for error in told {
            let (location, class) = (error.location.name(), error.class.name());
            let pointer = serde_json::Value::from(error.pointer.as_str());
            let _ = write!(self.body, "{separator}{{\"location\":\"{location}\",\"pointer\":{pointer}");
            if detail == Detail::Full {
                let message = serde_json::Value::from(error.message.as_str());
                let _ = write!(self.body, ",\"class\":\"{class}\",\"message\":{message}");
            }
            self.body.push(b'}');
            separator = ",";
        }
        if separator == "," {
            self.body.push(b']');
        }
    }
}

/// The status of a call whose answer breaks off: lines with CR LF between them.
#[must_use]
pub fn last_words(exchange: &Exchange, denial: &Denial) -> String {
    let (told, detail) = told(exchange, denial);
    let told: Vec<&ViolationError> = told.collect();
    let retry_after_s = denial.limit.as_ref().map(|exceeded| exceeded.retry_after_s);
    let mut lines = String::with_capacity(256);
    grpc::answer::status_lines(&mut lines, exchange, denial, retry_after_s, &told, detail == Detail::Full);
    lines.drain(..2);
    lines
}

/// As much as the operator lets the client know. What an origin answered wrongly is not the client's to know.
fn told<'a>(exchange: &Exchange, denial: &'a Denial) -> (impl Iterator<Item = &'a ViolationError>, Detail) {
    let detail = exchange.host().map_or(Detail::Full, |host| host.detail(exchange.operation));
    let known = move |error: &&ViolationError| detail != Detail::None && error.location != Location::Response;
    (denial.errors.iter().filter(known), detail)
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
