//! multipart bodies (RFC 2046, 5.1; RFC 7578): bytes to parts.
//!
//! Readers of multipart are lenient, each in its own way: about line ends, about text before and behind the parts,
//! about what follows a boundary, about escapes and repeated parameters. What only a lenient reader understands is
//! refused, so that the origin, whatever it is, finds the parts that were checked.

use super::media::{Parameters, is_token};

/// Most parts: Go, Django and PHP stop at 1,000 fields too.
const MAX_PARTS: usize = 1_000;
/// Most header fields of one part, and bytes of them all; senders write three, the longest holds a file name.
const MAX_FIELDS: usize = 16;
const MAX_HEADER_BYTES: usize = 4 * 1024;
/// Most bytes of a boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;

/// One part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// Of its Content-Disposition.
    pub name: Option<&'a str>,
    /// Whether a file name is given.
    pub file: bool,
    pub media_type: Option<&'a str>,
    /// Names as they came.
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

/// Why a body is not a multipart message with one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("expected a boundary of 1 to {MAX_BOUNDARY_BYTES} letters, digits and '()+_,-./:=?")]
    Boundary,
    #[error("expected every boundary on a line of its own, from the first byte to the last")]
    Delimiter,
    #[error("expected a closing boundary")]
    Truncated,
    #[error("expected at most {MAX_PARTS} parts")]
    Parts,
    #[error("expected part headers of one line each, once each, in UTF-8, an empty line behind them")]
    Header,
    #[error("expected at most {MAX_FIELDS} part headers and {MAX_HEADER_BYTES} bytes of them")]
    Headers,
    #[error("expected Content-Disposition to be form-data with one name, in quotes without escapes")]
    Disposition,
    #[error("expected no Content-Transfer-Encoding but 7bit, 8bit and binary, and no Content-Encoding")]
    Encoding,
    #[error("expected no multipart in a part")]
    Nested,
    #[error("expected Content-Length to be the part's length")]
    Length,
}

/// Takes a body apart. Of a fault, the number of the part is told.
pub(super) fn parts<'a>(boundary: Option<&str>, body: &'a [u8]) -> Result<Vec<Part<'a>>, (Fault, usize)> {
    let boundary = boundary.filter(|boundary| is_boundary(boundary)).ok_or((Fault::Boundary, 0))?;
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut start: Option<usize> = None;
    // Each place where the boundary stands has to be a delimiter: some readers look no further than its text.
    for at in memchr::memmem::find_iter(body, delimiter.as_bytes()) {
        let wrong = (Fault::Delimiter, parts.len());
        let behind = at + delimiter.len();
        match start {
            None if at != 0 => return Err(wrong),
            None => {}
            Some(start) => {
                // The line end ahead of a boundary belongs to it (RFC 2046, 5.1.1).
                let Some(part) = body.get(start..at).and_then(|part| part.strip_suffix(b"\r\n")) else {
                    return Err(wrong);
                };
                if parts.len() == MAX_PARTS {
                    return Err((Fault::Parts, parts.len()));
                }
                parts.push(read(part).map_err(|fault| (fault, parts.len()))?);
            }
        }
        match &body[behind..] {
            [b'\r', b'\n', ..] => start = Some(behind + 2),
            b"--" | b"--\r\n" => return Ok(parts),
            _ => return Err((Fault::Delimiter, parts.len())),
        }
    }
    Err((if start.is_some() { Fault::Truncated } else { Fault::Delimiter }, parts.len()))
}

/// RFC 2046, 5.1.1, without its space: readers trim it.
fn is_boundary(text: &str) -> bool {
    (1..=MAX_BOUNDARY_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte))
}

/// Headers, an empty line, the body.
fn read(part: &[u8]) -> Result<Part<'_>, Fault> {
    let (head, body) = match part {
        [b'\r', b'\n', body @ ..] => (&part[..0], body),
        _ => {
            let end = memchr::memmem::find(part, b"\r\n\r\n").ok_or(Fault::Header)?;
            (&part[..end], &part[end + 4..])
        }
    };
    let fields = fields(head)?;
    let field = |name: &str| fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|&(_, value)| value);
    let transfer = field("content-transfer-encoding").unwrap_or("binary");
    let plain = ["7bit", "8bit", "binary"].iter().any(|known| transfer.eq_ignore_ascii_case(known));
    if !plain || field("content-encoding").is_some() {
        return Err(Fault::Encoding);
    }
    if field("content-length").is_some_and(|length| length.parse() != Ok(body.len())) {
        return Err(Fault::Length);
    }
    let media_type = field("content-type");
    if media_type
        .is_some_and(|value| value.trim_start().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/")))
    {
        return Err(Fault::Nested);
    }
    let (name, file) = field("content-disposition").map_or(Ok((None, false)), disposition)?;
    Ok(Part { name, file, media_type, fields, body })
}

fn fields(head: &[u8]) -> Result<Vec<(&str, &str)>, Fault> {
    if head.len() > MAX_HEADER_BYTES {
        return Err(Fault::Headers);
    }
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let mut rest = std::str::from_utf8(head).map_err(|_| Fault::Header)?;
    while !rest.is_empty() {
        let (line, next) = rest.split_once("\r\n").unwrap_or((rest, ""));
        rest = next;
        // A line that starts with white space continues the one before it, for some.
        let (name, value) = line.split_once(':').ok_or(Fault::Header)?;
        let value = value.trim_matches([' ', '\t']);
        let clean = value.chars().all(|character| character == '\t' || !character.is_control());
        if !is_token(name) || !clean || fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(Fault::Header);
        }
        if fields.len() == MAX_FIELDS {
            return Err(Fault::Headers);
        }
        fields.push((name, value));
    }
    Ok(fields)
}

/// The part's name, and whether it is a file (RFC 7578, 4.2). Names are not decoded: `%22` stays as it is.
fn disposition(value: &str) -> Result<(Option<&str>, bool), Fault> {
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    if !kind.trim_matches([' ', '\t']).eq_ignore_ascii_case("form-data") {
        return Err(Fault::Disposition);
    }
    let (mut name, mut seen) = (None, Vec::new());
    for parameter in Parameters(parameters) {
        let (key, value) = parameter.ok_or(Fault::Disposition)?;
        let key = key.to_ascii_lowercase();
        // `filename*` is written beside `filename` by .NET, though RFC 7578 forbids it: no file name is checked here.
        if seen.contains(&key) || (key.contains('*') && key != "filename*") {
            return Err(Fault::Disposition);
        }
        if key == "name" {
            name = Some(value);
        }
        seen.push(key);
    }
    let file = seen.iter().any(|key| key.starts_with("filename"));
    match name {
        Some(name) => Ok((Some(name), file)),
        None => Err(Fault::Disposition),
    }
}
