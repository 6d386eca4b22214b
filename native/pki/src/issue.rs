//! Certificates for clients and servers.

use serde::{Deserialize, Serialize};

use crate::extensions;
use crate::facts::{Facts, facts, parse};
use crate::issuer::{Issuer, IssuerPem};
use crate::key::{Key, KeyType};
use crate::names::{AlternativeNames, Subject};
use crate::problem::{Problem, Result};
use crate::public_key::key_identifier;
use crate::signed::Certificate;
use crate::signing_request;
use crate::text::to_pem;
use crate::time::UnixMs;

/// Certificates of one `issue_many`: ten seconds of a core. Callers cut longer lists, so that progress can be shown.
const MAX_ITEMS: usize = 10_000;

#[derive(Deserialize)]
pub struct Issue {
    issuer: IssuerPem,
    #[serde(flatten)]
    item: Item,
}

#[derive(Deserialize)]
pub struct Item {
    /// PEM, or DER as base64. Only its public key is taken.
    csr: Option<String>,
    /// Without `csr`: the kind of key to make.
    key_type: Option<KeyType>,
    subject: Option<Subject>,
    #[serde(default)]
    dns: Vec<String>,
    #[serde(default)]
    email: Vec<String>,
    #[serde(default)]
    uri: Vec<String>,
    #[serde(default)]
    ip: Vec<String>,
    not_before: UnixMs,
    not_after: UnixMs,
    /// Ends no later than its authority.
    #[serde(default)]
    clamp: bool,
    #[serde(default)]
    eku: Vec<String>,
    crl_url: Option<String>,
    ocsp_url: Option<String>,
}

#[derive(Serialize)]
pub struct Issued {
    certificate: String,
    key: Option<String>,
    facts: Facts,
}

pub(crate) fn issue(command: &Issue) -> Result<Issued> {
    one(&Issuer::read(&command.issuer)?, &command.item)
}

#[derive(Deserialize)]
pub struct IssueMany {
    issuer: IssuerPem,
    items: Vec<Item>,
}

#[derive(Serialize)]
pub struct IssuedMany {
    items: Vec<OneOfMany>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneOfMany {
    Issued(Box<Issued>),
    Refused { error: Problem },
}

pub(crate) fn issue_many(command: &IssueMany) -> Result<IssuedMany> {
    if command.items.len() > MAX_ITEMS {
        return Err(Problem::new(
            format!("{} certificates at once", command.items.len()),
            format!("Ask for {MAX_ITEMS} at most."),
        ));
    }
    let issuer = Issuer::read(&command.issuer)?;
    let items = command.items.iter().map(|item| match one(&issuer, item) {
        Ok(issued) => OneOfMany::Issued(Box::new(issued)),
        Err(error) => OneOfMany::Refused { error },
    });
    Ok(IssuedMany { items: items.collect() })
}

fn one(issuer: &Issuer, item: &Item) -> Result<Issued> {
    issuer.may_sign_certificates()?;
    let not_after = issuer.bound_not_after(item.not_after, item.clamp)?;
    let (public_key, key) = match (&item.csr, item.key_type) {
        (Some(csr), None) => (signing_request::public_key(csr)?, None),
        (None, Some(kind)) => {
            let key = Key::make(kind)?;
            (key.public_key()?, Some(key))
        }
        (Some(_), Some(_)) => {
            return Err(Problem::new("there is a CSR and a key type", "Leave key_type out: the key is the CSR's."));
        }
        (None, None) => {
            return Err(Problem::new("there is neither a CSR nor a key type", "Give one of them."));
        }
    };
    let nobody = Subject::default();
    let subject = item.subject.as_ref().unwrap_or(&nobody);
    let names = AlternativeNames {
        dns: item.dns.clone(),
        email: item.email.clone(),
        uri: item.uri.clone(),
        ip: item.ip.clone(),
    };
    issuer.constraints.check(&names)?;
    let mut extensions = vec![
        extensions::subject_key_identifier(&key_identifier(&public_key)?)?,
        extensions::authority_key_identifier(&issuer.key_identifier)?,
    ];
    extensions.extend(extensions::leaf()?);
    extensions.extend(extensions::extended_key_usage(&item.eku)?);
    extensions.extend(extensions::alternative_names(&names, subject.is_empty())?);
    extensions.extend(item.crl_url.as_deref().map(extensions::distribution_point).transpose()?);
    extensions.extend(item.ocsp_url.as_deref().map(extensions::ocsp_responder).transpose()?);
    let certificate = Certificate {
        issuer: &issuer.name,
        subject: &subject.to_der()?,
        public_key: &public_key,
        not_before: item.not_before,
        not_after,
        extensions,
    };
    let der = certificate.sign(&issuer.key)?;
    Ok(Issued {
        facts: facts(&der, &parse(&der)?),
        certificate: to_pem("CERTIFICATE", &der),
        key: key.as_ref().map(Key::to_pem).transpose()?,
    })
}
