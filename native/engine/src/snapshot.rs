//! The compiled policy: immutable, swapped whole, seen whole by every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::HashMap;

use crate::by_host::ByHost;
use crate::credentials::{Around, Credentials, SessionKey};
use crate::endpoints::{self, Endpoints};
use crate::jwt::Configuration;
use crate::limits::Limits;
use crate::meters::{self, HostSeries, LimitSeries, OperationSeries, RuleSeries};
use crate::mtls::{Authority, Forwarding, TrustSet};
use crate::policy::{
    Action, Detail, HostMtls, MtlsMode, Origin, Overload, OwnPaths, PathMtls, Policy, Problem, ResponseAction,
};
use crate::rules::{Language, Rules};
use crate::schema::Schemas;
use crate::schema::pointer::escape;

/// Everything one request is decided by.
pub struct Snapshot {
    /// Counts compilations that were swapped in, from 1.
    pub generation: u64,
    pub hosts: Vec<Host>,
    pub rules: Rules,
    /// By rule index.
    pub rule_series: Vec<RuleSeries>,
    pub limits: Limits,
    /// By the limit's index.
    pub limit_series: Vec<LimitSeries>,
    pub origins: Vec<Origin>,
    /// All of the policy's, in its order, trusted by a host or not.
    pub authorities: Vec<Arc<Authority>>,
    /// All of the policy's, in its order, used by a host or not.
    pub jwt: Vec<Arc<Configuration>>,
    by_host: ByHost<usize>,
}

pub struct Host {
    pub name: String,
    pub origin: usize,
    pub max_body_bytes: u64,
    pub forward: Arc<Forward>,
    pub own: OwnPaths,
    pub openapi: Option<Openapi>,
    /// None: nobody is asked for credentials beside the certificate.
    pub credentials: Option<Credentials>,
    pub series: HostSeries,
    /// For requests that match no operation.
    pub unmatched: OperationSeries,
    /// For requests that the gateway itself answers.
    pub own_series: OperationSeries,
    mtls: Mtls,
    /// Longest prefix first, without slash at the end.
    paths: Vec<(String, Mtls)>,
}

/// What its origin is told of certificates, with the number that it is kept under.
pub struct Forward {
    /// Never used twice in a process.
    pub id: u64,
    pub forwarding: Forwarding,
}

/// What is demanded of a client certificate.
pub struct Mtls {
    pub mode: MtlsMode,
    /// What becomes of a request that `mode` denies.
    pub action: Action,
    pub trust: Arc<Trust>,
}

/// A trust set with the number its cached verdicts are kept under.
pub struct Trust {
    /// Never used twice in a process: verdicts of an older snapshot cannot be mistaken for its own.
    pub id: u64,
    pub set: TrustSet,
}

pub struct Openapi {
    pub action: Action,
    pub fallthrough: Action,
    pub overload: Overload,
    pub detail: Detail,
    pub endpoints: Endpoints,
    pub schemas: Arc<Schemas>,
    pub operations: Vec<Operation>,
}

pub struct Operation {
    pub id: String,
    /// `METHOD /template`, when the id is another.
    pub spelled: Option<String>,
    /// Names of the path's parameters, in the template's order.
    pub parameters: Vec<String>,
    pub series: OperationSeries,
    pub action: Action,
    pub unknown_query: Action,
    pub responses: Option<ResponseAction>,
}

/// Of trusts and forwards.
static IDS: AtomicU64 = AtomicU64::new(1);

