//! JA4, the fingerprint of a TLS client: how it greets, whoever it greets.
//!
//! The algorithm is FoxIO's (technical_details/JA4.md), the part of it that is under the BSD 3-clause licence. GREASE
//! values (RFC 8701) are left out everywhere. The order of cipher suites and extensions is left out too, because
//! clients shuffle theirs; that of signature algorithms is told.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

/// What of a ClientHello the fingerprint is made of.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    /// The highest that is offered; None when none is known.
    pub(crate) version: Option<u16>,
    /// The values of these lists as they came, big-endian.
    pub(crate) ciphers: &'a [u8],
    pub(crate) signature_algorithms: &'a [u8],
    /// Types, in ascending order.
    pub(crate) extensions: &'a [u16],
    pub(crate) first_protocol: Option<&'a [u8]>,
}

pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const APPLICATION_PROTOCOLS: u16 = 16;

/// Counts have two digits.
const MOST: usize = 99;
/// Hexadecimal digits of a hash that are told.
const TOLD: usize = 12;
const NOTHING: &str = "000000000000";

/// A value that clients send so that servers go on ignoring what they do not know.
pub(crate) fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// Values of a list as it stands in a message.
pub(crate) fn values(list: &[u8]) -> impl Iterator<Item = u16> {
    list.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).filter(|&value| !is_grease(value))
}

pub(crate) fn ja4(parts: &Parts) -> String {
    let mut ciphers: Vec<u16> = values(parts.ciphers).collect();
    ciphers.sort_unstable();
    let extensions = || parts.extensions.iter().copied().filter(|&kind| !is_grease(kind));
    let mut text = String::with_capacity(40);
    text.push('t');
    text.push_str(match parts.version {
        Some(0x0304) => "13",
        Some(0x0303) => "12",
        Some(0x0302) => "11",
        Some(0x0301) => "10",
        Some(0x0300) => "s3",
        Some(0x0002) => "s2",
        _ => "00",
    });
    text.push(if parts.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' });
    let _ = write!(text, "{:02}{:02}", ciphers.len().min(MOST), extensions().count().min(MOST));
    let (first, last) = ends(parts.first_protocol.unwrap_or_default());
    text.extend([first, last]);

    let mut list = String::new();
    join(&mut list, ciphers.iter().copied());
    text.push('_');
    hash(&mut text, &list);

    list.clear();
    join(&mut list, extensions().filter(|kind| ![SERVER_NAME, APPLICATION_PROTOCOLS].contains(kind)));
    if !list.is_empty() && values(parts.signature_algorithms).next().is_some() {
        list.push('_');
        join(&mut list, values(parts.signature_algorithms));
    }
    text.push('_');
    hash(&mut text, &list);
    text
}

/// First and last character of a protocol's name; of its hexadecimal form where either is no letter or digit.
fn ends(protocol: &[u8]) -> (char, char) {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else { return ('0', '0') };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (first.into(), last.into());
    }
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 0x0f)]);
    (digit(first >> 4), digit(last))
}

/// Adds values in four hexadecimal digits, with commas between them.
fn join(list: &mut String, values: impl Iterator<Item = u16>) {
    for (index, value) in values.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(list, "{comma}{value:04x}");
    }
}

fn hash(text: &mut String, list: &str) {
    if list.is_empty() {
        text.push_str(NOTHING);
        return;
    }
    for byte in &digest(&SHA256, list.as_bytes()).as_ref()[..TOLD / 2] {
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<u8> {
        text.split(',').flat_map(|value| u16::from_str_radix(value, 16).expect("hexadecimal").to_be_bytes()).collect()
    }

    fn sorted(text: &str) -> Vec<u16> {
        let mut values: Vec<u16> = values(&list(text)).collect();
        values.sort_unstable();
        values
    }

    /// The example of the specification.
    #[test]
    fn gives_the_fingerprint_that_the_specification_gives() {
        let ciphers = list("5a5a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035");
        let extensions = sorted("001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015");
        let algorithms = list("0403,0804,0401,0503,0805,0501,0806,0601");
        let mut parts = Parts {
            version: Some(0x0304),
            ciphers: &ciphers,
            signature_algorithms: &algorithms,
            extensions: &extensions,
            first_protocol: Some(b"h2"),
        };
        assert_eq!(ja4(&parts), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        parts.signature_algorithms = &[];
        assert_eq!(ja4(&parts), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn says_zeroes_where_there_is_nothing() {
        assert_eq!(ja4(&Parts::default()), "t00i000000_000000000000_000000000000");
    }

    #[test]
    fn counts_up_to_99() {
        let ciphers: Vec<u8> = (0x0100..0x0200_u16).flat_map(u16::to_be_bytes).collect();
        let extensions: Vec<u16> = (0x0100..0x0200).collect();
        let parts = Parts { ciphers: &ciphers, extensions: &extensions, ..Parts::default() };
        assert!(ja4(&parts).starts_with("t00i999900_"));
    }

    /// The examples of the specification.
    #[test]
    fn tells_a_protocol_by_the_ends_of_its_name() {
        let cases: [(&[u8], &str); 12] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"", "00"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\x20", "20"),
            (b"\xab\xcd", "ad"),
            (b"\x20\x61", "21"),
            (b"\x30\xab", "3b"),
            (b"\x61\x20", "60"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ];
        for (protocol, expected) in cases {
            let (first, last) = ends(protocol);
            assert_eq!(String::from_iter([first, last]), expected, "{protocol:x?}");
        }
    }

    #[test]
    fn knows_the_sixteen_values_of_grease() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|&value| is_grease(value)).collect();
        assert_eq!(all.len(), 16);
        assert_eq!((all[0], all[1], all[15]), (0x0a0a, 0x1a1a, 0xfafa));
    }
}
