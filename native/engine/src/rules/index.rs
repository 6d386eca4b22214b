//! Which rules a request can match, found in a handful of hash look-ups however many rules there are.
//!
//! Every alternative of every rule has a shape: which facts it consists of, and how long its path and address
//! prefixes are. For each shape in use the request's own facts give one key; a table maps keys to the rules behind
//! them. Keys are hashes and are not compared: a collision only has a rule evaluated that then does not match. The
//! lists found are merged in rule order, together with the rules that have no usable facts.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use crate::mtls::CertificateField;

use super::condition::Condition;
use super::necessary::{self, Facts, Path};
use super::request::{Buffers, Request, certificate, extend_lower};
use super::set::Prefix;

/// Most shapes: each costs a request one look-up of some 5 ns. What does not fit is indexed by fewer facts or
/// shorter prefixes.
const MAX_SHAPES: usize = 32;

/// Fewest rules behind a shape: a look-up costs as much as evaluating two or three rules, and the first one also
/// the path in lower case.
const MIN_RULES: usize = 4;
/// Fewest rules behind the shape of headers, which costs a look-up for each header of the request.
const MIN_HEADER_RULES: usize = 16;

/// The tables hold what operators wrote, clients only look up: a fixed seed gives nobody a lever.
const HASHER: FixedState = FixedState::with_seed(0);

/// Which facts make up a key. Ordered so that shapes which share a path hash are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Shape {
    path: PathShape,
    /// Family (true: IPv6) and length.
    address: Option<(bool, u8)>,
    host: bool,
    method: bool,
    certificate: Option<u8>,
    /// Alone only: every header of the request is looked up.
    header: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum PathShape {
    #[default]
    Any,
    Whole,
    Prefix(u16),
}

#[derive(Debug, Default)]
pub(super) struct Index {
    shapes: Box<[Probe]>,
    table: HashTable<Entry>,
    /// Ascending rule numbers; [`Entry`] and `always` are ranges of it.
    postings: Box<[u32]>,
    always: Run,
}

#[derive(Debug)]
struct Probe {
    shape: Shape,
    certificate: Option<CertificateField>,
    seed: u64,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    run: Run,
}

#[derive(Debug, Clone, Copy, Default)]
struct Run {
    next: u32,
    end: u32,
}

/// The lists found for one request, read from the front.
#[derive(Debug, Default)]
pub(super) struct Cursors(Vec<Run>);

