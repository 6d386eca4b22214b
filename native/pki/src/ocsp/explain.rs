//! Requests and answers in words, for `inspect`; nothing is verified here.

use der::Decode;
use der::asn1::OctetString;

use super::request::parse_request;
use super::syntax::{Basic, CertId, CertStatus, Responder, Response, ResponseContent, Status};
use super::verify::{status_name, successful, unix_ms};
use crate::problem::Result;
use crate::text::{lower_hex, serial_text};
use crate::time::{UnixMs, display};

/// Title and rows, warnings.
pub(crate) struct Explained {
    pub(crate) rows: Vec<(String, String)>,
    pub(crate) warnings: Vec<String>,
}

/// Answers shown of one response.
const SHOWN_ANSWERS: usize = 32;

pub(crate) fn explain_request(der: &[u8]) -> Result<Explained> {
    let request = parse_request(der)?;
    let mut rows = Vec::new();
    for item in &request.content.items {
        rows.push(("Asks for".to_owned(), id(&item.id)));
    }
    let nonce = super::nonce(request.content.extensions.as_ref())?;
    rows.push(("Nonce".to_owned(), nonce.map_or("none".to_owned(), |nonce| lower_hex(&nonce))));
    Ok(Explained { rows, warnings: Vec::new() })
}

pub(crate) fn explain_response(der: &[u8], now: UnixMs) -> Result<Explained> {
    let mut rows = Vec::new();
    let mut warnings = Vec::new();
    let response = Response::from_der(der).map_err(|_| super::verify::unreadable())?;
    rows.push(("Response".to_owned(), status_name(response.status).to_owned()));
    if response.status != Status::Successful {
        warnings.push("the responder gave no answer".to_owned());
        return Ok(Explained { rows, warnings });
    }
    let basic_der = successful(der)?;
    let basic = Basic::from_der(&basic_der).map_err(|_| super::verify::unreadable())?;
    let content =
        ResponseContent::from_der(&der::Encode::to_der(&basic.content)?).map_err(|_| super::verify::unreadable())?;
    let responder = match &content.responder {
        Responder::Key(hash) => format!("key {}", lower_hex(OctetString::as_bytes(hash))),
        Responder::Name(name) => {
            use x509_parser::prelude::FromDer;
            let name = der::Encode::to_der(name)?;
            x509_parser::x509::X509Name::from_der(&name)
                .map_or("a name that cannot be read".to_owned(), |(_, name)| crate::distinguished_name::rfc4514(&name))
        }
    };
    rows.push(("Responder".to_owned(), responder));
    rows.push(("Produced".to_owned(), display(unix_ms(content.produced_at))));
    for answer in content.answers.iter().take(SHOWN_ANSWERS) {
        let status = match &answer.status {
            CertStatus::Good(_) => "good".to_owned(),
            CertStatus::Unknown(_) => "unknown".to_owned(),
            CertStatus::Revoked(revoked) => {
                let reason = revoked.reason.map_or(String::new(), |reason| format!(", {reason:?}"));
                format!("revoked since {}{reason}", display(unix_ms(revoked.at)))
            }
        };
        let until = answer.next_update.map(unix_ms);
        let valid = format!(
            "from {} until {}",
            display(unix_ms(answer.this_update)),
            until.map_or("the next one".to_owned(), display)
        );
        rows.push((status, format!("{}; {valid}", id(&answer.id))));
        if until.is_some_and(|until| until < now) {
            warnings.push(format!("out of date since {}", display(until.unwrap_or(0))));
        }
    }
    if content.answers.len() > SHOWN_ANSWERS {
        rows.push(("Answers".to_owned(), format!("{} in all", content.answers.len())));
    }
    let certificates = basic.certificates.map_or(0, |certificates| certificates.len());
    rows.push(("Certificates".to_owned(), certificates.to_string()));
    if let Some(nonce) = super::nonce(content.extensions.as_ref())? {
        rows.push(("Nonce".to_owned(), lower_hex(&nonce)));
    }
    Ok(Explained { rows, warnings })
}

fn id(id: &CertId) -> String {
    format!(
        "serial {}, issuer name {}, issuer key {}",
        serial_text(id.serial.as_bytes()),
        lower_hex(id.issuer_name_hash.as_bytes()),
        lower_hex(id.issuer_key_hash.as_bytes())
    )
}
