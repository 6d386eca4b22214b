//! How much a GraphQL document asks for: its depth and its fields, with fragments followed.
//!
//! Names have their values in a schema that nobody here knows, so fields are counted as they are written, aliases each
//! by itself. A document that is larger than what is looked at, nested deeper, or whose fragments contain themselves,
//! asks for [`Size::BEYOND`]: no limit that counts by it has so much to give.

use std::collections::HashMap;

use apollo_parser::Parser;
use apollo_parser::cst::{CstNode, Definition, Selection, SelectionSet};

/// Most tokens: thirty times those of GraphiQL's introspection query, which has some 300.
const MAX_TOKENS: usize = 10_000;
/// Deepest nesting. The parser and this recurse once a level; introspection has 13.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Fields within fields.
    pub depth: i64,
    pub fields: i64,
}

impl Size {
    const NOTHING: Size = Size { depth: 0, fields: 0 };
    pub const BEYOND: Size = Size { depth: 1_000_000_000, fields: 1_000_000_000 };

    /// Asked for together.
    pub fn beside(self, other: Option<Size>) -> Size {
        let other = other.unwrap_or(Size::NOTHING);
        let fields = self.fields.saturating_add(other.fields).min(Size::BEYOND.fields);
        Size { depth: self.depth.max(other.depth), fields }
    }

    /// In a field of its own.
    fn within(self) -> Size {
        let one = |number: i64| (number + 1).min(Size::BEYOND.depth);
        Size { depth: one(self.depth), fields: one(self.fields) }
    }
}

/// Of several operations in one document, one is executed: the largest counts.
pub(super) fn size(document: &str) -> Size {
    let tree = Parser::new(document).recursion_limit(MAX_DEPTH).token_limit(MAX_TOKENS).parse();
    if tree.errors().any(apollo_parser::Error::is_limit) {
        return Size::BEYOND;
    }
    let mut fragments = HashMap::new();
    let mut operations = Vec::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => operations.extend(operation.selection_set()),
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().map(|name| name.syntax().text().to_string());
                if let Some((name, set)) = name.zip(fragment.selection_set()) {
                    fragments.insert(name.trim().to_owned(), Fragment { set, size: None, entered: false });
                }
            }
            _ => {}
        }
    }
    let mut walk = Walk { fragments };
    let sizes = operations.iter().map(|set| walk.set(set, 0));
    let largest = |a: Size, b: Size| Size { depth: a.depth.max(b.depth), fields: a.fields.max(b.fields) };
    sizes.fold(Size::NOTHING, largest)
}

struct Fragment {
    set: SelectionSet,
    size: Option<Size>,
    /// Its own size is being found: whoever asks for it now is inside of it.
    entered: bool,
}

struct Walk {
    fragments: HashMap<String, Fragment>,
}

impl Walk {
    fn set(&mut self, set: &SelectionSet, depth: usize) -> Size {
        // A fragment may stand as deep as another ends.
        if depth > MAX_DEPTH {
            return Size::BEYOND;
        }
        let mut sum = Size::NOTHING;
        for selection in set.selections() {
            let size = match selection {
                Selection::Field(field) => {
                    field.selection_set().map_or(Size::NOTHING, |set| self.set(&set, depth + 1)).within()
                }
                Selection::InlineFragment(inline) => {
                    inline.selection_set().map_or(Size::NOTHING, |set| self.set(&set, depth + 1))
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name().map(|name| name.syntax().text().to_string());
                    self.fragment(name.as_deref().unwrap_or_default().trim(), depth)
                }
            };
            sum = size.beside(Some(sum));
        }
        sum
    }

    /// Each is walked once, however often it is spread.
    fn fragment(&mut self, name: &str, depth: usize) -> Size {
        let Some(fragment) = self.fragments.get_mut(name) else { return Size::NOTHING };
        if let Some(size) = fragment.size {
            return size;
        }
        if std::mem::replace(&mut fragment.entered, true) {
            return Size::BEYOND;
        }
        let set = fragment.set.clone();
        let size = self.set(&set, depth + 1);
        if let Some(fragment) = self.fragments.get_mut(name) {
            fragment.size = Some(size);
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(document: &str) -> (i64, i64) {
        let Size { depth, fields } = size(document);
        (depth, fields)
    }

    #[test]
    fn depth_and_fields() {
        assert_eq!(of(""), (0, 0));
        assert_eq!(of("{ a }"), (1, 1));
        assert_eq!(of("query Q($n: Int) { a(first: $n) { b c { d } } x: a { b } }"), (3, 6));
        assert_eq!(of("{ a { ... on T { b } ...F } } fragment F on T { c { d } }"), (3, 4));
        assert_eq!(of("query A { a } query B { a { b c } }"), (2, 3));
        assert_eq!(of("{ ...Nowhere a }"), (1, 1));
    }

    #[test]
    fn what_contains_itself_is_beyond() {
        let beyond = (Size::BEYOND.depth, Size::BEYOND.fields);
        assert_eq!(of("{ ...F } fragment F on T { a { ...F } }"), beyond);
        assert_eq!(of("{ ...F } fragment F on T { ...G } fragment G on T { ...F }"), beyond);
    }

    #[test]
    fn fragments_multiply_without_being_walked_again() {
        // 2^40 fields, in 40 fragments.
        let mut document = "{ ...F0 } fragment F40 on T { a }".to_owned();
        for n in 0..40 {
            document.push_str(&format!(" fragment F{n} on T {{ ...F{} ...F{} }}", n + 1, n + 1));
        }
        assert_eq!(of(&document), (1, Size::BEYOND.fields));
    }

    #[test]
    fn large_and_deep_documents_are_beyond() {
        let deep = format!("{}{}", "{ a ".repeat(1000), "}".repeat(1000));
        let long = format!("{{ {} }}", "a ".repeat(MAX_TOKENS));
        let chain: String = (0..200).map(|n| format!("fragment F{n} on T {{ a {{ ...F{} }} }} ", n + 1)).collect();
        for document in [deep, long, format!("{{ ...F0 }} {chain}")] {
            assert_eq!(size(&document), Size::BEYOND);
        }
    }
}
