//! A signed token as it is sent: three parts, of which the first says how the rest is meant (RFC 7515, 3.1).
//!
//! Strict, because what two readers could take for different tokens is an attack on one of them: base64url without
//! padding and without bits that are not used, headers as [`crate::schema::json`] reads them. `jwk`, `jku`, `x5u`, `x5c`
//! and `b64` are not looked at: keys come from the configuration alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{self, Algorithm};
use crate::schema::json::{self, Parsed};

/// A JWS in its compact form.
pub(super) struct Compact<'a> {
    /// JSON, as far as can be told without reading it.
    pub(super) header: Vec<u8>,
    /// The same.
    pub(super) payload: Vec<u8>,
    /// What the signature is over.
    pub(super) signed: &'a str,
    /// base64url that decodes.
    pub(super) signature: &'a str,
}

impl<'a> Compact<'a> {
    /// None: not three parts of base64url. Five are an encrypted token, which nobody here can read.
    pub(super) fn read(raw: &'a str) -> Option<Compact<'a>> {
        let (signed, signature) = raw.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Compact {
            header: URL_SAFE_NO_PAD.decode(header).ok()?,
            // A dot is none of the alphabet: a fourth part ends here.
            payload: URL_SAFE_NO_PAD.decode(payload).ok()?,
            signed,
            signature,
        })
    }
}

/// What counts of a JWS header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// None: one that is not known here, `none` above all.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) kid: Option<Box<str>>,
    /// Lower-case, without `application/`; empty when there is none (RFC 7515, 4.1.9).
    pub(super) typ: String,
    /// `crit` is there, whatever it holds.
    pub(super) critical: bool,
}

impl Header {
    /// None: not an object with one meaning, no `alg`, or a member of the wrong type.
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        json::with_tape(bytes, |parsed| Header::of(parsed.ok()?))
    }

    pub(super) fn of(json: Parsed<'_>) -> Option<Header> {
        // The outer None: of the wrong type.
        let text = |name: &str| match json.member(0, name) {
            None => Some(None),
            Some(value) => json.string(value).map(Some),
        };
        let typ = text("typ")?.unwrap_or_default().to_ascii_lowercase();
        Some(Header {
            algorithm: algorithm::named(text("alg")??),
            kid: text("kid")?.map(Into::into),
            typ: typ.strip_prefix("application/").unwrap_or(&typ).to_owned(),
            critical: json.member(0, "crit").is_some(),
        })
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let algorithm = self.algorithm.map_or("another algorithm", algorithm::name);
        let kid = self.kid.as_deref().map_or("no kid".to_owned(), |kid| format!("kid {kid:?}"));
        format!("{algorithm}, {kid}.")
    }
}
