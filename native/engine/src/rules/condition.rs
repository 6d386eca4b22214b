//! A compiled expression: a tree of typed conditions, walked once per request.
//!
//! A missing value (no such header, argument, cookie or position) makes every comparison false, `ne` included, and
//! passes through functions. Between two fields `ne` is `not eq`, and an empty value counts as missing: what is compared
//! there is who somebody is with what they ask for, and neither a caller without a claim nor one who sends an empty
//! argument may be taken for the owner. `element` is what `[*]` stands for, where one encloses the condition.

use std::ops::ControlFlow;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex_automata::meta::Regex;

use super::decode;
use super::request::{self, Buffers, Certified, Finding, NumberField, Request, Source, TextField, Tokened, Value};
use super::set::{AddressSet, Ranges, TextSet};
use super::wildcard::Wildcard;

#[derive(Debug)]
pub(super) enum Condition {
    Constant(bool),
    Certificate(Certified),
    Finding(Finding),
    Token(Tokened),
    /// Two fields are equal: neither missing nor empty.
    Same(Text, Text),
    /// An element of the source is equal.
    Among(Text, Source),
    Text(Text, TextTest),
    /// `wildcard`, which ignores case; the pattern is lower-case.
    Wildcard(Text, Box<Wildcard>),
    Number(Number, Ranges<i64>),
    Address(Arc<AddressSet>),
    StartsWith(Text, Text),
    EndsWith(Text, Text),
    /// `any` and `all`; `all` of nothing is true.
    Quantified {
        source: Source,
        every: bool,
        of: Box<Condition>,
    },
    /// One element of a mapped array of booleans.
    At {
        source: Source,
        position: usize,
        of: Box<Condition>,
    },
    Not(Box<Condition>),
    And(Box<[Condition]>),
    Or(Box<[Condition]>),
    Xor(Box<[Condition]>),
}

