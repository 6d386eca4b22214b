//! What the origin is told of who calls: claims of the verified token, the partner's name.
//!
//! A header that is told is ours alone: clients' copies of it are as if they had not been sent, for rules, descriptions
//! and origins alike, which is the one reading that nobody can be wrong about.

use std::fmt::Write as _;
use std::sync::Arc;

use super::TokenPlace;
use crate::jwt::Token;
use crate::policy::{CredentialLocation, HostCredentials, Problem, SessionSource, ToldClaim};
use crate::reason::Reason;

/// Longest value of a header that is told: half of what common origins take in one line (8 KiB).
const MAX_VALUE_BYTES: usize = 4096;

/// Names that mean something to the connection, are written by the gateway itself, or hold credentials.
const TAKEN: [&str; 23] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-client-ip",
    "x-real-ip",
    "x-request-id",
];
const TAKEN_PREFIXES: [&str; 3] = ["x-forwarded-", "cf-cert-", "cf-client-cert-"];
const TAKEN_CERTIFICATES: [&str; 3] = ["client-cert", "client-cert-chain", "x-ssl-client-cert"];

/// A host's headers.
#[derive(Debug, Default)]
pub(super) struct Told {
    claims: Vec<ToldClaim>,
    /// None: the partner is not told.
    pub(super) partner: Option<String>,
    /// All names.
    pub(super) names: Vec<String>,
}

impl Told {
    pub(super) fn compile(written: &HostCredentials, tokens: &[TokenPlace], problems: &mut Vec<Problem>) -> Told {
        let places: Vec<&CredentialLocation> =
            tokens.iter().map(|place| &place.location).chain(&written.keys).collect();
        let partner = Some(written.partner_header.clone()).filter(|name| !name.is_empty());
        let mut told = Told { claims: written.claims.clone(), partner, names: Vec::new() };
        let claims = written.claims.iter().map(|told| (&told.header, format!("{}/claims", written.at)));
        for (name, at) in claims.chain(told.partner.iter().map(|name| (name, format!("{}/partnerHeader", written.at))))
        {
            if let Some(why) = unfit(name, &places, &written.session)
                .or_else(|| told.names.iter().any(|known| same(known, name)).then_some("two values would stand in it"))
            {
                problems.push(Problem {
                    at,
                    span: None,
                    message: format!("the header \"{}\" cannot be told to the origin: {why}", name.escape_debug()),
                    hint: Some("Another name, such as X-User-Id.".to_owned()),
                });
            }
            told.names.push(name.clone());
        }
        told
    }

    /// Whether a client's field of that (lower-case) name is to be left out.
    pub(super) fn is_told(&self, name: &str) -> bool {
        self.names.iter().any(|ours| same(ours, name))
    }

    pub(super) fn tells_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Whole lines, each ended by CR LF; None when there is nothing to tell.
    ///
    /// # Errors
    /// A value that fits in no header: an origin would take it for another.
    pub(super) fn lines(&self, token: &Token) -> Result<Option<Arc<str>>, Reason> {
        let mut lines = String::new();
        for ToldClaim { header, claim } in &self.claims {
            let mut texts = token.claim(claim).peekable();
            let Some(first) = texts.next() else { continue };
            let start = lines.len();
            let _ = write!(lines, "{header}: ");
            let value = lines.len();
            if !fits(first) {
                return Err(Reason::JwtClaims);
            }
            lines.push_str(first);
            if texts.peek().is_some() && first.contains(',') {
                return Err(Reason::JwtClaims);
            }
            for text in texts {
                // The origin tells the items of a list apart by its commas (RFC 9110, 5.6.1).
                if !fits(text) || text.contains(',') {
                    return Err(Reason::JwtClaims);
                }
                lines.push_str(", ");
                lines.push_str(text);
            }
            match lines.len() - value {
                0 => lines.truncate(start),
                length if length > MAX_VALUE_BYTES => return Err(Reason::JwtClaims),
                _ => lines.push_str("\r\n"),
            }
        }
        Ok((!lines.is_empty()).then(|| lines.into()))
    }
}

/// No control characters, and nothing that a reader trims (RFC 9110, 5.5).
fn fits(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.trim() == text
}

/// `_` counts as `-`, because CGI-like origins (WSGI, PHP, Rack) fold both into one variable.
fn same(a: &str, b: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

fn unfit(name: &str, places: &[&CredentialLocation], sessions: &[SessionSource]) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("that is no name of a header, or not in lower case");
    }
    let folded = name.replace('_', "-");
    if TAKEN.contains(&&*folded)
        || TAKEN_CERTIFICATES.contains(&&*folded)
        || TAKEN_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
    {
        return Some("it has a meaning of its own");
    }
    let stands = |location: &&CredentialLocation| match location {
        CredentialLocation::Header { name: known, .. } => same(known, name),
        CredentialLocation::Pair { id, secret } => same(id, name) || same(secret, name),
        CredentialLocation::Cookie { .. } | CredentialLocation::Query { .. } | CredentialLocation::Basic => false,
    };
    let identifies =
        |source: &SessionSource| matches!(source, SessionSource::Header { name: known } if same(known, name));
    if places.iter().any(stands) || sessions.iter().any(identifies) {
        return Some("clients send it");
    }
    None
}
