//! Ten minutes: every session's requests of every operation, or those of a share of all sessions.
//!
//! When there are too many to keep, half of them are given up, by their hash alone, and of those that come only the same
//! half is counted from then on. So those that are left were counted from the start, and stand for the others: nobody
//! chooses by how much a session asks.

use std::collections::BTreeMap;

use foldhash::HashMap;
use serde::Serialize;

use super::{Asked, Method};
use crate::meters::OperationSeries;

/// Sessions of operations that are counted at once: 8 MB.
const MOST_SESSIONS: usize = if cfg!(test) { 1_024 } else { 65_536 };
const HEAVIEST: usize = 200;
/// Different statuses of an operation that are told apart; what comes later, as `2xx`.
const MOST_STATUSES: usize = 16;
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// In which the most requests of a session are told, seconds.
const SPANS: [u16; 3] = [1, 10, 60];
/// Up to this, a step of the histogram is one number; from there on an eighth of a doubling.
const EXACT: u32 = 16;
const STEPS_BITS: u32 = 3;

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) start_s: u64,
    /// Sessions whose hash begins with so many zeros are counted.
    zeros: u32,
    sessions: HashMap<(u32, [u8; 16]), Session>,
    /// By operation series.
    sums: Vec<Option<Box<Sum>>>,
}

#[derive(Debug, Default)]
struct Session {
    requests: u32,
    /// Second of the bucket that it was seen in last.
    last: u16,
    /// Requests in the span of the last, and most in any.
    spans: [(u32, u32); SPANS.len()],
}

/// Of all sessions.
#[derive(Debug, Default)]
struct Sum {
    requests: u64,
    anonymous: u64,
    methods: [u64; Method::Other as usize + 1],
    statuses: Vec<(u16, u64)>,
    classes: [u64; CLASSES.len()],
}

/// An operation's part.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    host: String,
    operation: String,
    bucket: u64,
    requests: u64,
    anonymous: u64,
    sessions: u64,
    share: f64,
    histogram: Vec<(u32, u32, u32)>,
    methods: BTreeMap<&'static str, u64>,
    statuses: BTreeMap<String, u64>,
    heaviest: Vec<(String, u32, u32, u32, u32)>,
}

impl Bucket {
    pub(super) fn new(start_s: u64) -> Bucket {
        Bucket { start_s, zeros: 0, sessions: HashMap::default(), sums: Vec::new() }
    }

    pub(super) fn add(&mut self, asked: &Asked) {
        let operation = asked.operation.number();
        self.sum(operation).add(asked);
        if !counts(&asked.who, self.zeros) {
            return;
        }
        let second = asked.second.saturating_sub(self.start_s).min(super::BUCKET_S - 1) as u16;
        self.sessions.entry((operation, asked.who)).or_default().add(second);
        while self.sessions.len() > MOST_SESSIONS && self.zeros < u64::BITS {
            self.zeros += 1;
            let zeros = self.zeros;
            self.sessions.retain(|(_, who), _| counts(who, zeros));
        }
    }

    fn sum(&mut self, operation: u32) -> &mut Sum {
        let at = operation as usize;
        if at >= self.sums.len() {
            self.sums.resize_with(at + 1, || None);
        }
        self.sums[at].get_or_insert_default()
    }

    /// By operation, those with most requests first.
    pub(super) fn sum_up(self) -> Vec<Told> {
        let mut sessions: HashMap<u32, Vec<([u8; 16], Session)>> = HashMap::default();
        for ((operation, who), session) in self.sessions {
            sessions.entry(operation).or_default().push((who, session));
        }
        let share = (-f64::from(self.zeros)).exp2();
        let mut told = Vec::new();
        for (operation, sum) in self.sums.into_iter().enumerate() {
            let Some(sum) = sum else { continue };
            let Some((host, name)) = OperationSeries::of_number(operation as u32).names() else { continue };
            let sessions = sessions.remove(&(operation as u32)).unwrap_or_default();
            told.push(Told {
                host,
                operation: name,
                bucket: self.start_s * 1_000,
                requests: sum.requests,
                anonymous: sum.anonymous,
                sessions: sessions.len() as u64,
                share,
                histogram: histogram(&sessions),
                methods: sum.methods(),
                statuses: sum.statuses(),
                heaviest: heaviest(sessions),
            });
        }
        told.sort_by_key(|told| std::cmp::Reverse(told.requests));
        told
    }
}

/// The hash is keyed: nobody chooses who counts. Its first bits are of a session's identity in log lines too, so others.
fn counts(who: &[u8; 16], zeros: u32) -> bool {
    let [.., a, b, c, d, e, f, g, h] = *who;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).leading_zeros() >= zeros
}

impl Session {
    fn add(&mut self, second: u16) {
        self.requests = self.requests.saturating_add(1);
        let second = second.max(self.last);
        for (span, (now, most)) in SPANS.into_iter().zip(&mut self.spans) {
            *now = if second / span == self.last / span { now.saturating_add(1) } else { 1 };
            *most = (*most).max(*now);
        }
        self.last = second;
    }
}

impl Sum {
    fn add(&mut self, asked: &Asked) {
        self.requests += 1;
        self.anonymous += u64::from(asked.anonymous);
        self.methods[asked.method as usize] += 1;
        match self.statuses.iter().position(|&(status, _)| status == asked.status) {
            Some(at) => self.statuses[at].1 += 1,
            None if self.statuses.len() < MOST_STATUSES => self.statuses.push((asked.status, 1)),
            None => self.classes[class(asked.status)] += 1,
        }
    }

    fn methods(&self) -> BTreeMap<&'static str, u64> {
        Method::NAMES.iter().copied().zip(self.methods).filter(|&(_, count)| count > 0).collect()
    }

    fn statuses(&self) -> BTreeMap<String, u64> {
        let classes = CLASSES.iter().zip(self.classes).filter(|&(_, count)| count > 0);
        let exact = self.statuses.iter().map(|&(status, count)| (status.to_string(), count));
        exact.chain(classes.map(|(class, count)| ((*class).to_owned(), count))).collect()
    }
}

fn class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => usize::from(class),
        _ => 0,
    }
}

fn histogram(sessions: &[([u8; 16], Session)]) -> Vec<(u32, u32, u32)> {
    let mut steps = BTreeMap::new();
    for (_, session) in sessions {
        *steps.entry(step(session.requests)).or_insert(0_u32) += 1;
    }
    steps.into_iter().map(|((least, most), count)| (least, most, count)).collect()
}

/// Least and most of the step that a number is in.
fn step(number: u32) -> (u32, u32) {
    if number < EXACT {
        return (number, number);
    }
    let width = 1 << (number.ilog2() - STEPS_BITS);
    let least = number / width * width;
    (least, least + (width - 1))
}

fn heaviest(mut sessions: Vec<([u8; 16], Session)>) -> Vec<(String, u32, u32, u32, u32)> {
    sessions.sort_unstable_by(|(a, left), (b, right)| right.requests.cmp(&left.requests).then(a.cmp(b)));
    sessions.truncate(HEAVIEST);
    let hex = |who: [u8; 16]| format!("{:032x}", u128::from_be_bytes(who));
    let told = |(who, session): ([u8; 16], Session)| {
        let [second, ten, minute] = session.spans.map(|(_, most)| most);
        (hex(who), session.requests, second, ten, minute)
    };
    sessions.into_iter().map(told).collect()
}
