//! Against other implementations: prost for the messages, the `base64` crate for text. And what denials look like.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proptest::prelude::*;
use prost::Message as _;

use super::status::{Detail, MAX_STATUS_BYTES, encode};
use super::web::{self, NotBase64, TextReader};
use super::{Dialect, answer};
use crate::answer::{Answer, last_words};
use crate::exchange::{Denial, Exchange};
use crate::limits::Exceeded;
use crate::reason::Reason;
use crate::schema::{Class, Location, ViolationError};

/// The messages as googleapis/google/rpc has them.
mod rpc {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Status {
        #[prost(int32, tag = "1")]
        pub code: i32,
        #[prost(string, tag = "2")]
        pub message: String,
        #[prost(message, repeated, tag = "3")]
        pub details: Vec<Any>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Any {
        #[prost(string, tag = "1")]
        pub type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        pub value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ErrorInfo {
        #[prost(string, tag = "1")]
        pub reason: String,
        #[prost(string, tag = "2")]
        pub domain: String,
        #[prost(btree_map = "string, string", tag = "3")]
        pub metadata: std::collections::BTreeMap<String, String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        pub retry_delay: Option<Duration>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Duration {
        #[prost(int64, tag = "1")]
        pub seconds: i64,
        #[prost(int32, tag = "2")]
        pub nanos: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct BadRequest {
        #[prost(message, repeated, tag = "1")]
        pub field_violations: Vec<FieldViolation>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct FieldViolation {
        #[prost(string, tag = "1")]
        pub field: String,
        #[prost(string, tag = "2")]
        pub description: String,
    }
}

impl rpc::Status {
    fn of(bytes: &[u8]) -> rpc::Status {
        let status = rpc::Status::decode(bytes).unwrap();
        assert_eq!(status.encode_to_vec(), bytes, "encoded as prost does");
        status
    }

    fn detail<M: prost::Message + Default>(&self, name: &str) -> Option<M> {
        let url = format!("type.googleapis.com/google.rpc.{name}");
        let any = self.details.iter().find(|any| any.type_url == url)?;
        let detail = M::decode(any.value.as_slice()).unwrap();
        assert_eq!(detail.encode_to_vec(), any.value, "encoded as prost does");
        Some(detail)
    }
}

proptest! {
    #[test]
    fn a_status_is_read_by_others(
        code in 0_u8..17,
        message in "\\PC{0,300}",
        reason in "[a-z.]{0,30}",
        metadata in prop::collection::btree_map("[a-z]{1,9}", "\\PC{0,200}", 0..3),
        seconds in prop::option::of(0_u64..1 << 62),
        violations in prop::collection::vec(("\\PC{0,60}", "\\PC{0,200}"), 0..30),
    ) {
        let pairs: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let told: Vec<(String, &str)> = violations.iter().map(|(field, told)| (field.clone(), told.as_str())).collect();
        let mut details = vec![Detail::ErrorInfo { reason: &reason, domain: "portcullis", metadata: &pairs }];
        details.extend(seconds.map(|seconds| Detail::RetryInfo { seconds }));
        details.push(Detail::BadRequest { violations: &told });
        let bytes = encode(code, &message, &details);
        prop_assert!(bytes.len() <= MAX_STATUS_BYTES);
        let status = rpc::Status::of(&bytes);
        prop_assert_eq!((status.code, &status.message), (i32::from(code), &message));
        let info: rpc::ErrorInfo = status.detail("ErrorInfo").unwrap();
        prop_assert_eq!((info.reason, info.domain.as_str(), info.metadata), (reason, "portcullis", metadata));
        let retry: Option<rpc::RetryInfo> = status.detail("RetryInfo");
        prop_assert_eq!(retry.map(|retry| retry.retry_delay.unwrap().seconds as u64), seconds);
        let bad: rpc::BadRequest = status.detail("BadRequest").unwrap_or_default();
        let size: usize = told.iter().map(|(field, told)| field.len() + told.len() + 8).sum();
        prop_assert!(bad.field_violations.len() == told.len() || bytes.len() + size > MAX_STATUS_BYTES);
        for (found, (field, told)) in bad.field_violations.iter().zip(&told) {
            prop_assert_eq!((found.field.as_str(), found.description.as_str()), (field.as_str(), *told));
        }
    }

    #[test]
    fn text_is_read_however_it_is_cut(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
        cuts in prop::collection::vec(0_usize..300, 0..12),
    ) {
        // Padded where a client's buffer ended.
        let text: Vec<u8> = pieces.iter().flat_map(|piece| STANDARD.encode(piece).into_bytes()).collect();
        prop_assert_eq!(read(&text, &cuts), Ok(pieces.concat()));
    }

    #[test]
    fn text_that_is_not_whole_groups_is_refused(piece in prop::collection::vec(any::<u8>(), 1..50), cut in 1_usize..4) {
        let text = STANDARD.encode(piece);
        prop_assert_eq!(read(&text.as_bytes()[..text.len() - cut], &[7]), Err(NotBase64));
    }

    #[test]
    fn text_is_what_another_reader_takes(text in "[A-Za-z0-9+/=]{0,4}|.{4}") {
        prop_assert_eq!(read(text.as_bytes(), &[]).ok(), STANDARD.decode(&text).ok());
    }

    #[test]
    fn what_is_written_as_text_is_read_again(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
        cuts in prop::collection::vec(0_usize..300, 0..12),
    ) {
        let mut text = Vec::new();
        for piece in &pieces {
            let before = text.len();
            web::encode(Dialect::WebText, piece, &mut text);
            prop_assert_eq!(text.len() - before, web::encoded_bytes(Dialect::WebText, piece.len()));
        }
        prop_assert_eq!(read(&text, &cuts), Ok(pieces.concat()));
    }

    #[test]
    fn messages_come_through_percent_encoding(message in "\\PC{0,80}|[\\x00-\\x7f]{0,80}") {
        let mut out = String::new();
        answer::percent_encode(&mut out, &message);
        prop_assert!(out.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{out:?}");
        prop_assert_eq!(percent_decode(&out), message.into_bytes());
    }
}

fn read(text: &[u8], cuts: &[usize]) -> Result<Vec<u8>, NotBase64> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.min(&text.len()).to_owned()).chain([0, text.len()]).collect();
    cuts.sort_unstable();
    let (mut reader, mut out) = (TextReader::default(), Vec::new());
    for pair in cuts.windows(2) {
        reader.push(&text[pair[0]..pair[1]], &mut out)?;
    }
    reader.end()?;
    Ok(out)
}

fn percent_decode(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            out.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
            rest = &rest[2..];
        } else {
            out.push(byte);
        }
    }
    out
}

#[test]
fn trailers_are_a_frame_with_lower_case_names() {
    let mut frame = Vec::new();
    web::trailers_frame(b"Grpc-Status: 0\r\nX-Trail-Bin:AAEC\r\ngrpc-message: ", &mut frame);
    let block = b"grpc-status: 0\r\nx-trail-bin: AAEC\r\ngrpc-message: \r\n";
    assert_eq!(frame[..5], [0x80, 0, 0, 0, block.len() as u8]);
    assert_eq!(&frame[5..], block);
    frame.clear();
    web::trailers_frame(b"", &mut frame);
    assert_eq!(frame, [0x80, 0, 0, 0, 0]);
}

// --- answers to gRPC-Web ----------------------------------------------------------------------------------------------

const HEAD: &[u8] = b"200 OK\r\nX-Request-Id: 1\r\ncontent-type: application/grpc+proto\r\nx-more: a:b";

/// A whole answer as the client gets it: head, and body with text read.
fn translated(dialect: Dialect, head: &[u8], pieces: &[Vec<u8>], trailers: Option<&[u8]>) -> Option<(String, Vec<u8>)> {
    let mut answer = web::Answer::new(dialect, format!("{}+proto", dialect.essence()));
    let (mut block, mut body) = (Vec::new(), Vec::new());
    if !answer.head(head, &mut block) {
        assert!(block.is_empty());
        return None;
    }
    for piece in pieces {
        answer.piece(piece, &mut body);
    }
    if let Some(lines) = trailers {
        answer.trailers(lines, &mut body);
    }
    answer.end(&mut body);
    if dialect == Dialect::WebText {
        body = read(&body, &[3, 50]).unwrap();
    }
    Some((String::from_utf8(block).unwrap(), body))
}

proptest! {
    #[test]
    fn an_answer_is_its_pieces_and_a_frame_of_its_trailers(
        text in any::<bool>(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
    ) {
        let dialect = if text { Dialect::WebText } else { Dialect::Web };
        let (head, body) = translated(dialect, HEAD, &pieces, Some(b"grpc-status: 5\r\nX-A-Bin: AAEC")).unwrap();
        prop_assert_eq!(head, format!("200 OK\r\nX-Request-Id: 1\r\nContent-Type: {}+proto\r\nx-more: a:b", dialect.essence()));
        let sent = pieces.concat();
        prop_assert_eq!(&body[..sent.len()], sent.as_slice());
        prop_assert_eq!(in_frame(&body[sent.len()..]), "grpc-status: 5\r\nx-a-bin: AAEC\r\n");
    }

    #[test]
    fn whatever_an_origin_sends_text_and_bytes_say_the_same(
        fields in "([\\x00-\\x7f]{0,9}|\r\n|grpc-status: ?[0-9]{0,3}|:){0,9}",
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..4),
        trailers in prop::option::of("([\\x00-\\x7f]{0,9}|\r\n|Grpc-Message: a|:){0,9}"),
    ) {
        let head = [HEAD, b"\r\n", fields.as_bytes()].concat();
        let trailers = trailers.as_ref().map(String::as_bytes);
        let (block, body) = translated(Dialect::Web, &head, &pieces, trailers).unwrap();
        // Who looks for the status finds none in the head.
        prop_assert_eq!(web::status_of(block.as_bytes()), None);
        let sent = pieces.concat();
        prop_assert!(body.starts_with(&sent));
        if body.len() > sent.len() {
            let lines = in_frame(&body[sent.len()..]);
            prop_assert!(lines.is_empty() || lines.ends_with("\r\n"));
        }
        prop_assert_eq!(translated(Dialect::WebText, &head, &pieces, trailers).unwrap().1, body);
    }
}

#[test]
fn a_status_in_the_head_moves_into_the_body() {
    let head = [HEAD, b"\r\nGrpc-Status: 7\r\ngrpc-message: no"].concat();
    let (block, body) = translated(Dialect::Web, &head, &[], None).unwrap();
    assert_eq!(block, "200 OK\r\nX-Request-Id: 1\r\nContent-Type: application/grpc-web+proto\r\nx-more: a:b");
    assert_eq!(in_frame(&body), "grpc-status: 7\r\ngrpc-message: no\r\n");
    // What came last counts.
    let (_, body) = translated(Dialect::Web, &head, &[], Some(b"grpc-status: 0")).unwrap();
    assert_eq!(in_frame(&body), "grpc-status: 0\r\n");
}

#[test]
fn what_is_no_answer_to_a_call_stays_as_it_is() {
    assert_eq!(translated(Dialect::Web, b"503 Service Unavailable\r\nContent-Type: text/html", &[], None), None);
    assert_eq!(translated(Dialect::Web, b"200 OK", &[], None), None);
}

#[test]
fn a_status_is_found_in_lines() {
    assert_eq!(web::status_of(b"200 OK\r\nGrpc-Status: 7"), Some(7));
    assert_eq!(web::status_of(b"a: 1\r\ngrpc-status:16\r\n"), Some(16));
    for none in
        [&b""[..], b"grpc-status", b"grpc-status: ", b"grpc-status: 300", b"grpc-status: -1", b"x-grpc-status: 1"]
    {
        assert_eq!(web::status_of(none), None);
    }
}

// --- denials ----------------------------------------------------------------------------------------------------------

const ID: &str = "0123456789abcdef0123456789abcdef";

fn call(dialect: Dialect, fields: &str) -> Exchange {
    let mut exchange = Exchange::default();
    exchange.head.parse_text(&format!("POST /pay.v1.Payments/Charge\nhost:api.example\n{fields}")).unwrap();
    exchange.id.push_str(ID);
    exchange.grpc = Some(dialect);
    exchange
}

fn rendered(exchange: &Exchange, denial: &Denial) -> (Answer, Vec<(String, String)>) {
    let mut answer = Answer::default();
    answer.render(exchange, denial);
    let line = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let fields = answer.fields.split("\r\n").skip(1).map(|text| line(text).expect("a field")).collect();
    (answer, fields)
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} twice");
    value
}

fn details(fields: &[(String, String)]) -> rpc::Status {
    let text = field(fields, "grpc-status-details-bin").unwrap();
    rpc::Status::of(&STANDARD_NO_PAD.decode(text).unwrap())
}

#[test]
fn a_call_is_denied_by_trailers_only() {
    let exchange = call(Dialect::Grpc, "content-type:application/grpc+proto\nte:trailers");
    let challenges = "\r\nWWW-Authenticate: Bearer realm=\"api.example\"".into();
    let (answer, fields) = rendered(&exchange, &Denial { challenges, ..Reason::JwtExpired.into() });
    assert_eq!((answer.status, answer.body.len(), answer.close), (200, 0, false));
    assert_eq!(field(&fields, "content-type"), Some("application/grpc+proto"));
    assert_eq!(field(&fields, "grpc-status"), Some("16"));
    assert_eq!(field(&fields, "grpc-message"), Some("The token has expired."));
    assert_eq!(field(&fields, "www-authenticate"), Some("Bearer realm=\"api.example\""));
    let status = details(&fields);
    assert_eq!((status.code, status.message.as_str()), (16, "The token has expired."));
    let info: rpc::ErrorInfo = status.detail("ErrorInfo").unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("jwt.expired", "portcullis"));
    assert_eq!(info.metadata.into_iter().collect::<Vec<_>>(), [("requestId".to_owned(), ID.to_owned())]);
    assert_eq!(status.details.len(), 1);
}

