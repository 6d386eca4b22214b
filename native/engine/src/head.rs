//! One request head, with one meaning.
//!
//! A front door hands over what it read as text, one line each, `\n` between them:
//! `METHOD /path?query`, then `name:value` for every field, names lower-case. [`Head::parse`] refuses whatever
//! two readers could understand differently, and normalises the path once, so that rules, endpoint matching
//! and the origin see the same bytes.

use crate::reason::Reason;

/// Most bytes of a head: what the front door is told to accept (`UWS_HTTP_MAX_HEADERS_SIZE`), and what nginx
/// takes by default in its large buffers twice over.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most fields of a head: uWebSockets.js is compiled with the same number.
pub const MAX_FIELDS: usize = 100;
/// Most digits of a Content-Length: 10^18 - 1 still fits every reader's 64-bit integer.
const MAX_CONTENT_LENGTH_DIGITS: usize = 18;

/// A byte range of [`Head::text`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

/// How the request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
}

/// What the client spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    #[default]
    Http1,
    Http2,
}

impl Version {
    /// Cloudflare's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Version::Http1 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }
}

/// A parsed head. Buffers are kept between requests: use one per exchange slot.
#[derive(Debug, Default)]
pub struct Head {
    text: String,
    fields: Vec<Field>,
    method: Span,
    /// Into `text`, unless `rewritten` holds the normalised path.
    path: Span,
    rewritten: String,
    query: Span,
    host: String,
    framing: Framing,
    version: Version,
}

impl Head {
    /// The buffer to fill with the door's text before [`Head::parse`].
    pub fn buffer(&mut self) -> &mut String {
        self.text.clear();
        &mut self.text
    }

    /// Parses `text`, which replaces whatever this head held.
    ///
    /// # Errors
    /// The reason why the head has no single meaning.
    pub fn parse_text(&mut self, text: &str) -> Result<(), Reason> {
        self.buffer().push_str(text);
        self.parse()
    }

    /// Parses what [`Head::buffer`] was filled with.
    ///
    /// # Errors
    /// The reason why the head has no single meaning.
    pub fn parse(&mut self) -> Result<(), Reason> {
        self.fields.clear();
        self.rewritten.clear();
        self.host.clear();
        self.framing = Framing::None;
        self.method = Span::default();
        self.path = Span::default();
        self.query = Span::default();
        let text = std::mem::take(&mut self.text);
        let outcome = self.scan(text.as_bytes());
        self.text = text;
        outcome
    }

    /// Says which protocol the head that is filled in next came by; it stays until it is said again.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// HTTP/2 tells by its frames that a body follows: without a Content-Length its end is told the same way.
    pub fn body_follows(&mut self) {
        if self.framing == Framing::None {
            self.framing = Framing::Chunked;
        }
    }

