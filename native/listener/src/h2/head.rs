//! A request's head as the engine reads it: the same text that the other door makes of HTTP/1.1.

use http::header::{COOKIE, HOST};
use http::request::Parts;
use portcullis_engine::head::{MAX_FIELDS, MAX_HEAD_BYTES};
use portcullis_engine::reason::Reason;

use super::bounds::FIELD_OVERHEAD_BYTES;

/// Writes `METHOD /path?query\n` and `name:value\n` for every field. `:authority` becomes `host`, cookie crumbs become
/// one field (RFC 9113, 8.2.3), and a WebSocket's CONNECT (RFC 8441) the GET that it would be over HTTP/1.1.
///
/// # Errors
/// What is wrong with it as HTTP/2; the text then holds as much as a record needs.
pub fn write(parts: &Parts, out: &mut String) -> Result<(), Reason> {
    out.clear();
    let web_socket = is_web_socket(parts);
    out.push_str(if web_socket { "GET" } else { parts.method.as_str() });
    out.push(' ');
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    out.push_str(target);
    out.push('\n');
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if let Some(authority) = authority {
        put(out, "host", authority);
    }
    if web_socket {
        put(out, "connection", "Upgrade");
        put(out, "upgrade", "websocket");
    }
    // Nobody speaks to this door in the clear (RFC 9110, 7.4).
    if parts.uri.scheme().is_some_and(|scheme| *scheme != http::uri::Scheme::HTTPS) {
        return Err(Reason::HttpMalformed);
    }
    let pseudo = parts.method.as_str().len() + target.len() + authority.map_or(0, str::len);
    let mut bytes = pseudo + 4 * (FIELD_OVERHEAD_BYTES + 8);
    if parts.headers.len() > MAX_FIELDS {
        return Err(Reason::HttpHeadTooLarge);
    }
    let mut in_cookie = false;
    for (name, value) in &parts.headers {
        bytes += name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES;
        if bytes > MAX_HEAD_BYTES {
            return Err(Reason::HttpHeadTooLarge);
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        if name == HOST {
            match authority {
                // Both say the same, or it is malformed (RFC 9113, 8.3.1).
                Some(authority) if *value == *authority => continue,
                Some(_) => return Err(Reason::HttpMalformed),
                None => {}
            }
        }
        // Values of one name follow each other.
        if name == COOKIE && std::mem::replace(&mut in_cookie, true) {
            out.pop();
            out.push_str("; ");
            out.push_str(&value);
            out.push('\n');
        } else {
            put(out, name.as_str(), &value);
        }
    }
    Ok(())
}

/// Whether it is a WebSocket's extended CONNECT.
#[must_use]
pub fn is_web_socket(parts: &Parts) -> bool {
    parts.method == http::Method::CONNECT
        && parts.extensions.get::<h2::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
}

fn put(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(':');
    out.push_str(value);
    out.push('\n');
}
