//! One token configuration: whose tokens count, and what they have to look like.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::algorithm::{self, Algorithm};
use super::cache::Known;
use super::claims::Claims;
use super::compact::{Compact, Header};
use super::dpop;
use super::inspection::{Silent, Telling};
use super::key::{Key, Unfit};
use super::key_set::{KeySet, KeySets};
use super::proofs::Proofs;
use super::revoked::Revoked;
use super::token::{Signer, Times};
use super::{Cache, Token};
use crate::exchange::Now;
use crate::head::Head;
use crate::meters::{self, TokenOutcome, TokenSeries};
use crate::policy::{self, ClaimCondition, CredentialLocation, Problem};
use crate::reason::Reason;

/// What a token is presented with.
#[derive(Debug, Clone, Copy)]
pub struct Presenting<'a> {
    pub head: &'a Head,
    /// SHA-256 of the client certificate, when it was verified.
    pub certificate: Option<&'a [u8; 32]>,
    pub now: Now,
}

#[derive(Debug)]
pub struct Configuration {
    pub name: Arc<str>,
    pub locations: Vec<CredentialLocation>,
    /// Never used twice in a process: tokens verified under an older policy cannot be mistaken for its own.
    pub(super) id: u64,
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    keys: Keys,
    pub(super) required: Vec<ClaimCondition>,
    pub(super) skew_ms: u64,
    pub(super) types: Vec<String>,
    pub(super) max_lifetime_ms: Option<u64>,
    pub(super) allow_no_expiry: bool,
    pub(super) max_bytes: usize,
    pub(super) scope_claims: Vec<String>,
    pub(super) role_claims: Vec<String>,
    pub(super) binding: Binding,
    series: TokenSeries,
}

/// How a token has to be bound to who sends it.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) certificate: bool,
    pub(super) dpop: bool,
    /// Most seconds that a proof's `iat` lies from now.
    pub(super) dpop_lifetime_s: u64,
    /// All of public keys.
    pub(super) dpop_algorithms: Vec<Algorithm>,
}

#[derive(Debug)]
enum Keys {
    Given(Arc<KeySet>),
    /// In [`KeySets`], and whether a token named a key that is not among them.
    Fetched {
        url: String,
        lacking: Arc<AtomicBool>,
    },
}

static IDS: AtomicU64 = AtomicU64::new(1);

impl Configuration {
    /// Every fault adds a problem; with problems, what is returned must not be used.
    #[must_use]
    pub fn compile(written: &policy::Jwt, problems: &mut Vec<Problem>) -> Configuration {
        let name: Arc<str> = written.name.as_str().into();
        let before = problems.len();
        let mut named = |names: &[String], at: &str, secrets: bool| {
            let mut known = Vec::with_capacity(names.len());
            for (index, name) in names.iter().enumerate() {
                match algorithm::named(name) {
                    Some(algorithm) if secrets || !algorithm::is_symmetric(algorithm) => known.push(algorithm),
                    _ => problems.push(problem(
                        &format!("{}/{at}/{index}", written.at),
                        &format!("\"{name}\" is no algorithm that counts here"),
                        "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA; for tokens also HS256, HS384 or HS512.",
                    )),
                }
            }
            known
        };
        let algorithms = named(&written.algorithms, "algorithms", true);
        let dpop_algorithms = named(&written.binding.dpop_algorithms, "binding/dpop/algorithms", false);
        let at = |member: &str| format!("{}/{member}", written.at);
        let secrets = algorithms.iter().filter(|known| algorithm::is_symmetric(**known)).count();
        if algorithms.is_empty() && problems.len() == before {
            problems.push(problem(&at("algorithms"), "no algorithm counts", "One at least, such as ES256."));
        }
        if secrets > 0 && secrets < algorithms.len() {
            problems.push(problem(
                &at("algorithms"),
                "secrets (HS256, HS384, HS512) and public keys together",
                "Two configurations: who verifies with a secret can sign with it, and a public key must never be taken for one.",
            ));
        }
        let keys = match (&written.keys, &written.url) {
            (Some(document), None) => Keys::Given(Arc::new(given(document, &algorithms, &at("keys"), problems))),
            (None, Some(_)) if secrets > 0 => {
                problems.push(problem(&at("keys"), "a secret cannot be fetched from a URL", "`keys.file`."));
                Keys::Given(Arc::default())
            }
            (None, Some(url)) => Keys::Fetched { url: url.clone(), lacking: KeySets::of_process().flag(&name) },
            _ => {
                problems.push(problem(
                    &at("keys"),
                    "not one source of keys",
                    "`file`, `inline` or `url`, one of them.",
                ));
                Keys::Given(Arc::default())
            }
        };
        Configuration {
            locations: written.locations.clone(),
            id: IDS.fetch_add(1, Ordering::Relaxed),
            issuer: written.issuer.clone(),
            audiences: written.audiences.clone(),
            algorithms,
            keys,
            required: written.required.clone(),
            skew_ms: written.skew_s.saturating_mul(1000),
            types: written.types.clone(),
            max_lifetime_ms: written.max_lifetime_s.map(|seconds| seconds.saturating_mul(1000)),
            allow_no_expiry: written.allow_no_expiry,
            max_bytes: written.max_bytes,
            scope_claims: written.scope_claims.clone(),
            role_claims: written.role_claims.clone(),
            binding: Binding {
                certificate: written.binding.certificate,
                dpop: written.binding.dpop,
                dpop_lifetime_s: written.binding.dpop_lifetime_s,
                dpop_algorithms,
            },
            series: meters::token_series(&name),
            name,
        }
    }

