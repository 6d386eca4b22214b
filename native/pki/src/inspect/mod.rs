//! Explains any file of a public key infrastructure: what it is, what it says, what is wrong with it.
//!
//! Reads leniently, because what is broken has to be explained too; nothing here is believed by anybody.

mod bundle;
mod certificate;
mod key;
mod list;
mod request;

use serde::{Deserialize, Serialize};
use x509_parser::pem::Pem;

use crate::facts::Facts;
use crate::ocsp;
use crate::pkcs7;
use crate::problem::{Problem, Result};
use crate::text::{from_base64, pem_sections};
use crate::time::{UnixMs, display, now};

/// Largest file: a revocation list of a million serials as PEM is 55 MiB.
const MAX_FILE_BYTES: usize = 96 * 1024 * 1024;
/// Everything but revocation lists: a file with every public authority is 300 KiB.
const MAX_OTHER_BYTES: usize = 4 * 1024 * 1024;
/// Longer ones open nothing.
const MAX_PASSWORD_BYTES: usize = 4 * 1024;

#[derive(Deserialize)]
pub struct Inspect {
    /// base64 of the file, PEM or DER.
    bytes: String,
    password: Option<String>,
    /// What "days left" counts from.
    now: Option<UnixMs>,
}

#[derive(Serialize)]
pub struct Explained {
    kind: Kind,
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Certificate,
    Csr,
    Crl,
    Pkcs12,
    Pkcs7,
    Key,
    OcspRequest,
    OcspResponse,
    Several,
}

#[derive(Serialize)]
pub(crate) struct Item {
    title: String,
    rows: Vec<(String, String)>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<Facts>,
}

impl Item {
    fn new(title: impl Into<String>) -> Item {
        Item { title: title.into(), rows: Vec::new(), warnings: Vec::new(), pem: None, facts: None }
    }

    fn row(&mut self, label: &str, value: impl Into<String>) {
        self.rows.push((label.to_owned(), value.into()));
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}

pub(crate) fn inspect(command: &Inspect) -> Result<Explained> {
    let now = command.now.unwrap_or_else(now);
    let password = command.password.as_deref();
    if password.is_some_and(|password| password.len() > MAX_PASSWORD_BYTES) {
        return Err(Problem::new("the password is too long", "Give 4,096 bytes at most."));
    }
    let bytes = from_base64(&command.bytes, "the file")?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Problem::new(format!("the file has {} bytes", bytes.len()), "96 MiB are read at most."));
    }
    let explained = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN ") => sections(text, password, now)?,
        // What EST answers, and what is left when the lines with the dashes were not copied.
        Ok(text) => match from_base64(text, "the file") {
            Ok(der) if !der.is_empty() => binary(&der, password, now)?,
            _ => binary(&bytes, password, now)?,
        },
        Err(_) => binary(&bytes, password, now)?,
    };
    let (kinds, items): (Vec<Kind>, Vec<Vec<Item>>) = explained.into_iter().unzip();
    let kind = match kinds.as_slice() {
        [] => return Err(unknown()),
        [first, rest @ ..] if rest.iter().all(|kind| kind == first) => *first,
        _ => Kind::Several,
    };
    let mut items: Vec<Item> = items.into_iter().flatten().collect();
    if kind == Kind::Certificate {
        certificate::explain_chain(&mut items);
    }
    Ok(Explained { kind, items })
}

type Part = (Kind, Vec<Item>);

fn sections(text: &str, password: Option<&str>, now: UnixMs) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for section in pem_sections(text)? {
        parts.push(match one_section(&section, text, password, now) {
            Ok(part) => part,
            Err(problem) => {
                let mut item = Item::new(format!("{} that cannot be explained", crate::names::shown(&section.label)));
                item.warn(format!("{}. {}", problem.message, problem.hint));
                (Kind::Several, vec![item])
            }
        });
    }
    Ok(parts)
}

