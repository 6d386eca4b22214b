//! What a client still sends of a request whose answer is complete.
//!
//! RFC 9113, 8.1 lets a server reset such a stream with NO_ERROR. Clients that meet the reset together with the answer
//! are known to lose the answer (curl 7.88), so the rest is read and thrown away for a while first.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use h2::RecvStream;
use portcullis_reactor::{sleep, spawn};

use super::bounds::{LINGER_MS, STREAM_WINDOW_BYTES};

/// Reads what comes until the request ends, or its time or bytes are over: then the stream is reset. It counts among
/// its connection's streams until then.
pub fn discard(mut rest: RecvStream) {
    spawn(async move {
        let mut late = pin!(sleep(Duration::from_millis(LINGER_MS)));
        let mut bytes = 0;
        poll_fn(|context| {
            loop {
                match rest.poll_data(context) {
                    Poll::Ready(Some(Ok(piece))) => {
                        bytes += piece.len();
                        let _ = rest.flow_control().release_capacity(piece.len());
                        // What goes beyond the window was sent by one who could read the answer.
                        if bytes > STREAM_WINDOW_BYTES as usize {
                            return Poll::Ready(());
                        }
                    }
                    Poll::Ready(None) => match rest.poll_trailers(context) {
                        Poll::Ready(_) => return Poll::Ready(()),
                        Poll::Pending => break,
                    },
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            late.as_mut().poll(context)
        })
        .await;
    });
}
