//! A loop of poll(2) with a clock that tests can move, and an origin that does what a test tells it to.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use portcullis_engine::policy::OriginProtocol;
use portcullis_forward::poller::{Interest, Key, Poller};
use portcullis_forward::{Arena, Body, Client, Counters, Entry, Kind, OriginId, OriginSpec, Request, Token};

/// poll(2) as the client's loop.
#[derive(Clone)]
pub struct PollLoop {
    watched: Rc<RefCell<HashMap<Key, (RawFd, Interest)>>>,
    started: Instant,
    passed_ms: Rc<Cell<u64>>,
    pub awake: Rc<Cell<bool>>,
    pub changes: Rc<Cell<usize>>,
}

impl Poller for PollLoop {
    type Watch = Key;

    fn watch(&mut self, fd: RawFd, key: Key, interest: Interest) -> io::Result<Key> {
        assert!(self.watched.borrow_mut().insert(key, (fd, interest)).is_none(), "a key came twice");
        Ok(key)
    }
    fn change(&mut self, watch: &Key, interest: Interest) {
        self.changes.set(self.changes.get() + 1);
        self.watched.borrow_mut().get_mut(watch).expect("watched").1 = interest;
    }
    fn unwatch(&mut self, watch: Key) {
        assert!(self.watched.borrow_mut().remove(&watch).is_some(), "unwatched twice");
    }
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 + self.passed_ms.get()
    }
    fn tick(&mut self, _on: bool) {}
    // The benches ask in every turn.
    fn serve_streams(&mut self) {}
    fn wake(&mut self) {
        self.awake.set(true);
    }
}

/// An entry with the bytes it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub token: Token,
    pub kind: u32,
    pub status: u32,
    pub flags: u32,
    pub block: String,
    pub body: Vec<u8>,
    pub length: u64,
    pub fault: u32,
    pub address: u32,
}

/// The client with its loop and its memory.
pub struct Bench {
    pub client: Client<PollLoop>,
    pub poll: PollLoop,
    pub told: Vec<Told>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(Arena::MIN_BYTES, Arena::MIN_ENTRIES)
    }

    pub fn with(bytes: usize, entries: usize) -> Bench {
        let poll = PollLoop {
            watched: Rc::default(),
            started: Instant::now(),
            passed_ms: Rc::default(),
            awake: Rc::default(),
            changes: Rc::default(),
        };
        let (mut bytes, mut entries) = (vec![0; bytes], vec![Entry::default(); entries]);
        let arena = Arena {
            bytes: bytes.as_mut_ptr(),
            len: bytes.len(),
            entries: entries.as_mut_ptr(),
            capacity: entries.len(),
        };
        // SAFETY: both vectors live, unmoved on the heap, as long as the client.
        let client = unsafe { Client::new(poll.clone(), arena) };
        Bench { client, poll, told: Vec::new(), bytes, entries }
    }

    /// One turn of the loop; waits up to so many milliseconds for something to happen.
    pub fn turn(&mut self, wait_ms: i32) {
        self.serve_sockets(wait_ms);
        self.client.tick();
        self.collect();
    }

    /// One turn of a loop that a reactor drives.
    pub async fn beat(&mut self) {
        self.serve_sockets(0);
        self.client.serve_streams();
        self.client.tick();
        self.collect();
        portcullis_reactor::sleep(Duration::from_millis(1)).await;
    }

    /// Beats until an entry of that kind was told of that exchange.
    pub async fn awaited(&mut self, token: Token, kinds: &[Kind]) -> Told {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.told.iter().find(|it| it.token == token && kinds.iter().any(|&kind| it.is(kind)));
            if let Some(found) = found {
                return found.clone();
            }
            assert!(Instant::now() < give_up, "none of {kinds:?} in {:?}", self.kinds(token));
            self.beat().await;
        }
    }

    /// Beats until the exchange is over.
    pub async fn over(&mut self, token: Token) -> Told {
        self.awaited(token, &[Kind::Whole, Kind::End, Kind::Failed]).await
    }

    /// What was told of an exchange, in order.
    pub fn kinds(&self, token: Token) -> Vec<u32> {
        self.told.iter().filter(|it| it.token == token).map(|it| it.kind).collect()
    }

    /// The body of an exchange.
    pub fn body(&self, token: Token) -> Vec<u8> {
        self.told.iter().filter(|it| it.token == token).flat_map(|it| it.body.clone()).collect()
    }

    pub fn row(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    pub fn serve_sockets(&mut self, wait_ms: i32) {
        let watched: Vec<_> = self.poll.watched.borrow().iter().map(|(&key, &watch)| (key, watch)).collect();
        let watched: Vec<_> = watched.into_iter().filter(|(_, (_, it))| it.readable || it.writable).collect();
        let mut fds: Vec<libc::pollfd> = watched
            .iter()
            .map(|(_, (fd, it))| libc::pollfd {
                fd: *fd,
                events: if it.readable { libc::POLLIN } else { 0 } | if it.writable { libc::POLLOUT } else { 0 },
                revents: 0,
            })
            .collect();
        let wait_ms = if self.poll.awake.take() { 0 } else { wait_ms };
        // SAFETY: the list is valid for its length.
        unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as _, wait_ms) };
        for ((key, _), fd) in watched.iter().zip(&fds) {
            let failed = fd.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
            let (readable, writable) = (fd.revents & libc::POLLIN != 0, fd.revents & libc::POLLOUT != 0);
            if fd.revents != 0 {
                self.client.ready(*key, readable || failed, writable || failed);
            }
        }
    }

    pub fn collect(&mut self) -> usize {
        let count = self.client.take();
        for entry in &self.entries[..count] {
            let slice = |start: u32, len: u32| &self.bytes[start as usize..(start + len) as usize];
            self.told.push(Told {
                token: Token { slot: entry.slot, generation: entry.generation },
                kind: entry.kind,
                status: entry.status,
                flags: entry.flags,
                block: String::from_utf8_lossy(slice(entry.block_start, entry.block_len)).into_owned(),
                body: slice(entry.body_start, entry.body_len).to_vec(),
                length: entry.length().unwrap_or_default(),
                fault: entry.fault,
                address: entry.address,
            });
        }
        self.client.reset();
        count
    }

    /// Turns until so many entries were told in all.
    pub fn until(&mut self, entries: usize) -> &[Told] {
        let give_up = Instant::now() + Duration::from_secs(5);
        while self.told.len() < entries {
            assert!(Instant::now() < give_up, "only {:?}", self.told);
            self.turn(20);
        }
        &self.told
    }

    /// Turns until an entry of that kind was told of that exchange.
    pub fn until_kind(&mut self, token: Token, kinds: &[Kind]) -> Told {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.told.iter().find(|it| it.token == token && kinds.iter().any(|&kind| it.is(kind)));
            if let Some(found) = found {
                return found.clone();
            }
            assert!(Instant::now() < give_up, "none of {kinds:?} in {} entries", self.told.len());
            self.turn(20);
        }
    }

    /// Turns while the loop has something to tell.
    pub fn settle(&mut self) {
        for _ in 0..4 {
            self.turn(5);
        }
    }

    /// Moves the clock.
    pub fn pass(&mut self, ms: u64) {
        self.poll.passed_ms.set(self.poll.passed_ms.get() + ms);
        self.turn(0);
    }

    pub fn get(&mut self, slot: u32, origin: OriginId) -> Token {
        let token = Token { slot, generation: 7 };
        self.client.send(token, origin, request(GET));
        token
    }

    pub fn post(&mut self, slot: u32, origin: OriginId, body: Body<'_>) -> Token {
        let token = Token { slot, generation: 7 };
        let length = |length: u64| format!("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        let head = match body {
            Body::None => length(0),
            Body::Whole(body) => length(body.len() as u64),
            Body::Stream { length: Some(known) } => length(known),
            Body::Stream { length: None } => {
                "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
            }
        };
        self.client.send(token, origin, Request { body, idempotent: false, ..request(head.as_bytes()) });
        token
    }

    pub fn counter(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        of(&self.client.counters()).load(Relaxed)
    }
}

