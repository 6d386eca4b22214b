//! What a token says: a JSON object, read once and kept as it was sent.

use crate::policy::ClaimCondition;
use crate::schema::json::{self, Entry, Parsed, Tape};

/// Latest moment of a claim, Unix seconds: the last second that RFC 3339 can write. Milliseconds that somebody took for
/// seconds lie far behind it.
const MAX_SECONDS: f64 = 253_402_300_799.0;

/// The claims of one token.
pub(super) struct Claims {
    text: Box<str>,
    tape: Tape,
}

/// A registered claim that is not of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongType;

impl Claims {
    /// None: not an object with one meaning.
    pub(super) fn read(payload: Vec<u8>) -> Option<Claims> {
        // Read on the thread's tape, which has grown already, and kept on one that just fits.
        let tape = json::with_tape(&payload, |parsed| Some(parsed.ok()?.tape.fitting()))?;
        if !matches!(tape.entries.first(), Some(Entry::Object { .. })) {
            return None;
        }
        Some(Claims { text: String::from_utf8(payload).ok()?.into_boxed_str(), tape })
    }

    /// As they were sent.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// What they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let Tape { entries, decoded, sorted, .. } = &self.tape;
        self.text.len() + decoded.capacity() + size_of_val(&**entries) + size_of_val(&**sorted)
    }

    pub(super) fn json(&self) -> Parsed<'_> {
        Parsed { body: &self.text, tape: &self.tape }
    }

    /// The value of a claim: a name that is there as a whole, else steps with `.` between them.
    pub(super) fn find(&self, claim: &str) -> Option<u32> {
        let json = self.json();
        json.member(0, claim).or_else(|| claim.split('.').try_fold(0, |object, name| json.member(object, name)))
    }

    /// Texts of a claim, a list's one by one; numbers and booleans as they were written.
    pub(super) fn texts(&self, claim: &str) -> impl Iterator<Item = &str> {
        self.find(claim).into_iter().flat_map(|entry| self.texts_at(entry))
    }

    fn texts_at(&self, entry: u32) -> impl Iterator<Item = &str> {
        let json = self.json();
        let (mut at, length) = match json.tape.entries[entry as usize] {
            Entry::Array { length, .. } => (entry + 1, length),
            _ => (entry, 1),
        };
        (0..length).filter_map(move |_| {
            let item = at;
            at = json.after(at);
            match json.tape.entries[item as usize] {
                Entry::Text { .. } | Entry::Decoded { .. } => json.string(item),
                Entry::Number { start, length } => Some(&json.body[start as usize..(start + length) as usize]),
                Entry::Boolean(value) => Some(if value { "true" } else { "false" }),
                Entry::Null | Entry::Array { .. } | Entry::Object { .. } => None,
            }
        })
    }

    pub(super) fn meet(&self, condition: &ClaimCondition) -> bool {
        if condition.values.is_empty() {
            return self.find(&condition.claim).is_some_and(|at| self.tape.entries[at as usize] != Entry::Null);
        }
        self.texts(&condition.claim).any(|text| condition.values.iter().any(|value| value == text))
    }

    /// A registered claim that is a text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, WrongType> {
        let json = self.json();
        json.member(0, name).map(|value| json.string(value).ok_or(WrongType)).transpose()
    }

    /// A registered claim that is a text or a list of texts.
    pub(super) fn text_or_list(&self, name: &str) -> Result<Vec<&str>, WrongType> {
        let json = self.json();
        let Some(value) = json.member(0, name) else { return Ok(Vec::new()) };
        match json.tape.entries[value as usize] {
            // Texts take one entry each; the first that is none ends it.
            Entry::Array { length, .. } => {
                (value + 1..=value + length).map(|item| json.string(item).ok_or(WrongType)).collect()
            }
            _ => Ok(vec![json.string(value).ok_or(WrongType)?]),
        }
    }

    /// A NumericDate (RFC 7519, 2), in milliseconds.
    pub(super) fn moment(&self, name: &str) -> Result<Option<u64>, WrongType> {
        let json = self.json();
        let Some(value) = json.member(0, name) else { return Ok(None) };
        let Entry::Number { start, length } = json.tape.entries[value as usize] else { return Err(WrongType) };
        let seconds: f64 = json.body[start as usize..(start + length) as usize].parse().map_err(|_| WrongType)?;
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            return Err(WrongType);
        }
        Ok(Some((seconds * 1000.0) as u64))
    }
}
