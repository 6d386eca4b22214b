//! Media types (RFC 9110, 8.3.1): a Content-Type against what a description accepts.

use std::borrow::Cow;

/// A Content-Type field. Of its parameters `charset` and `boundary` are read, the others only checked for form.
#[derive(Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// `type/subtype`, lower-case.
    essence: Cow<'a, str>,
    pub charset: Charset,
    pub boundary: Option<&'a str>,
}

/// Which text the bytes are, as the head has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, or not named: JSON between systems is UTF-8 (RFC 8259, 8.1).
    Utf8,
    Ascii,
    /// Another one, named twice, or the parameters cannot be read: the origin might read other text than was checked.
    Foreign,
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

impl<'a> MediaType<'a> {
    /// Reads one Content-Type value; None when it is not a single media type.
    #[must_use]
    pub fn parse(value: &'a str) -> Option<MediaType<'a>> {
        let (essence, parameters) = match value.find(';') {
            Some(at) => (&value[..at], &value[at + 1..]),
            None => (value, ""),
        };
        let essence = essence.trim_matches([' ', '\t']);
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let essence = match essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(essence.to_ascii_lowercase()),
            false => Cow::Borrowed(essence),
        };
        let foreign = (Charset::Foreign, None);
        let (charset, boundary) =
            if parameters.is_empty() { (Charset::Utf8, None) } else { read_parameters(parameters).unwrap_or(foreign) };
        Some(MediaType { essence, charset, boundary })
    }

    /// `type/subtype`, lower-case.
    #[must_use]
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// `application/json`, `text/json` and everything that ends in `+json` (RFC 6839, 3.1).
    #[must_use]
    pub fn is_json(&self) -> bool {
        is_json(&self.essence)
    }

    /// How `accepted` (lower-case, without parameters; a range or a media type) names this one.
    #[must_use]
    pub fn fit(&self, accepted: &str) -> Option<Fit> {
        if self.essence == accepted {
            return Some(Fit::Exact);
        }
        let (kind, subtype) = accepted.split_once('/')?;
        let (own, rest) = self.essence.split_once('/')?;
        if kind != "*" && kind != own {
            return None;
        }
        let suffix = subtype.strip_prefix('*')?;
        if suffix.is_empty() {
            return Some(if kind == "*" { Fit::Any } else { Fit::Type });
        }
        (suffix.starts_with('+') && rest.len() > suffix.len() && rest.ends_with(suffix)).then_some(Fit::Suffix)
    }
}

/// `essence` is lower-case.
pub fn is_json(essence: &str) -> bool {
    matches!(essence, "application/json" | "text/json") || essence.ends_with("+json")
}

/// A token (RFC 9110, 5.6.2) other than the `*` of ranges, which no Content-Type may hold.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte)
}

/// Charset and boundary; None when a parameter cannot be read, or one of the two is there twice.
fn read_parameters(parameters: &str) -> Option<(Charset, Option<&str>)> {
    let (mut charset, mut boundary) = (None, None);
    for parameter in Parameters(parameters) {
        let (name, value) = parameter?;
        // RFC 8187 and RFC 2231 have names with an asterisk, which some readers take for the one without.
        if name.contains('*') {
            return None;
        }
        if name.eq_ignore_ascii_case("charset") {
            if charset.replace(value).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case("boundary") && boundary.replace(value).is_some() {
            return None;
        }
    }
    let charset = match charset {
        None => Charset::Utf8,
        Some(name) if name.eq_ignore_ascii_case("utf-8") => Charset::Utf8,
        Some(name) if name.eq_ignore_ascii_case("us-ascii") => Charset::Ascii,
        Some(_) => Charset::Foreign,
    };
    Some((charset, boundary))
}

/// Walks `; name=value` pairs; None stands for one that cannot be read, and is the last.
#[derive(Debug)]
pub struct Parameters<'a>(pub &'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = Option<(&'a str, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return None;
        }
        let read = pair(rest);
        self.0 = read.map_or("", |(_, _, rest)| rest);
        Some(read.map(|(name, value, _)| (name, value)))
    }
}

/// The first `name=value`, and what follows it: nothing, or a semicolon.
fn pair(text: &str) -> Option<(&str, &str, &str)> {
    let (name, tail) = text.split_once('=')?;
    if name.is_empty() || !name.bytes().all(|byte| is_token_byte(byte) || byte == b'*') {
        return None;
    }
    let (value, rest) = if let Some(quoted) = tail.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"')?;
        // Readers differ in what they make of escapes inside quotes, and no parameter that we read needs one.
        if value.contains('\\') {
            return None;
        }
        (value, rest)
    } else {
        let (value, rest) = tail.split_at(tail.find([';', ' ', '\t']).unwrap_or(tail.len()));
        if !is_token(value) {
            return None;
        }
        (value, rest)
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    (rest.is_empty() || rest.starts_with(';')).then_some((name, value, rest))
}
