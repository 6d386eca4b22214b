//! The request head as the origin gets it.
//!
//! Fields about client certificates never come so far: the engine leaves them out of every head. Fields that tell who
//! calls are named by the operator: a client's own are left out here, and so is the credential where it is to stay behind.
//!
//! One pass over the client's fields: what is hop-by-hop (RFC 9110, 7.6.1) or names a header of ours is left out, the
//! rest is copied, then ours are written. A name counts as ours also with `_` for `-`, because CGI-like origins
//! (WSGI, PHP, Rack) fold both into one variable.

use portcullis_engine::head::{Framing, Head, is_named as is};
use portcullis_engine::pairs::decodes_to;
use portcullis_engine::policy::CredentialLocation;

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
    /// Whole lines about the client's certificate, each ended by CR LF; empty without any.
    pub certificate: &'a str,
    /// Whole lines about who calls, as above.
    pub caller: &'a str,
    /// Lower-case names of the fields that may stand in `caller`, whether they do or not: nobody else writes them.
    pub told: &'a [String],
    /// Where the credentials stood that stay behind.
    pub stripped: &'a [&'a CredentialLocation],
    /// It is a gRPC call.
    pub call: Option<Call<'a>>,
    /// How the body will be framed towards the origin: `Length` for a body that is known whole, else the client's.
    pub body: Framing,
}

/// What a call's origin is told in place of what the client said: `te: trailers`, and these.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// Of a call that came as gRPC-Web: what it is made into.
    pub content_type: Option<&'a str>,
    /// What is left of the time that the client gives it.
    pub timeout: Option<&'a str>,
}

impl Call<'_> {
    /// Fields that only a gateway or a server writes, or that are written anew. Other names with `grpc-` are for the
    /// origin: they belong to the protocol, now or one day (PROTOCOL-HTTP2, "Custom-Metadata").
    fn replaces(&self, name: &str) -> bool {
        let name = name.as_bytes();
        match name.len() {
            10 => self.content_type.is_some() && is(name, b"x-grpc-web"),
            11 => is(name, b"grpc-status"),
            12 => {
                is(name, b"grpc-timeout")
                    || is(name, b"grpc-message")
                    || (self.content_type.is_some() && is(name, b"content-type"))
            }
            23 => is(name, b"grpc-status-details-bin"),
            _ => false,
        }
    }
}

/// Room for everything of ours but the certificate and what repeats the Host field.
const OURS_BYTES: usize = 512;

/// Appends each part by itself, so that the compiler turns the constant ones into a store or two.
macro_rules! put {
    ($out:expr, [$($part:expr),* $(,)?]) => {{ $($out.extend_from_slice($part.as_bytes());)* }};
}

/// Appends the whole head, blank line included.
pub fn write_head(out: &mut Vec<u8>, head: &Head, forwarded: &Forwarded<'_>) {
    // Every field grows by at most a space and a CR.
    let lines = forwarded.certificate.len() + forwarded.caller.len();
    out.reserve(head.text().len() + 2 * portcullis_engine::head::MAX_FIELDS + OURS_BYTES + lines);
    put!(out, [head.method(), " ", head.path()]);
    if !head.query().is_empty() {
        put_query(out, head.query(), forwarded.stripped);
    }
    put!(out, [" HTTP/1.1\r\n"]);
    let host = copy_fields(out, head, forwarded);
    put_ours(out, host, forwarded);
    out.extend_from_slice(b"\r\n");
}