#[derive(Debug)]
pub(super) enum TextTest {
    Equal(Box<[u8]>),
    NotEqual(Box<[u8]>),
    /// Bytewise order; `or_equal` holds for the literal itself.
    Less {
        than: Box<[u8]>,
        or_equal: bool,
    },
    Greater {
        than: Box<[u8]>,
        or_equal: bool,
    },
    Contains(Box<Finder<'static>>),
    Matches(Box<Regex>),
    Wildcard(Box<Wildcard>),
    In(Arc<TextSet>),
}

#[derive(Debug)]
pub(super) enum Text {
    Field(TextField),
    /// By its number among what is wanted of the body.
    Body(usize),
    /// A parameter of the operation's path.
    Parameter(Box<str>),
    Literal(Box<[u8]>),
    /// What `[*]` stands for.
    Element,
    At {
        source: Source,
        position: usize,
        of: Box<Text>,
    },
    Lower(Box<Text>),
    Upper(Box<Text>),
    /// Missing parts are left out; missing if all are.
    Concat(Box<[Text]>),
    UrlDecode {
        of: Box<Text>,
        recursive: bool,
        unicode: bool,
    },
}

#[derive(Debug)]
pub(super) enum Number {
    Field(NumberField),
    /// By its number among what is wanted of the body.
    Body(usize),
    Length(Text),
    /// The number that a text is, its fraction cut off; missing when it is none.
    Of(Text),
    Count(Source),
    At {
        source: Source,
        position: usize,
        of: Box<Number>,
    },
}

impl Condition {
    pub fn holds<'v>(&'v self, request: &Request<'v>, element: &'v [u8], buffers: &mut Buffers) -> bool {
        match self {
            Condition::Constant(value) => *value,
            Condition::Certificate(certified) => certified.holds(request),
            Condition::Finding(finding) => finding.holds(request),
            Condition::Token(tokened) => tokened.holds(request),
            Condition::Same(left, right) => {
                compare(left, right, request, element, buffers, |left, right| !left.is_empty() && left == right)
            }
            Condition::Among(text, source) => {
                let mark = buffers.text.len();
                let found = text.value(request, element, buffers).is_some_and(|value| {
                    let text = value.bytes(buffers);
                    let same = |element: &[u8]| !text.is_empty() && element == text;
                    let found = source.each(request, |element| {
                        if same(element) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    });
                    found.is_break()
                });
                buffers.text.truncate(mark);
                found
            }
            Condition::Text(text, test) => {
                let mark = buffers.text.len();
                let held = text.value(request, element, buffers).is_some_and(|value| test.holds(value.bytes(buffers)));
                buffers.text.truncate(mark);
                held
            }
            Condition::Wildcard(text, wildcard) => {
                let mark = buffers.text.len();
                let held = text.value(request, element, buffers).is_some_and(|value| {
                    wildcard.frames(value.bytes(buffers)) && {
                        // Few values come so far, so only these are copied to be searched in lower case.
                        let start = value.push_lower(buffers);
                        wildcard.matches(&buffers.text[start..])
                    }
                });
                buffers.text.truncate(mark);
                held
            }
            Condition::Number(number, ranges) => {
                number.value(request, element, buffers).is_some_and(|value| ranges.contains(value))
            }
            Condition::Address(set) => set.contains(request.address.to_canonical()),
            Condition::StartsWith(text, start) => {
                compare(text, start, request, element, buffers, |text, start| text.starts_with(start))
            }
            Condition::EndsWith(text, end) => {
                compare(text, end, request, element, buffers, |text, end| text.ends_with(end))
            }
            Condition::Quantified { source, every, of } => {
                let stopped = source.each(request, |element| {
                    if of.holds(request, element, buffers) == *every {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                });
                stopped.is_continue() == *every
            }
            Condition::At { source, position, of } => {
                source.nth(request, *position).is_some_and(|element| of.holds(request, element, buffers))
            }
            Condition::Not(of) => !of.holds(request, element, buffers),
            Condition::And(all) => all.iter().all(|of| of.holds(request, element, buffers)),
            Condition::Or(any) => any.iter().any(|of| of.holds(request, element, buffers)),
            Condition::Xor(odd) => odd.iter().fold(false, |sum, of| sum ^ of.holds(request, element, buffers)),
        }
    }
}

impl Condition {
    /// Roughly what it costs in nanoseconds. The parts of `and` and `or` have no effects, so the cheap ones go first.
    pub fn cost(&self) -> u32 {
        let sum = |parts: &[Condition]| parts.iter().map(Condition::cost).sum();
        match self {
            Condition::Constant(_) => 0,
            Condition::Certificate(_) | Condition::Finding(_) => 1,
            Condition::Token(_) => 2,
            Condition::Same(left, right) => 2 + left.cost() + right.cost(),
            Condition::Among(text, _) => 30 + text.cost(),
            Condition::Text(text, test) => text.cost() + test.cost(),
            Condition::Wildcard(text, _) => 10 + text.cost(),
            Condition::Number(_, _) => 10,
            Condition::Address(_) => 8,
            Condition::StartsWith(left, right) | Condition::EndsWith(left, right) => 2 + left.cost() + right.cost(),
            Condition::Quantified { of, .. } | Condition::At { of, .. } => 40 + of.cost(),
            Condition::Not(of) => of.cost(),
            Condition::And(parts) | Condition::Or(parts) | Condition::Xor(parts) => sum(parts),
        }
    }
}

impl TextTest {
    fn cost(&self) -> u32 {
        match self {
            TextTest::Equal(_) | TextTest::NotEqual(_) | TextTest::Less { .. } | TextTest::Greater { .. } => 2,
            TextTest::In(_) => 8,
            TextTest::Contains(_) | TextTest::Wildcard(_) => 15,
            TextTest::Matches(_) => 60,
        }
    }
}

impl Text {
    fn cost(&self) -> u32 {
        match self {
            Text::Field(TextField::UserAgent | TextField::Cookie | TextField::Referer) => 25,
            Text::Field(_) | Text::Literal(_) | Text::Element => 1,
            Text::Parameter(_) | Text::Body(_) => 5,
            Text::At { of, .. } => 30 + of.cost(),
            Text::Lower(of) | Text::Upper(of) => 15 + of.cost(),
            Text::Concat(parts) => parts.iter().map(|part| 10 + part.cost()).sum(),
            Text::UrlDecode { of, .. } => 40 + of.cost(),
        }
    }
}

/// Both sides may be put together in the buffer, so both values are made before either is read.
fn compare<'v>(
    left: &'v Text,
    right: &'v Text,
    request: &Request<'v>,
    element: &'v [u8],
    buffers: &mut Buffers,
    test: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let mark = buffers.text.len();
    let left = left.value(request, element, buffers);
    let right = right.value(request, element, buffers);
    let held = left.zip(right).is_some_and(|(left, right)| test(left.bytes(buffers), right.bytes(buffers)));
    buffers.text.truncate(mark);
    held
}

