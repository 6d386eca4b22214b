//! The one ordered list of what decides a request.
//!
//! | stage | why it stands there |
//! |---|---|
//! | `http` | nothing may read a head that has more than one meaning |
//! | `host` | everything below is the policy of one host |
//! | `identity` | the cheapest way to refuse strangers, and rules read its fields |
//! | `own` | what the gateway itself answers is no operation of the origin's; only the rules are still asked |
//! | `endpoint` | rules and limits may speak of operations |
//! | `credentials` | who calls is known before rules, limits and partners speak of it; a stranger's parameters and body cost nothing |
//! | `partners` | whose agreement is over or narrower is refused whatever else fits |
//! | `parameters` | all that the description says about the head, and which of its schemas has to check the body |
//! | `rules` | on the whole head, with identity, operation and violations known; when a rule reads the verdict on the body, all rules wait for it, so that their order holds |
//! | `body` | in [`inspected`], when it has been read |
//! | `response` | in [`responded`] and [`evaluated`], when the origin has answered |
//!
//! A stage only answers pass or a denial. Whether a denial bites is decided in [`staged`], nowhere else.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::credentials::{self, Counted, Shown};
use crate::endpoints::Match;
use crate::exchange::{Denial, Exchange, Presented};
use crate::head::Framing;
use crate::jwt;
use crate::keys;
use crate::mtls::seen::Count;
use crate::mtls::{Certificate, KeyId, Renewal, Standings, Verdict};
use crate::own;
use crate::partners::{Partner, Partners};
use crate::peer::{Identity, Peer};
use crate::policy::{Action, CredentialLocation, MtlsMode, ResponseAction};
use crate::reason::Reason;
use crate::rules;
use crate::schema::{BodyCheck, Extent, Passed, ResponseCheck, Violation};
use crate::snapshot::{Forward, Host, Openapi, Operation, Snapshot, Trust};

/// Most bytes of a body that is inspected: it is held in memory whole.
pub const MAX_INSPECTED_BYTES: u64 = 1024 * 1024;
/// Verdicts kept with one certificate: more trust sets than this in one policy only cost verifications.
const MAX_VERDICTS: usize = 8;

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
    /// Collect the body and check it with [`Exchange::chosen`], then [`inspected`].
    Inspect,
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

/// A certificate that a thread has seen, with the verdicts reached so far.
#[derive(Debug)]
pub struct Known {
    pub certificate: Arc<Certificate>,
    verdicts: RefCell<Vec<(u64, Verdict)>>,
    /// What origins are told, by trust and by forward.
    told: RefCell<Vec<(u64, u64, Rc<str>)>>,
    partner: RefCell<Option<Belonging>>,
    /// Requests that it came with.
    pub count: Count,
}

/// Whose a certificate was in an epoch of the partners, verified by an authority.
#[derive(Debug)]
struct Belonging {
    epoch: u64,
    authority: Option<Arc<str>>,
    partner: Result<Option<Arc<Partner>>, Reason>,
}

impl Known {
    #[must_use]
    pub fn new(certificate: Arc<Certificate>) -> Known {
        Known {
            certificate,
            verdicts: RefCell::default(),
            told: RefCell::default(),
            partner: RefCell::default(),
            count: Count::default(),
        }
    }

