//! Revocation lists, as OpenSSL reads and believes them.

use crate::support::{DAY, Openssl, ask, authority, bytes, leaf_command, now, refused, signer, with};
use serde_json::{Value, json};

fn list(authority: &Value, revoked: Value) -> Value {
    json!({
        "command": "crl", "issuer": signer(authority), "number": 4_294_967_296_u64, "this_update": now() - 1000,
        "next_update": now() + DAY, "revoked": revoked,
    })
}

#[test]
fn a_list_revokes_in_openssls_eyes_with_number_dates_and_reasons() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let (gone, held, good) = (ask(&leaf_command(&root)), ask(&leaf_command(&root)), ask(&leaf_command(&root)));
    let made = ask(&list(
        &root,
        json!([
            { "serial": gone["facts"]["serial"], "at": now() - DAY, "reason": "key_compromise" },
            { "serial": held["facts"]["serial"], "at": now(), "reason": "certificate_hold" },
            { "serial": "01", "at": now(), "reason": "unspecified" },
            { "serial": "00ff", "at": now() },
        ]),
    ));
    openssl.write_text("ca.pem", &root["certificate"]);
    openssl.write_text("list.pem", &made["pem"]);
    openssl.write("list.der", bytes(&made["der"]));
    let text = openssl.run("crl -inform DER -in list.der -CAfile ca.pem -noout -text");
    for part in [
        "verify OK",
        "Version 2",
        "CRL Number: \n                4294967296",
        "Key Compromise",
        "Certificate Hold",
        "Serial Number: 01\n",
        "Serial Number: FF\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // RFC 5280, 5.3.1: no reason rather than an unspecified one.
    assert_eq!(text.matches("X509v3 CRL Reason Code").count(), 2);
    for (leaf, revoked) in [(&gone, true), (&held, true), (&good, false)] {
        openssl.write_text("leaf.pem", &leaf["certificate"]);
        let command = "verify -crl_check -x509_strict -CRLfile list.pem -CAfile ca.pem leaf.pem";
        if revoked {
            assert!(openssl.fails(command).contains("certificate revoked"))
        } else {
            openssl.run(command);
        }
    }
}

#[test]
fn an_empty_list_and_lists_of_every_key_type_verify() {
    let Some(openssl) = Openssl::new() else { return };
    for kind in ["P-256", "P-384", "Ed25519", "RSA 3072"] {
        let root = ask(&with(&crate::support::authority_command(), json!({ "key_type": kind })));
        let made = ask(&list(&root, json!([])));
        openssl.write_text("ca.pem", &root["certificate"]);
        openssl.write_text("list.pem", &made["pem"]);
        let text = openssl.run("crl -in list.pem -CAfile ca.pem -noout -text");
        assert!(text.contains("verify OK") && text.contains("No Revoked Certificates"), "{text}");
    }
}

#[test]
fn a_list_with_a_url_speaks_for_certificates_that_name_it() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let url = "http://pki.example.com/devices.crl";
    let made = ask(&with(&list(&root, json!([])), json!({ "url": url })));
    openssl.write_text("ca.pem", &root["certificate"]);
    openssl.write_text("list.pem", &made["pem"]);
    let text = openssl.run("crl -in list.pem -CAfile ca.pem -noout -text");
    assert!(text.contains("Issuing Distribution Point: critical") && text.contains(url), "{text}");
    let named = ask(&with(&leaf_command(&root), json!({ "crl_url": url })));
    openssl.write_text("leaf.pem", &named["certificate"]);
    openssl.run("verify -crl_check -x509_strict -CRLfile list.pem -CAfile ca.pem leaf.pem");
    openssl.write_text("leaf.pem", &ask(&leaf_command(&root))["certificate"]);
    openssl.fails("verify -crl_check -x509_strict -CRLfile list.pem -CAfile ca.pem leaf.pem");
}

#[test]
fn a_hundred_thousand_entries_fit() {
    let root = authority();
    let revoked: Vec<Value> = (0..100_000)
        .map(|at| json!({ "serial": format!("40{at:038X}"), "at": now(), "reason": "superseded" }))
        .collect();
    let made = ask(&list(&root, json!(revoked)));
    let explained = ask(&json!({ "command": "inspect", "bytes": made["der"] }));
    let rows = explained["items"][0]["rows"].as_array().unwrap();
    assert!(rows.contains(&json!(["Revoked", "100000"])), "{explained}");
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    let good = list(&root, json!([]));
    refused(&with(&good, json!({ "next_update": now() - DAY })));
    refused(&with(&good, json!({ "issuer": signer(&leaf) })));
    refused(&with(&good, json!({ "url": "nowhere" })));
    for serial in ["", "1", "xy", "12 34", &"11".repeat(22)] {
        refused(&list(&root, json!([{ "serial": serial, "at": now() }])));
    }
    refused(&list(&root, json!([{ "serial": "11", "at": -1 }])));
    refused(&list(&root, json!([{ "serial": "11", "at": now(), "reason": "bored" }])));
}
