//! Any bytes as what a fleet's counters answer: to requests that wait, and to what a node tells of its leases.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::limits::shared::{Ask, Asking, Fleet, Waiter, turn_us};
use portcullis_engine::limits::{Counters, Key, Quota};
use portcullis_engine::policy::{Algorithm, Fallback, Sharing, SharingMode};

static FLEET: LazyLock<Fleet> = LazyLock::new(|| Fleet::new(64, Counters::of_process(1024)));
const AMOUNT: u64 = 20;
const ADVANCE: u64 = 3;

fn ask(mode: SharingMode, algorithm: Algorithm) -> Ask {
    Ask {
        rule: 0,
        key: Key([1, algorithm as u64]),
        quota: Quota { algorithm, amount: AMOUNT, period_us: 1_000_000, burst: AMOUNT, penalty_us: 5 },
        cost: 1,
        peek: false,
        delay_us: 7,
        sharing: Sharing { mode, fallback: Fallback::Local, advance: ADVANCE },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&chosen, reply)) = bytes.split_first() else { return };
    let algorithm = if chosen % 2 == 0 { Algorithm::Gcra } else { Algorithm::SlidingWindow };
    // As many records as the reply can be for.
    let records = reply.len().saturating_sub(16) / 24 % 8 + 1;
    let waiter = Waiter { slot: 0, generation: 0 };
    let mut asking = Asking::new(&FLEET);
    assert!(asking.ask(waiter, &vec![ask(SharingMode::Strict, algorithm); records]));
    let batch = asking.next().expect("a question");
    asking.answered(batch.number, 0, Some(reply), 9);
    assert_eq!(asking.answers(waiter).map(<[_]>::len), Some(records));
    asking.give_back(waiter);
    asking.over(batch.number);

    let ask = ask(SharingMode::Fast, algorithm);
    let now_us = u64::from(chosen) * 1_000;
    while FLEET.spent(now_us).is_some() {
        FLEET.settled(Some(reply), 2, now_us);
    }
    let admitted = (0..100).filter(|_| FLEET.take(&ask, now_us).is_some_and(|taken| turn_us(taken, 0).is_some()));
    assert!(admitted.count() as u64 <= 2 * AMOUNT + ADVANCE);
});
