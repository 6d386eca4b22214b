//! The request head as the origin gets it.

use portcullis_engine::head::{Framing, Head};

/// What the gateway adds to a request, each value its own: inbound copies never get through.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// The client's address as text, IPv6 without brackets.
    pub peer: &'a str,
    /// `https`, or `http` behind a plain listener.
    pub proto: &'a str,
    pub request_id: &'a str,
    /// None keeps the client's, if it sent exactly one valid ([`client_traceparent`]); Some replaces it, and the
    /// client's `tracestate` goes with it.
    pub traceparent: Option<&'a str>,
    /// RFC 9440 value, colons included.
    pub client_cert: Option<&'a str>,
    /// Lower-case hex.
    pub cert_sha256: Option<&'a str>,
    /// How the body will be framed towards the origin: `Length` for a body that is known whole, else the client's.
    pub body: Framing,
}

/// Appends the whole head, blank line included.
pub fn write_head(out: &mut Vec<u8>, head: &Head, forwarded: &Forwarded<'_>) {
    let _ = (out, head, forwarded);
}

/// The client's trace, if it sent exactly one valid `traceparent` (W3C Trace Context, 3.2).
#[must_use]
pub fn client_traceparent(head: &Head) -> Option<&str> {
    let _ = head;
    None
}

/// RFC 9110, 9.2.2.
#[must_use]
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE")
}
