//! The stages `credentials` and `partners`: who calls, and whether they may.

use std::rc::Rc;
use std::sync::Arc;

use super::{Known, staged};
use crate::credentials::{self, Caller, Credentials, Shown};
use crate::exchange::{Denial, Exchange, Presented};
use crate::jwt::{self, Token};
use crate::keys::{self, Key};
use crate::partners::{Partner, Partners};
use crate::peer::Peer;
use crate::policy::Action;
use crate::reason::Reason;
use crate::snapshot::{Host, Operation};

/// The stages of a request that goes to the origin.
pub(super) fn callers(
    exchange: &mut Exchange,
    host: &Host,
    peer: &Peer,
    tokens: &mut jwt::Cache,
) -> Result<(), Denial> {
    if let Some(wanted) = &host.credentials {
        credentials(exchange, wanted, peer, tokens)?;
    }
    partners(exchange, peer)?;
    let Some(partner) = &exchange.caller.partner else { return Ok(()) };
    match may_call(partner, exchange.head.host(), exchange.operation()) {
        true => Ok(()),
        false => staged(Action::Block, Reason::PartnersOperation.into(), &mut exchange.logged),
    }
}

fn credentials(
    exchange: &mut Exchange,
    wanted: &Credentials,
    peer: &Peer,
    tokens: &mut jwt::Cache,
) -> Result<(), Denial> {
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
    if requirement.action == Action::Off {
        return Ok(());
    }
    let (presented, authority) = (exchange.presented, exchange.authority.as_deref());
    let Err(refusal) = requirement.judge(&Shown { caller: &exchange.caller, presented, authority }) else {
        return Ok(());
    };
    let challenges = wanted.challenges(requirement, &exchange.caller, &refusal).into();
    staged(requirement.action, Denial { challenges, ..refusal.reason.into() }, &mut exchange.logged)
}

/// To whom what was verified belongs, and whether they may come in: whatever controls in log mode say.
pub(super) fn partners(exchange: &mut Exchange, peer: &Peer) -> Result<(), Denial> {
    let certificate = verified(exchange.presented, peer).map(|known| (&**known, exchange.authority.as_ref()));
    let Caller { token, key, partner, .. } = &mut exchange.caller;
    let admitted = belongs(certificate, token.as_deref(), key.as_ref()).and_then(|found| {
        *partner = found;
        partner.as_ref().map_or(Ok(()), |partner| partner.admits(exchange.started.unix_ms))
    });
    admitted.or_else(|reason| staged(Action::Block, reason.into(), &mut exchange.logged))
}

/// The partner of all that was verified; None: nobody's.
///
/// # Errors
/// There is no single one.
pub(super) fn belongs(
    certificate: Option<(&Known, Option<&Arc<str>>)>,
    token: Option<&Token>,
    key: Option<&Key>,
) -> Result<Option<Arc<Partner>>, Reason> {
    let partners = Partners::of_process();
    let of_key = key.and_then(|key| key.partner.as_deref());
    if partners.is_empty() && of_key.is_none() {
        return Ok(None);
    }
    let of_certificate = certificate.map_or(Ok(None), |(known, authority)| known.partner(authority));
    let of_token = token.map_or(Ok(None), |token| {
        let epoch = partners.epoch();
        token.beside.partner(epoch, || partners.of_token(token))
    });
    let of_key = of_key.map(|name| partners.of_key(name)).transpose();
    [of_certificate, of_token, of_key].into_iter().try_fold(None, |known: Option<Arc<Partner>>, found| {
        match (known, found?) {
            (Some(known), Some(found)) if known.name != found.name => Err(Reason::PartnersMismatch),
            (known, found) => Ok(known.or(found)),
        }
    })
}

/// Whether an operation is part of the partner's agreement; None: what is not described.
pub(super) fn may_call(partner: &Partner, host: &str, operation: Option<&Operation>) -> bool {
    let Some(Operation { id, spelled, .. }) = operation else { return partner.may_call(host, None) };
    partner.may_call(host, Some(id)) || spelled.as_ref().is_some_and(|spelled| partner.may_call(host, Some(spelled)))
}

/// The certificate, if it counts for this request.
fn verified(presented: Presented, peer: &Peer) -> Option<&Rc<Known>> {
    peer.certificate.as_ref().filter(|_| presented == Presented::Verified)
}
