//! What an operation requires of who calls it, and who that is.
//!
//! [`authenticate`] looks for what the host accepts and verifies it; [`Credentials::judge`] holds what was found against
//! the operation's requirement. A credential that is not required counts all the same: rules, sessions and origins can
//! be told of it. One that is faulty counts as none, unless it is required: then its fault is the answer.

use std::sync::Arc;

use crate::jwt::{self, Configuration, Token};
use crate::keys::{self, Key};
use crate::partners::Partner;
use crate::policy::{self, Problem};
use crate::reason::Reason;

/// Who calls, as far as a request's credentials tell.
#[derive(Debug, Default)]
pub struct Caller {
    /// Something stood in a place where the host looks for credentials.
    pub presented: bool,
    /// Verified.
    pub token: Option<Arc<Token>>,
    /// Why the token that was presented does not count.
    pub token_fault: Option<Reason>,
    /// Verified.
    pub key: Option<Key>,
    /// Why the key that was presented does not count.
    pub key_fault: Option<Reason>,
    pub partner: Option<Arc<Partner>>,
    /// Keyed hash of what identifies the session.
    pub session: Option<[u8; 16]>,
}

impl Caller {
    pub fn clear(&mut self) {
        *self = Caller::default();
    }
}

/// A host's part of the policy, compiled.
pub struct Credentials {
    pub jwt: Vec<Arc<Configuration>>,
    pub keys: Vec<policy::CredentialLocation>,
}

impl Credentials {
    /// Every fault adds a problem; with problems, what is returned must not be used.
    #[must_use]
    pub fn compile(
        written: &policy::HostCredentials,
        configurations: &[Arc<Configuration>],
        problems: &mut Vec<Problem>,
    ) -> Credentials {
        let _ = problems;
        let jwt = configurations.iter().filter(|known| written.jwt.iter().any(|name| **name == *known.name));
        Credentials { jwt: jwt.cloned().collect(), keys: written.keys.clone() }
    }
}

/// Looks for credentials and verifies them.
pub fn authenticate(
    caller: &mut Caller,
    credentials: &Credentials,
    token: &jwt::Presenting<'_>,
    key: &keys::Presenting<'_>,
    cache: &mut jwt::Cache,
) {
    let _ = (caller, credentials, token, key, cache);
}
