//! What was asked against a plain list of it.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde_json::Value;

use super::{Asked, Method, Volumes, network};
use crate::meters::operation_series;
use crate::peer::Peer;

/// A bucket begins in it.
const START_S: u64 = 1_800_000_000;

fn who(number: u64) -> [u8; 16] {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (u128::from(number) << 64 | u128::from(mixed ^ mixed >> 32)).to_be_bytes()
}

fn asked(operation: &str, session: u64, second: u64) -> Asked {
    let operation = operation_series("volumes.example.com", operation);
    Asked { operation, who: who(session), anonymous: false, method: Method::Get, status: 200, second: START_S + second }
}

fn told(volumes: &Volumes, until_s: u64) -> Vec<Value> {
    serde_json::from_str(&volumes.take((START_S + until_s) * 1_000)).unwrap()
}

#[test]
fn a_client_has_the_whole_of_its_ipv6_network() {
    let of = |address: &str| network(&Peer::new(address.parse().unwrap(), None)).into_owned();
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
    assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}

#[test]
fn each_bucket_is_told_once_when_it_has_ended() {
    let volumes = Volumes::default();
    let recorder = volumes.recorder();
    recorder.note(asked("op1", 1, 0));
    recorder.note(Asked { anonymous: true, method: Method::Post, status: 401, ..asked("op1", 2, 599) });
    recorder.note(asked("op2", 1, 600));
    assert!(told(&volumes, 599).is_empty());
    let first = told(&volumes, 600);
    assert_eq!(
        first,
        [serde_json::json!({
            "host": "volumes.example.com", "operation": "op1", "bucket": START_S * 1_000,
            "requests": 2, "anonymous": 1, "sessions": 2, "share": 1.0, "histogram": [[1, 1, 2]],
            "methods": { "GET": 1, "POST": 1 }, "statuses": { "200": 1, "401": 1 },
            "heaviest": first[0]["heaviest"],
        })]
    );
    assert!(told(&volumes, 1_199).is_empty());
    // What comes late is not lost, and the bucket that was told is not told again.
    recorder.note(asked("op2", 1, 598));
    let second = told(&volumes, 1_200);
    assert_eq!((second.len(), &second[0]["requests"]), (1, &2.into()));
    assert_eq!(second[0]["bucket"], (START_S + 600) * 1_000);
    assert!(told(&volumes, 1_200).is_empty());
}

#[test]
fn what_a_thread_noted_is_told_when_it_has_ended() {
    let volumes = Volumes::default();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let recorder = volumes.recorder();
            scope.spawn(move || (0..1_000).for_each(|number| recorder.note(asked("op1", thread, number / 2))));
        }
    });
    let told = told(&volumes, 600);
    assert_eq!((&told[0]["requests"], &told[0]["sessions"]), (&4_000.into(), &4.into()));
    assert!(super::lock(&volumes.filling).threads.is_empty());
}

#[test]
fn a_bucket_that_nobody_takes_makes_room() {
    let volumes = Volumes::default();
    let recorder = volumes.recorder();
    for bucket in 0..50 {
        recorder.note(asked("op1", 1, bucket * 600));
    }
    let buckets: Vec<_> = told(&volumes, 100_000).iter().map(|told| told["bucket"].as_u64().unwrap()).collect();
    assert_eq!(buckets, [47, 48, 49].map(|bucket| (START_S + bucket * 600) * 1_000));
}

#[test]
fn many_operations_are_told_some_at_a_time() {
    let volumes = Volumes::default();
    let recorder = volumes.recorder();
    for number in 0..150 {
        recorder.note(asked(&format!("op{number}"), 1, 0));
    }
    assert_eq!([0; 3].map(|_| told(&volumes, 600).len()), [100, 50, 0]);
}

