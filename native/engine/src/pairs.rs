//! Names and values of queries and cookies, read in one way by whoever looks for one by its name.

use crate::head::Head;

/// The query's parts between `&`, each split at its first `=`; neither name nor value is decoded.
pub fn arguments(head: &Head) -> impl Iterator<Item = (&str, &str)> {
    pairs(head.query(), '&')
}

/// The cookies of a Cookie line: parts between `;`, each split at its first `=` (RFC 6265, 4.2.1).
pub fn cookies(line: &str) -> impl Iterator<Item = (&str, &str)> {
    pairs(line, ';').map(|(name, value)| (name.trim_ascii(), value.trim_ascii()))
}

fn pairs(text: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    text.split(separator).filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// Whether the percent-encoded `name` means `wanted` (Cloudflare decodes the names of cookies, not their values).
#[must_use]
pub fn decodes_to(name: &[u8], wanted: &[u8]) -> bool {
    let (mut at, mut matched) = (0, 0);
    while at < name.len() {
        let (byte, length) = match escape(&name[at..]) {
            Some(byte) => (byte, 3),
            None => (name[at], 1),
        };
        if wanted.get(matched) != Some(&byte) {
            return false;
        }
        matched += 1;
        at += length;
    }
    matched == wanted.len()
}

/// The byte that a leading `%HH` stands for.
#[must_use]
pub fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}
