//! protovalidate's annotations (`buf.validate.field` and its kin) become constraints.
//!
//! They are read by their numbers from the bytes of a descriptor's options, so that it does not matter which version of
//! `buf/validate/validate.proto` a descriptor set was made with, or whether it holds it at all. What is written there and
//! not checked here is told, always.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::constraints::{Bound, BytesRules, Constraint, EnumRules, Length, Numbers, Pattern, Shape, Test, TextRules};
use super::formats::Form;
use super::model::Kind;
use super::wire::{Malformed, Reader, Wire, zigzag};

/// Number of the extension in the options of fields, messages and oneofs.
const EXTENSION: u32 = 1159;
/// Most bytes of one compiled pattern: as in rules.
const MAX_PATTERN_BYTES: usize = 256 * 1024;
const MAX_PATTERN_NESTING: u32 = 50;
/// Rules lie within each other twice at most: those of a field, and those of its items.
const MAX_NESTING: u32 = 4;

/// What `buf.validate.field` says about one field.
#[derive(Debug, Default)]
pub(super) struct FieldRules<'a> {
    pub required: bool,
    ignore: Ignore,
    /// Number of the kind of rules, and those.
    rules: Option<(u32, &'a [u8])>,
    has_cel: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Ignore {
    #[default]
    Unset,
    Zero,
    Always,
}

/// What a field's rules come to.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub required: bool,
    pub constraint: Option<Constraint>,
    pub shape: Option<Shape>,
    /// Of a map's keys and values.
    pub key: Option<Constraint>,
    pub value: Option<Constraint>,
}

/// What is wrong with an annotation, or is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remark {
    Fault(String),
    Unchecked(String),
}

/// All values of a field of a message whose descriptor is not at hand.
fn each<'a>(bytes: &'a [u8], mut then: impl FnMut(u32, Value<'a>)) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    while !reader.is_at_end() {
        let (number, wire) = reader.tag()?;
        let value = match wire {
            Wire::Varint => Value::Varint(reader.varint()?),
            Wire::Fixed64 => Value::Fixed64(reader.fixed64()?),
            Wire::Fixed32 => Value::Fixed32(reader.fixed32()?),
            Wire::Length => Value::Bytes(reader.length_delimited()?),
            Wire::GroupStart | Wire::GroupEnd => return Err(Malformed::Group),
        };
        then(number, value);
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn is_true(self) -> bool {
        matches!(self, Value::Varint(value) if value != 0)
    }

    fn bytes(self) -> &'a [u8] {
        if let Value::Bytes(bytes) = self { bytes } else { &[] }
    }

    fn number(self) -> u64 {
        if let Value::Varint(value) = self { value } else { 0 }
    }
}

/// The annotation within a descriptor's encoded options.
pub(super) fn within(options: &[u8]) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    // An extension that is written in parts (`(buf.validate.field).string.min_len = 1`) may be encoded in parts.
    each(options, |number, value| {
        if number == EXTENSION {
            found.get_or_insert_default().extend_from_slice(value.bytes());
        }
    })
    .ok()?;
    found
}

/// `buf.validate.oneof`: whether one of them is required.
pub(super) fn oneof_required(annotation: &[u8]) -> bool {
    let mut required = false;
    let _ = each(annotation, |number, value| {
        if number == 1 {
            required = value.is_true();
        }
    });
    required
}

/// What `buf.validate.message` says.
#[derive(Debug, Default)]
pub(super) struct MessageRules {
    /// Of versions before 1.0: nothing in the message is looked at.
    pub disabled: bool,
    /// Names of fields of which at most one may be there, and whether one has to.
    pub most_one: Vec<(Vec<String>, bool)>,
    pub has_cel: bool,
}

pub(super) fn message_rules(annotation: &[u8]) -> MessageRules {
    let mut rules = MessageRules::default();
    let _ = each(annotation, |number, value| match number {
        1 => rules.disabled = value.is_true(),
        3 | 5 => rules.has_cel = true,
        4 => {
            let (mut names, mut required) = (Vec::new(), false);
            let _ = each(value.bytes(), |number, value| match number {
                1 => names.push(String::from_utf8_lossy(value.bytes()).into_owned()),
                2 => required = value.is_true(),
                _ => {}
            });
            rules.most_one.push((names, required));
        }
        _ => {}
    });
    rules
}

