//! The request head that an origin gets.

use portcullis_engine::head::{Framing, Head};
use portcullis_forward::request::{Forwarded, client_traceparent, write_head};
use proptest::prelude::*;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn ours() -> Forwarded<'static> {
    Forwarded {
        peer: "192.0.2.7",
        proto: "https",
        request_id: "01J",
        traceparent: Some("00-11111111111111111111111111111111-2222222222222222-01"),
        certificate: "client-cert: :AAAA:\r\ncf-client-cert-sha256: abcd\r\n",
        body: Framing::None,
    }
}

fn written(text: &str, forwarded: &Forwarded<'_>) -> String {
    let mut head = Head::default();
    head.parse_text(text).unwrap();
    let mut out = Vec::new();
    write_head(&mut out, &head, forwarded);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_clients_fields_come_first_and_ours_behind_them() {
    let text = "GET /a/../orders?b=1 HTTP\nhost:api.example.com:8443\naccept:*/*\nuser-agent:curl";
    let text = text.replace(" HTTP", "");
    assert_eq!(
        written(&text, &ours()),
        "GET /orders?b=1 HTTP/1.1\r\nhost: api.example.com:8443\r\naccept: */*\r\nuser-agent: curl\r\n\
         x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: https\r\nx-forwarded-host: api.example.com:8443\r\n\
         forwarded: for=192.0.2.7;host=\"api.example.com:8443\";proto=https\r\nx-request-id: 01J\r\n\
         traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\nclient-cert: :AAAA:\r\n\
         cf-client-cert-sha256: abcd\r\n\r\n"
    );
}

#[test]
fn an_ipv6_peer_is_quoted_in_forwarded_only() {
    let out = written("GET /\nhost:a", &Forwarded { peer: "2001:db8::7", ..ours() });
    assert!(out.contains("x-forwarded-for: 2001:db8::7\r\n"));
    assert!(out.contains("forwarded: for=\"[2001:db8::7]\";host=a;proto=https\r\n"));
}

#[test]
fn inbound_copies_of_our_fields_never_get_through_in_any_spelling() {
    for name in [
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded_for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "forwarded",
        "x-real-ip",
        "x_real_ip",
        "x-request-id",
        "client-cert",
        "client_cert",
        "client-cert-chain",
        "client_cert-chain",
        "x-ssl-client-cert",
        "x_ssl_client_cert",
        "x_forwarded_client_cert",
        "cf-cert-verified",
        "cf_cert_subject_dn",
        "cf-cert-anything-new",
        "cf-client-cert-sha256",
        "cf-client-cert-der-base64",
        "cf_client_cert_sha256",
        "true-client-ip",
        "cf-connecting-ip",
        "traceparent",
        "tracestate",
        "proxy",
    ] {
        let out = written(&format!("GET /\nhost:a\n{name}:spoofed\nx-mine:1"), &ours());
        assert!(!out.contains("spoofed"), "{name}");
        assert!(out.contains("x-mine: 1\r\n"));
    }
}

#[test]
fn hop_by_hop_fields_stay_behind() {
    let text = "GET /\nhost:a\nconnection:keep-alive, TE\n\
                te:trailers\ntrailer:a\nupgrade:h2c\nhttp2-settings:x\nkeep-alive:5\nproxy-connection:a\nexpect:100-continue\nstays:1";
    let out = written(text, &ours());
    let names: Vec<_> = out.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        names,
        [
            "host",
            "stays",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "forwarded",
            "x-request-id",
            "traceparent",
            "client-cert",
            "cf-client-cert-sha256",
            ""
        ]
    );
}

#[test]
fn framing_is_ours() {
    let text = "POST /\nhost:a\ntransfer-encoding:chunked";
    let out = written(text, &Forwarded { body: Framing::Length(12), ..ours() });
    assert!(out.contains("content-length: 12\r\n") && !out.contains("transfer-encoding"));
    let out = written("POST /\nhost:a\ncontent-length:5", &Forwarded { body: Framing::Chunked, ..ours() });
    assert!(!out.contains("content-length") && out.contains("transfer-encoding: chunked\r\n"));
    let out = written("POST /\nhost:a\ncontent-length:0", &Forwarded { body: Framing::Length(0), ..ours() });
    assert!(out.contains("content-length: 0\r\n"));
}

