use super::revoked::{Change, Kind, MAX_REVOKED, Marks, Named};
use super::*;

const NOW_MS: u64 = NOW * 1000;

fn named(kind: Kind, value: &str, at: u64, until: Option<u64>) -> Named {
    Named { configuration: "customers".to_owned(), kind, value: value.to_owned(), at, until }
}

fn told(revoked: &Revoked, jti: Option<&str>, subject: Option<&str>, issued: Option<u64>, now: u64) -> Option<Reason> {
    revoked.look_up(&Marks::of("customers", jti, subject, issued), now).0
}

#[test]
fn a_jti_is_that_of_one_configuration_and_no_subject() {
    let revoked = Revoked::default();
    let one = Change { revoked: vec![named(Kind::Jti, "t-1", 0, None)], ..Change::default() };
    revoked.change(&one, NOW_MS).unwrap();
    assert_eq!(told(&revoked, Some("t-1"), None, None, NOW_MS), Some(Reason::JwtRevoked));
    assert_eq!(told(&revoked, Some("t-2"), Some("t-1"), None, NOW_MS), None);
    assert_eq!(told(&revoked, None, Some("t-1"), None, NOW_MS), None);
    assert_eq!(revoked.look_up(&Marks::of("staff", Some("t-1"), None, None), NOW_MS).0, None);
    assert_eq!(told(&revoked, None, None, None, NOW_MS), None);
}

#[test]
fn a_subject_is_taken_back_until_a_moment() {
    let revoked = Revoked::default();
    let subject = Change { revoked: vec![named(Kind::Subject, "u-1", NOW_MS, None)], ..Change::default() };
    revoked.change(&subject, NOW_MS).unwrap();
    for (issued, expected) in [
        (Some(NOW_MS - 1), Some(Reason::JwtRevoked)),
        (Some(NOW_MS), Some(Reason::JwtRevoked)),
        (Some(NOW_MS + 1), None),
        (None, Some(Reason::JwtRevoked)),
    ] {
        assert_eq!(told(&revoked, None, Some("u-1"), issued, NOW_MS), expected, "{issued:?}");
    }
    // An earlier moment takes nothing back of what was revoked.
    let earlier =
        Change { revoked: vec![named(Kind::Subject, "u-1", NOW_MS - 5_000, Some(NOW_MS + 1))], ..Change::default() };
    revoked.change(&earlier, NOW_MS).unwrap();
    assert_eq!(told(&revoked, None, Some("u-1"), Some(NOW_MS), NOW_MS + 2), Some(Reason::JwtRevoked));
}

#[test]
fn an_entry_lapses_and_is_restored() {
    let revoked = Revoked::default();
    let change = Change {
        revoked: vec![named(Kind::Jti, "t-1", 0, Some(NOW_MS + 10)), named(Kind::Jti, "t-2", 0, None)],
        ..Change::default()
    };
    let epoch = revoked.epoch();
    revoked.change(&change, NOW_MS).unwrap();
    assert!(revoked.epoch() > epoch);
    assert_eq!(told(&revoked, Some("t-1"), None, None, NOW_MS + 9), Some(Reason::JwtRevoked));
    assert_eq!(told(&revoked, Some("t-1"), None, None, NOW_MS + 10), None);
    let restored = Change { restored: vec![named(Kind::Jti, "t-2", 0, None)], ..Change::default() };
    revoked.change(&restored, NOW_MS).unwrap();
    assert_eq!(told(&revoked, Some("t-2"), None, None, NOW_MS), None);
    let both = Change {
        revoked: vec![named(Kind::Jti, "t-2", 0, None)],
        restored: vec![named(Kind::Jti, "t-2", 0, None)],
        ..Change::default()
    };
    revoked.change(&both, NOW_MS).unwrap();
    assert_eq!(told(&revoked, Some("t-2"), None, None, NOW_MS), Some(Reason::JwtRevoked), "what is in both is revoked");
}

#[test]
fn a_full_table_denies_everybody_until_a_reset_that_fits() {
    let revoked = Revoked::default();
    let many = |until| (0..MAX_REVOKED).map(|number| named(Kind::Jti, &format!("t-{number}"), 0, until)).collect();
    revoked.change(&Change { revoked: many(Some(NOW_MS + 10)), ..Change::default() }, NOW_MS).unwrap();
    let one_more = Change { revoked: vec![named(Kind::Jti, "more", 0, None)], ..Change::default() };
    // What has lapsed makes room.
    revoked.change(&one_more, NOW_MS + 10).unwrap();
    assert_eq!(told(&revoked, Some("other"), None, None, NOW_MS + 10), None);

    assert!(revoked.change(&Change { revoked: many(None), ..Change::default() }, NOW_MS).is_err());
    assert_eq!(told(&revoked, Some("other"), None, None, NOW_MS), Some(Reason::JwtRevocationUnknown));
    assert_eq!(told(&revoked, None, None, None, NOW_MS), Some(Reason::JwtRevocationUnknown));
    revoked.change(&Change { reset: true, ..one_more }, NOW_MS).unwrap();
    assert_eq!(told(&revoked, Some("other"), None, None, NOW_MS), None);
    assert_eq!(told(&revoked, Some("more"), None, None, NOW_MS), Some(Reason::JwtRevoked));
}

#[test]
fn a_revoked_token_is_refused_cold() {
    let signer = Signer::es256("k1");
    let (configuration, revoked) = (configuration(&[&signer], |_| {}), Revoked::default());
    revoked.change(&Change { revoked: vec![named(Kind::Jti, "t-1", 0, None)], ..Change::default() }, NOW_MS).unwrap();
    let (head, mut cache) = (Head::default(), Cache::default());
    let presenting = Presenting { head: &head, certificate: None, now: at(NOW) };
    let raw = signer.token(&claims(|_| {}));
    assert_eq!(configuration.verify_with(&raw, &presenting, &mut cache, &revoked).err(), Some(Reason::JwtRevoked));
    assert_eq!(cache.entries(), 0);
}

#[test]
fn a_change_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Change>(text).is_ok();
    assert!(read(r#"{"revoked":[{"configuration":"c","kind":"jti","value":"v","at":0,"until":null}]}"#));
    assert!(read(r#"{"reset":true}"#));
    for wrong in [
        r#"{"revoke":[]}"#,
        r#"{"revoked":[{"configuration":"c","kind":"JTI","value":"v","at":0,"until":null}]}"#,
        r#"{"revoked":[{"configuration":"c","kind":"jti","value":7,"at":0,"until":null}]}"#,
        r#"{"revoked":[{"configuration":"c","kind":"jti","value":"v","at":-1,"until":null}]}"#,
    ] {
        assert!(!read(wrong), "{wrong}");
    }
}