/// Answers the Host field's value. A Connection field can name no other fields to leave out: such a head is refused by
/// the engine.
fn copy_fields<'a>(out: &mut Vec<u8>, head: &'a Head, forwarded: &Forwarded<'_>) -> &'a str {
    let keep_trace = forwarded.traceparent.is_none();
    let (told, stripped) = (forwarded.told, forwarded.stripped);
    let mut host = head.host();
    let mut trace_is_good: Option<bool> = None;
    for (name, value) in head.fields() {
        match fate(name.as_bytes()) {
            Fate::Pass if told.iter().any(|ours| folds_to(name, ours)) || stripped.iter().any(|at| holds(at, name)) => {
            }
            Fate::Pass if forwarded.call.is_some_and(|call| call.replaces(name)) => {}
            Fate::Pass if name == "cookie" && !stripped.is_empty() => put_cookies(out, value, stripped),
            Fate::Pass => put!(out, [name, ": ", value, "\r\n"]),
            Fate::Host => {
                host = value;
                put!(out, ["host: ", value, "\r\n"]);
            }
            Fate::Trace if keep_trace && !name.contains('_') => {
                if *trace_is_good.get_or_insert_with(|| client_traceparent(head).is_some()) {
                    put!(out, [name, ": ", value, "\r\n"]);
                }
            }
            Fate::Trace | Fate::Drop => {}
        }
    }
    host
}

/// Whether the credential of that place is the whole field, or may be read there by origins that fold `_` and `-`.
fn holds(at: &CredentialLocation, name: &str) -> bool {
    match at {
        // A proof is of no use without its token.
        CredentialLocation::Header { name: wanted, scheme } => {
            folds_to(name, wanted) || (name == "dpop" && scheme.as_deref() == Some("dpop"))
        }
        CredentialLocation::Pair { id, secret } => folds_to(name, id) || folds_to(name, secret),
        CredentialLocation::Basic => name == "authorization",
        CredentialLocation::Cookie { .. } | CredentialLocation::Query { .. } => false,
    }
}

/// Equal, where `_` and `-` are one: what an operator calls a field may have either.
fn folds_to(name: &str, wanted: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() == wanted.len() && name.bytes().map(fold).eq(wanted.bytes().map(fold))
}

/// The line without the cookies that stay behind, the others byte for byte; no line at all when none is left.
fn put_cookies(out: &mut Vec<u8>, line: &str, stripped: &[&CredentialLocation]) {
    let stays = |cookie: &str| {
        let name = cookie.split_once('=').map_or(cookie, |(name, _)| name).trim_ascii();
        !stripped.iter().any(|at| matches!(at, CredentialLocation::Cookie { name: wanted } if decodes_to(name.as_bytes(), wanted.as_bytes())))
    };
    if line.split(';').all(stays) {
        return put!(out, ["cookie: ", line, "\r\n"]);
    }
    let (mut begun, start) = (false, out.len());
    for cookie in line.split(';').filter(|cookie| stays(cookie)) {
        match begun {
            true => put!(out, [";", cookie]),
            // A space ahead of the first one is no part of it.
            false => put!(out, ["cookie: ", cookie.trim_ascii_start()]),
        }
        begun |= !cookie.trim_ascii().is_empty();
        if !begun {
            out.truncate(start);
        }
    }
    if begun {
        put!(out, ["\r\n"]);
    }
}

/// The query, `?` included, without the parameters that stay behind, the others byte for byte.
fn put_query(out: &mut Vec<u8>, query: &str, stripped: &[&CredentialLocation]) {
    let stays = |part: &&str| {
        let name = part.split_once('=').map_or(*part, |(name, _)| name);
        !stripped.iter().any(|at| matches!(at, CredentialLocation::Query { name: wanted } if decodes_to(name.as_bytes(), wanted.as_bytes())))
    };
    if stripped.is_empty() || query.split('&').all(|part| stays(&part)) {
        return put!(out, ["?", query]);
    }
    let start = out.len();
    for part in query.split('&').filter(stays) {
        put!(out, [if out.len() == start { "?" } else { "&" }, part]);
    }
    if out.len() == start + 1 {
        out.truncate(start);
    }
}

