//! Authorities and certificates: what OpenSSL says of them, and what is refused.

use crate::support::{DAY, Openssl, ask, authority, authority_command, leaf_command, now, refused, signer, with};
use serde_json::{Value, json};

#[test]
fn authorities_and_certificates_of_every_key_type_pass_openssls_strict_verification() {
    let Some(openssl) = Openssl::new() else { return };
    for kind in ["P-256", "P-384", "Ed25519", "RSA 3072", "RSA 4096"] {
        let root = ask(&with(&authority_command(), json!({ "key_type": kind })));
        assert_eq!(root["facts"]["key_type"], kind);
        let leaf = ask(&leaf_command(&root));
        openssl.write_text("ca.pem", &root["certificate"]);
        openssl.write_text("ca.key", &root["key"]);
        openssl.write_text("leaf.pem", &leaf["certificate"]);
        openssl.run("verify -x509_strict -check_ss_sig -purpose sslclient -CAfile ca.pem leaf.pem");
        openssl.run("pkey -in ca.key -check -noout");
        let text = openssl.run("x509 -in leaf.pem -noout -text");
        assert!(text.contains("Key Usage: critical\n                Digital Signature\n"), "{text}");
        assert!(text.contains("TLS Web Client Authentication") && text.contains("CA:FALSE"), "{text}");
    }
}

#[test]
fn an_intermediate_of_another_key_type_makes_a_chain() {
    let Some(openssl) = Openssl::new() else { return };
    let root = ask(&with(&authority_command(), json!({ "path_length": 1, "key_type": "P-384" })));
    let below = json!({
        "parent": signer(&root), "path_length": 0, "subject": { "common_name": "Below" }, "key_type": "Ed25519",
        "crl_url": "http://pki.example.com/root.crl", "ocsp_url": "http://pki.example.com/ocsp",
    });
    let below = ask(&with(&authority_command(), below));
    assert_eq!(below["facts"]["issuer"], "CN=Devices");
    assert_eq!(below["facts"]["path_length"], 0);
    assert_eq!(below["facts"]["crl_urls"][0], "http://pki.example.com/root.crl");
    assert_eq!(below["facts"]["ocsp_urls"][0], "http://pki.example.com/ocsp");
    let leaf = ask(&leaf_command(&below));
    openssl.write_text("root.pem", &root["certificate"]);
    openssl.write_text("below.pem", &below["certificate"]);
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    openssl.run("verify -x509_strict -CAfile root.pem -untrusted below.pem leaf.pem");
}

#[test]
fn a_brought_authority_whose_name_has_attributes_twice_issues_working_chains() {
    let Some(openssl) = Openssl::new() else { return };
    openssl.run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 \
         -subj /DC=com/DC=example/O=Acme/OU=one/OU=two/CN=Brought/emailAddress=ca@example.com",
    );
    // The form that OpenSSL wrote before PKCS#8.
    openssl.run("ec -in ca.key -out old.key");
    let read = ask(&json!({
        "command": "read_authority", "certificates": openssl.read_text("ca.pem"), "key": openssl.read_text("old.key"),
    }));
    assert_eq!(read["key_matches"], 0);
    assert!(read["key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(
        read["certificates"][0]["facts"]["subject"],
        "emailAddress=ca@example.com,CN=Brought,OU=two,OU=one,O=Acme,DC=example,DC=com"
    );
    let issuer = json!({ "certificate": openssl.read_text("ca.pem"), "key": read["key"] });
    let leaf = ask(&with(&leaf_command(&issuer), json!({ "not_after": now() + 10 * DAY })));
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    openssl.run("verify -CAfile ca.pem leaf.pem");
}

