//! Bodies: which description applies, by media type, and the way from bytes to a verdict.

use jsonschema::Validator;

use super::media::{Fit, MediaType};
use super::node::Body;
use super::violation::{Class, Location, Violation};
use super::{Passed, json, node};
use crate::head::Head;
use crate::policy::{Content, Format, OperationBody};
use crate::reason::Reason;

/// What has to happen to a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyCheck {
    /// There is none, and none is needed.
    NoBody,
    /// It is passed on as it comes.
    Unchecked,
    /// It has to be collected and given to [`super::Schemas::check`] with this.
    Check(Chosen),
}

/// A body's description, and what the head said about its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub(super) body: u32,
}

impl Chosen {
    /// A description by its number, of a body about which the head says nothing more.
    #[must_use]
    pub fn plain(body: u32) -> Chosen {
        Chosen { body }
    }
}

/// One body that is checked.
#[derive(Debug)]
pub(super) struct Described {
    /// The property of the root schema.
    pub(super) property: Option<String>,
    format: Format,
    required: bool,
}

/// The bodies that one operation, or one response, takes.
#[derive(Debug)]
pub(super) struct Accepted {
    required: bool,
    /// Media type or range, with the body that checks it; None means that its content is not looked at.
    entries: Vec<(String, Option<u32>)>,
}

impl Accepted {
    pub(super) fn request(body: &OperationBody, bodies: &mut Vec<Described>) -> Accepted {
        Accepted::new(&body.content, body.required, bodies)
    }

    pub(super) fn new(content: &[Content], required: bool, bodies: &mut Vec<Described>) -> Accepted {
        let mut entries = Vec::with_capacity(content.len());
        for entry in content {
            let described = (entry.format != Format::Unchecked).then(|| {
                bodies.push(Described { property: entry.schema.clone(), format: entry.format, required });
                bodies.len() as u32 - 1
            });
            entries.push((entry.media_type.clone(), described));
        }
        Accepted { required, entries }
    }

    pub(super) fn choose(&self, head: &Head) -> Result<BodyCheck, Violation> {
        let refused = |reason, class, message| Err(Violation::at(reason, Location::Body, class, "", message));
        let media_type = || refused(Reason::SchemaMediaType, Class::MediaType, "expected another media type");
        if !head.has_body() {
            return if self.required { Err(Violation::missing()) } else { Ok(BodyCheck::NoBody) };
        }
        let mut values = head.values("content-type");
        let named = values.next().and_then(MediaType::parse);
        // Two Content-Type fields are two opinions about the body: which one the origin follows is unknown.
        let (Some(named), None) = (named, values.next()) else { return media_type() };
        let Some(entry) = self.entry(&named) else { return media_type() };
        let Some(body) = entry else { return Ok(BodyCheck::Unchecked) };
        if named.foreign {
            return media_type();
        }
        let encoded = head
            .values("content-encoding")
            .flat_map(|value| value.split(','))
            .any(|coding| !coding.trim().is_empty() && !coding.trim().eq_ignore_ascii_case("identity"));
        if encoded {
            return refused(Reason::SchemaEncoding, Class::MediaType, "expected no content encoding");
        }
        Ok(BodyCheck::Check(Chosen { body }))
    }

    /// The most specific entry; between equals the one that checks.
    fn entry(&self, media_type: &MediaType) -> Option<Option<u32>> {
        let json = media_type.is_json();
        let mut best: Option<(Fit, Option<u32>)> = None;
        for (accepted, body) in &self.entries {
            // A range that covers JSON among others checks only what is JSON.
            if body.is_some() && !json {
                continue;
            }
            if let Some(fit) = media_type.fit(accepted)
                && best.is_none_or(|(other, current)| fit > other || (fit == other && current.is_none()))
            {
                best = Some((fit, *body));
            }
        }
        best.map(|(_, body)| body)
    }
}

impl Described {
    pub(super) fn check(
        &self,
        validator: Option<&Validator<Body>>,
        _chosen: &Chosen,
        body: &[u8],
    ) -> Result<Passed, Violation> {
        if body.is_empty() {
            return if self.required { Err(Violation::missing()) } else { Ok(Passed::AsItIs) };
        }
        if self.format != Format::Json {
            return Err(Violation::unavailable());
        }
        json::with_tape(body, |tape| match (tape, &self.property, validator) {
            (Ok(tape), Some(property), Some(validator)) => node::verdict(validator, tape, property),
            (Ok(_), None, _) => Ok(()),
            (Ok(_), Some(_), None) => Err(Violation::unavailable()),
            (Err(fault), ..) => Err(Violation::malformed(&fault)),
        })?;
        Ok(Passed::AsItIs)
    }
}
