//! OCSP: OpenSSL believes our answers, we believe OpenSSL's, and nothing that is wrong in any detail.

use crate::support::{
    DAY, Openssl, ask, authority, authority_command, base64, bytes, leaf_command, now, refused, signer, with,
};
use serde_json::{Value, json};

fn request(authority: &Value, serial: &Value) -> Value {
    ask(&json!({ "command": "ocsp_request", "issuer": authority["certificate"], "serial": serial, "nonce": true }))
}

fn sign(authority: &Value, request: &Value, answers: Value) -> Value {
    json!({
        "command": "ocsp_sign", "issuer": signer(authority), "request": request, "answers": answers,
        "this_update": now() - 1000, "next_update": now() + DAY,
    })
}

fn verify(authority: &Value, response: &Value, serial: &Value) -> Value {
    json!({
        "command": "ocsp_verify", "response": response, "issuer": authority["certificate"], "serial": serial,
        "nonce": null, "now": now(),
    })
}

#[test]
fn openssl_believes_our_answers() {
    let Some(openssl) = Openssl::new() else { return };
    for kind in ["P-256", "P-384", "RSA 3072"] {
        let root = ask(&with(&authority_command(), json!({ "key_type": kind })));
        let (good, gone, strange) = (ask(&leaf_command(&root)), ask(&leaf_command(&root)), ask(&leaf_command(&root)));
        openssl.write_text("ca.pem", &root["certificate"]);
        for (name, leaf) in [("good", &good), ("gone", &gone), ("strange", &strange)] {
            openssl.write_text(&format!("{name}.pem"), &leaf["certificate"]);
        }
        for hash in ["sha1", "sha256"] {
            let all = "-cert good.pem -cert gone.pem -cert strange.pem";
            openssl.run(&format!("ocsp -{hash} -issuer ca.pem {all} -reqout req.der"));
            let request = json!(base64(openssl.read("req.der")));
            let read = ask(&json!({ "command": "ocsp_read", "request": request }));
            assert_eq!(read["nonce"], true);
            assert_eq!(read["items"][1]["serial"], gone["facts"]["serial"]);
            assert_eq!(read["items"][1]["hash"], hash);
            let answers = json!([
                { "serial": good["facts"]["serial"], "status": "good" },
                { "serial": gone["facts"]["serial"], "status": "revoked", "revoked_at": now() - DAY, "reason": "key_compromise" },
            ]);
            openssl.write("resp.der", bytes(&ask(&sign(&root, &request, answers))["der"]));
            let text = openssl.run(&format!(
                "ocsp -no_nonce -reqin req.der -respin resp.der -issuer ca.pem -CAfile ca.pem -{hash} {all}"
            ));
            for part in [
                "Response verify OK",
                "good.pem: good",
                "gone.pem: revoked",
                "Reason: keyCompromise",
                "strange.pem: unknown",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(!text.to_lowercase().contains("nonce"), "{text}");
        }
    }
}

#[test]
fn errors_are_read_by_openssl() {
    let Some(openssl) = Openssl::new() else { return };
    let texts = [
        ("malformed", "malformedrequest"),
        ("internal", "internalerror"),
        ("try_later", "trylater"),
        ("unauthorized", "unauthorized"),
    ];
    for (error, text) in texts {
        openssl.write("resp.der", bytes(&ask(&json!({ "command": "ocsp_error", "error": error }))["der"]));
        assert!(openssl.fails("ocsp -respin resp.der -noverify").contains(text));
    }
}

#[test]
fn our_question_our_answer() {
    let root = authority();
    let serial = &ask(&leaf_command(&root))["facts"]["serial"];
    let asked = request(&root, serial);
    for (answer, status) in [
        (json!({ "serial": serial, "status": "good" }), "good"),
        (json!({ "serial": serial, "status": "unknown" }), "unknown"),
        (
            json!({ "serial": serial, "status": "revoked", "revoked_at": 1_800_000_000_000_i64, "reason": "certificate_hold" }),
            "revoked",
        ),
        (json!({ "serial": "1234", "status": "good" }), "unknown"),
    ] {
        let signed = ask(&sign(&root, &asked["der"], json!([answer])));
        let verified = ask(&with(&verify(&root, &signed["der"], serial), json!({ "nonce": asked["nonce"] })));
        assert_eq!(verified["status"], status);
        if status == "revoked" {
            assert_eq!(verified["revoked_at"], 1_800_000_000_000_i64);
            assert_eq!(verified["reason"], "certificate_hold");
        }
    }
}

#[test]
fn an_answer_is_believed_only_when_every_detail_holds() {
    let root = authority();
    let (other, leaf, second) = (authority(), ask(&leaf_command(&root)), ask(&leaf_command(&root)));
    let serial = &leaf["facts"]["serial"];
    let asked = request(&root, serial);
    let good = |authority: &Value, request: &Value, changes: Value| {
        ask(&with(&sign(authority, request, json!([{ "serial": serial, "status": "good" }])), changes))["der"].clone()
    };
    let response = good(&root, &asked["der"], json!({}));
    let command = with(&verify(&root, &response, serial), json!({ "nonce": asked["nonce"] }));
    ask(&command);

    // Another certificate, another issuer, another nonce.
    assert!(refused(&with(&command, json!({ "serial": second["facts"]["serial"] }))).contains("nothing about"));
    assert!(refused(&with(&command, json!({ "issuer": other["certificate"] }))).contains("neither the issuer"));
    assert!(refused(&with(&command, json!({ "nonce": base64([7; 32]) }))).contains("nonce"));
    // Of the same name, but of another key.
    let impostor = good(&other, &request(&other, serial)["der"], json!({}));
    assert!(refused(&with(&command, json!({ "response": impostor, "nonce": null }))).contains("neither the issuer"));
    // Dates.
    let late = with(&command, json!({ "now": now() + 2 * DAY }));
    assert!(refused(&late).contains("out of date"));
    assert!(refused(&with(&command, json!({ "now": now() - 10 * 60_000 }))).contains("future"));
    ask(&with(&command, json!({ "now": now() - 4 * 60_000 })));
    // Errors, other things.
    let error = ask(&json!({ "command": "ocsp_error", "error": "try_later" }));
    assert!(refused(&with(&command, json!({ "response": error["der"] }))).contains("tryLater"));
    refused(&with(&command, json!({ "response": asked["der"] })));
    refused(&with(&command, json!({ "response": "" })));
    refused(&with(&command, json!({ "response": "AAAA" })));
}

#[test]
fn a_change_to_any_byte_of_an_answer_is_refused_or_changes_nothing() {
    let root = authority();
    let serial = &ask(&leaf_command(&root))["facts"]["serial"];
    let asked = request(&root, serial);
    let answers = json!([{ "serial": serial, "status": "revoked", "revoked_at": now(), "reason": "superseded" }]);
    let response = bytes(&ask(&sign(&root, &asked["der"], answers))["der"]);
    let command = with(&verify(&root, &json!(base64(&response)), serial), json!({ "nonce": asked["nonce"] }));
    let wanted = ask(&command);
    for at in 0..response.len() {
        for bit in [1, 0x80] {
            let mut changed = response.clone();
            changed[at] ^= bit;
            let command = with(&command, json!({ "response": base64(&changed) }));
            let answer: Value = serde_json::from_str(&portcullis_pki::run(&command.to_string())).unwrap();
            assert!(answer.get("error").is_some() || answer == wanted, "byte {at}: {answer}");
        }
    }
}

/// OpenSSL as somebody's responder, with a delegate whose certificate has `extensions`.
fn delegated(openssl: &Openssl, root: &Value, leaf: &Value, extensions: &str, days: &str) -> Value {
    openssl.write_text("ca.pem", &root["certificate"]);
    openssl.write_text("ca.key", &root["key"]);
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    let serial = leaf["facts"]["serial"].as_str().unwrap();
    openssl.write(
        "index.txt",
        format!("R\t491231235959Z\t261101000000Z,keyCompromise\t{serial}\tunknown\t/CN=sensor-1\n"),
    );
    openssl.write("ext.cnf", extensions);
    openssl.run(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout r.key -out r.csr -subj /CN=responder",
    );
    openssl.run(&format!(
        "x509 -req -in r.csr -CA ca.pem -CAkey ca.key -CAcreateserial {days} -extfile ext.cnf -out r.pem"
    ));
    openssl.run("ocsp -issuer ca.pem -cert leaf.pem -reqout req.der");
    openssl
        .run("ocsp -index index.txt -rsigner r.pem -rkey r.key -CA ca.pem -reqin req.der -respout resp.der -ndays 1");
    verify(root, &json!(base64(openssl.read("resp.der"))), &leaf["facts"]["serial"])
}

#[test]
fn a_responder_that_the_issuer_delegated_is_believed() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    let command = delegated(&openssl, &root, &leaf, "extendedKeyUsage=OCSPSigning", "-days 30");
    let verified = ask(&command);
    assert_eq!(verified["status"], "revoked");
    assert_eq!(verified["reason"], "key_compromise");
    // The same by the hash of its key.
    openssl.run("ocsp -index index.txt -rsigner r.pem -rkey r.key -CA ca.pem -reqin req.der -respout resp.der -ndays 1 -resp_key_id");
    ask(&with(&command, json!({ "response": base64(openssl.read("resp.der")) })));
    // Without its certificate nobody knows it.
    openssl.run("ocsp -index index.txt -rsigner r.pem -rkey r.key -CA ca.pem -reqin req.der -respout resp.der -ndays 1 -resp_no_certs");
    refused(&with(&command, json!({ "response": base64(openssl.read("resp.der")) })));
}

