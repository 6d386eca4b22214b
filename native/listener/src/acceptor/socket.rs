//! The system calls of the acceptor, each with what it is asked for and nothing else.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void, socklen_t};
use portcullis_reactor::address::Address;

/// Connections that the kernel keeps until they are accepted; it takes at most `net.core.somaxconn`, 4,096 by default.
const BACKLOG: c_int = 4_096;

/// Receive buffer of a client's connection. uWebSockets.js reads on, whatever `pause()` said, as long as a read fills
/// its buffer of 512 KiB: a client faster than its origin would never be stopped. The kernel doubles the value, and the
/// most that it allows without privilege (`net.core.rmem_max`, 212,992 by default) still stays below 512 KiB.
pub const RECEIVE_BUFFER_BYTES: c_int = 208 * 1024;

/// A non-blocking socket that listens. Its port can be shared: another process takes over before this one lets go.
pub(super) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: answers a new descriptor or -1.
    let fd = succeeded(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just made, owned by nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    set(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    if address.is_ipv6() {
        // `::` is every address, those of IPv4 too.
        set(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    }
    let address = Address::from(address);
    // SAFETY: a socket address of that length.
    succeeded(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address.storage).cast(), address.length) })?;
    prepare(&fd)?;
    // SAFETY: an open socket.
    succeeded(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(fd)
}

/// A bound socket that somebody else made. Several processes may have it open; whoever listens anew changes nothing.
pub(super) fn take_over(fd: &OwnedFd) -> io::Result<()> {
    prepare(fd)?;
    // SAFETY: an open socket.
    succeeded(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(())
}

/// What accepted connections inherit.
fn prepare(fd: &OwnedFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES)?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    // SAFETY: an open descriptor.
    unsafe {
        let flags = succeeded(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        succeeded(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK))?;
        succeeded(libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC))?;
    }
    Ok(())
}

pub(super) fn accept(listening: RawFd) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut address = Address::default();
    // SAFETY: an address that is large enough for every family, as its length says.
    let fd = succeeded(unsafe {
        libc::accept4(
            listening,
            (&raw mut address.storage).cast(),
            &raw mut address.length,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    })?;
    // SAFETY: just made, owned by nobody else.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, address.read()?))
}

/// What has come, left where it is. Ok(0): the client has closed.
pub(super) fn peek(fd: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
    receive(fd, into, libc::MSG_PEEK)
}

fn receive(fd: &OwnedFd, into: &mut [u8], flags: c_int) -> io::Result<usize> {
    let (start, length) = (into.as_mut_ptr().cast::<c_void>(), into.len());
    // SAFETY: writes at most so many bytes there.
    let count = unsafe { libc::recv(fd.as_raw_fd(), start, length, flags | libc::MSG_DONTWAIT) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// From when on the socket counts as readable.
pub(super) fn set_low_water(fd: &OwnedFd, bytes: usize) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes as c_int)
}

/// Writes a short text as a connection's last, and takes what has come: closing over unread bytes would reset the
/// connection, and the client might not see the text.
pub(super) fn answer(fd: &OwnedFd, text: &[u8], scratch: &mut [u8]) {
    // SAFETY: reads so many bytes. It fits into the empty buffer of a fresh connection, or is lost.
    unsafe { libc::send(fd.as_raw_fd(), text.as_ptr().cast(), text.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    let _ = receive(fd, scratch, 0);
}

pub(super) fn local_address(fd: RawFd) -> io::Result<SocketAddr> {
    let mut address = Address::default();
    // SAFETY: as in `accept`.
    succeeded(unsafe { libc::getsockname(fd, (&raw mut address.storage).cast(), &raw mut address.length) })?;
    address.read()
}

fn set(fd: &OwnedFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: reads an int of that size.
    succeeded(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<c_int>() as socklen_t)
    })?;
    Ok(())
}

fn succeeded(code: c_int) -> io::Result<c_int> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code) }
}