    fn scan(&mut self, text: &[u8]) -> Result<(), Reason> {
        if text.len() > MAX_HEAD_BYTES {
            return Err(Reason::HttpHeadTooLarge);
        }
        let mut at = memchr::memchr(b'\n', text).unwrap_or(text.len());
        self.request_line(text, at)?;
        at += 1;
        let mut host: Option<Span> = None;
        while at < text.len() {
            let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |n| at + n);
            if self.fields.len() == MAX_FIELDS {
                return Err(Reason::HttpHeadTooLarge);
            }
            let colon = name_end(&text[at..end]).ok_or(Reason::HttpMalformed)? + at;
            let (mut from, mut to) = (colon + 1, end);
            while from < to && matches!(text[from], b' ' | b'\t') {
                from += 1;
            }
            while to > from && matches!(text[to - 1], b' ' | b'\t') {
                to -= 1;
            }
            if !value_is_clean(&text[from..to]) {
                return Err(Reason::HttpMalformed);
            }
            if tells_of_certificates(&text[at..colon]) {
                at = end + 1;
                continue;
            }
            let field = Field { name: span(at, colon), value: span(from, to) };
            let value = &text[from..to];
            match &text[at..colon] {
                b"host" if host.replace(field.value).is_some() => return Err(Reason::HttpMalformed),
                b"content-length" => {
                    if self.framing != Framing::None {
                        return Err(Reason::HttpFraming);
                    }
                    self.framing = Framing::Length(content_length(value)?);
                }
                b"transfer-encoding" => {
                    if self.framing != Framing::None || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Reason::HttpFraming);
                    }
                    self.framing = Framing::Chunked;
                }
                b"connection" if !connection_is_known(value) => return Err(Reason::HttpMalformed),
                _ => {}
            }
            self.fields.push(field);
            at = end + 1;
        }
        let host = host.ok_or(Reason::HttpMalformed)?;
        host_name(&text[host.start as usize..host.end as usize], &mut self.host)
    }

    fn request_line(&mut self, text: &[u8], end: usize) -> Result<(), Reason> {
        let line = &text[..end];
        let space = memchr::memchr(b' ', line).ok_or(Reason::HttpMalformed)?;
        if space == 0 || !line[..space].iter().all(|&byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(Reason::HttpMalformed);
        }
        // CONNECT asks for a tunnel and TRACE echoes credentials back: neither has a place in front of an API.
        if matches!(&line[..space], b"CONNECT" | b"TRACE") {
            return Err(Reason::HttpMalformed);
        }
        self.method = span(0, space);
        let target = &line[space + 1..];
        if target.first() != Some(&b'/') || !target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(Reason::HttpMalformed);
        }
        let question = memchr::memchr(b'?', target).unwrap_or(target.len());
        self.path = span(space + 1, space + 1 + question);
        // A question mark with nothing behind it is dropped: it names the same resource for every origin we know of.
        self.query = span((space + 2 + question).min(end), end);
        if path_needs_rewriting(&target[..question]) {
            rewrite_path(&target[..question], &mut self.rewritten)?;
        }
        Ok(())
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    #[must_use]
    pub fn method(&self) -> &str {
        self.slice(self.method)
    }

    /// The normalised path: starts with `/`, never empty after a successful parse.
    #[must_use]
    pub fn path(&self) -> &str {
        if self.rewritten.is_empty() { self.slice(self.path) } else { &self.rewritten }
    }

    /// What follows the `?`, as it came; empty without one.
    #[must_use]
    pub fn query(&self) -> &str {
        self.slice(self.query)
    }

    /// The Host field, lower-case, without port and without a trailing dot.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The first field of that lower-case name as it was handed over, whatever [`Head::parse`] has said: nothing may be
    /// decided by it but how a refusal is written.
    #[must_use]
    pub fn written(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_ascii)
    }

    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    #[must_use]
    pub fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::None | Framing::Length(0))
    }

    /// All fields in order, names lower-case.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.fields.iter().map(|field| (self.slice(field.name), self.slice(field.value)))
    }

    /// The first field of that (lower-case) name.
    #[must_use]
    pub fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Every value of that (lower-case) name, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + Clone + 'a {
        let (text, name) = (self.text.as_bytes(), name.as_bytes());
        let length = name.len() as u32;
        // Most names differ in length already; only a match pays for slicing its value.
        self.fields
            .iter()
            .filter(move |field| {
                field.name.end - field.name.start == length
                    && text[field.name.start as usize..field.name.end as usize] == *name
            })
            .map(|field| self.slice(field.value))
    }

    /// Takes fields out by their (lower-case) names: whoever reads this head from here on does not see them.
    pub fn forget(&mut self, mut is_gone: impl FnMut(&str) -> bool) {
        let text = &self.text;
        self.fields.retain(|field| !is_gone(&text[field.name.start as usize..field.name.end as usize]));
    }

    /// The head as the client wrote it, for the record of a request that could not be parsed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Names of the fields that tell origins about client certificates, whoever of them is switched on where: such a field
/// of a client's is as if it had not been sent, for rules, descriptions and origins alike.
fn tells_of_certificates(name: &[u8]) -> bool {
    let is = |wanted| is_named(name, wanted);
    let starts = |with| starts_named(name, with);
    match name.first() {
        Some(b'c') => {
            is(b"client-cert") || is(b"client-cert-chain") || starts(b"cf-cert-") || starts(b"cf-client-cert-")
        }
        Some(b'x') => is(b"x-forwarded-client-cert") || is(b"x-ssl-client-cert"),
        _ => false,
    }
}

/// Whether a field's (lower-case) name is `wanted`. `_` counts as `-`, because CGI-like origins (WSGI, PHP, Rack) fold
/// both into one variable.
#[inline]
#[must_use]
pub fn is_named(name: &[u8], wanted: &[u8]) -> bool {
    name.len() == wanted.len() && starts_named(name, wanted)
}

#[inline]
fn starts_named(name: &[u8], with: &[u8]) -> bool {
    name.len() >= with.len() && name.iter().zip(with).all(|(&a, &b)| a == b || (a == b'_' && b == b'-'))
}

/// Where a field name ends (its colon), if what stands before it is a token (RFC 9110, 5.6.2), lower-case.
fn name_end(line: &[u8]) -> Option<usize> {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let b = byte as u8;
            table[byte] = b.is_ascii_lowercase()
                || b.is_ascii_digit()
                || matches!(
                    b,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        table
    };
    let end = line.iter().position(|&byte| !TOKEN[byte as usize])?;
    (end > 0 && line[end] == b':').then_some(end)
}

