//! Answers of our own responder, signed by the authority itself.

use der::asn1::{AnyRef, BitString, Null, OctetString};
use der::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::request::{nonce_extension, parse_request};
use super::syntax::{
    Answer, BASIC, Basic, CertStatus, Responder, Response, ResponseBytes, ResponseContent, RevokedInfo, Status,
    responder_key,
};
use crate::issuer::{Issuer, IssuerPem};
use crate::problem::{Problem, Result};
use crate::revocation_list::Reason;
use crate::text::{from_base64, serial_text, to_base64};
use crate::time::{UnixMs, generalized};

#[derive(Deserialize)]
pub struct Sign {
    issuer: IssuerPem,
    /// base64
    request: String,
    answers: Vec<Known>,
    this_update: UnixMs,
    next_update: UnixMs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    serial: String,
    status: Standing,
    #[serde(default)]
    revoked_at: Option<UnixMs>,
    #[serde(default)]
    reason: Option<Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Good,
    Revoked,
    Unknown,
}

#[derive(Serialize)]
pub struct Signed {
    der: String,
}

pub(crate) fn sign(command: &Sign) -> Result<Signed> {
    let issuer = Issuer::read(&command.issuer)?;
    if command.next_update <= command.this_update {
        return Err(Problem::new("nextUpdate is not after thisUpdate", "Give an answer some time to live."));
    }
    let request = parse_request(&from_base64(&command.request, "the request")?)?;
    let nonce = super::nonce(request.content.extensions.as_ref())?;
    let mut answers = Vec::with_capacity(request.content.items.len());
    let mut ours = false;
    for item in request.content.items {
        let serial = serial_text(item.id.serial.as_bytes());
        let is_ours = item.id.is_of(&issuer.name, &issuer.public_key)?;
        ours |= is_ours;
        let known = command.answers.iter().find(|answer| is_ours && answer.serial.eq_ignore_ascii_case(&serial));
        answers.push(Answer {
            id: item.id,
            status: known.map_or(Ok(CertStatus::Unknown(Null)), status)?,
            this_update: generalized(command.this_update, "thisUpdate")?,
            next_update: Some(generalized(command.next_update, "nextUpdate")?),
            extensions: None,
        });
    }
    if !ours {
        return Err(Problem::new(
            "the OCSP request asks for certificates of another authority",
            "Answer it with the error `unauthorized` (RFC 6960, 2.3).",
        ));
    }
    let content = ResponseContent {
        version: 0,
        responder: Responder::Key(OctetString::new(responder_key(&issuer.public_key)?)?),
        produced_at: generalized(command.this_update, "thisUpdate")?,
        answers,
        extensions: nonce.map(|nonce| nonce_extension(&nonce).map(|extension| vec![extension])).transpose()?,
    };
    let content = content.to_der()?;
    let basic = Basic {
        content: AnyRef::from_der(&content)?,
        algorithm: AnyRef::from_der(issuer.key.signature_algorithm())?,
        signature: BitString::from_bytes(&issuer.key.sign(&content)?)?,
        certificates: None,
    };
    let bytes = ResponseBytes { kind: BASIC, response: OctetString::new(basic.to_der()?)? };
    let response = Response { status: Status::Successful, bytes: Some(bytes) };
    Ok(Signed { der: to_base64(&response.to_der()?) })
}

fn status(known: &Known) -> Result<CertStatus> {
    match (known.status, known.revoked_at) {
        (Standing::Good, _) => Ok(CertStatus::Good(Null)),
        (Standing::Unknown, _) => Ok(CertStatus::Unknown(Null)),
        (Standing::Revoked, Some(at)) => Ok(CertStatus::Revoked(RevokedInfo {
            at: generalized(at, "the time of a revocation")?,
            reason: known.reason.filter(|&reason| reason != Reason::Unspecified).map(Reason::code),
        })),
        (Standing::Revoked, None) => {
            Err(Problem::new(format!("{} is revoked without a time", known.serial), "Give revoked_at."))
        }
    }
}

#[derive(Deserialize)]
pub struct MakeError {
    error: ErrorStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ErrorStatus {
    Malformed,
    Internal,
    TryLater,
    Unauthorized,
}

/// An answer that needs no signature (RFC 6960, 4.2.1).
pub(crate) fn error(command: &MakeError) -> Result<Signed> {
    let status = match command.error {
        ErrorStatus::Malformed => Status::MalformedRequest,
        ErrorStatus::Internal => Status::InternalError,
        ErrorStatus::TryLater => Status::TryLater,
        ErrorStatus::Unauthorized => Status::Unauthorized,
    };
    Ok(Signed { der: to_base64(&Response { status, bytes: None }.to_der()?) })
}