#[test]
fn name_constraints_bind_what_is_below() {
    let Some(openssl) = Openssl::new() else { return };
    let constraints = json!({ "name_constraints": {
        "permitted": { "dns": ["example.com"], "uri": [".example.com"], "email": ["example.com"], "ip": ["10.0.0.0/9"] },
        "excluded": { "dns": ["secret.example.com"] },
    } });
    let root = ask(&with(&authority_command(), constraints));
    openssl.write_text("ca.pem", &root["certificate"]);
    let command = |names: Value| with(&leaf_command(&root), with(&json!({ "dns": null }), names));
    let good = json!({
        "dns": ["a.example.com", "example.com", "*.b.example.com"], "ip": ["10.1.2.3"], "email": ["a@example.com"],
        "uri": ["spiffe://a.example.com/x"],
    });
    openssl.write_text("leaf.pem", &ask(&command(good))["certificate"]);
    openssl.run("verify -x509_strict -CAfile ca.pem leaf.pem");
    for names in [
        json!({ "dns": ["a.example.org"] }),
        json!({ "dns": ["badexample.com"] }),
        json!({ "dns": ["secret.example.com"] }),
        json!({ "dns": ["a.secret.example.com"] }),
        json!({ "ip": ["10.128.0.1"] }),
        json!({ "ip": ["2001:db8::1"] }),
        json!({ "email": ["a@sub.example.com"] }),
        json!({ "uri": ["spiffe://example.com/x"] }),
        json!({ "uri": ["urn:a:b"] }),
    ] {
        assert!(refused(&command(names.clone())).contains("name constraints forbid"), "{names}");
    }
}

#[test]
fn a_csr_gives_its_key_and_nothing_else() {
    let Some(openssl) = Openssl::new() else { return };
    openssl.run(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr -subj /CN=evil \
         -addext subjectAltName=DNS:evil.example -addext basicConstraints=critical,CA:TRUE",
    );
    let root = authority();
    let command = with(&leaf_command(&root), json!({ "key_type": null, "csr": openssl.read_text("a.csr") }));
    let leaf = ask(&command);
    assert_eq!(leaf["key"], Value::Null);
    assert_eq!(leaf["facts"]["subject"], "CN=sensor-1");
    assert_eq!(leaf["facts"]["dns"], json!(["sensor-1.example.com"]));
    assert_eq!(leaf["facts"]["is_authority"], false);
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    let of_certificate = openssl.run("x509 -in leaf.pem -noout -pubkey");
    assert_eq!(of_certificate, openssl.run("pkey -in a.key -pubout"));
}

#[test]
fn serial_numbers_have_twenty_octets_are_positive_and_differ() {
    let root = authority();
    let item = with(&leaf_command(&root), json!({ "command": null, "issuer": null }));
    let many = ask(&json!({ "command": "issue_many", "issuer": signer(&root), "items": vec![item; 300] }));
    let mut serials: Vec<String> = many["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["facts"]["serial"].as_str().unwrap().to_owned())
        .collect();
    for serial in &serials {
        assert_eq!(serial.len(), 40);
        assert!(('4'..='7').contains(&serial.chars().next().unwrap()), "{serial}");
    }
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 300);
}

#[test]
fn one_bad_item_of_many_is_told_and_the_others_are_issued() {
    let root = authority();
    let good = with(&leaf_command(&root), json!({ "command": null, "issuer": null }));
    let bad = with(&good, json!({ "dns": ["not a name"] }));
    let many = ask(&json!({ "command": "issue_many", "issuer": signer(&root), "items": [good, bad, good] }));
    assert!(many["items"][0]["certificate"].is_string() && many["items"][2]["certificate"].is_string());
    assert_eq!(many["items"][1]["error"]["message"], "`not a name` is no DNS name");
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let root = authority();
    let long = with(&leaf_command(&root), json!({ "not_after": now() + 4000 * DAY }));
    assert!(refused(&long).contains("longer than its authority"));
    let clamped = ask(&with(&long, json!({ "clamp": true })));
    assert_eq!(clamped["facts"]["not_after"], root["facts"]["not_after"]);
    let below = with(&authority_command(), json!({ "parent": signer(&root), "not_after": now() + 4000 * DAY }));
    assert!(refused(&below).contains("longer than its authority"));
    assert_eq!(ask(&with(&below, json!({ "clamp": true })))["facts"]["not_after"], root["facts"]["not_after"]);
}

#[test]
fn lives_beyond_2049_are_written_and_read() {
    let Some(openssl) = Openssl::new() else { return };
    // 2060-01-01
    let root = ask(&with(&authority_command(), json!({ "not_after": 2_840_140_800_000_i64 })));
    assert_eq!(root["facts"]["not_after"], 2_840_140_800_000_i64);
    openssl.write_text("ca.pem", &root["certificate"]);
    assert!(openssl.run("x509 -in ca.pem -noout -enddate").contains("Jan  1 00:00:00 2060 GMT"));
}

