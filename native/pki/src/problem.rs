//! Why a command was refused: what was found and what would do. Never holds a secret.

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub message: String,
    pub hint: String,
}

pub(crate) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem { message: message.into(), hint: hint.into() }
    }
}

/// What only a defect of ours, or a machine without memory or randomness, can cause.
pub(crate) fn internal(what: &str) -> Problem {
    Problem::new(format!("{what} failed inside the gateway"), "Try again; report it if it stays.")
}

impl From<der::Error> for Problem {
    /// Encoding of what was checked before does not fail; a decoder gives its own problem.
    fn from(_: der::Error) -> Problem {
        internal("encoding DER")
    }
}

impl From<aws_lc_rs::error::Unspecified> for Problem {
    fn from(_: aws_lc_rs::error::Unspecified) -> Problem {
        internal("cryptography")
    }
}
