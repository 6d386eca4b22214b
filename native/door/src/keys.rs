//! API keys and service tokens, told at run time.

use napi::{Error, Result};
use napi_derive::napi;
use portcullis_engine::guard::guarded;
use portcullis_engine::keys::{Change, Keys};
use serde_json::json;

/// Changes which keys count, on all edge threads, for every request from now on. JSON of native/engine/src/keys/mod.rs:
/// `{ "reset"?, "keys": [{ "id", "secrets": [{ "digest", "not_after" }], "partner", "scopes", "expires_at", "certificates",
/// "networks", "hosts" }], "removed": ["id"], "ready"? }`, times in Unix milliseconds.
///
/// # Errors
/// What cannot be read: nothing is changed. Or more than the engine holds.
#[napi]
pub fn change_keys(change: String) -> Result<()> {
    let change: Change = serde_json::from_str(&change).map_err(|error| Error::from_reason(error.to_string()))?;
    guarded(|| Keys::of_process().change(&change))
        .unwrap_or_else(|| Err("a bug: changing keys panicked".to_owned()))
        .map_err(Error::from_reason)
}

/// JSON `[{ "id", "at" }]`: keys that were used since this was last asked.
#[napi]
pub fn used_keys() -> String {
    json!(guarded(|| Keys::of_process().used()).unwrap_or_default()).to_string()
}