#[test]
fn an_empty_subject_makes_the_alternative_names_critical() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let command =
        with(&leaf_command(&root), json!({ "subject": null, "dns": null, "uri": ["spiffe://example.com/a"] }));
    let leaf = ask(&command);
    assert_eq!(leaf["facts"]["subject"], "");
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    assert!(openssl.run("x509 -in leaf.pem -noout -text").contains("Subject Alternative Name: critical"));
    assert_eq!(refused(&with(&command, json!({ "uri": null }))), "the certificate would name nobody");
}

#[test]
fn commas_quotes_and_other_scripts_in_names_are_legal_and_escaped_in_text() {
    let Some(openssl) = Openssl::new() else { return };
    let subject = json!({ "common_name": "a,b+\"c\" <東京>;\\", "organization": "#Zoë ", "country": "DE" });
    let root = authority();
    let leaf = ask(&with(&leaf_command(&root), json!({ "subject": subject })));
    assert_eq!(leaf["facts"]["subject"], "CN=a\\,b\\+\\\"c\\\" \\<東京\\>\\;\\\\,O=\\#Zoë\\ ,C=DE");
    openssl.write_text("leaf.pem", &leaf["certificate"]);
    let text = openssl.run("x509 -in leaf.pem -noout -subject -nameopt RFC2253,-esc_msb,utf8");
    assert_eq!(text.trim_end_matches('\n'), format!("subject={}", leaf["facts"]["subject"].as_str().unwrap()));
}

#[test]
fn names_that_break_lines_hide_or_are_too_long_are_refused() {
    let root = authority();
    let command = leaf_command(&root);
    let subjects = [
        json!({ "common_name": "a\u{0}b" }),
        json!({ "common_name": "a\nb" }),
        json!({ "common_name": "a\u{202e}b" }),
        json!({ "organization": "a\u{7f}" }),
        json!({ "common_name": "" }),
        json!({ "common_name": "a".repeat(65) }),
        json!({ "country": "Germany" }),
    ];
    for subject in subjects {
        refused(&with(&command, json!({ "subject": subject })));
    }
    ask(&with(&command, json!({ "subject": { "common_name": "ä".repeat(64) } })));
    let long_host = format!("{}.com", "a.".repeat(126));
    let names = [
        json!({ "dns": ["a\u{0}.example.com"] }),
        json!({ "dns": ["a..example.com"] }),
        json!({ "dns": ["-a.example.com"] }),
        json!({ "dns": [format!("{}.example.com", "a".repeat(64))] }),
        json!({ "dns": [long_host] }),
        json!({ "dns": ["bücher.example"] }),
        json!({ "dns": ["a.*.example.com"] }),
        json!({ "dns": [""] }),
        json!({ "email": ["nobody"] }),
        json!({ "email": ["a@b@example.com"] }),
        json!({ "email": ["a\r\nb@example.com"] }),
        json!({ "uri": ["no-scheme"] }),
        json!({ "uri": ["spiffe:///path"] }),
        json!({ "uri": ["https://a b"] }),
        json!({ "uri": [format!("urn:{}", "a".repeat(3000))] }),
        json!({ "ip": ["300.1.1.1"] }),
        json!({ "ip": ["10.0.0.0/8"] }),
        json!({ "dns": vec!["a.example.com"; 101] }),
        json!({ "eku": ["clientauth"] }),
        json!({ "eku": vec!["1.2.3"; 17] }),
        json!({ "crl_url": "file:///etc/passwd" }),
        json!({ "ocsp_url": "ocsp.example.com" }),
    ];
    for names in names {
        refused(&with(&command, names));
    }
    let good = json!({
        "dns": ["*.example.com", "xn--bcher-kva.example", "under_score.example"], "email": ["a.b+c@example.com"],
        "uri": ["spiffe://example.com/a/b", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
        "ip": ["192.0.2.1", "2001:db8::1"], "eku": ["clientAuth", "serverAuth", "1.3.6.1.4.1.311.20.2.2"],
    });
    let leaf = ask(&with(&command, good.clone()));
    for field in ["dns", "email", "uri", "ip", "eku"] {
        assert_eq!(leaf["facts"][field], good[field]);
    }
}

#[test]
fn who_may_not_sign_does_not() {
    let Some(openssl) = Openssl::new() else { return };
    let root = ask(&with(&authority_command(), json!({ "path_length": 0 })));
    let other = authority();
    let leaf = ask(&leaf_command(&root));
    assert!(refused(&leaf_command(&leaf)).contains("none of an authority"));
    let mixed = json!({ "certificate": root["certificate"], "key": other["key"] });
    assert!(refused(&leaf_command(&mixed)).contains("not the one of the authority"));
    let below =
        |path_length: Value| with(&authority_command(), json!({ "parent": signer(&root), "path_length": path_length }));
    assert!(refused(&below(json!(0))).contains("path length is 0"));
    let two = ask(&with(&authority_command(), json!({ "path_length": 2 })));
    let command = with(&authority_command(), json!({ "parent": signer(&two), "path_length": 2 }));
    assert!(refused(&command).contains("too much"));
    assert!(refused(&with(&command, json!({ "path_length": null }))).contains("any number"));
    openssl.run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.pem -days 400 -subj /CN=a \
         -addext keyUsage=critical,cRLSign",
    );
    let lists_only = json!({ "certificate": openssl.read_text("a.pem"), "key": openssl.read_text("a.key") });
    assert!(refused(&leaf_command(&lists_only)).contains("lacks keyCertSign"));
}

