//! What a text could stand for, from its schema.
//!
//! Parameters and forms arrive as text: only their schema says whether `5` is a number or a string, and whether a
//! value is one text or a list of them. A shape is a schema reduced to that. It never decides a verdict: it chooses
//! how a text is read, and the schema then checks what was read.
//!
//! Types come from `type`, `enum` and `const`, through `$ref`: `allOf`, siblings and `if` meet, `anyOf`, `oneOf`,
//! `then` and `else` join. A schema that says nothing of types but only of lengths, ranges, items or members means
//! the strings, numbers, arrays or objects that these keywords speak of: nobody writes `minimum: 1` to allow text.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Deepest container that is described. Texts hold one level (OpenAPI, Style Values), `deepObject` and form bodies a
/// few by the names of their members; whatever lies deeper is read as if nothing were said.
const MAX_LEVELS: u32 = 8;
/// Most subschemas looked at for one shape: recursive components that refer to themselves several times over would
/// double with every level. Real parameters need below 100, Stripe's largest form body some thousands.
const MAX_VISITS: u32 = 20_000;
/// Longest chain of `$ref`, `allOf` and alternatives at one place; cycles end here.
const MAX_CHAIN: u32 = 32;

/// A set of JSON types. Every integer is a number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NONE: Types = Types(0);
    pub(super) const NULL: Types = Types(1);
    pub(super) const BOOLEAN: Types = Types(2);
    pub(super) const INTEGER: Types = Types(4);
    pub(super) const NUMBER: Types = Types(4 | 8);
    pub(super) const STRING: Types = Types(16);
    pub(super) const ARRAY: Types = Types(32);
    pub(super) const OBJECT: Types = Types(64);
    pub(super) const ANY: Types = Types(127);
    /// What one text can be; null is rather the absence of one.
    pub(super) const SCALAR: Types = Types(2 | 4 | 8 | 16);

    /// Whether any of `other` is among these.
    pub(super) const fn meets(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    pub(super) const fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    fn named(name: &str) -> Types {
        match name {
            "null" => Types::NULL,
            "boolean" => Types::BOOLEAN,
            "integer" => Types::INTEGER,
            "number" => Types::NUMBER,
            "string" => Types::STRING,
            "array" => Types::ARRAY,
            "object" => Types::OBJECT,
            _ => Types::NONE,
        }
    }

    fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(_) => Types::NUMBER,
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }
}

/// What is known of a value before it is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    /// What the schema allows.
    allowed: Types,
    /// What it speaks of, where it does not say what it allows.
    meant: Types,
    prefix: Vec<Shape>,
    items: Option<Box<Shape>>,
    properties: BTreeMap<String, Shape>,
    /// Of members that have no entry there, if anything is said of them.
    additional: Option<Box<Shape>>,
}

/// What nothing is said of.
static UNSAID: Shape = Shape::any();

impl Shape {
    const fn any() -> Shape {
        Shape {
            allowed: Types::ANY,
            meant: Types::ANY,
            prefix: Vec::new(),
            items: None,
            properties: BTreeMap::new(),
            additional: None,
        }
    }

    /// The shape of one property of a host's schema document.
    pub(super) fn of(root: &Value, property: &str) -> Shape {
        let Some(schema) = root.get("properties").and_then(|all| all.get(property)) else { return Shape::any() };
        let mut reader = Reader { root, visits: MAX_VISITS };
        reader.shape(schema, 0, 0)
    }

    /// The types that a text is read as.
    pub(super) fn types(&self) -> Types {
        match self.allowed.and(self.meant) {
            Types::NONE => self.allowed,
            both => both,
        }
    }

    /// Whether the schema says nothing of types at all.
    pub(super) fn is_any(&self) -> bool {
        self.types() == Types::ANY
    }

    pub(super) fn item(&self, index: usize) -> &Shape {
        self.prefix.get(index).or(self.items.as_deref()).unwrap_or(&UNSAID)
    }

    /// The shape of a member, whether or not it has an entry of its own.
    pub(super) fn member(&self, name: &str) -> &Shape {
        self.properties.get(name).or(self.additional.as_deref()).unwrap_or(&UNSAID)
    }

    /// Members that have an entry of their own.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.properties.iter().map(|(name, shape)| (name.as_str(), shape))
    }

    /// Whether `additionalProperties` invites members of any name.
    pub(super) fn invites(&self) -> bool {
        self.additional.is_some()
    }

    /// What has to match both.
    fn meet(&mut self, other: Shape) {
        self.allowed = self.allowed.and(other.allowed);
        self.meant = match self.meant.and(other.meant) {
            Types::NONE => Types::ANY,
            both => both,
        };
        self.combine(other, Shape::meet);
    }

    /// What has to match one of the two.
    fn join(&mut self, other: Shape) {
        self.allowed = self.allowed.or(other.allowed);
        self.meant = self.meant.or(other.meant);
        self.combine(other, Shape::join);
    }

    /// Places that only one of the two describes are taken from it: they say nothing of each other's.
    fn combine(&mut self, other: Shape, how: fn(&mut Shape, Shape)) {
        let mut theirs = other.prefix.into_iter();
        for (mine, theirs) in self.prefix.iter_mut().zip(theirs.by_ref()) {
            how(mine, theirs);
        }
        self.prefix.extend(theirs);
        combine(&mut self.items, other.items, how);
        for (name, theirs) in other.properties {
            match self.properties.get_mut(&name) {
                Some(mine) => how(mine, theirs),
                None => {
                    self.properties.insert(name, theirs);
                }
            }
        }
        combine(&mut self.additional, other.additional, how);
    }
}