/// Field values hold visible ASCII, space, tab and UTF-8 (RFC 9110, 5.5 calls the latter obs-text). U+FFFD is what a
/// door writes in place of bytes that were not UTF-8: what the client sent is lost, so it is refused.
fn value_is_clean(value: &[u8]) -> bool {
    // No early exit: the compiler makes vector instructions of it.
    let (mut control, mut high) = (false, false);
    for &byte in value {
        control |= (byte < 0x20) & (byte != b'\t') | (byte == 0x7f);
        high |= byte >= 0x80;
    }
    !control && (!high || memchr::memmem::find(value, "\u{FFFD}".as_bytes()).is_none())
}

fn content_length(value: &[u8]) -> Result<u64, Reason> {
    if value.is_empty() || value.len() > MAX_CONTENT_LENGTH_DIGITS || !value.iter().all(u8::is_ascii_digit) {
        return Err(Reason::HttpFraming);
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Whether a Connection field names only what is known to belong to a connection. An intermediary has to remove the
/// fields it names (RFC 9110, 7.6.1): one that names `Authorization` or `Content-Type` would make the origin see
/// another request than the one that was checked.
fn connection_is_known(value: &[u8]) -> bool {
    const KNOWN: [&[u8]; 7] = [b"", b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings", b"proxy-connection"];
    value.split(|&byte| byte == b',').all(|option| {
        let option = option.trim_ascii();
        KNOWN.iter().any(|known| option.eq_ignore_ascii_case(known))
    })
}

/// Writes the Host field's name part, lower-case, into `out`.
fn host_name(value: &[u8], out: &mut String) -> Result<(), Reason> {
    let name = if value.first() == Some(&b'[') {
        let close = memchr::memchr(b']', value).ok_or(Reason::HttpMalformed)?;
        if !value[1..close].iter().all(|&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')) {
            return Err(Reason::HttpMalformed);
        }
        &value[..=close]
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        if !value[..end].iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
            return Err(Reason::HttpMalformed);
        }
        &value[..end]
    };
    let port = &value[name.len()..];
    if !port.is_empty() && (port[0] != b':' || port.len() > 6 || !port[1..].iter().all(u8::is_ascii_digit)) {
        return Err(Reason::HttpMalformed);
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    // 253: the longest name that DNS can hold (RFC 1035, 2.3.4).
    if name.is_empty() || name.len() > 253 {
        return Err(Reason::HttpMalformed);
    }
    out.extend(name.iter().map(|byte| byte.to_ascii_lowercase() as char));
    Ok(())
}

/// Whether the path holds anything that [`rewrite_path`] would change or refuse.
fn path_needs_rewriting(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        if matches!(byte, b'%' | b'\\' | b';' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
            || (previous == b'/' && matches!(byte, b'/' | b'.'))
        {
            return true;
        }
        previous = byte;
    }
    false
}

/// The written rule for paths (RFC 3986, 6.2.2, with what servers are known to disagree on refused):
/// percent-encoded unreserved characters are decoded, other encodings keep their bytes with upper-case digits;
/// characters that RFC 3986 does not allow are encoded; empty and `.` segments are dropped, `..` removes its
/// predecessor. Refused: an encoded slash, backslash or NUL, a bare backslash, a broken encoding, `..` above the
/// root, and dot segments with path parameters (`..;`), which Java servers read as `..`.
fn rewrite_path(path: &[u8], out: &mut String) -> Result<(), Reason> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut decoded = String::with_capacity(path.len() + 16);
    let mut at = 0;
    while at < path.len() {
        match path[at] {
            b'%' => {
                let (Some(high), Some(low)) = (path.get(at + 1).and_then(hex), path.get(at + 2).and_then(hex)) else {
                    return Err(Reason::HttpPath);
                };
                let byte = high << 4 | low;
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                    decoded.push(byte as char);
                } else if matches!(byte, b'/' | b'\\' | 0) {
                    return Err(Reason::HttpPath);
                } else {
                    decoded.push('%');
                    decoded.push(HEX[high as usize] as char);
                    decoded.push(HEX[low as usize] as char);
                }
                at += 2;
            }
            b'\\' => return Err(Reason::HttpPath),
            byte @ (b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}') => {
                decoded.push('%');
                decoded.push(HEX[(byte >> 4) as usize] as char);
                decoded.push(HEX[(byte & 15) as usize] as char);
            }
            byte => decoded.push(byte as char),
        }
        at += 1;
    }
    let mut trailing_slash = true;
    for segment in decoded[1..].split('/') {
        trailing_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                let cut = out.rfind('/').ok_or(Reason::HttpPath)?;
                out.truncate(cut);
            }
            _ if segment.starts_with(".;") || segment.starts_with("..;") => return Err(Reason::HttpPath),
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    if trailing_slash {
        out.push('/');
    }
    Ok(())
}

fn hex(byte: &u8) -> Option<u8> {
    (*byte as char).to_digit(16).map(|digit| digit as u8)
}

fn span(start: usize, end: usize) -> Span {
    // Heads are at most MAX_HEAD_BYTES long.
    Span { start: start as u32, end: end as u32 }
}
