//! Keys that tokens are verified with, and those of them that arrive at run time.
//!
//! A set that arrives is state, not policy: it outlives snapshots and is the same for all threads. Each change moves the
//! epoch; a cached token carries the epoch it was verified in, so that one atomic load is all that a request pays while
//! nothing changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock, Weak};

use foldhash::HashMap;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Serialize;

use super::algorithm::{self, Algorithm};
use super::compact::Header;
use super::key::{Key, Unfit};
use crate::reason::Reason;
use crate::schema::json::{self, Entry, Parsed};

/// Largest document. Sets of large providers have 2 to 20 KiB, certificates included.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Most keys of a set: providers publish two to a dozen, and every token without `kid` walks past all of them.
pub const MAX_KEYS: usize = 100;
/// Most sets that arrived at run time: one for each configuration of a policy, and of the one that is about to follow it.
pub const MAX_SETS: usize = 1_000;
/// Most characters of a `kid` that are shown: thumbprints have 43, file names of vaults some more.
const MAX_SHOWN_KID: usize = 100;

/// Keys of one document.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// A document that was read, with what it holds besides keys.
pub(super) struct Read {
    pub(super) set: KeySet,
    pub(super) left_out: Vec<LeftOut>,
}

pub(super) struct LeftOut {
    kid: Option<String>,
    pub(super) why: Unfit,
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517, 5). Keys that cannot be used are left out, as section 5 asks; a document that cannot be
    /// read, or without a usable key, is refused.
    pub(super) fn of_json(document: &str, fetched: bool) -> Result<Read, String> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err("the key set is larger than 1 MiB".to_owned());
        }
        json::with_tape(document.as_bytes(), |parsed| {
            let json = parsed
                .map_err(|refusal| format!("the key set is not JSON: {} (byte {})", refusal.fault, refusal.offset))?;
            let keys = json.member(0, "keys").map(|keys| (keys, json.tape.entries[keys as usize]));
            let Some((keys, Entry::Array { length, .. })) = keys else {
                return Err("the key set is no JWK Set: an object with a list `keys`".to_owned());
            };
            let mut at = keys + 1;
            let each = (0..length).map(|_| {
                let entry = at;
                at = json.after(at);
                let key = Key::of_jwk(json, entry);
                (kid(json, entry), if fetched { key.and_then(not_secret) } else { key })
            });
            KeySet::collect(each)
        })
    }

    /// Reads public keys in PEM, one after the other.
    pub(super) fn of_pem(document: &str) -> Result<Read, String> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err("the key set is larger than 1 MiB".to_owned());
        }
        let sections: Result<Vec<(SectionKind, Vec<u8>)>, _> = PemObject::pem_slice_iter(document.as_bytes()).collect();
        let sections = sections.map_err(|_| "the key set is not readable as PEM".to_owned())?;
        let each = sections.into_iter().map(|(kind, der)| {
            let key = match kind {
                SectionKind::PublicKey => Key::of_spki(&der),
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => Err(Unfit::Private),
                _ => Err(Unfit::Pem),
            };
            (None, key)
        });
        KeySet::collect(each)
    }

    fn collect(each: impl ExactSizeIterator<Item = (Option<String>, Result<Key, Unfit>)>) -> Result<Read, String> {
        if each.len() > MAX_KEYS {
            return Err(format!("the key set holds more than {MAX_KEYS} keys"));
        }
        let (mut keys, mut left_out): (Vec<Key>, Vec<LeftOut>) = Default::default();
        for (kid, key) in each {
            let again = |key: &Key| {
                keys.iter().any(|known| {
                    known.name() == key.name() && known.algorithms.iter().any(|fit| key.algorithms.contains(fit))
                })
            };
            match key {
                // Which of the two was meant, nobody can tell; a set that is written anew puts the newer first, if any.
                Ok(key) if again(&key) => left_out.push(LeftOut { kid, why: Unfit::Repeated }),
                Ok(key) => keys.push(key),
                Err(why) => left_out.push(LeftOut { kid, why }),
            }
        }
        if !keys.is_empty() {
            return Ok(Read { set: KeySet { keys }, left_out });
        }
        Err(match left_out.first() {
            Some(LeftOut { kid: Some(kid), why }) => format!("the key set holds no usable key: \"{kid}\" {why}"),
            Some(LeftOut { kid: None, why }) => format!("the key set holds no usable key: the first {why}"),
            None => "the key set holds no key".to_owned(),
        })
    }

    /// The key that a header speaks of.
    pub(super) fn choose(&self, header: &Header, algorithm: Algorithm) -> Result<&Key, Reason> {
        let fits = |key: &&Key| key.algorithms.contains(&algorithm);
        // Where no key has a name (PEM), a token's has nothing to be compared with.
        if let Some(kid) = header.kid.as_deref() {
            let mut named = self.keys.iter().filter(|key| key.name() == kid).peekable();
            if named.peek().is_some() {
                return named.find(fits).ok_or(Reason::JwtAlgorithm);
            }
            if self.keys.iter().any(|key| key.kid.is_some()) {
                return Err(Reason::JwtKey);
            }
        }
        // Trying one after the other would let a token cost as many signature checks as there are keys.
        let mut fitting = self.keys.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(Reason::JwtKey),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// Whether both hold the same keys, in whatever order.
    fn is_same(&self, other: &KeySet) -> bool {
        self.keys.len() == other.keys.len() && self.keys.iter().all(|key| other.keys.contains(key))
    }
}

