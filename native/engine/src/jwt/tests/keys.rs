use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use serde_json::{Value, json};

use super::key::{Key, Unfit};
use super::key_set::{KeySet, MAX_KEYS};
use super::signing::encode;
use super::*;
use crate::schema::json::with_tape;

fn read(jwk: &Value) -> Result<Key, Unfit> {
    with_tape(jwk.to_string().as_bytes(), |parsed| Key::of_jwk(parsed.unwrap(), 0))
}

fn names(key: &Key) -> Vec<&'static str> {
    key.algorithms.iter().map(|known| super::algorithm::name(*known)).collect()
}

/// A member of another value; null: without it.
fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    match value {
        Value::Null => drop(jwk.as_object_mut().unwrap().remove(name)),
        value => jwk[name] = value,
    }
    jwk
}

#[test]
fn the_type_of_a_key_says_what_it_counts_for() {
    let all = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    assert_eq!(names(&read(&Signer::rs256("k").jwk()).unwrap()), all);
    assert_eq!(names(&read(&Signer::es256("k").jwk()).unwrap()), ["ES256"]);
    assert_eq!(names(&read(&Signer::es384("k").jwk()).unwrap()), ["ES384"]);
    assert_eq!(names(&read(&Signer::eddsa("k").jwk()).unwrap()), ["EdDSA"]);
    assert_eq!(names(&read(&Signer::hs256("k", &[7; 32]).jwk()).unwrap()), ["HS256"]);
    assert_eq!(names(&read(&Signer::hs256("k", &[7; 48]).jwk()).unwrap()), ["HS256", "HS384"]);
    assert_eq!(names(&read(&Signer::hs256("k", &[7; 64]).jwk()).unwrap()), ["HS256", "HS384", "HS512"]);
    assert_eq!(names(&read(&with(&Signer::rs256("k").jwk(), "alg", json!("PS384"))).unwrap()), ["PS384"]);
    assert_eq!(names(&read(&with(&Signer::eddsa("k").jwk(), "alg", json!("Ed25519"))).unwrap()), ["EdDSA"]);
}

