//! gRPC, as far as it decides: what a call is, how it is refused, and what its messages may hold.
//!
//! A call is told by its content type alone (gRPC over HTTP/2; gRPC-Web). Its path is its operation:
//! `/package.Service/Method`.

mod annotations;
pub mod answer;
mod call;
mod constraints;
pub mod deadline;
mod descriptors;
mod formats;
pub mod framing;
mod message;
mod model;
pub mod outline;
mod sources;
pub mod status;
mod values;
pub mod web;
mod wire;
pub mod written;

#[cfg(test)]
mod tests;

pub use call::{Call, Next, Terms};
pub use descriptors::{Described, Remarked, read};
pub use message::{Bounds, Room, Verdict};
pub use model::{Method, Model};
pub use sources::{SourceProblem, Sources, compile};
pub use values::{Values, Wanted};

/// Deepest nesting that may be allowed: the walk over a message is recursive. Readers of Protocol Buffers stop at 100.
pub const MAX_DEPTH: u32 = 100;
/// Largest message that may be allowed: it is held in memory whole. Servers take 4 MiB unless they are told otherwise.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// How a request's messages are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `application/grpc`, with `+proto` or another format.
    #[default]
    Grpc,
    /// `application/grpc-web`: the trailers are the last frame of the body.
    Web,
    /// `application/grpc-web-text`: the same in base64.
    WebText,
}

impl Dialect {
    /// Of a content type; None when it is no call. Parameters and case do not matter (RFC 9110, 8.3.1).
    #[must_use]
    pub fn of(content_type: &str) -> Option<Dialect> {
        let (kind, _) = kind_and_format(content_type);
        let all = [Dialect::Grpc, Dialect::Web, Dialect::WebText];
        all.into_iter().find(|dialect| kind.eq_ignore_ascii_case(dialect.essence()))
    }

    /// The content type without a format.
    #[must_use]
    pub fn essence(self) -> &'static str {
        match self {
            Dialect::Grpc => "application/grpc",
            Dialect::Web => "application/grpc-web",
            Dialect::WebText => "application/grpc-web-text",
        }
    }
}

/// What stands ahead of a content type's `+`, and behind it. Parameters are in neither.
fn kind_and_format(content_type: &str) -> (&str, Option<&str>) {
    let essence = content_type.split(';').next().unwrap_or_default().trim_ascii();
    essence.split_once('+').map_or((essence, None), |(kind, format)| (kind, Some(format)))
}

/// What a host demands of its calls, whatever their messages are.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallTerms {
    /// No call lasts longer.
    pub max_deadline_us: Option<u64>,
    /// Calls of `grpc.reflection` are refused.
    pub hides_reflection: bool,
}

#[cfg(test)]
mod dialect {
    use super::*;

    #[test]
    fn a_call_is_told_by_its_content_type() {
        assert_eq!(Dialect::of("application/grpc"), Some(Dialect::Grpc));
        assert_eq!(Dialect::of("Application/gRPC+proto; charset=x"), Some(Dialect::Grpc));
        assert_eq!(Dialect::of("application/grpc-web+proto"), Some(Dialect::Web));
        assert_eq!(Dialect::of("application/grpc-web-text"), Some(Dialect::WebText));
        assert_eq!(Dialect::of("application/grpcx"), None);
        assert_eq!(Dialect::of("application/json"), None);
    }
}
