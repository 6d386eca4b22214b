//! HTTP/2 streams in the places of exchanges: what JavaScript does for HTTP/1.1 requests is done here for these.
//!
//! Their slots have odd numbers, JavaScript's even ones, and both stand in one table: the engine, the upstream client
//! and the record see no difference. A stream has no task. What it waits for (its client resets it, sends more of a
//! body, takes more of a response) wakes a waker that stands for its number, and one task of the thread looks at all
//! that have news.

mod connections;
mod read;
mod tunnel;
mod write;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason as Code, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, header};
use portcullis_engine::head::Version;
use portcullis_engine::reason::Reason;
use portcullis_listener::h2::bounds::PROGRESS_BYTES;
use portcullis_listener::h2::date::Date;
use portcullis_listener::h2::head;
use portcullis_reactor::{Bell, Wakers, now_ms, sleep, spawn};

use super::{Edge, Next, Stage};
use crate::wanted::{Wanted, want};

pub use connections::{Native, serve};

/// All of a thread.
pub struct Streams {
    all: Vec<Stream>,
    free: Vec<u32>,
    wakers: Wakers,
    /// Most at once; 503 above.
    most: usize,
    /// Bytes of responses that wait for their clients, of all streams.
    unsent: usize,
    next_connection: usize,
    connections: u32,
    date: Date,
    /// WebSockets that a certificate, token or key let in, by their numbers: what ends them.
    tunnels: HashMap<u32, Rc<tunnel::Stop>>,
}

/// One stream. Its place is free again when its client has all of the answer, or is gone.
struct Stream {
    /// 0 where the place is free.
    connection: usize,
    /// Until the response's head is written.
    respond: Option<SendResponse<Bytes>>,
    /// From then on, until its end is.
    send: Option<SendStream<Bytes>>,
    /// Until the request's end was read, or nobody wants more of it.
    recv: Option<RecvStream>,
    waker: Waker,
    /// Somebody takes the body.
    reading: bool,
    /// Nobody can take more of it for now; what was read last is still charged to the client.
    stopped: bool,
    lent: usize,
    /// Of the response, what the client's windows have no room for.
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    end: End,
    /// The origin waits for this client.
    paused: bool,
    /// When the client had last taken or sent enough to count, while something waits for it; and how much since.
    moved_ms: u64,
    moved_bytes: usize,
}

/// How a response ends, once everything before is written.
enum End {
    Open,
    Data,
    Trailers(HeaderMap),
}

/// Streams have odd slots.
pub fn is_stream(index: u32) -> bool {
    index & 1 == 1
}

fn slot_of(place: u32) -> u32 {
    place << 1 | 1
}

fn place_of(index: u32) -> usize {
    (index >> 1) as usize
}

/// The thread's task for all streams: looks at those that were woken.
pub async fn follow(bell: Bell) {
    let mut woken = Vec::new();
    poll_fn(|context| {
        if bell.poll_rung(context).is_ready() {
            crate::with_edge(|edge| edge.streams.wakers.take(&mut woken));
            for place in woken.drain(..) {
                let index = slot_of(place);
                crate::on_slot(index, |edge| edge.stream_news(index));
            }
        }
        Poll::<()>::Pending
    })
    .await;
}

impl Streams {
    pub fn new(most: usize) -> Streams {
        Streams {
            all: Vec::new(),
            free: Vec::new(),
            wakers: Wakers::default(),
            most,
            unsent: 0,
            next_connection: 1,
            connections: 0,
            date: Date::default(),
            tunnels: HashMap::default(),
        }
    }

    /// Rings when a stream was woken.
    pub fn bell(&self) -> Bell {
        self.wakers.bell()
    }

    /// Streams under way.
    pub fn open(&self) -> usize {
        self.all.len() - self.free.len()
    }

    fn take(&mut self, connection: usize, respond: SendResponse<Bytes>, recv: Option<RecvStream>) -> u32 {
        let place = self.free.pop().unwrap_or(self.all.len() as u32);
        if place as usize == self.all.len() {
            self.all.push(Stream::new(self.wakers.waker(place)));
        }
        let stream = &mut self.all[place as usize];
        stream.connection = connection;
        stream.respond = Some(respond);
        stream.recv = recv;
        stream.waits_from_now();
        place
    }
}

impl Stream {
    fn new(waker: Waker) -> Stream {
        Stream {
            connection: 0,
            respond: None,
            send: None,
            recv: None,
            waker,
            reading: false,
            stopped: false,
            lent: 0,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            end: End::Open,
            paused: false,
            moved_ms: 0,
            moved_bytes: 0,
        }
    }

    /// The client has taken, or sent, so many bytes.
    fn moved(&mut self, bytes: usize) {
        self.moved_bytes += bytes;
        if self.moved_bytes >= PROGRESS_BYTES {
            self.waits_from_now();
        }
    }

    /// Until now nobody waited for the client.
    fn waits_from_now(&mut self) {
        (self.moved_ms, self.moved_bytes) = (now_ms(), 0);
    }

    fn reset(&mut self, code: Code) {
        if let Some(respond) = &mut self.respond {
            respond.send_reset(code);
        } else if let Some(send) = &mut self.send {
            send.send_reset(code);
        }
    }

