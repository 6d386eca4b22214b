//! The text of a key: what is one at all, told without a look-up.

use super::table::Id;

/// What every key begins with: `pck_<12 hex digits>_<43 base62 digits>_<8 hex digits>`, the last the CRC-32 (IEEE) of all
/// before its underscore, lower-case; as tokens of the admin API are made (src/manage/admin/tokens.ts).
pub const PREFIX: &str = "pck_";
/// 6 random bytes in hex.
pub(super) const ID_DIGITS: usize = 12;
/// 62^43 is above 2^256.
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 8;

const ID_START: usize = PREFIX.len();
const ID_END: usize = ID_START + ID_DIGITS;
const SECRET_END: usize = ID_END + 1 + SECRET_DIGITS;
/// Of a whole key, in bytes.
const LENGTH: usize = SECRET_END + 1 + CHECKSUM_DIGITS;

/// The id in the text of a key; None for what is no key. A CRC-32 misses no change within 32 neighbouring bits, so none
/// of a single character.
pub(super) fn id(key: &str) -> Option<&[u8; ID_DIGITS]> {
    let text: &[u8; LENGTH] = key.as_bytes().try_into().ok()?;
    let framed = text.starts_with(PREFIX.as_bytes()) && text[ID_END] == b'_' && text[SECRET_END] == b'_';
    let spelled = text[ID_END + 1..SECRET_END].iter().all(u8::is_ascii_alphanumeric);
    if !framed || !spelled {
        return None;
    }
    let id = text[ID_START..ID_END].first_chunk().filter(|id| id.iter().all(is_hex))?;
    (checksum(&text[..SECRET_END]) == text[SECRET_END + 1..]).then_some(id)
}

/// Lower-case only: a second spelling of a key would be a second key.
pub(super) fn is_hex(digit: &u8) -> bool {
    matches!(digit, b'0'..=b'9' | b'a'..=b'f')
}

/// Of digits that were checked.
pub(super) fn packed(id: &[u8; ID_DIGITS]) -> Id {
    let value = |digit: u8| if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
    std::array::from_fn(|at| value(id[2 * at]) << 4 | value(id[2 * at + 1]))
}

pub(super) fn spelled(id: &Id) -> [u8; ID_DIGITS] {
    std::array::from_fn(|at| digit(id[at / 2] >> if at % 2 == 0 { 4 } else { 0 }))
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let sum = crc32fast::hash(body).to_be_bytes();
    std::array::from_fn(|at| digit(sum[at / 2] >> if at % 2 == 0 { 4 } else { 0 }))
}

fn digit(low_bits: u8) -> u8 {
    b"0123456789abcdef"[usize::from(low_bits & 15)]
}

#[cfg(test)]
pub(super) fn whole(id: &str, secret: &str) -> String {
    let body = format!("{PREFIX}{id}_{secret}");
    let sum = String::from_utf8(checksum(body.as_bytes()).to_vec()).unwrap();
    format!("{body}_{sum}")
}
