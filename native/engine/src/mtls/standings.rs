//! What is known about certificates besides their own bytes: what was revoked here, and the revocation lists and OCSP
//! answers that arrived since the process began.
//!
//! This is state, not policy: it outlives every snapshot, is the same for all threads, and takes effect with their next
//! request. Each change moves the epoch; a cached verdict carries the epoch it was reached in, so that an unchanged
//! epoch, one atomic load, is all that a request pays. Issuers are told apart by their keys.
//!
//! Everything here is bounded. A table of revocations that is full denies whoever is not known to be revoked: what does
//! not fit must not pass.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::authority::{Authority, Issuer, KeyId};
use super::revocation_list::{MAX_SERIAL_BYTES, Refusal, RevocationList, Serial, der_of, read_list, serial_key};

/// Most certificates that are revoked here at once, by serial and by fingerprint: 4 million take 150 MB at most, and
/// are more than the largest public authorities keep on a list.
pub const MAX_REVOKED: usize = if cfg!(test) { 1_000 } else { 4_000_000 };
/// Most serials on all lists that arrived at run time: 210 MB.
pub const MAX_LISTED: usize = 10_000_000;
/// Largest list that is read: 3 million entries of 40 bytes.
pub const MAX_LIST_BYTES: usize = 128 * 1024 * 1024;
/// Most lists of one authority: one for each key and distribution point; authorities that partition use a few dozen.
pub const MAX_LISTS: usize = 128;
/// Most OCSP answers, and most certificates whose first question is remembered.
pub const MAX_ANSWERS: usize = if cfg!(test) { 1_000 } else { 100_000 };
/// How long an OCSP answer without nextUpdate counts: RFC 6960, 4.2.2.1 says that newer ones are always to be had.
const ANSWER_WITHOUT_END_SECONDS: u64 = 300;

/// The state. One a process: [`Standings::of_process`].
#[derive(Debug, Default)]
pub struct Standings {
    epoch: AtomicU64,
    table: RwLock<Table>,
    /// When something was first asked for that nobody had told: Unix seconds. None as serial: a list of the issuer.
    asked: Mutex<HashMap<(KeyId, Option<Serial>), u64>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Numbers for the keys in `revoked`, so that an entry takes 24 bytes.
    keys: HashMap<KeyId, u32>,
    revoked: HashSet<(u32, Serial)>,
    fingerprints: HashSet<[u8; 32]>,
    /// Something did not fit.
    full: bool,
    /// By the authority's name.
    lists: HashMap<String, Vec<Arc<RevocationList>>>,
    answers: HashMap<(KeyId, Serial), Answer>,
}

/// What a responder said about one certificate.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    /// Unix seconds, as are the next two.
    pub(super) this_update: u64,
    pub(super) next_update: u64,
    /// When it was last looked at.
    used: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Good,
    Revoked,
    Unknown,
}

/// What becomes revoked and what no longer is, in one step. What is in both is revoked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Forgets all revocations before.
    pub reset: bool,
    pub revoked: Vec<Named>,
    pub restored: Vec<Named>,
    /// SHA-256 of the DER, hex.
    pub revoked_fingerprints: Vec<String>,
    pub restored_fingerprints: Vec<String>,
}

/// One certificate: its issuer's key and its serial, both hex.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub key_id: String,
    pub serial: String,
}

/// An OCSP answer whose signature and dates have been checked. Times in Unix milliseconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    pub authority: String,
    pub key_id: String,
    pub serial: String,
    status: Status,
    pub this_update: u64,
    pub next_update: Option<u64>,
}

/// A list that was read. Times in Unix milliseconds.
#[derive(Debug, Serialize)]
pub struct Loaded {
    /// RFC 2253.
    pub issuer: String,
    /// Lower-case hex.
    pub key_id: String,
    /// cRLNumber, upper-case hex as serials are; empty when there is none.
    pub number: String,
    pub this_update: i64,
    pub next_update: u64,
    pub serials: usize,
    /// False: the list kept before is as new or newer, and stays.
    pub replaced: bool,
}

static OF_PROCESS: LazyLock<Standings> = LazyLock::new(Standings::default);

