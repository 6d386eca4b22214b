//! The acceptor's loop.
//!
//! A connection costs one look when its ClientHello is there already, which is usual. Else it is watched edge-triggered
//! and with a low-water mark at what the next look needs, so that it is not looked at for every byte that drips in; and
//! after a few looks only by the clock. Deadlines are a queue, because all have the same time.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use portcullis_engine::guard::guarded;
use portcullis_reactor::epoll::{Epoll, Event};
use slab::Slab;

use super::counts::Refusal;
use super::places::Place;
use super::socket;
use super::{Accepted, Bounds, Command, Shared, lock};
use crate::hello::{self, Fault, Seen};

/// Connections accepted from one listening socket before others have their turn.
const BATCH: usize = 64;
/// Connections accepted from a listening socket that is being closed: more than its backlog holds.
const LAST_BATCH: usize = 8 * 1024;
const EVENTS: usize = 256;
/// How long accepting rests when the process has no descriptor left. Clients wait in the backlog meanwhile.
const REST_MS: u64 = 100;
/// Looks at a connection upon events. A ClientHello of two segments takes two.
const LOOKS: u32 = 16;
/// From then on it is looked at this often: at most 100 times within the deadline of 5 s.
const LOOK_AGAIN_MS: u64 = 50;

const WOKEN: u64 = u64::MAX;
/// Set in the keys of listening sockets.
const LISTENING: u64 = 1 << 63;
/// Numbers of connections leave that bit alone.
const NUMBERS: u32 = u32::MAX >> 1;
const FOR_HELLO: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
const CLOSED: i32 = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;

const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n\
    Connection: close\r\n\r\nThis port speaks HTTPS.\n";

/// Starts the thread. It ends with the process.
pub(super) fn start(shared: Arc<Shared>, woken: Event) -> io::Result<()> {
    let mut acceptor = Loop::new(shared, woken)?;
    thread::Builder::new().name("acceptor".to_owned()).spawn(move || {
        loop {
            // A panic costs the connection that it was about, never the others.
            let _ = guarded(|| acceptor.turn());
        }
    })?;
    Ok(())
}

struct Loop {
    shared: Arc<Shared>,
    woken: Event,
    epoll: Epoll,
    started: Instant,
    bounds: Bounds,
    listening: Vec<Listening>,
    /// Numbers listening sockets.
    listened: u64,
    /// The listening sockets are watched.
    accepts: bool,
    /// No descriptor was left: accepting rests until then.
    rests_until: Option<u64>,
    pending: Slab<Pending>,
    accepted: u32,
    /// By when they have to be done, in this order; those that are done already are passed over.
    deadlines: VecDeque<Due>,
    /// When to look again, in this order.
    looks: VecDeque<Due>,
    bytes: Box<[u8]>,
    /// Memory for a ClientHello of several records.
    whole: Vec<u8>,
}

struct Listening {
    fd: OwnedFd,
    key: u64,
}

/// A connection whose ClientHello is waited for.
struct Pending {
    fd: OwnedFd,
    address: SocketAddr,
    place: Place,
    /// Tells it from another in the same place of the slab.
    number: u32,
    looks: u32,
    low_water: usize,
}

struct Due {
    at_ms: u64,
    index: usize,
    number: u32,
}

/// The first, if its time has come.
fn pop_due(queue: &mut VecDeque<Due>, now_ms: u64) -> Option<Due> {
    if queue.front()?.at_ms <= now_ms { queue.pop_front() } else { None }
}

/// What became of a look at a connection.
enum Look {
    Done,
    Waits { low_water: usize },
}

