//! Which connection serves which request, and what time and dead connections do to them.

use std::net::{SocketAddr, TcpListener};

use portcullis_engine::reason::Reason;
use portcullis_forward::{Body, Entry, Kind, OriginId, Request, Token};

use crate::support::{Bench, GET, OK, Peer, Site, request, spec};

/// One exchange that leaves its connection in the pool.
fn served(bench: &mut Bench, site: &Site, origin: OriginId) -> Peer {
    let before = bench.told.len();
    let token = bench.get(90, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say(OK);
    bench.until_kind(token, &[Kind::Whole]);
    bench.told.truncate(before);
    peer
}

/// An address that nobody listens at.
fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// An address where connecting never ends: its backlog is full.
fn silent() -> (TcpListener, Vec<std::net::TcpStream>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: listening again only changes the backlog.
    unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 0) };
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        if let Ok(stream) = std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(50)) {
            waiting.push(stream);
        }
    }
    (listener, waiting, address)
}

#[test]
fn the_connection_used_last_is_used_next() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let mut peers: Vec<_> = (0..2)
        .map(|slot| {
            bench.get(slot, origin);
            let peer = site.accept();
            bench.turn(5);
            peer
        })
        .collect();
    peers[1].say(OK);
    bench.until(1);
    peers[0].say(OK);
    bench.until(2);
    bench.get(2, origin);
    peers[0].read_head();
    assert_eq!(peers[0].read_head().as_bytes(), GET);
}

#[test]
fn a_connection_that_the_origin_closed_is_not_used_again() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    drop(served(&mut bench, &site, origin));
    bench.settle();
    assert_eq!((bench.counter(|it| &it.open_now), bench.counter(|it| &it.idle_now)), (0, 0));
    served(&mut bench, &site, origin);
    assert_eq!(bench.counter(|it| &it.retried), 0);
}

#[test]
fn a_get_on_a_connection_that_died_meanwhile_is_sent_once_more_on_a_fresh_one() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    // Closed, but the loop has not told yet.
    drop(served(&mut bench, &site, origin));
    let token = bench.get(0, origin);
    bench.turn(5);
    let mut fresh = site.accept();
    bench.turn(5);
    assert_eq!(fresh.read_head().as_bytes(), GET);
    fresh.say(OK);
    let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
    assert!(told.is(Kind::Whole) && !told.has(Entry::REUSED));
    assert_eq!(bench.counter(|it| &it.retried), 1);
    // A second time it is not retried.
    drop(fresh);
}

#[test]
fn a_request_is_retried_once_only() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    drop(served(&mut bench, &site, origin));
    let token = bench.get(0, origin);
    bench.turn(5);
    let mut fresh = site.accept();
    bench.turn(5);
    fresh.read_head();
    drop(fresh);
    let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
    assert_eq!(told.fault, Reason::OriginClosed as u32);
    assert!(site.has_nobody());
}

#[test]
fn a_put_with_a_whole_body_is_retried_with_its_body() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    drop(served(&mut bench, &site, origin));
    let token = Token { slot: 0, generation: 1 };
    let head = b"PUT /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
    let request = Request { body: Body::Whole(b"hello"), ..request(head) };
    bench.client.send(token, origin, request);
    bench.turn(5);
    let mut fresh = site.accept();
    bench.turn(5);
    assert_eq!(fresh.read_head().as_bytes(), head);
    assert_eq!(fresh.read_exact(5), b"hello");
    fresh.say(OK);
    assert!(bench.until_kind(token, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
}

#[test]
fn a_post_that_was_sent_is_never_sent_again() {
    for body in [Body::None, Body::Whole(b"hello"), Body::Stream { length: None }] {
        let (mut bench, site) = (Bench::new(), Site::new());
        let origin = bench.client.origin(&site.spec());
        let mut peer = served(&mut bench, &site, origin);
        let token = bench.post(0, origin, body);
        peer.read_head();
        drop(peer);
        if matches!(body, Body::Stream { .. }) {
            bench.client.body(token, b"piece", false);
        }
        let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
        assert_eq!(told.fault, Reason::OriginClosed as u32);
        assert!(site.has_nobody(), "{body:?}");
        assert_eq!(bench.counter(|it| &it.retried), 0);
    }
}

#[test]
fn a_put_with_a_streamed_body_is_never_sent_again() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let mut peer = served(&mut bench, &site, origin);
    let token = Token { slot: 0, generation: 1 };
    let head = b"PUT /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
    let body = Body::Stream { length: Some(5) };
    bench.client.send(token, origin, Request { body, ..request(head) });
    bench.client.body(token, b"hel", false);
    peer.read_head();
    drop(peer);
    let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
    assert_eq!(told.fault, Reason::OriginClosed as u32);
    assert!(site.has_nobody());
}

