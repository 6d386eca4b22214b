//! Media types (RFC 9110, 8.3.1): the request's Content-Type against what an operation accepts.

/// A Content-Type field, its parameters checked for form, all but `charset` ignored.
#[derive(Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype`, lower-case.
    essence: String,
    /// Whether a charset other than UTF-8 is named, or the parameters cannot be read.
    pub foreign: bool,
}

/// How precisely an accepted media type names another: the most specific entry decides (OpenAPI, Request Body).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// `*/*`
    Any,
    /// `application/*`
    Type,
    /// `application/*+json`
    Suffix,
    Exact,
}

impl MediaType {
    /// Reads one Content-Type value; None when it is not a single media type.
    #[must_use]
    pub fn parse(value: &str) -> Option<MediaType> {
        let (essence, parameters) = match value.find(';') {
            Some(at) => (&value[..at], &value[at + 1..]),
            None => (value, ""),
        };
        let essence = essence.trim_matches([' ', '\t']);
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        Some(MediaType { essence: essence.to_ascii_lowercase(), foreign: !only_utf8(parameters) })
    }

    /// `application/json`, `text/json` and everything that ends in `+json` (RFC 6839, 3.1).
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self.essence.as_str(), "application/json" | "text/json") || self.essence.ends_with("+json")
    }

    /// How `accepted` (lower-case, without parameters; a range or a media type) names this one.
    #[must_use]
    pub fn fit(&self, accepted: &str) -> Option<Fit> {
        if self.essence == accepted {
            return Some(Fit::Exact);
        }
        if accepted == "*/*" {
            return Some(Fit::Any);
        }
        let (kind, subtype) = accepted.split_once('/')?;
        let rest = self.essence.strip_prefix(kind)?.strip_prefix('/')?;
        let suffix = subtype.strip_prefix('*')?;
        if suffix.is_empty() {
            return Some(Fit::Type);
        }
        (suffix.starts_with('+') && rest.len() > suffix.len() && rest.ends_with(suffix)).then_some(Fit::Suffix)
    }
}

/// A token (RFC 9110, 5.6.2) other than the `*` of ranges, which no Content-Type may hold.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte))
}

/// Walks `; name=value` pairs; false when one cannot be read or a charset is not UTF-8. JSON between systems is
/// UTF-8 (RFC 8259, 8.1): in another charset the origin might read other text than was checked.
fn only_utf8(parameters: &str) -> bool {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return true;
        }
        let Some((name, tail)) = rest.split_once('=') else { return false };
        if !is_token(name) {
            return false;
        }
        let value;
        if let Some(quoted) = tail.strip_prefix('"') {
            let Some(end) = quoted.find('"') else { return false };
            value = &quoted[..end];
            rest = &quoted[end + 1..];
            // An escape inside quotes has no place in any parameter that we read.
            if value.contains('\\') {
                return false;
            }
        } else {
            let end = tail.find([';', ' ', '\t']).unwrap_or(tail.len());
            value = &tail[..end];
            rest = &tail[end..];
            if !is_token(value) {
                return false;
            }
        }
        if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return false;
        }
        let next = rest.trim_start_matches([' ', '\t']);
        if !next.is_empty() && !next.starts_with(';') {
            return false;
        }
    }
}
