//! What all expressions of a policy share: lists, names of token configurations, the room of regular expressions.

use std::collections::HashMap;

use super::body::Wanted;
use super::check::Scope;
use super::condition::Condition;
use super::list::{self, List};
use super::parse;
use super::pattern::Patterns;
use super::place::{Place, Reads};
use super::syntax::{Fault, Node};
use super::value::Value;
use super::{Request, Scratch};
use crate::policy::{self, Problem};

pub struct Language<'p> {
    lists: HashMap<&'p str, List>,
    configurations: Vec<&'p str>,
    patterns: Patterns,
    wanted: Wanted,
}

/// An expression that is true or false.
#[derive(Debug)]
pub struct Test {
    pub(super) condition: Condition,
    pub reads: Reads,
}

impl<'p> Language<'p> {
    /// Every list that cannot be compiled adds a problem.
    #[must_use]
    pub fn new(lists: &'p [policy::List], configurations: &'p [policy::Jwt], problems: &mut Vec<Problem>) -> Self {
        Language {
            lists: list::compile(lists, problems),
            configurations: configurations.iter().map(|written| written.name.as_str()).collect(),
            patterns: Patterns::default(),
            wanted: Wanted::default(),
        }
    }

    /// An expression that is true or false; None: it cannot be compiled, which adds a problem.
    pub fn test(&mut self, at: &str, text: &str, place: Place, problems: &mut Vec<Problem>) -> Option<Test> {
        self.compiled(at, text, place, problems, |scope, node| {
            let condition = scope.compile(node)?;
            Ok(Test { condition, reads: scope.reads })
        })
    }

    /// An expression of any type; None: it cannot be compiled, which adds a problem.
    pub fn value(&mut self, at: &str, text: &str, place: Place, problems: &mut Vec<Problem>) -> Option<Value> {
        self.compiled(at, text, place, problems, |scope, node| scope.value(node))
    }

    /// What the expressions so far read of bodies.
    #[must_use]
    pub fn take_wanted(&mut self) -> Wanted {
        std::mem::take(&mut self.wanted)
    }

    fn compiled<T>(
        &mut self,
        at: &str,
        text: &str,
        place: Place,
        problems: &mut Vec<Problem>,
        make: impl FnOnce(&mut Scope<'_>, &Node) -> Result<T, Fault>,
    ) -> Option<T> {
        let Language { lists, configurations, patterns, wanted } = self;
        let made = parse::parse(text).and_then(|node| {
            let mut scope = Scope { text, lists, configurations, patterns, wanted, place, reads: Reads::default() };
            make(&mut scope, &node)
        });
        made.map_err(|Fault { span, message, hint }| {
            problems.push(Problem { at: at.to_owned(), span: Some((span.start, span.end)), message, hint });
        })
        .ok()
    }
}

impl Test {
    /// `scratch` was begun for this request.
    pub fn holds(&self, request: &Request<'_>, scratch: &mut Scratch) -> bool {
        self.condition.holds(request, b"", &mut scratch.buffers)
    }
}
