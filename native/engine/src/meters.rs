//! What is counted. Every edge thread counts into its own [`Meters`]; a scrape adds them up.
//!
//! Label values come from the policy only (host names, operation ids, rule names), never from a request, and are
//! interned to small numbers when a policy is compiled, so that counting is an index and an addition.

pub mod limits;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use serde::Serialize;
use serde_json::{Value, json};

use crate::keys::{self, Keys};
use crate::policy::Stale;
use crate::reason::Reason;
use crate::snapshot::Snapshot;

/// Most label sets of one kind that are told apart; what comes later is counted as `other`.
/// 20,000 series of 15 counters are 2.4 MB a thread.
const MAX_SERIES: usize = 20_000;
/// Most partners that are told apart: each is a series in whatever stores the metrics, and a name is never given back.
const MAX_PARTNERS: usize = 1_000;
/// Bucket bounds of the duration histograms, seconds.
const BOUNDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Debug, Clone, Copy)]
pub struct OperationSeries(u32);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSeries(u32);
#[derive(Debug, Clone, Copy)]
pub struct RuleSeries(u32);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSeries(u32);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartnerSeries(u32);

/// What the client's certificate was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    Valid,
    Absent,
    Invalid,
}

/// What a request came with, where credentials are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    WithNothing,
    WithToken,
    WithKey,
    WithBoth,
    /// Something was presented, and nothing of it counts.
    Invalid,
}

/// Whose denial it is, where the catalogue has one reason for many of the operator's names.
#[derive(Debug, Clone, Copy)]
pub enum Named {
    Rule(RuleSeries),
    Limit(LimitSeries),
}

/// What became of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Passed, although a control in log mode would have denied it.
    Log,
    Block,
}

#[derive(Default)]
struct Names {
    index: HashMap<Vec<String>, u32>,
    list: Vec<Vec<String>>,
}

impl Names {
    fn intern(&mut self, labels: Vec<String>) -> u32 {
        self.intern_up_to(MAX_SERIES, labels)
    }

    fn intern_up_to(&mut self, most: usize, labels: Vec<String>) -> u32 {
        if let Some(&known) = self.index.get(&labels) {
            return known;
        }
        if self.list.len() >= most {
            let other = vec!["other".to_owned(); labels.len()];
            if labels != other && !self.index.contains_key(&other) {
                self.index.insert(other.clone(), self.list.len() as u32);
                self.list.push(other.clone());
            }
            return self.index[&other];
        }
        let id = self.list.len() as u32;
        self.index.insert(labels.clone(), id);
        self.list.push(labels);
        id
    }
}

#[derive(Default)]
struct Registry {
    operations: Names,
    hosts: Names,
    rules: Names,
    limits: Names,
    partners: Names,
    authorities: Names,
    /// By the number of an authority.
    stale: Vec<StaleSeries>,
    tokens: Names,
    threads: Vec<Arc<Mutex<Meters>>>,
    /// What threads counted that have ended since.
    ended: Meters,
}

impl Registry {
    /// What all threads have counted.
    fn sum(&self) -> Meters {
        let mut sum = self.ended.clone();
        for thread in &self.threads {
            sum.merge(&lock(thread));
        }
        sum
    }
}

static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);

fn with_registry<T>(act: impl FnOnce(&mut Registry) -> T) -> T {
    act(lock(&REGISTRY).get_or_insert_with(Registry::default))
}

/// A poisoned lock is taken all the same: counters have no invariant that a panic could break.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn operation_series(host: &str, operation: &str) -> OperationSeries {
    OperationSeries(with_registry(|registry| registry.operations.intern(vec![host.to_owned(), operation.to_owned()])))
}

pub fn host_series(host: &str) -> HostSeries {
    HostSeries(with_registry(|registry| registry.hosts.intern(vec![host.to_owned()])))
}

impl OperationSeries {
    /// From 0 on, without gaps.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    pub(crate) fn of_number(number: u32) -> OperationSeries {
        OperationSeries(number)
    }

    /// Host and operation; None for a number that was never given.
    pub(crate) fn names(self) -> Option<(String, String)> {
        with_registry(|registry| {
            let [host, operation] = registry.operations.list.get(self.0 as usize)?.as_slice() else { return None };
            Some((host.clone(), operation.clone()))
        })
    }
}

