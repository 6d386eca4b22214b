//! Takes out of a JSON body what no schema describes (see outline.rs), so that it never leaves.
//!
//! What a value is described by is the union of all schemas that apply to it: through `$ref` and `allOf`, of `anyOf`
//! and `oneOf` the branches that it matches, of `if` what follows from it. When no branch matches, all count: what is
//! left is checked afterwards and then is either as it is described or blocked. What stays keeps its bytes.

use jsonschema::Validator;

use super::json::{Entry, Parsed};
use super::node::{self, Body, MAX_STEPS};
use super::outline::{NOTHING, Outline, Outlines};
use super::pointer::escape;
use super::violation::{Class, Location, MAX_ERRORS, MAX_NAME_BYTES, Violation, shorten};
use crate::reason::Reason;

/// Most schemas that are put together for one value; real descriptions stay below 20.
const MAX_APPLIED: usize = 256;

/// A body without what was not described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    pub body: Vec<u8>,
    /// How many members were taken out.
    pub members: u64,
    /// Some of them, by name.
    pub told: Violation,
}

/// Strips a body by the outline `root`; None when there is nothing to take out.
///
/// # Errors
/// When it takes too long to find out.
pub(super) fn strip(
    outlines: &Outlines,
    validator: &Validator<Body>,
    parsed: Parsed<'_>,
    root: u32,
) -> Result<Option<Stripped>, Violation> {
    let mut walk = Walk {
        outlines,
        validator,
        parsed,
        at: 0,
        copied: 0,
        out: Vec::new(),
        members: 0,
        told: Vec::new(),
        path: Vec::new(),
        steps: MAX_STEPS,
    };
    walk.space();
    walk.value(0, &[root]).map_err(|Exhausted| Violation::exhausted())?;
    if walk.members == 0 {
        return Ok(None);
    }
    walk.copy(parsed.body.len());
    let told = Violation {
        reason: Reason::SchemaResponseBody,
        errors: walk.told.into_iter().flat_map(|violation| violation.errors).collect(),
    };
    Ok(Some(Stripped { body: walk.out, members: walk.members, told }))
}

struct Exhausted;

/// Goes through the tape and the bytes side by side: the tape knows values, the bytes how they are written.
struct Walk<'a> {
    outlines: &'a Outlines,
    validator: &'a Validator<Body>,
    parsed: Parsed<'a>,
    /// Where in the body.
    at: usize,
    /// Up to where the body was looked through for `out`.
    copied: usize,
    out: Vec<u8>,
    members: u64,
    told: Vec<Violation>,
    path: Vec<String>,
    steps: u32,
}

impl<'a> Walk<'a> {
    /// From the first byte of a value to behind its last. Nested as deep as the reader lets bodies be.
    fn value(&mut self, entry: u32, described: &[u32]) -> Result<(), Exhausted> {
        let value = self.parsed.tape.entries[entry as usize];
        if !matches!(value, Entry::Array { .. } | Entry::Object { .. }) {
            self.skip();
            return Ok(());
        }
        let applied = self.applied(entry, described)?;
        if !applied.is_empty() && applied.iter().all(|outline| !outline.speaks) {
            self.skip();
            return Ok(());
        }
        match value {
            Entry::Array { length, .. } => {
                let mut next = entry + 1;
                self.at += 1;
                for index in 0..length as usize {
                    self.space();
                    let described: Vec<u32> = applied
                        .iter()
                        .filter_map(|outline| outline.prefix.get(index).copied().or(outline.items))
                        .collect();
                    self.path.push(index.to_string());
                    self.value(next, &described)?;
                    self.path.pop();
                    next = self.parsed.after(next);
                    self.space();
                    self.at += 1;
                }
                if length == 0 {
                    self.space();
                    self.at += 1;
                }
            }
            Entry::Object { length, .. } => self.object(entry, length, &applied)?,
            _ => {}
        }
        Ok(())
    }

    fn object(&mut self, entry: u32, length: u32, applied: &[&Outline]) -> Result<(), Exhausted> {
        let mut name = entry + 1;
        let mut kept = false;
        self.at += 1;
        if length == 0 {
            self.space();
            self.at += 1;
        }
        for index in 0..length {
            // A member's bytes begin behind the brace or comma ahead of it.
            let start = self.at;
            self.space();
            let described = self.describing(name, applied)?;
            self.skip();
            self.space();
            self.at += 1;
            self.space();
            if let Some(described) = described {
                if index > 0 && !kept {
                    // Everything ahead of it went, the last comma too.
                    self.copied = start;
                }
                kept = true;
                self.path.push(self.token(name));
                self.value(name + 1, &described)?;
                self.path.pop();
                self.space();
            } else {
                self.skip();
                self.space();
                self.tell(name);
                if kept {
                    // The comma ahead goes too.
                    self.copy(start - 1);
                } else if index == 0 {
                    self.copy(start);
                }
                self.copied = self.at;
            }
            self.at += 1;
            name = self.parsed.after(name + 1);
        }
        Ok(())
    }

