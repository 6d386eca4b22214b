//! The request head that an origin gets.

use portcullis_engine::head::{Framing, Head};
use portcullis_engine::policy::CredentialLocation;
use portcullis_forward::request::{Call, Forwarded, client_traceparent, write_head};
use proptest::prelude::*;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn ours() -> Forwarded<'static> {
    Forwarded {
        peer: "192.0.2.7",
        proto: "https",
        request_id: "01J",
        traceparent: Some("00-11111111111111111111111111111111-2222222222222222-01"),
        certificate: "client-cert: :AAAA:\r\ncf-client-cert-sha256: abcd\r\n",
        caller: "",
        told: &[],
        stripped: &[],
        call: None,
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

/// The target and the fields up to ours, with a credential left behind.
fn left(text: &str, stripped: CredentialLocation) -> String {
    let out = written(text, &Forwarded { stripped: &[&stripped], ..ours() });
    let theirs = out.split("x-forwarded-for").next().unwrap();
    theirs.strip_prefix("GET ").unwrap().replacen(" HTTP/1.1\r\nhost: a\r\n", "|", 1).replace("\r\n", "|")
}

fn header(name: &str) -> CredentialLocation {
    CredentialLocation::Header { name: name.into(), scheme: None }
}

#[test]
fn a_credential_in_a_field_stays_behind_in_every_spelling_of_its_name() {
    assert_eq!(left("GET /\nhost:a\nx-api-key:k\naccept:b", header("x-api-key")), "/|accept: b|");
    assert_eq!(left("GET /\nhost:a\nx_api_key:k\nx-api_key:k", header("x-api-key")), "/|");
    assert_eq!(left("GET /\nhost:a\nx-api-key:k", header("x_api_key")), "/|");
    assert_eq!(left("GET /\nhost:a\nx-api-key2:k", header("x-api-key")), "/|x-api-key2: k|");
    let bearer = CredentialLocation::Header { name: "authorization".into(), scheme: Some("Bearer".into()) };
    assert_eq!(left("GET /\nhost:a\nauthorization:Bearer k\ncookie:k=1", bearer), "/|cookie: k=1|");
    let dpop = CredentialLocation::Header { name: "authorization".into(), scheme: Some("dpop".into()) };
    assert_eq!(left("GET /\nhost:a\nauthorization:DPoP k\ndpop:p\naccept:b", dpop), "/|accept: b|");
    assert_eq!(left("GET /\nhost:a\nx-api-key:k\ndpop:p", header("x-api-key")), "/|dpop: p|");
    assert_eq!(left("GET /\nhost:a\nauthorization:Basic k", CredentialLocation::Basic), "/|");
    let pair = CredentialLocation::Pair { id: "x-id".into(), secret: "x-secret".into() };
    assert_eq!(left("GET /\nhost:a\nx-id:i\nx-secret:s\nx-secrets:s", pair), "/|x-secrets: s|");
}

#[test]
fn a_cookie_stays_behind_and_the_others_are_kept_byte_for_byte() {
    let cookie = |line: &str| {
        let location = CredentialLocation::Cookie { name: "key".into() };
        left(&format!("GET /\nhost:a\ncookie:{line}"), location).replacen("/|", "", 1)
    };
    for (sent, kept) in [
        ("key=1", ""),
        ("key=1; a=2", "cookie: a=2|"),
        ("a=2; key=1", "cookie: a=2|"),
        ("a=2; key=1; b=3", "cookie: a=2; b=3|"),
        ("a=2;key=1;b=3", "cookie: a=2;b=3|"),
        ("key=1; key=2", ""),
        ("key", ""),
        ("key =1; a=b", "cookie: a=b|"),
        ("k%65y=1; a=%65", "cookie: a=%65|"),
        ("key=1;  a=\" x\"; ;b", "cookie: a=\" x\"; ;b|"),
        ("; key=1;", ""),
        ("Key=1; keys=2; a=key", "cookie: Key=1; keys=2; a=key|"),
        ("a=2;  b=3 ;", "cookie: a=2;  b=3 ;|"),
    ] {
        assert_eq!(cookie(sent), kept, "{sent}");
    }
}

#[test]
fn a_query_parameter_stays_behind_and_the_others_are_kept_byte_for_byte() {
    let query = |query: &str| {
        let location = CredentialLocation::Query { name: "api_key".into() };
        left(&format!("GET /o?{query}\nhost:a"), location).replace('|', "")
    };
    for (sent, kept) in [
        ("api_key=1", "/o"),
        ("api_key", "/o"),
        ("a=1&api_key=2&b=%41+c", "/o?a=1&b=%41+c"),
        ("api_key=1&api_key=2&a", "/o?a"),
        ("api%5fkey=1&a=2", "/o?a=2"),
        ("API_KEY=1&api_keys=2&a=api_key=3", "/o?API_KEY=1&api_keys=2&a=api_key=3"),
        ("a=1&&b=2", "/o?a=1&&b=2"),
        ("api_key=1&", "/o"),
    ] {
        assert_eq!(query(sent), kept, "{sent}");
    }
}

#[test]
fn what_tells_who_calls_is_ours_whatever_the_client_sends() {
    let told = ["x-user-id".to_owned(), "x_partner".to_owned()];
    let text = "GET /\nhost:a\nx-user-id:spoofed\nx_user_id:spoofed\nx-partner:spoofed\nx-user:1";
    let known = Forwarded { caller: "x-user-id: 42\r\n", told: &told, ..ours() };
    let out = written(text, &known);
    assert!(out.contains("x-user-id: 42\r\n") && out.contains("x-user: 1\r\n") && !out.contains("spoofed"), "{out}");
    let out = written(text, &Forwarded { caller: "", ..known });
    assert!(!out.contains("user-id") && !out.contains("spoofed"), "{out}");
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

    #[test]
    fn a_credential_never_reaches_the_origin_and_told_fields_are_ours(
        place in place(),
        fields in prop::collection::vec((told_name(), "[ -~]{0,20}"), 0..12),
        cookies in prop::collection::vec("[a-z%=; ]{0,8}", 0..4),
        query in prop::collection::vec("[a-z%=]{0,8}", 0..4),
        told in any::<bool>(),
    ) {
        const SECRET: &str = "S3CRET";
        let mut cookies = cookies;
        let mut query = query;
        let mut text = String::new();
        match &place {
            CredentialLocation::Header { name, .. } => text.push_str(&format!("\n{name}:Bearer {SECRET}")),
            CredentialLocation::Pair { id, secret } => text.push_str(&format!("\n{secret}:{SECRET}\n{id}:{SECRET}")),
            CredentialLocation::Basic => text.push_str(&format!("\nauthorization:Basic {SECRET}")),
            CredentialLocation::Cookie { name } => cookies.insert(cookies.len() / 2, format!("{name}={SECRET}")),
            CredentialLocation::Query { name } => query.insert(query.len() / 2, format!("{name}={SECRET}")),
        }
        for (name, value) in &fields {
            text.push_str(&format!("\n{name}:{value}"));
        }
        let cookies = cookies.join("; ");
        let mut head = Head::default();
        if head.parse_text(&format!("GET /a?{}\nhost:a\ncookie:{cookies}{text}", query.join("&"))).is_err() {
            return Ok(());
        }
        let names = ["x-user-id".to_owned(), "x-partner".to_owned()];
        let caller = if told { "x-user-id: 42\r\n" } else { "" };
        let out = [&[&place][..], &[]].map(|stripped| {
            let mut out = Vec::new();
            write_head(&mut out, &head, &Forwarded { caller, told: &names, stripped, ..ours() });
            String::from_utf8(out).unwrap()
        });
        let [stripped, whole] = &out;
        prop_assert!(whole.contains(SECRET) && !stripped.contains(SECRET), "{}", stripped);
        let folded = stripped.to_ascii_lowercase().replace('_', "-");
        prop_assert_eq!(folded.matches("\r\nx-user-id: ").count(), usize::from(told));
        prop_assert!(!folded.contains("\r\nx-partner:"));
        // Nothing but the credential is missing.
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let kept = lines(stripped);
        for line in lines(whole) {
            let name = line.split(':').next().unwrap().replace('_', "-");
            let place_is = |names: &[&str]| names.iter().any(|place| place.replace('_', "-") == name);
            let touched = line.starts_with("GET ") || name == "cookie" || match &place {
                CredentialLocation::Header { name, .. } => place_is(&[name]),
                CredentialLocation::Pair { id, secret } => place_is(&[id, secret]),
                CredentialLocation::Basic => place_is(&["authorization"]),
                _ => false,
            };
            prop_assert!(touched || kept.contains(&line), "{}", line);
        }
    }
}

fn place() -> impl Strategy<Value = CredentialLocation> {
    prop::sample::select(vec![
        CredentialLocation::Header { name: "authorization".into(), scheme: Some("Bearer".into()) },
        header("x-api-key"),
        CredentialLocation::Cookie { name: "key".into() },
        CredentialLocation::Query { name: "key".into() },
        CredentialLocation::Pair { id: "x-id".into(), secret: "x-secret".into() },
        CredentialLocation::Basic,
    ])
}

fn told_name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "x-user-id",
            "x_user_id",
            "x-user_id",
            "x-partner",
            "x_partner",
            "accept",
            "x-other"
        ])
        .prop_map(str::to_owned),
        "[a-z_-]{1,10}"
    ]
}

