//! A connection against the `h2` crate's own client, and against frames that no client would send.

use std::cell::RefCell;
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};
use portcullis_listener::h2::guard::Kind;
use portcullis_listener::h2::{Control, Door, Ended, head, response, serve, websocket};
use portcullis_reactor::{Socket, epoll, sleep, spawn};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

fn pair() -> (Socket, Socket) {
    let (left, right) = UnixStream::pair().unwrap();
    let watched = |stream: UnixStream| {
        stream.set_nonblocking(true).unwrap();
        Socket::new(stream.into()).unwrap()
    };
    (watched(left), watched(right))
}

/// Answers every request at once with the text of its head.
#[derive(Default)]
struct Echo;

impl Door for Echo {
    fn request(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (parts, _) = request.into_parts();
        let mut text = String::new();
        let status = match head::write(&parts, &mut text) {
            Ok(()) => 200,
            Err(reason) => reason.entry().status,
        };
        let block = Bytes::from(format!("{status} X\r\nX-Name: a"));
        let answer = response::response(&block, Some(text.len() as u64)).unwrap();
        let mut stream = respond.send_response(answer, false).unwrap();
        stream.send_data(Bytes::from(text), true).unwrap();
    }
}

/// Keeps streams without an answer.
#[derive(Default, Clone)]
struct Keep(Rc<RefCell<Vec<Kept>>>);

type Kept = (RecvStream, SendResponse<Bytes>);

/// The frames of a turn, by its number.
type Frames = Box<dyn FnMut(u32) -> Vec<u8>>;

impl Door for Keep {
    fn request(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.0.borrow_mut().push((request.into_body(), respond));
    }
}

/// Starts a server at one end of a pair; tells in the cell why it ended.
fn start(door: impl Door + 'static, control: &Rc<Control>) -> (Socket, Rc<RefCell<Option<Ended>>>) {
    let (server, client) = pair();
    let ended = Rc::new(RefCell::new(None));
    let (place, control) = (Rc::clone(&ended), Rc::clone(control));
    spawn(async move { *place.borrow_mut() = Some(serve(server, door, &control).await) });
    (client, ended)
}

async fn until(ended: &RefCell<Option<Ended>>) -> Ended {
    for _ in 0..500 {
        if let Some(ended) = *ended.borrow() {
            return ended;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection goes on");
}

async fn client(socket: Socket) -> h2::client::SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(socket).await.unwrap();
    spawn(async move {
        let _ = connection.await;
    });
    send.ready().await.unwrap()
}

async fn text_of(body: &mut RecvStream) -> String {
    String::from_utf8(bytes_of(body).await).unwrap()
}

async fn bytes_of(body: &mut RecvStream) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        let _ = body.flow_control().release_capacity(piece.len());
        text.extend_from_slice(&piece);
    }
    text
}

async fn ask(send: &mut h2::client::SendRequest<Bytes>, request: Request<()>) -> (Response<()>, String) {
    let (answer, _) = send.send_request(request, true).unwrap();
    let (parts, mut body) = answer.await.unwrap().into_parts();
    (Response::from_parts(parts, ()), text_of(&mut body).await)
}

#[test]
fn a_request_has_the_text_that_the_other_door_makes() {
    epoll::block_on(async {
        let (socket, _) = start(Echo, &Rc::default());
        let mut send = client(socket).await;
        let request = Request::get("https://Api.Example.com:8443/a/b?c=d")
            .header("cookie", "a=1")
            .header("x-b", "1")
            .header("cookie", "b=2")
            .header("x-b", "2")
            .body(())
            .unwrap();
        let (answer, text) = ask(&mut send, request).await;
        assert_eq!((answer.status().as_u16(), answer.headers()["x-name"].as_bytes()), (200, &b"a"[..]));
        assert_eq!(text, "GET /a/b?c=d\nhost:Api.Example.com:8443\ncookie:a=1; b=2\nx-b:1\nx-b:2\n");
    });
}

#[test]
fn a_host_field_says_what_the_authority_says_or_it_is_malformed() {
    epoll::block_on(async {
        let (socket, _) = start(Echo, &Rc::default());
        let mut send = client(socket).await;
        for (host, status) in [("a.test", 200), ("b.test", 400)] {
            let request = Request::get("https://a.test/").header("host", host).body(()).unwrap();
            let (answer, text) = ask(&mut send, request).await;
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(text, "GET /\nhost:a.test\n");
        }
    });
}

