use std::sync::Arc;

use super::revoked::{Change, Kind, Named};
use super::*;
use crate::policy::Policy;
use crate::snapshot::Snapshot;

/// Who presents tokens one after the other.
struct Thread {
    head: Head,
    cache: Cache,
    revoked: Revoked,
}

impl Thread {
    fn new() -> Thread {
        Thread { head: Head::default(), cache: Cache::default(), revoked: Revoked::default() }
    }

    fn judged(&mut self, by: &Configuration, raw: &str, now: u64) -> Result<Arc<Token>, Reason> {
        self.bound(by, raw, now, None)
    }

    fn bound(
        &mut self,
        by: &Configuration,
        raw: &str,
        now: u64,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Arc<Token>, Reason> {
        let presenting = Presenting { head: &self.head, certificate, now: at(now) };
        by.verify_with(raw, &presenting, &mut self.cache, &self.revoked)
    }

    fn revoke(&self, kind: Kind, value: &str, at: u64) {
        let named = Named { configuration: "customers".to_owned(), kind, value: value.to_owned(), at, until: None };
        self.revoked.change(&Change { revoked: vec![named], ..Change::default() }, NOW * 1000).unwrap();
    }
}

#[test]
fn a_token_seen_again_is_the_same_one() {
    let signer = Signer::es256("k1");
    let (configuration, mut thread) = (configuration(&[&signer], |_| {}), Thread::new());
    let raw = signer.token(&claims(|_| {}));
    let first = thread.judged(&configuration, &raw, NOW).unwrap();
    let second = thread.judged(&configuration, &raw.clone(), NOW + 1).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(thread.cache.entries(), 1);
}

#[test]
fn an_entry_ends_with_the_token_and_its_skew() {
    let signer = Signer::es256("k1");
    let (configuration, mut thread) = (configuration(&[&signer], |_| {}), Thread::new());
    let raw = signer.token(&claims(|claims| {
        claims["exp"] = (NOW + 10).into();
        claims["nbf"] = NOW.into();
    }));
    assert!(thread.judged(&configuration, &raw, NOW).is_ok());
    assert!(thread.judged(&configuration, &raw, NOW + 69).is_ok());
    assert_eq!(thread.judged(&configuration, &raw, NOW + 70).err(), Some(Reason::JwtExpired));
    assert_eq!(thread.judged(&configuration, &raw, NOW - 61).err(), Some(Reason::JwtNotYetValid), "a clock set back");
    assert!(thread.judged(&configuration, &raw, NOW + 5).is_ok());
}

#[test]
fn what_was_refused_is_not_kept() {
    let signer = Signer::es256("k1");
    let (configuration, mut thread) = (configuration(&[&signer], |_| {}), Thread::new());
    let raw = signer.token(&claims(|_| {}));
    for refused in [
        signer.token(&claims(|claims| claims["aud"] = "invoices".into())),
        Signer::es256("k1").token(&claims(|_| {})),
        format!("{raw}A"),
    ] {
        assert!(thread.judged(&configuration, &refused, NOW).is_err());
    }
    assert_eq!(thread.cache.entries(), 0);
}

#[test]
fn a_token_counts_for_the_configuration_that_verified_it() {
    let signer = Signer::es256("k1");
    let orders = configuration(&[&signer], |_| {});
    let stock = configuration(&[&signer], |written| written.audiences = vec!["stock".to_owned()]);
    let mut thread = Thread::new();
    let raw = signer.token(&claims(|_| {}));
    assert!(thread.judged(&orders, &raw, NOW).is_ok());
    assert_eq!(thread.judged(&stock, &raw, NOW).err(), Some(Reason::JwtAudience));
    // The same written anew is another one.
    let newer = configuration(&[&signer], |_| {});
    let before = thread.judged(&orders, &raw, NOW).unwrap();
    assert!(!Arc::ptr_eq(&before, &thread.judged(&newer, &raw, NOW).unwrap()));
}

#[test]
fn a_token_with_another_signature_is_another_token() {
    let signer = Signer::es256("k1");
    let (configuration, mut thread) = (configuration(&[&signer], |_| {}), Thread::new());
    let raw = signer.token(&claims(|_| {}));
    assert!(thread.judged(&configuration, &raw, NOW).is_ok());
    let (signed, signature) = raw.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let admin = super::signing::encode(claims(|claims| claims["sub"] = "admin".into()));
    for forged in [format!("{header}.{admin}.{signature}"), format!("{header}.{payload}.{}", "A".repeat(86))] {
        assert_eq!(thread.judged(&configuration, &forged, NOW).err(), Some(Reason::JwtSignature));
    }
}

#[test]
fn the_cache_is_bounded_by_bytes() {
    let signer = Signer::hs256("k1", &[7; 32]);
    let (configuration, mut thread) = (configuration(&[&signer], |_| {}), Thread::new());
    for number in 0..500 {
        let raw = signer.token(&claims(|claims| claims["jti"] = format!("t-{number}").into()));
        assert!(thread.judged(&configuration, &raw, NOW).is_ok());
    }
    let entries = thread.cache.entries();
    assert!((10..60).contains(&entries), "{entries} entries in 64 KiB");
}

#[test]
fn a_key_that_is_gone_takes_its_tokens_along() {
    let (name, url) = ("withdrawing", "https://login.example.com/jwks");
    let (sets, mut thread) = (KeySets::of_process(), Thread::new());
    let configuration = configuration(&[], |written| {
        written.name = name.to_owned();
        written.algorithms = vec!["ES256".to_owned()];
        (written.keys, written.url) = (None, Some(url.to_owned()));
    });
    let (kept, withdrawn, replaced) = (Signer::es256("kept"), Signer::es256("withdrawn"), Signer::es256("replaced"));
    sets.load(name, url, &signing::set(&[&kept, &withdrawn, &replaced])).unwrap();
    let raw = |signer: &Signer| signer.token(&claims(|_| {}));
    let tokens = [raw(&kept), raw(&withdrawn), raw(&replaced)];
    let before: Vec<_> = tokens.iter().map(|raw| thread.judged(&configuration, raw, NOW).unwrap()).collect();

    // Another key under the name of the old one.
    sets.load(name, url, &signing::set(&[&kept, &Signer::es256("replaced")])).unwrap();
    let after: Vec<_> = tokens.iter().map(|raw| thread.judged(&configuration, raw, NOW)).collect();
    assert!(Arc::ptr_eq(&before[0], after[0].as_ref().unwrap()), "not verified again");
    assert_eq!(after[1].as_ref().err(), Some(&Reason::JwtKey));
    assert_eq!(after[2].as_ref().err(), Some(&Reason::JwtSignature));

    let mut narrowed = kept.jwk();
    narrowed["use"] = "enc".into();
    let narrowed = serde_json::json!({ "keys": [narrowed, withdrawn.jwk()] }).to_string();
    sets.load(name, url, &narrowed).unwrap();
    assert_eq!(thread.judged(&configuration, &tokens[0], NOW).err(), Some(Reason::JwtKey), "no longer for signatures");
    sets.load(name, url, &signing::set(&[&kept])).unwrap();
    assert!(thread.judged(&configuration, &tokens[0], NOW).is_ok());
    sets.forget(name);
    assert_eq!(thread.judged(&configuration, &tokens[0], NOW).err(), Some(Reason::JwtNoKeys));
}

#[test]
fn a_revocation_reaches_tokens_that_are_kept_and_so_does_its_end() {
    let signer = Signer::es256("k1");
    let (configuration, mut thread) = (configuration(&[&signer], |_| {}), Thread::new());
    let (first, second) = (signer.token(&claims(|_| {})), signer.token(&claims(|claims| claims["jti"] = "t-2".into())));
    for raw in [&first, &second] {
        assert!(thread.judged(&configuration, raw, NOW).is_ok());
    }
    thread.revoke(Kind::Jti, "t-1", 0);
    assert_eq!(thread.judged(&configuration, &first, NOW).err(), Some(Reason::JwtRevoked));
    assert!(thread.judged(&configuration, &second, NOW).is_ok());
    thread.revoke(Kind::Subject, "u-1", (NOW - 60) * 1000);
    assert_eq!(thread.judged(&configuration, &second, NOW).err(), Some(Reason::JwtRevoked));
    thread.revoked.change(&Change { reset: true, ..Change::default() }, NOW * 1000).unwrap();
    for raw in [&first, &second] {
        assert!(thread.judged(&configuration, raw, NOW).is_ok());
    }
}

#[test]
fn a_token_bound_to_a_certificate_counts_with_that_one_only() {
    let signer = Signer::es256("k1");
    let (ours, theirs) = ([7; 32], [8; 32]);
    let (free, mut thread) = (configuration(&[&signer], |_| {}), Thread::new());
    let bound =
        signer.token(&claims(|claims| claims["cnf"] = serde_json::json!({ "x5t#S256": signing::encode(ours) })));
    for _ in 0..2 {
        assert!(thread.bound(&free, &bound, NOW, Some(&ours)).is_ok());
        assert_eq!(thread.bound(&free, &bound, NOW, Some(&theirs)).err(), Some(Reason::JwtBinding));
        assert_eq!(thread.bound(&free, &bound, NOW, None).err(), Some(Reason::JwtBinding));
    }
    let demanding = configuration(&[&signer], |written| written.binding.certificate = true);
    let unbound = signer.token(&claims(|_| {}));
    assert!(thread.bound(&free, &unbound, NOW, Some(&ours)).is_ok());
    assert_eq!(thread.bound(&demanding, &unbound, NOW, Some(&ours)).err(), Some(Reason::JwtBinding));
    assert!(thread.bound(&demanding, &bound, NOW, Some(&ours)).is_ok());
}

#[test]
fn a_binding_that_cannot_be_checked_binds_to_nobody() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    let hash = signing::encode([7; 32]);
    for (cnf, expected) in [
        (serde_json::json!({}), Reason::JwtBinding),
        (serde_json::json!({ "jwk": signer.jwk() }), Reason::JwtBinding),
        (serde_json::json!({ "kid": "k1" }), Reason::JwtBinding),
        (serde_json::json!({ "x5t#S256": "" }), Reason::JwtBinding),
        (serde_json::json!({ "x5t#S256": format!("{hash}=") }), Reason::JwtBinding),
        (serde_json::json!({ "x5t#S256": &hash[1..] }), Reason::JwtBinding),
        (serde_json::json!({ "x5t#S256": null }), Reason::JwtClaims),
        (serde_json::json!({ "x5t#S256": [hash] }), Reason::JwtClaims),
        (serde_json::json!({ "jkt": 7 }), Reason::JwtClaims),
        (serde_json::json!([]), Reason::JwtClaims),
        (serde_json::json!(null), Reason::JwtClaims),
        (serde_json::json!("x"), Reason::JwtClaims),
    ] {
        let raw = signer.token(&claims(|claims| claims["cnf"] = cnf.clone()));
        let mut thread = Thread::new();
        assert_eq!(thread.bound(&configuration, &raw, NOW, Some(&[7; 32])).err(), Some(expected), "{cnf}");
    }
}

