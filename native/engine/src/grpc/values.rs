//! Values of a message that expressions read: `grpc.message["user.id"]`.
//!
//! A path is names with dots between them. All values that lie on it are read, in the order of the message; where a
//! field may have one value, the last one counts, and of a oneof its last field, as for whoever reads the message.

use super::constraints::Scalar;
use super::message::{group, is_packable, one, wire_of};
use super::model::{Field, Kind, Model};
use super::wire::{Reader, Wire};

/// Most fields of one path: as deep as messages may be.
const MAX_STEPS: usize = super::MAX_DEPTH as usize;

/// What the expressions of a policy read of one method's messages.
#[derive(Debug, Default, Clone)]
pub struct Wanted {
    /// Number of the path among all that are read, and the numbers of its fields.
    paths: Vec<(usize, Box<[u32]>)>,
}

/// What was read, by the numbers of the paths.
#[derive(Debug, Default)]
pub struct Values {
    text: Vec<u8>,
    /// Where values end, by their order.
    ends: Vec<u32>,
    /// Number of a path, and the range of its values.
    found: Vec<(usize, u32, u32)>,
}

impl Wanted {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Numbers of the paths that lead to a value.
    pub fn paths(&self) -> impl Iterator<Item = usize> {
        self.paths.iter().map(|(number, _)| *number)
    }
}

impl Values {
    /// The values of the path with that number.
    pub fn of(&self, path: usize) -> impl Iterator<Item = &[u8]> {
        let range = self.found.iter().find(|(number, ..)| *number == path).map_or(0..0, |&(_, from, to)| from..to);
        range.map(|index| {
            let index = index as usize;
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
            &self.text[start..self.ends[index] as usize]
        })
    }

    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.found.clear();
    }

    fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.text.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    fn push(&mut self, kind: Kind, value: Scalar<'_>) {
        use std::io::Write as _;
        // Writing to memory does not fail.
        let _ = match value {
            Scalar::Integer(value) => write!(self.text, "{value}"),
            Scalar::Enum(value) => write!(self.text, "{value}"),
            Scalar::Bool(value) => write!(self.text, "{value}"),
            Scalar::Float(value) if kind == Kind::Float => write!(self.text, "{}", value as f32),
            Scalar::Float(value) => write!(self.text, "{value}"),
            Scalar::Bytes(bytes) => {
                self.text.extend_from_slice(bytes);
                Ok(())
            }
        };
        self.ends.push(self.text.len() as u32);
    }
}

impl Model {
    /// Which of the paths lead to a value in what a method is sent.
    #[must_use]
    pub fn wanted<'p>(&self, method: u32, paths: impl Iterator<Item = &'p str>) -> Wanted {
        let Some(input) = self.input(method) else { return Wanted::default() };
        let resolved = paths.enumerate().filter_map(|(number, path)| Some((number, self.resolve(input, path)?)));
        Wanted { paths: resolved.collect() }
    }

    fn resolve(&self, input: u32, path: &str) -> Option<Box<[u32]>> {
        let (mut type_, mut numbers) = (Some(input), Vec::new());
        for name in path.split('.') {
            let (_, field) = self.types[type_? as usize].named(name)?;
            numbers.push(field.number);
            type_ = match field.kind {
                Kind::Message(inner) | Kind::Group(inner) => Some(inner),
                _ => None,
            };
        }
        // A message is no value.
        (type_.is_none() && numbers.len() <= MAX_STEPS).then(|| numbers.into())
    }

    /// Reads what is wanted of a message that was found good.
    pub fn read_values(&self, method: u32, message: &[u8], wanted: &Wanted, values: &mut Values) {
        values.clear();
        let Some(input) = self.input(method) else { return };
        for (number, path) in &wanted.paths {
            let from = values.ends.len() as u32;
            self.collect(input, message, path, values);
            values.found.push((*number, from, values.ends.len() as u32));
        }
    }

    /// None: what follows cannot be read; such messages are refused before.
    fn collect(&self, type_: u32, bytes: &[u8], path: &[u32], values: &mut Values) -> Option<()> {
        let (first, rest) = path.split_first()?;
        let type_ = &self.types[type_ as usize];
        let (_, wanted) = type_.field(*first)?;
        let before = values.ends.len();
        let mut reader = Reader::new(bytes);
        while !reader.is_at_end() {
            let (number, wire) = reader.tag().ok()?;
            if wire == Wire::GroupEnd {
                break;
            }
            if number == wanted.number {
                if !wanted.repeated {
                    values.truncate(before);
                }
                self.value(wanted, wire, rest, &mut reader, values)?;
                continue;
            }
            if let Some(oneof) = wanted.oneof
                && type_.field(number).is_some_and(|(_, other)| other.oneof == Some(oneof))
            {
                values.truncate(before);
            }
            match wire {
                Wire::GroupStart => reader.skip(group(reader.rest(), number)?),
                wire => reader.pass(wire).ok()?,
            }
        }
        Some(())
    }

    fn value(
        &self,
        field: &Field,
        wire: Wire,
        rest: &[u32],
        reader: &mut Reader<'_>,
        values: &mut Values,
    ) -> Option<()> {
        match (field.kind, wire) {
            (Kind::Message(inner), Wire::Length) => self.collect(inner, reader.length_delimited().ok()?, rest, values),
            (Kind::Group(inner), Wire::GroupStart) => {
                let length = group(reader.rest(), field.number)?;
                self.collect(inner, reader.rest().get(..length)?, rest, values)?;
                reader.skip(length);
                Some(())
            }
            (kind, wire) if wire == wire_of(kind) => {
                values.push(kind, one(kind, reader).ok()?);
                Some(())
            }
            (kind, Wire::Length) if is_packable(kind) => {
                let mut packed = Reader::new(reader.length_delimited().ok()?);
                while !packed.is_at_end() {
                    values.push(kind, one(kind, &mut packed).ok()?);
                }
                Some(())
            }
            _ => None,
        }
    }
}