#[test]
fn fields_are_counted_with_what_they_cost_besides() {
    epoll::block_on(async {
        let (socket, _) = start(Echo, &Rc::default());
        let mut send = client(socket).await;
        for (count, length, status) in [(99, 20, 200), (101, 1, 431), (90, 110, 200), (90, 150, 431)] {
            let mut request = Request::get("https://a.test/").body(()).unwrap();
            for _ in 0..count {
                request.headers_mut().append("x-some", "x".repeat(length).parse().unwrap());
            }
            let (answer, _) = ask(&mut send, request).await;
            assert_eq!(answer.status().as_u16(), status, "{count} fields of {length}");
        }
        // Twice the bound: the answer comes from below us, and the connection goes on.
        let request = Request::get("https://a.test/").header("x-a", "x".repeat(40_000)).body(()).unwrap();
        assert_eq!(ask(&mut send, request).await.0.status().as_u16(), 431);
        assert_eq!(ask(&mut send, Request::get("https://a.test/").body(()).unwrap()).await.0.status().as_u16(), 200);
    });
}

#[test]
fn a_web_socket_comes_as_the_get_that_it_would_be() {
    epoll::block_on(async {
        let (socket, _) = start(Echo, &Rc::default());
        let mut send = client(socket).await;
        // The client has to have seen that it may.
        ask(&mut send, Request::get("https://a.test/").body(()).unwrap()).await;
        assert!(send.is_extended_connect_protocol_enabled());
        let connect = |protocol: Option<&'static str>| {
            let mut request = Request::new(());
            *request.method_mut() = Method::CONNECT;
            *request.uri_mut() = if protocol.is_some() { "https://a.test/chat" } else { "a.test:443" }.parse().unwrap();
            request.extensions_mut().extend(
                protocol
                    .map(h2::ext::Protocol::from_static)
                    .map(|protocol| {
                        let mut extensions = http::Extensions::new();
                        extensions.insert(protocol);
                        extensions
                    })
                    .unwrap_or_default(),
            );
            request
        };
        let (answer, _) = send.send_request(connect(Some("websocket")), false).unwrap();
        let text = text_of(answer.await.unwrap().body_mut()).await;
        assert_eq!(text, "GET /chat\nhost:a.test\nconnection:Upgrade\nupgrade:websocket\n");
        let (answer, _) = send.send_request(connect(Some("connect-udp")), false).unwrap();
        let text = text_of(answer.await.unwrap().body_mut()).await;
        assert_eq!(text.lines().next(), Some("CONNECT /chat"));
    });
}

#[test]
fn a_drained_connection_ends_with_its_last_stream() {
    epoll::block_on(async {
        let (control, door) = (Rc::new(Control::default()), Keep::default());
        let (socket, ended) = start(door.clone(), &control);
        let mut send = client(socket).await;
        let (answer, _) = send.send_request(Request::get("https://a.test/").body(()).unwrap(), true).unwrap();
        while door.0.borrow().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        control.drain();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(*ended.borrow(), None);
        let (_, mut respond) = door.0.borrow_mut().pop().unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        assert_eq!(answer.await.unwrap().status().as_u16(), 200);
        assert_eq!(until(&ended).await, Ended::Closed);
    });
}

#[test]
fn a_client_that_resets_is_told_to_whoever_polls_with_a_waker_of_its_own() {
    epoll::block_on(async {
        let door = Keep::default();
        let (socket, _) = start(door.clone(), &Rc::default());
        let mut send = client(socket).await;
        let (_, mut stream) = send.send_request(Request::get("https://a.test/").body(()).unwrap(), false).unwrap();
        while door.0.borrow().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        let (_, mut respond) = door.0.borrow_mut().pop().unwrap();
        stream.send_reset(Reason::CANCEL);
        assert_eq!(poll_fn(|context| respond.poll_reset(context)).await.unwrap(), Reason::CANCEL);
    });
}

/// Joins extended CONNECTs with whoever has the other end of the socket.
struct Tunnel(Rc<RefCell<Option<Socket>>>);

impl Door for Tunnel {
    fn request(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let Some(mut origin) = self.0.borrow_mut().take() else {
            respond.send_response(Response::new(()), true).unwrap();
            return;
        };
        spawn(async move {
            let accepted =
                websocket::shake_hands(&mut origin, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"the sample nonce");
            let accepted = accepted.await.unwrap();
            let block = Bytes::from([b"200 OK\r\n", accepted.block.as_slice()].concat());
            let send = respond.send_response(response::response(&block, None).unwrap(), false).unwrap();
            let is_withdrawn = request.uri().path() == "/withdrawn";
            let stop = async {
                if !is_withdrawn {
                    std::future::pending::<()>().await;
                }
                sleep(Duration::from_millis(100)).await;
            };
            websocket::tunnel(origin, accepted.behind, request.into_body(), send, stop).await;
        });
    }
}

