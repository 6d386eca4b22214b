//! Content codings (RFC 9110, 8.4.1): what stands between the bytes that came and the bytes that are described.
//!
//! An origin has to decode to the same bytes, so only what has one decoding passes: one stream, ended as it says,
//! nothing behind it. Several gzip members or zstd frames in a row are allowed by their RFCs, but readers differ in
//! whether they go on after the first.

use std::cell::RefCell;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::inflate::{deflate, gzip};
use super::kept;
use super::violation::{Class, Violation};
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
pub(super) enum Fault {
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

/// Hands `body` to `then` as it is described: decoded into this thread's buffer where it is encoded.
///
/// # Errors
/// Why it cannot be decoded, or what `then` says.
pub fn with_decoded<T>(
    coding: Coding,
    body: &[u8],
    then: impl FnOnce(&[u8]) -> Result<T, Violation>,
) -> Result<T, Violation> {
    if coding == Coding::Identity {
        return then(body);
    }
    thread_local! {
        static OUTPUT: RefCell<Output> = RefCell::default();
    }
    let work = |output: &mut Output| {
        (output.length, output.limit) = (0, limit(body.len()));
        decode(coding, body, output).map_err(|fault| {
            let class = if fault == Fault::Large { Class::Size } else { Class::Malformed };
            Violation::body(Reason::SchemaDecoding, class, &fault.to_string())
        })?;
        then(output.written())
    };
    kept::lend(&OUTPUT, work, |output| output.bytes.capacity() <= MAX_KEPT_BYTES)
}

/// The same for a message of a call, with another bound.
///
/// # Errors
/// It cannot be decoded: true, because it gets too large.
pub fn with_expanded<T>(coding: Coding, message: &[u8], most: usize, then: impl FnOnce(&[u8]) -> T) -> Result<T, bool> {
    thread_local! {
        static OUTPUT: RefCell<Output> = RefCell::default();
    }
    let work = |output: &mut Output| {
        (output.length, output.limit) = (0, message.len().saturating_mul(MAX_RATIO).max(MIN_RATIO_BYTES).min(most));
        decode(coding, message, output).map_err(|fault| fault == Fault::Large)?;
        Ok(then(output.written()))
    };
    kept::lend(&OUTPUT, work, |output| output.bytes.capacity() <= MAX_KEPT_BYTES)
}

/// Most bytes that `length` encoded ones may become.
pub fn limit(length: usize) -> usize {
    length.saturating_mul(MAX_RATIO).max(MIN_RATIO_BYTES).min(MAX_INSPECTED_BYTES as usize)
}

/// Decoded bytes. The buffer grows up to one byte beyond the limit, which tells a body that ends there from a larger.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    pub(super) length: usize,
    limit: usize,
}

impl Output {
    /// Where the next bytes go: never empty.
    pub(super) fn room(&mut self) -> Result<&mut [u8], Fault> {
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

    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// To be asked when all is written.
    pub(super) fn end(&self) -> Result<(), Fault> {
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
