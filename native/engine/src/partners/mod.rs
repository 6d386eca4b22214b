//! Partners: to whom credentials belong, and whether they may come in at all.
//!
//! State of the process, told whole by the control plane: in force for every request that any thread begins after it.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use crate::jwt::Token;
use crate::mtls::Certificate;
use crate::reason::Reason;

/// One a process: [`Partners::of_process`].
#[derive(Debug, Default)]
pub struct Partners {}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    pub name: String,
    pub suspended: bool,
    /// Unix milliseconds.
    pub expires_at: Option<u64>,
    /// One of them has to fit for a certificate to be the partner's. What was issued for the partner stands here by its
    /// fingerprint alone: there may be many of those.
    pub certificates: Vec<CertificatePattern>,
    /// One of them has to fit for a token to be the partner's.
    pub tokens: Vec<TokenPattern>,
    /// `operationId`, `GET /orders/{id}` or `api.example.com GET /orders/{id}`; empty: all.
    pub operations: Vec<String>,
}

/// All that is given has to fit.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificatePattern {
    pub authority: Option<String>,
    /// RFC 2253, `*` stands for any characters.
    pub subject: Option<String>,
    /// DNS, URI or mail name of the alternative names, `*` as above.
    pub san: Option<String>,
    /// SHA-256, hex.
    pub fingerprint: Option<String>,
}

/// All that is given has to fit.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenPattern {
    /// Name of the token configuration.
    pub configuration: Option<String>,
    pub claim: Option<String>,
    pub value: Option<String>,
}

/// A partner as it is at this moment.
#[derive(Debug)]
pub struct Partner {
    pub name: Arc<str>,
}

static OF_PROCESS: LazyLock<Partners> = LazyLock::new(Partners::default);

impl Partners {
    #[must_use]
    pub fn of_process() -> &'static Partners {
        &OF_PROCESS
    }

    /// Moves with each change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        0
    }

    /// Puts these in place of all before.
    ///
    /// # Errors
    /// An entry that cannot be read, or more than the engine holds: those before stay.
    pub fn replace(&self, written: &[Written]) -> Result<(), String> {
        let _ = written;
        Ok(())
    }

    /// No certificate and no token is anybody's. A key can still name a partner: ask [`Partners::of_key`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whose a certificate is. Costs a walk: keep the answer with the epoch that was read before.
    ///
    /// # Errors
    /// It fits several partners: `partners.mismatch`.
    pub fn of_certificate(&self, certificate: &Certificate, authority: &str) -> Result<Option<Arc<Partner>>, Reason> {
        let _ = (certificate, authority);
        Ok(None)
    }

    /// Whose a token is. Costs a walk: keep the answer with the epoch that was read before.
    ///
    /// # Errors
    /// It fits several partners: `partners.mismatch`.
    pub fn of_token(&self, token: &Token) -> Result<Option<Arc<Partner>>, Reason> {
        let _ = token;
        Ok(None)
    }

    /// Whose a key is that names a partner.
    ///
    /// # Errors
    /// There is no such partner: `partners.unknown`. What belongs to nobody who is known does not pass.
    pub fn of_key(&self, partner: &str) -> Result<Arc<Partner>, Reason> {
        self.named(partner).ok_or(Reason::PartnersUnknown)
    }

    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<Partner>> {
        let _ = name;
        None
    }
}

impl Partner {
    /// Whether the partner may come in at all.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, now_ms: u64) -> Result<(), Reason> {
        let _ = now_ms;
        Ok(())
    }

    /// Whether an operation is part of the agreement; None: what is not described. An operation goes by its id and by
    /// `METHOD /template`: one that has an `operationId` is asked for with both.
    #[must_use]
    pub fn may_call(&self, host: &str, operation: Option<&str>) -> bool {
        let _ = (host, operation);
        true
    }
}
