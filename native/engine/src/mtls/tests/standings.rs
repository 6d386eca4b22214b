//! Facts about what is revoked while the process runs.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use proptest::prelude::*;
use rcgen::{CertificateParams, Issuer, KeyPair, SerialNumber, date_time_ymd};

use super::pki::*;
use crate::decide::{Known, Outcome, Tally, decide};
use crate::exchange::{Exchange, Now};
use crate::jwt::Cache;
use crate::mtls::authority::key_id;
use crate::mtls::fields::lower_hex;
use crate::mtls::revocation_list::RevocationList;
use crate::mtls::standings::{MAX_ANSWERS, MAX_REVOKED};
use crate::mtls::{
    Answered, Authority, Certificate, CertificateField, Change, Named, Renewal, Standings, TrustSet, Verdict,
};
use crate::peer::Peer;
use crate::policy::{self, Revocation, Stale};
use crate::reason::Reason;
use crate::snapshot::Snapshot;

const HOUR: u64 = 3600;

fn key_of(ca: &Ca) -> String {
    let (_, read) = x509_parser::parse_x509_certificate(&ca.der).unwrap();
    lower_hex(&key_id(read.public_key().raw))
}

fn named(issuer: &Ca, certificate: &Certificate) -> Named {
    Named { key_id: key_of(issuer), serial: certificate.field(CertificateField::Serial).to_owned() }
}

fn revoke(standings: &Standings, revoked: Vec<Named>) {
    standings.change(&Change { revoked, ..Change::default() }).unwrap();
}

fn restore(standings: &Standings, restored: Vec<Named>) {
    standings.change(&Change { restored, ..Change::default() }).unwrap();
}

/// A certificate under a trust set, with its cached verdict: what an edge thread keeps.
struct Kept<'a> {
    set: &'a TrustSet,
    certificate: &'a Certificate,
    verdict: Verdict,
}

impl<'a> Kept<'a> {
    fn new(set: &'a TrustSet, certificate: &'a Certificate, standings: &Standings) -> Kept<'a> {
        Kept { set, certificate, verdict: set.verify(certificate, standings, NOW) }
    }

    fn at(&mut self, standings: &Standings, now: u64) -> (Renewal, Option<Reason>) {
        let renewal = self.set.renew(&mut self.verdict, self.certificate, standings, now);
        (renewal, self.verdict.fault)
    }

    fn now(&mut self, standings: &Standings) -> (Renewal, Option<Reason>) {
        self.at(standings, NOW)
    }
}

const REVOKED: Option<Reason> = Some(Reason::MtlsRevoked);
const UNKNOWN: Option<Reason> = Some(Reason::MtlsRevocationUnknown);
const OUTDATED: Option<Reason> = Some(Reason::MtlsCrlExpired);

// --- what is revoked here ----------------------------------------------------------------------------------------

#[test]
fn a_cached_verdict_dies_with_the_revocation_and_lives_again_with_the_restoration() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let (set, leaf, sibling) = (root.trust(), root.leaf(), root.leaf());
    let mut lost = Kept::new(&set, &leaf, &standings);
    let mut other = Kept::new(&set, &sibling, &standings);
    assert_eq!(lost.now(&standings), (Renewal::Held, None));
    revoke(&standings, vec![named(&root, &leaf)]);
    assert_eq!(lost.now(&standings), (Renewal::Verified, REVOKED));
    assert_eq!(lost.now(&standings), (Renewal::Held, REVOKED));
    assert_eq!(other.now(&standings), (Renewal::LookedUp, None), "no signature is checked for a bystander");
    assert_eq!(other.now(&standings), (Renewal::Held, None));
    restore(&standings, vec![named(&root, &leaf)]);
    assert_eq!(lost.now(&standings), (Renewal::Verified, None));
}

#[test]
fn revokes_by_fingerprint() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let (set, leaf) = (root.trust(), root.leaf());
    let mut kept = Kept::new(&set, &leaf, &standings);
    let fingerprints = vec![leaf.sha256_hex().to_uppercase()];
    standings.change(&Change { revoked_fingerprints: fingerprints.clone(), ..Change::default() }).unwrap();
    assert_eq!(kept.now(&standings).1, REVOKED);
    standings.change(&Change { restored_fingerprints: fingerprints, ..Change::default() }).unwrap();
    assert_eq!(kept.now(&standings).1, None);
}

