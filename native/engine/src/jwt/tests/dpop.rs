//! Facts about proofs of possession (RFC 9449).

use std::cell::Cell;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::super::proofs::Proofs;
use super::signing::encode;
use super::*;

const LIFETIME: u64 = 60;

/// A configuration for tokens that belong to whoever holds a key, and one of those tokens.
struct Bound {
    holder: Signer,
    configuration: Configuration,
    token: String,
    jti: Cell<u32>,
}

impl Bound {
    fn to(holder: Signer) -> Bound {
        let issuer = Signer::es256("issuer");
        let configuration = configuration(&[&issuer], |written| {
            written.binding.dpop = true;
            written.binding.dpop_lifetime_s = LIFETIME;
            written.binding.dpop_algorithms = vec!["ES256".to_owned(), "EdDSA".to_owned()];
        });
        let jkt = thumbprint(&holder);
        let token = issuer.token(&claims(|claims| claims["cnf"] = json!({ "jkt": jkt })));
        Bound { holder, configuration, token, jti: Cell::new(0) }
    }

    fn header(&self) -> Value {
        let mut jwk = self.holder.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        json!({ "typ": "dpop+jwt", "alg": self.holder.algorithm(), "jwk": jwk })
    }

    fn payload(&self) -> Value {
        self.jti.set(self.jti.get() + 1);
        // Tests share the memory of the process.
        let jti = format!("{}-{}", thumbprint(&self.holder), self.jti.get());
        let ath = encode(digest(&SHA256, self.token.as_bytes()));
        json!({ "jti": jti, "htm": "POST", "htu": "https://api.example.com/orders", "iat": NOW, "ath": ath })
    }

    fn proof(&self) -> String {
        self.proof_of(|_| {}, |_| {})
    }

    fn proof_of(&self, header: impl FnOnce(&mut Value), payload: impl FnOnce(&mut Value)) -> String {
        let (mut head, mut body) = (self.header(), self.payload());
        header(&mut head);
        payload(&mut body);
        self.holder.token_with(&head.to_string(), &body.to_string())
    }

    /// What a request with these fields is worth.
    fn sent(&self, target: &str, fields: &[(&str, &str)]) -> Result<(), Reason> {
        let mut text = target.to_owned();
        for (name, value) in fields {
            text.push_str(&format!("\n{name}:{value}"));
        }
        let mut head = Head::default();
        head.parse_text(&text).unwrap();
        let presenting = Presenting { head: &head, certificate: None, now: at(NOW) };
        let found =
            self.configuration.verify_with(&self.token, &presenting, &mut Cache::default(), &Revoked::default());
        found.map(|_| ())
    }

    /// What the usual request is worth with a proof.
    fn with(&self, proof: &str) -> Result<(), Reason> {
        let authorization = format!("DPoP {}", self.token);
        self.sent("POST /orders?a=1\nhost:api.example.com", &[("authorization", &authorization), ("dpop", proof)])
    }
}

fn thumbprint(key: &Signer) -> String {
    let jwk = key.jwk();
    let [x, y] = ["x", "y"].map(|name| jwk[name].as_str().unwrap_or_default().to_owned());
    let canonical = match jwk["kty"].as_str().unwrap() {
        "EC" => format!(r#"{{"crv":"{}","kty":"EC","x":"{x}","y":"{y}"}}"#, jwk["crv"].as_str().unwrap()),
        "OKP" => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        _ => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, jwk["e"].as_str().unwrap(), jwk["n"].as_str().unwrap()),
    };
    encode(digest(&SHA256, canonical.as_bytes()))
}

#[test]
fn a_bound_token_counts_with_a_proof_by_its_key() {
    for holder in [Signer::es256("a"), Signer::eddsa("b")] {
        let bound = Bound::to(holder);
        assert_eq!(bound.with(&bound.proof()), Ok(()));
        assert_eq!(bound.with(&bound.proof()), Ok(()));
    }
}

