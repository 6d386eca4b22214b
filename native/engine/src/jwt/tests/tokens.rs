use super::*;

#[test]
fn a_token_of_each_algorithm_counts() {
    for signer in [
        Signer::es256("k1"),
        Signer::es384("k1"),
        Signer::eddsa("k1"),
        Signer::rs256("k1"),
        Signer::ps256("k1"),
        Signer::hs256("k1", &[7; 32]),
    ] {
        let configuration = configuration(&[&signer], |_| {});
        let token = judged(&configuration, &signer.token(&claims(|_| {}))).unwrap();
        assert_eq!(&*token.configuration, "customers", "{}", signer.algorithm());
        assert_eq!(token.scopes, ["orders:read", "orders:write"]);
        assert_eq!(token.roles, ["clerk"]);
        assert_eq!(token.expires, Some(NOW + 3600));
        assert_eq!(token.claim("sub").collect::<Vec<_>>(), ["u-1"]);
        assert!(token.claims().starts_with('{'));
        assert!(!format!("{token:?}").contains("u-1"), "no claims in debug output");
    }
}

#[test]
fn pem_keys_count_without_a_kid_and_under_any() {
    for signer in [Signer::es256("k1"), Signer::es384("k1"), Signer::eddsa("k1"), Signer::rs256("k1")] {
        let configuration = configuration(&[&signer], |written| written.keys = Some(signer.pem()));
        assert!(judged(&configuration, &signer.token(&claims(|_| {}))).is_ok(), "{}", signer.algorithm());
        let header = format!(r#"{{"alg":"{}"}}"#, signer.algorithm());
        assert!(judged(&configuration, &signer.token_with(&header, &claims(|_| {}))).is_ok(), "{}", signer.algorithm());
    }
}

#[test]
fn the_type_is_compared_without_case_and_without_application() {
    let signer = Signer::es256("k1");
    let of_access_tokens = configuration(&[&signer], |written| written.types = vec!["at+jwt".to_owned()]);
    let typ = |typ: &str| signer.token_with(&format!(r#"{{"alg":"ES256","kid":"k1"{typ}}}"#), &claims(|_| {}));
    for good in
        [r#","typ":"at+jwt""#, r#","typ":"AT+JWT""#, r#","typ":"application/at+jwt""#, r#","typ":"Application/At+Jwt""#]
    {
        assert!(judged(&of_access_tokens, &typ(good)).is_ok(), "{good}");
    }
    for wrong in
        ["", r#","typ":"JWT""#, r#","typ":"""#, r#","typ":"at+jwt ""#, r#","typ":"application/application/at+jwt""#]
    {
        assert_eq!(judged(&of_access_tokens, &typ(wrong)).err(), Some(Reason::JwtType), "{wrong}");
    }
    let of_any = configuration(&[&signer], |written| written.types = Vec::new());
    assert!(judged(&of_any, &typ(r#","typ":"whatever""#)).is_ok());
    assert_eq!(judged(&of_any, &typ(r#","typ":7"#)).err(), Some(Reason::JwtMalformed));
}

#[test]
fn a_token_longer_than_the_configuration_takes_is_not_even_read() {
    let signer = Signer::es256("k1");
    let token = signer.token(&claims(|_| {}));
    let exact = configuration(&[&signer], |written| written.max_bytes = token.len());
    assert!(judged(&exact, &token).is_ok());
    let less = configuration(&[&signer], |written| written.max_bytes = token.len() - 1);
    assert_eq!(judged(&less, &token).err(), Some(Reason::JwtTooLarge));
    assert_eq!(judged(&less, &".".repeat(token.len())).err(), Some(Reason::JwtTooLarge));
}

#[test]
fn an_inspection_tells_every_step_and_goes_on_behind_the_first_fault() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    let good = configuration.inspect_with(&signer.token(&claims(|_| {})), NOW * 1000, &Revoked::default());
    assert_eq!(good.reason, None);
    assert!(good.steps.iter().all(|step| step.ok), "{good:?}");
    assert_eq!(good.claims["sub"], "u-1");
    assert_eq!(good.header["kid"], "k1");

    let late = signer.token(&claims(|claims| {
        claims["exp"] = (NOW - 61).into();
        claims["aud"] = "invoices".into();
    }));
    let faulty = configuration.inspect_with(&late, NOW * 1000, &Revoked::default());
    assert_eq!(faulty.reason, Some("jwt.audience"));
    let failing: Vec<&str> = faulty.steps.iter().filter(|step| !step.ok).map(|step| step.step).collect();
    assert_eq!(failing, ["audience", "expiry"]);

    let nonsense = configuration.inspect_with("nonsense", NOW * 1000, &Revoked::default());
    assert_eq!(nonsense.reason, Some("jwt.malformed"));
    assert_eq!((nonsense.header, nonsense.claims), (serde_json::Value::Null, serde_json::Value::Null));
}
