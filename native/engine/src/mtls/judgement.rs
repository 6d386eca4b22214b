//! Whether a certificate would be accepted, and why, step by step: for people.
//!
//! The verdict is the one that a request would get, by the same call. The steps explain it: what the certificate says of
//! itself, the path that was found, and what is known about each certificate in it. A denial always has a step that is
//! not ok, an acceptance none.

use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::fields::{date_of, serial_hex};
use super::path::Path;
use super::revocation::{self, IssuerKey, Source, Standing};
use super::{Authority, Certificate, CertificateField, Standings, TrustSet, key_strength};
use crate::policy::Stale;
use crate::reason::Reason;

#[derive(Debug, Serialize)]
pub struct Judgement {
    pub steps: Vec<Step>,
    /// The reason's id; None: accepted.
    pub reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct Step {
    /// `parse`, `version`, `key`, `validity`, `path`, `constraints`, `usage`, `revocation` (one for each certificate of
    /// the path), `verdict`.
    pub step: &'static str,
    pub ok: bool,
    pub detail: String,
}

impl TrustSet {
    /// `now` is in Unix seconds.
    #[must_use]
    pub fn judge(&self, certificate: &Certificate, standings: &Standings, now: u64) -> Judgement {
        let (verdict, path) = self.reach(certificate, standings, now);
        let mut judgement = Judgement { steps: Vec::new(), reason: verdict.fault.map(Reason::id) };
        let read = X509Certificate::from_der(certificate.der()).ok().map(|(_, read)| read);
        let failing = verdict.fault.map(|reason| failing(reason, certificate, path.as_ref(), read.as_ref(), now));
        match &read {
            Some(read) => judgement.leaf(certificate, read, failing, now),
            None => judgement.add("parse", false, "The certificate is not PEM of valid DER, or larger than 16 KiB."),
        }
        if certificate.fault().is_none() {
            judgement.path(self, path.as_ref(), certificate, failing, verdict.fault);
        }
        if let Some(path) = &path {
            judgement.standing(self, path, certificate, standings, now);
        }
        let detail = match (&verdict.fault, &verdict.authority) {
            (Some(reason), _) => format!("Denied as {}. {}", reason.id(), reason.entry().hint),
            (None, Some(authority)) => format!("Accepted, verified by \"{authority}\"."),
            (None, None) => "Accepted.".to_owned(),
        };
        judgement.add("verdict", verdict.fault.is_none(), detail);
        judgement
    }
}

/// The step that a reason belongs to.
fn failing(
    reason: Reason,
    certificate: &Certificate,
    path: Option<&Path>,
    read: Option<&X509Certificate<'_>>,
    now: u64,
) -> &'static str {
    match reason {
        Reason::MtlsMalformed => "parse",
        Reason::MtlsVersion => "version",
        Reason::MtlsSignature if certificate.unfit() == Some(reason) && path.is_some() => "key",
        Reason::MtlsExpired | Reason::MtlsNotYetValid if read.is_some_and(|read| !is_in_time(read, now)) => "validity",
        Reason::MtlsUsage => "usage",
        Reason::MtlsConstraints => "constraints",
        Reason::MtlsRevoked | Reason::MtlsCrlExpired | Reason::MtlsRevocationUnknown => "revocation",
        _ => "path",
    }
}

fn is_in_time(read: &X509Certificate<'_>, now: u64) -> bool {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    read.validity().not_before.timestamp() <= now && now <= read.validity().not_after.timestamp()
}

impl Judgement {
    /// What the certificate says of itself.
    fn leaf(&mut self, certificate: &Certificate, read: &X509Certificate<'_>, failing: Option<&'static str>, now: u64) {
        let subject = certificate.field(CertificateField::SubjectDn);
        let serial = certificate.field(CertificateField::Serial);
        let parsed = failing != Some("parse");
        let how =
            if parsed { "" } else { ": holds something malformed, or a critical extension that is not understood" };
        self.add("parse", parsed, format!("{subject}, serial {serial}, {} bytes{how}.", certificate.der().len()));
        if !parsed {
            return;
        }
        let version = read.version() == X509Version::V3;
        self.add("version", version, format!("X.509 version {}.", read.version().0.saturating_add(1)));
        if !version {
            return;
        }
        let key = read.public_key();
        self.add("key", key_strength::is_strong(key), format!("{}.", key_strength::describe(key)));
        let dates = |name: &str, field| format!("{name} {}", certificate.field(field));
        let (from, until) = (dates("from", CertificateField::NotBefore), dates("until", CertificateField::NotAfter));
        self.add("validity", is_in_time(read, now), format!("Valid {from} {until}; it is {} now.", date_of(now)));
        let purposes = match read.extended_key_usage() {
            Ok(Some(usage)) if usage.value.client_auth => "extended key usage includes clientAuth",
            Ok(Some(_)) => "extended key usage lacks clientAuth",
            _ => "no extended key usage, so any purpose",
        };
        let signs = match read.key_usage() {
            Ok(Some(usage)) if usage.value.digital_signature() => "key usage includes digitalSignature",
            Ok(Some(_)) => "key usage lacks digitalSignature",
            _ => "no key usage, so any use",
        };
        let usable = failing != Some("usage") && certificate.unfit() != Some(Reason::MtlsUsage);
        let whose = if usable { "" } else { " The issuers' extended key usage counts as well." };
        self.add("usage", usable, format!("Its {purposes}; its {signs}.{whose}"));
    }

