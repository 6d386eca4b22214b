//! Distinguished names as text, in the two spellings that OpenSSL prints and Cloudflare shows.
//!
//! Rules compare these texts, so they have to be the bytes that an operator gets from
//! `openssl x509 -nameopt RFC2253` and `openssl x509 -nameopt compat`; a test compares them where openssl is present.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// RFC 2253: last attribute first, `,` between names, `+` inside a multi-valued one, everything but printable ASCII
/// escaped.
pub(super) fn rfc2253(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let names: Vec<_> = name.iter_rdn().collect();
    for name in names.into_iter().rev() {
        let attributes: Vec<_> = name.iter().collect();
        for (index, attribute) in attributes.into_iter().rev().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            attribute_rfc2253(&mut text, attribute);
        }
    }
    text
}

/// OpenSSL's old one-line form, `/C=US/O=Example/CN=client`, as OpenSSL 3 writes it: `/` and `+` inside a value are
/// escaped. Older ones and BoringSSL leave them bare, so that a value can look like further attributes.
pub(super) fn legacy(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for name in name.iter_rdn() {
        for (index, attribute) in name.iter().enumerate() {
            text.push(if index == 0 { '/' } else { '+' });
            push_type(&mut text, attribute);
            text.push('=');
            for &byte in attribute.attr_value().data {
                match byte {
                    b'/' | b'+' => text.extend(['\\', char::from(byte)]),
                    b' '..=b'~' => text.push(char::from(byte)),
                    _ => push_escape(&mut text, "\\x", byte),
                }
            }
        }
    }
    text
}

fn attribute_rfc2253(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let known = push_type(text, attribute);
    text.push('=');
    match utf8(attribute.attr_value()) {
        Some(value) if known => escape_rfc2253(text, &value),
        _ => dump(text, attribute.attr_value()),
    }
}

/// Writes the short name, or the dotted identifier where OpenSSL has none.
fn push_type(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> bool {
    let id = attribute.attr_type().to_id_string();
    match SHORT_NAMES.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => text.push_str(name),
        None => {
            text.push_str(&id);
            return false;
        }
    }
    true
}

/// RFC 2253, 2.4, with OpenSSL's flags `ESC_2253 | ESC_CTRL | ESC_MSB`.
fn escape_rfc2253(text: &mut String, value: &[u8]) {
    for (index, &byte) in value.iter().enumerate() {
        let first = index == 0;
        let last = index + 1 == value.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => text.extend(['\\', char::from(byte)]),
            b'#' if first => text.push_str("\\#"),
            b' ' if first || last => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => push_escape(text, "\\", byte),
        }
    }
}

/// The value in UTF-8; None when its type is not a string type. Old single-byte types count as Latin-1.
fn utf8(value: &Any<'_>) -> Option<Vec<u8>> {
    let data = value.data;
    let widen = |unit: usize| -> Option<Vec<u8>> {
        if !data.len().is_multiple_of(unit) {
            return None;
        }
        let characters = data.chunks_exact(unit).map(|bytes| {
            let code = bytes.iter().fold(0u32, |code, &byte| code << 8 | u32::from(byte));
            char::from_u32(code)
        });
        characters.collect::<Option<String>>().map(String::into_bytes)
    };
    match value.tag() {
        Tag::Utf8String => Some(data.to_vec()),
        Tag::NumericString | Tag::PrintableString | Tag::T61String | Tag::Ia5String | Tag::VisibleString => widen(1),
        Tag::UtcTime | Tag::GeneralizedTime => widen(1),
        Tag::BmpString => widen(2),
        Tag::UniversalString => widen(4),
        _ => None,
    }
}

/// `#` and the hex of the whole value, for what cannot be shown as text (RFC 2253, 2.4).
fn dump(text: &mut String, value: &Any<'_>) {
    use x509_parser::asn1_rs::ToDer as _;
    text.push('#');
    for byte in value.to_der_vec().unwrap_or_default() {
        push_escape(text, "", byte);
    }
}

fn push_escape(text: &mut String, prefix: &str, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{prefix}{byte:02X}");
}

/// OpenSSL's short names of the attribute types that occur in names (RFC 4519, RFC 5280 appendix A, CA/B forum).
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.9", "street"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.72", "role"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];