impl Index {
    pub fn build<'c>(conditions: impl Iterator<Item = &'c Condition>) -> Index {
        let rules: Vec<Option<Vec<Facts>>> = conditions.map(necessary::alternatives).collect();
        let shapes = choose(&rules);
        let mut lists: HashMap<u64, Vec<u32>> = HashMap::new();
        let mut always = Vec::new();
        for (n, alternatives) in rules.iter().enumerate() {
            let keys: Option<Vec<u64>> = alternatives.as_ref().and_then(|alternatives| {
                alternatives.iter().map(|facts| best(facts, &shapes).map(|shape| key_of(facts, shape))).collect()
            });
            let n = n as u32;
            let Some(keys) = keys else {
                always.push(n);
                continue;
            };
            for key in keys {
                let list = lists.entry(key).or_default();
                if list.last() != Some(&n) {
                    list.push(n);
                }
            }
        }
        let mut postings: Vec<u32> = Vec::new();
        let mut add = |list: &[u32]| {
            let next = postings.len() as u32;
            postings.extend_from_slice(list);
            Run { next, end: postings.len() as u32 }
        };
        let mut table = HashTable::with_capacity(lists.len());
        for (key, list) in lists {
            table.insert_unique(key, Entry { key, run: add(&list) }, |entry| entry.key);
        }
        let always = add(&always);
        let mut shapes: Vec<Shape> = shapes.into_iter().collect();
        shapes.sort_unstable();
        let certificate_of = |shape: &Shape| {
            let field = |facts: &Facts| facts.certificate.as_ref().map(|(field, _)| *field);
            let mut fields = rules.iter().flatten().flatten().filter_map(field);
            shape.certificate.and_then(|code| fields.find(|field| *field as u8 == code))
        };
        let shapes = shapes
            .iter()
            .map(|shape| Probe { shape: *shape, certificate: certificate_of(shape), seed: HASHER.hash_one(shape) })
            .collect();
        Index { shapes, table, postings: postings.into_boxed_slice(), always }
    }

    pub fn always(&self) -> usize {
        (self.always.end - self.always.next) as usize
    }

    /// Finds the lists of all rules that the request can match.
    pub fn gather(&self, request: &Request<'_>, buffers: &mut Buffers, cursors: &mut Cursors) {
        cursors.0.clear();
        if self.always.next < self.always.end {
            cursors.0.push(self.always);
        }
        if self.shapes.is_empty() {
            return;
        }
        let head = request.head;
        let host = lazy(|| HASHER.hash_one(head.host().as_bytes()));
        let method = lazy(|| method_hash(head.method()));
        let (mut host, mut method) = (host, method);
        let path = &mut buffers.text;
        extend_lower(path, head.path().as_bytes());
        let mut hashed = (PathShape::Any, 0);
        for probe in &self.shapes {
            let Shape { path: wanted, address, .. } = probe.shape;
            let mut key = probe.seed;
            if wanted != PathShape::Any {
                if wanted != hashed.0 {
                    let part = match wanted {
                        PathShape::Prefix(length) => match path.get(..usize::from(length)) {
                            Some(part) => part,
                            None => continue,
                        },
                        _ => path.as_slice(),
                    };
                    hashed = (wanted, HASHER.hash_one(part));
                }
                key = mix(key, hashed.1);
            }
            if let Some((v6, length)) = address {
                if v6 != request.address.is_ipv6() {
                    continue;
                }
                key = mix(key, address_hash(&Prefix::of(request.address, length)));
            }
            if probe.shape.host {
                key = mix(key, host());
            }
            if probe.shape.method {
                key = mix(key, method());
            }
            if let Some(field) = probe.certificate {
                // Fields are compared in lower case; certificates with upper-case names are the rule, so copy.
                let mark = path.len();
                extend_lower(path, certificate(request, field));
                key = mix(key, HASHER.hash_one(&path[mark..]));
                path.truncate(mark);
            }
            if probe.shape.header {
                for (name, _) in head.fields() {
                    self.look_up(mix(key, HASHER.hash_one(name.as_bytes())), cursors);
                }
            } else {
                self.look_up(key, cursors);
            }
        }
        path.clear();
    }

    fn look_up(&self, key: u64, cursors: &mut Cursors) {
        if let Some(entry) = self.table.find(key, |entry| entry.key == key) {
            cursors.0.push(entry.run);
        }
    }

    /// The next rule in order; each once.
    pub fn next(&self, cursors: &mut Cursors) -> Option<u32> {
        let head = |run: &Run| self.postings[run.next as usize];
        if let [run] = cursors.0.as_mut_slice() {
            let rule = head(run);
            run.next += 1;
            if run.next == run.end {
                cursors.0.clear();
            }
            return Some(rule);
        }
        let rule = cursors.0.iter().map(head).min()?;
        cursors.0.retain_mut(|run| {
            run.next += u32::from(head(run) == rule);
            run.next < run.end
        });
        Some(rule)
    }
}

