//! Certificate revocation lists, version 2 (RFC 5280, 5).

use der::asn1::{AnyRef, Ia5String, OctetString, Uint};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode, Sequence};
use serde::{Deserialize, Serialize};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::time::Time;

use crate::extensions::{authority_key_identifier, extension};
use crate::issuer::{Issuer, IssuerPem};
use crate::names::check_url;
use crate::problem::{Problem, Result};
use crate::signed::sign;
use crate::text::{serial_bytes, to_base64, to_pem};
use crate::time::{UnixMs, time};

/// Entries of one list. Two million are 80 MB, more than clients fetch; beyond, authorities are split.
const MAX_REVOKED: usize = 2_000_000;

const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const REASON_CODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
/// Version 2
const VERSION_2: u8 = 1;

#[derive(Deserialize)]
pub struct MakeList {
    issuer: IssuerPem,
    number: u64,
    this_update: UnixMs,
    next_update: UnixMs,
    /// Where this list is published. Clients then take it only for certificates that name the same place, so leave it
    /// out unless all do.
    url: Option<String>,
    revoked: Vec<Revoked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    serial: String,
    at: UnixMs,
    #[serde(default)]
    reason: Option<Reason>,
}

/// RFC 5280, 5.3.1
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    PrivilegeWithdrawn,
    AaCompromise,
}

impl Reason {
    pub(crate) fn code(self) -> CrlReason {
        match self {
            Reason::Unspecified => CrlReason::Unspecified,
            Reason::KeyCompromise => CrlReason::KeyCompromise,
            Reason::CaCompromise => CrlReason::CaCompromise,
            Reason::AffiliationChanged => CrlReason::AffiliationChanged,
            Reason::Superseded => CrlReason::Superseded,
            Reason::CessationOfOperation => CrlReason::CessationOfOperation,
            Reason::CertificateHold => CrlReason::CertificateHold,
            Reason::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
            Reason::AaCompromise => CrlReason::AaCompromise,
        }
    }
}

#[derive(Serialize)]
pub struct List {
    /// base64
    der: String,
    pem: String,
}

/// TBSCertList
#[derive(Sequence)]
struct Content<'a> {
    version: u8,
    signature: AnyRef<'a>,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Time,
    revoked: Option<Vec<Entry>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Entry {
    serial: Uint,
    at: Time,
    extensions: Option<Vec<Extension>>,
}

/// IssuingDistributionPoint with its name alone: the list speaks for everything of its issuer.
#[derive(Sequence)]
struct IssuingDistributionPoint {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    distribution_point: DistributionPointName,
}

pub(crate) fn make(command: &MakeList) -> Result<List> {
    let issuer = Issuer::read(&command.issuer)?;
    issuer.may_sign_lists()?;
    if command.next_update <= command.this_update {
        return Err(Problem::new("nextUpdate is not after thisUpdate", "Give a list some time to live."));
    }
    if command.revoked.len() > MAX_REVOKED {
        return Err(Problem::new(
            format!("{} revoked certificates", command.revoked.len()),
            format!("{MAX_REVOKED} fit at most: leave out those that have expired."),
        ));
    }
    let mut entries = Vec::with_capacity(command.revoked.len());
    for revoked in &command.revoked {
        entries.push(Entry {
            serial: Uint::new(&serial_bytes(&revoked.serial)?)?,
            at: time(revoked.at, "the time of a revocation")?,
            extensions: reason_code(revoked.reason)?,
        });
    }
    let mut extensions = vec![
        authority_key_identifier(&issuer.key_identifier)?,
        extension(CRL_NUMBER, false, &Uint::new(&command.number.to_be_bytes())?)?,
    ];
    if let Some(url) = &command.url {
        check_url(url, "address of the revocation list")?;
        let names = vec![GeneralName::UniformResourceIdentifier(Ia5String::new(url)?)];
        let point = IssuingDistributionPoint { distribution_point: DistributionPointName::FullName(names) };
        extensions.push(extension(ISSUING_DISTRIBUTION_POINT, true, &point)?);
    }
    let content = Content {
        version: VERSION_2,
        signature: AnyRef::from_der(issuer.key.signature_algorithm())?,
        issuer: AnyRef::from_der(&issuer.name)?,
        this_update: time(command.this_update, "thisUpdate")?,
        next_update: time(command.next_update, "nextUpdate")?,
        // RFC 5280, 5.1.2.6: absent when nothing is revoked.
        revoked: if entries.is_empty() { None } else { Some(entries) },
        extensions,
    };
    let der = sign(&content.to_der()?, &issuer.key)?;
    Ok(List { pem: to_pem("X509 CRL", &der), der: to_base64(&der) })
}

/// RFC 5280, 5.3.1: absent rather than `unspecified`.
fn reason_code(reason: Option<Reason>) -> Result<Option<Vec<Extension>>> {
    match reason {
        None | Some(Reason::Unspecified) => Ok(None),
        Some(reason) => {
            // ENUMERATED of one byte.
            let value = OctetString::new([0x0a, 1, reason.code() as u8])?;
            Ok(Some(vec![Extension { extn_id: REASON_CODE, critical: false, extn_value: value }]))
        }
    }
}