#[test]
fn an_answer_that_breaks_off_has_a_status_too() {
    let exchange = call(Dialect::Grpc, "content-type:application/grpc");
    let lines = last_words(&exchange, &Reason::OriginClosed.into());
    assert!(
        lines.starts_with(
            "grpc-status: 14\r\ngrpc-message: The origin closed the connection.\r\ngrpc-status-details-bin: "
        ),
        "{lines}"
    );
}

#[test]
fn every_reason_has_a_status_that_is_an_error() {
    for &reason in Reason::ALL {
        let exchange = call(Dialect::Grpc, "content-type:application/grpc");
        let (answer, fields) = rendered(&exchange, &reason.into());
        let code: u8 = field(&fields, "grpc-status").unwrap().parse().unwrap();
        assert!(answer.status == 200 && (1..=16).contains(&code), "{}", reason.id());
        assert_eq!(details(&fields).code, i32::from(code));
    }
}

#[test]
fn limits_and_overloads_say_when_to_come_back() {
    let exchange = call(Dialect::Grpc, "content-type:application/grpc");
    let limit = Exceeded { rule: crate::limits::QUOTA, key: crate::limits::Key([0; 2]), retry_after_s: 17 };
    let (_, fields) = rendered(&exchange, &Denial { limit: Some(Box::new(limit)), ..Reason::LimitsQuota.into() });
    let retry: rpc::RetryInfo = details(&fields).detail("RetryInfo").unwrap();
    assert_eq!(retry.retry_delay, Some(rpc::Duration { seconds: 17, nanos: 0 }));
    assert_eq!((field(&fields, "grpc-status"), field(&fields, "retry-after")), (Some("8"), Some("17")));
    let (_, fields) = rendered(&exchange, &Reason::InternalOverload.into());
    let retry: rpc::RetryInfo = details(&fields).detail("RetryInfo").unwrap();
    assert_eq!(retry.retry_delay, Some(rpc::Duration { seconds: 1, nanos: 0 }));
    assert_eq!(field(&fields, "grpc-status"), Some("14"));
}

