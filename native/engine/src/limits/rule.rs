//! One limit, compiled.

use super::key::Keys;
use super::{Key, Quota, Terms};
use crate::policy::{LimitAction, Sharing};
use crate::rules::{Request, Scratch, Test, Value};

/// When a limit is asked: as soon as all that it reads is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Address, head, certificate and operation.
    Endpoint,
    /// Also the key, the token, the partner and the session.
    Caller,
    /// Also the body, and the verdict on it; of a call, its first message.
    Body,
    /// Each message of a call.
    Message,
}

impl Phase {
    pub const ALL: [Phase; 4] = [Phase::Endpoint, Phase::Caller, Phase::Body, Phase::Message];
}

/// What a request costs.
#[derive(Debug)]
pub(super) enum Cost {
    One,
    /// A number of the request.
    Value(Value),
    /// Lower-case name of a header of the response.
    ResponseHeader(Box<str>),
}

#[derive(Debug)]
pub struct Rule {
    pub name: Box<str>,
    pub action: LimitAction,
    pub quota: Quota,
    /// Most requests under way at once: instead of a quota.
    pub concurrency: Option<u64>,
    pub sharing: Sharing,
    pub phase: Phase,
    /// It is spent when the answer is known; the request only asks whether there is something left.
    pub settles: bool,
    /// It reads the body itself, so that the body has to be collected.
    pub reads_body: bool,
    pub(super) expression: Option<Test>,
    pub(super) counting: Option<Test>,
    pub(super) cost: Cost,
    pub(super) characteristics: Box<[Value]>,
    pub(super) keys: Keys,
    /// `"name";q=100;w=60`; empty where there is no such thing to tell.
    pub told: Box<str>,
}

impl Rule {
    /// Whether the limit holds for a request of its operation, or of any.
    pub fn holds(&self, request: &Request<'_>, scratch: &mut Scratch) -> bool {
        self.expression.as_ref().is_none_or(|test| test.holds(request, scratch))
    }

    /// The same before the body is known.
    pub fn may_hold(&self, request: &Request<'_>, scratch: &mut Scratch) -> bool {
        self.expression
            .as_ref()
            .is_none_or(|test| test.reads.body || test.reads.verdict || test.holds(request, scratch))
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms { name: &self.name, quota: &self.quota, sharing: self.sharing, action: self.action, told: &self.told }
    }

    /// Whether the request counts.
    pub fn counts(&self, request: &Request<'_>, scratch: &mut Scratch) -> bool {
        self.counting.as_ref().is_none_or(|test| test.holds(request, scratch))
    }

    pub fn key(&self, request: &Request<'_>, scratch: &mut Scratch) -> Key {
        self.keys.of(&self.characteristics, request, scratch)
    }

    /// What the key stands for, for people.
    pub fn identity(&self, request: &Request<'_>, scratch: &mut Scratch) -> String {
        let mut text = String::new();
        for (n, characteristic) in self.characteristics.iter().enumerate() {
            text.push_str(if n == 0 { "" } else { ", " });
            characteristic.show(request, scratch, &mut text);
        }
        text
    }

    /// What the request costs, as far as it is known before it is answered. What clients say is never less than 1: a
    /// page of no items is a request too.
    pub fn cost(&self, request: &Request<'_>, scratch: &mut Scratch) -> u64 {
        match &self.cost {
            Cost::One | Cost::ResponseHeader(_) => 1,
            Cost::Value(value) => {
                value.number(request, scratch).and_then(|number| u64::try_from(number).ok()).unwrap_or(1).max(1)
            }
        }
    }

    /// What it costs by the origin's answer: what its header says, 0 included.
    pub fn cost_by_answer<'a>(
        &self,
        request: &Request<'_>,
        scratch: &mut Scratch,
        mut fields: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> u64 {
        match &self.cost {
            Cost::ResponseHeader(header) => {
                let field = fields.find(|(name, _)| *name == &**header);
                field.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(1)
            }
            _ => self.cost(request, scratch),
        }
    }
}
