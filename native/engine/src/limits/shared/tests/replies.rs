//! Bytes from the network: none makes a node panic, or admit what was not asked for.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::turn_us;
use super::*;

/// Doubles of all kinds.
fn word() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        (-1e7..1e7_f64).prop_map(f64::round),
        -1e16..1e16_f64,
    ]
}

fn bytes(words: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(word(), words).prop_map(|words| words.iter().flat_map(|word| word.to_le_bytes()).collect()),
        1 => vec(any::<u8>(), 0..300),
    ]
}

proptest! {
    #[test]
    fn an_answer_admits_at_most_what_it_answers(
        replies in vec((bytes(2 + 3 * 3), 0..2_u32, any::<bool>()), 1..8),
        local in any::<bool>(),
        delay_us in 0..3_u64,
    ) {
        let fallback = if local { Fallback::Local } else { Fallback::Closed };
        let limit = ask(SharingMode::Strict, fallback, quota(Algorithm::Gcra, 7, 3, SECOND_US));
        let limit = Ask { delay_us, ..limit };
        let mut asking = Asking::new(fleet());
        for (reply, call, gives_back) in replies {
            let asks = [limit, limit, Ask { peek: true, ..limit }];
            prop_assert!(asking.ask(waiter(0), &asks));
            while let Some(batch) = asking.next() {
                asking.answered(batch.number, call, Some(&reply), 5);
                asking.answered(batch.number, call, Some(&reply), 6);
                if let Some(answers) = asking.answers(waiter(0)) {
                    prop_assert_eq!(answers.len(), 3);
                }
                if gives_back {
                    asking.give_back(waiter(0));
                }
                asking.over(batch.number);
            }
        }
    }

    #[test]
    fn a_settling_grants_no_more_than_can_be_had_at_once(
        replies in vec(bytes(2 + 3), 1..12),
        window in any::<bool>(),
        (amount, advance) in (1..50_u64, 1..10_u64),
    ) {
        let algorithm = if window { Algorithm::SlidingWindow } else { Algorithm::Gcra };
        let mut limit = ask(SharingMode::Fast, Fallback::Open, quota(algorithm, amount, amount, SECOND_US));
        limit.sharing.advance = advance;
        limit.quota.penalty_us = 1_000;
        let fleet = fleet();
        let mut now_us = 1_000;
        for reply in replies {
            let admitted = (0..200).filter(|_| {
                fleet.take(&limit, now_us).is_some_and(|taken| turn_us(taken, 0).is_some())
            });
            prop_assert!(admitted.count() as u64 <= 2 * amount + advance);
            fleet.spend(&limit, now_us);
            while fleet.spent(now_us).is_some() {
                fleet.settled(Some(&reply), 3, now_us);
            }
            now_us += 10_000;
        }
    }
}
