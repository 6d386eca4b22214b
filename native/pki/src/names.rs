//! Names that go into certificates: checked when they come in, so that nobody downstream meets a surprise.
//!
//! What is legal in DER and awkward in text (commas, quotes) stays legal; what breaks lines or hides (NUL, control and
//! direction characters) is refused.

use std::net::IpAddr;

use der::asn1::{Any, Ia5String, OctetString, SetOfVec};
use der::oid::ObjectIdentifier;
use der::{Encode, Tag};
use serde::{Deserialize, Serialize};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::pkix::name::GeneralName;

use crate::problem::{Problem, Result};

/// RFC 5280, appendix A.1: ub-common-name, ub-organization-name, ub-organizational-unit-name.
const MAX_ATTRIBUTE_CHARS: usize = 64;
/// RFC 1035, 2.3.4, without the root's dot.
const MAX_DNS_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// RFC 5321, 4.5.3.1.1 and 4.5.3.1.3 (a path of 256 with its angle brackets).
const MAX_MAILBOX_BYTES: usize = 64;
const MAX_EMAIL_BYTES: usize = 254;
/// The longest SPIFFE id (its specification, 2.3); URLs of lists are shorter.
const MAX_URI_BYTES: usize = 2_048;
/// Alternative names of one certificate, as many as public authorities allow; a certificate has to fit a header.
pub(crate) const MAX_ALTERNATIVE_NAMES: usize = 100;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizational_unit: Option<String>,
    /// ISO 3166 alpha-2
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl Subject {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Subject::default()
    }

    /// Name (RFC 5280, 4.1.2.4), the most general attribute first.
    pub(crate) fn to_der(&self) -> Result<Vec<u8>> {
        let mut name: Vec<SetOfVec<AttributeTypeAndValue>> = Vec::new();
        let mut push = |oid, tag, value: &str| -> Result<()> {
            let value = Any::new(tag, value.as_bytes())?;
            name.push(SetOfVec::from_iter([AttributeTypeAndValue { oid, value }])?);
            Ok(())
        };
        if let Some(country) = &self.country {
            if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Err(Problem::new(
                    format!("`{}` is no country", shown(country)),
                    "Give two capital letters such as DE.",
                ));
            }
            push(COUNTRY, Tag::PrintableString, country)?;
        }
        let texts = [
            (ORGANIZATION, "organization", &self.organization),
            (ORGANIZATIONAL_UNIT, "organizational unit", &self.organizational_unit),
            (COMMON_NAME, "common name", &self.common_name),
        ];
        for (oid, what, value) in texts {
            if let Some(value) = value {
                check_attribute(value, what)?;
                push(oid, Tag::Utf8String, value)?;
            }
        }
        Ok(name.to_der()?)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlternativeNames {
    #[serde(default)]
    pub dns: Vec<String>,
    #[serde(default)]
    pub email: Vec<String>,
    #[serde(default)]
    pub uri: Vec<String>,
    #[serde(default)]
    pub ip: Vec<String>,
}

impl AlternativeNames {
    pub(crate) fn len(&self) -> usize {
        self.dns.len() + self.email.len() + self.uri.len() + self.ip.len()
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.general_names().map(drop)
    }

    pub(crate) fn general_names(&self) -> Result<Vec<GeneralName>> {
        if self.len() > MAX_ALTERNATIVE_NAMES {
            return Err(Problem::new(
                format!("{} alternative names", self.len()),
                format!("Ask for {MAX_ALTERNATIVE_NAMES} at most; issue several certificates instead."),
            ));
        }
        let mut names = Vec::with_capacity(self.len());
        for name in &self.dns {
            check_dns(name, true)?;
            names.push(GeneralName::DnsName(Ia5String::new(name)?));
        }
        for name in &self.email {
            check_email(name)?;
            names.push(GeneralName::Rfc822Name(Ia5String::new(name)?));
        }
        for name in &self.uri {
            check_uri(name)?;
            names.push(GeneralName::UniformResourceIdentifier(Ia5String::new(name)?));
        }
        for name in &self.ip {
            names.push(GeneralName::IpAddress(OctetString::new(octets(parse_ip(name)?))?));
        }
        Ok(names)
    }
}