fn combine(mine: &mut Option<Box<Shape>>, theirs: Option<Box<Shape>>, how: fn(&mut Shape, Shape)) {
    match (mine.as_mut(), theirs) {
        (Some(mine), Some(theirs)) => how(mine, *theirs),
        (None, Some(theirs)) => *mine = Some(theirs),
        (_, None) => {}
    }
}

struct Reader<'a> {
    root: &'a Value,
    visits: u32,
}

impl Reader<'_> {
    /// `level` counts containers, `chain` what is gone through without entering one.
    fn shape(&mut self, schema: &Value, level: u32, chain: u32) -> Shape {
        self.visits = self.visits.saturating_sub(1);
        let mut shape = Shape::any();
        if schema == &Value::Bool(false) {
            shape.allowed = Types::NONE;
        }
        let Value::Object(schema) = schema else { return shape };
        if self.visits == 0 || level > MAX_LEVELS || chain > MAX_CHAIN {
            return shape;
        }
        shape.allowed = allowed(schema);
        if !schema.contains_key("type") && shape.allowed == Types::ANY {
            shape.meant = meant(schema);
        }
        self.places(schema, level, &mut shape);
        for keyword in ["$ref", "$dynamicRef"] {
            let reference = schema.get(keyword).and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
            if let Some(target) = reference.and_then(|pointer| self.root.pointer(pointer)) {
                shape.meet(self.shape(target, level, chain + 1));
            }
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            shape.meet(self.shape(part, level, chain + 1));
        }
        for keyword in ["anyOf", "oneOf"] {
            let parts = schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
            self.alternatives(parts, &mut shape, level, chain);
        }
        if schema.contains_key("if") {
            let said = |name| schema.get(name).unwrap_or(&Value::Bool(true));
            self.alternatives([said("then"), said("else")].into_iter(), &mut shape, level, chain);
        }
        shape
    }

    fn alternatives<'v>(&mut self, parts: impl Iterator<Item = &'v Value>, shape: &mut Shape, level: u32, chain: u32) {
        let mut joined: Option<Shape> = None;
        for part in parts {
            let branch = self.shape(part, level, chain + 1);
            match &mut joined {
                Some(joined) => joined.join(branch),
                None => joined = Some(branch),
            }
        }
        if let Some(joined) = joined {
            shape.meet(joined);
        }
    }

    /// Items and members.
    fn places(&mut self, schema: &Map<String, Value>, level: u32, shape: &mut Shape) {
        for item in schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten() {
            shape.prefix.push(self.shape(item, level + 1, 0));
        }
        if let Some(items @ Value::Object(_)) = schema.get("items") {
            shape.items = Some(Box::new(self.shape(items, level + 1, 0)));
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            shape.properties.insert(name.clone(), self.shape(property, level + 1, 0));
        }
        if let Some(additional) = schema.get("additionalProperties").filter(|said| **said != Value::Bool(false)) {
            shape.additional = Some(Box::new(self.shape(additional, level + 1, 0)));
        }
    }
}

/// What `type`, `enum` and `const` allow.
fn allowed(schema: &Map<String, Value>) -> Types {
    let mut allowed = match schema.get("type") {
        Some(Value::String(name)) => Types::named(name),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).fold(Types::NONE, |all, name| all.or(Types::named(name)))
        }
        _ => Types::ANY,
    };
    if let Some(Value::Array(values)) = schema.get("enum") {
        allowed = allowed.and(values.iter().fold(Types::NONE, |all, value| all.or(Types::of(value))));
    }
    if let Some(value) = schema.get("const") {
        allowed = allowed.and(Types::of(value));
    }
    allowed
}