#[test]
fn brought_authorities_that_can_be_none_are_refused_with_the_reason() {
    let Some(openssl) = Openssl::new() else { return };
    let read = |certificates: &str| json!({ "command": "read_authority", "certificates": certificates });
    let root = authority();
    let pem = root["certificate"].as_str().unwrap();
    let leaf = ask(&leaf_command(&root));
    assert!(refused(&read("nothing")).contains("no certificate"));
    assert!(refused(&read(leaf["certificate"].as_str().unwrap())).contains("none of an authority"));
    assert!(refused(&read(&format!("{pem}{}", leaf["certificate"].as_str().unwrap()))).contains("certificate 2 of 2"));
    assert!(refused(&read(&pem.repeat(40))).contains("40 certificates"));
    assert_eq!(ask(&read(&pem.repeat(2)))["certificates"].as_array().unwrap().len(), 1);
    let other = authority();
    let with_key = with(&read(pem), json!({ "key": other["key"] }));
    assert!(refused(&with_key).contains("none of the certificates"));
    let both = format!("{}{pem}", other["certificate"].as_str().unwrap());
    assert_eq!(ask(&with(&read(&both), json!({ "key": root["key"] })))["key_matches"], 1);
    openssl.run("req -newkey rsa:1024 -nodes -keyout w.key -x509 -out w.pem -days 5 -subj /CN=weak");
    assert!(refused(&read(&openssl.read_text("w.pem"))).contains("RSA 1024"));
    openssl.run("req -new -newkey rsa:2048 -nodes -keyout v.key -out v.csr -subj /CN=old");
    openssl.run("x509 -req -in v.csr -signkey v.key -out v.pem -days 5");
    assert!(refused(&read(&openssl.read_text("v.pem"))).contains("version 1"));
    openssl.run("pkcs8 -topk8 -in v.key -out e.key -passout pass:secret");
    let encrypted = with(&read(pem), json!({ "key": openssl.read_text("e.key") }));
    assert!(refused(&encrypted).contains("encrypted"));
}

#[test]
fn a_key_never_comes_back_in_an_error() {
    let root = authority();
    let key = root["key"].as_str().unwrap();
    let body: String = key.lines().nth(1).unwrap().to_owned();
    for command in [
        json!({ "command": "issue", "issuer": key }),
        json!({ "command": "issue", "issuer": { "certificate": key, "key": key } }),
        json!({ "command": "issue", "issuer": signer(&root), "key_type": key, "subject": null, "not_before": 0, "not_after": 1 }),
        json!({ "command": "create_authority", "subject": key, "key_type": "P-256" }),
        json!({ "command": "create_authority", "subject": { "common_name": "a" }, "key_type": key }),
        json!({ "command": "crl", "issuer": signer(&root), "number": key }),
        json!({ "command": "crl", "issuer": { "certificate": root["certificate"], "key": key, "more": key } }),
    ] {
        let answer = portcullis_pki::run(&command.to_string());
        assert!(answer.contains("\"error\"") && !answer.contains(&body[..16]), "{answer}");
    }
}
