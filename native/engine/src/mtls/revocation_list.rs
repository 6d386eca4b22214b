//! One certificate revocation list (RFC 5280, 5), checked once when it is loaded.
//!
//! rustls-webpki judges whether the list is one that can be relied on (version 2, nextUpdate present, no delta, not
//! indirect, not partitioned by reason, no unknown critical extension), but it would verify the signature again at each
//! use: 28 ms with a million serials. So the signature is verified here, and only serials and dates are kept.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use webpki::{BorrowedCertRevocationList, Error};
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::authority::{Issuer, KeyId, problem, sha256};
use super::path::SIGNATURE_ALGORITHMS;
use super::serial_set::SerialSet;
use crate::policy::{self, Problem};

/// RFC 5280, 4.1.2.2: "Conforming CAs MUST NOT use serialNumber values longer than 20 octets."
pub(super) const MAX_SERIAL_BYTES: usize = 20;

/// A serial number, padded with zeros on the left: fixed width, so that a million of them are 20 MB in one piece.
pub(super) type Serial = [u8; MAX_SERIAL_BYTES];

/// A list whose signature has been verified.
#[derive(Debug)]
pub(super) struct RevocationList {
    /// What it speaks for, hashed: issuer's name, signing key, distribution point. Lists of one scope replace each
    /// other.
    pub(super) scope: [u8; 32],
    /// Content of the issuer's name.
    pub(super) issuer: Vec<u8>,
    /// RFC 2253, for people.
    pub(super) issuer_shown: String,
    /// The key that signed it.
    pub(super) signer: KeyId,
    pub(super) number: Serial,
    /// Unix seconds.
    pub(super) this_update: i64,
    /// Unix seconds: from then on nothing is known.
    pub(super) next_update: u64,
    pub(super) serials: SerialSet,
}

impl RevocationList {
    /// Of two lists of one scope the one with the greater number is newer, then the later.
    pub(super) fn age(&self) -> (Serial, i64) {
        (self.number, self.this_update)
    }

    /// Reads a list as far as that goes without its issuer: whether it is one that could be relied on, and how many
    /// serials it holds. Says nothing about its signature.
    ///
    /// # Errors
    /// What is wrong with it, and what would do.
    #[cfg(test)]
    pub(super) fn check(der: &[u8]) -> Result<usize, Refusal> {
        let list = BorrowedCertRevocationList::from_der(der).map_err(refusal)?;
        Head::read(der).ok_or(UNREADABLE)?;
        Ok(read_serials(&list)?.len())
    }
}

/// The lists of `crls` that hold, the newest of each scope; each has to be signed by one of the authority's own certificates.
pub(super) fn read_lists(
    authority: &policy::Authority,
    issuers: &[&Issuer],
    problems: &mut Vec<Problem>,
) -> Vec<Arc<RevocationList>> {
    let mut lists: Vec<Arc<RevocationList>> = Vec::new();
    for (index, text) in authority.crls.iter().enumerate() {
        let at = format!("{}/revocation/crl/{index}", authority.at);
        let ders = match ders(text) {
            Ok(ders) => ders,
            Err(message) => {
                problem(problems, &at, &message, "PEM with `BEGIN X509 CRL` sections, or DER.");
                continue;
            }
        };
        for der in ders {
            match read_list(&der, issuers) {
                Ok(list) => match lists.iter_mut().find(|known| known.scope == list.scope) {
                    Some(known) if known.age() < list.age() => *known = Arc::new(list),
                    Some(_) => {}
                    None => lists.push(Arc::new(list)),
                },
                Err((message, hint)) => problem(problems, &at, message, hint),
            }
        }
    }
    lists
}

fn ders(text: &str) -> Result<Vec<Vec<u8>>, String> {
    if !text.contains("-----BEGIN") {
        let text: String = text.split_ascii_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| "Neither PEM nor the base64 of DER.".to_owned())?;
        return if der.is_empty() { Err("There is no revocation list in it.".to_owned()) } else { Ok(vec![der]) };
    }
    let ders: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text.as_bytes())
        .map(|der| der.map(|der| der.as_ref().to_vec()).map_err(|error| format!("Not readable as PEM: {error}.")))
        .collect();
    match ders {
        Ok(ders) if ders.is_empty() => Err("There is no revocation list in it.".to_owned()),
        ders => ders,
    }
}