    /// The verdict under a trust set, of this moment: cached, and held against what has been revoked since. A new
    /// snapshot's trust sets have new ids. Err: denied; Ok: the authority that it was verified by.
    fn verdict(&self, trust: &Trust, now_s: u64, tally: &mut Tally) -> Result<Option<Arc<str>>, Reason> {
        let standings = Standings::of_process();
        let mut verdicts = self.verdicts.borrow_mut();
        let index = if let Some(index) = verdicts.iter().position(|(id, _)| *id == trust.id) {
            let verdict = &mut verdicts[index].1;
            match trust.set.renew(verdict, &self.certificate, standings, now_s) {
                Renewal::Held => tally.verify_hits += 1,
                Renewal::LookedUp => tally.verify_lookups += 1,
                Renewal::Verified => {
                    tally.verify_misses += 1;
                    // The path may be another one now.
                    self.told.borrow_mut().retain(|(id, ..)| *id != trust.id);
                }
            }
            index
        } else {
            tally.verify_misses += 1;
            let verdict = trust.set.verify(&self.certificate, standings, now_s);
            if verdicts.len() == MAX_VERDICTS {
                verdicts.remove(0);
            }
            verdicts.push((trust.id, verdict));
            verdicts.len() - 1
        };
        let verdict = &verdicts[index].1;
        if let Some(lenient) = &verdict.lenient {
            lenient.count();
        }
        match verdict.fault {
            Some(reason) => Err(reason),
            None => Ok(verdict.authority.clone()),
        }
    }

    /// Whose path it has, and its issuer's key; None when no verdict that is kept knows one.
    #[must_use]
    pub fn identity(&self) -> Option<(Arc<str>, KeyId)> {
        let verdicts = self.verdicts.borrow();
        let (_, verdict) = verdicts.iter().rev().find(|(_, verdict)| verdict.authority.is_some())?;
        Some((verdict.authority.clone()?, verdict.issuer_key?))
    }

    /// Whose it is, verified by that authority; kept until the partners change.
    fn partner(&self, authority: Option<&Arc<str>>) -> Result<Option<Arc<Partner>>, Reason> {
        let partners = Partners::of_process();
        let epoch = partners.epoch();
        let mut kept = self.partner.borrow_mut();
        if let Some(known) = &*kept
            && known.epoch == epoch
            && known.authority.as_deref() == authority.map(|name| &**name)
        {
            return known.partner.clone();
        }
        let partner = partners.of_certificate(&self.certificate, authority.map_or("", |name| name));
        *kept = Some(Belonging { epoch, authority: authority.cloned(), partner: partner.clone() });
        partner
    }

    /// What origins are told of it while it is verified: made once, kept until the verdict is another.
    fn told(&self, trust: &Trust, forward: &Forward) -> Rc<str> {
        let mut told = self.told.borrow_mut();
        if let Some((.., lines)) = told.iter().find(|(by, to, _)| (*by, *to) == (trust.id, forward.id)) {
            return lines.clone();
        }
        let verdicts = self.verdicts.borrow();
        let verdict = verdicts.iter().find(|(id, _)| *id == trust.id);
        let chain: Vec<&[u8]> = verdict.map(|(_, verdict)| trust.set.chain(verdict).collect()).unwrap_or_default();
        let lines: Rc<str> = forward.forwarding.lines(&self.certificate, chain.into_iter()).into();
        if told.len() == MAX_VERDICTS {
            told.remove(0);
        }
        told.push((trust.id, forward.id, lines.clone()));
        lines
    }
}

/// What the origin is told about who calls, and what it is not to see. Nothing for most hosts.
#[derive(Default)]
pub struct Told<'a> {
    certificate: Option<Rc<str>>,
    no_certificate: &'static str,
    caller: Cow<'a, str>,
    headers: &'a [String],
    counted: Counted<'a>,
}

impl Told<'_> {
    /// Whole lines about the client's certificate, each ended by CR LF.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().unwrap_or(self.no_certificate)
    }

    /// Whole lines about the token and the partner, as above.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// Names of the fields that may stand there: clients' own are none.
    #[must_use]
    pub fn headers(&self) -> &[String] {
        self.headers
    }

    /// Where the credentials stood that stay behind.
    #[must_use]
    pub fn stripped(&self) -> &[&CredentialLocation] {
        self.counted.locations()
    }
}