#[test]
fn a_responder_without_the_usage_expired_or_of_another_authority_is_not_believed() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    for extensions in
        ["extendedKeyUsage=clientAuth", "basicConstraints=CA:FALSE", "extendedKeyUsage=anyExtendedKeyUsage"]
    {
        let command = delegated(&openssl, &root, &leaf, extensions, "-days 30");
        assert!(refused(&command).contains("OCSPSigning"), "{extensions}");
    }
    let command = delegated(&openssl, &root, &leaf, "extendedKeyUsage=OCSPSigning\nkeyUsage=keyCertSign", "-days 30");
    assert!(refused(&command).contains("may not sign"));
    let command = delegated(&openssl, &root, &leaf, "extendedKeyUsage=OCSPSigning", "-days 1");
    let later = with(&command, json!({ "now": now() + 2 * DAY }));
    assert!(refused(&later).contains("expired"));
    // A client's certificate of the same authority answers for itself.
    openssl.write_text("r.pem", &leaf["certificate"]);
    openssl.write_text("r.key", &leaf["key"]);
    openssl
        .run("ocsp -index index.txt -rsigner r.pem -rkey r.key -CA ca.pem -reqin req.der -respout resp.der -ndays 1");
    assert!(refused(&with(&command, json!({ "response": base64(openssl.read("resp.der")) }))).contains("OCSPSigning"));
    // Delegated by an authority of the same name.
    let other = authority();
    openssl.write_text("ca2.pem", &other["certificate"]);
    openssl.write_text("ca2.key", &other["key"]);
    openssl.run("x509 -req -in r.csr -CA ca2.pem -CAkey ca2.key -CAcreateserial -days 30 -extfile ext.cnf -out r.pem");
    openssl.run(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout r.key -out r.csr -subj /CN=responder",
    );
    openssl.run("x509 -req -in r.csr -CA ca2.pem -CAkey ca2.key -CAcreateserial -days 30 -extfile ext.cnf -out r.pem");
    openssl
        .run("ocsp -index index.txt -rsigner r.pem -rkey r.key -CA ca.pem -reqin req.der -respout resp.der -ndays 1");
    assert!(
        refused(&with(&command, json!({ "response": base64(openssl.read("resp.der")) }))).contains("issuer itself")
    );
}

