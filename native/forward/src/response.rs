//! A response head: read strictly, and rewritten as the block that the client gets.
//!
//! The block goes to the front door unlooked-at (`200 OK\r\nX-Request-Id: ..\r\nName: value`, docs/decisions/0001), so
//! nothing may stand in it that httparse did not accept as a token and a value without control characters: response
//! splitting ends here.

use std::mem::MaybeUninit;

use crate::client::ID_BYTES;
use crate::status;

/// Most bytes of a response head: four times what the front door takes from clients; nginx's default is 8 KiB.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most fields of a response head.
pub(crate) const MAX_FIELDS: usize = 128;
/// By how much a block may be longer than the head it was made from: for each field a space behind its colon, and a CR
/// where the origin wrote a bare LF (RFC 9112, 2.2 lets us take that as a line end); a status line of our own (at most
/// 35 bytes), the request's id (48), `Connection: close` (19), and the caller's own fields.
pub(crate) const BLOCK_GROWTH: usize = 2 * MAX_FIELDS + 128 + MAX_ADDED_BYTES;
/// Most bytes of the fields that the caller adds: sixteen of a hundred bytes. None are added beyond.
pub(crate) const MAX_ADDED_BYTES: usize = 2 * 1024;
/// Most digits of a Content-Length: 10^18 - 1 fits every reader's 64-bit integer.
const MAX_LENGTH_DIGITS: usize = 18;

/// The origin's answer has no single meaning, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How the body ends (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// A final response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Its bytes, blank line included.
    pub(crate) len: usize,
    pub(crate) block_len: usize,
    pub(crate) framing: Framing,
    /// Content-Length as given, which for HEAD and 304 tells of a body that does not come.
    pub(crate) length: Option<u64>,
    pub(crate) keep_alive: bool,
    /// How long the origin says it keeps an idle connection (`Keep-Alive: timeout=5`), in seconds.
    pub(crate) keeps_for_s: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    Partial,
    /// 1xx, which says nothing about the message.
    Interim {
        status: u16,
        len: usize,
        block_len: usize,
    },
    Final(Head),
}

/// What a block says besides what the origin said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Added<'a> {
    pub(crate) id: &'a [u8; ID_BYTES],
    pub(crate) closes: bool,
    /// Each preceded by CR LF; at most [`MAX_ADDED_BYTES`].
    pub(crate) fields: &'a [u8],
}

/// Reads a head from the start of `input` and writes its block to `block`, which has to be [`BLOCK_GROWTH`] longer
/// than `input`.
pub(crate) fn parse(input: &[u8], is_head: bool, added: Added<'_>, block: &mut [u8]) -> Result<Parsed, Malformed> {
    // httparse skips empty lines ahead of a status line; on a reused connection they are garbage of the response before.
    if input.first().is_some_and(|&byte| byte != b'H') {
        return Err(Malformed);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut fields);
    let len = match parsed {
        Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD_BYTES => len,
        Ok(httparse::Status::Partial) if input.len() <= MAX_HEAD_BYTES => return Ok(Parsed::Partial),
        _ => return Err(Malformed),
    };
    let status = response.code.unwrap_or(0);
    match status {
        // 101 answers an Upgrade that is never sent.
        101 => return Err(Malformed),
        100..=599 => {}
        _ => return Err(Malformed),
    }
    let mut facts = Facts { keep_alive: response.version == Some(1), ..Facts::default() };
    for (index, field) in response.headers.iter().enumerate() {
        if facts.learn(field.name, field.value)? {
            facts.dropped |= 1 << index;
        }
    }
    if facts.connection_names_fields {
        facts.drop_named(response.headers);
    }
    let block_len = write_block(status, added, response.headers, facts.dropped, block);
    if status < 200 {
        return Ok(Parsed::Interim { status, len, block_len });
    }
    let framing = facts.framing(status, is_head, response.version)?;
    let Facts { length, keep_alive, keeps_for_s, .. } = facts;
    let keep_alive = keep_alive && framing != Framing::UntilClose;
    Ok(Parsed::Final(Head { status, len, block_len, framing, length, keep_alive, keeps_for_s }))
}