/// What the origin is told about who sent a request that was decided.
#[must_use]
pub fn told<'a>(exchange: &'a Exchange, peer: &Peer) -> Told<'a> {
    let mut told = Told::default();
    let Some(host) = exchange.host() else { return told };
    if !host.forward.forwarding.is_empty() {
        match (exchange.presented, &peer.certificate) {
            (Presented::Verified, Some(known)) => {
                told.certificate = Some(known.told(&host.mtls(exchange.head.path()).trust, &host.forward));
            }
            (Presented::Fault(reason), _) => {
                told.no_certificate = host.forward.forwarding.unverified(true, reason == Reason::MtlsRevoked);
            }
            _ => told.no_certificate = host.forward.forwarding.unverified(false, false),
        }
    }
    if let Some(credentials) = &host.credentials {
        told.caller = credentials.told(&exchange.caller);
        told.headers = credentials.told_headers();
        if credentials.strip {
            told.counted = credentials.counted(&exchange.caller);
        }
    }
    told
}

/// What let a connection in that goes on without requests (a WebSocket): it lasts as long as its certificate is good for
/// the host and path that it asked for.
#[derive(Debug)]
pub struct Admission {
    known: Rc<Known>,
    host: String,
    path: String,
}

impl Admission {
    /// None when it was not let in by a certificate.
    #[must_use]
    pub fn of(exchange: &Exchange, peer: &Peer) -> Option<Admission> {
        let known = peer.certificate.clone().filter(|_| exchange.presented == Presented::Verified)?;
        Some(Admission { known, host: exchange.head.host().to_owned(), path: exchange.head.path().to_owned() })
    }

    /// Whether it would not be let in any more, by the policy of this moment.
    #[must_use]
    pub fn is_withdrawn(&self, snapshot: &Snapshot, now_s: u64) -> bool {
        let Some(host) = snapshot.host(&self.host) else { return true };
        let mtls = snapshot.hosts[host].mtls(&self.path);
        mtls.mode != MtlsMode::Off
            && mtls.action == Action::Block
            && self.known.verdict(&mtls.trust, now_s, &mut Tally::default()).is_err()
    }
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
    match walk(exchange, snapshot, peer, malformed, tally, tokens) {
        Ok(outcome) => outcome,
        Err(denial) => denied(exchange, denial),
    }
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
    let host = &snapshot.hosts[index];
    if let Some(credentials) = host.credentials.as_ref().filter(|known| !known.told_headers().is_empty()) {
        exchange.head.forget(|name| credentials.is_told(name));
    }
    if let Framing::Length(length) = exchange.head.framing()
        && length > host.max_body_bytes
    {
        return Err(Reason::HttpBodyTooLarge.into());
    }
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
    let Some(openapi) = &host.openapi else {
        callers(exchange, host, peer, tokens)?;
        rules(exchange, snapshot, peer)?;
        return Ok(Outcome::Pass);
    };
    match openapi.endpoints.find(exchange.head.method(), exchange.head.path(), &mut exchange.captures) {
        Match::Operation(operation) => exchange.operation = Some(operation),
        Match::Method { allow } => {
            let denial = Denial { allow: Some(allow.to_owned()), ..Reason::EndpointsMethod.into() };
            staged(openapi.action, denial, &mut exchange.logged)?;
        }
        Match::None => {
            exchange.found.fallthrough = true;
            staged(openapi.fallthrough, Reason::EndpointsFallthrough.into(), &mut exchange.logged)?;
        }
    }
    callers(exchange, host, peer, tokens)?;
    // parameters
    let body = match exchange.operation {
        Some(operation) => parameters(exchange, openapi, operation)?,
        None => BodyCheck::Unchecked,
    };
    let BodyCheck::Check(chosen) = body else {
        rules(exchange, snapshot, peer)?;
        return Ok(Outcome::Pass);
    };
    exchange.chosen = Some(chosen);
    exchange.rules_wait = snapshot.rules.reads_violations();
    if !exchange.rules_wait {
        rules(exchange, snapshot, peer)?;
    }
    Ok(Outcome::Inspect)
}

