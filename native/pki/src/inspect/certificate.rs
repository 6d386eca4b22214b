//! One certificate, and how several of a file belong together.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::x509::X509Version;

use super::{DAY_MS, Item, colons, relative};
use crate::distinguished_name::{rfc4514, value_text};
use crate::facts::{alternative_names, facts, parse};
use crate::names::{is_invisible, shown};
use crate::problem::Result;
use crate::public_key::refuse_weak;
use crate::text::to_pem;
use crate::time::UnixMs;

/// Lines for names of one certificate; the rest is counted.
const SHOWN_NAMES: usize = 100;
/// From when on an end is near enough to say so: the first of the gateway's own notices.
const SOON_DAYS: i64 = 30;

pub(super) fn explain(der: &[u8], now: UnixMs) -> Result<Item> {
    let certificate = parse(der)?;
    let facts = facts(der, &certificate);
    let mut item = Item::new(match (facts.is_authority, facts.self_signed) {
        (true, true) => "Root certificate of an authority",
        (true, false) => "Certificate of an intermediate authority",
        (false, true) => "Self-signed certificate",
        (false, false) => "Certificate",
    });
    item.row("Subject", or_none(&facts.subject));
    item.row("Issuer", or_none(&facts.issuer));
    item.row("Serial number", &facts.serial);
    item.row("Valid from", relative(facts.not_before, now));
    item.row("Valid until", relative(facts.not_after, now));
    item.row("Key", &facts.key_type);
    item.row("Signature", signature_name(&certificate.signature_algorithm.algorithm.to_id_string()));
    for (label, names) in [("DNS", &facts.dns), ("Mail", &facts.email), ("URI", &facts.uri), ("IP", &facts.ip)] {
        for name in names.iter().take(SHOWN_NAMES) {
            item.row(label, shown(name));
        }
        if names.len() > SHOWN_NAMES {
            item.row(label, format!("and {} more", names.len() - SHOWN_NAMES));
        }
    }
    explain_extensions(&mut item, &certificate);
    item.row("Fingerprint SHA-256", colons(digest(&SHA256, der).as_ref()));
    item.row("Fingerprint SHA-1", colons(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()));
    item.row("Key SHA-256 (SPKI)", &facts.key_id);
    warn(&mut item, &certificate, facts.not_before, facts.not_after, now);
    item.pem = Some(to_pem("CERTIFICATE", der));
    item.facts = Some(facts);
    Ok(item)
}

fn explain_extensions(item: &mut Item, certificate: &X509Certificate) {
    for extension in certificate.extensions() {
        let critical = if extension.critical { ", critical" } else { "" };
        let name = extension_name(extension);
        let value = match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(found) => match (found.ca, found.path_len_constraint) {
                (true, Some(length)) => format!("authority, {length} levels below it at most"),
                (true, None) => "authority".to_owned(),
                (false, _) => "no authority".to_owned(),
            },
            ParsedExtension::KeyUsage(usage) => usage.to_string(),
            ParsedExtension::ExtendedKeyUsage(_) => crate::facts::usages(extension.value).join(", "),
            ParsedExtension::SubjectKeyIdentifier(identifier) => colons(identifier.0),
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                identifier.key_identifier.as_ref().map_or("without a key".to_owned(), |found| colons(found.0))
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                let (known, others) = alternative_names(&names.general_names);
                let count = format!("{} names", known.len() + others.len());
                if others.is_empty() { count } else { format!("{count}, of them: {}", shown(&others.join(", "))) }
            }
            ParsedExtension::NameConstraints(found) => {
                let trees = |trees: &Option<Vec<x509_parser::extensions::GeneralSubtree>>| {
                    let trees = trees.iter().flatten().take(SHOWN_NAMES);
                    trees.map(|tree| subtree(&tree.base)).collect::<Vec<_>>().join(", ")
                };
                let (permitted, excluded) = (trees(&found.permitted_subtrees), trees(&found.excluded_subtrees));
                format!("permitted: {}; excluded: {}", or_none(&permitted), or_none(&excluded))
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                use x509_parser::extensions::DistributionPointName::FullName;
                let urls = points.iter().filter_map(|point| match &point.distribution_point {
                    Some(FullName(names)) => Some(alternative_names(names).0.uri.join(", ")),
                    _ => None,
                });
                shown(&urls.collect::<Vec<_>>().join(", "))
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                let places = access.accessdescs.iter().map(|access| {
                    let method = match access.access_method.to_id_string().as_str() {
                        "1.3.6.1.5.5.7.48.1" => "OCSP",
                        "1.3.6.1.5.5.7.48.2" => "issuer",
                        _ => "other",
                    };
                    format!("{method} {}", subtree(&access.access_location))
                });
                places.take(SHOWN_NAMES).collect::<Vec<_>>().join(", ")
            }
            ParsedExtension::ParseError { .. } => {
                item.warn(format!("the extension {name} cannot be read"));
                continue;
            }
            _ => format!("{} bytes", extension.value.len()),
        };
        item.row(&format!("{name}{critical}"), value);
    }
}