#[test]
fn an_authority_is_not_touched_by_a_namesake_with_another_key() {
    let (devices, namesake) = (Ca::root("devices"), Ca::root("devices"));
    let numbered = |ca: &Ca| ca.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[7])));
    let (ours, theirs) = (numbered(&devices), numbered(&namesake));
    let listed = crls(namesake.authority(), &[&namesake.crl(&[&[9]])]);
    let mut problems = Vec::new();
    let both = TrustSet::compile(&[&devices.authority(), &listed], NOW, &mut problems);
    assert_eq!(problems, []);
    let standings = Standings::default();
    revoke(&standings, vec![named(&namesake, &theirs)]);
    assert_eq!(both.verify(&ours, &standings, NOW).fault, None);
    assert_eq!(both.verify(&theirs, &standings, NOW).fault, REVOKED);
    let ninth = |ca: &Ca| ca.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[9])));
    assert_eq!(both.verify(&ninth(&devices), &standings, NOW).fault, None, "their list is not ours");
    assert_eq!(both.verify(&ninth(&namesake), &standings, NOW).fault, REVOKED);
    let late = date_time_ymd(2031, 6, 1).unix_timestamp() as u64;
    assert_eq!(both.verify(&ours, &standings, late).fault, None, "nor is its end");
    assert_eq!(both.verify(&ninth(&namesake), &standings, late).fault, REVOKED);
}

#[test]
fn a_revoked_intermediate_takes_its_leaves_along() {
    let root = Ca::root("root");
    let issuing = root.sub("issuing");
    let set = trust(&intermediates(root.authority(), &[&issuing]));
    let (leaf, standings) = (issuing.leaf(), Standings::default());
    let mut kept = Kept::new(&set, &leaf, &standings);
    revoke(&standings, vec![named(&root, &Certificate::from_pem(&issuing.pem))]);
    assert_eq!(kept.now(&standings).1, REVOKED);
}

#[test]
fn takes_the_other_way_when_one_is_revoked() {
    let (a, b) = (Ca::root("a"), Ca::root("b"));
    let key = KeyPair::generate().unwrap();
    let cross = |by: &Ca| Certificate::from_pem(&ca_params("issuing").signed_by(&key, &by.issuer).unwrap().pem());
    let (by_a, by_b) = (cross(&a), cross(&b));
    let params = ca_params("issuing");
    let issuer = Issuer::from_params(&params, &key);
    let leaf = leaf_params().signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let leaf = Certificate::from_pem(&leaf.pem());
    let mut authority = a.authority();
    authority.certificates.push_str(&b.pem);
    authority.intermediates = pem("CERTIFICATE", by_a.der()) + &pem("CERTIFICATE", by_b.der());
    let (set, standings) = (trust(&authority), Standings::default());
    let mut kept = Kept::new(&set, &leaf, &standings);
    revoke(&standings, vec![named(&a, &by_a)]);
    assert_eq!(kept.now(&standings).1, None);
    revoke(&standings, vec![named(&b, &by_b)]);
    assert_eq!(kept.now(&standings), (Renewal::Verified, REVOKED));
    restore(&standings, vec![named(&a, &by_a)]);
    assert_eq!(kept.now(&standings), (Renewal::Verified, None), "a denied one looks for another way again");
    assert_eq!(kept.now(&standings).0, Renewal::Held);
}

#[test]
fn a_denial_that_revocation_has_no_part_in_is_kept() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let (set, leaf) = (root.trust(), root.leaf_with(|leaf| leaf.not_after = date_time_ymd(2029, 1, 1)));
    let mut kept = Kept::new(&set, &leaf, &standings);
    revoke(&standings, vec![named(&root, &root.leaf())]);
    assert_eq!(kept.now(&standings), (Renewal::Held, Some(Reason::MtlsExpired)));
}

#[test]
fn a_reset_forgets_what_was_revoked_in_the_same_step() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let (set, one, two) = (root.trust(), root.leaf(), root.leaf());
    revoke(&standings, vec![named(&root, &one)]);
    standings.change(&Change { reset: true, revoked: vec![named(&root, &two)], ..Change::default() }).unwrap();
    assert_eq!(set.verify(&one, &standings, NOW).fault, None);
    assert_eq!(set.verify(&two, &standings, NOW).fault, REVOKED);
}

#[test]
fn what_is_revoked_and_restored_at_once_is_revoked() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let (set, leaf) = (root.trust(), root.leaf());
    let both = || vec![named(&root, &leaf)];
    standings.change(&Change { revoked: both(), restored: both(), ..Change::default() }).unwrap();
    assert_eq!(set.verify(&leaf, &standings, NOW).fault, REVOKED);
}

#[test]
fn a_change_with_an_entry_that_cannot_be_read_changes_nothing() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let (set, leaf) = (root.trust(), root.leaf());
    let key = key_of(&root);
    let serials = ["", "0", "zz", "+1", "0x01", &"11".repeat(21), &"00".repeat(40)];
    let keys = ["", "00", &key[1..], &format!("{key}00")];
    let wrong = serials.iter().map(|serial| (key.as_str(), *serial)).chain(keys.iter().map(|key| (*key, "01")));
    for (key_id, serial) in wrong {
        let entry = Named { key_id: key_id.into(), serial: serial.into() };
        let change = Change { reset: true, revoked: vec![named(&root, &leaf), entry], ..Change::default() };
        assert!(standings.change(&change).unwrap_err().starts_with("revoked[1] "), "{key_id} {serial}");
    }
    let change = Change { revoked_fingerprints: vec!["ab".into()], ..Change::default() };
    assert!(standings.change(&change).is_err());
    assert_eq!((standings.epoch(), set.verify(&leaf, &standings, NOW).fault), (0, None));
}

