//! Believing the answer of somebody's responder: every detail has to hold, or there is no answer (RFC 6960, 3.2).

use der::asn1::GeneralizedTime;
use der::{Decode, Encode};
use serde::{Deserialize, Serialize};
use x509_cert::ext::pkix::CrlReason;
use x509_parser::certificate::X509Certificate;

use super::response::Standing;
use super::syntax::{
    Answer, BASIC, Basic, CertStatus, NONCE, Responder, Response, ResponseContent, Status, responder_key,
};
use crate::facts::{parse, usages};
use crate::problem::{Problem, Result};
use crate::public_key::{refuse_weak, signed_by, verifies};
use crate::revocation_list::Reason;
use crate::text::{certificate, from_base64, serial_bytes};
use crate::time::UnixMs;

/// Largest answer that is read: one status, a signature and a chain of RSA 4096 certificates are 8 KiB.
pub(super) const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Certificates and answers in one response that are looked at; each certificate costs a signature check.
const MAX_CERTIFICATES: usize = 8;
const MAX_ANSWERS: usize = 128;
/// Clocks that are wrong by more than this are a fault of their own (RFC 6960, 4.2.2.1, leaves it to the client).
const SKEW_MS: i64 = 5 * 60 * 1000;
/// Without nextUpdate "newer information is available all the time": an answer without one is only taken while fresh,
/// or whoever kept an old one could show it for ever.
const UNBOUNDED_AGE_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Deserialize)]
pub struct Verify {
    /// base64
    response: String,
    /// PEM of the authority that issued the certificate.
    issuer: String,
    serial: String,
    /// base64, what the request carried.
    nonce: Option<String>,
    now: UnixMs,
}

#[derive(Serialize)]
pub struct Verified {
    status: Standing,
    this_update: UnixMs,
    next_update: Option<UnixMs>,
    revoked_at: Option<UnixMs>,
    reason: Option<Reason>,
}

pub(crate) fn verify(command: &Verify) -> Result<Verified> {
    let der = from_base64(&command.response, "the response")?;
    let basic_der = successful(&der)?;
    let basic = Basic::from_der(&basic_der).map_err(|_| unreadable())?;
    let content_der = basic.content.to_der()?;
    let content = ResponseContent::from_der(&content_der).map_err(|_| unreadable())?;
    let issuer_der = certificate(&command.issuer)?;
    let issuer = parse(&issuer_der)?;

    let signature = basic.signature.as_bytes().ok_or_else(unreadable)?;
    let responder = responder(&basic, &content.responder, &issuer, command.now)?;
    if !verifies(&responder, basic.algorithm.value(), &content_der, signature) {
        return Err(refused("its signature is bad, or of a kind that is too weak"));
    }
    if content.version != 0 || content.answers.len() > MAX_ANSWERS {
        return Err(unreadable());
    }
    check_nonce(&content, command.nonce.as_deref())?;
    let answer = answer(&content, &issuer, &serial_bytes(&command.serial)?)?;
    let (this_update, next_update) = check_dates(&content, answer, command.now)?;
    let (status, revoked_at, reason) = match &answer.status {
        CertStatus::Good(_) => (Standing::Good, None, None),
        CertStatus::Unknown(_) => (Standing::Unknown, None, None),
        CertStatus::Revoked(revoked) => {
            (Standing::Revoked, Some(unix_ms(revoked.at)), revoked.reason.and_then(reason_of))
        }
    };
    Ok(Verified { status, this_update, next_update, revoked_at, reason })
}

/// BasicOCSPResponse of a response that is none of the errors.
pub(super) fn successful(der: &[u8]) -> Result<Vec<u8>> {
    if der.len() > MAX_RESPONSE_BYTES {
        return Err(Problem::new(format!("the OCSP response has {} bytes", der.len()), "64 KiB are read at most."));
    }
    let response = Response::from_der(der).map_err(|_| unreadable())?;
    if response.status != Status::Successful {
        return Err(Problem::new(
            format!("the OCSP responder answers {}", status_name(response.status)),
            "Ask it again later, or ask its operator whether it serves this authority.",
        ));
    }
    match response.bytes {
        Some(bytes) if bytes.kind == BASIC => Ok(bytes.response.into_bytes().into_vec()),
        _ => Err(unreadable()),
    }
}

pub(super) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Successful => "successful",
        Status::MalformedRequest => "malformedRequest",
        Status::InternalError => "internalError",
        Status::TryLater => "tryLater",
        Status::SignatureRequired => "sigRequired",
        Status::Unauthorized => "unauthorized",
    }
}

/// SubjectPublicKeyInfo of who may have signed: the issuer, or whom it delegated (RFC 6960, 4.2.2.2).
fn responder(basic: &Basic, named: &Responder, issuer: &X509Certificate, now: UnixMs) -> Result<Vec<u8>> {
    if is_named(named, issuer)? {
        return Ok(issuer.public_key().raw.to_vec());
    }
    let certificates = basic.certificates.as_deref().unwrap_or_default();
    if certificates.len() > MAX_CERTIFICATES {
        return Err(refused("it carries too many certificates"));
    }
    for certificate in certificates {
        let der = certificate.to_der()?;
        let Ok(delegate) = parse(&der) else { continue };
        if is_named(named, &delegate)? {
            check_delegate(&der, &delegate, issuer, now)?;
            return Ok(delegate.public_key().raw.to_vec());
        }
    }
    Err(refused("it was signed by somebody who is neither the issuer nor comes with a certificate"))
}