/// The name of a host by its series; None for one that was never interned.
#[must_use]
pub fn host_name(host: HostSeries) -> Option<String> {
    with_registry(|registry| registry.hosts.list.get(host.0 as usize).map(|labels| labels[0].clone()))
}

pub fn rule_series(rule: &str) -> RuleSeries {
    RuleSeries(with_registry(|registry| registry.rules.intern(vec![rule.to_owned()])))
}

pub fn limit_series(limit: &str) -> LimitSeries {
    LimitSeries(with_registry(|registry| registry.limits.intern(vec![limit.to_owned()])))
}

/// A partner's name comes from the store, not from a request.
pub fn partner_series(partner: &str) -> PartnerSeries {
    PartnerSeries(with_registry(|registry| registry.partners.intern_up_to(MAX_PARTNERS, vec![partner.to_owned()])))
}

/// Requests that passed although a certificate's standing was unknown: soft, grace. Rare enough to be shared by threads.
#[derive(Debug, Clone, Copy)]
pub struct StaleSeries(&'static [AtomicU64; 2]);

/// What a series takes is never given back, as with the other label sets.
pub fn stale_series(authority: &str) -> StaleSeries {
    with_registry(|registry| {
        let number = registry.authorities.intern(vec![authority.to_owned()]) as usize;
        if number == registry.stale.len() {
            registry.stale.push(StaleSeries(Box::leak(Box::default())));
        }
        registry.stale[number]
    })
}

impl StaleSeries {
    pub fn count(self, mode: Stale) {
        self.0[usize::from(mode == Stale::Grace)].fetch_add(1, Ordering::Relaxed);
    }
}

fn stale_family(all: &[StaleSeries], names: &Names) -> Value {
    let mut samples = Vec::new();
    for (labels, series) in names.list.iter().zip(all) {
        for (mode, value) in ["soft", "grace"].iter().zip(series.0) {
            let value = value.load(Ordering::Relaxed);
            if value > 0 {
                samples.push(Sample { labels: json!({ "authority": labels[0], "mode": mode }), value });
            }
        }
    }
    json!({ "name": "portcullis_mtls_stale_total", "help": "Requests that passed although the revocation state of a certificate was unknown or outdated (`revocation.stale`).", "type": "counter", "samples": samples })
}

/// Of a token configuration.
#[derive(Debug, Clone, Copy)]
pub struct TokenSeries(u32);

pub fn token_series(configuration: &str) -> TokenSeries {
    TokenSeries(with_registry(|registry| registry.tokens.intern(vec![configuration.to_owned()])))
}

/// How a token was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOutcome {
    Cached,
    Verified,
    /// Whatever the requirement makes of it.
    Refused,
}

/// What one thread judged since it last counted an exchange.
#[derive(Debug, Default)]
pub struct TokenTally {
    by_series: Vec<[u64; 3]>,
    any: bool,
}

impl TokenTally {
    pub fn add(&mut self, series: TokenSeries, outcome: TokenOutcome) {
        slot(&mut self.by_series, series.0)[outcome as usize] += 1;
        self.any = true;
    }
}

impl Meters {
    /// Moves a tally's counts over.
    pub fn tokens(&mut self, tally: &mut TokenTally) {
        if std::mem::take(&mut tally.any) {
            self.add_tokens(&tally.by_series);
            tally.by_series.fill([0; 3]);
        }
    }

    fn add_tokens(&mut self, by_series: &[[u64; 3]]) {
        for (index, theirs) in by_series.iter().enumerate() {
            for (mine, theirs) in slot(&mut self.tokens, index as u32).iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }
}

fn tokens_family(sum: &Meters, names: &Names) -> Value {
    let mut samples = Vec::new();
    for (labels, cells) in names.list.iter().zip(&sum.tokens) {
        for (outcome, &value) in ["cached", "verified", "refused"].iter().zip(cells) {
            if value > 0 {
                samples.push(Sample { labels: json!({ "configuration": labels[0], "outcome": outcome }), value });
            }
        }
    }
    json!({ "name": "portcullis_jwt_verifications_total", "help": "Tokens by configuration and how they were judged: good and known, good after a check of the signature, or refused.", "type": "counter", "samples": samples })
}

#[derive(Debug, Clone, Copy, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len() + 1],
    sum_us: u64,
}

