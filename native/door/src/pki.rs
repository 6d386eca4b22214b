//! Commands of the PKI on libuv's pool: an RSA key takes seconds, a long list a tenth of one.

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Result, Task};
use napi_derive::napi;

pub struct Command {
    request: String,
}

impl Task for Command {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        Ok(portcullis_pki::run(&self.request))
    }

    fn resolve(&mut self, _: Env, answer: String) -> Result<String> {
        Ok(answer)
    }
}

/// Runs one command of the PKI on a thread of the pool: JSON in, JSON out (src/manage/pki/commands.ts). Never rejects:
/// what went wrong is `{ "error": { "message", "hint" } }`.
#[napi(ts_return_type = "Promise<string>")]
pub fn pki(request: String) -> AsyncTask<Command> {
    AsyncTask::new(Command { request })
}
