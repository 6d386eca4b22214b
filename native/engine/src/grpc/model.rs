//! What a host's descriptors say, as flat tables that messages are read with.
//!
//! Every message type is a row of [`Model::types`], every field a row of its type: reading a message is a walk over
//! numbers, without a look at a descriptor.

use foldhash::HashMap;

use super::constraints::{Constraint, Shape};

/// All that is known of a host's calls.
#[derive(Debug, Default)]
pub struct Model {
    pub(super) types: Vec<Type>,
    pub(super) enums: Vec<Enumeration>,
    /// By path.
    pub methods: Vec<Method>,
    pub(super) by_path: HashMap<Box<str>, u32>,
}

/// One method of a service: what others call an operation.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`
    pub path: Box<str>,
    /// Index of what it is sent.
    pub(super) input: u32,
    /// The client may send any number of messages; else it sends one.
    pub client_streams: bool,
    pub server_streams: bool,
}

#[derive(Debug, Default)]
pub(super) struct Type {
    /// `package.Message`
    pub name: Box<str>,
    /// In ascending order of their numbers.
    pub fields: Vec<Field>,
    /// For small numbers, the index of the field and one; 0: there is none.
    pub direct: Vec<u16>,
    /// How many of the fields are counted.
    pub slots: u16,
    /// Of what is looked at when the message is over.
    pub ends: Vec<End>,
    /// Names of oneofs.
    pub oneofs: Vec<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u32,
    pub name: Box<str>,
    pub kind: Kind,
    pub repeated: bool,
    /// Repeated, of entries that have a key and a value.
    pub map: bool,
    /// Where it is counted.
    pub slot: Option<u16>,
    /// The oneof that it belongs to; one of several of which the last counts.
    pub oneof: Option<u16>,
    /// What every value of it has to be.
    pub constraint: Option<Box<Constraint>>,
}

/// What is left to look at when a message is over.
#[derive(Debug)]
pub(super) enum End {
    /// Has to be there.
    Required { field: u16 },
    /// Was not there, which is a value as well; it is checked as that.
    Absent { field: u16 },
    /// How many there are.
    Shape { field: u16, shape: Shape },
    /// One of a oneof has to be there.
    OneOf { oneof: u16 },
    /// At most one of these may be there; `required`: exactly one.
    MostOne { fields: Box<[u16]>, required: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    /// Index of the enumeration.
    Enum(u32),
    /// Index of the type.
    Message(u32),
    /// The same, between two tags.
    Group(u32),
}

#[derive(Debug, Default)]
pub(super) struct Enumeration {
    /// In ascending order.
    pub values: Vec<i32>,
    /// Others than those are unknown fields (proto2).
    pub closed: bool,
}

/// Field numbers below this are found without a search. Four fifths of all messages have no larger ones, because those
/// up to 15 take a byte less.
const DIRECT: u32 = 64;

impl Type {
    #[inline]
    pub fn field(&self, number: u32) -> Option<(u16, &Field)> {
        if number < DIRECT {
            let index = self.direct.get(number as usize)?.checked_sub(1)?;
            return Some((index, &self.fields[usize::from(index)]));
        }
        let index = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some((index as u16, &self.fields[index]))
    }

    /// To be called when the fields are complete.
    pub fn index(&mut self) {
        self.fields.sort_by_key(|field| field.number);
        let largest = self.fields.iter().map(|field| field.number).filter(|number| *number < DIRECT).max();
        self.direct = vec![0; largest.map_or(0, |number| number as usize + 1)];
        for (index, field) in (1..).zip(&self.fields) {
            if field.number < DIRECT {
                self.direct[field.number as usize] = index;
            }
        }
    }

    pub fn named(&self, name: &str) -> Option<(u16, &Field)> {
        let index = self.fields.iter().position(|field| *field.name == *name)?;
        Some((index as u16, &self.fields[index]))
    }
}

impl Enumeration {
    pub fn has(&self, number: i32) -> bool {
        self.values.binary_search(&number).is_ok()
    }
}

impl Model {
    /// The method of a path, by its place in [`Model::methods`].
    #[must_use]
    pub fn find(&self, path: &str) -> Option<u32> {
        self.by_path.get(path).copied()
    }

    pub(super) fn input(&self, method: u32) -> Option<u32> {
        Some(self.methods.get(method as usize)?.input)
    }
}
