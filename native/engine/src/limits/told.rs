//! What a client is told: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers), structured fields
//! (RFC 9651).

use std::fmt::Write as _;

/// Largest number of a structured field (RFC 9651, 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;
/// Most policies of one answer: 1.6 KB with the longest names.
const MOST_POLICIES: usize = 16;

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub remaining: u64,
    /// Until all of it can be spent again; of what was refused, until it is not.
    pub reset_us: u64,
}

/// An item of `RateLimit-Policy`.
pub fn policy(name: &str, amount: u64, period_ms: u64) -> Box<str> {
    let (amount, window) = (amount.min(MAX_INTEGER), period_ms.div_ceil(1000));
    format!("{};q={amount};w={window}", string(name)).into()
}

/// Both lines, each preceded by CR LF: of the policies that were looked at, and of the one with least left. `name` is an
/// item of `RateLimit-Policy`.
pub fn fields<'a>(policies: impl Iterator<Item = (&'a str, Left)> + Clone, out: &mut String) {
    out.clear();
    // Of those with as little left, the one that takes longest.
    let Some((scarcest, left)) =
        policies.clone().min_by_key(|(_, left)| (left.remaining, std::cmp::Reverse(left.reset_us)))
    else {
        return;
    };
    out.push_str("\r\nRateLimit-Policy: ");
    for (n, (policy, _)) in policies.take(MOST_POLICIES).enumerate() {
        out.push_str(if n == 0 { "" } else { ", " });
        out.push_str(policy);
    }
    // The name ends with the quote that stands before the first parameter: none stands in a name.
    let name = scarcest.find("\";").map_or(scarcest, |end| &scarcest[..=end]);
    let (remaining, reset) = (left.remaining.min(MAX_INTEGER), left.reset_us.div_ceil(1_000_000));
    let _ = write!(out, "\r\nRateLimit: {name};r={remaining};t={reset}");
}

/// A string (RFC 9651, 3.3.3): printable ASCII; what is not, and quotes, are `_`.
fn string(text: &str) -> String {
    let safe = |c: char| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '_' };
    format!("\"{}\"", text.chars().map(safe).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_is_told_and_all_policies() {
        let (a, b) = (policy("a", 100, 60_000), policy("b\"\\\u{e4}", u64::MAX, 1_500));
        assert_eq!((&*a, &*b), ("\"a\";q=100;w=60", "\"b___\";q=999999999999999;w=2"));
        let left = |remaining, reset_us| Left { remaining, reset_us };
        let mut out = String::new();
        fields([(&*a, left(3, 1)), (&*b, left(2, 1_000_001))].into_iter(), &mut out);
        let both = "\r\nRateLimit-Policy: \"a\";q=100;w=60, \"b___\";q=999999999999999;w=2";
        assert_eq!(out, format!("{both}\r\nRateLimit: \"b___\";r=2;t=2"));
        fields([(&*a, left(0, 9_000_000)), (&*b, left(0, 8_000_000))].into_iter(), &mut out);
        assert_eq!(out, format!("{both}\r\nRateLimit: \"a\";r=0;t=9"));
        fields(std::iter::empty(), &mut out);
        assert_eq!(out, "");
    }
}