impl Histogram {
    fn add(&mut self, us: u64) {
        let seconds = us as f64 / 1e6;
        let bucket = BOUNDS.iter().position(|&bound| seconds <= bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.sum_us += us;
    }

    fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_us += other.sum_us;
    }
}

/// One thread's counters.
#[derive(Debug, Default, Clone)]
pub struct Meters {
    /// By operation series: verdict, then status class 1xx to 5xx.
    requests: Vec<[[u64; 5]; 3]>,
    /// By operation series, where certificates are looked at: [`Worth`].
    certificates: Vec<[u64; 3]>,
    /// By operation series, where credentials are looked for: [`Came`].
    credentials: Vec<[u64; 5]>,
    /// By partner series: verdict.
    partners: Vec<[u64; 3]>,
    whole: Vec<Histogram>,
    own: Vec<Histogram>,
    /// By reason: logged, blocked.
    reasons: Vec<[u64; 2]>,
    rules: Vec<[u64; 2]>,
    /// By limit series: logged, blocked.
    limits: Vec<[u64; 2]>,
    limited: limits::Limited,
    /// By token series: [`TokenOutcome`].
    tokens: Vec<[u64; 3]>,
    pub scalars: Scalars,
}

macro_rules! scalars {
    ($($name:ident: $kind:literal, $metric:literal, $help:literal $(, $unit:literal)?;)*) => {
        /// Counters and gauges without labels.
        #[derive(Debug, Default, Clone, Copy)]
        pub struct Scalars { $(pub $name: u64),* }

        impl Scalars {
            fn merge(&mut self, other: &Scalars) { $(self.$name += other.$name;)* }
            fn families(&self) -> Vec<Value> {
                vec![$(json!({ "name": $metric, "help": $help, "type": $kind, "samples": [{ "labels": {}, "value": self.$name as f64 $(* $unit)? }] })),*]
            }
        }
    };
}

scalars! {
    connections_opened: "counter", "portcullis_connections_total", "Client connections accepted.";
    connections_open: "gauge", "portcullis_connections_open", "Client connections open now.";
    exchanges_open: "gauge", "portcullis_exchanges_open", "Exchanges under way now.";
    verify_hits: "counter", "portcullis_mtls_verification_cache_hits_total", "Certificate verdicts answered from the cache.";
    verify_misses: "counter", "portcullis_mtls_verification_cache_misses_total", "Certificate verdicts that built and checked a path.";
    verify_lookups: "counter", "portcullis_mtls_verification_lookups_total", "Cached certificate verdicts that were only looked up again, because the revocation state had changed.";
    certificates_parsed: "counter", "portcullis_mtls_certificates_parsed_total", "Client certificates parsed because the thread's cache did not hold them.";
    events_written: "counter", "portcullis_events_total", "Event lines written.";
    events_dropped: "counter", "portcullis_events_dropped_total", "Event lines dropped because the destination was slower than the traffic.";
    panics: "counter", "portcullis_engine_panics_total", "Panics caught at the door; each denied one request.";
    clients_gone: "counter", "portcullis_clients_gone_total", "Exchanges whose client went away before the answer.";
    websockets_opened: "counter", "portcullis_websockets_total", "WebSocket connections passed through.";
    websockets_withdrawn: "counter", "portcullis_websockets_withdrawn_total", "WebSocket connections ended because what let them in (certificate, token, key, partner) does not count any more.";
    inspected_in_place: "counter", "portcullis_schema_inspected_in_place_total", "Bodies inspected on the edge thread.";
    inspected_in_pool: "counter", "portcullis_schema_inspected_in_pool_total", "Bodies inspected by the pool.";
    inspect_queue: "gauge", "portcullis_schema_queue_depth", "Bodies waiting for the pool now.";
    inspect_wait_us: "counter", "portcullis_schema_queue_wait_seconds_total", "Time that bodies waited for the pool, inspection included.", 1e-6;
    passed_unchecked: "counter", "portcullis_schema_passed_unchecked_total", "Bodies passed on unchecked because there was no room to inspect them (`overload: pass`).";
    responses_not_evaluated: "counter", "portcullis_schema_responses_not_evaluated_total", "Described responses whose bodies were passed on without a look: streams, XML, or above 1 MiB.";
    responses_stripped: "counter", "portcullis_schema_responses_stripped_total", "Responses that members were taken out of.";
    members_stripped: "counter", "portcullis_schema_members_stripped_total", "Members taken out of responses because they are not described.";
    origin_opened: "counter", "portcullis_origin_connections_total", "Connections opened to origins.";
    origin_reused: "counter", "portcullis_origin_connections_reused_total", "Requests sent on a kept-alive origin connection.";
    origin_retried: "counter", "portcullis_origin_retries_total", "Requests sent again because a kept-alive connection had died.";
    origin_errors: "counter", "portcullis_origin_errors_total", "Origin faults: connect failures, timeouts, closed early, malformed.";
    origin_ejected: "counter", "portcullis_origin_ejections_total", "Times an origin address was taken out of rotation.";
    origin_open: "gauge", "portcullis_origin_connections_open", "Connections to origins open now.";
    origin_idle: "gauge", "portcullis_origin_connections_idle", "Connections to origins idle in the pool now.";
}

