//! Content codings (RFC 9110, 8.4.1): what stands between the bytes that came and the bytes that are described.
//!
//! An origin has to decode to the same bytes, so only what has one decoding passes: one stream, ended as it says,
//! nothing behind it. Several gzip members or zstd frames in a row are allowed by their RFCs, but readers differ in
//! whether they go on after the first.

use std::cell::RefCell;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::violation::{Class, Location, Violation};
use crate::decide::MAX_INSPECTED_BYTES;
use crate::reason::Reason;

/// How often larger than what came a body may get. JSON shrinks to a fifth or a thirtieth, deflate's worst case is
/// 1,032, and Apache's mod_deflate stops at 200 (DeflateInflateRatioLimit).
const MAX_RATIO: usize = 100;
/// Below this many bytes the ratio does not matter: a few equal lines shrink to almost nothing.
const MIN_RATIO_BYTES: usize = 64 * 1024;
/// Largest window of a zstd frame: what recipients have to take, and senders must not exceed (RFC 9659, 3).
/// Brotli's is at most 16 MiB (RFC 7932, 9.1), deflate's 32 KiB (RFC 1951, 2).
const MAX_ZSTD_WINDOW_BYTES: u64 = 8 << 20;
/// A thread keeps its buffer for the next body up to this size.
const MAX_KEPT_BYTES: usize = 256 * 1024;
/// The smallest buffer.
const MIN_BUFFER_BYTES: usize = 4096;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Reads Content-Encoding fields. None for a coding that is not known, and for more than one: each further one
    /// multiplies what a small body can expand to, and no client encodes twice.
    pub fn named<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Coding> {
        const NAMES: [(&str, Coding); 5] = [
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ];
        let mut found = Coding::Identity;
        for name in fields.flat_map(|field| field.split(',')).map(|name| name.trim_matches([' ', '\t'])) {
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            let &(_, coding) = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
            if found != Coding::Identity {
                return None;
            }
            found = coding;
        }
        Some(found)
    }
}

/// Why a body cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("not what the content coding says")]
    Corrupt,
    #[error("the encoded body ends too early")]
    Truncated,
    #[error("bytes behind the end of the encoded body")]
    Trailing,
    #[error("two ways to decode the body")]
    Ambiguous,
    #[error("expands beyond {MAX_INSPECTED_BYTES} bytes, or to more than {MAX_RATIO} times what was sent")]
    Large,
}

/// Decodes `body` into this thread's buffer and hands what came out to `then`.
///
/// # Errors
/// Why it cannot be decoded, or what `then` says.
pub fn with_decoded<T>(
    coding: Coding,
    body: &[u8],
    then: impl FnOnce(&[u8]) -> Result<T, Violation>,
) -> Result<T, Violation> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    BUFFER.with(|slot| {
        let limit = body.len().saturating_mul(MAX_RATIO).max(MIN_RATIO_BYTES).min(MAX_INSPECTED_BYTES as usize);
        // Taken, not borrowed: a panic while it is in use then leaves an empty buffer behind, not a locked one.
        let mut output = Output { bytes: slot.take(), length: 0, limit };
        let outcome = match decode(coding, body, &mut output) {
            Ok(()) => then(&output.bytes[..output.length]),
            Err(fault) => {
                let class = if fault == Fault::Large { Class::Size } else { Class::Malformed };
                Err(Violation::at(Reason::SchemaDecoding, Location::Body, class, "", &fault.to_string()))
            }
        };
        if output.bytes.capacity() <= MAX_KEPT_BYTES {
            slot.replace(output.bytes);
        }
        outcome
    })
}

/// Decoded bytes. The buffer grows up to one byte beyond the limit, which tells a body that ends there from a larger.
struct Output {
    bytes: Vec<u8>,
    length: usize,
    limit: usize,
}

impl Output {
    /// Where the next bytes go: never empty.
    fn room(&mut self) -> Result<&mut [u8], Fault> {
        if self.length > self.limit {
            return Err(Fault::Large);
        }
        if self.length == self.bytes.len() {
            let larger = (self.bytes.len() * 2).max(MIN_BUFFER_BYTES).min(self.limit + 1);
            self.bytes.resize(larger.max(self.length + 1), 0);
        }
        let end = self.bytes.len().min(self.limit + 1);
        Ok(&mut self.bytes[self.length..end])
    }

    fn end(&self) -> Result<(), Fault> {
        if self.length > self.limit { Err(Fault::Large) } else { Ok(()) }
    }
}

fn decode(coding: Coding, body: &[u8], output: &mut Output) -> Result<(), Fault> {
    match coding {
        Coding::Identity => Err(Fault::Corrupt),
        Coding::Gzip => gzip(body, output),
        Coding::Deflate => deflate(body, output),
        Coding::Brotli => brotli(body, output),
        Coding::Zstd => zstd(body, output),
    }
}

/// RFC 1952, one member.
fn gzip(body: &[u8], output: &mut Output) -> Result<(), Fault> {
    let start = gzip_header(body)?;
    let end = start + inflate(&body[start..], false, output)?;
    let trailer: &[u8; 8] = body[end..].first_chunk().ok_or(Fault::Truncated)?;
    let mut crc = Crc::new();
    crc.update(&output.bytes[..output.length]);
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
    if u32::from_le_bytes([c0, c1, c2, c3]) != crc.sum()
        || u32::from_le_bytes([l0, l1, l2, l3]) as usize != output.length
    {
        return Err(Fault::Corrupt);
    }
    if end + trailer.len() == body.len() { Ok(()) } else { Err(Fault::Trailing) }
}