pub(crate) fn check_attribute(value: &str, what: &str) -> Result<()> {
    refuse_invisible(value, what)?;
    let length = value.chars().count();
    if length == 0 || length > MAX_ATTRIBUTE_CHARS {
        return Err(Problem::new(
            format!("the {what} has {length} characters"),
            format!(
                "Give 1 to {MAX_ATTRIBUTE_CHARS} (RFC 5280, appendix A.1); longer names belong in a DNS name or a URI."
            ),
        ));
    }
    Ok(())
}

/// A host name in ASCII; `*.` in front where `wildcard`. Underscores pass: device names have them.
pub(crate) fn check_dns(name: &str, wildcard: bool) -> Result<()> {
    refuse_invisible(name, "DNS name")?;
    let host = if wildcard { name.strip_prefix("*.").unwrap_or(name) } else { name };
    let label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= MAX_DNS_BYTES && host.split('.').all(label) {
        return Ok(());
    }
    Err(Problem::new(
        format!("`{}` is no DNS name", shown(name)),
        "Labels of 1 to 63 letters, digits and hyphens, 253 characters in all; other scripts as xn--.",
    ))
}

pub(crate) fn check_email(name: &str) -> Result<()> {
    refuse_invisible(name, "mail address")?;
    if let Some((mailbox, host)) = name.rsplit_once('@')
        && (1..=MAX_MAILBOX_BYTES).contains(&mailbox.len())
        && name.len() <= MAX_EMAIL_BYTES
        && mailbox.bytes().all(|byte| byte.is_ascii_graphic() && !b"@\"(),:;<>[\\]".contains(&byte))
        && check_dns(host, false).is_ok()
    {
        return Ok(());
    }
    Err(Problem::new(
        format!("`{}` is no mail address", shown(name)),
        "Give mailbox@host in ASCII, without quotes or comments.",
    ))
}

/// RFC 5280, 4.2.1.6: an absolute URI in ASCII.
pub(crate) fn check_uri(name: &str) -> Result<()> {
    refuse_invisible(name, "URI")?;
    let problem = |why: &str| {
        Problem::new(format!("the URI `{}` {why}", shown(name)), "Give an absolute URI such as spiffe://example.com/a.")
    };
    let Some((scheme, rest)) = name.split_once(':') else { return Err(problem("has no scheme")) };
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    {
        return Err(problem("has no scheme"));
    }
    if name.len() > MAX_URI_BYTES {
        return Err(problem("is longer than 2,048 bytes"));
    }
    if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err(problem("holds what has to be percent-encoded, or nothing"));
    }
    if scheme.eq_ignore_ascii_case("spiffe") && rest.strip_prefix("//").is_none_or(|rest| rest.starts_with('/')) {
        return Err(problem("has no trust domain"));
    }
    Ok(())
}

/// A place that clients fetch from by HTTP.
pub(crate) fn check_url(url: &str, what: &str) -> Result<()> {
    let http = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if http.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        return check_uri(url);
    }
    Err(Problem::new(format!("the {what} `{}` is no URL", shown(url)), "Give http:// or https:// with a host."))
}

pub(crate) fn parse_ip(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| {
        Problem::new(format!("`{}` is no IP address", shown(text)), "Give one such as 192.0.2.1 or 2001:db8::1.")
    })
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(crate) fn refuse_invisible(text: &str, what: &str) -> Result<()> {
    match text.chars().find(|&char| is_invisible(char)) {
        None => Ok(()),
        Some(char) => Err(Problem::new(
            format!("the {what} `{}` holds the character U+{:04X}", shown(text), u32::from(char)),
            "Take out NUL, line breaks, control and direction characters.",
        )),
    }
}

/// What breaks lines, hides, or turns text around (Unicode TR 36, 2.6).
pub(crate) fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// For messages: short, and on one line.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let mut short: String =
        text.chars().take(SHOWN_CHARS).map(|char| if is_invisible(char) { '\u{fffd}' } else { char }).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        short.push('…');
    }
    short
}
