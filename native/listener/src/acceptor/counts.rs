//! What became of connections before an edge thread had them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Why a connection was closed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// HTTP without TLS. It is answered with 400: whoever forgot the `s` sees it.
    PlainHttp,
    /// No ClientHello.
    Garbage,
    /// A ClientHello above the bound.
    Oversize,
    /// The ClientHello was not there in time.
    Timeout,
    /// The client closed before its ClientHello was there.
    Gone,
    /// Too many of its address.
    PerAddress,
    /// Too many in all.
    Max,
    /// The one that waited longest, when too many waited for their ClientHello.
    Handshakes,
    /// No edge thread was there to take it.
    Unserved,
    /// Its edge thread could not take it.
    NotAdopted,
}

impl Refusal {
    pub const ALL: [Refusal; 10] = [
        Refusal::PlainHttp,
        Refusal::Garbage,
        Refusal::Oversize,
        Refusal::Timeout,
        Refusal::Gone,
        Refusal::PerAddress,
        Refusal::Max,
        Refusal::Handshakes,
        Refusal::Unserved,
        Refusal::NotAdopted,
    ];

    /// The label of the metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Refusal::PlainHttp => "plain_http",
            Refusal::Garbage => "garbage",
            Refusal::Oversize => "oversize",
            Refusal::Timeout => "timeout",
            Refusal::Gone => "gone",
            Refusal::PerAddress => "per_address",
            Refusal::Max => "max",
            Refusal::Handshakes => "handshakes",
            Refusal::Unserved => "unserved",
            Refusal::NotAdopted => "not_adopted",
        }
    }
}

#[derive(Default)]
pub(super) struct Counts {
    accepted: AtomicU64,
    handed: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    pauses: AtomicU64,
    pending: AtomicUsize,
}

/// As they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    pub accepted: u64,
    /// To edge threads.
    pub handed: u64,
    pub refused: Vec<(Refusal, u64)>,
    /// How often accepting waited because the process had no descriptor left.
    pub pauses: u64,
    /// Connections whose ClientHello is waited for.
    pub pending: usize,
    /// Connections that wait for an edge thread.
    pub waiting: usize,
    pub open: usize,
}

impl Figures {
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused.iter().find(|(kind, _)| *kind == refusal).map_or(0, |&(_, count)| count)
    }
}

impl Counts {
    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn hand(&self) {
        self.handed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn pause(&self) {
        self.pauses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_pending(&self, count: usize) {
        self.pending.store(count, Ordering::Relaxed);
    }

    pub(super) fn figures(&self, open: usize, waiting: usize) -> Figures {
        Figures {
            accepted: self.accepted.load(Ordering::Relaxed),
            handed: self.handed.load(Ordering::Relaxed),
            refused: Refusal::ALL
                .map(|refusal| (refusal, self.refused[refusal as usize].load(Ordering::Relaxed)))
                .to_vec(),
            pauses: self.pauses.load(Ordering::Relaxed),
            pending: self.pending.load(Ordering::Relaxed),
            waiting,
            open,
        }
    }
}
