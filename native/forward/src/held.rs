//! Responses that are held back until they are checked. The client sees nothing of them before.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use portcullis_engine::schema::Stripped;

/// Most bytes of responses that the process holds back at once: 256 of the largest that are inspected. What comes when
/// they are used up is overload.
const MAX_HELD_BYTES: usize = 256 * 1024 * 1024;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A response, or what came of it so far.
#[derive(Debug)]
pub struct Held {
    /// Status line and fields as the client gets them.
    pub block: Vec<u8>,
    pub body: Vec<u8>,
    /// The length that the origin told.
    pub length: Option<u64>,
    /// Nothing more comes.
    pub complete: bool,
    charged: usize,
}

impl Held {
    /// None when there is no room for it.
    pub fn new(block: &[u8], body: &[u8], length: Option<u64>) -> Option<Box<Held>> {
        let mut held = Box::new(Held { block: block.to_vec(), body: Vec::new(), length, complete: false, charged: 0 });
        held.charge(block.len()).then_some(())?;
        held.push(body).then_some(held)
    }

    /// False when there is no room for a further piece.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        if !self.charge(piece.len()) {
            return false;
        }
        self.body.extend_from_slice(piece);
        true
    }

    /// Takes a piece whatever room there is: at most a turn's memory, of a response that goes on at its end.
    pub fn force(&mut self, piece: &[u8]) {
        HELD_BYTES.fetch_add(piece.len(), Relaxed);
        self.charged += piece.len();
        self.body.extend_from_slice(piece);
    }

    /// Another body, smaller in what it says: fields that speak of the bytes of the old one go.
    pub fn replace(&mut self, stripped: Stripped) {
        self.block = without_old_bytes(&self.block);
        self.body = stripped.body;
        self.length = None;
    }

    fn charge(&mut self, bytes: usize) -> bool {
        if HELD_BYTES.fetch_add(bytes, Relaxed) + bytes > MAX_HELD_BYTES {
            HELD_BYTES.fetch_sub(bytes, Relaxed);
            return false;
        }
        self.charged += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD_BYTES.fetch_sub(self.charged, Relaxed);
    }
}

/// What names the coding, validator or digest of particular bytes (RFC 9110, 8.4 and 8.8.3; RFC 9530; RFC 3230; RFC
/// 1864), or offers ranges of them.
const OF_OLD_BYTES: &[&str] =
    &["content-encoding", "etag", "content-digest", "repr-digest", "digest", "content-md5", "accept-ranges"];

fn without_old_bytes(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len());
    for (index, line) in lines(block).enumerate() {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if index > 0 && OF_OLD_BYTES.iter().any(|of| name.eq_ignore_ascii_case(of.as_bytes())) {
            continue;
        }
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(line);
    }
    out
}

/// Lines end in CR LF, and neither stands anywhere else: the upstream client has written the block.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The fields of a block, names in lower case; kept between responses for its buffer.
#[derive(Debug, Default)]
pub struct Fields {
    text: String,
}

impl Fields {
    /// Bytes that are no text become the replacement character: no description can mean them.
    pub fn read(&mut self, block: &[u8]) {
        self.text.clear();
        for line in lines(block).skip(1) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            self.text.extend(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            self.text.push(':');
            self.text.push_str(String::from_utf8_lossy(value[1..].trim_ascii()).as_ref());
            self.text.push('\n');
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.text.lines().filter_map(|line| line.split_once(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_body_leaves_nothing_behind_that_speaks_of_the_old_bytes() {
        let block = b"200 OK\r\nX-Request-Id: 1\r\nETag: \"a\"\r\nContent-Type: application/json\r\ncontent-encoding: \
            gzip\r\nRepr-Digest: b\r\nEtag-Of-Mine: c";
        let kept = "200 OK\r\nX-Request-Id: 1\r\nContent-Type: application/json\r\nEtag-Of-Mine: c";
        assert_eq!(String::from_utf8(without_old_bytes(block)).unwrap(), kept);
    }

    #[test]
    fn fields_have_lower_case_names_and_keep_their_values() {
        let mut fields = Fields::default();
        fields.read(b"200 OK\r\nX-A: B: c\r\nx-b: \xff\r\nX-Empty: ");
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("x-a", "B: c"), ("x-b", "\u{fffd}"), ("x-empty", "")]);
    }
}
