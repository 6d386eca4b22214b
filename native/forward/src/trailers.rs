//! Trailer fields: which may stand there, and how they are handed over.
//!
//! They come when the head is long gone, so whatever a reader should have known by then is left out: framing, routing,
//! credentials, how to read the body (RFC 9110, 6.5.1).

use crate::response::{MAX_FIELDS, Malformed};

/// Most bytes of all trailers: what a server takes for a whole head by default (nginx, 4 x 8 KiB less).
pub(crate) const MAX_TRAILER_BYTES: usize = 8 * 1024;

/// Whether a field of that name may stand in trailers.
pub(crate) fn is_allowed(name: &[u8]) -> bool {
    const NEVER: [&[u8]; 27] = [
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"max-forwards",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"set-cookie",
        b"te",
        b"trailer",
        b"traceparent",
        b"transfer-encoding",
        b"upgrade",
        b"www-authenticate",
        b"x-request-id",
        b"x-real-ip",
    ];
    let ours = name.len() > 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-");
    !ours && !NEVER.iter().any(|never| never.eq_ignore_ascii_case(name))
}

/// Reads lines of trailers, each ended by CR LF, as strictly as a head, and writes their block.
pub(crate) fn rewrite(lines: &[u8], out: &mut [u8]) -> Result<usize, Malformed> {
    let whole = [lines, b"\r\n"].concat();
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(&whole, &mut fields) {
        Ok(httparse::Status::Complete((len, fields))) if len == whole.len() => {
            write_block(fields.iter().map(|field| (field.name.as_bytes(), field.value)), out)
        }
        _ => Err(Malformed),
    }
}

/// Writes `Name: value` lines with CR LF between them; how many bytes. `out` has to hold [`MAX_TRAILER_BYTES`].
pub(crate) fn write_block<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    out: &mut [u8],
) -> Result<usize, Malformed> {
    let mut at = 0;
    for (count, (name, value)) in fields.enumerate() {
        if count >= MAX_FIELDS {
            return Err(Malformed);
        }
        if !is_allowed(name) {
            continue;
        }
        let parts: [&[u8]; 4] = [if at == 0 { b"" } else { b"\r\n" }, name, b": ", value];
        for part in parts {
            if at + part.len() > MAX_TRAILER_BYTES {
                return Err(Malformed);
            }
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }
    Ok(at)
}
