//! Which public keys are strong enough, the same for leaves and authorities.

use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// NIST SP 800-131A: 112 bits of strength. webpki's algorithms refuse smaller keys in issuers.
const MIN_RSA_BITS: usize = 2048;

/// webpki's and aws-lc's upper bound; larger keys only make verification expensive.
const MAX_RSA_BITS: usize = 8192;

/// RSA of 2048 to 8192 bits, P-256, P-384, P-521, Ed25519; nothing else.
pub(super) fn is_strong(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return match key.parsed() {
            Ok(PublicKey::RSA(key)) => (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits(key.modulus)),
            _ => false,
        };
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        return curve.is_some_and(|curve| [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521].contains(&curve));
    }
    *algorithm == OID_SIG_ED25519
}

/// What people call the key: `P-256`, `RSA 3072`.
pub(super) fn describe(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &key.algorithm.algorithm;
    if let Ok(PublicKey::RSA(key)) = key.parsed()
        && *algorithm == OID_PKCS1_RSAENCRYPTION
    {
        return format!("RSA {}", bits(key.modulus));
    }
    if *algorithm == OID_SIG_ED25519 {
        return "Ed25519".to_owned();
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    match curve {
        Some(curve) if curve == OID_EC_P256 => "P-256".to_owned(),
        Some(curve) if curve == OID_NIST_EC_P384 => "P-384".to_owned(),
        Some(curve) if curve == OID_NIST_EC_P521 => "P-521".to_owned(),
        Some(curve) => format!("{algorithm} over {curve}"),
        None => algorithm.to_string(),
    }
}

fn bits(modulus: &[u8]) -> usize {
    let significant = modulus.iter().position(|&byte| byte != 0).unwrap_or(modulus.len());
    let modulus = &modulus[significant..];
    modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize)
}