impl Snapshot {
    /// Compiles a policy whole.
    ///
    /// # Errors
    /// Every problem found, each with the place of the configuration value it stands in.
    pub fn compile(policy: &Policy, now: u64, generation: u64) -> Result<Snapshot, Vec<Problem>> {
        let mut problems = Vec::new();
        let Some(session_key) = SessionKey::read(&policy.session_key) else {
            problems.push(problem("", "the key of session identities is not of 64 hex digits"));
            return Err(problems);
        };
        let mut language = Language::new(&policy.lists, &policy.jwt, &mut problems);
        let rules = Rules::compile(&policy.rules, &mut language, &mut problems);
        let mut trusts: HashMap<Vec<String>, Arc<Trust>> = HashMap::default();
        let mut snapshot = Snapshot {
            generation,
            hosts: Vec::with_capacity(policy.hosts.len()),
            rules,
            rule_series: policy.rules.iter().map(|rule| meters::rule_series(&rule.name)).collect(),
            limits: Limits::compile(policy, &session_key, &mut language, &mut problems),
            limit_series: policy.limits.rules.iter().map(|limit| meters::limit_series(&limit.name)).collect(),
            origins: policy.origins.clone(),
            authorities: policy
                .authorities
                .iter()
                .map(|written| Arc::new(Authority::compile(written, now, &mut problems)))
                .collect(),
            jwt: policy.jwt.iter().map(|written| Arc::new(Configuration::compile(written, &mut problems))).collect(),
            by_host: ByHost::default(),
        };
        let mut forwards: HashMap<Forwarding, Arc<Forward>> = HashMap::default();
        let mut forward = |mtls: &HostMtls| {
            let forwarding = Forwarding::new(&mtls.forward, &mtls.by);
            let made = || Arc::new(Forward { id: IDS.fetch_add(1, Ordering::Relaxed), forwarding: forwarding.clone() });
            forwards.entry(forwarding.clone()).or_insert_with(made).clone()
        };
        for host in &policy.hosts {
            let mut trust = |names: &[String], at: &str, problems: &mut Vec<Problem>| match trusts.get(names) {
                Some(known) => known.clone(),
                None => {
                    let compiled = compile_trust(&snapshot.authorities, names, at, problems);
                    trusts.insert(names.to_owned(), compiled.clone());
                    compiled
                }
            };
            let HostMtls { mode, action, .. } = host.mtls;
            let at = format!("{}/mtls", host.at);
            let mtls = Mtls { mode, action, trust: trust(&host.mtls.trust, &at, &mut problems) };
            let mut paths: Vec<(String, Mtls)> = Vec::with_capacity(host.mtls.paths.len());
            for PathMtls { prefix, mode, action, trust: names } in &host.mtls.paths {
                let trust = match names {
                    Some(names) => trust(names, &format!("{at}/paths/{}", escape(prefix)), &mut problems),
                    None => mtls.trust.clone(),
                };
                paths.push((prefix.trim_end_matches('/').to_owned(), Mtls { mode: *mode, action: *action, trust }));
            }
            paths.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            let openapi = host.openapi.as_ref().map(|openapi| Openapi {
                action: openapi.action,
                fallthrough: openapi.fallthrough,
                overload: openapi.overload,
                detail: openapi.detail,
                endpoints: Endpoints::compile(&openapi.operations, &mut problems),
                schemas: Arc::new(Schemas::compile(openapi, &format!("{}/openapi/file", host.at), &mut problems)),
                operations: openapi
                    .operations
                    .iter()
                    .map(|operation| Operation {
                        id: operation.id.clone(),
                        spelled: Some(format!("{} {}", operation.method, operation.path))
                            .filter(|spelled| *spelled != operation.id),
                        parameters: endpoints::parameters(&operation.path).map(str::to_owned).collect(),
                        series: meters::operation_series(&host.name, &operation.id),
                        action: operation.action,
                        unknown_query: operation.unknown_query,
                        responses: operation.responses.as_ref().map(|responses| responses.action),
                    })
                    .collect(),
            });
            let around = Around {
                jwt: &policy.jwt,
                configurations: &snapshot.jwt,
                authorities: &snapshot.authorities,
                session_key: &session_key,
                operations: host.openapi.as_ref().map_or(0, |openapi| openapi.operations.len()),
            };
            let credentials =
                host.credentials.as_ref().map(|written| Credentials::compile(written, &around, &mut problems));
            if host.origin >= policy.origins.len() {
                problems.push(problem(&format!("{}/origin", host.at), "no such origin"));
            }
            let index = snapshot.hosts.len();
            if snapshot.by_host.insert(&host.name, index).is_some() {
                problems.push(problem(&host.at, "this host appears twice"));
            }
            snapshot.hosts.push(Host {
                name: host.name.clone(),
                origin: host.origin,
                max_body_bytes: host.max_body_bytes,
                forward: forward(&host.mtls),
                own: host.mtls.own,
                openapi,
                credentials,
                series: meters::host_series(&host.name),
                unmatched: meters::operation_series(&host.name, "-"),
                own_series: meters::operation_series(&host.name, "own"),
                mtls,
                paths,
            });
        }
        if problems.is_empty() { Ok(snapshot) } else { Err(problems) }
    }

    /// The host that serves a (lower-case) name: exact before `*.`, which stands for exactly one label.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<usize> {
        self.by_host.get(name).copied()
    }

    #[must_use]
    pub fn authority(&self, name: &str) -> Option<&Arc<Authority>> {
        self.authorities.iter().find(|authority| authority.name() == name)
    }
}

impl Openapi {
    #[must_use]
    pub fn operation(&self, index: u32) -> Option<&Operation> {
        self.operations.get(index as usize)
    }
}

impl Host {
    /// What holds for a normalised path: the longest prefix of whole segments, else what holds for the host.
    #[must_use]
    pub fn mtls(&self, path: &str) -> &Mtls {
        self.paths
            .iter()
            .find(|(prefix, _)| {
                path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map_or(&self.mtls, |(_, mtls)| mtls)
    }
}

fn compile_trust(
    authorities: &[Arc<Authority>],
    names: &[String],
    at: &str,
    problems: &mut Vec<Problem>,
) -> Arc<Trust> {
    let mut trusted = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        match authorities.iter().find(|authority| authority.name() == name) {
            Some(authority) => trusted.push(authority.clone()),
            None => {
                problems.push(problem(&format!("{at}/trust/{index}"), &format!("no authority is called \"{name}\"")))
            }
        }
    }
    Arc::new(Trust { id: IDS.fetch_add(1, Ordering::Relaxed), set: TrustSet::of(trusted) })
}

fn problem(at: &str, message: &str) -> Problem {
    Problem { at: at.to_owned(), span: None, message: message.to_owned(), hint: None }
}
