//! What an HTTP/2 origin answers, in the form that the HTTP/1.1 side writes: one block of text for either front door.
//!
//! Names and values were checked while they were decoded (no controls, names are lower-case tokens), so that no block
//! holds a line that the origin did not send as a field. The bounds are those of an HTTP/1.1 head.

use http::HeaderMap;

use crate::response::{self, Added, Facts, MAX_FIELDS, MAX_HEAD_BYTES, Malformed};

/// A head whose block was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) block_len: usize,
    /// Content-Length as given.
    pub(crate) length: Option<u64>,
}

/// Writes the block of a response. `out` has to hold [`MAX_HEAD_BYTES`] and [`response::BLOCK_GROWTH`].
pub(crate) fn write_block(
    status: u16,
    fields: &HeaderMap,
    added: Added<'_>,
    out: &mut [u8],
) -> Result<Written, Malformed> {
    let bytes = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS).sum::<usize>();
    if fields.len() > MAX_FIELDS || bytes > MAX_HEAD_BYTES {
        return Err(Malformed);
    }
    let mut facts = Facts::default();
    let mut at = response::write_start(status, added, out);
    for (name, value) in fields {
        if !facts.learn(name.as_str(), value.as_bytes())? {
            for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
                out[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
        }
    }
    Ok(Written { block_len: at, length: facts.length() })
}

/// CR LF, a colon, a space.
const SEPARATORS: usize = 4;
