//! A parsed body as the schema engine sees it.
//!
//! The handle is two words: the document and an entry of its tape. One more value exists that no body holds: the
//! root, an object with the whole body as its only member, named after the property of the host's root schema.
//!
//! Work is bounded by [`Document::steps`]: containers stop showing their members when it is used up. A verdict
//! reached that way is thrown away, so the bound refuses, it never lets through.

use std::borrow::Cow;
use std::cell::Cell;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, cmp};
use jsonschema::{JsonType, Validator};
use serde_json::Value;

use super::json::{self, Entry, Parsed, Tape};
use super::violation::Violation;

/// Most containers and members looked at for one verdict: a body of 1 MiB holds at most 500,000 values, so every
/// value can be looked at for 30 alternatives; about 0.3 s in all.
pub const MAX_STEPS: u32 = 1 << 24;
/// Most errors gathered to find the ones that are told: `anyOf` and `oneOf` gather their branches' errors first.
const MAX_GATHERED_ERRORS: u32 = 1_000;
/// The entry number of the root.
const ROOT: u32 = u32::MAX;

/// Marker of this representation.
#[derive(Debug)]
pub struct Body;

/// Checks JSON against one property of the root schema; None: it only has to be JSON.
///
/// # Errors
/// Why it is not JSON with one meaning, or what it violates.
pub fn check(
    validator: Option<&Validator<Body>>,
    property: Option<&str>,
    bytes: &[u8],
    budget: &mut Budget,
) -> Result<(), Violation> {
    json::with_tape(bytes, |parsed| match (parsed, property, validator) {
        (Ok(parsed), Some(property), Some(validator)) => verdict_within(validator, parsed, property, budget),
        (Ok(_), None, _) => Ok(()),
        (Ok(_), Some(_), None) => Err(Violation::unavailable()),
        (Err(refusal), ..) => Err(Violation::malformed(&refusal)),
    })
}

/// Checks a parsed body against one property of the root schema.
///
/// # Errors
/// What it violates.
pub fn verdict(validator: &Validator<Body>, parsed: Parsed<'_>, property: &str) -> Result<(), Violation> {
    verdict_within(validator, parsed, property, &mut Budget::default())
}

/// What is left for the values of one body.
#[derive(Debug)]
pub struct Budget {
    verdict: u32,
    explanation: u32,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { verdict: MAX_STEPS, explanation: MAX_STEPS }
    }
}

/// The same for a body of several values, which have to do with one bound.
///
/// # Errors
/// What this value violates.
fn verdict_within(
    validator: &Validator<Body>,
    parsed: Parsed<'_>,
    property: &str,
    budget: &mut Budget,
) -> Result<(), Violation> {
    let (steps, errors) = (Cell::new(budget.verdict), Cell::new(MAX_GATHERED_ERRORS));
    let document = Document { parsed, property, value: 0, steps, errors };
    let root = BodyNode { document: &document, entry: ROOT };
    let valid = validator.is_valid(root);
    budget.verdict = document.steps.get();
    if budget.verdict == 0 {
        return Err(Violation::exhausted());
    }
    if valid {
        return Ok(());
    }
    // The verdict stands; what follows only explains it.
    document.steps.set(budget.explanation);
    let violation = Violation::invalid(validator.iter_errors(root), property);
    budget.explanation = document.steps.get();
    Err(violation)
}

/// Whether the value at an entry is as one property of the root schema says. `steps` is what may still be spent in all;
/// a verdict reached when none are left counts for nothing.
pub fn matches(validator: &Validator<Body>, parsed: Parsed<'_>, property: &str, value: u32, steps: &mut u32) -> bool {
    let document =
        Document { parsed, property, value, steps: Cell::new(*steps), errors: Cell::new(MAX_GATHERED_ERRORS) };
    let valid = validator.is_valid(BodyNode { document: &document, entry: ROOT });
    *steps = document.steps.get();
    valid
}

/// A body under check.
#[derive(Debug)]
pub struct Document<'a> {
    parsed: Parsed<'a>,
    property: &'a str,
    /// The entry that the property stands for: 0 is the whole body.
    value: u32,
    steps: Cell<u32>,
    errors: Cell<u32>,
}

impl Document<'_> {
    /// Whether one more container or member may be looked at.
    #[inline]
    fn step(&self) -> bool {
        let left = self.steps.get().saturating_sub(1);
        self.steps.set(left);
        left > 0
    }
}

/// One value of a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyNode<'a> {
    document: &'a Document<'a>,
    entry: u32,
}

impl<'a> BodyNode<'a> {
    #[inline]
    fn get(&self) -> Entry {
        if self.entry == ROOT {
            return Entry::Object { length: 1, end: 0, sorted: 0 };
        }
        self.document.parsed.tape.entries[self.entry as usize]
    }

