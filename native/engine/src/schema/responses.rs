//! Responses: what the origin answers, against the operation's description.

#[cfg(test)]
mod tests;

use foldhash::HashMap;
use jsonschema::Validator;
use serde_json::Value;

use super::coding::{self, Coding};
use super::content::{Accepted, Chosen, Described as DescribedBody};
use super::media::MediaType;
use super::node::{self, Body};
use super::outline::{Outliner, Outlines};
use super::parameters::{Headers, Parameters};
use super::violation::{Class, Location, Violation};
use super::{Passed, json, strip};
use crate::policy::{Problem, Response, ResponseAction, Responses};
use crate::reason::Reason;

/// What has to happen to a response's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseCheck {
    /// It is passed on as it comes.
    Pass,
    /// The description says how it looks, and nobody looks: it has no end, or is of a kind that nothing here reads.
    NotEvaluated,
    /// It has to be collected and given to [`super::Schemas::check`] with this.
    Check(Chosen),
}

/// What is known of a response's body by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// There is none: the answer to HEAD, 204, 304.
    None,
    /// All of it is here, or its length is told.
    Known,
    /// Where it ends is only seen then.
    Open,
}

/// Media types whose bodies come bit by bit for as long as the connection lasts.
const ENDLESS: &[&str] = &["text/event-stream", "multipart/x-mixed-replace"];
/// Media types whose bodies may: when no length is told, they are taken for such.
const STREAMED: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/json-seq",
];

/// Headers that are between the origin and us, or that are written anew for the client: nothing is said of them here.
const NOT_FOR_CLIENTS: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// The responses of one operation.
#[derive(Debug)]
pub(super) struct Described {
    /// In the order in which they count: statuses, ranges, the default.
    statuses: Vec<(Pattern, Answer)>,
    /// What a response of another status is told.
    expected: String,
}

/// In the order in which they count (OpenAPI, Responses Object).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    Status(u16),
    /// `4XX` as 4
    Range(u16),
    Default,
}

#[derive(Debug)]
struct Answer {
    headers: Headers,
    content: Option<Accepted>,
}

/// Bodies of responses among all bodies, by number: the outline of those that are stripped.
pub(super) type Outgoing = HashMap<u32, Option<u32>>;

/// What compiling gathers for [`super::strip`].
pub(super) struct Stripping<'a, 'document> {
    pub(super) outgoing: &'a mut Outgoing,
    pub(super) outliner: &'a mut Outliner<'document>,
}

impl Described {
    pub(super) fn compile(
        responses: &Responses,
        schema: &Value,
        bodies: &mut Vec<DescribedBody>,
        stripping: &mut Stripping<'_, '_>,
        problems: &mut Vec<Problem>,
    ) -> Described {
        let mut statuses = Vec::with_capacity(responses.statuses.len());
        for response in &responses.statuses {
            let first = bodies.len();
            let answer = Answer::compile(response, schema, bodies);
            for (index, body) in bodies.iter().enumerate().skip(first) {
                let strips = responses.action == ResponseAction::Strip && body.is_json();
                let property = body.property.as_ref().filter(|_| strips);
                let outline = property.map(|property| stripping.outliner.read(property, problems));
                stripping.outgoing.insert(index as u32, outline);
            }
            if let Some(pattern) = Pattern::read(&response.status) {
                statuses.push((pattern, answer));
            }
        }
        statuses.sort_by_key(|(pattern, _)| *pattern);
        let names: Vec<&str> = responses.statuses.iter().map(|response| response.status.as_str()).collect();
        Described { statuses, expected: format!("expected the status {}", names.join(" or ")) }
    }

    pub(super) fn choose<'a>(
        &self,
        validator: Option<&Validator<Body>>,
        status: u16,
        extent: Extent,
        fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        kept: &mut Parameters,
    ) -> Result<ResponseCheck, Violation> {
        let (_, answer) = self.statuses.iter().find(|(pattern, _)| pattern.matches(status)).ok_or_else(|| {
            let (reason, location) = (Reason::SchemaResponseStatus, Location::Response);
            Violation::at(reason, location, Class::Status, "/status", &self.expected)
        })?;
        answer
            .headers
            .check(validator, fields.clone(), kept)
            .map_err(|violation| violation.moved(Reason::SchemaResponseHeader, Location::Response, "/headers"))?;
        match &answer.content {
            Some(content) if extent != Extent::None && !matches!(status, 204 | 304) => {
                choose_body(content, extent, fields)
            }
            _ => Ok(ResponseCheck::Pass),
        }
    }
}