/// What the fields say about the message itself.
#[derive(Default)]
pub(crate) struct Facts {
    length: Option<u64>,
    chunked: bool,
    keep_alive: bool,
    keeps_for_s: Option<u32>,
    connection_names_fields: bool,
    /// One bit a field: not for the client.
    dropped: u128,
}

impl Facts {
    /// Whether the field is between us and the origin only (RFC 9110, 7.6.1), or written by the front door itself
    /// (Date, Content-Length), or ours alone (X-Request-Id).
    pub(crate) fn learn(&mut self, name: &str, value: &[u8]) -> Result<bool, Malformed> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        Ok(match name.len() {
            2 => is("te"),
            4 => is("date"),
            7 => is("trailer") || is("upgrade"),
            10 if is("connection") => {
                self.learn_connection(value);
                true
            }
            10 if is("keep-alive") => {
                self.keeps_for_s = keep_alive_timeout(value);
                true
            }
            14 if is("content-length") => {
                let length = content_length(value)?;
                if self.length.is_some_and(|before| before != length) {
                    return Err(Malformed);
                }
                self.length = Some(length);
                true
            }
            12 => is("x-request-id"),
            16 => is("proxy-connection"),
            17 if is("transfer-encoding") => {
                // Once and exactly `chunked`: we never asked for another coding (TE).
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed);
                }
                self.chunked = true;
                true
            }
            _ => false,
        })
    }

    fn learn_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.keep_alive = false;
            } else if !option.is_empty() && !option.eq_ignore_ascii_case(b"keep-alive") {
                self.connection_names_fields = true;
            }
        }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    fn drop_named(&mut self, fields: &[httparse::Header<'_>]) {
        for connection in fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection")) {
            for option in connection.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                for (index, field) in fields.iter().enumerate() {
                    if field.name.as_bytes().eq_ignore_ascii_case(option) {
                        self.dropped |= 1 << index;
                    }
                }
            }
        }
    }

    fn framing(&self, status: u16, is_head: bool, version: Option<u8>) -> Result<Framing, Malformed> {
        // RFC 9112, 6.3 (3) and 6.1: both together, or a coding from an HTTP/1.0 server, may be a smuggling attempt.
        if self.chunked && (self.length.is_some() || version != Some(1)) {
            return Err(Malformed);
        }
        Ok(if is_head || matches!(status, 204 | 304) {
            Framing::None
        } else if self.chunked {
            Framing::Chunked
        } else {
            self.length.map_or(Framing::UntilClose, Framing::Length)
        })
    }
}

