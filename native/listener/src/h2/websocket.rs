//! A WebSocket over HTTP/2 (RFC 8441) is a stream whose DATA are the bytes that an HTTP/1.1 connection would carry
//! behind its 101 (RFC 6455): the origin gets the Upgrade that it knows, and what follows passes as it is, as long as no
//! message of the client's is too large.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use portcullis_reactor::{Sleep, now_ms, sleep_until};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::messages::{Frames, close};

/// Largest head of the origin's answer: what the engine takes of a request's.
const ANSWER_BYTES: usize = portcullis_engine::head::MAX_HEAD_BYTES;
/// Both directions without a byte: as on the other door; pings keep it open.
pub const IDLE_MS: u64 = 120_000;
/// Largest message of a client, as it is sent: as on the other door.
pub const MESSAGE_BYTES: u64 = 1024 * 1024;
/// What is read of the origin at once, and given to the stream as one or two frames.
const PIECE_BYTES: usize = 16 * 1024;
/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How the origin took the handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Fields that the client gets: `Name: value` lines.
    pub block: Vec<u8>,
    /// What the origin has said already.
    pub behind: Vec<u8>,
}

/// Asks the origin. `head` is the request head as it gets it, blank line included, without the handshake's own fields.
///
/// # Errors
/// The connection failed, or the origin did not accept.
pub async fn shake_hands<T>(io: &mut T, head: &[u8], key: &[u8; 16]) -> io::Result<Accepted>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let key = base64(key);
    let mut request = head.strip_suffix(b"\r\n").unwrap_or(head).to_vec();
    request.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ");
    request.extend_from_slice(key.as_bytes());
    request.extend_from_slice(b"\r\n\r\n");
    io.write_all(&request).await?;
    io.flush().await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            let behind = answer.split_off(end + 4);
            let block = accepted(&answer, &key).ok_or_else(refused)?;
            return Ok(Accepted { block, behind });
        }
        if answer.len() > ANSWER_BYTES || io.read_buf(&mut answer).await? == 0 {
            return Err(refused());
        }
    }
}

fn refused() -> io::Error {
    io::Error::other("the origin did not accept the WebSocket")
}

/// The fields that the client gets, when this is the origin's yes to the key.
fn accepted(answer: &[u8], key: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(answer).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?;
    if !status.starts_with("101") {
        return None;
    }
    let expected = base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()).as_ref());
    let (mut is_upgraded, mut is_proven) = (false, false);
    let mut block = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => is_upgraded |= value.eq_ignore_ascii_case("websocket"),
            "sec-websocket-accept" => is_proven |= value == expected,
            "connection" | "content-length" | "transfer-encoding" => {}
            name => {
                let separator = if block.is_empty() { "" } else { "\r\n" };
                block.extend_from_slice(format!("{separator}{name}: {value}").as_bytes());
            }
        }
    }
    (is_upgraded && is_proven).then_some(block)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = if place <= chunk.len() { DIGITS[(word >> (18 - 6 * place)) as usize & 63] } else { b'=' };
            out.push(digit.into());
        }
    }
    out
}

/// Passes bytes in both directions until both are at their end, one fails, nothing moves for long, a message of the
/// client's is too large, or `stop` is ready: what let this WebSocket in is not accepted any more.
pub async fn tunnel<T>(
    io: T,
    behind: Vec<u8>,
    recv: RecvStream,
    send: SendStream<Bytes>,
    stop: impl Future<Output = ()>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut both = Both {
        io,
        recv,
        send,
        up: Up::Open(Bytes::new()),
        down: Down::Open(behind.into()),
        sent: Frames::default(),
        given: Frames::default(),
        moved_ms: now_ms(),
        is_flushed: true,
    };
    let (mut stop, mut alarm) = (pin!(stop), sleep_until(now_ms() + IDLE_MS));
    let ended = poll_fn(|context| {
        if stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(End::WITHDRAWN));
        }
        let ended = both.poll(context);
        if ended.is_pending() && both.is_idle(&mut alarm, context) {
            return Poll::Ready(Err(End::Reset));
        }
        ended
    })
    .await;
    match ended {
        Ok(()) => {}
        Err(End::Close(code, reason)) if both.may_close() => {
            // It fails where the client has reset the stream.
            let _ = both.send.send_data(close(code, reason).into(), true);
        }
        // What a TCP reset is to a WebSocket over HTTP/1.1 (RFC 8441, 5).
        Err(_) => both.send.send_reset(Reason::CANCEL),
    }
}

/// How a tunnel ends that did not end by itself.
#[derive(Debug, Clone, Copy)]
enum End {
    Reset,
    /// With a close frame (RFC 6455, 7.4.1), where one may stand.
    Close(u16, &'static str),
}

impl End {
    const WITHDRAWN: End = End::Close(1008, "what let this connection in is not accepted any more");
    const TOO_LARGE: End = End::Close(1009, "message too large");
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Reset
    }
}