impl Meters {
    /// A new thread's meters, part of every scrape until [`ended`].
    #[must_use]
    pub fn register() -> Arc<Mutex<Meters>> {
        let meters = Arc::new(Mutex::new(Meters::default()));
        with_registry(|registry| registry.threads.push(meters.clone()));
        meters
    }

    pub fn exchange(&mut self, series: OperationSeries, verdict: Verdict, status: u16) {
        let class = (status / 100).clamp(1, 5) as usize - 1;
        slot(&mut self.requests, series.0)[verdict as usize][class] += 1;
    }

    pub fn certificate(&mut self, series: OperationSeries, worth: Worth) {
        slot(&mut self.certificates, series.0)[worth as usize] += 1;
    }

    pub fn credential(&mut self, series: OperationSeries, came: Came) {
        slot(&mut self.credentials, series.0)[came as usize] += 1;
    }

    pub fn partner(&mut self, series: PartnerSeries, verdict: Verdict) {
        slot(&mut self.partners, series.0)[verdict as usize] += 1;
    }

    /// The whole exchange and the gateway's own share of it (without waiting for client or origin).
    pub fn duration(&mut self, host: HostSeries, whole_us: u64, own_us: u64) {
        slot(&mut self.whole, host.0).add(whole_us);
        slot(&mut self.own, host.0).add(own_us);
    }

    pub fn denial(&mut self, reason: Reason, named: Option<Named>, blocked: bool) {
        match named {
            Some(Named::Rule(rule)) => slot(&mut self.rules, rule.0)[usize::from(blocked)] += 1,
            Some(Named::Limit(limit)) => slot(&mut self.limits, limit.0)[usize::from(blocked)] += 1,
            None => slot(&mut self.reasons, reason as u32)[usize::from(blocked)] += 1,
        }
    }

