//! Requests and responses of every framing, over real sockets.

use portcullis_engine::reason::Reason;
use portcullis_forward::{Body, Entry, Flow, Kind, Request, Token};
use proptest::prelude::*;

use crate::support::{Bench, GET, OK, Site, request, spec};

#[test]
fn a_small_response_is_one_entry() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(3, origin);
    let mut peer = site.accept();
    bench.turn(5);
    assert_eq!(peer.read_head().as_bytes(), GET);
    peer.say(OK);
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Whole) && told.token == token && told.status == 200 && told.address == 0);
    assert_eq!(told.block, "200 OK\r\nX-Request-Id: 0123456789abcdef0123456789abcdef\r\nServer: s");
    assert_eq!(told.body, b"hi");
    assert!(told.has(Entry::LENGTH) && told.length == 2 && !told.has(Entry::NO_BODY) && !told.has(Entry::REUSED));
    assert_eq!(told.fault, Entry::NO_FAULT);
}

#[test]
fn a_connection_serves_again_without_a_change_of_what_is_watched() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say(OK);
    bench.until(1);
    let changes = bench.poll.changes.get();
    for n in 1..5 {
        bench.get(n, origin);
        peer.read_head();
        peer.say(OK);
        assert!(bench.until(n as usize + 1)[n as usize].has(Entry::REUSED));
    }
    assert_eq!(bench.poll.changes.get(), changes);
    assert!(site.has_nobody());
    assert_eq!((bench.counter(|it| &it.opened), bench.counter(|it| &it.reused)), (1, 4));
    assert_eq!((bench.counter(|it| &it.open_now), bench.counter(|it| &it.idle_now)), (1, 1));
}

#[test]
fn head_204_and_304_end_with_their_head() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = Token { slot: 0, generation: 1 };
    let head = b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n";
    bench.client.send(token, origin, Request { is_head: true, ..request(head) });
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n");
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Whole) && told.has(Entry::NO_BODY) && told.has(Entry::LENGTH));
    assert_eq!(told.length, 9_000_000_000);
    for (n, status) in [(1, "204 No Content"), (2, "304 Not Modified")] {
        bench.get(n, origin);
        peer.read_head();
        peer.say(format!("HTTP/1.1 {status}\r\n\r\n"));
        let told = bench.until(n as usize + 1)[n as usize].clone();
        assert!(told.is(Kind::Whole) && told.has(Entry::NO_BODY) && told.has(Entry::REUSED));
    }
}

#[test]
fn interim_responses_are_skipped_within_a_bound() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n");
    peer.say(OK);
    assert_eq!(bench.until(1)[0].status, 200);
    bench.get(1, origin);
    peer.say("HTTP/1.1 100 Continue\r\n\r\n".repeat(9));
    let told = bench.until(2)[1].clone();
    assert!(told.is(Kind::Failed) && told.fault == Reason::OriginMalformed as u32);
}

#[test]
fn a_small_body_in_pieces_is_still_one_entry() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    let body = vec![b'x'; 60_000];
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
    for piece in body.chunks(7_000) {
        peer.say(piece);
        bench.turn(5);
    }
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Whole) && told.body == body);
}

#[test]
fn a_long_body_comes_in_chunks_and_ends() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(0, origin);
    let mut peer = site.accept();
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let sent = body.clone();
    let writer = std::thread::spawn(move || {
        peer.read_head();
        peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()));
        peer.say(sent);
        peer
    });
    bench.until_kind(token, &[Kind::End, Kind::Failed]);
    let mut peer = writer.join().unwrap();
    assert!(bench.told[0].is(Kind::Head) && bench.told[0].length == 3_000_000);
    assert!(bench.told.last().unwrap().is(Kind::End));
    assert!(bench.told.iter().flat_map(|it| &it.body).eq(&body));
    bench.get(1, origin);
    peer.read_head();
}

