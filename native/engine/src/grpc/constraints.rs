//! What a value has to be, beyond its type: the rules of protovalidate that one value by itself keeps or breaks.
//!
//! A constraint is compiled once, its pattern included, and asked for every value. It says what was expected, never
//! what was found.

use regex_automata::meta::Regex;

use super::formats::Form;
use crate::schema::Class;

/// Rules of a field: of its value, or of each of its values.
#[derive(Debug)]
pub(super) struct Constraint {
    /// Values that are zero are not looked at (`IGNORE_IF_ZERO_VALUE`).
    pub ignore_zero: bool,
    pub test: Test,
}

#[derive(Debug)]
pub(super) enum Test {
    /// None but a zero value is wrong: `required`, where a field cannot say that it is there.
    NotZero,
    Integer(Box<Numbers<i128>>),
    Float(Box<Numbers<f64>>),
    Bool(bool),
    Enum(Box<EnumRules>),
    Text(Box<TextRules>),
    Bytes(Box<BytesRules>),
    /// Both.
    Each(Box<[Constraint]>),
}

/// How many values a repeated field or a map has.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub least: u64,
    pub most: Option<u64>,
    /// No two values are equal; of a map: pairs with one key count once.
    pub unique: bool,
    /// Nothing is said about a field that is not there.
    pub ignore_empty: bool,
}

/// A scalar as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Enum(i32),
    Bytes(&'a [u8]),
}

/// What was expected instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub class: Class,
    pub message: String,
}

fn expected(class: Class, message: impl Into<String>) -> Result<(), Expected> {
    Err(Expected { class, message: message.into() })
}

/// Rules of numbers. With a lower bound above the upper one, values outside of both are meant.
#[derive(Debug, Default)]
pub(super) struct Numbers<T> {
    pub constant: Option<T>,
    pub above: Option<Bound<T>>,
    pub below: Option<Bound<T>>,
    /// Empty: any.
    pub one_of: Vec<T>,
    pub none_of: Vec<T>,
    /// No infinity, and a number.
    pub finite: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<T> {
    pub value: T,
    pub inclusive: bool,
}

impl<T: PartialOrd + Copy + std::fmt::Display> Numbers<T> {
    fn check(&self, value: T) -> Result<(), Expected> {
        if let Some(constant) = self.constant
            && value != constant
        {
            return expected(Class::Value, format!("expected {constant}"));
        }
        let is_above = |bound: &Bound<T>| if bound.inclusive { value >= bound.value } else { value > bound.value };
        let is_below = |bound: &Bound<T>| if bound.inclusive { value <= bound.value } else { value < bound.value };
        let more =
            |bound: &Bound<T>| format!("{} {}", if bound.inclusive { "at least" } else { "more than" }, bound.value);
        let less =
            |bound: &Bound<T>| format!("{} {}", if bound.inclusive { "at most" } else { "less than" }, bound.value);
        match (&self.above, &self.below) {
            (Some(above), Some(below)) if above.value > below.value => {
                if !is_above(above) && !is_below(below) {
                    return expected(Class::Range, format!("expected {} or {}", less(below), more(above)));
                }
            }
            (above, below) => {
                if let Some(bound) = above.as_ref().filter(|bound| !is_above(bound)) {
                    return expected(Class::Range, format!("expected {}", more(bound)));
                }
                if let Some(bound) = below.as_ref().filter(|bound| !is_below(bound)) {
                    return expected(Class::Range, format!("expected {}", less(bound)));
                }
            }
        }
        listed(value, &self.one_of, &self.none_of, |value| value.to_string())
    }
}

fn listed<T: PartialEq>(value: T, one_of: &[T], none_of: &[T], show: impl Fn(&T) -> String) -> Result<(), Expected> {
    let names = |values: &[T]| values.iter().map(&show).collect::<Vec<_>>().join(", ");
    if !one_of.is_empty() && !one_of.contains(&value) {
        return expected(Class::Value, format!("expected one of {}", names(one_of)));
    }
    if none_of.contains(&value) {
        return expected(Class::Value, format!("expected none of {}", names(none_of)));
    }
    Ok(())
}

#[derive(Debug, Default)]
pub(super) struct EnumRules {
    pub constant: Option<i32>,
    /// The numbers that exist, in ascending order.
    pub defined: Option<Box<[i32]>>,
    pub one_of: Vec<i32>,
    pub none_of: Vec<i32>,
}

impl EnumRules {
    fn check(&self, value: i32) -> Result<(), Expected> {
        if let Some(constant) = self.constant
            && value != constant
        {
            return expected(Class::Value, format!("expected {constant}"));
        }
        if let Some(defined) = &self.defined
            && defined.binary_search(&value).is_err()
        {
            return expected(Class::Value, "expected a value that the enumeration has");
        }
        listed(value, &self.one_of, &self.none_of, i32::to_string)
    }
}

/// A length, both ends included.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Length {
    pub least: Option<u64>,
    pub most: Option<u64>,
}

impl Length {
    pub fn exactly(length: u64) -> Length {
        Length { least: Some(length), most: Some(length) }
    }

    fn check(self, length: u64, unit: &str) -> Result<(), Expected> {
        if let Some(least) = self.least
            && length < least
        {
            return expected(Class::Length, format!("expected at least {least} {unit}"));
        }
        if let Some(most) = self.most
            && length > most
        {
            return expected(Class::Length, format!("expected at most {most} {unit}"));
        }
        Ok(())
    }

    fn is_said(self) -> bool {
        self.least.is_some() || self.most.is_some()
    }
}