#[test]
fn without_exactly_one_proof_a_bound_token_counts_for_nobody() {
    let bound = Bound::to(Signer::es256("a"));
    let authorization = format!("DPoP {}", bound.token);
    let (one, other) = (bound.proof(), bound.proof());
    let target = "POST /orders\nhost:api.example.com";
    let sent =
        |fields: &[(&str, &str)]| bound.sent(target, &[&[("authorization", authorization.as_str())], fields].concat());
    assert_eq!(sent(&[]), Err(Reason::JwtDpop));
    assert_eq!(sent(&[("dpop", &one), ("dpop", &other)]), Err(Reason::JwtDpop));
    assert_eq!(sent(&[("dpop", &format!("{one}, {other}"))]), Err(Reason::JwtDpop));
    assert_eq!(sent(&[("dpop", "")]), Err(Reason::JwtDpop));
    assert_eq!(sent(&[("dpop", &one)]), Ok(()));
}

#[test]
fn a_bound_token_is_no_bearer_token_nor_the_other_way_round() {
    let bound = Bound::to(Signer::es256("a"));
    let sent = |scheme: &str| {
        let authorization = format!("{scheme} {}", bound.token);
        let fields = [("authorization", authorization.as_str()), ("dpop", &bound.proof())];
        bound.sent("POST /orders\nhost:api.example.com", &fields)
    };
    assert_eq!(sent("Bearer"), Err(Reason::JwtBinding));
    assert_eq!(sent("bearer "), Err(Reason::JwtBinding));
    assert_eq!(sent("dpop"), Ok(()));
    assert_eq!(sent("DPoP "), Ok(()));

    let issuer = Signer::es256("issuer");
    let plain = configuration(&[&issuer], |_| {});
    let token = issuer.token(&claims(|_| {}));
    for (scheme, expected) in [("Bearer", Ok(())), ("DPoP", Err(Reason::JwtBinding)), ("dpop", Err(Reason::JwtBinding))]
    {
        let mut head = Head::default();
        head.parse_text(&format!("GET /\nhost:a\nauthorization:{scheme} {token}")).unwrap();
        let presenting = Presenting { head: &head, certificate: None, now: at(NOW) };
        let found = plain.verify_with(&token, &presenting, &mut Cache::default(), &Revoked::default());
        assert_eq!(found.map(|_| ()), expected, "{scheme}");
    }
}

#[test]
fn a_proof_by_another_key_is_anothers() {
    let bound = Bound::to(Signer::es256("a"));
    let thief = Signer::es256("b");
    let theirs = bound.proof_of(|header| header["jwk"] = thief.jwk(), |_| {});
    assert_eq!(bound.with(&theirs), Err(Reason::JwtBinding));
    let mut header = bound.header();
    let signed = thief.token_with(&header.to_string(), &bound.payload().to_string());
    assert_eq!(bound.with(&signed), Err(Reason::JwtDpop), "the holder's key, somebody else's signature");
    header["jwk"] = thief.jwk();
    let whole = thief.token_with(&header.to_string(), &bound.payload().to_string());
    assert_eq!(bound.with(&whole), Err(Reason::JwtBinding));
}

