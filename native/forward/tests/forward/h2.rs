//! Exchanges with HTTP/2 origins in the clear.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;
use http::{HeaderMap, Response};
use portcullis_engine::reason::Reason;
use portcullis_forward::{Arena, Body, Entry, Flow, Kind, OriginId, Request, Token};
use portcullis_reactor::epoll::block_on;
use portcullis_reactor::{sleep, spawn};

use crate::support::h2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Listener, PING, RST_STREAM, Raw, STATUS_200, Served, Shared, answer, ok,
    read, send, serve, spec, token,
};
use crate::support::{Bench, GET, request};

const GRPC: &str = "POST /a.B/C HTTP/1.1\r\nhost: a\r\nte: trailers\r\ncontent-type: application/grpc\r\n\
                    transfer-encoding: chunked\r\n\r\n";

/// A call as gRPC makes it.
fn call(bench: &mut Bench, slot: u32, origin: OriginId) -> Token {
    let request = Request {
        body: Body::Stream { length: None },
        takes_trailers: true,
        takes_interim: true,
        idempotent: false,
        ..request(GRPC.as_bytes())
    };
    bench.client.send(token(slot), origin, request);
    token(slot)
}

fn hello() -> Served {
    serve(&Builder::new(), |_, respond| Box::pin(async move { answer(respond, ok(), b"hi") }))
}