fn warn(item: &mut Item, certificate: &X509Certificate, not_before: UnixMs, not_after: UnixMs, now: UnixMs) {
    if certificate.version() != X509Version::V3 {
        item.warn(
            "version 1: will be refused; reissue it with extensions, for example \
             openssl x509 -req -extfile ext.cnf with basicConstraints and extendedKeyUsage",
        );
    }
    if not_after < now {
        item.warn("expired");
    } else if not_after.saturating_sub(now) < SOON_DAYS * DAY_MS {
        item.warn(format!("expires in {} days", (not_after - now) / DAY_MS));
    }
    if not_before > now {
        item.warn("not yet valid");
    }
    if not_after < not_before {
        item.warn("ends before it begins");
    }
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    let self_signed = certificate.subject().as_raw() == certificate.issuer().as_raw();
    match signature_name(&algorithm) {
        // Nobody checks the signature of a root: it is trusted because it is there.
        name if name.contains("SHA-1") && !self_signed => {
            item.warn("SHA-1 signature: will be refused; reissue with SHA-256")
        }
        name if name.contains("MD") => item.warn(format!("{name} signature: will be refused; reissue with SHA-256")),
        _ => {}
    }
    if let Err(problem) = refuse_weak(certificate.public_key(), "its") {
        item.warn(problem.message);
    }
    let serial = certificate.raw_serial();
    if serial.first().is_some_and(|&first| first & 0x80 != 0) || serial.iter().all(|&byte| byte == 0) {
        item.warn("the serial number is zero or negative");
    }
    if serial.len() > 20 {
        item.warn("the serial number is longer than 20 bytes");
    }
    let usage = certificate.key_usage().ok().flatten().map(|usage| usage.value);
    let is_authority = certificate.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
    let purposes = certificate.extended_key_usage().ok().flatten().map(|found| found.value);
    match (is_authority, usage) {
        (true, Some(usage)) if !usage.key_cert_sign() => item.warn("an authority that may not sign certificates"),
        (false, Some(usage)) if !usage.digital_signature() => {
            item.warn("its key usage lacks digitalSignature: refused as a client certificate");
        }
        _ => {}
    }
    if !is_authority && purposes.is_some_and(|found| !found.client_auth && !found.any) {
        item.warn("its extended key usage lacks clientAuth: refused as a client certificate");
    }
    if certificate.extensions_map().is_err() {
        item.warn("it has an extension twice");
    }
    for extension in certificate.extensions() {
        if extension.critical && matches!(extension.parsed_extension(), ParsedExtension::UnsupportedExtension { .. }) {
            item.warn(format!("the critical extension {} is not known: will be refused", extension.oid.to_id_string()));
        }
    }
    let invisible = |value: String| value.chars().any(is_invisible);
    if certificate.subject().iter_attributes().any(|part| value_text(part.attr_value()).is_some_and(invisible)) {
        item.warn("its subject holds NUL, line breaks, control or direction characters");
    }
}

