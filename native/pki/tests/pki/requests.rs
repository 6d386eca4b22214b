//! Certification requests: which are read, which are refused and why.

use std::time::{Duration, Instant};

use crate::support::{Openssl, ask, base64, refused};
use serde_json::{Value, json};

fn read(csr: &str) -> Value {
    json!({ "command": "read_csr", "csr": csr })
}

const EC: &str = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr";

#[test]
fn tells_what_a_request_wishes() {
    let Some(openssl) = Openssl::new() else { return };
    openssl.run(&format!(
        "{EC} -subj /C=DE/O=Acme/OU=one/OU=two/CN=sensor-1/emailAddress=a@example.com \
         -addext subjectAltName=DNS:a.example.com,email:a@example.com,URI:spiffe://example.com/a,IP:192.0.2.1,RID:1.2.3 \
         -addext extendedKeyUsage=clientAuth -addext keyUsage=critical,digitalSignature"
    ));
    let csr = openssl.read_text("a.csr");
    let request = ask(&read(&csr));
    let subject =
        json!({ "common_name": "sensor-1", "organization": "Acme", "organizational_unit": "one", "country": "DE" });
    assert_eq!(request["subject"], subject);
    assert_eq!(request["subject_text"], "emailAddress=a@example.com,CN=sensor-1,OU=two,OU=one,O=Acme,C=DE");
    assert_eq!(request["dns"], json!(["a.example.com"]));
    assert_eq!(request["email"], json!(["a@example.com"]));
    assert_eq!(request["uri"], json!(["spiffe://example.com/a"]));
    assert_eq!(request["ip"], json!(["192.0.2.1"]));
    assert_eq!(request["other_names"], json!(["registered ID 1.2.3"]));
    assert_eq!(request["eku"], json!(["clientAuth"]));
    assert_eq!(request["key_type"], "P-256");
    assert_eq!(request["extensions"], json!(["2.5.29.17", "2.5.29.37", "2.5.29.15"]));
    assert_eq!(request["challenge_password"], false);
    // DER as base64, with line breaks as EST sends it.
    let lines: Vec<_> = csr.lines().filter(|line| !line.starts_with("-----")).collect();
    assert_eq!(ask(&read(&lines.join("\r\n")))["subject"], subject);
}

#[test]
fn tells_of_a_challenge_password_and_reads_every_good_key() {
    let Some(openssl) = Openssl::new() else { return };
    openssl.write(
        "c.cnf",
        "[req]\nprompt=no\ndistinguished_name=d\nattributes=a\n[d]\nCN=a\n[a]\nchallengePassword=secret1\n",
    );
    openssl.run("req -new -config c.cnf -newkey rsa:2048 -nodes -keyout a.key -out a.csr");
    let request = ask(&read(&openssl.read_text("a.csr")));
    assert_eq!((&request["challenge_password"], &request["key_type"]), (&json!(true), &json!("RSA 2048")));
    assert!(!request.to_string().contains("secret1"));
    for (algorithm, kind) in [
        ("ec -pkeyopt ec_paramgen_curve:P-384", "P-384"),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "P-521"),
        ("ed25519", "Ed25519"),
    ] {
        openssl.run(&format!("req -new -newkey {algorithm} -nodes -keyout a.key -out a.csr -subj /CN=a"));
        assert_eq!(ask(&read(&openssl.read_text("a.csr")))["key_type"], kind);
    }
}

#[test]
fn refuses_a_csr_whose_signature_is_bad() {
    let Some(openssl) = Openssl::new() else { return };
    openssl.run(&format!("{EC} -subj /CN=sensor-1 -outform DER"));
    let good = openssl.read("a.csr");
    ask(&read(&base64(&good)));
    let mut changed = good.clone();
    let name = changed.windows(8).position(|window| window == b"sensor-1").unwrap();
    changed[name] = b'S';
    assert!(refused(&read(&base64(&changed))).contains("signature is bad"));
    let mut behind = good.clone();
    behind.push(0);
    assert!(refused(&read(&base64(&behind))).contains("no certification request"));
    openssl.run(&format!("{EC} -subj /CN=a -sha1"));
    assert!(refused(&read(&openssl.read_text("a.csr"))).contains("SHA-1"));
}

