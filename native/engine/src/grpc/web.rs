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
pub fn trailers_frame(lines: &[u8], out: &mut Vec<u8>) {
    out.push(TRAILERS);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        out.extend(line[..colon].iter().map(u8::to_ascii_lowercase));
        out.extend_from_slice(b": ");
        out.extend_from_slice(line[colon + 1..].trim_ascii());
        out.extend_from_slice(b"\r\n");
    }
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
}
