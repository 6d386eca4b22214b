//! A client certificate as it was presented; nothing here says whether it is to be trusted.

use std::sync::OnceLock;

use crate::reason::Reason;

/// A parsed client certificate. Parsed once, shared by all requests of its connections.
#[derive(Debug)]
pub struct Certificate {
    der: Vec<u8>,
    sha256_hex: String,
    fault: Option<Reason>,
    rfc9440: OnceLock<String>,
}

/// The string fields of `cf.tls_client_auth.*` that tell about the certificate itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CertificateField {
    /// `cert_issuer_dn`
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
    /// `cert_serial`
    Serial,
    /// `cert_issuer_serial`
    IssuerSerial,
    /// `cert_fingerprint_sha256`
    FingerprintSha256,
    /// `cert_fingerprint_sha1`
    FingerprintSha1,
    /// `cert_not_before`
    NotBefore,
    /// `cert_not_after`
    NotAfter,
    /// `cert_ski`
    Ski,
    /// `cert_issuer_ski`
    IssuerSki,
    /// `cert_rfc9440`
    Rfc9440,
    /// `cert_chain_rfc9440`; empty, because TLS hands over the leaf only.
    ChainRfc9440,
}

impl Certificate {
    /// Never fails: what cannot be read yields a certificate with a fault.
    #[must_use]
    pub fn from_pem(pem: &str) -> Certificate {
        let _ = pem;
        Certificate {
            der: Vec::new(),
            sha256_hex: String::new(),
            fault: Some(Reason::MtlsMalformed),
            rfc9440: OnceLock::new(),
        }
    }

    /// Why the certificate cannot be used at all, whoever issued it.
    #[must_use]
    pub fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// Lower-case hex of the SHA-256 over the DER.
    #[must_use]
    pub fn sha256_hex(&self) -> &str {
        &self.sha256_hex
    }

    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The field's value; empty when the certificate has none.
    #[must_use]
    pub fn field(&self, field: CertificateField) -> &str {
        match field {
            CertificateField::FingerprintSha256 => self.sha256_hex(),
            CertificateField::Rfc9440 => self.rfc9440(),
            _ => "",
        }
    }

    /// `:base64:` as in `Client-Cert` (RFC 9440, 2.2); empty when too large.
    #[must_use]
    pub fn rfc9440(&self) -> &str {
        self.rfc9440.get_or_init(String::new)
    }

    /// `cert_rfc9440_too_large`
    #[must_use]
    pub fn rfc9440_too_large(&self) -> bool {
        false
    }

    /// `cert_chain_rfc9440_too_large`; never, because TLS hands over the leaf only.
    #[must_use]
    pub fn chain_rfc9440_too_large(&self) -> bool {
        false
    }

    /// DNS names of the subject alternative name.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Mail addresses of the subject alternative name.
    pub fn email_addresses(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// URIs of the subject alternative name (SPIFFE ids).
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}
