//! Counts the frames that cost us more than they cost who sends them, ahead of the `h2` crate.
//!
//! The crate bounds what lies in memory; it does not mind how often it is asked for nothing: PING, SETTINGS, PRIORITY,
//! WINDOW_UPDATE, DATA without data. What is read passes through here, where only 9 bytes of each frame are looked at.
//! A connection with more of a kind in a second than [`Kind`] allows gives no further bytes; its task then ends it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113, 3.4).
const PREFACE_BYTES: u32 = 24;
const HEADER_BYTES: usize = 9;
const END_STREAM: u8 = 1;
const WINDOW_MS: u64 = 1_000;
/// Clients answer what they get: one frame more for so many bytes that were written to them. A PING's answer is 17
/// bytes, a SETTINGS' 9: neither pays for itself.
const BYTES_A_FRAME: u64 = 256;

/// What is counted, by frame type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// DATA without data that ends nothing: never needed.
    EmptyData,
    Priority,
    Reset,
    Settings,
    Ping,
    WindowUpdate,
    Continuation,
    /// Types that nobody here knows (RFC 9113, 5.5: ignored).
    Unknown,
}

impl Kind {
    const COUNT: usize = 8;
    pub(super) const ALL: [Kind; Kind::COUNT] = [
        Kind::EmptyData,
        Kind::Priority,
        Kind::Reset,
        Kind::Settings,
        Kind::Ping,
        Kind::WindowUpdate,
        Kind::Continuation,
        Kind::Unknown,
    ];

    /// Most of a kind in a second.
    fn allowed(self) -> u64 {
        match self {
            Kind::EmptyData | Kind::Continuation | Kind::Unknown => 100,
            // Browsers sent a handful when a connection began, and one with a stream (RFC 9113, 5.3.1: deprecated).
            Kind::Priority => 500,
            // Everything that can be under way, twice.
            Kind::Reset => 2 * super::bounds::STREAMS as u64,
            Kind::Settings => 20,
            // gRPC clients ping once a round trip while data comes in, to find the bandwidth.
            Kind::Ping | Kind::WindowUpdate => 1_000,
        }
    }

    /// Whether writing much to a client allows it more of them.
    fn answers_data(self) -> bool {
        matches!(self, Kind::Ping | Kind::WindowUpdate)
    }

    fn of(frame: u8, flags: u8, length: u32) -> Option<Kind> {
        match frame {
            0 => (length == 0 && flags & END_STREAM == 0).then_some(Kind::EmptyData),
            2 => Some(Kind::Priority),
            3 => Some(Kind::Reset),
            4 => Some(Kind::Settings),
            6 => Some(Kind::Ping),
            8 => Some(Kind::WindowUpdate),
            9 => Some(Kind::Continuation),
            // HEADERS are the streams'; PUSH_PROMISE and GOAWAY come once: the crate ends the connection.
            1 | 5 | 7 => None,
            _ => Some(Kind::Unknown),
        }
    }

    /// As it stands in a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::EmptyData => "flood_empty_data",
            Kind::Priority => "flood_priority",
            Kind::Reset => "flood_reset",
            Kind::Settings => "flood_settings",
            Kind::Ping => "flood_ping",
            Kind::WindowUpdate => "flood_window_update",
            Kind::Continuation => "flood_continuation",
            Kind::Unknown => "flood_unknown",
        }
    }
}

/// Follows the frames of what a client sends.
#[derive(Debug)]
pub struct Frames {
    preface_left: u32,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    payload_left: u32,
    window_ms: u64,
    counts: [u64; Kind::COUNT],
    /// Streams begun, and reset by the client, since the connection began.
    pub streams: u64,
    pub resets: u64,
    pub settings_seen: bool,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames {
            preface_left: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            header_len: 0,
            payload_left: 0,
            window_ms: 0,
            counts: [0; Kind::COUNT],
            streams: 0,
            resets: 0,
            settings_seen: false,
        }
    }
}

