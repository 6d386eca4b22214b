//! One path from a leaf to an anchor (RFC 5280, 6), built by rustls-webpki.
//!
//! webpki checks names, signatures, validity, basic constraints, path length, name constraints and extended key usage
//! along the path. Added for every candidate path: the anchor's own validity and path length, and revocation. A
//! candidate that fails does not end the search, so a cross-signed authority is found whichever way is good.
//!
//! Bounds are webpki's, for one call: 100 signature checks, 200,000 path steps, 250,000 comparisons of name
//! constraints, 6 intermediates in a path. What runs into them has no path.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use rustls_pki_types::{SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithm;
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};

use super::revocation::{self, Good, Link};
use super::revocation_list::serial_key;
use super::trust_set::{Limits, TrustSet};
use super::{Certificate, Standings};
use crate::reason::Reason;

/// Signatures that count, in certificates and revocation lists: no SHA-1, no RSA below 2048 bits, no P-224.
pub(super) static SIGNATURE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithm::ECDSA_P256_SHA256,
    algorithm::ECDSA_P256_SHA384,
    algorithm::ECDSA_P256_SHA512,
    algorithm::ECDSA_P384_SHA256,
    algorithm::ECDSA_P384_SHA384,
    algorithm::ECDSA_P384_SHA512,
    algorithm::ECDSA_P521_SHA256,
    algorithm::ECDSA_P521_SHA384,
    algorithm::ECDSA_P521_SHA512,
    algorithm::ED25519,
    algorithm::RSA_PKCS1_2048_8192_SHA256,
    algorithm::RSA_PKCS1_2048_8192_SHA384,
    algorithm::RSA_PKCS1_2048_8192_SHA512,
    algorithm::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    algorithm::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    algorithm::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Why there is no path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    /// When time itself may mend it: a notBefore that lies ahead.
    pub(super) ends_at: Option<u64>,
    /// A path failed for what is known about revocation only.
    pub(super) revocable: bool,
}

/// A path that webpki has found, as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// The leaf first, then each intermediate.
    pub(super) links: Vec<Link>,
    /// Indices of the intermediates, from the leaf's issuer on.
    pub(super) chain: Vec<u32>,
    /// Unix seconds: from then on a certificate in it is past its notAfter.
    pub(super) ends_at: u64,
    /// Index of the authority that it ends at.
    pub(super) authority: u32,
}

/// What stands against the certificate, and the last path that was looked at.
pub(super) fn verify(
    set: &TrustSet,
    certificate: &Certificate,
    standings: &Standings,
    now: u64,
) -> (Result<Good, Fault>, Option<Path>) {
    let found: RefCell<Option<(Path, Option<Good>)>> = RefCell::default();
    let revocable = Cell::new(false);
    let accept = |candidate: &VerifiedPath<'_>| {
        let anchor = anchor_limits(set, candidate).ok_or(Error::UnknownIssuer)?;
        let path = read_path(set, anchor, candidate, certificate).ok_or(Error::UnknownIssuer)?;
        check_mail(set, anchor, &path, certificate)?;
        let looked_up = revocation::look_up(&set.issuers, &set.authorities, certificate, &path.links, standings, now);
        let checked = check_anchor(anchor, candidate, now);
        revocable.set(revocable.get() || looked_up.is_err());
        *found.borrow_mut() = Some((path, looked_up.ok()));
        checked?;
        looked_up.map(drop).map_err(|reason| match reason {
            Reason::MtlsRevoked => Error::CertRevoked,
            // The two times are for the log of webpki's callers; here nobody reads them.
            Reason::MtlsCrlExpired => Error::CrlExpired { time: at(now), next_update: at(now) },
            _ => Error::UnknownRevocationStatus,
        })
    };
    let verified = EndEntityCert::try_from(certificate.as_der()).and_then(|leaf| {
        leaf.verify_for_usage(
            SIGNATURE_ALGORITHMS,
            &set.anchors,
            &set.intermediates,
            at(now),
            // Required if present, like OpenSSL and nginx: RFC 5280, 4.2.1.12 takes absence for any purpose.
            // anyExtendedKeyUsage alone is not enough, as with OpenSSL.
            KeyUsage::client_auth(),
            None,
            Some(&accept),
        )
        .map(drop)
    });
    let (path, good) = found.into_inner().unzip();
    let outcome = match (verified, certificate.unfit(), good.flatten()) {
        (Err(error), ..) => Err(Fault { revocable: revocable.get(), ..fault(error) }),
        (Ok(()), Some(reason), _) => Err(Fault { reason, ends_at: None, revocable: false }),
        (Ok(()), None, Some(good)) => Ok(good),
        // webpki takes no path that was not shown to `accept`.
        (Ok(()), None, None) => Err(Fault { reason: Reason::MtlsUntrusted, ends_at: None, revocable: false }),
    };
    (outcome, path)
}

