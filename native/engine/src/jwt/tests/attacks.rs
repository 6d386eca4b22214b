//! The attacks that are known of readers of tokens. Where a reader without care falls for one, it is shown falling.

use super::signing::encode;
use super::*;

/// A reader as it is often written: serde_json, the algorithm from the token, the first key that has the name.
fn careless(keys: &str, raw: &str) -> Option<serde_json::Value> {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, crypto};
    let (signed, signature) = raw.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let lenient = base64::engine::GeneralPurpose::new(
        &base64::alphabet::URL_SAFE,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let decode = |part: &str| base64::Engine::decode(&lenient, part).ok();
    let header: serde_json::Value = serde_json::from_slice(&decode(header)?).ok()?;
    let claims = serde_json::from_slice(&decode(payload)?).ok()?;
    let named = header["alg"].as_str()?;
    if named.eq_ignore_ascii_case("none") {
        return Some(claims);
    }
    let key = match serde_json::from_value(header["jwk"].clone()) {
        Ok(embedded) => DecodingKey::from_jwk(&embedded).ok()?,
        // A secret, to a reader that takes whatever text it was given for the key of whatever algorithm is asked for.
        Err(_) if named.starts_with("HS") => DecodingKey::from_secret(keys.as_bytes()),
        Err(_) => {
            let set: JwkSet = serde_json::from_str(keys).ok()?;
            DecodingKey::from_jwk(set.keys.first()?).ok()?
        }
    };
    let algorithm: Algorithm = named.parse().ok()?;
    let signature = encode(decode(signature)?);
    crypto::verify(&signature, signed.as_bytes(), &key, algorithm).ok()?.then_some(claims)
}

#[test]
fn a_token_with_algorithm_none_is_refused_however_it_is_spelled() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    for none in ["none", "None", "NONE", "nOnE", "none ", "", "\\u006eone"] {
        let unsigned = format!("{}.{}.", encode(format!(r#"{{"alg":"{none}","kid":"k1"}}"#)), encode(claims(|_| {})));
        assert_eq!(judged(&configuration, &unsigned).err(), Some(Reason::JwtAlgorithm), "{none}");
        let signed = signer.token_with(&format!(r#"{{"alg":"{none}","kid":"k1"}}"#), &claims(|_| {}));
        assert_eq!(judged(&configuration, &signed).err(), Some(Reason::JwtAlgorithm), "{none}");
    }
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims(|_| {})));
    assert!(careless(&signing::set(&[&signer]), &unsigned).is_some(), "the careless reader takes it");
}

#[test]
fn a_public_key_is_no_secret() {
    let rsa = Signer::rs256("k1");
    for public in [rsa.pem(), rsa.pem().trim().to_owned(), signing::set(&[&rsa]), rsa.jwk().to_string()] {
        let forger = Signer::hs256("k1", public.as_bytes());
        let forged = forger.token(&claims(|_| {}));
        for keys in [rsa.pem(), signing::set(&[&rsa])] {
            let strict = configuration(&[&rsa], |written| written.keys = Some(keys.clone()));
            assert_eq!(judged(&strict, &forged).err(), Some(Reason::JwtAlgorithm));
            // Both kinds in one configuration would be the way in: it is no configuration.
            let mut problems = Vec::new();
            let mixed = policy::Jwt {
                algorithms: vec!["RS256".to_owned(), "HS256".to_owned()],
                keys: Some(keys),
                ..written(&[&rsa])
            };
            let mixed = Configuration::compile(&mixed, &mut problems);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].at, "/jwt/customers/algorithms");
            // Even if it were, the key has its own algorithms.
            assert!(matches!(judged(&mixed, &forged).err(), Some(Reason::JwtAlgorithm | Reason::JwtKey)));
        }
        if public == rsa.pem() {
            assert!(careless(&public, &forged).is_some(), "the careless reader takes it");
        }
    }
}

#[test]
fn a_kid_of_a_key_of_another_type_chooses_nothing() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rs256("rsa"));
    let configuration = configuration(&[&ec, &rsa], |_| {});
    let header = |alg: &str, kid: &str| format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
    for (signer, alg, kid) in
        [(&ec, "ES256", "rsa"), (&rsa, "RS256", "ec"), (&ec, "RS256", "ec"), (&rsa, "ES256", "rsa")]
    {
        let raw = signer.token_with(&header(alg, kid), &claims(|_| {}));
        assert_eq!(judged(&configuration, &raw).err(), Some(Reason::JwtAlgorithm), "{alg} {kid}");
    }
    for kid in ["nobody", "EC", "ec ", "", "../ec", "ec' OR '1'='1"] {
        let raw = ec.token_with(&header("ES256", kid), &claims(|_| {}));
        assert_eq!(judged(&configuration, &raw).err(), Some(Reason::JwtKey), "{kid}");
    }
    let raw = ec.token_with(&header("RS256", "rsa"), &claims(|_| {}));
    assert_eq!(judged(&configuration, &raw).err(), Some(Reason::JwtSignature));
}