impl Frames {
    /// Looks at what was read. `written` is taken back to nothing with every second that begins.
    ///
    /// # Errors
    /// What there is too much of.
    pub fn read(&mut self, mut bytes: &[u8], now_ms: u64, written: &Cell<u64>) -> Result<(), Kind> {
        if now_ms.saturating_sub(self.window_ms) >= WINDOW_MS {
            self.window_ms = now_ms;
            self.counts = [0; Kind::COUNT];
            written.set(0);
        }
        skip(&mut bytes, &mut self.preface_left);
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                skip(&mut bytes, &mut self.payload_left);
                continue;
            }
            let taken = bytes.len().min(HEADER_BYTES - self.header_len);
            self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
            self.header_len += taken;
            bytes = &bytes[taken..];
            if self.header_len == HEADER_BYTES {
                self.header_len = 0;
                self.frame(written.get())?;
            }
        }
        Ok(())
    }

    fn frame(&mut self, written: u64) -> Result<(), Kind> {
        let [a, b, c, frame, flags, ..] = self.header;
        self.payload_left = u32::from_be_bytes([0, a, b, c]);
        match frame {
            // The trailers of a stream are counted as another: it takes nothing from what may be reset.
            1 => self.streams += 1,
            3 => self.resets += 1,
            4 => self.settings_seen = true,
            _ => {}
        }
        let Some(kind) = Kind::of(frame, flags, self.payload_left) else { return Ok(()) };
        let count = &mut self.counts[kind as usize];
        *count += 1;
        let earned = if kind.answers_data() { written / BYTES_A_FRAME } else { 0 };
        if *count > kind.allowed() + earned {
            return Err(kind);
        }
        if self.resets > super::bounds::RESETS_LOOKED_AT && self.resets > self.streams / 2 {
            return Err(Kind::Reset);
        }
        Ok(())
    }
}

/// Takes as much as there is of what is to be skipped.
fn skip(bytes: &mut &[u8], left: &mut u32) {
    let taken = bytes.len().min(*left as usize);
    *bytes = &bytes[taken..];
    *left -= taken as u32;
}

/// What the guard tells the connection's task.
#[derive(Debug, Default)]
pub struct Watch {
    /// What there was too much of: nothing more is read.
    pub flood: Cell<Option<Kind>>,
    pub settings_seen: Cell<bool>,
    /// Bytes written in the second under way.
    written: Cell<u64>,
    /// When the socket took nothing more; 0: it takes.
    pub blocked_ms: Cell<u64>,
}

/// A connection's plaintext, seen by the guard as it is read.
#[derive(Debug)]
pub struct Guarded<T> {
    io: T,
    frames: Frames,
    watch: Rc<Watch>,
}

