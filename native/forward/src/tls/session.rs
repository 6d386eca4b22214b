//! TLS over a non-blocking socket that somebody else watches: what `recv` and `send` are without it.
//!
//! The loop tells of bytes in the kernel only. What is decrypted and not taken yet is [`Session::has_plaintext`]: its
//! owner comes back for it by itself.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::RawFd;
use std::sync::Arc;

use rustls::ClientConnection;

use super::Identity;
use crate::socket;

/// Most bytes that wait encrypted for the socket: as much as a streamed body may have waiting in the clear.
const BUFFER_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Session {
    connection: ClientConnection,
    /// Decrypted bytes that were not taken yet.
    plaintext: usize,
    /// The last read took all that the kernel had.
    drained: bool,
}

impl Session {
    pub(crate) fn new(identity: &Identity) -> Option<Session> {
        let mut connection = ClientConnection::new(Arc::clone(&identity.config), identity.name.clone()).ok()?;
        connection.set_buffer_limit(Some(BUFFER_BYTES));
        Some(Session { connection, plaintext: 0, drained: false })
    }

    /// Goes on with the handshake; true when it is done.
    pub(crate) fn shake(&mut self, fd: RawFd) -> io::Result<bool> {
        loop {
            self.flush(fd)?;
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            match self.take_in(fd)? {
                Taken::Some => {}
                Taken::Nothing => return Ok(false),
                Taken::End => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// As [`socket::recv`]. An end without TLS's own word is an error: what came so far may be cut.
    pub(crate) fn recv(&mut self, fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(into) {
                Ok(read) => {
                    self.plaintext = self.plaintext.saturating_sub(read);
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.take_in(fd)? == Taken::Nothing {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }

    /// As [`socket::send`]; what was taken goes out with a later [`Session::flush`] at the latest.
    pub(crate) fn send(&mut self, fd: RawFd, parts: &[&[u8]]) -> io::Result<usize> {
        self.flush(fd)?;
        let mut taken = 0;
        for part in parts {
            let written = self.connection.writer().write_vectored(&[IoSlice::new(part)])?;
            taken += written;
            if written < part.len() {
                break;
            }
        }
        self.flush(fd)?;
        if taken == 0 && parts.iter().any(|part| !part.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(crate) fn flush(&mut self, fd: RawFd) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Wire { fd, short: false, ended: false }) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes in what is no answer (session tickets, key updates) between two requests; false when there is more, or the
    /// end: the connection is not to be used again.
    pub(crate) fn is_quiet(&mut self, fd: RawFd) -> bool {
        loop {
            match self.take_in(fd) {
                Ok(Taken::Some) if self.plaintext == 0 => {}
                Ok(Taken::Nothing) => return true,
                _ => return false,
            }
        }
    }

    pub(crate) fn has_plaintext(&self) -> bool {
        self.plaintext > 0
    }

    /// Whether another read would find something, as far as is known without one.
    pub(crate) fn may_have_more(&self) -> bool {
        self.plaintext > 0 || !self.drained
    }

    /// Says that nothing follows.
    pub(crate) fn close(&mut self, fd: RawFd) {
        self.connection.send_close_notify();
        // The socket closes behind it: whoever did not take it sees the end anyway.
        let _ = self.flush(fd);
    }

    /// Reads and decrypts once.
    fn take_in(&mut self, fd: RawFd) -> io::Result<Taken> {
        let mut wire = Wire { fd, short: false, ended: false };
        match self.connection.read_tls(&mut wire) {
            Ok(_) => self.drained = wire.short,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.drained = true;
                return Ok(Taken::Nothing);
            }
            Err(error) => return Err(error),
        }
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.plaintext = state.plaintext_bytes_to_read();
                self.flush(fd)?;
                Ok(if wire.ended || state.peer_has_closed() { Taken::End } else { Taken::Some })
            }
            Err(error) => {
                // The alert that says why.
                let _ = self.flush(fd);
                Err(io::Error::other(error))
            }
        }
    }
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Bytes, which may be no plaintext yet.
    Some,
    Nothing,
    /// The last of them. Whether it was said to be the last is for the reader to tell, behind what is left.
    End,
}

/// The socket as rustls reads and writes it.
struct Wire {
    fd: RawFd,
    /// The read took all that there was.
    short: bool,
    ended: bool,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = socket::recv(self.fd, into)?;
        self.short = read < into.len();
        self.ended = read == 0 && !into.is_empty();
        Ok(read)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket::send(self.fd, &[bytes])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