/// What webpki does not check of an anchor.
fn check_anchor(limits: &Limits, path: &VerifiedPath<'_>, now: u64) -> Result<(), Error> {
    if now > limits.not_after {
        return Err(Error::CertExpired { time: at(now), not_after: at(limits.not_after) });
    }
    if now < limits.not_before {
        return Err(Error::CertNotValidYet { time: at(now), not_before: at(limits.not_before) });
    }
    // RFC 5280, 4.2.1.9: intermediates that may follow; self-issued ones do not count.
    let followers = path.intermediate_certificates().filter(|issuer| issuer.subject() != issuer.issuer()).count();
    if limits.path_length.is_some_and(|most| followers as u64 > u64::from(most)) {
        return Err(Error::PathLenConstraintViolated);
    }
    Ok(())
}

/// Constraints of mail addresses also speak of emailAddress in subjects (RFC 5280, 4.2.1.10), where webpki does not
/// look. As with mail addresses in the alternative name, such a name under such a constraint is refused unread.
fn check_mail(set: &TrustSet, anchor: &Limits, path: &Path, certificate: &Certificate) -> Result<(), Error> {
    let mut named = certificate.names_mail();
    let issuers = path.chain.iter().map(|&index| &set.intermediate_limits[index as usize]);
    for limits in issuers.chain([anchor]) {
        if named && limits.constrains_mail {
            return Err(Error::NameConstraintViolation);
        }
        named |= limits.names_mail;
    }
    Ok(())
}

fn read_path(set: &TrustSet, anchor: &Limits, path: &VerifiedPath<'_>, certificate: &Certificate) -> Option<Path> {
    let mut serial = serial_key(path.end_entity().serial());
    let mut links = Vec::with_capacity(4);
    let mut chain = Vec::new();
    // notAfter is the last good second (RFC 5280, 4.1.2.5).
    let mut last = certificate.not_after().min(anchor.not_after);
    let mut nearest: Option<&Limits> = None;
    for intermediate in path.intermediate_certificates() {
        let der = intermediate.der();
        let index = set.intermediates.iter().position(|known| *known == der)?;
        let limits = &set.intermediate_limits[index];
        links.push(Link { issuer: limits.issuer, serial });
        chain.push(index as u32);
        serial = serial_key(intermediate.serial());
        last = last.min(limits.not_after);
        nearest = nearest.or(Some(limits));
    }
    links.push(Link { issuer: anchor.issuer, serial });
    let both = nearest.and_then(|issuer| anchor.authorities.iter().find(|index| issuer.authorities.contains(index)));
    let authority = *both.or(anchor.authorities.first())?;
    Some(Path { links, chain, ends_at: last.saturating_add(1), authority })
}

fn anchor_limits<'a>(set: &'a TrustSet, path: &VerifiedPath<'_>) -> Option<&'a Limits> {
    // webpki hands back a reference into the list it was given.
    let index = set.anchors.iter().position(|known| std::ptr::eq(known, path.anchor()))?;
    set.limits.get(index)
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// Of several failures webpki tells the most specific one; here it gets the name that an operator can act on.
fn fault(error: Error) -> Fault {
    let reason = match error {
        Error::CertNotValidYet { not_before, .. } => {
            return Fault { reason: Reason::MtlsNotYetValid, ends_at: Some(not_before.as_secs()), revocable: false };
        }
        Error::CertExpired { .. } => Reason::MtlsExpired,
        Error::CertRevoked => Reason::MtlsRevoked,
        Error::CrlExpired { .. } => Reason::MtlsCrlExpired,
        Error::UnknownRevocationStatus => Reason::MtlsRevocationUnknown,
        Error::UnsupportedCertVersion => Reason::MtlsVersion,
        Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => Reason::MtlsUsage,
        Error::InvalidSignatureForPublicKey
        | Error::SignatureAlgorithmMismatch
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Reason::MtlsSignature,
        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::NameConstraintViolation
        | Error::PathLenConstraintViolated
        | Error::MalformedNameConstraint
        | Error::InvalidNetworkMaskConstraint
        | Error::MaximumNameConstraintComparisonsExceeded => Reason::MtlsConstraints,
        Error::BadDer
        | Error::BadDerTime
        | Error::TrailingData(_)
        | Error::ExtensionValueInvalid
        | Error::MalformedExtensions
        | Error::MalformedDnsIdentifier
        | Error::InvalidSerialNumber
        | Error::InvalidCertValidity
        | Error::UnsupportedCriticalExtension => Reason::MtlsMalformed,
        // UnknownIssuer, a spent budget, and whatever webpki adds: there is no path.
        _ => Reason::MtlsUntrusted,
    };
    Fault { reason, ends_at: None, revocable: false }
}
