//! "Did you mean": the nearest of the words that would do.

/// Words that may follow a value.
pub(super) const OPERATORS: &[&str] =
    &["eq", "ne", "lt", "le", "gt", "ge", "contains", "matches", "wildcard", "strict", "in", "and", "or", "xor", "not"];

/// Longer words are not compared: the longest field has 45 characters.
const MAX_WORD_BYTES: usize = 64;

/// The candidate with the fewest edits, if these are at most a third of the word.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    candidates
        .iter()
        .map(|candidate| (edits(word.as_bytes(), candidate.as_bytes()), *candidate))
        .filter(|(edits, _)| *edits <= word.len() / 3)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}
