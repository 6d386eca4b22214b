//! Event lines on their way out: each edge thread appends to a buffer of its own, the control plane drains all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// Most bytes that wait in one thread's buffer: two seconds of a thread's full traffic at 500 bytes a line.
const MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;

/// One thread's lines, as the control plane sees them.
struct Waiting {
    shared: Arc<Mutex<Vec<u8>>>,
    /// Taken from the thread whole, by swapping; handed over up to `at`.
    taken: Vec<u8>,
    at: usize,
}

static BUFFERS: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());
/// Share of plain access lines that are written, in 2^-32; security events always are.
static SAMPLE: AtomicU64 = AtomicU64::new(1 << 32);

pub fn set_sample_rate(rate: f64) {
    SAMPLE.store((rate.clamp(0.0, 1.0) * 4_294_967_296.0) as u64, Ordering::Relaxed);
}

pub struct Journal {
    shared: Arc<Mutex<Vec<u8>>>,
    /// Lines written while the control plane held the shared buffer.
    own: Vec<u8>,
}

impl Journal {
    pub fn register() -> Journal {
        let shared = Arc::new(Mutex::new(Vec::new()));
        buffers().push(Waiting { shared: shared.clone(), taken: Vec::new(), at: 0 });
        Journal { shared, own: Vec::new() }
    }

    pub fn sampled(&self, random: u64) -> bool {
        (random >> 32) < SAMPLE.load(Ordering::Relaxed)
    }

    /// Appends a line; false when it had to be dropped. Never waits.
    pub fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        match self.shared.try_lock() {
            Ok(mut shared) => {
                if shared.len() + self.own.len() > MAX_WAITING_BYTES {
                    return false;
                }
                if !self.own.is_empty() {
                    shared.append(&mut self.own);
                }
                write(&mut shared);
                true
            }
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => {
                if self.own.len() > MAX_WAITING_BYTES {
                    return false;
                }
                write(&mut self.own);
                true
            }
        }
    }

    /// Hands over lines that no later exchange has flushed.
    pub fn flush(&mut self) {
        if !self.own.is_empty()
            && let Ok(mut shared) = self.shared.try_lock()
        {
            shared.append(&mut self.own);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.own);
    }
}

fn buffers() -> std::sync::MutexGuard<'static, Vec<Waiting>> {
    BUFFERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves whole lines into `out`; 0 when nothing waits. The buffers of threads that ended go once they are empty.
pub fn drain(out: &mut [u8]) -> usize {
    let mut filled = 0;
    buffers().retain_mut(|waiting| {
        if waiting.at == waiting.taken.len() {
            waiting.taken.clear();
            waiting.at = 0;
            std::mem::swap(&mut *waiting.shared.lock().unwrap_or_else(PoisonError::into_inner), &mut waiting.taken);
        }
        let (lines, room) = (&waiting.taken[waiting.at..], out.len() - filled);
        let count = if lines.len() <= room {
            lines.len()
        } else {
            lines[..room].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
        };
        out[filled..filled + count].copy_from_slice(&lines[..count]);
        filled += count;
        waiting.at += count;
        // A thread that ended left its last lines in `shared`: two holders until then.
        let is_empty = waiting.at == waiting.taken.len()
            && waiting.shared.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        Arc::strong_count(&waiting.shared) > 1 || !is_empty
    });
    filled
}