/// What is wrong, and what would do.
pub type Refusal = (&'static str, &'static str);

const UNREADABLE: Refusal =
    ("The revocation list is not valid DER.", "`openssl crl -in FILE -noout -text` shows what is wrong.");

pub(super) fn read_list(der: &[u8], issuers: &[&Issuer]) -> Result<RevocationList, Refusal> {
    let list = BorrowedCertRevocationList::from_der(der).map_err(refusal)?;
    let head = Head::read(der).ok_or(UNREADABLE)?;
    let signer = find_signer(&head, issuers)?;
    Ok(RevocationList {
        scope: sha256(&[&sha256(head.issuer)[..], &signer.key_id, &sha256(head.distribution_point)].concat()),
        issuer: head.issuer.to_vec(),
        issuer_shown: signer.shown.clone(),
        signer: signer.key_id,
        number: serial_key(head.number).unwrap_or_default(),
        this_update: head.this_update,
        next_update: head.next_update,
        serials: SerialSet::new(&read_serials(&list)?),
    })
}

fn read_serials(list: &BorrowedCertRevocationList<'_>) -> Result<Vec<Serial>, Refusal> {
    list.into_iter()
        .map(|revoked| {
            serial_key(revoked.map_err(refusal)?.serial_number).ok_or((
                "The revocation list holds a serial number of more than 20 octets (RFC 5280, 4.1.2.2).",
                "Reissue the certificate in question with a shorter serial number.",
            ))
        })
        .collect()
}

/// One list as it was fetched or uploaded: PEM or DER. None when it is PEM of none or of several.
pub(super) fn der_of(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes[..bytes.len().min(4096)].windows(10).any(|window| window == b"-----BEGIN") {
        return Some(bytes.to_vec());
    }
    let mut ders = CertificateRevocationListDer::pem_slice_iter(bytes);
    match (ders.next(), ders.next()) {
        (Some(Ok(der)), None) => Some(der.as_ref().to_vec()),
        _ => None,
    }
}

/// None when longer than [`MAX_SERIAL_BYTES`].
pub(super) fn serial_key(raw: &[u8]) -> Option<Serial> {
    let significant = raw.iter().position(|&byte| byte != 0).unwrap_or(raw.len());
    let raw = &raw[significant..];
    let mut serial = [0; MAX_SERIAL_BYTES];
    serial[MAX_SERIAL_BYTES.checked_sub(raw.len())?..].copy_from_slice(raw);
    Some(serial)
}

fn find_signer<'a>(head: &Head<'_>, issuers: &[&'a Issuer]) -> Result<&'a Issuer, Refusal> {
    let mut named = issuers.iter().filter(|issuer| issuer.subject == head.issuer).peekable();
    if named.peek().is_none() {
        return Err((
            "The revocation list was not issued by this authority: no certificate of it has the list's issuer name.",
            "A list of the authority's own, or the issuing certificate under `intermediates`.",
        ));
    }
    let mut forbidden = false;
    for issuer in named {
        if !head.is_signed_by(&issuer.public_key) {
            continue;
        }
        if issuer.signs_crls {
            return Ok(issuer);
        }
        forbidden = true;
    }
    Err(if forbidden {
        ("The revocation list's issuer may not sign lists.", "Its key usage lacks cRLSign (RFC 5280, 4.2.1.3).")
    } else {
        (
            "The revocation list's signature is not valid for this authority's key, or uses a weak algorithm.",
            "The file may be damaged, or come from a namesake with another key; SHA-1 is not accepted.",
        )
    })
}

/// The parts of a list that webpki reads but does not show. Reads only what webpki has already accepted.
struct Head<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    issuer: &'a [u8],
    this_update: i64,
    next_update: u64,
    number: &'a [u8],
    distribution_point: &'a [u8],
}

