//! What a node does with its leases, alone.

use super::super::{Call, Fallen, turn_us};
use super::server::Server;
use super::*;
use crate::limits::Taken;

fn limit(amount: u64, burst: u64, advance: u64, fallback: Fallback) -> Ask {
    let mut limit = ask(SharingMode::Fast, fallback, quota(Algorithm::Gcra, amount, burst, SECOND_US));
    limit.sharing.advance = advance;
    limit
}

fn passes(fleet: &Fleet, ask: &Ask, now_us: u64) -> bool {
    fleet.take(ask, now_us).is_some_and(|taken| turn_us(taken, ask.delay_us).is_some())
}

fn settle(fleet: &Fleet, server: &mut Server, now_us: u64) -> usize {
    server.now_us = now_us;
    let mut records = 0;
    while let Some(call) = fleet.spent(now_us) {
        records += call.keys.len() - 1;
        fleet.settled(Some(&server.call(&call)), 1, now_us);
    }
    records
}

/// Nobody answers what is told next.
fn fail(fleet: &Fleet) {
    let told = (0..2).any(|_| fleet.spent(1).is_some());
    assert!(told, "behind the end of a round, if need be");
    fleet.settled(None, 0, 1);
}

/// What is free in the fleet's counter.
fn free(server: &mut Server, ask: &Ask, now_us: u64) -> u64 {
    let mut asking = Asking::new(fleet());
    assert!(asking.ask(waiter(0), &[Ask { peek: true, ..*ask }]));
    let batch = asking.next().unwrap();
    server.now_us = now_us;
    asking.answered(batch.number, 0, Some(&server.call(&batch.calls[0])), now_us);
    match asking.answers(waiter(0)) {
        Some([Some(Taken::Admitted { remaining, .. })]) => *remaining,
        _ => 0,
    }
}

#[test]
fn an_advance_is_spent_until_it_is_settled() {
    let (fleet, mut server) = (fleet(), Server::new(0));
    let limit = limit(10, 10, 3, Fallback::Closed);
    let mut now_us = 1_000_000;
    let admitted = (0..8).filter(|_| passes(fleet, &limit, now_us)).count();
    assert_eq!(admitted, 3);
    settle(fleet, &mut server, now_us);
    // Three are counted, and five were granted for those that were refused and come again.
    assert_eq!((0..20).filter(|_| passes(fleet, &limit, now_us)).count(), 7);
    now_us += 1;
    settle(fleet, &mut server, now_us);
    assert_eq!(free(&mut server, &limit, now_us), 0);
    assert!(!passes(fleet, &limit, now_us));
}

#[test]
fn what_is_not_needed_goes_back() {
    let (fleet, mut server) = (fleet(), Server::new(0));
    let limit = limit(1, 1, 1, Fallback::Closed);
    let slow = Ask { quota: quota(Algorithm::Gcra, 60, 60, 3600 * SECOND_US), ..limit };
    let now_us = 1_000_000;
    assert_eq!((0..21).filter(|_| passes(fleet, &slow, now_us)).count(), 1);
    settle(fleet, &mut server, now_us);
    assert_eq!(free(&mut server, &slow, now_us), 39, "one was spent, 20 are granted");
    assert_eq!(settle(fleet, &mut server, now_us), 2);
    assert_eq!(free(&mut server, &slow, now_us), 59);
    assert_eq!(settle(fleet, &mut server, now_us), 0, "there is nothing more to tell");
}

#[test]
fn a_request_that_costs_more_than_the_advance_is_one() {
    let fleet = fleet();
    let limit = limit(100, 100, 3, Fallback::Closed);
    let dear = Ask { cost: 20, ..limit };
    assert!(passes(fleet, &dear, 1));
    assert!(!passes(fleet, &limit, 1));
    assert!(!passes(fleet, &Ask { cost: 101, key: Key([5, 5]), ..limit }, 1), "never");
}

#[test]
fn a_flood_of_keys_evicts_nobody_who_owes() {
    let (fleet, mut server) = (fleet(), Server::new(0));
    let mut limit = limit(2, 2, 1, Fallback::Closed);
    limit.quota.penalty_us = 600 * SECOND_US;
    let now_us = 1_000_000;
    // Two nodes' worth: the key is full, so it is punished at this node.
    server.now_us = now_us;
    for _ in 0..4 {
        let _ = passes(fleet, &limit, now_us);
        settle(fleet, &mut server, now_us);
    }
    assert_eq!(fleet.take(&limit, now_us), Some(Taken::Refused { wait_us: 600 * SECOND_US, penalty: true }));
    settle(fleet, &mut server, now_us);
    let mut full = 0;
    for made_up in 0..1_000 {
        let other = Ask { key: Key([made_up << 32, made_up]), ..limit };
        full += u64::from(fleet.take(&other, now_us) == Some(Taken::Full));
    }
    assert!(full > 0, "nobody told yet");
    for round in 0..100 {
        settle(fleet, &mut server, now_us + round);
        for made_up in 0..100 {
            let other = Ask { key: Key([made_up << 32, round << 32 | made_up]), ..limit };
            let _ = fleet.take(&other, now_us + round);
        }
    }
    assert!(matches!(fleet.take(&limit, now_us + 1_000), Some(Taken::Refused { penalty: true, .. })));
    assert!(fleet.told().leases <= 64);
}