#[test]
fn how_tokens_were_judged_is_counted_by_configuration() {
    let signer = Signer::es256("k1");
    let counted = configuration(&[&signer], |written| written.name = "counted".to_owned());
    let mut thread = Thread::new();
    let raw = signer.token(&claims(|_| {}));
    for raw in [&raw, &raw, &raw, &"nonsense".to_owned()] {
        let _ = thread.judged(&counted, raw, NOW);
    }
    let meters = crate::meters::Meters::register();
    // The second time there is nothing left to move over.
    meters.lock().unwrap().tokens(&mut thread.cache.tally);
    meters.lock().unwrap().tokens(&mut thread.cache.tally);
    let families: serde_json::Value =
        serde_json::from_str(&crate::meters::scrape(&Snapshot::compile(&Policy::default(), 0, 0).unwrap(), Vec::new()))
            .unwrap();
    let family =
        families.as_array().unwrap().iter().find(|family| family["name"] == "portcullis_jwt_verifications_total");
    let samples = family.unwrap()["samples"].as_array().unwrap().clone();
    let of = |outcome: &str| {
        let labels = serde_json::json!({ "configuration": "counted", "outcome": outcome });
        samples.iter().find(|sample| sample["labels"] == labels).map(|sample| sample["value"].clone())
    };
    assert_eq!((of("verified"), of("cached"), of("refused")), (Some(1.into()), Some(2.into()), Some(1.into())));
    crate::meters::ended(&meters);
}