impl<'a> FieldRules<'a> {
    pub fn read(annotation: &'a [u8]) -> Result<FieldRules<'a>, Remark> {
        let mut read = FieldRules::default();
        let mut skipped = false;
        each(annotation, |number, value| match number {
            1..=16 | 18..=22 | 28 => read.rules = Some((number, value.bytes())),
            23 | 29 => read.has_cel = true,
            // Of versions before 1.0.
            24 => skipped = value.is_true(),
            25 => read.required = value.is_true(),
            26 if value.is_true() => read.ignore = Ignore::Zero,
            27 => {
                read.ignore = match value.number() {
                    1 | 2 => Ignore::Zero,
                    3 => Ignore::Always,
                    _ => Ignore::Unset,
                };
            }
            _ => {}
        })
        .map_err(unreadable)?;
        if skipped {
            read.ignore = Ignore::Always;
        }
        Ok(read)
    }

    /// Of a field of `kind`; `defined` are the numbers of its enumeration, `wraps` the kind inside a wrapper message.
    pub fn compile(&self, field: &About<'_>, remarks: &mut Vec<Remark>) -> Compiled {
        self.compile_nested(field, remarks, 0)
    }

    fn compile_nested(&self, field: &About<'_>, remarks: &mut Vec<Remark>, nesting: u32) -> Compiled {
        if self.ignore == Ignore::Always || nesting > MAX_NESTING {
            return Compiled::default();
        }
        if self.has_cel {
            remarks.push(Remark::Unchecked("a CEL expression".to_owned()));
        }
        let mut compiled = Compiled { required: self.required, ..Compiled::default() };
        let ignore_zero = self.ignore == Ignore::Zero;
        let Some((number, bytes)) = self.rules else { return compiled };
        match (number, field.shape) {
            (18, FieldShape::Repeated) => {
                let (mut shape, mut items) = (Shape { ignore_empty: ignore_zero, ..Shape::default() }, None);
                each_rule(bytes, remarks, |number, value, remarks| match number {
                    1 => shape.least = value.number(),
                    2 => shape.most = Some(value.number()),
                    3 => shape.unique = value.is_true(),
                    4 => items = Some(value.bytes()),
                    _ => remarks.push(extension(number)),
                });
                compiled.constraint = items.and_then(|items| nested(items, &field.single(), remarks, nesting));
                compiled.shape = Some(shape).filter(|shape| *shape != Shape::default());
            }
            (19, FieldShape::Map { key, value }) => {
                let mut shape = Shape { ignore_empty: ignore_zero, ..Shape::default() };
                let (mut keys, mut values) = (None, None);
                each_rule(bytes, remarks, |number, found, remarks| match number {
                    1 => shape.least = found.number(),
                    2 => shape.most = Some(found.number()),
                    4 => keys = Some(found.bytes()),
                    5 => values = Some(found.bytes()),
                    _ => remarks.push(extension(number)),
                });
                if (shape.least, shape.most) != (0, None) {
                    // Pairs of one key are one.
                    shape.unique = true;
                    compiled.shape = Some(shape);
                }
                compiled.key = keys.and_then(|rules| nested(rules, key, remarks, nesting));
                compiled.value = values.and_then(|rules| nested(rules, value, remarks, nesting));
            }
            (_, FieldShape::Single) => {
                let test = scalar(number, bytes, field, remarks);
                compiled.constraint = test.map(|test| Constraint { ignore_zero, test });
            }
            _ => remarks.push(Remark::Fault("rules of another type than the field's".to_owned())),
        }
        compiled
    }
}

/// The field that rules are compiled for.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub kind: Kind,
    /// Of an enumeration.
    pub defined: &'a [i32],
    /// What a message of `google/protobuf/wrappers.proto` holds.
    pub wraps: Option<Kind>,
    pub shape: FieldShape<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum FieldShape<'a> {
    Single,
    Repeated,
    Map { key: &'a About<'a>, value: &'a About<'a> },
}

impl About<'_> {
    fn single(&self) -> About<'_> {
        About { shape: FieldShape::Single, ..*self }
    }
}