#[test]
fn every_part_of_a_header_is_looked_at() {
    let bound = Bound::to(Signer::es256("a"));
    let refused = |what: &str, header: &dyn Fn(&mut Value), reason: Reason| {
        assert_eq!(bound.with(&bound.proof_of(header, |_| {})), Err(reason), "{what}");
    };
    refused("no typ", &|it| drop(it.as_object_mut().unwrap().remove("typ")), Reason::JwtDpop);
    refused("typ", &|it| it["typ"] = "JWT".into(), Reason::JwtDpop);
    refused("typ is a number", &|it| it["typ"] = 1.into(), Reason::JwtDpop);
    refused("none", &|it| it["alg"] = "none".into(), Reason::JwtDpop);
    refused("an algorithm that is not accepted", &|it| it["alg"] = "ES384".into(), Reason::JwtDpop);
    refused("another key's algorithm", &|it| it["alg"] = "EdDSA".into(), Reason::JwtDpop);
    refused("a secret's algorithm", &|it| it["alg"] = "HS256".into(), Reason::JwtDpop);
    refused("crit", &|it| it["crit"] = json!([]), Reason::JwtDpop);
    refused("no key", &|it| drop(it.as_object_mut().unwrap().remove("jwk")), Reason::JwtDpop);
    refused("a key by reference", &|it| it["jwk"] = "https://example.com/".into(), Reason::JwtDpop);
    refused("a private key", &|it| it["jwk"]["d"] = encode([7; 32]).into(), Reason::JwtDpop);
    refused("a secret", &|it| it["jwk"] = json!({ "kty": "oct", "k": encode([7; 32]) }), Reason::JwtDpop);
    refused("a key for something else", &|it| it["jwk"]["use"] = "enc".into(), Reason::JwtDpop);
    refused("a point that is none", &|it| it["jwk"]["x"] = encode([0; 32]).into(), Reason::JwtDpop);
    assert_eq!(bound.with(&bound.proof_of(|it| it["typ"] = "application/DPoP+jwt".into(), |_| {})), Ok(()));
    assert_eq!(bound.with(&bound.proof_of(|it| it["kid"] = "x".into(), |_| {})), Ok(()));
}

#[test]
fn a_key_of_a_type_that_is_not_accepted_proves_nothing() {
    for holder in [Signer::es384("a"), Signer::rs256("b")] {
        let bound = Bound::to(holder);
        assert_eq!(bound.with(&bound.proof()), Err(Reason::JwtDpop));
    }
}

#[test]
fn every_claim_of_a_proof_is_looked_at() {
    let bound = Bound::to(Signer::es256("a"));
    let judged = |what: &str, payload: &dyn Fn(&mut Value), expected: Result<(), Reason>| {
        assert_eq!(bound.with(&bound.proof_of(|_| {}, payload)), expected, "{what}");
    };
    let refused = |what: &str, payload: &dyn Fn(&mut Value)| judged(what, payload, Err(Reason::JwtDpop));
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        refused(name, &|it| drop(it.as_object_mut().unwrap().remove(name)));
        refused(name, &|it| it[name] = json!(null));
        refused(name, &|it| it[name] = json!(["POST"]));
    }
    refused("another method", &|it| it["htm"] = "GET".into());
    refused("a method in lower case", &|it| it["htm"] = "post".into());
    refused("another token", &|it| it["ath"] = encode(digest(&SHA256, b"another")).into());
    refused("a padded hash", &|it| it["ath"] = format!("{}=", it["ath"].as_str().unwrap()).into());
    refused("a moment as text", &|it| it["iat"] = NOW.to_string().into());
    refused("an empty jti", &|it| it["jti"] = "".into());
    refused("a long jti", &|it| it["jti"] = "j".repeat(257).into());
    refused("too old", &|it| it["iat"] = (NOW - LIFETIME - 1).into());
    refused("too new", &|it| it["iat"] = (NOW + LIFETIME + 1).into());
    judged("old", &|it| it["iat"] = (NOW - LIFETIME).into(), Ok(()));
    judged("new", &|it| it["iat"] = (NOW + LIFETIME).into(), Ok(()));
    judged("a nonce that nobody gave", &|it| it["nonce"] = "n".into(), Ok(()));
}

