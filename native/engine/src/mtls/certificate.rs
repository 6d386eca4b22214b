//! A client certificate as it was presented; nothing here says whether it is to be trusted.
//!
//! Reading never fails: what cannot be read becomes a certificate with a fault, so that the denial, the log line and
//! the metrics treat it like any other bad certificate. Only what every request needs is read at once; the texts that
//! rules compare are read at the first question for one of them.
//!
//! What came along with it belongs to it: verdicts are kept with the certificate, so another chain is another certificate
//! here, and none answers for the other.

use std::sync::OnceLock;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::authority::{self, Issuer, names_mail, sha256};
use super::fields::{self, CertificateField, CertificateNames, Fields};
use super::headers::{self, MAX_CHAIN_BYTES};
use super::key_strength;
use super::pem::pem;
use super::revocation_list::serial_key;
use crate::reason::Reason;

/// Largest certificate that is read: the bound of a whole request head, because a larger one could not be forwarded
/// in a header anyway. Client certificates are 0.5 to 3 KiB; those with long SPIFFE or attribute lists reach 8.
pub const MAX_DER_BYTES: usize = 16 * 1024;

/// Most certificates that are read behind a leaf: the six intermediates that webpki follows, and an anchor.
pub const MAX_SENT: usize = 7;
/// Most bytes of them. TLS has no longer messages.
pub const MAX_SENT_BYTES: usize = 64 * 1024;

/// The same in PEM: base64 is 4/3 of the bytes, a line break per 64 characters, and the two marker lines.
const MAX_PEM_BYTES: usize = MAX_DER_BYTES / 2 * 3;

/// A parsed client certificate. Parsed once, shared by all requests of its connections.
#[derive(Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
    sha256: [u8; 32],
    sha256_hex: String,
    not_after: u64,
    names_mail: bool,
    fault: Option<Reason>,
    unfit: Option<Reason>,
    fields: OnceLock<Box<Fields>>,
    rfc9440: OnceLock<String>,
    /// What the client sent behind it, in its order.
    sent: Vec<Box<[u8]>>,
    /// Those of them that could issue: one of a name, so that there is one way through them, and a client cannot make
    /// the search for a path dear.
    issuers: Vec<Issuer>,
    chain_rfc9440: OnceLock<Option<String>>,
}

impl Certificate {
    /// A client's chain as TLS has it: DER, its own certificate first. Never fails either: a chain that is too long is
    /// read as if nothing had come behind the leaf.
    #[must_use]
    pub fn from_chain(leaf: &[u8], sent: &[impl AsRef<[u8]>]) -> Certificate {
        if leaf.len() > MAX_DER_BYTES {
            return Certificate::unreadable();
        }
        let mut certificate = Certificate::from_der(CertificateDer::from(leaf.to_vec()));
        let bytes: usize = sent.iter().map(|der| der.as_ref().len()).sum();
        if sent.len() <= MAX_SENT && bytes <= MAX_SENT_BYTES {
            certificate.sent = sent.iter().map(|der| der.as_ref().into()).collect();
            for issuer in sent.iter().filter_map(|der| authority::sent(der.as_ref())) {
                if !certificate.issuers.iter().any(|known| known.subject == issuer.subject) {
                    certificate.issuers.push(issuer);
                }
            }
        }
        certificate
    }

    /// Never fails: what cannot be read yields a certificate with a [`fault`](Self::fault).
    #[must_use]
    pub fn from_pem(pem: &str) -> Certificate {
        let der = if pem.len() <= MAX_PEM_BYTES { CertificateDer::from_pem_slice(pem.as_bytes()).ok() } else { None };
        match der {
            Some(der) if der.len() <= MAX_DER_BYTES => Certificate::from_der(der),
            _ => Certificate::unreadable(),
        }
    }

    fn unreadable() -> Certificate {
        Certificate {
            der: CertificateDer::from(Vec::new()),
            sha256: [0; 32],
            sha256_hex: String::new(),
            not_after: 0,
            names_mail: false,
            fault: Some(Reason::MtlsMalformed),
            unfit: None,
            fields: OnceLock::new(),
            rfc9440: OnceLock::new(),
            sent: Vec::new(),
            issuers: Vec::new(),
            chain_rfc9440: OnceLock::new(),
        }
    }

    fn from_der(der: CertificateDer<'static>) -> Certificate {
        let (inspected, fault) = match inspect(&der) {
            Ok(inspected) => (inspected, None),
            Err(fault) => (Inspected::default(), Some(fault)),
        };
        let Inspected { not_after, names_mail, unfit } = inspected;
        let sha256 = sha256(&der);
        Certificate {
            sha256,
            sha256_hex: fields::lower_hex(&sha256),
            der,
            not_after,
            names_mail,
            fault,
            unfit,
            fields: OnceLock::new(),
            rfc9440: OnceLock::new(),
            sent: Vec::new(),
            issuers: Vec::new(),
            chain_rfc9440: OnceLock::new(),
        }
    }

