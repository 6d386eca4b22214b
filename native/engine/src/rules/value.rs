//! An expression as a value: what tells the counters of a limit apart, and what a request costs.

use std::fmt::Write as _;
use std::hash::Hasher;
use std::net::IpAddr;
use std::ops::ControlFlow;

use super::Scratch;
use super::check::{Array, Element, Scope, Typed};
use super::condition::{Condition, Number, Text};
use super::place::Reads;
use super::request::{MapField, Request, Source};
use super::syntax::{Fault, Span};

/// Ends the elements of an array: longer than any of them.
const END: u32 = u32::MAX;

/// A compiled value.
#[derive(Debug)]
pub struct Value {
    of: Of,
    pub reads: Reads,
}

#[derive(Debug)]
enum Of {
    Boolean(Condition),
    Text(Text),
    Number(Number),
    /// So many bits: of IPv4, of IPv6.
    Address(u8, u8),
    Texts(Source, Text),
    Numbers(Source, Number),
    Booleans(Source, Condition),
}

impl Value {
    pub(super) fn of(scope: &Scope<'_>, typed: Typed, span: &Span) -> Result<Value, Fault> {
        let text = scope.quote(span);
        let of = match typed {
            Typed::Boolean(condition) => Of::Boolean(condition),
            Typed::Text(text) => Of::Text(text),
            Typed::Number(number) => Of::Number(number),
            Typed::Address => Of::Address(32, 128),
            Typed::Prefix(v4, v6) => Of::Address(v4, v6),
            Typed::Array(Array { source, of }) => match of {
                Element::Text(of) => Of::Texts(source, of),
                Element::Number(of) => Of::Numbers(source, of),
                Element::Boolean(of) => Of::Booleans(source, of),
            },
            other => {
                let fault = Fault::new(span.clone(), format!("`{text}` is {}, not a value", other.describe()));
                return Err(match other {
                    Typed::Map(MapField::Path) => fault.hint(format!("say which parameter: `{text}[\"name\"]`")),
                    Typed::Map(_) => fault.hint(format!("say which element: `{text}[\"name\"]`")),
                    Typed::Body => fault.hint(format!("say which value: `lookup_json_string({text}, \"name\")`")),
                    Typed::Each(_) => fault.hint(format!("all elements together: `{}`", text.trim_end_matches("[*]"))),
                    _ => fault,
                });
            }
        };
        Ok(Value { of, reads: scope.reads })
    }

    /// Whether it is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self.of, Of::Number(_))
    }

    /// The number that it is; None: missing, or no number.
    pub fn number(&self, request: &Request<'_>, scratch: &mut Scratch) -> Option<i64> {
        let Of::Number(number) = &self.of else { return None };
        number.value(request, b"", &mut scratch.buffers)
    }

    /// Feeds it to a hash, so that no two values, and no two rows of values, feed the same: whether it is there, then
    /// its bytes with their length before them. Missing is a value of its own.
    pub fn feed(&self, request: &Request<'_>, scratch: &mut Scratch, hasher: &mut impl Hasher) {
        let buffers = &mut scratch.buffers;
        match &self.of {
            Of::Address(v4, v6) => {
                let (bytes, length) = prefix(request.address.to_canonical(), *v4, *v6);
                hasher.write(&bytes[..length]);
            }
            Of::Boolean(condition) => {
                hasher.write(&[1, u8::from(condition.holds(request, b"", buffers))]);
            }
            Of::Number(number) => feed_number(number.value(request, b"", buffers), hasher),
            Of::Text(text) => {
                let mark = buffers.text.len();
                // An empty field is one that is not there: no key, no partner, no certificate.
                let is_field = matches!(text, Text::Field(_));
                let value = text.value(request, b"", buffers);
                let bytes = value.as_ref().map(|value| value.bytes(buffers));
                match bytes.filter(|bytes| !(is_field && bytes.is_empty())) {
                    Some(bytes) => feed_bytes(bytes, hasher),
                    None => missing(hasher),
                }
                buffers.text.truncate(mark);
            }
            Of::Texts(source, of) => feed_all(source, request, hasher, |element, hasher| {
                let mark = buffers.text.len();
                match of.value(request, element, buffers) {
                    Some(value) => feed_bytes(value.bytes(buffers), hasher),
                    None => hasher.write(&[0]),
                }
                buffers.text.truncate(mark);
            }),
            Of::Numbers(source, of) => feed_all(source, request, hasher, |element, hasher| {
                feed_number(of.value(request, element, buffers), hasher);
            }),
            Of::Booleans(source, of) => feed_all(source, request, hasher, |element, hasher| {
                hasher.write(&[1, u8::from(of.holds(request, element, buffers))]);
            }),
        }
    }
}