#[test]
fn a_serial_is_the_same_however_many_zeros_lead_it() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let leaf = root.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[0x80, 1])));
    revoke(&standings, vec![Named { key_id: key_of(&root), serial: "00008001".into() }]);
    assert_eq!(root.trust().verify(&leaf, &standings, NOW).fault, REVOKED);
}

#[test]
fn denies_everybody_when_more_is_revoked_than_it_holds_until_a_reset_that_fits() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let (set, leaf) = (root.trust(), root.leaf());
    let key_id = key_of(&root);
    let many = |count: usize| {
        (0..count).map(|serial| Named { key_id: key_id.clone(), serial: format!("{serial:08X}") }).collect::<Vec<_>>()
    };
    let mut kept = Kept::new(&set, &leaf, &standings);
    revoke(&standings, many(MAX_REVOKED));
    assert_eq!(kept.now(&standings).1, None);
    let more = Change { revoked_fingerprints: vec!["ab".repeat(32)], ..Change::default() };
    assert!(standings.change(&more).unwrap_err().contains("denied"));
    assert_eq!(kept.now(&standings).1, UNKNOWN);
    standings.change(&Change { reset: true, ..Change::default() }).unwrap();
    assert_eq!(kept.now(&standings).1, None);
}

#[test]
fn every_thread_refuses_with_its_next_request() {
    let root = Ca::root("devices");
    let (set, standings) = (root.trust(), Standings::default());
    let leaves: Vec<Certificate> = (0..8).map(|_| root.leaf()).collect();
    let (threads, revoked, ended) = (4, AtomicBool::new(false), AtomicBool::new(false));
    let start = Barrier::new(threads + 2);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut kept: Vec<_> = leaves.iter().map(|leaf| Kept::new(&set, leaf, &standings)).collect();
                start.wait();
                loop {
                    // Read before the request: what was revoked before a request began is refused by it.
                    let (was_revoked, last) = (revoked.load(Ordering::Acquire), ended.load(Ordering::Acquire));
                    for (index, leaf) in kept.iter_mut().enumerate() {
                        let fault = leaf.now(&standings).1;
                        match index {
                            0 if was_revoked => assert_eq!(fault, REVOKED),
                            0 => {}
                            // Those change all the time.
                            1..=3 => assert!(fault.is_none() || fault == REVOKED),
                            _ => assert_eq!(fault, None, "nobody else is touched"),
                        }
                    }
                    if last {
                        break;
                    }
                }
            });
        }
        scope.spawn(|| {
            start.wait();
            for round in 0.. {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                let turned = vec![named(&root, &leaves[1 + round % 3])];
                if round % 2 == 0 { revoke(&standings, turned) } else { restore(&standings, turned) }
            }
        });
        start.wait();
        thread::yield_now();
        revoke(&standings, vec![named(&root, &leaves[0])]);
        revoked.store(true, Ordering::Release);
        for _ in 0..200 {
            thread::yield_now();
        }
        ended.store(true, Ordering::Release);
    });
}

#[test]
fn the_next_request_of_a_live_connection_is_refused() {
    let root = Ca::root("devices");
    let leaf = root.leaf_pem(&KeyPair::generate().unwrap(), |_| {});
    let policy = serde_json::from_value(serde_json::json!({
        "authorities": [{ "name": "devices", "at": "", "certificates": root.pem }],
        "origins": [{ "addresses": ["127.0.0.1:1"], "connections": 1, "connect_timeout_ms": 1, "first_byte_timeout_ms": 1, "idle_timeout_ms": 1 }],
        "hosts": [{ "name": "localhost", "at": "", "origin": 0, "max_body_bytes": 1, "mtls": { "mode": "require", "trust": ["devices"] } }],
    }));
    let snapshot =
        Arc::new(Snapshot::compile(&policy.unwrap(), NOW, 1).unwrap_or_else(|problems| panic!("{problems:?}")));
    let certificate = Arc::new(Certificate::from_pem(&leaf));
    let peer = Peer::new([192, 0, 2, 1].into(), Some(Rc::new(Known::new(certificate.clone()))));
    let (mut exchange, mut tally) = (Exchange::default(), Tally::default());
    let mut request = || {
        exchange.head.buffer().push_str("GET /\nhost:localhost\n");
        exchange.begin(Now { mono_us: 1, unix_ms: NOW * 1000 }, "");
        let malformed = exchange.head.parse().err();
        let outcome = decide(&mut exchange, &snapshot, &peer, malformed, &mut tally, &mut Cache::default());
        (
            outcome,
            exchange.denial.as_ref().map(|denial| denial.reason),
            exchange.authority.as_deref().map(str::to_owned),
        )
    };
    let passes = (Outcome::Pass, None, Some("devices".to_owned()));
    assert_eq!(request(), passes);
    assert_eq!(request(), passes);
    revoke(Standings::of_process(), vec![named(&root, &certificate)]);
    assert_eq!(request(), (Outcome::Deny, REVOKED, None));
    restore(Standings::of_process(), vec![named(&root, &certificate)]);
    assert_eq!(request(), passes);
    assert!(tally.verify_hits >= 1 && tally.verify_misses == 3, "{tally:?}");
}