    /// Where the key set comes from at run time.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match &self.keys {
            Keys::Given(_) => None,
            Keys::Fetched { url, .. } => Some(url),
        }
    }

    /// Whether a token counts, at this moment.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify(&self, raw: &str, presenting: &Presenting<'_>, cache: &mut Cache) -> Result<Arc<Token>, Reason> {
        self.verify_with(raw, presenting, cache, Revoked::of_process())
    }

    pub(super) fn verify_with(
        &self,
        raw: &str,
        presenting: &Presenting<'_>,
        cache: &mut Cache,
        revoked: &Revoked,
    ) -> Result<Arc<Token>, Reason> {
        let now = presenting.now.unix_ms;
        let known = cache.find(self.id, raw).map(|known| self.renew(known, now, revoked));
        let (found, outcome) = match known {
            Some(Some(found)) => (found, TokenOutcome::Cached),
            known => {
                if known.is_some() {
                    cache.remove(self.id, raw);
                }
                let found = self.read(raw, now, revoked, &mut Silent).map(|known| {
                    let token = known.token.clone();
                    cache.keep(self.id, raw, known);
                    token
                });
                (found, TokenOutcome::Verified)
            }
        };
        let bound = found.and_then(|token| {
            // Not cached: the same token can come over another connection, and each proof counts once.
            self.bound(&token, raw, presenting)?;
            Ok(token)
        });
        cache.tally.add(self.series, if bound.is_ok() { outcome } else { TokenOutcome::Refused });
        bound
    }

    /// What a token that was verified before is worth now. None: it has to be verified again.
    fn renew(&self, known: &Known, now: u64, revoked: &Revoked) -> Option<Result<Arc<Token>, Reason>> {
        if let Keys::Fetched { url, .. } = &self.keys
            && known.keys_epoch.get() != KeySets::of_process().epoch()
        {
            let (set, epoch) = KeySets::of_process().find(&self.name, url);
            if !known.token.signer.is_in(&*set?) {
                return None;
            }
            known.keys_epoch.set(epoch);
        }
        if let Err(reason) = self.in_time(&known.token, now) {
            return Some(Err(reason));
        }
        // What is taken back can be given back by the clock alone.
        if known.revoked_epoch.get() != revoked.epoch() || known.revoked.get().is_some() {
            let (found, epoch) = revoked.look_up(&known.token.marks, now);
            known.revoked.set(found);
            known.revoked_epoch.set(epoch);
        }
        Some(known.revoked.get().map_or_else(|| Ok(known.token.clone()), Err))
    }

    /// The one ordered list of what a token is asked. What an unsigned token says is believed for nothing but the choice
    /// among our own keys; the claims come behind the signature, so that `jwt.expired` in a log speaks of a token that
    /// was good.
    pub(super) fn read(
        &self,
        raw: &str,
        now: u64,
        revoked: &Revoked,
        told: &mut impl Telling,
    ) -> Result<Known, Reason> {
        told.step("size", (raw.len() <= self.max_bytes).then_some(()).ok_or(Reason::JwtTooLarge), || {
            format!("{} bytes of at most {}.", raw.len(), self.max_bytes)
        })?;
        let compact = told.found("form", Compact::read(raw).ok_or(Reason::JwtMalformed), |_| "Three parts.".to_owned());
        let compact = compact?;
        told.token(&compact);
        let header = told.found("header", Header::read(&compact.header).ok_or(Reason::JwtMalformed), Header::shown)?;
        let algorithm = told.found("algorithm", self.algorithm(&header), |found| {
            format!("{} is one of the configuration's.", algorithm::name(*found))
        })?;
        told.step("critical", if header.critical { Err(Reason::JwtCritical) } else { Ok(()) }, || {
            format!("`crit` is {}.", if header.critical { "there" } else { "not there" })
        })?;
        told.step("type", self.typ(&header), || format!("\"{}\"; accepted: {}.", header.typ, quoted(&self.types)))?;
        let (set, keys_epoch) =
            told.found("keys", self.keys(), |(set, _)| format!("{} in the set.", set.iter().count()))?;
        let key = told.found("key", self.key(&set, &header, algorithm), |key| format!("\"{}\".", key.name()))?;
        let verified = key.verifies(algorithm, compact.signed, compact.signature);
        told.step("signature", verified.then_some(()).ok_or(Reason::JwtSignature), || {
            format!("{} by the key \"{}\".", algorithm::name(algorithm), key.name())
        })?;
        let claims = Claims::read(compact.payload).ok_or(Reason::JwtMalformed);
        let claims = told.found("claims", claims, |_| "An object with one meaning.".to_owned())?;
        let signer = Signer { thumbprint: key.thumbprint.clone(), header, algorithm };
        let token = told.found("registered", Token::read(self, signer, claims), |_| {
            "iss, aud, exp, nbf, iat, jti, sub and cnf are of their types.".to_owned()
        })?;
        for check in CHECKS {
            told.step(check.name, (check.holds)(self, &token, now), || (check.detail)(self, &token, now))?;
        }
        let (found, revoked_epoch) = revoked.look_up(&token.marks, now);
        told.step("revoked", found.map_or(Ok(()), Err), || "By `jti`, or by `sub` and `iat`.".to_owned())?;
        Ok(Known {
            token: Arc::new(token),
            keys_epoch: Cell::new(keys_epoch),
            revoked_epoch: Cell::new(revoked_epoch),
            revoked: Cell::new(None),
        })
    }

    /// Whether a token that counted still does, for connections that go on without requests: everything that can change
    /// is asked again, whatever policy it was verified under.
    ///
    /// # Errors
    /// Why it does not.
    pub fn still_counts(&self, token: &Token, certificate: Option<&[u8; 32]>, now: Now) -> Result<(), Reason> {
        let now = now.unix_ms;
        self.algorithm(&token.signer.header)?;
        self.typ(&token.signer.header)?;
        let (set, _) = self.keys()?;
        if !token.signer.is_in(&set) {
            return Err(Reason::JwtKey);
        }
        for check in CHECKS {
            (check.holds)(self, token, now)?;
        }
        if token.bound.certificate.as_ref().is_some_and(|wanted| certificate != Some(wanted)) {
            return Err(Reason::JwtBinding);
        }
        let (revoked, _) = Revoked::of_process().look_up(&token.marks, now);
        revoked.map_or(Ok(()), Err)
    }

    fn algorithm(&self, header: &Header) -> Result<Algorithm, Reason> {
        header.algorithm.filter(|algorithm| self.algorithms.contains(algorithm)).ok_or(Reason::JwtAlgorithm)
    }

    fn typ(&self, header: &Header) -> Result<(), Reason> {
        let accepted = self.types.is_empty() || self.types.contains(&header.typ);
        accepted.then_some(()).ok_or(Reason::JwtType)
    }

    /// The set of this moment, and the epoch that it was found in.
    fn keys(&self) -> Result<(Arc<KeySet>, u64), Reason> {
        match &self.keys {
            Keys::Given(set) => Ok((set.clone(), 0)),
            Keys::Fetched { url, .. } => {
                let (set, epoch) = KeySets::of_process().find(&self.name, url);
                Ok((set.ok_or(Reason::JwtNoKeys)?, epoch))
            }
        }
    }

    fn key<'a>(&self, set: &'a KeySet, header: &Header, algorithm: Algorithm) -> Result<&'a Key, Reason> {
        let key = set.choose(header, algorithm);
        if let (Err(Reason::JwtKey), Some(_), Keys::Fetched { lacking, .. }) = (&key, &header.kid, &self.keys) {
            // Read before it is written: under a flood of invented names, the threads share the cache line.
            if !lacking.load(Ordering::Relaxed) {
                lacking.store(true, Ordering::Relaxed);
            }
        }
        key
    }

    /// `exp`, `nbf` and `iat` against the clock.
    fn in_time(&self, token: &Token, now: u64) -> Result<(), Reason> {
        self.ended(token, now)?;
        self.begun(token, now)
    }

    fn ended(&self, token: &Token, now: u64) -> Result<(), Reason> {
        let ended = token.times.until.is_some_and(|until| until.saturating_add(self.skew_ms) <= now);
        if ended { Err(Reason::JwtExpired) } else { Ok(()) }
    }

    fn begun(&self, token: &Token, now: u64) -> Result<(), Reason> {
        let latest = now.saturating_add(self.skew_ms);
        let early = [token.times.from, token.times.issued].into_iter().flatten().any(|from| from > latest);
        if early { Err(Reason::JwtNotYetValid) } else { Ok(()) }
    }

    fn lifetime(&self, token: &Token, now: u64) -> Result<(), Reason> {
        let fits = match (token.times.until, self.max_lifetime_ms) {
            (None, _) => self.allow_no_expiry,
            (Some(_), None) => true,
            (Some(until), Some(most)) => until.saturating_sub(token.begins().unwrap_or(now)) <= most,
        };
        fits.then_some(()).ok_or(Reason::JwtLifetime)
    }

    fn issuer(&self, token: &Token) -> Result<(), Reason> {
        let Some(issuer) = &self.issuer else { return Ok(()) };
        // Byte by byte (RFC 7519, 2: StringOrURI is compared without normalising).
        let same = token.claims.text("iss").is_ok_and(|found| found == Some(issuer));
        same.then_some(()).ok_or(Reason::JwtIssuer)
    }

    fn audience(&self, token: &Token) -> Result<(), Reason> {
        let named = |found: Vec<&str>| found.iter().any(|one| self.audiences.iter().any(|wanted| wanted == one));
        let fits = self.audiences.is_empty() || token.claims.text_or_list("aud").is_ok_and(named);
        fits.then_some(()).ok_or(Reason::JwtAudience)
    }

    fn required(&self, token: &Token) -> Result<(), Reason> {
        let met = self.required.iter().all(|condition| token.meets(condition));
        met.then_some(()).ok_or(Reason::JwtClaims)
    }

    fn bindable(&self, token: &Token) -> Result<(), Reason> {
        let lacks = self.binding.certificate && token.bound.certificate.is_none()
            || self.binding.dpop && token.bound.jkt.is_none();
        if lacks { Err(Reason::JwtBinding) } else { Ok(()) }
    }

    /// Whether who presents the token is whom it belongs to.
    fn bound(&self, token: &Token, raw: &str, presenting: &Presenting<'_>) -> Result<(), Reason> {
        if let Some(wanted) = &token.bound.certificate
            && presenting.certificate != Some(wanted)
        {
            return Err(Reason::JwtBinding);
        }
        let is_sent_as = |scheme| dpop::is_sent_as(scheme, raw, presenting.head);
        match &token.bound.jkt {
            None if is_sent_as("dpop") => Err(Reason::JwtBinding),
            None => Ok(()),
            Some(_) if is_sent_as("bearer") => Err(Reason::JwtBinding),
            Some(jkt) => {
                let asked = dpop::Asked {
                    head: presenting.head,
                    token: raw,
                    jkt,
                    algorithms: &self.binding.dpop_algorithms,
                    lifetime_ms: self.binding.dpop_lifetime_s.saturating_mul(1000),
                    now_ms: presenting.now.unix_ms,
                };
                dpop::prove(&asked, Proofs::of_process())
            }
        }
    }
}