impl<'a> Head<'a> {
    fn read(der: &'a [u8]) -> Option<Head<'a>> {
        let (_, list) = Any::from_der(der).ok()?;
        let (after_signed, tbs) = Any::from_der(list.data).ok()?;
        let signed = &list.data[..list.data.len() - after_signed.len()];
        let (rest, algorithm) = Any::from_der(after_signed).ok()?;
        let (_, signature) = Any::from_der(rest).ok()?;

        let (rest, _version) = Any::from_der(tbs.data).ok()?;
        let (rest, _algorithm) = Any::from_der(rest).ok()?;
        let (rest, issuer) = Any::from_der(rest).ok()?;
        let (rest, this_update) = ASN1Time::from_der(rest).ok()?;
        let (mut rest, next_update) = ASN1Time::from_der(rest).ok()?;
        let mut head = Head {
            signed,
            algorithm: algorithm.data,
            // webpki has made sure that the first octet says: no unused bits.
            signature: signature.data.get(1..)?,
            issuer: issuer.data,
            this_update: this_update.timestamp(),
            next_update: u64::try_from(next_update.timestamp()).unwrap_or(0),
            number: &[],
            distribution_point: &[],
        };
        while !rest.is_empty() {
            let (after, part) = Any::from_der(rest).ok()?;
            if part.class() == x509_parser::asn1_rs::Class::ContextSpecific {
                head.read_extensions(part.data)?;
            }
            rest = after;
        }
        Some(head)
    }

    fn read_extensions(&mut self, tagged: &'a [u8]) -> Option<()> {
        let (_, extensions) = Any::from_der(tagged).ok()?;
        let mut rest = extensions.data;
        while !rest.is_empty() {
            let (after, extension) = Any::from_der(rest).ok()?;
            let (mut inner, id) = Any::from_der(extension.data).ok()?;
            let mut value: &[u8] = &[];
            while !inner.is_empty() {
                let (after, part) = Any::from_der(inner).ok()?;
                (inner, value) = (after, part.data);
            }
            match id.data {
                // id-ce-cRLNumber, id-ce-issuingDistributionPoint (RFC 5280, 5.2.3 and 5.2.5)
                [0x55, 0x1d, 20] => self.number = Any::from_der(value).ok()?.1.data,
                [0x55, 0x1d, 28] => self.distribution_point = value,
                _ => {}
            }
            rest = after;
        }
        Some(())
    }

    fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let Some((key_algorithm, key)) = split_public_key(public_key) else { return false };
        SIGNATURE_ALGORITHMS
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.algorithm)
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key_algorithm)
            .any(|algorithm| algorithm.verify_signature(key, self.signed, self.signature).is_ok())
    }
}

fn split_public_key(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, whole) = Any::from_der(public_key).ok()?;
    let (rest, algorithm) = Any::from_der(whole.data).ok()?;
    let (_, key) = Any::from_der(rest).ok()?;
    match key.data {
        [0, key @ ..] => Some((algorithm.data, key)),
        _ => None,
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::UnsupportedDeltaCrl => (
            "This is a delta revocation list, which says nothing without its base.",
            "The complete list of the same authority.",
        ),
        Error::UnsupportedIndirectCrl => (
            "This is an indirect revocation list: it speaks for other authorities than its issuer.",
            "A list that each authority issues for itself.",
        ),
        Error::UnsupportedRevocationReasonsPartitioning => (
            "This revocation list covers only some reasons of revocation.",
            "A list for all reasons (without onlySomeReasons).",
        ),
        Error::UnsupportedCrlIssuingDistributionPoint => (
            "The revocation list's issuing distribution point has no full name, so its scope is unknown.",
            "A list without issuing distribution point, or with its URI.",
        ),
        Error::UnsupportedCriticalExtension => (
            "The revocation list has a critical extension that is not understood, so it must not be used (RFC 5280, 5.2).",
            "A list without that extension.",
        ),
        Error::UnsupportedCrlVersion | Error::MalformedExtensions => (
            "The revocation list is not version 2 with its extensions.",
            "With OpenSSL: `crl_extensions = crl_ext` in the CA's section, and a section `[crl_ext]` with \
             `authorityKeyIdentifier=keyid`.",
        ),
        Error::SignatureAlgorithmMismatch => {
            ("The revocation list names two different signature algorithms.", "The file as its authority issued it.")
        }
        _ => UNREADABLE,
    }
}
