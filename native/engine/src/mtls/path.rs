//! One path from a leaf to an anchor (RFC 5280, 6), built by rustls-webpki.
//!
//! webpki checks names, signatures, validity, basic constraints, path length, name constraints and extended key usage
//! along the path. Added for every candidate path: the anchor's own validity and path length, and revocation. A
//! candidate that fails does not end the search, so a cross-signed authority is found whichever way is good.
//!
//! Intermediates are those of the set, and those that the client sent along; the former are tried first.
//!
//! Bounds are webpki's, for one call: 100 signature checks, 200,000 path steps, 250,000 comparisons of name
//! constraints, 6 intermediates in a path. What runs into them has no path.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithm;
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};

use super::authority::Issuer;
use super::revocation::{self, Good, IssuerKey, Issuers, Link};
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
    /// Issuers that are none of the set's.
    pub(super) brought: Vec<IssuerKey>,
    /// Numbers of the intermediates, from the leaf's issuer on: [`TrustSet::chain`].
    pub(super) chain: Vec<u32>,
    /// Unix seconds: from then on a certificate in it is past its notAfter.
    pub(super) ends_at: u64,
    /// Index of the authority that it ends at.
    pub(super) authority: u32,
}

impl Path {
    pub(super) fn issuers<'a>(&'a self, set: &'a TrustSet) -> Issuers<'a> {
        Issuers { configured: &set.issuers, brought: &self.brought }
    }
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
        let steps = steps(set, candidate, certificate).ok_or(Error::UnknownIssuer)?;
        let path = read_path(set, anchor, candidate, certificate, &steps).ok_or(Error::UnknownIssuer)?;
        check_mail(anchor, &steps, certificate)?;
        let looked_up =
            revocation::look_up(path.issuers(set), &set.authorities, certificate, &path.links, standings, now);
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
    let sent: Vec<CertificateDer<'_>>;
    let intermediates = if certificate.issuers().is_empty() {
        &set.intermediates
    } else {
        let both = set.intermediates.iter().chain(certificate.issuers().iter().map(|issuer| &issuer.der));
        sent = both.map(|der| CertificateDer::from(&**der)).collect();
        &sent
    };
    let verified = EndEntityCert::try_from(certificate.as_der()).and_then(|leaf| {
        leaf.verify_for_usage(
            SIGNATURE_ALGORITHMS,
            &set.anchors,
            intermediates,
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
fn check_mail(anchor: &Limits, steps: &[Step<'_>], certificate: &Certificate) -> Result<(), Error> {
    let mut named = certificate.names_mail();
    for (constrains_mail, names_mail) in
        steps.iter().map(Step::mail).chain([(anchor.constrains_mail, anchor.names_mail)])
    {
        if named && constrains_mail {
            return Err(Error::NameConstraintViolation);
        }
        named |= names_mail;
    }
    Ok(())
}

/// An intermediate of a path, with its number.
enum Step<'a> {
    Configured(u32, &'a Limits),
    Sent(u32, &'a Issuer),
}

impl Step<'_> {
    fn number(&self) -> u32 {
        match *self {
            Step::Configured(number, _) | Step::Sent(number, _) => number,
        }
    }

    fn not_after(&self) -> u64 {
        match self {
            Step::Configured(_, limits) => limits.not_after,
            Step::Sent(_, issuer) => issuer.not_after,
        }
    }

    /// Whether it constrains mail addresses, and names one.
    fn mail(&self) -> (bool, bool) {
        match self {
            Step::Configured(_, limits) => (limits.constrains_mail, limits.names_mail),
            Step::Sent(_, issuer) => (issuer.constrains_mail, issuer.names_mail),
        }
    }
}

fn steps<'a>(set: &'a TrustSet, path: &VerifiedPath<'_>, certificate: &'a Certificate) -> Option<Vec<Step<'a>>> {
    let step = |der: CertificateDer<'_>| {
        if let Some(index) = set.intermediates.iter().position(|known| *known == der) {
            return Some(Step::Configured(index as u32, &set.intermediate_limits[index]));
        }
        let index = certificate.issuers().iter().position(|known| known.der == der)?;
        Some(Step::Sent((set.intermediates.len() + index) as u32, &certificate.issuers()[index]))
    };
    path.intermediate_certificates().map(|intermediate| step(intermediate.der())).collect()
}

fn read_path(
    set: &TrustSet,
    anchor: &Limits,
    path: &VerifiedPath<'_>,
    certificate: &Certificate,
    steps: &[Step<'_>],
) -> Option<Path> {
    let mut link = Link { issuer: anchor.issuer, serial: serial_key(path.end_entity().serial()), brought: true };
    let mut links = Vec::with_capacity(steps.len() + 1);
    let mut brought = Vec::new();
    // notAfter is the last good second (RFC 5280, 4.1.2.5).
    let mut last = certificate.not_after().min(anchor.not_after);
    for (step, intermediate) in steps.iter().zip(path.intermediate_certificates()) {
        let issuer = match step {
            Step::Configured(_, limits) => limits.issuer,
            Step::Sent(_, issuer) => {
                brought.push(set.issuer_key(issuer, anchor));
                (set.issuers.len() + brought.len() - 1) as u32
            }
        };
        links.push(Link { issuer, ..link });
        let serial = serial_key(intermediate.serial());
        link = Link { issuer, serial, brought: matches!(step, Step::Sent(..)) };
        last = last.min(step.not_after());
    }
    links.push(Link { issuer: anchor.issuer, ..link });
    let both = match steps.first() {
        Some(Step::Configured(_, nearest)) => {
            anchor.authorities.iter().find(|index| nearest.authorities.contains(index))
        }
        _ => None,
    };
    let authority = *both.or(anchor.authorities.first())?;
    Some(Path {
        links,
        brought,
        chain: steps.iter().map(Step::number).collect(),
        ends_at: last.saturating_add(1),
        authority,
    })
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
