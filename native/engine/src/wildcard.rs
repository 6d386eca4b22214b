//! `wildcard` patterns: `*` stands for any bytes, the rest for itself, and the whole value must match.

use memchr::memmem::{Finder, FinderBuilder};

/// Compiled to its literal parts, so that matching is one forward search per part: linear, whatever the pattern.
#[derive(Debug)]
pub(crate) struct Wildcard {
    prefix: Box<[u8]>,
    /// None: the pattern has no star.
    rest: Option<Rest>,
}

/// What follows the first star.
#[derive(Debug)]
struct Rest {
    /// Parts between two stars, in order.
    middle: Box<[Finder<'static>]>,
    suffix: Box<[u8]>,
}

impl Wildcard {
    /// `\*` and `\\` are literal.
    ///
    /// # Errors
    /// A sentence about what is wrong with the pattern, and what would do.
    pub fn new(pattern: &[u8]) -> Result<Wildcard, (&'static str, &'static str)> {
        let mut parts = vec![Vec::new()];
        let mut bytes = pattern.iter().copied();
        let mut previous_star = false;
        while let Some(byte) = bytes.next() {
            let star = byte == b'*';
            if star && previous_star {
                return Err(("a wildcard pattern has two `*` in a row", "one `*` stands for any number of characters"));
            }
            previous_star = star;
            let part = parts.last_mut().expect("starts with one part");
            match byte {
                b'*' => parts.push(Vec::new()),
                b'\\' => match bytes.next() {
                    Some(escaped @ (b'*' | b'\\')) => part.push(escaped),
                    _ => {
                        return Err((
                            "a wildcard pattern has a backslash that escapes nothing",
                            "write `\\*` or `\\\\`, best in a raw string: r\"\\*\"",
                        ));
                    }
                },
                _ => part.push(byte),
            }
        }
        let last = parts.pop().expect("has one part");
        if parts.is_empty() {
            return Ok(Wildcard { prefix: last.into_boxed_slice(), rest: None });
        }
        let finder = |part: &Vec<u8>| FinderBuilder::new().build_forward(part).into_owned();
        let middle = parts[1..].iter().map(finder).collect();
        let rest = Some(Rest { middle, suffix: last.into_boxed_slice() });
        Ok(Wildcard { prefix: parts.swap_remove(0).into_boxed_slice(), rest })
    }

    /// From bytes that stand for themselves, and None for each star; several in a row are one.
    pub fn of(parts: impl IntoIterator<Item = Option<u8>>) -> Wildcard {
        let (mut pattern, mut previous_star) = (Vec::new(), false);
        for part in parts {
            match part {
                None if previous_star => {}
                None => pattern.push(b'*'),
                Some(byte @ (b'*' | b'\\')) => pattern.extend([b'\\', byte]),
                Some(byte) => pattern.push(byte),
            }
            previous_star = part.is_none();
        }
        Wildcard::new(&pattern).expect("what was just escaped can be read")
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        let Some(Rest { middle, suffix }) = &self.rest else { return *text == *self.prefix };
        let Some(mut text) = text.strip_prefix(&*self.prefix).and_then(|text| text.strip_suffix(&**suffix)) else {
            return false;
        };
        middle.iter().all(|part| match part.find(text) {
            Some(at) => {
                text = &text[at + part.needle().len()..];
                true
            }
            None => false,
        })
    }

    /// Whether the text starts and ends as the lower-case pattern says, in any case.
    pub fn frames(&self, text: &[u8]) -> bool {
        let suffix: &[u8] = self.rest.as_ref().map_or(b"", |rest| &rest.suffix);
        let start = text.get(..self.prefix.len());
        let end = text.len().checked_sub(suffix.len()).map(|at| &text[at..]);
        start.is_some_and(|start| start.eq_ignore_ascii_case(&self.prefix))
            && end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    }

    /// What a match starts with, and whether that is all of it.
    pub fn prefix(&self) -> (&[u8], bool) {
        (&self.prefix, self.rest.is_none())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Wildcard;

    /// What a pattern means, whatever it costs.
    fn fits(pattern: &[Option<u8>], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [None, rest @ ..] => (0..=text.len()).any(|skipped| fits(rest, &text[skipped..])),
            [Some(byte), rest @ ..] => text.first() == Some(byte) && fits(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn parts_of_any_kind_match_what_they_mean(
            pattern in proptest::collection::vec(proptest::option::of(prop_oneof![Just(b'*'), Just(b'\\'), Just(b'a')]), 0..7),
            text in proptest::collection::vec(prop_oneof![Just(b'*'), Just(b'\\'), Just(b'a')], 0..7),
        ) {
            prop_assert_eq!(Wildcard::of(pattern.iter().copied()).matches(&text), fits(&pattern, &text));
        }
    }
}