impl TextTest {
    fn holds(&self, text: &[u8]) -> bool {
        match self {
            TextTest::Equal(literal) => *text == **literal,
            TextTest::NotEqual(literal) => *text != **literal,
            TextTest::Less { than, or_equal } => *text < **than || (*or_equal && *text == **than),
            TextTest::Greater { than, or_equal } => *text > **than || (*or_equal && *text == **than),
            TextTest::Contains(finder) => finder.find(text).is_some(),
            TextTest::Matches(regex) => regex.is_match(text),
            TextTest::Wildcard(wildcard) => wildcard.matches(text),
            TextTest::In(set) => set.contains(text),
        }
    }
}

impl Text {
    pub fn value<'v>(&'v self, request: &Request<'v>, element: &'v [u8], buffers: &mut Buffers) -> Option<Value<'v>> {
        match self {
            Text::Field(field) => Some(field.value(request, buffers)),
            Text::Body(number) => request.beyond.body?.texts(*number).next().map(Value::Borrowed),
            Text::Parameter(name) => request::parameter(request, name, buffers),
            Text::Literal(literal) => Some(Value::Borrowed(literal)),
            Text::Element => Some(Value::Borrowed(element)),
            Text::At { source, position, of } => of.value(request, source.nth(request, *position)?, buffers),
            Text::Lower(of) => {
                let start = of.value(request, element, buffers)?.push_lower(buffers);
                Some(Value::Built(start..buffers.text.len()))
            }
            Text::Upper(of) => {
                let start = of.value(request, element, buffers)?.push(buffers);
                buffers.text[start..].make_ascii_uppercase();
                Some(Value::Built(start..buffers.text.len()))
            }
            Text::Concat(parts) => {
                // A part may itself be built at the end of the buffer, so each is copied behind it and then moved
                // down to where the sum ends.
                let start = buffers.text.len();
                let mut end = start;
                let mut found = false;
                for part in parts {
                    if let Some(value) = part.value(request, element, buffers) {
                        let from = value.push(buffers);
                        let length = buffers.text.len() - from;
                        buffers.text.copy_within(from.., end);
                        end += length;
                        found = true;
                    }
                    buffers.text.truncate(end);
                }
                found.then_some(Value::Built(start..end))
            }
            Text::UrlDecode { of, recursive, unicode } => {
                let start = of.value(request, element, buffers)?.push(buffers);
                decode::url_decode(&mut buffers.text, start, *recursive, *unicode);
                Some(Value::Built(start..buffers.text.len()))
            }
        }
    }
}

impl Number {
    pub fn value<'v>(&'v self, request: &Request<'v>, element: &'v [u8], buffers: &mut Buffers) -> Option<i64> {
        match self {
            Number::Field(field) => field.value(request),
            Number::Body(number) => request.beyond.body?.number(*number),
            Number::Length(text) => {
                let mark = buffers.text.len();
                let length = text.value(request, element, buffers).map(|value| value.bytes(buffers).len() as i64);
                buffers.text.truncate(mark);
                length
            }
            Number::Of(text) => {
                let mark = buffers.text.len();
                let number = text.value(request, element, buffers).and_then(|value| whole(value.bytes(buffers)));
                buffers.text.truncate(mark);
                number
            }
            Number::Count(source) => source.count(request).map(|count| count as i64),
            Number::At { source, position, of } => of.value(request, source.nth(request, *position)?, buffers),
        }
    }
}

/// A JSON number without its fraction (RFC 7519, 2: a NumericDate may have one).
fn whole(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        // Above it, neighbouring doubles are more than one apart.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        (number.abs() <= EXACT).then_some(number.floor() as i64)
    })
}
