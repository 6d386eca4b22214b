//! What was asked of each operation, by session, in ten minutes: limits are recommended from it and tried out against it.
//!
//! An edge thread notes each exchange in a buffer of its own ([`Recorder`]); once a second, or when one is full, whoever
//! notices gathers all buffers into the [`Bucket`] of the process. So spans of a second are counted right, whichever
//! thread the requests came by. The control plane takes buckets that have ended ([`Volumes::take`]), each once.

mod bucket;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::counters::Key;
use crate::exchange::{Exchange, Presented};
use crate::meters::OperationSeries;
use crate::peer::Peer;

use bucket::{Bucket, Told};

const BUCKET_S: u64 = 600;
/// Of a buffer: 12 KB, gathered in some 20 us.
const MOST_NOTED: usize = 256;
/// Buckets that are filled or wait to be taken, 8 MB each at most: the oldest goes when nobody takes them.
const MOST_BUCKETS: usize = 3;
/// Operations that are told at once, some 2 MB of JSON.
const TOLD_AT_ONCE: usize = 100;

static OF_PROCESS: LazyLock<Volumes> = LazyLock::new(Volumes::default);

/// One exchange.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub operation: OperationSeries,
    /// The session's identity, or else a keyed hash of who asked.
    pub who: [u8; 16],
    /// Nothing but an address told who asked.
    pub anonymous: bool,
    pub method: Method,
    pub status: u16,
    /// Unix time of its end.
    pub second: u64,
}

macro_rules! methods {
    ($($method:ident $name:literal),*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Method { $($method,)* Other }

        impl Method {
            const NAMES: &'static [&'static str] = &[$($name,)* "other"];

            #[must_use]
            pub fn of(name: &str) -> Method {
                match name { $($name => Method::$method,)* _ => Method::Other }
            }
        }
    };
}

methods!(Get "GET", Head "HEAD", Post "POST", Put "PUT", Patch "PATCH", Delete "DELETE", Options "OPTIONS");

impl Asked {
    /// None: of an exchange that nobody limits. `hashed`: a value's keyed hash, the same in all processes of the
    /// installation.
    #[must_use]
    pub fn of(
        exchange: &Exchange,
        peer: &Peer,
        status: u16,
        ended_us: u64,
        hashed: impl FnOnce(&str) -> Key,
    ) -> Option<Asked> {
        let host = exchange.host()?;
        if exchange.own.is_some() {
            return None;
        }
        let operation = match exchange.operation.and_then(|operation| host.operation(operation)) {
            Some(operation) => operation.series,
            _ => host.unmatched,
        };
        let certificate = peer.certificate.as_ref().filter(|_| exchange.presented == Presented::Verified);
        let (who, anonymous) = match (exchange.caller.session, &exchange.caller.key, certificate) {
            (Some(session), ..) => (session, false),
            (None, Some(key), _) => (hashed(&key.id).bytes(), false),
            (None, None, Some(known)) => (hashed(known.certificate.sha256_hex()).bytes(), false),
            (None, None, None) => (hashed(&network(peer)).bytes(), true),
        };
        let taken_ms = ended_us.saturating_sub(exchange.started.mono_us) / 1_000;
        Some(Asked {
            operation,
            who,
            anonymous,
            method: Method::of(exchange.head.method()),
            status,
            second: exchange.started.unix_ms.saturating_add(taken_ms) / 1_000,
        })
    }
}

/// Who may be one client: an IPv6 client has all addresses of a /64, and limits are recommended for that.
fn network(peer: &Peer) -> Cow<'_, str> {
    match peer.address.to_canonical() {
        IpAddr::V4(_) => Cow::Borrowed(&peer.text),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Cow::Owned(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string())
        }
    }
}

/// An edge thread's: what it noted is gathered also when it has ended.
#[derive(Debug)]
pub struct Recorder<'a> {
    volumes: &'a Volumes,
    noted: Arc<Noted>,
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Noted(Mutex<Vec<Asked>>);

/// Of the process.
#[derive(Debug, Default)]
pub struct Volumes {
    filling: Mutex<Filling>,
    /// Summed up, and not told yet.
    ended: Mutex<VecDeque<Told>>,
}

