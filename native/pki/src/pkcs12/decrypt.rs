//! Keys from passwords, and what they decrypt: PBES2 (RFC 8018) with AES, and the older schemes of RFC 7292.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA224, SHA256, SHA384, SHA512};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use der::Sequence;
use der::asn1::OctetString;
use der::oid::ObjectIdentifier;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::problem::{Problem, Result};

/// Rounds of hashing that one file may ask for, all its parts together: about two seconds. OpenSSL writes 2,048 for
/// each part, Java 10,000, Firefox 600,000.
const MAX_ROUNDS: u32 = 5_000_000;

/// Longest salt; usual are 8 to 32 bytes.
const MAX_SALT_BYTES: usize = 1024;

pub(super) struct Budget {
    rounds: u32,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { rounds: MAX_ROUNDS }
    }
}

impl Budget {
    fn take(&mut self, rounds: u32) -> Result<()> {
        match self.rounds.checked_sub(rounds) {
            Some(left) => {
                self.rounds = left;
                Ok(())
            }
            None => Err(Problem::new(
                format!("the bundle asks for more than {MAX_ROUNDS} rounds of key derivation"),
                "Rewrite it with fewer: openssl pkcs12 -export -iter 100000",
            )),
        }
    }
}

pub(super) struct Hash {
    pub(super) name: &'static str,
    oid: ObjectIdentifier,
    pub(super) bytes: usize,
    /// `v` of RFC 7292, B.2.
    block_bytes: usize,
    digest: &'static digest::Algorithm,
    pub(super) hmac: hmac::Algorithm,
}

static HASHES: [Hash; 5] = [
    Hash {
        name: "SHA-1",
        oid: ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
        bytes: 20,
        block_bytes: 64,
        digest: &SHA1_FOR_LEGACY_USE_ONLY,
        hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    },
    Hash {
        name: "SHA-224",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.4"),
        bytes: 28,
        block_bytes: 64,
        digest: &SHA224,
        hmac: hmac::HMAC_SHA224,
    },
    Hash {
        name: "SHA-256",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
        bytes: 32,
        block_bytes: 64,
        digest: &SHA256,
        hmac: hmac::HMAC_SHA256,
    },
    Hash {
        name: "SHA-384",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        bytes: 48,
        block_bytes: 128,
        digest: &SHA384,
        hmac: hmac::HMAC_SHA384,
    },
    Hash {
        name: "SHA-512",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        bytes: 64,
        block_bytes: 128,
        digest: &SHA512,
        hmac: hmac::HMAC_SHA512,
    },
];

pub(super) fn hash(oid: &ObjectIdentifier) -> Option<&'static Hash> {
    HASHES.iter().find(|hash| hash.oid == *oid)
}

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");

/// SHA-1 with a cipher (RFC 7292, appendix C): its key's length.
const LEGACY: [(ObjectIdentifier, &str, usize); 4] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3"), "3DES, SHA-1 (legacy)", 24),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.4"), "2-key 3DES, SHA-1 (legacy)", 16),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.5"), "RC2-128, SHA-1 (legacy)", 16),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.6"), "RC2-40, SHA-1 (legacy)", 5),
];

#[derive(Sequence)]
struct Pbes2 {
    derivation: AlgorithmIdentifierOwned,
    cipher: AlgorithmIdentifierOwned,
}

#[derive(Sequence)]
struct Pbkdf2 {
    salt: OctetString,
    rounds: u32,
    key_bytes: Option<u16>,
    prf: Option<AlgorithmIdentifierOwned>,
}

#[derive(Sequence)]
struct LegacyParameters {
    salt: OctetString,
    rounds: u32,
}

/// For people: scheme and rounds.
pub(super) fn name(algorithm: &AlgorithmIdentifierOwned) -> String {
    if let Some((_, name, _)) = LEGACY.iter().find(|(oid, ..)| *oid == algorithm.oid) {
        let rounds = parameters::<LegacyParameters>(algorithm).map_or(0, |found| found.rounds);
        return format!("{name}, {rounds} rounds");
    }
    match modern(algorithm) {
        Some(found) => format!("{}, PBKDF2, {} rounds", found.cipher_name, found.derivation.rounds),
        None => format!("unknown scheme {}", algorithm.oid),
    }
}

/// None when the password is not the right one: the padding is wrong.
pub(super) fn decrypt(
    algorithm: &AlgorithmIdentifierOwned,
    encrypted: &[u8],
    password: &str,
    budget: &mut Budget,
) -> Result<Option<Vec<u8>>> {
    if let Some(found) = modern(algorithm) {
        return decrypt_modern(&found, encrypted, password, budget);
    }
    let legacy = LEGACY.iter().find(|(oid, ..)| *oid == algorithm.oid);
    match (legacy, parameters::<LegacyParameters>(algorithm)) {
        (Some(&(_, name, key_bytes)), Some(found)) => {
            let (salt, rounds) = (found.salt.as_bytes(), found.rounds);
            let key = derive(&HASHES[0], Purpose::Key, password, salt, rounds, key_bytes, budget)?;
            let iv = derive(&HASHES[0], Purpose::Iv, password, salt, rounds, 8, budget)?;
            Ok(match (name.starts_with("RC2"), key_bytes) {
                (true, _) => unpad::<cbc::Decryptor<rc2::Rc2>>(&key, &iv, encrypted),
                (false, 24) => unpad::<cbc::Decryptor<des::TdesEde3>>(&key, &iv, encrypted),
                (false, _) => unpad::<cbc::Decryptor<des::TdesEde2>>(&key, &iv, encrypted),
            })
        }
        _ => Err(Problem::new(
            format!("the bundle is encrypted by a scheme that is not read: {}", algorithm.oid),
            "Rewrite it with AES-256: openssl pkcs12 -export",
        )),
    }
}

