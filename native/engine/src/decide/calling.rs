//! What a gRPC call says of itself in its head, before anything else is asked.

use crate::exchange::{Denial, Exchange};
use crate::grpc::{Dialect, deadline};
use crate::head::Head;
use crate::reason::Reason;
use crate::snapshot::Host;

/// The services of `grpc.reflection`: what a host has can be read from them.
pub(crate) const REFLECTION: &str = "/grpc.reflection.";

/// Whether the call is one, when it ends, and whether it asks what there is to call.
pub(crate) fn call(exchange: &mut Exchange, host: &Host) -> Result<(), Denial> {
    let Some(dialect) = exchange.grpc else { return Ok(()) };
    let head = &exchange.head;
    if head.method() != "POST" {
        return Err(Denial { allow: Some("POST".to_owned()), ..Reason::GrpcCall.into() });
    }
    // PROTOCOL-HTTP2 demands it so that what lets no trailers through is found out: without, a call's status gets lost.
    if dialect == Dialect::Grpc && !head.values("te").any(|value| value.eq_ignore_ascii_case("trailers")) {
        return Err(Reason::GrpcCall.into());
    }
    let asked = timeout(head)?;
    let given = [asked, host.calls.max_deadline_us].into_iter().flatten().min();
    exchange.deadline_us = given.map(|given| exchange.started.mono_us.saturating_add(given));
    if given == Some(0) {
        return Err(Reason::GrpcDeadline.into());
    }
    if host.calls.hides_reflection && head.path().starts_with(REFLECTION) {
        return Err(Reason::GrpcReflection.into());
    }
    Ok(())
}

/// How long the client waits, in microseconds. Twice is as wrong as what is no timeout.
fn timeout(head: &Head) -> Result<Option<u64>, Denial> {
    let mut values = head.values("grpc-timeout");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => deadline::parse(value).map(Some).ok_or_else(|| Reason::GrpcCall.into()),
        (Some(_), Some(_)) => Err(Reason::GrpcCall.into()),
    }
}
