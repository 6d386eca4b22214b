use serde_json::{Value, json};

use super::*;

/// What becomes of a token with these claims.
fn told(configuration: &Configuration, signer: &Signer, change: impl FnOnce(&mut Value)) -> Option<Reason> {
    judged(configuration, &signer.token(&claims(change))).err()
}

#[test]
fn the_issuer_is_compared_byte_by_byte() {
    let signer = Signer::es256("k1");
    let of_one = configuration(&[&signer], |_| {});
    for wrong in ["https://login.example.com", "https://LOGIN.example.com/", "https://login.example.com/ ", ""] {
        assert_eq!(told(&of_one, &signer, |claims| claims["iss"] = wrong.into()), Some(Reason::JwtIssuer), "{wrong}");
    }
    let absent = |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("iss"));
    assert_eq!(told(&of_one, &signer, absent), Some(Reason::JwtIssuer));
    let of_any = configuration(&[&signer], |written| written.issuer = None);
    assert_eq!(told(&of_any, &signer, absent), None);
    assert_eq!(told(&of_any, &signer, |claims| claims["iss"] = 7.into()), Some(Reason::JwtClaims));
}

#[test]
fn the_audience_is_one_text_or_a_list_of_texts() {
    let signer = Signer::es256("k1");
    let of_two = configuration(&[&signer], |written| written.audiences = vec!["orders".to_owned(), "stock".to_owned()]);
    for (aud, expected) in [
        (json!("orders"), None),
        (json!(["invoices", "stock"]), None),
        (json!("invoices"), Some(Reason::JwtAudience)),
        (json!("orders stock"), Some(Reason::JwtAudience)),
        (json!([]), Some(Reason::JwtAudience)),
        (json!([["orders"]]), Some(Reason::JwtClaims)),
        (json!(["orders", 7]), Some(Reason::JwtClaims)),
        (json!(["orders", null]), Some(Reason::JwtClaims)),
        (json!({ "orders": true }), Some(Reason::JwtClaims)),
        (json!(7), Some(Reason::JwtClaims)),
        (json!(null), Some(Reason::JwtClaims)),
    ] {
        assert_eq!(told(&of_two, &signer, |claims| claims["aud"] = aud.clone()), expected, "{aud}");
    }
    let of_any = configuration(&[&signer], |written| written.audiences = Vec::new());
    assert_eq!(told(&of_any, &signer, |claims| claims["aud"] = "whoever".into()), None);
    assert_eq!(told(&of_any, &signer, |claims| claims["aud"] = 7.into()), Some(Reason::JwtClaims));
}

#[test]
fn time_counts_with_the_skew_and_to_the_millisecond() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    for (claim, value, expected) in [
        ("exp", json!(NOW - 59), None),
        ("exp", json!(NOW - 60), Some(Reason::JwtExpired)),
        ("exp", json!(NOW as f64 - 59.5), None),
        ("exp", json!(0), Some(Reason::JwtExpired)),
        ("nbf", json!(NOW + 60), None),
        ("nbf", json!(NOW + 61), Some(Reason::JwtNotYetValid)),
        ("nbf", json!(NOW as f64 + 60.5), Some(Reason::JwtNotYetValid)),
        ("iat", json!(NOW + 60), None),
        ("iat", json!(NOW + 61), Some(Reason::JwtNotYetValid)),
    ] {
        let found = told(&configuration, &signer, |claims| {
            claims["iat"] = (NOW - 3600).into();
            claims[claim] = value.clone();
        });
        assert_eq!(found, expected, "{claim} {value}");
    }
}

#[test]
fn a_time_is_a_number_within_the_calendar() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |written| written.max_lifetime_s = None);
    for claim in ["exp", "nbf", "iat"] {
        for wrong in [
            json!("1893459600"),
            json!(null),
            json!([NOW]),
            json!({}),
            json!(true),
            json!(-1),
            json!(NOW * 1000),
            json!(u64::MAX),
            json!(1e300),
            json!(-0.5),
        ] {
            let found = told(&configuration, &signer, |claims| claims[claim] = wrong.clone());
            assert_eq!(found, Some(Reason::JwtClaims), "{claim} {wrong}");
        }
    }
    assert_eq!(told(&configuration, &signer, |claims| claims["exp"] = 253_402_300_799_u64.into()), None);
}