#[test]
fn a_key_that_the_token_brings_along_is_not_looked_at() {
    let (ours, theirs) = (Signer::es256("k1"), Signer::es256("k1"));
    let configuration = configuration(&[&ours], |_| {});
    let jwk = theirs.jwk();
    for member in [
        format!(r#""jwk":{jwk}"#),
        r#""jku":"https://attacker.example/jwks.json""#.to_owned(),
        r#""x5u":"https://attacker.example/chain.pem""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
    ] {
        let forged = theirs.token_with(&format!(r#"{{"alg":"ES256","kid":"k1",{member}}}"#), &claims(|_| {}));
        assert_eq!(judged(&configuration, &forged).err(), Some(Reason::JwtSignature), "{member}");
        // It does no harm either: the signature is ours or it is not.
        let honest = ours.token_with(&format!(r#"{{"alg":"ES256","kid":"k1",{member}}}"#), &claims(|_| {}));
        assert!(judged(&configuration, &honest).is_ok(), "{member}");
    }
    let forged = theirs.token_with(&format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#), &claims(|_| {}));
    assert!(careless(&signing::set(&[&ours]), &forged).is_some(), "the careless reader takes it");
}

#[test]
fn critical_extensions_are_refused_whatever_they_are() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    for member in
        [r#""crit":["b64"],"b64":false"#, r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":null"#, r#""crit":"b64""#]
    {
        let raw = signer.token_with(&format!(r#"{{"alg":"ES256","kid":"k1",{member}}}"#), &claims(|_| {}));
        assert_eq!(judged(&configuration, &raw).err(), Some(Reason::JwtCritical), "{member}");
    }
}

#[test]
fn what_has_two_meanings_is_refused_whoever_signed_it() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    let good = claims(|_| {});
    let inner = &good[1..good.len() - 1];
    let deep = |levels: usize| format!(r#"{{{inner},"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    for (payload, why) in [
        (format!(r#"{{{inner},"sub":"admin"}}"#), "a claim twice"),
        (format!(r#"{{{inner},"s\u0075b":"admin"}}"#), "a claim twice, once with an escape"),
        (format!(r#"{{{inner},"a":{{"b":1,"b":2}}}}"#), "a name twice, further in"),
        (deep(64), "nested too deeply"),
        (deep(2_000), "nested too deeply"),
        (format!(r#"{{{inner},"x":1e999}}"#), "a number that no double holds"),
        (format!(r#"{{{inner},"x":{}}}"#, "9".repeat(500)), "a number of 500 digits"),
        (format!(r#"{{{inner},"x":"\ud800"}}"#), "half of a surrogate pair"),
        (format!("\u{feff}{good}"), "a byte order mark"),
        (format!("{good}{{}}"), "two objects"),
        (format!("[{good}]"), "a list"),
        (format!("{good:?}"), "a text"),
        ("null".to_owned(), "null"),
        (String::new(), "nothing"),
        (good.replace('{', "{\0"), "a NUL"),
    ] {
        assert_eq!(judged(&configuration, &signer.token(&payload)).err(), Some(Reason::JwtMalformed), "{why}");
    }
    assert!(judged(&configuration, &signer.token(&deep(63))).is_ok(), "64 levels in all");
    assert_eq!(
        judged(&configuration, &signer.token_of(br#"{"alg":"ES256","kid":"k1"}"#, b"{\"sub\":\"\xff\"}")).err(),
        Some(Reason::JwtMalformed),
        "not UTF-8"
    );
    let twice = format!(r#"{{{inner},"sub":"admin"}}"#);
    let read: serde_json::Value = serde_json::from_str(&twice).unwrap();
    assert_eq!(read["sub"], "admin", "the careless reader sees the last, others the first");

    for (header, why) in [
        (r#"{"alg":"ES256","alg":"none","kid":"k1"}"#, "alg twice"),
        (r#"{"alg":"ES256","kid":"k1","k\u0069d":"k2"}"#, "kid twice, once with an escape"),
        (r#"{"kid":"k1"}"#, "no alg"),
        (r#"{"alg":null,"kid":"k1"}"#, "alg is null"),
        (r#"{"alg":["ES256"],"kid":"k1"}"#, "alg is a list"),
        (r#"{"alg":"ES256","kid":1}"#, "kid is a number"),
        (r#"["alg","ES256"]"#, "a list"),
        (r#""ES256""#, "a text"),
        ("", "nothing"),
    ] {
        assert_eq!(
            judged(&configuration, &signer.token_with(header, &good)).err(),
            Some(Reason::JwtMalformed),
            "{why}"
        );
    }
}

#[test]
fn an_escaped_name_is_the_name() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    let escaped = claims(|_| {}).replace(r#""sub""#, r#""s\u0075b""#);
    let token = judged(&configuration, &signer.token(&escaped)).unwrap();
    assert_eq!(token.claim("sub").collect::<Vec<_>>(), ["u-1"]);
}

#[test]
fn one_token_has_one_spelling() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    // Three bytes short of a multiple of three, so that the last character has bits to spare.
    let claims = claims(|claims| claims["pad"] = "x".into());
    let claims = format!("{claims}{}", " ".repeat(3 - claims.len() % 3 + 1));
    let raw = signer.token(&claims);
    assert!(judged(&configuration, &raw).is_ok());
    let set = signing::set(&[&signer]);
    let parts: Vec<&str> = raw.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };

    // 64 bytes of signature leave four bits of the last character unused.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    let other = alphabet.chars().nth(place ^ 1).unwrap();
    let respelled = format!("{header}.{payload}.{}{other}", &signature[..signature.len() - 1]);
    assert_eq!(judged(&configuration, &respelled).err(), Some(Reason::JwtMalformed));
    assert!(careless(&set, &respelled).is_some(), "the careless reader takes both for one token");

    let padded = format!("{header}.{payload}.{signature}==");
    assert_eq!(judged(&configuration, &padded).err(), Some(Reason::JwtMalformed));
    assert!(careless(&set, &padded).is_some(), "and so it does here");

    for respelled in [
        format!("{raw} "),
        format!(" {raw}"),
        format!("{raw}\n"),
        format!("{header}.{payload}.{signature}."),
        format!(".{raw}"),
        format!("{raw}.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}.e30.e30"),
        raw.replace('-', "+").replace('_', "/") + "+",
        format!("{header}.{}.{signature}", payload.replacen('e', "e\u{200b}", 1)),
        format!("{header}.{payload}.{}", "é".repeat(40)),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
    ] {
        let refused = judged(&configuration, &respelled).err();
        assert_eq!(refused, Some(Reason::JwtMalformed), "{respelled}");
    }
}

#[test]
fn signatures_that_are_none() {
    let signer = Signer::es256("k1");
    let configuration = configuration(&[&signer], |_| {});
    let raw = signer.token(&claims(|_| {}));
    let (signed, signature) = raw.rsplit_once('.').unwrap();
    let signature = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
    // The order of P-256: adding it gives the same value another form.
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&order[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let (r, s) = signature.split_at(32);
    for (forged, why) in [
        (vec![0; 64], "r and s are zero"),
        ([&[0; 32], s].concat(), "r is zero"),
        ([r, &[0; 32]].concat(), "s is zero"),
        ([r, &order].concat(), "s is the order"),
        ([&order, s].concat(), "r is the order"),
        (vec![0xff; 64], "r and s beyond the order"),
        (signer.der_signature(signed.as_bytes()), "DER"),
        (Vec::new(), "empty"),
        (signature[..63].to_vec(), "a byte short"),
        ([&signature[..], &[0]].concat(), "a byte long"),
        ([&[0], r, &[0], s].concat(), "padded numbers"),
        ([s, r].concat(), "s before r"),
        (Signer::es384("k1").signature(signed.as_bytes()), "ES384"),
        (Signer::hs256("k1", &[7; 32]).signature(signed.as_bytes()), "HS256"),
    ] {
        let forged = format!("{signed}.{}", encode(forged));
        assert_eq!(judged(&configuration, &forged).err(), Some(Reason::JwtSignature), "{why}");
    }
}

#[test]
fn a_signature_of_another_algorithm_of_the_same_key_is_none() {
    let rsa = Signer::rs256("k1");
    let both = configuration(&[&rsa], |written| written.algorithms = vec!["RS256".to_owned(), "PS256".to_owned()]);
    let raw = rsa.token_with(r#"{"alg":"PS256","kid":"k1"}"#, &claims(|_| {}));
    assert_eq!(judged(&both, &raw).err(), Some(Reason::JwtSignature));
    let mut only = rsa.jwk();
    only["alg"] = "PS256".into();
    let only = serde_json::json!({ "keys": [only] }).to_string();
    let only = configuration(&[&rsa], |written| {
        written.algorithms = vec!["RS256".to_owned(), "PS256".to_owned()];
        written.keys = Some(only);
    });
    assert_eq!(judged(&only, &rsa.token(&claims(|_| {}))).err(), Some(Reason::JwtAlgorithm), "the key says PS256");
}
