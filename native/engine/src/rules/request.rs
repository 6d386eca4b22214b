//! What rules look at, and how each field is read from it. Values are bytes: literals may hold any (`"\xff"`).
//!
//! Nothing is copied unless it must be: [`Value::Built`] and [`Value::Uri`] live in [`Buffers`], which are kept
//! between requests.

use std::net::IpAddr;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::body::Read;
use crate::credentials::Caller;
use crate::grpc::{Dialect, Values};
use crate::head::Head;
use crate::jwt::Configuration;
use crate::limits::geo;
use crate::mtls::{CertificateField, CertificateNames};
use crate::pairs::{arguments, cookies, decodes_to, escape};
use crate::peer::{ClientHello, Identity};

/// One request as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub head: &'a Head,
    /// `ip.src`
    pub address: IpAddr,
    /// `cf.tls_client_auth.*`
    pub identity: Identity<'a>,
    /// `cf.bot_management.ja4`, `cf.tls_client_hello_length`; None where nobody looked.
    pub hello: Option<&'a ClientHello>,
    /// Unix seconds.
    pub now: u64,
    pub found: Found,
    /// `http.request.jwt.*`, `portcullis.*`
    pub caller: &'a Caller,
    /// Whose tokens may stand where the request has one, whatever it is worth.
    pub configurations: &'a [Arc<Configuration>],
    pub operation: Option<Called<'a>>,
    pub beyond: Beyond<'a>,
}

/// What is known late: most of it only limits read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beyond<'a> {
    /// `http.response.*`
    pub response: Option<Response<'a>>,
    /// `http.request.body.*`, `portcullis.graphql.*`
    pub body: Option<&'a Read>,
    /// `grpc.message[..]`, which rules read as well.
    pub message: Option<&'a Values>,
}

/// What a request was answered.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    pub status: u16,
    /// Names, lower-case, and values.
    pub fields: &'a [(&'a str, &'a str)],
}

/// The operation that a request calls.
#[derive(Debug, Clone, Copy)]
pub struct Called<'a> {
    pub id: &'a str,
    /// Names of its path's parameters, in the template's order.
    pub parameters: &'a [String],
    /// What stood in their place: ranges of the head's path.
    pub captures: &'a [(u32, u32)],
}

/// What earlier stages found out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// `cf.api_gateway.fallthrough_detected`
    pub fallthrough: bool,
    /// `cf.schema_validation.uploaded.violated`
    pub violated: bool,
}

/// A value that is not in the request as it stands is put together here.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// A stack: whoever evaluates truncates it to where it was.
    pub text: Vec<u8>,
    uri: Vec<u8>,
}

impl Buffers {
    pub fn clear(&mut self) {
        self.text.clear();
        self.uri.clear();
    }
}

#[derive(Debug, Clone)]
pub(super) enum Value<'v> {
    Borrowed(&'v [u8]),
    /// In [`Buffers::text`].
    Built(Range<usize>),
    Uri,
}

impl<'v> Value<'v> {
    pub fn bytes<'b>(&self, buffers: &'b Buffers) -> &'b [u8]
    where
        'v: 'b,
    {
        match self {
            Value::Borrowed(bytes) => bytes,
            Value::Built(range) => &buffers.text[range.clone()],
            Value::Uri => &buffers.uri,
        }
    }

    /// Puts the value at the end of [`Buffers::text`], so that it can be changed; gives where it starts.
    pub fn push(&self, buffers: &mut Buffers) -> usize {
        let start = buffers.text.len();
        match self {
            Value::Borrowed(bytes) => buffers.text.extend_from_slice(bytes),
            Value::Built(range) => buffers.text.extend_from_within(range.clone()),
            Value::Uri => buffers.text.extend_from_slice(&buffers.uri),
        }
        start
    }

    /// [`Value::push`], in lower case.
    pub fn push_lower(&self, buffers: &mut Buffers) -> usize {
        let Value::Borrowed(bytes) = self else {
            let start = self.push(buffers);
            buffers.text[start..].make_ascii_lowercase();
            return start;
        };
        let start = buffers.text.len();
        extend_lower(&mut buffers.text, bytes);
        start
    }
}

