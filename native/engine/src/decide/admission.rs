//! What let a connection in that goes on without requests (a WebSocket).

use std::rc::Rc;
use std::sync::Arc;

use super::callers::{belongs, may_call};
use super::{Known, Tally};
use crate::credentials::{Caller, Shown};
use crate::endpoints::Match;
use crate::exchange::{Exchange, Now, Presented};
use crate::jwt::Token;
use crate::keys::{Key, Keys};
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
        let caller = Caller {
            token: self.token.clone().filter(|token| {
                let by = host.credentials.as_ref().and_then(|host| host.configuration(&token.configuration));
                let certificate = self.certificate.as_ref().filter(|_| presented == Presented::Verified);
                let certificate = certificate.map(|known| known.certificate.sha256());
                by.is_some_and(|by| by.still_counts(token, certificate, now).is_ok())
            }),
            token_place: self.token_place,
            key: self.key.clone().filter(|key| Keys::of_process().counts(key, now)),
            key_place: self.key_place,
            ..Caller::default()
        };
        let shown = Shown { caller: &caller, presented, authority: authority.as_deref() };
        let operation = self.operation(host);
        !is_admitted(host, operation, &shown) || !self.is_agreed(host, operation, &shown, authority.as_ref(), now)
    }

    /// Whether whoever what still counts belongs to is let in.
    fn is_agreed(
        &self,
        host: &Host,
        operation: Option<u32>,
        shown: &Shown<'_>,
        authority: Option<&Arc<str>>,
        now: Now,
    ) -> bool {
        let certificate = self.certificate.as_deref().filter(|_| shown.presented == Presented::Verified);
        let certificate = certificate.map(|known| (known, authority));
        let Caller { token, key, .. } = shown.caller;
        let Ok(partner) = belongs(certificate, token.as_deref(), key.as_ref()) else { return false };
        let Some(partner) = partner else { return true };
        let operation = host.openapi.as_ref().zip(operation).and_then(|(openapi, index)| openapi.operation(index));
        partner.admits(now.unix_ms).is_ok() && may_call(&partner, &self.host, operation)
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