/// The stages `credentials` and `partners`.
fn callers(exchange: &mut Exchange, host: &Host, peer: &Peer, tokens: &mut jwt::Cache) -> Result<(), Denial> {
    if let Some(wanted) = &host.credentials {
        let certificate = verified(exchange.presented, peer).map(|known| known.certificate.sha256());
        let (head, now) = (&exchange.head, exchange.started);
        credentials::authenticate(
            &mut exchange.caller,
            wanted,
            &jwt::Presenting { head, certificate, now },
            &keys::Presenting { host: head.host(), address: peer.address, certificate, now },
            tokens,
        );
        let requirement = wanted.requirement(exchange.operation);
        let (presented, authority) = (exchange.presented, exchange.authority.as_deref());
        let shown = Shown { caller: &exchange.caller, presented, authority };
        if requirement.action != Action::Off
            && let Err(refusal) = requirement.judge(&shown)
        {
            let challenges = wanted.challenges(requirement, &exchange.caller, &refusal);
            let denial = Denial { challenges, ..refusal.reason.into() };
            staged(requirement.action, denial, &mut exchange.logged)?;
        }
    }
    partners(exchange, peer)?;
    let Some(partner) = &exchange.caller.partner else { return Ok(()) };
    let operation = operation(exchange);
    let names = operation.map(|operation| [Some(operation.id.as_str()), operation.spelled.as_deref()]);
    let may_call = |name| partner.may_call(exchange.head.host(), name);
    match names.map_or_else(|| may_call(None), |names| names.into_iter().flatten().any(|name| may_call(Some(name)))) {
        true => Ok(()),
        false => staged(Action::Block, Reason::PartnersOperation.into(), &mut exchange.logged),
    }
}

/// To whom what was verified belongs, and whether they may come in: whatever controls in log mode say.
fn partners(exchange: &mut Exchange, peer: &Peer) -> Result<(), Denial> {
    let caller = &mut exchange.caller;
    let partners = Partners::of_process();
    let of_key = caller.key.as_ref().and_then(|key| key.partner.as_deref());
    if partners.is_empty() && of_key.is_none() {
        return Ok(());
    }
    let of_certificate = match verified(exchange.presented, peer) {
        Some(known) => known.partner(exchange.authority.as_ref()),
        None => Ok(None),
    };
    let of_token = caller.token.as_ref().map_or(Ok(None), |token| partners.of_token(token));
    let of_key = of_key.map(|name| partners.of_key(name)).transpose();
    let belongs =
        [of_certificate, of_token, of_key].into_iter().try_fold(None, |known: Option<Arc<Partner>>, found| {
            match (known, found?) {
                (Some(known), Some(found)) if known.name != found.name => Err(Reason::PartnersMismatch),
                (known, found) => Ok(known.or(found)),
            }
        });
    let admitted = belongs.and_then(|partner| {
        caller.partner = partner;
        caller.partner.as_ref().map_or(Ok(()), |partner| partner.admits(exchange.started.unix_ms))
    });
    admitted.or_else(|reason| staged(Action::Block, reason.into(), &mut exchange.logged))
}

/// The certificate, if it counts for this request.
fn verified(presented: Presented, peer: &Peer) -> Option<&Rc<Known>> {
    peer.certificate.as_ref().filter(|_| presented == Presented::Verified)
}

/// What the description says about the head, and what has to happen to the body.
fn parameters(exchange: &mut Exchange, openapi: &Openapi, index: u32) -> Result<BodyCheck, Denial> {
    let operation = &openapi.operations[index as usize];
    if (operation.action, operation.unknown_query) == (Action::Off, Action::Off) {
        return Ok(BodyCheck::Unchecked);
    }
    let found = openapi.schemas.parameters(index, &exchange.head, &exchange.captures, &mut exchange.parameters);
    if let Some(violation) = found.violation {
        violated(operation.action, violation, exchange)?;
    }
    if let Some(violation) = found.unknown {
        violated(operation.unknown_query, violation, exchange)?;
    }
    if operation.action == Action::Off {
        return Ok(BodyCheck::Unchecked);
    }
    match openapi.schemas.choose(index, &exchange.head) {
        Ok(BodyCheck::Check(chosen)) => {
            if let Framing::Length(length) = exchange.head.framing()
                && length > MAX_INSPECTED_BYTES
            {
                staged(operation.action, Reason::HttpBodyTooLarge.into(), &mut exchange.logged)?;
                return Ok(BodyCheck::Unchecked);
            }
            Ok(BodyCheck::Check(chosen))
        }
        Ok(body) => Ok(body),
        Err(violation) => {
            violated(operation.action, violation, exchange)?;
            Ok(BodyCheck::Unchecked)
        }
    }
}

