//! Percent-encoding (RFC 3986, 2.1), read strictly and once.

/// An escape that is none, or bytes that are not UTF-8: readers differ in what they make of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// Decodes `text`, in `out` if there is anything to decode. `plus` says that a plus sign is a space, as in forms.
///
/// # Errors
/// When it cannot be read in one way.
pub(super) fn decode<'a>(text: &'a str, plus: bool, out: &'a mut Vec<u8>) -> Result<&'a str, Broken> {
    let bytes = text.as_bytes();
    let encoded = |byte: u8| byte == b'%' || (plus && byte == b'+');
    let Some(first) = bytes.iter().position(|&byte| encoded(byte)) else { return Ok(text) };
    out.clear();
    out.extend_from_slice(&bytes[..first]);
    let mut at = first;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|&byte| (byte as char).to_digit(16)).ok_or(Broken);
                out.push((digit(at + 1)? << 4 | digit(at + 2)?) as u8);
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    std::str::from_utf8(out).map_err(|_| Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_once_and_strictly() {
        let read = |text: &str, plus| decode(text, plus, &mut Vec::new()).map(str::to_owned);
        assert_eq!(read("a%20b+c", false).as_deref(), Ok("a b+c"));
        assert_eq!(read("a%20b+c", true).as_deref(), Ok("a b c"));
        assert_eq!(read("%2541", true).as_deref(), Ok("%41"));
        assert_eq!(read("%c3%A9", true).as_deref(), Ok("é"));
        for broken in ["%", "%4", "%4g", "%+1", "a%c3", "%ff", "%ed%a0%80", "%c0%af"] {
            assert_eq!(read(broken, true), Err(Broken), "{broken}");
        }
    }
}