impl<T> Guarded<T> {
    pub fn new(io: T) -> (Guarded<T>, Rc<Watch>) {
        let watch = Rc::new(Watch::default());
        (Guarded { io, frames: Frames::default(), watch: Rc::clone(&watch) }, watch)
    }

    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Ready(Ok(bytes)) => {
                self.watch.written.set(self.watch.written.get() + *bytes as u64);
                self.watch.blocked_ms.set(0);
            }
            Poll::Pending if self.watch.blocked_ms.get() == 0 => {
                self.watch.blocked_ms.set(portcullis_reactor::now_ms().max(1));
            }
            _ => {}
        }
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.flood.get().is_some() {
            // The task ends the connection when this poll is over.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = outcome {
            let it = &mut *self;
            let read = &buffer.filled()[before..];
            if let Err(kind) = it.frames.read(read, portcullis_reactor::now_ms(), &it.watch.written) {
                it.watch.flood.set(Some(kind));
                buffer.set_filled(before);
                return Poll::Pending;
            }
            it.watch.settings_seen.set(it.frames.settings_seen);
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(context, bytes);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.wrote(outcome)
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
    use proptest::prelude::*;

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut out = (length as u32).to_be_bytes()[1..].to_vec();
        out.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        // What a payload holds is never taken for a header.
        out.resize(out.len() + length, 4);
        out
    }

    /// Everything at once, by the definition: frames one after the other.
    fn counted(frames: &[(u8, u8, usize)]) -> [u64; Kind::COUNT] {
        let mut counts = [0; Kind::COUNT];
        for &(kind, flags, length) in frames {
            if let Some(kind) = Kind::of(kind, flags, length as u32) {
                counts[kind as usize] += 1;
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn frames_are_counted_however_they_are_cut(
            frames in prop::collection::vec((0_u8..12, 0_u8..2, prop_oneof![Just(0), 1_usize..40]), 0..60),
            cuts in prop::collection::vec(1_usize..30, 1..50),
        ) {
            let mut bytes = PREFACE.to_vec();
            for &(kind, flags, length) in &frames {
                bytes.extend(frame(kind, flags, length));
            }
            let (mut read, written) = (Frames::default(), Cell::new(0));
            let mut rest = &bytes[..];
            for &cut in cuts.iter().cycle() {
                let piece;
                (piece, rest) = rest.split_at(cut.min(rest.len()));
                if read.read(piece, 1, &written).is_err() {
                    let over = counted(&frames);
                    prop_assert!(over[Kind::Settings as usize] > Kind::Settings.allowed());
                    return Ok(());
                }
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read.counts, counted(&frames));
            prop_assert_eq!(read.streams, frames.iter().filter(|(kind, ..)| *kind == 1).count() as u64);
            prop_assert_eq!((read.header_len, read.payload_left), (0, 0));
        }

        #[test]
        fn whatever_comes_is_counted_alike_however_it_is_cut(
            bytes in prop::collection::vec(prop_oneof![4 => 0_u8..12, 1 => any::<u8>()], 0..3_000),
            size in 1_usize..40,
        ) {
            let told = |pieces: &[&[u8]]| {
                let (mut read, written) = (Frames::default(), Cell::new(0));
                let flood = pieces.iter().find_map(|piece| read.read(piece, 1, &written).err());
                (read.counts, read.streams, read.resets, read.settings_seen, flood)
            };
            prop_assert_eq!(told(&bytes.chunks(size).collect::<Vec<_>>()), told(&[&bytes]));
        }
    }

    #[test]
    fn a_second_forgets_and_what_is_written_earns_answers() {
        let (mut read, written) = (Frames::default(), Cell::new(0));
        read.read(PREFACE, 0, &written).unwrap();
        let pings: Vec<u8> = (0..1_000).flat_map(|_| frame(6, 0, 8)).collect();
        for second in 1..5 {
            read.read(&pings, second * WINDOW_MS, &written).unwrap();
        }
        assert_eq!(read.read(&frame(6, 0, 8), 4 * WINDOW_MS + 1, &written), Err(Kind::Ping));
        // Nothing is read behind the frame that was too many.
        let mut read = Frames::default();
        read.read(PREFACE, 4 * WINDOW_MS, &written).unwrap();
        written.set(BYTES_A_FRAME * 100);
        read.counts[Kind::Ping as usize] = 1_000;
        for _ in 0..100 {
            read.read(&frame(6, 0, 8), 4 * WINDOW_MS + 1, &written).unwrap();
        }
        assert_eq!(read.read(&frame(6, 0, 8), 4 * WINDOW_MS + 1, &written), Err(Kind::Ping));
    }

    #[test]
    fn whoever_resets_most_of_its_streams_is_ended_however_slowly() {
        let (mut read, written) = (Frames::default(), Cell::new(0));
        read.read(PREFACE, 0, &written).unwrap();
        let pair = [frame(1, 5, 10), frame(3, 0, 4)].concat();
        let ended = (0..1_000).find(|second| read.read(&pair, second * WINDOW_MS, &written).is_err());
        assert_eq!(ended, Some(crate::h2::bounds::RESETS_LOOKED_AT));
    }
}
