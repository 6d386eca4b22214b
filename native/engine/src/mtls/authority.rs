//! One authority, read from what an operator wrote.
//!
//! webpki checks nothing about a trust anchor but its name, key and name constraints (RFC 5280, 6.2 allows that).
//! OpenSSL and nginx check more, and an operator expects it: so what can be refused when the policy is loaded is
//! refused here, and what depends on the path or the clock is kept for [`super::path`].

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::asn1_rs::Any;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, NameConstraints, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{X509Name, X509Version};

use super::distinguished_name::rfc2253;
use super::key_strength;
use super::revocation_list::{RevocationList, read_lists, serial_key};
use crate::meters::{self, StaleSeries};
use crate::policy::{self, Problem, Revocation};

/// SHA-256 of a whole SubjectPublicKeyInfo: what tells issuers apart. Names do not.
pub type KeyId = [u8; 32];

/// Who may issue client certificates: its certificates and its lists, compiled once and shared by all trust sets.
#[derive(Debug)]
pub struct Authority {
    pub(super) name: String,
    pub(super) anchors: Vec<Issuer>,
    pub(super) intermediates: Vec<Issuer>,
    /// From files; of one scope the newest.
    pub(super) lists: Vec<Arc<RevocationList>>,
    pub(super) revocation: Revocation,
    pub(super) stale: StaleSeries,
}

impl Authority {
    /// Whatever is wrong is added to `problems`, and the authority must then not be used. `now` is in Unix seconds.
    pub fn compile(written: &policy::Authority, now: u64, problems: &mut Vec<Problem>) -> Authority {
        let anchors = read_anchors(written, now, problems);
        let intermediates = read_intermediates(written, problems);
        let issuers: Vec<&Issuer> = anchors.iter().chain(&intermediates).collect();
        let lists = read_lists(written, &issuers, problems);
        Authority {
            name: written.name.clone(),
            anchors,
            intermediates,
            lists,
            revocation: written.revocation,
            stale: meters::stale_series(&written.name),
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.anchors.iter().chain(&self.intermediates)
    }

    /// Whether a key is one of the authority's own.
    #[must_use]
    pub fn holds_key(&self, key: &KeyId) -> bool {
        self.issuers().any(|issuer| issuer.key_id == *key)
    }
}

/// A certificate that may issue others.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) der: CertificateDer<'static>,
    pub(super) key_id: KeyId,
    /// RFC 2253, for people.
    pub(super) shown: String,
    /// Content of the subject's SEQUENCE: how webpki compares names.
    pub(super) subject: Vec<u8>,
    /// Whole SubjectPublicKeyInfo.
    pub(super) public_key: Vec<u8>,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// pathLenConstraint.
    pub(super) path_length: Option<u32>,
    /// Key usage is absent or holds cRLSign.
    pub(super) signs_crls: bool,
    /// Its name constraints speak of mail addresses.
    pub(super) constrains_mail: bool,
    /// Its own subject holds a mail address.
    pub(super) names_mail: bool,
}

/// `certificates`: at least one has to be valid at `now`, because an expired anchor is no use but harmless beside its
/// successor; all of them expired means that every client is locked out. A hosted authority may have none, or only
/// expired ones: the file cannot mend that, and must not be refused for it.
fn read_anchors(authority: &policy::Authority, now: u64, problems: &mut Vec<Problem>) -> Vec<Issuer> {
    let at = format!("{}/certificates", authority.at);
    if authority.hosted && authority.certificates.trim().is_empty() {
        return Vec::new();
    }
    let before = problems.len();
    let anchors = read(&authority.certificates, &at, Role::Anchor, problems);
    if problems.len() > before {
        return anchors;
    }
    if anchors.is_empty() {
        problem(problems, &at, "There is no certificate in it.", "PEM with at least one `BEGIN CERTIFICATE` section.");
    } else if !authority.hosted && anchors.iter().all(|anchor| anchor.not_after < now) {
        problem(
            problems,
            &at,
            "Every certificate of this authority has expired.",
            "Add the authority's current certificate; expired ones may stay beside it.",
        );
    }
    anchors
}

/// `intermediates`: may be absent; expired ones are skipped while paths are built.
fn read_intermediates(authority: &policy::Authority, problems: &mut Vec<Problem>) -> Vec<Issuer> {
    if authority.intermediates.trim().is_empty() {
        return Vec::new();
    }
    let at = format!("{}/intermediates", authority.at);
    let before = problems.len();
    let intermediates = read(&authority.intermediates, &at, Role::Intermediate, problems);
    if intermediates.is_empty() && problems.len() == before {
        problem(problems, &at, "There is no certificate in it.", "PEM with `BEGIN CERTIFICATE` sections.");
    }
    intermediates
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Anchor,
    Intermediate,
}

fn read(pem: &str, at: &str, role: Role, problems: &mut Vec<Problem>) -> Vec<Issuer> {
    let mut issuers = Vec::new();
    for (index, der) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let number = index + 1;
        match der {
            Ok(der) => match read_issuer(der, role) {
                Ok(issuer) => issuers.push(issuer),
                Err(refusal) => problem(
                    problems,
                    at,
                    &format!("Certificate {number} ({}) {}", refusal.subject, refusal.message),
                    refusal.hint,
                ),
            },
            Err(error) => {
                problem(problems, at, &format!("Not readable as PEM: {error}."), "Whole PEM sections, base64 inside.");
                break;
            }
        }
    }
    issuers
}

