//! Partners: to whom credentials belong, and whether they may come in at all.
//!
//! State of the process, told whole by the control plane: in force for every request that any thread begins after it.
//! A table is made beside the one in force and put in its place; who reads takes no lock.
//!
//! A credential is of one partner. A fingerprint that two claim is refused when it is told; patterns that overlap show
//! themselves only in what fits both, and that is refused when it comes. A key names its partner: one that does not exist
//! is refused, so the control plane tells partners before keys.

mod name;
mod subject;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::{HashMap, HashSet};
use serde::Deserialize;

use crate::host_pattern;
use crate::jwt::Token;
use crate::limits::{Quota, told};
use crate::meters::{self, PartnerSeries};
use crate::mtls::Certificate;
use crate::policy::Algorithm;
use crate::reason::Reason;
use table::Table;

pub use table::{MAX_CLAIMS, MAX_FINGERPRINTS, MAX_OPERATIONS, MAX_PARTNERS, MAX_PATTERNS, MAX_TEXT_BYTES, MAX_WALKED};

/// One a process: [`Partners::of_process`].
#[derive(Default)]
pub struct Partners {
    table: ArcSwap<Table>,
    some: AtomicBool,
    epoch: AtomicU64,
    replacing: Mutex<()>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    pub name: String,
    pub suspended: bool,
    /// Unix milliseconds.
    pub expires_at: Option<u64>,
    /// One of them has to fit for a certificate to be the partner's. What was issued for the partner stands here by its
    /// fingerprint alone: there may be many of those.
    pub certificates: Vec<CertificatePattern>,
    /// One of them has to fit for a token to be the partner's.
    pub tokens: Vec<TokenPattern>,
    /// `operationId`, `GET /orders/{id}` or `api.example.com GET /orders/{id}`; empty: all.
    pub operations: Vec<String>,
    /// How many requests.
    pub quota: Option<WrittenQuota>,
}

/// Requests in each period, all of a partner's credentials together.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenQuota {
    pub requests: u64,
    pub period_s: u64,
}

/// How much a partner may ask for.
#[derive(Debug, PartialEq, Eq)]
pub struct PartnerQuota {
    pub quota: Quota,
    /// Item of `RateLimit-Policy`.
    pub told: Box<str>,
}

/// All that is given has to fit.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificatePattern {
    pub authority: Option<String>,
    /// RFC 2253. `*` stands for any characters of one value, alone between commas for any number of names: `CN=*,O=Acme`
    /// has two names, `*,O=Acme` ends with that one. `\*` is a star.
    pub subject: Option<String>,
    /// One of the alternative names: with a `:` a URI, with an `@` a mail address, else a DNS name. `*` stands for any
    /// characters, but not beyond a URI's scheme or authority, or a mail address's local part.
    pub san: Option<String>,
    /// SHA-256, hex.
    pub fingerprint: Option<String>,
}

/// All that is given has to fit.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenPattern {
    /// Name of the token configuration.
    pub configuration: Option<String>,
    pub claim: Option<String>,
    /// What the claim is, or one of what it lists, to the letter; None: anything.
    pub value: Option<String>,
}

/// Longest period of a quota: a leap year. Agreements are about months, which limits of the configuration never are.
const MAX_PERIOD_S: u64 = 366 * 24 * 60 * 60;

impl PartnerQuota {
    fn new(WrittenQuota { requests, period_s }: WrittenQuota) -> Result<PartnerQuota, String> {
        if requests == 0 || !(1..=MAX_PERIOD_S).contains(&period_s) {
            return Err(format!("has a `quota` of no requests, or of a period that is not 1 to {MAX_PERIOD_S} s"));
        }
        let (amount, period_us) = (requests, period_s * 1_000_000);
        let quota = Quota { algorithm: Algorithm::Gcra, amount, period_us, burst: amount, penalty_us: 0 };
        Ok(PartnerQuota { quota, told: told::policy("quota", amount, period_s * 1000) })
    }
}

/// A partner as it is at this moment.
pub struct Partner {
    pub name: Arc<str>,
    suspended: bool,
    expires_ms: Option<u64>,
    /// None: all.
    operations: Option<Operations>,
    quota: Option<PartnerQuota>,
    series: PartnerSeries,
}

#[derive(Default)]
struct Operations {
    /// By what an operation is called, on any host.
    anywhere: HashSet<String>,
    /// `METHOD /template`, by host.
    on_hosts: HashMap<String, HashSet<String>>,
}

static OF_PROCESS: LazyLock<Partners> = LazyLock::new(Partners::default);

