use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::form::whole;
use super::{Change, Key, Keys, MAX_KEYS, MAX_TOLD, Presenting, Secret, Used, Written, sha256};
use crate::exchange::Now;
use crate::reason::Reason;

/// 2030-01-01
const NOW_MS: u64 = 1_893_456_000_000;

fn id(number: u64) -> String {
    format!("{number:012x}")
}

/// The `version`th secret of a key.
fn text(number: u64, version: u64) -> String {
    whole(&id(number), &format!("{version:043}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secret(text: &str, not_after: Option<u64>) -> Secret {
    Secret { digest: hex(&sha256(text.as_bytes())), not_after }
}

fn written(number: u64) -> Written {
    Written { id: id(number), secrets: vec![secret(&text(number, 0), None)], ..Written::default() }
}

fn told(keys: Vec<Written>) -> Keys {
    let table = Keys::default();
    table.change(&Change { keys, ready: true, ..Change::default() }).unwrap();
    table
}

fn at(unix_ms: u64) -> Presenting<'static> {
    let address = IpAddr::from([192, 0, 2, 1]);
    Presenting { host: "api.example.com", address, certificate: None, now: Now { mono_us: 0, unix_ms } }
}

fn verify(table: &Keys, text: &str) -> Result<Key, Reason> {
    table.verify(text, None, &at(NOW_MS))
}

fn outcome(table: &Keys, text: &str) -> Option<Reason> {
    verify(table, text).err()
}

fn lookups(table: &Keys) -> u64 {
    table.figures().lookups.iter().filter(|(name, _)| *name != "malformed").map(|(_, count)| count).sum()
}

fn used(table: &Keys) -> Vec<(String, u64)> {
    let mut used: Vec<_> = table.used().into_iter().map(|Used { id, at }| (id, at)).collect();
    used.sort();
    used
}

#[test]
fn the_checksum_is_the_common_crc_32() {
    let key = "pck_0123456789ab_Az09Az09Az09Az09Az09Az09Az09Az09Az09Az09xyz_9a7aad10";
    assert_eq!(super::form::id(key).map(|id| &id[..]), Some(&b"0123456789ab"[..]));
}

#[test]
fn a_key_counts_with_what_it_was_given() {
    let table = told(vec![
        Written {
            partner: Some("acme".into()),
            scopes: vec!["orders:write".into(), "orders:read".into(), "orders:read".into()],
            ..written(1)
        },
        written(2),
    ]);
    let key = verify(&table, &text(1, 0)).unwrap();
    assert_eq!((&*key.id, key.partner.as_deref()), ("000000000001", Some("acme")));
    assert_eq!(*key.scopes, ["orders:read", "orders:write"]);
    assert_eq!(verify(&table, &text(2, 0)).unwrap().partner, None);
    assert_eq!(outcome(&table, &text(3, 0)), Some(Reason::KeysUnknown));
    assert_eq!(outcome(&table, &text(1, 1)), Some(Reason::KeysUnknown));
}

#[test]
fn nobody_passes_before_all_keys_are_here() {
    let table = Keys::default();
    assert_eq!(outcome(&table, &text(1, 0)), Some(Reason::KeysNotReady));
    table.change(&Change { reset: true, keys: vec![written(1)], ..Change::default() }).unwrap();
    table.change(&Change { keys: vec![written(2)], ..Change::default() }).unwrap();
    assert_eq!(outcome(&table, &text(1, 0)), Some(Reason::KeysNotReady));
    table.change(&Change { ready: true, ..Change::default() }).unwrap();
    assert_eq!([1, 2].map(|number| outcome(&table, &text(number, 0))), [None, None]);
    assert_eq!(outcome(&table, "no key"), Some(Reason::KeysMalformed));
}

#[test]
fn a_reset_is_in_force_when_it_is_ready_and_what_is_removed_meanwhile_at_once() {
    let table = told(vec![written(1), written(2), written(3)]);
    table.change(&Change { reset: true, keys: vec![written(2), written(3)], ..Change::default() }).unwrap();
    table.change(&Change { keys: vec![written(4)], removed: vec![id(3)], ..Change::default() }).unwrap();
    let unknown = Some(Reason::KeysUnknown);
    assert_eq!([1, 2, 3, 4].map(|number| outcome(&table, &text(number, 0))), [None, None, unknown, unknown]);
    table.change(&Change { ready: true, ..Change::default() }).unwrap();
    assert_eq!([1, 2, 3, 4].map(|number| outcome(&table, &text(number, 0))), [unknown, None, unknown, None]);
    assert_eq!(table.figures().keys, 2);
}

#[test]
fn of_two_secrets_the_older_counts_until_its_deadline() {
    let deadline = NOW_MS + 5_000;
    let secrets = vec![secret(&text(1, 1), None), secret(&text(1, 0), Some(deadline))];
    let table = told(vec![Written { secrets, ..written(1) }]);
    let outcome = |version, now| table.verify(&text(1, version), None, &at(now)).err();
    assert_eq!([outcome(0, deadline - 1), outcome(1, deadline - 1)], [None, None]);
    assert_eq!([outcome(0, deadline), outcome(1, deadline)], [Some(Reason::KeysUnknown), None]);
    let older = table.verify(&text(1, 0), None, &at(NOW_MS)).unwrap();
    assert!(table.counts(&older, at(deadline - 1).now));
    assert!(!table.counts(&older, at(deadline).now));
    assert_eq!(outcome(2, NOW_MS), Some(Reason::KeysUnknown));
}

#[test]
fn a_key_ends_with_the_second_it_expires_in() {
    let expires_at = Some(NOW_MS + 1_500);
    let table = told(vec![Written { expires_at, ..written(1) }]);
    let outcome = |now| table.verify(&text(1, 0), None, &at(now)).err();
    assert_eq!(outcome(NOW_MS + 999), None);
    assert_eq!(outcome(NOW_MS + 1_000), Some(Reason::KeysExpired));
    assert_eq!(outcome(u64::MAX), Some(Reason::KeysExpired));
}

#[test]
fn a_key_counts_for_its_hosts_only() {
    let hosts = vec!["API.example.com".into(), "*.shop.example".into()];
    let table = told(vec![Written { hosts, ..written(1) }]);
    for (host, reason) in [
        ("api.example.com", None),
        ("eu.shop.example", None),
        ("www.example.com", Some(Reason::KeysBinding)),
        ("shop.example", Some(Reason::KeysBinding)),
        ("a.eu.shop.example", Some(Reason::KeysBinding)),
    ] {
        assert_eq!(table.verify(&text(1, 0), None, &Presenting { host, ..at(NOW_MS) }).err(), reason, "{host}");
    }
}

#[test]
fn a_key_counts_from_its_networks_only_whatever_their_spelling() {
    let networks = ["192.0.2.0/24", "2001:db8::/32", "::ffff:198.51.100.0/120", "203.0.113.7"].map(str::to_owned);
    let table = told(vec![Written { networks: networks.to_vec(), ..written(1) }]);
    for (address, reason) in [
        ("192.0.2.255", None),
        ("::ffff:192.0.2.1", None),
        ("2001:db8:1::1", None),
        ("198.51.100.9", None),
        ("203.0.113.7", None),
        ("203.0.113.8", Some(Reason::KeysBinding)),
        ("192.0.3.0", Some(Reason::KeysBinding)),
        ("2001:db9::1", Some(Reason::KeysBinding)),
    ] {
        let presenting = Presenting { address: address.parse().unwrap(), ..at(NOW_MS) };
        assert_eq!(table.verify(&text(1, 0), None, &presenting).err(), reason, "{address}");
    }
}

#[test]
fn a_network_of_all_ipv6_holds_no_ipv4() {
    let table = told(vec![Written { networks: vec!["::/0".into()], ..written(1) }]);
    assert_eq!(outcome(&table, &text(1, 0)), Some(Reason::KeysBinding));
}

#[test]
fn a_key_counts_with_one_of_its_certificates_only() {
    let certificates = vec![hex(&[1; 32]), hex(&[2; 32]).to_uppercase()];
    let table = told(vec![Written { certificates, ..written(1) }]);
    let outcome = |certificate| table.verify(&text(1, 0), None, &Presenting { certificate, ..at(NOW_MS) }).err();
    assert_eq!([outcome(Some(&[1; 32])), outcome(Some(&[2; 32]))], [None, None]);
    assert_eq!([outcome(Some(&[3; 32])), outcome(None)], [Some(Reason::KeysBinding); 2]);
}

#[test]
fn of_a_pair_the_client_id_has_to_be_the_keys_own() {
    let table = told(vec![written(1), written(2)]);
    let outcome = |client: &str| table.verify(&text(1, 0), Some(client), &at(NOW_MS)).err();
    assert_eq!(outcome("000000000001"), None);
    for client in ["000000000002", "", "00000000001", "000000000001 ", "00000000000A"] {
        assert_eq!(outcome(client), Some(Reason::KeysUnknown), "{client}");
    }
}

#[test]
fn a_removed_key_counts_no_more_and_a_written_one_replaces_the_one_before() {
    let table = told(vec![written(1), written(2)]);
    let (one, two) = (verify(&table, &text(1, 0)).unwrap(), verify(&table, &text(2, 0)).unwrap());
    let epoch = table.epoch();
    let again = Written { secrets: vec![secret(&text(2, 1), None)], ..written(2) };
    table.change(&Change { keys: vec![again], removed: vec![id(1)], ..Change::default() }).unwrap();
    assert_ne!(table.epoch(), epoch);
    let unknown = Some(Reason::KeysUnknown);
    let texts = [text(1, 0), text(2, 0), text(2, 1)];
    assert_eq!(texts.map(|text| outcome(&table, &text)), [unknown, unknown, None]);
    assert_eq!([&one, &two].map(|key| table.counts(key, at(NOW_MS).now)), [false, false]);
}

#[test]
fn what_is_both_written_and_removed_is_removed() {
    let table = told(vec![]);
    table.change(&Change { keys: vec![written(1)], removed: vec![id(1)], ..Change::default() }).unwrap();
    assert_eq!(outcome(&table, &text(1, 0)), Some(Reason::KeysUnknown));
}

#[test]
fn a_connection_goes_on_with_what_its_key_is_worth_now() {
    let table = told(vec![Written { scopes: vec!["orders:read".into()], ..written(1) }]);
    let key = verify(&table, &text(1, 0)).unwrap();
    let narrowed = Written { networks: vec!["192.0.2.0/24".into()], ..written(1) };
    table.change(&Change { keys: vec![narrowed], ..Change::default() }).unwrap();
    assert!(table.renew(&key, &at(NOW_MS)).unwrap().scopes.is_empty());
    let elsewhere = Presenting { address: IpAddr::from([198, 51, 100, 1]), ..at(NOW_MS) };
    assert_eq!(table.renew(&key, &elsewhere).err(), Some(Reason::KeysBinding));
    assert_eq!(used(&table).len(), 1);
}

#[test]
fn nothing_of_a_change_is_in_force_when_an_entry_cannot_be_read() {
    let table = told(vec![written(1)]);
    let good = || secret(&text(2, 0), None);
    for (entry, problem) in [
        (Written { id: "2".into(), ..written(2) }, "keys[1] has an `id` that is not of 12 lower-case hex digits"),
        (Written { id: "00000000000A".into(), ..written(2) }, "lower-case hex"),
        (Written { secrets: vec![], ..written(2) }, "no `secrets`"),
        (Written { secrets: vec![good(), good(), good()], ..written(2) }, "more than two"),
        (Written { secrets: vec![Secret::default()], ..written(2) }, "`digest`"),
        (Written { networks: vec!["192.0.2.1/24".into()], ..written(2) }, "host bits"),
        (Written { networks: vec!["*".into()], ..written(2) }, "not a prefix"),
        (Written { certificates: vec!["00".into()], ..written(2) }, "SHA-256"),
        (Written { scopes: vec!["a".into(); 101], ..written(2) }, "more than 100"),
        (Written { partner: Some(String::new()), ..written(2) }, "empty"),
        (Written { scopes: vec!["a".repeat(256)], ..written(2) }, "255 bytes"),
    ] {
        let change = Change { keys: vec![written(3), entry], removed: vec![id(1)], ..Change::default() };
        let message = table.change(&change).unwrap_err();
        assert!(message.contains(problem), "{message}");
        assert_eq!([1, 3].map(|number| outcome(&table, &text(number, 0))), [None, Some(Reason::KeysUnknown)]);
    }
    let removed = vec![id(1), "x".into()];
    let message = table.change(&Change { removed, ..Change::default() }).unwrap_err();
    assert!(message.starts_with("removed[1] "), "{message}");
    assert_eq!(outcome(&table, &text(1, 0)), None);
}

#[test]
fn who_did_not_fit_is_refused_as_not_ready_until_a_reset_that_fits() {
    let most = MAX_KEYS as u64;
    let table = told((0..most).map(written).collect());
    let message = table.change(&Change { keys: vec![written(most)], ..Change::default() }).unwrap_err();
    assert!(message.contains("More than"), "{message}");
    assert_eq!(outcome(&table, &text(most, 0)), Some(Reason::KeysNotReady));
    assert_eq!(outcome(&table, &text(0, 0)), None);
    assert_eq!(outcome(&table, &text(0, 1)), Some(Reason::KeysUnknown));
    // Written again, a key needs no room; the one that did not fit stays away.
    table.change(&Change { keys: vec![written(0)], removed: vec![id(1)], ..Change::default() }).unwrap_err();
    assert_eq!(outcome(&table, &text(most, 0)), Some(Reason::KeysNotReady));
    let keys = (1..=most).map(written).collect();
    table.change(&Change { reset: true, keys, ready: true, ..Change::default() }).unwrap();
    assert_eq!([most, 0].map(|number| outcome(&table, &text(number, 0))), [None, Some(Reason::KeysUnknown)]);
}

#[test]
fn uses_are_told_once_also_those_that_no_list_has_room_for() {
    let numbers = 0..MAX_TOLD as u64 * 2;
    let table = told(numbers.clone().map(written).collect());
    numbers.clone().for_each(|number| drop(verify(&table, &text(number, 0))));
    let (first, second) = (used(&table), used(&table));
    assert_eq!([first.len(), second.len()], [MAX_TOLD; 2]);
    let mut all: Vec<_> = first.into_iter().chain(second).collect();
    all.sort();
    assert_eq!(all, numbers.map(|number| (id(number), NOW_MS)).collect::<Vec<_>>());
    assert_eq!(used(&table), []);
}

#[test]
fn uses_of_removed_and_replaced_keys_are_told() {
    let table = told(vec![written(1), written(2), written(3), written(4)]);
    (1..=4).for_each(|number| drop(verify(&table, &text(number, 0))));
    table.change(&Change { keys: vec![written(1)], removed: vec![id(2)], ..Change::default() }).unwrap();
    table.change(&Change { reset: true, keys: vec![written(3)], ready: true, ..Change::default() }).unwrap();
    assert_eq!(used(&table), [1, 2, 3, 4].map(|number| (id(number), NOW_MS)));
    assert_eq!(used(&table), []);
}

#[test]
fn a_refused_key_was_not_used() {
    let table = told(vec![Written { expires_at: Some(0), ..written(1) }, written(2)]);
    assert_eq!(outcome(&table, &text(1, 0)), Some(Reason::KeysExpired));
    assert_eq!(outcome(&table, &text(2, 1)), Some(Reason::KeysUnknown));
    assert_eq!(used(&table), []);
}

#[test]
fn nothing_that_is_shown_has_a_secret_in_it() {
    let table = told(vec![written(1)]);
    let key = verify(&table, &text(1, 0)).unwrap();
    let digest = hex(&sha256(text(1, 0).as_bytes()));
    let shown = format!("{table:?} {key:?} {:?}", written(1));
    assert!(shown.contains("000000000001") && shown.contains(&digest[..8]), "{shown}");
    assert!(!shown.contains(&digest[..9]) && !shown.contains("_0000"), "{shown}");
}

#[test]
fn grants_are_kept_once_and_go_with_their_last_key() {
    let scoped = |number| Written { scopes: vec!["orders:read".into()], ..written(number) };
    let table = told(vec![written(0)]);
    let grants = || table.writing().grants.bytes();
    let none = grants();
    table.change(&Change { keys: vec![scoped(1)], ..Change::default() }).unwrap();
    let one = grants();
    assert!(one > none);
    table.change(&Change { keys: vec![scoped(2), scoped(3)], removed: vec![id(1)], ..Change::default() }).unwrap();
    assert_eq!(grants(), one);
    table.change(&Change { keys: vec![written(2)], removed: vec![id(3)], ..Change::default() }).unwrap();
    assert_eq!(grants(), none);
    table.change(&Change { reset: true, keys: vec![scoped(1)], ready: true, ..Change::default() }).unwrap();
    table.change(&Change { reset: true, ready: true, ..Change::default() }).unwrap();
    assert_eq!(table.writing().grants.entries(), 0);
}

#[test]
fn a_key_that_every_table_holds_is_never_unknown_while_tables_change() {
    let table = told(vec![written(1)]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) || asked == 0 {
                assert_eq!(outcome(&table, &text(1, 0)), None);
                asked += 1;
            }
        });
        for round in 0..50 {
            let keys = (1..100).map(written).collect();
            table.change(&Change { reset: true, keys, ready: round % 2 == 0, ..Change::default() }).unwrap();
            table.change(&Change { ready: true, ..Change::default() }).unwrap();
            table.change(&Change { keys: vec![written(1)], removed: vec![id(50)], ..Change::default() }).unwrap();
            drop(table.used());
        }
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
}

