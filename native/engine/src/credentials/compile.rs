//! From what the control plane hands over to what requests are held against.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::jwt::Configuration;
use crate::mtls::Authority;
use crate::policy::{self, CredentialLocation, HostCredentials, Problem};

use super::challenge::Challenge;
use super::requirement::{Need, Requirement};
use super::session::{SessionKey, Sessions};
use super::told::Told;
use super::{Credentials, KeyPlace, TokenPlace};

/// Most places where tokens or keys of one host are looked for: each costs every request a look.
const MAX_PLACES: usize = 32;

static IDS: AtomicU64 = AtomicU64::new(1);

/// What a host's credentials may speak of.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Token configurations as they were written, and compiled: of the same order.
    pub jwt: &'a [policy::Jwt],
    pub configurations: &'a [Arc<Configuration>],
    pub authorities: &'a [Arc<Authority>],
    pub session_key: &'a SessionKey,
    /// How many operations the host has.
    pub operations: usize,
}

impl Credentials {
    /// Every fault adds a problem; with problems, what is returned must not be used.
    #[must_use]
    pub fn compile(written: &HostCredentials, around: &Around<'_>, problems: &mut Vec<Problem>) -> Credentials {
        let at = &written.at;
        let known: Vec<_> = around.jwt.iter().zip(around.configurations).collect();
        let mut jwt = Vec::new();
        for (index, name) in written.jwt.iter().enumerate() {
            match known.iter().find(|(_, configuration)| **name == *configuration.name) {
                Some(&found) => jwt.push(found),
                None => problems.push(problem(
                    &format!("{at}/jwt/{index}"),
                    format!("no token configuration is called \"{name}\""),
                )),
            }
        }
        let tokens = token_places(&jwt);
        let keys: Vec<KeyPlace> = written
            .keys
            .iter()
            .map(lower)
            .map(|location| KeyPlace { shared: tokens.iter().any(|place| place.location == location), location })
            .collect();
        for (what, count) in [("tokens", tokens.len()), ("keys", keys.len())] {
            if count > MAX_PLACES {
                problems.push(problem(at, format!("{what} are looked for in {count} places, {MAX_PLACES} at most")));
            }
        }
        if written.operations.len() != around.operations {
            let counts = (written.operations.len(), around.operations);
            problems.push(problem(at, format!("{} requirements for {} operations", counts.0, counts.1)));
        }
        let compiling = Compiling { jwt: &jwt, keys: &written.keys, authorities: around.authorities };
        let unmatched = compiling.requirement(&written.unmatched, problems);
        let operations =
            written.operations.iter().map(|requirement| compiling.requirement(requirement, problems)).collect();
        Credentials {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            unmatched,
            operations,
            sessions: (!written.session.is_empty()).then(|| Sessions::new(around.session_key, &written.session)),
            told: Told::compile(written, &tokens, problems),
            strip: written.strip,
            tokens,
            keys,
        }
    }
}

type Known<'a> = (&'a policy::Jwt, &'a Arc<Configuration>);

/// The configurations' places in their order, each once. Wherever a bearer token may stand, one that is bound to a key
/// stands behind the scheme DPoP (RFC 9449, 7.1).
fn token_places(jwt: &[Known<'_>]) -> Vec<TokenPlace> {
    let mut places: Vec<TokenPlace> = Vec::new();
    let mut add = |location: CredentialLocation, configuration: &Arc<Configuration>| match places
        .iter_mut()
        .find(|place| place.location == location)
    {
        Some(place) if place.configurations.iter().any(|known| Arc::ptr_eq(known, configuration)) => {}
        Some(place) => place.configurations.push(configuration.clone()),
        None => places.push(TokenPlace { location, configurations: vec![configuration.clone()] }),
    };
    for (written, configuration) in jwt {
        for location in &written.locations {
            let location = lower(location);
            if let CredentialLocation::Header { name, scheme: Some(scheme) } = &location
                && (name.as_str(), scheme.as_str()) == ("authorization", "bearer")
                && !written.binding.dpop_algorithms.is_empty()
            {
                let dpop = CredentialLocation::Header { name: name.clone(), scheme: Some("dpop".to_owned()) };
                add(location, configuration);
                add(dpop, configuration);
            } else {
                add(location, configuration);
            }
        }
    }
    places
}

/// Schemes are compared without case (RFC 9110, 11.1).
fn lower(location: &CredentialLocation) -> CredentialLocation {
    match location {
        CredentialLocation::Header { name, scheme: Some(scheme) } => {
            CredentialLocation::Header { name: name.clone(), scheme: Some(scheme.to_ascii_lowercase()) }
        }
        other => other.clone(),
    }
}

struct Compiling<'a> {
    jwt: &'a [Known<'a>],
    keys: &'a [CredentialLocation],
    authorities: &'a [Arc<Authority>],
}

