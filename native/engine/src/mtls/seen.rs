//! Certificates that requests came with: counted by each thread beside the certificate, gathered a few times a second
//! into one table of the process, and drained from there.
//!
//! A request costs a thread an addition and a comparison; the texts are made when the table is drained.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::FromDer;

use super::authority::KeyId;
use super::{Certificate, CertificateField, CertificateNames, fields::lower_hex};
use crate::meters::{HostSeries, host_name};

/// Most certificates that wait to be drained, or whose PEM is known to have been told: a fleet of that size. Waiting
/// ones are held with their bytes, 2 KiB as a rule.
const MAX_CERTIFICATES: usize = 100_000;
/// Most hosts that one certificate is told with; what asks more of them is told with its first ones.
const MAX_HOSTS: usize = 8;
/// Most certificates that one call tells of: some 5 MiB of JSON.
const MAX_TOLD: usize = 1_000;
/// Most URLs of one kind: real certificates have one or two.
const MAX_URLS: usize = 8;

/// One thread's count of the requests that came with one certificate.
#[derive(Debug, Default)]
pub struct Count {
    requests: Cell<u64>,
    /// Unix milliseconds.
    last: Cell<u64>,
    hosts: RefCell<Vec<HostSeries>>,
}

impl Count {
    /// Counts a request; true for the first since the last gathering.
    pub fn add(&self, host: HostSeries, unix_ms: u64) -> bool {
        let before = self.requests.get();
        self.requests.set(before + 1);
        self.last.set(unix_ms);
        note(&mut self.hosts.borrow_mut(), host);
        before == 0
    }
}

fn note(hosts: &mut Vec<HostSeries>, host: HostSeries) {
    if !hosts.contains(&host) && hosts.len() < MAX_HOSTS {
        hosts.push(host);
    }
}

struct Waiting {
    certificate: Arc<Certificate>,
    /// Of a certificate that was verified: by whom, and its issuer's key.
    identity: Option<(Arc<str>, KeyId)>,
    requests: u64,
    last: u64,
    hosts: Vec<HostSeries>,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<[u8; 32], Waiting>,
    /// By fingerprint: whose PEM this process has told.
    told: HashSet<[u8; 32]>,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

fn table() -> std::sync::MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves a thread's counts into the table of the process. What finds no room is counted again from its next request.
pub fn gather<'a>(counted: impl Iterator<Item = (&'a Arc<Certificate>, Option<(Arc<str>, KeyId)>, &'a Count)>) {
    let mut table = table();
    for (certificate, identity, count) in counted {
        let (requests, mut hosts) = (count.requests.take(), count.hosts.borrow_mut());
        let crowded = table.waiting.len() >= MAX_CERTIFICATES;
        match table.waiting.entry(*certificate.sha256()) {
            Entry::Occupied(mut place) => {
                let waiting = place.get_mut();
                waiting.requests += requests;
                waiting.last = waiting.last.max(count.last.get());
                waiting.identity = identity.or_else(|| waiting.identity.take());
                for &host in hosts.iter() {
                    note(&mut waiting.hosts, host);
                }
            }
            Entry::Vacant(_) if crowded => {}
            Entry::Vacant(place) => {
                let certificate = certificate.clone();
                place.insert(Waiting { certificate, identity, requests, last: count.last.get(), hosts: hosts.clone() });
            }
        }
        hosts.clear();
    }
}

#[derive(Serialize)]
struct Told<'a> {
    fingerprint: &'a str,
    /// Name of the authority that verified it.
    authority: Option<&'a str>,
    /// Of its own key.
    key_id: &'a str,
    serial: &'a str,
    subject: &'a str,
    issuer: &'a str,
    /// Unix milliseconds.
    not_before: i64,
    not_after: i64,
    /// DNS names, mail addresses, URIs and addresses.
    names: Vec<String>,
    crl_urls: Vec<String>,
    ocsp_urls: Vec<String>,
    issuer_key_id: Option<String>,
    requests: u64,
    last_seen: u64,
    hosts: Vec<String>,
    /// Only the first time.
    pem: Option<String>,
}

/// Takes certificates with new requests out of the table, as JSON; call again until the list is empty.
#[must_use]
pub fn drain() -> String {
    let (waiting, first) = {
        let mut table = table();
        let keys: Vec<[u8; 32]> = table.waiting.keys().take(MAX_TOLD).copied().collect();
        if table.told.len() + keys.len() > MAX_CERTIFICATES {
            table.told.clear();
        }
        let first: Vec<bool> = keys.iter().map(|key| table.told.insert(*key)).collect();
        let waiting: Vec<Waiting> = keys.iter().filter_map(|key| table.waiting.remove(key)).collect();
        (waiting, first)
    };
    let told: Vec<Told<'_>> = waiting.iter().zip(first).map(|(waiting, first)| tell(waiting, first)).collect();
    serde_json::to_string(&told).unwrap_or_else(|_| "[]".to_owned())
}

fn tell(waiting: &Waiting, first: bool) -> Told<'_> {
    let certificate = &*waiting.certificate;
    let mut told = Told {
        fingerprint: certificate.sha256_hex(),
        authority: waiting.identity.as_ref().map(|(authority, _)| &**authority),
        key_id: certificate.field(CertificateField::SpkiSha256),
        serial: certificate.field(CertificateField::Serial),
        subject: certificate.field(CertificateField::SubjectDn),
        issuer: certificate.field(CertificateField::IssuerDn),
        not_before: 0,
        not_after: 0,
        names: Vec::new(),
        crl_urls: Vec::new(),
        ocsp_urls: Vec::new(),
        issuer_key_id: waiting.identity.as_ref().map(|(_, key)| lower_hex(key)),
        requests: waiting.requests,
        last_seen: waiting.last,
        hosts: waiting.hosts.iter().filter_map(|host| host_name(*host)).collect(),
        pem: first.then(|| certificate.pem()),
    };
    for names in [CertificateNames::Dns, CertificateNames::Email, CertificateNames::Uri] {
        told.names.extend_from_slice(certificate.names(names));
    }
    let Ok((_, parsed)) = X509Certificate::from_der(certificate.der()) else { return told };
    told.not_before = parsed.validity().not_before.timestamp().saturating_mul(1000);
    told.not_after = parsed.validity().not_after.timestamp().saturating_mul(1000);
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                told.names.extend(names.general_names.iter().filter_map(address));
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                for point in &points.points {
                    if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                        told.crl_urls.extend(names.iter().filter_map(url));
                    }
                }
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                let ocsp = access.iter().filter(|access| access.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP);
                told.ocsp_urls.extend(ocsp.filter_map(|access| url(&access.access_location)));
            }
            _ => {}
        }
    }
    told.crl_urls.truncate(MAX_URLS);
    told.ocsp_urls.truncate(MAX_URLS);
    told
}

fn url(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(url) => Some((*url).to_owned()),
        _ => None,
    }
}

fn address(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::IPAddress(bytes) = name else { return None };
    match bytes.len() {
        4 => Some(std::net::IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
        16 => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        _ => None,
    }
}
