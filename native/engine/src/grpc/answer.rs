//! A denial as gRPC answers it: HTTP 200, and the status where the client's library looks for it.
//!
//! gRPC: trailers-only, that is a response of a head alone. gRPC-Web: a body of one trailers frame, which scripts of
//! other origins can read without `Access-Control-Expose-Headers`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::status::{self, Detail};
use super::{Dialect, kind_and_format, web};
use crate::exchange::{Denial, Exchange};
use crate::head::Head;
use crate::schema::ViolationError;

/// What all reasons belong to (`google.rpc.ErrorInfo.domain`).
const DOMAIN: &str = "portcullis";
/// Most bytes of a format that is given back: those in use are `proto`, `json` and the like.
const MAX_FORMAT_BYTES: usize = 64;

/// The lines of a status, each preceded by CR LF.
pub fn status_lines(
    out: &mut String,
    exchange: &Exchange,
    denial: &Denial,
    retry_after_s: Option<u64>,
    told: &[&ViolationError],
    with_messages: bool,
) {
    let entry = denial.reason.entry();
    let reason = exchange.reason_id(denial);
    let violations: Vec<(String, &str)> = told
        .iter()
        .map(|error| (field_path(&error.pointer), if with_messages { error.message.as_str() } else { "" }))
        .collect();
    let metadata = [("requestId", exchange.id.as_str())];
    let mut details = vec![Detail::ErrorInfo { reason: &reason, domain: DOMAIN, metadata: &metadata }];
    details.extend(retry_after_s.map(|seconds| Detail::RetryInfo { seconds }));
    if !violations.is_empty() {
        details.push(Detail::BadRequest { violations: &violations });
    }
    let _ = write!(out, "\r\ngrpc-status: {}\r\ngrpc-message: ", entry.grpc);
    percent_encode(out, entry.title);
    out.push_str("\r\ngrpc-status-details-bin: ");
    STANDARD_NO_PAD.encode_string(status::encode(entry.grpc, entry.title, &details), out);
}

/// What kind of answer a call gets, and its content type: that of the call, or the one that a gRPC-Web client asks for
/// (PROTOCOL-WEB, "the Accept header").
#[must_use]
pub fn answered_as(head: &Head, dialect: Dialect) -> (Dialect, String) {
    let accepted = || head.field("accept")?.split(',').find_map(Dialect::of).filter(|wanted| *wanted != Dialect::Grpc);
    let dialect = if dialect == Dialect::Grpc { dialect } else { accepted().unwrap_or(dialect) };
    (dialect, content_type(head, dialect))
}

/// The content type of a dialect, with the format of a call's messages behind it.
#[must_use]
pub fn content_type(head: &Head, dialect: Dialect) -> String {
    let format = kind_and_format(head.field("content-type").unwrap_or_default()).1.unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'+');
    let format = if format.len() <= MAX_FORMAT_BYTES && format.bytes().all(is_name) { format } else { "" };
    let plus = if format.is_empty() { "" } else { "+" };
    format!("{}{plus}{format}", dialect.essence())
}

/// Puts status lines where the dialect has them: into the head, or into a frame in the body.
pub fn place(dialect: Dialect, lines: &str, fields: &mut String, body: &mut Vec<u8>) {
    match dialect {
        Dialect::Grpc => fields.push_str(lines),
        Dialect::Web | Dialect::WebText => {
            let mut frame = Vec::with_capacity(lines.len() + 8);
            web::trailers_frame(lines.trim_ascii_start().as_bytes(), &mut frame);
            web::encode(dialect, &frame, body);
        }
    }
}

/// Percent-encodes what is not visible ASCII, and the percent sign (PROTOCOL-HTTP2, "Percent-Encoded").
pub fn percent_encode(out: &mut String, message: &str) {
    for byte in message.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// `/user/names/0` as `user.names[0]`, which is how `google.rpc.BadRequest` names fields. Those of messages are named so
/// already.
fn field_path(pointer: &str) -> String {
    if !pointer.starts_with('/') {
        return pointer.to_owned();
    }
    let mut path = String::with_capacity(pointer.len());
    for part in pointer.split('/').skip(1) {
        if !path.is_empty() && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            let _ = write!(path, "[{part}]");
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&part.replace("~1", "/").replace("~0", "~"));
    }
    path
}
