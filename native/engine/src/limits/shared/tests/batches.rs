//! What goes into a batch, and where its answers go.

use super::super::{Call, MAX_RECORDS};
use super::server::Server;
use super::*;
use crate::limits::Taken;
use crate::policy::Shared;

const NOW_US: u64 = 5_000_000;

fn limit() -> Ask {
    ask(SharingMode::Strict, Fallback::Closed, quota(Algorithm::Gcra, 10, 4, SECOND_US))
}

fn numbered(number: u64) -> Ask {
    Ask { key: Key([number << 56, number]), ..limit() }
}

fn words(call: &Call) -> Vec<f64> {
    call.records.chunks_exact(8).map(|word| f64::from_le_bytes(word.try_into().unwrap())).collect()
}

fn row(words: [f64; 3]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A reply of a server that was born at 1 and says now that it is 100.
fn reply(rows: &[[f64; 3]]) -> Vec<u8> {
    let head = [100.0_f64, 1.0].iter().flat_map(|word| word.to_le_bytes());
    head.chain(rows.iter().flat_map(|words| row(*words))).collect()
}

#[test]
fn a_record_says_what_is_asked() {
    let mut asking = Asking::new(fleet());
    let mut asked = limit();
    (asked.cost, asked.delay_us, asked.quota.penalty_us) = (3, 250, 7_000);
    let peeked = Ask { peek: true, quota: quota(Algorithm::SlidingWindow, 5, 5, 8_000_000), ..limit() };
    assert!(asking.ask(waiter(1), &[asked, peeked]));
    let batch = asking.next().unwrap();
    assert_eq!(batch.waiters, [waiter(1)]);
    let [call] = &batch.calls[..] else { panic!("one partition, one call") };
    let key = "portcullis{0}:0123456789abcdeffedcba9876543210";
    assert_eq!(call.keys, ["portcullis{0}:born", key, key]);
    let words = words(call);
    assert_eq!(words[0], 0.0, "no birth is known yet");
    assert_eq!(words[1..9], [1.0, 100_000.0, 400_000.0, 3.0, 7_000.0, 2_258.0, 250.0, 0.0]);
    assert_eq!(words[9..], [4.0, 1_000_000.0, 5.0, 1.0, 0.0, 18_000.0, 0.0, 0.0]);
    assert!(asking.next().is_none() && !asking.is_pending());
}

#[test]
fn every_exchange_gets_its_own_answers() {
    let mut asking = Asking::new(fleet());
    for slot in 0..3 {
        assert!(asking.ask(waiter(slot), &vec![limit(); slot as usize + 1]));
    }
    let batch = asking.next().unwrap();
    let rows: Vec<[f64; 3]> = (0..6).map(|row| [if row == 4 { 9.0 } else { 0.0 }, f64::from(row), 0.0]).collect();
    asking.answered(batch.number, 0, Some(&reply(&rows)), NOW_US);
    let admitted = |remaining| Some(Taken::Admitted { remaining, reset_us: 0 });
    assert_eq!(asking.answers(waiter(0)).unwrap(), [admitted(0)]);
    assert_eq!(asking.answers(waiter(1)).unwrap(), [admitted(1), admitted(2)]);
    let refused = Some(Taken::Refused { wait_us: 9, penalty: false });
    assert_eq!(asking.answers(waiter(2)).unwrap(), [admitted(3), refused, admitted(5)]);
    let next_in_slot = Waiter { slot: 2, generation: 8 };
    assert_eq!(asking.answers(next_in_slot), None);
    asking.over(batch.number);
    assert_eq!(asking.answers(waiter(0)), None);
    // Late: nobody is there any more.
    asking.answered(batch.number, 0, Some(&reply(&rows)), NOW_US);
}

#[test]
fn what_nobody_answers_stays_open() {
    let mut asking = Asking::new(fleet());
    assert!(asking.ask(waiter(0), &[limit(), limit()]));
    let number = asking.next().unwrap().number;
    let too_short = &reply(&[[0.0; 3]]);
    asking.answered(number, 0, Some(too_short), NOW_US);
    // Only the first answer counts.
    asking.answered(number, 0, Some(&reply(&[[0.0; 3], [0.0; 3]])), NOW_US);
    assert_eq!(asking.answers(waiter(0)).unwrap(), [None, None]);
    asking.over(number);
    assert!(asking.ask(waiter(0), &[limit(), limit()]));
    let number = asking.next().unwrap().number;
    asking.answered(number, 0, Some(&reply(&[[f64::NAN, 0.0, 0.0], [0.0; 3]])), NOW_US);
    assert!(matches!(asking.answers(waiter(0)).unwrap(), [None, Some(Taken::Admitted { .. })]));
}

#[test]
fn a_call_is_bounded_and_an_exchange_is_never_split() {
    let mut asking = Asking::new(fleet());
    for slot in 0..300 {
        assert!(asking.ask(waiter(slot), &[limit(), limit(), limit()]));
    }
    assert!(!asking.ask(waiter(300), &vec![limit(); MAX_RECORDS + 1]));
    let mut exchanges = 0;
    while let Some(batch) = asking.next() {
        let [call] = &batch.calls[..] else { panic!("one partition, one call") };
        assert!(call.keys.len() - 1 <= MAX_RECORDS);
        assert_eq!(call.keys.len() - 1, 3 * batch.waiters.len());
        exchanges += batch.waiters.len();
    }
    assert_eq!(exchanges, 300);
}

#[test]
fn in_a_cluster_each_partition_has_a_call() {
    let fleet = fleet();
    fleet.named(&Shared { prefix: "shop".to_owned(), cluster: true });
    let mut asking = Asking::new(fleet);
    let asks: Vec<Ask> = (0..32).map(numbered).collect();
    assert!(asking.ask(waiter(0), &asks));
    let calls = asking.next().unwrap().calls;
    assert_eq!(calls.len(), 16);
    for call in calls {
        let (partition, _) = call.keys[0].split_once('}').unwrap();
        assert_eq!(call.keys.len(), 3);
        assert!(call.keys.iter().all(|key| key.starts_with(partition)), "{:?}", call.keys);
        assert!(
            call.keys[1]
                .starts_with(&format!("{partition}}}:{:02x}", u8::from_str_radix(&partition[5..], 16).unwrap()))
        );
    }
}

#[test]
fn what_was_taken_goes_back_once() {
    let mut asking = Asking::new(fleet());
    assert!(asking.ask(waiter(0), &[limit(), Ask { peek: true, ..limit() }, limit()]));
    let number = asking.next().unwrap().number;
    asking.answered(number, 0, Some(&reply(&[[0.0; 3], [0.0; 3], [5.0, 0.0, 0.0]])), NOW_US);
    asking.give_back(waiter(0));
    asking.give_back(waiter(0));
    asking.over(number);
    let batch = asking.next().unwrap();
    assert_eq!(batch.waiters, []);
    assert_eq!(words(&batch.calls[0])[1..], [7.0, 100_000.0, 400_000.0, 1.0, 0.0, 2_250.0, 100.0, 0.0]);
    asking.answered(batch.number, 0, None, NOW_US);
    asking.over(batch.number);
    assert!(!asking.is_pending(), "rather never than twice");
}

#[test]
fn what_was_counted_is_told_until_it_is_known() {
    let mut asking = Asking::new(fleet());
    asking.spend(&limit(), NOW_US);
    for _ in 0..3 {
        let batch = asking.next().unwrap();
        assert_eq!(words(&batch.calls[0])[1], 5.0);
        asking.answered(batch.number, 0, None, NOW_US);
        asking.over(batch.number);
    }
    let batch = asking.next().unwrap();
    asking.over(batch.number);
    let batch = asking.next().unwrap();
    asking.answered(batch.number, 0, Some(&reply(&[[0.0; 3]])), NOW_US);
    asking.over(batch.number);
    assert!(!asking.is_pending());
}

#[test]
fn while_nobody_can_be_asked_nobody_waits() {
    let mut asking = Asking::new(fleet());
    asking.spend(&limit(), NOW_US);
    assert!(asking.ask(waiter(0), &[limit()]));
    asking.set_up(false);
    assert!(!asking.ask(waiter(1), &[limit()]));
    let batch = asking.next().unwrap();
    assert_eq!((batch.calls.len(), batch.waiters), (0, vec![waiter(0)]));
    assert_eq!(asking.answers(waiter(0)).unwrap(), [None]);
    asking.over(batch.number);
    assert!(!asking.is_pending() && asking.next().is_none());
    asking.set_up(true);
    let batch = asking.next().unwrap();
    assert_eq!((batch.calls.len(), batch.waiters.len()), (1, 0), "what was counted is still told");
}

#[test]
fn a_turn_that_comes_later_is_spent() {
    let mut server = Server::new(NOW_US);
    let mut asking = Asking::new(fleet());
    let patient = Ask { delay_us: 150_000, ..limit() };
    let mut waits = Vec::new();
    for _ in 0..7 {
        assert!(asking.ask(waiter(0), &[patient]));
        let batch = asking.next().unwrap();
        asking.answered(batch.number, 0, Some(&server.call(&batch.calls[0])), NOW_US);
        waits.push(super::super::turn_us(asking.answers(waiter(0)).unwrap()[0].unwrap(), patient.delay_us));
        asking.over(batch.number);
    }
    assert_eq!(waits, [Some(0), Some(0), Some(0), Some(0), Some(100_000), None, None]);
    let never = Ask { cost: 5, ..patient };
    assert!(asking.ask(waiter(0), &[never]));
    let batch = asking.next().unwrap();
    // Whatever wait is told of what can never be had.
    asking.answered(batch.number, 0, Some(&reply(&[[1.0, 0.0, 0.0]])), NOW_US);
    assert_eq!(super::super::turn_us(asking.answers(waiter(0)).unwrap()[0].unwrap(), never.delay_us), None);
}
