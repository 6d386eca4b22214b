//! What a certificate says, as the store and the admin API keep it.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::distinguished_name::rfc4514;
use crate::extensions::USAGES;
use crate::names::AlternativeNames;
use crate::problem::{Problem, Result};
use crate::public_key;
use crate::text::{lower_hex, serial_text};
use crate::time::UnixMs;

/// Largest certificate that is read: the engine's bound for what clients present, times four for authorities with long
/// name constraints.
pub(crate) const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// RFC 4514
    pub subject: String,
    /// RFC 4514
    pub issuer: String,
    /// Upper-case hex, whole bytes, no leading zero byte.
    pub serial: String,
    /// Lower-case hex SHA-256 of the DER.
    pub fingerprint: String,
    /// Lower-case hex SHA-256 of the certificate's own SubjectPublicKeyInfo.
    pub key_id: String,
    /// Authority key identifier, lower-case hex.
    pub issuer_key_id: Option<String>,
    /// `P-256`, `Ed25519`, `RSA 3072`
    pub key_type: String,
    pub not_before: UnixMs,
    pub not_after: UnixMs,
    pub is_authority: bool,
    pub path_length: Option<u32>,
    pub dns: Vec<String>,
    pub email: Vec<String>,
    pub uri: Vec<String>,
    pub ip: Vec<String>,
    /// Names as OpenSSL's, else dotted identifiers.
    pub eku: Vec<String>,
    /// The names of subject and issuer are the same and its own key signed it.
    pub self_signed: bool,
    pub crl_urls: Vec<String>,
    pub ocsp_urls: Vec<String>,
}

/// A certificate as DER, whole: nothing behind it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>> {
    let hint = "Give an X.509 certificate as DER or PEM.";
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(Problem::new(format!("the certificate has {} bytes", der.len()), "64 KiB are read at most."));
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Problem::new("there are bytes behind the certificate", hint)),
        Err(_) => Err(Problem::new("the certificate cannot be read", hint)),
    }
}

pub(crate) fn facts(der: &[u8], certificate: &X509Certificate<'_>) -> Facts {
    let key = certificate.public_key();
    let constraints = certificate.basic_constraints().ok().flatten().map(|found| found.value);
    let mut facts = Facts {
        subject: rfc4514(certificate.subject()),
        issuer: rfc4514(certificate.issuer()),
        serial: serial_text(certificate.raw_serial()),
        fingerprint: lower_hex(digest(&SHA256, der).as_ref()),
        key_id: public_key::key_id(key.raw),
        issuer_key_id: None,
        key_type: public_key::kind(key),
        not_before: certificate.validity().not_before.timestamp().saturating_mul(1000),
        not_after: certificate.validity().not_after.timestamp().saturating_mul(1000),
        is_authority: constraints.is_some_and(|found| found.ca),
        path_length: constraints.and_then(|found| found.path_len_constraint),
        dns: Vec::new(),
        email: Vec::new(),
        uri: Vec::new(),
        ip: Vec::new(),
        eku: Vec::new(),
        self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw()
            && public_key::signed_by(der, key.raw),
        crl_urls: Vec::new(),
        ocsp_urls: Vec::new(),
    };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                let AlternativeNames { dns, email, uri, ip } = alternative_names(&names.general_names).0;
                (facts.dns, facts.email, facts.uri, facts.ip) = (dns, email, uri, ip);
            }
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                facts.issuer_key_id = identifier.key_identifier.as_ref().map(|identifier| lower_hex(identifier.0));
            }
            ParsedExtension::ExtendedKeyUsage(_) => facts.eku = usages(extension.value),
            ParsedExtension::CRLDistributionPoints(points) => {
                for point in points.iter() {
                    if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                        facts.crl_urls.extend(alternative_names(names).0.uri);
                    }
                }
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                for access in &access.accessdescs {
                    if let GeneralName::URI(uri) = access.access_location
                        && access.access_method.to_id_string() == "1.3.6.1.5.5.7.48.1"
                    {
                        facts.ocsp_urls.push(uri.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    facts
}

/// By kind, and what is of another kind in words.
pub(crate) fn alternative_names(names: &[GeneralName<'_>]) -> (AlternativeNames, Vec<String>) {
    let mut known = AlternativeNames::default();
    let mut others = Vec::new();
    for name in names {
        match name {
            GeneralName::DNSName(name) => known.dns.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => known.email.push((*name).to_owned()),
            GeneralName::URI(name) => known.uri.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match ip(bytes) {
                Some(address) => known.ip.push(address),
                None => others.push(format!("IP address of {} bytes", bytes.len())),
            },
            GeneralName::DirectoryName(name) => others.push(format!("directory name {}", rfc4514(name))),
            GeneralName::OtherName(oid, _) => others.push(format!("other name {}", oid.to_id_string())),
            GeneralName::RegisteredID(oid) => others.push(format!("registered ID {}", oid.to_id_string())),
            _ => others.push("a name of a kind that is not read".to_owned()),
        }
    }
    (known, others)
}

fn ip(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
}

/// In the order of the extension.
pub(crate) fn usages(value: &[u8]) -> Vec<String> {
    use der::Decode;
    Vec::<der::oid::ObjectIdentifier>::from_der(value)
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .map(|oid| USAGES.iter().find(|(known, _)| *known == oid).map_or(oid, |(_, name)| (*name).to_owned()))
        .collect()
}
