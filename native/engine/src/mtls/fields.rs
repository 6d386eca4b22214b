//! The texts of a certificate, spelled as Cloudflare spells its `cf.tls_client_auth.*` fields.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::authority::key_id;
use super::distinguished_name::{legacy, rfc2253};
use super::key_strength;

/// Largest value of `cert_rfc9440`, Cloudflare's bound of that field (10 KiB).
pub const MAX_RFC9440_BYTES: usize = 10 * 1024;

/// The string fields of `cf.tls_client_auth.*` that tell about the certificate itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CertificateField {
    /// `cert_issuer_dn`; the same as [`IssuerDnRfc2253`](Self::IssuerDnRfc2253), as at Cloudflare.
    IssuerDn,
    /// `cert_subject_dn`
    SubjectDn,
    /// `cert_issuer_dn_rfc2253`
    IssuerDnRfc2253,
    /// `cert_subject_dn_rfc2253`
    SubjectDnRfc2253,
    /// `cert_issuer_dn_legacy`
    IssuerDnLegacy,
    /// `cert_subject_dn_legacy`
    SubjectDnLegacy,
    /// `cert_serial`, upper-case hex.
    Serial,
    /// `cert_issuer_serial`, upper-case hex, from the authority key identifier: empty where that names none.
    IssuerSerial,
    /// `cert_fingerprint_sha256`, lower-case hex.
    FingerprintSha256,
    /// `cert_fingerprint_sha1`, lower-case hex.
    FingerprintSha1,
    /// `cert_not_before`, `Mar 21 13:35:00 2022 GMT`.
    NotBefore,
    /// `cert_not_after`
    NotAfter,
    /// `cert_ski`, upper-case hex.
    Ski,
    /// `cert_issuer_ski`, upper-case hex, from the authority key identifier.
    IssuerSki,
    /// `cert_rfc9440`
    Rfc9440,
    /// `cert_chain_rfc9440`: what the client sent behind its certificate; empty where TLS hands over the leaf only.
    ChainRfc9440,
    /// `key_type`: `P-256`, `Ed25519`, `RSA 3072`.
    KeyType,
    /// `spki_sha256`, lower-case hex, of the whole SubjectPublicKeyInfo.
    SpkiSha256,
}

/// The fields of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CertificateNames {
    /// `san_dns`
    Dns,
    /// `san_uri`
    Uri,
    /// `san_email`
    Email,
    /// `eku`: names such as `clientAuth`, dotted identifiers where there is none.
    Usages,
}

/// Everything that is read at the first question for a text.
#[derive(Debug, Default)]
pub(super) struct Fields {
    issuer_rfc2253: String,
    subject_rfc2253: String,
    issuer_legacy: String,
    subject_legacy: String,
    serial: String,
    issuer_serial: String,
    sha1: String,
    not_before: String,
    not_after: String,
    ski: String,
    issuer_ski: String,
    key_type: String,
    spki_sha256: String,
    usages: Vec<String>,
    dns_names: Vec<String>,
    email_addresses: Vec<String>,
    uris: Vec<String>,
}

