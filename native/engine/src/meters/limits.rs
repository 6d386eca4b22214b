//! What is counted of rate limits, beside what they refuse.

use foldhash::HashMap;
use serde_json::{Value, json};

use super::{LimitSeries, Meters, Names, slot, with_registry};
use crate::limits::shared::{Fleet, Told};
use crate::limits::{Counters, Stats};
use crate::policy::{Fallback, SharingMode};
use crate::snapshot::Snapshot;

/// By limit series.
#[derive(Debug, Default, Clone)]
pub(super) struct Limited {
    /// Requests that it was asked for.
    checked: Vec<u64>,
    /// Requests that waited for their turn, and for how many microseconds.
    delayed: Vec<[u64; 2]>,
    /// Requests that the fleet could not be asked about, by what held instead.
    fallen: Vec<[u64; 3]>,
    /// What went beyond the limit because several nodes admitted it at once.
    overshot: Vec<u64>,
}

/// What was counted of one limit since the process started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub checked: u64,
    pub refused: u64,
    /// In log mode.
    pub would_refuse: u64,
    pub delayed: u64,
}

impl Meters {
    pub fn limit_checked(&mut self, limit: LimitSeries) {
        *slot(&mut self.limited.checked, limit.0) += 1;
    }

    pub fn limit_delayed(&mut self, limit: LimitSeries, delay_us: u64) {
        let [delayed, us] = slot(&mut self.limited.delayed, limit.0);
        *delayed += 1;
        *us += delay_us;
    }
}

