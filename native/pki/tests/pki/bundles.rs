//! PKCS#12 and PKCS#7, read by OpenSSL and by ourselves.

use crate::support::{Openssl, ask, authority, authority_command, base64, bytes, leaf_command, refused, signer, with};
use serde_json::{Value, json};

fn bundle(leaf: &Value, chain: &[&Value]) -> Value {
    json!({
        "command": "pkcs12", "certificate": leaf["certificate"], "key": leaf["key"], "password": "correct horse",
        "chain": chain.iter().map(|one| one["certificate"].clone()).collect::<Vec<_>>(), "name": "sensor-1",
        "encryption": "modern",
    })
}

fn inspect(bytes: &[u8], password: Option<&str>) -> Value {
    json!({ "command": "inspect", "bytes": base64(bytes), "password": password })
}

#[test]
fn openssl_opens_both_kinds_of_bundles() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let below = with(&authority_command(), json!({ "parent": signer(&root), "subject": { "common_name": "Below" } }));
    let below = ask(&below);
    for kind in ["P-256", "Ed25519", "RSA 3072"] {
        let leaf = ask(&with(&leaf_command(&below), json!({ "key_type": kind })));
        for (encryption, option, scheme) in [("modern", "", "AES-256-CBC"), ("legacy", "-legacy", "3-KeyTripleDES")] {
            let made = ask(&with(&bundle(&leaf, &[&below, &root, &leaf]), json!({ "encryption": encryption })));
            openssl.write("b.p12", bytes(&made["der"]));
            openssl.write("password", "correct horse\n");
            let told = openssl.run(&format!("pkcs12 {option} -in b.p12 -passin file:password -info -nokeys -nocerts"));
            assert!(told.contains(scheme) && told.contains("Shrouded Keybag"), "{told}");
            openssl.run(&format!("pkcs12 {option} -in b.p12 -passin file:password -nodes -out all.pem"));
            let all = openssl.read_text("all.pem");
            assert_eq!(all.matches("BEGIN CERTIFICATE").count(), 3);
            assert!(all.contains("friendlyName: sensor-1"), "{all}");
            openssl.run("pkey -in all.pem -pubout -out a.pub");
            openssl.run(&format!("pkcs12 {option} -in b.p12 -passin file:password -nokeys -clcerts -out leaf.pem"));
            assert_eq!(openssl.run("x509 -in leaf.pem -noout -pubkey"), openssl.read_text("a.pub"));
            openssl.fails(&format!("pkcs12 {option} -in b.p12 -passin pass:wrong -nokeys -nocerts"));
        }
    }
}

#[test]
fn passwords_in_other_scripts_open() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    for encryption in ["modern", "legacy"] {
        let made = ask(&with(
            &bundle(&leaf, &[&root]),
            json!({ "password": "pässwörd東", "encryption": encryption, "name": "Zoë" }),
        ));
        let made = bytes(&made["der"]);
        openssl.write("b.p12", &made);
        openssl.write("password", "pässwörd東\n");
        openssl.run("pkcs12 -provider default -provider legacy -in b.p12 -passin file:password -nokeys -nocerts");
        assert_eq!(ask(&inspect(&made, Some("pässwörd東")))["items"][1]["rows"][0], json!(["Name", "Zoë"]));
    }
}

#[test]
fn bundles_without_a_password_or_with_another_key_are_refused() {
    let root = authority();
    let (leaf, other) = (ask(&leaf_command(&root)), ask(&leaf_command(&root)));
    let good = bundle(&leaf, &[&root]);
    assert!(refused(&with(&good, json!({ "password": "" }))).contains("empty"));
    for change in [
        json!({ "password": "a\nb" }),
        json!({ "password": "a".repeat(257) }),
        json!({ "password": "\u{1f600}" }),
        json!({ "name": "" }),
        json!({ "name": "a\u{0}" }),
        json!({ "name": "\u{1f600}" }),
        json!({ "key": other["key"] }),
        json!({ "chain": ["nothing"] }),
        json!({ "encryption": "none" }),
    ] {
        assert!(!refused(&with(&good, change)).contains("a\nb"));
    }
    let chain: Vec<_> = (0..17).map(|_| authority()["certificate"].clone()).collect();
    assert!(refused(&with(&good, json!({ "chain": chain }))).contains("chain of 17"));
}