#[test]
fn a_valid_trace_of_the_client_is_kept_when_none_is_given() {
    let keep = Forwarded { traceparent: None, ..ours() };
    let out = written(&format!("GET /\nhost:a\ntracestate:a=b\ntraceparent:{TRACE}"), &keep);
    assert!(out.contains(&format!("traceparent: {TRACE}\r\n")) && out.contains("tracestate: a=b\r\n"));
    let twice = format!("GET /\nhost:a\ntraceparent:{TRACE}\ntraceparent:{TRACE}\ntracestate:a=b");
    assert!(!written(&twice, &keep).contains("trace"));
}

#[test]
fn a_trace_is_valid_as_w3c_says() {
    let valid = |value: &str| {
        let mut head = Head::default();
        head.parse_text(&format!("GET /\nhost:a\ntraceparent:{value}")).unwrap();
        client_traceparent(&head).is_some()
    };
    assert!(valid(TRACE));
    assert!(valid(&TRACE.replacen("00-", "01-", 1)));
    assert!(valid(&format!("{}-more", TRACE.replacen("00-", "cc-", 1))));
    for bad in [
        "",
        "00",
        &TRACE[..54],
        &format!("{TRACE}-more"),
        &TRACE.replacen("00-", "ff-", 1),
        &TRACE.to_uppercase(),
        &TRACE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        &TRACE.replace("b7ad6b7169203331", &"0".repeat(16)),
        &TRACE.replace('-', "_"),
        "\u{e9}0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
    ] {
        assert!(!valid(bad), "{bad}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "x-forwarded-for",
            "x_forwarded_for",
            "forwarded",
            "x-request-id",
            "traceparent",
            "tracestate",
            "client-cert",
            "cf-client-cert-sha256",
            "connection",
            "keep-alive",
            "te",
            "upgrade",
            "expect",
            "x-forwarded-host",
            "x-forwarded-proto",
            "proxy",
            "cookie",
            "accept",
            "x-real-ip",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9_-]{1,20}"
    ]
}

proptest! {
    #[test]
    fn any_head_becomes_exactly_one_request_with_each_of_our_fields_once(
        path in "/[a-z0-9/._~%+-]{0,30}",
        query in prop_oneof![Just(String::new()), "\\?[a-z=&%?/]{0,20}"],
        fields in prop::collection::vec(
            (name(), prop_oneof!["[ -~]{0,30}", Just(TRACE.to_owned()), "(close|te|host|cookie|x-forwarded-for|accept|, ){0,4}"]), 0..20),
        body in prop_oneof![Just(Framing::None), any::<u64>().prop_map(Framing::Length), Just(Framing::Chunked)],
        keep_trace in any::<bool>(),
    ) {
        let mut text = format!("POST {path}{query}\nhost:api.example.com");
        for (name, value) in &fields {
            if !matches!(name.as_str(), "host" | "content-length" | "transfer-encoding") {
                text.push_str(&format!("\n{name}:{value}"));
            }
        }
        let mut head = Head::default();
        if head.parse_text(&text).is_err() {
            return Ok(());
        }
        let traceparent = if keep_trace { None } else { ours().traceparent };
        let mut out = Vec::new();
        write_head(&mut out, &head, &Forwarded { body, traceparent, ..ours() });
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut request = httparse::Request::new(&mut headers);
        prop_assert_eq!(request.parse(&out).unwrap(), httparse::Status::Complete(out.len()));
        let target = if head.query().is_empty() { head.path().to_owned() } else { format!("{}?{}", head.path(), head.query()) };
        prop_assert_eq!(request.path, Some(target.as_str()));
        // As an origin sees them that folds `-` and `_`.
        let folded: Vec<String> = request.headers.iter().map(|it| it.name.to_ascii_lowercase().replace('_', "-")).collect();
        for ours in ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id",
                     "client-cert", "cf-client-cert-sha256"] {
            prop_assert_eq!(folded.iter().filter(|it| *it == ours).count(), 1, "{}", ours);
        }
        prop_assert!(folded.iter().filter(|it| *it == "traceparent").count() <= 1);
        let framing = folded.iter().filter(|it| matches!(it.as_str(), "content-length" | "transfer-encoding")).count();
        prop_assert_eq!(framing, usize::from(body != Framing::None));
        for gone in ["connection", "keep-alive", "te", "upgrade", "expect", "proxy", "x-real-ip"] {
            prop_assert!(!folded.iter().any(|it| it == gone), "{}", gone);
        }
    }
}