// --- a clock that jumps ------------------------------------------------------------------------------------------

#[test]
fn verdicts_stay_right_when_the_clock_jumps() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let listed = crls(root.authority(), &[&root.crl(&[])]);
    let set = trust(&listed);
    let leaf = root.leaf_with(|leaf| {
        leaf.not_before = date_time_ymd(2029, 12, 1);
        leaf.not_after = date_time_ymd(2030, 2, 1);
    });
    let mut kept = Kept::new(&set, &leaf, &standings);
    let day = 86_400;
    let moments = [0, 40 * day, 0, 400 * day, 1, 3 * 365 * day, 0, 20 * day, 31 * day, 31 * day + 1, 5, 4];
    for (index, after) in moments.into_iter().enumerate() {
        for now in [NOW + after, NOW - after] {
            let (_, fault) = kept.at(&standings, now);
            assert_eq!(fault, set.verify(&leaf, &standings, now).fault, "moment {index}: {now}");
            if index % 3 == 0 {
                revoke(&standings, vec![named(&root, &root.leaf())]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_renewed_verdict_is_always_a_fresh_one(steps in proptest::collection::vec((0u8..6, -400i64..400), 1..40)) {
        let root = Ca::root("root");
        let issuing = root.sub_with("issuing", |ca| ca.not_after = date_time_ymd(2030, 6, 1));
        let mut authority = intermediates(root.authority(), &[&issuing]);
        authority.revocation = Revocation { stale: Stale::Grace, grace_s: 86_400 * 30, ..Revocation::default() };
        let authority = crls(authority, &[&issuing.crl_with(&[], |list| list.next_update = date_time_ymd(2030, 2, 1))]);
        let (set, standings) = (trust(&authority), Standings::default());
        let leaf = issuing.leaf_with(|leaf| leaf.not_before = date_time_ymd(2029, 12, 1));
        let mut kept = Kept::new(&set, &leaf, &standings);
        let by_issuing = || vec![named(&issuing, &leaf)];
        for (step, days) in steps {
            match step {
                0 => revoke(&standings, by_issuing()),
                1 => restore(&standings, by_issuing()),
                2 => revoke(&standings, vec![named(&root, &Certificate::from_pem(&issuing.pem))]),
                3 => standings.change(&Change { reset: true, ..Change::default() }).unwrap(),
                _ => {}
            }
            let now = NOW.checked_add_signed(days * 86_400).unwrap();
            let (_, fault) = kept.at(&standings, now);
            let fresh = set.verify(&leaf, &standings, now);
            prop_assert_eq!(fault, fresh.fault);
            prop_assert_eq!(kept.verdict.lenient.is_some(), fresh.lenient.is_some());
        }
    }

    #[test]
    fn garbage_is_no_list(der in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(RevocationList::check(&der).is_err());
        let root = Ca::root("devices");
        prop_assert!(Standings::default().load_list(&compiled(&root.authority()), &der).is_err());
    }

    #[test]
    fn a_list_holds_what_was_put_in_it(serials in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..=20), 0..60), other in any::<[u8; 19]>()) {
        let root = Ca::root("devices");
        let list = der_of(&root.crl(&serials.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        prop_assert_eq!(RevocationList::check(&list), Ok(serials.len()));
        let read = crate::mtls::revocation_list::read_list(&list, &compiled(&root.authority()).issuers().collect::<Vec<_>>()).unwrap();
        let key = |serial: &[u8]| crate::mtls::revocation_list::serial_key(serial).unwrap();
        for serial in &serials {
            prop_assert!(read.serials.contains(&key(serial)));
        }
        let held = serials.iter().any(|serial| key(serial) == key(&other));
        prop_assert_eq!(read.serials.contains(&key(&other)), held);
    }

    #[test]
    fn a_damaged_list_is_refused_and_the_last_good_one_stays(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let (root, standings) = (Ca::root("devices"), Standings::default());
        let authority = compiled(&root.authority());
        standings.load_list(&authority, root.crl(&[&[1]]).as_bytes()).unwrap();
        let mut newer = der_of(&root.crl_with(&[], |list| list.crl_number = SerialNumber::from(2u64)));
        let at = at.index(newer.len());
        if cut { newer.truncate(at) } else { newer[at] ^= 1 << bit }
        let _ = RevocationList::check(&newer);
        prop_assert!(standings.load_list(&authority, &newer).is_err());
        let first = root.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[1])));
        prop_assert_eq!(TrustSet::of(vec![authority]).verify(&first, &standings, NOW).fault, REVOKED);
    }
}

// --- lists that arrive -------------------------------------------------------------------------------------------

fn compiled(authority: &policy::Authority) -> Arc<Authority> {
    let mut problems = Vec::new();
    let compiled = Authority::compile(authority, NOW, &mut problems);
    assert_eq!(problems, []);
    Arc::new(compiled)
}