fn is_named(named: &Responder, certificate: &X509Certificate) -> Result<bool> {
    match named {
        Responder::Name(name) => Ok(name.to_der()? == certificate.subject().as_raw()),
        // A key of a kind that is not known here cannot be meant.
        Responder::Key(hash) => Ok(responder_key(certificate.public_key().raw).is_ok_and(|key| key == hash.as_bytes())),
    }
}

fn check_delegate(der: &[u8], delegate: &X509Certificate, issuer: &X509Certificate, now: UnixMs) -> Result<()> {
    if delegate.issuer().as_raw() != issuer.subject().as_raw() || !signed_by(der, issuer.public_key().raw) {
        return Err(refused("its responder's certificate was not issued by the issuer itself"));
    }
    let delegated = delegate
        .extensions()
        .iter()
        .filter(|extension| extension.oid.to_id_string() == "2.5.29.37")
        .any(|extension| usages(extension.value).iter().any(|usage| usage == "OCSPSigning"));
    if !delegated {
        return Err(refused("its responder's certificate lacks the usage OCSPSigning"));
    }
    let signs = delegate.key_usage().map(|usage| usage.is_none_or(|usage| usage.value.digital_signature()));
    if !signs.unwrap_or(false) {
        return Err(refused("its responder's certificate may not sign"));
    }
    let validity = delegate.validity();
    if now / 1000 < validity.not_before.timestamp() || now / 1000 > validity.not_after.timestamp() {
        return Err(refused("its responder's certificate is expired or not yet valid"));
    }
    refuse_weak(delegate.public_key(), "the OCSP responder's")
}

fn check_nonce(content: &ResponseContent, sent: Option<&str>) -> Result<()> {
    let Some(sent) = sent else { return Ok(()) };
    let sent = from_base64(sent, "the nonce")?;
    match super::nonce(content.extensions.as_ref())? {
        Some(came) if came != sent => Err(refused("its nonce is another one: it answers somebody else, or long ago")),
        // Answers that are made ahead carry none (RFC 5019, 3.1); their dates bound them.
        _ => Ok(()),
    }
}

/// The one answer for this certificate.
fn answer<'a>(content: &'a ResponseContent, issuer: &X509Certificate, serial: &[u8]) -> Result<&'a Answer> {
    let mut found = None;
    for answer in &content.answers {
        if answer.id.serial.as_bytes() == serial
            && answer.id.is_of(issuer.subject().as_raw(), issuer.public_key().raw)?
            && found.replace(answer).is_some()
        {
            return Err(refused("it answers twice for the same certificate"));
        }
    }
    let found = found.ok_or_else(|| refused("it says nothing about this certificate"))?;
    let extensions = content.extensions.iter().chain(&found.extensions).flatten();
    if extensions.into_iter().any(|extension| extension.critical && extension.extn_id != NONCE) {
        return Err(refused("it has an unknown critical extension"));
    }
    Ok(found)
}

fn check_dates(content: &ResponseContent, answer: &Answer, now: UnixMs) -> Result<(UnixMs, Option<UnixMs>)> {
    let this_update = unix_ms(answer.this_update);
    let next_update = answer.next_update.map(unix_ms);
    let latest = now.saturating_add(SKEW_MS);
    if this_update > latest || unix_ms(content.produced_at) > latest {
        return Err(refused("it comes from the future: one of the clocks is wrong"));
    }
    match next_update {
        Some(next_update) if next_update < this_update => return Err(refused("nextUpdate is before thisUpdate")),
        Some(next_update) if next_update < now => return Err(refused("it is out of date")),
        None if this_update < now.saturating_sub(UNBOUNDED_AGE_MS) => {
            return Err(refused("it says no nextUpdate and is older than a day"));
        }
        _ => {}
    }
    Ok((this_update, next_update))
}

pub(super) fn unix_ms(time: GeneralizedTime) -> UnixMs {
    i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX)
}

fn reason_of(code: CrlReason) -> Option<Reason> {
    Some(match code {
        CrlReason::Unspecified => Reason::Unspecified,
        CrlReason::KeyCompromise => Reason::KeyCompromise,
        CrlReason::CaCompromise => Reason::CaCompromise,
        CrlReason::AffiliationChanged => Reason::AffiliationChanged,
        CrlReason::Superseded => Reason::Superseded,
        CrlReason::CessationOfOperation => Reason::CessationOfOperation,
        CrlReason::CertificateHold => Reason::CertificateHold,
        CrlReason::PrivilegeWithdrawn => Reason::PrivilegeWithdrawn,
        CrlReason::AaCompromise => Reason::AaCompromise,
        // Only lists take anything back.
        CrlReason::RemoveFromCRL => return None,
    })
}

pub(super) fn unreadable() -> Problem {
    Problem::new("the OCSP response cannot be read", "Look at it with: openssl ocsp -respin answer.der -text")
}

fn refused(why: &str) -> Problem {
    Problem::new(
        format!("the OCSP response is not believed: {why}"),
        "Look at it with: openssl ocsp -respin answer.der -issuer ca.pem -text",
    )
}