/// Rules of items, keys or values.
fn nested(bytes: &[u8], about: &About<'_>, remarks: &mut Vec<Remark>, nesting: u32) -> Option<Constraint> {
    let rules = match FieldRules::read(bytes) {
        Ok(rules) => rules,
        Err(remark) => {
            remarks.push(remark);
            return None;
        }
    };
    let compiled = rules.compile_nested(about, remarks, nesting + 1);
    let zero = compiled.required.then_some(Constraint { ignore_zero: false, test: Test::NotZero });
    match (zero, compiled.constraint) {
        (Some(zero), Some(constraint)) => {
            Some(Constraint { ignore_zero: false, test: Test::Each(Box::new([zero, constraint])) })
        }
        (one, other) => one.or(other),
    }
}

/// [`each`] of the rules of one kind.
fn each_rule<'a>(bytes: &'a [u8], remarks: &mut Vec<Remark>, mut then: impl FnMut(u32, Value<'a>, &mut Vec<Remark>)) {
    if let Err(fault) = each(bytes, |number, value| then(number, value, remarks)) {
        remarks.push(unreadable(fault));
    }
}

fn unreadable(fault: Malformed) -> Remark {
    Remark::Fault(format!("an annotation that cannot be read: {fault}"))
}

/// Predefined rules are extensions of ours.
fn extension(number: u32) -> Remark {
    if number >= 1000 {
        Remark::Unchecked("a predefined rule".to_owned())
    } else {
        Remark::Unchecked(format!("a rule with the number {number}"))
    }
}

fn scalar(number: u32, bytes: &[u8], field: &About<'_>, remarks: &mut Vec<Remark>) -> Option<Test> {
    // A wrapper message is checked as what it wraps.
    let kind = field.wraps.unwrap_or(field.kind);
    let fits = match number {
        1 => kind == Kind::Float,
        2 => kind == Kind::Double,
        3 => kind == Kind::Int32,
        4 => kind == Kind::Int64,
        5 => kind == Kind::Uint32,
        6 => kind == Kind::Uint64,
        7 => kind == Kind::Sint32,
        8 => kind == Kind::Sint64,
        9 => kind == Kind::Fixed32,
        10 => kind == Kind::Fixed64,
        11 => kind == Kind::Sfixed32,
        12 => kind == Kind::Sfixed64,
        13 => kind == Kind::Bool,
        14 => kind == Kind::String,
        15 => kind == Kind::Bytes,
        16 => matches!(kind, Kind::Enum(_)),
        20..=22 | 28 => matches!(kind, Kind::Message(_)),
        _ => false,
    };
    if !fits {
        remarks.push(Remark::Fault("rules of another type than the field's".to_owned()));
        return None;
    }
    match number {
        1 | 2 => floats(bytes, remarks).map(|rules| Test::Float(Box::new(rules))),
        3..=12 => integers(kind, bytes, remarks).map(|rules| Test::Integer(Box::new(rules))),
        13 => {
            let mut constant = None;
            each_rule(bytes, remarks, |number, value, remarks| match number {
                1 => constant = Some(value.is_true()),
                2 => {}
                _ => remarks.push(extension(number)),
            });
            constant.map(Test::Bool)
        }
        14 => texts(bytes, remarks).map(|rules| Test::Text(Box::new(rules))),
        15 => plain_bytes(bytes, remarks).map(|rules| Test::Bytes(Box::new(rules))),
        16 => {
            let mut rules = EnumRules::default();
            each_rule(bytes, remarks, |number, value, remarks| match number {
                1 => rules.constant = Some(value.number() as i32),
                2 => rules.defined = value.is_true().then(|| field.defined.into()),
                3 => varints(value, |value| rules.one_of.push(value as i32)),
                4 => varints(value, |value| rules.none_of.push(value as i32)),
                5 => {}
                _ => remarks.push(extension(number)),
            });
            Some(Test::Enum(Box::new(rules)))
        }
        _ => {
            let what = match number {
                20 => "rules of google.protobuf.Any",
                21 => "rules of google.protobuf.Duration",
                22 => "rules of google.protobuf.Timestamp",
                _ => "rules of google.protobuf.FieldMask",
            };
            remarks.push(Remark::Unchecked(what.to_owned()));
            None
        }
    }
}

/// One, or several packed together.
fn varints(value: Value<'_>, mut then: impl FnMut(u64)) {
    match value {
        Value::Varint(value) => then(value),
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while !reader.is_at_end()
                && let Ok(value) = reader.varint()
            {
                then(value);
            }
        }
        Value::Fixed64(_) | Value::Fixed32(_) => {}
    }
}

