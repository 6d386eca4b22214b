//! PKCS#12 and PKCS#7: what is in them, each certificate explained.

use super::{Item, certificate, key, list};
use crate::pkcs7;
use crate::pkcs12::{self, Contents};
use crate::problem::Result;
use crate::time::UnixMs;

pub(super) fn pkcs7(contents: &pkcs7::Contents, now: UnixMs) -> Vec<Item> {
    let pkcs7::Contents { certificates, lists } = contents;
    let mut item = Item::new("PKCS#7 bundle");
    item.row("Certificates", certificates.len().to_string());
    item.row("Revocation lists", lists.len().to_string());
    let mut items = vec![item];
    items.extend(certificates.iter().map(|der| or_unreadable(certificate::explain(der, now))));
    items.extend(lists.iter().map(|der| or_unreadable(list::explain(der, now))));
    items
}

pub(super) fn pkcs12(der: &[u8], password: Option<&str>, now: UnixMs) -> Result<Vec<Item>> {
    let contents = pkcs12::read(der, password)?;
    let mut item = Item::new("PKCS#12 bundle");
    overview(&mut item, &contents, password);
    let mut items = vec![item];
    for found in &contents.keys {
        let mut item = key::private_der(&found.der).unwrap_or_else(|| {
            let mut item = Item::new("Private key");
            item.warn("of a kind that is weak or not read here");
            item
        });
        // Behind the bundle's password.
        item.warnings.retain(|warning| !warning.starts_with("not encrypted"));
        if let Some(name) = &found.name {
            item.rows.insert(0, ("Name".to_owned(), name.clone()));
        }
        items.push(item);
    }
    for found in &contents.certificates {
        let mut item = or_unreadable(certificate::explain(&found.der, now));
        if let Some(name) = &found.name {
            item.rows.insert(0, ("Name".to_owned(), name.clone()));
        }
        items.push(item);
    }
    Ok(items)
}

fn overview(item: &mut Item, contents: &Contents, password: Option<&str>) {
    item.row("Keys", contents.keys.len().to_string());
    item.row("Certificates", contents.certificates.len().to_string());
    if contents.others > 0 {
        item.row("Other parts", contents.others.to_string());
    }
    for encryption in &contents.encryption {
        item.row("Encryption", encryption);
        if encryption.contains("RC2-40") {
            item.warn("RC2 with 40 bits: anybody can open that; rewrite it");
        }
    }
    match &contents.mac {
        Some(mac) => item.row("Integrity", mac),
        None => item.warn("no MAC: a change to the file would not be seen"),
    }
    if contents.locked {
        item.warn("encrypted: give its password to see what is in it");
    } else if password.is_none_or(str::is_empty) {
        item.warn("the password is empty: whoever reads the file has the key");
    }
}

fn or_unreadable(item: Result<Item>) -> Item {
    item.unwrap_or_else(|problem| {
        let mut item = Item::new("Part that cannot be read");
        item.warn(problem.message);
        item
    })
}
