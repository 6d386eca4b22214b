//! "Did you mean": the nearest of the words that would do.

/// Words that may follow a value.
pub(super) const OPERATORS: &[&str] =
    &["eq", "ne", "lt", "le", "gt", "ge", "contains", "matches", "wildcard", "strict", "in", "and", "or", "xor", "not"];

/// Longer words are not compared: the longest field has 45 characters.
const MAX_WORD_BYTES: usize = 64;

/// The candidate with the fewest edits, if these are few for the word's length.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let most = (word.len() / 5).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (edits(word.as_bytes(), candidate.as_bytes()), *candidate))
        .filter(|(edits, candidate)| *edits <= most && *edits < candidate.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for i in 0..from.len() {
        let mut next = vec![i + 1];
        for j in 0..to.len() {
            let mut least = (row[j] + usize::from(from[i] != to[j])).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && from[i] == to[j - 1] && from[i - 1] == to[j] {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}
