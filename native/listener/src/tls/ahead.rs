//! Reads more of a socket at once than rustls asks for.
//!
//! rustls asks for 4 KiB at a time, so that each record of an upload would cost four or five system calls. Here a read
//! takes two records when they are there. What was not asked for waits for the next read, which comes at once: nothing
//! is kept between requests.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Two records of 16 KiB, with what TLS 1.2 may add to each (RFC 5246, 6.2.3).
const READ_BYTES: usize = 2 * (16 * 1024 + 2048 + 5);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

#[derive(Debug)]
pub struct Ahead<T> {
    io: T,
    /// What was read and not asked for, from `taken` on.
    waiting: Vec<u8>,
    taken: usize,
}

impl<T> Ahead<T> {
    pub fn new(io: T) -> Ahead<T> {
        Ahead { io, waiting: Vec::new(), taken: 0 }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Ahead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waiting.is_empty() {
            return SCRATCH.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(&mut this.io).poll_read(context, &mut read))?;
                let (asked, more) = read.filled().split_at(read.filled().len().min(buffer.remaining()));
                buffer.put_slice(asked);
                this.waiting.extend_from_slice(more);
                Poll::Ready(Ok(()))
            });
        }
        let left = &this.waiting[this.taken..];
        let given = &left[..left.len().min(buffer.remaining())];
        buffer.put_slice(given);
        this.taken += given.len();
        if this.taken == this.waiting.len() {
            (this.waiting, this.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Ahead<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// Gives what arrived, an arrival a read at most, then its end.
    struct Arrivals(VecDeque<Vec<u8>>);

    impl AsyncRead for Arrivals {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(mut first) = self.0.pop_front() {
                let rest = first.split_off(first.len().min(into.remaining()));
                into.put_slice(&first);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn gives_what_arrived_in_its_order(
            arrivals in prop::collection::vec(1_usize..90_000, 0..5),
            sizes in prop::collection::vec(1_usize..50_000, 1..8),
        ) {
            let mut number = 0_u32;
            let arrivals: VecDeque<Vec<u8>> = arrivals
                .into_iter()
                .map(|length| {
                    (0..length)
                        .map(|_| {
                            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                            (number >> 24) as u8
                        })
                        .collect()
                })
                .collect();
            let sent: Vec<u8> = arrivals.iter().flatten().copied().collect();
            let (mut ahead, mut came) = (Ahead::new(Arrivals(arrivals)), Vec::new());
            for size in sizes.into_iter().cycle() {
                let mut bytes = vec![0; size];
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = Pin::new(&mut ahead).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
                prop_assert!(matches!(read, Poll::Ready(Ok(()))));
                if buffer.filled().is_empty() {
                    break;
                }
                came.extend_from_slice(buffer.filled());
            }
            prop_assert!(came == sent);
            prop_assert_eq!(ahead.waiting.capacity(), 0, "nothing is kept");
        }
    }
}