fn put_ours(out: &mut Vec<u8>, host: &str, forwarded: &Forwarded<'_>) {
    let Forwarded { peer, proto, request_id, .. } = *forwarded;
    put!(out, ["x-forwarded-for: ", peer, "\r\nx-forwarded-proto: ", proto, "\r\nx-forwarded-host: ", host]);
    // RFC 7239, 4 and 6: an IPv6 address stands in brackets, and what holds a colon is a quoted-string. A Host field
    // that passed the engine holds neither quote nor backslash.
    let (open, close) = if peer.contains(':') { ("\"[", "]\"") } else { ("", "") };
    let quote = if host.contains([':', '[']) { "\"" } else { "" };
    put!(out, ["\r\nforwarded: for=", open, peer, close, ";host=", quote, host, quote, ";proto=", proto]);
    put!(out, ["\r\nx-request-id: ", request_id, "\r\n"]);
    if let Some(trace) = forwarded.traceparent {
        put!(out, ["traceparent: ", trace, "\r\n"]);
    }
    put!(out, [forwarded.certificate, forwarded.caller]);
    if let Some(Call { content_type, timeout }) = forwarded.call {
        put!(out, ["te: trailers\r\n"]);
        if let Some(content_type) = content_type {
            put!(out, ["content-type: ", content_type, "\r\n"]);
        }
        if let Some(timeout) = timeout {
            put!(out, ["grpc-timeout: ", timeout, "\r\n"]);
        }
    }
    match forwarded.body {
        Framing::None => {}
        Framing::Length(length) => put!(out, ["content-length: ", itoa::Buffer::new().format(length), "\r\n"]),
        Framing::Chunked => put!(out, ["transfer-encoding: chunked\r\n"]),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop,
    Host,
    /// `traceparent` and `tracestate`.
    Trace,
}

/// What becomes of a field of that (lower-case) name.
///
/// Dropped besides hop-by-hop fields and our own: what other proxies write and origins believe (`x-forwarded-*`,
/// `true-client-ip` and the like), since nobody trusted stands in front of us; and `proxy`, which CGI turns into
/// HTTP_PROXY.
fn fate(name: &[u8]) -> Fate {
    let dropped = match name.len() {
        2 => is(name, b"te"),
        4 if name == b"host" => return Fate::Host,
        5 => is(name, b"proxy"),
        6 => is(name, b"expect"),
        7 => is(name, b"upgrade") || is(name, b"trailer"),
        9 => is(name, b"forwarded") || is(name, b"x-real-ip"),
        10 if name == b"tracestate" => return Fate::Trace,
        10 => is(name, b"connection") || is(name, b"keep-alive"),
        11 if is(name, b"traceparent") => return Fate::Trace,
        11 => is(name, b"x-client-ip"),
        12 => is(name, b"x-request-id"),
        14 => is(name, b"content-length") || is(name, b"http2-settings") || is(name, b"true-client-ip"),
        16 => is(name, b"proxy-connection") || is(name, b"cf-connecting-ip"),
        17 => is(name, b"transfer-encoding"),
        19 => is(name, b"x-cluster-client-ip"),
        _ => false,
    };
    let ours_by_prefix = name.len() > 12 && is(&name[..12], b"x-forwarded-");
    if dropped || ours_by_prefix { Fate::Drop } else { Fate::Pass }
}

/// The client's trace, if it sent exactly one valid `traceparent` (W3C Trace Context, 3.2).
#[must_use]
pub fn client_traceparent(head: &Head) -> Option<&str> {
    let mut values = head.values("traceparent");
    let value = values.next()?;
    (values.next().is_none() && is_traceparent(value.as_bytes())).then_some(value)
}

fn is_traceparent(value: &[u8]) -> bool {
    let hex = |range: std::ops::Range<usize>| value[range].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |range: std::ops::Range<usize>| value[range].iter().all(|&b| b == b'0');
    // Version 00 is 55 bytes long; later ones may go on behind a dash. A line of ours stays bounded.
    let length_is_good = value.len() == 55 || (value.len() > 55 && value.len() <= 256 && value[55] == b'-');
    length_is_good
        && (value.len() == 55 || &value[..2] != b"00")
        && &value[..2] != b"ff"
        && [value[2], value[35], value[52]] == *b"---"
        && hex(0..2)
        && hex(3..35)
        && hex(36..52)
        && hex(53..55)
        && !zero(3..35)
        && !zero(36..52)
}

/// Whether the method may be sent twice (RFC 9110, 9.2.2).
#[must_use]
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}