/// Which certificate of a file signed which, where that can be seen.
pub(super) fn explain_chain(items: &mut [Item]) {
    if items.len() < 2 {
        return;
    }
    let known: Vec<_> =
        items.iter().map(|item| item.facts.as_ref().map(|facts| (facts.subject.clone(), facts.is_authority))).collect();
    let count = items.len();
    for (index, item) in items.iter_mut().enumerate() {
        item.title = format!("{} of {count}: {}", index + 1, item.title);
        let Some(facts) = &item.facts else { continue };
        let above = known.iter().position(|other| {
            other.as_ref().is_some_and(|(subject, is_authority)| *is_authority && *subject == facts.issuer)
        });
        match above {
            Some(above) if above != index => {
                item.row("Issued by", format!("number {} of this file, by its name", above + 1))
            }
            None => item.row("Issued by", "nobody in this file"),
            _ => {}
        }
    }
}

fn subtree(name: &GeneralName) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS {}", shown(name)),
        GeneralName::RFC822Name(name) => format!("mail {}", shown(name)),
        GeneralName::URI(name) => format!("URI {}", shown(name)),
        GeneralName::DirectoryName(name) => format!("name {}", rfc4514(name)),
        GeneralName::IPAddress(bytes) => {
            let bytes = bytes.iter().map(u8::to_string).collect::<Vec<_>>();
            format!("IP {} / {}", bytes[..bytes.len() / 2].join("."), bytes[bytes.len() / 2..].join("."))
        }
        _ => "a name of another kind".to_owned(),
    }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

pub(super) fn signature_name(oid: &str) -> String {
    match oid {
        "1.2.840.10045.4.3.2" => "ECDSA with SHA-256",
        "1.2.840.10045.4.3.3" => "ECDSA with SHA-384",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.2.840.10045.4.1" => "ECDSA with SHA-1",
        "1.2.840.113549.1.1.11" => "RSA with SHA-256",
        "1.2.840.113549.1.1.12" => "RSA with SHA-384",
        "1.2.840.113549.1.1.13" => "RSA with SHA-512",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.113549.1.1.5" => "RSA with SHA-1",
        "1.2.840.113549.1.1.4" => "RSA with MD5",
        "1.2.840.113549.1.1.2" => "RSA with MD2",
        "1.2.840.10040.4.3" => "DSA with SHA-1",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        other => return other.to_owned(),
    }
    .to_owned()
}

pub(super) fn extension_name(extension: &X509Extension) -> String {
    let oid = extension.oid.to_id_string();
    let name = match oid.as_str() {
        "2.5.29.14" => "Subject key identifier",
        "2.5.29.15" => "Key usage",
        "2.5.29.16" => "Private key usage period",
        "2.5.29.17" => "Alternative names",
        "2.5.29.18" => "Issuer alternative names",
        "2.5.29.19" => "Basic constraints",
        "2.5.29.20" => "Number of the list",
        "2.5.29.27" => "Delta list",
        "2.5.29.28" => "Issuing distribution point",
        "2.5.29.30" => "Name constraints",
        "2.5.29.31" => "Revocation lists",
        "2.5.29.32" => "Policies",
        "2.5.29.33" => "Policy mappings",
        "2.5.29.35" => "Authority key identifier",
        "2.5.29.36" => "Policy constraints",
        "2.5.29.37" => "Extended key usage",
        "2.5.29.54" => "Inhibit any policy",
        "1.3.6.1.5.5.7.1.1" => "Authority information",
        "1.3.6.1.5.5.7.1.11" => "Subject information",
        "1.3.6.1.5.5.7.1.24" => "TLS feature",
        "1.3.6.1.5.5.7.48.1.5" => "OCSP no check",
        "1.3.6.1.4.1.11129.2.4.2" => "Certificate transparency",
        "2.16.840.1.113730.1.1" => "Netscape type",
        "2.16.840.1.113730.1.13" => "Netscape comment",
        _ => return format!("Extension {oid}"),
    };
    name.to_owned()
}