/// The shapes to use: the frequent ones that occur, then coarser ones that take most of the rest.
fn choose(rules: &[Option<Vec<Facts>>]) -> HashSet<Shape> {
    let mut counts: HashMap<Shape, usize> = HashMap::new();
    for alternatives in rules.iter().flatten() {
        let shapes: HashSet<Shape> = alternatives.iter().filter_map(full).collect();
        for shape in shapes {
            *counts.entry(shape).or_default() += 1;
        }
    }
    // With more shapes than fit, half of the room is for coarser ones.
    let exact = if counts.len() <= MAX_SHAPES { MAX_SHAPES } else { MAX_SHAPES / 2 };
    let (kept, rest) = most_frequent(counts, exact);
    let mut coarse: HashMap<Shape, usize> = HashMap::new();
    for (shape, count) in rest {
        for candidate in coarser(shape) {
            *coarse.entry(candidate).or_default() += count;
        }
    }
    let (coarse, _) = most_frequent(coarse, MAX_SHAPES - kept.len());
    kept.into_iter().chain(coarse).collect()
}

/// Up to `most` shapes with enough rules behind them, and the others with their counts.
fn most_frequent(counts: HashMap<Shape, usize>, most: usize) -> (Vec<Shape>, Vec<(Shape, usize)>) {
    let mut counts: Vec<(Shape, usize)> = counts.into_iter().collect();
    // Among equals the more specific one; the shape itself, so that the order is always the same.
    counts.sort_unstable_by_key(|&(shape, count)| (Reverse(count), Reverse(specificity(&shape)), shape));
    let worth = |shape: &Shape| if shape.header { MIN_HEADER_RULES } else { MIN_RULES };
    let (mut kept, mut rest) = (Vec::new(), Vec::new());
    for (shape, count) in counts {
        if kept.len() < most && count >= worth(&shape) {
            kept.push(shape);
        } else {
            rest.push((shape, count));
        }
    }
    (kept, rest)
}

/// All usable facts of an alternative; None if there are none.
fn full(facts: &Facts) -> Option<Shape> {
    let mut shape = Shape {
        path: match &facts.path {
            None => PathShape::Any,
            Some(Path::Whole(_)) => PathShape::Whole,
            // A head is shorter than 65,536 bytes, so a longer prefix never matches; cut, it still holds.
            Some(Path::Prefix(prefix)) => PathShape::Prefix(u16::try_from(prefix.len()).unwrap_or(u16::MAX)),
        },
        address: facts.address.map(|prefix| (prefix.v6, prefix.length)),
        host: facts.host.is_some(),
        method: facts.method.is_some(),
        certificate: facts.certificate.as_ref().map(|(field, _)| *field as u8),
        header: false,
    };
    if shape == Shape::default() {
        shape.header = facts.header.is_some();
    }
    (shape != Shape::default()).then_some(shape)
}

/// Shapes with fewer facts or rounder prefixes that a rule of this shape can be found by as well.
fn coarser(shape: Shape) -> Vec<Shape> {
    let rounded = |length: u16| 1 << length.ilog2();
    let octets = |length: u8| length / 8 * 8;
    let path = match shape.path {
        PathShape::Prefix(length) if length > 0 => PathShape::Prefix(rounded(length)),
        path => path,
    };
    let address = shape.address.map(|(v6, length)| (v6, octets(length)));
    let none = Shape::default();
    [
        Shape { path, address, ..shape },
        Shape { path, address: None, certificate: None, ..shape },
        Shape { path, ..none },
        Shape { address, ..none },
        Shape { host: shape.host, ..none },
        Shape { certificate: shape.certificate, ..none },
        Shape { method: shape.method, ..none },
    ]
    .into_iter()
    .filter(|candidate| *candidate != none)
    .collect()
}

/// The kept shape that tells most of those that the facts can be found by.
fn best<'s>(facts: &Facts, shapes: &'s HashSet<Shape>) -> Option<&'s Shape> {
    if let Some(shape) = full(facts).and_then(|full| shapes.get(&full)) {
        return Some(shape);
    }
    shapes.iter().filter(|shape| covers(shape, facts)).max_by_key(|shape| (specificity(shape), **shape))
}