    /// Every outline that applies to the value at `entry`.
    fn applied(&mut self, entry: u32, described: &[u32]) -> Result<Vec<&'a Outline>, Exhausted> {
        let outlines = self.outlines;
        let mut seen: Vec<u32> = Vec::with_capacity(described.len() + 4);
        let mut waiting: Vec<u32> = described.to_vec();
        while let Some(index) = waiting.pop() {
            if seen.contains(&index) {
                continue;
            }
            if seen.len() == MAX_APPLIED {
                return Err(Exhausted);
            }
            seen.push(index);
            let outline = outlines.get(index);
            waiting.extend_from_slice(&outline.applied);
            for branches in &outline.alternatives {
                let before = waiting.len();
                for branch in branches {
                    if self.matches(&branch.property, entry)? {
                        waiting.push(branch.outline);
                    }
                }
                if waiting.len() == before {
                    waiting.extend(branches.iter().map(|branch| branch.outline));
                }
            }
            if let Some(condition) = &outline.condition {
                if self.matches(&condition.is.property, entry)? {
                    waiting.push(condition.is.outline);
                    waiting.extend(condition.then);
                } else {
                    waiting.extend(condition.otherwise);
                }
            }
            for (name, applied) in &outline.dependent {
                if self.parsed.member(entry, name).is_some() {
                    waiting.push(*applied);
                }
            }
        }
        Ok(seen.into_iter().map(|index| outlines.get(index)).collect())
    }

    /// What describes the member whose name is at `entry`; None when nothing does, or something says that it may not be.
    fn describing(&mut self, entry: u32, applied: &[&Outline]) -> Result<Option<Vec<u32>>, Exhausted> {
        let name = self.parsed.string(entry).unwrap_or_default();
        let mut described = Vec::new();
        for outline in applied {
            let before = described.len();
            described.extend(outline.properties.get(name));
            for (property, member) in &outline.patterns {
                if self.matches(property, entry)? {
                    described.push(*member);
                }
            }
            if described.len() == before {
                described.extend(outline.additional);
            }
        }
        if described.is_empty() {
            described.extend(applied.iter().filter_map(|outline| outline.unevaluated));
        }
        Ok((!described.is_empty() && !described.contains(&NOTHING)).then_some(described))
    }

    fn matches(&mut self, property: &str, entry: u32) -> Result<bool, Exhausted> {
        let matches = node::matches(self.validator, self.parsed, property, entry, &mut self.steps);
        if self.steps == 0 { Err(Exhausted) } else { Ok(matches) }
    }

    fn tell(&mut self, name: u32) {
        self.members += 1;
        if self.told.len() < MAX_ERRORS {
            let mut pointer = "/body".to_owned();
            for token in self.path.iter().chain([&self.token(name)]) {
                pointer.push('/');
                pointer.push_str(token);
            }
            let (reason, location) = (Reason::SchemaResponseBody, Location::Response);
            self.told.push(Violation::at(reason, location, Class::Unknown, &pointer, "not described: taken out"));
        }
    }

    fn token(&self, name: u32) -> String {
        escape(&shorten(self.parsed.string(name).unwrap_or_default(), MAX_NAME_BYTES))
    }

    /// Takes over what was not taken over yet, up to `end`.
    fn copy(&mut self, end: usize) {
        if let Some(bytes) = self.parsed.body.as_bytes().get(self.copied..end) {
            self.out.extend_from_slice(bytes);
        }
        self.copied = self.copied.max(end);
    }

    fn space(&mut self) {
        while matches!(self.parsed.body.as_bytes().get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Behind a value or name that starts here. The reader found that it is well-formed.
    fn skip(&mut self) {
        let bytes = self.parsed.body.as_bytes();
        let mut open = 0_usize;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    while let Some(&byte) = bytes.get(self.at) {
                        self.at += if byte == b'\\' { 2 } else { 1 };
                        if byte == b'"' {
                            break;
                        }
                    }
                }
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => {
                    while !matches!(
                        bytes.get(self.at),
                        None | Some(b',' | b'}' | b']' | b':' | b' ' | b'\n' | b'\r' | b'\t')
                    ) {
                        self.at += 1;
                    }
                }
            }
            if open == 0 {
                return;
            }
        }
    }
}
