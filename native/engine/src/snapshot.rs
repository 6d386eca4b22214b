//! The compiled policy: immutable, swapped whole, seen whole by every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use foldhash::HashMap;

use crate::by_host::ByHost;
use crate::credentials::{Around, Credentials, SessionKey};
use crate::endpoints::{self, Endpoints};
use crate::grpc::{self, Bounds, CallTerms, MAX_DEPTH, MAX_MESSAGE_BYTES, Model, Wanted};
use crate::jwt::Configuration;
use crate::limits::Limits;
use crate::meters::{self, HostSeries, LimitSeries, OperationSeries, RuleSeries};
use crate::mtls::{Authority, Forwarding, TrustSet};
use crate::policy::{
    self, Action, Detail, HostGrpc, HostMtls, MtlsMode, Origin, Overload, OwnPaths, PathMtls, Policy, Problem,
    ResponseAction,
};
use crate::rules::{Language, Messages, Rules};
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
    /// Paths into messages that expressions read, by the numbers that [`Wanted`] has for them.
    pub message_paths: Vec<String>,
    by_host: ByHost<usize>,
}

pub struct Host {
    pub name: String,
    pub origin: usize,
    pub max_body_bytes: u64,
    pub calls: CallTerms,
    pub forward: Arc<Forward>,
    pub own: OwnPaths,
    /// Those of the API description, then the methods of the services.
    pub operations: Vec<Operation>,
    pub openapi: Option<Openapi>,
    pub grpc: Option<Grpc>,
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
}

