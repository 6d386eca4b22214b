//! The one ordered list of what decides a request.
//!
//! | stage | why it stands there |
//! |---|---|
//! | `http` | nothing may read a head that has more than one meaning |
//! | `host` | everything below is the policy of one host |
//! | `call` | whether a gRPC call is one, and its deadline, from which everything below takes |
//! | `identity` | the cheapest way to refuse strangers, and rules read its fields |
//! | `own` | what the gateway itself answers is no operation of the origin's; only the rules are still asked |
//! | `endpoint` | rules and limits may speak of operations |
//! | `limits` | who asks too often is refused before anything is spent on it: each limit as soon as what tells its callers apart is known, so behind `endpoint`, behind `partners`, or behind `body`; those that a fleet counts are asked when everything else has passed ([`asked`]) |
//! | `credentials` | who calls is known before rules, limits and partners speak of it; a stranger's parameters and body cost nothing |
//! | `partners` | whose agreement is over or narrower is refused whatever else fits |
//! | `parameters` | all that the description says about the head, and which of its schemas has to check the body |
//! | `rules` | on the whole head, with identity, operation and violations known; when a rule reads the verdict on the body, all rules wait for it, so that their order holds |
//! | `body` | in [`inspected`], when it has been read; the messages of a call one by one, in [`first_messages`] and [`messages`] |
//! | `response` | in [`responded`] and [`evaluated`], when the origin has answered |
//!
//! A stage only answers pass or a denial. Whether a denial bites is decided in [`staged`], nowhere else.

mod admission;
mod callers;
mod calling;
mod certificates;
mod known;
mod limits;
mod messages;
mod told;

use std::sync::Arc;

use crate::endpoints::Match;
use crate::exchange::{Denial, Exchange, Presented};
use crate::grpc::Dialect;
use crate::head::Framing;
use crate::jwt;
use crate::limits::Phase;
use crate::mtls::Certificate;
use crate::own;
use crate::peer::{Identity, Peer};
use crate::policy::{Action, MtlsMode, ResponseAction};
use crate::reason::Reason;
use crate::rules;
use crate::schema::{BodyCheck, Extent, Passed, ResponseCheck, Violation};
use crate::snapshot::{Host, Openapi, Snapshot};

pub use admission::Admission;
pub(crate) use calling::{REFLECTION, call};
pub use certificates::Certificates;
pub use known::Known;
pub use limits::{Places, asked, delayed, released, settled};
pub use messages::{Passed as Messages, first_messages, messages};
pub use told::{Told, told};

use callers::{callers, partners};

/// Most bytes of a body that is inspected: it is held in memory whole.
pub const MAX_INSPECTED_BYTES: u64 = 1024 * 1024;

/// How verdicts on certificates were reached; added to the meters when the exchange ends.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub verify_hits: u64,
    pub verify_misses: u64,
    pub verify_lookups: u64,
}

/// What the door does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Forward; a body streams.
    Pass,
    /// The gateway itself answers: [`Exchange::own`].
    Own,
    /// Collect the body and check it with [`Exchange::chosen`], then [`inspected`]. Nothing is chosen when only limits
    /// read it.
    Inspect,
    /// The fleet's counters are to be asked for `Exchange::limited.asks`, then [`asked`].
    Ask,
    /// Its turn comes in `Exchange::limited.delay_us`, then [`delayed`].
    Delay,
    /// Answer with the exchange's denial.
    Deny,
}

/// What the door does with what an origin answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseOutcome {
    /// It goes on to the client.
    Pass,
    /// The same; its body is described, and nobody looks at it.
    NotEvaluated,
    /// Collect the body and check it with [`Exchange::chosen`], then [`evaluated`].
    Collect,
    /// Answer with the exchange's denial: nothing of the response goes on.
    Deny,
}