impl Loop {
    fn new(shared: Arc<Shared>, woken: Event) -> io::Result<Loop> {
        let epoll = Epoll::new()?;
        epoll.add(woken.as_raw_fd(), WOKEN, libc::EPOLLIN)?;
        let bounds = *lock(&shared.bounds);
        Ok(Loop {
            bounds,
            shared,
            woken,
            epoll,
            started: Instant::now(),
            listening: Vec::new(),
            listened: 0,
            accepts: false,
            rests_until: None,
            pending: Slab::new(),
            accepted: 0,
            deadlines: VecDeque::new(),
            looks: VecDeque::new(),
            bytes: vec![0; hello::MAX_BYTES].into_boxed_slice(),
            whole: Vec::new(),
        })
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn turn(&mut self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let count = self.epoll.wait(&mut events, self.patience());
        self.bounds = *lock(&self.shared.bounds);
        for event in &events[..count] {
            let (flags, key) = (event.events as i32, event.u64);
            if key == WOKEN {
                self.woken.clear();
            } else if key & LISTENING != 0 {
                self.accept(key);
            } else {
                self.ready((key & u64::from(u32::MAX)) as usize, (key >> 32) as u32, flags & CLOSED != 0);
            }
        }
        let commands = std::mem::take(&mut *lock(&self.shared.commands));
        for command in commands {
            self.obey(command);
        }
        self.look_again();
        self.close_late();
        self.watch();
        self.shared.counts.set_pending(self.pending.len());
    }

    /// Milliseconds until the clock asks for something.
    fn patience(&self) -> Option<u64> {
        let first = |queue: &VecDeque<Due>| queue.front().map(|due| due.at_ms);
        let next = [first(&self.deadlines), first(&self.looks), self.rests_until].into_iter().flatten().min()?;
        Some(next.saturating_sub(self.now_ms()))
    }

    // --- listening --------------------------------------------------------------------------------------------------

    fn obey(&mut self, command: Command) {
        match command {
            Command::Listen(fd) => {
                let key = LISTENING | self.listened;
                let events = if self.accepts { libc::EPOLLIN } else { 0 };
                if self.epoll.add(fd.as_raw_fd(), key, events).is_ok() {
                    self.listened += 1;
                    self.listening.push(Listening { fd, key });
                }
            }
            Command::Close(address, done) => self.close(address, &done),
        }
    }

    /// Who is in the backlog would be reset: they are accepted first.
    fn close(&mut self, address: Option<SocketAddr>, done: &Sender<()>) {
        let is_meant = |fd: RawFd| address.is_none() || socket::local_address(fd).ok() == address;
        let mut left = Vec::new();
        for listening in std::mem::take(&mut self.listening) {
            if !is_meant(listening.fd.as_raw_fd()) {
                left.push(listening);
                continue;
            }
            for _ in 0..LAST_BATCH {
                let Ok((fd, address)) = socket::accept(listening.fd.as_raw_fd()) else { break };
                self.begin(fd, address);
            }
            self.epoll.remove(listening.fd.as_raw_fd());
        }
        self.listening = left;
        // Who asked may have given up.
        let _ = done.send(());
    }

    /// Watches the listening sockets as long as somebody is there to serve, and a descriptor is left.
    fn watch(&mut self) {
        if self.rests_until.is_some_and(|until| until <= self.now_ms()) {
            self.rests_until = None;
        }
        let accepts = self.rests_until.is_none() && self.shared.lobby.has_threads();
        if accepts == self.accepts {
            return;
        }
        self.accepts = accepts;
        for Listening { fd, key } in &self.listening {
            // It cannot fail for a descriptor that was added.
            let _ = self.epoll.change(fd.as_raw_fd(), *key, if accepts { libc::EPOLLIN } else { 0 });
        }
    }

    fn accept(&mut self, key: u64) {
        let found = self.listening.iter().find(|listening| listening.key == key);
        let Some(listening) = found.map(|listening| listening.fd.as_raw_fd()) else { return };
        // Told in the same turn in which the last thread left: they wait in the backlog.
        if !self.shared.lobby.has_threads() {
            return;
        }
        for _ in 0..BATCH {
            match socket::accept(listening) {
                Ok((fd, address)) => self.begin(fd, address),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return,
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        self.shared.counts.pause();
                        self.rests_until = Some(self.now_ms() + REST_MS);
                        return;
                    }
                    // One that was gone before it was accepted (accept(2): to be taken like EAGAIN, by retrying).
                    _ => {}
                },
            }
        }
    }

    // --- connections ------------------------------------------------------------------------------------------------

    fn begin(&mut self, fd: OwnedFd, address: SocketAddr) {
        self.shared.counts.accept();
        let place = match self.shared.places.take(address, &self.bounds) {
            Ok(place) => place,
            Err(refusal) => return self.shared.counts.refuse(refusal),
        };
        self.accepted = self.accepted.wrapping_add(1) & NUMBERS;
        let pending = Pending { fd, address, place, number: self.accepted, looks: 1, low_water: 1 };
        let index = self.pending.insert(pending);
        if let Look::Waits { low_water } = self.look(index, false) {
            self.wait(index, low_water);
        }
    }

    /// Watches a connection whose first look was not enough.
    fn wait(&mut self, index: usize, low_water: usize) {
        // Whoever waited longest gives way: a client that speaks at all does so within a round trip, so it takes a
        // flood that fills the bound in that time to crowd it out.
        while self.pending.len() > self.bounds.handshakes {
            let Some(oldest) = self.deadlines.pop_front() else { break };
            if self.is(oldest.index, oldest.number) {
                self.refuse(oldest.index, Refusal::Handshakes);
            }
        }
        let now = self.now_ms();
        let timeout = u64::try_from(self.bounds.hello_timeout.as_millis()).unwrap_or(u64::MAX);
        let Some(pending) = self.pending.get_mut(index) else { return };
        pending.lower(low_water);
        let (fd, number) = (pending.fd.as_raw_fd(), pending.number);
        if self.epoll.add(fd, key(index, number), FOR_HELLO).is_err() {
            // The limit of watched descriptors is one of the system too.
            return self.refuse(index, Refusal::Handshakes);
        }
        self.deadlines.push_back(Due { at_ms: now.saturating_add(timeout), index, number });
    }

    fn is(&self, index: usize, number: u32) -> bool {
        self.pending.get(index).is_some_and(|pending| pending.number == number)
    }

    /// Something came, or the client closed.
    fn ready(&mut self, index: usize, number: u32, is_closed: bool) {
        if !self.is(index, number) {
            return;
        }
        let Look::Waits { low_water } = self.look(index, true) else { return };
        if is_closed {
            return self.refuse(index, Refusal::Gone);
        }
        let at_ms = self.now_ms() + LOOK_AGAIN_MS;
        let Some(pending) = self.pending.get_mut(index) else { return };
        pending.looks += 1;
        if pending.looks < LOOKS {
            return pending.lower(low_water);
        }
        if pending.looks == LOOKS {
            // Errors and the end are told all the same.
            let _ = self.epoll.change(pending.fd.as_raw_fd(), key(index, number), libc::EPOLLRDHUP | libc::EPOLLET);
        }
        self.looks.push_back(Due { at_ms, index, number });
    }

    fn look_again(&mut self) {
        let now = self.now_ms();
        while let Some(due) = pop_due(&mut self.looks, now) {
            self.ready(due.index, due.number, false);
        }
    }

    fn close_late(&mut self) {
        let now = self.now_ms();
        while let Some(due) = pop_due(&mut self.deadlines, now) {
            if self.is(due.index, due.number) {
                self.refuse(due.index, Refusal::Timeout);
            }
        }
    }

    /// Looks at what has come of a connection, and lets go of it when that is enough.
    fn look(&mut self, index: usize, is_watched: bool) -> Look {
        let Some(pending) = self.pending.get(index) else { return Look::Done };
        let refusal = match socket::peek(&pending.fd, &mut self.bytes) {
            Ok(0) => Refusal::Gone,
            Ok(count) => match hello::look(&self.bytes[..count], &mut self.whole) {
                Seen::Whole(hello) => {
                    self.hand_over(index, hello, is_watched);
                    return Look::Done;
                }
                Seen::Partial { wants } => return Look::Waits { low_water: wants },
                Seen::Refused(Fault::PlainHttp) => {
                    socket::answer(&pending.fd, PLAIN_HTTP_ANSWER, &mut self.bytes);
                    Refusal::PlainHttp
                }
                Seen::Refused(Fault::Garbage) => Refusal::Garbage,
                Seen::Refused(Fault::Oversize) => Refusal::Oversize,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Look::Waits { low_water: 1 },
            Err(_) => Refusal::Gone,
        };
        self.refuse(index, refusal);
        Look::Done
    }

    fn hand_over(&mut self, index: usize, hello: portcullis_engine::peer::ClientHello, is_watched: bool) {
        let mut pending = self.pending.remove(index);
        if is_watched {
            // It is the descriptor of another loop from here on.
            self.epoll.remove(pending.fd.as_raw_fd());
        }
        pending.lower(1);
        let Pending { fd, address, place, .. } = pending;
        match self.shared.lobby.give(Accepted { fd, address, hello: Arc::new(hello), place }) {
            Ok(()) => self.shared.counts.hand(),
            Err(_) => self.shared.counts.refuse(Refusal::Unserved),
        }
    }

    /// Closes it; the kernel stops watching it with that.
    fn refuse(&mut self, index: usize, refusal: Refusal) {
        if self.pending.try_remove(index).is_some() {
            self.shared.counts.refuse(refusal);
        }
    }
}

impl Pending {
    /// Sets from how many bytes on the socket tells that it is readable.
    fn lower(&mut self, low_water: usize) {
        if self.low_water != low_water && socket::set_low_water(&self.fd, low_water).is_ok() {
            self.low_water = low_water;
        }
    }
}

fn key(index: usize, number: u32) -> u64 {
    (u64::from(number) << 32) | index as u64
}
