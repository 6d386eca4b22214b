//! Private keys: made, read and used by aws-lc-rs alone.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde::Deserialize;

use crate::problem::{Problem, Result};
use crate::text::{pem_sections, to_pem};

/// Keys that are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyType {
    #[serde(rename = "P-256")]
    P256,
    #[serde(rename = "P-384")]
    P384,
    Ed25519,
    #[serde(rename = "RSA 3072")]
    Rsa3072,
    #[serde(rename = "RSA 4096")]
    Rsa4096,
}

/// A private key that signs. It has no Debug: nothing prints it.
pub(crate) enum Key {
    Ecdsa(EcdsaKeyPair, &'static [u8]),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// AlgorithmIdentifier of each signature that is made here.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_SHA512: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
const RSA_SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];

/// Elliptic curves with the hash of their strength; P-521 is read, never made: TLS stacks of phones lack it.
const CURVES: [(&EcdsaSigningAlgorithm, &[u8]); 3] = [
    (&ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_SHA256),
    (&ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_SHA384),
    (&ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_SHA512),
];

/// NIST SP 800-57 part 1, table 2: below 2048 bits RSA is disallowed. Above 8192 a signature takes a second.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

impl Key {
    pub(crate) fn make(kind: KeyType) -> Result<Key> {
        Ok(match kind {
            KeyType::P256 => Key::Ecdsa(EcdsaKeyPair::generate(CURVES[0].0)?, CURVES[0].1),
            KeyType::P384 => Key::Ecdsa(EcdsaKeyPair::generate(CURVES[1].0)?, CURVES[1].1),
            KeyType::Ed25519 => Key::Ed25519(Ed25519KeyPair::generate()?),
            KeyType::Rsa3072 => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa3072)?),
            KeyType::Rsa4096 => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa4096)?),
        })
    }

    /// The first private key of a PEM text: PKCS#8, or the older forms of OpenSSL.
    pub(crate) fn from_pem(text: &str) -> Result<Key> {
        let sections = pem_sections(text)?;
        let Some(section) = sections.iter().find(|section| section.label.ends_with("PRIVATE KEY")) else {
            return Err(Problem::new(
                "there is no private key in the PEM text",
                "Give PEM with a `-----BEGIN PRIVATE KEY-----` section.",
            ));
        };
        let encrypted = section.label == "ENCRYPTED PRIVATE KEY"
            || text.contains("Proc-Type: 4,ENCRYPTED")
            || section.label == "OPENSSH PRIVATE KEY";
        if encrypted {
            return Err(Problem::new(
                "the private key is encrypted, or of another form than PKCS#8",
                "Convert it: openssl pkcs8 -topk8 -nocrypt -in key.pem -out plain.pem",
            ));
        }
        Key::from_der(&section.contents)
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Key> {
        if let Ok(key) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
            if !RSA_MODULUS_BYTES.contains(&key.public_modulus_len()) {
                return Err(Problem::new(
                    format!("the RSA key has {} bits", key.public_modulus_len() * 8),
                    "Use RSA of 2048 to 8192 bits, or P-256.",
                ));
            }
            return Ok(Key::Rsa(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8(der).or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)) {
            return Ok(Key::Ed25519(key));
        }
        for (curve, algorithm) in CURVES {
            if let Ok(key) = EcdsaKeyPair::from_private_key_der(curve, der) {
                return Ok(Key::Ecdsa(key, algorithm));
            }
        }
        Err(Problem::new(
            "the private key cannot be read, or is of a kind that is too weak or unknown",
            "Use P-256, P-384, P-521, Ed25519 or RSA of at least 2048 bits, as PKCS#8 PEM.",
        ))
    }

    /// PKCS#8 version 1: OpenSSL refuses version 2 of Ed25519 keys.
    pub(crate) fn to_pkcs8(&self) -> Result<Vec<u8>> {
        Ok(match self {
            Key::Ecdsa(key, _) => key.to_pkcs8v1()?.as_ref().to_vec(),
            Key::Ed25519(key) => key.to_pkcs8v1()?.as_ref().to_vec(),
            Key::Rsa(key) => AsDer::<Pkcs8V1Der>::as_der(key)?.as_ref().to_vec(),
        })
    }

    pub(crate) fn to_pem(&self) -> Result<String> {
        Ok(to_pem("PRIVATE KEY", &self.to_pkcs8()?))
    }

    /// SubjectPublicKeyInfo
    pub(crate) fn public_key(&self) -> Result<Vec<u8>> {
        let der: PublicKeyX509Der = match self {
            Key::Ecdsa(key, _) => key.public_key().as_der()?,
            Key::Ed25519(key) => key.public_key().as_der()?,
            Key::Rsa(key) => key.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// AlgorithmIdentifier of the signatures that this key makes.
    pub(crate) fn signature_algorithm(&self) -> &'static [u8] {
        match self {
            Key::Ecdsa(_, algorithm) => algorithm,
            Key::Ed25519(_) => ED25519,
            Key::Rsa(_) => RSA_SHA256,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        Ok(match self {
            Key::Ecdsa(key, _) => key.sign(&random, message)?.as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
        })
    }
}
