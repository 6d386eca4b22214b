//! What all expressions of a policy share: lists, names of token configurations, the room of regular expressions.

use std::collections::HashMap;

use super::body::Wanted;
use super::check::Scope;
use super::condition::Condition;
use super::list::{self, List};
use super::parse;
use super::pattern::Patterns;
use super::place::{Place, Reads};
use super::syntax::{Fault, Node, Span};
use super::value::Value;
use super::{Request, Scratch};
use crate::policy::{self, Problem};

pub struct Language<'p> {
    lists: HashMap<&'p str, List>,
    configurations: Vec<&'p str>,
    patterns: Patterns,
    wanted: Wanted,
    messages: Messages,
}

/// Paths into messages that expressions read.
#[derive(Debug, Default)]
pub struct Messages {
    /// Each once, with the place where it was read first.
    paths: Vec<(String, String, Span)>,
}

impl Messages {
    pub(super) fn number(&mut self, path: &str, at: &str, span: &Span) -> usize {
        if let Some(number) = self.paths.iter().position(|(known, ..)| known == path) {
            return number;
        }
        self.paths.push((path.to_owned(), at.to_owned(), span.clone()));
        self.paths.len() - 1
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|(path, ..)| path.as_str())
    }

    /// A path that no message has never holds anything, which nobody means.
    pub fn report(&self, found: &[bool], problems: &mut Vec<Problem>) {
        for ((path, at, span), _) in self.paths.iter().zip(found).filter(|(_, found)| !**found) {
            problems.push(Problem {
                at: at.clone(),
                span: Some((span.start, span.end)),
                message: format!("no method of a host's services is sent a message with a value at `{path}`"),
                hint: Some("names of fields with dots between them, as the descriptors write them".to_owned()),
            });
        }
    }
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
            messages: Messages::default(),
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

    /// What they read of messages.
    #[must_use]
    pub fn take_messages(&mut self) -> Messages {
        std::mem::take(&mut self.messages)
    }

    fn compiled<T>(
        &mut self,
        at: &str,
        text: &str,
        place: Place,
        problems: &mut Vec<Problem>,
        make: impl FnOnce(&mut Scope<'_>, &Node) -> Result<T, Fault>,
    ) -> Option<T> {
        let Language { lists, configurations, patterns, wanted, messages } = self;
        let made = parse::parse(text).and_then(|node| {
            let mut scope =
                Scope { text, at, lists, configurations, patterns, wanted, messages, place, reads: Reads::default() };
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