#[test]
fn nobody_lives_longer_than_the_configuration_says() {
    let signer = Signer::es256("k1");
    let an_hour = configuration(&[&signer], |written| written.max_lifetime_s = Some(3600));
    let lived = |change: fn(&mut Value)| told(&an_hour, &signer, change);
    assert_eq!(lived(|claims| claims["exp"] = (NOW - 60 + 3600).into()), None);
    assert_eq!(lived(|claims| claims["exp"] = (NOW - 60 + 3601).into()), Some(Reason::JwtLifetime));
    let without = |claim: &'static str, exp: u64| {
        told(&an_hour, &signer, |claims| {
            claims.as_object_mut().unwrap().remove("iat");
            claims.as_object_mut().unwrap().remove(claim);
            claims["exp"] = exp.into();
        })
    };
    assert_eq!(without("nbf", NOW + 3600), None, "from now");
    assert_eq!(without("nbf", NOW + 3601), Some(Reason::JwtLifetime));
    let endless = |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("exp"));
    assert_eq!(told(&an_hour, &signer, endless), Some(Reason::JwtLifetime));
    let any = configuration(&[&signer], |written| written.max_lifetime_s = None);
    assert_eq!(told(&any, &signer, endless), Some(Reason::JwtLifetime), "no exp has to be allowed");
    let allowed = configuration(&[&signer], |written| written.allow_no_expiry = true);
    assert_eq!(told(&allowed, &signer, endless), None);
}

#[test]
fn registered_claims_have_their_types() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    for claim in ["iss", "sub", "jti"] {
        for wrong in [json!(7), json!(null), json!(["u-1"]), json!({}), json!(true)] {
            let found = told(&configuration, &signer, |claims| claims[claim] = wrong.clone());
            assert_eq!(found, Some(Reason::JwtClaims), "{claim} {wrong}");
        }
    }
}

#[test]
fn required_claims_are_there_and_have_one_of_their_values() {
    let signer = Signer::es256("k1");
    let condition = |claim: &str, values: &[&str]| policy::ClaimCondition {
        claim: claim.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let asked = |condition: policy::ClaimCondition, claim: &str, value: Value| {
        let configuration = configuration(&[&signer], |written| written.required = vec![condition]);
        told(&configuration, &signer, |claims| claims[claim] = value).is_none()
    };
    assert!(asked(condition("tenant", &[]), "tenant", json!("acme")));
    assert!(asked(condition("tenant", &[]), "tenant", json!(false)));
    assert!(asked(condition("tenant", &[]), "tenant", json!({})));
    assert!(!asked(condition("tenant", &[]), "tenant", json!(null)));
    assert!(!asked(condition("tenant", &[]), "other", json!("acme")));
    assert!(asked(condition("plan", &["gold", "silver"]), "plan", json!("silver")));
    assert!(asked(condition("plan", &["gold", "silver"]), "plan", json!(["bronze", "gold"])));
    assert!(!asked(condition("plan", &["gold"]), "plan", json!("Gold")));
    assert!(!asked(condition("plan", &["gold"]), "plan", json!("gold silver")));
    assert!(!asked(condition("plan", &["gold"]), "plan", json!({ "gold": true })));
    assert!(!asked(condition("plan", &["gold"]), "plan", json!([["gold"]])));
    assert!(asked(condition("level", &["7"]), "level", json!(7)));
    assert!(!asked(condition("level", &["7"]), "level", json!(7.5)));
    assert!(asked(condition("admin", &["true"]), "admin", json!(true)));
    assert!(!asked(condition("none", &["null"]), "none", json!(null)));
}

#[test]
fn a_claim_is_found_by_its_whole_name_before_its_steps() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    let raw = signer.token(&claims(|claims| {
        claims["realm_access"] = json!({ "roles": ["a", "b"], "x": { "y": 1.50 } });
        claims["https://example.com/roles"] = json!(["c"]);
        claims["a.b"] = json!("whole");
        claims["a"] = json!({ "b": "steps", "c": [1, true, null, [2], { "d": 3 }, "e"] });
    }));
    let token = judged(&configuration, &raw).unwrap();
    let texts = |claim: &str| token.claim(claim).collect::<Vec<_>>();
    assert_eq!(texts("realm_access.roles"), ["a", "b"]);
    assert_eq!(texts("realm_access.x.y"), ["1.5"]);
    assert_eq!(texts("https://example.com/roles"), ["c"]);
    assert_eq!(texts("a.b"), ["whole"]);
    assert_eq!(texts("a.c"), ["1", "true", "e"]);
    for absent in ["", ".", "a.", "a.b.c", "realm_access", "realm_access.roles.0", "nobody", "a.c.0"] {
        assert!(texts(absent).is_empty(), "{absent}");
    }
}

#[test]
fn scopes_and_roles_are_words_of_texts_and_lists() {
    let signer = Signer::es256("k1");
    let configuration =
        configuration(&[&signer], |written| written.role_claims = vec!["realm_access.roles".to_owned()]);
    let raw = signer.token(&claims(|claims| {
        claims["scope"] = "a  b ".into();
        claims["scp"] = json!(["c", "d e", 7]);
        claims["realm_access"] = json!({ "roles": ["clerk", "auditor"] });
    }));
    let token = judged(&configuration, &raw).unwrap();
    assert_eq!(token.scopes, ["a", "b", "c", "d", "e", "7"]);
    assert_eq!(token.roles, ["clerk", "auditor"]);
    let raw = signer.token(&claims(|claims| claims["scope"] = json!({ "a": true })));
    assert!(judged(&configuration, &raw).unwrap().scopes.is_empty());
}
