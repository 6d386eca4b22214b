//! A revocation list. Its entries are walked over, never kept: a million of them would be hundreds of megabytes.

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, OctetString, Uint, UtcTime};
use der::{
    Choice, Decode, DecodeValue, Encode, EncodeValue, FixedTag, Header, Length, Reader, Sequence, SliceReader, Tag,
    Writer,
};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::certificate::signature_name;
use super::{Item, colons, relative};
use crate::distinguished_name::rfc4514;
use crate::problem::{Problem, Result};
use crate::text::{serial_text, to_pem};
use crate::time::{UnixMs, display};

/// Entries that are shown; all are counted.
const SHOWN_ENTRIES: usize = 50;
/// Lists up to this size come back as PEM.
const MAX_PEM_BYTES: usize = 1024 * 1024;

#[derive(Sequence)]
struct List<'a> {
    content: Content<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

#[derive(Sequence)]
struct Content<'a> {
    version: Option<u8>,
    signature: AnyRef<'a>,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Option<Time>,
    revoked: Option<Entries<'a>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

/// Content of the SEQUENCE, not looked into.
struct Entries<'a>(&'a [u8]);

impl FixedTag for Entries<'_> {
    const TAG: Tag = Tag::Sequence;
}

impl<'a> DecodeValue<'a> for Entries<'a> {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        reader.read_slice(header.length()).map(Entries)
    }
}

impl EncodeValue for Entries<'_> {
    fn value_len(&self) -> der::Result<Length> {
        self.0.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.0)
    }
}

#[derive(Sequence)]
struct Entry {
    serial: Uint,
    at: Time,
    extensions: Option<Vec<Extension>>,
}

#[derive(Choice, Clone, Copy)]
enum Time {
    #[asn1(type = "UTCTime")]
    Utc(UtcTime),
    #[asn1(type = "GeneralizedTime")]
    General(GeneralizedTime),
}

impl Time {
    fn unix_ms(self) -> UnixMs {
        let since = match self {
            Time::Utc(time) => time.to_unix_duration(),
            Time::General(time) => time.to_unix_duration(),
        };
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

pub(super) fn explain(der: &[u8], now: UnixMs) -> Result<Item> {
    let unreadable = || Problem::new("the revocation list cannot be read", "Give a CRL as DER or PEM (RFC 5280, 5).");
    let list = List::from_der(der).map_err(|_| unreadable())?;
    let content = list.content;
    let issuer = content.issuer.to_der()?;
    let Ok(([], issuer)) = X509Name::from_der(&issuer) else { return Err(unreadable()) };
    let mut item = Item::new("Revocation list");
    item.row("Issuer", rfc4514(&issuer));
    item.row("Made", relative(content.this_update.unix_ms(), now));
    let next_update = content.next_update.map(Time::unix_ms);
    item.row("Next one", next_update.map_or("not said".to_owned(), |at| relative(at, now)));
    let algorithm = list.algorithm.to_der()?;
    if let Ok((_, algorithm)) = x509_parser::x509::AlgorithmIdentifier::from_der(&algorithm) {
        let name = signature_name(&algorithm.algorithm.to_id_string());
        if name.contains("SHA-1") || name.contains("MD") {
            item.warn(format!("{name} signature: will be refused"));
        }
        item.row("Signature", name);
    }
    if content.version != Some(1) {
        item.warn("version 1: it has no number, so an old list cannot be told from a new one");
    }
    match next_update {
        None => item.warn("it does not say when the next one comes: will be refused"),
        Some(at) if at < now => item.warn("out of date"),
        _ => {}
    }
    for extension in content.extensions.iter().flatten() {
        explain_extension(&mut item, extension);
    }
    explain_entries(&mut item, content.revoked.map(|entries| entries.0)).ok_or_else(unreadable)?;
    if der.len() <= MAX_PEM_BYTES {
        item.pem = Some(to_pem("X509 CRL", der));
    }
    Ok(item)
}

fn explain_entries(item: &mut Item, entries: Option<&[u8]>) -> Option<()> {
    let mut count = 0usize;
    let mut shown = Vec::new();
    if let Some(entries) = entries {
        let mut reader = SliceReader::new(entries).ok()?;
        while !reader.is_finished() {
            if shown.len() < SHOWN_ENTRIES {
                let entry = Entry::decode(&mut reader).ok()?;
                let text = format!("since {}{}", display(entry.at.unix_ms()), reason(&entry));
                shown.push((serial_text(entry.serial.as_bytes()), text));
            } else {
                AnyRef::decode(&mut reader).ok()?;
            }
            count += 1;
        }
    }
    item.row("Revoked", count.to_string());
    item.rows.extend(shown);
    if count > SHOWN_ENTRIES {
        item.row("and", format!("{} more", count - SHOWN_ENTRIES));
    }
    Some(())
}

fn reason(entry: &Entry) -> String {
    let code = entry.extensions.iter().flatten().find(|extension| extension.extn_id.to_string() == "2.5.29.21");
    let code = code.and_then(|extension| match extension.extn_value.as_bytes() {
        [0x0a, 1, code] => Some(*code),
        _ => None,
    });
    let name = match code {
        None => return String::new(),
        Some(1) => "key compromise",
        Some(2) => "CA compromise",
        Some(3) => "affiliation changed",
        Some(4) => "superseded",
        Some(5) => "cessation of operation",
        Some(6) => "on hold",
        Some(8) => "removed from the list",
        Some(9) => "privilege withdrawn",
        Some(10) => "AA compromise",
        Some(_) => "unspecified",
    };
    format!(", {name}")
}

fn explain_extension(item: &mut Item, extension: &Extension) {
    let value = extension.extn_value.as_bytes();
    match extension.extn_id.to_string().as_str() {
        "2.5.29.20" => {
            let number = Uint::from_der(value).ok().map(|number| serial_text(number.as_bytes()));
            item.row("Number", number.map_or("unreadable".to_owned(), |hex| decimal(&hex).unwrap_or(hex)));
        }
        "2.5.29.27" => {
            item.row("Delta list", "only changes since another list");
            item.warn("a delta list: will be refused, load the full one");
        }
        "2.5.29.28" => {
            let urls =
                IssuingDistributionPoint::from_der(value).ok().and_then(|point| match point.distribution_point {
                    Some(DistributionPointName::FullName(names)) => Some(urls(&names)),
                    _ => None,
                });
            item.row("Speaks for", crate::names::shown(&urls.unwrap_or_else(|| "a part of its issuer".to_owned())));
        }
        "2.5.29.35" => {
            let identifier = x509_cert::ext::pkix::AuthorityKeyIdentifier::from_der(value).ok();
            let identifier = identifier.and_then(|found| found.key_identifier);
            item.row(
                "Authority key identifier",
                identifier.as_ref().map_or(String::new(), |id: &OctetString| colons(id.as_bytes())),
            );
        }
        other => {
            item.row(&format!("Extension {other}"), format!("{} bytes", value.len()));
            if extension.critical {
                item.warn(format!("the critical extension {other} is not known: will be refused"));
            }
        }
    }
}

fn urls(names: &[GeneralName]) -> String {
    let urls = names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(url) => Some(url.to_string()),
        _ => None,
    });
    urls.collect::<Vec<_>>().join(", ")
}

fn decimal(hex: &str) -> Option<String> {
    u128::from_str_radix(hex, 16).ok().map(|number| number.to_string())
}