#[test]
fn a_key_that_cannot_be_used_says_why() {
    let (ec, rsa, ed) = (Signer::es256("k").jwk(), Signer::rs256("k").jwk(), Signer::eddsa("k").jwk());
    let secret = Signer::hs256("k", &[7; 32]).jwk();
    let small = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let modulus = small.public_key().modulus().big_endian_without_leading_zero().to_vec();
    let smaller = encode([&[0x7f], &modulus[1..]].concat());
    let larger = encode([&[1], &modulus[..], &[0; 768], &[1]].concat());
    let coordinate = ec["x"].as_str().unwrap().to_owned();
    for (jwk, why) in [
        (json!([]), Unfit::NoObject),
        (json!({}), Unfit::Type),
        (with(&ec, "kty", json!("ec")), Unfit::Type),
        (with(&ec, "kty", json!(7)), Unfit::Member),
        (with(&ec, "kid", json!(7)), Unfit::Member),
        (with(&ec, "use", json!("enc")), Unfit::Use),
        (with(&ec, "use", json!(["sig"])), Unfit::Member),
        (with(&ec, "key_ops", json!(["sign"])), Unfit::Operations),
        (with(&ec, "key_ops", json!([])), Unfit::Operations),
        (with(&ec, "key_ops", json!("verify")), Unfit::Member),
        (with(&ec, "key_ops", json!([["verify"]])), Unfit::Member),
        (with(&ec, "alg", json!("ES384")), Unfit::Algorithm),
        (with(&ec, "alg", json!("RS256")), Unfit::Algorithm),
        (with(&ec, "alg", json!("HS256")), Unfit::Algorithm),
        (with(&ec, "alg", json!("ECDH-ES")), Unfit::Algorithm),
        (with(&ec, "alg", json!("none")), Unfit::Algorithm),
        (with(&ec, "alg", json!(null)), Unfit::Algorithm),
        (with(&ec, "crv", json!("P-521")), Unfit::Curve),
        (with(&ec, "crv", json!("secp256k1")), Unfit::Curve),
        (with(&ec, "crv", json!("P-384")), Unfit::Encoding),
        (with(&ec, "x", Value::Null), Unfit::Encoding),
        (with(&ec, "x", json!(format!("{coordinate}="))), Unfit::Encoding),
        (with(&ec, "x", json!("")), Unfit::Encoding),
        (with(&ec, "x", json!(encode([0; 31]))), Unfit::Encoding),
        (with(&ec, "x", json!(encode([0; 33]))), Unfit::Encoding),
        (with(&ec, "x", json!(encode([7; 32]))), Unfit::Value),
        (with(&ec, "x", json!(encode([0xff; 32]))), Unfit::Value),
        (with(&ec, "d", json!(encode([7; 32]))), Unfit::Private),
        (with(&ed, "d", json!(encode([7; 32]))), Unfit::Private),
        (with(&rsa, "d", json!("AQAB")), Unfit::Private),
        (with(&rsa, "qi", json!(7)), Unfit::Private),
        (with(&ed, "crv", json!("Ed448")), Unfit::Curve),
        (with(&ed, "crv", json!("X25519")), Unfit::Curve),
        (with(&ed, "x", json!(encode([7; 31]))), Unfit::Encoding),
        (with(&rsa, "n", json!(smaller)), Unfit::RsaSize),
        (with(&rsa, "n", json!(larger)), Unfit::RsaSize),
        (with(&rsa, "n", json!(encode([&[0], &modulus[..]].concat()))), Unfit::Encoding),
        (with(&rsa, "n", json!("")), Unfit::Encoding),
        (with(&rsa, "e", json!("")), Unfit::Encoding),
        (with(&rsa, "e", json!("AA")), Unfit::Encoding),
        (with(&rsa, "e", json!("AQ")), Unfit::Value),
        (with(&rsa, "e", json!("Ag")), Unfit::Value),
        (with(&secret, "k", json!(encode([7; 31]))), Unfit::SecretSize),
        (with(&secret, "k", json!(encode([7; 1025]))), Unfit::SecretSize),
        (with(&secret, "alg", json!("HS512")), Unfit::SecretSize),
        (with(&secret, "alg", json!("A128KW")), Unfit::Algorithm),
    ] {
        // Null takes `alg` away, which is no fault.
        let expected = if jwk == with(&ec, "alg", Value::Null) { None } else { Some(why) };
        assert_eq!(read(&jwk).err(), expected, "{why:?} {jwk}");
    }
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    // RFC 7638, 3.1
    let rsa = json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    assert_eq!(&*read(&rsa).unwrap().thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    // RFC 8037, A.3
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    assert_eq!(&*read(&ed).unwrap().thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let key = read(&Signer::hs256("k", &[0x41; 32]).jwk()).unwrap();
    let shown = format!("{key:?}");
    assert!(!shown.contains("AAAA") && !shown.contains("QUFB") && !shown.contains("65, 65"), "{shown}");
    assert!(!shown.contains(&*key.thumbprint), "{shown}");
}

#[test]
fn of_a_set_what_cannot_be_used_is_left_out_and_named() {
    let (ec, rsa, other) = (Signer::es256("ec"), Signer::rs256("rsa"), Signer::es256("other"));
    let encryption = with(&other.jwk(), "use", json!("enc"));
    let again = with(&other.jwk(), "kid", json!("ec"));
    let set = json!({ "keys": [ec.jwk(), encryption, rsa.jwk(), again, 7], "more": 1 }).to_string();
    let read = KeySet::of_json(&set, true).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(read.set.iter().map(Key::name).collect::<Vec<_>>(), ["ec", "rsa"]);
    let left: Vec<Unfit> = read.left_out.iter().map(|left| left.why).collect();
    assert_eq!(left, [Unfit::Use, Unfit::Repeated, Unfit::NoObject]);
    // The same name for keys of different types is as RFC 7517, 4.5 has it.
    let both = json!({ "keys": [ec.jwk(), with(&rsa.jwk(), "kid", json!("ec"))] }).to_string();
    assert_eq!(KeySet::of_json(&both, true).ok().unwrap().set.iter().count(), 2);
}

#[test]
fn a_set_that_is_none_is_refused() {
    let ec = Signer::es256("ec").jwk();
    let many = json!({ "keys": vec![json!({}); MAX_KEYS + 1] }).to_string();
    let secret = json!({ "keys": [Signer::hs256("k", &[7; 64]).jwk()] }).to_string();
    let private = json!({ "keys": [with(&ec, "d", json!("AQAB"))] }).to_string();
    for (document, says) in [
        ("", "is not JSON"),
        ("<html>", "is not JSON"),
        ("{\"keys\":[", "is not JSON: the body ends inside a value"),
        ("{\"keys\":[],\"keys\":[]}", "a member name appears twice"),
        ("[]", "is no JWK Set"),
        ("{}", "is no JWK Set"),
        ("{\"keys\":{}}", "is no JWK Set"),
        (&ec.to_string(), "is no JWK Set"),
        ("{\"keys\":[]}", "holds no key"),
        (&many, "holds more than 100 keys"),
        (&secret, "\"k\" is a secret"),
        (&private, "\"ec\" holds its private part"),
        (&" ".repeat(1024 * 1024 + 1), "is larger than 1 MiB"),
    ] {
        let refused = KeySet::of_json(document, true).err();
        assert!(refused.as_ref().is_some_and(|problem| problem.contains(says)), "{says}: {refused:?}");
    }
    let hostile = json!({ "keys": [{ "kid": format!("\u{1b}[31m{}", "x".repeat(1000)), "kty": "?" }] }).to_string();
    let refused = KeySet::of_json(&hostile, true).err().unwrap();
    assert!(refused.len() < 300 && !refused.contains('\u{1b}'), "{refused}");
}

#[test]
fn a_policy_with_keys_that_will_not_do_has_problems() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rs256("rsa"));
    let private = json!({ "keys": [ec.jwk(), with(&Signer::es256("p").jwk(), "d", json!("AQAB"))] }).to_string();
    let secret = Signer::hs256("s", &[7; 32]);
    type Turn = Box<dyn Fn(&mut policy::Jwt)>;
    let set = |keys: &[&Signer]| Some(signing::set(keys));
    let (both, other, secrets) = (set(&[&ec, &rsa]), set(&[&rsa]), set(&[&secret]));
    let cases: Vec<(Turn, &str, &str)> = vec![
        (Box::new(|jwt| jwt.algorithms = vec!["none".into()]), "/algorithms/0", "\"none\" is no algorithm"),
        (Box::new(|jwt| jwt.algorithms = vec!["ES256".into(), "es256".into()]), "/algorithms/1", "\"es256\""),
        (Box::new(|jwt| jwt.algorithms = Vec::new()), "/algorithms", "no algorithm counts"),
        (Box::new(|jwt| jwt.keys = None), "/keys", "not one source"),
        (Box::new(|jwt| jwt.url = Some("https://login.example.com/jwks".into())), "/keys", "not one source"),
        (Box::new(move |jwt| jwt.keys = other.clone()), "/keys", "no key is for one of the configuration's"),
        (Box::new(move |jwt| jwt.keys = Some(private.clone())), "/keys", "holds its private part"),
        (Box::new(|jwt| jwt.keys = Some("ssh-ed25519 AAAA".into())), "/keys", "holds no key"),
        (Box::new(|jwt| jwt.keys = Some(String::new())), "/keys", "holds no key"),
        (
            Box::new(move |jwt| {
                jwt.keys = both.clone();
                jwt.algorithms = vec!["ES256".into(), "HS256".into()];
            }),
            "/algorithms",
            "secrets (HS256, HS384, HS512) and public keys together",
        ),
        (
            Box::new(move |jwt| {
                jwt.keys = secrets.clone();
                jwt.algorithms = vec!["HS512".into()];
            }),
            "/keys",
            "no key is for one",
        ),
        (
            Box::new(|jwt| {
                (jwt.keys, jwt.url) = (None, Some("https://login.example.com/jwks".into()));
                jwt.algorithms = vec!["HS256".into()];
            }),
            "/keys",
            "a secret cannot be fetched",
        ),
        (Box::new(|jwt| jwt.binding.dpop_algorithms = vec!["HS256".into()]), "/binding/dpop/algorithms/0", "HS256"),
    ];
    for (turn, at, says) in cases {
        let mut jwt = written(&[&ec]);
        turn(&mut jwt);
        let mut problems = Vec::new();
        let _ = Configuration::compile(&jwt, &mut problems);
        assert_eq!(problems.len(), 1, "{says}: {problems:?}");
        assert_eq!(problems[0].at, format!("/jwt/customers{at}"), "{says}");
        assert!(problems[0].message.contains(says), "{problems:?}");
        assert!(problems[0].hint.is_some());
    }
}