/// How long the member's header is (RFC 1952, 2.3).
fn gzip_header(body: &[u8]) -> Result<usize, Fault> {
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    let header: &[u8; 10] = body.first_chunk().ok_or(Fault::Truncated)?;
    let &[0x1f, 0x8b, 8, flags, ..] = header else { return Err(Fault::Corrupt) };
    if flags & RESERVED != 0 {
        return Err(Fault::Corrupt);
    }
    let mut at = header.len();
    if flags & EXTRA != 0 {
        let length: &[u8; 2] = body[at..].first_chunk().ok_or(Fault::Truncated)?;
        at += 2 + usize::from(u16::from_le_bytes(*length));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let rest = body.get(at..).ok_or(Fault::Truncated)?;
            at += memchr::memchr(0, rest).ok_or(Fault::Truncated)? + 1;
        }
    }
    if flags & CHECKSUM != 0 {
        let sum: &[u8; 2] = body.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Fault::Truncated)?;
        let mut crc = Crc::new();
        crc.update(&body[..at]);
        if u32::from(u16::from_le_bytes(*sum)) != crc.sum() & 0xffff {
            return Err(Fault::Corrupt);
        }
        at += 2;
    }
    if at > body.len() { Err(Fault::Truncated) } else { Ok(at) }
}

/// The zlib format (RFC 1950), as RFC 9110 has it, or bare deflate (RFC 1951), which some clients send in its name.
///
/// Bytes can be made that are both: recipients that try the two in another order would read another body.
fn deflate(body: &[u8], output: &mut Output) -> Result<(), Fault> {
    let &[first, second, ..] = body else { return Err(Fault::Truncated) };
    // Deflate, a window of at most 32 KiB, no dictionary, and a check that makes it a multiple of 31.
    let wrapped = first & 0x0f == 8
        && first >> 4 <= 7
        && second & 0x20 == 0
        && u16::from_be_bytes([first, second]).is_multiple_of(31);
    // As bare deflate such a start is a stored block, whose length makes it corrupt in all but one of 65,536 bodies.
    if wrapped && inflate(body, false, output) != Err(Fault::Corrupt) {
        return Err(Fault::Ambiguous);
    }
    output.length = 0;
    let end = inflate(body, wrapped, output)?;
    if end == body.len() { Ok(()) } else { Err(Fault::Trailing) }
}

/// Where the stream ends.
fn inflate(body: &[u8], wrapped: bool, output: &mut Output) -> Result<usize, Fault> {
    let mut stream = Decompress::new(wrapped);
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let room = output.room()?;
        let status =
            stream.decompress(&body[read as usize..], room, FlushDecompress::None).map_err(|_| Fault::Corrupt)?;
        output.length += (stream.total_out() - written) as usize;
        match status {
            Status::StreamEnd => {
                output.end()?;
                return Ok(stream.total_in() as usize);
            }
            _ if stream.total_in() == read && stream.total_out() == written => return Err(Fault::Truncated),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// RFC 7932, without the larger windows of later drafts.
fn brotli(body: &[u8], output: &mut Output) -> Result<(), Fault> {
    let allocator = StandardAlloc::default;
    let mut state = BrotliState::new_strict(allocator(), allocator(), allocator());
    let (mut left, mut at, mut total) = (body.len(), 0, 0);
    loop {
        let room = output.room()?;
        let (mut free, mut written) = (room.len(), 0);
        let result =
            BrotliDecompressStream(&mut left, &mut at, body, &mut free, &mut written, room, &mut total, &mut state);
        output.length += written;
        match result {
            BrotliResult::ResultSuccess => {
                output.end()?;
                return if left == 0 { Ok(()) } else { Err(Fault::Trailing) };
            }
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput => return Err(Fault::Truncated),
            BrotliResult::ResultFailure => return Err(Fault::Corrupt),
        }
    }
}

/// RFC 8878, one frame, without a dictionary.
fn zstd(body: &[u8], output: &mut Output) -> Result<(), Fault> {
    let mut rest = body;
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_ZSTD_WINDOW_BYTES);
    decoder.init(&mut rest).map_err(|_| Fault::Corrupt)?;
    let promised = decoder.content_size();
    if promised > output.limit as u64 {
        return Err(Fault::Large);
    }
    // A block is at most 128 KiB, so little more than the limit is ever decoded.
    let finished = decoder
        .decode_blocks(&mut rest, BlockDecodingStrategy::UptoBytes(output.limit + 1))
        .map_err(|_| if rest.is_empty() { Fault::Truncated } else { Fault::Corrupt })?;
    if !finished {
        return Err(Fault::Large);
    }
    loop {
        let read = std::io::Read::read(&mut decoder, output.room()?).map_err(|_| Fault::Corrupt)?;
        if read == 0 {
            break;
        }
        output.length += read;
    }
    output.end()?;
    // Zero: the frame does not say.
    if promised != 0 && promised != output.length as u64 {
        return Err(Fault::Corrupt);
    }
    if let Some(sum) = decoder.get_checksum_from_data()
        && decoder.get_calculated_checksum() != Some(sum)
    {
        return Err(Fault::Corrupt);
    }
    if rest.is_empty() { Ok(()) } else { Err(Fault::Trailing) }
}
