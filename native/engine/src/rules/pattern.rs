//! Regular expressions: linear time whatever the client sends, bounded memory whatever the operator writes.

use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::syntax;

use super::syntax::{Fault, Span};

/// Most bytes of one compiled expression. Without Unicode classes (off unless `(?u)`) ordinary ones take a few KiB.
pub(super) const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// Most bytes of all of them together: 10,000 rules with a pattern of 6 KiB each.
pub(super) const MAX_PATTERNS_BYTES: usize = 64 * 1024 * 1024;
/// Deepest nesting inside a pattern; the crate's parser recurses.
const MAX_PATTERN_NESTING: u32 = 50;
/// The lazy DFA's cache, per thread and pattern: what keeps common patterns from falling back to the slower NFA.
const CACHE_BYTES: usize = 256 * 1024;

/// Compiles patterns and counts what they take.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    bytes: usize,
}

impl Patterns {
    /// As Cloudflare does, on bytes and without Unicode unless the pattern says `(?u)`.
    pub fn compile(&mut self, pattern: &str, span: &Span) -> Result<Regex, Fault> {
        let config = Regex::config()
            .utf8_empty(false)
            .nfa_size_limit(Some(MAX_PATTERN_BYTES))
            .onepass_size_limit(Some(MAX_PATTERN_BYTES))
            .hybrid_cache_capacity(CACHE_BYTES);
        let syntax = syntax::Config::new().unicode(false).utf8(false).nest_limit(MAX_PATTERN_NESTING);
        let regex =
            Regex::builder().configure(config).syntax(syntax).build(pattern).map_err(|error| fault(&error, span))?;
        self.bytes += regex.memory_usage();
        if self.bytes > MAX_PATTERNS_BYTES {
            let message = format!("the regular expressions of all rules take more than {MAX_PATTERNS_BYTES} bytes");
            return Err(Fault::new(span.clone(), message).hint("prefer `wildcard`, `contains` or a list"));
        }
        Ok(regex)
    }
}

fn fault(error: &BuildError, span: &Span) -> Fault {
    if error.size_limit().is_some() {
        let message = format!("the regular expression takes more than {MAX_PATTERN_BYTES} bytes when compiled");
        return Fault::new(span.clone(), message).hint("lower its repetition counts, or leave out `(?u)`");
    }
    // The crate draws the place over several lines; its last says what is wrong.
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Fault::new(span.clone(), format!("the regular expression is not valid: {reason}"))
        .hint("Rust's syntax, without look-around and backreferences; raw strings r\"..\" save escapes")
}