impl From<h2::Error> for End {
    fn from(_: h2::Error) -> End {
        End::Reset
    }
}

struct Both<T> {
    io: T,
    recv: RecvStream,
    send: SendStream<Bytes>,
    up: Up,
    down: Down,
    /// What the client sends, and what it was given.
    sent: Frames,
    given: Frames,
    moved_ms: u64,
    is_flushed: bool,
}

/// From the client to the origin.
enum Up {
    /// What was read and not written yet.
    Open(Bytes),
    Closing,
    Closed,
}

/// From the origin to the client.
enum Down {
    Open(Bytes),
    Closed,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Both<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.send.poll_reset(context).is_ready() {
            return Poll::Ready(Err(End::Reset));
        }
        let up = self.poll_up(context);
        let down = self.poll_down(context);
        match (up, down) {
            (Poll::Ready(Err(end)), _) | (_, Poll::Ready(Err(end))) => Poll::Ready(Err(end)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn poll_up(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            match &mut self.up {
                Up::Closed => return Poll::Ready(Ok(())),
                Up::Closing => {
                    ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
                    self.up = Up::Closed;
                }
                Up::Open(piece) if !piece.is_empty() => {
                    let written = ready!(Pin::new(&mut self.io).poll_write(context, piece))?;
                    let _ = piece.split_to(written);
                    let _ = self.recv.flow_control().release_capacity(written);
                    self.moved_ms = now_ms();
                    self.is_flushed = false;
                }
                Up::Open(piece) => match self.recv.poll_data(context) {
                    Poll::Ready(Some(Ok(next))) => {
                        if self.sent.pass(&next) > MESSAGE_BYTES {
                            return Poll::Ready(Err(End::TOO_LARGE));
                        }
                        *piece = next;
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(End::Reset)),
                    Poll::Ready(None) => self.up = Up::Closing,
                    Poll::Pending => {
                        if !self.is_flushed {
                            ready!(Pin::new(&mut self.io).poll_flush(context))?;
                            self.is_flushed = true;
                        }
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    fn poll_down(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            match &mut self.down {
                Down::Closed => return Poll::Ready(Ok(())),
                Down::Open(piece) if !piece.is_empty() => {
                    self.send.reserve_capacity(piece.len());
                    let mut room = self.send.capacity();
                    if room == 0 {
                        room = match ready!(self.send.poll_capacity(context)) {
                            Some(Ok(room)) => room,
                            _ => return Poll::Ready(Err(End::Reset)),
                        };
                    }
                    let now = piece.split_to(room.min(piece.len()));
                    self.moved_ms = now_ms();
                    self.given.pass(&now);
                    self.send.send_data(now, false)?;
                }
                Down::Open(piece) => {
                    let mut place = [MaybeUninit::uninit(); PIECE_BYTES];
                    let mut buffer = ReadBuf::uninit(&mut place);
                    ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
                    *piece = Bytes::copy_from_slice(buffer.filled());
                    if piece.is_empty() {
                        self.send.send_data(Bytes::new(), true)?;
                        self.down = Down::Closed;
                    }
                }
            }
        }
    }

    /// Whether the client can be told of the end: what it was given is not in the middle of a frame.
    fn may_close(&self) -> bool {
        matches!(self.down, Down::Open(_)) && self.given.is_between()
    }

    /// Looks whether nothing has moved for long, and sets the alarm for the next look.
    fn is_idle(&self, alarm: &mut Sleep, context: &mut Context<'_>) -> bool {
        while Pin::new(&mut *alarm).poll(context).is_ready() {
            let at = self.moved_ms + IDLE_MS;
            if now_ms() >= at {
                return true;
            }
            alarm.reset(at);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn answer(fields: &str) -> Option<String> {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\r\n");
        accepted(answer.as_bytes(), KEY).map(|block| String::from_utf8(block).unwrap())
    }

    #[test]
    fn only_a_proof_of_the_key_is_a_yes() {
        let proof = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let yes =
            format!("Upgrade: WebSocket\r\nConnection: Upgrade\r\n{proof}\r\nSec-WebSocket-Protocol: chat\r\nX-A:b ");
        assert_eq!(answer(&yes).as_deref(), Some("sec-websocket-protocol: chat\r\nx-a: b"));
        for no in [format!("Upgrade: websocket\r\n{proof}x"), proof.into(), "Upgrade: websocket".into()] {
            assert_eq!(answer(&no), None, "{no}");
        }
        let refused = format!("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\n{proof}\r\n\r\n");
        assert_eq!(accepted(refused.as_bytes(), KEY), None);
    }
}
