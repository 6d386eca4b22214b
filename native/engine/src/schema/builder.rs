//! A tape made of texts: what parameters and forms say, as the value that they stand for.
//!
//! A text is read as what its shape allows: a number if it is one, `true` or `false`, null if it is empty or `null`,
//! else a string. Some texts could be two things (`5` where numbers and strings are allowed): the verdict tries the
//! typed reading first, and then the text as it is. A text that is nothing its shape allows stays a string, so that
//! the schema says what it expected.

use jsonschema::Validator;

use super::json::{self, Entry, Parsed, Refusal, Tape, UNSORTED};
use super::node::{self, Body};
use super::shape::{Shape, Types};
use super::violation::Violation;
use crate::reason::Reason;

/// Most bytes of text that are kept for the next value; one head is 16 KiB.
const MAX_KEPT_TEXT: usize = 1 << 16;
/// Most entries that are kept: 1 MiB of them.
const MAX_KEPT_ENTRIES: usize = 1 << 16;
/// How often the texts that errors point at are taken for strings, before all are: each time several at once.
const MAX_ROUNDS: usize = 4;

/// One value under construction; its buffers are kept.
#[derive(Debug, Default)]
pub(super) struct Builder {
    text: String,
    tape: Tape,
    /// Typed readings that could be strings too.
    doubts: Vec<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    entry: u32,
    start: u32,
    length: u32,
}

/// A container that is not closed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open(u32);

impl Builder {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.tape.clear();
        self.doubts.clear();
        if self.text.capacity() > MAX_KEPT_TEXT || self.tape.entries.capacity() > MAX_KEPT_ENTRIES {
            *self = Builder::default();
        }
    }

    /// Appends a text as the value that its shape makes of it.
    pub(super) fn scalar(&mut self, text: &str, shape: &Shape) {
        let (start, length) = self.keep(text);
        let types = shape.types();
        let entry = self.tape.entries.len() as u32;
        let typed = if types.meets(Types::NUMBER) && self.tape.number(&self.text, start as usize) {
            true
        } else if let Some(word) = word(text, types) {
            self.tape.entries.push(word);
            true
        } else {
            self.tape.entries.push(Entry::Text { start, length });
            false
        };
        if typed && types.meets(Types::STRING) {
            self.doubts.push(Doubt { entry, start, length });
        }
    }

    /// Appends a text as a string.
    pub(super) fn string(&mut self, text: &str) {
        let (start, length) = self.keep(text);
        self.tape.entries.push(Entry::Text { start, length });
    }

    /// Appends the value that a text writes as JSON.
    ///
    /// # Errors
    /// Why it is not JSON with one meaning.
    pub(super) fn json(&mut self, text: &[u8]) -> Result<(), Refusal> {
        json::with_tape(text, |parsed| {
            let parsed = parsed?;
            let (body, _) = self.keep(parsed.body);
            let decoded = self.tape.decoded.len() as u32;
            let (first, names) = (self.tape.entries.len() as u32, self.tape.sorted.len() as u32);
            self.tape.decoded.push_str(&parsed.tape.decoded);
            self.tape.sorted.extend(parsed.tape.sorted.iter().map(|name| name + first));
            self.tape.entries.extend(parsed.tape.entries.iter().map(|entry| match *entry {
                Entry::Number { start, length } => Entry::Number { start: start + body, length },
                Entry::Text { start, length } => Entry::Text { start: start + body, length },
                Entry::Decoded { start, length } => Entry::Decoded { start: start + decoded, length },
                Entry::Array { length, end } => Entry::Array { length, end: end + first },
                Entry::Object { length, end, sorted } => {
                    let sorted = if sorted == UNSORTED { UNSORTED } else { sorted + names };
                    Entry::Object { length, end: end + first, sorted }
                }
                entry => entry,
            }));
            Ok(())
        })
    }

    /// The name of a member; its value comes next.
    pub(super) fn name(&mut self, name: &str) {
        self.string(name);
    }

    pub(super) fn open(&mut self) -> Open {
        self.tape.entries.push(Entry::Null);
        Open(self.tape.entries.len() as u32 - 1)
    }

    pub(super) fn close_array(&mut self, open: Open, length: usize) {
        let end = self.tape.entries.len() as u32;
        self.tape.entries[open.0 as usize] = Entry::Array { length: length as u32, end };
    }

    /// False: a name stands in it twice.
    #[must_use]
    pub(super) fn close_object(&mut self, open: Open, length: usize) -> bool {
        let end = self.tape.entries.len() as u32;
        self.tape.entries[open.0 as usize] = Entry::Object { length: length as u32, end, sorted: UNSORTED };
        self.tape.index(&self.text, open.0)
    }

    pub(super) fn parsed(&self) -> Parsed<'_> {
        Parsed { body: &self.text, tape: &self.tape }
    }

    /// Checks the value against one property of the root schema.
    ///
    /// # Errors
    /// What its typed reading violates, when no other reading passes.
    pub(super) fn verdict(&mut self, validator: &Validator<Body>, property: &str) -> Result<(), Violation> {
        let Err(violation) = node::verdict(validator, self.parsed(), property) else { return Ok(()) };
        let mut latest = violation.clone();
        for round in 0.. {
            if self.doubts.is_empty() || latest.reason == Reason::SchemaSteps {
                break;
            }
            let before = self.doubts.len();
            if round < MAX_ROUNDS {
                for error in &latest.errors {
                    if let Some(entry) = self.parsed().find(&error.pointer) {
                        self.settle(|doubt| doubt.entry == entry);
                    }
                }
            }
            if self.doubts.len() == before {
                self.settle(|_| true);
            }
            match node::verdict(validator, self.parsed(), property) {
                Ok(()) => return Ok(()),
                Err(violation) => latest = violation,
            }
        }
        Err(violation)
    }

    /// Takes doubtful texts for strings.
    fn settle(&mut self, which: impl Fn(&Doubt) -> bool) {
        let entries = &mut self.tape.entries;
        self.doubts.retain(|doubt| {
            let settled = which(doubt);
            if settled {
                entries[doubt.entry as usize] = Entry::Text { start: doubt.start, length: doubt.length };
            }
            !settled
        });
    }

    fn keep(&mut self, text: &str) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        (start, text.len() as u32)
    }
}

