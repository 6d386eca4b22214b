//! Keys: their kind and which public key they belong to. The secret is never shown, nor given back.

use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Item;
use crate::key::Key;
use crate::problem::{Problem, Result};
use crate::public_key::{key_id, kind, refuse_weak};
use crate::text::to_pem;

pub(super) fn public(der: &[u8]) -> Result<Item> {
    let Ok(([], key)) = SubjectPublicKeyInfo::from_der(der) else {
        return Err(Problem::new("the public key cannot be read", "Give a SubjectPublicKeyInfo as PEM or DER."));
    };
    let mut item = Item::new("Public key");
    rows(&mut item, &key);
    item.pem = Some(to_pem("PUBLIC KEY", der));
    Ok(item)
}

pub(super) fn private(label: &str, der: &[u8], text: &str) -> Item {
    if label == "ENCRYPTED PRIVATE KEY" || text.contains("Proc-Type: 4,ENCRYPTED") {
        let mut item = Item::new("Private key, encrypted");
        item.row("Form", label);
        return item;
    }
    private_der(der).unwrap_or_else(|| {
        let mut item = Item::new("Private key");
        item.row("Form", label);
        item.warn("of a kind that is weak or not read here; convert it: openssl pkcs8 -topk8 -nocrypt");
        item
    })
}

pub(super) fn private_der(der: &[u8]) -> Option<Item> {
    let public = Key::from_der(der).ok()?.public_key().ok()?;
    let (_, key) = SubjectPublicKeyInfo::from_der(&public).ok()?;
    let mut item = Item::new("Private key");
    rows(&mut item, &key);
    item.warn("not encrypted: whoever reads the file has the key");
    Some(item)
}

fn rows(item: &mut Item, key: &SubjectPublicKeyInfo) {
    item.row("Key", kind(key));
    item.row("Key SHA-256 (SPKI)", key_id(key.raw));
    if let Err(problem) = refuse_weak(key, "the") {
        item.warn(problem.message);
    }
}