/// Decides a request on its head. The exchange's head is parsed already, or failed to with `malformed`.
pub fn decide(
    exchange: &mut Exchange,
    snapshot: &Arc<Snapshot>,
    peer: &Peer,
    malformed: Option<Reason>,
    tally: &mut Tally,
    tokens: &mut jwt::Cache,
) -> Outcome {
    exchange.snapshot = Some(snapshot.clone());
    // Also of a head that has no single meaning: how its refusal is written is all that hangs on it.
    let head = &exchange.head;
    let content_type = if malformed.is_some() { head.written("content-type") } else { head.field("content-type") };
    exchange.grpc = content_type.and_then(Dialect::of);
    let outcome = match walk(exchange, snapshot, peer, malformed, tally, tokens) {
        Ok(Outcome::Pass) => limits::passed(exchange, peer),
        Ok(outcome) => outcome,
        Err(denial) => denied(exchange, denial),
    };
    exchange.limited.wants_response = limits::wants_response(exchange);
    outcome
}

fn walk(
    exchange: &mut Exchange,
    snapshot: &Snapshot,
    peer: &Peer,
    malformed: Option<Reason>,
    tally: &mut Tally,
    tokens: &mut jwt::Cache,
) -> Result<Outcome, Denial> {
    // http
    if let Some(reason) = malformed {
        return Err(reason.into());
    }
    // host
    let index = snapshot.host(exchange.head.host()).ok_or(Reason::HttpUnknownHost)?;
    exchange.host = Some(index);
    if peer.asked.as_ref().is_some_and(|asked| !asked.covers(exchange.head.host())) {
        return Err(Reason::HttpMisdirected.into());
    }
    let host = &snapshot.hosts[index];
    if let Some(credentials) = host.credentials.as_ref().filter(|known| !known.told_headers().is_empty()) {
        exchange.head.forget(|name| credentials.is_told(name));
    }
    if let Framing::Length(length) = exchange.head.framing()
        && length > host.max_body_bytes
    {
        return Err(Reason::HttpBodyTooLarge.into());
    }
    // call
    calling::call(exchange, host)?;
    // identity
    let mtls = host.mtls(exchange.head.path());
    exchange.own = own::find(host.own, exchange.head.path());
    // Who has no certificate yet asks there for one: whoever answers is told what the client's is worth.
    let mode = if exchange.own.is_some() { MtlsMode::Request } else { mtls.mode };
    match (mode, &peer.certificate) {
        (MtlsMode::Off, _) => {}
        (_, None) => exchange.presented = Presented::Absent,
        (_, Some(known)) => match known.verdict(&mtls.trust, exchange.started.unix_ms / 1000, tally) {
            Ok(authority) => {
                exchange.presented = Presented::Verified;
                exchange.authority = authority;
            }
            Err(reason) => exchange.presented = Presented::Fault(reason),
        },
    }
    if mode == MtlsMode::Require {
        match exchange.presented {
            Presented::Verified => {}
            Presented::Fault(reason) => staged(mtls.action, reason.into(), &mut exchange.logged)?,
            Presented::Absent | Presented::NotLooked => {
                staged(mtls.action, Reason::MtlsMissing.into(), &mut exchange.logged)?;
            }
        }
    }
    // own
    if exchange.own.is_some() {
        // Renewing is no operation of the host's: whoever may come in at all may do it.
        partners(exchange, peer)?;
        rules(exchange, snapshot, peer)?;
        return Ok(Outcome::Own);
    }
    // endpoint
    let found = endpoint(exchange, host);
    // limits: who looks for what is not there is limited as well
    limits::limits(exchange, snapshot, peer, Phase::Endpoint)?;
    found?;
    callers(exchange, host, peer, tokens)?;
    limits::limits(exchange, snapshot, peer, Phase::Caller)?;
    // parameters
    let body = match (&host.openapi, &host.grpc, exchange.operation) {
        (_, Some(grpc), Some(operation)) if grpc.method(operation).is_some() => {
            messages::begin(exchange, snapshot, grpc, operation)?;
            BodyCheck::Unchecked
        }
        (Some(openapi), _, Some(operation)) => parameters(exchange, openapi, operation)?,
        _ => BodyCheck::Unchecked,
    };
    if let BodyCheck::Check(chosen) = body {
        exchange.chosen = Some(chosen);
        exchange.rules_wait = snapshot.rules.reads_violations();
    }
    if !exchange.rules_wait {
        rules(exchange, snapshot, peer)?;
    }
    // body
    if let Some(call) = &exchange.call {
        if call.held {
            return Ok(Outcome::Inspect);
        }
        limits::read(exchange, None);
        limits::limits(exchange, snapshot, peer, Phase::Body)?;
        return Ok(Outcome::Pass);
    }
    exchange.limited.reading = limits::reading(exchange, snapshot, peer);
    exchange.limited.alone = exchange.chosen.is_none() && limits::collects(exchange);
    if exchange.chosen.is_some() || exchange.limited.alone {
        return Ok(Outcome::Inspect);
    }
    limits::read(exchange, None);
    limits::limits(exchange, snapshot, peer, Phase::Body)?;
    Ok(Outcome::Pass)
}