fn der_of(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn numbered(ca: &Ca, serial: u8) -> Certificate {
    ca.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[serial])))
}

fn list(ca: &Ca, number: u64, serials: &[&[u8]]) -> String {
    ca.crl_with(serials, |list| list.crl_number = SerialNumber::from(number))
}

#[test]
fn a_list_that_arrives_counts_at_once_and_an_older_one_is_left_out() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let authority = compiled(&root.authority());
    let (set, leaf) = (TrustSet::of(vec![authority.clone()]), numbered(&root, 1));
    let mut kept = Kept::new(&set, &leaf, &standings);
    let loaded = standings.load_list(&authority, list(&root, 5, &[&[1], &[2]]).as_bytes()).unwrap();
    assert_eq!((loaded.serials, loaded.replaced, loaded.number.as_str()), (2, true, "05"));
    assert_eq!((loaded.issuer.as_str(), loaded.key_id), ("CN=devices", key_of(&root)));
    assert_eq!(loaded.next_update, date_time_ymd(2031, 1, 1).unix_timestamp() as u64 * 1000);
    assert_eq!(kept.now(&standings).1, REVOKED);
    for old in [list(&root, 4, &[]), list(&root, 5, &[])] {
        assert!(!standings.load_list(&authority, old.as_bytes()).unwrap().replaced);
        assert_eq!(kept.now(&standings).1, REVOKED);
    }
    assert!(standings.load_list(&authority, &der_of(&list(&root, 6, &[&[2]]))).unwrap().replaced);
    assert_eq!(kept.now(&standings).1, None);
}

#[test]
fn of_the_list_from_the_file_and_the_one_that_arrived_the_newer_counts() {
    let root = Ca::root("devices");
    let leaf = numbered(&root, 1);
    let filed = compiled(&crls(root.authority(), &[&list(&root, 5, &[&[1]])]));
    let standings = Standings::default();
    assert!(!standings.load_list(&filed, list(&root, 4, &[]).as_bytes()).unwrap().replaced);
    assert_eq!(TrustSet::of(vec![filed.clone()]).verify(&leaf, &standings, NOW).fault, REVOKED);
    assert!(standings.load_list(&filed, list(&root, 6, &[]).as_bytes()).unwrap().replaced);
    assert_eq!(TrustSet::of(vec![filed]).verify(&leaf, &standings, NOW).fault, None);
    // A new snapshot brings a file that is newer still.
    let later = compiled(&crls(root.authority(), &[&list(&root, 7, &[&[1]])]));
    assert_eq!(TrustSet::of(vec![later]).verify(&leaf, &standings, NOW).fault, REVOKED);
}

#[test]
fn a_list_of_somebody_else_is_refused() {
    let (root, namesake, standings) = (Ca::root("devices"), Ca::root("devices"), Standings::default());
    let authority = compiled(&root.authority());
    let refused = |bytes: &[u8]| standings.load_list(&authority, bytes).unwrap_err().0;
    assert!(refused(namesake.crl(&[]).as_bytes()).contains("signature is not valid"));
    assert!(refused(Ca::root("other").crl(&[]).as_bytes()).contains("not issued by this authority"));
    assert!(refused(root.pem.as_bytes()).contains("Not readable as PEM of one"));
    assert!(refused((root.crl(&[]) + &root.crl(&[])).as_bytes()).contains("Not readable as PEM of one"));
    assert!(refused(b"").contains("not valid DER"));
    assert_eq!(standings.epoch(), 0);
}

#[test]
fn a_list_lives_as_long_as_its_authority_keeps_the_key_that_signed_it() {
    let (old, new, standings) = (Ca::root("devices"), Ca::root("devices"), Standings::default());
    let (before, leaf) = (compiled(&old.authority()), numbered(&new, 1));
    standings.load_list(&before, old.crl(&[&[1]]).as_bytes()).unwrap();
    let mut both = old.authority();
    both.certificates.push_str(&new.pem);
    let both = compiled(&both);
    standings.keep_only([&*both].into_iter());
    assert_eq!(TrustSet::of(vec![both]).verify(&leaf, &standings, NOW).fault, REVOKED, "a key that was rolled over");
    let after = compiled(&new.authority());
    assert_eq!(TrustSet::of(vec![after.clone()]).verify(&leaf, &standings, NOW).fault, None);
    standings.keep_only([&*after].into_iter());
    assert_eq!(TrustSet::of(vec![before]).verify(&numbered(&old, 1), &standings, NOW).fault, None, "it was forgotten");
}

#[test]
fn lists_of_several_distribution_points_add_up_and_are_bounded() {
    use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint};
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let authority = compiled(&root.authority());
    let part = |number: u8| {
        root.crl_with(&[&[number]], |list| {
            list.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint { uris: vec![format!("http://ca.example/{number}")] },
                scope: None,
            });
        })
    };
    for number in 0..128 {
        assert!(standings.load_list(&authority, part(number).as_bytes()).unwrap().replaced);
    }
    assert!(standings.load_list(&authority, part(128).as_bytes()).unwrap_err().0.contains("no room"));
    let set = TrustSet::of(vec![authority]);
    assert_eq!(set.verify(&numbered(&root, 127), &standings, NOW).fault, REVOKED);
    assert_eq!(set.verify(&numbered(&root, 128), &standings, NOW).fault, None);
}