#[test]
fn a_proof_is_for_one_uri_however_it_is_spelled() {
    let bound = Bound::to(Signer::es256("a"));
    let sent = |target: &str, host: &str, htu: &str| {
        let authorization = format!("DPoP {}", bound.token);
        let proof = bound.proof_of(|_| {}, |payload| payload["htu"] = htu.into());
        let fields = [("host", host), ("authorization", &authorization), ("dpop", &proof)];
        bound.sent(&format!("POST {target}"), &fields)
    };
    let host = "api.example.com";
    for htu in [
        "https://api.example.com/orders",
        "HTTPS://API.Example.com/orders",
        "https://api.example.com:443/orders",
        "https://api.example.com:/orders",
        "https://api.example.com./orders",
        "https://api.example.com/a/../%6frders",
        "https://api.example.com/orders?a=1#b",
    ] {
        assert_eq!(sent("/orders?x=y", host, htu), Ok(()), "{htu}");
    }
    for htu in [
        "",
        "/orders",
        "api.example.com/orders",
        "http://api.example.com/orders",
        "https://api.example.com/orders/",
        "https://api.example.com/Orders",
        "https://api.example.com/orders/1",
        "https://api.example.com:8443/orders",
        "https://example.com/orders",
        "https://api.example.com.evil.example/orders",
        "https://api.example.com@evil.example/orders",
        "https://user@api.example.com/orders",
        "https://api.example.com/..%2forders",
        "https://api.example.com\\orders",
        "https://api.example.com/orders\nx:y",
        "https://api.example.com/orders ",
        " https://api.example.com/orders",
        "https:///orders",
        "https://",
    ] {
        assert_eq!(sent("/orders", host, htu), Err(Reason::JwtDpop), "{htu:?}");
    }
    assert_eq!(sent("/", host, "https://api.example.com"), Ok(()));
    assert_eq!(sent("/orders", "api.example.com:8443", "https://api.example.com:8443/orders"), Ok(()));
    assert_eq!(sent("/orders", "api.example.com:8443", "https://api.example.com/orders"), Err(Reason::JwtDpop));
    assert_eq!(sent("/orders", "[::1]:8443", "https://[::1]:8443/orders"), Ok(()));
    assert_eq!(sent("/orders", "[::1]", "https://[::1]:443/orders"), Ok(()));
    assert_eq!(sent("/%7Bid%7d", host, "https://api.example.com/{id}"), Ok(()));
}

