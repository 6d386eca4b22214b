//! One token configuration: whose tokens count, and what they have to look like.

use std::sync::Arc;

use crate::exchange::Now;
use crate::head::Head;
use crate::policy::{self, CredentialLocation, Problem};
use crate::reason::Reason;

use super::{Cache, Token};

/// What a token is presented with.
#[derive(Debug, Clone, Copy)]
pub struct Presenting<'a> {
    pub head: &'a Head,
    /// SHA-256 of the client certificate, when it was verified.
    pub certificate: Option<&'a [u8; 32]>,
    pub now: Now,
}

#[derive(Debug)]
pub struct Configuration {
    pub name: Arc<str>,
    pub locations: Vec<CredentialLocation>,
}

impl Configuration {
    /// Every fault adds a problem; with problems, what is returned must not be used.
    #[must_use]
    pub fn compile(written: &policy::Jwt, problems: &mut Vec<Problem>) -> Configuration {
        let _ = problems;
        Configuration { name: written.name.as_str().into(), locations: written.locations.clone() }
    }

    /// Whether a token counts, at this moment.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify(&self, raw: &str, presenting: &Presenting<'_>, cache: &mut Cache) -> Result<Arc<Token>, Reason> {
        let _ = (raw, presenting, cache);
        Err(Reason::JwtMalformed)
    }
}