/// Which operation is called: a method of the host's services by its path alone, whatever the content type says, so that
/// nobody gets around what is demanded of its messages; else one of the API description.
fn endpoint(exchange: &mut Exchange, host: &Host) -> Result<(), Denial> {
    let head = &exchange.head;
    if let Some(grpc) = &host.grpc {
        match grpc.find(head.path()) {
            Some(operation) if head.method() == "POST" => {
                exchange.operation = Some(operation);
                return Ok(());
            }
            Some(_) => {
                let denial = Denial { allow: Some("POST".to_owned()), ..Reason::EndpointsMethod.into() };
                return staged(grpc.action, denial, &mut exchange.logged);
            }
            // Who may ask it was settled before: nothing describes it.
            None if exchange.grpc.is_some() && head.path().starts_with(calling::REFLECTION) => return Ok(()),
            None if exchange.grpc.is_some() || host.openapi.is_none() => {
                exchange.found.fallthrough = true;
                return staged(grpc.fallthrough, Reason::EndpointsFallthrough.into(), &mut exchange.logged);
            }
            None => {}
        }
    }
    let Some(openapi) = &host.openapi else { return Ok(()) };
    match openapi.endpoints.find(exchange.head.method(), exchange.head.path(), &mut exchange.captures) {
        Match::Operation(operation) => {
            exchange.operation = Some(operation);
            Ok(())
        }
        Match::Method { allow } => {
            let denial = Denial { allow: Some(allow.to_owned()), ..Reason::EndpointsMethod.into() };
            staged(openapi.action, denial, &mut exchange.logged)
        }
        Match::None => {
            exchange.found.fallthrough = true;
            staged(openapi.fallthrough, Reason::EndpointsFallthrough.into(), &mut exchange.logged)
        }
    }
}

/// What the description says about the head, and what has to happen to the body.
fn parameters(exchange: &mut Exchange, openapi: &Openapi, index: u32) -> Result<BodyCheck, Denial> {
    let Some(operation) = exchange.host().and_then(|host| host.operation(index)) else {
        return Ok(BodyCheck::Unchecked);
    };
    let (action, unknown_query) = (operation.action, operation.unknown_query);
    if (action, unknown_query) == (Action::Off, Action::Off) {
        return Ok(BodyCheck::Unchecked);
    }
    let found = openapi.schemas.parameters(index, &exchange.head, &exchange.captures, &mut exchange.parameters);
    if let Some(violation) = found.violation {
        violated(action, violation, exchange)?;
    }
    if let Some(violation) = found.unknown {
        violated(unknown_query, violation, exchange)?;
    }
    if action == Action::Off {
        return Ok(BodyCheck::Unchecked);
    }
    match openapi.schemas.choose(index, &exchange.head) {
        Ok(BodyCheck::Check(chosen)) => {
            if let Framing::Length(length) = exchange.head.framing()
                && length > MAX_INSPECTED_BYTES
            {
                staged(action, Reason::HttpBodyTooLarge.into(), &mut exchange.logged)?;
                return Ok(BodyCheck::Unchecked);
            }
            Ok(BodyCheck::Check(chosen))
        }
        Ok(body) => Ok(body),
        Err(violation) => {
            violated(action, violation, exchange)?;
            Ok(BodyCheck::Unchecked)
        }
    }
}