fn floats(bytes: &[u8], remarks: &mut Vec<Remark>) -> Option<Numbers<f64>> {
    let mut rules = Numbers::default();
    let mut said = false;
    each_rule(bytes, remarks, |number, value, remarks| {
        let mut values = Vec::new();
        match value {
            Value::Fixed32(bits) => values.push(f64::from(f32::from_bits(bits))),
            Value::Fixed64(bits) => values.push(f64::from_bits(bits)),
            Value::Varint(_) | Value::Bytes(_) => {}
        }
        said |= ranges(&mut rules, number, &values, 8, value, remarks);
    });
    said.then_some(rules)
}

fn integers(kind: Kind, bytes: &[u8], remarks: &mut Vec<Remark>) -> Option<Numbers<i128>> {
    let mut rules = Numbers::default();
    let mut said = false;
    each_rule(bytes, remarks, |number, value, remarks| {
        let mut values = Vec::new();
        match value {
            Value::Fixed32(bits) if kind == Kind::Sfixed32 => values.push(i128::from(bits as i32)),
            Value::Fixed32(bits) => values.push(i128::from(bits)),
            Value::Fixed64(bits) if kind == Kind::Sfixed64 => values.push(i128::from(bits as i64)),
            Value::Fixed64(bits) => values.push(i128::from(bits)),
            value => varints(value, |value| values.push(integer(kind, value))),
        }
        said |= ranges(&mut rules, number, &values, 9, value, remarks);
    });
    said.then_some(rules)
}

/// What a varint is as a field of that kind.
pub(super) fn integer(kind: Kind, value: u64) -> i128 {
    match kind {
        Kind::Int32 => i128::from(value as i32),
        Kind::Uint32 => i128::from(value as u32),
        Kind::Sint32 => i128::from(zigzag(u64::from(value as u32)) as i32),
        Kind::Sint64 => i128::from(zigzag(value)),
        Kind::Uint64 => i128::from(value),
        _ => i128::from(value as i64),
    }
}

/// Sets what the rule of that number says; rules of all numbers are numbered alike, but for what is behind 7.
fn ranges<T: Copy>(
    rules: &mut Numbers<T>,
    number: u32,
    values: &[T],
    finite: u32,
    value: Value<'_>,
    remarks: &mut Vec<Remark>,
) -> bool {
    let bound = |inclusive| values.first().map(|&value| Bound { value, inclusive });
    match number {
        1 => rules.constant = values.first().copied(),
        2 => rules.below = bound(false),
        3 => rules.below = bound(true),
        4 => rules.above = bound(false),
        5 => rules.above = bound(true),
        6 => rules.one_of.extend_from_slice(values),
        7 => rules.none_of.extend_from_slice(values),
        _ if number == finite && finite == 8 => rules.finite = value.is_true(),
        // Examples.
        8 | 9 => return false,
        _ => {
            remarks.push(extension(number));
            return false;
        }
    }
    true
}

fn texts(bytes: &[u8], remarks: &mut Vec<Remark>) -> Option<TextRules> {
    let mut rules = TextRules::default();
    let mut said = false;
    each_rule(bytes, remarks, |number, value, remarks| {
        let owned = || Some(value.bytes().into());
        let form = |form: Form| value.is_true().then_some(form);
        match number {
            1 => rules.bytes.constant = owned(),
            2 => rules.characters.least = Some(value.number()),
            3 => rules.characters.most = Some(value.number()),
            4 => rules.bytes.length.least = Some(value.number()),
            5 => rules.bytes.length.most = Some(value.number()),
            6 => rules.bytes.pattern = pattern(value.bytes(), true, remarks),
            7 => rules.bytes.prefix = owned(),
            8 => rules.bytes.suffix = owned(),
            9 => rules.bytes.part = owned(),
            10 => rules.bytes.one_of.push(value.bytes().into()),
            11 => rules.bytes.none_of.push(value.bytes().into()),
            12 => rules.form = form(Form::Email),
            13 => rules.form = form(Form::Hostname),
            14 => rules.form = form(Form::Ip),
            15 => rules.form = form(Form::Ipv4),
            16 => rules.form = form(Form::Ipv6),
            19 => rules.characters = Length::exactly(value.number()),
            20 => rules.bytes.length = Length::exactly(value.number()),
            21 => rules.form = form(Form::Address),
            22 => rules.form = form(Form::Uuid),
            23 => rules.none_in = Some(String::from_utf8_lossy(value.bytes()).into()),
            26 => rules.form = form(Form::IpWithLength),
            27 => rules.form = form(Form::Ipv4WithLength),
            28 => rules.form = form(Form::Ipv6WithLength),
            29 => rules.form = form(Form::IpPrefix),
            30 => rules.form = form(Form::Ipv4Prefix),
            31 => rules.form = form(Form::Ipv6Prefix),
            32 => rules.form = form(Form::HostAndPort),
            33 => rules.form = form(Form::TrimmedUuid),
            35 => rules.form = form(Form::Ulid),
            17 | 18 | 24 | 37 | 38 => {
                let what = match number {
                    17 => "`uri`",
                    18 => "`uri_ref`",
                    24 => "`well_known_regex`",
                    _ => "`protobuf_fqn`",
                };
                remarks.push(Remark::Unchecked(what.to_owned()));
                return;
            }
            // `strict` belongs to 24; examples.
            25 | 34 => return,
            _ => {
                remarks.push(extension(number));
                return;
            }
        }
        said = true;
    });
    said.then_some(rules)
}

