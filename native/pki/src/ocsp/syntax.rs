//! The ASN.1 of OCSP (RFC 6960, 4), as far as it is read and written here.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use der::asn1::{Any, AnyRef, BitString, GeneralizedTime, Null, OctetString, Uint};
use der::oid::ObjectIdentifier;
use der::{Choice, Enumerated, Sequence};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::problem::Result;
use crate::public_key::key_bits;

pub(super) const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
pub(super) const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

#[derive(Sequence)]
pub(super) struct Request {
    pub(super) content: RequestContent,
    /// Who asks does not matter: the answer is public.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) signature: Option<Any>,
}

#[derive(Sequence)]
pub(super) struct RequestContent {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    pub(super) version: u8,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) requestor: Option<Any>,
    pub(super) items: Vec<Item>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Sequence)]
pub(super) struct Item {
    pub(super) id: CertId,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct CertId {
    pub(super) hash: AlgorithmIdentifierOwned,
    pub(super) issuer_name_hash: OctetString,
    pub(super) issuer_key_hash: OctetString,
    pub(super) serial: Uint,
}

impl CertId {
    /// With SHA-1, which every responder knows (RFC 5019, 2.1.1). It hides nothing and proves nothing: it is a look-up.
    pub(super) fn new(issuer_name: &[u8], issuer_key: &[u8], serial: &[u8]) -> Result<CertId> {
        let (name, key) = hashes(Hash::Sha1, issuer_name, issuer_key)?;
        Ok(CertId {
            hash: AlgorithmIdentifierOwned { oid: SHA_1, parameters: Some(Any::null()) },
            issuer_name_hash: OctetString::new(name)?,
            issuer_key_hash: OctetString::new(key)?,
            serial: Uint::new(serial)?,
        })
    }

    pub(super) fn hash(&self) -> Option<Hash> {
        match self.hash.oid {
            SHA_1 => Some(Hash::Sha1),
            SHA_256 => Some(Hash::Sha256),
            _ => None,
        }
    }

    /// Whether it names a certificate of this issuer: by the hash of its name and of its key.
    pub(super) fn is_of(&self, issuer_name: &[u8], issuer_key: &[u8]) -> Result<bool> {
        let Some(hash) = self.hash() else { return Ok(false) };
        let (name, key) = hashes(hash, issuer_name, issuer_key)?;
        Ok(self.issuer_name_hash.as_bytes() == name && self.issuer_key_hash.as_bytes() == key)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Hash::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &SHA256,
        }
    }
}

fn hashes(hash: Hash, issuer_name: &[u8], issuer_key: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let of = |bytes| digest(hash.algorithm(), bytes).as_ref().to_vec();
    Ok((of(issuer_name), of(key_bits(issuer_key)?)))
}

/// KeyHash of a responder (RFC 6960, 4.2.1): always SHA-1.
pub(super) fn responder_key(public_key: &[u8]) -> Result<Vec<u8>> {
    Ok(digest(&SHA1_FOR_LEGACY_USE_ONLY, key_bits(public_key)?).as_ref().to_vec())
}

#[derive(Sequence)]
pub(super) struct Response {
    pub(super) status: Status,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) bytes: Option<ResponseBytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub(super) enum Status {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SignatureRequired = 5,
    Unauthorized = 6,
}

#[derive(Sequence)]
pub(super) struct ResponseBytes {
    pub(super) kind: ObjectIdentifier,
    pub(super) response: OctetString,
}

#[derive(Sequence)]
pub(super) struct Basic<'a> {
    pub(super) content: AnyRef<'a>,
    pub(super) algorithm: AnyRef<'a>,
    pub(super) signature: BitString,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) certificates: Option<Vec<AnyRef<'a>>>,
}

#[derive(Sequence)]
pub(super) struct ResponseContent {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    pub(super) version: u8,
    pub(super) responder: Responder,
    pub(super) produced_at: GeneralizedTime,
    pub(super) answers: Vec<Answer>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Choice)]
pub(super) enum Responder {
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true")]
    Name(Any),
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    Key(OctetString),
}

#[derive(Sequence)]
pub(super) struct Answer {
    pub(super) id: CertId,
    pub(super) status: CertStatus,
    pub(super) this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Choice)]
pub(super) enum CertStatus {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

#[derive(Sequence)]
pub(super) struct RevokedInfo {
    pub(super) at: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) reason: Option<CrlReason>,
}
