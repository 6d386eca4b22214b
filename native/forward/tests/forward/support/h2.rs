//! HTTP/2 origins on the reactor of the test: one that the h2 crate serves, one whose every frame a test writes.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use portcullis_engine::policy::OriginProtocol;
use portcullis_forward::{OriginSpec, Token};
use portcullis_reactor::{Socket, sleep, spawn};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub type Answering = Pin<Box<dyn Future<Output = ()>>>;
type Answer = Rc<dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Answering>;

/// An origin served by the h2 crate.
#[derive(Clone)]
pub struct Served {
    pub address: SocketAddr,
    pub connections: Rc<Cell<u32>>,
    pub open: Rc<Cell<u32>>,
    pub streams: Rc<Cell<u32>>,
    /// Most streams at once, of any connection.
    pub most: Rc<Cell<u32>>,
    /// Connections opened so far say goodbye and end with their last stream.
    pub goodbye: Rc<Cell<bool>>,
    /// Connections opened so far are dropped.
    pub dead: Rc<Cell<bool>>,
}

/// Serves every request by `answer`; `handshake` sets TLS up where it is wanted.
pub fn serve(
    builder: &Builder,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Answering + 'static,
) -> Served {
    serve_over(builder, |socket| Box::pin(async move { Some(socket) }), answer)
}

pub fn serve_over<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    builder: &Builder,
    dress: impl Fn(Socket) -> Pin<Box<dyn Future<Output = Option<T>>>> + 'static,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Answering + 'static,
) -> Served {
    let listener = Listener::new();
    let served = Served {
        address: listener.address,
        connections: Rc::default(),
        open: Rc::default(),
        streams: Rc::default(),
        most: Rc::default(),
        goodbye: Rc::default(),
        dead: Rc::default(),
    };
    let (builder, answer, own): (_, Answer, _) = (builder.clone(), Rc::new(answer), served.clone());
    let dress = Rc::new(dress);
    spawn(async move {
        loop {
            let socket = listener.accept().await;
            own.connections.set(own.connections.get() + 1);
            spawn(connection(socket, builder.clone(), Rc::clone(&dress), Rc::clone(&answer), own.clone()));
        }
    });
    served
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    socket: Socket,
    builder: Builder,
    dress: Rc<impl Fn(Socket) -> Pin<Box<dyn Future<Output = Option<T>>>> + 'static>,
    answer: Answer,
    served: Served,
) {
    let Some(io) = dress(socket).await else { return };
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    let streams = Rc::new(Cell::new(0));
    served.open.set(served.open.get() + 1);
    let mut said_goodbye = false;
    loop {
        let mut look = std::pin::pin!(sleep(Duration::from_millis(1)));
        let accepted = std::future::poll_fn(|context| match connection.poll_accept(context) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => look.as_mut().poll(context).map(|()| None),
        })
        .await;
        match accepted {
            None => {}
            Some(Some(Ok((request, respond)))) => {
                let (answering, streams, served) = (answer(request, respond), Rc::clone(&streams), served.clone());
                served.streams.set(served.streams.get() + 1);
                streams.set(streams.get() + 1);
                served.most.set(served.most.get().max(streams.get()));
                spawn(async move {
                    answering.await;
                    streams.set(streams.get() - 1);
                });
            }
            Some(_) => break,
        }
        if served.dead.get() {
            break;
        }
        if served.goodbye.get() && !said_goodbye {
            said_goodbye = true;
            connection.graceful_shutdown();
        }
    }
    served.open.set(served.open.get() - 1);
}

impl Served {
    pub fn spec(&self) -> OriginSpec {
        spec(&[self.address])
    }
}

pub fn spec(addresses: &[SocketAddr]) -> OriginSpec {
    OriginSpec { protocol: OriginProtocol::H2, ..super::spec(addresses) }
}

/// Accepts on the reactor.
pub struct Listener {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Listener {
    pub fn new() -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        Listener { listener, address }
    }

    pub async fn accept(&self) -> Socket {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true).unwrap();
                    stream.set_nodelay(true).unwrap();
                    return Socket::new(OwnedFd::from(stream)).unwrap();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The answer of a body that is known.
pub fn answer(mut respond: SendResponse<Bytes>, response: Response<()>, body: &[u8]) {
    let mut send = respond.send_response(response, body.is_empty()).unwrap();
    if !body.is_empty() {
        send.send_data(Bytes::copy_from_slice(body), true).unwrap();
    }
}

pub fn ok() -> Response<()> {
    Response::builder().header("server", "s").body(()).unwrap()
}

/// Sends as the window allows.
pub async fn send(send: &mut SendStream<Bytes>, mut bytes: Bytes, last: bool) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        let room = match std::future::poll_fn(|context| match send.capacity() {
            0 => send.poll_capacity(context),
            room => Poll::Ready(Some(Ok(room))),
        })
        .await
        {
            Some(room) => room?,
            None => return Ok(()),
        };
        let part = bytes.split_to(room.min(bytes.len()));
        send.send_data(part, last && bytes.is_empty())?;
    }
    Ok(())
}

/// Reads a request's whole body and its trailers.
pub async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok((all, body.trailers().await?))
}

/// A connection whose frames a test reads and writes by itself.
pub struct Raw {
    socket: Socket,
}

/// A frame's type, flags, stream and payload.
pub type Frame = (u8, u8, u32, Vec<u8>);

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// `:status: 200` of the static table.
pub const STATUS_200: &[u8] = &[0x88];

impl Raw {
    /// Takes a connection up to its preface, and sends empty settings.
    pub async fn accept(listener: &Listener) -> Raw {
        let mut socket = listener.accept().await;
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut raw = Raw { socket };
        raw.write(SETTINGS, 0, 0, &[]).await;
        raw
    }

    pub async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).await.unwrap();
    }

    /// The next frame; None at the end.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.socket.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// The next frame of that type; settings are acknowledged on the way.
    pub async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if frame.0 == SETTINGS && frame.1 & ACK == 0 {
                self.write(SETTINGS, ACK, 0, &[]).await;
            }
            if frame.0 == kind {
                return Some(frame);
            }
        }
    }

    pub async fn go_away(&mut self, last: u32, code: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend_from_slice(&code.to_be_bytes());
        self.write(GOAWAY, 0, 0, &payload).await;
    }
}

/// Where tasks leave what a test looks at.
pub type Shared<T> = Rc<RefCell<T>>;

pub fn token(slot: u32) -> Token {
    Token { slot, generation: 7 }
}