impl Compiling<'_> {
    fn requirement(&self, written: &policy::Requirement, problems: &mut Vec<Problem>) -> Requirement {
        let at = &written.at;
        if written.realm.chars().any(char::is_control) {
            problems.push(problem(at, "the realm holds a control character".to_owned()));
        }
        let any = written.any.iter();
        let any = any.map(|all| all.iter().map(|need| self.need(need, at, problems)).collect()).collect();
        let mut challenges = Vec::new();
        for need in written.any.iter().flatten() {
            for challenge in self.challenges(need, &written.realm) {
                if !challenges.contains(&challenge) {
                    challenges.push(challenge);
                }
            }
        }
        Requirement { action: written.action, any, challenges }
    }

    fn need(&self, written: &policy::Need, at: &str, problems: &mut Vec<Problem>) -> Need {
        match written.clone() {
            policy::Need::Jwt { configurations, scopes, roles, claims } => {
                if configurations.is_empty() {
                    problems.push(problem(at, "a token is required, but of no configuration".to_owned()));
                }
                for name in &configurations {
                    if !self.jwt.iter().any(|(_, known)| **name == *known.name) {
                        let message = format!("a token of \"{name}\" is required, but none is looked for on this host");
                        problems.push(problem(at, message));
                    }
                }
                check_scopes(&scopes, at, problems);
                Need::Token { configurations, scopes, roles, claims }
            }
            policy::Need::Key { scopes, locations } => {
                if self.keys.is_empty() {
                    problems.push(problem(at, "a key is required, but none is looked for on this host".to_owned()));
                }
                let place =
                    |location: &CredentialLocation| self.keys.iter().position(|known| lower(known) == lower(location));
                if locations.iter().any(|location| place(location).is_none()) {
                    problems.push(problem(at, "a key is required where none is looked for on this host".to_owned()));
                }
                check_scopes(&scopes, at, problems);
                let places = locations.iter().filter_map(place).map(|place| place as u8).collect();
                Need::Key { scopes, places }
            }
            policy::Need::Certificate { authorities } => {
                for name in &authorities {
                    if !self.authorities.iter().any(|known| known.name() == name) {
                        problems.push(problem(at, format!("no authority is called \"{name}\"")));
                    }
                }
                Need::Certificate { authorities }
            }
        }
    }

    fn challenges(&self, need: &policy::Need, realm: &str) -> Vec<Challenge> {
        match need {
            policy::Need::Jwt { configurations, .. } => {
                let named =
                    self.jwt.iter().filter(|(_, known)| configurations.iter().any(|name| **name == *known.name));
                let each = named.flat_map(|(written, _)| {
                    let binding = &written.binding;
                    let dpop = |on_fault| Challenge::dpop(realm, &binding.dpop_algorithms, on_fault);
                    match (binding.dpop, binding.dpop_algorithms.is_empty()) {
                        (true, _) => vec![dpop(false)],
                        (false, false) => vec![Challenge::bearer(realm), dpop(true)],
                        (false, true) => vec![Challenge::bearer(realm)],
                    }
                });
                each.collect()
            }
            policy::Need::Key { locations, .. } => {
                let places = if locations.is_empty() { self.keys } else { locations };
                places.iter().map(|place| Challenge::key(place, realm)).collect()
            }
            policy::Need::Certificate { .. } => Vec::new(),
        }
    }
}

/// They are told to clients: RFC 6749, 3.3.
fn check_scopes(scopes: &[String], at: &str, problems: &mut Vec<Problem>) {
    let is_token = |scope: &String| {
        !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    for scope in scopes.iter().filter(|scope| !is_token(scope)) {
        let message =
            format!("the scope \"{}\" holds a space or another character that none has", scope.escape_debug());
        problems.push(problem(at, message));
    }
}

fn problem(at: &str, message: String) -> Problem {
    Problem { at: at.to_owned(), span: None, message, hint: None }
}
