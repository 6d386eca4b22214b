//! What holds for every requirement and every caller.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::requirement::Need;
use super::super::*;
use super::judging::{key, token};
use crate::exchange::Presented;
use crate::policy::{Action, ClaimCondition};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn some(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(select(names), 0..3).prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn need() -> impl Strategy<Value = Need> {
    prop_oneof![
        (some(&NAMES), some(&NAMES), some(&NAMES), some(&NAMES)).prop_map(|(configurations, scopes, roles, claims)| {
            let claims = claims.into_iter().map(|claim| ClaimCondition { claim, values: Vec::new() }).collect();
            Need::Token { configurations, scopes, roles, claims }
        }),
        (some(&NAMES), prop::collection::vec(0..3u8, 0..2)).prop_map(|(scopes, places)| Need::Key { scopes, places }),
        some(&NAMES).prop_map(|authorities| Need::Certificate { authorities }),
    ]
}

fn requirement() -> impl Strategy<Value = Requirement> {
    prop::collection::vec(prop::collection::vec(need(), 0..4), 0..4).prop_map(|any| Requirement {
        action: Action::Block,
        any,
        challenges: Vec::new(),
    })
}

fn faults(of: &'static [Reason]) -> impl Strategy<Value = Option<Reason>> {
    prop::option::of(select(of))
}

fn caller() -> impl Strategy<Value = Caller> {
    let tokens = prop::option::of((select(&NAMES[..]), some(&NAMES), some(&NAMES)));
    let keys = prop::option::of((some(&NAMES), 0..3u8));
    let token_faults = faults(&[Reason::JwtExpired, Reason::CredentialsRepeated]);
    (tokens, keys, token_faults, faults(&[Reason::KeysUnknown, Reason::KeysBinding])).prop_map(
        |(presented, granted, token_fault, key_fault)| {
            let mut caller = Caller::default();
            match presented {
                Some((name, scopes, roles)) => caller.token = Some(token(name, &texts(&scopes), &texts(&roles))),
                None => caller.token_fault = token_fault,
            }
            match granted {
                Some((scopes, place)) => (caller.key, caller.key_place) = (key(&texts(&scopes)), Some(place)),
                None => caller.key_fault = key_fault,
            }
            caller
        },
    )
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn presented() -> impl Strategy<Value = Presented> {
    let all = [Presented::NotLooked, Presented::Absent, Presented::Verified, Presented::Fault(Reason::MtlsExpired)];
    select(all.to_vec())
}

/// One step that lets more callers in, or as many.
fn weaken(requirement: &mut Requirement, (way, at): (u8, usize)) {
    if way == 0 || requirement.any.is_empty() {
        requirement.any.insert(at % (requirement.any.len() + 1), Vec::new());
        return;
    }
    let alternatives = requirement.any.len();
    let alternative = &mut requirement.any[at % alternatives];
    if alternative.is_empty() {
        return;
    }
    let needs = alternative.len();
    if way == 1 {
        alternative.remove(at % needs);
        return;
    }
    match &mut alternative[at % needs] {
        Need::Token { configurations, scopes, roles, claims } => match way {
            2 => drop(scopes.pop()),
            3 => roles.clear(),
            4 if !roles.is_empty() => roles.push("a".to_owned()),
            5 => drop(claims.pop()),
            _ => configurations.push("a".to_owned()),
        },
        Need::Key { scopes, places } => match way {
            2 | 3 => drop(scopes.pop()),
            4 if !places.is_empty() => places.push(1),
            _ => places.clear(),
        },
        Need::Certificate { authorities } => match way {
            2..=4 if !authorities.is_empty() => authorities.push("a".to_owned()),
            _ => authorities.clear(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn who_meets_a_requirement_meets_every_weaker_one(
        mut requirement in requirement(),
        caller in caller(),
        presented in presented(),
        authority in prop::option::of(select(&NAMES[..])),
        ways in prop::collection::vec((0..7u8, 0..12usize), 1..4),
    ) {
        let shown = Shown { caller: &caller, presented, authority };
        let met = requirement.judge(&shown).is_ok();
        for way in ways {
            weaken(&mut requirement, way);
            prop_assert!(!met || requirement.judge(&shown).is_ok(), "{:?}", requirement);
        }
    }

    #[test]
    fn a_denial_speaks_of_what_was_presented(
        requirement in requirement(),
        caller in caller(),
        presented in presented(),
        authority in prop::option::of(select(&NAMES[..])),
    ) {
        let shown = Shown { caller: &caller, presented, authority };
        let Err(Refusal { reason, .. }) = requirement.judge(&shown) else { return Ok(()) };
        let good = caller.token.is_some() || caller.key.is_some() || presented == Presented::Verified;
        match reason {
            Reason::CredentialsMissing | Reason::MtlsMissing => {}
            Reason::CredentialsUnaccepted => prop_assert!(good || requirement.any.is_empty()),
            Reason::CredentialsScope => prop_assert!(caller.token.is_some() || caller.key.is_some()),
            Reason::CredentialsRole | Reason::CredentialsClaim => prop_assert!(caller.token.is_some()),
            Reason::MtlsExpired => prop_assert_eq!(presented, Presented::Fault(reason)),
            fault => prop_assert!(caller.token_fault == Some(fault) || caller.key_fault == Some(fault)),
        }
    }
}
