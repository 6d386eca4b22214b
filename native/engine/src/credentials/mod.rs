//! What an operation requires of who calls it, and who that is.
//!
//! [`authenticate`] looks for what the host accepts and verifies it; [`Requirement::judge`] holds what was found against
//! the operation's requirement. A credential that is not required counts all the same: rules, sessions and origins can
//! be told of it. One that is faulty counts as none, unless it is required: then its fault is the answer.

mod authenticate;
mod beside;
mod challenge;
mod compile;
mod place;
mod requirement;
mod session;
#[cfg(test)]
mod tests;
mod told;

use std::borrow::Cow;
use std::sync::Arc;

use crate::jwt::{Configuration, Token};
use crate::keys::Key;
use crate::partners::Partner;
use crate::policy::CredentialLocation;
use crate::reason::Reason;

pub use authenticate::authenticate;
pub(crate) use beside::Beside;
pub use compile::Around;
pub use requirement::{Refusal, Requirement, Shown};
pub use session::{SESSION_BYTES, SessionKey};

use challenge::Scheme;
use session::Sessions;
use told::Told;

/// Who calls, as far as a request's credentials tell.
#[derive(Debug, Default)]
pub struct Caller {
    /// The host accepts credentials, and the exchange came so far.
    pub looked: bool,
    /// Something stood in a place where the host looks for credentials.
    pub presented: bool,
    /// Verified.
    pub token: Option<Arc<Token>>,
    /// Why the token that was presented does not count.
    pub token_fault: Option<Reason>,
    /// Where one stood, whatever it is worth: [`Credentials::token_location`].
    pub token_place: Option<u8>,
    /// Verified.
    pub key: Option<Key>,
    /// Why the key that was presented does not count.
    pub key_fault: Option<Reason>,
    /// Where one stood, whatever it is worth: [`Credentials::key_location`].
    pub key_place: Option<u8>,
    pub partner: Option<Arc<Partner>>,
    /// Keyed hash of what identifies the session.
    pub session: Option<[u8; SESSION_BYTES]>,
    /// What the origin is told of the token: whole lines, each ended by CR LF.
    pub told: Option<Arc<str>>,
}

impl Caller {
    pub fn clear(&mut self) {
        *self = Caller::default();
    }
}

/// A host's part of the policy, compiled.
#[derive(Debug)]
pub struct Credentials {
    /// Never used twice in a process: what is kept under it was made by these.
    id: u64,
    /// Where tokens are looked for; the first that holds something counts.
    tokens: Vec<TokenPlace>,
    /// Where keys are looked for; the first that holds something counts.
    keys: Vec<KeyPlace>,
    unmatched: Requirement,
    /// By the index of the operation.
    operations: Vec<Requirement>,
    sessions: Option<Sessions>,
    told: Told,
    /// The credential that counted is taken out of what the origin gets.
    pub strip: bool,
}

#[derive(Debug)]
struct TokenPlace {
    location: CredentialLocation,
    /// Those whose tokens may stand there.
    configurations: Vec<Arc<Configuration>>,
}

#[derive(Debug)]
struct KeyPlace {
    location: CredentialLocation,
    /// Tokens may stand there too.
    shared: bool,
}

/// Places of a token and of a key.
#[derive(Debug)]
pub struct Counted<'a> {
    locations: [&'a CredentialLocation; 2],
    count: usize,
}

impl Default for Counted<'_> {
    fn default() -> Self {
        Counted { locations: [&CredentialLocation::Basic; 2], count: 0 }
    }
}

impl Counted<'_> {
    #[must_use]
    pub fn locations(&self) -> &[&CredentialLocation] {
        &self.locations[..self.count]
    }
}

impl Credentials {
    /// What the operation requires; None: what is not described.
    #[must_use]
    pub fn requirement(&self, operation: Option<u32>) -> &Requirement {
        operation.and_then(|index| self.operations.get(index as usize)).unwrap_or(&self.unmatched)
    }

    /// One of those whose tokens are looked for.
    #[must_use]
    pub fn configuration(&self, name: &str) -> Option<&Configuration> {
        let mut all = self.tokens.iter().flat_map(|place| &place.configurations);
        all.find(|configuration| *configuration.name == *name).map(|found| &**found)
    }

    #[must_use]
    pub fn token_location(&self, place: u8) -> &CredentialLocation {
        &self.tokens[usize::from(place)].location
    }

    /// Those whose tokens may stand where the caller has one, whatever it is worth.
    #[must_use]
    pub fn meant(&self, caller: &Caller) -> &[Arc<Configuration>] {
        caller.token_place.map_or(&[], |place| &self.tokens[usize::from(place)].configurations)
    }

    #[must_use]
    pub fn key_location(&self, place: u8) -> &CredentialLocation {
        &self.keys[usize::from(place)].location
    }

    /// Where the credentials stand that counted.
    #[must_use]
    pub fn counted(&self, caller: &Caller) -> Counted<'_> {
        let mut counted = Counted::default();
        let token = caller.token_place.filter(|_| caller.token.is_some()).map(|place| self.token_location(place));
        let key = caller.key_place.filter(|_| caller.key.is_some()).map(|place| self.key_location(place));
        for location in token.into_iter().chain(key) {
            counted.locations[counted.count] = location;
            counted.count += 1;
        }
        counted
    }

    fn told_of(&self, token: &Token) -> Result<Option<Arc<str>>, Reason> {
        if !self.told.tells_claims() {
            return Ok(None);
        }
        token.beside.told(self.id, || self.told.lines(token))
    }

    /// Names of the headers that tell the origin who calls.
    #[must_use]
    pub fn told_headers(&self) -> &[String] {
        &self.told.names
    }

    /// Whether a client's field of that (lower-case) name is as if it had not been sent.
    #[must_use]
    pub fn is_told(&self, name: &str) -> bool {
        self.told.is_told(name)
    }

    /// What the origin is told: whole lines, each ended by CR LF.
    #[must_use]
    pub fn told<'a>(&self, caller: &'a Caller) -> Cow<'a, str> {
        let claims = caller.told.as_deref().unwrap_or_default();
        match (&self.told.partner, &caller.partner) {
            (Some(header), Some(partner)) => Cow::Owned(format!("{claims}{header}: {}\r\n", partner.name)),
            _ => Cow::Borrowed(claims),
        }
    }

    /// The answer's `WWW-Authenticate` fields, each preceded by CR LF; empty when there is nothing to come back with.
    #[must_use]
    pub fn challenges(&self, requirement: &Requirement, caller: &Caller, refusal: &Refusal<'_>) -> String {
        let token = || match caller.token_place.map(|place| Scheme::of(self.token_location(place))) {
            // RFC 6750 has no scheme for other places: what is wrong is told in the one for its tokens.
            Some(Scheme::Other) => Some(Scheme::Bearer),
            scheme => scheme,
        };
        let key = || caller.key_place.map(|place| Scheme::of(self.key_location(place)));
        let id = refusal.reason.id();
        let scheme = if id.starts_with("jwt.") {
            token()
        } else if id.starts_with("keys.") {
            key()
        } else if refusal.reason == Reason::CredentialsScope {
            if refusal.of_key { key() } else { token() }
        } else {
            None
        };
        challenge::fields(&requirement.challenges, scheme, refusal)
    }
}
