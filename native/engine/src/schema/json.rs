//! Strict JSON: one pass from bytes to a flat tape that borrows from the body.
//!
//! Whatever two readers could understand differently is refused (RFC 8259, 4, 8.1, 8.2 and 9): duplicate names,
//! bytes that are not UTF-8, lone surrogates, a byte order mark, numbers that no double holds, and nesting that
//! overflows a naive reader's stack. The tape lists values in document order; a container knows where it ends, so
//! that its members are reached by skipping.

use std::cell::RefCell;

use super::kept;
use super::pointer::unescape;

/// Deepest nesting. Descriptions of real APIs stay below 20; readers with a fixed stack start to fail in the
/// hundreds, and .NET's reader refuses at 64 too.
pub const MAX_DEPTH: u32 = 64;
/// Most digits of a number: the largest double written out has 309, its exponent form far fewer. Longer ones cost
/// origins with exact decimals quadratic time.
const MAX_NUMBER_BYTES: usize = 400;
/// Most digits between the first and the last that is not zero, of a number with a fraction or an exponent: as many
/// as tell any double from all others (IEEE 754, 5.12.2). With more, readers with decimals see another number.
const MAX_SIGNIFICANT_DIGITS: usize = 17;
/// Objects up to this size are searched member by member; larger ones get a sorted index.
const MAX_SCANNED_MEMBERS: usize = 16;
/// A thread keeps its tape for the next body unless it grew beyond this: 1 MiB of entries, 64 KiB of text.
const MAX_KEPT_ENTRIES: usize = 1 << 16;
const MAX_KEPT_TEXT: usize = 1 << 16;

/// Marks an object that has no sorted index.
pub const UNSORTED: u32 = u32::MAX;

/// One value, or one member's name (always followed by its value).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Null,
    Boolean(bool),
    /// The number as written, in the body.
    Number {
        start: u32,
        length: u32,
    },
    /// A string without escapes, in the body.
    Text {
        start: u32,
        length: u32,
    },
    /// A string that had escapes, in [`Tape::decoded`].
    Decoded {
        start: u32,
        length: u32,
    },
    Array {
        length: u32,
        end: u32,
    },
    Object {
        length: u32,
        end: u32,
        /// Where its names start in [`Tape::sorted`], or [`UNSORTED`].
        sorted: u32,
    },
}

/// A parsed body without the body itself; kept between bodies for its buffers.
#[derive(Debug, Default)]
pub struct Tape {
    pub entries: Vec<Entry>,
    pub decoded: String,
    /// Entry numbers of the names of large objects, each object's in order of the names' bytes.
    pub sorted: Vec<u32>,
    /// Names of the objects that are open.
    names: Vec<Name>,
}

#[derive(Debug, Clone, Copy)]
struct Name {
    entry: u32,
    /// Differs between most names that differ: length and three of the bytes.
    mark: u32,
}

/// A parsed body.
#[derive(Debug, Clone, Copy)]
pub struct Parsed<'a> {
    pub body: &'a str,
    pub tape: &'a Tape,
}

impl<'a> Parsed<'a> {
    /// The string at an entry, None for other values.
    pub fn string(&self, entry: u32) -> Option<&'a str> {
        match self.tape.entries[entry as usize] {
            Entry::Text { start, length } => Some(&self.body[start as usize..(start + length) as usize]),
            Entry::Decoded { start, length } => Some(&self.tape.decoded[start as usize..(start + length) as usize]),
            _ => None,
        }
    }

    /// The entry behind this value.
    pub fn after(&self, entry: u32) -> u32 {
        match self.tape.entries[entry as usize] {
            Entry::Array { end, .. } | Entry::Object { end, .. } => end,
            _ => entry + 1,
        }
    }

    /// The entry that a JSON Pointer names.
    pub fn find(&self, pointer: &str) -> Option<u32> {
        let mut at = 0;
        for token in pointer.split('/').skip(1) {
            at = match self.tape.entries[at as usize] {
                Entry::Object { .. } => self.member(at, &unescape(token))?,
                Entry::Array { length, .. } => {
                    let index = token.parse::<u32>().ok().filter(|index| *index < length)?;
                    (0..index).fold(at + 1, |at, _| self.after(at))
                }
                _ => return None,
            };
        }
        Some(at)
    }

    /// The value of the member with that name, of the object at `entry`.
    pub fn member(&self, entry: u32, name: &str) -> Option<u32> {
        let Entry::Object { length, sorted, .. } = self.tape.entries[entry as usize] else { return None };
        if sorted == UNSORTED {
            let mut at = entry + 1;
            for _ in 0..length {
                if self.string(at) == Some(name) {
                    return Some(at + 1);
                }
                at = self.after(at + 1);
            }
            return None;
        }
        let names = &self.tape.sorted[sorted as usize..(sorted + length) as usize];
        let found = names.binary_search_by(|&at| self.string(at).unwrap_or_default().cmp(name)).ok()?;
        Some(names[found] + 1)
    }
}