/// What is asked of the claims of a token whose signature is good.
struct Check {
    name: &'static str,
    holds: fn(&Configuration, &Token, u64) -> Result<(), Reason>,
    /// For people.
    detail: fn(&Configuration, &Token, u64) -> String,
}

const CHECKS: [Check; 7] = [
    Check {
        name: "issuer",
        holds: |by, token, _| by.issuer(token),
        detail: |by, token, _| {
            let found = token.claims.text("iss").ok().flatten();
            format!(
                "iss {}; accepted: {}.",
                shown(found),
                by.issuer.as_deref().map_or("any".to_owned(), |one| shown(Some(one)))
            )
        },
    },
    Check {
        name: "audience",
        holds: |by, token, _| by.audience(token),
        detail: |by, token, _| {
            let found = token.claims.text_or_list("aud").unwrap_or_default();
            format!("aud {}; accepted: {}.", quoted(&found), quoted(&by.audiences))
        },
    },
    Check {
        name: "expiry",
        holds: |by, token, now| by.ended(token, now),
        detail: |by, token, now| match token.times.until {
            Some(until) => format!("exp {}; clocks may differ by {} s.", moment(until, now), by.skew_ms / 1000),
            None => "No exp.".to_owned(),
        },
    },
    Check {
        name: "begin",
        holds: |by, token, now| by.begun(token, now),
        detail: |by, token, now| {
            let at = |claim: Option<u64>| claim.map_or("absent".to_owned(), |claim| moment(claim, now));
            let Times { from, issued, .. } = token.times;
            format!("nbf {}, iat {}; clocks may differ by {} s.", at(from), at(issued), by.skew_ms / 1000)
        },
    },
    Check {
        name: "lifetime",
        holds: |by, token, now| by.lifetime(token, now),
        detail: |by, token, now| {
            let most = by.max_lifetime_ms.map_or("any".to_owned(), |most| format!("{} s", most / 1000));
            match token.times.until {
                Some(until) => {
                    format!("{} s of at most {most}.", until.saturating_sub(token.begins().unwrap_or(now)) / 1000)
                }
                None if by.allow_no_expiry => "No exp, which the configuration allows.".to_owned(),
                None => "No exp.".to_owned(),
            }
        },
    },
    Check {
        name: "required",
        holds: |by, token, _| by.required(token),
        detail: |by, token, _| {
            let missing = by.required.iter().filter(|condition| !token.meets(condition));
            let missing: Vec<&str> = missing.map(|condition| &*condition.claim).collect();
            if missing.is_empty() {
                format!("{} required claims are met.", by.required.len())
            } else {
                format!("Missing, or with another value: {}.", quoted(&missing))
            }
        },
    },
    Check {
        name: "binding",
        holds: |by, token, _| by.bindable(token),
        detail: |_, token, _| {
            let to = match (&token.bound.certificate, &token.bound.jkt) {
                (Some(_), Some(_)) => "to a client certificate and to a key that sends proofs",
                (Some(_), None) => "to a client certificate",
                (None, Some(_)) => "to a key that sends proofs",
                (None, None) => "to nobody",
            };
            format!("Bound {to}; whether that is who sends it is asked with each request.")
        },
    },
];