impl Fields {
    pub(super) fn read(der: &[u8]) -> Fields {
        let mut fields = Fields::default();
        if !der.is_empty() {
            // Only a name that operators compare with; nothing is decided by SHA-1.
            fields.sha1 = lower_hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
        }
        let Ok((&[], certificate)) = X509Certificate::from_der(der) else { return fields };
        fields.issuer_rfc2253 = rfc2253(certificate.issuer());
        fields.subject_rfc2253 = rfc2253(certificate.subject());
        fields.issuer_legacy = legacy(certificate.issuer());
        fields.subject_legacy = legacy(certificate.subject());
        fields.serial = serial_hex(certificate.raw_serial());
        fields.not_before = date(certificate.validity().not_before);
        fields.not_after = date(certificate.validity().not_after);
        fields.key_type = key_strength::describe(certificate.public_key());
        fields.spki_sha256 = lower_hex(&key_id(certificate.public_key().raw));
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => fields.ski = upper_hex(id.0),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    fields.issuer_ski = id.key_identifier.as_ref().map(|id| upper_hex(id.0)).unwrap_or_default();
                    fields.issuer_serial = id.authority_cert_serial.map(serial_hex).unwrap_or_default();
                }
                ParsedExtension::ExtendedKeyUsage(usage) => fields.usages = usages(usage),
                ParsedExtension::SubjectAlternativeName(names) => fields.keep_names(&names.general_names),
                _ => {}
            }
        }
        fields
    }

    fn keep_names(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => self.email_addresses.push((*name).to_owned()),
                GeneralName::URI(name) => self.uris.push((*name).to_owned()),
                _ => {}
            }
        }
    }

    pub(super) fn names(&self, names: CertificateNames) -> &[String] {
        match names {
            CertificateNames::Dns => &self.dns_names,
            CertificateNames::Uri => &self.uris,
            CertificateNames::Email => &self.email_addresses,
            CertificateNames::Usages => &self.usages,
        }
    }

    pub(super) fn text(&self, field: CertificateField) -> &str {
        match field {
            CertificateField::IssuerDn | CertificateField::IssuerDnRfc2253 => &self.issuer_rfc2253,
            CertificateField::SubjectDn | CertificateField::SubjectDnRfc2253 => &self.subject_rfc2253,
            CertificateField::IssuerDnLegacy => &self.issuer_legacy,
            CertificateField::SubjectDnLegacy => &self.subject_legacy,
            CertificateField::Serial => &self.serial,
            CertificateField::IssuerSerial => &self.issuer_serial,
            CertificateField::FingerprintSha1 => &self.sha1,
            CertificateField::NotBefore => &self.not_before,
            CertificateField::NotAfter => &self.not_after,
            CertificateField::Ski => &self.ski,
            CertificateField::IssuerSki => &self.issuer_ski,
            CertificateField::KeyType => &self.key_type,
            CertificateField::SpkiSha256 => &self.spki_sha256,
            CertificateField::FingerprintSha256 | CertificateField::Rfc9440 | CertificateField::ChainRfc9440 => "",
        }
    }
}

/// RFC 5280, 4.2.1.12; the order is that of their identifiers, not the certificate's.
fn usages(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let names = named.into_iter().filter(|(there, _)| *there).map(|(_, name)| name.to_owned());
    names.chain(usage.other.iter().map(ToString::to_string)).collect()
}

/// A byte sequence of structured fields (RFC 8941, 3.3.5), as RFC 9440, 2.2 wants it. None when too large.
pub(super) fn rfc9440(der: &[u8]) -> Option<String> {
    let length = der.len().div_ceil(3) * 4 + 2;
    if der.is_empty() || length > MAX_RFC9440_BYTES {
        return None;
    }
    let mut value = String::with_capacity(length);
    value.push(':');
    STANDARD.encode_string(der, &mut value);
    value.push(':');
    Some(value)
}

/// The same for Unix seconds; their number where no calendar reaches.
pub(super) fn date_of(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    time.map_or_else(|| seconds.to_string(), date)
}

/// As OpenSSL's `ASN1_TIME_print` writes it; the day is padded with a space.
fn date(time: ASN1Time) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = time.to_datetime();
    let month = MONTHS[usize::from(u8::from(time.month())) - 1];
    let (hour, minute, second) = time.to_hms();
    format!("{month} {:2} {hour:02}:{minute:02}:{second:02} {} GMT", time.day(), time.year())
}

/// Whole bytes without the sign byte, as OpenSSL prints a serial.
pub(super) fn serial_hex(raw: &[u8]) -> String {
    let significant = raw.iter().position(|&byte| byte != 0).unwrap_or(raw.len().saturating_sub(1));
    upper_hex(&raw[significant..])
}

pub(super) fn lower_hex(bytes: &[u8]) -> String {
    hex(bytes, b"0123456789abcdef")
}

pub(super) fn upper_hex(bytes: &[u8]) -> String {
    hex(bytes, b"0123456789ABCDEF")
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(digits[usize::from(byte >> 4)]));
        text.push(char::from(digits[usize::from(byte & 15)]));
    }
    text
}
