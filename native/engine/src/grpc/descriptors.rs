//! A FileDescriptorSet becomes a [`Model`]: away from requests, whenever a policy is compiled.

use foldhash::HashMap;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor, OneofDescriptor, Syntax};

use super::annotations::{self, About, Compiled, FieldRules, FieldShape, Remark};
use super::constraints::{Constraint, Scalar, Test};
use super::model::{End, Enumeration, Field, Kind, Method, Model, Type};

/// Most message types of one host: googleapis has some 40,000 in all.
const MAX_TYPES: usize = 100_000;
/// Most fields of one message: their places are 16 bits.
const MAX_FIELDS: usize = 65_000;

/// What was read, and what is to be said about it.
#[derive(Debug, Default)]
pub struct Described {
    pub model: Model,
    /// What cannot be meant as it is written.
    pub faults: Vec<Remarked>,
    /// What is written and not checked.
    pub unchecked: Vec<Remarked>,
}

/// Something about one element of the descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remarked {
    /// `package.Message.field`
    pub element: String,
    pub message: String,
}

/// Reads a FileDescriptorSet.
///
/// # Errors
/// Why it is none.
pub fn read(set: &[u8]) -> Result<Described, String> {
    readable(set)?;
    let pool = DescriptorPool::decode(set).map_err(|error| error.to_string())?;
    let mut building = Building::default();
    let mut methods = Vec::new();
    for service in pool.services() {
        for method in service.methods() {
            methods.push(Method {
                path: format!("/{}/{}", service.full_name(), method.name()).into(),
                input: building.message(&method.input())?,
                client_streams: method.is_client_streaming(),
                server_streams: method.is_server_streaming(),
            });
        }
    }
    building.all()?;
    methods.sort_by(|a, b| a.path.cmp(&b.path));
    let Building { types, enums, faults, unchecked, .. } = building;
    let by_path = (0..).zip(&methods).map(|(index, method)| (method.path.clone(), index)).collect();
    Ok(Described { model: Model { types, enums, methods, by_path }, faults, unchecked })
}

/// Refuses what the pool cannot take: it panics at files of `edition` syntax.
fn readable(set: &[u8]) -> Result<(), String> {
    let set = FileDescriptorSet::decode(set).map_err(|error| error.to_string())?;
    match set.file.iter().find(|file| file.syntax() == "editions") {
        None => Ok(()),
        Some(file) => {
            Err(format!("{} is of `edition` syntax, which is not read yet: write it as proto2 or proto3", file.name()))
        }
    }
}

#[derive(Default)]
struct Building {
    types: Vec<Type>,
    enums: Vec<Enumeration>,
    type_numbers: HashMap<String, u32>,
    enum_numbers: HashMap<String, u32>,
    /// Types whose fields are not read yet: messages lie within each other without an end.
    waiting: Vec<(u32, MessageDescriptor, Entry)>,
    faults: Vec<Remarked>,
    unchecked: Vec<Remarked>,
}

/// What a map's field says about its entries.
#[derive(Default)]
struct Entry {
    key: Option<Constraint>,
    value: Option<Constraint>,
}

impl Building {
    fn message(&mut self, message: &MessageDescriptor) -> Result<u32, String> {
        self.message_with(message, Entry::default())
    }

    fn message_with(&mut self, message: &MessageDescriptor, entry: Entry) -> Result<u32, String> {
        if let Some(&number) = self.type_numbers.get(message.full_name()) {
            return Ok(number);
        }
        if self.types.len() == MAX_TYPES {
            return Err(format!("there are more than {MAX_TYPES} message types"));
        }
        let number = self.types.len() as u32;
        self.types.push(Type { name: message.full_name().into(), ..Type::default() });
        self.type_numbers.insert(message.full_name().to_owned(), number);
        self.waiting.push((number, message.clone(), entry));
        Ok(number)
    }

    /// Reads the fields of all that was named, and of what they name.
    fn all(&mut self) -> Result<(), String> {
        while let Some((number, message, entry)) = self.waiting.pop() {
            let read = self.fields(&message, entry)?;
            self.types[number as usize] = read;
        }
        Ok(())
    }

    fn enumeration(&mut self, of: &EnumDescriptor) -> u32 {
        if let Some(&number) = self.enum_numbers.get(of.full_name()) {
            return number;
        }
        let mut values: Vec<i32> = of.values().map(|value| value.number()).collect();
        values.sort_unstable();
        values.dedup();
        let number = self.enums.len() as u32;
        self.enums.push(Enumeration { values, closed: of.parent_file().syntax() == Syntax::Proto2 });
        self.enum_numbers.insert(of.full_name().to_owned(), number);
        number
    }

