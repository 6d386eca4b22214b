//! Literals: strings with escapes, numbers, addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::field;
use super::spelling;
use super::syntax::{Fault, Literal, Span};

/// A literal without quotes.
pub(super) fn bare(text: &str, span: Span) -> Result<Literal, Fault> {
    if let Some((first, last)) = text.split_once("..") {
        return range(first, last, text, span);
    }
    if text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .map(Literal::Integer)
            .map_err(|_| Fault::new(span, format!("`{text}` does not fit a 64-bit number")));
    }
    if text.contains('/') {
        return network(text).map(Literal::Network).map_err(|(message, hint)| {
            let fault = Fault::new(span, message);
            match hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        });
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Literal::Address(address.to_canonical()));
    }
    if text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(is_of_address) {
        return Err(Fault::new(span, format!("`{text}` is not an address"))
            .hint("expected `192.0.2.1` or `2001:db8::1`; strings stand in quotes"));
    }
    let fault = Fault::new(span, format!("`{text}` is not a value"));
    Err(match text {
        _ if field::exists(text) => fault.hint("a field stands on the right side of `eq` and `ne` only"),
        "true" | "false" => fault.hint("a boolean stands by itself: `ssl`, or `not ssl`"),
        _ => match spelling::nearest(text, &field::names()) {
            Some(near) => fault.hint(format!("did you mean the field `{near}`? strings stand in quotes")),
            None => fault.hint(format!("strings stand in quotes: `\"{text}\"`")),
        },
    })
}

fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')
}

fn range(first: &str, last: &str, text: &str, span: Span) -> Result<Literal, Fault> {
    if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
        if first > last {
            return Err(
                Fault::new(span, format!("the range `{text}` is backwards")).hint(format!("write `{last}..{first}`"))
            );
        }
        return Ok(Literal::Integers(first, last));
    }
    if let (Ok(first), Ok(last)) = (first.parse::<IpAddr>(), last.parse::<IpAddr>()) {
        let (first, last) = (first.to_canonical(), last.to_canonical());
        if first.is_ipv4() != last.is_ipv4() {
            return Err(Fault::new(span, format!("the range `{text}` mixes IPv4 and IPv6")));
        }
        if first > last {
            return Err(
                Fault::new(span, format!("the range `{text}` is backwards")).hint(format!("write `{last}..{first}`"))
            );
        }
        return Ok(Literal::Addresses(first, last));
    }
    Err(Fault::new(span, format!("`{text}` is not a range")).hint("expected `1..5` or `192.0.2.1..192.0.2.9`"))
}

/// A prefix whose host bits are zero. With host bits set it is open whether the address or the network was meant, and
/// the two differ in whom they let in. The error is a message and perhaps a hint.
pub(super) fn network(text: &str) -> Result<IpNet, (String, Option<String>)> {
    let network = text.parse::<IpNet>().map_err(|_| {
        let hint = "expected an address and a length: `192.0.2.0/24` (up to /32), `2001:db8::/32` (up to /128)";
        (format!("`{text}` is not a prefix"), Some(hint.to_owned()))
    })?;
    if network.network() != network.addr() {
        let hint = format!("write `{}` for the network, or `{}` for the one address", network.trunc(), network.addr());
        return Err((format!("`{text}` names an address inside a network"), Some(hint)));
    }
    Ok(network)
}

/// Escapes of a quoted string: `\"`, `\\`, `\xHH` and `\OOO`.
pub(super) fn unescape(text: &str, start: usize) -> Result<Vec<u8>, Fault> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let (byte, length) = match bytes.get(at + 1) {
            Some(&byte @ (b'"' | b'\\')) => (Some(byte), 2),
            Some(b'x') => (number(bytes.get(at + 2..at + 4), 16), 4),
            Some(b'0'..=b'7') => (number(bytes.get(at + 1..at + 4), 8), 4),
            _ => (None, 2),
        };
        let Some(byte) = byte else {
            let end = text[at + 1..].chars().next().map_or(at + 1, |c| at + 1 + c.len_utf8());
            return Err(Fault::new(start + at..start + end, format!("`{}` is not an escape", &text[at..end]))
                .hint("expected `\\\"`, `\\\\`, `\\x41` or `\\101`; in a raw string r\"..\" a backslash is itself"));
        };
        out.push(byte);
        at += length;
    }
    Ok(out)
}

fn number(digits: Option<&[u8]>, radix: u32) -> Option<u8> {
    digits?.iter().try_fold(0u32, |sum, &digit| Some(sum * radix + (digit as char).to_digit(radix)?))?.try_into().ok()
}

/// `\"` is a quote; every other backslash is the regular expression's own.
pub(super) fn unescape_pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('"') => out.push('"'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}
