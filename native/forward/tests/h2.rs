//! Exchanges with HTTP/2 origins in the clear.

mod support;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;
use http::{HeaderMap, Response};
use portcullis_engine::reason::Reason;
use portcullis_forward::{Arena, Body, Entry, Flow, Kind, OriginId, Request, Token};
use portcullis_reactor::epoll::block_on;
use portcullis_reactor::{sleep, spawn};

use support::h2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Listener, PING, RST_STREAM, Raw, STATUS_200, Served, Shared, answer, ok,
    read, send, serve, spec, token,
};
use support::{Bench, GET, ID};

const GRPC: &str = "POST /a.B/C HTTP/1.1\r\nhost: a\r\nte: trailers\r\ncontent-type: application/grpc\r\n\
                    transfer-encoding: chunked\r\n\r\n";

/// A call as gRPC makes it.
fn call(bench: &mut Bench, slot: u32, origin: OriginId) -> Token {
    let request = Request {
        id: ID,
        closes: false,
        fields: b"",
        head: GRPC.as_bytes(),
        body: Body::Stream { length: None },
        is_head: false,
        takes_trailers: true,
        takes_interim: true,
        idempotent: false,
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