#[test]
fn an_answer_without_nextupdate_is_taken_for_a_day() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    let command = delegated(&openssl, &root, &leaf, "extendedKeyUsage=OCSPSigning", "-days 30");
    openssl.run("ocsp -index index.txt -rsigner r.pem -rkey r.key -CA ca.pem -reqin req.der -respout resp.der");
    let command = with(&command, json!({ "response": base64(openssl.read("resp.der")) }));
    assert_eq!(ask(&command)["next_update"], Value::Null);
    ask(&with(&command, json!({ "now": now() + DAY / 2 })));
    assert!(refused(&with(&command, json!({ "now": now() + 2 * DAY }))).contains("older than a day"));
}

#[test]
fn only_questions_about_our_certificates_are_answered() {
    let (root, other) =
        (authority(), ask(&with(&authority_command(), json!({ "subject": { "common_name": "Other" } }))));
    let asked = request(&other, &json!("1234"));
    assert!(
        refused(&sign(&root, &asked["der"], json!([{ "serial": "1234", "status": "good" }])))
            .contains("another authority")
    );
    for request in ["", "AAAA", "MAA="] {
        refused(&sign(&root, &json!(request), json!([])));
        refused(&json!({ "command": "ocsp_read", "request": request }));
    }
    refused(&json!({ "command": "ocsp_read", "request": base64(vec![0x30; 20_000]) }));
}

