//! One line of JSON per exchange, with Cloudflare's Logpush field names where it has one.
//!
//! Query strings, header values other than the user agent, and bodies are never written: they carry secrets.

use std::io::Write as _;

use crate::civil::Civil;
use crate::credentials::Caller;
use crate::exchange::{Exchange, Presented};
use crate::peer::Peer;
use crate::reason::Reason;

/// Most bytes of a client's own words in one field.
const MAX_TEXT: usize = 512;

/// Date and time of the last second that was written: most lines share it.
#[derive(Debug, Default)]
pub struct Dates {
    second: u64,
    text: Vec<u8>,
}

impl Dates {
    /// RFC 3339 with milliseconds, UTC.
    fn write(&mut self, out: &mut Vec<u8>, unix_ms: u64) {
        let second = unix_ms / 1000;
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            date_and_time(&mut self.text, second);
        }
        out.extend_from_slice(&self.text);
        let ms = unix_ms % 1000;
        out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms), b'Z']);
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// 499 when the client went away first (nginx's number for it).
    pub status: u16,
    pub body_bytes: u64,
    pub ended_us: u64,
}

/// Whether this exchange is written whatever the sample rate is.
#[must_use]
pub fn is_security_event(exchange: &Exchange) -> bool {
    exchange.denial.is_some() || !exchange.logged.is_empty()
}

/// Appends the exchange's line, newline included.
pub fn write(out: &mut Vec<u8>, dates: &mut Dates, exchange: &Exchange, peer: &Peer, ending: &Ending) {
    let whole_us = ending.ended_us.saturating_sub(exchange.started.mono_us);
    out.extend_from_slice(b"{\"RayID\":\"");
    out.extend_from_slice(exchange.id.as_bytes());
    out.extend_from_slice(b"\",\"EdgeStartTimestamp\":\"");
    dates.write(out, exchange.started.unix_ms);
    out.extend_from_slice(b"\",\"EdgeEndTimestamp\":\"");
    dates.write(out, exchange.started.unix_ms + whole_us / 1000);
    out.push(b'"');
    clean(out, "ClientIP", &peer.text);
    if exchange.host.is_some() {
        // A head that was parsed has no quote and no backslash in these.
        clean(out, "ClientRequestHost", exchange.head.host());
        clean(out, "ClientRequestMethod", exchange.head.method());
        clean(out, "ClientRequestPath", exchange.head.path());
    } else {
        text(out, "ClientRequestHost", exchange.head.host());
        text(out, "ClientRequestMethod", exchange.head.method());
        text(out, "ClientRequestPath", exchange.head.path());
    }
    clean(out, "ClientRequestProtocol", exchange.head.version().name());
    if let Some(hello) = peer.hello.as_deref() {
        clean(out, "JA4", &hello.ja4);
        if let Some(name) = hello.server_name.as_deref().filter(|name| *name != exchange.head.host()) {
            text(out, "TLSServerName", name);
        }
    }
    if let Some(agent) = exchange.head.field("user-agent") {
        text(out, "ClientRequestUserAgent", agent);
    }
    out.extend_from_slice(b",\"ClientMTLSAuthStatus\":\"");
    out.extend_from_slice(auth_status(exchange.presented).as_bytes());
    out.push(b'"');
    if let (true, Some(known)) = (exchange.presented != Presented::NotLooked, &peer.certificate) {
        clean(out, "ClientMTLSAuthCertFingerprint", known.certificate.sha256_hex());
    }
    if let Some(authority) = &exchange.authority {
        text(out, "ClientMTLSAuthAuthority", authority);
    }
    caller(out, exchange);
    number(out, "EdgeResponseStatus", u64::from(ending.status));
    let denied = exchange.denial.as_ref().map(|denial| denial.reason.entry().grpc);
    if let (Some(_), Some(code)) = (exchange.grpc, denied.or(exchange.grpc_status)) {
        number(out, "GRPCStatus", u64::from(code));
    }
    number(out, "EdgeResponseBodyBytes", ending.body_bytes);
    number(out, "EdgeDurationUs", whole_us);
    if exchange.origin_status != 0 {
        number(out, "OriginResponseStatus", u64::from(exchange.origin_status));
        number(out, "OriginResponseDurationUs", exchange.origin_us);
    }
    if let Some(operation) = exchange.operation() {
        text(out, "OperationID", &operation.id);
    }
    if let Some(own) = exchange.own {
        clean(out, "OwnPath", own.name());
    }
    if let Some(denial) = &exchange.denial {
        text(out, "SecurityAction", "block");
        text(out, "SecurityRuleID", &exchange.reason_id(denial));
        text(out, "SecurityRuleDescription", denial.reason.entry().title);
    } else if let Some(denial) = exchange.logged.first() {
        text(out, "SecurityAction", "log");
        text(out, "SecurityRuleID", &exchange.reason_id(denial));
        text(out, "SecurityRuleDescription", denial.reason.entry().title);
    }
    if !exchange.logged.is_empty() {
        out.extend_from_slice(b",\"SecurityRuleIDs\":[");
        for (index, denial) in exchange.logged.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            quoted(out, &exchange.reason_id(denial));
        }
        out.push(b']');
    }
    limits(out, exchange);
    violations(out, exchange);
    out.extend_from_slice(b"}\n");
}