#[test]
fn a_post_is_not_put_on_a_connection_that_was_closed_while_it_was_idle() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let peer = served(&mut bench, &site, origin);
    bench.pass(1_000);
    // Closed, but the loop has not told yet.
    drop(peer);
    let token = bench.post(0, origin, Body::Whole(b"hello"));
    let mut fresh = site.accept();
    bench.turn(5);
    fresh.read_head();
    fresh.say(OK);
    assert!(bench.until_kind(token, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
}

#[test]
fn an_answer_that_began_is_not_asked_for_again() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let mut peer = served(&mut bench, &site, origin);
    let token = bench.get(0, origin);
    peer.read_head();
    peer.say("HTTP/1.1 2");
    bench.settle();
    drop(peer);
    let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
    assert_eq!(told.fault, Reason::OriginClosed as u32);
    assert!(site.has_nobody());
}

#[test]
fn requests_beyond_the_connections_wait_and_those_beyond_the_queue_are_refused() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let mut spec = site.spec();
    (spec.connections, spec.queue) = (1, 2);
    let origin = bench.client.origin(&spec);
    let tokens: Vec<_> = (0..4).map(|slot| bench.get(slot, origin)).collect();
    let told = bench.until(1)[0].clone();
    assert_eq!((told.token, told.fault), (tokens[3], Reason::OriginSaturated as u32));
    assert_eq!(bench.counter(|it| &it.waiting_now), 2);
    let mut peer = site.accept();
    bench.turn(5);
    for n in 1..4 {
        peer.read_head();
        peer.say(OK);
        assert_eq!(bench.until(n + 1)[n].token, tokens[n - 1]);
    }
    assert_eq!(bench.counter(|it| &it.waiting_now), 0);
    assert!(site.has_nobody());
}

#[test]
fn a_waiting_request_can_be_cancelled_and_a_closed_connection_makes_room() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let mut spec = site.spec();
    (spec.connections, spec.queue) = (1, 500);
    let origin = bench.client.origin(&spec);
    let first = bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    for slot in 1..400 {
        let token = bench.get(slot, origin);
        bench.client.cancel(token);
    }
    let last = bench.post(400, origin, Body::Whole(b"hello"));
    assert_eq!(bench.counter(|it| &it.waiting_now), 1);
    bench.client.cancel(first);
    peer.read_head();
    assert!(peer.is_closed());
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say(OK);
    assert!(bench.until_kind(last, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
    assert_eq!(bench.told.len(), 1);
}

#[test]
fn waiting_for_a_connection_ends() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let mut spec = site.spec();
    spec.connections = 1;
    let origin = bench.client.origin(&spec);
    bench.get(0, origin);
    let _peer = site.accept();
    bench.turn(5);
    let token = bench.get(1, origin);
    bench.pass(2_900);
    assert!(bench.told.is_empty());
    bench.pass(200);
    let told = bench.until_kind(token, &[Kind::Failed]);
    assert_eq!(told.fault, Reason::OriginSaturated as u32);
}

#[test]
fn silence_before_the_head_is_a_timeout() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    bench.pass(4_800);
    // A head that drips in does not buy time.
    peer.say("HTTP/1.1 200 OK\r\n");
    bench.settle();
    assert!(bench.told.is_empty());
    bench.pass(300);
    let told = bench.until_kind(token, &[Kind::Failed]);
    assert_eq!(told.fault, Reason::OriginTimeout as u32);
    assert!(!told.has(Entry::HEAD_SENT) && peer.is_closed());
    assert_eq!(bench.counter(|it| &it.timeouts), 1);
}

#[test]
fn silence_within_a_response_is_a_timeout_behind_its_head() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    bench.until(1);
    for _ in 0..3 {
        bench.pass(1_900);
        peer.say("1\r\nx\r\n");
        bench.settle();
    }
    assert!(bench.told.iter().all(|it| !it.is(Kind::Failed)));
    bench.pass(2_100);
    let told = bench.until_kind(token, &[Kind::Failed]);
    assert_eq!(told.fault, Reason::OriginTimeout as u32);
    assert!(told.has(Entry::HEAD_SENT));
}

#[test]
fn a_client_that_pauses_its_upload_is_not_the_origins_silence_but_a_full_socket_is() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.post(0, origin, Body::Stream { length: None });
    let _peer = site.accept();
    bench.settle();
    bench.client.body(token, b"hello", false);
    bench.pass(60_000);
    assert!(bench.told.is_empty());
    while bench.client.body(token, &[b'x'; 64 * 1024], false) == portcullis_forward::Flow::Continue {}
    bench.pass(5_100);
    assert_eq!(bench.until_kind(token, &[Kind::Failed]).fault, Reason::OriginTimeout as u32);
}