    /// Who vouches for it.
    fn path(
        &mut self,
        set: &TrustSet,
        path: Option<&Path>,
        certificate: &Certificate,
        failing: Option<&'static str>,
        fault: Option<Reason>,
    ) {
        let ok = failing != Some("path") && (path.is_some() || failing.is_none());
        match path {
            Some(path) => {
                let mut detail = certificate.field(CertificateField::SubjectDn).to_owned();
                for link in &path.links {
                    detail.push_str(" <- ");
                    detail.push_str(&path.issuers(set).of(link).shown);
                }
                let authority = set.authorities.get(path.authority as usize).map_or("", |known| known.name());
                let what =
                    if ok { "each signature holds" } else { "an issuer in it is past its dates or not valid yet" };
                self.add("path", ok, format!("{detail}, an anchor of \"{authority}\"; {what}."));
            }
            None => {
                let issuer = certificate.field(CertificateField::IssuerDn);
                let trusted: Vec<&str> = set.authorities().collect();
                let hint = fault.map_or("", |fault| fault.entry().hint);
                let detail = format!(
                    "No path from its issuer {issuer} to an anchor of \"{}\" holds. {hint}",
                    trusted.join("\", \"")
                );
                self.add("path", false, detail);
            }
        }
        if failing == Some("constraints") {
            self.add(
                "constraints",
                false,
                "Basic constraints, path length or name constraints of an issuer forbid it.",
            );
        } else if path.is_some() {
            self.add(
                "constraints",
                true,
                "Basic constraints, path length and name constraints of each issuer allow it.",
            );
        }
    }

    /// What is known about each certificate of the path but the anchor.
    fn standing(&mut self, set: &TrustSet, path: &Path, certificate: &Certificate, standings: &Standings, now: u64) {
        let table = standings.read();
        if table.is_revoked_leaf(certificate.sha256()) {
            self.add("revocation", false, "Revoked here, by its fingerprint.");
        }
        if table.is_full() {
            self.add("revocation", false, "More certificates are revoked than the engine holds: everybody is denied.");
        }
        for (depth, link) in path.links.iter().enumerate() {
            let issuer = path.issuers(set).of(link);
            let above = || &path.issuers(set).of(&path.links[depth - 1]).shown;
            let whose = match (depth, link.serial) {
                (0, _) => "The certificate itself".to_owned(),
                (_, Some(serial)) => {
                    format!("{} (serial {})", above(), serial_hex(&serial))
                }
                (_, None) => above().clone(),
            };
            for &index in &issuer.authorities {
                let authority = &set.authorities[index as usize];
                let standing = revocation::standing(&table, standings, authority, issuer, link, now);
                let weighed = revocation::weigh(authority, standing, now);
                let lenient = weighed.as_ref().is_ok_and(|good| good.leniently);
                let told = told(standing, authority, issuer, lenient, now);
                self.add("revocation", weighed.is_ok(), format!("{whose}: {told}"));
            }
        }
    }

    fn add(&mut self, step: &'static str, ok: bool, detail: impl Into<String>) {
        self.steps.push(Step { step, ok, detail: detail.into() });
    }
}

fn told(standing: Standing, authority: &Authority, issuer: &IssuerKey, lenient: bool, now: u64) -> String {
    let by = format!("issued by {} (\"{}\")", issuer.shown, authority.name());
    let passes = match (lenient, authority.revocation.stale) {
        (false, _) => "",
        (true, Stale::Grace) => " Passes while the authority's grace lasts.",
        (true, _) => " Passes all the same: the authority's revocation is soft.",
    };
    match standing {
        Standing::Unchecked => format!("{by}; no revocation list or OCSP answer speaks for that issuer."),
        Standing::Good(until, source) => format!("{by}; good by {}, until {}.", named(source, now), date_of(until)),
        Standing::Revoked(source) => format!("{by}; revoked by {}.", named(source, now)),
        Standing::Outdated(since, source) => {
            format!("{by}; {} is past its nextUpdate, {}.{passes}", named(source, now), date_of(since))
        }
        Standing::Unknown(since) => {
            format!("{by}; nothing has been told yet, asked for since {}.{passes}", date_of(since))
        }
    }
}

fn named(source: Source, now: u64) -> String {
    let age = |since: u64| match now.saturating_sub(since) {
        seconds @ 0..=7199 => format!("{} minutes old", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} hours old", seconds / 3600),
        seconds => format!("{} days old", seconds / 86_400),
    };
    match source {
        Source::Here => "an order given here".to_owned(),
        Source::List { this_update } => format!("a list {}", age(u64::try_from(this_update).unwrap_or(0))),
        Source::Ocsp { this_update } => format!("an OCSP answer {}", age(this_update)),
    }
}
