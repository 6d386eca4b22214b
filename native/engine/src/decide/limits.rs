//! The stage `limits`.

use super::Outcome;
use crate::exchange::Exchange;
use crate::peer::Peer;

/// The fleet's counters have answered for all of `limited.asks`, or nobody could ask them: by each, `None`.
pub fn asked(exchange: &mut Exchange, _peer: &Peer, _answers: &[Option<crate::limits::Taken>]) -> Outcome {
    exchange.limited.then.take().unwrap_or(Outcome::Deny)
}

/// The exchange has waited for its turn.
pub fn delayed(exchange: &mut Exchange) -> Outcome {
    exchange.limited.then.take().unwrap_or(Outcome::Deny)
}

/// Counts by what was answered, the gateway's own answers included; `fields` are names, lower-case, and values.
pub fn settled<'a>(
    _exchange: &mut Exchange,
    _peer: &Peer,
    _status: u16,
    _fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) {
}

/// The exchange is over, however it ended.
pub fn released(_exchange: &mut Exchange) {}
