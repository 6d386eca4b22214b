//! One key that signatures are verified with. Its own type says which algorithms it counts for; a token only picks
//! among them (RFC 8725, 3.1).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm;
use crate::schema::json::{Entry, Parsed};

/// NIST SP 800-131A: 112 bits of strength; RFC 7518, 3.3 demands as much.
const MIN_RSA_BITS: usize = 2048;
/// aws-lc's upper bounds; larger keys only make verification expensive.
const MAX_RSA_BITS: usize = 8192;
const MAX_EXPONENT_BITS: usize = 33;
/// Largest secret: HMAC hashes what is longer than a block (128 bytes for SHA-512) down to one anyway.
const MAX_SECRET_BYTES: usize = 1024;

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
/// With the least bytes of a secret: as many as the hash has (RFC 7518, 3.2).
const HMAC: [(Algorithm, usize); 3] = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];

#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: Option<Box<str>>,
    pub(super) algorithms: Vec<Algorithm>,
    /// RFC 7638, SHA-256, base64url.
    pub(super) thumbprint: Box<str>,
    material: DecodingKey,
}

/// Why a key does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("is no JSON object")]
    NoObject,
    #[error("holds a member of the wrong type")]
    Member,
    #[error("has no `kty`, or another than RSA, EC, OKP and oct")]
    Type,
    #[error("has another `use` than `sig`")]
    Use,
    #[error("has `key_ops` without `verify`")]
    Operations,
    #[error(
        "holds its private part: whoever could read it can sign tokens, so it has to be replaced, and only the public part given"
    )]
    Private,
    #[error("has an `alg` that no token here is signed with, or that its type does not fit")]
    Algorithm,
    #[error("has another `crv` than P-256, P-384 and Ed25519")]
    Curve,
    #[error("has a number that is not base64url without padding, or not of the length that its type has")]
    Encoding,
    #[error("is no point of its curve, or no RSA modulus and exponent")]
    Value,
    #[error("is an RSA key below 2048 bits, or above 8192")]
    RsaSize,
    #[error("is a secret shorter than the hash of its algorithm: 32 bytes for HS256, 48 for HS384, 64 for HS512")]
    SecretSize,
    #[error("is a secret: what can be fetched from a URL is none")]
    Fetched,
    #[error("is a second key with the `kid` and an algorithm of one before it")]
    Repeated,
    #[error("is a PEM section that is no public key")]
    Pem,
}