#[test]
fn long_bodies_share_an_arena_that_is_full_every_turn() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let mut spec = site.spec();
    spec.connections = 12;
    let origin = bench.client.origin(&spec);
    let tokens: Vec<_> = (0..12).map(|slot| bench.get(slot, origin)).collect();
    let writers: Vec<_> = (0..12)
        .map(|_| {
            let mut peer = site.accept();
            std::thread::spawn(move || {
                // Closing with unread bytes would be a reset, which is no end of a body.
                peer.read_head();
                let framing = ["Content-Length: 2000000", "Transfer-Encoding: chunked", "Connection: close"];
                let kind = usize::from(peer.stream.peer_addr().unwrap().port()) % 3;
                peer.say(format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", framing[kind]));
                for _ in 0..20 {
                    let piece: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
                    match kind {
                        1 => peer.say([&b"186A0\r\n"[..], &piece, b"\r\n"].concat()),
                        _ => peer.say(piece),
                    }
                }
                if kind == 1 {
                    peer.say("0\r\n\r\n");
                }
                if kind == 2 {
                    return None;
                }
                Some(peer)
            })
        })
        .collect();
    for token in &tokens {
        assert!(bench.until_kind(*token, &[Kind::End, Kind::Failed]).is(Kind::End));
        let body: Vec<u8> = bench.told.iter().filter(|it| it.token == *token).flat_map(|it| it.body.clone()).collect();
        assert_eq!(body.len(), 2_000_000);
        assert!(body.chunks(100_000).all(|piece| piece.iter().enumerate().all(|(n, &byte)| byte == (n % 251) as u8)));
    }
    drop(writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>());
}

#[test]
fn a_body_without_framing_ends_with_its_connection() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\n\r\nfirst");
    bench.until(2);
    peer.say("second");
    bench.turn(5);
    drop(peer);
    bench.until_kind(token, &[Kind::End]);
    assert_eq!(bench.told.iter().flat_map(|it| it.body.clone()).collect::<Vec<_>>(), b"firstsecond");
}

#[test]
fn a_body_cut_short_is_never_ended() {
    for (head, slot) in [("Content-Length: 100000", 0), ("Transfer-Encoding: chunked", 1)] {
        let (mut bench, site) = (Bench::new(), Site::new());
        let origin = bench.client.origin(&site.spec());
        let token = bench.get(slot, origin);
        let mut peer = site.accept();
        bench.turn(5);
        peer.read_head();
        peer.say(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n"));
        bench.until(2);
        drop(peer);
        let told = bench.until_kind(token, &[Kind::End, Kind::Failed]);
        assert!(told.is(Kind::Failed) && told.has(Entry::HEAD_SENT), "{head}");
        assert_eq!(told.fault, Reason::OriginClosed as u32);
    }
}

#[test]
fn a_small_body_cut_short_fails_before_anything_was_told() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    bench.settle();
    drop(peer);
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Failed) && !told.has(Entry::HEAD_SENT) && told.fault == Reason::OriginClosed as u32);
}

#[test]
fn malformed_chunks_behind_a_head_fail_the_exchange() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    bench.until(2);
    peer.say("zz\r\n");
    let told = bench.until_kind(token, &[Kind::End, Kind::Failed]);
    assert!(told.is(Kind::Failed) && told.has(Entry::HEAD_SENT) && told.fault == Reason::OriginMalformed as u32);
    assert!(peer.is_closed());
}

#[test]
fn a_chunked_response_that_came_at_once_is_one_entry() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n");
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Whole) && !told.has(Entry::LENGTH));
    assert_eq!((told.body.as_slice(), told.fields()), (&b"hello!"[..], ""));
    bench.get(1, origin);
    peer.read_head();
}

#[test]
fn bytes_behind_a_response_make_its_connection_unusable() {
    for response in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"[..],
        b"HTTP/1.1 204 No Content\r\n\r\nX",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    ] {
        let (mut bench, site) = (Bench::new(), Site::new());
        let origin = bench.client.origin(&site.spec());
        bench.get(0, origin);
        let mut peer = site.accept();
        bench.turn(5);
        peer.read_head();
        peer.say(response);
        assert!(bench.until(1)[0].is(Kind::Whole));
        assert!(peer.is_closed(), "{}", response.escape_ascii());
        assert_eq!(bench.counter(|it| &it.open_now), 0);
    }
}

