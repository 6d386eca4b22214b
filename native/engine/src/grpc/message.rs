//! One message against its type: a walk over its bytes, which builds nothing.
//!
//! Every occurrence of a field is checked, not only the last one, which is what counts for readers: so no earlier value
//! can hide a later one. A message within a message is read once; one that comes twice, which readers would merge, is
//! refused, because what is demanded of it would hold for neither part.
//!
//! The bounds are those of [`Bounds`]: depth, fields, and the bytes that whoever calls has.

use super::annotations::integer;
use super::constraints::{Constraint, Expected, Scalar};
use super::descriptors::zero;
use super::model::{End, Field, Kind, Model, Type};
use super::wire::{Malformed, Reader, Wire};
use crate::reason::Reason;
use crate::schema::{Class, Location, MAX_ERRORS, Violation, ViolationError};

/// Most bytes of a place that is told: names are the descriptors', but recursion repeats them.
const MAX_PLACE_BYTES: usize = 256;
/// Most bytes of what was expected: patterns and lists may be long.
const MAX_MESSAGE_BYTES: usize = 256;

/// What a message may cost whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Messages within messages, the outermost one included.
    pub depth: u32,
    /// Fields in all, a packed one counted once.
    pub fields: u32,
}

/// What is wrong with a message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// No message of this type at all, or one that breaks a rule.
    pub violation: Option<Violation>,
    /// A field that the type does not have.
    pub unknown: Option<Violation>,
}

/// Room that is kept between messages.
#[derive(Debug, Default)]
pub struct Room {
    counts: Vec<u32>,
    path: Vec<Step>,
}

/// A step from a message to a value in it.
#[derive(Debug, Clone, Copy)]
struct Step {
    type_: u32,
    field: u16,
    index: u32,
}

impl Model {
    /// Checks what a method is sent.
    #[must_use]
    pub fn check(&self, method: u32, message: &[u8], bounds: Bounds, room: &mut Room) -> Verdict {
        let Some(input) = self.input(method) else { return Verdict::default() };
        room.counts.clear();
        room.path.clear();
        let mut walk = Walk {
            model: self,
            room,
            errors: Vec::new(),
            unknown: None,
            depth_left: bounds.depth,
            fields_left: bounds.fields,
        };
        let read = walk.message(input, message, None);
        let Walk { errors, unknown, .. } = walk;
        let violation = match read {
            Err(violation) => Some(*violation),
            Ok(_) if errors.is_empty() => None,
            Ok(_) => Some(Violation { reason: Reason::GrpcMessage, errors }),
        };
        Verdict { violation, unknown }
    }
}

struct Walk<'a, 'r> {
    model: &'a Model,
    room: &'r mut Room,
    errors: Vec<ViolationError>,
    unknown: Option<Violation>,
    depth_left: u32,
    fields_left: u32,
}

type Fatal = Box<Violation>;

