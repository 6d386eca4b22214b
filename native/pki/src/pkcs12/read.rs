//! Reading bundles of anybody, with a bound on the work that a small file can ask for: rounds of key derivation are
//! counted over the whole file, which the library that writes ours does not do.

use aws_lc_rs::hmac;
use der::asn1::{Any, BmpString, OctetString};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode, Sequence};
use x509_cert::attr::Attributes;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::decrypt::{self, Budget};
use crate::names::shown;
use crate::problem::{Problem, Result};

/// Largest bundle that is read: key and chain are 10 KiB, a keystore with every public authority 300.
const MAX_BUNDLE_BYTES: usize = 512 * 1024;
/// Bags of one bundle, keys and certificates.
const MAX_BAGS: usize = 1_000;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");
const FRIENDLY_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.20");

#[derive(Sequence)]
struct Pfx {
    version: u8,
    safe: ContentInfo,
    mac: Option<Mac>,
}

#[derive(Sequence)]
struct ContentInfo {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: Any,
}

#[derive(Sequence)]
struct Mac {
    digest: DigestInfo,
    salt: OctetString,
    #[asn1(default = "one")]
    rounds: u32,
}

fn one() -> u32 {
    1
}

#[derive(Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

#[derive(Sequence)]
struct EncryptedData {
    version: u8,
    content: EncryptedContent,
}

#[derive(Sequence)]
struct EncryptedContent {
    kind: ObjectIdentifier,
    algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    encrypted: Option<OctetString>,
}

#[derive(Sequence)]
struct Bag {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: Any,
    /// SET OF Attribute; read leniently, because it only holds names for people.
    attributes: Option<Any>,
}

#[derive(Sequence)]
struct ShroudedKey {
    algorithm: AlgorithmIdentifierOwned,
    encrypted: OctetString,
}

#[derive(Sequence)]
struct CertificateBag {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: OctetString,
}

/// What a bundle holds. It has no Debug: there are keys in it.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) certificates: Vec<Named>,
    /// PKCS#8
    pub(crate) keys: Vec<Named>,
    /// The password is not the right one, or none was given: nothing was opened.
    pub(crate) locked: bool,
    /// Whether a MAC says that nobody changed the file.
    pub(crate) mac: Option<String>,
    /// How its parts are encrypted, each once.
    pub(crate) encryption: Vec<String>,
    /// Parts of kinds that are not read.
    pub(crate) others: usize,
}

pub(crate) struct Named {
    pub(crate) name: Option<String>,
    pub(crate) der: Vec<u8>,
}

pub(crate) fn is_bundle(der: &[u8]) -> bool {
    Pfx::from_der(der).is_ok_and(|pfx| pfx.version == 3)
}

/// Without a password the empty one is tried.
pub(crate) fn read(der: &[u8], password: Option<&str>) -> Result<Contents> {
    if der.len() > MAX_BUNDLE_BYTES {
        return Err(Problem::new(format!("the bundle has {} bytes", der.len()), "512 KiB are read at most."));
    }
    let pfx = Pfx::from_der(der).map_err(|_| unreadable())?;
    if pfx.version != 3 || pfx.safe.kind != DATA {
        return Err(unreadable());
    }
    let safe = pfx.safe.content.decode_as::<OctetString>().map_err(|_| unreadable())?;
    let mut contents = Contents::default();
    let mut budget = Budget::default();
    let given = password;
    let password = password.unwrap_or("");
    if let Some(mac) = &pfx.mac {
        let hash = decrypt::hash(&mac.digest.algorithm.oid).ok_or_else(unreadable)?;
        contents.mac = Some(format!("HMAC {}, {} rounds", hash.name, mac.rounds));
        let key = decrypt::derive(
            hash,
            decrypt::Purpose::Mac,
            password,
            mac.salt.as_bytes(),
            mac.rounds,
            hash.bytes,
            &mut budget,
        )?;
        let holds = hmac::verify(&hmac::Key::new(hash.hmac, &key), safe.as_bytes(), mac.digest.digest.as_bytes());
        contents.locked = holds.is_err();
    }
    for part in Vec::<ContentInfo>::from_der(safe.as_bytes()).map_err(|_| unreadable())? {
        let bags = match part.kind {
            DATA => part.content.decode_as::<OctetString>().map_err(|_| unreadable())?.into_bytes().into_vec(),
            ENCRYPTED_DATA => {
                let data = part.content.decode_as::<EncryptedData>().map_err(|_| unreadable())?.content;
                contents.tell(decrypt::name(&data.algorithm));
                if contents.locked {
                    continue;
                }
                let encrypted = data.encrypted.as_ref().map(OctetString::as_bytes).unwrap_or_default();
                match decrypt::decrypt(&data.algorithm, encrypted, password, &mut budget)? {
                    Some(bags) => bags,
                    None => {
                        contents.locked = true;
                        continue;
                    }
                }
            }
            _ => {
                contents.others += 1;
                continue;
            }
        };
        contents.read_bags(&bags, password, &mut budget)?;
    }
    if contents.locked && given.is_some() {
        return Err(Problem::new("the password does not open the bundle", "Give the one it was made with."));
    }
    Ok(contents)
}

impl Contents {
    fn read_bags(&mut self, der: &[u8], password: &str, budget: &mut Budget) -> Result<()> {
        for bag in Vec::<Bag>::from_der(der).map_err(|_| unreadable())? {
            if self.certificates.len() + self.keys.len() + self.others >= MAX_BAGS {
                return Err(Problem::new("the bundle has more than 1,000 parts", "Split it."));
            }
            let name = bag.attributes.as_ref().and_then(friendly_name);
            match bag.kind {
                CERTIFICATE_BAG => {
                    let bag = bag.value.decode_as::<CertificateBag>().map_err(|_| unreadable())?;
                    if bag.kind == X509_CERTIFICATE {
                        self.certificates.push(Named { name, der: bag.value.into_bytes().into_vec() });
                    } else {
                        self.others += 1;
                    }
                }
                KEY_BAG => self.keys.push(Named { name, der: bag.value.to_der()? }),
                SHROUDED_KEY_BAG => {
                    let bag = bag.value.decode_as::<ShroudedKey>().map_err(|_| unreadable())?;
                    self.tell(decrypt::name(&bag.algorithm));
                    if self.locked {
                        continue;
                    }
                    match decrypt::decrypt(&bag.algorithm, bag.encrypted.as_bytes(), password, budget)? {
                        Some(der) => self.keys.push(Named { name, der }),
                        None => self.locked = true,
                    }
                }
                _ => self.others += 1,
            }
        }
        Ok(())
    }

    fn tell(&mut self, encryption: String) {
        if !self.encryption.contains(&encryption) {
            self.encryption.push(encryption);
        }
    }
}

fn friendly_name(attributes: &Any) -> Option<String> {
    let attributes = attributes.decode_as::<Attributes>().ok()?;
    let name = attributes.iter().find(|attribute| attribute.oid == FRIENDLY_NAME)?;
    let text = name.values.iter().next()?.decode_as::<BmpString>().ok()?;
    Some(shown(&text.to_string()))
}

fn unreadable() -> Problem {
    Problem::new(
        "the PKCS#12 bundle cannot be read",
        "Rewrite it: openssl pkcs12 -in old.p12 -nodes -out all.pem; openssl pkcs12 -export -in all.pem -out new.p12",
    )
}