fn not_secret(key: Key) -> Result<Key, Unfit> {
    if key.is_symmetric() { Err(Unfit::Fetched) } else { Ok(key) }
}

fn kid(json: Parsed<'_>, entry: u32) -> Option<String> {
    let kid = json.string(json.member(entry, "kid")?)?;
    // It is shown to operators, and was written by whoever publishes the set.
    Some(kid.chars().filter(|character| !character.is_control()).take(MAX_SHOWN_KID).collect())
}

/// Key sets that arrived at run time. One a process: [`KeySets::of_process`].
#[derive(Debug, Default)]
pub struct KeySets {
    epoch: AtomicU64,
    /// By the configuration's name and the URL: another URL under the name is another set.
    sets: RwLock<HashMap<(String, String), Arc<KeySet>>>,
    /// Of every configuration that still exists: whether it met a `kid` that its set lacks.
    lacking: Mutex<Vec<(Arc<str>, Weak<AtomicBool>)>>,
}

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

    /// Moves with each change that can turn a verdict.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes a JWK Set for the configurations with this name and URL, in force for every request that begins after this
    /// returned.
    ///
    /// # Errors
    /// What is wrong with the document; the set kept before stays.
    pub fn load(&self, configuration: &str, url: &str, document: &str) -> Result<Loaded, String> {
        let Read { set, left_out } = KeySet::of_json(document, true)?;
        let keys = set.iter().map(LoadedKey::of).collect();
        let skipped = left_out.into_iter().map(|LeftOut { kid, why }| Skipped { kid, why: why.to_string() }).collect();
        let place = (configuration.to_owned(), url.to_owned());
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        let changed = sets.get(&place).is_none_or(|known| !known.is_same(&set));
        if changed {
            if sets.len() >= MAX_SETS && !sets.contains_key(&place) {
                return Err(format!("the key set is one more than the {MAX_SETS} key sets that are held"));
            }
            sets.insert(place, Arc::new(set));
            // While the table is still locked: who sees the new epoch finds the new set.
            self.epoch.fetch_add(1, Ordering::Release);
        }
        Ok(Loaded { keys, skipped, changed })
    }

    /// The set is too old to count: tokens meet `jwt.no_keys`.
    pub fn forget(&self, configuration: &str) {
        self.keep(|(name, _)| name != configuration);
    }

    /// Forgets the sets of configurations that are no longer there, by name and URL.
    pub fn keep_only<'a>(&self, configurations: impl Iterator<Item = (&'a str, &'a str)> + Clone) {
        self.keep(|(name, url)| configurations.clone().any(|known| known == (name, url)));
    }

    fn keep(&self, wanted: impl Fn(&(String, String)) -> bool) {
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        let before = sets.len();
        sets.retain(|place, _| wanted(place));
        if sets.len() < before {
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Names of configurations that met a `kid` their set lacks since this was last asked.
    #[must_use]
    pub fn unknown(&self) -> Vec<String> {
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = Vec::new();
        lacking.retain(|(name, flag)| match flag.upgrade() {
            Some(flag) => {
                if flag.swap(false, Ordering::Relaxed) {
                    names.push(name.to_string());
                }
                true
            }
            None => false,
        });
        names
    }

    /// The set for a configuration, and the epoch that it was found in.
    pub(super) fn find(&self, configuration: &str, url: &str) -> (Option<Arc<KeySet>>, u64) {
        // Read first: a set that is put in place meanwhile is then found again in its own epoch.
        let epoch = self.epoch();
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        (sets.get(&(configuration.to_owned(), url.to_owned())).cloned(), epoch)
    }

    /// A flag to raise at an unknown `kid`: the same for all configurations of one name, gone with the last of them.
    pub(super) fn flag(&self, configuration: &Arc<str>) -> Arc<AtomicBool> {
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        lacking.retain(|(_, flag)| flag.strong_count() > 0);
        let known = lacking.iter().find(|(name, _)| name == configuration).and_then(|(_, flag)| flag.upgrade());
        known.unwrap_or_else(|| {
            let flag = Arc::new(AtomicBool::new(false));
            lacking.push((configuration.clone(), Arc::downgrade(&flag)));
            flag
        })
    }
}

impl LoadedKey {
    pub(super) fn of(key: &Key) -> LoadedKey {
        LoadedKey {
            kid: key.kid.as_deref().map(str::to_owned),
            algorithms: key.algorithms.iter().map(|fit| algorithm::name(*fit).to_owned()).collect(),
            thumbprint: key.thumbprint.to_string(),
        }
    }
}
