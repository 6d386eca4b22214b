//! Partners, told at run time.

use napi::{Error, Result};
use napi_derive::napi;
use portcullis_engine::guard::guarded;
use portcullis_engine::partners::{Partners, Written};

/// Puts these partners in place of all before, on all edge threads, for every request from now on. JSON of
/// native/engine/src/partners/mod.rs: `[{ "name", "suspended", "expires_at", "certificates": [{ "authority"?, "subject"?,
/// "san"?, "fingerprint"? }], "tokens": [{ "configuration"?, "claim"?, "value"? }], "operations": [..] }]`.
///
/// # Errors
/// What cannot be read, or more than the engine holds: those before stay.
#[napi]
pub fn replace_partners(partners: String) -> Result<()> {
    let written: Vec<Written> =
        serde_json::from_str(&partners).map_err(|error| Error::from_reason(error.to_string()))?;
    guarded(|| Partners::of_process().replace(&written))
        .unwrap_or_else(|| Err("a bug: taking up partners panicked".to_owned()))
        .map_err(Error::from_reason)
}