#[test]
fn inspect_opens_what_openssl_bundled() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    openssl.write_text("leaf.key", &leaf["key"]);
    openssl.write_text("ca.pem", &root["certificate"]);
    for (options, warning) in [
        ("", ""),
        ("-legacy", "RC2 with 40 bits"),
        ("-keypbe AES-128-CBC -certpbe AES-192-CBC -macalg sha512", ""),
        ("-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-2DES -macalg sha1", ""),
        ("-legacy -keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-128", ""),
        ("-nomac", "no MAC"),
        ("-keypbe NONE -certpbe NONE", ""),
    ] {
        openssl.run(&format!(
            "pkcs12 -export -provider default -provider legacy {options} -inkey leaf.key -in leaf.pem -certfile ca.pem -name phone -passout pass:secret -out b.p12"
        ));
        let file = openssl.read("b.p12");
        let opened = ask(&inspect(&file, Some("secret")));
        assert_eq!(opened["kind"], "pkcs12");
        let items = opened["items"].as_array().unwrap();
        assert_eq!(items.len(), 4, "{options}: {opened}");
        assert_eq!(items[1]["title"], "Private key");
        assert_eq!(items[1]["rows"][0], json!(["Name", "phone"]));
        assert_eq!(items[2]["facts"]["fingerprint"], leaf["facts"]["fingerprint"]);
        let text = opened.to_string();
        assert!(text.contains(warning), "{options}: {text}");
        assert!(!text.contains("PRIVATE KEY") && !text.contains("secret"), "{text}");
        if !options.contains("NONE") {
            assert!(refused(&inspect(&file, Some("wrong"))).contains("does not open"));
            assert!(ask(&inspect(&file, None)).to_string().contains("give its password"));
        }
    }
}

#[test]
fn a_bundle_that_asks_for_too_much_work_is_refused_before_it_is_done() {
    let Some(openssl) = Openssl::new() else { return };
    let leaf = ask(&leaf_command(&authority()));
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    openssl.write_text("leaf.key", &leaf["key"]);
    openssl.run("pkcs12 -export -inkey leaf.key -in leaf.pem -passout pass:secret -iter 100000 -nomac -out b.p12");
    let mut file = openssl.read("b.p12");
    let rounds = |value: u32| [&[0x02, 0x03][..], &value.to_be_bytes()[1..]].concat();
    let mut places = 0;
    for at in 0..file.len() - 5 {
        if file[at..at + 5] == rounds(100_000) {
            file[at..at + 5].copy_from_slice(&rounds(0x007f_ffff));
            places += 1;
        }
    }
    assert!(places >= 1);
    assert!(refused(&inspect(&file, Some("secret"))).contains("rounds of key derivation"));
}

#[test]
fn openssl_reads_certificates_only_pkcs7_in_their_order() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    let made = ask(&json!({ "command": "pkcs7", "certificates": [leaf["certificate"], root["certificate"]] }));
    openssl.write("b.p7", bytes(&made["der"]));
    let text = openssl.run("pkcs7 -inform DER -in b.p7 -print_certs");
    assert!(text.find("CN = sensor-1").unwrap() < text.rfind("subject=CN = Devices").unwrap(), "{text}");
    openssl.run("cms -cmsout -print -inform DER -in b.p7");
    let opened = ask(&inspect(&bytes(&made["der"]), None));
    assert_eq!(opened["kind"], "pkcs7");
    assert_eq!(opened["items"][2]["facts"]["fingerprint"], root["facts"]["fingerprint"]);
    // What EST answers is base64 without lines of dashes.
    assert_eq!(ask(&inspect(made["der"].as_str().unwrap().as_bytes(), None))["kind"], "pkcs7");
    refused(&json!({ "command": "pkcs7", "certificates": [] }));
    refused(&json!({ "command": "pkcs7", "certificates": [leaf["key"]] }));
}