impl Limited {
    pub(super) fn merge(&mut self, other: &Limited) {
        for (mine, theirs) in [(&mut self.checked, &other.checked), (&mut self.overshot, &other.overshot)] {
            for (index, theirs) in theirs.iter().enumerate() {
                *slot(mine, index as u32) += theirs;
            }
        }
        for (index, theirs) in other.delayed.iter().enumerate() {
            let mine = slot(&mut self.delayed, index as u32);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
        for (index, theirs) in other.fallen.iter().enumerate() {
            let mine = slot(&mut self.fallen, index as u32);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }
}

/// By the limit's name; those that do not count any more included.
#[must_use]
pub fn figures() -> HashMap<String, Figures> {
    with_registry(|registry| {
        let sum = registry.sum();
        let of = |(at, labels): (usize, &Vec<String>)| {
            let [would_refuse, refused] = sum.limits.get(at).copied().unwrap_or_default();
            let checked = sum.limited.checked.get(at).copied().unwrap_or_default();
            let [delayed, _] = sum.limited.delayed.get(at).copied().unwrap_or_default();
            (labels[0].clone(), Figures { checked, refused, would_refuse, delayed })
        };
        registry.limits.list.iter().enumerate().map(of).collect()
    })
}

/// Takes over what was told by rules' places, which are those of this snapshot: before another one is in force. Answers
/// the rest.
pub fn gather(snapshot: &Snapshot) -> Told {
    let Some(fleet) = Fleet::started() else { return Told::default() };
    let mut told = fleet.told();
    with_registry(|registry| {
        let limited = &mut registry.ended.limited;
        let series = |rule: u32| snapshot.limit_series.get(rule as usize);
        for (rule, fallback, count) in told.fallbacks.drain(..) {
            if let Some(series) = series(rule) {
                slot(&mut limited.fallen, series.0)[fallback as usize] += count;
            }
        }
        for (rule, units) in told.overshoot.drain(..) {
            if let Some(series) = series(rule) {
                *slot(&mut limited.overshot, series.0) += units;
            }
        }
    });
    told
}

pub(super) fn families(limited: &Limited, names: &Names) -> [Value; 5] {
    let of_limits = |cells: &mut dyn Iterator<Item = f64>| -> Vec<Value> {
        let sample = |(labels, value): (&Vec<String>, f64)| json!({ "labels": { "limit": labels[0] }, "value": value });
        names.list.iter().zip(cells).filter(|(_, value)| *value > 0.0).map(sample).collect()
    };
    let checked = of_limits(&mut limited.checked.iter().map(|&count| count as f64));
    let delayed = of_limits(&mut limited.delayed.iter().map(|&[count, _]| count as f64));
    let seconds = of_limits(&mut limited.delayed.iter().map(|&[_, us]| us as f64 / 1e6));
    let overshot = of_limits(&mut limited.overshot.iter().map(|&units| units as f64));
    let mut fallen = Vec::new();
    for (labels, cells) in names.list.iter().zip(&limited.fallen) {
        for (fallback, &value) in FALLBACKS.iter().zip(cells) {
            if value > 0 {
                fallen.push(json!({ "labels": { "limit": labels[0], "fallback": fallback }, "value": value }));
            }
        }
    }
    [
        family("portcullis_limits_checked_total", "counter", "Requests that a limit was asked for.", checked),
        family(
            "portcullis_limits_delayed_total",
            "counter",
            "Requests that waited for their turn (`action: delay`).",
            delayed,
        ),
        family("portcullis_limits_delay_seconds_total", "counter", "How long they waited.", seconds),
        family(
            "portcullis_limits_fallback_total",
            "counter",
            "Requests that the fleet's counters could not be asked about, by what held instead.",
            fallen,
        ),
        family(
            "portcullis_limits_overshoot_total",
            "counter",
            "What went beyond a limit (`mode: fast`), as the fleet's counters saw it.",
            overshot,
        ),
    ]
}

/// By the number of a [`Fallback`].
const FALLBACKS: [&str; 3] = ["local", "open", "closed"];
const _: () = assert!(Fallback::Local as usize == 0 && Fallback::Open as usize == 1 && Fallback::Closed as usize == 2);

/// What is not counted by thread.
pub(super) fn process_families(snapshot: &Snapshot, standing: &Told) -> Vec<Value> {
    let Stats { entries, entries_max, evictions, full } = Counters::started().map(Counters::stats).unwrap_or_default();
    let alone = |value: u64| vec![json!({ "labels": {}, "value": value })];
    let mut families = vec![
        family("portcullis_limits_entries", "gauge", "Keys that are counted, idle ones included.", alone(entries)),
        family(
            "portcullis_limits_entries_max",
            "gauge",
            "Most keys that can be (`limits.entries`).",
            alone(entries_max),
        ),
        family(
            "portcullis_limits_evictions_total",
            "counter",
            "Idle keys that made room for others.",
            alone(evictions),
        ),
        family(
            "portcullis_limits_full_total",
            "counter",
            "Times that a new key found no room: its request was refused, or passed uncounted (`limits.allowUncounted`).",
            alone(full),
        ),
    ];
    let bounds = snapshot.limits.rules().iter().filter(|rule| rule.sharing.mode != SharingMode::Local).map(|rule| {
        let bound = match rule.sharing.mode {
            SharingMode::Fast => u64::from(standing.nodes) * rule.sharing.advance,
            SharingMode::Local | SharingMode::Strict => 0,
        };
        json!({ "labels": { "limit": rule.name }, "value": bound })
    });
    families.extend([
        family(
            "portcullis_limits_shared_asks_total",
            "counter",
            "Questions to the fleet's counters.",
            alone(standing.asks),
        ),
        family("portcullis_limits_leases", "gauge", "Keys that hold a lease, or owe something.", alone(standing.leases)),
        family(
            "portcullis_limits_nodes",
            "gauge",
            "Nodes that share the fleet's counters, this one included.",
            alone(standing.nodes.into()),
        ),
        family(
            "portcullis_limits_memory_lost_total",
            "counter",
            "Times that the fleet's counters turned out to have lost their memory.",
            alone(standing.memory_lost),
        ),
        family(
            "portcullis_limits_untold_total",
            "counter",
            "Records for the fleet's counters that found no room: what was spent, or goes back.",
            alone(standing.untold),
        ),
        family(
            "portcullis_limits_overshoot_bound",
            "gauge",
            "What all nodes together may admit beyond a limit in one of its periods: nodes times `advance` with `fast`, 0 with `strict`.",
            bounds.collect(),
        ),
    ]);
    families
}

fn family(name: &str, kind: &str, help: &str, samples: Vec<Value>) -> Value {
    json!({ "name": name, "help": help, "type": kind, "samples": samples })
}
