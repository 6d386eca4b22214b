//! What arrives at run time about tokens: their keys, and which were taken back.

use napi::{Error, Result};
use napi_derive::napi;
use portcullis_engine::guard::guarded;
use portcullis_engine::jwt::{Change, KeySets, Revoked};
use serde_json::json;

use crate::{clock, policy};

/// Takes a JWK Set for a token configuration with this URL, on all edge threads, for every request from now on. Answers
/// JSON `{ keys: [{ kid, algorithms, thumbprint }], skipped: [{ kid, why }], changed }`, or `{ problem }`, and the set kept
/// before stays.
#[napi]
pub fn load_key_set(configuration: String, url: String, document: String) -> String {
    match guarded(|| KeySets::of_process().load(&configuration, &url, &document)) {
        Some(Ok(loaded)) => serde_json::to_string(&loaded).unwrap_or_default(),
        Some(Err(problem)) => json!({ "problem": problem }).to_string(),
        None => json!({ "problem": "a bug: reading the key set panicked" }).to_string(),
    }
}

/// A configuration's set is too old to count.
#[napi]
pub fn forget_key_set(configuration: String) {
    guarded(|| KeySets::of_process().forget(&configuration));
}

/// JSON: names of configurations that met a `kid` their set lacks since this was last asked.
#[napi]
pub fn unknown_key_ids() -> String {
    json!(guarded(|| KeySets::of_process().unknown()).unwrap_or_default()).to_string()
}

/// Changes which tokens are taken back, on all edge threads, for every request from now on. JSON of native/engine/src/jwt/
/// revoked.rs: `{ "reset"?, "revoked": [{ "configuration", "kind": "jti"|"subject", "value", "at", "until" }], "restored":
/// [..] }`, times in Unix milliseconds.
///
/// # Errors
/// What cannot be read: nothing is changed. Or more than the engine holds: it denies everybody then.
#[napi]
pub fn revoke_tokens(change: String) -> Result<()> {
    let change: Change = serde_json::from_str(&change).map_err(|error| Error::from_reason(error.to_string()))?;
    guarded(|| Revoked::of_process().change(&change, clock::now().unix_ms))
        .unwrap_or_else(|| Err("a bug: changing what is revoked panicked".to_owned()))
        .map_err(Error::from_reason)
}

/// Would this gateway accept a token, and if not why: what a request gets under the policy in force, step by step. Who
/// presents it is not asked. Answers JSON `{ "steps": [{ "step", "ok", "detail" }], "reason": null | "jwt.expired",
/// "header", "claims" }`, the last two as the token has them.
///
/// # Errors
/// A token configuration that the policy in force lacks.
#[napi]
pub fn inspect_token(configuration: String, token: String) -> Result<String> {
    let snapshot = policy::current().load_full();
    let Some(by) = snapshot.jwt.iter().find(|known| *known.name == *configuration) else {
        return Err(Error::from_reason(format!("no token configuration is called \"{configuration}\"")));
    };
    let inspected = guarded(|| by.inspect(&token, clock::now().unix_ms));
    let inspected = inspected.ok_or_else(|| Error::from_reason("a bug: inspecting this token panicked"))?;
    serde_json::to_string(&inspected).map_err(|error| Error::from_reason(error.to_string()))
}
