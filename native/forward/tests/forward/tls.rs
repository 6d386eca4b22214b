//! Origins over TLS, HTTP/1.1 and HTTP/2.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;

use h2::server::Builder;
use portcullis_engine::policy::{OriginProtocol, OriginTls};
use portcullis_engine::reason::Reason;
use portcullis_forward::{Body, Entry, Flow, Kind, OriginSpec};
use portcullis_reactor::epoll::block_on;
use rustls::HandshakeKind;

use crate::support::h2::{Served, answer, ok, read, serve_over};
use crate::support::tls::{Authority, dress, read_head, say, serve_one};
use crate::support::{Bench, OK, spec};

fn over_tls(listener: &TcpListener, tls: OriginTls) -> OriginSpec {
    OriginSpec { tls: Some(Arc::new(tls)), ..spec(&[listener.local_addr().unwrap()]) }
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// An HTTP/2 origin that says how long a body was.
fn counting(config: Arc<rustls::ServerConfig>) -> Served {
    serve_over(&Builder::new(), dress(config), |mut request, respond| {
        Box::pin(async move {
            let Ok((body, _)) = read(request.body_mut()).await else { return };
            answer(respond, ok(), body.len().to_string().as_bytes());
        })
    })
}

fn h2_over_tls(site: &Served, tls: OriginTls) -> OriginSpec {
    OriginSpec { protocol: OriginProtocol::H2, tls: Some(Arc::new(tls)), ..site.spec() }
}

#[test]
fn http_1_over_tls_is_kept_alive_and_named() {
    let authority = Authority::new();
    let issued = authority.issue("orders.internal");
    let listener = listen();
    let origin = over_tls(&listener, authority.trust("orders.internal"));
    let server = serve_one(listener, authority.server(&issued, &["http/1.1"], false), |stream| {
        let first = read_head(stream);
        say(stream, OK);
        let second = read_head(stream);
        say(stream, OK);
        let alpn = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
        (first, second, stream.conn.server_name().map(str::to_owned), alpn)
    });
    let mut bench = Bench::new();
    let origin = bench.client.origin(&origin);
    for slot in [1, 2] {
        let token = bench.get(slot, origin);
        let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
        assert!(told.is(Kind::Whole) && told.has(Entry::REUSED) == (slot == 2), "{told:?}");
        assert_eq!((told.fields(), &told.body[..]), ("\r\nServer: s", &b"hi"[..]));
        // Session tickets come behind the answer, and are no reason to give the connection up.
        bench.settle();
    }
    let (first, second, name, alpn) = server.join().unwrap();
    assert!(first.starts_with("GET /a ") && second.starts_with("GET /a "));
    assert_eq!((name.as_deref(), alpn.as_deref()), (Some("orders.internal"), Some(&b"http/1.1"[..])));
    bench.settle();
    assert_eq!(bench.counter(|it| &it.open_now), 0, "the origin's end was seen");
}

#[test]
fn large_bodies_pass_both_ways_with_pauses() {
    const LENGTH: usize = 3_000_000;
    let authority = Authority::new();
    let issued = authority.issue("a.test");
    let listener = listen();
    let origin = over_tls(&listener, authority.trust("a.test"));
    let server = serve_one(listener, authority.server(&issued, &[], false), |stream| {
        read_head(stream);
        let mut body = vec![0; LENGTH];
        stream.read_exact(&mut body).unwrap();
        say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        say(stream, &body);
        read_head(stream);
        say(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(50_000) {
            say(stream, format!("{:x}\r\n", piece.len()));
            say(stream, [piece, b"\r\n"].concat());
        }
        say(stream, b"0\r\n\r\n");
    });
    let mut bench = Bench::new();
    let origin = bench.client.origin(&origin);
    let body: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
    let token = bench.post(1, origin, Body::Stream { length: Some(LENGTH as u64) });
    for piece in body.chunks(50_000) {
        if bench.client.body(token, piece, false) == Flow::Pause {
            bench.until_kind(token, &[Kind::Drained]);
            bench.told.clear();
        }
    }
    bench.until_kind(token, &[Kind::Head]);
    for _ in 0..5 {
        bench.client.pause(token);
        bench.settle();
        let told = bench.told.len();
        bench.settle();
        assert_eq!(bench.told.len(), told, "paused");
        bench.client.resume(token);
        bench.turn(5);
    }
    bench.until_kind(token, &[Kind::End]);
    assert!(bench.body(token) == body);
    let token = bench.get(2, origin);
    bench.until_kind(token, &[Kind::End]);
    assert!(bench.body(token) == body);
    server.join().unwrap();
}

#[test]
fn who_cannot_be_trusted_is_not_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.issue("a.test");
    let old = authority.issue_until("a.test", 2001);
    let cases = [
        ("another authority", &good, other.trust("a.test")),
        ("another name", &good, authority.trust("b.test")),
        ("expired", &old, authority.trust("a.test")),
        ("no authority at all", &good, OriginTls { roots: String::new(), ..authority.trust("a.test") }),
    ];
    for (case, issued, tls) in cases {
        let listener = listen();
        let origin = over_tls(&listener, tls.clone());
        let server = serve_one(listener, authority.server(issued, &[], false), read_head);
        let mut bench = Bench::new();
        let origin = bench.client.origin(&origin);
        let token = bench.get(1, origin);
        assert_eq!(bench.until_kind(token, &[Kind::Failed]).fault, Reason::OriginTls as u32, "{case}");
        assert_eq!(server.join().unwrap(), "", "{case}: no byte of a request went out");
        let config = authority.server(issued, &["h2"], false);
        block_on(async move {
            let site = counting(config);
            let mut bench = Bench::new();
            let origin = bench.client.origin(&h2_over_tls(&site, tls));
            let token = bench.get(1, origin);
            assert_eq!(bench.over(token).await.fault, Reason::OriginTls as u32, "{case}");
            assert_eq!(site.streams.get(), 0);
        });
    }
}

#[test]
fn an_operator_may_take_any_certificate() {
    let authority = Authority::new();
    let old = authority.issue_until("b.test", 2001);
    let listener = listen();
    let tls = OriginTls { allow_unverified: true, roots: String::new(), ..authority.trust("a.test") };
    let origin = over_tls(&listener, tls);
    let server = serve_one(listener, authority.server(&old, &[], false), |stream| {
        read_head(stream);
        say(stream, OK);
    });
    let mut bench = Bench::new();
    let origin = bench.client.origin(&origin);
    let token = bench.get(1, origin);
    assert!(bench.until_kind(token, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
    server.join().unwrap();
}

#[test]
fn an_origin_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let (issued, ours) = (authority.issue("a.test"), authority.issue("gateway.test"));
    let shown =
        OriginTls { certificate: Some((ours.pem.clone(), ours.key.serialize_pem())), ..authority.trust("a.test") };
    for (tls, passes) in [(shown, true), (authority.trust("a.test"), false)] {
        let listener = listen();
        let origin = over_tls(&listener, tls.clone());
        let server = serve_one(listener, authority.server(&issued, &[], true), |stream| {
            if !read_head(stream).is_empty() {
                say(stream, OK);
            }
            stream.conn.peer_certificates().map(|chain| chain[0].to_vec())
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&origin);
        let token = bench.get(1, origin);
        let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
        let expected = if passes { Entry::NO_FAULT } else { Reason::OriginTls as u32 };
        assert_eq!(told.fault, expected);
        assert_eq!(server.join().unwrap(), passes.then(|| ours.certificate.to_vec()));
        let config = authority.server(&issued, &["h2"], true);
        block_on(async move {
            let site = counting(config);
            let mut bench = Bench::new();
            let origin = bench.client.origin(&h2_over_tls(&site, tls));
            let token = bench.get(1, origin);
            assert_eq!(bench.over(token).await.fault, expected);
        });
    }
}

#[test]
fn sessions_are_resumed() {
    let authority = Authority::new();
    let issued = authority.issue("a.test");
    let config = authority.server(&issued, &[], false);
    let listener = listen();
    let origin = over_tls(&listener, authority.trust("a.test"));
    let mut bench = Bench::new();
    let origin = bench.client.origin(&origin);
    let mut kinds = Vec::new();
    for slot in [1, 2] {
        let server = serve_one(listener.try_clone().unwrap(), Arc::clone(&config), |stream| {
            read_head(stream);
            say(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
            stream.conn.handshake_kind()
        });
        let token = bench.get(slot, origin);
        assert!(bench.until_kind(token, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
        kinds.push(server.join().unwrap());
    }
    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
}

#[test]
fn a_body_that_ends_without_tls_saying_so_is_no_whole_body() {
    let authority = Authority::new();
    let issued = authority.issue("a.test");
    for says in [true, false] {
        let listener = listen();
        let origin = over_tls(&listener, authority.trust("a.test"));
        let server = serve_one(listener, authority.server(&issued, &[], false), move |stream| {
            read_head(stream);
            say(stream, b"HTTP/1.1 200 OK\r\n\r\nsome of it");
            if says {
                stream.conn.send_close_notify();
                let _ = stream.conn.complete_io(&mut stream.sock);
            }
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&origin);
        let token = bench.get(1, origin);
        let told = bench.until_kind(token, &[Kind::End, Kind::Failed]);
        assert_eq!(told.is(Kind::End), says, "{told:?}");
        server.join().unwrap();
    }
}

#[test]
fn http_2_over_tls_needs_the_origins_word_for_it() {
    let authority = Authority::new();
    for (alpn, passes) in [(&["h2"][..], true), (&["h2", "http/1.1"], true), (&["http/1.1"], false), (&[], false)] {
        let issued = authority.issue("a.test");
        let (config, tls) = (authority.server(&issued, alpn, false), authority.trust("a.test"));
        block_on(async move {
            let site = counting(config);
            let mut bench = Bench::new();
            let origin = bench.client.origin(&h2_over_tls(&site, tls));
            let body = vec![1; 1_000_000];
            let token = bench.post(1, origin, Body::Whole(&body));
            let told = bench.over(token).await;
            if passes {
                assert_eq!(bench.body(token), b"1000000");
            } else {
                assert_eq!(told.fault, Reason::OriginTls as u32);
            }
        });
    }
}

#[test]
fn what_cannot_be_read_of_a_policy_fails_each_request() {
    let authority = Authority::new();
    let listener = listen();
    let broken = OriginTls { certificate: Some(("no".to_owned(), "no".to_owned())), ..authority.trust("a.test") };
    let mut bench = Bench::new();
    let origin = bench.client.origin(&over_tls(&listener, broken));
    let token = bench.get(1, origin);
    assert_eq!(bench.until_kind(token, &[Kind::Failed]).fault, Reason::OriginTls as u32);
}
