//! Makes, reads and explains everything of a public key infrastructure: one command in, one answer out, both JSON.
//!
//! Pure: no files, no sockets; the only clock is `inspect`'s, for "days left". Keys and signatures are aws-lc-rs's.
//! Nothing panics outwards, nothing that comes from outside is unbounded, and no secret is in a message.

mod authority;
mod constraints;
mod distinguished_name;
mod extensions;
mod facts;
mod inspect;
mod issue;
mod issuer;
mod key;
mod names;
mod ocsp;
mod pkcs12;
mod pkcs7;
mod problem;
mod public_key;
mod revocation_list;
mod signed;
mod signing_request;
mod text;
mod time;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use problem::{Problem, Result, internal};

/// Commands with nothing long in them: bundles of authorities, requests, single certificates.
const MAX_COMMAND_BYTES: usize = 1024 * 1024;
/// `issue_many` (10,000 items with requests), `crl` (two million serials), `inspect` (such a list as base64).
const MAX_LONG_COMMAND_BYTES: usize = 256 * 1024 * 1024;

/// `{ "command": "...", ... }` in, the answer or `{ "error": { "message", "hint" } }` out. Takes as long as its work:
/// call it off the event loop. src/manage/pki/commands.ts has all commands with their types.
#[must_use]
pub fn run(request: &str) -> String {
    let answer = catch_unwind(AssertUnwindSafe(|| dispatch(request))).unwrap_or_else(|_| Err(internal("the command")));
    answer.unwrap_or_else(|error| serde_json::json!({ "error": error }).to_string())
}

fn dispatch(request: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Named {
        command: String,
    }
    if request.len() > MAX_LONG_COMMAND_BYTES {
        return Err(too_long(request.len(), MAX_LONG_COMMAND_BYTES));
    }
    let Named { command } = parse(request)?;
    if request.len() > MAX_COMMAND_BYTES && !matches!(command.as_str(), "issue_many" | "crl" | "inspect") {
        return Err(too_long(request.len(), MAX_COMMAND_BYTES));
    }
    match command.as_str() {
        "create_authority" => answer(request, authority::create),
        "read_authority" => answer(request, authority::read),
        "issue" => answer(request, issue::issue),
        "issue_many" => answer(request, issue::issue_many),
        "read_csr" => answer(request, signing_request::read),
        "crl" => answer(request, revocation_list::make),
        "ocsp_read" => answer(request, ocsp::read),
        "ocsp_sign" => answer(request, ocsp::sign),
        "ocsp_error" => answer(request, ocsp::error),
        "ocsp_request" => answer(request, ocsp::ask),
        "ocsp_verify" => answer(request, ocsp::verify),
        "pkcs12" => answer(request, pkcs12::make),
        "pkcs7" => answer(request, pkcs7::make),
        "inspect" => answer(request, inspect::inspect),
        _ => Err(Problem::new(
            format!("`{}` is no command", names::shown(&command)),
            "src/manage/pki/commands.ts has all of them.",
        )),
    }
}

fn answer<C: DeserializeOwned, A: Serialize>(request: &str, act: impl Fn(&C) -> Result<A>) -> Result<String> {
    let answer = act(&parse(request)?)?;
    serde_json::to_string(&answer).map_err(|_| internal("writing the answer"))
}

fn parse<C: DeserializeOwned>(request: &str) -> Result<C> {
    serde_json::from_str(request).map_err(|error| {
        Problem::new(
            format!("the command cannot be read: {}", without_values(&error.to_string())),
            "src/manage/pki/commands.ts has its shape.",
        )
    })
}

/// serde quotes the value that it did not expect, which can be a key: only names of fields and what was expected stay.
fn without_values(error: &str) -> String {
    let place = error.rfind(" at line ").map_or("", |at| &error[at..]);
    if error.starts_with("missing field") || error.starts_with("unknown field") {
        return names::shown(error);
    }
    match error.rfind("expected ") {
        Some(at) => names::shown(&error[at..]),
        None => format!("it is no JSON of that shape{place}"),
    }
}

fn too_long(bytes: usize, most: usize) -> Problem {
    Problem::new(format!("the command has {bytes} bytes"), format!("{most} are read at most."))
}
