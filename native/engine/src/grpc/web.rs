//! gRPC-Web and gRPC, one made of the other (PROTOCOL-WEB).
//!
//! Requests: the same frames, or base64 of them, which may be padded wherever a client's buffer ended. Answers: the same
//! frames, and behind them one that holds the trailers; each piece in base64 by itself where the client wants text, so
//! that nothing waits for the next one. Between pieces at most three characters are kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Dialect;

/// Marks the frame of the trailers.
const TRAILERS: u8 = 0x80;

/// Not base64 as RFC 4648 has it: padded to four characters, bits that stand for nothing zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

/// Reads a request's text, piece by piece.
#[derive(Debug, Default, Clone, Copy)]
pub struct TextReader {
    kept: [u8; 4],
    length: usize,
}

impl TextReader {
    /// Appends what a piece of text stands for.
    ///
    /// # Errors
    /// When it is no base64: the reader is not to be used any more.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        out.reserve(piece.len() / 4 * 3 + 3);
        if self.length > 0 {
            let taken = piece.len().min(4 - self.length);
            self.kept[self.length..self.length + taken].copy_from_slice(&piece[..taken]);
            self.length += taken;
            piece = &piece[taken..];
            if self.length < 4 {
                return Ok(());
            }
            self.length = 0;
            group(self.kept, out)?;
        }
        let (groups, rest) = piece.as_chunks::<4>();
        for &four in groups {
            group(four, out)?;
        }
        self.kept[..rest.len()].copy_from_slice(rest);
        self.length = rest.len();
        Ok(())
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// When the last group is not whole.
    pub fn end(&self) -> Result<(), NotBase64> {
        if self.length == 0 { Ok(()) } else { Err(NotBase64) }
    }
}

/// Four characters: three bytes, or fewer with padding.
fn group(four: [u8; 4], out: &mut Vec<u8>) -> Result<(), NotBase64> {
    /// What no character stands for.
    const NONE: u8 = 0xff;
    const VALUES: [u8; 256] = {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut values = [NONE; 256];
        let mut index = 0;
        while index < alphabet.len() {
            values[alphabet[index] as usize] = index as u8;
            index += 1;
        }
        values
    };
    let [a, b, c, d] = four.map(|byte| VALUES[usize::from(byte)]);
    let bits = u32::from(a) << 18 | u32::from(b & 63) << 12 | u32::from(c & 63) << 6 | u32::from(d & 63);
    let bytes = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
    if a == NONE || b == NONE {
        return Err(NotBase64);
    }
    match (four[2], four[3]) {
        (b'=', b'=') if b & 0b1111 == 0 => out.push(bytes[0]),
        (_, b'=') if c != NONE && c & 0b11 == 0 => out.extend_from_slice(&bytes[..2]),
        _ if c != NONE && d != NONE => out.extend_from_slice(&bytes),
        _ => return Err(NotBase64),
    }
    Ok(())
}

/// An answer of an origin on its way to a gRPC-Web client. Whatever it holds, [`Answer::end`] leaves a status that the
/// client finds in the body: where the origin answered by a head alone, that moves there.
#[derive(Debug)]
pub struct Answer {
    dialect: Dialect,
    content_type: String,
    /// Lines of a status that came with the head.
    kept: Vec<u8>,
    is_framed: bool,
}

impl Answer {
    /// For a client that takes `dialect`, called `content_type`.
    #[must_use]
    pub fn new(dialect: Dialect, content_type: String) -> Answer {
        Answer { dialect, content_type, kept: Vec::new(), is_framed: false }
    }

    /// Appends the head, given as a status line and fields with CR LF between them. False: this is no answer to a call
    /// (an error page of something in between), and goes on as it is; nothing was appended.
    pub fn head(&mut self, block: &[u8], out: &mut Vec<u8>) -> bool {
        let fields = || lines(block).skip(1).filter_map(|line| Some((line, split(line)?)));
        let is_call = |(_, (name, value)): (_, (&[u8], &[u8]))| {
            name.eq_ignore_ascii_case(b"content-type")
                && std::str::from_utf8(value).is_ok_and(|it| Dialect::of(it) == Some(Dialect::Grpc))
        };
        if !fields().any(is_call) {
            return false;
        }
        out.extend_from_slice(lines(block).next().unwrap_or_default());
        for (line, (name, _)) in fields() {
            if STATUS.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)) {
                self.kept.extend_from_slice(line);
                self.kept.extend_from_slice(b"\r\n");
            } else if name.eq_ignore_ascii_case(b"content-type") {
                out.extend_from_slice(b"\r\nContent-Type: ");
                out.extend_from_slice(self.content_type.as_bytes());
            } else {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(line);
            }
        }
        true
    }

    /// Appends a piece of the body.
    pub fn piece(&self, piece: &[u8], out: &mut Vec<u8>) {
        encode(self.dialect, piece, out);
    }

    /// Appends the trailers, as lines with CR LF between them.
    pub fn trailers(&mut self, lines: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_framed, true) {
            let mut frame = Vec::with_capacity(lines.len() + 8);
            trailers_frame(lines, &mut frame);
            encode(self.dialect, &frame, out);
        }
    }

    /// Appends what is left to be said when nothing more comes.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            self.trailers(&kept, out);
        }
    }

    /// Whether pieces of the body go on as they are.
    #[must_use]
    pub fn keeps_pieces(&self) -> bool {
        self.dialect != Dialect::WebText
    }
}

/// Fields that are the status of a call.
const STATUS: [&[u8]; 3] = [b"grpc-status", b"grpc-message", b"grpc-status-details-bin"];

/// The code in `grpc-status` of lines of trailers, or of a head.
#[must_use]
pub fn status_of(block: &[u8]) -> Option<u8> {
    let (_, code) = lines(block).filter_map(split).find(|(name, _)| name.eq_ignore_ascii_case(STATUS[0]))?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

/// Appends a piece of an answer as its client takes it.
pub fn encode(dialect: Dialect, piece: &[u8], out: &mut Vec<u8>) {
    match dialect {
        Dialect::Grpc | Dialect::Web => out.extend_from_slice(piece),
        Dialect::WebText => {
            let start = out.len();
            out.resize(start + encoded_bytes(dialect, piece.len()), 0);
            // The room is what the encoder asks for.
            let _ = STANDARD.encode_slice(piece, &mut out[start..]);
        }
    }
}

/// How long [`encode`] makes a piece.
#[must_use]
pub fn encoded_bytes(dialect: Dialect, length: usize) -> usize {
    match dialect {
        Dialect::Grpc | Dialect::Web => length,
        Dialect::WebText => length.div_ceil(3) * 4,
    }
}

/// Appends the frame of trailers given as lines, `Name: value`, CR LF between them. Names are lower-case in it.
pub fn trailers_frame(block: &[u8], out: &mut Vec<u8>) {
    out.push(TRAILERS);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, value) in lines(block).filter_map(split) {
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
}
