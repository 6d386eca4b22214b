//! A request head on its way to an HTTP/2 origin: the bytes that [`crate::request::write_head`] wrote, read back.
//!
//! One writer decides what an origin gets, whatever it speaks; here its lines only become pairs. They are the gateway's
//! own bytes: what cannot be read is a mistake of the program, never of a client.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};

/// The pairs of a head; `https` is the scheme of the origin's URL.
pub(crate) fn read(head: &Bytes, https: bool) -> Option<Request<()>> {
    let mut lines = Lines { rest: head };
    let line = lines.next()?;
    let method_end = memchr::memchr(b' ', line)?;
    let target = line[method_end + 1..].strip_suffix(b" HTTP/1.1")?;
    let mut fields = HeaderMap::with_capacity(FIELDS);
    let mut authority = None;
    for line in lines {
        if line.is_empty() {
            break;
        }
        let (name, value) = pair(line)?;
        match name {
            b"host" => authority = Some(Authority::from_maybe_shared(head.slice_ref(value)).ok()?),
            // RFC 9113, 8.2.2: what HTTP/1.1 says about a connection, HTTP/2 says with frames.
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {}
            b"te" if !value.eq_ignore_ascii_case(b"trailers") => {}
            _ => {
                let mut value = HeaderValue::from_maybe_shared(head.slice_ref(value)).ok()?;
                value.set_sensitive(stays_out_of_table(name));
                fields.try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
            }
        }
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority?);
    parts.path_and_query = Some(path(head, target)?);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(&line[..method_end]).ok()?;
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.headers_mut() = fields;
    Some(request)
}

/// The lines of a request's trailers as pairs, without those that mean something to the transfer itself (RFC 9110,
/// 6.5.1).
pub(crate) fn read_trailers(block: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in (Lines { rest: block }).filter(|line| !line.is_empty()) {
        let (name, value) = pair(line)?;
        let name = HeaderName::from_bytes(name).ok()?;
        if crate::trailers::is_allowed(name.as_str().as_bytes()) {
            fields.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
        }
    }
    Some(fields)
}

/// What is never put into the table that all requests of a connection share: secrets (RFC 7541, 7.1.3), and what is
/// another one each time. That would drive out what comes again, and be compared with all of its name that are there.
fn stays_out_of_table(name: &[u8]) -> bool {
    matches!(
        name,
        b"authorization" | b"cookie" | b"grpc-timeout" | b"proxy-authorization" | b"traceparent" | b"x-request-id"
    )
}

/// Most requests have fewer: a table that need not grow.
const FIELDS: usize = 24;

/// Characters that our HTTP/1.1 side passes on in a target and a URI does not have (RFC 3986, 2) are written encoded:
/// to an origin both spell the same.
fn path(head: &Bytes, target: &[u8]) -> Option<PathAndQuery> {
    if let Ok(path) = PathAndQuery::from_maybe_shared(head.slice_ref(target)) {
        return Some(path);
    }
    let mut encoded = Vec::with_capacity(target.len() + 16);
    for &byte in target {
        if byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%[]".contains(&byte) {
            encoded.push(byte);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            encoded.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    PathAndQuery::from_maybe_shared(Bytes::from(encoded)).ok()
}

fn pair(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// Lines ended by CR LF.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = &self.rest[(end + 1).min(self.rest.len())..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str) -> Request<()> {
        read(&Bytes::copy_from_slice(head.as_bytes()), false).unwrap()
    }

    #[test]
    fn a_head_becomes_pairs_without_what_is_about_its_connection() {
        let request = of("POST /a/b?c=d HTTP/1.1\r\nhost: api.example.com:81\r\nx-a: 1\r\nx-a: 2\r\nte: trailers\r\n\
             transfer-encoding: chunked\r\ncontent-type: application/grpc\r\nauthorization: Bearer x\r\n\r\n");
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "http://api.example.com:81/a/b?c=d");
        let fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("x-a", "1"),
            ("x-a", "2"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("authorization", "Bearer x"),
        ];
        assert_eq!(fields, expected);
        assert!(request.headers()["authorization"].is_sensitive());
    }

    #[test]
    fn what_a_uri_does_not_have_is_encoded() {
        assert_eq!(
            of("GET /a?b=\"<^>`{|}\\ HTTP/1.1\r\nhost: a\r\n\r\n").uri().query().unwrap(),
            "b=%22%3C%5E%3E%60%7B%7C%7D%5C"
        );
    }

    #[test]
    fn trailers_leave_out_what_frames_a_message() {
        let fields =
            read_trailers(b"Grpc-Status: 0\r\nContent-Length: 4\r\nhost: a\r\nx-checksum-bin: AA==\r\n").unwrap();
        assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status", "x-checksum-bin"]);
        assert!(read_trailers(b"no colon").is_none());
        assert!(read_trailers(b"a b: c").is_none());
    }
}