impl Key {
    /// Reads a JWK (RFC 7517, 4; RFC 7518, 6; RFC 8037, 2) that stands at `entry`.
    pub(super) fn of_jwk(json: Parsed<'_>, entry: u32) -> Result<Key, Unfit> {
        if !matches!(json.tape.entries[entry as usize], Entry::Object { .. }) {
            return Err(Unfit::NoObject);
        }
        let member = |name: &str| match json.member(entry, name) {
            None => Ok(None),
            Some(value) => json.string(value).map(Some).ok_or(Unfit::Member),
        };
        let octets = |name: &str| {
            let text = member(name)?.ok_or(Unfit::Encoding)?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| Unfit::Encoding)
        };
        if member("use")?.is_some_and(|written| written != "sig") {
            return Err(Unfit::Use);
        }
        if let Some(operations) = json.member(entry, "key_ops")
            && !holds(json, operations, "verify")?
        {
            return Err(Unfit::Operations);
        }
        let private = ["d", "p", "q", "dp", "dq", "qi", "oth"];
        let mut key = match member("kty")? {
            Some("RSA" | "EC" | "OKP") if private.iter().any(|name| json.member(entry, name).is_some()) => {
                return Err(Unfit::Private);
            }
            Some("RSA") => Key::rsa(&octets("n")?, &octets("e")?)?,
            Some("EC") => Key::ec(Curve::named(member("crv")?)?, &octets("x")?, &octets("y")?)?,
            Some("OKP") if member("crv")? == Some("Ed25519") => Key::ed25519(&octets("x")?)?,
            Some("OKP") => return Err(Unfit::Curve),
            Some("oct") => Key::secret(&octets("k")?)?,
            _ => return Err(Unfit::Type),
        };
        if let Some(written) = member("alg")? {
            let only = algorithm::named(written).ok_or(Unfit::Algorithm)?;
            if !key.algorithms.contains(&only) {
                return Err(if key.is_symmetric() { Unfit::SecretSize } else { Unfit::Algorithm });
            }
            key.algorithms = vec![only];
        }
        key.kid = member("kid")?.map(Into::into);
        Ok(key)
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280, 4.1): what PEM calls `PUBLIC KEY`.
    pub(super) fn of_spki(der: &[u8]) -> Result<Key, Unfit> {
        let (rest, key) = SubjectPublicKeyInfo::from_der(der).map_err(|_| Unfit::Encoding)?;
        if !rest.is_empty() {
            return Err(Unfit::Encoding);
        }
        let bits = &*key.subject_public_key.data;
        let algorithm = &key.algorithm.algorithm;
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(PublicKey::RSA(key)) = key.parsed() else { return Err(Unfit::Encoding) };
            return Key::rsa(significant(key.modulus), significant(key.exponent));
        }
        if *algorithm == OID_SIG_ED25519 {
            return Key::ed25519(bits);
        }
        if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return Err(Unfit::Type);
        }
        let curve = match key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok()) {
            Some(oid) if oid == OID_EC_P256 => Curve::P256,
            Some(oid) if oid == OID_NIST_EC_P384 => Curve::P384,
            _ => return Err(Unfit::Curve),
        };
        // Uncompressed (SEC 1, 2.3.3).
        let Some((4, point)) = bits.split_first().map(|(form, point)| (*form, point)) else {
            return Err(Unfit::Encoding);
        };
        let (x, y) = point.split_at_checked(curve.bytes()).ok_or(Unfit::Encoding)?;
        Key::ec(curve, x, y)
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Key, Unfit> {
        // A leading zero would give the same key another thumbprint (RFC 7518, 6.3.1.1).
        let bits = |integer: &[u8]| match integer.first() {
            None | Some(0) => Err(Unfit::Encoding),
            Some(first) => Ok(integer.len() * 8 - first.leading_zeros() as usize),
        };
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits(modulus)?) {
            return Err(Unfit::RsaSize);
        }
        // With the exponent 1, every message is its own signature.
        let odd = exponent.last().is_some_and(|last| last % 2 == 1);
        if !(2..=MAX_EXPONENT_BITS).contains(&bits(exponent)?) || !odd {
            return Err(Unfit::Value);
        }
        RsaPublicKeyComponents { n: modulus, e: exponent }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| Unfit::Value)?;
        let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
        Ok(Key {
            kid: None,
            algorithms: RSA.to_vec(),
            thumbprint: thumbprint(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)),
            material: DecodingKey::from_rsa_raw_components(modulus, exponent),
        })
    }

    fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<Key, Unfit> {
        // Of full length, leading zeros included (RFC 7518, 6.2.1.2).
        if (x.len(), y.len()) != (curve.bytes(), curve.bytes()) {
            return Err(Unfit::Encoding);
        }
        let point = [&[4], x, y].concat();
        let (algorithm, verification, name) = curve.facts();
        ParsedPublicKey::new(verification, &point).map_err(|_| Unfit::Value)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Ok(Key {
            kid: None,
            algorithms: vec![algorithm],
            thumbprint: thumbprint(&format!(r#"{{"crv":"{name}","kty":"EC","x":"{x}","y":"{y}"}}"#)),
            material: DecodingKey::from_ec_der(&point),
        })
    }

    fn ed25519(x: &[u8]) -> Result<Key, Unfit> {
        if x.len() != 32 {
            return Err(Unfit::Encoding);
        }
        let text = URL_SAFE_NO_PAD.encode(x);
        Ok(Key {
            kid: None,
            algorithms: vec![Algorithm::EdDSA],
            thumbprint: thumbprint(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{text}"}}"#)),
            material: DecodingKey::from_ed_der(x),
        })
    }

    fn secret(secret: &[u8]) -> Result<Key, Unfit> {
        let fit = HMAC.iter().filter(|(_, least)| secret.len() >= *least).map(|(algorithm, _)| *algorithm);
        let algorithms: Vec<Algorithm> = fit.collect();
        if algorithms.is_empty() || secret.len() > MAX_SECRET_BYTES {
            return Err(Unfit::SecretSize);
        }
        let text = URL_SAFE_NO_PAD.encode(secret);
        Ok(Key {
            kid: None,
            algorithms,
            thumbprint: thumbprint(&format!(r#"{{"k":"{text}","kty":"oct"}}"#)),
            material: DecodingKey::from_secret(secret),
        })
    }

    /// What a token's `kid` is compared with. Issuers that name no key in their set often name it by its thumbprint.
    pub(super) fn name(&self) -> &str {
        self.kid.as_deref().unwrap_or(&self.thumbprint)
    }

    pub(super) fn is_symmetric(&self) -> bool {
        self.algorithms.iter().copied().any(algorithm::is_symmetric)
    }

    /// Whether `signature`, base64url, is this key's over `signed`, by an algorithm that is one of its own.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        self.algorithms.contains(&algorithm)
            && crypto::verify(signature, signed.as_bytes(), &self.material, algorithm).unwrap_or(false)
    }
}

/// Two keys are the same one when they have the same name, material and algorithms.
impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        (&self.kid, &self.algorithms, &self.thumbprint) == (&other.kid, &other.algorithms, &other.thumbprint)
    }
}

/// No material, and no more of a hash than tells keys apart.
impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.thumbprint[..8];
        out.debug_struct("Key").field("kid", &self.kid).field("thumbprint", &shown).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    fn named(name: Option<&str>) -> Result<Curve, Unfit> {
        match name {
            Some("P-256") => Ok(Curve::P256),
            Some("P-384") => Ok(Curve::P384),
            _ => Err(Unfit::Curve),
        }
    }

    /// Of a coordinate.
    fn bytes(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
        }
    }

    fn facts(self) -> (Algorithm, &'static EcdsaVerificationAlgorithm, &'static str) {
        match self {
            Curve::P256 => (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, "P-256"),
            Curve::P384 => (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, "P-384"),
        }
    }
}

/// Of the required members in the order of their names, without spaces (RFC 7638, 3). What is in them was decoded and
/// encoded again, so one key has one thumbprint.
fn thumbprint(canonical: &str) -> Box<str> {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes())).into()
}

/// Whether the list of texts at `entry` holds one.
fn holds(json: Parsed<'_>, entry: u32, wanted: &str) -> Result<bool, Unfit> {
    let Entry::Array { length, .. } = json.tape.entries[entry as usize] else { return Err(Unfit::Member) };
    let mut found = false;
    // Texts take one entry each; the first that is none ends it.
    for at in entry + 1..=entry + length {
        found |= json.string(at).ok_or(Unfit::Member)? == wanted;
    }
    Ok(found)
}

/// Without the zeros before a DER integer.
fn significant(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    &integer[zeros..]
}