impl Value {
    /// Writes it for people: `-` where it is missing.
    pub fn show(&self, request: &Request<'_>, scratch: &mut Scratch, out: &mut String) {
        let buffers = &mut scratch.buffers;
        let mark = buffers.text.len();
        match &self.of {
            Of::Address(v4, v6) => {
                let (bytes, length) = prefix(request.address.to_canonical(), *v4, *v6);
                let whole = if length == 6 { *v4 == 32 } else { *v6 == 128 };
                let (text, bits) = match <[u8; 16]>::try_from(&bytes[2..length]) {
                    Ok(bytes) => (IpAddr::from(bytes), v6),
                    Err(_) => (IpAddr::from([bytes[2], bytes[3], bytes[4], bytes[5]]), v4),
                };
                let _ = if whole { write!(out, "{text}") } else { write!(out, "{text}/{bits}") };
            }
            Of::Boolean(condition) => {
                let _ = write!(out, "{}", condition.holds(request, b"", buffers));
            }
            Of::Number(number) => match number.value(request, b"", buffers) {
                Some(number) => {
                    let _ = write!(out, "{number}");
                }
                None => out.push('-'),
            },
            Of::Text(text) => match text.value(request, b"", buffers) {
                Some(value) => show_bytes(value.bytes(buffers), out),
                None => out.push('-'),
            },
            Of::Texts(source, _) | Of::Numbers(source, _) | Of::Booleans(source, _) => {
                let start = out.len();
                let _ = source.each(request, |element| {
                    out.push_str(if out.len() == start { "" } else { "," });
                    show_bytes(element, out);
                    ControlFlow::Continue(())
                });
                if out.len() == start {
                    out.push('-');
                }
            }
        }
        buffers.text.truncate(mark);
    }
}

fn show_bytes(bytes: &[u8], out: &mut String) {
    // Longer ones tell nobody more.
    const MOST: usize = 256;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    out.extend(shown.chars().map(|c| if c.is_control() { ' ' } else { c }));
}

fn missing(hasher: &mut impl Hasher) {
    hasher.write(&[0]);
}

fn feed_bytes(bytes: &[u8], hasher: &mut impl Hasher) {
    let mut start = [1; 5];
    // A head, and a body that is looked at, are far shorter than 4 GiB.
    start[1..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    hasher.write(&start);
    hasher.write(bytes);
}

fn feed_number(number: Option<i64>, hasher: &mut impl Hasher) {
    let Some(number) = number else { return missing(hasher) };
    let mut bytes = [1; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    hasher.write(&bytes);
}

/// No element at all is a missing value.
fn feed_all<'v, H: Hasher>(
    source: &'v Source,
    request: &Request<'v>,
    hasher: &mut H,
    mut feed: impl FnMut(&'v [u8], &mut H),
) {
    let mut some = false;
    let _ = source.each(request, |element| {
        some = true;
        feed(element, hasher);
        ControlFlow::Continue(())
    });
    if !some {
        return missing(hasher);
    }
    let mut end = [1; 5];
    end[1..].copy_from_slice(&END.to_le_bytes());
    hasher.write(&end);
}

/// Presence, length and bytes of an address of which only so many bits count: 4 and 16 bytes are never the same.
fn prefix(address: IpAddr, v4: u8, v6: u8) -> ([u8; 18], usize) {
    let mut bytes = [1; 18];
    match address {
        IpAddr::V4(address) => {
            let kept = address.to_bits() & (u32::MAX.checked_shl(32 - u32::from(v4)).unwrap_or(0));
            bytes[1] = 4;
            bytes[2..6].copy_from_slice(&kept.to_be_bytes());
            (bytes, 6)
        }
        IpAddr::V6(address) => {
            let kept = address.to_bits() & (u128::MAX.checked_shl(128 - u32::from(v6)).unwrap_or(0));
            bytes[1] = 16;
            bytes[2..].copy_from_slice(&kept.to_be_bytes());
            (bytes, 18)
        }
    }
}