/// Appends the bytes in lower case: one pass where a copy and a change are two.
pub(super) fn extend_lower(text: &mut Vec<u8>, bytes: &[u8]) {
    text.extend(bytes.iter().map(u8::to_ascii_lowercase));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextField {
    Host,
    Method,
    Uri,
    Path,
    Query,
    UserAgent,
    Cookie,
    Referer,
    Version,
    Ja4,
    Certificate(CertificateField),
    VerifyError,
    Authority,
    Partner,
    Key,
    Session,
    Operation,
    Country,
    /// `package.Service` of a call.
    Service,
    Procedure,
}

impl TextField {
    pub fn value<'v>(self, request: &Request<'v>, buffers: &mut Buffers) -> Value<'v> {
        let head = request.head;
        Value::Borrowed(match self {
            TextField::Host => head.host().as_bytes(),
            TextField::Method => head.method().as_bytes(),
            TextField::Version => head.version().name().as_bytes(),
            TextField::Ja4 => request.hello.map_or("", |hello| &*hello.ja4).as_bytes(),
            TextField::Path => head.path().as_bytes(),
            TextField::Query => head.query().as_bytes(),
            TextField::Uri if head.query().is_empty() => head.path().as_bytes(),
            TextField::Uri => {
                if buffers.uri.is_empty() {
                    buffers.uri.extend_from_slice(head.path().as_bytes());
                    buffers.uri.push(b'?');
                    buffers.uri.extend_from_slice(head.query().as_bytes());
                }
                return Value::Uri;
            }
            TextField::UserAgent => return joined(head, "user-agent", b", ", buffers),
            TextField::Referer => return joined(head, "referer", b", ", buffers),
            TextField::Cookie => return joined(head, "cookie", b"; ", buffers),
            TextField::Certificate(field) => certificate(request, field),
            TextField::VerifyError => verify_error(request),
            TextField::Authority => request.identity.authority.unwrap_or_default().as_bytes(),
            TextField::Partner => request.caller.partner.as_ref().map_or("", |partner| &*partner.name).as_bytes(),
            TextField::Key => request.caller.key.as_ref().map_or("", |key| &*key.id).as_bytes(),
            TextField::Session => return request.caller.session.map_or(Value::Borrowed(b""), |id| hex(&id, buffers)),
            TextField::Country => {
                let Some(code) = geo::place(request.address.to_canonical()).country else {
                    return Value::Borrowed(b"");
                };
                let start = buffers.text.len();
                buffers.text.extend_from_slice(&code);
                return Value::Built(start..buffers.text.len());
            }
            TextField::Service => called(head).0.as_bytes(),
            TextField::Procedure => called(head).1.as_bytes(),
            TextField::Operation => request.operation.map_or("", |operation| operation.id).as_bytes(),
        })
    }
}

/// Service and method of a call; empty for what is none.
fn called(head: &Head) -> (&str, &str) {
    if head.field("content-type").is_none_or(|content_type| Dialect::of(content_type).is_none()) {
        return ("", "");
    }
    head.path().strip_prefix('/').and_then(|path| path.rsplit_once('/')).unwrap_or_default()
}

/// All lines of a header as one value, as an origin would join them (RFC 9110, 5.2; RFC 9113, 8.2.3 for cookies):
/// a second line must not hide from a rule.
fn joined<'v>(head: &'v Head, name: &'static str, separator: &[u8], buffers: &mut Buffers) -> Value<'v> {
    let mut lines = head.values(name);
    let Some(first) = lines.next() else { return Value::Borrowed(b"") };
    let Some(second) = lines.next() else { return Value::Borrowed(first.as_bytes()) };
    let start = buffers.text.len();
    buffers.text.extend_from_slice(first.as_bytes());
    for line in std::iter::once(second).chain(lines) {
        buffers.text.extend_from_slice(separator);
        buffers.text.extend_from_slice(line.as_bytes());
    }
    Value::Built(start..buffers.text.len())
}

fn hex<'v>(bytes: &[u8], buffers: &mut Buffers) -> Value<'v> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let start = buffers.text.len();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]);
    buffers.text.extend(digits);
    Value::Built(start..buffers.text.len())
}

/// What stood in the place of the operation's path parameter, decoded once: an origin reads it so. None when the
/// operation has no such parameter.
pub(super) fn parameter<'v>(request: &Request<'v>, name: &str, buffers: &mut Buffers) -> Option<Value<'v>> {
    let Called { parameters, captures, .. } = request.operation?;
    let number = parameters.iter().position(|known| known == name)?;
    let &(start, end) = captures.get(number)?;
    let text = &request.head.path().as_bytes()[start as usize..end as usize];
    if !text.contains(&b'%') {
        return Some(Value::Borrowed(text));
    }
    let start = buffers.text.len();
    let mut at = 0;
    while at < text.len() {
        // A normalised path holds no broken escape.
        let (byte, length) = escape(&text[at..]).map_or((text[at], 1), |byte| (byte, 3));
        buffers.text.push(byte);
        at += length;
    }
    Some(Value::Built(start..buffers.text.len()))
}

/// Empty without a certificate. Filled whatever the certificate is worth, as Cloudflare does.
pub(super) fn certificate<'v>(request: &Request<'v>, field: CertificateField) -> &'v [u8] {
    request.identity.certificate.map_or(b"", |certificate| certificate.field(field).as_bytes())
}