/// A word of eight times the same byte.
const fn splat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The top bit of each byte below 0x20 (the first of them for certain).
const fn below_space(word: u64) -> u64 {
    word.wrapping_sub(splat(0x20)) & !word & splat(0x80)
}

/// The top bit of each byte that is `byte` (the first of them for certain).
const fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ splat(byte);
    difference.wrapping_sub(splat(1)) & !difference & splat(0x80)
}

/// Why a body is not JSON with one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("invalid UTF-8")]
    Utf8,
    #[error("invalid JSON")]
    Syntax,
    #[error("the body ends inside a value")]
    Truncated,
    #[error("text behind the end of the value")]
    Trailing,
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    #[error("a member name appears twice in one object")]
    Duplicate,
    #[error("half of a surrogate pair in a string")]
    Surrogate,
    #[error("a number out of range")]
    Number,
    #[error("a number with more digits than readers agree on")]
    Precision,
    #[error("too large to be checked")]
    Size,
}

/// What was found, and the byte where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub fault: Fault,
    pub offset: usize,
}

/// Parses `body` on this thread's tape and hands the outcome to `then`.
pub fn with_tape<T>(body: &[u8], then: impl FnOnce(Result<Parsed<'_>, Refusal>) -> T) -> T {
    thread_local! {
        static TAPE: RefCell<Tape> = RefCell::default();
    }
    let work = |tape: &mut Tape| match tape.parse(body) {
        Ok(body) => then(Ok(Parsed { body, tape })),
        Err(refusal) => then(Err(refusal)),
    };
    kept::lend(&TAPE, work, |tape| {
        tape.entries.capacity() <= MAX_KEPT_ENTRIES && tape.decoded.capacity() <= MAX_KEPT_TEXT
    })
}

impl Tape {
    /// Fills the tape from `body` and gives it back as text.
    ///
    /// # Errors
    /// The first thing that makes it anything but JSON with one meaning.
    pub fn parse<'a>(&mut self, body: &'a [u8]) -> Result<&'a str, Refusal> {
        self.clear();
        // Offsets are kept in 32 bits.
        if body.len() >= u32::MAX as usize / 2 {
            return Err(Refusal { fault: Fault::Size, offset: 0 });
        }
        let text =
            std::str::from_utf8(body).map_err(|error| Refusal { fault: Fault::Utf8, offset: error.valid_up_to() })?;
        let mut reader = Reader { text, bytes: body, at: 0, tape: self };
        let outcome = reader.document();
        let offset = reader.at.min(body.len());
        outcome.map_err(|fault| Refusal { fault, offset })?;
        Ok(text)
    }
}

impl Tape {
    /// Empties the tape; its buffers stay.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.decoded.clear();
        self.sorted.clear();
        self.names.clear();
    }

    /// What was parsed, on a tape without room for more: to be kept.
    pub fn fitting(&self) -> Tape {
        Tape {
            entries: self.entries.clone(),
            decoded: self.decoded.clone(),
            sorted: self.sorted.clone(),
            names: Vec::new(),
        }
    }

    /// Appends `text` from `start` on if all of it is a number.
    pub fn number(&mut self, text: &str, start: usize) -> bool {
        let before = self.entries.len();
        let mut reader = Reader { text, bytes: text.as_bytes(), at: start, tape: self };
        let whole = start < text.len() && reader.number().is_ok() && reader.at == text.len();
        if !whole {
            self.entries.truncate(before);
        }
        whole
    }

    /// Indexes the object at `entry`, the last on the tape; false when a name stands in it twice.
    pub fn index(&mut self, text: &str, entry: u32) -> bool {
        let Entry::Object { length, end, .. } = self.entries[entry as usize] else { return false };
        let parsed = Parsed { body: text, tape: self };
        let mut at = entry + 1;
        let mut names: Vec<u32> = Vec::with_capacity(length as usize);
        for _ in 0..length {
            names.push(at);
            at = parsed.after(at + 1);
        }
        names.sort_unstable_by_key(|&name| parsed.string(name));
        let unique = names.windows(2).all(|pair| parsed.string(pair[0]) != parsed.string(pair[1]));
        if names.len() > MAX_SCANNED_MEMBERS {
            self.entries[entry as usize] = Entry::Object { length, end, sorted: self.sorted.len() as u32 };
            self.sorted.extend_from_slice(&names);
        }
        unique
    }
}