#[test]
fn bytes_on_an_idle_connection_close_it() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say(OK);
    bench.until(1);
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale");
    bench.settle();
    assert!(peer.is_closed());
    assert_eq!((bench.counter(|it| &it.open_now), bench.counter(|it| &it.idle_now)), (0, 0));
}

#[test]
fn connection_close_and_http_1_0_are_honoured() {
    for response in ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 204 No\r\n\r\n"] {
        let (mut bench, site) = (Bench::new(), Site::new());
        let origin = bench.client.origin(&site.spec());
        bench.get(0, origin);
        let mut peer = site.accept();
        bench.turn(5);
        peer.read_head();
        peer.say(response);
        assert!(bench.until(1)[0].is(Kind::Whole));
        assert!(peer.is_closed());
    }
}

#[test]
fn a_whole_body_goes_with_its_head() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let body = vec![b'b'; 3_000_000];
    bench.post(0, origin, Body::Whole(&body));
    let mut peer = site.accept();
    let reader = std::thread::spawn(move || {
        peer.read_head();
        let body = peer.read_exact(3_000_000);
        peer.say(OK);
        (peer, body)
    });
    assert!(bench.until_kind(Token { slot: 0, generation: 7 }, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
    assert!(reader.join().unwrap().1 == body);
}

#[test]
fn a_streamed_body_is_chunked_by_us_and_never_ends_early() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.post(0, origin, Body::Stream { length: None });
    // The first pieces come while the connection is not there yet.
    bench.client.body(token, b"hello", false);
    bench.client.body(token, b"", false);
    let mut peer = site.accept();
    bench.settle();
    bench.client.body(token, &[b'x'; 300], false);
    bench.client.body(token, b"end", true);
    bench.settle();
    peer.read_head();
    let wire = [&b"5\r\nhello\r\n12c\r\n"[..], &[b'x'; 300], b"\r\n3\r\nend\r\n0\r\n\r\n"].concat();
    assert_eq!(peer.read_exact(wire.len()), wire);
    peer.say(OK);
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Whole) && !told.has(Entry::EARLY));
    let token = bench.post(1, origin, Body::Stream { length: None });
    bench.client.body(token, b"", true);
    peer.read_head();
    assert_eq!(peer.read_exact(5), b"0\r\n\r\n");
}

#[test]
fn a_streamed_body_of_known_length_holds_exactly_so_much() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.post(0, origin, Body::Stream { length: Some(6) });
    let mut peer = site.accept();
    bench.settle();
    bench.client.body(token, b"abc", false);
    bench.client.body(token, b"def", true);
    peer.read_head();
    assert_eq!(peer.read_exact(6), b"abcdef");
    peer.say(OK);
    assert!(bench.until(1)[0].is(Kind::Whole));
    for (slot, piece, last) in [(1, &b"abcdefg"[..], true), (2, b"abcdefg", false), (3, b"abc", true)] {
        let token = bench.post(slot, origin, Body::Stream { length: Some(6) });
        bench.settle();
        bench.client.body(token, piece, last);
        let told = bench.until_kind(token, &[Kind::Failed]);
        assert_eq!(told.fault, Reason::HttpFraming as u32);
    }
    assert_eq!(bench.counter(|it| &it.open_now), 0);
}