impl Partners {
    #[must_use]
    pub fn of_process() -> &'static Partners {
        &OF_PROCESS
    }

    /// Moves with each change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Puts these in place of all before.
    ///
    /// # Errors
    /// An entry that cannot be read, or more than the engine holds: those before stay.
    pub fn replace(&self, written: &[Written]) -> Result<(), String> {
        // One after the other, so that the last one that returns is the one in force.
        let replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = Table::new(written)?;
        let some = !table.is_empty();
        self.table.store(Arc::new(table));
        self.some.store(some, Ordering::Release);
        // Behind the table: who sees the new epoch finds the new table.
        self.epoch.fetch_add(1, Ordering::Release);
        drop(replacing);
        Ok(())
    }

    /// No certificate and no token is anybody's. A key can still name a partner: ask [`Partners::of_key`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.some.load(Ordering::Acquire)
    }

    /// Whose a certificate is. Costs a walk: keep the answer with the epoch that was read before.
    ///
    /// # Errors
    /// It fits several partners: `partners.mismatch`.
    pub fn of_certificate(&self, certificate: &Certificate, authority: &str) -> Result<Option<Arc<Partner>>, Reason> {
        self.table.load().of_certificate(certificate, authority)
    }

    /// Whose a token is. Costs a walk: keep the answer with the epoch that was read before.
    ///
    /// # Errors
    /// It fits several partners: `partners.mismatch`.
    pub fn of_token(&self, token: &Token) -> Result<Option<Arc<Partner>>, Reason> {
        self.table.load().of_token(&token.configuration, |claim, tell| token.claim(claim).for_each(tell))
    }

    /// Whose a key is that names a partner.
    ///
    /// # Errors
    /// There is no such partner: `partners.unknown`. What belongs to nobody who is known does not pass.
    pub fn of_key(&self, partner: &str) -> Result<Arc<Partner>, Reason> {
        self.named(partner).ok_or(Reason::PartnersUnknown)
    }

    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<Partner>> {
        self.table.load().named(name)
    }
}

impl Partner {
    fn new(written: &Written) -> Result<Partner, String> {
        let Written { name, suspended, expires_at, operations, quota, .. } = written;
        let quota = quota.map(PartnerQuota::new).transpose()?;
        if name.is_empty() || operations.iter().any(String::is_empty) {
            return Err("has an empty name or operation".to_owned());
        }
        if operations.iter().chain([name]).any(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(format!("has a name or operation longer than {MAX_TEXT_BYTES} bytes"));
        }
        if operations.len() > MAX_OPERATIONS {
            return Err(format!("has more than {MAX_OPERATIONS} operations"));
        }
        let mut read = Operations::default();
        for operation in operations {
            match on_host(operation) {
                Some((host, operation)) => {
                    read.on_hosts.entry(host.to_ascii_lowercase()).or_default().insert(operation.to_owned());
                }
                None => drop(read.anywhere.insert(operation.clone())),
            }
        }
        Ok(Partner {
            name: name.as_str().into(),
            suspended: *suspended,
            expires_ms: *expires_at,
            operations: (!operations.is_empty()).then_some(read),
            quota,
            series: meters::partner_series(name),
        })
    }

    /// Whether the partner may come in at all.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, now_ms: u64) -> Result<(), Reason> {
        if self.suspended {
            return Err(Reason::PartnersSuspended);
        }
        match self.expires_ms {
            Some(expires) if expires <= now_ms => Err(Reason::PartnersExpired),
            _ => Ok(()),
        }
    }

    /// Whether an operation is part of the agreement; None: what is not described. An operation goes by its id and by
    /// `METHOD /template`: one that has an `operationId` is asked for with both.
    #[must_use]
    pub fn may_call(&self, host: &str, operation: Option<&str>) -> bool {
        let Some(Operations { anywhere, on_hosts }) = &self.operations else { return true };
        let Some(operation) = operation else { return false };
        let there = || on_hosts.iter().filter(|(pattern, _)| host_pattern::fits(pattern, host));
        anywhere.contains(operation) || there().any(|(_, operations)| operations.contains(operation))
    }

    /// How much its credentials may ask for together; None: as much as they like.
    #[must_use]
    pub fn quota(&self) -> Option<&PartnerQuota> {
        self.quota.as_ref()
    }

    /// What its requests are counted under.
    #[must_use]
    pub fn series(&self) -> PartnerSeries {
        self.series
    }
}

/// Host and operation of `api.example.com GET /orders/{id}`; None: the whole text is what an operation is called.
fn on_host(operation: &str) -> Option<(&str, &str)> {
    let (host, rest) = operation.split_once(' ')?;
    let (method, path) = rest.split_once(' ')?;
    let method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (method && path.starts_with('/')).then_some((host, rest))
}

impl fmt::Debug for Partners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partners").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Partner { name, suspended, expires_ms, .. } = self;
        let mut shown = f.debug_struct("Partner");
        shown.field("name", name).field("suspended", suspended).field("expires_ms", expires_ms).finish_non_exhaustive()
    }
}