#[test]
fn a_penalty_is_told_to_other_nodes_and_ends_with_a_reset() {
    let (one, other, mut server) = (fleet(), fleet(), Server::new(0));
    let mut limit = limit(2, 2, 1, Fallback::Closed);
    limit.quota.penalty_us = 600 * SECOND_US;
    let mut now_us = 1_000_000;
    for _ in 0..4 {
        let _ = passes(one, &limit, now_us);
        settle(one, &mut server, now_us);
    }
    now_us += 60 * SECOND_US;
    assert!(passes(other, &limit, now_us), "on credit: it has not heard");
    settle(other, &mut server, now_us);
    assert!(matches!(other.take(&limit, now_us), Some(Taken::Refused { penalty: true, .. })));
    // The fleet's counter is reset, and one node.
    let mut call = Call {
        keys: ["born", "0123456789abcdeffedcba9876543210"].map(|name| format!("portcullis{{0}}:{name}")).into(),
        records: vec![0; 72],
    };
    call.records[8..16].copy_from_slice(&9.0_f64.to_le_bytes());
    server.call(&call);
    assert!(one.reset(limit.key));
    assert!(passes(one, &limit, now_us));
    settle(one, &mut server, now_us);
    assert!(!passes(other, &limit, now_us));
    settle(other, &mut server, now_us);
    assert!(passes(other, &limit, now_us));
    assert!(!one.reset(Key([8, 8])));
}

#[test]
fn two_failures_fall_back_until_somebody_answers() {
    let (fleet, mut server) = (fleet(), Server::new(0));
    let limit = limit(10, 10, 3, Fallback::Local);
    assert!(passes(fleet, &limit, 1));
    for _ in 0..2 {
        assert!(fleet.take(&Ask { peek: true, ..limit }, 1).is_some());
        fail(fleet);
    }
    assert!(!fleet.told().settles);
    assert_eq!(fleet.take(&limit, 1), None);
    assert!(matches!(fleet.fall_back(&limit, 1), Fallen::Taken(Taken::Admitted { .. })));
    assert_eq!(
        fleet.fall_back(&Ask { sharing: Sharing { fallback: Fallback::Open, ..limit.sharing }, ..limit }, 1),
        Fallen::Open
    );
    assert_eq!(fleet.told().fallbacks.len(), 2);
    assert_eq!(fleet.spent(1), None, "the round is over");
    settle(fleet, &mut server, 2);
    assert!(fleet.told().settles && passes(fleet, &limit, 2));
    assert_eq!(free(&mut server, &limit, 2), 9, "what was owed was told");
}

#[test]
fn somebody_is_asked_although_there_is_nothing_to_tell() {
    let (fleet, mut server) = (fleet(), Server::new(0));
    let limit = limit(10, 10, 3, Fallback::Closed);
    assert!(passes(fleet, &limit, 1));
    fail(fleet);
    fleet.give_back(&limit);
    fail(fleet);
    fail(fleet);
    assert!(!fleet.told().settles);
    settle(fleet, &mut server, 1);
    settle(fleet, &mut server, 1);
    assert!(fleet.told().settles);
    assert_eq!(settle(fleet, &mut server, 1), 0, "nothing, and nobody is asked");
}

#[test]
fn an_outage_makes_no_share_larger() {
    let fleet = fleet();
    let limit = limit(12, 12, 3, Fallback::Local);
    let admitted = |now_us| {
        (0..20).filter(|_| matches!(fleet.fall_back(&limit, now_us), Fallen::Taken(Taken::Admitted { .. }))).count()
    };
    fleet.settled(None, 4, SECOND_US);
    assert_eq!(admitted(SECOND_US), 3);
    // An hour later the first answer knows nobody but this node.
    fleet.settled(None, 1, 3_600 * SECOND_US);
    assert_eq!(admitted(3_600 * SECOND_US), 3);
    fleet.settled(None, 1, 3_700 * SECOND_US);
    assert_eq!(admitted(3_700 * SECOND_US), 12);
}

#[test]
fn a_server_that_forgot_is_believed_after_a_period() {
    let mut server = Server::new(0);
    let nodes = [fleet(), fleet()];
    let limit = limit(10, 10, 3, Fallback::Closed);
    let mut now_us = 1_000_000;
    for node in nodes {
        assert!(passes(node, &limit, now_us));
        settle(node, &mut server, now_us);
    }
    now_us += 10;
    server.restart(false);
    for node in nodes {
        assert!(passes(node, &limit, now_us), "on credit: it has not heard");
        settle(node, &mut server, now_us);
        assert_eq!(node.take(&limit, now_us), None);
        assert_eq!(node.told().memory_lost, 1);
    }
    // One that starts now is told as well.
    let new = fleet();
    assert!(passes(new, &limit, now_us));
    settle(new, &mut server, now_us);
    assert_eq!(new.take(&limit, now_us + SECOND_US - 1), None);
    assert!(passes(new, &limit, now_us + SECOND_US));
}

#[test]
fn a_peek_spends_nothing_and_an_answer_spends_whatever_is_left() {
    let (fleet, mut server) = (fleet(), Server::new(0));
    let limit = limit(5, 5, 2, Fallback::Closed);
    let peek = Ask { peek: true, ..limit };
    assert!((0..50).all(|_| passes(fleet, &peek, 1)));
    (0..7).for_each(|_| fleet.spend(&limit, 1));
    assert!(!passes(fleet, &peek, 1));
    settle(fleet, &mut server, 1);
    assert_eq!(fleet.told().overshoot, [(0, 2)]);
    assert!(!passes(fleet, &peek, 1));
    assert!(passes(fleet, &peek, 2 + 3 * 200_000), "the fifth of seven has come back");
}