#[test]
fn violations_name_fields() {
    let exchange = call(Dialect::Grpc, "content-type:application/grpc");
    let error = |location, pointer: &str| ViolationError {
        location,
        class: Class::Length,
        pointer: pointer.to_owned(),
        message: "at most 3 characters".to_owned(),
    };
    let errors = vec![error(Location::Body, "/user/names/0/a~1b"), error(Location::Response, "/body/secret")];
    let (_, fields) = rendered(&exchange, &Denial { errors, ..Reason::SchemaBody.into() });
    let bad: rpc::BadRequest = details(&fields).detail("BadRequest").unwrap();
    assert_eq!(
        bad.field_violations,
        [rpc::FieldViolation { field: "user.names[0].a/b".to_owned(), description: "at most 3 characters".to_owned() }]
    );
}

#[test]
fn grpc_web_is_denied_by_a_frame_of_trailers() {
    let exchange = call(Dialect::Web, "content-type:application/grpc-web+proto");
    let (answer, fields) = rendered(&exchange, &Reason::MtlsMissing.into());
    assert_eq!(answer.status, 200);
    assert_eq!(field(&fields, "content-type"), Some("application/grpc-web+proto"));
    assert_eq!(field(&fields, "grpc-status"), None);
    let lines = in_frame(&answer.body);
    assert!(lines.starts_with("grpc-status: 16\r\ngrpc-message: A client certificate is required.\r\n"), "{lines}");
    assert!(lines.contains("\r\ngrpc-status-details-bin: "));
    let text = call(Dialect::WebText, "content-type:application/grpc-web-text");
    let (text, fields) = rendered(&text, &Reason::MtlsMissing.into());
    assert_eq!(field(&fields, "content-type"), Some("application/grpc-web-text"));
    assert_eq!(in_frame(&STANDARD.decode(&text.body).unwrap()), lines);
}

