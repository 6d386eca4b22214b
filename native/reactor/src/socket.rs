//! A non-blocking socket whose reading and writing wake tasks.
//!
//! It stays watched for reading from its opening to its closing, as long as somebody waits for what comes: a request
//! then costs one `recv` and one `send` and no `epoll_ctl`. A read that did not fill its buffer has taken what there
//! was, so the next one waits for the loop to tell instead of asking the kernel.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::driver::Interest;
use crate::tasks::with;

#[derive(Debug, Default)]
pub(crate) struct Watched {
    interest: Cell<Interest>,
    /// The last read left nothing: only an event tells of more.
    drained: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

/// A connected socket, or one that is connecting.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    key: usize,
    watched: Rc<Watched>,
}

impl Socket {
    /// Takes a non-blocking stream socket into this thread's loop.
    ///
    /// # Errors
    /// When the loop cannot watch it, or the thread has no reactor.
    pub fn new(fd: OwnedFd) -> io::Result<Socket> {
        with(|reactor| {
            let watched = Rc::new(Watched::default());
            watched.interest.set(Interest::READ);
            let key = reactor.sockets.borrow_mut().insert(Rc::clone(&watched));
            match reactor.driver.watch(fd.as_raw_fd(), key) {
                Ok(()) => Ok(Socket { fd, key, watched }),
                Err(error) => {
                    reactor.sockets.borrow_mut().remove(key);
                    Err(error)
                }
            }
        })
        .unwrap_or_else(|| Err(io::Error::other("this thread has no reactor")))
    }

    /// Waits until a connecting socket is connected.
    ///
    /// # Errors
    /// Why it could not be.
    pub fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut peer: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let (mut error, mut error_length): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
        // SAFETY: both lengths are those of what they stand for.
        unsafe {
            let at = (&raw mut error).cast();
            if libc::getsockopt(self.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, at, &raw mut error_length) != 0 {
                return Poll::Ready(Err(io::Error::last_os_error()));
            }
            if error != 0 {
                return Poll::Ready(Err(io::Error::from_raw_os_error(error)));
            }
            if libc::getpeername(self.as_raw_fd(), (&raw mut peer).cast(), &raw mut length) == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        self.wait_writable(context);
        Poll::Pending
    }

    fn wait_readable(&self, context: &Context<'_>) {
        keep(&self.watched.reader, context);
        self.want(Interest { readable: true, ..self.watched.interest.get() });
    }

    fn wait_writable(&self, context: &Context<'_>) {
        keep(&self.watched.writer, context);
        self.want(Interest { writable: true, ..self.watched.interest.get() });
    }

    fn want(&self, interest: Interest) {
        if self.watched.interest.replace(interest) != interest {
            with(|reactor| reactor.driver.change(self.key, interest));
        }
    }

    fn written(&self, context: &Context<'_>, outcome: isize) -> Poll<io::Result<usize>> {
        if outcome >= 0 {
            return Poll::Ready(Ok(outcome.unsigned_abs()));
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::WouldBlock {
            self.wait_writable(context);
            return Poll::Pending;
        }
        Poll::Ready(Err(error))
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        with(|reactor| {
            reactor.driver.unwatch(self.key);
            reactor.sockets.borrow_mut().try_remove(self.key);
        });
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.watched.drained.get() {
            self.wait_readable(context);
            return Poll::Pending;
        }
        loop {
            // SAFETY: `recv` only writes to the unfilled part, of which so many bytes are then initialised.
            let outcome = unsafe {
                let room = buffer.unfilled_mut();
                libc::recv(self.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0)
            };
            if outcome >= 0 {
                let read = outcome.unsigned_abs();
                self.watched.drained.set(read > 0 && read < buffer.remaining());
                // SAFETY: as above.
                unsafe { buffer.assume_init(read) };
                buffer.advance(read);
                return Poll::Ready(Ok(()));
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    self.watched.drained.set(true);
                    self.wait_readable(context);
                    return Poll::Pending;
                }
                _ => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // SAFETY: so many bytes that can be read.
        let outcome = unsafe { libc::send(self.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        self.written(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The cheaper call: most answers are one record.
        if let [bytes] = slices {
            return self.poll_write(context, bytes);
        }
        // SAFETY: all zero is a message without address and control data; `IoSlice` has the layout of `iovec`.
        let outcome = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = slices.as_ptr().cast_mut().cast();
            message.msg_iovlen = slices.len().min(MAX_SLICES);
            libc::sendmsg(self.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
        };
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // SAFETY: an open socket.
        if unsafe { libc::shutdown(self.as_raw_fd(), libc::SHUT_WR) } == 0 {
            return Poll::Ready(Ok(()));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            error => Poll::Ready(Err(error)),
        }
    }
}

/// IOV_MAX of Linux.
const MAX_SLICES: usize = 1024;

fn keep(place: &RefCell<Option<Waker>>, context: &Context<'_>) {
    let mut place = place.borrow_mut();
    if !place.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *place = Some(context.waker().clone());
    }
}

/// A watched socket has something to tell. An error of the socket is told as both: reading gives what came ahead of it.
pub(crate) fn ready(key: usize, readable: bool, writable: bool) {
    with(|reactor| {
        let Some(watched) = reactor.sockets.borrow().get(key).cloned() else { return };
        let mut interest = watched.interest.get();
        if readable {
            watched.drained.set(false);
            match watched.reader.borrow_mut().take() {
                Some(waker) => waker.wake(),
                // Nobody reads: what has come stays in the kernel, and the loop need not tell again.
                None => interest.readable = false,
            }
        }
        if writable {
            interest.writable = false;
            if let Some(waker) = watched.writer.borrow_mut().take() {
                waker.wake();
            }
        }
        if watched.interest.replace(interest) != interest {
            reactor.driver.change(key, interest);
        }
    });
}
