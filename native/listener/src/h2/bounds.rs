//! What one HTTP/2 connection may take, each with where its number comes from.

/// Streams at once: what nginx and HAProxy allow (128, 100); RFC 9113, 6.5.2 advises no less than 100.
pub const STREAMS: u32 = 128;
/// Largest frame taken: the least that RFC 9113, 4.2 lets an endpoint announce. A larger one would only lie longer in
/// memory before it can be looked at.
pub const FRAME_BYTES: u32 = 16 * 1024;
/// A head as the engine counts it is 16 KiB; with RFC 9113's 32 octets a field it may be twice that and still be
/// answered by us, with a reason. Above, the `h2` crate answers 431 by itself and keeps nothing.
pub const HEAD_LIST_BYTES: u32 = 2 * portcullis_engine::head::MAX_HEAD_BYTES as u32;
/// What RFC 9113, 10.5.1 counts besides name and value.
pub const FIELD_OVERHEAD_BYTES: usize = 32;
/// Of a body that nobody takes yet: at 50 ms of round trip a stream brings 5 MB a second.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Of all bodies of a connection: one stream cannot use up what the others need (Go's and hyper's servers: 1 MiB).
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Of a response, handed to the connection and not written yet: the largest whole response of the upstream client.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// What DATA frames that wait may cost besides their bytes (`h2`, data_frame_budget): half the window, as is its default.
pub const SMALL_FRAMES_BYTES: usize = CONNECTION_WINDOW_BYTES as usize / 2;

/// Streams that a client has reset and nobody has looked at yet: the `h2` crate's answer to CVE-2023-44487, its default.
pub const RESETS_WAITING: usize = 20;
/// Streams that we reset and remember for a while, and those we reset for the client's errors: the crate's defaults.
pub const RESETS_KEPT: usize = 50;
pub const ERRORS: usize = 1024;
/// From so many streams on, a connection whose client resets more than half of them is ended (Envoy's numbers for
/// premature resets: 500, and half).
pub const RESETS_LOOKED_AT: u64 = 500;

/// Time for the preface and the first SETTINGS, from the connection's first byte on: nginx's client_header_timeout is
/// 60 s, Go's and Envoy's are unset; both frames are sent at once by every client, so a slow network's 10 s do.
pub const PREFACE_MS: u64 = 10_000;
/// Without a stream, a connection is told to go (nginx's keepalive_timeout).
pub const IDLE_MS: u64 = 75_000;
/// How long such a client may take to leave, and one that was told why it is put out.
pub const LEAVE_MS: u64 = 5_000;
/// A client that takes nothing of what is written for so long (uWebSockets.js ends such connections after 10 s; nginx's
/// send_timeout is 60 s), or whose stream makes no progress.
pub const STALL_MS: u64 = 30_000;
/// Streams of one connection that may make no progress for that long: they hold what others wait for (connections to
/// origins, bytes of responses). Above, those beyond are reset after [`CROWD_STALL_MS`]. Browsers stop reading at most a
/// handful at once (a video behind its buffer).
pub const STALLED: usize = 8;
/// Twice the round trip of a bad mobile network.
pub const CROWD_STALL_MS: u64 = 2_000;
/// How long a request that was answered ahead of its end may go on before it is reset: some round trips, so that the
/// answer is read first.
pub const LINGER_MS: u64 = 1_000;
/// Less than this in a stall's time is no progress: a window that opens by a byte holds as much as one that does not.
pub const PROGRESS_BYTES: usize = 1024;
/// How often the clocks above are looked at.
pub const LOOK_MS: u64 = 5_000;
