//! A certification request.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::Item;
use super::certificate::{extension_name, signature_name};
use crate::distinguished_name::rfc4514;
use crate::facts::alternative_names;
use crate::names::shown;
use crate::problem::{Problem, Result};
use crate::public_key::{key_id, kind};
use crate::signing_request::{self, MAX_REQUEST_BYTES};
use crate::text::to_pem;

/// Names that are shown; as many as may be asked for.
const SHOWN_NAMES: usize = crate::names::MAX_ALTERNATIVE_NAMES;

pub(super) fn explain(der: &[u8]) -> Result<Item> {
    if der.len() > MAX_REQUEST_BYTES {
        return Err(Problem::new(format!("the request has {} bytes", der.len()), "64 KiB are read at most."));
    }
    let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
        return Err(Problem::new("the request cannot be read", "Give a CSR as PEM or DER (RFC 2986)."));
    };
    let info = &request.certification_request_info;
    let mut item = Item::new("Certification request");
    item.row("Subject", rfc4514(&info.subject));
    item.row("Key", kind(&info.subject_pki));
    item.row("Key SHA-256 (SPKI)", key_id(info.subject_pki.raw));
    item.row("Signature", signature_name(&request.signature_algorithm.algorithm.to_id_string()));
    for extension in request.requested_extensions().into_iter().flatten().take(SHOWN_NAMES) {
        match extension {
            x509_parser::extensions::ParsedExtension::SubjectAlternativeName(names) => {
                let (known, others) = alternative_names(&names.general_names);
                let labelled = [
                    ("DNS", known.dns),
                    ("Mail", known.email),
                    ("URI", known.uri),
                    ("IP", known.ip),
                    ("Other", others),
                ];
                for (label, names) in labelled {
                    for name in names.iter().take(SHOWN_NAMES) {
                        item.row(label, shown(name));
                    }
                }
            }
            x509_parser::extensions::ParsedExtension::KeyUsage(usage) => item.row("Key usage", usage.to_string()),
            _ => {}
        }
    }
    for attribute in info.attributes().iter().take(SHOWN_NAMES) {
        if let x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() {
            let names: Vec<_> = asked.extensions.iter().take(SHOWN_NAMES).map(extension_name).collect();
            item.row("Asks for", names.join(", "));
        }
    }
    // What issuing would say.
    if let Err(problem) = signing_request::read_der(der) {
        item.warn(problem.message);
    }
    item.pem = Some(to_pem("CERTIFICATE REQUEST", der));
    Ok(item)
}