impl Pattern {
    fn read(status: &str) -> Option<Pattern> {
        match status.as_bytes() {
            b"default" => Some(Pattern::Default),
            [digit @ b'1'..=b'5', b'X' | b'x', b'X' | b'x'] => Some(Pattern::Range(u16::from(digit - b'0'))),
            _ => status.parse().ok().map(Pattern::Status),
        }
    }

    fn matches(self, status: u16) -> bool {
        match self {
            Pattern::Status(described) => described == status,
            Pattern::Range(digit) => digit == status / 100,
            Pattern::Default => true,
        }
    }
}

impl Answer {
    fn compile(response: &Response, schema: &Value, bodies: &mut Vec<DescribedBody>) -> Answer {
        let described = response.headers.iter().filter(|header| !NOT_FOR_CLIENTS.contains(&header.name.as_str()));
        Answer {
            headers: Headers::compile(described, schema),
            // A map without entries describes nothing, as if it was absent.
            content: response
                .content
                .as_ref()
                .filter(|content| !content.is_empty())
                .map(|content| Accepted::new(content, true, schema, bodies)),
        }
    }
}

fn choose_body<'a>(
    content: &Accepted,
    extent: Extent,
    fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<ResponseCheck, Violation> {
    let values = |wanted: &'static str| fields.clone().filter(move |(name, _)| *name == wanted).map(|(_, value)| value);
    let chosen = match content.choose_fields(values("content-type"), values("content-encoding")) {
        Ok(chosen) => chosen,
        Err(violation) if violation.reason == Reason::SchemaXml => return Ok(ResponseCheck::NotEvaluated),
        Err(violation) => {
            let (reason, location) = (Reason::SchemaResponseMediaType, Location::Response);
            return Err(violation.moved(reason, location, "/headers/content-type"));
        }
    };
    let named = values("content-type").next().and_then(MediaType::parse);
    let is = |types: &[&str]| named.as_ref().is_some_and(|named| types.contains(&named.essence()));
    if is(ENDLESS) || (extent == Extent::Open && is(STREAMED)) {
        return Ok(ResponseCheck::NotEvaluated);
    }
    Ok(chosen.map_or(ResponseCheck::Pass, ResponseCheck::Check))
}

/// Checks a response's whole body, after taking out what `outline` does not hold.
pub(super) fn check(
    described: &DescribedBody,
    validator: Option<&Validator<Body>>,
    (outlines, outline): (&Outlines, Option<u32>),
    chosen: &Chosen,
    body: &[u8],
) -> Result<Passed, Violation> {
    let checked = match (outline, validator, &described.property) {
        (Some(outline), Some(validator), Some(property)) if !body.is_empty() => {
            let strip = |bytes: &[u8]| stripped(described, validator, property, (outlines, outline), chosen, bytes);
            match chosen.coding {
                Coding::Identity => strip(body),
                coding => coding::with_decoded(coding, body, strip),
            }
        }
        _ => described.check(validator, chosen, body),
    };
    match checked {
        // As with a body that is too large without being encoded.
        Err(violation) if is_too_large(&violation) => Ok(Passed::NotEvaluated),
        Err(violation) => Err(violation.moved(Reason::SchemaResponseBody, Location::Response, "/body")),
        Ok(passed) => Ok(passed),
    }
}

fn stripped(
    described: &DescribedBody,
    validator: &Validator<Body>,
    property: &str,
    (outlines, outline): (&Outlines, u32),
    chosen: &Chosen,
    body: &[u8],
) -> Result<Passed, Violation> {
    let stripped = json::with_tape(body, |parsed| {
        let parsed = parsed.map_err(|refusal| Violation::malformed(&refusal))?;
        let stripped = strip::strip(outlines, validator, parsed, outline)?;
        if stripped.is_none() {
            node::verdict(validator, parsed, property)?;
        }
        Ok(stripped)
    })?;
    let Some(stripped) = stripped else { return Ok(Passed::AsItIs) };
    described.check(Some(validator), &Chosen::plain(chosen.body), &stripped.body)?;
    Ok(Passed::Instead(stripped))
}

fn is_too_large(violation: &Violation) -> bool {
    violation.reason == Reason::SchemaDecoding && violation.errors.iter().any(|error| error.class == Class::Size)
}