    /// Whether the client has given the stream up.
    fn is_gone(&mut self) -> bool {
        let context = &mut Context::from_waker(&self.waker);
        match (&mut self.respond, &mut self.send) {
            (Some(respond), _) => respond.poll_reset(context).is_ready(),
            (None, Some(send)) => send.poll_reset(context).is_ready(),
            (None, None) => false,
        }
    }
}

impl Edge {
    /// Takes a request up; None when that is over already. Then its slot is to be given to [`Edge::decide_stream`].
    pub fn take_stream(
        &mut self,
        connection: usize,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Option<u32> {
        let (parts, recv) = request.into_parts();
        if self.streams.open() >= self.streams.most {
            self.refused(Reason::InternalOverload);
            let mut answer = Response::new(());
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            let _ = respond.send_response(answer, true);
            return None;
        }
        let native = self.connections.get_mut(&connection)?.native.as_mut()?;
        let recv = Some(recv).filter(|recv| !recv.is_end_stream());
        let has_body = recv.is_some();
        let place = self.streams.take(connection, respond, recv);
        native.streams.push(place);
        let index = slot_of(place);
        self.fill(index, &parts, has_body);
        Some(index)
    }

    /// Fills the slot's head.
    fn fill(&mut self, index: u32, parts: &Parts, has_body: bool) {
        let text = self.head_buffer(index);
        let wrong = head::write(parts, text).err();
        let slot = &mut self.slots[index as usize];
        slot.exchange.head.set_version(Version::Http2);
        slot.malformed = slot.exchange.head.parse().err().or(wrong);
        // A WebSocket's stream stays open for its frames, which are no body.
        if has_body && !head::is_web_socket(parts) {
            slot.exchange.head.body_follows();
        }
    }

    /// Decides the request that [`Edge::take_stream`] has put into the slot.
    pub fn decide_stream(&mut self, index: u32) -> Next {
        let stream = &mut self.streams.all[place_of(index)];
        // From here on its client's resets are told.
        if stream.is_gone() {
            self.stream_gone(index);
            return Next::Sent;
        }
        let connection = self.streams.all[place_of(index)].connection;
        self.begin(index, connection);
        self.judge(index)
    }

    /// Does what comes next with a stream's exchange.
    pub fn act(&mut self, index: u32, next: Next) {
        match next {
            // The answer was written where it was made.
            Next::Sent | Next::Answer | Next::Held => {}
            Next::Body | Next::LastBody => self.read_body(index),
            Next::Pause => self.streams.all[place_of(index)].stopped = true,
            Next::Upgrade => self.open_tunnel(index),
            Next::Inspect => want(Wanted::Inspect, index),
            Next::Own => self.read_own(index),
            Next::Ask => {
                want(Wanted::Ask, index);
                self.read_meanwhile(index);
            }
            Next::Delay => {
                self.read_meanwhile(index);
                self.wake_when_due(index);
            }
            // The peer of a stream is known.
            Next::Peer | Next::Close => self.drop_stream(index, Code::INTERNAL_ERROR),
        }
    }

    fn wake_when_due(&mut self, index: u32) {
        let (ms, generation) = (self.delay_of(index), self.slots[index as usize].generation);
        spawn(async move {
            sleep(std::time::Duration::from_millis(u64::from(ms))).await;
            crate::on_slot(index, |edge| {
                if edge.slots[index as usize].generation == generation { edge.delayed(index) } else { Next::Sent }
            });
        });
    }

    /// The client has reset the stream, or is gone: its exchange is given up.
    pub fn stream_gone(&mut self, index: u32) {
        if self.slots[index as usize].stage != Stage::Free {
            let connection = self.slots[index as usize].connection;
            let peer = self.connections.get(&connection).and_then(|known| known.peer.clone());
            self.give_up(index, peer.as_deref());
        }
        self.free_stream(index);
    }

    /// After a panic: what is left of the stream ends, as far as it can.
    pub fn stream_failed(&mut self, index: u32) {
        if (place_of(index)) < self.streams.all.len() {
            self.drop_stream(index, Code::INTERNAL_ERROR);
        }
    }

    /// Ends a stream whose answer cannot be (all) given.
    pub(super) fn drop_stream(&mut self, index: u32, code: Code) {
        self.streams.all[place_of(index)].reset(code);
        self.stream_gone(index);
    }

    /// Its place may serve another. What the client still sends is refused with the handles that are dropped.
    fn free_stream(&mut self, index: u32) {
        let place = place_of(index);
        let stream = &mut self.streams.all[place];
        if stream.connection == 0 {
            return;
        }
        let connection = std::mem::take(&mut stream.connection);
        (stream.respond, stream.send, stream.recv) = (None, None, None);
        (stream.reading, stream.stopped, stream.paused) = (false, false, false);
        stream.lent = 0;
        stream.unsent.clear();
        stream.end = End::Open;
        self.streams.unsent -= std::mem::take(&mut stream.unsent_bytes);
        self.streams.free.push(place as u32);
        if let Some(native) = self.connections.get_mut(&connection).and_then(|known| known.native.as_mut())
            && let Some(at) = native.streams.iter().position(|&it| it == place as u32)
        {
            native.streams.swap_remove(at);
        }
    }
}
