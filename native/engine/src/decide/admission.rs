//! What let a connection in that goes on without requests (a WebSocket).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::callers::{belongs, may_call};
use super::{Known, Tally};
use crate::credentials::{Caller, Shown};
use crate::endpoints::Match;
use crate::exchange::{Exchange, Now, Presented};
use crate::jwt::{KeySets, Revoked, Token};
use crate::keys::{Key, Keys};
use crate::partners::Partners;
use crate::peer::Peer;
use crate::policy::{Action, MtlsMode};
use crate::snapshot::{Host, Snapshot};

/// It lasts as long as certificate, token and key are good for the host and path that it asked for, and whoever they
/// belong to is let in.
#[derive(Debug)]
pub struct Admission {
    certificate: Option<Rc<Known>>,
    token: Option<Arc<Token>>,
    token_place: Option<u8>,
    key: Option<Key>,
    key_place: Option<u8>,
    host: String,
    method: String,
    path: String,
    /// When it was let in last: while nothing has changed since, nothing is asked again.
    admitted: Cell<Option<Moment>>,
}

/// Everything that an answer can turn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    generation: u64,
    second: u64,
    key_sets: u64,
    revoked: u64,
    keys: u64,
    partners: u64,
    presented: Presented,
}

impl Admission {
    /// None when it came with nothing that can cease to count.
    #[must_use]
    pub fn of(exchange: &Exchange, peer: &Peer) -> Option<Admission> {
        let certificate = peer.certificate.clone().filter(|_| exchange.presented == Presented::Verified);
        let Caller { token, token_place, key, key_place, .. } = &exchange.caller;
        if certificate.is_none() && token.is_none() && key.is_none() {
            return None;
        }
        Some(Admission {
            certificate,
            token: token.clone(),
            token_place: *token_place,
            key: key.clone(),
            key_place: *key_place,
            host: exchange.head.host().to_owned(),
            method: exchange.head.method().to_owned(),
            path: exchange.head.path().to_owned(),
            admitted: Cell::new(None),
        })
    }

    /// Whether it would not be let in any more, by the policy of this moment.
    #[must_use]
    pub fn is_withdrawn(&self, snapshot: &Snapshot, now: Now) -> bool {
        let Some(host) = snapshot.host(&self.host) else { return true };
        let host = &snapshot.hosts[host];
        let mtls = host.mtls(&self.path);
        let (mut presented, mut authority) = (Presented::Absent, None);
        if let Some(known) = self.certificate.as_ref().filter(|_| mtls.mode != MtlsMode::Off) {
            presented = match known.verdict(&mtls.trust, now.unix_ms / 1000, &mut Tally::default()) {
                Ok(by) => {
                    authority = by;
                    Presented::Verified
                }
                Err(_) if mtls.action == Action::Block => return true,
                Err(reason) => Presented::Fault(reason),
            };
        }
        // Read before what is asked in them.
        let moment = Moment {
            generation: snapshot.generation,
            second: now.unix_ms / 1000,
            key_sets: KeySets::of_process().epoch(),
            revoked: Revoked::of_process().epoch(),
            keys: Keys::of_process().epoch(),
            partners: Partners::of_process().epoch(),
            presented,
        };
        if self.admitted.get() == Some(moment) {
            return false;
        }
        let certificate = self.certificate.as_deref().filter(|_| presented == Presented::Verified);
        let caller = self.caller(host, certificate, now);
        let shown = Shown { caller: &caller, presented, authority: authority.as_deref() };
        let operation = self.operation(host);
        let certificate = certificate.map(|known| (known, authority.as_ref()));
        let admitted =
            is_admitted(host, operation, &shown) && self.is_agreed(host, operation, &caller, certificate, now);
        self.admitted.set(admitted.then_some(moment));
        !admitted
    }

    /// What still counts.
    fn caller(&self, host: &Host, certificate: Option<&Known>, now: Now) -> Caller {
        let certificate = certificate.map(|known| known.certificate.sha256());
        let counts = |token: &Arc<Token>| {
            let by = host.credentials.as_ref().and_then(|credentials| credentials.configuration(&token.configuration));
            by.is_some_and(|by| by.still_counts(token, certificate, now).is_ok())
        };
        Caller {
            token: self.token.clone().filter(counts),
            token_place: self.token_place,
            key: self.key.clone().filter(|key| Keys::of_process().counts(key, now)),
            key_place: self.key_place,
            ..Caller::default()
        }
    }

    /// Whether whoever it belongs to is let in.
    fn is_agreed(
        &self,
        host: &Host,
        operation: Option<u32>,
        caller: &Caller,
        certificate: Option<(&Known, Option<&Arc<str>>)>,
        now: Now,
    ) -> bool {
        match belongs(certificate, caller.token.as_deref(), caller.key.as_ref()) {
            Err(_) => false,
            Ok(None) => true,
            Ok(Some(partner)) => {
                let operation = operation.and_then(|index| host.operation(index));
                partner.admits(now.unix_ms).is_ok() && may_call(&partner, &self.host, operation)
            }
        }
    }

    fn operation(&self, host: &Host) -> Option<u32> {
        match host.openapi.as_ref()?.endpoints.find(&self.method, &self.path, &mut Vec::new()) {
            Match::Operation(operation) => Some(operation),
            Match::Method { .. } | Match::None => None,
        }
    }
}

fn is_admitted(host: &Host, operation: Option<u32>, shown: &Shown<'_>) -> bool {
    let Some(credentials) = &host.credentials else { return true };
    let requirement = credentials.requirement(operation);
    requirement.action != Action::Block || requirement.judge(shown).is_ok()
}