/// The block up to the origin's own fields.
pub(crate) fn write_start(status: u16, added: Added<'_>, block: &mut [u8]) -> usize {
    let mut at = 0;
    let mut put = |part: &[u8]| {
        block[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(status::line(status).as_bytes());
    put(b"\r\nX-Request-Id: ");
    put(added.id);
    if added.closes {
        put(b"\r\nConnection: close");
    }
    put(added.fields);
    at
}

fn write_block(
    status: u16,
    added: Added<'_>,
    fields: &[httparse::Header<'_>],
    dropped: u128,
    block: &mut [u8],
) -> usize {
    let mut at = write_start(status, added, block);
    let mut put = |part: &[u8]| {
        block[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    for (index, field) in fields.iter().enumerate() {
        if dropped & (1 << index) == 0 {
            put(b"\r\n");
            put(field.name.as_bytes());
            put(b": ");
            put(field.value);
        }
    }
    at
}

fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || value.len() > MAX_LENGTH_DIGITS || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// `timeout=5, max=100`: the seconds; a hint only, so that what cannot be read is ignored.
fn keep_alive_timeout(value: &[u8]) -> Option<u32> {
    let value = std::str::from_utf8(value).ok()?;
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: [u8; ID_BYTES] = *b"0123456789abcdef0123456789abcdef";
    const ADDED: Added<'_> = Added { id: &ID, closes: false, fields: b"" };

    fn read(input: &str) -> Result<(Head, String), Malformed> {
        let mut block = vec![0; input.len() + BLOCK_GROWTH];
        match parse(input.as_bytes(), false, ADDED, &mut block)? {
            Parsed::Final(head) => Ok((head, String::from_utf8_lossy(&block[..head.block_len]).into_owned())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_block_leaves_out_what_is_between_us_and_the_origin() {
        let (head, block) = read(
            "HTTP/1.1 200 OK\r\nDate: now\r\nServer:  a \r\ncontent-length: 2\r\nConnection: keep-alive, X-Hop\r\n\
             Keep-Alive: timeout=5\r\nx-hop: 1\r\nX-Request-Id: theirs\r\nTrailer: a\r\nTE: b\r\nUpgrade: c\r\nProxy-Connection: d\r\n\
             Proxy-Authenticate: e\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Empty:\r\n\r\nhi",
        )
        .unwrap();
        let fields = block.strip_prefix("200 OK\r\nX-Request-Id: 0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(fields, "\r\nServer: a\r\nProxy-Authenticate: e\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Empty: ");
        assert_eq!(head.framing, Framing::Length(2));
        assert!(head.keep_alive);
        assert_eq!(head.keeps_for_s, Some(5));
    }

    #[test]
    fn fields_of_the_callers_stand_ahead_of_the_origins() {
        let added = Added { id: &ID, closes: true, fields: b"\r\nRateLimit: \"a\";r=1" };
        let Ok(Parsed::Final(head)) = parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", false, added, &mut [0; 600]) else {
            panic!()
        };
        let mut block = vec![0; head.block_len];
        let _ = parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", false, added, &mut block);
        let fields = b"\r\nConnection: close\r\nRateLimit: \"a\";r=1\r\nA: b";
        assert!(block.ends_with(fields), "{}", String::from_utf8_lossy(&block));
    }

    #[test]
    fn framing_follows_rfc_9112() {
        let framing = |fields: &str| read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).map(|(head, _)| head.framing);
        assert_eq!(framing(""), Ok(Framing::UntilClose));
        assert_eq!(framing("Content-Length: 7\r\n"), Ok(Framing::Length(7)));
        assert_eq!(framing("Content-Length: 7\r\nContent-Length: 7\r\n"), Ok(Framing::Length(7)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
    }

    #[test]
    fn refuses_what_has_no_single_meaning() {
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +7\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x7\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 099 No\r\n\r\n",
            "HTTP/1.1 600 No\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            " HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "hello",
        ] {
            assert_eq!(read(bad).err(), Some(Malformed), "{}", bad.escape_debug());
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(read(&many).err(), Some(Malformed));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(MAX_HEAD_BYTES));
        assert_eq!(read(&long).err(), Some(Malformed));
        let just = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS));
        assert!(read(&just).is_ok());
    }

    #[test]
    fn head_204_and_304_have_no_body_but_keep_their_length() {
        let input = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
        let Ok(Parsed::Final(head)) = parse(input, false, ADDED, &mut [0; 600]) else { panic!() };
        assert_eq!((head.framing, head.length), (Framing::None, Some(9)));
        let input = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        let Ok(Parsed::Final(head)) = parse(input, true, ADDED, &mut [0; 600]) else { panic!() };
        assert_eq!((head.framing, head.length), (Framing::None, Some(9)));
    }

    proptest! {
        #[test]
        fn no_block_holds_a_line_that_the_origin_did_not_write_as_a_field(
            bytes in prop::collection::vec(prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(0), Just(b':'), Just(b' '), Just(b'a'), any::<u8>()], 0..60),
        ) {
            let mut input = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
            input.extend_from_slice(&bytes);
            input.extend_from_slice(b"\r\n\r\n");
            let mut block = vec![0; input.len() + BLOCK_GROWTH];
            if let Ok(Parsed::Final(head)) = parse(&input, false, ADDED, &mut block) {
                let block = &block[..head.block_len];
                // Read again as a head, the block gives as many fields as it has lines, and no bare CR, LF or NUL.
                let lines = block.windows(2).filter(|pair| pair == b"\r\n").count();
                prop_assert_eq!(block.iter().filter(|b| matches!(b, b'\r' | b'\n' | 0)).count(), 2 * lines);
                let mut again = b"HTTP/1.1 ".to_vec();
                again.extend_from_slice(block);
                again.extend_from_slice(b"\r\n\r\n");
                let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
                let mut response = httparse::Response::new(&mut fields);
                prop_assert!(response.parse(&again).unwrap().is_complete());
                prop_assert_eq!(response.headers.len(), lines);
            }
        }
    }
}