/// The calls of a host.
pub struct Grpc {
    pub action: Action,
    pub fallthrough: Action,
    pub unknown_fields: Action,
    pub detail: Detail,
    pub bounds: Bounds,
    pub max_message_bytes: usize,
    pub model: Arc<Model>,
    /// Of [`Host::operations`], by path.
    by_path: HashMap<Box<str>, u32>,
    /// Index of the first method in [`Host::operations`].
    first: u32,
    /// By operation, from `first` on: its place in the model.
    methods: Vec<u32>,
    /// By its place in the model, what rules and limits read of a method's messages.
    pub(crate) wanted: Vec<Wanted>,
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
            message_paths: Vec::new(),
            by_host: ByHost::default(),
        };
        let messages = language.take_messages();
        snapshot.message_paths = messages.paths().map(str::to_owned).collect();
        let mut known = vec![false; messages.paths().count()];
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
            });
            let mut operations: Vec<Operation> = described(host).collect();
            let grpc = host
                .grpc
                .as_ref()
                .and_then(|grpc| Grpc::compile(grpc, operations.len(), &messages, &mut known, &mut problems));
            operations.extend(methods(host));
            let around = Around {
                jwt: &policy.jwt,
                configurations: &snapshot.jwt,
                authorities: &snapshot.authorities,
                session_key: &session_key,
                operations: operations.len(),
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
                calls: host.grpc.as_ref().map_or_else(CallTerms::default, |grpc| CallTerms {
                    max_deadline_us: grpc.max_deadline_ms.map(|most| most.saturating_mul(1000)),
                    hides_reflection: !grpc.allow_reflection,
                }),
                forward: forward(&host.mtls),
                own: host.mtls.own,
                operations,
                openapi,
                grpc,
                credentials,
                series: meters::host_series(&host.name),
                unmatched: meters::operation_series(&host.name, "-"),
                own_series: meters::operation_series(&host.name, "own"),
                mtls,
                paths,
            });
        }
        if problems.is_empty() {
            messages.report(&known, &mut problems);
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

/// Operations of a host's API description.
fn described(host: &policy::Host) -> impl Iterator<Item = Operation> {
    host.openapi.iter().flat_map(|openapi| &openapi.operations).map(|operation| Operation {
        id: operation.id.clone(),
        spelled: Some(format!("{} {}", operation.method, operation.path)).filter(|spelled| *spelled != operation.id),
        parameters: endpoints::parameters(&operation.path).map(str::to_owned).collect(),
        series: meters::operation_series(&host.name, &operation.id),
        action: operation.action,
        unknown_query: operation.unknown_query,
        responses: operation.responses.as_ref().map(|responses| responses.action),
    })
}

/// Methods of a host's services: each is POST, and takes nothing from its path or query.
fn methods(host: &policy::Host) -> impl Iterator<Item = Operation> {
    host.grpc.iter().flat_map(|grpc| &grpc.operations).map(|operation| Operation {
        id: operation.path.clone(),
        spelled: Some(format!("POST {}", operation.path)),
        parameters: Vec::new(),
        series: meters::operation_series(&host.name, &operation.path),
        action: operation.action,
        unknown_query: Action::Off,
        responses: None,
    })
}

impl Grpc {
    fn compile(
        written: &HostGrpc,
        first: usize,
        messages: &Messages,
        known: &mut [bool],
        problems: &mut Vec<Problem>,
    ) -> Option<Grpc> {
        let at = |inside: &str| format!("{}/{inside}", written.at);
        let set = match base64::engine::general_purpose::STANDARD.decode(written.descriptors.as_ref()?) {
            Ok(set) => set,
            Err(error) => {
                problems.push(problem(&written.at, &format!("the descriptors are not base64: {error}")));
                return None;
            }
        };
        let described = match grpc::read(&set) {
            Ok(described) => described,
            Err(error) => {
                problems.push(problem(&written.at, &format!("the descriptors cannot be read: {error}")));
                return None;
            }
        };
        for fault in &described.faults {
            problems.push(problem(&written.at, &format!("{}: {}", fault.element, fault.message)));
        }
        let (mut by_path, mut methods) = (HashMap::default(), Vec::with_capacity(written.operations.len()));
        for (index, operation) in written.operations.iter().enumerate() {
            let Some(method) = described.model.find(&operation.path) else {
                problems.push(problem(&operation.at, &format!("the descriptors have no method `{}`", operation.path)));
                continue;
            };
            if by_path.insert(operation.path.as_str().into(), (first + index) as u32).is_some() {
                problems.push(problem(&operation.at, "this method appears twice"));
            }
            methods.push(method);
        }
        for (value, name) in [(written.max_depth, "maxDepth"), (written.max_fields, "maxFields")] {
            if value == 0 {
                problems.push(problem(&at(name), "nothing would pass"));
            }
        }
        let wanted = |method: u32| described.model.wanted(method, messages.paths());
        let wanted: Vec<Wanted> = (0..described.model.methods.len() as u32).map(wanted).collect();
        for number in methods.iter().flat_map(|method: &u32| wanted[*method as usize].paths()) {
            known[number] = true;
        }
        Some(Grpc {
            action: written.action,
            fallthrough: written.fallthrough,
            unknown_fields: written.unknown_fields,
            detail: written.detail,
            bounds: Bounds { depth: written.max_depth.min(MAX_DEPTH), fields: written.max_fields },
            max_message_bytes: usize::try_from(written.max_message_bytes).unwrap_or(usize::MAX).min(MAX_MESSAGE_BYTES),
            model: Arc::new(described.model),
            by_path,
            first: first as u32,
            methods,
            wanted,
        })
    }

    /// The operation of a path, by its place in [`Host::operations`].
    #[must_use]
    pub fn find(&self, path: &str) -> Option<u32> {
        self.by_path.get(path).copied()
    }

    /// The method that an operation is, by its place in the model; None: it is none of a service.
    #[must_use]
    pub fn method(&self, operation: u32) -> Option<u32> {
        self.methods.get(operation.checked_sub(self.first)? as usize).copied()
    }
}

impl Host {
    #[must_use]
    pub fn operation(&self, index: u32) -> Option<&Operation> {
        self.operations.get(index as usize)
    }

    /// How much of a violation the client of an operation is told.
    #[must_use]
    pub fn detail(&self, operation: Option<u32>) -> Detail {
        let grpc = self.grpc.as_ref().filter(|grpc| operation.is_some_and(|index| grpc.method(index).is_some()));
        let openapi = self.openapi.as_ref().map(|openapi| openapi.detail);
        grpc.map(|grpc| grpc.detail).or(openapi).unwrap_or_default()
    }

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