#[test]
fn statuses_beyond_the_first_are_told_by_their_class() {
    let volumes = Volumes::default();
    let recorder = volumes.recorder();
    for status in 400..420 {
        recorder.note(Asked { status, ..asked("op1", 1, 0) });
    }
    let told = told(&volumes, 600);
    let statuses: BTreeMap<String, u64> = serde_json::from_value(told[0]["statuses"].clone()).unwrap();
    assert_eq!((statuses.len(), statuses["4xx"], statuses["415"]), (17, 4, 1));
}

/// With more sessions than are kept, those that are left were counted from their first request, and stand for all.
#[test]
fn a_share_of_the_sessions_stands_for_all() {
    let volumes = Volumes::default();
    let recorder = volumes.recorder();
    const SESSIONS: u64 = 20_000;
    let requests = |session: u64| 1 + session % 5;
    for round in 0..5 {
        for session in (0..SESSIONS).filter(|&session| round < requests(session)) {
            recorder.note(asked("op1", session, round * 100 + session / 200));
        }
    }
    let told = &told(&volumes, 600)[0];
    assert_eq!(told["requests"], (0..SESSIONS).map(requests).sum::<u64>());
    let (sessions, share) = (told["sessions"].as_f64().unwrap(), told["share"].as_f64().unwrap());
    assert!((share.log2().fract() == 0.0) && share < 1.0 && sessions <= 1_024.0);
    // Five standard deviations of a sample of some 600.
    let deviation = 5.0 / sessions.sqrt();
    assert!((sessions / share / SESSIONS as f64 - 1.0).abs() < deviation, "{sessions} at {share}");
    let histogram: Vec<(u64, u64, f64)> = serde_json::from_value(told["histogram"].clone()).unwrap();
    assert_eq!(histogram.len(), 5);
    for (least, most, count) in histogram {
        assert!(least == most && (count / sessions - 0.2).abs() < 0.2 * 5.0 * (4.0 / sessions).sqrt());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Requests and peaks of each session are those of the list, whichever thread they came by.
    #[test]
    fn sessions_and_their_peaks_are_counted(
        list in prop::collection::vec((0..8_u64, 0..3_usize, prop_oneof![Just(0_u64), 0..4_u64, 0..40_u64]), 1..600),
    ) {
        let volumes = Volumes::default();
        let recorders = [volumes.recorder(), volumes.recorder(), volumes.recorder()];
        let (mut second, mut model) = (0, HashMap::<u64, Vec<u64>>::new());
        for (session, thread, wait) in list {
            second += wait;
            if second >= 600 {
                break;
            }
            recorders[thread].note(asked("op1", session, second));
            model.entry(session).or_default().push(second);
        }
        let told = told(&volumes, 600);
        let most = |seconds: &[u64], span: u64| {
            let mut spans = HashMap::<u64, u64>::new();
            seconds.iter().for_each(|second| *spans.entry(second / span).or_default() += 1);
            spans.into_values().max().unwrap_or(0)
        };
        let mut expected: Vec<_> = model
            .iter()
            .map(|(&session, seconds)| {
                let hash = format!("{:032x}", u128::from_be_bytes(who(session)));
                (hash, seconds.len() as u64, most(seconds, 1), most(seconds, 10), most(seconds, 60))
            })
            .collect();
        expected.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let heaviest: Vec<(String, u64, u64, u64, u64)> = serde_json::from_value(told[0]["heaviest"].clone()).unwrap();
        prop_assert_eq!(&heaviest, &expected);
        let histogram: Vec<(u64, u64, u64)> = serde_json::from_value(told[0]["histogram"].clone()).unwrap();
        for &(least, most, count) in &histogram {
            // A step is exact, or an eighth of what it stands for at most.
            prop_assert!(least == most || (most - least + 1) * 8 <= least);
            let within = expected.iter().filter(|session| (least..=most).contains(&session.1)).count() as u64;
            prop_assert_eq!(within, count);
        }
        prop_assert_eq!(histogram.iter().map(|step| step.2).sum::<u64>(), expected.len() as u64);
    }
}