fn covers(shape: &Shape, facts: &Facts) -> bool {
    let path = match (shape.path, &facts.path) {
        (PathShape::Any, _) => true,
        (PathShape::Whole, path) => matches!(path, Some(Path::Whole(_))),
        (PathShape::Prefix(length), Some(Path::Whole(path) | Path::Prefix(path))) => usize::from(length) <= path.len(),
        (PathShape::Prefix(_), None) => false,
    };
    let address = shape
        .address
        .is_none_or(|(v6, length)| facts.address.is_some_and(|prefix| prefix.v6 == v6 && length <= prefix.length));
    path && address
        && (!shape.host || facts.host.is_some())
        && (!shape.method || facts.method.is_some())
        && (!shape.header || facts.header.is_some())
        && shape
            .certificate
            .is_none_or(|code| facts.certificate.as_ref().is_some_and(|(field, _)| *field as u8 == code))
}

/// Roughly, how few requests a key of the shape lets through.
fn specificity(shape: &Shape) -> u32 {
    let path = match shape.path {
        PathShape::Any => 0,
        PathShape::Whole => 60,
        PathShape::Prefix(length) => u32::from(length).min(40),
    };
    let address = shape.address.map_or(0, |(v6, length)| u32::from(length) * if v6 { 1 } else { 2 });
    path + address
        + u32::from(shape.host) * 20
        + u32::from(shape.method) * 5
        + u32::from(shape.header) * 5
        + shape.certificate.map_or(0, |_| 60)
}

/// The key under which a request that has these facts looks, in the order of [`Index::gather`].
fn key_of(facts: &Facts, shape: &Shape) -> u64 {
    let mut key = HASHER.hash_one(shape);
    match (shape.path, &facts.path) {
        (PathShape::Prefix(length), Some(Path::Whole(path) | Path::Prefix(path))) => {
            key = mix(key, HASHER.hash_one(&path[..usize::from(length)]));
        }
        (PathShape::Whole, Some(Path::Whole(path))) => key = mix(key, HASHER.hash_one(&path[..])),
        _ => {}
    }
    if let (Some((_, length)), Some(prefix)) = (shape.address, facts.address) {
        key = mix(key, address_hash(&shorten(prefix, length)));
    }
    if let (true, Some(host)) = (shape.host, &facts.host) {
        key = mix(key, HASHER.hash_one(&host[..]));
    }
    if let (true, Some(method)) = (shape.method, &facts.method) {
        key = mix(key, HASHER.hash_one(&method[..]));
    }
    if let (Some(_), Some((_, value))) = (shape.certificate, &facts.certificate) {
        key = mix(key, HASHER.hash_one(&value[..]));
    }
    if let (true, Some(header)) = (shape.header, &facts.header) {
        key = mix(key, HASHER.hash_one(header.as_bytes()));
    }
    key
}

fn shorten(prefix: Prefix, length: u8) -> Prefix {
    let host = if prefix.v6 { 128 } else { 32 } - u32::from(length);
    Prefix { bits: if host == 128 { 0 } else { prefix.bits >> host << host }, length, ..prefix }
}

fn address_hash(prefix: &Prefix) -> u64 {
    mix(prefix.bits as u64, (prefix.bits >> 64) as u64)
}

/// Methods are upper-case in a head, lower-case in facts.
fn method_hash(method: &str) -> u64 {
    let mut lower = [0; 32];
    match lower.get_mut(..method.len()) {
        Some(lower) => {
            lower.copy_from_slice(method.as_bytes());
            lower.make_ascii_lowercase();
            HASHER.hash_one(&lower[..])
        }
        None => HASHER.hash_one(method.to_ascii_lowercase().as_bytes()),
    }
}

/// Computes once, when first asked.
fn lazy(compute: impl Fn() -> u64) -> impl FnMut() -> u64 {
    let mut value = None;
    move || *value.get_or_insert_with(&compute)
}

fn mix(a: u64, b: u64) -> u64 {
    let mixed = (a ^ b.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}
