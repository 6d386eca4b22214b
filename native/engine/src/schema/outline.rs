//! What a schema says about members: which it names, and by which schemas each is described.
//!
//! A schema describes a member that its `properties` or `patternProperties` name, and any other one if it says
//! `additionalProperties` or `unevaluatedProperties` in so many words: `true`, or a schema. One that leaves both out
//! describes nothing beyond what it names. A schema without a word about its value (`{}`, `true`) stands for any value,
//! members included. What is described as `false` is there to be left out.

use std::borrow::Cow;

use foldhash::HashMap;
use serde_json::{Map, Value, json};

use super::pointer::escape;
use super::validator::ANNOTATIONS;
use super::{percent, problem};
use crate::policy::Problem;

/// A place of the document, read. Numbers are indices into [`Outlines::list`].
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// It says something about its value itself, applied schemas apart.
    pub(super) speaks: bool,
    pub(super) properties: HashMap<Box<str>, u32>,
    /// The property of the root schema that a name has to match, and what then describes the member.
    pub(super) patterns: Vec<(String, u32)>,
    /// Describes members that neither names.
    pub(super) additional: Option<u32>,
    /// Describes members that nothing else describes.
    pub(super) unevaluated: Option<u32>,
    pub(super) prefix: Vec<u32>,
    pub(super) items: Option<u32>,
    /// Apply to the same value: `$ref`, `allOf`.
    pub(super) applied: Vec<u32>,
    /// Of each `anyOf` or `oneOf`, the branches.
    pub(super) alternatives: Vec<Vec<Branch>>,
    pub(super) condition: Option<Condition>,
    /// Apply when a member of that name is there.
    pub(super) dependent: Vec<(Box<str>, u32)>,
}

/// A schema that applies to the values that match it.
#[derive(Debug)]
pub(super) struct Branch {
    /// The property of the root schema that tells.
    pub(super) property: String,
    pub(super) outline: u32,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) is: Branch,
    pub(super) then: Option<u32>,
    pub(super) otherwise: Option<u32>,
}

/// Any value.
pub(super) const ANYTHING: u32 = 0;
/// `false`
pub(super) const NOTHING: u32 = 1;

#[derive(Debug, Default)]
pub(super) struct Outlines {
    list: Vec<Outline>,
}

impl Outlines {
    pub(super) fn get(&self, index: u32) -> &Outline {
        &self.list[index as usize]
    }
}

/// Words that say nothing about a value itself, beside annotations: those by which other schemas apply.
const SILENT: &[&str] = &[
    "discriminator",
    "nullable",
    "not",
    "$ref",
    "$dynamicRef",
    "$schema",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$defs",
    "definitions",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
];

/// Reads outlines out of a host's document.
pub(super) struct Outliner<'a> {
    document: &'a Value,
    at: &'a str,
    list: Vec<Outline>,
    /// By pointer.
    known: HashMap<String, u32>,
    waiting: Vec<(u32, String)>,
    /// Pointers of `$id`, `$anchor` and `$dynamicAnchor`; read when the first is asked for.
    anchors: Option<HashMap<String, Vec<String>>>,
    /// Properties for the root schema: what tells whether a branch or a name matches.
    added: Map<String, Value>,
}