#[derive(Debug, Default)]
struct Filling {
    threads: Vec<Arc<Noted>>,
    /// The oldest first.
    buckets: VecDeque<Bucket>,
    /// Buckets that begin before this second were told: what comes late counts in the next.
    told_s: u64,
    spare: Vec<Asked>,
}

impl Recorder<'static> {
    #[must_use]
    pub fn of_process() -> Recorder<'static> {
        OF_PROCESS.recorder()
    }
}

impl Recorder<'_> {
    /// Called at the end of an exchange.
    pub fn note(&self, asked: Asked) {
        let mut noted = self.noted.lock();
        if noted.first().is_some_and(|first| first.second != asked.second) || noted.len() >= MOST_NOTED {
            drop(noted);
            self.volumes.gather(&mut lock(&self.volumes.filling));
            noted = self.noted.lock();
        }
        noted.push(asked);
    }
}

impl Volumes {
    #[must_use]
    pub fn of_process() -> &'static Volumes {
        &OF_PROCESS
    }

    #[must_use]
    pub fn recorder(&self) -> Recorder<'_> {
        let noted = Arc::<Noted>::default();
        lock(&self.filling).threads.push(noted.clone());
        Recorder { volumes: self, noted }
    }

    /// Buckets that have ended by this time (Unix milliseconds), each operation of each once; `[]` when there is no more.
    /// `bucket`: its start in Unix milliseconds. `sessions` are those that were counted, a `share` of all (1, 1/2, 1/4,
    /// ..) chosen by their hash; `histogram`: least and most requests, and how many of them made so many; `heaviest`:
    /// hash, requests, and the most in a span of 1, 10 and 60 seconds aligned to the bucket. `requests`, `anonymous`,
    /// `methods` and `statuses` are of all sessions, whatever the share.
    #[must_use]
    pub fn take(&self, until_ms: u64) -> String {
        for bucket in self.ended_by(until_ms / 1_000) {
            let told = bucket.sum_up();
            lock(&self.ended).extend(told);
        }
        let mut ended = lock(&self.ended);
        let some = ended.len().min(TOLD_AT_ONCE);
        let told: Vec<Told> = ended.drain(..some).collect();
        serde_json::to_string(&told).unwrap_or_else(|_| "[]".to_owned())
    }

    fn ended_by(&self, until_s: u64) -> Vec<Bucket> {
        let mut filling = lock(&self.filling);
        self.gather(&mut filling);
        let ended = filling.buckets.iter().take_while(|bucket| bucket.start_s + BUCKET_S <= until_s).count();
        let ended: Vec<Bucket> = filling.buckets.drain(..ended).collect();
        if let Some(last) = ended.last() {
            filling.told_s = filling.told_s.max(last.start_s + BUCKET_S);
        }
        ended
    }

    fn gather(&self, filling: &mut Filling) {
        let mut all = std::mem::take(&mut filling.spare);
        // Threads that have ended hold theirs no more.
        filling.threads.retain(|noted| {
            all.append(&mut noted.lock());
            Arc::strong_count(noted) > 1
        });
        // Seconds of one session have to come in their order; within a second it does not matter.
        if !all.is_sorted_by_key(|asked| asked.second) {
            all.sort_by_key(|asked| asked.second);
        }
        for asked in all.drain(..) {
            if let Some(bucket) = filling.bucket(asked.second) {
                bucket.add(&asked);
            }
        }
        all.shrink_to(MOST_NOTED);
        filling.spare = all;
    }
}

impl Filling {
    fn bucket(&mut self, second: u64) -> Option<&mut Bucket> {
        let start_s = (second / BUCKET_S * BUCKET_S).max(self.told_s);
        let at = self.buckets.partition_point(|bucket| bucket.start_s < start_s);
        if self.buckets.get(at).is_none_or(|bucket| bucket.start_s != start_s) {
            self.buckets.insert(at, Bucket::new(start_s));
            if self.buckets.len() > MOST_BUCKETS {
                self.buckets.pop_front();
            }
        }
        let at = self.buckets.partition_point(|bucket| bucket.start_s < start_s);
        self.buckets.get_mut(at)
    }
}

impl Noted {
    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Sums stay sums, whatever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