    #[inline]
    fn at(&self, entry: u32) -> BodyNode<'a> {
        BodyNode { document: self.document, entry }
    }

    /// JSON equality (mathematical for numbers, without order for members) with a value of the schema.
    fn equals(&self, expected: &Value) -> bool {
        match (self.get(), expected) {
            (Entry::Null, Value::Null) => true,
            (Entry::Boolean(left), Value::Bool(right)) => left == *right,
            (Entry::Text { .. } | Entry::Decoded { .. }, Value::String(right)) => {
                self.document.parsed.string(self.entry) == Some(right)
            }
            (Entry::Number { .. }, Value::Number(right)) => {
                self.as_number().is_some_and(|left| cmp::equal_numbers(&left, right))
            }
            (Entry::Array { length, .. }, Value::Array(right)) => {
                length as usize == right.len() && Elements::of(*self).zip(right).all(|(left, right)| left.equals(right))
            }
            (Entry::Object { length, .. }, Value::Object(right)) => {
                length as usize == right.len()
                    && right.iter().all(|(name, right)| self.member(name).is_some_and(|left| left.equals(right)))
            }
            _ => false,
        }
    }

    fn member(&self, name: &str) -> Option<BodyNode<'a>> {
        if self.entry == ROOT {
            return (name == self.document.property).then(|| self.at(self.document.value));
        }
        if !self.document.step() {
            return None;
        }
        self.document.parsed.member(self.entry, name).map(|entry| self.at(entry))
    }

    /// Writes bytes that are equal for values that are equal by JSON equality.
    fn canonical(&self, out: &mut Vec<u8>) {
        match self.get() {
            Entry::Null => out.push(b'z'),
            Entry::Boolean(value) => out.push(if value { b't' } else { b'f' }),
            Entry::Number { .. } => {
                if let Some(number) = self.as_number() {
                    number.canonical(out);
                }
            }
            Entry::Text { .. } | Entry::Decoded { .. } => {
                canonical_text(self.document.parsed.string(self.entry).unwrap_or_default(), out);
            }
            Entry::Array { length, .. } => {
                out.push(b'a');
                out.extend_from_slice(&length.to_le_bytes());
                Elements::of(*self).for_each(|element| element.canonical(out));
            }
            Entry::Object { length, .. } => {
                out.push(b'o');
                out.extend_from_slice(&length.to_le_bytes());
                let mut members: Vec<_> = Members::of(*self).collect();
                members.sort_unstable_by_key(|&(name, _)| name);
                for (name, value) in members {
                    canonical_text(name, out);
                    value.canonical(out);
                }
            }
        }
    }
}

fn canonical_text(text: &str, out: &mut Vec<u8>) {
    out.push(b's');
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

impl Json for Body {
    type Node<'a> = BodyNode<'a>;
    type PreparedKey = String;
    // A look-up is a scan of names or a binary search: a pass over as many members as there are keys is no dearer.
    const KEYS_PER_LOOKUP: usize = 2;
    type StringBuffer = Tape;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Tape, string: &str, f: impl FnOnce(BodyNode<'_>) -> T) -> T {
        buffer.entries.clear();
        buffer.entries.push(Entry::Text { start: 0, length: string.len() as u32 });
        let document = Document {
            parsed: Parsed { body: string, tape: buffer },
            property: "",
            value: 0,
            steps: Cell::new(1),
            errors: Cell::new(1),
        };
        f(BodyNode { document: &document, entry: 0 })
    }
}

impl<'a> Node<'a, Body> for BodyNode<'a> {
    type Object = BodyNode<'a>;
    type Array = BodyNode<'a>;
    type Number = Number<'a>;

    fn as_object(&self) -> Option<BodyNode<'a>> {
        matches!(self.get(), Entry::Object { .. }).then_some(*self)
    }

    fn as_array(&self) -> Option<BodyNode<'a>> {
        matches!(self.get(), Entry::Array { .. }).then_some(*self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        if self.entry == ROOT {
            return None;
        }
        self.document.parsed.string(self.entry).map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Number<'a>> {
        match self.get() {
            Entry::Number { start, length } => {
                Some(Number { text: &self.document.parsed.body[start as usize..(start + length) as usize] })
            }
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.get() {
            Entry::Boolean(value) => Some(value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.get(), Entry::Null)
    }

    fn is_number(&self) -> bool {
        matches!(self.get(), Entry::Number { .. })
    }

    fn json_type(&self) -> JsonType {
        match self.get() {
            Entry::Null => JsonType::Null,
            Entry::Boolean(_) => JsonType::Boolean,
            Entry::Number { .. } => JsonType::Number,
            Entry::Text { .. } | Entry::Decoded { .. } => JsonType::String,
            Entry::Array { .. } => JsonType::Array,
            Entry::Object { .. } => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        self.equals(expected)
    }

    /// Asked for once per error, to be kept with it: errors are told without the client's values, so none is copied.
    fn to_value(&self) -> Cow<'a, Value> {
        let left = self.document.errors.get().saturating_sub(1);
        self.document.errors.set(left);
        if left == 0 {
            self.document.steps.set(0);
        }
        Cow::Owned(Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::tagged(std::ptr::from_ref(self.document) as usize, self.entry))
    }
}

impl<'a> Object<'a, Body> for BodyNode<'a> {
    type Node = BodyNode<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        match self.get() {
            Entry::Object { length, .. } => length as usize,
            _ => 0,
        }
    }

    fn get(&self, key: &String) -> Option<BodyNode<'a>> {
        self.member(key)
    }

    fn members(&self) -> Members<'a> {
        Members::of(*self)
    }
}