#[test]
fn private_keys_in_pem_are_refused() {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let mut problems = Vec::new();
    let jwt = policy::Jwt { keys: Some(pem), ..written(&[&Signer::es256("k")]) };
    let _ = Configuration::compile(&jwt, &mut problems);
    assert!(problems.iter().any(|problem| problem.message.contains("private part")), "{problems:?}");
}

#[test]
fn a_token_without_kid_counts_when_one_key_only_can_be_meant() {
    let (one, two, rsa) = (Signer::es256("one"), Signer::es256("two"), Signer::rs256("rsa"));
    let nameless =
        |signer: &Signer| signer.token_with(&format!(r#"{{"alg":"{}"}}"#, signer.algorithm()), &claims(|_| {}));
    let clear = configuration(&[&one, &rsa], |_| {});
    assert!(judged(&clear, &nameless(&one)).is_ok());
    assert!(judged(&clear, &nameless(&rsa)).is_ok());
    let unclear = configuration(&[&one, &two], |_| {});
    assert_eq!(judged(&unclear, &nameless(&one)).err(), Some(Reason::JwtKey));
}

#[test]
fn a_key_without_kid_is_called_by_its_thumbprint() {
    let (one, two) = (Signer::es256("one"), Signer::es256("two"));
    let both = configuration(&[&one], |written| written.keys = Some(one.pem() + &two.pem()));
    let thumbprint = read(&two.jwk()).unwrap().thumbprint;
    let header = |kid: &str| format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
    assert!(judged(&both, &two.token_with(&header(&thumbprint), &claims(|_| {}))).is_ok());
    assert_eq!(judged(&both, &one.token_with(&header(&thumbprint), &claims(|_| {}))).err(), Some(Reason::JwtSignature));
    assert_eq!(judged(&both, &one.token_with(&header("one"), &claims(|_| {}))).err(), Some(Reason::JwtKey));
}

/// A configuration of its own name whose keys come from a URL.
fn fetching(name: &str, url: &str) -> Configuration {
    configuration(&[], |written| {
        written.name = name.to_owned();
        written.algorithms = vec!["ES256".to_owned(), "RS256".to_owned()];
        (written.keys, written.url) = (None, Some(url.to_owned()));
    })
}

#[test]
fn a_set_that_arrives_counts_from_then_on_and_the_last_good_one_stays() {
    let (name, url) = ("arriving", "https://login.example.com/jwks");
    let (sets, configuration) = (KeySets::of_process(), fetching(name, url));
    let (first, second) = (Signer::es256("first"), Signer::es256("second"));
    let of_first = first.token(&claims(|_| {}));
    assert_eq!(judged(&configuration, &of_first).err(), Some(Reason::JwtNoKeys));

    let loaded = sets.load(name, url, &signing::set(&[&first])).unwrap();
    assert!(loaded.changed && loaded.skipped.is_empty());
    assert_eq!(
        (loaded.keys[0].kid.as_deref(), &*loaded.keys[0].algorithms),
        (Some("first"), &["ES256".to_owned()][..])
    );
    assert!(judged(&configuration, &of_first).is_ok());
    assert!(!sets.load(name, url, &signing::set(&[&first])).unwrap().changed);

    for broken in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC"}]}"#] {
        assert!(sets.load(name, url, broken).is_err(), "{broken}");
        assert!(judged(&configuration, &of_first).is_ok(), "{broken}");
    }
    let elsewhere = fetching(name, "https://login.example.net/jwks");
    assert_eq!(judged(&elsewhere, &of_first).err(), Some(Reason::JwtNoKeys), "another URL is another set");

    assert!(sets.load(name, url, &signing::set(&[&second])).unwrap().changed);
    assert_eq!(judged(&configuration, &of_first).err(), Some(Reason::JwtKey));
    sets.forget(name);
    assert_eq!(judged(&configuration, &second.token(&claims(|_| {}))).err(), Some(Reason::JwtNoKeys));
    assert!(sets.load(name, url, &signing::set(&[&second])).unwrap().changed, "forgotten is not kept");
}

#[test]
fn an_unknown_kid_is_told_once_until_it_is_met_again() {
    let (name, url) = ("unknowing", "https://login.example.com/jwks");
    let (sets, configuration) = (KeySets::of_process(), fetching(name, url));
    let again = fetching(name, url);
    let told = || sets.unknown().iter().filter(|known| *known == name).count();
    let (ours, theirs) = (Signer::es256("ours"), Signer::es256("theirs"));
    assert_eq!(judged(&configuration, &theirs.token(&claims(|_| {}))).err(), Some(Reason::JwtNoKeys));
    assert_eq!(told(), 0, "without a set there is no kid that it lacks");
    sets.load(name, url, &signing::set(&[&ours])).unwrap();
    for configuration in [&configuration, &again] {
        assert_eq!(judged(configuration, &theirs.token(&claims(|_| {}))).err(), Some(Reason::JwtKey));
    }
    assert_eq!((told(), told()), (1, 0));
    let of_another_kind = theirs.token_with(r#"{"alg":"HS256","kid":"theirs"}"#, &claims(|_| {}));
    assert_eq!(judged(&configuration, &of_another_kind).err(), Some(Reason::JwtAlgorithm));
    assert_eq!(told(), 0, "nothing that a fetch could mend");
    assert_eq!(judged(&configuration, &theirs.token(&claims(|_| {}))).err(), Some(Reason::JwtKey));
    drop((configuration, again));
    assert_eq!(told(), 0, "nobody asks for it any more");
}

#[test]
fn sets_of_configurations_that_are_gone_are_forgotten() {
    let sets = KeySets::default();
    let set = signing::set(&[&Signer::es256("k")]);
    for (name, url) in [("a", "u"), ("a", "v"), ("b", "u")] {
        sets.load(name, url, &set).unwrap();
    }
    let before = sets.epoch();
    sets.keep_only([("a", "v"), ("c", "u")].into_iter());
    assert!(sets.epoch() > before);
    for (name, url, kept) in [("a", "u", false), ("a", "v", true), ("b", "u", false)] {
        assert_eq!(sets.find(name, url).0.is_some(), kept, "{name} {url}");
    }
    let epoch = sets.epoch();
    sets.keep_only([("a", "v")].into_iter());
    assert_eq!(sets.epoch(), epoch, "nothing changed");
}