fn one_section(section: &Pem, text: &str, password: Option<&str>, now: UnixMs) -> Result<Part> {
    let der = section.contents.as_slice();
    bounded(der, if section.label == "X509 CRL" { MAX_FILE_BYTES } else { MAX_OTHER_BYTES })?;
    match section.label.as_str() {
        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
            Ok((Kind::Certificate, vec![certificate::explain(der, now)?]))
        }
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Ok((Kind::Csr, vec![request::explain(der)?])),
        "X509 CRL" => Ok((Kind::Crl, vec![list::explain(der, now)?])),
        "PKCS7" | "CMS" => {
            let contents = pkcs7::read(der).ok_or_else(unknown)?;
            Ok((Kind::Pkcs7, bundle::pkcs7(&contents, now)))
        }
        "PKCS12" => Ok((Kind::Pkcs12, bundle::pkcs12(der, password, now)?)),
        label if label.ends_with("PRIVATE KEY") => Ok((Kind::Key, vec![key::private(label, der, text)])),
        "PUBLIC KEY" => Ok((Kind::Key, vec![key::public(der)?])),
        "EC PARAMETERS" => Ok((Kind::Key, vec![Item::new("Curve of an EC key, nothing secret")])),
        _ => Err(unknown()),
    }
}

/// The first reading that takes all bytes.
fn binary(der: &[u8], password: Option<&str>, now: UnixMs) -> Result<Vec<Part>> {
    let part = |kind, items| Ok(vec![(kind, items)]);
    if let Ok(item) = list::explain(der, now) {
        return part(Kind::Crl, vec![item]);
    }
    bounded(der, MAX_OTHER_BYTES)?;
    if let Ok(item) = certificate::explain(der, now) {
        return part(Kind::Certificate, vec![item]);
    }
    if let Ok(item) = request::explain(der) {
        return part(Kind::Csr, vec![item]);
    }
    if crate::pkcs12::is_bundle(der) {
        return part(Kind::Pkcs12, bundle::pkcs12(der, password, now)?);
    }
    if let Some(contents) = pkcs7::read(der) {
        return part(Kind::Pkcs7, bundle::pkcs7(&contents, now));
    }
    if let Ok(explained) = ocsp::explain_response(der, now) {
        return part(Kind::OcspResponse, vec![ocsp_item("OCSP response", explained)]);
    }
    if let Ok(explained) = ocsp::explain_request(der) {
        return part(Kind::OcspRequest, vec![ocsp_item("OCSP request", explained)]);
    }
    if let Ok(item) = key::public(der) {
        return part(Kind::Key, vec![item]);
    }
    match key::private_der(der) {
        Some(item) => part(Kind::Key, vec![item]),
        None => Err(unknown()),
    }
}

fn ocsp_item(title: &str, explained: ocsp::Explained) -> Item {
    Item { title: title.to_owned(), rows: explained.rows, warnings: explained.warnings, pem: None, facts: None }
}

fn bounded(der: &[u8], most: usize) -> Result<()> {
    if der.len() <= most {
        return Ok(());
    }
    Err(Problem::new(format!("it has {} bytes", der.len()), format!("{most} are read at most.")))
}

fn unknown() -> Problem {
    Problem::new(
        "this is no certificate, CSR, revocation list, PKCS#12, PKCS#7, key or OCSP message",
        "Give the file as it is, as PEM or DER.",
    )
}

const DAY_MS: i64 = 86_400_000;

/// `2026-11-22 01:02:03 UTC (in 89 days)`
fn relative(at: UnixMs, now: UnixMs) -> String {
    let days = at.saturating_sub(now) / DAY_MS;
    let distance = match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        -1 => "1 day ago".to_owned(),
        days if days > 0 => format!("in {days} days"),
        days => format!("{} days ago", -days),
    };
    format!("{} ({distance})", display(at))
}

/// `AB:CD:EF`, as OpenSSL and browsers show fingerprints.
fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