fn rules(exchange: &mut Exchange, snapshot: &Snapshot, peer: &Peer) -> Result<(), Denial> {
    let identity = match exchange.presented {
        Presented::NotLooked | Presented::Absent => Identity::default(),
        Presented::Verified => {
            Identity { certificate: certificate(peer), fault: None, authority: exchange.authority.as_deref() }
        }
        Presented::Fault(reason) => Identity { certificate: certificate(peer), fault: Some(reason), authority: None },
    };
    let now = exchange.started.unix_ms / 1000;
    let openapi = exchange.host.and_then(|host| snapshot.hosts[host].openapi.as_ref());
    let operation = openapi.zip(exchange.operation).and_then(|(openapi, index)| openapi.operation(index));
    let request = rules::Request {
        head: &exchange.head,
        address: peer.address,
        identity,
        now,
        found: exchange.found,
        caller: &exchange.caller,
        operation: operation.map(|operation| rules::Called {
            id: &operation.id,
            parameters: &operation.parameters,
            captures: &exchange.captures,
        }),
    };
    let blocking = snapshot.rules.evaluate(&request, &mut exchange.scratch, &mut exchange.matched);
    for &rule in &exchange.matched {
        exchange.logged.push(Denial { rule: Some(rule), ..Reason::Rule.into() });
    }
    match blocking {
        Some(rule) => Err(Denial { rule: Some(rule), ..Reason::Rule.into() }),
        None => Ok(()),
    }
}

fn certificate(peer: &Peer) -> Option<&Certificate> {
    peer.certificate.as_ref().map(|known| &*known.certificate)
}

/// What a collected body's inspection means for its exchange.
pub fn inspected(exchange: &mut Exchange, peer: &Peer, violation: Option<Violation>) -> Outcome {
    match walk_on(exchange, peer, violation) {
        Ok(()) => Outcome::Pass,
        Err(denial) => denied(exchange, denial),
    }
}

fn walk_on(exchange: &mut Exchange, peer: &Peer, violation: Option<Violation>) -> Result<(), Denial> {
    if let Some(violation) = violation {
        let action = operation(exchange).map_or(Action::Block, |operation| operation.action);
        violated(action, violation, exchange)?;
    }
    rules_at_last(exchange, peer)
}

/// A body turned out to be larger than what is inspected: unless that denies the request, the rest streams.
pub fn oversized(exchange: &mut Exchange, peer: &Peer) -> Outcome {
    let action = operation(exchange).map_or(Action::Block, |operation| operation.action);
    let staged = staged(action, Reason::HttpBodyTooLarge.into(), &mut exchange.logged);
    match staged.and_then(|()| rules_at_last(exchange, peer)) {
        Ok(()) => Outcome::Pass,
        Err(denial) => denied(exchange, denial),
    }
}

/// The rules, when they waited for the body.
fn rules_at_last(exchange: &mut Exchange, peer: &Peer) -> Result<(), Denial> {
    if std::mem::take(&mut exchange.rules_wait)
        && let Some(snapshot) = exchange.snapshot.clone()
    {
        rules(exchange, &snapshot, peer)?;
    }
    Ok(())
}

fn operation(exchange: &Exchange) -> Option<&Operation> {
    exchange.host()?.openapi.as_ref()?.operation(exchange.operation?)
}

/// Whether what the origin answers is looked at.
#[must_use]
pub fn looks_at_responses(exchange: &Exchange) -> bool {
    operation(exchange).is_some_and(|operation| operation.responses.is_some())
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
    let action = match operation(exchange).and_then(|operation| operation.responses) {
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
