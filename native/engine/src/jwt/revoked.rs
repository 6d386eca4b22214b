//! Tokens that were taken back before their end: one by its `jti`, or all of a subject issued until a moment.
//!
//! This is state, not policy: it outlives snapshots, is the same for all threads, and takes effect with their next
//! request. Each change moves the epoch. A table that is full denies every token: what does not fit must not pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, PoisonError, RwLock};

use aws_lc_rs::digest::{Context, SHA256};
use foldhash::HashMap;
use serde::Deserialize;

use crate::reason::Reason;

/// Most entries at once: 64 MB. Tokens live for minutes to hours, so that a million of them taken back before their end
/// is every user of a large service signed out within that time.
pub const MAX_REVOKED: usize = if cfg!(test) { 1_000 } else { 1_000_000 };
/// Until when an entry without end counts.
const NEVER: u64 = u64::MAX;

/// One a process: [`Revoked::of_process`].
#[derive(Debug, Default)]
pub struct Revoked {
    epoch: AtomicU64,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Mark, Entry>,
    /// Something did not fit.
    full: bool,
}

/// The first half of the SHA-256 of what is revoked. Nobody finds a second name for another's token in 128 bits, and
/// no list of subjects lies in memory.
type Mark = [u8; 16];

/// Unix milliseconds.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u64,
    until: u64,
}

/// What becomes revoked and what no longer is, in one step. What is in both is revoked.
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

/// What of a token can be revoked.
#[derive(Debug, Default)]
pub(super) struct Marks {
    jti: Option<Mark>,
    subject: Option<Mark>,
    /// `iat`, Unix milliseconds.
    issued: Option<u64>,
}

impl Marks {
    pub(super) fn of(configuration: &str, jti: Option<&str>, subject: Option<&str>, issued: Option<u64>) -> Marks {
        Marks {
            jti: jti.map(|jti| mark(configuration, Kind::Jti, jti)),
            subject: subject.map(|subject| mark(configuration, Kind::Subject, subject)),
            issued,
        }
    }
}

static OF_PROCESS: LazyLock<Revoked> = LazyLock::new(Revoked::default);

impl Revoked {
    #[must_use]
    pub fn of_process() -> &'static Revoked {
        &OF_PROCESS
    }

    /// Moves with each change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// In force for every request that any thread begins after this returned. `now`: Unix milliseconds.
    ///
    /// # Errors
    /// More than the engine holds: everybody is denied until a reset that fits.
    pub fn change(&self, change: &Change, now: u64) -> Result<(), String> {
        // A reset is prepared beside the table, so that no request waits for a million insertions.
        let mut fresh = Table::default();
        let mut table = if change.reset { None } else { Some(self.write()) };
        let into = table.as_deref_mut().unwrap_or(&mut fresh);
        for named in &change.restored {
            into.entries.remove(&named.mark());
        }
        for named in &change.revoked {
            into.revoke(named, now);
        }
        let full = into.full;
        let mut table = table.unwrap_or_else(|| self.write());
        if change.reset {
            std::mem::swap(&mut *table, &mut fresh);
        }
        // While the table is still locked: who sees the new epoch finds the new table.
        self.epoch.fetch_add(1, Ordering::Release);
        drop(table);
        if full {
            return Err(format!(
                "More than {MAX_REVOKED} tokens and subjects are revoked: everybody is denied until a reset that fits."
            ));
        }
        Ok(())
    }

    /// Whether a token is taken back, at `now` in Unix milliseconds, and the epoch that this was found in.
    pub(super) fn look_up(&self, marks: &Marks, now: u64) -> (Option<Reason>, u64) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        // It cannot move while the table is locked.
        (table.look_up(marks, now), self.epoch())
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        // A panic in between leaves whole entries: the table is changed by insertions and removals only.
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn revoke(&mut self, named: &Named, now: u64) {
        let until = named.until.unwrap_or(NEVER);
        if until <= now {
            return;
        }
        let mark = named.mark();
        if let Some(known) = self.entries.get_mut(&mark) {
            *known = Entry { at: known.at.max(named.at), until: known.until.max(until) };
            return;
        }
        if self.entries.len() >= MAX_REVOKED {
            self.entries.retain(|_, entry| entry.until > now);
        }
        self.full |= self.entries.len() >= MAX_REVOKED;
        if !self.full {
            self.entries.insert(mark, Entry { at: named.at, until });
        }
    }

    fn look_up(&self, marks: &Marks, now: u64) -> Option<Reason> {
        if self.full {
            return Some(Reason::JwtRevocationUnknown);
        }
        if self.entries.is_empty() {
            return None;
        }
        let entry = |mark: &Option<Mark>| self.entries.get(mark.as_ref()?).filter(|entry| entry.until > now);
        let by_subject =
            entry(&marks.subject).is_some_and(|entry| marks.issued.is_none_or(|issued| issued <= entry.at));
        (by_subject || entry(&marks.jti).is_some()).then_some(Reason::JwtRevoked)
    }
}

impl Named {
    fn mark(&self) -> Mark {
        mark(&self.configuration, self.kind, &self.value)
    }
}

fn mark(configuration: &str, kind: Kind, value: &str) -> Mark {
    let mut context = Context::new(&SHA256);
    // With the length in front, no two triples are written alike.
    context.update(&(configuration.len() as u64).to_le_bytes());
    context.update(configuration.as_bytes());
    context.update(&[kind as u8]);
    context.update(value.as_bytes());
    let mut mark = Mark::default();
    mark.copy_from_slice(&context.finish().as_ref()[..size_of::<Mark>()]);
    mark
}
