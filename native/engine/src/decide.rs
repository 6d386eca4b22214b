//! The one ordered list of what decides a request.
//!
//! | stage | why it stands there |
//! |---|---|
//! | `http` | nothing may read a head that has more than one meaning |
//! | `host` | everything below is the policy of one host |
//! | `identity` | the cheapest way to refuse strangers, and rules read its fields |
//! | `endpoint` | rules and limits may speak of operations |
//! | `rules` | on the whole head, identity and operation known |
//! | `body` | by media type, still on the head: says whether a body has to be looked at before forwarding |
//!
//! A stage only answers pass or a denial. Whether a denial bites is decided in [`staged`], nowhere else.

use std::cell::RefCell;
use std::sync::Arc;

use crate::endpoints::Match;
use crate::exchange::{Denial, Exchange, Presented};
use crate::head::Framing;
use crate::mtls::{Certificate, Verdict};
use crate::peer::{Identity, Peer};
use crate::policy::{Action, MtlsMode};
use crate::reason::Reason;
use crate::rules;
use crate::schema::{BodyCheck, Violation};
use crate::snapshot::{Snapshot, Trust};

/// Most bytes of a body that is inspected: it is held in memory whole.
pub const MAX_INSPECTED_BYTES: u64 = 1024 * 1024;
/// Verdicts kept with one certificate: more trust sets than this in one policy only cost verifications.
const MAX_VERDICTS: usize = 8;

/// How verdicts on certificates were reached; added to the meters when the exchange ends.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub verify_hits: u64,
    pub verify_misses: u64,
}

/// What the door does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Forward; a body streams.
    Pass,
    /// Collect the body, then [`inspect`] it against this schema.
    Inspect(u32),
    /// Answer with the exchange's denial.
    Deny,
}

/// A certificate that a thread has seen, with the verdicts reached so far.
#[derive(Debug)]
pub struct Known {
    pub certificate: Arc<Certificate>,
    verdicts: RefCell<Vec<(u64, Verdict)>>,
}

impl Known {
    #[must_use]
    pub fn new(certificate: Arc<Certificate>) -> Known {
        Known { certificate, verdicts: RefCell::default() }
    }

    /// The verdict under a trust set: cached until it expires; a new snapshot's trust sets have new ids.
    fn fault(&self, trust: &Trust, now_s: u64, tally: &mut Tally) -> Option<Reason> {
        let mut verdicts = self.verdicts.borrow_mut();
        if let Some((_, verdict)) = verdicts.iter().find(|(id, verdict)| *id == trust.id && now_s < verdict.expires_at)
        {
            tally.verify_hits += 1;
            return verdict.fault;
        }
        tally.verify_misses += 1;
        let verdict = trust.set.verify(&self.certificate, now_s);
        let fault = verdict.fault;
        verdicts.retain(|(id, _)| *id != trust.id);
        if verdicts.len() == MAX_VERDICTS {
            verdicts.remove(0);
        }
        verdicts.push((trust.id, verdict));
        fault
    }
}

/// Decides a request on its head. The exchange's head is parsed already, or failed to with `malformed`.
pub fn decide(
    exchange: &mut Exchange,
    snapshot: &Arc<Snapshot>,
    peer: &Peer,
    malformed: Option<Reason>,
    tally: &mut Tally,
) -> Outcome {
    exchange.snapshot = Some(snapshot.clone());
    match walk(exchange, snapshot, peer, malformed, tally) {
        Ok(outcome) => outcome,
        Err(denial) => {
            exchange.denial = Some(denial);
            Outcome::Deny
        }
    }
}

fn walk(
    exchange: &mut Exchange,
    snapshot: &Snapshot,
    peer: &Peer,
    malformed: Option<Reason>,
    tally: &mut Tally,
) -> Result<Outcome, Denial> {
    // http
    if let Some(reason) = malformed {
        return Err(reason.into());
    }
    // host
    let index = snapshot.host(exchange.head.host()).ok_or(Reason::HttpUnknownHost)?;
    exchange.host = Some(index);
    let host = &snapshot.hosts[index];
    if let Framing::Length(length) = exchange.head.framing()
        && length > host.max_body_bytes
    {
        return Err(Reason::HttpBodyTooLarge.into());
    }
    // identity
    let mode = host.mtls_mode(exchange.head.path());
    let identity = match (mode, &peer.certificate) {
        (MtlsMode::Off, _) => Identity { certificate: None, fault: None },
        (_, None) => {
            exchange.presented = Presented::Absent;
            Identity { certificate: None, fault: None }
        }
        (_, Some(known)) => {
            let fault = known.fault(&host.trust, exchange.started.unix_ms / 1000, tally);
            exchange.presented = fault.map_or(Presented::Verified, Presented::Fault);
            Identity { certificate: Some(&known.certificate), fault }
        }
    };
    if mode == MtlsMode::Require {
        match exchange.presented {
            Presented::Verified => {}
            Presented::Fault(reason) => return Err(reason.into()),
            Presented::Absent | Presented::NotLooked => return Err(Reason::MtlsMissing.into()),
        }
    }
    // endpoint
    if let Some(openapi) = &host.openapi {
        match openapi.endpoints.find(exchange.head.method(), exchange.head.path()) {
            Match::Operation(operation) => exchange.operation = Some(operation),
            Match::Method { allow } => {
                let denial = Denial { allow: Some(allow.to_owned()), ..Reason::EndpointsMethod.into() };
                staged(openapi.action, denial, &mut exchange.logged)?;
            }
            Match::None => staged(openapi.fallthrough, Reason::EndpointsFallthrough.into(), &mut exchange.logged)?,
        }
    }
    // rules
    let request = rules::Request { head: &exchange.head, address: peer.address, identity };
    let blocking = snapshot.rules.evaluate(&request, &mut exchange.scratch, &mut exchange.matched);
    for &rule in &exchange.matched {
        exchange.logged.push(Denial { rule: Some(rule), ..Reason::Rule.into() });
    }
    if let Some(rule) = blocking {
        return Err(Denial { rule: Some(rule), ..Reason::Rule.into() });
    }
    // body
    let (Some(openapi), Some(operation)) = (&host.openapi, exchange.operation) else { return Ok(Outcome::Pass) };
    if openapi.action == Action::Off {
        return Ok(Outcome::Pass);
    }
    match openapi.schemas.choose(operation, &exchange.head) {
        Ok(BodyCheck::Check(schema)) => {
            if let Framing::Length(length) = exchange.head.framing()
                && length > MAX_INSPECTED_BYTES
            {
                staged(openapi.action, Reason::HttpBodyTooLarge.into(), &mut exchange.logged)?;
                return Ok(Outcome::Pass);
            }
            Ok(Outcome::Inspect(schema))
        }
        Ok(BodyCheck::NoBody | BodyCheck::Unchecked) => Ok(Outcome::Pass),
        Err(reason) => {
            staged(openapi.action, reason.into(), &mut exchange.logged)?;
            Ok(Outcome::Pass)
        }
    }
}

/// What a collected body's inspection means for its exchange.
pub fn inspected(exchange: &mut Exchange, result: Result<(), Violation>) -> Outcome {
    let Err(violation) = result else { return Outcome::Pass };
    let denial = Denial { errors: violation.errors, ..violation.reason.into() };
    let action = exchange.host().and_then(|host| host.openapi.as_ref()).map_or(Action::Block, |openapi| openapi.action);
    match staged(action, denial, &mut exchange.logged) {
        Ok(()) => Outcome::Pass,
        Err(denial) => {
            exchange.denial = Some(denial);
            Outcome::Deny
        }
    }
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
