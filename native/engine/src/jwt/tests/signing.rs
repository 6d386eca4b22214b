//! Who signs the tokens of the tests.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A key pair with the JWK of its public part.
pub(super) struct Signer {
    pub(super) kid: String,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Ps256(RsaKeyPair),
    Hs256(Vec<u8>),
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn new(kid: &str, pair: Pair) -> Signer {
        Signer { kid: kid.to_owned(), pair }
    }

    pub(super) fn es256(kid: &str) -> Signer {
        Signer::new(kid, Pair::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()))
    }

    pub(super) fn es384(kid: &str) -> Signer {
        Signer::new(kid, Pair::Es384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()))
    }

    pub(super) fn eddsa(kid: &str) -> Signer {
        Signer::new(kid, Pair::EdDsa(Ed25519KeyPair::generate().unwrap()))
    }

    pub(super) fn rs256(kid: &str) -> Signer {
        Signer::new(kid, Pair::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(super) fn ps256(kid: &str) -> Signer {
        Signer::new(kid, Pair::Ps256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(super) fn hs256(kid: &str, secret: &[u8]) -> Signer {
        Signer::new(kid, Pair::Hs256(secret.to_vec()))
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Es384(_) => "ES384",
            Pair::EdDsa(_) => "EdDSA",
            Pair::Rs256(_) => "RS256",
            Pair::Ps256(_) => "PS256",
            Pair::Hs256(_) => "HS256",
        }
    }

    pub(super) fn signature(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) | Pair::Es384(pair) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(signed).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).unwrap();
                signature
            }
            Pair::Ps256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, signed, &mut signature).unwrap();
                signature
            }
            Pair::Hs256(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed).as_ref().to_vec(),
        }
    }

    /// An ECDSA signature in DER, as everybody but JOSE writes it.
    pub(super) fn der_signature(&self, signed: &[u8]) -> Vec<u8> {
        let Pair::Es256(pair) = &self.pair else { panic!("no ES256 key") };
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        der.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()
    }

    /// A token with a header as an identity provider writes it.
    pub(super) fn token(&self, claims: &str) -> String {
        let header = serde_json::json!({ "alg": self.algorithm(), "kid": self.kid, "typ": "at+jwt" });
        self.token_with(&header.to_string(), claims)
    }

    /// A token with any header, signed by this key whatever the header says.
    pub(super) fn token_with(&self, header: &str, claims: &str) -> String {
        self.token_of(header.as_bytes(), claims.as_bytes())
    }

    pub(super) fn token_of(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(self.signature(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The public part, or the secret.
    pub(super) fn jwk(&self) -> serde_json::Value {
        let mut jwk = match &self.pair {
            Pair::Es256(pair) => {
                let point = pair.public_key().as_ref();
                serde_json::json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            Pair::Es384(pair) => {
                let point = pair.public_key().as_ref();
                serde_json::json!({ "kty": "EC", "crv": "P-384", "x": encode(&point[1..49]), "y": encode(&point[49..]) })
            }
            Pair::EdDsa(pair) => {
                serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
            Pair::Rs256(pair) | Pair::Ps256(pair) => {
                let key = pair.public_key();
                serde_json::json!({
                    "kty": "RSA",
                    "n": encode(key.modulus().big_endian_without_leading_zero()),
                    "e": encode(key.exponent().big_endian_without_leading_zero()),
                })
            }
            Pair::Hs256(secret) => serde_json::json!({ "kty": "oct", "k": encode(secret) }),
        };
        jwk["kid"] = self.kid.as_str().into();
        jwk
    }

    /// SubjectPublicKeyInfo as PEM.
    pub(super) fn pem(&self) -> String {
        use aws_lc_rs::encoding::AsDer;
        let der = match &self.pair {
            Pair::Es256(pair) | Pair::Es384(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Rs256(pair) | Pair::Ps256(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Hs256(_) => panic!("a secret has no public part"),
        };
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

/// A JWK Set.
pub(super) fn set(keys: &[&Signer]) -> String {
    serde_json::json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}