/// Who calls, as far as that is no secret: names that the operator gave, and a keyed hash.
fn caller(out: &mut Vec<u8>, exchange: &Exchange) {
    let Caller { looked, presented, token, key, partner, session, .. } = &exchange.caller;
    if *looked {
        out.extend_from_slice(if *presented { b",\"AuthIDPresent\":true" } else { b",\"AuthIDPresent\":false" });
    }
    if let Some(token) = token {
        text(out, "JWTConfiguration", &token.configuration);
    }
    if let Some(key) = key {
        clean(out, "KeyID", &key.id);
    }
    if let Some(partner) = partner {
        text(out, "Partner", &partner.name);
    }
    if let Some(session) = session {
        out.extend_from_slice(b",\"SessionID\":\"");
        for byte in session {
            out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
        }
        out.push(b'"');
    }
}

fn hex(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit)]
}

/// Which limits refused it, or would have. Of a key as much as tells those of one limit apart.
fn limits(out: &mut Vec<u8>, exchange: &Exchange) {
    let denials = exchange.denial.iter().map(|denial| ("block", denial));
    let mut separator: &[u8] = b",\"RateLimits\":[";
    for (action, denial) in denials.chain(exchange.logged.iter().map(|denial| ("log", denial))) {
        let Some(exceeded) = &denial.limit else { continue };
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"Action\":\"");
        out.extend_from_slice(action.as_bytes());
        out.push(b'"');
        text(out, "ID", &exchange.reason_id(denial));
        let _ = write!(out, ",\"Key\":\"{:08x}\"", exceeded.key.0[0] >> 32);
        number(out, "RetryAfter", exceeded.retry_after_s);
        out.push(b'}');
        separator = b",";
    }
    if separator == b"," {
        out.push(b']');
    }
}

/// What does not match the description, of all denials: blocked and logged.
fn violations(out: &mut Vec<u8>, exchange: &Exchange) {
    let mut separator: &[u8] = b",\"SchemaViolations\":[";
    for error in exchange.denial.iter().chain(&exchange.logged).flat_map(|denial| &denial.errors) {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"Location\":\"");
        out.extend_from_slice(error.location.name().as_bytes());
        out.push(b'"');
        clean(out, "Class", error.class.name());
        text(out, "Detail", &error.message);
        text(out, "Target", &error.pointer);
        out.push(b'}');
        separator = b",";
    }
    if separator == b"," {
        out.push(b']');
    }
}

/// Cloudflare's words for ClientMTLSAuthStatus, and `revoked`.
fn auth_status(presented: Presented) -> &'static str {
    match presented {
        Presented::NotLooked => "unknown",
        Presented::Absent => "absent",
        Presented::Verified => "ok",
        Presented::Fault(Reason::MtlsExpired) => "expired",
        Presented::Fault(Reason::MtlsNotYetValid) => "notyetvalid",
        Presented::Fault(Reason::MtlsRevoked) => "revoked",
        Presented::Fault(_) => "untrusted",
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// For values that hold nothing JSON escapes.
fn clean(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(&value.as_bytes()[..value.floor_char_boundary(MAX_TEXT)]);
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    quoted(out, value);
}

fn quoted(out: &mut Vec<u8>, value: &str) {
    let value = &value[..value.floor_char_boundary(MAX_TEXT)];
    out.push(b'"');
    if value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(value.as_bytes());
    } else {
        for character in value.chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                c if (c as u32) < 0x20 => {
                    let _ = write!(out, "\\u{:04x}", c as u32);
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

/// `2026-11-02T10:00:00`
fn date_and_time(out: &mut Vec<u8>, unix_s: u64) {
    let Civil { year, month, day, hours, minutes, seconds, .. } = Civil::of(unix_s);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}");
}

fn digit(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil_and_in_utc() {
        let mut dates = Dates::default();
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_793_577_600_007, "2026-11-02T00:00:00.007Z"),
        ] {
            let mut out = Vec::new();
            dates.write(&mut out, unix_ms);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_clients_words_cannot_break_the_line() {
        let mut out = Vec::new();
        text(&mut out, "a", "x\"y\\z\u{7}\u{e9}");
        assert_eq!(String::from_utf8(out).unwrap(), ",\"a\":\"x\\\"y\\\\z\\u0007\u{e9}\"");
    }
}