fn rules(exchange: &mut Exchange, snapshot: &Snapshot, peer: &Peer) -> Result<(), Denial> {
    let (mut scratch, mut matched) = (std::mem::take(&mut exchange.scratch), std::mem::take(&mut exchange.matched));
    let blocking = snapshot.rules.evaluate(&request(exchange, snapshot, peer), &mut scratch, &mut matched);
    (exchange.scratch, exchange.matched) = (scratch, matched);
    for &rule in &exchange.matched {
        exchange.logged.push(Denial { rule: Some(rule), ..Reason::Rule.into() });
    }
    match blocking {
        Some(rule) => Err(Denial { rule: Some(rule), ..Reason::Rule.into() }),
        None => Ok(()),
    }
}

/// What expressions see.
fn request<'a>(exchange: &'a Exchange, snapshot: &'a Snapshot, peer: &'a Peer) -> rules::Request<'a> {
    let identity = match exchange.presented {
        Presented::NotLooked | Presented::Absent => Identity::default(),
        Presented::Verified => {
            Identity { certificate: certificate(peer), fault: None, authority: exchange.authority.as_deref() }
        }
        Presented::Fault(reason) => Identity { certificate: certificate(peer), fault: Some(reason), authority: None },
    };
    let now = exchange.started.unix_ms / 1000;
    let host = exchange.host.map(|host| &snapshot.hosts[host]);
    let credentials = host.and_then(|host| host.credentials.as_ref());
    let operation = exchange.operation();
    rules::Request {
        head: &exchange.head,
        address: peer.address.to_canonical(),
        identity,
        hello: peer.hello.as_deref(),
        now,
        found: exchange.found,
        caller: &exchange.caller,
        configurations: credentials.map_or(&[], |credentials| credentials.meant(&exchange.caller)),
        operation: operation.map(|operation| rules::Called {
            id: &operation.id,
            parameters: &operation.parameters,
            captures: &exchange.captures,
        }),
        beyond: rules::Beyond { message: exchange.call.as_ref().map(|call| call.values()), ..rules::Beyond::default() },
    }
}

fn certificate(peer: &Peer) -> Option<&Certificate> {
    peer.certificate.as_ref().map(|known| &*known.certificate)
}

/// What a collected body, and its inspection, mean for its exchange.
pub fn inspected(exchange: &mut Exchange, peer: &Peer, body: &[u8], violation: Option<Violation>) -> Outcome {
    limits::read(exchange, Some(body));
    match walk_on(exchange, peer, violation) {
        Ok(()) => limits::passed(exchange, peer),
        Err(denial) => denied(exchange, denial),
    }
}

fn walk_on(exchange: &mut Exchange, peer: &Peer, violation: Option<Violation>) -> Result<(), Denial> {
    if let Some(violation) = violation {
        let action = exchange.operation().map_or(Action::Block, |operation| operation.action);
        violated(action, violation, exchange)?;
    }
    at_last(exchange, peer)
}

/// A body turned out to be larger than what is inspected: unless that denies the request, the rest streams. Limits alone
/// deny nothing by it: what they read is missing then.
pub fn oversized(exchange: &mut Exchange, peer: &Peer) -> Outcome {
    let action = exchange.operation().map_or(Action::Block, |operation| operation.action);
    limits::read(exchange, None);
    let staged = match exchange.limited.alone {
        true => Ok(()),
        false => staged(action, Reason::HttpBodyTooLarge.into(), &mut exchange.logged),
    };
    match staged.and_then(|()| at_last(exchange, peer)) {
        Ok(()) => limits::passed(exchange, peer),
        Err(denial) => denied(exchange, denial),
    }
}

