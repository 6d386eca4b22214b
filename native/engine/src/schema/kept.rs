//! Buffers that a thread keeps from one body to the next.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Lends a thread's buffers to `work`. They are kept for the next time if `fits` says so, else replaced by new ones.
pub(super) fn lend<T: Default + 'static, R>(
    slot: &'static LocalKey<RefCell<T>>,
    work: impl FnOnce(&mut T) -> R,
    fits: impl FnOnce(&T) -> bool,
) -> R {
    slot.with(|slot| {
        // Taken, not borrowed: a panic while they are in use then leaves empty buffers behind, not locked ones.
        let mut kept = slot.take();
        let outcome = work(&mut kept);
        if fits(&kept) {
            slot.replace(kept);
        }
        outcome
    })
}
