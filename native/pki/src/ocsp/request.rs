//! Requests: read from clients of our responder, made for the responders of others.

use aws_lc_rs::rand;
use der::asn1::OctetString;
use der::{Decode, Encode};
use serde::{Deserialize, Serialize};
use x509_cert::ext::Extension;

use super::syntax::{CertId, Hash, Item, NONCE, Request, RequestContent};
use crate::facts::parse;
use crate::problem::{Problem, Result};
use crate::text::{certificate, from_base64, lower_hex, serial_bytes, serial_text, to_base64};

/// Largest request that is read. One item is 80 bytes; a signature with certificates may be around it.
pub(super) const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Items of one request: as many as one chain has, and more; answers grow with them.
pub(super) const MAX_ITEMS: usize = 32;
/// RFC 9654, 2.1: "a client MUST use a minimum nonce length of 32 octets".
const OWN_NONCE_BYTES: usize = 32;

#[derive(Deserialize)]
pub struct ReadRequest {
    /// base64
    request: String,
}

#[derive(Serialize)]
pub struct Items {
    items: Vec<ReadItem>,
    nonce: bool,
}

#[derive(Serialize)]
struct ReadItem {
    hash: &'static str,
    issuer_name_hash: String,
    issuer_key_hash: String,
    serial: String,
}

pub(crate) fn read(command: &ReadRequest) -> Result<Items> {
    let request = parse_request(&from_base64(&command.request, "the request")?)?;
    let nonce = super::nonce(request.content.extensions.as_ref())?.is_some();
    let mut items = Vec::with_capacity(request.content.items.len());
    for Item { id, .. } in &request.content.items {
        let hash = match id.hash() {
            Some(Hash::Sha1) => "sha1",
            Some(Hash::Sha256) => "sha256",
            None => {
                return Err(Problem::new(
                    format!("the request names its issuer by the hash {}", id.hash.oid),
                    "Ask with SHA-1 or SHA-256.",
                ));
            }
        };
        items.push(ReadItem {
            hash,
            issuer_name_hash: lower_hex(id.issuer_name_hash.as_bytes()),
            issuer_key_hash: lower_hex(id.issuer_key_hash.as_bytes()),
            serial: serial_text(id.serial.as_bytes()),
        });
    }
    Ok(Items { items, nonce })
}

pub(super) fn parse_request(der: &[u8]) -> Result<Request> {
    let hint = "Send the DER of an OCSPRequest (RFC 6960, 4.1.1).";
    if der.len() > MAX_REQUEST_BYTES {
        return Err(Problem::new(format!("the OCSP request has {} bytes", der.len()), "16 KiB are read at most."));
    }
    let request = Request::from_der(der).map_err(|_| Problem::new("the OCSP request cannot be read", hint))?;
    let items = request.content.items.len();
    if request.content.version != 0 || !(1..=MAX_ITEMS).contains(&items) {
        return Err(Problem::new(format!("an OCSP request with {items} items"), format!("Ask for 1 to {MAX_ITEMS}.")));
    }
    // RFC 6960, 4.4: an extension that is not understood and critical.
    let extensions = request.content.items.iter().flat_map(|item| &item.extensions).chain(&request.content.extensions);
    if extensions.flatten().any(|extension| extension.critical && extension.extn_id != NONCE) {
        return Err(Problem::new("the OCSP request has an unknown critical extension", hint));
    }
    Ok(request)
}

#[derive(Deserialize)]
pub struct Ask {
    /// PEM
    issuer: String,
    serial: String,
    nonce: bool,
}

#[derive(Serialize)]
pub struct Asked {
    der: String,
    nonce: Option<String>,
}

pub(crate) fn ask(command: &Ask) -> Result<Asked> {
    let issuer = certificate(&command.issuer)?;
    let issuer = parse(&issuer)?;
    let id = CertId::new(issuer.subject().as_raw(), issuer.public_key().raw, &serial_bytes(&command.serial)?)?;
    let nonce = if command.nonce {
        let mut nonce = [0; OWN_NONCE_BYTES];
        rand::fill(&mut nonce)?;
        Some(nonce)
    } else {
        None
    };
    let extensions = nonce.as_ref().map(|nonce| nonce_extension(nonce).map(|extension| vec![extension])).transpose()?;
    let content =
        RequestContent { version: 0, requestor: None, items: vec![Item { id, extensions: None }], extensions };
    let der = Request { content, signature: None }.to_der()?;
    Ok(Asked { der: to_base64(&der), nonce: nonce.map(|nonce| to_base64(&nonce)) })
}

pub(super) fn nonce_extension(nonce: &[u8]) -> Result<Extension> {
    let value = OctetString::new(OctetString::new(nonce)?.to_der()?)?;
    Ok(Extension { extn_id: NONCE, critical: false, extn_value: value })
}
