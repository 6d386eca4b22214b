//! Deflate (RFC 1951) and its two wrappings.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::coding::{Fault, Output};

/// RFC 1952, one member.
pub(super) fn gzip(body: &[u8], output: &mut Output) -> Result<(), Fault> {
    let start = gzip_header(body)?;
    let end = start + inflate(&body[start..], false, output)?;
    let trailer: &[u8; 8] = body[end..].first_chunk().ok_or(Fault::Truncated)?;
    let mut crc = Crc::new();
    crc.update(output.written());
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
pub(super) fn deflate(body: &[u8], output: &mut Output) -> Result<(), Fault> {
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
