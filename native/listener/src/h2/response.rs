//! A response's head as HTTP/2 writes it, made of the block that the other door writes as it is.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

/// Room for what responses have as a rule, with what is added: a table that grows is hashed anew.
const FIELDS: usize = 12;
/// Every response has it; a name that the library does not know would be allocated.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn is_ours(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"x-request-id")
}

/// The response whose block this is: `200 OK\r\nName: value\r\n...`, without framing. Values are not copied.
/// None when it is no such block.
#[must_use]
pub fn response(block: &Bytes, length: Option<u64>) -> Option<Response<()>> {
    let line_end = line_end(block, 0);
    let status = StatusCode::from_bytes(block.get(..3)?).ok()?;
    if block.get(3) != Some(&b' ') {
        return None;
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.reserve(FIELDS);
    if let Some(length) = length {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    read_fields(block, line_end, fields)?;
    Some(response)
}

/// Trailers: `Name: value` lines.
#[must_use]
pub fn trailers(block: &Bytes) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    read_fields(block, 0, &mut fields)?;
    Some(fields)
}

/// Where the line that begins at `from` ends, its CR LF taken along.
fn line_end(block: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &block[from..]).map_or(block.len(), |at| from + at + 1)
}

fn read_fields(block: &Bytes, mut at: usize, fields: &mut HeaderMap) -> Option<()> {
    while at < block.len() {
        let next = line_end(block, at);
        let line = &block[at..next];
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !belongs_to_a_connection(name) {
            let mut value = HeaderValue::from_maybe_shared(block.slice_ref(value)).ok()?;
            let name = if is_ours(name) {
                // Another one each time: in the table (RFC 7541, 2.3.2) it would drive out what comes again, and every
                // further one would be compared with all that are there.
                value.set_sensitive(true);
                REQUEST_ID
            } else {
                HeaderName::from_bytes(name).ok()?
            };
            fields.append(name, value);
        }
        at = next;
    }
    Some(())
}

/// What HTTP/2 has no word for (RFC 9113, 8.2.2). The upstream client leaves most of it out already; answers of the
/// gateway's own and of the main thread may say `Connection: close`.
fn belongs_to_a_connection(name: &[u8]) -> bool {
    let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
    match name.len() {
        7 => is(b"upgrade"),
        10 => is(b"connection") || is(b"keep-alive"),
        16 => is(b"proxy-connection"),
        17 => is(b"transfer-encoding"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_becomes_pairs_without_what_belongs_to_a_connection() {
        let block = Bytes::from_static(
            b"403 Forbidden\r\nX-Request-Id: 1\r\nConnection: close\r\nSet-Cookie: a\r\nSet-Cookie: b:c ",
        );
        let made = response(&block, Some(7)).unwrap();
        assert_eq!(made.status(), 403);
        let all: Vec<_> =
            made.headers().iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        assert_eq!(all, ["content-length=7", "x-request-id=1", "set-cookie=a", "set-cookie=b:c"]);
    }

    #[test]
    fn what_is_no_block_is_no_response() {
        for block in [&b""[..], b"20", b"999999", b"200 OK\r\nno colon", b"200 OK\r\na b: c"] {
            assert!(response(&Bytes::from_static(block), None).is_none(), "{}", String::from_utf8_lossy(block));
        }
    }

    #[test]
    fn trailers_are_lines_alone() {
        let block = Bytes::from_static(b"grpc-status: 0\r\nGrpc-Message: ");
        let fields = trailers(&block).unwrap();
        assert_eq!((fields["grpc-status"].as_bytes(), fields["grpc-message"].as_bytes()), (&b"0"[..], &b""[..]));
    }
}
