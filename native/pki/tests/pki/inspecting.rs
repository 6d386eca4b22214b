//! What `inspect` says of files of every kind.

use crate::support::{
    DAY, Openssl, ask, authority, authority_command, base64, bytes, der, leaf_command, now, refused, signer, with,
};
use serde_json::{Value, json};

fn inspect(file: impl AsRef<[u8]>) -> Value {
    ask(&json!({ "command": "inspect", "bytes": base64(file) }))
}

fn row(item: &Value, label: &str) -> String {
    let rows = item["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row[0] == label).unwrap_or_else(|| panic!("no {label}: {item}"));
    row[1].as_str().unwrap().to_owned()
}

fn warnings(explained: &Value) -> String {
    explained["items"].as_array().unwrap().iter().map(|item| item["warnings"].to_string()).collect()
}

#[test]
fn explains_a_certificate_in_pem_and_der() {
    let root = authority();
    let names = json!({ "uri": ["spiffe://example.com/a"], "ip": ["2001:db8::1"], "ocsp_url": "http://o.example.com" });
    let leaf = ask(&with(&leaf_command(&root), names));
    let explained = inspect(leaf["certificate"].as_str().unwrap());
    assert_eq!(explained["kind"], "certificate");
    let item = &explained["items"][0];
    assert_eq!(item["title"], "Certificate");
    assert_eq!(item["facts"], leaf["facts"]);
    assert_eq!(item["pem"], leaf["certificate"]);
    assert_eq!(row(item, "Subject"), "CN=sensor-1");
    assert_eq!(row(item, "Key"), "P-256");
    assert_eq!(row(item, "URI"), "spiffe://example.com/a");
    assert_eq!(row(item, "IP"), "2001:db8::1");
    assert_eq!(row(item, "Extended key usage"), "clientAuth");
    assert!(row(item, "Valid until").contains("(in 89 days)"), "{item}");
    assert!(row(item, "Authority information").contains("OCSP URI http://o.example.com"), "{item}");
    assert_eq!(warnings(&explained), "[]");
    let binary = inspect(der(&leaf["certificate"]));
    assert_eq!(binary["items"][0]["rows"], item["rows"]);
}

#[test]
fn explains_a_chain_a_key_a_csr_and_a_list_in_one_file() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = ask(&leaf_command(&root));
    let chain = format!("{}{}", leaf["certificate"].as_str().unwrap(), root["certificate"].as_str().unwrap());
    let explained = inspect(&chain);
    assert_eq!(explained["kind"], "certificate");
    assert_eq!(row(&explained["items"][0], "Issued by"), "number 2 of this file, by its name");
    assert!(explained["items"][1]["title"].as_str().unwrap().contains("Root certificate"));
    openssl.run("req -new -newkey rsa:2048 -nodes -keyout a.key -out a.csr -subj /CN=a -addext subjectAltName=DNS:a.example.com");
    let list = ask(&json!({
        "command": "crl", "issuer": signer(&root), "number": 17, "this_update": now(), "next_update": now() + 5 * DAY,
        "revoked": [{ "serial": "1234", "at": now(), "reason": "certificate_hold" }], "url": "http://l.example.com",
    }));
    let all =
        format!("{chain}{}{}{}", openssl.read_text("a.key"), openssl.read_text("a.csr"), list["pem"].as_str().unwrap());
    let explained = inspect(&all);
    assert_eq!(explained["kind"], "several");
    let items = explained["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    assert_eq!(row(&items[2], "Key"), "RSA 2048");
    assert!(items[2].get("pem").is_none() && !explained.to_string().contains("PRIVATE KEY"));
    assert_eq!(row(&items[3], "DNS"), "a.example.com");
    assert_eq!(row(&items[4], "Number"), "17");
    assert_eq!(row(&items[4], "Revoked"), "1");
    assert!(row(&items[4], "1234").ends_with("on hold"));
    assert_eq!(row(&items[4], "Speaks for"), "http://l.example.com");
    openssl.write("l.der", bytes(&list["der"]));
    assert_eq!(inspect(openssl.read("l.der"))["kind"], "crl");
    openssl.run("req -in a.csr -outform DER -out a.der");
    assert_eq!(inspect(openssl.read("a.der"))["kind"], "csr");
    openssl.run("pkcs8 -topk8 -nocrypt -in a.key -outform DER -out k.der");
    assert_eq!(inspect(openssl.read("k.der"))["kind"], "key");
    openssl.run("pkey -in a.key -pubout -out a.pub");
    assert_eq!(inspect(openssl.read("a.pub"))["items"][0]["title"], "Public key");
    openssl.run("pkcs8 -topk8 -in a.key -out e.key -passout pass:secret");
    assert_eq!(inspect(openssl.read("e.key"))["items"][0]["title"], "Private key, encrypted");
}

#[test]
fn warns_of_what_will_be_refused() {
    let Some(openssl) = Openssl::new() else { return };
    let root = authority();
    let leaf = with(&leaf_command(&root), json!({ "not_before": now() - 10 * DAY, "not_after": now() - DAY }));
    assert!(warnings(&inspect(ask(&leaf)["certificate"].as_str().unwrap())).contains("\"expired\""));
    let leaf = with(&leaf_command(&root), json!({ "not_after": now() + 3 * DAY }));
    assert!(warnings(&inspect(ask(&leaf)["certificate"].as_str().unwrap())).contains("expires in 2 days"));
    let leaf = with(&leaf_command(&root), json!({ "not_before": now() + DAY }));
    assert!(warnings(&inspect(ask(&leaf)["certificate"].as_str().unwrap())).contains("not yet valid"));
    let leaf = with(&leaf_command(&root), json!({ "eku": ["serverAuth"] }));
    assert!(warnings(&inspect(ask(&leaf)["certificate"].as_str().unwrap())).contains("lacks clientAuth"));
    openssl.write_text("ca.pem", &root["certificate"]);
    openssl.write_text("ca.key", &root["key"]);
    openssl.run("req -new -newkey rsa:1024 -nodes -keyout a.key -out a.csr -subj /CN=a");
    openssl.run("x509 -req -sha1 -in a.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out a.pem -days 90");
    let told = warnings(&inspect(openssl.read("a.pem")));
    for warning in ["version 1: will be refused", "SHA-1 signature", "RSA 1024, which is weak"] {
        assert!(told.contains(warning), "{warning}: {told}");
    }
    openssl.write("e.cnf", "1.2.3.4=critical,ASN1:NULL\nbasicConstraints=CA:FALSE\nkeyUsage=keyEncipherment\n");
    openssl.run("x509 -req -in a.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out a.pem -days 90 -extfile e.cnf -set_serial -5");
    let told = warnings(&inspect(openssl.read("a.pem")));
    for warning in ["1.2.3.4 is not known", "lacks digitalSignature", "zero or negative"] {
        assert!(told.contains(warning), "{warning}: {told}");
    }
    openssl
        .run("req -new -sha1 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr -subj /CN=a");
    assert!(warnings(&inspect(openssl.read("a.csr"))).contains("signature is bad"));
}

#[test]
fn names_with_line_breaks_stay_on_their_line() {
    let Some(openssl) = Openssl::new() else { return };
    openssl.write(
        "x.cnf",
        "[req]\nprompt=no\nutf8=yes\nstring_mask=utf8only\ndistinguished_name=d\n[d]\nCN=a\\nSubject: b\n",
    );
    openssl.run("req -x509 -config x.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.pem");
    let explained = inspect(openssl.read("a.pem"));
    assert_eq!(row(&explained["items"][0], "Subject"), "CN=a\\0ASubject: b");
    assert!(warnings(&explained).contains("line breaks"));
}

#[test]
fn explains_ocsp_messages_and_name_constraints() {
    let root = ask(&with(
        &authority_command(),
        json!({ "name_constraints": { "permitted": { "dns": ["example.com"], "ip": ["10.0.0.0/8"] } } }),
    ));
    let explained = inspect(root["certificate"].as_str().unwrap());
    let constraints = row(&explained["items"][0], "Name constraints, critical");
    assert!(
        constraints.contains("DNS example.com") && constraints.contains("IP 10.0.0.0 / 255.0.0.0"),
        "{constraints}"
    );
    let asked =
        ask(&json!({ "command": "ocsp_request", "issuer": root["certificate"], "serial": "1234", "nonce": false }));
    assert_eq!(inspect(bytes(&asked["der"]))["kind"], "ocsp_request");
    let signed = ask(&json!({
        "command": "ocsp_sign", "issuer": signer(&root), "request": asked["der"], "this_update": now() - 2 * DAY,
        "next_update": now() - DAY, "answers": [{ "serial": "1234", "status": "revoked", "revoked_at": now() }],
    }));
    let explained = inspect(bytes(&signed["der"]));
    assert_eq!(explained["kind"], "ocsp_response");
    assert!(warnings(&explained).contains("out of date"));
    let error = ask(&json!({ "command": "ocsp_error", "error": "unauthorized" }));
    assert!(warnings(&inspect(bytes(&error["der"]))).contains("no answer"));
}

#[test]
fn other_files_are_told_apart() {
    for file in [&b""[..], b"hello", b"\x30\x00", b"\x00\xff", b"-----BEGIN "] {
        refused(&json!({ "command": "inspect", "bytes": base64(file) }));
    }
    let strange = inspect("-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n");
    assert!(warnings(&strange).contains("this is no certificate"));
    refused(&json!({ "command": "inspect", "bytes": "?" }));
    refused(&json!({ "command": "nothing" }));
    assert!(portcullis_pki::run("{").contains("\"error\""));
}
