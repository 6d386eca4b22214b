//! Rules in Cloudflare's expression language.
//!
//! Text becomes a tree of nodes (`parse`), the nodes become typed conditions (`check`), and an index over what a
//! condition needs (`index`) says which rules a request can match at all. Rules are evaluated in their order; the
//! index only leaves out those that cannot match.

mod body;
mod check;
mod condition;
mod decode;
mod field;
mod function;
mod graphql;
mod index;
mod language;
mod list;
mod literal;
mod necessary;
mod parse;
mod pattern;
mod place;
mod request;
mod selection;
mod set;
mod spelling;
mod syntax;
mod value;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use crate::policy::{self, Problem, RuleAction};
use crate::wildcard;

use condition::Condition;
use index::{Cursors, Index};
use request::Buffers;

pub use body::{Read, Reading, Wanted};
pub use language::{Language, Messages, Test};
pub use place::{Place, Reads};
pub use request::{Beyond, Called, Found, Request, Response};
pub use selection::Selection;
pub use value::Value;

/// Most rules: twice the number that the index is measured with. Above it, lists are the better tool.
pub const MAX_RULES: usize = 20_000;

/// Compiled rules; immutable.
#[derive(Debug)]
pub struct Rules {
    rules: Box<[Rule]>,
    index: Index,
    /// Whether a rule reads what is known only when the body was looked at.
    reads_violations: bool,
}

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    condition: Condition,
    action: RuleAction,
}

/// All threads share one snapshot.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Rules>();
};

/// Buffers that are kept between requests, one per thread: evaluation allocates nothing once they have grown.
#[derive(Debug, Default)]
pub struct Scratch {
    buffers: Buffers,
    cursors: Cursors,
}

impl Scratch {
    /// Forgets what was put together for the request before.
    pub fn begin(&mut self) {
        self.buffers.clear();
    }
}

impl Rules {
    /// Compiles all rules; every rule that cannot be compiled adds a problem. With problems, what is
    /// returned must not be used.
    #[must_use]
    pub fn compile(rules: &[policy::Rule], language: &mut Language<'_>, problems: &mut Vec<Problem>) -> Rules {
        if rules.len() > MAX_RULES {
            problems.push(Problem {
                at: rules[MAX_RULES].at.clone(),
                span: None,
                message: format!("there are {} rules, more than the {MAX_RULES} that are allowed", rules.len()),
                hint: Some("put what differs into a list: `in $name`".to_owned()),
            });
            return Rules { rules: Box::default(), index: Index::default(), reads_violations: false };
        }
        let mut compiled = Vec::with_capacity(rules.len());
        for rule in rules {
            if let Some(Test { condition, .. }) = language.test(&rule.at, &rule.expression, Place::Rule, problems) {
                compiled.push(Rule { name: rule.name.as_str().into(), condition, action: rule.action });
            }
        }
        let index = Index::build(compiled.iter().map(|rule| &rule.condition));
        let reads_violations = rules.iter().any(|rule| rule.expression.contains(field::VIOLATED));
        Rules { rules: compiled.into_boxed_slice(), index, reads_violations }
    }

    /// The rule that blocks the request, if one does. Matches of `log` rules before it are added to `logged`; a
    /// match of a `skip` rule ends the evaluation.
    pub fn evaluate(&self, request: &Request<'_>, scratch: &mut Scratch, logged: &mut Vec<u32>) -> Option<u32> {
        let request = canonical(request);
        let Scratch { buffers, cursors } = scratch;
        buffers.clear();
        self.index.gather(&request, buffers, cursors);
        while let Some(candidate) = self.index.next(cursors) {
            if let Some(end) = self.step(candidate, &request, buffers, logged) {
                return end;
            }
        }
        None
    }

    /// What [`Rules::evaluate`] answers, without the index: the oracle for its tests.
    #[cfg(test)]
    fn evaluate_all(&self, request: &Request<'_>, scratch: &mut Scratch, logged: &mut Vec<u32>) -> Option<u32> {
        let request = canonical(request);
        scratch.buffers.clear();
        (0..self.rules.len() as u32)
            .find_map(|index| self.step(index, &request, &mut scratch.buffers, logged))
            .flatten()
    }

    /// Some when the evaluation ends with this rule.
    #[inline]
    fn step<'v>(
        &'v self,
        index: u32,
        request: &Request<'v>,
        buffers: &mut Buffers,
        logged: &mut Vec<u32>,
    ) -> Option<Option<u32>> {
        let rule = &self.rules[index as usize];
        if !rule.condition.holds(request, b"", buffers) {
            return None;
        }
        match rule.action {
            RuleAction::Log => {
                logged.push(index);
                None
            }
            RuleAction::Block => Some(Some(index)),
            RuleAction::Skip => Some(None),
        }
    }

    /// The rule's name, for reasons (`rules.<name>`) and events.
    #[must_use]
    pub fn name(&self, index: u32) -> &str {
        &self.rules[index as usize].name
    }

    /// Whether the verdict on a body has to be known before the rules are evaluated.
    #[must_use]
    pub fn reads_violations(&self) -> bool {
        self.reads_violations
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many rules the index cannot leave out: they are evaluated for every request.
    #[must_use]
    pub fn unindexed(&self) -> usize {
        self.index.always()
    }
}

/// A dual-stack socket shows an IPv4 peer as `::ffff:192.0.2.1`: the same client, so the same address.
fn canonical<'a>(request: &Request<'a>) -> Request<'a> {
    Request { address: request.address.to_canonical(), ..*request }
}
