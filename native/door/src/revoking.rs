//! What is revoked, told at run time, and whether this gateway would accept a certificate.

use napi::bindgen_prelude::{AsyncTask, Buffer};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use portcullis_engine::guard::guarded;
use portcullis_engine::mtls::{Answered, Certificate, Change, Standings, Step, TrustSet};
use portcullis_engine::policy::MtlsMode;
use serde::Deserialize;
use serde_json::json;

use crate::{clock, policy};

/// Changes what is refused, on all edge threads, for every request from now on. JSON `{ "reset"?: true, "revoked":
/// [{"key_id","serial"}], "restored": [..], "revoked_fingerprints": ["hex"], "restored_fingerprints": [..] }`; `reset`
/// empties it first, in the same step. `key_id`: SHA-256 of the issuer's SubjectPublicKeyInfo, hex.
///
/// # Errors
/// An entry that cannot be read: nothing is changed. Or more than the engine holds: it denies everybody then.
#[napi]
pub fn revoke(change: String) -> Result<()> {
    let change: Change = serde_json::from_str(&change).map_err(|error| Error::from_reason(error.to_string()))?;
    guarded(|| Standings::of_process().change(&change))
        .unwrap_or_else(|| Err("a bug: changing what is revoked panicked".to_owned()))
        .map_err(Error::from_reason)
}

/// Takes an OCSP answer whose signature and dates have been checked. JSON `{ authority, key_id, serial, status:
/// "good"|"revoked"|"unknown", this_update, next_update }`, times in Unix milliseconds, `next_update` may be null.
///
/// # Errors
/// What cannot be read; an authority that the policy in force lacks, or that does not hold the key.
#[napi]
pub fn ocsp_answer(answer: String) -> Result<()> {
    let answered: Answered = serde_json::from_str(&answer).map_err(|error| Error::from_reason(error.to_string()))?;
    let snapshot = policy::current().load_full();
    let Some(authority) = snapshot.authority(&answered.authority) else {
        return Err(Error::from_reason(format!("no authority is called \"{}\"", answered.authority)));
    };
    guarded(|| Standings::of_process().answered(authority, &answered))
        .unwrap_or_else(|| Err("a bug: keeping an OCSP answer panicked".to_owned()))
        .map_err(Error::from_reason)
}

pub struct LoadList {
    authority: String,
    list: Vec<u8>,
}

impl Task for LoadList {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        let snapshot = policy::current().load_full();
        let Some(authority) = snapshot.authority(&self.authority) else {
            let message = format!("No authority is called \"{}\".", self.authority);
            return Ok(problem(&message, "A name under `authorities` of the configuration in force."));
        };
        Ok(match guarded(|| Standings::of_process().load_list(authority, &self.list)) {
            Some(Ok(loaded)) => serde_json::to_string(&loaded).unwrap_or_default(),
            Some(Err((message, hint))) => problem(message, hint),
            None => problem("A bug: reading the revocation list panicked.", "Please report it with the list."),
        })
    }

    fn resolve(&mut self, _env: Env, output: String) -> Result<String> {
        Ok(output)
    }
}

fn problem(message: &str, hint: &str) -> String {
    json!({ "problem": { "message": message, "hint": hint } }).to_string()
}

/// Reads a revocation list, PEM or DER, off the event loop: signed by a certificate that the authority has in the
/// policy in force. Answers JSON `{ issuer, key_id, number, this_update, next_update, serials, replaced }`, or `{
/// problem: { message, hint } }`, and whatever was kept stays. A list that is not newer than the one kept is left out:
/// `replaced` is false.
#[napi(ts_return_type = "Promise<string>")]
pub fn load_revocation_list(authority: String, list: Buffer) -> AsyncTask<LoadList> {
    // Copied: the caller's memory is JavaScript's, and this runs on another thread.
    AsyncTask::new(LoadList { authority, list: list.to_vec() })
}

/// Whom a certificate is judged for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum For {
    Host { host: String, path: Option<String> },
    Authorities { authorities: Vec<String> },
}

/// Would this gateway accept a certificate, and if not why: what a request gets under the policy in force, step by step.
/// `host_or_authorities`: JSON `{ "host", "path"? }` or `{ "authorities": [..] }`. Answers JSON `{ "steps": [{ "step",
/// "ok", "detail" }], "reason": null | "mtls.expired" }`.
///
/// # Errors
/// A host or an authority that the policy in force lacks.
#[napi]
pub fn judge(certificate_pem: String, host_or_authorities: String) -> Result<String> {
    guarded(|| judge_for(&certificate_pem, &host_or_authorities))
        .unwrap_or_else(|| Err("a bug: judging this certificate panicked".to_owned()))
        .map_err(Error::from_reason)
}

fn judge_for(pem: &str, asked: &str) -> std::result::Result<String, String> {
    let asked: For = serde_json::from_str(asked).map_err(|error| error.to_string())?;
    let snapshot = policy::current().load_full();
    let mut unasked = None;
    let judged =
        |set: &TrustSet| set.judge(&Certificate::from_pem(pem), Standings::of_process(), clock::now().unix_ms / 1000);
    let mut judgement = match asked {
        For::Host { host: name, path } => {
            let index = snapshot.host(&name.to_ascii_lowercase());
            let host = &snapshot.hosts[index.ok_or_else(|| format!("host \"{name}\" is not served here"))?];
            let path = path.as_deref().unwrap_or("/");
            let mtls = host.mtls(path);
            if mtls.mode == MtlsMode::Off {
                unasked = Some(format!("{name} asks for no client certificate at {path}: it is not looked at there."));
            }
            judged(&mtls.trust.set)
        }
        For::Authorities { authorities } => {
            let known = authorities.iter().map(|name| {
                snapshot.authority(name).cloned().ok_or_else(|| format!("no authority is called \"{name}\""))
            });
            judged(&TrustSet::of(known.collect::<std::result::Result<_, _>>()?))
        }
    };
    if let Some(detail) = unasked {
        judgement.steps.insert(0, Step { step: "host", ok: true, detail });
    }
    serde_json::to_string(&judgement).map_err(|error| error.to_string())
}