/// What a schema without a type speaks of.
fn meant(schema: &Map<String, Value>) -> Types {
    const KEYWORDS: [(Types, &[&str]); 4] = [
        (Types::STRING, &["minLength", "maxLength", "pattern"]),
        (Types::NUMBER, &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
        (Types::ARRAY, &["items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"]),
        (Types::OBJECT, &["properties", "additionalProperties", "patternProperties", "required", "minProperties"]),
    ];
    let mut meant = Types::NONE;
    for (types, keywords) in KEYWORDS {
        if keywords.iter().any(|keyword| schema.contains_key(*keyword)) {
            meant = meant.or(types);
        }
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("int32" | "int64" | "float" | "double") => meant = meant.or(Types::NUMBER),
        Some(_) if meant == Types::NONE => meant = Types::STRING,
        _ => {}
    }
    if meant == Types::NONE { Types::ANY } else { meant }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn types(schema: Value) -> Types {
        shape(&schema).types()
    }

    fn shape(schema: &Value) -> Shape {
        let defs = json!({
            "Id": { "type": "integer" },
            "Node": { "type": "object", "properties": { "next": { "$ref": "#/$defs/Node" }, "id": { "$ref": "#/$defs/Id" } } },
            "Loop": { "allOf": [{ "$ref": "#/$defs/Loop" }, { "$ref": "#/$defs/Loop" }] },
            "Bush": { "anyOf": [{ "type": "object", "properties": {
                "a": { "$ref": "#/$defs/Bush" }, "b": { "$ref": "#/$defs/Bush" }, "c": { "$ref": "#/$defs/Bush" },
                "d": { "$ref": "#/$defs/Bush" } } }] }
        });
        Shape::of(&json!({ "$defs": defs, "properties": { "p": schema } }), "p")
    }

    #[test]
    fn types_are_said_by_type_enum_and_const() {
        assert_eq!(types(json!({ "type": "integer" })), Types::INTEGER);
        assert_eq!(types(json!({ "type": ["string", "null"] })), Types::STRING.or(Types::NULL));
        assert_eq!(types(json!({ "enum": ["a", 1] })), Types::STRING.or(Types::NUMBER));
        assert_eq!(types(json!({ "const": true })), Types::BOOLEAN);
        assert_eq!(types(json!({ "type": ["string", "integer"], "enum": ["a"] })), Types::STRING);
        assert_eq!(types(json!({})), Types::ANY);
        assert_eq!(types(json!(true)), Types::ANY);
        assert_eq!(types(json!(false)), Types::NONE);
    }

    #[test]
    fn what_the_keywords_speak_of_is_meant_where_no_type_is_said() {
        assert_eq!(types(json!({ "minimum": 1 })), Types::NUMBER);
        assert_eq!(types(json!({ "pattern": "^a" })), Types::STRING);
        assert_eq!(types(json!({ "items": {} })), Types::ARRAY);
        assert_eq!(types(json!({ "properties": {} })), Types::OBJECT);
        assert_eq!(types(json!({ "format": "uuid" })), Types::STRING);
        assert_eq!(types(json!({ "format": "int32" })), Types::NUMBER);
        // What is said counts before what is meant.
        assert_eq!(types(json!({ "type": "integer", "allOf": [{ "minLength": 1 }] })), Types::INTEGER);
    }

    #[test]
    fn references_and_all_of_meet_and_alternatives_join() {
        assert_eq!(types(json!({ "$ref": "#/$defs/Id" })), Types::INTEGER);
        assert_eq!(types(json!({ "allOf": [{ "$ref": "#/$defs/Id" }, { "minimum": 1 }] })), Types::INTEGER);
        assert_eq!(
            types(json!({ "anyOf": [{ "$ref": "#/$defs/Id" }, { "type": "string" }] })),
            Types::STRING.or(Types::INTEGER)
        );
        assert_eq!(
            types(json!({ "type": ["string", "array"], "oneOf": [{ "type": "string" }, { "type": "integer" }] })),
            Types::STRING
        );
        assert_eq!(
            types(json!({ "if": {}, "then": { "type": "string" }, "else": { "type": "null" } })),
            Types::STRING.or(Types::NULL)
        );
        assert_eq!(types(json!({ "if": {}, "then": { "type": "string" } })), Types::ANY);
        let either = shape(&json!({ "anyOf": [
            { "properties": { "a": { "type": "string" }, "b": { "type": "string" } } },
            { "properties": { "a": { "type": "integer" } } }
        ] }));
        assert_eq!(either.member("a").types(), Types::STRING.or(Types::INTEGER));
        assert_eq!(either.member("b").types(), Types::STRING);
        assert_eq!(either.member("c").types(), Types::ANY);
    }

    #[test]
    fn items_and_members_have_shapes_of_their_own() {
        let list = shape(&json!({ "prefixItems": [{ "type": "string" }], "items": { "type": "boolean" } }));
        assert_eq!((list.item(0).types(), list.item(1).types()), (Types::STRING, Types::BOOLEAN));
        let open = shape(
            &json!({ "properties": { "a": { "type": "string" } }, "additionalProperties": { "type": "integer" } }),
        );
        assert_eq!((open.member("a").types(), open.member("b").types()), (Types::STRING, Types::INTEGER));
        assert!(open.invites());
        assert!(!shape(&json!({ "properties": {}, "additionalProperties": false })).invites());
        assert_eq!(list.member("a").types(), Types::ANY);
    }

    #[test]
    fn recursion_ends() {
        let node = shape(&json!({ "$ref": "#/$defs/Node" }));
        assert_eq!(node.member("next").member("next").member("id").types(), Types::INTEGER);
        assert_eq!(types(json!({ "$ref": "#/$defs/Loop" })), Types::ANY);
        assert_eq!(types(json!({ "$ref": "#/$defs/Bush" })), Types::OBJECT);
    }
}