/// A tunnel, and both of its ends.
async fn tunnelled() -> (RecvStream, h2::SendStream<Bytes>, Socket) {
    let (mut body, stream, origin) = tunnelled_to("/", "first").await;
    assert_eq!(body.data().await.unwrap().unwrap(), "first");
    (body, stream, origin)
}

/// The same, of that path. `first` is what the origin says with its answer.
async fn tunnelled_to(path: &str, first: &str) -> (RecvStream, h2::SendStream<Bytes>, Socket) {
    let (near, mut origin) = pair();
    let place = Rc::new(RefCell::new(None));
    let (socket, _) = start(Tunnel(Rc::clone(&place)), &Rc::default());
    let mut send = client(socket).await;
    ask(&mut send, Request::get("https://a.test/").body(()).unwrap()).await;
    *place.borrow_mut() = Some(near);
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (Method::CONNECT, format!("https://a.test{path}").parse().unwrap());
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (answer, stream) = send.send_request(request, false).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        origin.read_buf(&mut head).await.unwrap();
    }
    let expected = "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(String::from_utf8(head).unwrap(), expected);
    let yes = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    origin.write_all([yes, first].concat().as_bytes()).await.unwrap();
    let (parts, body) = answer.await.unwrap().into_parts();
    assert_eq!((parts.status.as_u16(), parts.headers["sec-websocket-protocol"].as_bytes()), (200, &b"chat"[..]));
    (body, stream, origin)
}

#[test]
fn a_tunnel_passes_bytes_in_both_directions_until_both_have_ended() {
    epoll::block_on(async {
        let (mut body, mut stream, mut origin) = tunnelled().await;
        stream.send_data(Bytes::from_static(b"up"), false).unwrap();
        let mut place = [0; 2];
        origin.read_exact(&mut place).await.unwrap();
        assert_eq!(&place, b"up");
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(origin.read(&mut place).await.unwrap(), 0);
        // More than the client's windows hold.
        let large = vec![7; 1_000_000];
        let sent = large.clone();
        spawn(async move {
            origin.write_all(&sent).await.unwrap();
            origin.shutdown().await.unwrap();
        });
        assert_eq!(text_of(&mut body).await.as_bytes(), large);
    });
}

#[test]
fn a_tunnel_whose_client_resets_leaves_its_origin() {
    epoll::block_on(async {
        let (body, mut stream, mut origin) = tunnelled().await;
        stream.send_reset(Reason::CANCEL);
        assert_eq!(origin.read(&mut [0; 8]).await.unwrap_or(0), 0);
        drop(body);
    });
}

/// A masked frame's head, for a payload of that length.
fn binary(fin: u8, length: u64) -> Bytes {
    let mut head = vec![fin | 2, 0x80 | 127];
    head.extend_from_slice(&length.to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    head.into()
}

#[test]
fn a_message_that_is_too_large_ends_a_tunnel_with_a_close_frame() {
    epoll::block_on(async {
        let (mut body, mut stream, mut origin) = tunnelled_to("/", "").await;
        stream.send_data(binary(0, 10), false).unwrap();
        stream.send_data(Bytes::from_static(&[7; 10]), false).unwrap();
        origin.read_exact(&mut [0; 24]).await.unwrap();
        // The rest of that message.
        stream.send_data(binary(0x80, websocket::MESSAGE_BYTES - 9), false).unwrap();
        assert_eq!(bytes_of(&mut body).await, [&[0x88, 19, 0x03, 0xf1][..], b"message too large"].concat());
        assert_eq!(origin.read(&mut [0; 8]).await.unwrap_or(0), 0);
    });
}

#[test]
fn a_message_as_large_as_may_be_passes_a_tunnel() {
    epoll::block_on(async {
        let (_body, mut stream, mut origin) = tunnelled_to("/", "").await;
        stream.send_data(binary(0x80, websocket::MESSAGE_BYTES), false).unwrap();
        origin.read_exact(&mut [0; 14]).await.unwrap();
    });
}

#[test]
fn a_tunnel_that_is_withdrawn_is_closed_where_a_frame_may_stand_and_reset_where_not() {
    epoll::block_on(async {
        for first in ["", "\u{1}\u{3}abc"] {
            let (mut body, _stream, _origin) = tunnelled_to("/withdrawn", first).await;
            let bytes = bytes_of(&mut body).await;
            let close = bytes.strip_prefix(first.as_bytes()).unwrap();
            let reason = b"what let this connection in is not accepted any more";
            assert_eq!(close, [&[0x88, 54, 0x03, 0xf0][..], reason].concat());
        }
        let (mut body, _stream, _origin) = tunnelled_to("/withdrawn", "\u{1}\u{4}abc").await;
        assert_eq!(body.data().await.unwrap().unwrap(), "\u{1}\u{4}abc");
        let error = body.data().await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CANCEL));
    });
}