/// The rules, when they waited for the body, and the limits that read it.
fn at_last(exchange: &mut Exchange, peer: &Peer) -> Result<(), Denial> {
    let waited = std::mem::take(&mut exchange.rules_wait);
    let looks = |snapshot: &&Arc<Snapshot>| waited || !snapshot.limits.stage(Phase::Body).is_empty();
    let Some(snapshot) = exchange.snapshot.as_ref().filter(looks).cloned() else { return Ok(()) };
    if waited {
        rules(exchange, &snapshot, peer)?;
    }
    limits::limits(exchange, &snapshot, peer, Phase::Body)
}

/// Whether what the origin answers is looked at.
#[must_use]
pub fn looks_at_responses(exchange: &Exchange) -> bool {
    exchange.operation().is_some_and(|operation| operation.responses.is_some())
}

/// Decides on the head of a response; `fields` are its names, lower-case, and values. `extent` tells of the body, if
/// the request's method lets there be one.
pub fn responded<'a>(
    exchange: &mut Exchange,
    status: u16,
    extent: Extent,
    fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> ResponseOutcome {
    let snapshot = exchange.snapshot.clone();
    let openapi =
        snapshot.as_ref().zip(exchange.host).and_then(|(snapshot, host)| snapshot.hosts[host].openapi.as_ref());
    let (Some(openapi), Some(index)) = (openapi, exchange.operation) else { return ResponseOutcome::Pass };
    let extent = if exchange.head.method() == "HEAD" { Extent::None } else { extent };
    match openapi.schemas.response(index, status, extent, fields, &mut exchange.parameters) {
        Ok(ResponseCheck::Pass) => ResponseOutcome::Pass,
        Ok(ResponseCheck::NotEvaluated) => ResponseOutcome::NotEvaluated,
        Ok(ResponseCheck::Check(chosen)) => {
            exchange.chosen = Some(chosen);
            ResponseOutcome::Collect
        }
        Err(violation) => answered(exchange, violation),
    }
}

/// What a response's body's inspection means for its exchange.
pub fn evaluated(exchange: &mut Exchange, result: &Result<Passed, Violation>) -> ResponseOutcome {
    match result {
        Ok(Passed::AsItIs) => ResponseOutcome::Pass,
        Ok(Passed::NotEvaluated) => ResponseOutcome::NotEvaluated,
        Ok(Passed::Instead(stripped)) => {
            exchange.logged.push(stripped.told.clone().into());
            ResponseOutcome::Pass
        }
        Err(violation) => answered(exchange, violation.clone()),
    }
}

/// A response that is not as it is described. The rules were done with the exchange before it was sent.
fn answered(exchange: &mut Exchange, violation: Violation) -> ResponseOutcome {
    let action = match exchange.operation().and_then(|operation| operation.responses) {
        Some(ResponseAction::Log) => Action::Log,
        Some(ResponseAction::Block | ResponseAction::Strip) | None => Action::Block,
    };
    match staged(action, violation.into(), &mut exchange.logged) {
        Ok(()) => ResponseOutcome::Pass,
        Err(denial) => {
            exchange.denial = Some(denial);
            ResponseOutcome::Deny
        }
    }
}

fn denied(exchange: &mut Exchange, denial: Denial) -> Outcome {
    exchange.denial = Some(denial);
    Outcome::Deny
}

/// A request that is not as it is described: rules can read that, whatever becomes of it here.
fn violated(action: Action, violation: Violation, exchange: &mut Exchange) -> Result<(), Denial> {
    if action != Action::Off {
        exchange.found.violated = true;
    }
    staged(action, violation.into(), &mut exchange.logged)
}

/// The one place where a denial bites, is only recorded, or is not looked at.
fn staged(action: Action, denial: Denial, logged: &mut Vec<Denial>) -> Result<(), Denial> {
    match action {
        Action::Off => Ok(()),
        Action::Log => {
            logged.push(denial);
            Ok(())
        }
        Action::Block => Err(denial),
    }
}
