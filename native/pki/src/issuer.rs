//! An authority that signs: its certificate and the key that belongs to it.

use serde::Deserialize;
use x509_parser::certificate::X509Certificate;

use crate::constraints::Constraints;
use crate::facts::parse;
use crate::key::Key;
use crate::problem::{Problem, Result};
use crate::public_key::key_identifier;
use crate::text::certificate;
use crate::time::UnixMs;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerPem {
    pub certificate: String,
    pub key: String,
}

pub(crate) struct Issuer {
    /// Name of the subject, as it is in the certificate.
    pub(crate) name: Vec<u8>,
    /// SubjectPublicKeyInfo
    pub(crate) public_key: Vec<u8>,
    /// What certificates below name in their authority key identifier.
    pub(crate) key_identifier: Vec<u8>,
    pub(crate) not_after: UnixMs,
    pub(crate) path_length: Option<u32>,
    pub(crate) constraints: Constraints,
    pub(crate) key: Key,
    usage: Usage,
}

#[derive(Clone, Copy)]
struct Usage {
    certificates: bool,
    lists: bool,
}

impl Issuer {
    pub(crate) fn read(pem: &IssuerPem) -> Result<Issuer> {
        let der = certificate(&pem.certificate)?;
        let parsed = parse(&der)?;
        refuse_non_authority(&parsed)?;
        let public_key = parsed.public_key().raw.to_vec();
        let key = Key::from_pem(&pem.key)?;
        if key.public_key()? != public_key {
            return Err(Problem::new(
                "the private key is not the one of the authority's certificate",
                "Give the key that was made together with this certificate.",
            ));
        }
        let usage = parsed.key_usage().ok().flatten().map(|usage| usage.value);
        Ok(Issuer {
            name: parsed.subject().as_raw().to_vec(),
            key_identifier: match parsed
                .get_extension_unique(&x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)
            {
                Ok(Some(extension)) => match extension.parsed_extension() {
                    x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(identifier) => identifier.0.to_vec(),
                    _ => key_identifier(&public_key)?,
                },
                _ => key_identifier(&public_key)?,
            },
            not_after: parsed.validity().not_after.timestamp().saturating_mul(1000),
            path_length: parsed.basic_constraints().ok().flatten().and_then(|found| found.value.path_len_constraint),
            usage: Usage {
                certificates: usage.is_none_or(x509_parser::extensions::KeyUsage::key_cert_sign),
                lists: usage.is_none_or(x509_parser::extensions::KeyUsage::crl_sign),
            },
            constraints: Constraints::of(&parsed),
            public_key,
            key,
        })
    }

    pub(crate) fn may_sign_certificates(&self) -> Result<()> {
        if self.usage.certificates { Ok(()) } else { Err(lacks("keyCertSign", "certificates")) }
    }

    pub(crate) fn may_sign_lists(&self) -> Result<()> {
        if self.usage.lists { Ok(()) } else { Err(lacks("cRLSign", "revocation lists")) }
    }

    /// The end of a certificate's life below this authority. A certificate that outlives it would just stop working.
    pub(crate) fn bound_not_after(&self, not_after: UnixMs, clamp: bool) -> Result<UnixMs> {
        // Certificates tell whole seconds.
        if not_after.div_euclid(1000) <= self.not_after.div_euclid(1000) {
            return Ok(not_after);
        }
        if clamp {
            return Ok(self.not_after);
        }
        Err(Problem::new(
            format!(
                "the certificate would live until {}, longer than its authority (until {})",
                crate::time::display(not_after),
                crate::time::display(self.not_after)
            ),
            "Ask for less, or rotate the authority first.",
        ))
    }
}

/// RFC 5280, 4.2.1.9: only version 3 with `cA` may sign.
pub(crate) fn refuse_non_authority(certificate: &X509Certificate<'_>) -> Result<()> {
    let constraints = certificate.basic_constraints().map_err(|_| {
        Problem::new("the certificate's basic constraints cannot be read", "Reissue the authority's certificate.")
    })?;
    if constraints.is_some_and(|found| found.value.ca) {
        return Ok(());
    }
    Err(Problem::new(
        "the certificate is none of an authority: it lacks basicConstraints with CA:TRUE",
        "Give the certificate of the authority, not of a client or server. With openssl: -addext basicConstraints=critical,CA:TRUE.",
    ))
}

fn lacks(usage: &str, what: &str) -> Problem {
    Problem::new(
        format!("the authority's key usage lacks {usage}: it may not sign {what}"),
        "Reissue the authority's certificate with keyCertSign and cRLSign.",
    )
}