impl<'a> Walk<'a, '_> {
    /// Reads a message; of a group, up to the tag that ends it. Gives how many bytes were read.
    fn message(&mut self, number: u32, bytes: &'a [u8], group: Option<u32>) -> Result<usize, Fatal> {
        let model = self.model;
        let type_ = &model.types[number as usize];
        if self.depth_left == 0 {
            return Err(self.fatal(Reason::GrpcDepth, Class::Size, "nested too deeply"));
        }
        self.depth_left -= 1;
        let base = self.room.counts.len();
        self.room.counts.resize(base + usize::from(type_.slots), 0);
        let mut reader = Reader::new(bytes);
        let mut ended = group.is_none();
        while !reader.is_at_end() {
            let (tag, wire) = self.read(reader.tag())?;
            if self.fields_left == 0 {
                return Err(self.fatal(Reason::GrpcDepth, Class::Size, "more fields than are read"));
            }
            self.fields_left -= 1;
            if wire == Wire::GroupEnd {
                if group != Some(tag) {
                    return Err(self.malformed(Malformed::Group));
                }
                ended = true;
                break;
            }
            match type_.field(tag) {
                Some((index, field)) => self.field(number, (index, field), wire, base, &mut reader)?,
                None => self.unknown(type_, tag, wire, &mut reader)?,
            }
        }
        if !ended {
            return Err(self.malformed(Malformed::Group));
        }
        if !type_.ends.is_empty() {
            self.ends(number, type_, base, &bytes[..reader.at()]);
        }
        self.room.counts.truncate(base);
        self.depth_left += 1;
        Ok(reader.at())
    }

    #[inline]
    fn field(
        &mut self,
        type_: u32,
        (index, field): (u16, &'a Field),
        wire: Wire,
        base: usize,
        reader: &mut Reader<'a>,
    ) -> Result<(), Fatal> {
        let mut step = Step { type_, field: index, index: 0 };
        if let Some(slot) = field.slot {
            let count = &mut self.room.counts[base + usize::from(slot)];
            step.index = *count;
            *count = count.saturating_add(1);
        }
        match (field.kind, wire) {
            (Kind::Message(inner), Wire::Length) => {
                let bytes = self.read(reader.length_delimited())?;
                self.room.path.push(step);
                self.once(field, step)?;
                self.message(inner, bytes, None)?;
                if let Some(constraint) = &field.constraint {
                    self.wrapped(inner, bytes, constraint);
                }
                self.room.path.pop();
            }
            (Kind::Group(inner), Wire::GroupStart) => {
                self.room.path.push(step);
                self.once(field, step)?;
                let read = self.message(inner, reader.rest(), Some(field.number))?;
                self.room.path.pop();
                reader.skip(read);
            }
            // Nothing is asked of its value but that it is one.
            (kind, wire) if wire == wire_of(kind) && field.constraint.is_none() && is_any_value_good(kind) => {
                if let Err(fault) = reader.pass(wire) {
                    self.room.path.push(step);
                    return Err(self.malformed(fault));
                }
            }
            (kind, wire) if wire == wire_of(kind) => {
                let value = self.scalar(field, kind, reader, step)?;
                self.value(field, value, step);
            }
            (kind, Wire::Length) if field.repeated && is_packable(kind) => {
                let bytes = self.read(reader.length_delimited())?;
                self.packed(field, kind, bytes, step, base)?;
            }
            _ => {
                self.room.path.push(step);
                return Err(self.malformed(Malformed::WireType));
            }
        }
        Ok(())
    }

    /// A message that is not repeated and comes again.
    fn once(&mut self, field: &Field, step: Step) -> Result<(), Fatal> {
        if !field.repeated && step.index > 0 {
            return Err(self.malformed(Malformed::Repeated));
        }
        Ok(())
    }

    #[inline]
    fn scalar(&mut self, field: &Field, kind: Kind, reader: &mut Reader<'a>, step: Step) -> Result<Scalar<'a>, Fatal> {
        let read = one(kind, reader);
        let value = match read {
            Ok(value) => value,
            Err(fault) => {
                self.room.path.push(step);
                return Err(self.malformed(fault));
            }
        };
        if let (Kind::Enum(of), Scalar::Enum(value)) = (kind, value) {
            let enumeration = &self.model.enums[of as usize];
            if enumeration.closed && !enumeration.has(value) && self.unknown.is_none() {
                self.room.path.push(step);
                self.unknown = Some(*self.fatal(
                    Reason::GrpcUnknownField,
                    Class::Unknown,
                    &format!("expected a value that the enumeration of `{}` has", field.name),
                ));
                self.room.path.pop();
            }
        }
        Ok(value)
    }

    #[inline]
    fn value(&mut self, field: &Field, value: Scalar<'_>, step: Step) {
        if let Some(constraint) = &field.constraint
            && let Err(expected) = constraint.check(value)
        {
            self.broken(expected, Some(step));
        }
    }

    fn packed(&mut self, field: &Field, kind: Kind, bytes: &'a [u8], step: Step, base: usize) -> Result<(), Fatal> {
        let mut reader = Reader::new(bytes);
        let (mut count, first) = (0, step.index);
        while !reader.is_at_end() {
            let step = Step { index: first.saturating_add(count), ..step };
            let value = self.scalar(field, kind, &mut reader, step)?;
            self.value(field, value, step);
            count = count.saturating_add(1);
        }
        if let Some(slot) = field.slot {
            self.room.counts[base + usize::from(slot)] = first.saturating_add(count);
        }
        Ok(())
    }

    /// Passes over a field that the type does not have.
    fn unknown(&mut self, type_: &Type, number: u32, wire: Wire, reader: &mut Reader<'a>) -> Result<(), Fatal> {
        if self.unknown.is_none() {
            let message = format!("expected no field {number}, which {} does not have", type_.name);
            self.unknown = Some(*self.fatal(Reason::GrpcUnknownField, Class::Unknown, &message));
        }
        if wire != Wire::GroupStart {
            return self.read(reader.pass(wire));
        }
        // Groups within groups, without recursion: what is open is a list of numbers.
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            if open.len() as u32 > self.depth_left {
                return Err(self.fatal(Reason::GrpcDepth, Class::Size, "nested too deeply"));
            }
            if self.fields_left == 0 {
                return Err(self.fatal(Reason::GrpcDepth, Class::Size, "more fields than are read"));
            }
            self.fields_left -= 1;
            if reader.is_at_end() {
                return Err(self.malformed(Malformed::Group));
            }
            let (number, wire) = self.read(reader.tag())?;
            match wire {
                Wire::GroupStart => open.push(number),
                Wire::GroupEnd if number == innermost => drop(open.pop()),
                Wire::GroupEnd => return Err(self.malformed(Malformed::Group)),
                _ => self.read(reader.pass(wire))?,
            }
        }
        Ok(())
    }

    /// What is asked for when all fields were read.
    fn ends(&mut self, number: u32, type_: &'a Type, base: usize, bytes: &'a [u8]) {
        let count = |walk: &Self, field: u16| {
            type_.fields[usize::from(field)].slot.map_or(0, |slot| walk.room.counts[base + usize::from(slot)])
        };
        let at = |field: u16| Step { type_: number, field, index: u32::MAX };
        for end in &type_.ends {
            match end {
                End::Required { field } => {
                    if count(self, *field) == 0 {
                        self.broken(required("expected a value"), Some(at(*field)));
                    }
                }
                End::Absent { field } => {
                    let known = &type_.fields[usize::from(*field)];
                    if count(self, *field) == 0
                        && let (Some(constraint), Some(zero)) = (&known.constraint, zero(known.kind))
                        && let Err(expected) = constraint.check(zero)
                    {
                        self.broken(expected, Some(at(*field)));
                    }
                }
                End::Shape { field, shape } => {
                    let known = &type_.fields[usize::from(*field)];
                    let found = u64::from(count(self, *field));
                    let distinct = if shape.unique { self.distinct(known, bytes) } else { found };
                    // Of a map, what counts are its keys; of a list, that no item is there twice.
                    let checked = if known.map {
                        shape.check(distinct)
                    } else if distinct < found {
                        Err(Expected { class: Class::Count, message: "expected no two equal items".to_owned() })
                    } else {
                        shape.check(found)
                    };
                    if let Err(expected) = checked {
                        self.broken(expected, Some(at(*field)));
                    }
                }
                End::OneOf { oneof } => {
                    let members = (0..).zip(&type_.fields).filter(|(_, field)| field.oneof == Some(*oneof));
                    let is_there = members.map(|(index, _)| index).any(|index| count(self, index) > 0);
                    if !is_there {
                        let name = &type_.oneofs[usize::from(*oneof)];
                        self.broken(required(&format!("expected one of the fields of `{name}`")), None);
                    }
                }
                End::MostOne { fields, required: demanded } => {
                    let there = fields.iter().filter(|field| count(self, **field) > 0).count();
                    if there > 1 || (*demanded && there == 0) {
                        let names: Vec<&str> =
                            fields.iter().map(|field| &*type_.fields[usize::from(*field)].name).collect();
                        let most = if *demanded { "exactly" } else { "at most" };
                        let message = format!("expected {most} one of {}", names.join(", "));
                        self.broken(Expected { class: Class::Count, message }, None);
                    }
                }
            }
        }
    }

    /// How many values of a repeated field differ; of a map, how many keys.
    fn distinct(&self, field: &Field, bytes: &'a [u8]) -> u64 {
        let mut values: Vec<Item<'a>> = Vec::new();
        let mut reader = Reader::new(bytes);
        // The bytes were read before: nothing fails here.
        while !reader.is_at_end() {
            let Ok((number, wire)) = reader.tag() else { break };
            if wire == Wire::GroupEnd {
                break;
            }
            if number != field.number {
                if wire == Wire::GroupStart {
                    let Some(length) = group(reader.rest(), number) else { break };
                    reader.skip(length);
                } else if reader.pass(wire).is_err() {
                    break;
                }
                continue;
            }
            let found = match (field.kind, wire) {
                (Kind::Message(entry), Wire::Length) => {
                    let Ok(bytes) = reader.length_delimited() else { break };
                    let value = if field.map { self.key(entry, bytes) } else { Item::Bytes(bytes) };
                    values.push(value);
                    continue;
                }
                (kind, wire) if wire == wire_of(kind) => one(kind, &mut reader),
                (kind, Wire::Length) => {
                    let Ok(bytes) = reader.length_delimited() else { break };
                    let mut packed = Reader::new(bytes);
                    while !packed.is_at_end()
                        && let Ok(value) = one(kind, &mut packed)
                    {
                        values.push(Item::of(value));
                    }
                    continue;
                }
                _ => break,
            };
            let Ok(value) = found else { break };
            values.push(Item::of(value));
        }
        values.sort_unstable();
        values.dedup();
        values.len() as u64
    }

    fn key(&self, entry: u32, bytes: &'a [u8]) -> Item<'a> {
        let key = self.model.types[entry as usize].field(1).map(|(_, field)| field.kind);
        key.and_then(|kind| self.last(kind, bytes).or_else(|| zero(kind))).map_or(Item::Bytes(&[]), Item::of)
    }

    /// The last value of field 1.
    fn last(&self, kind: Kind, bytes: &'a [u8]) -> Option<Scalar<'a>> {
        let mut reader = Reader::new(bytes);
        let mut last = None;
        while !reader.is_at_end() {
            let (number, wire) = reader.tag().ok()?;
            if number == 1 && wire == wire_of(kind) {
                last = one(kind, &mut reader).ok();
            } else if wire == Wire::GroupStart {
                reader.skip(group(reader.rest(), number)?);
            } else {
                reader.pass(wire).ok()?;
            }
        }
        last
    }

    /// A message of `google/protobuf/wrappers.proto` is what it holds.
    fn wrapped(&mut self, type_: u32, bytes: &'a [u8], constraint: &Constraint) {
        let Some(kind) = self.model.types[type_ as usize].field(1).map(|(_, field)| field.kind) else { return };
        if let Some(value) = self.last(kind, bytes).or_else(|| zero(kind))
            && let Err(expected) = constraint.check(value)
        {
            self.broken(expected, None);
        }
    }

    /// A rule that does not hold; the walk goes on, so that a caller hears of several.
    #[cold]
    fn broken(&mut self, expected: Expected, step: Option<Step>) {
        if self.errors.len() == MAX_ERRORS {
            return;
        }
        self.room.path.extend(step);
        let error = self.error(expected.class, &expected.message);
        if step.is_some() {
            self.room.path.pop();
        }
        self.errors.push(error);
    }

    #[inline]
    fn read<T>(&mut self, read: Result<T, Malformed>) -> Result<T, Fatal> {
        read.map_err(|fault| self.malformed(fault))
    }

    #[cold]
    fn malformed(&mut self, fault: Malformed) -> Fatal {
        self.fatal(Reason::GrpcMalformed, Class::Malformed, &fault.to_string())
    }

    #[cold]
    fn fatal(&mut self, reason: Reason, class: Class, message: &str) -> Fatal {
        Box::new(Violation { reason, errors: vec![self.error(class, message)] })
    }

    fn error(&self, class: Class, message: &str) -> ViolationError {
        ViolationError {
            location: Location::Message,
            class,
            pointer: shortened(place(self.model, &self.room.path), MAX_PLACE_BYTES),
            message: shortened(message.to_owned(), MAX_MESSAGE_BYTES),
        }
    }
}

fn required(message: &str) -> Expected {
    Expected { class: Class::Required, message: message.to_owned() }
}

/// `user.items[3].id`
fn place(model: &Model, path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        let Some(field) = model.types[step.type_ as usize].fields.get(usize::from(step.field)) else { continue };
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(&field.name);
        if field.repeated && step.index != u32::MAX {
            out.push_str(&format!("[{}]", step.index));
        }
        if out.len() > MAX_PLACE_BYTES {
            break;
        }
    }
    out
}

fn shortened(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = text.floor_char_boundary(limit - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A value that others are compared with.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    Number(i128),
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    fn of(value: Scalar<'a>) -> Item<'a> {
        match value {
            Scalar::Integer(value) => Item::Number(value),
            // Minus zero equals zero.
            Scalar::Float(value) => Item::Number(i128::from((value + 0.0).to_bits())),
            Scalar::Bool(value) => Item::Number(i128::from(value)),
            Scalar::Enum(value) => Item::Number(i128::from(value)),
            Scalar::Bytes(value) => Item::Bytes(value),
        }
    }
}

/// How long a group is whose first tag was read, its last tag included; None: it does not end.
pub(super) fn group(bytes: &[u8], number: u32) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let mut open = vec![number];
    while let Some(&innermost) = open.last() {
        let (number, wire) = reader.tag().ok()?;
        match wire {
            Wire::GroupStart => open.push(number),
            Wire::GroupEnd if number == innermost => drop(open.pop()),
            Wire::GroupEnd => return None,
            _ => reader.pass(wire).ok()?,
        }
    }
    Some(reader.at())
}

/// How a value of that kind is written by itself.
#[inline]
pub(super) fn wire_of(kind: Kind) -> Wire {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
        Kind::String | Kind::Bytes | Kind::Message(_) => Wire::Length,
        Kind::Group(_) => Wire::GroupStart,
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => Wire::Varint,
    }
}

/// Of text, UTF-8 is demanded, of closed enumerations that they have the value.
fn is_any_value_good(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Enum(_))
}