fn unpad<Cipher: KeyIvInit + BlockModeDecrypt>(key: &[u8], iv: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    Cipher::new_from_slices(key, iv).ok()?.decrypt_padded_vec::<Pkcs7>(encrypted).ok()
}

struct Modern {
    derivation: Pbkdf2,
    prf: &'static Hash,
    cipher: &'static aws_lc_rs::cipher::Algorithm,
    cipher_name: &'static str,
    key_bytes: usize,
    iv: [u8; 16],
}

fn modern(algorithm: &AlgorithmIdentifierOwned) -> Option<Modern> {
    let found = parameters::<Pbes2>(algorithm).filter(|_| algorithm.oid == PBES2)?;
    let derivation = parameters::<Pbkdf2>(&found.derivation).filter(|_| found.derivation.oid == PBKDF2)?;
    // hmacWithSHA1 unless told (RFC 8018, A.2).
    let prf = match derivation.prf.as_ref().map(|prf| prf.oid.to_string()).as_deref() {
        None | Some("1.2.840.113549.2.7") => &HASHES[0],
        Some("1.2.840.113549.2.8") => &HASHES[1],
        Some("1.2.840.113549.2.9") => &HASHES[2],
        Some("1.2.840.113549.2.10") => &HASHES[3],
        Some("1.2.840.113549.2.11") => &HASHES[4],
        Some(_) => return None,
    };
    let (cipher, cipher_name, key_bytes) = match found.cipher.oid.to_string().as_str() {
        "2.16.840.1.101.3.4.1.2" => (&AES_128, "AES-128", 16),
        "2.16.840.1.101.3.4.1.22" => (&AES_192, "AES-192", 24),
        "2.16.840.1.101.3.4.1.42" => (&AES_256, "AES-256", 32),
        _ => return None,
    };
    let iv = parameters::<OctetString>(&found.cipher)?.as_bytes().try_into().ok()?;
    Some(Modern { derivation, prf, cipher, cipher_name, key_bytes, iv })
}

fn decrypt_modern(found: &Modern, encrypted: &[u8], password: &str, budget: &mut Budget) -> Result<Option<Vec<u8>>> {
    let salt = found.derivation.salt.as_bytes();
    let (Some(rounds), false) = (NonZeroU32::new(found.derivation.rounds), salt.len() > MAX_SALT_BYTES) else {
        return Err(unreasonable());
    };
    // SHA-1 has to be run twice for a key of 32 bytes.
    budget.take(rounds.get().saturating_mul(u32::try_from(found.key_bytes.div_ceil(found.prf.bytes)).unwrap_or(2)))?;
    let prf = match found.prf.name {
        "SHA-1" => pbkdf2::PBKDF2_HMAC_SHA1,
        "SHA-256" => pbkdf2::PBKDF2_HMAC_SHA256,
        "SHA-384" => pbkdf2::PBKDF2_HMAC_SHA384,
        "SHA-512" => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return Err(unreasonable()),
    };
    let mut key = vec![0; found.key_bytes];
    pbkdf2::derive(prf, rounds, salt, password.as_bytes(), &mut key);
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(found.cipher, &key)?)?;
    let mut bytes = encrypted.to_vec();
    let opened = key.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(&found.iv)));
    Ok(opened.ok().map(|plain| plain.to_vec()))
}

#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// RFC 7292, B.2
pub(super) fn derive(
    hash: &Hash,
    purpose: Purpose,
    password: &str,
    salt: &[u8],
    rounds: u32,
    bytes: usize,
    budget: &mut Budget,
) -> Result<Vec<u8>> {
    if rounds == 0 || salt.len() > MAX_SALT_BYTES {
        return Err(unreasonable());
    }
    let block = hash.block_bytes;
    // BMPString with two zero bytes behind it, the empty password too.
    let password: Vec<u8> = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let filled =
        |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().cycle().take(bytes.len().div_ceil(block) * block).collect() };
    let mut input = filled(salt);
    input.extend(filled(&password));
    let mut out = Vec::with_capacity(bytes + hash.bytes);
    while out.len() < bytes {
        budget.take(rounds)?;
        let mut context = digest::Context::new(hash.digest);
        context.update(&vec![purpose as u8; block]);
        context.update(&input);
        let mut round = context.finish();
        for _ in 1..rounds {
            round = digest::digest(hash.digest, round.as_ref());
        }
        out.extend(round.as_ref());
        let addend: Vec<u8> = round.as_ref().iter().copied().cycle().take(block).collect();
        for block in input.chunks_exact_mut(block) {
            let mut carry = 1u16;
            for (byte, addend) in block.iter_mut().zip(&addend).rev() {
                carry += u16::from(*byte) + u16::from(*addend);
                *byte = carry.to_be_bytes()[1];
                carry >>= 8;
            }
        }
    }
    out.truncate(bytes);
    Ok(out)
}

fn parameters<T: for<'a> der::Decode<'a>>(algorithm: &AlgorithmIdentifierOwned) -> Option<T> {
    use der::Encode;
    T::from_der(&algorithm.parameters.as_ref()?.to_der().ok()?).ok()
}

fn unreasonable() -> Problem {
    Problem::new("the bundle's key derivation makes no sense", "Rewrite it: openssl pkcs12 -export")
}