fn plain_bytes(bytes: &[u8], remarks: &mut Vec<Remark>) -> Option<BytesRules> {
    let mut rules = BytesRules::default();
    let mut said = false;
    each_rule(bytes, remarks, |number, value, remarks| {
        let owned = || Some(value.bytes().into());
        match number {
            1 => rules.constant = owned(),
            2 => rules.length.least = Some(value.number()),
            3 => rules.length.most = Some(value.number()),
            4 => rules.pattern = pattern(value.bytes(), false, remarks),
            5 => rules.prefix = owned(),
            6 => rules.suffix = owned(),
            7 => rules.part = owned(),
            8 => rules.one_of.push(value.bytes().into()),
            9 => rules.none_of.push(value.bytes().into()),
            10 if value.is_true() => rules.sizes = &[4, 16],
            11 if value.is_true() => rules.sizes = &[4],
            12 | 15 if value.is_true() => rules.sizes = &[16],
            13 => rules.length = Length::exactly(value.number()),
            10..=12 | 14 | 15 => return,
            _ => {
                remarks.push(extension(number));
                return;
            }
        }
        said = true;
    });
    said.then_some(rules)
}

/// RE2's syntax is that of the crate but for corners; what is no pattern here is a fault.
fn pattern(bytes: &[u8], unicode: bool, remarks: &mut Vec<Remark>) -> Option<Pattern> {
    let text = String::from_utf8_lossy(bytes);
    let config = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_PATTERN_BYTES))
        .onepass_size_limit(Some(MAX_PATTERN_BYTES));
    // RE2 knows characters, and classes such as \d of ASCII alone.
    let syntax = syntax::Config::new().unicode(unicode).utf8(unicode).nest_limit(MAX_PATTERN_NESTING);
    let narrowed = if unicode { ascii_classes(&text) } else { text.clone().into_owned() };
    match Regex::builder().configure(config).syntax(syntax).build(&narrowed) {
        Ok(regex) => Some(Pattern { text: text.into(), regex }),
        Err(error) => {
            let why = match error.syntax_error() {
                Some(fault) => fault.to_string().lines().last().unwrap_or_default().replace("error: ", ""),
                None => format!("it takes more than {MAX_PATTERN_BYTES} bytes when compiled"),
            };
            remarks.push(Remark::Fault(format!("the pattern `{text}` cannot be compiled: {why}")));
            None
        }
    }
}

/// Perl's classes as RE2 means them.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
            Some('b') => out.push_str("(?-u:\\b)"),
            Some('B') => out.push_str("\\B"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_patterns_are_those_of_re2() {
        let mut remarks = Vec::new();
        let digits = pattern(b"^[\\d]+$", true, &mut remarks).map(|pattern| pattern.regex);
        let digits = digits.as_ref().unwrap();
        assert!(digits.is_match("123") && !digits.is_match("\u{0663}"));
        let character = pattern("^.$".as_bytes(), true, &mut remarks).map(|pattern| pattern.regex);
        assert!(character.as_ref().unwrap().is_match("\u{fc}"));
        assert_eq!(remarks, []);
        assert!(pattern(b"(?=a)", true, &mut remarks).is_none());
        assert_eq!(remarks.len(), 1);
    }
}