fn in_frame(body: &[u8]) -> &str {
    assert_eq!(body[0], 0x80);
    assert_eq!(u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize, body.len() - 5);
    std::str::from_utf8(&body[5..]).unwrap()
}

#[test]
fn an_answers_type_is_what_the_client_asks_for_and_holds_nothing_else() {
    for (dialect, fields, expected) in [
        (Dialect::Grpc, "content-type:application/grpc+json; charset=utf-8", "application/grpc+json"),
        (Dialect::Grpc, "content-type:application/grpc+a b", "application/grpc"),
        (Dialect::Grpc, "content-type:application/grpc\naccept:application/grpc-web", "application/grpc"),
        (Dialect::Web, "content-type:application/grpc-web\naccept:*/*", "application/grpc-web"),
        (
            Dialect::Web,
            "content-type:application/grpc-web+proto\naccept:text/x, application/grpc-web-text",
            "application/grpc-web-text+proto",
        ),
        (
            Dialect::WebText,
            "content-type:application/grpc-web-text\naccept:application/grpc",
            "application/grpc-web-text",
        ),
        (
            Dialect::WebText,
            "content-type:application/grpc-web-text\naccept:application/grpc-web",
            "application/grpc-web",
        ),
    ] {
        let exchange = call(dialect, fields);
        assert_eq!(answer::answered_as(&exchange.head, dialect).1, expected, "{fields}");
    }
}