pub(super) fn is_packable(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Group(_))
}

/// One value that is no message.
#[inline]
pub(super) fn one<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Scalar<'a>, Malformed> {
    Ok(match kind {
        Kind::String => {
            let bytes = reader.length_delimited()?;
            if std::str::from_utf8(bytes).is_err() {
                return Err(Malformed::Utf8);
            }
            Scalar::Bytes(bytes)
        }
        Kind::Bytes => Scalar::Bytes(reader.length_delimited()?),
        Kind::Bool => Scalar::Bool(reader.varint()? != 0),
        Kind::Enum(_) => Scalar::Enum(reader.varint()? as i32),
        Kind::Float => Scalar::Float(f64::from(f32::from_bits(reader.fixed32()?))),
        Kind::Double => Scalar::Float(f64::from_bits(reader.fixed64()?)),
        Kind::Fixed32 => Scalar::Integer(i128::from(reader.fixed32()?)),
        Kind::Sfixed32 => Scalar::Integer(i128::from(reader.fixed32()? as i32)),
        Kind::Fixed64 => Scalar::Integer(i128::from(reader.fixed64()?)),
        Kind::Sfixed64 => Scalar::Integer(i128::from(reader.fixed64()? as i64)),
        Kind::Message(_) | Kind::Group(_) => return Err(Malformed::WireType),
        kind => Scalar::Integer(integer(kind, reader.varint()?)),
    })
}