impl Standings {
    #[must_use]
    pub fn of_process() -> &'static Standings {
        &OF_PROCESS
    }

    /// Moves with each change that can turn a verdict.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// In force for every request that any thread begins after this returned.
    ///
    /// # Errors
    /// An entry that cannot be read: nothing of the change is in force then. Or a full table: the rest is, and every
    /// certificate that revocation is asked about is denied until a `reset` that fits.
    pub fn change(&self, change: &Change) -> Result<(), String> {
        let revoked = read_all("revoked", &change.revoked, Named::read)?;
        let restored = read_all("restored", &change.restored, Named::read)?;
        let read_fingerprint = |text: &String| hex(text).ok_or("is not the hex of a SHA-256");
        let revoked_fingerprints = read_all("revoked_fingerprints", &change.revoked_fingerprints, read_fingerprint)?;
        let restored_fingerprints = read_all("restored_fingerprints", &change.restored_fingerprints, read_fingerprint)?;
        // A reset is prepared beside the table, so that no request waits for a million insertions.
        let mut fresh = Table::default();
        let mut table = if change.reset { None } else { Some(self.write()) };
        let into = table.as_deref_mut().unwrap_or(&mut fresh);
        for (key, serial) in restored {
            if let Some(&key) = into.keys.get(&key) {
                into.revoked.remove(&(key, serial));
            }
        }
        for fingerprint in restored_fingerprints {
            into.fingerprints.remove(&fingerprint);
        }
        for (key, serial) in revoked {
            into.revoke(key, serial);
        }
        for fingerprint in revoked_fingerprints {
            into.full |= into.fingerprints.len() + into.revoked.len() >= MAX_REVOKED;
            if !into.full {
                into.fingerprints.insert(fingerprint);
            }
        }
        let full = into.full;
        let mut table = table.unwrap_or_else(|| self.write());
        if change.reset {
            std::mem::swap(&mut table.keys, &mut fresh.keys);
            std::mem::swap(&mut table.revoked, &mut fresh.revoked);
            std::mem::swap(&mut table.fingerprints, &mut fresh.fingerprints);
            table.full = full;
        }
        self.moved(table);
        if full {
            return Err(format!(
                "More than {MAX_REVOKED} certificates are revoked: everybody is denied until a reset that fits."
            ));
        }
        Ok(())
    }

    /// Reads a list, PEM or DER, signed by a certificate of `authority`, and keeps it if it is newer than what is kept of
    /// its scope. Takes 0.3 s for a million serials: not on an event loop.
    ///
    /// # Errors
    /// What is wrong with it, and what would do; whatever was kept stays.
    pub fn load_list(&self, authority: &Authority, bytes: &[u8]) -> Result<Loaded, Refusal> {
        if bytes.len() > MAX_LIST_BYTES {
            return Err(("The revocation list is larger than 128 MiB.", "A list partitioned by distribution point."));
        }
        let der = der_of(bytes)
            .ok_or(("Not readable as PEM of one revocation list.", "One `BEGIN X509 CRL` section, or DER."))?;
        let issuers: Vec<&Issuer> = authority.issuers().collect();
        let list = Arc::new(read_list(&der, &issuers)?);
        let mut loaded = Loaded {
            issuer: list.issuer_shown.clone(),
            key_id: super::fields::lower_hex(&list.signer),
            number: number(&list.number),
            this_update: list.this_update.saturating_mul(1000),
            next_update: list.next_update.saturating_mul(1000),
            serials: list.serials.len(),
            replaced: true,
        };
        let mut table = self.write();
        let kept = table.lists.get(&authority.name).map_or(&[][..], Vec::as_slice);
        let same = |known: &&Arc<RevocationList>| known.scope == list.scope;
        if authority.lists.iter().chain(kept).filter(same).any(|known| known.age() >= list.age()) {
            loaded.replaced = false;
            return Ok(loaded);
        }
        let others = kept.iter().filter(|known| known.scope != list.scope).count();
        let listed: usize = table.lists.values().flatten().map(|known| known.serials.len()).sum();
        if others >= MAX_LISTS || listed + list.serials.len() > MAX_LISTED {
            return Err((
                "There is no room for this revocation list: 128 lists an authority, 10 million serials in all.",
                "Fewer distribution points, or lists without certificates that have expired.",
            ));
        }
        let lists = table.lists.entry(authority.name.clone()).or_default();
        lists.retain(|known| known.scope != list.scope);
        lists.push(list);
        self.moved(table);
        Ok(loaded)
    }

    /// Keeps an answer, unless a newer one is kept.
    ///
    /// # Errors
    /// What cannot be read, or a key that is not `authority`'s.
    pub fn answered(&self, authority: &Authority, answered: &Answered) -> Result<(), String> {
        let name = Named { key_id: answered.key_id.clone(), serial: answered.serial.clone() };
        let (key, serial) = name.read().map_err(str::to_owned)?;
        if !authority.holds_key(&key) {
            return Err(format!("authority \"{}\" holds no key {}", authority.name, answered.key_id));
        }
        let this_update = answered.this_update / 1000;
        let next_update = answered.next_update.map_or(this_update + ANSWER_WITHOUT_END_SECONDS, |end| end / 1000);
        let answer = Answer { status: answered.status, this_update, next_update, used: AtomicU64::new(this_update) };
        let mut table = self.write();
        let before = table.answers.get(&(key, serial));
        if before.is_some_and(|known| known.this_update > this_update) {
            return Ok(());
        }
        make_room(&mut table.answers, |answer| answer.used.load(Ordering::Relaxed));
        table.answers.insert((key, serial), answer);
        // A fresh answer that says the same moves the epoch too: verdicts are renewed by a look-up, not by signatures.
        self.moved(table);
        Ok(())
    }

    /// Forgets the lists and questions of authorities that no longer hold the key that they are about.
    pub fn keep_only<'a>(&self, authorities: impl Iterator<Item = &'a Authority> + Clone) {
        let mut table = self.write();
        table.lists.retain(|name, lists| {
            lists.retain(|list| authorities.clone().any(|known| known.name == *name && known.holds_key(&list.signer)));
            !lists.is_empty()
        });
        drop(table);
        let keys: HashSet<KeyId> = authorities.flat_map(Authority::issuers).map(|issuer| issuer.key_id).collect();
        self.asked().retain(|(key, _), _| keys.contains(key));
    }

    /// When this was first asked for; now, if it never was. A clock that was set back begins again.
    pub(super) fn first_asked(&self, key: KeyId, serial: Option<Serial>, now: u64) -> u64 {
        let mut asked = self.asked();
        if !asked.contains_key(&(key, serial)) {
            make_room(&mut asked, |since| *since);
        }
        let since = asked.entry((key, serial)).or_insert(now);
        *since = now.min(*since);
        *since
    }

    #[cfg(test)]
    pub(super) fn answers(&self) -> usize {
        self.read().answers.len()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        // A panic in between leaves whole entries: each table is changed by insertions and removals only.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<(KeyId, Option<Serial>), u64>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch moves while the table is still locked: who sees the new epoch finds the new table.
    fn moved(&self, table: RwLockWriteGuard<'_, Table>) {
        self.epoch.fetch_add(1, Ordering::Release);
        drop(table);
    }
}

