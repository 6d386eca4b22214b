//! The chunked coding of a response (RFC 9112, 7.1), decoded as it comes, byte position by byte position.
//!
//! Strict where readers are known to disagree: CRLF only, hexadecimal digits only, and exactly two bytes behind a
//! chunk's data. Extensions are read over, and so are trailers unless somebody takes them, both within bounds.

use crate::response::Malformed;
use crate::trailers::MAX_TRAILER_BYTES;

/// Fifteen hexadecimal digits still fit every reader's signed 64-bit integer.
const MAX_SIZE_DIGITS: u8 = 15;
/// Most bytes of one chunk's extensions: nobody sends any, so a line's worth will do.
const MAX_EXTENSION_BYTES: u32 = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    /// Blanks behind the size, which some servers pad with.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// Where in a chunked body the reading stands.
#[derive(Debug, Clone)]
pub(crate) struct Chunked {
    at: At,
    /// Of the chunk: read so far while in its size, left to read while in its data.
    size: u64,
    digits: u8,
    /// Bytes of the current extension, or of the trailers.
    skipped: u32,
    /// The trailers' lines so far; None when nobody takes them.
    trailers: Option<Vec<u8>>,
}

/// What one piece of input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) read: usize,
    pub(crate) written: usize,
    pub(crate) end: bool,
}

impl Chunked {
    pub(crate) fn new(takes_trailers: bool) -> Chunked {
        Chunked { at: At::Size, size: 0, digits: 0, skipped: 0, trailers: takes_trailers.then(Vec::new) }
    }

    /// The lines that came behind the body, each ended by CR LF.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.trailers.as_deref().unwrap_or_default()
    }

    /// Decodes until the input or the body ends. `out` has to be as long as `input`.
    pub(crate) fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<Decoded, Malformed> {
        let (mut read, mut written) = (0, 0);
        while read < input.len() && self.at != At::End {
            if self.at == At::Data {
                let piece = usize::try_from(self.size).unwrap_or(usize::MAX).min(input.len() - read);
                out[written..written + piece].copy_from_slice(&input[read..read + piece]);
                read += piece;
                written += piece;
                self.size -= piece as u64;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.step(input[read])?;
                read += 1;
            }
        }
        Ok(Decoded { read, written, end: self.at == At::End })
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        let is_kept = match self.at {
            At::Trailer | At::TrailerLf => true,
            At::TrailerStart => byte != b'\r',
            _ => false,
        };
        if is_kept && let Some(trailers) = &mut self.trailers {
            trailers.push(byte);
        }
        self.at = match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() && self.digits < MAX_SIZE_DIGITS => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
                At::Size
            }
            (At::Size, b' ' | b'\t') if self.digits > 0 => self.skip(At::Blank, MAX_EXTENSION_BYTES)?,
            (At::Size, b';') if self.digits > 0 => self.skip(At::Extension, MAX_EXTENSION_BYTES)?,
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Blank, b' ' | b'\t') => self.skip(At::Blank, MAX_EXTENSION_BYTES)?,
            (At::Blank, b';') => self.skip(At::Extension, MAX_EXTENSION_BYTES)?,
            (At::Blank | At::Extension, b'\r') => At::SizeLf,
            (At::Extension, _) if is_text(byte) => self.skip(At::Extension, MAX_EXTENSION_BYTES)?,
            (At::SizeLf, b'\n') => {
                self.skipped = 0;
                if self.size == 0 { At::TrailerStart } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.digits = 0;
                At::Size
            }
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::TrailerStart | At::Trailer, _) if is_text(byte) => self.skip(At::Trailer, MAX_TRAILER_BYTES as u32)?,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::EndLf, b'\n') => At::End,
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn skip(&mut self, next: At, most: u32) -> Result<At, Malformed> {
        self.skipped += 1;
        if self.skipped > most { Err(Malformed) } else { Ok(next) }
    }
}

/// What may stand in a line: everything but controls.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, usize), Malformed> {
        let (mut body, mut end, mut read) = (Vec::new(), false, 0);
        let mut chunked = Chunked::new(false);
        for piece in pieces {
            let mut out = vec![0; piece.len()];
            let decoded = chunked.decode(piece, &mut out)?;
            body.extend_from_slice(&out[..decoded.written]);
            read += decoded.read;
            end = decoded.end;
        }
        Ok((body, end, read))
    }

    #[test]
    fn reads_sizes_extensions_and_trailers() {
        let input = b"5\r\nhello\r\n06 ;a=\"b\"\r\n world\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\nleft";
        let (body, end, read) = decode_all(&[input]).unwrap();
        assert_eq!(body, b"hello world");
        assert!(end);
        assert_eq!(&input[read..], b"left");
    }

    #[test]
    fn keeps_trailers_for_who_takes_them() {
        let mut chunked = Chunked::new(true);
        let _ = chunked.decode(b"1\r\na\r\n0\r\nX-Sum: 1\r\nY", &mut [0; 100]).unwrap();
        assert!(chunked.decode(b": 2\r\n\r\nleft", &mut [0; 100]).unwrap().end);
        assert_eq!(chunked.trailers(), b"X-Sum: 1\r\nY: 2\r\n");
    }

    #[test]
    fn refuses_what_two_readers_understand_differently() {
        for bad in [
            &b"g\r\n"[..],
            b"\r\n",
            b" 5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"-1\r\n",
            b"5\nhello\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r\r\n",
            b"5 5\r\nhello\r\n",
            b"5;a\x00\r\nhello\r\n",
            b"5;a\nb\r\nhello\r\n",
            b"0\r\n\n",
            b"0\r\nX\x00: 1\r\n\r\n",
            b"0\r\nX: 1\n\r\n",
            b"1000000000000000\r\n",
            b"ffffffffffffffff\r\n",
        ] {
            assert_eq!(decode_all(&[bad]), Err(Malformed), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn bounds_extensions_and_trailers() {
        let extension = format!("5;{}\r\n", "a".repeat(2000));
        assert_eq!(decode_all(&[extension.as_bytes()]), Err(Malformed));
        let trailers = format!("0\r\n{}", "X: 1\r\n".repeat(3000));
        assert_eq!(decode_all(&[trailers.as_bytes()]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_chunking_at_any_split_gives_the_body_back(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let (left, right) = wire.split_at(cut.index(wire.len()));
            let (body, end, read) = decode_all(&[left, right]).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert!(end);
            prop_assert_eq!(read, wire.len());
        }

        #[test]
        fn any_bytes_are_decoded_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_all(&[&bytes]);
        }
    }
}