#[test]
fn a_pooled_connection_is_closed_before_the_origin_would() {
    for (keep_alive, lives_ms, dies_ms) in [("timeout=5, max=9", 3_900, 200), ("x", 59_000, 1_100)] {
        let (mut bench, site) = (Bench::new(), Site::new());
        let origin = bench.client.origin(&site.spec());
        bench.get(0, origin);
        let mut peer = site.accept();
        bench.turn(5);
        peer.read_head();
        peer.say(format!("HTTP/1.1 200 OK\r\nKeep-Alive: {keep_alive}\r\nContent-Length: 0\r\n\r\n"));
        bench.until(1);
        bench.pass(lives_ms);
        assert!(peer.is_open(), "{keep_alive}");
        bench.pass(dies_ms);
        assert!(peer.is_closed(), "{keep_alive}");
    }
}

#[test]
fn an_address_that_refuses_is_passed_over_in_the_same_request() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&spec(&[refusing(), site.address()]));
    let token = bench.get(0, origin);
    for _ in 0..4 {
        bench.turn(5);
    }
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say(OK);
    let told = bench.until_kind(token, &[Kind::Whole, Kind::Failed]);
    assert!(told.is(Kind::Whole) && told.address == 1);
    assert_eq!(bench.counter(|it| &it.connect_failures), 1);
}

#[test]
fn an_address_that_is_silent_leaves_time_for_the_next() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let (_listener, _waiting, address) = silent();
    let origin = bench.client.origin(&spec(&[address, site.address()]));
    let token = bench.get(0, origin);
    bench.turn(5);
    bench.pass(1_600);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say(OK);
    assert!(bench.until_kind(token, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
}

#[test]
fn when_nobody_can_be_reached_the_reason_says_how() {
    let mut bench = Bench::new();
    let origin = bench.client.origin(&spec(&[refusing(), refusing()]));
    let token = bench.get(0, origin);
    assert_eq!(bench.until_kind(token, &[Kind::Failed]).fault, Reason::OriginConnect as u32);
    let (_listener, _waiting, address) = silent();
    let origin = bench.client.origin(&spec(&[address]));
    let token = bench.get(1, origin);
    bench.pass(3_100);
    assert_eq!(bench.until_kind(token, &[Kind::Failed]).fault, Reason::OriginTimeout as u32);
}

#[test]
fn an_address_that_keeps_failing_is_left_alone_for_a_while() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&spec(&[refusing(), site.address()]));
    let ask = |bench: &mut Bench| {
        let before = bench.counter(|it| &it.connect_failures);
        let token = bench.get(0, origin);
        for _ in 0..3 {
            bench.turn(5);
        }
        let mut peer = site.accept();
        bench.turn(5);
        peer.read_head();
        peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert!(bench.until_kind(token, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
        bench.told.clear();
        bench.counter(|it| &it.connect_failures) - before
    };
    let failures: u64 = (0..12).map(|_| ask(&mut bench)).sum();
    assert_eq!((failures, bench.counter(|it| &it.ejected)), (3, 1));
    bench.pass(10_100);
    let failures: u64 = (0..4).map(|_| ask(&mut bench)).sum();
    assert_eq!((failures, bench.counter(|it| &it.ejected)), (1, 2));
}

#[test]
fn equal_origins_share_their_pool_and_old_ones_are_forgotten_in_time() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let _peer = served(&mut bench, &site, origin);
    assert_eq!(bench.client.origin(&site.spec()), origin);
    let mut other = site.spec();
    other.idle_timeout_ms += 1;
    let newer = bench.client.origin(&other);
    assert_ne!(newer, origin);
    bench.client.retain(&[newer]);
    // A request decided under the policy before still finds its way.
    let token = bench.get(0, origin);
    bench.client.cancel(token);
    bench.pass(11 * 60_000);
    let token = bench.get(1, origin);
    assert_eq!(bench.until_kind(token, &[Kind::Failed]).fault, Reason::OriginConnect as u32);
    assert_ne!(bench.client.origin(&site.spec()), origin);
}

#[test]
fn shutdown_closes_everything_and_tells_nothing() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let mut idle = served(&mut bench, &site, origin);
    bench.get(0, origin);
    bench.get(1, origin);
    let mut busy = site.accept();
    bench.turn(5);
    bench.client.shutdown();
    bench.get(2, origin);
    bench.settle();
    assert!(bench.told.is_empty());
    idle.read_head();
    busy.read_head();
    assert!(idle.is_closed() && busy.is_closed());
    assert_eq!((bench.counter(|it| &it.open_now), bench.counter(|it| &it.idle_now)), (0, 0));
}