    /// Why the certificate cannot be used at all, whoever issued it: `MtlsMalformed` or `MtlsVersion`.
    #[must_use]
    pub fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// Why the certificate may not authenticate a client although its issuer is trusted: a weak key, or a key usage
    /// without digitalSignature. Told only behind a good path, because a missing path is the more useful news.
    pub(super) fn unfit(&self) -> Option<Reason> {
        self.unfit
    }

    /// Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// The subject holds an emailAddress.
    pub(super) fn names_mail(&self) -> bool {
        self.names_mail
    }

    /// Lower-case hex of the SHA-256 over the DER; empty when there is no DER.
    #[must_use]
    pub fn sha256_hex(&self) -> &str {
        &self.sha256_hex
    }

    /// The certificate's bytes; empty when the PEM could not be read.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// RFC 7468, 64 characters a line, with a newline at the end; empty when there is no DER.
    #[must_use]
    pub fn pem(&self) -> String {
        if self.der.is_empty() { String::new() } else { pem(&self.der) }
    }

    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    pub(super) fn as_der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The field's value; empty when the certificate has none. Never says that the certificate is trusted.
    #[must_use]
    pub fn field(&self, field: CertificateField) -> &str {
        match field {
            CertificateField::FingerprintSha256 => &self.sha256_hex,
            CertificateField::Rfc9440 => self.rfc9440(),
            CertificateField::ChainRfc9440 => self.chain_rfc9440().unwrap_or_default(),
            _ => self.fields().text(field),
        }
    }

    /// `:base64:` as in `Client-Cert` (RFC 9440, 2.2); empty when [too large](Self::rfc9440_too_large).
    #[must_use]
    pub fn rfc9440(&self) -> &str {
        self.rfc9440.get_or_init(|| fields::rfc9440(&self.der).unwrap_or_default())
    }

    /// `cert_rfc9440_too_large`
    #[must_use]
    pub fn rfc9440_too_large(&self) -> bool {
        !self.der.is_empty() && self.rfc9440().is_empty()
    }

    /// As in `Client-Cert-Chain` (RFC 9440, 2.3): what was sent behind the leaf; None when too large.
    fn chain_rfc9440(&self) -> Option<&str> {
        let made = || {
            let value = headers::chain_value(self.sent.iter().map(|der| &**der))?;
            (value.len() <= MAX_CHAIN_BYTES).then_some(value)
        };
        self.chain_rfc9440.get_or_init(made).as_deref()
    }

    /// `cert_chain_rfc9440_too_large`
    #[must_use]
    pub fn chain_rfc9440_too_large(&self) -> bool {
        self.chain_rfc9440().is_none()
    }

    /// Issuers that the client sent: believed no more than it.
    pub(super) fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Values of the subject alternative name and the extended key usage, in the certificate's own bytes: what they
    /// hold is the issuer's to answer for.
    #[must_use]
    pub fn names(&self, names: CertificateNames) -> &[String] {
        self.fields().names(names)
    }

    fn fields(&self) -> &Fields {
        self.fields.get_or_init(|| Box::new(Fields::read(&self.der)))
    }
}

/// What webpki does not look at or show.
#[derive(Default)]
struct Inspected {
    not_after: u64,
    names_mail: bool,
    unfit: Option<Reason>,
}

/// `Err` is a fault.
fn inspect(der: &[u8]) -> Result<Inspected, Reason> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Reason::MtlsMalformed)?;
    if !rest.is_empty() {
        return Err(Reason::MtlsMalformed);
    }
    if certificate.version() != X509Version::V3 {
        return Err(Reason::MtlsVersion);
    }
    // RFC 5280, 4.1.2.2. No list can name such a certificate, so it could not be taken back.
    if serial_key(certificate.raw_serial()).is_none() {
        return Err(Reason::MtlsMalformed);
    }
    // RFC 5280, 4.2.1.3: the key signs the TLS handshake, so a key usage that is present has to allow that.
    let signs = match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.digital_signature()),
        Err(_) => return Err(Reason::MtlsMalformed),
    };
    let unfit = if !key_strength::is_strong(certificate.public_key()) {
        Some(Reason::MtlsSignature)
    } else if !signs {
        Some(Reason::MtlsUsage)
    } else {
        None
    };
    Ok(Inspected {
        not_after: u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0),
        names_mail: names_mail(certificate.subject()),
        unfit,
    })
}