impl<'a> Array<'a, Body> for BodyNode<'a> {
    type Node = BodyNode<'a>;
    type ElementsIter = Elements<'a>;

    fn len(&self) -> usize {
        match BodyNode::get(self) {
            Entry::Array { length, .. } => length as usize,
            _ => 0,
        }
    }

    fn elements(&self) -> Elements<'a> {
        Elements::of(*self)
    }

    fn is_unique(&self) -> bool {
        let mut seen: HashSet<Box<[u8]>, RandomState> = HashSet::default();
        let mut bytes = Vec::new();
        Elements::of(*self).all(|element| {
            bytes.clear();
            element.canonical(&mut bytes);
            seen.insert(bytes.as_slice().into())
        })
    }
}

/// The members of an object, in document order.
#[derive(Debug)]
pub struct Members<'a> {
    object: BodyNode<'a>,
    next: u32,
    left: u32,
}

impl<'a> Members<'a> {
    fn of(object: BodyNode<'a>) -> Members<'a> {
        let left = match object.get() {
            Entry::Object { length, .. } => length,
            _ => 0,
        };
        Members { object, next: object.entry.wrapping_add(1), left }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, BodyNode<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let document = self.object.document;
        if self.left == 0 || !document.step() {
            return None;
        }
        self.left -= 1;
        if self.object.entry == ROOT {
            return Some((document.property, self.object.at(document.value)));
        }
        let name = document.parsed.string(self.next)?;
        let value = self.next + 1;
        self.next = document.parsed.after(value);
        Some((name, self.object.at(value)))
    }
}

/// The elements of an array.
#[derive(Debug)]
pub struct Elements<'a> {
    array: BodyNode<'a>,
    next: u32,
    left: u32,
}

impl<'a> Elements<'a> {
    fn of(array: BodyNode<'a>) -> Elements<'a> {
        let left = match array.get() {
            Entry::Array { length, .. } => length,
            _ => 0,
        };
        Elements { array, next: array.entry.wrapping_add(1), left }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = BodyNode<'a>;

    #[inline]
    fn next(&mut self) -> Option<BodyNode<'a>> {
        let document = self.array.document;
        if self.left == 0 || !document.step() {
            return None;
        }
        self.left -= 1;
        let element = self.next;
        self.next = document.parsed.after(element);
        Some(self.array.at(element))
    }
}

/// A number as the client wrote it.
#[derive(Debug, Clone, Copy)]
pub struct Number<'a> {
    text: &'a str,
}

impl Number<'_> {
    fn canonical(&self, out: &mut Vec<u8>) {
        // Integers by value whatever their notation; doubles above 2^64 are integers that only a double can name.
        if let Some(value) = self.as_i64().map(i128::from).or(self.as_u64().map(i128::from)) {
            out.push(b'i');
            out.extend_from_slice(&value.to_le_bytes());
            return;
        }
        let value = self.as_f64().unwrap_or_default();
        if value.fract() == 0.0 && value.abs() < 18_446_744_073_709_551_616.0 {
            out.push(b'i');
            out.extend_from_slice(&(value as i128).to_le_bytes());
        } else {
            out.push(b'd');
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

impl JsonNumber for Number<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.text.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.text.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        let value: f64 = self.text.parse().ok()?;
        // Whole numbers just below 64 bits would be rounded up into them.
        let below = value == i64::MIN as f64 && self.as_i64().is_none() && !self.text.contains(['.', 'e', 'E']);
        Some(if below { value.next_down() } else { value })
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.text)
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        let number = self
            .as_u64()
            .map(serde_json::Number::from)
            .or_else(|| self.as_i64().map(serde_json::Number::from))
            .or_else(|| self.as_f64().and_then(serde_json::Number::from_f64));
        Cow::Owned(number.unwrap_or_else(|| serde_json::Number::from(0)))
    }

    /// By its digits, not by what a double makes of them: `1.00000000000000000001` is no integer.
    fn is_integer(&self) -> bool {
        let bytes = self.text.as_bytes();
        if !bytes.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return true;
        }
        let (mantissa, exponent) = self.text.split_once(['e', 'E']).unwrap_or((self.text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = || whole.bytes().chain(fraction.bytes()).rev();
        let zeros = digits().take_while(|&byte| byte == b'0').count() as i64;
        if !digits().any(|byte| matches!(byte, b'1'..=b'9')) {
            return true;
        }
        // An exponent too long for 64 bits is far below zero here: large ones were refused as out of range.
        let exponent: i64 = exponent.parse().unwrap_or(i64::MIN / 2);
        (fraction.len() as i64).saturating_sub(exponent) <= zeros
    }
}
