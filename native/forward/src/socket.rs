//! Non-blocking TCP sockets, one system call a function.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use portcullis_reactor::address::Address;

/// Starts a connection; true when it is established already, as happens on the same machine.
///
/// # Errors
/// What the system says.
pub(crate) fn connect(address: &SocketAddr) -> io::Result<(OwnedFd, bool)> {
    let address = Address::from(*address);
    let socket = open(address.family())?;
    let one: libc::c_int = 1;
    // SAFETY: `one` outlives the call, and its size is given.
    unsafe {
        let value = (&raw const one).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, value, size_of_val(&one) as _);
    }
    // SAFETY: a socket address of that length.
    let outcome = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address.storage).cast(), address.length) };
    if outcome == 0 {
        return Ok((socket, true));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINPROGRESS | libc::EINTR) => Ok((socket, false)),
        _ => Err(error),
    }
}

/// The outcome of a connection that was started.
pub(crate) fn connected(fd: RawFd) -> io::Result<()> {
    let mut code: libc::c_int = 0;
    let mut len = size_of_val(&code) as libc::socklen_t;
    // SAFETY: `code` and `len` outlive the call.
    let outcome =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut code).cast(), &raw mut len) };
    match (outcome, code) {
        (0, 0) => Ok(()),
        (0, code) => Err(io::Error::from_raw_os_error(code)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Most pieces of one [`send`]: a chunk's size line, its data, its end.
const MAX_PARTS: usize = 3;

/// Sends as much as the kernel takes of the parts, in one call.
pub(crate) fn send(fd: RawFd, parts: &[&[u8]]) -> io::Result<usize> {
    if let [part] = parts {
        // SAFETY: the part is valid for its length.
        return retry(|| unsafe { libc::send(fd, part.as_ptr().cast(), part.len(), FLAGS) });
    }
    debug_assert!(parts.len() <= MAX_PARTS);
    let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut vectors = [empty; MAX_PARTS];
    for (vector, part) in vectors.iter_mut().zip(parts) {
        *vector = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
    }
    // SAFETY: all zeroes is a valid msghdr; its vectors outlive the call and are only read.
    retry(|| unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = vectors.as_mut_ptr();
        message.msg_iovlen = parts.len().min(MAX_PARTS) as _;
        libc::sendmsg(fd, &raw const message, FLAGS)
    })
}

/// 0 at the end of the stream.
pub(crate) fn recv(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `into` is valid for its length.
    retry(|| unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) })
}

/// Whether nothing waits to be read, neither bytes nor the end.
pub(crate) fn is_quiet(fd: RawFd) -> bool {
    let mut byte = 0u8;
    // SAFETY: `byte` is one byte long.
    let seen = retry(|| unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT | libc::MSG_PEEK) });
    matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A closed connection is an error of `send`, not a signal that ends the process.
#[cfg(target_os = "linux")]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// Node.js ignores SIGPIPE for the whole process, so that no flag is needed where there is none.
#[cfg(not(target_os = "linux"))]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT;

fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        let outcome = call();
        if outcome >= 0 {
            return Ok(outcome.unsigned_abs());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(target_os = "linux")]
fn open(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor that nobody else owns.
    unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

#[cfg(not(target_os = "linux"))]
fn open(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor that nobody else owns.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: flags of our own descriptor.
    let outcome =
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) | libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}
