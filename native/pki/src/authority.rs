//! Authorities: made here, or read from what an operator brought.

use serde::{Deserialize, Serialize};

use crate::extensions::{self, Constraints};
use crate::facts::{Facts, facts, parse};
use crate::issuer::{Issuer, IssuerPem, refuse_non_authority};
use crate::key::{Key, KeyType};
use crate::names::Subject;
use crate::problem::{Problem, Result};
use crate::public_key::{key_identifier, refuse_weak};
use crate::signed::Certificate;
use crate::text::{certificates, to_pem};
use crate::time::UnixMs;

/// Certificates of one authority that is brought: several roots and intermediates, or generations. Chains that TLS
/// stacks walk end at about ten.
const MAX_AUTHORITY_CERTIFICATES: usize = 32;

#[derive(Deserialize)]
pub struct CreateAuthority {
    subject: Subject,
    key_type: KeyType,
    not_before: UnixMs,
    not_after: UnixMs,
    /// Intermediates below it; null for any number.
    path_length: Option<u8>,
    name_constraints: Option<Constraints>,
    parent: Option<IssuerPem>,
    /// Ends no later than its parent.
    #[serde(default)]
    clamp: bool,
    crl_url: Option<String>,
    ocsp_url: Option<String>,
}

#[derive(Serialize)]
pub struct Created {
    certificate: String,
    key: String,
    facts: Facts,
}

pub(crate) fn create(command: &CreateAuthority) -> Result<Created> {
    if command.subject.common_name.is_none() {
        return Err(Problem::new("an authority needs a common name", "Give subject.common_name."));
    }
    let parent = command.parent.as_ref().map(Issuer::read).transpose()?;
    let mut not_after = command.not_after;
    if let Some(parent) = &parent {
        parent.may_sign_certificates()?;
        not_after = parent.bound_not_after(not_after, command.clamp)?;
        refuse_depth(parent, command.path_length)?;
    }
    let subject = command.subject.to_der()?;
    let key = Key::make(command.key_type)?;
    let public_key = key.public_key()?;
    let identifier = key_identifier(&public_key)?;
    let mut extensions = vec![extensions::subject_key_identifier(&identifier)?];
    extensions.push(extensions::authority_key_identifier(
        parent.as_ref().map_or(&identifier, |parent| &parent.key_identifier),
    )?);
    extensions.extend(extensions::authority(command.path_length)?);
    if let Some(constraints) = &command.name_constraints {
        extensions.extend(extensions::name_constraints(constraints)?);
    }
    extensions.extend(command.crl_url.as_deref().map(extensions::distribution_point).transpose()?);
    extensions.extend(command.ocsp_url.as_deref().map(extensions::ocsp_responder).transpose()?);
    let certificate = Certificate {
        issuer: parent.as_ref().map_or(&subject, |parent| &parent.name),
        subject: &subject,
        public_key: &public_key,
        not_before: command.not_before,
        not_after,
        extensions,
    };
    let der = certificate.sign(parent.as_ref().map_or(&key, |parent| &parent.key))?;
    Ok(Created { facts: facts(&der, &parse(&der)?), certificate: to_pem("CERTIFICATE", &der), key: key.to_pem()? })
}

/// RFC 5280, 4.2.1.9: how many intermediates may follow.
fn refuse_depth(parent: &Issuer, asked: Option<u8>) -> Result<()> {
    match (parent.path_length, asked) {
        (Some(0), _) => Err(Problem::new(
            "the parent's path length is 0: no authority may be below it",
            "Create it below another authority, or without a parent.",
        )),
        (Some(allowed), None) => Err(Problem::new(
            format!("the parent allows {allowed} levels below it and this authority would allow any number"),
            format!("Give path_length, {} at most.", allowed - 1),
        )),
        (Some(allowed), Some(asked)) if u32::from(asked) >= allowed => Err(Problem::new(
            format!("a path length of {asked} is too much below a parent with {allowed}"),
            format!("Give {} at most.", allowed - 1),
        )),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
pub struct ReadAuthority {
    /// PEM, any number of certificates.
    certificates: String,
    key: Option<String>,
}

#[derive(Serialize)]
pub struct Read {
    certificates: Vec<ReadCertificate>,
    /// Index of the certificate that the key belongs to.
    key_matches: Option<usize>,
    /// The key as PKCS#8 PEM, whatever it was.
    key: Option<String>,
}

#[derive(Serialize)]
struct ReadCertificate {
    pem: String,
    facts: Facts,
}

pub(crate) fn read(command: &ReadAuthority) -> Result<Read> {
    let ders = certificates(&command.certificates)?;
    if ders.len() > MAX_AUTHORITY_CERTIFICATES {
        return Err(Problem::new(
            format!("{} certificates for one authority", ders.len()),
            format!("Give {MAX_AUTHORITY_CERTIFICATES} at most; put others into an authority of their own."),
        ));
    }
    let key = command.key.as_deref().map(Key::from_pem).transpose()?;
    let public_key = key.as_ref().map(Key::public_key).transpose()?;
    let mut key_matches = None;
    let mut read = Vec::with_capacity(ders.len());
    for (index, der) in ders.iter().enumerate() {
        let numbered = |problem: Problem| {
            Problem::new(format!("certificate {} of {}: {}", index + 1, ders.len(), problem.message), problem.hint)
        };
        let parsed = parse(der).map_err(numbered)?;
        refuse_unfit(&parsed).map_err(numbered)?;
        let facts = facts(der, &parsed);
        if read.iter().any(|other: &ReadCertificate| other.facts.fingerprint == facts.fingerprint) {
            continue;
        }
        if public_key.as_deref() == Some(parsed.public_key().raw) && key_matches.is_none() {
            key_matches = Some(read.len());
        }
        read.push(ReadCertificate { pem: to_pem("CERTIFICATE", der), facts });
    }
    if key.is_some() && key_matches.is_none() {
        return Err(Problem::new(
            "the private key belongs to none of the certificates",
            "Give the key of the authority's certificate, or import the certificates without a key.",
        ));
    }
    Ok(Read { certificates: read, key_matches, key: key.as_ref().map(Key::to_pem).transpose()? })
}

/// What would never verify anything.
fn refuse_unfit(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Result<()> {
    if certificate.version() != x509_parser::x509::X509Version::V3 {
        return Err(Problem::new(
            "it is of X.509 version 1, which cannot say that it is an authority",
            "Reissue it with extensions: openssl req -x509 -new -key ca.key -subj /CN=name -out ca.pem",
        ));
    }
    refuse_non_authority(certificate)?;
    let usage = certificate
        .key_usage()
        .map_err(|_| Problem::new("its key usage cannot be read", "Reissue the authority's certificate."))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(Problem::new(
            "its key usage lacks keyCertSign: it may not sign certificates",
            "Reissue the authority's certificate with keyCertSign and cRLSign.",
        ));
    }
    if certificate.subject().iter_rdn().next().is_none() {
        return Err(Problem::new("its subject is empty", "Reissue it with a name (RFC 5280, 4.1.2.6)."));
    }
    refuse_weak(certificate.public_key(), "its")
}
