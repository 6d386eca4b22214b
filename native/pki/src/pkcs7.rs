//! PKCS#7 with certificates only: SignedData nobody signed (RFC 5652, 5.2), what EST answers and Windows calls p7b.

use der::asn1::{Any, AnyRef, Null, SetOfVec};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode, Sequence};
use serde::{Deserialize, Serialize};

use crate::facts::parse;
use crate::problem::{Problem, Result};
use crate::text::{certificate, to_base64};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// Certificates of one bundle, as [`crate::text::MAX_PEM_SECTIONS`].
const MAX_CERTIFICATES: usize = 1_000;

#[derive(Sequence)]
struct ContentInfo<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData<'a>,
}

#[derive(Sequence)]
struct SignedData<'a> {
    version: u8,
    digests: Any,
    content: Encapsulated,
    /// SET OF Certificate: under an implicit tag the same bytes as a SEQUENCE OF, which keeps their order.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificates: Option<Vec<AnyRef<'a>>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    lists: Option<Vec<AnyRef<'a>>>,
    signers: Any,
}

#[derive(Sequence)]
struct Encapsulated {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<Any>,
}

#[derive(Deserialize)]
pub struct Make {
    certificates: Vec<String>,
}

#[derive(Serialize)]
pub struct Made {
    der: String,
}

pub(crate) fn make(command: &Make) -> Result<Made> {
    if !(1..=MAX_CERTIFICATES).contains(&command.certificates.len()) {
        return Err(Problem::new(format!("{} certificates", command.certificates.len()), "Give 1 to 1,000."));
    }
    let ders = command.certificates.iter().map(|pem| certificate(pem)).collect::<Result<Vec<_>>>()?;
    let mut certificates = Vec::with_capacity(ders.len());
    for der in &ders {
        parse(der)?;
        certificates.push(AnyRef::from_der(der)?);
    }
    let nothing = || Any::from_der(&SetOfVec::<Null>::new().to_der()?);
    let content = SignedData {
        version: 1,
        digests: nothing()?,
        content: Encapsulated { kind: DATA, content: None },
        certificates: Some(certificates),
        lists: None,
        signers: nothing()?,
    };
    Ok(Made { der: to_base64(&ContentInfo { kind: SIGNED_DATA, content }.to_der()?) })
}

/// DER of what a SignedData carries.
pub(crate) struct Contents {
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) lists: Vec<Vec<u8>>,
}

/// Whoever signed it; None when it is no SignedData.
pub(crate) fn read(der: &[u8]) -> Option<Contents> {
    let info = ContentInfo::from_der(der).ok()?;
    let owned = |elements: Option<Vec<AnyRef>>| -> Option<Vec<Vec<u8>>> {
        elements.unwrap_or_default().iter().take(MAX_CERTIFICATES).map(|element| element.to_der().ok()).collect()
    };
    (info.kind == SIGNED_DATA).then_some(())?;
    Some(Contents { certificates: owned(info.content.certificates)?, lists: owned(info.content.lists)? })
}
