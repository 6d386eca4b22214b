//! A proof that whoever presents a token holds the key that the token is bound to (RFC 9449).
//!
//! | RFC 9449, 4.3 | what is asked |
//! |---|---|
//! | 1, 2 | one `DPoP` field, which is a signed token of three parts |
//! | 4, 5, 7 | `typ`, an algorithm of the configuration's and of the key's own, a public key that is no more than that |
//! | 12 | the key is the one that the token names |
//! | 3, 8, 9, 11, 12 | `htm` and `htu` are the request's, `iat` is of now, `ath` is the token's, `jti` is there |
//! | 6 | the signature |
//! | 11.1 | it has not counted before |
//!
//! Whatever can be told without the signature comes ahead of it: who took a token without its key costs no verification.
//! No nonces are given out (8), so none is asked for.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{self, Algorithm};
use super::claims::Claims;
use super::compact::{Compact, Header};
use super::key::Key;
use super::proofs::Proofs;
use crate::head::Head;
use crate::reason::Reason;
use crate::schema::json::{self, Parsed};

/// Most bytes of a proof: with the largest RSA key that is read, modulus and signature take 2,800, the rest a few hundred.
const MAX_PROOF_BYTES: usize = 4096;
/// Most bytes of a `jti`: 128 random bits are asked for (4.2), and a UUID takes 36.
const MAX_JTI_BYTES: usize = 256;
/// What the origin of an `https` URI without a port means (RFC 9110, 4.2.2).
const HTTPS_PORT: &str = "443";

/// What a proof is held against.
pub(super) struct Asked<'a> {
    pub(super) head: &'a Head,
    /// The token as it was sent.
    pub(super) token: &'a str,
    /// Thumbprint of the key that it is bound to.
    pub(super) jkt: &'a str,
    pub(super) algorithms: &'a [Algorithm],
    /// Most that `iat` lies from now, in either direction.
    pub(super) lifetime_ms: u64,
    pub(super) now_ms: u64,
}

/// Whether the request's proof fits, and remembers that it has counted.
///
/// # Errors
/// Why it does not.
pub(super) fn prove(asked: &Asked<'_>, proofs: &Proofs) -> Result<(), Reason> {
    let mut fields = asked.head.values("dpop");
    let (Some(raw), None) = (fields.next(), fields.next()) else { return Err(Reason::JwtDpop) };
    if raw.len() > MAX_PROOF_BYTES {
        return Err(Reason::JwtDpop);
    }
    let compact = Compact::read(raw).ok_or(Reason::JwtDpop)?;
    let header = json::with_tape(&compact.header, |json| key_of(json.ok()?, asked.algorithms));
    let (algorithm, key) = header.ok_or(Reason::JwtDpop)?;
    if *key.thumbprint != *asked.jkt {
        return Err(Reason::JwtBinding);
    }
    let claims = Claims::read(compact.payload).ok_or(Reason::JwtDpop)?;
    let text = |name| claims.text(name).ok().flatten().ok_or(Reason::JwtDpop);
    let jti = text("jti")?;
    let issued = claims.moment("iat").ok().flatten().ok_or(Reason::JwtDpop)?;
    let fits = text("htm")? == asked.head.method()
        && is_target(text("htu")?, asked.head)
        && text("ath")? == URL_SAFE_NO_PAD.encode(digest(&SHA256, asked.token.as_bytes()))
        && issued.abs_diff(asked.now_ms) <= asked.lifetime_ms
        && (1..=MAX_JTI_BYTES).contains(&jti.len());
    if !fits || !key.verifies(algorithm, compact.signed, compact.signature) {
        return Err(Reason::JwtDpop);
    }
    proofs.take(asked.jkt, jti, issued.saturating_add(asked.lifetime_ms), asked.now_ms)
}

/// The key that a proof's header names, and what it is used with. None: the header will not do.
fn key_of(json: Parsed<'_>, algorithms: &[Algorithm]) -> Option<(Algorithm, Key)> {
    let Header { algorithm, typ, critical, .. } = Header::of(json)?;
    let algorithm = algorithm.filter(|named| algorithms.contains(named) && !algorithm::is_symmetric(*named))?;
    if typ != "dpop+jwt" || critical {
        return None;
    }
    // One with its private part is none (4.3, 7): whoever sends that has given the key away.
    let key = Key::of_jwk(json, json.member(0, "jwk")?).ok()?;
    key.algorithms.contains(&algorithm).then_some((algorithm, key))
}

/// Whether the URI is the request's, query and fragment aside (4.3, 9). Both are compared in the form that paths and
/// hosts have everywhere here, so that what is asked for under two spellings is proved under either.
fn is_target(uri: &str, head: &Head) -> bool {
    // What is put together below has lines.
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let uri = &uri[..uri.find(['?', '#']).unwrap_or(uri.len())];
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut named = Head::default();
    scheme.eq_ignore_ascii_case("https")
        && named.parse_text(&format!("GET {path}\nhost:{authority}")).is_ok()
        && (named.host(), named.path()) == (head.host(), head.path())
        && port(authority) == port(head.field("host").unwrap_or_default())
}

/// The port of what stands in a Host field.
fn port(authority: &str) -> &str {
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    // The last group of an IPv6 address ends with a bracket.
    if port.is_empty() || port.ends_with(']') { HTTPS_PORT } else { port.trim_start_matches('0') }
}

/// Whether the token stands in the Authorization field under that scheme. A bound token does not count as a bearer's,
/// nor a bearer's as a bound one (7.1, 7.2): each would let an attacker choose what is asked of it.
pub(super) fn is_sent_as(scheme: &str, token: &str, head: &Head) -> bool {
    head.values("authorization")
        .filter_map(|value| value.split_once(' '))
        .any(|(word, rest)| word.eq_ignore_ascii_case(scheme) && rest.trim_start_matches(' ') == token)
}
