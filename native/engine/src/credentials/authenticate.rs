//! Looks for credentials and verifies them.

use crate::head::Head;
use crate::jwt;
use crate::keys::{self, Keys};
use crate::reason::Reason;

use super::place::{Decoded, Standing, standing};
use super::{Caller, Credentials, TokenPlace};

/// Fills `caller` with what was verified and what was not.
pub fn authenticate(
    caller: &mut Caller,
    credentials: &Credentials,
    token: &jwt::Presenting<'_>,
    key: &keys::Presenting<'_>,
    cache: &mut jwt::Cache,
) {
    caller.looked = true;
    find_token(caller, credentials, token, cache);
    find_key(caller, credentials, token.head, key);
    if let Some(sessions) = &credentials.sessions {
        caller.session = sessions.identify(token.head, caller, token.certificate);
    }
}

/// The first place that holds something counts: a client cannot have a second try further down.
fn find_token(
    caller: &mut Caller,
    credentials: &Credentials,
    presenting: &jwt::Presenting<'_>,
    cache: &mut jwt::Cache,
) {
    for (number, TokenPlace { location, configurations }) in credentials.tokens.iter().enumerate() {
        let verdict = match standing(presenting.head, location) {
            Standing::Nothing => continue,
            // Whatever configurations say: a key is never taken for a token.
            Standing::Value(value) if value.starts_with(keys::PREFIX) => {
                caller.presented = true;
                continue;
            }
            Standing::Value(raw) => jwt::verify(configurations, raw, presenting, cache),
            Standing::Repeated => Err(Reason::CredentialsRepeated),
            Standing::Pair(..) | Standing::Basic(_) | Standing::Half => Err(Reason::JwtMalformed),
        };
        caller.presented = true;
        caller.token_place = Some(number as u8);
        match verdict.and_then(|token| Ok((credentials.told_of(&token)?, token))) {
            Ok((told, token)) => (caller.told, caller.token) = (told, Some(token)),
            Err(reason) => caller.token_fault = Some(reason),
        }
        return;
    }
}

fn find_key(caller: &mut Caller, credentials: &Credentials, head: &Head, presenting: &keys::Presenting<'_>) {
    let keys = Keys::of_process();
    for (number, place) in credentials.keys.iter().enumerate() {
        let verdict = match standing(head, &place.location) {
            Standing::Nothing => continue,
            // What is no key is the token that is looked for there as well.
            Standing::Value(value) if place.shared && !value.starts_with(keys::PREFIX) => continue,
            Standing::Value(secret) => keys.verify(secret, None, presenting),
            Standing::Pair(id, secret) => keys.verify(secret, Some(id), presenting),
            Standing::Basic(encoded) => match Decoded::new().basic(encoded) {
                Some((id, secret)) => keys.verify(secret, Some(id), presenting),
                None => Err(Reason::KeysMalformed),
            },
            Standing::Half => Err(Reason::KeysMalformed),
            Standing::Repeated => Err(Reason::CredentialsRepeated),
        };
        caller.presented = true;
        caller.key_place = Some(number as u8);
        match verdict {
            Ok(key) => caller.key = Some(key),
            Err(reason) => caller.key_fault = Some(reason),
        }
        return;
    }
}