#[test]
fn a_slow_origin_pauses_the_body_and_drains_it() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.post(0, origin, Body::Stream { length: None });
    let mut peer = site.accept();
    bench.settle();
    let piece = vec![b'p'; 32 * 1024];
    let mut given = 0;
    while bench.client.body(token, &piece, false) == Flow::Continue {
        given += 1;
        assert!(given < 1_000, "never paused");
    }
    assert!(bench.told.is_empty());
    let reader = std::thread::spawn(move || {
        peer.read_head();
        let mut total = 0;
        let mut line = Vec::new();
        loop {
            line.push(peer.read_exact(1)[0]);
            if line.ends_with(b"\r\n") {
                let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
                peer.read_exact(size + 2);
                line.clear();
                total += size;
                if size == 0 {
                    break;
                }
            }
        }
        peer.say(OK);
        (peer, total)
    });
    bench.until_kind(token, &[Kind::Drained]);
    bench.client.body(token, b"", true);
    assert!(bench.until_kind(token, &[Kind::Whole, Kind::Failed]).is(Kind::Whole));
    assert_eq!(reader.join().unwrap().1, (given + 1) * piece.len());
}

#[test]
fn an_answer_ahead_of_the_whole_body_is_told_and_the_connection_closed() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.post(0, origin, Body::Stream { length: Some(1_000) });
    let mut peer = site.accept();
    bench.settle();
    bench.client.body(token, b"abc", false);
    peer.read_head();
    peer.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Whole) && told.status == 401 && told.has(Entry::EARLY));
    assert_eq!(bench.client.body(token, b"more", false), Flow::Continue);
    peer.read_exact(3);
    assert!(peer.is_closed());
}

#[test]
fn an_answer_is_read_although_the_origin_closed_while_the_body_was_sent() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.post(0, origin, Body::Stream { length: Some(100_000_000) });
    let mut peer = site.accept();
    bench.settle();
    bench.client.body(token, &[b'x'; 1_000], false);
    peer.read_head();
    peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    // Closing with unread bytes resets the connection.
    drop(peer);
    for _ in 0..5 {
        bench.client.body(token, &[b'x'; 1_000], false);
    }
    let told = bench.until(1)[0].clone();
    assert!(told.is(Kind::Whole) && told.status == 413 && told.body == b"no", "{told:?}");
}

#[test]
fn a_paused_response_is_left_with_its_origin() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    bench.until(2);
    bench.client.pause(token);
    peer.say("3\r\ntwo\r\n");
    bench.settle();
    assert_eq!(bench.told.len(), 2);
    // Waiting for the client is not the origin's silence.
    bench.pass(10_000);
    assert_eq!(bench.told.len(), 2);
    bench.client.resume(token);
    peer.say("0\r\n\r\n");
    bench.until_kind(token, &[Kind::End]);
    assert_eq!(bench.told.iter().flat_map(|it| it.body.clone()).collect::<Vec<_>>(), b"onetwo");
}

#[test]
fn a_cancelled_exchange_is_not_told_and_its_connection_closed() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let token = bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    bench.client.cancel(token);
    assert!(peer.is_closed());
    let again = Token { slot: 0, generation: 8 };
    bench.client.send(again, origin, request(GET));
    bench.client.cancel(token);
    let mut peer = site.accept();
    bench.turn(5);
    peer.read_head();
    peer.say(OK);
    assert_eq!(bench.until(1)[0].token, again);
}

#[test]
fn a_slot_that_is_used_again_has_lost_its_older_exchange() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut first = site.accept();
    bench.turn(5);
    let newer = Token { slot: 0, generation: 8 };
    bench.client.send(newer, origin, request(GET));
    assert!({
        first.read_head();
        first.is_closed()
    });
    let mut second = site.accept();
    bench.turn(5);
    second.say(OK);
    assert_eq!(bench.until(1)[0].token, newer);
}

#[test]
fn many_answers_wait_for_the_next_turn_when_the_table_is_full() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let mut spec = site.spec();
    spec.connections = 100;
    let origin = bench.client.origin(&spec);
    let mut peers = Vec::new();
    for slot in 0..60 {
        bench.get(slot, origin);
        let mut peer = site.accept();
        peer.say(OK);
        peers.push(peer);
    }
    // As many failures at once as there is no place for.
    for slot in 60..100 {
        bench.get(slot, origin);
        let mut peer = site.accept();
        peer.say("garbage\r\n\r\n");
        peers.push(peer);
    }
    let told = bench.until(100).to_vec();
    let mut slots: Vec<_> = told.iter().map(|it| it.token.slot).collect();
    slots.sort_unstable();
    assert!(slots.into_iter().eq(0..100));
    assert_eq!(told.iter().filter(|it| it.is(Kind::Failed)).count(), 40);
}

