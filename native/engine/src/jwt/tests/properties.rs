use std::sync::LazyLock;

use proptest::prelude::*;

use super::compact::{Compact, Header};
use super::key_set::KeySet;
use super::*;
use crate::jwt::claims::Claims;

/// An EdDSA key: one signature each, so that a token has no second good one.
static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::eddsa("k1"));
static CONFIGURATION: LazyLock<Configuration> = LazyLock::new(|| configuration(&[&SIGNER], |_| {}));
static TOKEN: LazyLock<String> = LazyLock::new(|| SIGNER.token(&claims(|_| {})));

proptest! {
    #[test]
    fn a_token_with_any_byte_changed_is_refused(place in any::<prop::sample::Index>(), byte in b'!'..=b'~') {
        let mut bytes = TOKEN.clone().into_bytes();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(judged(&CONFIGURATION, &changed).is_err(), "{}", changed);
    }

    #[test]
    fn a_token_with_bytes_taken_out_or_put_in_is_refused(
        place in any::<prop::sample::Index>(),
        taken in 0_usize..8,
        put in "[A-Za-z0-9_.=-]{0,8}",
    ) {
        let place = place.index(TOKEN.len());
        let end = (place + taken).min(TOKEN.len());
        let changed = format!("{}{put}{}", &TOKEN[..place], &TOKEN[end..]);
        prop_assume!(changed != *TOKEN);
        prop_assert!(judged(&CONFIGURATION, &changed).is_err(), "{}", changed);
    }

    #[test]
    fn parts_of_two_tokens_make_no_third(mix in 1_usize..7) {
        let other = SIGNER.token(&claims(|claims| claims["sub"] = "u-2".into()));
        let (ours, theirs): (Vec<&str>, Vec<&str>) = (TOKEN.split('.').collect(), other.split('.').collect());
        let part = |at: usize| if mix >> at & 1 == 1 { theirs[at] } else { ours[at] };
        let mixed = format!("{}.{}.{}", part(0), part(1), part(2));
        prop_assume!(mixed != *TOKEN && mixed != other);
        prop_assert!(judged(&CONFIGURATION, &mixed).is_err());
    }

    #[test]
    fn whatever_is_sent_is_read_without_a_panic(raw in "\\PC{0,200}", more in "[A-Za-z0-9_-]{0,60}[.][A-Za-z0-9_-]{0,60}[.][A-Za-z0-9_-]{0,60}") {
        for raw in [raw, more] {
            prop_assert!(judged(&CONFIGURATION, &raw).is_err());
            prop_assert!(CONFIGURATION.inspect_with(&raw, NOW * 1000, &Revoked::default()).reason.is_some());
            let _ = Compact::read(&raw);
        }
    }

    #[test]
    fn whatever_is_signed_is_judged_without_a_panic(header in json(), payload in json()) {
        let of_payload = SIGNER.token(&payload);
        let _ = judged(&CONFIGURATION, &of_payload);
        let inspected = CONFIGURATION.inspect_with(&of_payload, NOW * 1000, &Revoked::default());
        prop_assert_eq!(inspected.reason, judged(&CONFIGURATION, &of_payload).err().map(Reason::id));
        let _ = judged(&CONFIGURATION, &SIGNER.token_with(&header, &payload));
        let _ = Header::read(header.as_bytes());
        let _ = KeySet::of_json(&header, true);
        if let Some(claims) = Claims::read(payload.into_bytes()) {
            for name in ["", "exp", "a", "a.b", "cnf", "aud", "."] {
                let _ = (claims.texts(name).count(), claims.moment(name), claims.text_or_list(name));
            }
        }
    }

    #[test]
    fn whatever_a_set_holds_is_read_without_a_panic(members in prop::collection::vec((member(), json()), 0..8), pem in "\\PC{0,80}") {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        let _ = KeySet::of_json(&format!(r#"{{"keys":[{{{}}}]}}"#, members.join(",")), true);
        let _ = KeySet::of_pem(&pem);
        let _ = KeySet::of_pem(&format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n"));
    }
}

/// JSON with the names that mean something, of whatever type.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| serde_json::json!(value).to_string()),
        (NOW - 100..NOW + 100).prop_map(|value| value.to_string()),
        "[a-zA-Z0-9 _-]{0,44}".prop_map(|text| format!("{text:?}")),
        Just("\"orders\"".to_owned()),
        Just("\"https://login.example.com/\"".to_owned()),
        Just("\"EdDSA\"".to_owned()),
        Just("\"k1\"".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((member(), inner), 0..8).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn member() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "alg", "kid", "typ", "crit", "b64", "jwk", "iss", "aud", "exp", "nbf", "iat", "jti", "sub", "cnf", "x5t#S256",
        "jkt", "scope", "roles", "a", "b", "", "kty", "crv", "x", "y", "n", "e", "k", "use", "key_ops", "keys", "d",
    ])
}
