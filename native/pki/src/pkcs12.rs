//! PKCS#12 bundles (RFC 7292): key, certificate and chain behind a password, for phones, browsers and keystores.

mod decrypt;
mod read;

pub(crate) use read::{Contents, is_bundle, read};

use aws_lc_rs::digest::{SHA256, digest};
use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use serde::{Deserialize, Serialize};

use crate::facts::parse;
use crate::key::Key;
use crate::names::refuse_invisible;
use crate::problem::{Problem, Result, internal};
use crate::text::{certificate, certificates, to_base64};

/// Certificates above the leaf; TLS stacks walk about ten.
const MAX_CHAIN: usize = 16;
/// Longer ones have been seen to fail on import.
const MAX_PASSWORD_CHARS: usize = 256;
const MAX_NAME_CHARS: usize = 128;
/// Rounds of key derivation: as OpenSSL's documentation advises for new files, fifty times its default; 50 ms here.
const MODERN_ROUNDS: u32 = 100_000;
/// What devices that need the old encryption derive within a second.
const LEGACY_ROUNDS: u32 = 10_000;

#[derive(Deserialize)]
pub struct Make {
    certificate: String,
    chain: Vec<String>,
    key: String,
    password: String,
    name: String,
    encryption: Encryption,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encryption {
    Modern,
    Legacy,
}

#[derive(Serialize)]
pub struct Made {
    der: String,
}

pub(crate) fn make(command: &Make) -> Result<Made> {
    check_password(&command.password)?;
    check_name(&command.name)?;
    let leaf = certificate(&command.certificate)?;
    let key = Key::from_pem(&command.key)?;
    if key.public_key()? != parse(&leaf)?.public_key().raw {
        return Err(Problem::new(
            "the private key is not the one of the certificate",
            "Give the key that was made together with this certificate.",
        ));
    }
    let mut ders = vec![leaf];
    for pem in &command.chain {
        for der in certificates(pem)? {
            parse(&der)?;
            if !ders.contains(&der) {
                ders.push(der);
            }
        }
    }
    if ders.len() > MAX_CHAIN + 1 {
        return Err(Problem::new(format!("a chain of {}", ders.len() - 1), format!("Give {MAX_CHAIN} at most.")));
    }
    let failed = |_| internal("encoding PKCS#12");
    // Joins key and certificate: any bytes that both bags carry. Windows shows them, so they tell nothing secret.
    let identifier = digest(&SHA256, &ders[0]);
    let identifier = &identifier.as_ref()[..20];
    let key = PrivateKey::from_der(&key.to_pkcs8()?).map_err(failed)?;
    let chain = ders.iter().map(|der| Certificate::from_der(der).map_err(failed)).collect::<Result<Vec<_>>>()?;
    let mut store = KeyStore::new();
    store.add_entry(&command.name, KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(identifier, key, chain)));
    let (encryption, mac, rounds) = match command.encryption {
        Encryption::Modern => {
            (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256, MODERN_ROUNDS)
        }
        Encryption::Legacy => {
            (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1, LEGACY_ROUNDS)
        }
    };
    let der = store
        .writer(&command.password)
        .encryption_algorithm(encryption)
        .encryption_iterations(rounds)
        .mac_algorithm(mac)
        .mac_iterations(rounds)
        .write()
        .map_err(failed)?;
    Ok(Made { der: to_base64(&der) })
}

/// Its message never repeats the password.
fn check_password(password: &str) -> Result<()> {
    let problem = |why: &str| {
        Err(Problem::new(
            format!("the password of the bundle {why}"),
            format!("Give 1 to {MAX_PASSWORD_CHARS} characters on one line, of the basic plane of Unicode."),
        ))
    };
    match password.chars().count() {
        0 => problem("is empty: whoever gets the file would have the key"),
        count if count > MAX_PASSWORD_CHARS => problem("is too long"),
        _ if password.chars().any(|char| char.is_control() || u32::from(char) > 0xffff) => {
            problem("holds characters that PKCS#12 cannot carry")
        }
        _ => Ok(()),
    }
}

/// BMPString: no characters above the basic plane.
fn check_name(name: &str) -> Result<()> {
    refuse_invisible(name, "name of the bundle")?;
    let count = name.chars().count();
    if count == 0 || count > MAX_NAME_CHARS || name.chars().any(|char| u32::from(char) > 0xffff) {
        return Err(Problem::new(
            "the bundle's name is empty, too long or of characters that PKCS#12 cannot carry",
            format!("Give 1 to {MAX_NAME_CHARS} characters, such as the device's name."),
        ));
    }
    Ok(())
}