#[test]
fn a_calls_origin_is_told_what_is_left_of_its_time_and_nothing_of_the_web() {
    let text = "POST /a.B/C\nhost:a\nte:trailers\ncontent-type:application/grpc-web-text+proto\nx-grpc-web:1\n\
                x-user-agent:web\ngrpc-timeout:5S\ngrpc-status:0\ngrpc_message:x\ngrpc-encoding:gzip\nk-bin:AAEC\n\
                grpc-status-details-bin:AA";
    let call = Call { content_type: Some("application/grpc+proto"), timeout: Some("4999m") };
    let out = written(text, &Forwarded { call: Some(call), ..ours() });
    let lines: Vec<&str> = out.split("\r\n").collect();
    for gone in ["content-type: application/grpc-web-text+proto", "x-grpc-web: 1", "grpc-timeout: 5S", "grpc-status: 0"]
    {
        assert!(!lines.contains(&gone), "{out}");
    }
    assert!(!out.contains("grpc_message") && !out.contains("details"), "{out}");
    let added = ["te: trailers", "content-type: application/grpc+proto", "grpc-timeout: 4999m"];
    let theirs = ["x-user-agent: web", "grpc-encoding: gzip", "k-bin: AAEC"];
    for there in added.iter().chain(&theirs) {
        assert_eq!(lines.iter().filter(|line| line == &there).count(), 1, "{there} in {out}");
    }
    // One that came as gRPC keeps its content type.
    let text = "POST /a.B/C\nhost:a\nte:trailers\ncontent-type:application/grpc+json";
    let out = written(text, &Forwarded { call: Some(Call::default()), ..ours() });
    assert!(out.contains("\r\ncontent-type: application/grpc+json\r\n") && !out.contains("grpc-timeout"), "{out}");
}
