//! Certification requests (PKCS#10, RFC 2986): a public key, proof that its owner asked, and wishes.
//!
//! Nothing of it goes into a certificate but the key: which wishes are granted is decided by the caller's profile.

use serde::{Deserialize, Serialize};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::distinguished_name::{rfc4514, value_text};
use crate::facts::alternative_names;
use crate::names::{AlternativeNames, Subject, check_attribute, refuse_invisible};
use crate::problem::{Problem, Result};
use crate::public_key::{key_id, kind, refuse_weak, signed_by};
use crate::text::{from_base64, pem_sections};

/// Largest request that is read: an RSA 8192 key, its signature and 100 names are 12 KiB.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Attributes and extensions of one request; OpenSSL writes two, Windows about eight.
const MAX_PARTS: usize = 64;
/// Parts of a subject; the longest names of public authorities have about twelve.
const MAX_SUBJECT_PARTS: usize = 32;

/// Extensions whose meaning is known here, so that they may be asked for as critical: subjectKeyIdentifier, keyUsage,
/// subjectAltName, basicConstraints, extKeyUsage.
const KNOWN: [&str; 5] = ["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"];

#[derive(Deserialize)]
pub struct ReadRequest {
    /// PEM, or DER as base64 (EST, RFC 7030, 4.2.1).
    csr: String,
}

#[derive(Serialize)]
pub struct Request {
    subject: Subject,
    /// RFC 4514, with every attribute.
    subject_text: String,
    #[serde(flatten)]
    names: AlternativeNames,
    /// Alternative names of other kinds, in words.
    other_names: Vec<String>,
    key_type: String,
    key_id: String,
    /// Extended key usages that were asked for.
    eku: Vec<String>,
    /// Identifiers of all extensions that were asked for.
    extensions: Vec<String>,
    challenge_password: bool,
}

pub(crate) fn read(command: &ReadRequest) -> Result<Request> {
    read_der(&to_der(&command.csr)?)
}

pub(crate) fn read_der(der: &[u8]) -> Result<Request> {
    let request = checked(der)?;
    let info = &request.certification_request_info;
    let mut extensions: Vec<&X509Extension> = Vec::new();
    let mut challenge_password = false;
    let attributes = info.attributes();
    if attributes.len() > MAX_PARTS {
        return Err(too_much(format!("{} attributes", attributes.len())));
    }
    for attribute in attributes {
        match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(asked) => extensions.extend(&asked.extensions),
            ParsedCriAttribute::ChallengePassword(_) => challenge_password = true,
            // 1.2.840.113549.1.9.14: an extension request that did not parse would lose its names.
            _ if attribute.oid.to_id_string() == "1.2.840.113549.1.9.14" => {
                return Err(unreadable("its extensions cannot be read"));
            }
            _ => {}
        }
    }
    if extensions.len() > MAX_PARTS {
        return Err(too_much(format!("{} extensions", extensions.len())));
    }
    let mut names = AlternativeNames::default();
    let mut other_names = Vec::new();
    let mut eku = Vec::new();
    let mut oids: Vec<String> = Vec::new();
    for extension in extensions {
        let oid = extension.oid.to_id_string();
        if oids.contains(&oid) {
            return Err(unreadable(&format!("it asks for the extension {oid} twice")));
        }
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(asked) => {
                if asked.general_names.len() > crate::names::MAX_ALTERNATIVE_NAMES {
                    return Err(too_much(format!("{} alternative names", asked.general_names.len())));
                }
                (names, other_names) = alternative_names(&asked.general_names);
                names.check()?;
            }
            ParsedExtension::ExtendedKeyUsage(_) => eku = crate::facts::usages(extension.value),
            ParsedExtension::ParseError { .. } => {
                return Err(unreadable(&format!("its extension {oid} cannot be read")));
            }
            _ => {}
        }
        if extension.critical && !KNOWN.contains(&oid.as_str()) {
            return Err(Problem::new(
                format!("the request demands the extension {oid} as critical, which is not known here"),
                "Ask for it without `critical`, or leave it out.",
            ));
        }
        oids.push(oid);
    }
    Ok(Request {
        subject: subject(&info.subject)?,
        subject_text: rfc4514(&info.subject),
        names,
        other_names,
        key_type: kind(&info.subject_pki),
        key_id: key_id(info.subject_pki.raw),
        eku,
        extensions: oids,
        challenge_password,
    })
}