fn word(text: &str, types: Types) -> Option<Entry> {
    match text {
        "true" if types.meets(Types::BOOLEAN) => Some(Entry::Boolean(true)),
        "false" if types.meets(Types::BOOLEAN) => Some(Entry::Boolean(false)),
        "" | "null" if types.meets(Types::NULL) => Some(Entry::Null),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::validator;

    /// Reads texts as the array that `schema` describes.
    fn pointers(schema: &Value, texts: &[&str]) -> Vec<String> {
        let root = json!({ "properties": { "p": schema } });
        let mut problems = Vec::new();
        let validator = validator::build(&root, "", &mut problems).expect("a validator");
        let shape = Shape::of(&root, "p");
        let mut builder = Builder::default();
        // Twice: nothing stays behind from the value before.
        for _ in 0..2 {
            builder.clear();
            let open = builder.open();
            for (index, text) in texts.iter().enumerate() {
                builder.scalar(text, shape.item(index));
            }
            builder.close_array(open, texts.len());
        }
        match builder.verdict(&validator, "p") {
            Ok(()) => Vec::new(),
            Err(violation) => {
                violation.errors.into_iter().map(|error| format!("{} {}", error.pointer, error.message)).collect()
            }
        }
    }

    #[test]
    fn texts_are_read_as_what_their_shape_allows() {
        let numbers = json!({ "items": { "type": "integer" } });
        assert_eq!(pointers(&numbers, &["1", "-2", "1e2", "3.0"]), [""; 0]);
        assert_eq!(pointers(&numbers, &["1", "01", "+1", "", "1e999"]).len(), 4);
        assert_eq!(pointers(&numbers, &["a"]), ["/0 expected integer"]);
        assert_eq!(pointers(&json!({ "items": { "type": "boolean" } }), &["true", "false"]), [""; 0]);
        assert_eq!(pointers(&json!({ "items": { "type": "boolean" } }), &["True"]).len(), 1);
        assert_eq!(pointers(&json!({ "items": { "type": ["integer", "null"] } }), &["", "null", "7"]), [""; 0]);
        assert_eq!(
            pointers(&json!({ "items": { "type": "string", "minLength": 1 } }), &["5", "true", "null"]),
            [""; 0]
        );
        assert_eq!(pointers(&json!({ "items": { "type": "string", "minLength": 1 } }), &[""]).len(), 1);
    }

    #[test]
    fn a_text_that_could_be_two_things_passes_as_either() {
        let either = json!({ "items": { "anyOf": [
            { "type": "integer", "maximum": 5 }, { "type": "string", "pattern": "^9+$" }
        ] } });
        assert_eq!(pointers(&either, &["5", "9", "99"]), [""; 0]);
        assert_eq!(pointers(&either, &["5", "6"]).len(), 1);
        assert_eq!(
            pointers(&json!({ "items": { "type": ["string", "null"], "enum": ["", "null"] } }), &["", "null"]),
            [""; 0]
        );
        assert_eq!(
            pointers(&json!({ "items": { "enum": ["1", 2, true, null, "x"] } }), &["1", "2", "true", "", "x"]),
            [""; 0]
        );
    }

    #[test]
    fn large_objects_and_json_are_found_by_name() {
        let root = json!({ "properties": { "p": { "properties": {
            "n30": { "const": 30 }, "deep": { "properties": { "k20": { "const": "\u{1f600}20" } }, "required": ["k20"] }
        }, "required": ["n30", "deep"] } } });
        let validator = validator::build(&root, "", &mut Vec::new()).expect("a validator");
        let shape = Shape::of(&root, "p");
        let mut builder = Builder::default();
        let open = builder.open();
        for index in 0..40 {
            let name = format!("n{index}");
            builder.name(&name);
            builder.scalar(&index.to_string(), shape.member(&name));
        }
        builder.name("deep");
        let members: Vec<String> = (0..30).map(|index| format!("\"k{index}\":\"\\ud83d\\ude00{index}\"")).collect();
        builder.json(format!("{{{}}}", members.join(",")).as_bytes()).expect("JSON");
        assert!(builder.close_object(open, 41));
        assert_eq!(builder.verdict(&validator, "p"), Ok(()));
        assert!(builder.json(b"{\"a\":1,\"a\":2}").is_err());

        builder.clear();
        let open = builder.open();
        for _ in 0..2 {
            builder.name("a");
            builder.string("");
        }
        assert!(!builder.close_object(open, 2));
    }
}
