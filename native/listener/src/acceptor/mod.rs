//! The acceptor: one thread a process that owns the listening sockets, and looks at what connections begin with before
//! any edge thread hears of them.
//!
//! It accepts, waits for the whole ClientHello under a deadline, and hands the socket on with what it learned. Nothing
//! is consumed: whoever serves the connection reads the same bytes (`MSG_PEEK`). A connection counts from when it is
//! accepted until its [`Place`] is dropped, on whichever thread.

mod counts;
mod lobby;
mod places;
mod socket;
mod thread;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_engine::peer::ClientHello;
use portcullis_reactor::epoll::Event;

pub use counts::{Figures, Refusal};
pub use lobby::Inbox;
pub use places::Place;

use counts::Counts;
use lobby::Lobby;
use places::Places;

/// A connection whose ClientHello has come; nothing of it was read.
#[derive(Debug)]
pub struct Accepted {
    pub fd: OwnedFd,
    pub address: SocketAddr,
    pub hello: Arc<ClientHello>,
    /// To be kept until the connection is closed.
    pub place: Place,
}

/// What an operator bounds: `listen.connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections.
    pub max: usize,
    /// Open connections of an IPv4 address, or of an IPv6 network of 64 bits.
    pub per_address: usize,
    /// Connections that have not sent a whole ClientHello yet.
    pub handshakes: usize,
    /// From being accepted to the whole ClientHello.
    pub hello_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { max: 65_536, per_address: 4_096, handshakes: 4_096, hello_timeout: Duration::from_secs(5) }
    }
}

/// How long whoever stops listening waits for the acceptor's word. It answers within a turn of its loop.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// One acceptor; [`acceptor`] is the process's. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Acceptor {
    shared: Arc<Shared>,
}

/// What its thread, those that serve and those that ask have in common.
struct Shared {
    bounds: Mutex<Bounds>,
    counts: Counts,
    places: Arc<Places>,
    lobby: Lobby,
    commands: Mutex<Vec<Command>>,
    /// The thread was started, and waits for this.
    woken: Mutex<Option<Event>>,
}

enum Command {
    Listen(OwnedFd),
    /// Closes the listening socket of an address, or all, once nothing waits in its backlog.
    Close(Option<SocketAddr>, Sender<()>),
}

/// The process's.
pub fn acceptor() -> &'static Acceptor {
    static ACCEPTOR: LazyLock<Acceptor> = LazyLock::new(Acceptor::default);
    &ACCEPTOR
}

/// An inbox of the process's acceptor for the calling edge thread.
#[must_use]
pub fn register() -> Inbox {
    acceptor().register()
}

impl Default for Acceptor {
    fn default() -> Acceptor {
        let shared = Shared {
            bounds: Mutex::default(),
            counts: Counts::default(),
            places: Arc::default(),
            lobby: Lobby::default(),
            commands: Mutex::default(),
            woken: Mutex::default(),
        };
        Acceptor { shared: Arc::new(shared) }
    }
}

impl Acceptor {
    /// In force for connections from now on.
    pub fn bound(&self, bounds: Bounds) {
        *lock(&self.shared.bounds) = bounds;
        self.shared.wake();
    }

    /// Listens on an address; answers where, which tells the port when the system chose it.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.take(socket::listen(address)?)
    }

    /// Takes over a listening socket.
    ///
    /// # Errors
    /// When it is none.
    pub fn listen_fd(&self, fd: OwnedFd) -> io::Result<SocketAddr> {
        socket::take_over(&fd)?;
        self.take(fd)
    }

    fn take(&self, fd: OwnedFd) -> io::Result<SocketAddr> {
        let address = socket::local_address(fd.as_raw_fd())?;
        self.started()?;
        self.shared.command(Command::Listen(fd));
        Ok(address)
    }

    fn started(&self) -> io::Result<()> {
        let mut woken = lock(&self.shared.woken);
        if woken.is_none() {
            let event = Event::new()?;
            thread::start(Arc::clone(&self.shared), event.clone())?;
            *woken = Some(event);
        }
        Ok(())
    }

    /// Closes the listening socket of an address. Whoever is in its backlog is accepted before.
    pub fn close(&self, address: SocketAddr) {
        self.closed(Some(address));
    }

    /// Closes all listening sockets. Connections that have not sent their ClientHello are waited for all the same.
    pub fn stop(&self) {
        self.closed(None);
    }

    fn closed(&self, address: Option<SocketAddr>) {
        if lock(&self.shared.woken).is_none() {
            return;
        }
        let (done, heard) = mpsc::channel();
        self.shared.command(Command::Close(address, done));
        // Late is no fault: it is done as soon as the acceptor comes to it.
        let _ = heard.recv_timeout(ANSWER_WITHIN);
    }

    /// An inbox for the calling thread. The first one begins the accepting.
    #[must_use]
    pub fn register(&self) -> Inbox {
        let inbox = Lobby::register(&self.shared);
        self.shared.wake();
        inbox
    }

    /// Counts a connection that its edge thread could not take.
    pub fn not_adopted(&self) {
        self.shared.counts.refuse(Refusal::NotAdopted);
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        let shared = &self.shared;
        shared.counts.figures(shared.places.open(), shared.lobby.waiting())
    }
}

impl Shared {
    fn command(&self, command: Command) {
        lock(&self.commands).push(command);
        self.wake();
    }

    fn wake(&self) {
        if let Some(event) = &*lock(&self.woken) {
            event.tell();
        }
    }
}

/// A poisoned lock is taken all the same: what it guards is whole after each of its few statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