/// SubjectPublicKeyInfo of a request whose signature holds and whose key is strong.
pub(crate) fn public_key(csr: &str) -> Result<Vec<u8>> {
    let der = to_der(csr)?;
    Ok(checked(&der)?.certification_request_info.subject_pki.raw.to_vec())
}

/// Size, signature and strength of the key; the size first, because the rest costs time.
fn checked(der: &[u8]) -> Result<X509CertificationRequest<'_>> {
    let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
        return Err(unreadable("it is no certification request"));
    };
    let info = &request.certification_request_info;
    refuse_weak(&info.subject_pki, "the request's")?;
    if !signed_by(der, info.subject_pki.raw) {
        return Err(Problem::new(
            "the request's signature is bad: it was changed, or not signed by its own key, or with SHA-1",
            "Make it anew: openssl req -new -sha256 -key client.key -subj /CN=name -out client.csr",
        ));
    }
    Ok(request)
}

pub(crate) fn to_der(csr: &str) -> Result<Vec<u8>> {
    // Base64 is 4/3 of the bytes, PEM a little more.
    if csr.len() > MAX_REQUEST_BYTES / 2 * 3 {
        return Err(too_much(format!("{} bytes", csr.len())));
    }
    let der = if csr.contains("-----BEGIN") {
        let section = pem_sections(csr)?.into_iter().find(|section| section.label.ends_with("CERTIFICATE REQUEST"));
        section.ok_or_else(|| unreadable("there is no `BEGIN CERTIFICATE REQUEST` in it"))?.contents
    } else {
        from_base64(csr, "the request")?
    };
    if der.len() > MAX_REQUEST_BYTES {
        return Err(too_much(format!("{} bytes", der.len())));
    }
    Ok(der)
}

fn subject(name: &X509Name<'_>) -> Result<Subject> {
    let mut subject = Subject::default();
    let attributes: Vec<_> = name.iter_attributes().collect();
    if attributes.len() > MAX_SUBJECT_PARTS {
        return Err(too_much(format!("{} parts in its subject", attributes.len())));
    }
    for attribute in attributes {
        let oid = attribute.attr_type().to_id_string();
        let Some(value) = value_text(attribute.attr_value()) else {
            return Err(unreadable(&format!("the part {oid} of its subject is no text")));
        };
        refuse_invisible(&value, "subject")?;
        let (slot, what) = match oid.as_str() {
            "2.5.4.3" => (&mut subject.common_name, "common name"),
            "2.5.4.6" => (&mut subject.country, "country"),
            "2.5.4.10" => (&mut subject.organization, "organization"),
            "2.5.4.11" => (&mut subject.organizational_unit, "organizational unit"),
            _ => continue,
        };
        check_attribute(&value, what)?;
        // Several units are usual; of a common name there is one, or checks could look at another than the reader.
        if slot.is_some() && what == "common name" {
            return Err(unreadable("its subject has more than one common name"));
        }
        slot.get_or_insert(value);
    }
    Ok(subject)
}

fn unreadable(why: &str) -> Problem {
    Problem::new(
        format!("the request cannot be taken: {why}"),
        "Make it with: openssl req -new -key client.key -subj /CN=name -out client.csr",
    )
}

fn too_much(what: String) -> Problem {
    Problem::new(
        format!("the request has {what}"),
        format!(
            "64 KiB, {} alternative names and {MAX_PARTS} extensions are read at most.",
            crate::names::MAX_ALTERNATIVE_NAMES
        ),
    )
}