struct Reader<'a, 'tape> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    tape: &'tape mut Tape,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<(), Fault> {
        self.space();
        self.value(0)?;
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Fault::Trailing) }
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Fault> {
        self.bytes.get(self.at).copied().ok_or(Fault::Truncated)
    }

    fn value(&mut self, depth: u32) -> Result<(), Fault> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Entry::Boolean(true)),
            b'f' => self.word(b"false", Entry::Boolean(false)),
            b'n' => self.word(b"null", Entry::Null),
            _ => Err(Fault::Syntax),
        }
    }

    fn word(&mut self, word: &[u8], entry: Entry) -> Result<(), Fault> {
        let rest = &self.bytes[self.at..];
        if !rest.starts_with(word) {
            return Err(if word.starts_with(rest) { Fault::Truncated } else { Fault::Syntax });
        }
        self.at += word.len();
        self.tape.entries.push(entry);
        Ok(())
    }

    fn array(&mut self, depth: u32) -> Result<(), Fault> {
        let entry = self.open(depth)?;
        let mut length = 0;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.space();
                self.value(depth + 1)?;
                length += 1;
                if self.next(b']')? {
                    break;
                }
            }
        }
        self.tape.entries[entry] = Entry::Array { length, end: self.tape.entries.len() as u32 };
        Ok(())
    }

    fn object(&mut self, depth: u32) -> Result<(), Fault> {
        let entry = self.open(depth)?;
        let first = self.tape.names.len();
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                self.space();
                if self.peek()? != b'"' {
                    return Err(Fault::Syntax);
                }
                let start = self.at + 1;
                let name = self.tape.entries.len() as u32;
                self.string()?;
                self.tape.names.push(Name { entry: name, mark: self.mark(start, name) });
                self.space();
                if self.peek()? != b':' {
                    return Err(Fault::Syntax);
                }
                self.at += 1;
                self.space();
                self.value(depth + 1)?;
                if self.next(b'}')? {
                    break;
                }
            }
        }
        let length = (self.tape.names.len() - first) as u32;
        let sorted = self.index(first)?;
        self.tape.names.truncate(first);
        self.tape.entries[entry] = Entry::Object { length, end: self.tape.entries.len() as u32, sorted };
        Ok(())
    }

    /// Steps into a container; its entry is written when it closes.
    fn open(&mut self, depth: u32) -> Result<usize, Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault::Depth);
        }
        self.at += 1;
        self.tape.entries.push(Entry::Null);
        Ok(self.tape.entries.len() - 1)
    }

    /// Behind a value: true at the container's end, false at a comma.
    fn next(&mut self, close: u8) -> Result<bool, Fault> {
        self.space();
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        Ok(byte == close)
    }

    fn mark(&self, start: usize, name: u32) -> u32 {
        let (bytes, length) = match self.tape.entries[name as usize] {
            Entry::Text { length, .. } => (&self.bytes[start..start + length as usize], length),
            Entry::Decoded { start, length } => {
                (&self.tape.decoded.as_bytes()[start as usize..(start + length) as usize], length)
            }
            _ => return 0,
        };
        match bytes {
            [] => 0,
            [first, .., last] => {
                let middle = bytes[bytes.len() / 2];
                length & 0xff | u32::from(*first) << 8 | u32::from(middle) << 16 | u32::from(*last) << 24
            }
            [only] => 1 | u32::from(*only) << 8,
        }
    }

    /// Refuses duplicate names of the object that closes, and sorts the names of a large one.
    fn index(&mut self, first: usize) -> Result<u32, Fault> {
        let tape = &mut *self.tape;
        let names = &tape.names[first..];
        if names.len() <= MAX_SCANNED_MEMBERS {
            let parsed = Parsed { body: self.text, tape };
            for (position, name) in names.iter().enumerate() {
                for other in &names[..position] {
                    if name.mark == other.mark && parsed.string(name.entry) == parsed.string(other.entry) {
                        return Err(Fault::Duplicate);
                    }
                }
            }
            return Ok(UNSORTED);
        }
        let mut order: Vec<u32> = names.iter().map(|name| name.entry).collect();
        let parsed = Parsed { body: self.text, tape };
        order.sort_unstable_by_key(|&entry| parsed.string(entry));
        if order.windows(2).any(|pair| parsed.string(pair[0]) == parsed.string(pair[1])) {
            return Err(Fault::Duplicate);
        }
        let start = tape.sorted.len() as u32;
        tape.sorted.extend_from_slice(&order);
        Ok(start)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return Err(Fault::Syntax),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.bytes.get(self.at), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let length = self.at - start;
        // 10^308 has 309 digits: shorter numbers without an exponent fit a double for certain.
        if length > MAX_NUMBER_BYTES || ((exponent || length > 308) && !self.finite(start)) {
            self.at = start;
            return Err(Fault::Number);
        }
        // Shorter ones have at most 17 digits and a point, or fit 64 bits.
        if length > MAX_SIGNIFICANT_DIGITS + 1 && !self.exact(start) {
            self.at = start;
            return Err(Fault::Precision);
        }
        self.tape.entries.push(Entry::Number { start: start as u32, length: length as u32 });
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.peek()?.is_ascii_digit() {
            return Err(Fault::Syntax);
        }
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn finite(&self, start: usize) -> bool {
        self.text[start..self.at].parse::<f64>().is_ok_and(f64::is_finite)
    }

    /// Whether 64-bit integers hold the integer, or doubles all digits of another number. A plain integer beyond 2^53
    /// passes: identifiers of 64 bits are common, and who reads them with doubles loses digits with or without us.
    fn exact(&self, start: usize) -> bool {
        let text = &self.text[start..self.at];
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        if mantissa.len() == text.len() && !text.contains('.') {
            return text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok();
        }
        let digits = || mantissa.bytes().filter(u8::is_ascii_digit);
        let leading = digits().take_while(|&digit| digit == b'0').count();
        let trailing = digits().rev().take_while(|&digit| digit == b'0').count();
        digits().count().saturating_sub(leading + trailing) <= MAX_SIGNIFICANT_DIGITS
    }

    /// From the opening quote to behind the closing one.
    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at + 1;
        self.at = start;
        match self.plain()? {
            b'"' => {
                let length = (self.at - start) as u32;
                self.at += 1;
                self.tape.entries.push(Entry::Text { start: start as u32, length });
                Ok(())
            }
            _ => self.escaped(start),
        }
    }

    /// Skips to the next quote or backslash.
    fn plain(&mut self) -> Result<u8, Fault> {
        let rest = &self.bytes[self.at..];
        let mut at = 0;
        // Eight bytes at a time. A borrow can only make bytes behind the first match look like one.
        while let Some(word) = rest.get(at..at + 8).and_then(|chunk| chunk.try_into().ok()).map(u64::from_le_bytes) {
            let matches = below_space(word) | equal(word, b'"') | equal(word, b'\\');
            if matches != 0 {
                at += matches.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        let Some(length) = rest[at..].iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) else {
            self.at = self.bytes.len();
            return Err(Fault::Truncated);
        };
        self.at += at + length;
        let byte = self.bytes[self.at];
        if byte < 0x20 { Err(Fault::Syntax) } else { Ok(byte) }
    }

    /// The rest of a string that holds escapes; `start` is its first byte, `at` its first backslash.
    fn escaped(&mut self, start: usize) -> Result<(), Fault> {
        let decoded = self.tape.decoded.len();
        let mut from = start;
        loop {
            self.tape.decoded.push_str(&self.text[from..self.at]);
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                break;
            }
            self.at += 1;
            let character = self.escape()?;
            self.tape.decoded.push(character);
            from = self.at;
            self.plain()?;
        }
        let length = (self.tape.decoded.len() - decoded) as u32;
        self.tape.entries.push(Entry::Decoded { start: decoded as u32, length });
        Ok(())
    }

    /// One escape, `at` behind its backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                let code = match unit {
                    0xd800..=0xdbff => {
                        if !self.bytes[self.at..].starts_with(b"\\u") {
                            return Err(Fault::Surrogate);
                        }
                        self.at += 2;
                        let low = self.unit()?;
                        if !(0xdc00..=0xdfff).contains(&low) {
                            return Err(Fault::Surrogate);
                        }
                        0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    unit => unit,
                };
                // What is left is a lone low surrogate.
                char::from_u32(code).ok_or(Fault::Surrogate)?
            }
            _ => return Err(Fault::Syntax),
        })
    }

    fn unit(&mut self) -> Result<u32, Fault> {
        let Some(digits) = self.bytes.get(self.at..self.at + 4) else { return Err(Fault::Truncated) };
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |sum, &digit| (digit as char).to_digit(16).map(|digit| sum << 4 | digit).ok_or(Fault::Syntax))
    }
}
