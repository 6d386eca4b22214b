//! Keys that tokens are verified with, and those of them that arrive at run time.

use std::sync::LazyLock;

use serde::Serialize;

/// Key sets that arrived at run time. One a process: [`KeySets::of_process`].
#[derive(Debug, Default)]
pub struct KeySets {}

/// A key set that was read.
#[derive(Debug, Serialize)]
pub struct Loaded {
    pub keys: Vec<LoadedKey>,
    /// Keys of the document that no configuration could use, with the reason: an unknown type, too short.
    pub skipped: Vec<Skipped>,
    /// False: it holds the same keys as before.
    pub changed: bool,
}

#[derive(Debug, Serialize)]
pub struct LoadedKey {
    pub kid: Option<String>,
    /// JWA names that it counts for.
    pub algorithms: Vec<String>,
    /// RFC 7638, base64url.
    pub thumbprint: String,
}

#[derive(Debug, Serialize)]
pub struct Skipped {
    pub kid: Option<String>,
    pub why: String,
}

static OF_PROCESS: LazyLock<KeySets> = LazyLock::new(KeySets::default);

impl KeySets {
    #[must_use]
    pub fn of_process() -> &'static KeySets {
        &OF_PROCESS
    }

    /// Takes a JWK Set for the configurations with this name and URL, in force for every request that begins after this
    /// returned.
    ///
    /// # Errors
    /// What is wrong with the document; the set kept before stays.
    pub fn load(&self, configuration: &str, url: &str, document: &str) -> Result<Loaded, String> {
        let _ = (configuration, url, document);
        Err("not read".to_owned())
    }

    /// The set is too old to count: tokens meet `jwt.no_keys`.
    pub fn forget(&self, configuration: &str) {
        let _ = configuration;
    }

    /// Names of configurations that met a `kid` their set lacks since this was last asked.
    #[must_use]
    pub fn unknown(&self) -> Vec<String> {
        Vec::new()
    }
}
