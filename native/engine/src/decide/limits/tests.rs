//! Places among those under way, when an exchange does not end as it should.

use serde_json::json;

use super::{Walk, released, with_walk};
use crate::exchange::{Exchange, Now};
use crate::guard::guarded;
use crate::limits::Phase;
use crate::peer::Peer;
use crate::policy::Policy;
use crate::snapshot::Snapshot;

/// One request of each limit at once. Counters are the process's: each test has keys of its own.
fn at_once(key: u64) -> Snapshot {
    let policy: Policy = serde_json::from_value(json!({
        "session_key": format!("{key:064x}"),
        "limits": { "rules": [{ "name": "c", "concurrency": 1 }] },
    }))
    .unwrap();
    Snapshot::compile(&policy, 0, 1).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Whether one more finds a place; what of it comes `then` has the exchange still to itself.
fn enters(exchange: &mut Exchange, snapshot: &Snapshot, then: fn()) -> bool {
    let peer = Peer::new([192, 0, 2, 1].into(), None);
    exchange.begin(Now { mono_us: 1_000_000, unix_ms: 0 }, "0");
    exchange.head.parse_text("GET /\nhost:api").unwrap();
    with_walk(exchange, snapshot, &peer, None, |walk, exchange| {
        walk.each(exchange, Phase::Endpoint, Walk::ask);
        then();
        walk.ended().is_none()
    })
}

fn goes_on() {}

#[test]
fn a_place_is_left_when_a_panic_is_caught() {
    let (snapshot, mut exchange) = (at_once(1), Exchange::default());
    for _ in 0..2 {
        assert_eq!(guarded(|| enters(&mut exchange, &snapshot, || panic!("a bug"))), None);
    }
    assert!(enters(&mut exchange, &snapshot, goes_on));
    released(&mut exchange);
}

#[test]
fn a_place_is_left_with_the_exchange() {
    let snapshot = at_once(2);
    let mut first = Exchange::default();
    assert!(enters(&mut first, &snapshot, goes_on));
    assert!(!enters(&mut Exchange::default(), &snapshot, goes_on));
    drop(first);
    let mut again = Exchange::default();
    assert!(enters(&mut again, &snapshot, goes_on));
    // The next request of its slot.
    assert!(enters(&mut again, &snapshot, goes_on));
}
