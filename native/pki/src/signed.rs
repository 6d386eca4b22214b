//! What is signed here: certificates and whatever else has the shape content, algorithm, signature.

use aws_lc_rs::rand;
use der::asn1::{AnyRef, BitStringRef, Uint};
use der::{Decode, Encode, Sequence};
use x509_cert::ext::Extension;
use x509_cert::time::Time;

use crate::key::Key;
use crate::problem::{Problem, Result};
use crate::time::{UnixMs, time};

/// TBSCertificate (RFC 5280, 4.1). Names and keys are taken over byte by byte, never decoded and written anew: chains
/// hold only when the issuer's name is the same bytes.
#[derive(Sequence)]
struct Content<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Uint,
    signature: AnyRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

#[derive(Sequence)]
struct Signed<'a> {
    content: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

/// X.509 version 3
const VERSION_3: u8 = 2;

pub(crate) struct Certificate<'a> {
    /// Name
    pub(crate) issuer: &'a [u8],
    /// Name
    pub(crate) subject: &'a [u8],
    /// SubjectPublicKeyInfo
    pub(crate) public_key: &'a [u8],
    pub(crate) not_before: UnixMs,
    pub(crate) not_after: UnixMs,
    pub(crate) extensions: Vec<Extension>,
}

impl Certificate<'_> {
    pub(crate) fn sign(self, key: &Key) -> Result<Vec<u8>> {
        if self.not_after < self.not_before {
            return Err(Problem::new(
                "notAfter is before notBefore",
                "Give a time of life that begins before it ends.",
            ));
        }
        let content = Content {
            version: VERSION_3,
            serial: serial()?,
            signature: AnyRef::from_der(key.signature_algorithm())?,
            issuer: AnyRef::from_der(self.issuer)?,
            validity: Validity {
                not_before: time(self.not_before, "notBefore")?,
                not_after: time(self.not_after, "notAfter")?,
            },
            subject: AnyRef::from_der(self.subject)?,
            public_key: AnyRef::from_der(self.public_key)?,
            extensions: self.extensions,
        };
        sign(&content.to_der()?, key)
    }
}

/// SEQUENCE { content, algorithm, signature }
pub(crate) fn sign(content: &[u8], key: &Key) -> Result<Vec<u8>> {
    let signature = key.sign(content)?;
    let signed = Signed {
        content: AnyRef::from_der(content)?,
        algorithm: AnyRef::from_der(key.signature_algorithm())?,
        signature: BitStringRef::from_bytes(&signature)?,
    };
    Ok(signed.to_der()?)
}

/// 158 random bits in 20 octets, the most that RFC 5280, 4.1.2.2, allows. The first byte is 0x40 to 0x7f: positive, and
/// as long in every encoding and text.
fn serial() -> Result<Uint> {
    let mut bytes = [0; 20];
    rand::fill(&mut bytes)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(Uint::new(&bytes)?)
}
