//! What a thread's exchanges ask the fleet's counters, in batches: all of a turn of the loop at once.

use portcullis_engine::limits::Taken;
use portcullis_forward::Token;

/// Of one edge thread.
#[derive(Debug, Default)]
pub struct Asking {
    /// The counters can be asked.
    up: bool,
    waiting: Vec<Token>,
}

/// What came of an exchange's questions.
pub enum Asked {
    Answered(Vec<Option<Taken>>),
    /// It is in no such batch.
    Stranger,
}

impl Asking {
    pub fn set_up(&mut self, up: bool) {
        self.up = up;
    }

    /// False when nobody can be asked.
    pub fn join(&mut self, token: Token) -> bool {
        if self.up {
            self.waiting.push(token);
        }
        self.up
    }

    pub fn answers(&mut self, _batch: u32, _token: Token) -> Asked {
        Asked::Stranger
    }
}
