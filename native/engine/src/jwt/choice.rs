//! Which of several configurations a token is for, when they look for theirs in one place.

use std::sync::Arc;

use super::claims::Claims;
use super::compact::Compact;
use super::{Cache, Configuration, Presenting, Token};
use crate::reason::Reason;

/// Whether a token counts for one of the configurations, at this moment. What an unsigned token says of its issuer decides
/// nothing but who is asked: those of that issuer, then those that name none. So no token makes another configuration
/// fetch its keys again.
///
/// # Errors
/// Why it does not, in the words of the configuration that it came furthest with.
pub fn verify(
    configurations: &[Arc<Configuration>],
    raw: &str,
    presenting: &Presenting<'_>,
    cache: &mut Cache,
) -> Result<Arc<Token>, Reason> {
    if let [only] = configurations {
        return only.verify(raw, presenting, cache);
    }
    if let Some(known) = configurations.iter().find(|configuration| cache.find(configuration.id, raw).is_some()) {
        return known.verify(raw, presenting, cache);
    }
    let issuer = issuer(raw, configurations)?;
    let named = configurations.iter().filter(|known| known.issuer.is_some() && known.issuer == issuer);
    let unnamed = configurations.iter().filter(|known| known.issuer.is_none());
    let mut told = Reason::JwtIssuer;
    for configuration in named.chain(unnamed) {
        match configuration.verify(raw, presenting, cache) {
            Ok(token) => return Ok(token),
            Err(reason) if strangeness(reason) < strangeness(told) => told = reason,
            Err(_) => {}
        }
    }
    Err(told)
}

/// As the token has it, whoever signed it.
fn issuer(raw: &str, configurations: &[Arc<Configuration>]) -> Result<Option<String>, Reason> {
    if configurations.iter().all(|configuration| raw.len() > configuration.max_bytes) {
        return Err(Reason::JwtTooLarge);
    }
    let compact = Compact::read(raw).ok_or(Reason::JwtMalformed)?;
    let claims = Claims::read(compact.payload).ok_or(Reason::JwtMalformed)?;
    Ok(claims.text("iss").map_err(|_| Reason::JwtClaims)?.map(str::to_owned))
}

/// How little a fault says about the token: it may be meant for another configuration.
fn strangeness(reason: Reason) -> u8 {
    match reason {
        Reason::JwtIssuer => 3,
        Reason::JwtKey => 2,
        Reason::JwtNoKeys => 1,
        _ => 0,
    }
}
