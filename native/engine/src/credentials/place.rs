//! Where a credential stands in a request, and what is found there.
//!
//! | place | how it is read |
//! |---|---|
//! | header | the whole value; with a scheme, what follows the first word, if that is the scheme (RFC 9110, 11.4) |
//! | cookie | as rules read cookies: names decoded, values as they were written |
//! | query | names decoded, because origins decode them; values as they were written: no key and no token holds a character that needs encoding, so that one that came encoded is malformed |
//! | pair | two headers; one without the other is a fault |
//! | Basic | RFC 7617, with exactly one colon |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::head::Head;
use crate::pairs::{arguments, cookies, decodes_to};
use crate::policy::CredentialLocation;

/// Most bytes of a Basic credential, decoded: three times what a client id, a colon and a key need.
const MAX_BASIC_BYTES: usize = 256;

/// What stands in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    Nothing,
    Value(&'a str),
    /// Client id and secret.
    Pair(&'a str, &'a str),
    /// The same, to be read by [`basic`].
    Basic(&'a str),
    /// One half of a pair.
    Half,
    /// Readers differ in which of several counts.
    Repeated,
}

/// What stands there. An empty value is none, unless it is one of several.
pub(super) fn standing<'a>(head: &'a Head, place: &'a CredentialLocation) -> Standing<'a> {
    match place {
        CredentialLocation::Header { name, scheme: None } => only(head.values(name)),
        CredentialLocation::Header { name, scheme: Some(scheme) } => of_scheme(only(head.values(name)), scheme),
        CredentialLocation::Cookie { name } => {
            let named = head.values("cookie").flat_map(cookies).filter(|(found, _)| means(found, name));
            only(named.map(|(_, value)| value))
        }
        CredentialLocation::Query { name } => {
            only(arguments(head).filter(|(found, _)| means(found, name)).map(|(_, value)| value))
        }
        CredentialLocation::Pair { id, secret } => match (only(head.values(id)), only(head.values(secret))) {
            (Standing::Nothing, Standing::Nothing) => Standing::Nothing,
            (Standing::Repeated, _) | (_, Standing::Repeated) => Standing::Repeated,
            (Standing::Value(id), Standing::Value(secret)) => Standing::Pair(id, secret),
            _ => Standing::Half,
        },
        CredentialLocation::Basic => match of_scheme(only(head.values("authorization")), "basic") {
            Standing::Value(encoded) => Standing::Basic(encoded),
            other => other,
        },
    }
}

fn only<'a>(mut values: impl Iterator<Item = &'a str>) -> Standing<'a> {
    match values.next() {
        None => Standing::Nothing,
        Some(_) if values.next().is_some() => Standing::Repeated,
        Some("") => Standing::Nothing,
        Some(value) => Standing::Value(value),
    }
}

fn means(found: &str, wanted: &str) -> bool {
    decodes_to(found.as_bytes(), wanted.as_bytes())
}

/// What follows the scheme; nothing when it is another one.
fn of_scheme<'a>(standing: Standing<'a>, scheme: &str) -> Standing<'a> {
    let Standing::Value(value) = standing else { return standing };
    match value.split_once(' ') {
        Some((word, rest)) if word.eq_ignore_ascii_case(scheme) => Standing::Value(rest.trim_start_matches(' ')),
        _ => Standing::Nothing,
    }
}

/// What [`Standing::Basic`] is read into.
pub(super) struct Decoded([u8; MAX_BASIC_BYTES]);

impl Decoded {
    pub(super) fn new() -> Decoded {
        Decoded([0; MAX_BASIC_BYTES])
    }

    /// Client id and secret (RFC 7617, 2). No secret of ours holds a colon, so that a second one has no meaning.
    pub(super) fn basic(&mut self, encoded: &str) -> Option<(&str, &str)> {
        let length = STANDARD.decode_slice(encoded, &mut self.0).ok()?;
        let text = std::str::from_utf8(&self.0[..length]).ok()?;
        text.split_once(':').filter(|(_, secret)| !secret.contains(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_read_strictly() {
        let read = |encoded: &str| {
            let mut decoded = Decoded::new();
            decoded.basic(encoded).map(|(id, secret)| (id.to_owned(), secret.to_owned()))
        };
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(read("YTpi"), pair("a", "b"));
        assert_eq!(read("YTo="), pair("a", ""));
        assert_eq!(read("OmI="), pair("", "b"));
        for (encoded, why) in [
            ("YTpiOmM=", "two colons"),
            ("YWI=", "no colon"),
            ("YTo", "no padding"),
            ("YTpi====", "too much padding"),
            ("YTp_", "the alphabet of URLs"),
            ("YT pi", "a space"),
            ("YTp=", "bits behind the end"),
            ("/zr/", "no UTF-8"),
            ("", "nothing"),
        ] {
            assert_eq!(read(encoded), None, "{why}");
        }
        assert_eq!(read(&STANDARD.encode(format!("a:{}", "b".repeat(MAX_BASIC_BYTES)))), None);
        assert!(read(&STANDARD.encode(format!("a:{}", "b".repeat(MAX_BASIC_BYTES - 2)))).is_some());
    }
}