// --- unknown and outdated ----------------------------------------------------------------------------------------

fn with(authority: policy::Authority, revocation: Revocation) -> policy::Authority {
    policy::Authority { revocation, ..authority }
}

fn mode(stale: Stale) -> Revocation {
    Revocation { stale, grace_s: HOUR, ..Revocation::default() }
}

#[test]
fn an_outdated_list_is_taken_as_the_authority_says() {
    let root = Ca::root("devices");
    let end = date_time_ymd(2031, 1, 1).unix_timestamp() as u64;
    let (leaf, revoked) = (numbered(&root, 2), numbered(&root, 1));
    let faults = |stale: Stale, now: u64| {
        let set = trust(&with(crls(root.authority(), &[&root.crl(&[&[1]])]), mode(stale)));
        let standings = Standings::default();
        assert_eq!(set.verify(&revoked, &standings, now).fault, REVOKED, "what it lists stays revoked");
        let verdict = set.verify(&leaf, &standings, now);
        (verdict.fault, verdict.lenient.map(|lenient| lenient.mode))
    };
    for stale in [Stale::Hard, Stale::Soft, Stale::Grace] {
        assert_eq!(faults(stale, end - 1), (None, None));
    }
    assert_eq!(faults(Stale::Hard, end), (OUTDATED, None));
    assert_eq!(faults(Stale::Soft, end), (None, Some(Stale::Soft)));
    assert_eq!(faults(Stale::Soft, end + 365 * 24 * HOUR), (None, Some(Stale::Soft)));
    assert_eq!(faults(Stale::Grace, end + HOUR - 1), (None, Some(Stale::Grace)));
    assert_eq!(faults(Stale::Grace, end + HOUR), (OUTDATED, None));
}

#[test]
fn a_kept_verdict_ends_with_the_list_and_then_with_the_grace() {
    let (root, standings) = (Ca::root("devices"), Standings::default());
    let end = date_time_ymd(2031, 1, 1).unix_timestamp() as u64;
    let (leaf, set) = (root.leaf(), trust(&with(crls(root.authority(), &[&root.crl(&[])]), mode(Stale::Grace))));
    let mut kept = Kept::new(&set, &leaf, &standings);
    assert_eq!(kept.at(&standings, end - 1), (Renewal::Held, None));
    assert_eq!(kept.at(&standings, end), (Renewal::LookedUp, None));
    assert_eq!(kept.at(&standings, end + HOUR - 1), (Renewal::Held, None));
    assert_eq!(kept.at(&standings, end + HOUR), (Renewal::Verified, OUTDATED));
    assert_eq!(kept.at(&standings, end - 1), (Renewal::Verified, None), "the clock was set back");
}

#[test]
fn a_list_that_has_to_arrive_is_missed_until_it_does() {
    let root = Ca::root("devices");
    let leaf = root.leaf();
    let fetching = |stale| compiled(&with(root.authority(), Revocation { fetch: true, ..mode(stale) }));
    let standings = Standings::default();
    let hard = fetching(Stale::Hard);
    let set = TrustSet::of(vec![hard.clone()]);
    let mut kept = Kept::new(&set, &leaf, &standings);
    assert_eq!(kept.now(&standings), (Renewal::Held, UNKNOWN));
    standings.load_list(&hard, root.crl(&[]).as_bytes()).unwrap();
    assert_eq!(kept.now(&standings), (Renewal::Verified, None));

    let standings = Standings::default();
    let soft = TrustSet::of(vec![fetching(Stale::Soft)]);
    assert!(soft.verify(&leaf, &standings, NOW).lenient.is_some());

    let standings = Standings::default();
    let grace = TrustSet::of(vec![fetching(Stale::Grace)]);
    let mut kept = Kept::new(&grace, &leaf, &standings);
    assert_eq!(kept.at(&standings, NOW + HOUR - 1).1, None);
    let second = root.leaf();
    assert_eq!(grace.verify(&second, &standings, NOW + HOUR - 1).fault, None, "the grace is the issuer's");
    assert_eq!(grace.verify(&second, &standings, NOW + HOUR).fault, UNKNOWN);
    assert_eq!(kept.at(&standings, NOW + HOUR).1, UNKNOWN);
}

#[test]
fn the_strictest_of_two_authorities_that_share_a_key_counts() {
    let root = Ca::root("devices");
    let soft = compiled(&with(root.authority(), Revocation { fetch: true, ..mode(Stale::Soft) }));
    let hard = compiled(&with(
        policy::Authority { name: "strict".into(), ..root.authority() },
        Revocation { fetch: true, ..mode(Stale::Hard) },
    ));
    for order in [[&soft, &hard], [&hard, &soft]] {
        let set = TrustSet::of(order.into_iter().cloned().collect());
        assert_eq!(set.verify(&root.leaf(), &Standings::default(), NOW).fault, UNKNOWN);
    }
}

