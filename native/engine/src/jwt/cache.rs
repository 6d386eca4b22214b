//! Verified tokens of one thread.

/// Bounded; one per edge thread.
#[derive(Debug, Default)]
pub struct Cache {}