#[test]
fn failures_beyond_the_table_are_told_in_later_turns() {
    let mut bench = Bench::new();
    let origin = bench.client.origin(&spec(&[]));
    for slot in 0..100 {
        bench.get(slot, origin);
    }
    assert!(bench.poll.awake.get(), "the loop would wait for a socket");
    assert_eq!(bench.collect(), 16);
    assert!(bench.poll.awake.get());
    bench.until(100);
    let slots: Vec<_> = bench.told.iter().map(|it| it.token.slot).collect();
    assert!(slots.into_iter().eq(0..100));
}

#[test]
fn nothing_is_written_while_the_entries_are_read() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    let nowhere = bench.client.origin(&spec(&[]));
    bench.get(0, origin);
    let mut peer = site.accept();
    bench.turn(5);
    peer.say(OK);
    bench.get(1, nowhere);
    assert_eq!(bench.client.take(), 1);
    // Inside the hand-over: a request that fails at once, and a socket that has something.
    bench.get(2, nowhere);
    bench.serve_sockets(20);
    assert_eq!(bench.row(0).slot, 1);
    assert_eq!(bench.client.take(), 1);
    bench.client.reset();
    bench.client.reset();
    let slots: Vec<_> = bench.until(2).iter().map(|it| it.token.slot).collect();
    assert_eq!(slots, [2, 0]);
}

/// What a client of the front door would put together of the entries.
fn outcome(bench: &Bench) -> (u32, String, Vec<u8>, bool) {
    let head = bench.told.iter().find(|it| it.is(Kind::Whole) || it.is(Kind::Head));
    let (status, block) = head.map_or((0, String::new()), |it| (it.status, it.block.clone()));
    let whole = bench.told.last().is_some_and(|it| it.is(Kind::Whole) || it.is(Kind::End));
    (status, block, bench.told.iter().flat_map(|it| it.body.clone()).collect(), whole)
}

const SPLIT: [&[u8]; 4] = [
    b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 11\r\n\r\nhello world",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nA:b\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n06\r\n world\r\n0\r\nT: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nhi",
];

#[test]
fn a_response_means_the_same_at_every_split() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    bench.get(0, origin);
    let mut peer = site.accept();
    for response in SPLIT {
        let mut expected = None;
        for cut in 1..=response.len() {
            bench.turn(0);
            peer.read_head();
            peer.say(&response[..cut]);
            bench.turn(5);
            if cut < response.len() {
                assert!(!outcome(&bench).3, "ended at {cut} of {}", response.escape_ascii());
                peer.say(&response[cut..]);
            }
            bench.until_kind(Token { slot: 0, generation: 7 }, &[Kind::Whole, Kind::End, Kind::Failed]);
            let seen = outcome(&bench);
            assert!(seen.3, "cut at {cut}: {:?}", bench.told);
            assert_eq!(expected.get_or_insert(seen.clone()), &seen, "cut at {cut}");
            bench.told.clear();
            bench.get(0, origin);
        }
    }
    assert_eq!(bench.counter(|it| &it.opened), 1);
}