// --- frames by hand ------------------------------------------------------------------------------------------------

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// `GET https://a/` of the static table.
fn get(stream: u32, ends: bool) -> Vec<u8> {
    frame(1, 4 | u8::from(ends), stream, &[0x82, 0x87, 0x84, 0x41, 1, b'a'])
}

/// Sends bytes over and over while reading what comes; answers why the connection ended, and the code of its GOAWAY.
async fn flood(door: impl Door + 'static, mut next: impl FnMut(u32) -> Vec<u8>) -> (Ended, Option<u32>) {
    let (mut socket, ended) = start(door, &Rc::default());
    let mut out = PREFACE.to_vec();
    out.extend_from_slice(&frame(4, 0, 0, &[]));
    let mut answered = Vec::new();
    for turn in 0..50_000 {
        out.extend_from_slice(&next(turn));
        if turn % 50 == 49 {
            if socket.write_all(&out).await.is_err() {
                break;
            }
            out.clear();
            drain(&mut socket, &mut answered).await;
        }
        if ended.borrow().is_some() {
            break;
        }
    }
    let ended = until(&ended).await;
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut answered).await;
    (ended, goaway(&answered))
}

async fn drain(socket: &mut Socket, into: &mut Vec<u8>) {
    let mut place = [0; 16 * 1024];
    loop {
        let read = poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut place);
            match std::pin::Pin::new(&mut *socket).poll_read(context, &mut buffer) {
                std::task::Poll::Ready(Ok(())) => std::task::Poll::Ready(buffer.filled().len()),
                _ => std::task::Poll::Ready(0),
            }
        })
        .await;
        if read == 0 {
            break;
        }
        into.extend_from_slice(&place[..read]);
    }
    sleep(Duration::from_millis(1)).await;
}

fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        if bytes[3] == 7 {
            return Some(u32::from_be_bytes(bytes[13..17].try_into().unwrap()));
        }
        bytes = bytes.get(9 + length..)?;
    }
    None
}

#[test]
fn floods_end_in_calm() {
    const CALM: Option<u32> = Some(11);
    let floods: [(Kind, Frames); 7] = [
        (Kind::Ping, Box::new(|_| frame(6, 0, 0, &[0; 8]))),
        (Kind::Settings, Box::new(|_| frame(4, 0, 0, &[]))),
        (Kind::Priority, Box::new(|_| frame(2, 0, 1, &[0, 0, 0, 0, 1]))),
        (Kind::WindowUpdate, Box::new(|_| frame(8, 0, 0, &[0, 0, 0, 1]))),
        (Kind::Unknown, Box::new(|_| frame(200, 0, 0, b"grease"))),
        (Kind::EmptyData, Box::new(|turn| if turn == 0 { get(1, false) } else { frame(0, 0, 1, &[]) })),
        (Kind::Reset, Box::new(|turn| [get(2 * turn + 1, true), frame(3, 0, 2 * turn + 1, &[0, 0, 0, 8])].concat())),
    ];
    for (kind, next) in floods {
        epoll::block_on(async move {
            let (ended, code) = flood(Keep::default(), next).await;
            // The crate's own count of resets that nobody looked at may come first.
            assert!(
                ended == Ended::Flood(kind) || (kind == Kind::Reset && ended == Ended::Failed),
                "{kind:?}: {ended:?}"
            );
            assert_eq!(code, CALM, "{kind:?}");
        });
    }
}

#[test]
fn a_head_without_an_end_ends_the_connection() {
    epoll::block_on(async {
        let next = |turn| if turn == 0 { frame(1, 0, 1, &[0x82]) } else { frame(9, 0, 1, &[]) };
        let (ended, _) = flood(Echo, next).await;
        assert!(matches!(ended, Ended::Failed | Ended::Flood(Kind::Continuation)), "{ended:?}");
    });
}

#[test]
fn tiny_frames_that_nobody_takes_end_the_connection() {
    epoll::block_on(async {
        let next = |turn| if turn == 0 { get(1, false) } else { frame(0, 0, 1, b"x") };
        let (ended, code) = flood(Keep::default(), next).await;
        assert_eq!((ended, code), (Ended::Failed, Some(11)));
    });
}

#[test]
fn what_is_no_http_2_is_closed() {
    epoll::block_on(async {
        let (mut socket, ended) = start(Echo, &Rc::default());
        socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert_eq!(until(&ended).await, Ended::Failed);
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
    });
}
