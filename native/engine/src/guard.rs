//! Panics stop here: one request is denied, nothing else happens.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `act`; a panic becomes None. What `act` was changing may be half changed: callers deny the request and
/// throw its state away.
pub fn guarded<T>(act: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_becomes_none_and_the_next_call_works() {
        assert_eq!(super::guarded(|| -> u32 { panic!("a bug") }), None);
        assert_eq!(super::guarded(|| 7), Some(7));
    }
}