#[test]
fn a_get_is_answered_in_one_row_as_over_http_1() {
    block_on(async {
        let seen: Shared<Vec<String>> = Shared::default();
        let log = Rc::clone(&seen);
        let site = serve(&Builder::new(), move |request, respond| {
            log.borrow_mut().push(format!("{} {} {:?}", request.method(), request.uri(), request.version()));
            let response = Response::builder().header("Date", "x").header("x-request-id", "theirs").header("b", "c");
            Box::pin(async move { answer(respond, response.header("content-length", "2").body(()).unwrap(), b"hi") })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = bench.get(2, origin);
        let told = bench.over(token).await;
        assert!(told.is(Kind::Whole), "{told:?}");
        assert_eq!((told.status, told.fields(), &told.body[..], told.length), (200, "\r\nb: c", &b"hi"[..], 2));
        assert!(told.has(Entry::LENGTH) && !told.has(Entry::REUSED));
        assert_eq!(*seen.borrow(), ["GET http://a/a HTTP/2.0"]);
        let token = bench.get(4, origin);
        assert!(bench.over(token).await.has(Entry::REUSED));
        assert_eq!(site.connections.get(), 1);
        assert_eq!(bench.counter(|it| &it.idle_now), 1);
    });
}

#[test]
fn a_call_is_a_head_messages_trailers_and_an_end() {
    block_on(async {
        let seen: Shared<Vec<(Vec<u8>, Option<HeaderMap>)>> = Shared::default();
        let log = Rc::clone(&seen);
        let site = serve(&Builder::new(), move |mut request, mut respond| {
            let log = Rc::clone(&log);
            Box::pin(async move {
                let mut stream = respond.send_response(ok(), false).unwrap();
                sleep(Duration::from_millis(10)).await;
                let body = read(request.body_mut()).await.unwrap();
                send(&mut stream, Bytes::copy_from_slice(&body.0), false).await.unwrap();
                log.borrow_mut().push(body);
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                trailers.insert("x-checksum-bin", "AA==".parse().unwrap());
                trailers.insert("content-type", "text/html".parse().unwrap());
                stream.send_trailers(trailers).unwrap();
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = call(&mut bench, 1, origin);
        assert_eq!(bench.client.body(token, b"one", false), Flow::Continue);
        bench.awaited(token, &[Kind::Head]).await;
        bench.client.body(token, b"", false);
        bench.client.body(token, b"two", false);
        bench.client.trailers(token, b"X-Last: 1\r\nContent-Length: 9\r\n");
        bench.over(token).await;
        let kinds = bench.kinds(token);
        assert_eq!(kinds, [Kind::Head, Kind::Chunk, Kind::Trailers, Kind::End].map(|kind| kind as u32));
        assert_eq!(bench.body(token), b"onetwo");
        let trailers = bench.told.iter().find(|it| it.is(Kind::Trailers)).unwrap();
        assert_eq!(trailers.block, "grpc-status: 0\r\nx-checksum-bin: AA==");
        let seen = seen.borrow();
        let (body, trailers) = &seen[0];
        let trailers = trailers.as_ref().unwrap();
        assert_eq!((&body[..], trailers.len(), &trailers["x-last"]), (&b"onetwo"[..], 1, &"1".parse().unwrap()));
    });
}

#[test]
fn an_answer_of_trailers_only_is_one_row() {
    block_on(async {
        let site = serve(&Builder::new(), |_, respond| {
            let response = Response::builder().header("grpc-status", "5").body(()).unwrap();
            Box::pin(async move { answer(respond, response, b"") })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = call(&mut bench, 1, origin);
        let end = bench.over(token).await;
        assert_eq!(bench.kinds(token), [Kind::Whole as u32]);
        assert_eq!(bench.told[0].fields(), "\r\ngrpc-status: 5");
        assert!(end.has(Entry::EARLY));
        let token = bench.get(2, origin);
        assert!(bench.over(token).await.is(Kind::Whole));
    });
}

#[test]
fn interim_responses_are_told_to_who_takes_them_and_counted_for_all() {
    block_on(async {
        let listener = Listener::new();
        let address = listener.address;
        spawn(async move {
            let mut raw = Raw::accept(&listener).await;
            // `:status: 103` as a literal of name 8, and `link: a`.
            let hints = [&[0x08, 3][..], b"103", &[0x00, 4], b"link", &[1], b"a"].concat();
            for count in [1, 1, 9] {
                let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
                for _ in 0..count {
                    raw.write(HEADERS, END_HEADERS, stream, &hints).await;
                }
                raw.write(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await;
            }
            raw.until(u8::MAX).await;
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&spec(&[address]));
        let token = call(&mut bench, 1, origin);
        bench.over(token).await;
        assert_eq!(bench.kinds(token), [Kind::Interim, Kind::Whole].map(|kind| kind as u32));
        assert_eq!((bench.told[0].status, bench.told[0].fields()), (103, "\r\nlink: a"));
        assert!(bench.told[0].block.starts_with("103 Early Hints\r\n"));
        let token = bench.get(2, origin);
        assert!(bench.over(token).await.is(Kind::Whole));
        assert_eq!(bench.kinds(token).len(), 1);
        let token = bench.get(3, origin);
        assert_eq!(bench.over(token).await.fault, Reason::OriginMalformed as u32);
    });
}

#[test]
fn ten_thousand_messages_pass_in_one_stream_both_ways() {
    block_on(async {
        const MESSAGES: usize = 10_000;
        let site = serve(&Builder::new(), |mut request, mut respond| {
            Box::pin(async move {
                let mut stream = respond.send_response(ok(), false).unwrap();
                let body = request.body_mut();
                while let Some(piece) = body.data().await {
                    let piece = piece.unwrap();
                    body.flow_control().release_capacity(piece.len()).unwrap();
                    send(&mut stream, piece, false).await.unwrap();
                }
                stream.send_data(Bytes::new(), true).unwrap();
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = call(&mut bench, 1, origin);
        let mut expected = Vec::new();
        let (mut sent, mut may) = (0, true);
        while sent < MESSAGES {
            while may && sent < MESSAGES {
                let message = format!("message {sent};");
                expected.extend_from_slice(message.as_bytes());
                sent += 1;
                may = bench.client.body(token, message.as_bytes(), sent == MESSAGES) == Flow::Continue;
            }
            let drained = |bench: &Bench| bench.told.iter().filter(|it| it.is(Kind::Drained)).count();
            let before = drained(&bench);
            bench.beat().await;
            may = may || drained(&bench) > before;
        }
        assert!(bench.over(token).await.is(Kind::End));
        assert_eq!(bench.body(token), expected);
    });
}

#[test]
fn small_messages_behind_a_closed_window_leave_in_few_frames() {
    block_on(async {
        const MESSAGES: usize = 300;
        let (reads, frames) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let (may_read, counted) = (Rc::clone(&reads), Rc::clone(&frames));
        let site = serve(&Builder::new(), move |mut request, respond| {
            let (may_read, counted) = (Rc::clone(&may_read), Rc::clone(&counted));
            Box::pin(async move {
                while !may_read.get() {
                    sleep(Duration::from_millis(1)).await;
                }
                let body = request.body_mut();
                while let Some(piece) = body.data().await {
                    body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
                    counted.set(counted.get() + 1);
                }
                answer(respond, ok(), b"");
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = call(&mut bench, 1, origin);
        // All of a stream's first window (RFC 9113, 6.9.2), and some bytes that wait.
        bench.client.body(token, &[0; 65_535 + 10], false);
        for message in 1..=MESSAGES {
            bench.beat().await;
            bench.client.body(token, b"a small message", message == MESSAGES);
        }
        reads.set(true);
        assert!(bench.over(token).await.is(Kind::Whole));
        // 64 KiB in frames of 16 KiB; what waited, in a few that windows cut.
        assert!(frames.get() < 16, "{} frames", frames.get());
    });
}

#[test]
fn a_paused_response_stops_at_its_window_and_leaves_the_others_alone() {
    block_on(async {
        const LENGTH: usize = 4 * 1024 * 1024;
        let written: Shared<usize> = Shared::default();
        let log = Rc::clone(&written);
        let site = serve(&Builder::new(), move |request, mut respond| {
            let log = Rc::clone(&log);
            Box::pin(async move {
                if request.method() == "GET" {
                    return answer(respond, ok(), b"hi");
                }
                let mut stream = respond.send_response(ok(), false).unwrap();
                for at in 0..LENGTH / 16_384 {
                    let last = at + 1 == LENGTH / 16_384;
                    send(&mut stream, Bytes::from(vec![at as u8; 16_384]), last).await.unwrap();
                    *log.borrow_mut() += 16_384;
                }
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let slow: Vec<_> = (0..20).map(|slot| call(&mut bench, slot, origin)).collect();
        for &token in &slow {
            bench.awaited(token, &[Kind::Head]).await;
            bench.client.pause(token);
        }
        for _ in 0..50 {
            bench.beat().await;
        }
        let stopped = *written.borrow();
        // One window a stream in our memory, one in the origin's buffers.
        assert!(stopped < slow.len() * 4 * 65_535, "{stopped} bytes for paused streams");
        let quick = bench.get(100, origin);
        assert!(bench.over(quick).await.is(Kind::Whole));
        assert_eq!(*written.borrow(), stopped);
        bench.client.resume(slow[0]);
        bench.over(slow[0]).await;
        assert_eq!(bench.body(slow[0]).len(), LENGTH);
        // Pausing has no deadline: it is the client's time.
        bench.pass(60_000);
        assert!(!bench.told.iter().any(|it| it.is(Kind::Failed)));
    });
}

#[test]
fn a_full_arena_loses_nothing() {
    block_on(async {
        let site = serve(&Builder::new(), |_, mut respond| {
            Box::pin(async move {
                let mut stream = respond.send_response(ok(), false).unwrap();
                send(&mut stream, Bytes::from(vec![7; 300_000]), true).await.unwrap();
            })
        });
        let mut bench = Bench::with(Arena::MIN_BYTES, Arena::MIN_ENTRIES);
        let origin = bench.client.origin(&site.spec());
        let tokens: Vec<_> = (0..64).map(|slot| bench.get(slot, origin)).collect();
        for &token in &tokens {
            assert!(bench.over(token).await.is(Kind::End));
            assert_eq!(bench.body(token), vec![7; 300_000]);
        }
    });
}

#[test]
fn an_upload_waits_for_the_origins_window() {
    block_on(async {
        const LENGTH: usize = 1024 * 1024;
        let site = serve(&Builder::new(), |mut request, respond| {
            Box::pin(async move {
                sleep(Duration::from_millis(100)).await;
                let (body, _) = read(request.body_mut()).await.unwrap();
                answer(respond, ok(), body.len().to_string().as_bytes());
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = bench.post(1, origin, Body::Stream { length: Some(LENGTH as u64) });
        let mut given = 0;
        while bench.client.body(token, &[1; 16_384], false) == Flow::Continue {
            given += 16_384;
            assert!(given < 256 * 1024, "nothing stops it");
            bench.beat().await;
        }
        given += 16_384;
        while given < LENGTH {
            bench.awaited(token, &[Kind::Drained]).await;
            bench.told.clear();
            while given < LENGTH {
                given += 16_384;
                if bench.client.body(token, &[1; 16_384], given == LENGTH) == Flow::Pause {
                    break;
                }
            }
        }
        bench.over(token).await;
        assert_eq!(bench.body(token), LENGTH.to_string().as_bytes());
    });
}

#[test]
fn a_body_that_is_not_what_its_head_said_is_broken_off() {
    block_on(async {
        let site = hello();
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        for (slot, piece) in [(1, &b"toolong"[..]), (2, b"a")] {
            let token = bench.post(slot, origin, Body::Stream { length: Some(3) });
            bench.client.body(token, piece, true);
            assert_eq!(bench.over(token).await.fault, Reason::HttpFraming as u32);
        }
    });
}

#[test]
fn what_the_origin_refused_or_left_behind_its_goaway_is_sent_once_more() {
    block_on(async {
        let listener = Listener::new();
        let address = listener.address;
        let bodies: Shared<Vec<Vec<u8>>> = Shared::default();
        let log = Rc::clone(&bodies);
        spawn(async move {
            // Refused, then taken on the same connection; nothing of the next is processed by a second's word.
            let mut raw = Raw::accept(&listener).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.write(RST_STREAM, 0, stream, &7_u32.to_be_bytes()).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            let frame = raw.until(DATA).await.unwrap();
            log.borrow_mut().push(frame.3);
            raw.write(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await;
            let (_, _, above, _) = raw.until(HEADERS).await.unwrap();
            assert!(above > stream);
            raw.go_away(stream, 0).await;
            let mut raw = Raw::accept(&listener).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            let frame = raw.until(DATA).await.unwrap();
            log.borrow_mut().push(frame.3);
            raw.write(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.write(RST_STREAM, 0, stream, &7_u32.to_be_bytes()).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.write(RST_STREAM, 0, stream, &7_u32.to_be_bytes()).await;
            raw.until(u8::MAX).await;
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&spec(&[address]));
        for slot in [1, 2] {
            let token = bench.post(slot, origin, Body::Stream { length: None });
            bench.client.body(token, b"body", true);
            let told = bench.over(token).await;
            assert!(told.is(Kind::Whole), "{told:?}");
        }
        assert_eq!(*bodies.borrow(), [b"body", b"body"]);
        let token = bench.get(3, origin);
        assert_eq!(bench.over(token).await.fault, Reason::OriginSaturated as u32, "only once");
        assert_eq!(bench.counter(|it| &it.retried), 3);
    });
}

#[test]
fn what_the_origin_may_have_processed_is_not_sent_again() {
    block_on(async {
        let listener = Listener::new();
        let address = listener.address;
        spawn(async move {
            let mut raw = Raw::accept(&listener).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.go_away(stream, 0).await;
            drop(raw);
            let mut raw = Raw::accept(&listener).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.write(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
            raw.write(RST_STREAM, 0, stream, &7_u32.to_be_bytes()).await;
            raw.until(u8::MAX).await;
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&spec(&[address]));
        for slot in [1, 2] {
            let token = bench.post(slot, origin, Body::Whole(b"a"));
            assert_eq!(bench.over(token).await.fault, Reason::OriginClosed as u32);
        }
        let token = bench.post(3, origin, Body::Whole(b"a"));
        let told = bench.over(token).await;
        assert!(told.is(Kind::Failed) && told.has(Entry::HEAD_SENT), "{told:?}");
        assert_eq!(bench.counter(|it| &it.retried), 0);
    });
}

#[test]
fn a_connection_that_dies_alone_is_replaced_and_repeatable_requests_go_on() {
    block_on(async {
        let site = serve(&Builder::new(), |_, respond| {
            Box::pin(async move {
                sleep(Duration::from_millis(200)).await;
                answer(respond, ok(), b"hi");
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let first = bench.get(1, origin);
        bench.over(first).await;
        let again = bench.get(2, origin);
        for _ in 0..5 {
            bench.beat().await;
        }
        site.dead.set(true);
        while site.open.get() > 0 {
            bench.beat().await;
        }
        site.dead.set(false);
        assert!(bench.over(again).await.is(Kind::Whole));
        assert_eq!((site.connections.get(), bench.counter(|it| &it.retried)), (2, 1));
    });
}

#[test]
fn goodbye_lets_streams_end_and_sends_new_ones_elsewhere() {
    block_on(async {
        let site = serve(&Builder::new(), |_, respond| {
            Box::pin(async move {
                sleep(Duration::from_millis(60)).await;
                answer(respond, ok(), b"hi");
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let before = bench.post(1, origin, Body::Whole(b"a"));
        for _ in 0..20 {
            bench.beat().await;
        }
        site.goodbye.set(true);
        for _ in 0..20 {
            bench.beat().await;
        }
        site.goodbye.set(false);
        let behind = bench.post(2, origin, Body::Whole(b"a"));
        for token in [before, behind] {
            assert!(bench.over(token).await.is(Kind::Whole));
        }
        assert_eq!((site.connections.get(), bench.counter(|it| &it.retried)), (2, 0));
        for _ in 0..20 {
            bench.beat().await;
        }
        assert_eq!(bench.counter(|it| &it.open_now), 1);
    });
}

#[test]
fn streams_spread_over_connections_within_what_the_origin_takes() {
    block_on(async {
        let mut builder = Builder::new();
        builder.max_concurrent_streams(10);
        let site = serve(&builder, |_, respond| {
            Box::pin(async move {
                sleep(Duration::from_millis(30)).await;
                answer(respond, ok(), b"hi");
            })
        });
        let mut bench = Bench::new();
        let mut wanted = site.spec();
        (wanted.connections, wanted.queue) = (3, 20);
        let origin = bench.client.origin(&wanted);
        // The first find out what the origin takes.
        let first: Vec<_> = (0..2).map(|slot| bench.get(slot, origin)).collect();
        for &token in &first {
            bench.over(token).await;
        }
        bench.told.clear();
        let tokens: Vec<_> = (0..60).map(|slot| bench.get(slot, origin)).collect();
        for &token in &tokens {
            bench.over(token).await;
        }
        assert!(site.most.get() <= 10 && site.connections.get() == 3, "{} {}", site.most.get(), site.connections.get());
        let refused = bench.told.iter().filter(|it| it.fault == Reason::OriginSaturated as u32).count();
        // Thirty on their way, twenty in the queue; the rest is told at once.
        assert!(bench.told.iter().filter(|it| it.is(Kind::Whole)).count() >= 30, "{refused} refused");
        assert!(bench.told.iter().all(|it| it.is(Kind::Whole) || it.fault == Reason::OriginSaturated as u32));
    });
}

#[test]
fn under_load_a_second_connection_stands_by() {
    block_on(async {
        let site = serve(&Builder::new(), |_, respond| {
            Box::pin(async move {
                sleep(Duration::from_millis(30)).await;
                answer(respond, ok(), b"hi");
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        for round in 0..2 {
            let tokens: Vec<_> = (0..50).map(|slot| bench.get(round * 50 + slot, origin)).collect();
            for &token in &tokens {
                assert!(bench.over(token).await.is(Kind::Whole));
            }
        }
        assert_eq!(site.connections.get(), 2);
        assert!(site.most.get() < 60, "{} on one", site.most.get());
    });
}

#[test]
fn a_canceled_exchange_resets_its_stream() {
    block_on(async {
        let listener = Listener::new();
        let address = listener.address;
        let codes: Shared<Vec<Vec<u8>>> = Shared::default();
        let log = Rc::clone(&codes);
        spawn(async move {
            let mut raw = Raw::accept(&listener).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
            let (_, _, reset, code) = raw.until(RST_STREAM).await.unwrap();
            assert_eq!(reset, stream);
            log.borrow_mut().push(code);
            raw.until(u8::MAX).await;
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&spec(&[address]));
        let token = call(&mut bench, 1, origin);
        bench.awaited(token, &[Kind::Head]).await;
        bench.client.cancel(token);
        while codes.borrow().is_empty() {
            bench.beat().await;
        }
        assert_eq!(*codes.borrow(), [8_u32.to_be_bytes()]);
        assert_eq!(bench.kinds(token), [Kind::Head as u32]);
    });
}

#[test]
fn silence_ends_exchanges_and_a_dead_connection_is_found_out() {
    block_on(async {
        let listener = Listener::new();
        let address = listener.address;
        let pings: Shared<u32> = Shared::default();
        let log = Rc::clone(&pings);
        spawn(async move {
            let mut raw = Raw::accept(&listener).await;
            while raw.until(PING).await.is_some() {
                *log.borrow_mut() += 1;
            }
            let mut raw = Raw::accept(&listener).await;
            let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
            raw.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
            raw.until(u8::MAX).await;
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&spec(&[address]));
        let token = bench.get(1, origin);
        for _ in 0..20 {
            bench.beat().await;
        }
        bench.pass(5_001);
        let told = bench.over(token).await;
        assert_eq!((told.fault, told.has(Entry::HEAD_SENT)), (Reason::OriginTimeout as u32, false));
        while *pings.borrow() == 0 {
            bench.beat().await;
        }
        // It is not answered: the connection is given up, and the next request finds another.
        bench.pass(5_001);
        let token = bench.get(2, origin);
        bench.awaited(token, &[Kind::Head]).await;
        bench.pass(2_001);
        let told = bench.over(token).await;
        assert_eq!((told.fault, told.has(Entry::HEAD_SENT)), (Reason::OriginTimeout as u32, true));
        assert_eq!(bench.counter(|it| &it.timeouts), 2);
    });
}

#[test]
fn an_idle_connection_is_pinged_once_and_given_up_in_the_end() {
    block_on(async {
        let site = hello();
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = bench.get(1, origin);
        bench.over(token).await;
        bench.pass(30_000);
        for _ in 0..20 {
            bench.beat().await;
        }
        bench.pass(6_000);
        assert_eq!(bench.counter(|it| &it.open_now), 1, "the ping was answered");
        bench.pass(24_001);
        for _ in 0..20 {
            bench.beat().await;
        }
        assert_eq!((bench.counter(|it| &it.open_now), bench.counter(|it| &it.idle_now), site.open.get()), (0, 0, 0));
    });
}

#[test]
fn who_does_not_answer_is_tried_elsewhere_and_taken_out() {
    block_on(async {
        let site = hello();
        let closed = Listener::new().address;
        let mut bench = Bench::new();
        let origin = bench.client.origin(&spec(&[closed, site.address]));
        for slot in 0..8 {
            let token = bench.get(slot, origin);
            let told = bench.over(token).await;
            assert!(told.is(Kind::Whole) && told.address == 1, "{told:?}");
        }
        assert_eq!(bench.counter(|it| &it.ejected), 1);
        let origin = bench.client.origin(&spec(&[closed]));
        let tokens: Vec<_> = (10..13).map(|slot| bench.get(slot, origin)).collect();
        for token in tokens {
            assert_eq!(bench.over(token).await.fault, Reason::OriginConnect as u32);
        }
    });
}

#[test]
fn who_does_not_speak_http_2_is_not_waited_for() {
    block_on(async {
        let (garbage, silent) = (Listener::new(), Listener::new());
        let (spoken, mute) = (garbage.address, silent.address);
        spawn(async move {
            let mut socket = garbage.accept().await;
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await;
            sleep(Duration::from_secs(60)).await;
        });
        spawn(async move {
            let _socket = silent.accept().await;
            sleep(Duration::from_secs(60)).await;
        });
        let mut bench = Bench::new();
        for (slot, address, reason) in [(1, spoken, Reason::OriginMalformed), (2, mute, Reason::OriginTimeout)] {
            let mut wanted = spec(&[address]);
            wanted.connect_timeout_ms = 200;
            let origin = bench.client.origin(&wanted);
            let token = bench.get(slot, origin);
            assert_eq!(bench.over(token).await.fault, reason as u32);
        }
    });
}

#[test]
fn a_head_beyond_bounds_is_refused() {
    block_on(async {
        let site = serve(&Builder::new(), |request, respond| {
            let mut response = Response::builder();
            for count in 0..if request.method() == "GET" { 129 } else { 2 } {
                let value = if request.method() == "GET" { "b".to_owned() } else { "b".repeat(40_000) };
                response = response.header(format!("a{count}"), value);
            }
            Box::pin(async move { answer(respond, response.body(()).unwrap(), b"") })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        for (slot, body) in [(1, Body::None), (2, Body::None)] {
            let token = if slot == 1 { bench.post(slot, origin, body) } else { bench.get(slot, origin) };
            assert_eq!(bench.over(token).await.fault, Reason::OriginMalformed as u32, "{slot}");
        }
        assert_eq!(bench.counter(|it| &it.retried), 0);
    });
}

#[test]
fn an_early_answer_that_spares_the_upload_is_whole() {
    block_on(async {
        let listener = Listener::new();
        let address = listener.address;
        spawn(async move {
            let mut raw = Raw::accept(&listener).await;
            for _ in 0..2 {
                let (_, _, stream, _) = raw.until(HEADERS).await.unwrap();
                raw.write(HEADERS, END_HEADERS, stream, &[&[0x88][..], &[0x0f, 13, 1], b"4"].concat()).await;
                raw.write(DATA, END_STREAM, stream, b"full").await;
                raw.write(RST_STREAM, 0, stream, &[0; 4]).await;
            }
            raw.until(u8::MAX).await;
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&spec(&[address]));
        for slot in [1, 2] {
            let token = bench.post(slot, origin, Body::Stream { length: Some(1_000_000) });
            bench.client.body(token, b"some", false);
            let told = bench.over(token).await;
            assert!(told.has(Entry::EARLY) && !told.is(Kind::Failed), "{told:?}");
            assert_eq!(bench.body(token), b"full");
        }
    });
}

#[test]
fn head_204_and_304_have_no_body() {
    block_on(async {
        let site = serve(&Builder::new(), |request, respond| {
            let status = if request.method() == "HEAD" { 200 } else { 304 };
            let response = Response::builder().status(status).header("content-length", "9").body(()).unwrap();
            Box::pin(async move { answer(respond, response, b"") })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        for (slot, head, is_head) in [(1, &b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"[..], true), (2, GET, false)] {
            bench.client.send(token(slot), origin, Request { is_head, ..request(head) });
            let told = bench.over(token(slot)).await;
            assert!(told.is(Kind::Whole) && told.has(Entry::NO_BODY | Entry::LENGTH), "{told:?}");
            assert_eq!((told.length, told.body.len()), (9, 0));
        }
    });
}

#[test]
fn shutting_down_ends_connections_and_tells_nothing() {
    block_on(async {
        let site = serve(&Builder::new(), |_, respond| {
            Box::pin(async move {
                sleep(Duration::from_secs(60)).await;
                drop(respond);
            })
        });
        let mut bench = Bench::new();
        let origin = bench.client.origin(&site.spec());
        let token = bench.get(1, origin);
        for _ in 0..20 {
            bench.beat().await;
        }
        assert_eq!(site.open.get(), 1);
        bench.client.shutdown();
        for _ in 0..20 {
            bench.beat().await;
        }
        assert_eq!((site.open.get(), bench.kinds(token).len()), (0, 0));
        assert_eq!(bench.counter(|it| &it.open_now), 0);
    });
}