    fn merge(&mut self, other: &Meters) {
        for (index, theirs) in other.requests.iter().enumerate() {
            let mine = slot(&mut self.requests, index as u32);
            for (mine, theirs) in mine.iter_mut().flatten().zip(theirs.iter().flatten()) {
                *mine += theirs;
            }
        }
        for (index, theirs) in other.certificates.iter().enumerate() {
            let mine = slot(&mut self.certificates, index as u32);
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
        for (index, theirs) in other.credentials.iter().enumerate() {
            let mine = slot(&mut self.credentials, index as u32);
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
        for (index, theirs) in other.partners.iter().enumerate() {
            let mine = slot(&mut self.partners, index as u32);
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
        for (index, theirs) in other.whole.iter().enumerate() {
            slot(&mut self.whole, index as u32).merge(theirs);
        }
        for (index, theirs) in other.own.iter().enumerate() {
            slot(&mut self.own, index as u32).merge(theirs);
        }
        let pairs =
            [(&mut self.reasons, &other.reasons), (&mut self.rules, &other.rules), (&mut self.limits, &other.limits)];
        for (mine, theirs) in pairs {
            for (index, theirs) in theirs.iter().enumerate() {
                let mine = slot(mine, index as u32);
                mine[0] += theirs[0];
                mine[1] += theirs[1];
            }
        }
        self.limited.merge(&other.limited);
        self.add_tokens(&other.tokens);
        self.scalars.merge(&other.scalars);
    }
}

/// The meters of a thread that ends: its counts stay, its gauges go.
pub fn ended(meters: &Arc<Mutex<Meters>>) {
    with_registry(|registry| {
        registry.threads.retain(|thread| !Arc::ptr_eq(thread, meters));
        let mut last = lock(meters).clone();
        last.scalars.connections_open = 0;
        last.scalars.exchanges_open = 0;
        last.scalars.inspect_queue = 0;
        last.scalars.origin_open = 0;
        last.scalars.origin_idle = 0;
        registry.ended.merge(&last);
    });
}

/// All families, as the JSON that the admin's `/metrics` renders.
#[must_use]
pub fn scrape(snapshot: &Snapshot, others: Vec<Value>) -> String {
    let generation = snapshot.generation;
    let keys = Keys::of_process().figures();
    let told = limits::gather(snapshot);
    let shared = limits::process_families(snapshot, &told);
    with_registry(|registry| {
        let sum = registry.sum();
        let mut families = vec![
            requests_family(&sum, &registry.operations),
            certificates_family(&sum, &registry.operations),
            credentials_family(&sum, &registry.operations),
            partners_family(&sum, &registry.partners),
            denials_family(&sum, &registry.rules, &registry.limits),
            stale_family(&registry.stale, &registry.authorities),
            tokens_family(&sum, &registry.tokens),
            histogram_family(
                "portcullis_exchange_duration_seconds",
                "The whole exchange, first byte in to last byte out.",
                &sum.whole,
                &registry.hosts,
            ),
            histogram_family(
                "portcullis_exchange_own_duration_seconds",
                "The gateway's own share of an exchange: without waiting for the client's body or the origin.",
                &sum.own,
                &registry.hosts,
            ),
            json!({ "name": "portcullis_snapshot_generation", "help": "Number of the policy snapshot in force.", "type": "gauge", "samples": [{ "labels": {}, "value": generation }] }),
        ];
        families.extend(limits::families(&sum.limited, &registry.limits));
        families.extend(shared);
        families.extend(sum.scalars.families());
        families.extend(key_families(&keys));
        families.extend(others);
        Value::Array(families).to_string()
    })
}

#[derive(Serialize)]
struct Sample {
    labels: Value,
    value: u64,
}

fn requests_family(sum: &Meters, names: &Names) -> Value {
    let mut samples = Vec::new();
    for (labels, cells) in names.list.iter().zip(&sum.requests) {
        for (verdict, classes) in ["pass", "log", "block"].iter().zip(cells) {
            for (class, &value) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(classes) {
                if value > 0 {
                    samples.push(Sample {
                        labels: json!({ "host": labels[0], "operation": labels[1], "code": class, "verdict": verdict }),
                        value,
                    });
                }
            }
        }
    }
    json!({ "name": "portcullis_requests_total", "help": "Exchanges by host, operation, status class and verdict.", "type": "counter", "samples": samples })
}

fn certificates_family(sum: &Meters, names: &Names) -> Value {
    let mut samples = Vec::new();
    for (labels, cells) in names.list.iter().zip(&sum.certificates) {
        for (worth, &value) in ["valid", "absent", "invalid"].iter().zip(cells) {
            if value > 0 {
                samples.push(Sample {
                    labels: json!({ "host": labels[0], "operation": labels[1], "certificate": worth }),
                    value,
                });
            }
        }
    }
    json!({ "name": "portcullis_mtls_requests_total", "help": "Exchanges by host, operation and what the client's certificate was worth, where the mode is not `off`.", "type": "counter", "samples": samples })
}

fn credentials_family(sum: &Meters, names: &Names) -> Value {
    let mut samples = Vec::new();
    for (labels, cells) in names.list.iter().zip(&sum.credentials) {
        for (came, &value) in ["absent", "token", "key", "token_and_key", "invalid"].iter().zip(cells) {
            if value > 0 {
                samples.push(Sample {
                    labels: json!({ "host": labels[0], "operation": labels[1], "credential": came }),
                    value,
                });
            }
        }
    }
    json!({ "name": "portcullis_credentials_requests_total", "help": "Exchanges by host, operation and the credential that counted, where credentials are looked for.", "type": "counter", "samples": samples })
}

fn partners_family(sum: &Meters, names: &Names) -> Value {
    let mut samples = Vec::new();
    for (labels, cells) in names.list.iter().zip(&sum.partners) {
        for (verdict, &value) in ["pass", "log", "block"].iter().zip(cells) {
            if value > 0 {
                samples.push(Sample { labels: json!({ "partner": labels[0], "verdict": verdict }), value });
            }
        }
    }
    json!({ "name": "portcullis_partners_requests_total", "help": "Exchanges by partner and verdict.", "type": "counter", "samples": samples })
}

fn denials_family(sum: &Meters, rules: &Names, limits: &Names) -> Value {
    let mut samples = Vec::new();
    let catalogue = Reason::ALL.iter().map(|reason| reason.id().to_owned());
    let rules = rules.list.iter().map(|labels| format!("rules.{}", labels[0]));
    let limits = limits.list.iter().map(|labels| format!("limits.{}", labels[0]));
    let named = rules.zip(&sum.rules).chain(limits.zip(&sum.limits));
    for (reason, cells) in catalogue.zip(&sum.reasons).chain(named) {
        for (action, &value) in ["log", "block"].iter().zip(cells) {
            if value > 0 {
                samples.push(Sample { labels: json!({ "reason": reason, "action": action }), value });
            }
        }
    }
    json!({ "name": "portcullis_denials_total", "help": "Denials by reason, and whether they were only logged.", "type": "counter", "samples": samples })
}

fn key_families(figures: &keys::Figures) -> [Value; 3] {
    let sample = |outcome, value| Sample { labels: json!({ "outcome": outcome }), value };
    let lookups: Vec<Sample> = figures.lookups.iter().map(|&(outcome, value)| sample(outcome, value)).collect();
    let held = |value: usize| json!([{ "labels": {}, "value": value }]);
    [
        json!({ "name": "portcullis_keys_lookups_total", "help": "API keys and service tokens that were presented, by what became of them. `malformed` ones cost no look-up.", "type": "counter", "samples": lookups }),
        json!({ "name": "portcullis_keys_known", "help": "Keys that the engine knows.", "type": "gauge", "samples": held(figures.keys) }),
        json!({ "name": "portcullis_keys_bytes", "help": "Memory that they take.", "type": "gauge", "samples": held(figures.bytes) }),
    ]
}

fn histogram_family(name: &str, help: &str, histograms: &[Histogram], names: &Names) -> Value {
    let samples: Vec<Value> = names
        .list
        .iter()
        .zip(histograms)
        .map(|(labels, histogram)| {
            let mut count = 0;
            let buckets: Vec<(f64, u64)> = BOUNDS
                .iter()
                .zip(histogram.buckets)
                .map(|(&bound, value)| {
                    count += value;
                    (bound, count)
                })
                .collect();
            let count = count + histogram.buckets[BOUNDS.len()];
            json!({ "labels": { "host": labels[0] }, "buckets": buckets, "sum": histogram.sum_us as f64 / 1e6, "count": count })
        })
        .collect();
    json!({ "name": name, "help": help, "type": "histogram", "samples": samples })
}

fn slot<T: Default + Clone>(list: &mut Vec<T>, index: u32) -> &mut T {
    let index = index as usize;
    if index >= list.len() {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}
