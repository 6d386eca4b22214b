//! Extensions of certificates that are made here (RFC 5280, 4.2).

use der::Encode;
use der::asn1::{Ia5String, OctetString};
use der::flagset::FlagSet;
use der::oid::ObjectIdentifier;
use serde::Deserialize;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::{GeneralSubtree, NameConstraints};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints,
    ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
};

use crate::names::{AlternativeNames, check_dns, check_email, check_url, octets, parse_ip, shown};
use crate::problem::{Problem, Result};

const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const AUTHORITY_INFO_ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1");
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");

/// Names for usages, as OpenSSL spells them.
pub(crate) const USAGES: [(&str, &str); 8] = [
    ("1.3.6.1.5.5.7.3.1", "serverAuth"),
    ("1.3.6.1.5.5.7.3.2", "clientAuth"),
    ("1.3.6.1.5.5.7.3.3", "codeSigning"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning"),
    ("1.3.6.1.5.5.7.3.17", "ipsecIKE"),
    ("2.5.29.37.0", "anyExtendedKeyUsage"),
];

/// Usages of one certificate.
const MAX_USAGES: usize = 16;

/// Which names certificates below an authority may carry. IP addresses with a prefix length.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    #[serde(default)]
    pub permitted: AlternativeNames,
    #[serde(default)]
    pub excluded: AlternativeNames,
}

pub(crate) fn subject_key_identifier(identifier: &[u8]) -> Result<Extension> {
    extension(SUBJECT_KEY_IDENTIFIER, false, &OctetString::new(identifier)?)
}

pub(crate) fn authority_key_identifier(identifier: &[u8]) -> Result<Extension> {
    let value = AuthorityKeyIdentifier { key_identifier: Some(OctetString::new(identifier)?), ..Default::default() };
    extension(AUTHORITY_KEY_IDENTIFIER, false, &value)
}

pub(crate) fn authority(path_length: Option<u8>) -> Result<[Extension; 2]> {
    let usages: FlagSet<KeyUsages> = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    Ok([
        extension(BASIC_CONSTRAINTS, true, &BasicConstraints { ca: true, path_len_constraint: path_length })?,
        extension(KEY_USAGE, true, &KeyUsage(usages))?,
    ])
}

pub(crate) fn leaf() -> Result<[Extension; 2]> {
    Ok([
        extension(BASIC_CONSTRAINTS, true, &BasicConstraints { ca: false, path_len_constraint: None })?,
        extension(KEY_USAGE, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
    ])
}

/// By name, or as a dotted identifier; none for no usages.
pub(crate) fn extended_key_usage(usages: &[String]) -> Result<Option<Extension>> {
    if usages.len() > MAX_USAGES {
        return Err(Problem::new(
            format!("{} extended key usages", usages.len()),
            format!("Give {MAX_USAGES} at most."),
        ));
    }
    let mut oids: Vec<ObjectIdentifier> = Vec::new();
    for usage in usages {
        let oid = USAGES.iter().find(|(_, name)| name == usage).map_or(usage.as_str(), |(oid, _)| oid);
        let oid = ObjectIdentifier::new(oid).map_err(|_| {
            Problem::new(
                format!("`{}` is no extended key usage", shown(usage)),
                "Give clientAuth, serverAuth, emailProtection or an OID such as 1.3.6.1.4.1.311.20.2.2.",
            )
        })?;
        if !oids.contains(&oid) {
            oids.push(oid);
        }
    }
    if oids.is_empty() { Ok(None) } else { extension(EXTENDED_KEY_USAGE, false, &ExtendedKeyUsage(oids)).map(Some) }
}

/// RFC 5280, 4.2.1.6: critical where the subject is empty.
pub(crate) fn alternative_names(names: &AlternativeNames, subject_is_empty: bool) -> Result<Option<Extension>> {
    let names = names.general_names()?;
    if !names.is_empty() {
        return extension(SUBJECT_ALTERNATIVE_NAME, subject_is_empty, &SubjectAltName(names)).map(Some);
    }
    if subject_is_empty {
        return Err(Problem::new(
            "the certificate would name nobody",
            "Give a subject or at least one DNS name, mail address, URI or IP address.",
        ));
    }
    Ok(None)
}

pub(crate) fn distribution_point(url: &str) -> Result<Extension> {
    check_url(url, "address of the revocation list")?;
    let names = vec![GeneralName::UniformResourceIdentifier(Ia5String::new(url)?)];
    let point = DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(names)),
        reasons: None,
        crl_issuer: None,
    };
    extension(CRL_DISTRIBUTION_POINTS, false, &CrlDistributionPoints(vec![point]))
}

