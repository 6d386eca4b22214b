//! `url_decode`, in place.

use crate::pairs::escape;

/// Most passes of recursive decoding (`"r"`). Each pass is linear; without a bound, `%252525..` would cost a pass for
/// every two bytes. What is encoded more than eight times deep, no origin decodes.
pub(super) const MAX_PASSES: usize = 8;

/// Decodes what `text` holds from `start` on: `%HH`, `+` as a space, and `%uHHHH` as UTF-8 if `unicode`. A broken
/// encoding stands for itself.
pub(super) fn url_decode(text: &mut Vec<u8>, start: usize, recursive: bool, unicode: bool) {
    for _ in 0..if recursive { MAX_PASSES } else { 1 } {
        if !pass(text, start, unicode) {
            break;
        }
    }
}

/// Whether anything changed. What is written is never longer than what was read.
fn pass(text: &mut Vec<u8>, start: usize, unicode: bool) -> bool {
    let (mut read, mut write) = (start, start);
    let mut changed = false;
    while read < text.len() {
        if text[read] == b'%' {
            if let Some(byte) = escape(&text[read..]) {
                text[write] = byte;
                (read, write, changed) = (read + 3, write + 1, true);
                continue;
            }
            if unicode && let Some(character) = unicode_escape(&text[read..]) {
                let length = character.encode_utf8(&mut text[write..write + 4]).len();
                (read, write, changed) = (read + 6, write + length, true);
                continue;
            }
        }
        let byte = text[read];
        text[write] = if byte == b'+' { b' ' } else { byte };
        changed |= byte == b'+';
        (read, write) = (read + 1, write + 1);
    }
    text.truncate(write);
    changed
}

fn unicode_escape(text: &[u8]) -> Option<char> {
    let digits = text.strip_prefix(b"%u")?.get(..4)?;
    let code = digits.iter().try_fold(0, |sum, &digit| Some(sum << 4 | (digit as char).to_digit(16)?))?;
    char::from_u32(code)
}
