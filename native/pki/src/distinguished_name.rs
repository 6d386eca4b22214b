//! A name as text (RFC 4514): for people and logs. Names are compared on DER, never on this.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::x509::X509Name;

use crate::names::is_invisible;
use crate::text::lower_hex;

/// RFC 4514, 3, the LDAP short names of RFC 4519, and OpenSSL's for what they lack.
const SHORT_NAMES: [(&str, &str); 17] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The last attribute first; empty for an empty name.
pub(crate) fn rfc4514(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let relative: Vec<_> = name.iter_rdn().collect();
    for relative in relative.into_iter().rev() {
        for (index, attribute) in relative.iter().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            let id = attribute.attr_type().to_id_string();
            let known = SHORT_NAMES.iter().find(|(known, _)| *known == id).map(|(_, name)| *name);
            text.push_str(known.unwrap_or(&id));
            text.push('=');
            match value_text(attribute.attr_value()) {
                Some(value) if known.is_some() => escape(&mut text, &value),
                _ => {
                    text.push('#');
                    text.push_str(&lower_hex(&encoded(attribute.attr_value())));
                }
            }
        }
    }
    text
}

/// The characters of a string type; None for anything else, and for bytes that are not what their type says.
pub(crate) fn value_text(value: &Any<'_>) -> Option<String> {
    let bytes: &[u8] = value.data;
    match value.tag() {
        Tag::Utf8String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            bytes.is_ascii().then(|| bytes.iter().copied().map(char::from).collect())
        }
        // T.61 in name, Latin-1 in what is found.
        Tag::T61String => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = bytes.chunks_exact(2);
            units.remainder().is_empty().then(|| {
                String::from_utf16(&units.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>()).ok()
            })?
        }
        _ => None,
    }
}

/// RFC 4514, 2.4. What is invisible is written as the hex of its UTF-8 bytes.
fn escape(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, char) in value.chars().enumerate() {
        match char {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', char]),
            '#' if index == 0 => text.push_str("\\#"),
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            char if is_invisible(char) => {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            char => text.push(char),
        }
    }
}

/// The value with its header, where its length allows the short forms; a name's attribute is never longer than 64 KiB.
fn encoded(value: &Any<'_>) -> Vec<u8> {
    let mut der = vec![u8::try_from(value.tag().0).unwrap_or(0)];
    let length = value.data.len();
    match u16::try_from(length) {
        Ok(length @ 0..=127) => der.push(length.to_be_bytes()[1]),
        Ok(length @ 128..=255) => der.extend([0x81, length.to_be_bytes()[1]]),
        Ok(length) => {
            der.push(0x82);
            der.extend(length.to_be_bytes());
        }
        Err(_) => {}
    }
    der.extend(value.data);
    der
}
