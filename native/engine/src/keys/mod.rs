//! API keys and service tokens: which ones count.
//!
//! State of the process, told by the control plane: a change is in force for every request that any thread begins after
//! it. Nothing here holds a secret, only SHA-256 of secrets of 256 random bits. Nobody passes before all keys are here.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::exchange::Now;
use crate::reason::Reason;

/// What every key begins with: `pck_<12 hex digits>_<43 base62 digits>_<8 hex digits>`, the last the CRC-32 (IEEE) of all
/// before its underscore, lower-case; as tokens of the admin API are made (src/manage/admin/tokens.ts).
pub const PREFIX: &str = "pck_";

/// 6 random bytes in hex.
const ID_DIGITS: usize = 12;

/// One a process: [`Keys::of_process`].
#[derive(Debug, Default)]
pub struct Keys {}

/// Everything the engine is told of some keys, in one step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Forgets everything before; nobody passes until `ready`.
    pub reset: bool,
    /// Added, or in place of what was known under the id.
    pub keys: Vec<Written>,
    pub removed: Vec<String>,
    /// Everything is here now.
    pub ready: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// 12 hex digits. Public: of a service token, the client id.
    pub id: String,
    /// One or two.
    pub secrets: Vec<Secret>,
    pub partner: Option<String>,
    pub scopes: Vec<String>,
    /// Unix milliseconds.
    pub expires_at: Option<u64>,
    /// SHA-256 of the client certificates that it is bound to, hex; empty: it is not.
    pub certificates: Vec<String>,
    /// Networks that it is bound to (`192.0.2.0/24`); empty: it is not.
    pub networks: Vec<String>,
    /// Hosts that it counts for; empty: all.
    pub hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secret {
    /// SHA-256 of the whole key, hex.
    pub digest: String,
    /// After a rotation: the deadline of the older one. Unix milliseconds.
    pub not_after: Option<u64>,
}

/// 12 hex digits, in place: a look-up allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID_DIGITS]);

/// A key as it counts for one request.
#[derive(Clone)]
pub struct Key {
    pub id: KeyId,
    pub partner: Option<Arc<str>>,
    pub scopes: Arc<[String]>,
    /// Of the secret that it was presented with.
    digest: [u8; 32],
}

/// What a key is presented with.
#[derive(Debug, Clone, Copy)]
pub struct Presenting<'a> {
    pub host: &'a str,
    pub address: IpAddr,
    /// SHA-256 of the client certificate, when it was verified.
    pub certificate: Option<&'a [u8; 32]>,
    pub now: Now,
}

/// A key that requests came with since this was last asked.
#[derive(Debug, Serialize)]
pub struct Used {
    pub id: String,
    /// Unix milliseconds.
    pub at: u64,
}

impl Key {
    /// A key that no table knows, for those who read what a key says; None: `id` is not of 12 hex digits.
    #[must_use]
    pub fn of(id: &str, partner: Option<&str>, scopes: &[&str]) -> Option<Key> {
        Some(Key {
            id: KeyId::read(id)?,
            partner: partner.map(Into::into),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            digest: [0; 32],
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { id, partner, scopes, digest: _ } = self;
        f.debug_struct("Key").field("id", id).field("partner", partner).field("scopes", scopes).finish_non_exhaustive()
    }
}

impl KeyId {
    fn read(text: &str) -> Option<KeyId> {
        let digits: [u8; ID_DIGITS] = text.as_bytes().try_into().ok()?;
        digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some(KeyId(digits))
    }
}

impl Deref for KeyId {
    type Target = str;

    fn deref(&self) -> &str {
        // Only hex digits are ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

static OF_PROCESS: LazyLock<Keys> = LazyLock::new(Keys::default);

impl Keys {
    #[must_use]
    pub fn of_process() -> &'static Keys {
        &OF_PROCESS
    }

    /// Moves with each change that can turn a verdict.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        0
    }

    /// In force for every request that any thread begins after this returned.
    ///
    /// # Errors
    /// An entry that cannot be read: nothing of the change is in force then. Or a full table.
    pub fn change(&self, change: &Change) -> Result<(), String> {
        let _ = change;
        Ok(())
    }

    /// Whether a key counts, at this moment. `id`: of a pair, the client id it was presented with.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify(&self, secret: &str, id: Option<&str>, presenting: &Presenting<'_>) -> Result<Key, Reason> {
        let _ = (secret, id, presenting);
        Err(Reason::KeysUnknown)
    }

    /// Whether a key that counted still does: for connections that go on without requests.
    #[must_use]
    pub fn counts(&self, key: &Key, now: Now) -> bool {
        let _ = (&key.digest, now);
        false
    }

    /// Keys that were used since this was last asked.
    #[must_use]
    pub fn used(&self) -> Vec<Used> {
        Vec::new()
    }
}