#[test]
fn counts_requests_that_pass_on_an_unknown_standing() {
    let root = Ca::root("devices");
    let named = policy::Authority { name: "counted-in-a-test".into(), ..root.authority() };
    let set = trust(&with(named, Revocation { fetch: true, ..mode(Stale::Soft) }));
    let verdict = set.verify(&root.leaf(), &Standings::default(), NOW);
    verdict.lenient.unwrap().count();
    verdict.lenient.unwrap().count();
    let families = crate::meters::scrape(&Snapshot::compile(&policy::Policy::default(), 0, 0).unwrap(), Vec::new());
    assert!(families.contains(r#"{"labels":{"authority":"counted-in-a-test","mode":"soft"},"value":2}"#), "{families}");
}

// --- OCSP --------------------------------------------------------------------------------------------------------

fn answer(ca: &Ca, certificate: &Certificate, status: &str, this_update: u64, next_update: Option<u64>) -> Answered {
    serde_json::from_value(serde_json::json!({
        "authority": "devices",
        "key_id": key_of(ca),
        "serial": certificate.field(CertificateField::Serial),
        "status": status,
        "this_update": this_update * 1000,
        "next_update": next_update.map(|end| end * 1000),
    }))
    .unwrap()
}

#[test]
fn an_answer_counts_until_its_nextupdate() {
    let root = Ca::root("devices");
    let authority = compiled(&with(root.authority(), Revocation { ocsp: true, ..Revocation::default() }));
    let (set, leaf, standings) = (TrustSet::of(vec![authority.clone()]), root.leaf(), Standings::default());
    let mut kept = Kept::new(&set, &leaf, &standings);
    assert_eq!(kept.now(&standings).1, UNKNOWN);
    standings.answered(&authority, &answer(&root, &leaf, "good", NOW - 10, Some(NOW + HOUR))).unwrap();
    assert_eq!(kept.now(&standings), (Renewal::Verified, None));
    assert_eq!(kept.at(&standings, NOW + HOUR - 1), (Renewal::Held, None));
    assert_eq!(kept.at(&standings, NOW + HOUR).1, UNKNOWN);
    standings.answered(&authority, &answer(&root, &leaf, "revoked", NOW + HOUR, None)).unwrap();
    assert_eq!(kept.at(&standings, NOW + HOUR).1, REVOKED);
    standings.answered(&authority, &answer(&root, &leaf, "good", NOW, Some(NOW + 9 * HOUR))).unwrap();
    assert_eq!(kept.at(&standings, NOW + HOUR).1, REVOKED, "an older answer is left out");
    standings.answered(&authority, &answer(&root, &leaf, "good", NOW + HOUR + 1, None)).unwrap();
    assert_eq!(kept.at(&standings, NOW + HOUR + 2).1, None, "it was on hold");
    assert_eq!(kept.at(&standings, NOW + HOUR + 301).1, UNKNOWN, "without nextUpdate it counts for 300 s");
    standings.answered(&authority, &answer(&root, &leaf, "unknown", NOW + 2 * HOUR, None)).unwrap();
    assert_eq!(kept.at(&standings, NOW + 2 * HOUR).1, UNKNOWN);
}

#[test]
fn a_fresh_answer_renews_a_verdict_without_signatures() {
    let root = Ca::root("devices");
    let authority = compiled(&with(root.authority(), Revocation { ocsp: true, ..Revocation::default() }));
    let (set, leaf, standings) = (TrustSet::of(vec![authority.clone()]), root.leaf(), Standings::default());
    standings.answered(&authority, &answer(&root, &leaf, "good", NOW, Some(NOW + 10))).unwrap();
    let mut kept = Kept::new(&set, &leaf, &standings);
    standings.answered(&authority, &answer(&root, &leaf, "good", NOW + 5, Some(NOW + 20))).unwrap();
    assert_eq!(kept.at(&standings, NOW + 15), (Renewal::LookedUp, None));
}

#[test]
fn a_list_or_an_answer_is_enough_and_either_can_revoke() {
    let root = Ca::root("devices");
    let both = Revocation { ocsp: true, fetch: true, ..Revocation::default() };
    let authority = compiled(&with(root.authority(), both));
    let (set, leaf, listed) = (TrustSet::of(vec![authority.clone()]), numbered(&root, 2), numbered(&root, 1));
    let standings = Standings::default();
    standings.answered(&authority, &answer(&root, &leaf, "good", NOW, Some(NOW + HOUR))).unwrap();
    assert_eq!(set.verify(&leaf, &standings, NOW).fault, None);
    standings.load_list(&authority, root.crl(&[&[1]]).as_bytes()).unwrap();
    assert_eq!(set.verify(&leaf, &standings, NOW + 2 * HOUR).fault, None, "the list still stands");
    standings.answered(&authority, &answer(&root, &listed, "good", NOW, Some(NOW + HOUR))).unwrap();
    assert_eq!(set.verify(&listed, &standings, NOW).fault, REVOKED);
    standings.answered(&authority, &answer(&root, &leaf, "revoked", NOW + 1, Some(NOW + HOUR))).unwrap();
    assert_eq!(set.verify(&leaf, &standings, NOW).fault, REVOKED);
}

#[test]
fn an_answer_is_demanded_for_the_leaf_only() {
    let root = Ca::root("devices");
    let issuing = root.sub("issuing");
    let revocation = Revocation { ocsp: true, ..Revocation::default() };
    let authority = compiled(&with(intermediates(root.authority(), &[&issuing]), revocation));
    let (set, leaf, standings) = (TrustSet::of(vec![authority.clone()]), issuing.leaf(), Standings::default());
    standings.answered(&authority, &answer(&issuing, &leaf, "good", NOW, Some(NOW + HOUR))).unwrap();
    assert_eq!(set.verify(&leaf, &standings, NOW).fault, None);
    let own = Certificate::from_pem(&issuing.pem);
    standings.answered(&authority, &answer(&root, &own, "revoked", NOW, Some(NOW + HOUR))).unwrap();
    assert_eq!(set.verify(&leaf, &standings, NOW).fault, REVOKED, "what is known of an intermediate counts");
}

#[test]
fn the_grace_of_an_answer_is_each_certificates_own() {
    let root = Ca::root("devices");
    let authority = with(root.authority(), Revocation { ocsp: true, ..mode(Stale::Grace) });
    let (set, standings) = (trust(&authority), Standings::default());
    let (early, late) = (root.leaf(), root.leaf());
    assert_eq!(set.verify(&early, &standings, NOW).fault, None);
    assert_eq!(set.verify(&late, &standings, NOW + HOUR).fault, None);
    assert_eq!(set.verify(&early, &standings, NOW + HOUR).fault, UNKNOWN);
}

#[test]
fn answers_are_bounded_and_the_least_used_go() {
    let root = Ca::root("devices");
    let authority = compiled(&root.authority());
    let standings = Standings::default();
    let (set, leaf) = (TrustSet::of(vec![authority.clone()]), numbered(&root, 0x7f));
    standings.answered(&authority, &answer(&root, &leaf, "revoked", NOW - HOUR, None)).unwrap();
    for serial in 0..MAX_ANSWERS * 3 {
        let mut other = answer(&root, &leaf, "good", NOW - 2 * HOUR + serial as u64 % 60, None);
        other.serial = format!("01{serial:08X}");
        standings.answered(&authority, &other).unwrap();
        assert!(standings.answers() <= MAX_ANSWERS);
        if serial % 100 == 0 {
            assert_eq!(set.verify(&leaf, &standings, NOW).fault, REVOKED);
        }
    }
}

#[test]
fn an_answer_for_a_key_that_the_authority_does_not_hold_is_refused() {
    let (root, other, standings) = (Ca::root("devices"), Ca::root("devices"), Standings::default());
    let wrong = answer(&other, &other.leaf(), "revoked", NOW, None);
    assert!(standings.answered(&compiled(&root.authority()), &wrong).is_err());
}

// --- hosted authorities ------------------------------------------------------------------------------------------

#[test]
fn a_hosted_authority_may_have_no_certificate_yet_and_then_trusts_nobody() {
    let hosted = |certificates: &str| policy::Authority {
        hosted: true,
        certificates: certificates.to_owned(),
        ..Ca::root("devices").authority()
    };
    let leaf = Ca::root("devices").leaf();
    assert_denies(&trust(&hosted("")), &leaf, Reason::MtlsUntrusted);
    let ended = |ca: &mut CertificateParams| ca.not_after = date_time_ymd(2029, 1, 1);
    assert_eq!(problems(&hosted(&Ca::root_with("old", ended).pem)), []);
    assert_eq!(problems(&hosted("nonsense")).len(), 1);
}

#[test]
fn tells_whose_anchor_verified_it() {
    let (devices, partners) = (Ca::root("devices"), Ca::root("partners"));
    let named = |name: &str, authority| policy::Authority { name: name.into(), ..authority };
    let (one, two) = (named("one", devices.authority()), named("two", partners.authority()));
    let set = TrustSet::compile(&[&one, &two], NOW, &mut Vec::new());
    let standings = Standings::default();
    assert_eq!(set.verify(&partners.leaf(), &standings, NOW).authority.as_deref(), Some("two"));
    assert_eq!(set.verify(&Ca::root("x").leaf(), &standings, NOW).authority, None);
    // The same root twice: the one that holds the leaf's issuer as well.
    let issuing = devices.sub("issuing");
    let with_issuing = named("two", intermediates(devices.authority(), &[&issuing]));
    let set = TrustSet::compile(&[&one, &with_issuing], NOW, &mut Vec::new());
    assert_eq!(set.verify(&issuing.leaf(), &standings, NOW).authority.as_deref(), Some("two"));
    assert_eq!(set.verify(&devices.leaf(), &standings, NOW).authority.as_deref(), Some("one"));
}