#[test]
fn nonces_of_1_to_128_bytes_come_back_and_longer_ones_are_refused() {
    let root = authority();
    let asked = bytes(
        &ask(&json!({
            "command": "ocsp_request", "issuer": root["certificate"], "serial": "1234", "nonce": true,
        }))["der"],
    );
    // The nonce is the end of the request: 04 20 and 32 bytes.
    let resized = |length: u8| {
        let without = &asked[..asked.len() - 34];
        let mut nonce = vec![0x04, length];
        if length > 127 {
            nonce = vec![0x04, 0x81, length];
        }
        nonce.extend(vec![7; usize::from(length)]);
        grown(without, &nonce)
    };
    for (length, taken) in [(1, true), (32, true), (128, true), (129, false), (0, false)] {
        let request = json!(base64(resized(length)));
        let read = json!({ "command": "ocsp_read", "request": request });
        let sign = sign(&root, &request, json!([{ "serial": "1234", "status": "good" }]));
        if taken {
            assert_eq!(ask(&read)["nonce"], true);
            let response = ask(&sign);
            let verify = with(
                &verify(&root, &response["der"], &json!("1234")),
                json!({ "nonce": base64(vec![7; usize::from(length)]) }),
            );
            ask(&verify);
        } else {
            refused(&read);
            refused(&sign);
        }
    }
}

/// The request up to its nonce, with another one behind it: every header around it is written anew.
fn grown(request: &[u8], nonce: &[u8]) -> Vec<u8> {
    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut der = vec![tag];
        match content.len() {
            length @ 0..=127 => der.push(u8::try_from(length).unwrap()),
            length @ 128..=255 => der.extend([0x81, u8::try_from(length).unwrap()]),
            length => der.extend([0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 255).unwrap()]),
        }
        der.extend(content);
        der
    }
    const OID: [u8; 11] = [0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
    let list = request.windows(4).position(|window| window == [0x30, 0x09, 0x06, 0x05]).unwrap();
    // CertID, Request, requestList begin with one header of two bytes each.
    let list = &request[list - 6..];
    let list = &list[..usize::from(list[1]) + 2];
    let extension = wrap(0x30, &[OID.to_vec(), wrap(0x04, nonce)].concat());
    let extensions = wrap(0xa2, &wrap(0x30, &extension));
    wrap(0x30, &wrap(0x30, &[list.to_vec(), extensions].concat()))
}
