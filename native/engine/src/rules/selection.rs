//! Which of several expressions a request can match at all, with the index that the rules have.

use super::Scratch;
use super::index::Index;
use super::language::Test;
use super::request::Request;

/// Fewest expressions that an index pays for: with fewer, evaluating them all is as cheap as looking them up.
const MIN_INDEXED: usize = 8;

/// Numbers of whatever has these expressions, ascending.
#[derive(Debug, Default)]
pub struct Selection {
    numbers: Box<[u32]>,
    index: Option<Index>,
}

impl Selection {
    #[must_use]
    pub fn new<'t>(tests: impl Iterator<Item = (u32, &'t Test)>) -> Selection {
        let (numbers, tests): (Vec<u32>, Vec<&Test>) = tests.unzip();
        let index = (numbers.len() >= MIN_INDEXED).then(|| Index::build(tests.into_iter().map(|test| &test.condition)));
        Selection { numbers: numbers.into(), index }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Adds the numbers of those that the request may match: their expressions are still to be evaluated. The request's
    /// address is canonical, `scratch` was begun for it.
    pub fn candidates(&self, request: &Request<'_>, scratch: &mut Scratch, candidates: &mut Vec<u32>) {
        let Some(index) = &self.index else {
            candidates.extend_from_slice(&self.numbers);
            return;
        };
        let Scratch { buffers, cursors } = scratch;
        index.gather(request, buffers, cursors);
        while let Some(position) = index.next(cursors) {
            candidates.push(self.numbers[position as usize]);
        }
    }
}