impl<'a> Outliner<'a> {
    pub(super) fn new(document: &'a Value, at: &'a str) -> Outliner<'a> {
        Outliner {
            document,
            at,
            list: vec![Outline::default(), Outline { speaks: true, ..Outline::default() }],
            known: HashMap::default(),
            waiting: Vec::new(),
            anchors: None,
            added: Map::new(),
        }
    }

    /// The outline of a property of the root schema, and of all it leads to.
    pub(super) fn read(&mut self, property: &str, problems: &mut Vec<Problem>) -> u32 {
        let root = self.outline(&format!("/properties/{}", escape(property)));
        while let Some((index, pointer)) = self.waiting.pop() {
            let Some(schema) = self.document.pointer(&pointer).and_then(Value::as_object) else { continue };
            self.list[index as usize] = self.describe(schema, &pointer, problems);
        }
        root
    }

    /// The outlines, and the document with the properties that they ask about.
    pub(super) fn finish(self) -> (Outlines, Cow<'a, Value>) {
        let outlines = Outlines { list: self.list };
        if self.added.is_empty() {
            return (outlines, Cow::Borrowed(self.document));
        }
        let mut document = self.document.clone();
        if let Some(Value::Object(properties)) = document.get_mut("properties") {
            properties.extend(self.added);
        }
        (outlines, Cow::Owned(document))
    }

    fn outline(&mut self, pointer: &str) -> u32 {
        if let Some(&known) = self.known.get(pointer) {
            return known;
        }
        let index = match self.document.pointer(pointer) {
            Some(Value::Object(schema)) if !is_never(schema) => {
                self.list.push(Outline::default());
                let index = self.list.len() as u32 - 1;
                self.waiting.push((index, pointer.to_owned()));
                index
            }
            Some(Value::Object(_) | Value::Bool(false)) => NOTHING,
            _ => ANYTHING,
        };
        self.known.insert(pointer.to_owned(), index);
        index
    }

    fn describe(&mut self, schema: &Map<String, Value>, pointer: &str, problems: &mut Vec<Problem>) -> Outline {
        let mut outline = Outline {
            speaks: schema
                .keys()
                .map(String::as_str)
                .any(|word| !SILENT.contains(&word) && !ANNOTATIONS.contains(&word) && !word.starts_with("x-")),
            ..Outline::default()
        };
        for (name, _) in members(schema, "properties") {
            let described = self.outline(&format!("{pointer}/properties/{}", escape(name)));
            outline.properties.insert(name.as_str().into(), described);
        }
        for (pattern, _) in members(schema, "patternProperties") {
            let property = self.add(json!({ "pattern": pattern }));
            let described = self.outline(&format!("{pointer}/patternProperties/{}", escape(pattern)));
            outline.patterns.push((property, described));
        }
        outline.additional = self.explicit(schema, pointer, "additionalProperties");
        outline.unevaluated = self.explicit(schema, pointer, "unevaluatedProperties");
        if schema.contains_key("const") || schema.contains_key("enum") {
            // Whole values are listed: whether this is one of them is for the check to say.
            outline.additional = outline.additional.or(Some(ANYTHING));
        }
        for index in 0..items(schema, "prefixItems") {
            let described = self.outline(&format!("{pointer}/prefixItems/{index}"));
            outline.prefix.push(described);
        }
        for word in ["items", "unevaluatedItems"] {
            if outline.items.is_none() && schema.contains_key(word) {
                outline.items = Some(self.outline(&format!("{pointer}/{word}")));
            }
        }
        for index in 0..items(schema, "allOf") {
            let applied = self.outline(&format!("{pointer}/allOf/{index}"));
            outline.applied.push(applied);
        }
        for word in ["$ref", "$dynamicRef"] {
            if let Some(Value::String(reference)) = schema.get(word) {
                for target in self.targets(reference, pointer, problems) {
                    let applied = self.outline(&target);
                    outline.applied.push(applied);
                }
            }
        }
        for word in ["anyOf", "oneOf"] {
            let branches: Vec<Branch> =
                (0..items(schema, word)).map(|index| self.branch(&format!("{pointer}/{word}/{index}"))).collect();
            if !branches.is_empty() {
                outline.alternatives.push(branches);
            }
        }
        if schema.contains_key("if") {
            let is = self.branch(&format!("{pointer}/if"));
            let mut part = |word| schema.contains_key(word).then(|| self.outline(&format!("{pointer}/{word}")));
            outline.condition = Some(Condition { is, then: part("then"), otherwise: part("else") });
        }
        for (name, _) in members(schema, "dependentSchemas") {
            let applied = self.outline(&format!("{pointer}/dependentSchemas/{}", escape(name)));
            outline.dependent.push((name.as_str().into(), applied));
        }
        outline
    }

    /// A keyword that says `true` or holds a schema; one that says `false` describes nothing.
    fn explicit(&mut self, schema: &Map<String, Value>, pointer: &str, word: &str) -> Option<u32> {
        schema.get(word)?;
        Some(self.outline(&format!("{pointer}/{word}"))).filter(|&outline| outline != NOTHING)
    }

    fn branch(&mut self, pointer: &str) -> Branch {
        let property = self.add(json!({ "$ref": format!("#{}", fragment(pointer)) }));
        Branch { property, outline: self.outline(pointer) }
    }

    fn add(&mut self, schema: Value) -> String {
        let name = format!("strip/{}", self.added.len());
        self.added.insert(name.clone(), schema);
        name
    }

    /// The pointers that a reference may lead to. A `$dynamicRef` may lead to any of its name.
    fn targets(&mut self, reference: &str, pointer: &str, problems: &mut Vec<Problem>) -> Vec<String> {
        let mut decoded = Vec::new();
        let target = reference
            .strip_prefix('#')
            .map(|fragment| percent::decode(fragment, false, &mut decoded).unwrap_or(fragment).to_owned());
        if let Some(target) = &target
            && (target.is_empty() || target.starts_with('/'))
            && self.document.pointer(target).is_some()
        {
            return vec![target.clone()];
        }
        let anchors = self.anchors.get_or_insert_with(|| {
            let mut anchors = HashMap::default();
            gather(self.document, &mut String::new(), &mut anchors);
            anchors
        });
        let found = anchors.get(target.as_deref().unwrap_or(reference)).cloned().unwrap_or_default();
        if found.is_empty() {
            problems.push(problem(
                &format!("{}/schema{pointer}", self.at),
                format!("`{reference}` cannot be followed to see which members are described"),
                Some("`strip` needs to know all of them: use `block` or `log` for these responses"),
            ));
        }
        found
    }
}

/// `{ not: {} }`, another way to write `false`.
fn is_never(schema: &Map<String, Value>) -> bool {
    match schema.get("not") {
        Some(Value::Bool(true)) => true,
        Some(Value::Object(not)) => not.is_empty(),
        _ => false,
    }
}

fn members<'a>(schema: &'a Map<String, Value>, word: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema.get(word).and_then(Value::as_object).into_iter().flatten()
}

fn items(schema: &Map<String, Value>, word: &str) -> usize {
    schema.get(word).and_then(Value::as_array).map_or(0, Vec::len)
}

fn gather(schema: &Value, pointer: &mut String, anchors: &mut HashMap<String, Vec<String>>) {
    let length = pointer.len();
    match schema {
        Value::Object(members) => {
            for word in ["$id", "$anchor", "$dynamicAnchor"] {
                if let Some(Value::String(name)) = members.get(word) {
                    let places = anchors.entry(name.clone()).or_default();
                    if places.last() != Some(pointer) {
                        places.push(pointer.clone());
                    }
                }
            }
            for (name, member) in members.iter().filter(|(name, _)| !matches!(name.as_str(), "enum" | "const")) {
                pointer.push('/');
                pointer.push_str(&escape(name));
                gather(member, pointer, anchors);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(itoa::Buffer::new().format(index));
                gather(item, pointer, anchors);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

/// A JSON Pointer as the fragment of a URI (RFC 6901, 6).
fn fragment(pointer: &str) -> String {
    let mut out = String::with_capacity(pointer.len());
    for byte in pointer.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
