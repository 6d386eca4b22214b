//! The two parts of a certificate that a handshake needs, whatever the version of the certificate: its public key, and
//! its subject as a hint. It is not parsed further: the engine's readers are stricter, and have a reason for each fault.

use rustls::pki_types::SubjectPublicKeyInfoDer;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// `[0]`, constructed: the version.
const VERSION: u8 = 0xa0;

#[derive(Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Content of the Name's SEQUENCE.
    pub subject: &'a [u8],
    /// Whole SubjectPublicKeyInfo.
    pub public_key: SubjectPublicKeyInfoDer<'a>,
}

/// RFC 5280, 4.1: Certificate and TBSCertificate up to the key. None when it is not DER of that shape.
#[must_use]
pub fn read(certificate: &[u8]) -> Option<Parts<'_>> {
    let (certificate, rest) = element(certificate, SEQUENCE)?;
    if !rest.is_empty() {
        return None;
    }
    let (fields, _) = element(certificate.content, SEQUENCE)?;
    let mut rest = fields.content;
    if let Some((_, behind)) = element(rest, VERSION) {
        rest = behind;
    }
    let (_, rest) = element(rest, INTEGER)?;
    // Signature algorithm, issuer and validity.
    let (_, rest) = element(rest, SEQUENCE)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (subject, rest) = element(rest, SEQUENCE)?;
    let (public_key, _) = element(rest, SEQUENCE)?;
    Some(Parts { subject: subject.content, public_key: SubjectPublicKeyInfoDer::from(public_key.whole) })
}

struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// An element with this tag, and what follows it. Lengths are definite and as short as can be (X.690, 10.1).
fn element(bytes: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&[found, first], behind) = bytes.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, head) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81 => (usize::from(*behind.first()?), 3),
        0x82 => (usize::from(u16::from_be_bytes(*behind.first_chunk()?)), 4),
        // Nothing longer than 64 KiB arrives in a handshake.
        _ => return None,
    };
    if (head == 3 && length < 0x80) || (head == 4 && length < 0x100) {
        return None;
    }
    let (whole, rest) = bytes.split_at_checked(head + length)?;
    Some((Element { whole, content: &whole[head..] }, rest))
}
