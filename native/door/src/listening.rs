//! What has to be set on listening sockets, which uWebSockets.js does not show.

use std::os::fd::RawFd;

/// Receive buffer of a client's connection. uWebSockets.js reads on, whatever `pause()` said, as long as a read fills
/// its buffer of 512 KiB: a client faster than its origin would never be stopped. The kernel doubles the value, and the
/// most that it allows without privilege (`net.core.rmem_max`, 212,992 by default) still stays below 512 KiB.
const RECEIVE_BUFFER_BYTES: libc::c_int = 208 * 1024;

/// Sets it on this process's listening sockets of a port; accepted connections inherit it.
pub fn bound_receive_buffers(port: u16) -> u32 {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let descriptors = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    descriptors.filter(|&fd| listens_on(fd, port) && bound(fd)).count() as u32
}

fn bound(fd: RawFd) -> bool {
    let value = RECEIVE_BUFFER_BYTES;
    // SAFETY: reads an int of that size; any descriptor may be given.
    let status = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    status == 0
}

fn listens_on(fd: RawFd, port: u16) -> bool {
    let mut listens: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: writes an int of that size; a descriptor that is no socket is answered with an error.
    let status = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, (&raw mut listens).cast(), &raw mut length)
    };
    if status != 0 || listens == 0 {
        return false;
    }
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the structure is large enough for every address family, and its length says so.
    if unsafe { libc::getsockname(fd, (&raw mut address).cast(), &raw mut length) } != 0 {
        return false;
    }
    let bound = match i32::from(address.ss_family) {
        // SAFETY: the family says which structure it is.
        libc::AF_INET => unsafe { (*(&raw const address).cast::<libc::sockaddr_in>()).sin_port },
        // SAFETY: as above.
        libc::AF_INET6 => unsafe { (*(&raw const address).cast::<libc::sockaddr_in6>()).sin6_port },
        _ => return false,
    };
    u16::from_be(bound) == port
}
