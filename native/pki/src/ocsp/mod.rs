//! OCSP (RFC 6960): answering for our authorities, asking others and believing them only when everything holds.

mod explain;
mod request;
mod response;
mod syntax;
mod verify;

pub(crate) use explain::{Explained, explain_request, explain_response};
pub(crate) use request::{ask, read};
pub(crate) use response::{error, sign};
pub(crate) use verify::verify;

use der::Decode;
use der::asn1::OctetString;
use x509_cert::ext::Extension;

use crate::problem::{Problem, Result};

/// RFC 9654, 2.1 (RFC 8954 before it: 32).
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 1..=128;

/// The nonce of a list of extensions; at most one, of a length that is allowed.
fn nonce(extensions: Option<&Vec<Extension>>) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    for extension in extensions.into_iter().flatten() {
        if extension.extn_id != syntax::NONCE {
            continue;
        }
        let value = OctetString::from_der(extension.extn_value.as_bytes()).ok().map(OctetString::into_bytes);
        match value {
            Some(value) if NONCE_BYTES.contains(&value.len()) && found.is_none() => found = Some(value.into_vec()),
            _ => {
                return Err(Problem::new(
                    "the nonce is no octet string of 1 to 128 bytes",
                    "RFC 9654, 2.1, allows that much.",
                ));
            }
        }
    }
    Ok(found)
}
