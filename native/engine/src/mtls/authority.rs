//! The certificates of one authority, as an operator wrote them.
//!
//! webpki checks nothing about a trust anchor but its name, key and name constraints (RFC 5280, 6.2 allows that).
//! OpenSSL and nginx check more, and an operator expects it: so what can be refused when the policy is loaded is
//! refused here, and what depends on the path or the clock is kept for [`super::path`].

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::asn1_rs::Any;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::distinguished_name::rfc2253;
use super::key_strength;
use crate::policy::{Authority, Problem};

/// A certificate that may issue others.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) der: CertificateDer<'static>,
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
}

/// `certificates`: at least one has to be valid at `now`, because an expired anchor is no use but harmless beside its
/// successor; all of them expired means that every client is locked out.
pub(super) fn read_anchors(authority: &Authority, now: u64, problems: &mut Vec<Problem>) -> Vec<Issuer> {
    let at = format!("{}/certificates", authority.at);
    let before = problems.len();
    let anchors = read(&authority.certificates, &at, Role::Anchor, problems);
    if problems.len() > before {
        return anchors;
    }
    if anchors.is_empty() {
        problem(problems, &at, "There is no certificate in it.", "PEM with at least one `BEGIN CERTIFICATE` section.");
    } else if anchors.iter().all(|anchor| anchor.not_after < now) {
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
pub(super) fn read_intermediates(authority: &Authority, problems: &mut Vec<Problem>) -> Vec<Issuer> {
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
        public_key: certificate.public_key().raw.to_vec(),
        not_before: unix(certificate.validity().not_before.timestamp()),
        not_after: unix(certificate.validity().not_after.timestamp()),
        path_length: basic.value.path_len_constraint,
        signs_crls: usage.is_none_or(|usage| usage.value.crl_sign()),
        der: der.clone(),
    })
}

const CA_HINT: &str = "The certificate of the authority that issues client certificates, with \
                       `basicConstraints=critical,CA:TRUE` and `keyUsage=critical,keyCertSign,cRLSign`.";

/// Times before 1970 count as 1970.
fn unix(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}

pub(super) fn problem(problems: &mut Vec<Problem>, at: &str, message: &str, hint: &str) {
    problems.push(Problem { at: at.to_owned(), span: None, message: message.to_owned(), hint: Some(hint.to_owned()) });
}
