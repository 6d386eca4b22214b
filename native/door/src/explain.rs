//! What a policy makes of one request, for `portcullis explain` and tests.

use std::sync::{Mutex, PoisonError};

use portcullis_engine::explain::{Response, explain as explain_request};
use portcullis_engine::policy::Policy;
use portcullis_engine::snapshot::Snapshot;
use serde::Deserialize;

use crate::clock;

/// The last policy that was compiled here: who explains one request often explains more.
static LAST: Mutex<Option<(String, Snapshot)>> = Mutex::new(None);

/// A response, as the caller wrote it down.
#[derive(Deserialize)]
struct Written {
    status: u16,
    fields: Vec<(String, String)>,
}

/// The explanation as JSON.
///
/// # Errors
/// A policy with problems, which `compile` tells better.
pub fn explain(policy: &str, head: &str, body: &[u8], response: Option<(&str, &[u8])>) -> Result<String, String> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.as_ref().is_none_or(|(known, _)| known != policy) {
        let parsed: Policy = serde_json::from_str(policy).map_err(|error| error.to_string())?;
        let snapshot = Snapshot::compile(&parsed, clock::now().unix_ms / 1000, 0).map_err(|problems| {
            problems
                .into_iter()
                .map(|problem| format!("{}: {}", problem.at, problem.message))
                .collect::<Vec<_>>()
                .join("\n")
        })?;
        *last = Some((policy.to_owned(), snapshot));
    }
    let Some((_, snapshot)) = &*last else { return Err("no policy".to_owned()) };
    let written: Option<Written> = match response {
        Some((head, _)) => Some(serde_json::from_str(head).map_err(|error| error.to_string())?),
        None => None,
    };
    let response = written.as_ref().zip(response).map(|(written, (_, body))| Response {
        status: written.status,
        fields: &written.fields,
        body,
    });
    serde_json::to_string(&explain_request(snapshot, head, body, response)).map_err(|error| error.to_string())
}
