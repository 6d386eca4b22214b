//! One line of JSON per exchange, with Cloudflare's Logpush field names where it has one.
//!
//! Query strings, header values other than the user agent, and bodies are never written: they carry secrets.

use std::io::Write as _;

use crate::exchange::{Exchange, Presented};
use crate::peer::Peer;
use crate::reason::Reason;

/// Most bytes of a client's own words in one field.
const MAX_TEXT: usize = 512;

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
pub fn write(out: &mut Vec<u8>, exchange: &Exchange, peer: &Peer, ending: &Ending) {
    let whole_us = ending.ended_us.saturating_sub(exchange.started.mono_us);
    out.extend_from_slice(b"{\"RayID\":\"");
    out.extend_from_slice(exchange.id.as_bytes());
    out.extend_from_slice(b"\",\"EdgeStartTimestamp\":\"");
    timestamp(out, exchange.started.unix_ms);
    out.extend_from_slice(b"\",\"EdgeEndTimestamp\":\"");
    timestamp(out, exchange.started.unix_ms + whole_us / 1000);
    out.push(b'"');
    text(out, "ClientIP", &peer.text);
    text(out, "ClientRequestHost", exchange.head.host());
    text(out, "ClientRequestMethod", exchange.head.method());
    text(out, "ClientRequestPath", exchange.head.path());
    if let Some(agent) = exchange.head.field("user-agent") {
        text(out, "ClientRequestUserAgent", agent);
    }
    out.extend_from_slice(b",\"ClientMTLSAuthStatus\":\"");
    out.extend_from_slice(auth_status(exchange.presented).as_bytes());
    out.push(b'"');
    if let (true, Some(known)) = (exchange.presented != Presented::NotLooked, &peer.certificate) {
        text(out, "ClientMTLSAuthCertFingerprint", known.certificate.sha256_hex());
    }
    number(out, "EdgeResponseStatus", u64::from(ending.status));
    number(out, "EdgeResponseBodyBytes", ending.body_bytes);
    number(out, "EdgeDurationUs", whole_us);
    if exchange.origin_status != 0 {
        number(out, "OriginResponseStatus", u64::from(exchange.origin_status));
        number(out, "OriginResponseDurationUs", exchange.origin_us);
    }
    if let (Some(openapi), Some(operation)) =
        (exchange.host().and_then(|host| host.openapi.as_ref()), exchange.operation)
    {
        text(out, "OperationID", &openapi.operations[operation as usize].id);
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
    out.extend_from_slice(b"}\n");
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

/// RFC 3339 with milliseconds, UTC. Civil date from days by the proleptic Gregorian calendar.
fn timestamp(out: &mut Vec<u8>, unix_ms: u64) {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, of_day / 3600, 2);
    out.push(b':');
    digits(out, of_day / 60 % 60, 2);
    out.push(b':');
    digits(out, of_day % 60, 2);
    out.push(b'.');
    digits(out, ms, 3);
    out.push(b'Z');
}

fn digits(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
    }
}