#[test]
fn a_proof_that_is_no_token_or_too_long_is_refused() {
    let bound = Bound::to(Signer::es256("a"));
    let proof = bound.proof();
    let (signed, signature) = proof.rsplit_once('.').unwrap();
    for wrong in [
        signed.to_owned(),
        format!("{proof}.a"),
        format!("{proof}="),
        format!("{signed}."),
        format!("{signed}.{}", &signature[..signature.len() - 4]),
        format!("{signed}.{}", encode([0; 64])),
        "a.b.c".to_owned(),
        "..".to_owned(),
        bound.proof_of(|header| header["x"] = "x".repeat(4096).into(), |_| {}),
    ] {
        assert_eq!(bound.with(&wrong), Err(Reason::JwtDpop), "{wrong}");
    }
    let doubled = |part: &str, name: &str| part.replacen('{', &format!(r#"{{"{name}":"x","#), 1);
    let header = doubled(&bound.header().to_string(), "typ");
    let twice = bound.holder.token_with(&header, &bound.payload().to_string());
    assert_eq!(bound.with(&twice), Err(Reason::JwtDpop), "a name twice in the header");
    let payload = doubled(&bound.payload().to_string(), "htm");
    let twice = bound.holder.token_with(&bound.header().to_string(), &payload);
    assert_eq!(bound.with(&twice), Err(Reason::JwtDpop), "a name twice in the claims");
}

#[test]
fn a_proof_counts_once() {
    let bound = Bound::to(Signer::es256("a"));
    let proof = bound.proof();
    assert_eq!(bound.with(&proof), Ok(()));
    assert_eq!(bound.with(&proof), Err(Reason::JwtDpopReplayed));
    // The same `jti` with another signature: ECDSA signs with random numbers.
    let payload = bound.payload().to_string();
    let signed = || bound.holder.token_with(&bound.header().to_string(), &payload);
    assert_eq!(bound.with(&signed()), Ok(()));
    assert_eq!(bound.with(&signed()), Err(Reason::JwtDpopReplayed));
}

#[test]
fn a_proof_that_did_not_count_is_not_remembered() {
    let bound = Bound::to(Signer::es256("a"));
    let payload = bound.payload();
    let mut wrong = payload.clone();
    wrong["htm"] = "GET".into();
    let signed = |payload: &Value| bound.holder.token_with(&bound.header().to_string(), &payload.to_string());
    assert_eq!(bound.with(&signed(&wrong)), Err(Reason::JwtDpop));
    assert_eq!(bound.with(&signed(&payload)), Ok(()));
}

/// Everything else about a replayed proof is as it should be.
#[test]
fn only_the_memory_of_proofs_keeps_one_from_counting_twice() {
    let bound = Bound::to(Signer::es256("a"));
    let mut head = Head::default();
    head.parse_text(&format!("POST /orders\nhost:api.example.com\ndpop:{}", bound.proof())).unwrap();
    let jkt = thumbprint(&bound.holder);
    let proved = |proofs: &Proofs, now: u64| {
        let asked = super::super::dpop::Asked {
            head: &head,
            token: &bound.token,
            jkt: &jkt,
            algorithms: &[super::super::algorithm::Algorithm::ES256],
            lifetime_ms: LIFETIME * 1000,
            now_ms: now * 1000,
        };
        super::super::dpop::prove(&asked, proofs)
    };
    let (one, other) = (Proofs::new(100), Proofs::new(100));
    assert_eq!([proved(&one, NOW), proved(&other, NOW)], [Ok(()), Ok(())]);
    assert_eq!(proved(&one, NOW), Err(Reason::JwtDpopReplayed));
    assert_eq!(proved(&one, NOW + LIFETIME), Err(Reason::JwtDpopReplayed));
    assert_eq!(proved(&one, NOW + LIFETIME + 1), Err(Reason::JwtDpop), "from then on its age refuses it");
}

#[test]
fn a_proof_is_remembered_until_its_time_is_over_and_no_longer() {
    let proofs = Proofs::new(10_000);
    for number in 0..500 {
        assert_eq!(proofs.take("k", &number.to_string(), 1_000 + number, 1_000), Ok(()));
    }
    assert_eq!(proofs.take("k", "499", 2_000, 1_499), Err(Reason::JwtDpopReplayed));
    assert_eq!(proofs.take("k", "0", 9_000, 1_499), Ok(()), "its time is over");
    // Each shard lets go when it is next used.
    for number in 0..500 {
        let _ = proofs.take("other", &number.to_string(), 9_000, 5_000);
    }
    assert_eq!(proofs.live(), 501);
}

#[test]
fn a_full_memory_refuses_newcomers_and_forgets_nobody() {
    let proofs = Proofs::new(160);
    let took: Vec<bool> = (0..10_000).map(|jti| proofs.take("k", &jti.to_string(), 100, 50).is_ok()).collect();
    assert_eq!(took.iter().filter(|took| **took).count(), 160);
    assert_eq!(proofs.take("k", "10001", 100, 50), Err(Reason::JwtDpopOverload));
    for jti in (0..10_000).filter(|jti| took[*jti]) {
        assert_eq!(proofs.take("k", &jti.to_string(), 100, 100), Err(Reason::JwtDpopReplayed));
    }
    assert_eq!(proofs.take("k", "10002", 200, 101), Ok(()));
}

#[test]
fn keys_do_not_share_their_proofs_names() {
    let proofs = Proofs::new(100);
    assert_eq!(proofs.take("a", "1", 100, 50), Ok(()));
    assert_eq!(proofs.take("b", "1", 100, 50), Ok(()));
    assert_eq!(proofs.take("a", "1", 100, 50), Err(Reason::JwtDpopReplayed));
}
