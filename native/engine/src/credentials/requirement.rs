//! One requirement, and how a caller is held against it.
//!
//! It holds when one of its alternatives does; an alternative, when all its needs do. When none holds, the denial is that
//! of the alternative that came furthest, the first of equals:
//!
//! 1. its credentials are good, and one lacks a scope, a role or a claim: `credentials.scope`, `.role`, `.claim`;
//! 2. a credential of it has a fault: that fault;
//! 3. a credential of it is good, but of another configuration, place or authority: `credentials.unaccepted`;
//! 4. a part of it is there, another is missing: `credentials.missing`, or `mtls.missing` when that is a certificate;
//! 5. all of it is missing: the same. A token or key that is good, and that no alternative asks for, then makes it
//!    `credentials.unaccepted`: the caller is known, and trying again without another credential is no use.
//!
//! Within an alternative a fault comes before what is of another kind, and that before what is missing.

use crate::exchange::Presented;
use crate::jwt::Token;
use crate::keys::Key;
use crate::policy::{Action, ClaimCondition};
use crate::reason::Reason;

use super::Caller;
use super::challenge::Challenge;

/// What a caller has to present: one of the alternatives, all of it.
#[derive(Debug)]
pub struct Requirement {
    pub action: Action,
    pub(super) any: Vec<Vec<Need>>,
    /// What a denial tells the client to come with.
    pub(super) challenges: Vec<Challenge>,
}

#[derive(Debug)]
pub(super) enum Need {
    Token {
        /// Names; one of them.
        configurations: Vec<String>,
        scopes: Vec<String>,
        roles: Vec<String>,
        claims: Vec<ClaimCondition>,
    },
    Key {
        scopes: Vec<String>,
        /// By [`Caller::key_place`]; empty: any.
        places: Vec<u8>,
    },
    Certificate {
        /// Names; empty: any.
        authorities: Vec<String>,
    },
}

/// Everything about a request that counts here.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    pub caller: &'a Caller,
    pub presented: Presented,
    /// Name of the authority that the client's certificate was verified by.
    pub authority: Option<&'a str>,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    pub reason: Reason,
    /// What the credential has to cover, for `credentials.scope`.
    pub scopes: &'a [String],
    /// It speaks of the key, for `credentials.scope`; else of the token.
    pub of_key: bool,
}

/// How far a caller came with a need or with an alternative: further is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    MissingWhole,
    MissingPart,
    Unaccepted,
    Fault,
    Lacks,
}

/// Where a need falls.
struct Fall<'a> {
    reached: Reached,
    refusal: Refusal<'a>,
}

impl Requirement {
    /// Holds a caller against it.
    ///
    /// # Errors
    /// Why nobody comes in with what was shown.
    pub fn judge(&self, shown: &Shown<'_>) -> Result<(), Refusal<'_>> {
        let mut furthest: Option<Fall<'_>> = None;
        for alternative in &self.any {
            let Some(fall) = fall(alternative, shown) else { return Ok(()) };
            if furthest.as_ref().is_none_or(|known| further(&fall, known)) {
                furthest = Some(fall);
            }
        }
        let known = shown.caller.token.is_some() || shown.caller.key.is_some();
        Err(match furthest {
            Some(Fall { reached: Reached::MissingWhole, .. }) if known => refusal(Reason::CredentialsUnaccepted),
            Some(fall) => fall.refusal,
            None => refusal(Reason::CredentialsUnaccepted),
        })
    }
}

/// Of two that came as far, one whose denial can be answered with another header comes first.
fn further(fall: &Fall<'_>, known: &Fall<'_>) -> bool {
    let answerable = |fall: &Fall<'_>| fall.refusal.reason == Reason::CredentialsMissing;
    fall.reached > known.reached
        || (fall.reached == known.reached && known.refusal.reason == Reason::MtlsMissing && answerable(fall))
}

/// Where an alternative falls; None: it holds.
fn fall<'a>(alternative: &'a [Need], shown: &Shown<'_>) -> Option<Fall<'a>> {
    let (mut held, mut lacks, mut falls) = (false, None, None::<Fall<'a>>);
    for need in alternative {
        match need.meet(shown) {
            Ok(()) => held = true,
            Err(fall) if fall.reached == Reached::Lacks => {
                held = true;
                lacks.get_or_insert(fall);
            }
            Err(fall) if falls.as_ref().is_none_or(|known| further(&fall, known)) => falls = Some(fall),
            Err(_) => {}
        }
    }
    // Who a caller is comes before what it may do.
    let mut fall = falls.or(lacks)?;
    if fall.reached == Reached::MissingWhole && held {
        fall.reached = Reached::MissingPart;
    }
    Some(fall)
}

fn refusal(reason: Reason) -> Refusal<'static> {
    Refusal { reason, scopes: &[], of_key: false }
}

fn falls(reached: Reached, reason: Reason) -> Fall<'static> {
    Fall { reached, refusal: refusal(reason) }
}

impl Need {
    fn meet(&self, shown: &Shown<'_>) -> Result<(), Fall<'_>> {
        let Caller { token, token_fault, key, key_fault, key_place, .. } = shown.caller;
        match self {
            Need::Token { configurations, scopes, roles, claims } => {
                let token = token.as_ref().ok_or_else(|| absent(*token_fault))?;
                if !configurations.iter().any(|name| **name == *token.configuration) {
                    return Err(falls(Reached::Unaccepted, Reason::CredentialsUnaccepted));
                }
                covers(&token.scopes, scopes, false)?;
                allows(token, roles, claims).map_err(|reason| falls(Reached::Lacks, reason))
            }
            Need::Key { scopes, places } => {
                let key: &Key = key.as_ref().ok_or_else(|| absent(*key_fault))?;
                if !places.is_empty() && !key_place.is_some_and(|place| places.contains(&place)) {
                    return Err(falls(Reached::Unaccepted, Reason::CredentialsUnaccepted));
                }
                covers(&key.scopes, scopes, true)
            }
            Need::Certificate { authorities } => match shown.presented {
                Presented::Verified => {
                    let named = || authorities.iter().any(|name| shown.authority == Some(name.as_str()));
                    if authorities.is_empty() || named() {
                        return Ok(());
                    }
                    Err(falls(Reached::Unaccepted, Reason::CredentialsUnaccepted))
                }
                Presented::Fault(reason) => Err(falls(Reached::Fault, reason)),
                Presented::Absent | Presented::NotLooked => Err(falls(Reached::MissingWhole, Reason::MtlsMissing)),
            },
        }
    }
}

fn absent(fault: Option<Reason>) -> Fall<'static> {
    match fault {
        Some(reason) => falls(Reached::Fault, reason),
        None => falls(Reached::MissingWhole, Reason::CredentialsMissing),
    }
}

fn covers<'a>(granted: &[String], wanted: &'a [String], of_key: bool) -> Result<(), Fall<'a>> {
    if wanted.iter().all(|scope| granted.contains(scope)) {
        return Ok(());
    }
    Err(Fall { reached: Reached::Lacks, refusal: Refusal { reason: Reason::CredentialsScope, scopes: wanted, of_key } })
}

fn allows(token: &Token, roles: &[String], claims: &[ClaimCondition]) -> Result<(), Reason> {
    if !roles.is_empty() && !token.roles.iter().any(|role| roles.contains(role)) {
        return Err(Reason::CredentialsRole);
    }
    if !claims.iter().all(|condition| token.meets(condition)) {
        return Err(Reason::CredentialsClaim);
    }
    Ok(())
}