/// Public keys, or secrets, that stand in the policy.
fn given(document: &str, algorithms: &[Algorithm], at: &str, problems: &mut Vec<Problem>) -> KeySet {
    let json = document.trim_start().starts_with('{');
    let read = if json { KeySet::of_json(document, false) } else { KeySet::of_pem(document) };
    let read = match read {
        Ok(read) => read,
        Err(message) => {
            problems.push(problem(at, &message, "A JWK Set (RFC 7517, 5), or public keys as PEM."));
            return KeySet::default();
        }
    };
    // A provider's set may hold keys for other purposes; a file with a private key in it is a mistake of the operator's.
    if read.left_out.iter().any(|left| left.why == Unfit::Private) {
        problems.push(problem(
            at,
            &format!("a key {}", Unfit::Private),
            "`openssl pkey -pubout` prints the public part.",
        ));
    }
    let usable = |key: &Key| key.algorithms.iter().any(|fit| algorithms.contains(fit));
    if !algorithms.is_empty() && !read.set.iter().any(usable) {
        let names: Vec<&str> = algorithms.iter().map(|known| algorithm::name(*known)).collect();
        let message = format!("no key is for one of the configuration's algorithms ({})", names.join(", "));
        problems.push(problem(at, &message, "A key of their type, or `algorithms` that fit the keys."));
    }
    read.set
}

fn problem(at: &str, message: &str, hint: &str) -> Problem {
    Problem { at: at.to_owned(), span: None, message: message.to_owned(), hint: Some(hint.to_owned()) }
}

fn shown(text: Option<&str>) -> String {
    text.map_or("absent".to_owned(), |text| format!("{text:?}"))
}

fn quoted(texts: &[impl AsRef<str>]) -> String {
    if texts.is_empty() {
        return "any".to_owned();
    }
    texts.iter().map(|text| format!("{:?}", text.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A claim's moment, as it was written and as seen from now.
fn moment(unix_ms: u64, now: u64) -> String {
    let seconds = unix_ms / 1000;
    match unix_ms.checked_sub(now) {
        Some(ahead) => format!("{seconds} (in {} s)", ahead / 1000),
        None => format!("{seconds} ({} s ago)", (now - unix_ms) / 1000),
    }
}
