//! One connection's task.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use portcullis_reactor::{Sleep, now_ms, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite};

use super::bounds;
use super::guard::{Guarded, Kind, Watch};

/// Takes the requests of a connection, within its task. What it does with the handles is its own: answers may be given
/// at once or later, from anywhere in the thread.
pub trait Door {
    fn request(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>);
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both sides are done, or the client is gone.
    Closed,
    /// It broke the protocol, or its socket failed.
    Failed,
    /// Its preface or first SETTINGS did not come in time.
    Slow,
    /// It had no stream for long, and did not leave when told so.
    Idle,
    /// It took nothing of what was written.
    Stalled,
    /// Too much of this.
    Flood(Kind),
}

impl Ended {
    /// As it stands in a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ended::Closed => "closed",
            Ended::Failed => "failed",
            Ended::Slow => "slow",
            Ended::Idle => "idle",
            Ended::Stalled => "stalled",
            Ended::Flood(kind) => kind.name(),
        }
    }

    fn all() -> impl Iterator<Item = Ended> {
        let plain = [Ended::Closed, Ended::Failed, Ended::Slow, Ended::Idle, Ended::Stalled];
        plain.into_iter().chain(Kind::ALL.map(Ended::Flood))
    }

    fn place(self) -> usize {
        match self {
            Ended::Closed => 0,
            Ended::Failed => 1,
            Ended::Slow => 2,
            Ended::Idle => 3,
            Ended::Stalled => 4,
            Ended::Flood(kind) => 5 + kind as usize,
        }
    }
}

/// Connections of the process by how they ended, at [`Ended::place`].
static ENDED: [AtomicU64; 5 + Kind::ALL.len()] = [const { AtomicU64::new(0) }; 5 + Kind::ALL.len()];

/// How many connections of this process have ended how.
pub fn ended() -> impl Iterator<Item = (Ended, u64)> {
    Ended::all().map(|ended| (ended, ENDED[ended.place()].load(Ordering::Relaxed)))
}

/// Tells a connection's task from outside that it is to end.
#[derive(Debug, Default)]
pub struct Control {
    drains: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Control {
    /// GOAWAY: streams under way end, and the connection with the last of them.
    pub fn drain(&self) {
        if !self.drains.replace(true)
            && let Some(waker) = self.task.borrow_mut().take()
        {
            waker.wake();
        }
    }
}

/// Serves a connection until it ends, and counts how.
pub async fn serve<T, D>(io: T, door: D, control: &Control) -> Ended
where
    T: AsyncRead + AsyncWrite + Unpin,
    D: Door,
{
    let ended = drive(io, door, control).await;
    ENDED[ended.place()].fetch_add(1, Ordering::Relaxed);
    ended
}

async fn drive<T, D>(io: T, mut door: D, control: &Control) -> Ended
where
    T: AsyncRead + AsyncWrite + Unpin,
    D: Door,
{
    let (io, watch) = Guarded::new(io);
    let started_ms = now_ms();
    let mut alarm = pin!(sleep_until(started_ms + bounds::PREFACE_MS));
    let mut handshake = pin!(builder().handshake::<_, Bytes>(io));
    let connection = poll_fn(|context| match handshake.as_mut().poll(context) {
        Poll::Ready(Ok(connection)) => Poll::Ready(Ok(connection)),
        Poll::Ready(Err(_)) => Poll::Ready(Err(Ended::Failed)),
        Poll::Pending => alarm.as_mut().poll(context).map(|()| Err(Ended::Slow)),
    })
    .await;
    let connection = match connection {
        Ok(connection) => connection,
        Err(ended) => return ended,
    };
    let mut driver = Driver { connection, watch: &watch, control, ending: None, active_ms: now_ms(), started_ms };
    poll_fn(|context| driver.poll(context, &mut door, alarm.as_mut().get_mut())).await
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(bounds::STREAMS)
        .max_frame_size(bounds::FRAME_BYTES)
        .max_header_list_size(bounds::HEAD_LIST_BYTES)
        .initial_window_size(bounds::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(bounds::CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(bounds::SEND_BUFFER_BYTES)
        .data_frame_budget(bounds::SMALL_FRAMES_BYTES)
        .max_pending_accept_reset_streams(bounds::RESETS_WAITING)
        .max_concurrent_reset_streams(bounds::RESETS_KEPT)
        .max_local_error_reset_streams(Some(bounds::ERRORS))
        .enable_connect_protocol();
    builder
}

struct Driver<'a, T> {
    connection: Connection<Guarded<T>, Bytes>,
    watch: &'a Watch,
    control: &'a Control,
    /// It was told to go: how it is to be recorded, and when it is over at the latest.
    ending: Option<(Ended, u64)>,
    /// When it was last seen with a stream.
    active_ms: u64,
    started_ms: u64,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<'_, T> {
    fn poll<D: Door>(&mut self, context: &mut Context<'_>, door: &mut D, alarm: &mut Sleep) -> Poll<Ended> {
        if self.control.drains.get() && self.ending.is_none() {
            // The thread has a deadline of its own for what does not end.
            self.ending = Some((Ended::Closed, u64::MAX));
            self.connection.graceful_shutdown();
        }
        loop {
            loop {
                match self.connection.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, respond)))) => door.request(request, respond),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(self.outcome(Ended::Failed)),
                    Poll::Ready(None) => return Poll::Ready(self.outcome(Ended::Closed)),
                    Poll::Pending => break,
                }
            }
            match self.watch.flood.get() {
                Some(kind) if !matches!(self.ending, Some((Ended::Flood(_), _))) => {
                    self.end(Ended::Flood(kind), alarm);
                    self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                _ => break,
            }
        }
        while std::pin::Pin::new(&mut *alarm).poll(context).is_ready() {
            if let Some(ended) = self.look(alarm) {
                return Poll::Ready(ended);
            }
        }
        let mut task = self.control.task.borrow_mut();
        if !task.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *task = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Looks at the clocks, and sets when to look again.
    fn look(&mut self, alarm: &mut Sleep) -> Option<Ended> {
        let now = now_ms();
        if let Some((ended, at)) = self.ending
            && now >= at
        {
            return Some(ended);
        }
        let blocked_ms = self.watch.blocked_ms.get();
        if blocked_ms != 0 && now.saturating_sub(blocked_ms) >= bounds::STALL_MS {
            return Some(Ended::Stalled);
        }
        if !self.watch.settings_seen.get() && now.saturating_sub(self.started_ms) >= bounds::PREFACE_MS {
            return Some(Ended::Slow);
        }
        if self.connection.has_streams() {
            self.active_ms = now;
        } else if self.ending.is_none() && now.saturating_sub(self.active_ms) >= bounds::IDLE_MS {
            self.end(Ended::Idle, alarm);
            self.connection.graceful_shutdown();
            return None;
        }
        let at = self.ending.map_or(u64::MAX, |(_, at)| at);
        alarm.reset(at.min(now + bounds::LOOK_MS));
        None
    }

    fn end(&mut self, ended: Ended, alarm: &mut Sleep) {
        let at = now_ms() + bounds::LEAVE_MS;
        self.ending = Some((ended, at));
        alarm.reset(at);
    }

    fn outcome(&self, otherwise: Ended) -> Ended {
        match self.ending {
            Some((ended @ Ended::Flood(_), _)) => ended,
            _ => otherwise,
        }
    }
}