struct Refusal {
    subject: String,
    message: &'static str,
    hint: &'static str,
}

/// An issuer that a client sent along: none that would be refused among the configured ones.
pub(super) fn sent(der: &[u8]) -> Option<Issuer> {
    read_issuer(CertificateDer::from(der.to_vec()), Role::Intermediate).ok()
}

fn read_issuer(der: CertificateDer<'static>, role: Role) -> Result<Issuer, Refusal> {
    let unreadable = || Refusal {
        subject: "unreadable".to_owned(),
        message: "is not valid DER.",
        hint: "`openssl x509 -in FILE -noout -text` shows what is wrong.",
    };
    let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
    if !rest.is_empty() {
        return Err(unreadable());
    }
    let refuse = |message, hint| Err(Refusal { subject: rfc2253(certificate.subject()), message, hint });
    if certificate.version() != X509Version::V3 {
        return refuse(
            "is X.509 version 1, which cannot say that it is an authority.",
            "Reissue it over the same key as version 3: `openssl x509 -in OLD -signkey KEY -clrext -extfile FILE` \
             with `basicConstraints=critical,CA:TRUE` and `keyUsage=critical,keyCertSign,cRLSign`; clients keep \
             their certificates.",
        );
    }
    let Ok(Some(basic)) = certificate.basic_constraints() else {
        return refuse("is not an authority: it has no basicConstraints.", CA_HINT);
    };
    if !basic.value.ca {
        return refuse("is not an authority: its basicConstraints say CA:FALSE.", CA_HINT);
    }
    let Ok(usage) = certificate.key_usage() else { return Err(unreadable()) };
    if usage.as_ref().is_some_and(|usage| !usage.value.key_cert_sign()) {
        return refuse("may not issue certificates: its key usage lacks keyCertSign.", CA_HINT);
    }
    if !key_strength::is_strong(certificate.public_key()) {
        return refuse(
            "has a key that is too weak: nothing it signs would be accepted.",
            "RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519.",
        );
    }
    match certificate.extended_key_usage() {
        Ok(Some(purposes)) if role == Role::Anchor && !purposes.value.client_auth => {
            return refuse(
                "is restricted to other purposes: its extended key usage lacks clientAuth.",
                "An authority without extended key usage, or with clientAuth among it.",
            );
        }
        Err(_) => return Err(unreadable()),
        _ => {}
    }
    if serial_key(certificate.raw_serial()).is_none() {
        return refuse(
            "has a serial number of more than 20 octets (RFC 5280, 4.1.2.2), which no revocation list can name.",
            "Reissue it with a shorter serial number.",
        );
    }
    let Ok(constraints) = certificate.name_constraints() else { return Err(unreadable()) };
    let unknown = |extension: &X509Extension<'_>| {
        extension.critical && matches!(extension.parsed_extension(), ParsedExtension::UnsupportedExtension { .. })
    };
    if certificate.extensions().iter().any(unknown) {
        return refuse(
            "has a critical extension that is not understood, so it must not be relied on (RFC 5280, 4.2).",
            "`openssl x509 -in FILE -noout -text` shows its extensions.",
        );
    }
    // What webpki cannot read it would skip silently while it looks for a path.
    let acceptable = match role {
        Role::Anchor => webpki::anchor_from_trusted_cert(&der).is_ok(),
        Role::Intermediate => webpki::EndEntityCert::try_from(&der).is_ok(),
    };
    if !acceptable {
        return refuse(
            "cannot be used to build a path: it is malformed or has a critical extension that is not understood.",
            "`openssl x509 -in FILE -noout -text` shows its extensions.",
        );
    }
    let Ok((_, subject)) = Any::from_der(certificate.subject().as_raw()) else { return Err(unreadable()) };
    Ok(Issuer {
        subject: subject.data.to_vec(),
        key_id: key_id(certificate.public_key().raw),
        shown: rfc2253(certificate.subject()),
        public_key: certificate.public_key().raw.to_vec(),
        not_before: unix(certificate.validity().not_before.timestamp()),
        not_after: unix(certificate.validity().not_after.timestamp()),
        path_length: basic.value.path_len_constraint,
        signs_crls: usage.is_none_or(|usage| usage.value.crl_sign()),
        constrains_mail: constraints.is_some_and(|constraints| speaks_of_mail(constraints.value)),
        names_mail: names_mail(certificate.subject()),
        der: der.clone(),
    })
}

const CA_HINT: &str = "The certificate of the authority that issues client certificates, with \
                       `basicConstraints=critical,CA:TRUE` and `keyUsage=critical,keyCertSign,cRLSign`.";

fn speaks_of_mail(constraints: &NameConstraints<'_>) -> bool {
    let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    subtrees.into_iter().flatten().flatten().any(|subtree| matches!(subtree.base, GeneralName::RFC822Name(_)))
}

/// Whether a subject holds an emailAddress, which constraints of mail addresses speak of as well (RFC 5280, 4.2.1.10).
pub(super) fn names_mail(subject: &X509Name<'_>) -> bool {
    subject.iter_email().next().is_some()
}

pub(super) fn key_id(public_key: &[u8]) -> KeyId {
    sha256(public_key)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Times before 1970 count as 1970.
fn unix(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}

pub(super) fn problem(problems: &mut Vec<Problem>, at: &str, message: &str, hint: &str) {
    problems.push(Problem { at: at.to_owned(), span: None, message: message.to_owned(), hint: Some(hint.to_owned()) });
}
