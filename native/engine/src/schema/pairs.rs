//! Names and values of a query, of cookies, of a form: one scan that gives each pair to whoever it is described for.
//!
//! Names are compared decoded, as origins do. Only the name decides: `a` goes to what is called `a`, `a[b]` to what
//! is called that or else to the `deepObject` called `a`, the rest to the exploded object that describes a member of
//! that name, and then to one whose `additionalProperties` invite any.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::percent;

/// Most pairs of one text. PHP, .NET and Express stop at 1,000 too, and drop or refuse the rest.
pub(super) const MAX_PAIRS: usize = 1_000;
/// Ends a chain.
const END: u32 = u32::MAX;

/// How names and values of a text are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Queries and forms: `&`, and a plus sign is a space.
    Form,
    /// `;`, spaces around it are no part of a pair (RFC 6265, 5.2).
    Cookie,
}

/// Whom names belong to.
#[derive(Debug, Default)]
pub(super) struct Owners {
    names: HashMap<Box<str>, u32, RandomState>,
    /// What has members in brackets.
    deep: HashMap<Box<str>, u32, RandomState>,
    /// Who takes every name that is left.
    rest: Option<u32>,
}

impl Owners {
    /// The first one that asks for a name gets it.
    pub(super) fn name(&mut self, name: &str, owner: u32) {
        self.names.entry(name.into()).or_insert(owner);
    }

    pub(super) fn deep(&mut self, name: &str, owner: u32) {
        self.deep.entry(name.into()).or_insert(owner);
    }

    pub(super) fn rest(&mut self, owner: u32) {
        self.rest.get_or_insert(owner);
    }

    fn of(&self, name: &str) -> Option<u32> {
        if let Some(owner) = self.names.get(name) {
            return Some(*owner);
        }
        if let Some(bracket) = name.find('[')
            && let Some(owner) = self.deep.get(&name[..bracket])
        {
            return Some(*owner);
        }
        self.rest
    }
}

/// Why a text cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooMany,
    /// A name that cannot be decoded.
    Name,
}

/// The pairs of one text; buffers are kept.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pairs: Vec<Pair>,
    /// First and last pair of each owner; the last chain is of those that have none.
    chains: Vec<(u32, u32)>,
    decoded: Vec<u8>,
}

/// Byte ranges of the text, as written.
#[derive(Debug, Clone, Copy)]
struct Pair {
    name: (u32, u32),
    value: (u32, u32),
    next: u32,
}

impl Pairs {
    pub(super) fn begin(&mut self, owners: usize) {
        self.pairs.clear();
        self.chains.clear();
        self.chains.resize(owners + 1, (END, END));
    }

    /// Adds the pairs of `part`, which is a part of `text`.
    ///
    /// # Errors
    /// Why they cannot be told apart.
    pub(super) fn scan(&mut self, text: &str, part: &str, syntax: Syntax, owners: &Owners) -> Result<(), Fault> {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        let bytes = part.as_bytes();
        let separator = if syntax == Syntax::Form { b'&' } else { b';' };
        let mut from = 0;
        while from < bytes.len() {
            let to = memchr::memchr(separator, &bytes[from..]).map_or(bytes.len(), |at| from + at);
            let (mut first, mut last) = (from, to);
            if syntax == Syntax::Cookie {
                while first < last && matches!(bytes[first], b' ' | b'\t') {
                    first += 1;
                }
                while last > first && matches!(bytes[last - 1], b' ' | b'\t') {
                    last -= 1;
                }
            }
            from = to + 1;
            if first == last {
                continue;
            }
            if self.pairs.len() == MAX_PAIRS {
                return Err(Fault::TooMany);
            }
            let equals = memchr::memchr(b'=', &bytes[first..last]).map_or(last, |at| first + at);
            let span = |from: usize, to: usize| ((start + from) as u32, (start + to) as u32);
            // Cookie names are tokens: nobody decodes them.
            let owner = match syntax {
                Syntax::Cookie => owners.of(&part[first..equals]),
                Syntax::Form => {
                    let name = percent::decode(&part[first..equals], true, &mut self.decoded);
                    owners.of(name.map_err(|_| Fault::Name)?)
                }
            };
            self.push(owner, Pair { name: span(first, equals), value: span((equals + 1).min(last), last), next: END });
        }
        Ok(())
    }

    fn push(&mut self, owner: Option<u32>, pair: Pair) {
        let index = self.pairs.len() as u32;
        self.pairs.push(pair);
        let nobody = self.chains.len() - 1;
        let chain = &mut self.chains[owner.map_or(nobody, |owner| owner as usize)];
        if chain.0 == END {
            chain.0 = index;
        } else {
            self.pairs[chain.1 as usize].next = index;
        }
        chain.1 = index;
    }

    /// Names and values of one owner, as written, in order.
    pub(super) fn of<'a>(&'a self, owner: usize, text: &'a str) -> Chain<'a> {
        Chain { pairs: &self.pairs, next: self.chains[owner].0, text }
    }

    /// Those that nobody asked for.
    pub(super) fn unowned<'a>(&'a self, text: &'a str) -> Chain<'a> {
        self.of(self.chains.len() - 1, text)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Chain<'a> {
    pairs: &'a [Pair],
    next: u32,
    text: &'a str,
}

impl<'a> Iterator for Chain<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let pair = self.pairs.get(self.next as usize)?;
        self.next = pair.next;
        let text = |(from, to): (u32, u32)| &self.text[from as usize..to as usize];
        Some((text(pair.name), text(pair.value)))
    }
}
