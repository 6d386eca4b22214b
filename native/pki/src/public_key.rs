//! Public keys of others: what they are, whether they are strong enough, and the signatures they check.

use aws_lc_rs::digest::{SHA256, digest};
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Sequence};
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs as algorithms;
use x509_parser::asn1_rs::Tag;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::problem::{Problem, Result};
use crate::text::lower_hex;

/// What may have signed anything that is believed here; SHA-1 and keys below 2048 bits are not among them.
static SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P256_SHA512,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ECDSA_P384_SHA512,
    algorithms::ECDSA_P521_SHA256,
    algorithms::ECDSA_P521_SHA384,
    algorithms::ECDSA_P521_SHA512,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Bits of RSA keys that are taken: NIST SP 800-57 below; above, one check takes milliseconds.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

#[derive(Sequence)]
struct PublicKeyInfo<'a> {
    algorithm: AnyRef<'a>,
    key: BitStringRef<'a>,
}

/// Certificate, certification request, revocation list and OCSP answer: something, how it was signed, the signature.
#[derive(Sequence)]
struct Signed<'a> {
    content: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

/// Whether `der` ends with a signature by this key over its first element.
pub(crate) fn signed_by(der: &[u8], public_key: &[u8]) -> bool {
    let Ok(signed) = Signed::from_der(der) else { return false };
    let Ok(content) = der::Encode::to_der(&signed.content) else { return false };
    let Some(signature) = signed.signature.as_bytes() else { return false };
    verifies(public_key, signed.algorithm.value(), &content, signature)
}

/// `algorithm`: content of the AlgorithmIdentifier.
pub(crate) fn verifies(public_key: &[u8], algorithm: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(info) = PublicKeyInfo::from_der(public_key) else { return false };
    let Some(key) = info.key.as_bytes() else { return false };
    SIGNATURES.iter().any(|known| {
        known.signature_alg_id().as_ref() == algorithm
            && known.public_key_alg_id().as_ref() == info.algorithm.value()
            && known.verify_signature(key, message, signature).is_ok()
    })
}

/// The bits of the key without the SubjectPublicKeyInfo around them: what key identifiers and CertIDs are hashes of.
pub(crate) fn key_bits(public_key: &[u8]) -> Result<&[u8]> {
    PublicKeyInfo::from_der(public_key)
        .ok()
        .and_then(|info| info.key.as_bytes())
        .ok_or_else(|| Problem::new("the public key cannot be read", "Make a new key pair."))
}

/// Subject key identifier (RFC 7093, 2, method 1): the leftmost 160 bits of SHA-256 over the key's bits.
pub(crate) fn key_identifier(public_key: &[u8]) -> Result<Vec<u8>> {
    Ok(digest(&SHA256, key_bits(public_key)?).as_ref()[..20].to_vec())
}

/// What identifies a key in the whole gateway: lower-case hex SHA-256 of the SubjectPublicKeyInfo.
pub(crate) fn key_id(public_key: &[u8]) -> String {
    lower_hex(digest(&SHA256, public_key).as_ref())
}

/// `P-256`, `Ed25519`, `RSA 3072`; for kinds without a name the OID.
pub(crate) fn kind(key: &SubjectPublicKeyInfo) -> String {
    let algorithm = key.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.10045.2.1" => match curve(key).as_deref() {
            Some("1.2.840.10045.3.1.7") => "P-256".to_owned(),
            Some("1.3.132.0.34") => "P-384".to_owned(),
            Some("1.3.132.0.35") => "P-521".to_owned(),
            Some("1.3.132.0.10") => "secp256k1".to_owned(),
            Some("1.2.840.10045.3.1.1") => "P-192".to_owned(),
            Some("1.3.132.0.33") => "P-224".to_owned(),
            Some(other) => format!("EC {other}"),
            None => "EC with explicit parameters".to_owned(),
        },
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        "1.3.101.110" => "X25519".to_owned(),
        "1.2.840.113549.1.1.1" => match rsa_bits(key) {
            Some(bits) => format!("RSA {bits}"),
            None => "RSA".to_owned(),
        },
        "1.2.840.113549.1.1.10" => "RSA-PSS".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        _ => algorithm,
    }
}

/// Refuses keys that no certificate should be about; `whose` begins the message.
pub(crate) fn refuse_weak(key: &SubjectPublicKeyInfo, whose: &str) -> Result<()> {
    let kind = kind(key);
    let readable = match key.parsed() {
        Ok(PublicKey::EC(point)) => {
            // 0x04: uncompressed (SEC 1, 2.3.3); compressed points are legal and refused by most TLS stacks.
            point.data().first() == Some(&4) && matches!(kind.as_str(), "P-256" | "P-384" | "P-521")
        }
        Ok(PublicKey::RSA(rsa)) => {
            let exponent = rsa.try_exponent().unwrap_or(0);
            // FIPS 186-5, 5.1: an odd exponent above 2^16.
            RSA_BITS.contains(&rsa_bits(key).unwrap_or(0)) && exponent > 65_536 && exponent % 2 == 1
        }
        _ => kind == "Ed25519" && key.subject_public_key.data.len() == 32,
    };
    if readable {
        return Ok(());
    }
    Err(Problem::new(
        format!("{whose} key is {kind}, which is weak or not supported"),
        "Use P-256, P-384, P-521, Ed25519, or RSA of 2048 to 8192 bits with exponent 65537.",
    ))
}

fn curve(key: &SubjectPublicKeyInfo) -> Option<String> {
    // `as_oid` alone would read explicit parameters as a very long identifier.
    let parameters = key.algorithm.parameters.as_ref().filter(|found| found.tag() == Tag::Oid)?;
    parameters.as_oid().ok().map(|oid| oid.to_id_string())
}

fn rsa_bits(key: &SubjectPublicKeyInfo) -> Option<usize> {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let zeros = rsa.modulus.iter().take_while(|&&byte| byte == 0).count();
            let modulus = &rsa.modulus[zeros..];
            Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
        }
        _ => None,
    }
}