pub const ID: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
pub const GET: &[u8] = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: s\r\n\r\nhi";

/// A request without a body that may be repeated: tests say what is different of theirs.
pub fn request(head: &[u8]) -> Request<'_> {
    Request {
        id: ID,
        closes: false,
        fields: b"",
        head,
        body: Body::None,
        is_head: false,
        takes_trailers: false,
        takes_interim: false,
        idempotent: true,
    }
}

impl Told {
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u32
    }
    /// The block without its status line and request id.
    pub fn fields(&self) -> &str {
        let id = std::str::from_utf8(&ID).unwrap();
        self.block.split_once(id).unwrap_or_else(|| panic!("no id in {:?}", self.block)).1
    }
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// An origin that accepts and answers when a test says so.
pub struct Site {
    pub listener: TcpListener,
}

impl Site {
    pub fn new() -> Site {
        Site { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub fn spec(&self) -> OriginSpec {
        spec(&[self.address()])
    }

    pub fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    pub fn has_nobody(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        let outcome = self.listener.accept();
        self.listener.set_nonblocking(false).unwrap();
        matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

pub mod h2;
pub mod tls;

pub fn spec(addresses: &[SocketAddr]) -> OriginSpec {
    OriginSpec {
        protocol: OriginProtocol::Http1,
        tls: None,
        addresses: addresses.to_vec(),
        connections: 4,
        connect_timeout_ms: 3_000,
        first_byte_timeout_ms: 5_000,
        idle_timeout_ms: 2_000,
        queue: 8,
    }
}

/// The origin's end of a connection.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    /// Reads exactly up to a blank line.
    pub fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(self.stream.read(&mut byte).unwrap(), 1, "ended in {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub fn read_exact(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Whether the gateway closed its end (in order or not).
    pub fn is_closed(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        match self.stream.read(&mut [0; 64 * 1024]) {
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    pub fn is_open(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let outcome = self.stream.read(&mut [0]);
        matches!(outcome, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}