    fn kind(&mut self, field: &FieldDescriptor, entry: Entry) -> Result<Kind, String> {
        use prost_reflect::Kind as K;
        Ok(match field.kind() {
            K::Double => Kind::Double,
            K::Float => Kind::Float,
            K::Int32 => Kind::Int32,
            K::Int64 => Kind::Int64,
            K::Uint32 => Kind::Uint32,
            K::Uint64 => Kind::Uint64,
            K::Sint32 => Kind::Sint32,
            K::Sint64 => Kind::Sint64,
            K::Fixed32 => Kind::Fixed32,
            K::Fixed64 => Kind::Fixed64,
            K::Sfixed32 => Kind::Sfixed32,
            K::Sfixed64 => Kind::Sfixed64,
            K::Bool => Kind::Bool,
            K::String => Kind::String,
            K::Bytes => Kind::Bytes,
            K::Enum(of) => Kind::Enum(self.enumeration(&of)),
            K::Message(of) if field.is_group() => Kind::Group(self.message(&of)?),
            K::Message(of) => Kind::Message(self.message_with(&of, entry)?),
        })
    }

    fn fields(&mut self, message: &MessageDescriptor, entry: Entry) -> Result<Type, String> {
        if message.fields().len() > MAX_FIELDS {
            return Err(format!("{} has more than {MAX_FIELDS} fields", message.full_name()));
        }
        let rules = annotations::within(&message.options().encode_to_vec());
        let rules = rules.map(|rules| annotations::message_rules(&rules)).unwrap_or_default();
        if rules.has_cel {
            self.unchecked.push(remarked(message.full_name(), "a CEL expression".to_owned()));
        }
        let mut read = Type { name: message.full_name().into(), ..Type::default() };
        let mut said: Vec<(u32, Compiled)> = Vec::new();
        let oneofs: Vec<OneofDescriptor> = message.oneofs().filter(|oneof| !oneof.is_synthetic()).collect();
        for field in message.fields() {
            let mut compiled = if rules.disabled { Compiled::default() } else { self.rules(&field)? };
            let entry = Entry { key: compiled.key.take(), value: compiled.value.take() };
            let kind = self.kind(&field, entry)?;
            let within = field.containing_oneof();
            read.fields.push(Field {
                number: field.number(),
                name: field.name().into(),
                kind,
                repeated: field.is_list() || field.is_map(),
                map: field.is_map(),
                slot: None,
                oneof: within.and_then(|of| oneofs.iter().position(|oneof| *oneof == of)).map(|index| index as u16),
                constraint: None,
            });
            said.push((field.number(), compiled));
        }
        if message.is_map_entry() {
            // A key or value that is not there is the zero value, as any reader has it.
            let mut entry = entry;
            for (number, compiled) in &mut said {
                compiled.constraint = if *number == 1 { entry.key.take() } else { entry.value.take() };
            }
        }
        read.index();
        read.oneofs = oneofs.iter().map(|oneof| oneof.name().into()).collect();
        for (number, compiled) in said {
            let implicit = message.get_field(number).is_some_and(|field| {
                !field.supports_presence() && !field.is_list() && !field.is_map() || message.is_map_entry()
            });
            let required = message.get_field(number).is_some_and(|field| field.is_required());
            settle(&mut read, number, compiled, implicit, required);
        }
        if !rules.disabled {
            for (index, oneof) in oneofs.iter().enumerate() {
                let annotation = annotations::within(&oneof.options().encode_to_vec());
                if annotation.is_some_and(|annotation| annotations::oneof_required(&annotation)) {
                    read.ends.push(End::OneOf { oneof: index as u16 });
                }
            }
            for (names, required) in rules.most_one {
                let fields: Option<Box<[u16]>> =
                    names.iter().map(|name| read.named(name).map(|(index, _)| index)).collect();
                match fields {
                    Some(fields) => read.ends.push(End::MostOne { fields, required }),
                    None => self.faults.push(remarked(message.full_name(), "a rule names no field".to_owned())),
                }
            }
        }
        count(&mut read);
        Ok(read)
    }

    /// What a field's annotation says.
    fn rules(&mut self, field: &FieldDescriptor) -> Result<Compiled, String> {
        let Some(annotation) = annotations::within(&field.options().encode_to_vec()) else {
            return Ok(Compiled::default());
        };
        let rules = match FieldRules::read(&annotation) {
            Ok(rules) => rules,
            Err(remark) => {
                self.remark(field, remark);
                return Ok(Compiled::default());
            }
        };
        let mut remarks = Vec::new();
        let parts = match field.kind().as_message().filter(|_| field.is_map()) {
            Some(entry) => {
                Some((Plain::of(self, &entry.map_entry_key_field())?, Plain::of(self, &entry.map_entry_value_field())?))
            }
            None => None,
        };
        let plain = Plain::of(self, field)?;
        let parts = parts.as_ref().map(|(key, value)| (key.about(FieldShape::Single), value.about(FieldShape::Single)));
        let shape = match &parts {
            Some((key, value)) => FieldShape::Map { key, value },
            None if field.is_list() => FieldShape::Repeated,
            None => FieldShape::Single,
        };
        let compiled = rules.compile(&plain.about(shape), &mut remarks);
        remarks.into_iter().for_each(|remark| self.remark(field, remark));
        Ok(compiled)
    }

