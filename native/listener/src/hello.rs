//! Reads the ClientHello at the beginning of a connection, as much of it as has come.
//!
//! The message may be split over records, and whatever stands behind its last record is not looked at. Strict where two
//! readings are possible: what the TLS library behind this could take for something else is refused here.

use portcullis_engine::peer::ClientHello;

use crate::ja4::{self, APPLICATION_PROTOCOLS, Parts, SERVER_NAME, ja4};

/// Largest ClientHello, its header included: BoringSSL's bound for messages of a handshake that has not begun
/// (`kMaxMessageLen`, 16 KiB). With a post-quantum key share they have about 1.8 KiB.
pub const MAX_HELLO_BYTES: usize = 16 * 1024;
/// Most records that it may be split over. Clients that split it use two or three.
pub const MAX_RECORDS: usize = 1024;
/// As much of a connection is ever looked at.
pub const MAX_BYTES: usize = MAX_HELLO_BYTES + MAX_RECORDS * RECORD_HEADER;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
/// RFC 8446, 5.1.
const MAX_RECORD_BYTES: usize = 16 * 1024;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;
const HOST_NAME: u8 = 0;
/// RFC 1035, 2.3.4, as text.
const MAX_NAME_BYTES: usize = 255;

/// Why what came is no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An HTTP request without TLS.
    PlainHttp,
    /// Neither that nor TLS, or not well formed.
    Garbage,
    Oversize,
}

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Whole(ClientHello),
    /// Nothing more can be said before so many bytes have come.
    Partial {
        wants: usize,
    },
    Refused(Fault),
}

/// Looks at the beginning of a connection. `whole` is memory to put a split message together in.
#[must_use]
pub fn look(bytes: &[u8], whole: &mut Vec<u8>) -> Seen {
    if let Some(fault) = no_tls(bytes) {
        return Seen::Refused(fault);
    }
    whole.clear();
    let mut rest = bytes;
    for _ in 0..MAX_RECORDS {
        let at = bytes.len() - rest.len();
        let Some((header, behind)) = rest.split_at_checked(RECORD_HEADER) else {
            return Seen::Partial { wants: at + RECORD_HEADER };
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        // BoringSSL reads the major version only as well: some clients put what they support at most into the minor.
        if header[0] != HANDSHAKE || header[1] != 3 || length == 0 {
            return Seen::Refused(Fault::Garbage);
        }
        if length > MAX_RECORD_BYTES {
            return Seen::Refused(Fault::Oversize);
        }
        let end = whole.len() + length;
        let (piece, behind) = behind.split_at_checked(length).unwrap_or((behind, &[]));
        let is_whole = piece.len() == length;
        // Most messages are one record: nothing is copied then.
        let message = if whole.is_empty() && is_whole {
            piece
        } else {
            whole.extend_from_slice(piece);
            whole.as_slice()
        };
        let Some(expected) = expected(message) else {
            return Seen::Refused(Fault::Garbage);
        };
        if expected > MAX_HELLO_BYTES {
            return Seen::Refused(Fault::Oversize);
        }
        // A second message in front of the server's answer: nobody has a use for it.
        if message.len() >= MESSAGE_HEADER && end > expected {
            return Seen::Refused(Fault::Garbage);
        }
        if !is_whole {
            return Seen::Partial { wants: at + RECORD_HEADER + length };
        }
        if message.len() == expected {
            return parse(message).map_or(Seen::Refused(Fault::Garbage), Seen::Whole);
        }
        if whole.is_empty() {
            whole.extend_from_slice(piece);
        }
        rest = behind;
    }
    Seen::Refused(Fault::Oversize)
}

/// Bytes of the message as its header tells; None when it is another message. At least a header's, while that is not
/// there yet.
fn expected(message: &[u8]) -> Option<usize> {
    match *message {
        [] => Some(MESSAGE_HEADER),
        [kind, ..] if kind != CLIENT_HELLO => None,
        [_, high, middle, low, ..] => Some(MESSAGE_HEADER + u32::from_be_bytes([0, high, middle, low]) as usize),
        _ => Some(MESSAGE_HEADER),
    }
}

/// Methods that a request may begin with; the rest of RFC 9110's and PATCH.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"PATCH ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    // What an HTTP/2 client sends that takes the port for one without TLS.
    b"PRI * HTTP/2.0",
];

fn no_tls(bytes: &[u8]) -> Option<Fault> {
    let first = *bytes.first()?;
    if first == HANDSHAKE {
        return None;
    }
    let is_http = METHODS.iter().any(|method| {
        let told = bytes.len().min(method.len());
        method[..told] == bytes[..told]
    });
    Some(if is_http { Fault::PlainHttp } else { Fault::Garbage })
}

/// Takes apart what comes in fixed lengths and in lists with theirs in front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn pair(&mut self) -> Option<u16> {
        self.take(2).map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.pair()?;
        self.take(length.into())
    }

    /// Nothing is left over.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// A list of pairs of bytes that is not empty.
fn pairs(list: &[u8]) -> Option<&[u8]> {
    (!list.is_empty() && list.len().is_multiple_of(2)).then_some(list)
}

/// RFC 8446, 4.1.2; None when it is not well formed.
fn parse(message: &[u8]) -> Option<ClientHello> {
    let mut body = Reader(message.get(MESSAGE_HEADER..)?);
    let legacy_version = body.pair()?;
    body.take(32)?;
    let session = body.short()?;
    let ciphers = pairs(body.long()?)?;
    let compression = body.short()?;
    if legacy_version >> 8 != 3 || session.len() > 32 || compression.is_empty() {
        return None;
    }
    let mut parts = Parts { version: Some(legacy_version), ciphers, ..Parts::default() };
    let mut server_name = None;
    let mut offers_h2 = false;
    let mut kinds = Vec::with_capacity(24);
    // TLS 1.2 lets a client have none at all.
    let mut extensions = Reader(if body.0.is_empty() { &[] } else { body.long()? });
    body.end()?;
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.pair()?, extensions.long()?);
        kinds.push(kind);
        let mut content = Reader(content);
        match kind {
            SERVER_NAME => server_name = Some(name(&mut content)?),
            APPLICATION_PROTOCOLS => {
                let mut protocols = Reader(content.long()?);
                content.end()?;
                while parts.first_protocol.is_none() || !protocols.0.is_empty() {
                    let protocol = protocols.short().filter(|protocol| !protocol.is_empty())?;
                    offers_h2 |= protocol == b"h2";
                    parts.first_protocol.get_or_insert(protocol);
                }
            }
            SIGNATURE_ALGORITHMS => {
                parts.signature_algorithms = pairs(content.long()?)?;
                content.end()?;
            }
            SUPPORTED_VERSIONS => {
                parts.version = ja4::values(pairs(content.short()?)?).max();
                content.end()?;
            }
            _ => {}
        }
    }
    kinds.sort_unstable();
    // RFC 8446, 4.2: one of each.
    if kinds.windows(2).any(|pair| pair[0] == pair[1]) {
        return None;
    }
    parts.extensions = &kinds;
    let ja4 = ja4(&parts);
    Some(ClientHello { server_name, ja4, length: message.len() as u32, offers_h2 })
}

/// RFC 6066, 3, and as BoringSSL reads it: one name, of a host.
fn name(content: &mut Reader) -> Option<String> {
    let mut list = Reader(content.long()?);
    content.end()?;
    let (kind, name) = (list.byte()?, list.long()?);
    list.end()?;
    let fits = kind == HOST_NAME && (1..=MAX_NAME_BYTES).contains(&name.len());
    (fits && name.iter().all(u8::is_ascii_graphic)).then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