#[test]
fn refuses_weak_and_odd_keys() {
    let Some(openssl) = Openssl::new() else { return };
    for (algorithm, kind) in [
        ("rsa:1024", "RSA 1024"),
        ("rsa -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3", "RSA 2048"),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", "secp256k1"),
        ("ec -pkeyopt ec_paramgen_curve:P-224", "P-224"),
        ("ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", "explicit"),
        ("ed448", "Ed448"),
    ] {
        openssl.run(&format!("req -new -newkey {algorithm} -nodes -keyout a.key -out a.csr -subj /CN=a"));
        let message = refused(&read(&openssl.read_text("a.csr")));
        assert!(message.contains(kind) && message.contains("weak"), "{message}");
    }
}

#[test]
fn refuses_a_request_of_a_megabyte_of_names_fast() {
    let Some(openssl) = Openssl::new() else { return };
    let names = |count: usize| (0..count).map(|at| format!("DNS.{at}=host-{at}.example.com\n")).collect::<String>();
    let make = |count: usize| {
        let config =
            "[req]\nprompt=no\ndistinguished_name=d\nreq_extensions=e\n[d]\nCN=a\n[e]\nsubjectAltName=@n\n[n]\n";
        openssl.write("n.cnf", format!("{config}{}", names(count)));
        openssl
            .run("req -new -config n.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr");
        openssl.read_text("a.csr")
    };
    assert_eq!(ask(&read(&make(100)))["dns"].as_array().unwrap().len(), 100);
    assert!(refused(&read(&make(101))).contains("101 alternative names"));
    let huge = make(40_000);
    assert!(huge.len() > 1_000_000);
    let started = Instant::now();
    refused(&read(&huge));
    assert!(refused(&read(&"A".repeat(1_000_000))).contains("bytes"));
    // A bound, not a measurement: parsing it all would be seconds.
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn refuses_names_with_control_characters_and_absurd_extensions() {
    let Some(openssl) = Openssl::new() else { return };
    let with = |subject: &str, extension: &str| {
        openssl.write(
            "x.cnf",
            format!("[req]\nprompt=no\nutf8=yes\nstring_mask=utf8only\ndistinguished_name=d\nreq_extensions=e\n[d]\n{subject}\n[e]\n{extension}\n"),
        );
        openssl
            .run("req -new -config x.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr");
        read(&openssl.read_text("a.csr"))
    };
    let fine = "keyUsage=digitalSignature";
    ask(&with("CN=a, \"b\"", fine));
    assert!(refused(&with("CN=a\\nb", fine)).contains("U+000A"));
    assert!(refused(&with("0.CN=a\n1.CN=b", fine)).contains("more than one common name"));
    assert!(refused(&with("CN=a", "1.2.3.4.5=critical,ASN1:NULL")).contains("1.2.3.4.5"));
    assert_eq!(ask(&with("CN=a", "1.2.3.4.5=ASN1:NULL"))["extensions"], json!(["1.2.3.4.5"]));
    assert!(refused(&with("CN=a", "subjectAltName=DER:30:03:82:01:00")).contains("U+0000"));
    assert!(refused(&with("CN=a", "subjectAltName=DER:01:02")).contains("cannot be read"));
    assert!(refused(&with("CN=a", "subjectAltName=URI:nowhere")).contains("no scheme"));
}

#[test]
fn refuses_what_is_none() {
    for csr in ["", "hello", "AAAA", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        refused(&read(csr));
    }
    let authority = crate::support::authority();
    refused(&read(authority["certificate"].as_str().unwrap()));
    refused(&read(authority["key"].as_str().unwrap()));
}