#[derive(Debug, Default)]
pub(super) struct TextRules {
    pub bytes: BytesRules,
    /// In characters: code points.
    pub characters: Length,
    pub none_in: Option<Box<str>>,
    pub form: Option<Form>,
}

impl TextRules {
    fn check(&self, value: &[u8]) -> Result<(), Expected> {
        // Who calls has checked that it is UTF-8.
        let text = std::str::from_utf8(value).unwrap_or_default();
        if self.characters.is_said() {
            self.characters.check(text.chars().count() as u64, "characters")?;
        }
        self.bytes.check(value)?;
        if let Some(part) = &self.none_in
            && text.contains(&**part)
        {
            return expected(Class::Value, format!("expected text without \"{part}\""));
        }
        match self.form {
            Some(form) if !form.fits(text) => expected(Class::Format, format!("expected {}", form.name())),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct BytesRules {
    pub constant: Option<Box<[u8]>>,
    pub length: Length,
    pub pattern: Option<Pattern>,
    pub prefix: Option<Box<[u8]>>,
    pub suffix: Option<Box<[u8]>>,
    pub part: Option<Box<[u8]>>,
    pub one_of: Vec<Box<[u8]>>,
    pub none_of: Vec<Box<[u8]>>,
    /// Lengths that an address or the like may have; empty: any.
    pub sizes: &'static [usize],
}

#[derive(Debug)]
pub(super) struct Pattern {
    pub text: Box<str>,
    pub regex: Regex,
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

impl BytesRules {
    fn check(&self, value: &[u8]) -> Result<(), Expected> {
        if let Some(constant) = &self.constant
            && *value != **constant
        {
            return expected(Class::Value, format!("expected {}", quoted(constant)));
        }
        self.length.check(value.len() as u64, "bytes")?;
        if !self.sizes.is_empty() && !self.sizes.contains(&value.len()) {
            let sizes: Vec<String> = self.sizes.iter().map(usize::to_string).collect();
            return expected(Class::Length, format!("expected {} bytes", sizes.join(" or ")));
        }
        if let Some(pattern) = &self.pattern
            && !pattern.regex.is_match(value)
        {
            return expected(Class::Pattern, format!("expected text that matches {}", pattern.text));
        }
        if let Some(prefix) = &self.prefix
            && !value.starts_with(prefix)
        {
            return expected(Class::Value, format!("expected a value that starts with {}", quoted(prefix)));
        }
        if let Some(suffix) = &self.suffix
            && !value.ends_with(suffix)
        {
            return expected(Class::Value, format!("expected a value that ends with {}", quoted(suffix)));
        }
        if let Some(part) = &self.part
            && memchr::memmem::find(value, part).is_none()
        {
            return expected(Class::Value, format!("expected a value that contains {}", quoted(part)));
        }
        let is_in = |values: &[Box<[u8]>]| values.iter().any(|known| **known == *value);
        let names = |values: &[Box<[u8]>]| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ");
        if !self.one_of.is_empty() && !is_in(&self.one_of) {
            return expected(Class::Value, format!("expected one of {}", names(&self.one_of)));
        }
        if is_in(&self.none_of) {
            return expected(Class::Value, format!("expected none of {}", names(&self.none_of)));
        }
        Ok(())
    }
}

impl Scalar<'_> {
    pub fn is_zero(&self) -> bool {
        match *self {
            Scalar::Integer(value) => value == 0,
            // Minus zero is written, and is there.
            Scalar::Float(value) => value.to_bits() == 0,
            Scalar::Bool(value) => !value,
            Scalar::Enum(value) => value == 0,
            Scalar::Bytes(value) => value.is_empty(),
        }
    }
}

impl Constraint {
    pub fn check(&self, value: Scalar<'_>) -> Result<(), Expected> {
        if self.ignore_zero && value.is_zero() {
            return Ok(());
        }
        match (&self.test, value) {
            (Test::NotZero, value) if value.is_zero() => expected(Class::Required, "expected a value"),
            (Test::NotZero, _) => Ok(()),
            (Test::Integer(rules), Scalar::Integer(value)) => rules.check(value),
            (Test::Float(rules), Scalar::Float(value)) => {
                if rules.finite && !value.is_finite() {
                    return expected(Class::Range, "expected a finite number");
                }
                rules.check(value)
            }
            (Test::Bool(constant), Scalar::Bool(value)) if value != *constant => {
                expected(Class::Value, format!("expected {constant}"))
            }
            (Test::Enum(rules), Scalar::Enum(value)) => rules.check(value),
            (Test::Text(rules), Scalar::Bytes(value)) => rules.check(value),
            (Test::Bytes(rules), Scalar::Bytes(value)) => rules.check(value),
            (Test::Each(constraints), value) => constraints.iter().try_for_each(|constraint| constraint.check(value)),
            // Constraints are compiled for the kind of their field.
            (Test::Integer(_) | Test::Float(_) | Test::Bool(_) | Test::Enum(_) | Test::Text(_) | Test::Bytes(_), _) => {
                Ok(())
            }
        }
    }
}

impl Shape {
    pub fn check(&self, count: u64) -> Result<(), Expected> {
        if count == 0 && self.ignore_empty {
            return Ok(());
        }
        if count < self.least {
            return expected(Class::Count, format!("expected at least {} items", self.least));
        }
        match self.most {
            Some(most) if count > most => expected(Class::Count, format!("expected at most {most} items")),
            _ => Ok(()),
        }
    }
}