/// A reason's id without its capability; empty without a certificate, and for one that is verified.
fn verify_error(request: &Request<'_>) -> &'static [u8] {
    let id = request.identity.fault.map_or("", |reason| reason.id());
    id.strip_prefix("mtls.").unwrap_or(id).as_bytes()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberField {
    DaysToExpiry,
    ResponseCode,
    Asn,
    HelloLength,
}

const DAY_SECONDS: i64 = 86_400;

impl NumberField {
    /// None without a certificate, without an answer, with one that cannot be read, or where nobody looked.
    pub fn value(self, request: &Request<'_>) -> Option<i64> {
        match self {
            NumberField::Asn => geo::place(request.address.to_canonical()).asn.map(i64::from),
            NumberField::HelloLength => request.hello.map(|hello| i64::from(hello.length)),
            NumberField::ResponseCode => request.beyond.response.map(|response| i64::from(response.status)),
            NumberField::DaysToExpiry => {
                let certificate = request.identity.certificate.filter(|certificate| certificate.fault().is_none())?;
                let left =
                    i64::try_from(certificate.not_after()).ok()?.checked_sub(i64::try_from(request.now).ok()?)?;
                Some(left.div_euclid(DAY_SECONDS))
            }
        }
    }
}

/// Booleans about the client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certified {
    Presented,
    Verified,
    Revoked,
    TooLarge,
    ChainTooLarge,
}

impl Certified {
    pub fn holds(self, request: &Request<'_>) -> bool {
        let identity = &request.identity;
        match self {
            Certified::Presented => identity.presented(),
            Certified::Verified => identity.verified(),
            Certified::Revoked => identity.revoked(),
            Certified::TooLarge => identity.certificate.is_some_and(|certificate| certificate.rfc9440_too_large()),
            Certified::ChainTooLarge => {
                identity.certificate.is_some_and(|certificate| certificate.chain_rfc9440_too_large())
            }
        }
    }
}

/// Booleans that earlier stages leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Fallthrough,
    Violated,
    /// `cf.api_gateway.auth_id_present`: something that tells callers apart, whatever it is worth.
    Identified,
}

impl Finding {
    pub fn holds(self, request: &Request<'_>) -> bool {
        match self {
            Finding::Fallthrough => request.found.fallthrough,
            Finding::Violated => request.found.violated,
            Finding::Identified => request.caller.presented || request.caller.session.is_some(),
        }
    }
}

/// What `is_jwt_present` and `is_jwt_valid` ask for. With a name: of that token configuration.
#[derive(Debug)]
pub(super) struct Tokened {
    pub valid: bool,
    pub configuration: Option<Box<str>>,
}