impl Table {
    fn revoke(&mut self, key: KeyId, serial: Serial) {
        self.full |= self.revoked.len() + self.fingerprints.len() >= MAX_REVOKED;
        if !self.full {
            let next = self.keys.len() as u32;
            let key = *self.keys.entry(key).or_insert(next);
            self.revoked.insert((key, serial));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn is_revoked(&self, key: &KeyId, serial: &Serial) -> bool {
        self.keys.get(key).is_some_and(|&key| self.revoked.contains(&(key, *serial)))
    }

    pub(super) fn is_revoked_leaf(&self, fingerprint: &[u8; 32]) -> bool {
        !self.fingerprints.is_empty() && self.fingerprints.contains(fingerprint)
    }

    pub(super) fn lists(&self, authority: &str) -> &[Arc<RevocationList>] {
        if self.lists.is_empty() { &[] } else { self.lists.get(authority).map_or(&[], Vec::as_slice) }
    }

    pub(super) fn answer(&self, key: &KeyId, serial: &Serial, now: u64) -> Option<&Answer> {
        let answer = self.answers.get(&(*key, *serial))?;
        answer.used.store(now, Ordering::Relaxed);
        Some(answer)
    }
}

impl Named {
    fn read(&self) -> Result<(KeyId, Serial), &'static str> {
        let key = hex(&self.key_id).ok_or("has a `key_id` that is not the hex of a SHA-256")?;
        let serial = read_hex(&self.serial).ok_or("has a `serial` that is not hex")?;
        if serial.is_empty() || serial.len() > MAX_SERIAL_BYTES + 1 {
            return Err("has a `serial` that is not of 1 to 20 octets");
        }
        Ok((key, serial_key(&serial).ok_or("has a `serial` of more than 20 octets")?))
    }
}

fn read_all<T, R>(what: &str, written: &[T], read: impl Fn(&T) -> Result<R, &'static str>) -> Result<Vec<R>, String> {
    let each = written.iter().enumerate();
    each.map(|(index, entry)| read(entry).map_err(|problem| format!("{what}[{index}] {problem}"))).collect()
}

/// Of a full table the tenth goes that was used least recently: a scan now and then instead of an order kept up.
fn make_room<K: Eq + Hash + Clone, V>(table: &mut HashMap<K, V>, used: impl Fn(&V) -> u64) {
    if table.len() < MAX_ANSWERS {
        return;
    }
    let mut order: Vec<(u64, K)> = table.iter().map(|(key, value)| (used(value), key.clone())).collect();
    let tenth = order.len() / 10;
    order.select_nth_unstable_by_key(tenth, |(used, _)| *used);
    for (_, key) in &order[..=tenth] {
        table.remove(key);
    }
}

fn hex(text: &str) -> Option<[u8; 32]> {
    read_hex(text)?.try_into().ok()
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn number(number: &Serial) -> String {
    let significant = number.iter().position(|&byte| byte != 0).unwrap_or(number.len());
    super::fields::upper_hex(&number[significant..])
}
