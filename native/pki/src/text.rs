//! Bytes as text and back: PEM, base64, hex.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;

use crate::problem::{Problem, Result};

/// Lines of PEM (RFC 7468, 2: exactly 64 characters in generated text).
const PEM_LINE: usize = 64;

/// Sections that are read of one PEM text: a bundle of authorities of a whole operating system has about 150.
pub(crate) const MAX_PEM_SECTIONS: usize = 1_000;

pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = String::with_capacity(encoded.len() + encoded.len() / PEM_LINE + 64);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(PEM_LINE));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Sections of a PEM text, in order; text between them is left out.
pub(crate) fn pem_sections(text: &str) -> Result<Vec<Pem>> {
    let mut sections = Vec::new();
    for section in Pem::iter_from_buffer(text.as_bytes()) {
        let section = section.map_err(|_| {
            Problem::new(
                format!("section {} of the PEM text cannot be read", sections.len() + 1),
                "Copy the whole text, from -----BEGIN to -----END, without changes.",
            )
        })?;
        if sections.len() == MAX_PEM_SECTIONS {
            return Err(Problem::new(
                format!("more than {MAX_PEM_SECTIONS} sections of PEM"),
                "Split the file, or take out what is not needed.",
            ));
        }
        sections.push(section);
    }
    Ok(sections)
}

/// Every `CERTIFICATE` section; at least one.
pub(crate) fn certificates(text: &str) -> Result<Vec<Vec<u8>>> {
    let ders: Vec<_> = pem_sections(text)?
        .into_iter()
        .filter(|section| matches!(section.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"))
        .map(|section| section.contents)
        .collect();
    if ders.is_empty() {
        return Err(Problem::new(
            "there is no certificate in the PEM text",
            "Give PEM with a `-----BEGIN CERTIFICATE-----` section.",
        ));
    }
    Ok(ders)
}

/// The first certificate of a PEM text.
pub(crate) fn certificate(text: &str) -> Result<Vec<u8>> {
    certificates(text).map(|mut ders| ders.swap_remove(0))
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Base64 as RFC 4648, 4, line breaks and spaces left out.
pub(crate) fn from_base64(text: &str, what: &str) -> Result<Vec<u8>> {
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD
        .decode(compact)
        .map_err(|_| Problem::new(format!("{what} is not base64"), "Encode the bytes as standard base64 with padding."))
}

pub(crate) fn lower_hex(bytes: &[u8]) -> String {
    hex(bytes, b"0123456789abcdef")
}

pub(crate) fn upper_hex(bytes: &[u8]) -> String {
    hex(bytes, b"0123456789ABCDEF")
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(digits[usize::from(digit)])).collect()
}

/// A serial number in hex, as [`serial_text`] prints it or with leading zeros, as its significant bytes.
pub(crate) fn serial_bytes(text: &str) -> Result<Vec<u8>> {
    let problem = || {
        Problem::new(
            format!("`{}` is no serial number", text.chars().take(48).filter(|c| !c.is_control()).collect::<String>()),
            "Give whole bytes in hex, 20 at most, such as 4F0A12.",
        )
    };
    let digits = text.as_bytes();
    // RFC 5280, 4.1.2.2: 20 octets; brought authorities have been seen with a sign octet above that.
    if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > 42 {
        return Err(problem());
    }
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(problem()),
        }
    }
    Ok(significant(&bytes).to_vec())
}

/// Upper-case hex, whole bytes, no leading zero byte; `00` for zero.
pub(crate) fn serial_text(bytes: &[u8]) -> String {
    upper_hex(significant(bytes))
}

fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    &bytes[zeros.min(bytes.len().saturating_sub(1))..]
}
