//! One path from a leaf to an anchor (RFC 5280, 6), built by rustls-webpki.
//!
//! webpki checks names, signatures, validity, basic constraints, path length, name constraints and extended key usage
//! along the path. Added for every candidate path: the anchor's own validity and path length, and revocation. A
//! candidate that fails does not end the search, so a cross-signed authority is found whichever way is good.
//!
//! Bounds are webpki's, for one call: 100 signature checks, 200,000 path steps, 250,000 comparisons of name
//! constraints, 6 intermediates in a path. What runs into them has no path.

use std::time::Duration;

use rustls_pki_types::{SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithm;
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};

use super::Certificate;
use super::revocation::Standing;
use super::trust_set::{Limits, TrustSet};
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
}

/// The second from which the path no longer holds, or why there is none.
pub(super) fn verify(set: &TrustSet, certificate: &Certificate, now: u64) -> Result<u64, Fault> {
    let leaf = EndEntityCert::try_from(certificate.as_der()).map_err(fault)?;
    let accept = |path: &VerifiedPath<'_>| check_candidate(set, path, now);
    let path = leaf
        .verify_for_usage(
            SIGNATURE_ALGORITHMS,
            &set.anchors,
            &set.intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(now)),
            // Required if present, like OpenSSL and nginx: RFC 5280, 4.2.1.12 takes absence for any purpose.
            // anyExtendedKeyUsage alone is not enough, as with OpenSSL.
            KeyUsage::client_auth(),
            None,
            Some(&accept),
        )
        .map_err(fault)?;
    if let Some(reason) = certificate.unfit() {
        return Err(Fault { reason, ends_at: None });
    }
    Ok(expires_at(set, &path, certificate.not_after(), now))
}

fn check_candidate(set: &TrustSet, path: &VerifiedPath<'_>, now: u64) -> Result<(), Error> {
    let limits = limits(set, path).ok_or(Error::UnknownIssuer)?;
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
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
    for standing in standings(set, path, now) {
        match standing {
            Standing::Unchecked | Standing::Good(_) => {}
            Standing::Revoked => return Err(Error::CertRevoked),
            Standing::Unknown(next_update) => {
                return Err(Error::CrlExpired { time: at(now), next_update: at(next_update) });
            }
        }
    }
    Ok(())
}

/// The leaf first, then each intermediate. The anchor is believed, not looked up.
fn standings(set: &TrustSet, path: &VerifiedPath<'_>, now: u64) -> impl Iterator<Item = Standing> {
    let mut standings = Vec::new();
    if !set.revocations.is_empty() {
        let leaf = path.end_entity();
        standings.push(set.revocations.look_up(leaf.issuer(), leaf.serial(), now));
        for issuer in path.intermediate_certificates() {
            standings.push(set.revocations.look_up(issuer.issuer(), issuer.serial(), now));
        }
    }
    standings.into_iter()
}

fn expires_at(set: &TrustSet, path: &VerifiedPath<'_>, leaf_not_after: u64, now: u64) -> u64 {
    // notAfter is the last good second (RFC 5280, 4.1.2.5), nextUpdate the first bad one, as webpki counts.
    let mut last = leaf_not_after.min(limits(set, path).map_or(now, |limits| limits.not_after));
    for issuer in path.intermediate_certificates() {
        let der = issuer.der();
        let index = set.intermediates.iter().position(|known| *known == der);
        last = last.min(index.map_or(now, |index| set.intermediates_not_after[index]));
    }
    let mut end = last.saturating_add(1);
    for standing in standings(set, path, now) {
        if let Standing::Good(next_update) = standing {
            end = end.min(next_update);
        }
    }
    end
}

fn limits<'a>(set: &'a TrustSet, path: &VerifiedPath<'_>) -> Option<&'a Limits> {
    // webpki hands back a reference into the list it was given.
    let index = set.anchors.iter().position(|known| std::ptr::eq(known, path.anchor()))?;
    set.limits.get(index)
}

/// Of several failures webpki tells the most specific one; here it gets the name that an operator can act on.
fn fault(error: Error) -> Fault {
    let reason = match error {
        Error::CertNotValidYet { not_before, .. } => {
            return Fault { reason: Reason::MtlsNotYetValid, ends_at: Some(not_before.as_secs()) };
        }
        Error::CertExpired { .. } => Reason::MtlsExpired,
        Error::CertRevoked => Reason::MtlsRevoked,
        Error::CrlExpired { .. } | Error::UnknownRevocationStatus => Reason::MtlsCrlExpired,
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
    Fault { reason, ends_at: None }
}
