//! Two clocks read together, and the ids made from them.

use portcullis_engine::exchange::Now;

pub fn now() -> Now {
    Now { mono_us: mono_us(), unix_ms: read(libc::CLOCK_REALTIME_COARSE) / 1_000_000 }
}

pub fn mono_us() -> u64 {
    read(libc::CLOCK_MONOTONIC) / 1000
}

/// Nanoseconds.
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both clocks exist on every Linux; `time` outlives the call.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Request ids: 128 bits, unique, not secret. xoshiro256++ seeded by the operating system.
pub struct Ids {
    state: [u64; 4],
}

impl Ids {
    pub fn seeded() -> Ids {
        let mut state = [0u64; 4];
        // SAFETY: fills 32 bytes of an array of that size. Fewer bytes (never, for requests up to 256) only weaken the seed.
        let filled = unsafe { libc::getrandom(state.as_mut_ptr().cast(), 32, 0) };
        if filled != 32 || state == [0; 4] {
            state = [
                read(libc::CLOCK_REALTIME),
                read(libc::CLOCK_MONOTONIC),
                std::process::id().into(),
                &raw const state as u64,
            ];
        }
        Ids { state }
    }

    pub fn word(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// 32 hex digits; never all zero, which traceparent forbids.
    pub fn request_id(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        hex(self.word() | 1, &mut out[..16]);
        hex(self.word(), &mut out[16..]);
        out
    }
}

/// Sixteen lower-case hex digits.
pub fn hex(word: u64, out: &mut [u8]) {
    for (place, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(word >> (60 - 4 * place)) as usize & 15];
    }
}
