//! One call under way: its messages as they come, each judged when it is whole.

use super::framing::{Fault, Framing};
use super::message::{Bounds, Room, Verdict};
use super::model::Model;
use super::values::{Values, Wanted};
use super::{Dialect, kind_and_format};
use crate::head::Head;
use crate::reason::Reason;
use crate::schema::coding::{Coding, with_expanded};
use crate::schema::{Class, Location, Violation, ViolationError};

/// What holds for the messages of a call.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub model: &'a Model,
    pub bounds: Bounds,
    pub max_message_bytes: usize,
    /// What expressions read of the messages.
    pub wanted: &'a Wanted,
}

/// A call whose messages are looked at.
#[derive(Debug)]
pub struct Call {
    method: u32,
    client_streams: bool,
    coding: Coding,
    framing: Framing,
    room: Room,
    /// Of the message that was read last.
    values: Values,
    /// Messages so far.
    messages: u64,
    /// Nothing goes to the origin before the first message was found good, not even the head.
    pub held: bool,
    /// Violations that were only recorded.
    pub told: u32,
    /// Where the next message begins is not known any more, and what comes is passed on.
    lost: bool,
}

/// What comes next of a piece.
#[derive(Debug)]
pub enum Next {
    /// A whole message, and what is to be said of it.
    Message(Verdict),
    /// The piece is used up.
    More,
    /// What comes is no message.
    Broken(Violation),
}

impl Call {
    /// A call of a method whose head came.
    ///
    /// # Errors
    /// Why its messages could not be read.
    pub fn new(terms: &Terms<'_>, method: u32, head: &Head) -> Result<Call, Violation> {
        let Some(described) = terms.model.methods.get(method as usize) else {
            return Err(violation(Reason::GrpcFormat, Location::Header, Class::MediaType, "", "no such method"));
        };
        if !is_proto(head.field("content-type").unwrap_or_default()) {
            let message = "expected application/grpc, with +proto or nothing behind it";
            return Err(violation(Reason::GrpcFormat, Location::Header, Class::MediaType, "/content-type", message));
        }
        let coding = match Coding::named(head.values("grpc-encoding")) {
            Some(coding @ (Coding::Identity | Coding::Gzip | Coding::Deflate)) => coding,
            Some(Coding::Brotli | Coding::Zstd) | None => {
                let message = "expected identity, gzip or deflate";
                return Err(violation(
                    Reason::GrpcEncoding,
                    Location::Header,
                    Class::MediaType,
                    "/grpc-encoding",
                    message,
                ));
            }
        };
        if !described.client_streams && !head.has_body() {
            return Err(malformed("expected a message"));
        }
        Ok(Call {
            method,
            client_streams: described.client_streams,
            coding,
            framing: Framing::new(terms.max_message_bytes),
            room: Room::default(),
            values: Values::default(),
            messages: 0,
            held: !described.client_streams,
            told: 0,
            lost: false,
        })
    }

    /// To be called with each new piece.
    pub fn begin(&mut self) {
        self.framing.begin();
    }

    /// Reads the next message of a piece, with `at` behind it. Of a piece that ends the body, `last`.
    pub fn next(&mut self, terms: &Terms<'_>, piece: &[u8], at: &mut usize, last: bool) -> Next {
        match self.framing.next(piece, at) {
            Ok(Some(frame)) => {
                self.messages += 1;
                if self.messages > 1 && !self.client_streams {
                    return Next::Broken(malformed("expected one message, found more"));
                }
                let Call { framing, room, values, method, coding, .. } = self;
                let bytes = framing.bytes(&frame, piece);
                let mut judge = |message: &[u8]| {
                    let verdict = terms.model.check(*method, message, terms.bounds, room);
                    values.clear();
                    if !terms.wanted.is_empty() && verdict.violation.is_none() {
                        terms.model.read_values(*method, message, terms.wanted, values);
                    }
                    verdict
                };
                if !frame.compressed {
                    return Next::Message(judge(bytes));
                }
                if *coding == Coding::Identity {
                    return Next::Broken(malformed("compressed, and grpc-encoding does not say how"));
                }
                match with_expanded(*coding, bytes, terms.max_message_bytes, judge) {
                    Ok(verdict) => Next::Message(verdict),
                    Err(too_large) => {
                        let violation = if too_large {
                            large("expands beyond the bound")
                        } else {
                            malformed("not compressed as grpc-encoding says")
                        };
                        Next::Message(Verdict { violation: Some(violation), unknown: None })
                    }
                }
            }
            Ok(None) if !last => Next::More,
            Ok(None) if !self.framing.part().is_empty() => Next::Broken(malformed(&Fault::Truncated.to_string())),
            Ok(None) if self.messages == 0 && !self.client_streams => Next::Broken(malformed("expected a message")),
            Ok(None) => Next::More,
            Err(Fault::Large) => Next::Broken(large(&format!("expected at most {} bytes", terms.max_message_bytes))),
            Err(fault) => Next::Broken(malformed(&fault.to_string())),
        }
    }

    /// A message that became whole with the last piece, but began in earlier ones: it goes on first.
    #[must_use]
    pub fn whole(&self) -> &[u8] {
        self.framing.whole()
    }

    /// Stops looking: what comes goes on as it is, and so does what was gathered.
    pub fn lose(&mut self) {
        self.lost = true;
        self.framing.lose();
    }

    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }
}

/// Whether messages are in the wire format of Protocol Buffers: what the content type says when it says nothing.
fn is_proto(content_type: &str) -> bool {
    let (_, format) = kind_and_format(content_type);
    Dialect::of(content_type).is_some() && format.is_none_or(|format| format.eq_ignore_ascii_case("proto"))
}

fn malformed(message: &str) -> Violation {
    violation(Reason::GrpcMalformed, Location::Message, Class::Malformed, "", message)
}

fn large(message: &str) -> Violation {
    violation(Reason::GrpcTooLarge, Location::Message, Class::Size, "", message)
}

fn violation(reason: Reason, location: Location, class: Class, pointer: &str, message: &str) -> Violation {
    let error = ViolationError { location, class, pointer: pointer.to_owned(), message: message.to_owned() };
    Violation { reason, errors: vec![error] }
}