    fn remark(&mut self, field: &FieldDescriptor, remark: Remark) {
        match remark {
            Remark::Fault(message) => self.faults.push(remarked(field.full_name(), message)),
            Remark::Unchecked(message) => self.unchecked.push(remarked(field.full_name(), message)),
        }
    }
}

/// A field's kind with what its rules may speak of.
struct Plain {
    kind: Kind,
    defined: Vec<i32>,
    wraps: Option<Kind>,
}

impl Plain {
    fn of(building: &mut Building, field: &FieldDescriptor) -> Result<Plain, String> {
        let kind = match field.kind().as_message() {
            // The type of an entry is read with the rules of its map, which are not known yet.
            Some(_) => Kind::Message(u32::MAX),
            None => building.kind(field, Entry::default())?,
        };
        let defined =
            if let Kind::Enum(number) = kind { building.enums[number as usize].values.clone() } else { vec![] };
        let wraps = field.kind().as_message().and_then(|message| wrapped(message.full_name()));
        Ok(Plain { kind, defined, wraps })
    }

    fn about<'a>(&'a self, shape: FieldShape<'a>) -> About<'a> {
        About { kind: self.kind, defined: &self.defined, wraps: self.wraps, shape }
    }
}

/// What a message of `google/protobuf/wrappers.proto` holds in its field 1.
pub(super) fn wrapped(name: &str) -> Option<Kind> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "DoubleValue" => Kind::Double,
        "FloatValue" => Kind::Float,
        "Int64Value" => Kind::Int64,
        "UInt64Value" => Kind::Uint64,
        "Int32Value" => Kind::Int32,
        "UInt32Value" => Kind::Uint32,
        "BoolValue" => Kind::Bool,
        "StringValue" => Kind::String,
        "BytesValue" => Kind::Bytes,
        _ => return None,
    })
}

/// Lays down what was said about a field, and what of it is looked at when the message is over.
fn settle(read: &mut Type, number: u32, compiled: Compiled, implicit: bool, required: bool) {
    let Some((index, _)) = read.field(number) else { return };
    let Compiled { required: demanded, constraint, shape, .. } = compiled;
    let field = &mut read.fields[usize::from(index)];
    field.constraint = match (demanded && implicit, constraint) {
        // Without presence, zero is what is not there.
        (true, Some(constraint)) => Some(Constraint {
            ignore_zero: false,
            test: Test::Each(Box::new([Constraint { ignore_zero: false, test: Test::NotZero }, constraint])),
        }),
        (true, None) => Some(Constraint { ignore_zero: false, test: Test::NotZero }),
        (false, constraint) => constraint,
    }
    .map(Box::new);
    let is_absent_wrong = implicit
        && field
            .constraint
            .as_ref()
            .is_some_and(|constraint| zero(field.kind).is_some_and(|zero| constraint.check(zero).is_err()));
    if is_absent_wrong {
        read.ends.push(End::Absent { field: index });
    } else if required || (demanded && !implicit) {
        read.ends.push(End::Required { field: index });
    }
    if let Some(shape) = shape {
        read.ends.push(End::Shape { field: index, shape });
    }
}

/// What a scalar is that is not there.
pub(super) fn zero(kind: Kind) -> Option<Scalar<'static>> {
    Some(match kind {
        Kind::Double | Kind::Float => Scalar::Float(0.0),
        Kind::Bool => Scalar::Bool(false),
        Kind::String | Kind::Bytes => Scalar::Bytes(&[]),
        Kind::Enum(_) => Scalar::Enum(0),
        Kind::Message(_) | Kind::Group(_) => return None,
        _ => Scalar::Integer(0),
    })
}

/// Gives a place to every field whose number of values counts: for what is looked at at the end, for the place of an
/// item, and for messages that may be there once.
fn count(read: &mut Type) {
    let mut wanted = vec![false; read.fields.len()];
    for (index, field) in read.fields.iter().enumerate() {
        wanted[index] = field.repeated || matches!(field.kind, Kind::Message(_) | Kind::Group(_));
    }
    for end in &read.ends {
        match end {
            End::Required { field } | End::Absent { field } | End::Shape { field, .. } => {
                wanted[usize::from(*field)] = true;
            }
            End::OneOf { oneof } => {
                for (index, field) in read.fields.iter().enumerate() {
                    wanted[index] |= field.oneof == Some(*oneof);
                }
            }
            End::MostOne { fields, .. } => fields.iter().for_each(|field| wanted[usize::from(*field)] = true),
        }
    }
    let mut next = 0;
    for (field, wanted) in read.fields.iter_mut().zip(wanted) {
        if wanted {
            field.slot = Some(next);
            next += 1;
        }
    }
    read.slots = next;
}

fn remarked(element: &str, message: String) -> Remarked {
    Remarked { element: element.to_owned(), message }
}