#[test]
fn a_response_may_come_byte_by_byte() {
    let (mut bench, site) = (Bench::new(), Site::new());
    let origin = bench.client.origin(&site.spec());
    for response in SPLIT {
        bench.get(0, origin);
        let mut peer = site.accept();
        bench.turn(5);
        for byte in response {
            peer.say([*byte]);
            bench.turn(5);
        }
        bench.until_kind(Token { slot: 0, generation: 7 }, &[Kind::Whole, Kind::End]);
        assert!(outcome(&bench).3);
        bench.told.clear();
        drop(peer);
        bench.settle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_in_any_framing_and_any_pieces_comes_through(
        body in prop::collection::vec(any::<u8>(), 0..100_000),
        chunked in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let (mut bench, site) = (Bench::new(), Site::new());
        let origin = bench.client.origin(&site.spec());
        let token = bench.get(0, origin);
        let mut peer = site.accept();
        bench.turn(5);
        peer.read_head();
        let mut wire = if chunked {
            let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in body.chunks(9_973) {
                wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            wire
        } else {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes()
        };
        if !chunked {
            wire.extend_from_slice(&body);
        }
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
        at.extend([0, wire.len()]);
        at.sort_unstable();
        for pair in at.windows(2) {
            peer.say(&wire[pair[0]..pair[1]]);
            bench.turn(1);
        }
        let last = bench.until_kind(token, &[Kind::Whole, Kind::End, Kind::Failed]);
        prop_assert!(!last.is(Kind::Failed));
        prop_assert!(bench.told.iter().flat_map(|it| &it.body).eq(&body));
        prop_assert_eq!(bench.counter(|it| &it.idle_now), 1);
    }

    #[test]
    fn any_bytes_from_an_origin_are_answered_once(
        start in prop::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 100 C\r\n\r\n"]),
        bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), any::<u8>()], 0..80),
    ) {
        let (mut bench, site) = (Bench::new(), Site::new());
        let origin = bench.client.origin(&site.spec());
        let token = bench.get(0, origin);
        let mut peer = site.accept();
        bench.turn(5);
        peer.read_head();
        peer.say(start);
        bench.turn(1);
        peer.say(&bytes);
        bench.turn(1);
        drop(peer);
        bench.until_kind(token, &[Kind::Whole, Kind::End, Kind::Failed]);
        bench.settle();
        let ends = bench.told.iter().filter(|it| it.is(Kind::Whole) || it.is(Kind::End) || it.is(Kind::Failed));
        prop_assert_eq!(ends.count(), 1);
        prop_assert_eq!(bench.counter(|it| &it.panics), 0);
    }
}

#[test]
fn trailers_and_interim_responses_are_told_to_who_takes_them() {
    let site = Site::new();
    let mut bench = Bench::new();
    let origin = bench.client.origin(&site.spec());
    let token = Token { slot: 1, generation: 7 };
    let mut peer = None;
    for takes in [true, false] {
        bench.told.clear();
        let request = Request {
            body: Body::Stream { length: None },
            takes_trailers: takes,
            takes_interim: takes,
            idempotent: false,
            ..request(b"POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        };
        bench.client.send(token, origin, request);
        bench.client.body(token, b"hi", false);
        bench.client.trailers(token, b"X-Sum: 1\r\nContent-Length: 9");
        bench.settle();
        let peer = peer.get_or_insert_with(|| site.accept());
        peer.read_head();
        let sent = b"2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n";
        assert_eq!(peer.read_exact(sent.len()), sent);
        peer.say("HTTP/1.1 103 Early Hints\r\nLink: a\r\nConnection: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
        peer.say(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nGrpc-Status: 0\r\nTE: a\r\n\r\n",
        );
        bench.until_kind(token, &[Kind::End, Kind::Whole]);
        let kinds: Vec<u32> = bench.told.iter().map(|it| it.kind).collect();
        if takes {
            let all = [Kind::Interim, Kind::Interim, Kind::Head, Kind::Chunk, Kind::Trailers, Kind::End];
            assert_eq!(kinds, all.map(|kind| kind as u32));
            assert_eq!((bench.told[0].status, bench.told[0].fields()), (103, "\r\nLink: a"));
            assert!(bench.told[1].block.starts_with("102 Processing\r\n"));
            assert_eq!(bench.told[4].block, "Grpc-Status: 0");
        } else {
            assert!(kinds.last() == Some(&(Kind::Whole as u32)) || kinds.last() == Some(&(Kind::End as u32)));
            assert!(bench.told.iter().all(|it| !it.is(Kind::Interim) && !it.is(Kind::Trailers)));
        }
    }
}