pub(crate) fn ocsp_responder(url: &str) -> Result<Extension> {
    check_url(url, "address of the OCSP responder")?;
    let access_location = GeneralName::UniformResourceIdentifier(Ia5String::new(url)?);
    let access = AccessDescription { access_method: OCSP, access_location };
    extension(AUTHORITY_INFO_ACCESS, false, &AuthorityInfoAccessSyntax(vec![access]))
}

/// RFC 5280, 4.2.1.10: critical.
pub(crate) fn name_constraints(constraints: &Constraints) -> Result<Option<Extension>> {
    let trees = |names: &AlternativeNames| -> Result<Option<Vec<GeneralSubtree>>> {
        let trees: Vec<_> =
            subtrees(names)?.into_iter().map(|base| GeneralSubtree { base, minimum: 0, maximum: None }).collect();
        Ok(if trees.is_empty() { None } else { Some(trees) })
    };
    let value = NameConstraints {
        permitted_subtrees: trees(&constraints.permitted)?,
        excluded_subtrees: trees(&constraints.excluded)?,
    };
    if value.permitted_subtrees.is_none() && value.excluded_subtrees.is_none() {
        return Ok(None);
    }
    extension(NAME_CONSTRAINTS, true, &value).map(Some)
}

fn subtrees(names: &AlternativeNames) -> Result<Vec<GeneralName>> {
    if names.len() > crate::names::MAX_ALTERNATIVE_NAMES {
        return Err(Problem::new(
            format!("{} name constraints", names.len()),
            format!("Give {} at most.", crate::names::MAX_ALTERNATIVE_NAMES),
        ));
    }
    let mut trees = Vec::new();
    for name in &names.dns {
        check_dns(name, false)?;
        trees.push(GeneralName::DnsName(Ia5String::new(name)?));
    }
    for name in &names.email {
        // A mailbox, all mailboxes of a host, or with a dot of all hosts below.
        if name.contains('@') {
            check_email(name)?
        } else {
            check_dns(name.strip_prefix('.').unwrap_or(name), false)?
        }
        trees.push(GeneralName::Rfc822Name(Ia5String::new(name)?));
    }
    for name in &names.uri {
        check_dns(name.strip_prefix('.').unwrap_or(name), false).map_err(|problem| {
            Problem::new(problem.message, "A constraint on URIs is a host, or with a dot in front all hosts below it.")
        })?;
        trees.push(GeneralName::UniformResourceIdentifier(Ia5String::new(name)?));
    }
    for name in &names.ip {
        trees.push(GeneralName::IpAddress(OctetString::new(network(name)?)?));
    }
    Ok(trees)
}

/// Address and mask, as many bytes each.
fn network(text: &str) -> Result<Vec<u8>> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let mut bytes = octets(parse_ip(address)?);
    let bits = bytes.len() * 8;
    let length = if length.is_empty() { Some(bits) } else { length.parse().ok().filter(|&length| length <= bits) };
    let Some(length) = length else {
        return Err(Problem::new(format!("`{}` is no network", shown(text)), "Give one such as 192.0.2.0/24."));
    };
    let mask: Vec<u8> = (0..bytes.len())
        .map(|index| match length.saturating_sub(index * 8) {
            0 => 0,
            ones @ 1..=7 => !(0xff >> ones),
            _ => 0xff,
        })
        .collect();
    for (byte, mask) in bytes.iter_mut().zip(&mask) {
        *byte &= mask;
    }
    bytes.extend(mask);
    Ok(bytes)
}

pub(crate) fn extension(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value.to_der()?)? })
}