/// One key of the model: its secrets' versions with deadlines, and when it ends.
type Model = HashMap<u64, (Vec<(u64, Option<u64>)>, Option<u64>)>;

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<(u64, Option<u64>)>, Option<u64>),
    Remove(u64),
    Reset,
    Ready,
    Use(u64, u64),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let moment = || proptest::option::of((0..4u64).prop_map(|seconds| NOW_MS + seconds * 1_000));
    let number = || 0..40u64;
    let secrets = prop_oneof![
        (0..3u64, moment()).prop_map(|first| vec![first]),
        (0..3u64, moment(), moment()).prop_map(|(version, one, two)| vec![(version, one), (version + 1, two)]),
    ];
    prop_oneof![
        6 => (number(), secrets, moment()).prop_map(|(number, secrets, end)| Step::Write(number, secrets, end)),
        2 => number().prop_map(Step::Remove),
        1 => Just(Step::Reset),
        1 => Just(Step::Ready),
        6 => (number(), 0..4u64).prop_map(|(number, version)| Step::Use(number, version)),
        1 => Just(Step::Drain),
    ]
}

fn expected(model: &Model, number: u64, version: u64, now: u64) -> Option<Reason> {
    let Some((secrets, end)) = model.get(&number) else { return Some(Reason::KeysUnknown) };
    let live = |&(known, deadline): &(u64, Option<u64>)| known == version && deadline.is_none_or(|at| now < at);
    if !secrets.iter().any(live) {
        return Some(Reason::KeysUnknown);
    }
    end.filter(|&end| now >= end).map(|_| Reason::KeysExpired)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn one_changed_character_is_a_malformed_key_without_a_look_up(
        number: u32, version: u64, at in 0..69usize, other in proptest::char::any(),
    ) {
        let table = told(vec![written(u64::from(number))]);
        let mut changed: Vec<char> = text(u64::from(number), version).chars().collect();
        prop_assume!(changed[at] != other);
        changed[at] = other;
        prop_assert_eq!(outcome(&table, &changed.into_iter().collect::<String>()), Some(Reason::KeysMalformed));
        prop_assert_eq!(lookups(&table), 0);
        prop_assert_eq!(table.figures().lookups[0], ("malformed", 1));
    }

    #[test]
    fn what_is_no_key_is_malformed(text in "(pck_)?[0-9a-zA-Z_]{0,80}") {
        prop_assert_eq!(outcome(&told(vec![]), &text), Some(Reason::KeysMalformed));
    }

    #[test]
    fn the_table_answers_as_a_plain_map_does(steps in proptest::collection::vec(step(), 1..120)) {
        let table = told(vec![]);
        let (mut live, mut staged) = (Model::new(), None::<Model>);
        let (mut uses, mut known) = (HashMap::new(), HashMap::<u64, u64>::new());
        for (index, step) in steps.into_iter().enumerate() {
            let now = NOW_MS + (index as u64 / 40) * 1_000;
            match step {
                Step::Write(number, secrets, expires_at) => {
                    let into = staged.as_mut().unwrap_or(&mut live);
                    into.insert(number, (secrets.clone(), expires_at));
                    let secrets = secrets.iter().map(|&(version, end)| secret(&text(number, version), end)).collect();
                    let key = Written { secrets, expires_at, ..written(number) };
                    table.change(&Change { keys: vec![key], ..Change::default() }).unwrap();
                }
                Step::Remove(number) => {
                    live.remove(&number);
                    known.remove(&number);
                    if let Some(staged) = &mut staged {
                        staged.remove(&number);
                    }
                    table.change(&Change { removed: vec![id(number)], ..Change::default() }).unwrap();
                }
                Step::Reset => {
                    staged = Some(Model::new());
                    table.change(&Change { reset: true, ..Change::default() }).unwrap();
                }
                Step::Ready => {
                    if let Some(staged) = staged.take() {
                        // Only a second that was not told yet goes on with its key.
                        known.retain(|number, _| uses.contains_key(&id(*number)) && staged.contains_key(number));
                        live = staged;
                    }
                    table.change(&Change { ready: true, ..Change::default() }).unwrap();
                }
                Step::Use(number, version) => {
                    let expected = expected(&live, number, version, now);
                    prop_assert_eq!(table.verify(&text(number, version), None, &at(now)).err(), expected);
                    // A second that was told is not told again.
                    if expected.is_none() && known.insert(number, now) != Some(now) {
                        uses.insert(id(number), now);
                    }
                }
                Step::Drain => {
                    let told: HashMap<_, _> = used(&table).into_iter().collect();
                    prop_assert_eq!(&told, &uses);
                    uses.clear();
                }
            }
            prop_assert_eq!(table.figures().keys, live.len());
        }
        for number in 0..40 {
            for version in 0..4 {
                let expected = expected(&live, number, version, NOW_MS);
                prop_assert_eq!(outcome(&table, &text(number, version)), expected);
            }
        }
    }
}