impl Tokened {
    pub fn holds(&self, request: &Request<'_>) -> bool {
        let is_meant = |name: &str| self.configuration.as_ref().is_none_or(|wanted| **wanted == *name);
        match self.valid {
            true => request.caller.token.as_ref().is_some_and(|token| is_meant(&token.configuration)),
            false => request.configurations.iter().any(|known| is_meant(&known.name)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapField {
    Headers,
    ResponseHeaders,
    /// Values of a form in the body.
    Form,
    Arguments,
    Cookies,
    /// Parameters of the operation's path.
    Path,
    /// By the name of a claim.
    Claims,
    /// By the name of the configuration that the token counts for, as Cloudflare has it.
    Claim(Claim),
    /// Values of a message by their path: of the first of a call, for limits of messages of the one that is counted.
    Message,
}

/// The claims that have fields of their own (RFC 7519, 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Audience,
    Expires,
    IssuedAt,
    Issuer,
    Id,
    NotBefore,
    Subject,
}

impl Claim {
    pub fn name(self) -> &'static str {
        match self {
            Claim::Audience => "aud",
            Claim::Expires => "exp",
            Claim::IssuedAt => "iat",
            Claim::Issuer => "iss",
            Claim::Id => "jti",
            Claim::NotBefore => "nbf",
            Claim::Subject => "sub",
        }
    }

    /// Whether its values are numbers (of seconds).
    pub fn is_time(self) -> bool {
        matches!(self, Claim::Expires | Claim::IssuedAt | Claim::NotBefore)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArrayField {
    HeaderNames,
    HeaderValues,
    ArgumentNames,
    ArgumentValues,
    Certificate(CertificateNames),
    /// Of the token and of the key.
    Scopes,
    /// Name of the configuration that the token counts for, if it has the claim.
    ClaimNames(Claim),
    ClaimValues(Claim),
}

/// Where an array's elements come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Array(ArrayField),
    Header(Box<str>),
    Argument(Box<[u8]>),
    Cookie(Box<[u8]>),
    /// Of the verified token: as [`crate::policy::ClaimCondition`] names it.
    Claim(Box<str>),
    /// Of the token, if it counts for that configuration.
    ClaimOf(Claim, Box<str>),
    ResponseHeader(Box<str>),
    /// By its number among what is wanted of the body.
    Body(usize),
    /// By its number among what is wanted of messages.
    Message(usize),
}

impl Source {
    /// Whether the elements are what the issuer of the verified token wrote.
    pub fn is_of_token(&self) -> bool {
        match self {
            Source::Claim(_) | Source::ClaimOf(..) => true,
            Source::Array(array) => matches!(array, ArrayField::ClaimValues(_) | ArrayField::Scopes),
            Source::Header(_)
            | Source::Argument(_)
            | Source::Cookie(_)
            | Source::ResponseHeader(_)
            | Source::Body(_)
            | Source::Message(_) => false,
        }
    }

    /// Calls `visit` for each element in the order of the request. Bounded by the head's size.
    pub fn each<'v>(
        &'v self,
        request: &Request<'v>,
        mut visit: impl FnMut(&'v [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let head = request.head;
        match self {
            Source::Array(ArrayField::HeaderNames) => head.fields().try_for_each(|(name, _)| visit(name.as_bytes())),
            Source::Array(ArrayField::HeaderValues) => head.fields().try_for_each(|(_, value)| visit(value.as_bytes())),
            Source::Array(ArrayField::ArgumentNames) => {
                arguments(head).try_for_each(|(name, _)| visit(name.as_bytes()))
            }
            Source::Array(ArrayField::ArgumentValues) => {
                arguments(head).try_for_each(|(_, value)| visit(value.as_bytes()))
            }
            Source::Array(ArrayField::Certificate(names)) => {
                let certificate = request.identity.certificate;
                certificate
                    .map_or(&[][..], |certificate| certificate.names(*names))
                    .iter()
                    .try_for_each(|name| visit(name.as_bytes()))
            }
            Source::Array(ArrayField::Scopes) => {
                let Caller { token, key, .. } = request.caller;
                let token = token.as_ref().map_or(&[][..], |token| &token.scopes[..]);
                let key = key.as_ref().map_or(&[][..], |key| &key.scopes[..]);
                token.iter().chain(key).try_for_each(|scope| visit(scope.as_bytes()))
            }
            Source::Array(ArrayField::ClaimNames(claim)) => {
                let token = request.caller.token.as_ref().filter(|token| token.claim(claim.name()).next().is_some());
                token.map_or(ControlFlow::Continue(()), |token| visit(token.configuration.as_bytes()))
            }
            Source::Array(ArrayField::ClaimValues(claim)) => claims(request, None, claim.name(), visit),
            Source::Claim(claim) => claims(request, None, claim, visit),
            Source::ClaimOf(claim, configuration) => claims(request, Some(configuration), claim.name(), visit),
            Source::ResponseHeader(wanted) => {
                let fields = request.beyond.response.map_or(&[][..], |response| response.fields);
                let mut found = fields.iter().filter(|(name, _)| *name == &**wanted);
                found.try_for_each(|(_, value)| visit(value.as_bytes()))
            }
            Source::Body(number) => match request.beyond.body {
                Some(read) => read.texts(*number).try_for_each(visit),
                None => ControlFlow::Continue(()),
            },
            Source::Message(number) => match request.beyond.message {
                Some(values) => values.of(*number).try_for_each(visit),
                None => ControlFlow::Continue(()),
            },
            Source::Header(name) => head.values(name).try_for_each(|value| visit(value.as_bytes())),
            Source::Argument(wanted) => arguments(head)
                .filter(|(name, _)| name.as_bytes() == &**wanted)
                .try_for_each(|(_, value)| visit(value.as_bytes())),
            Source::Cookie(wanted) => {
                for line in head.values("cookie") {
                    cookies(line)
                        .filter(|(name, _)| decodes_to(name.as_bytes(), wanted))
                        .try_for_each(|(_, value)| visit(value.as_bytes()))?;
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// The element at that position; None out of bounds.
    pub fn nth<'v>(&'v self, request: &Request<'v>, position: usize) -> Option<&'v [u8]> {
        let (mut left, mut found) = (position, None);
        let _ = self.each(request, |element| {
            if left == 0 {
                found = Some(element);
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        });
        found
    }

    /// How many elements; None for a key that the map does not hold.
    pub fn count<'v>(&'v self, request: &Request<'v>) -> Option<usize> {
        let mut count = 0;
        let _ = self.each(request, |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        (count > 0 || matches!(self, Source::Array(_))).then_some(count)
    }
}

fn claims<'v>(
    request: &Request<'v>,
    configuration: Option<&str>,
    claim: &str,
    mut visit: impl FnMut(&'v [u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let token = request.caller.token.as_ref();
    match token.filter(|token| configuration.is_none_or(|name| *token.configuration == *name)) {
        Some(token) => token.claim(claim).try_for_each(|text| visit(text.as_bytes())),
        None => ControlFlow::Continue(()),
    }
}
