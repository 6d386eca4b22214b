//! What identifies a session, hashed with the installation's key before anybody sees it.

use std::sync::LazyLock;

use aws_lc_rs::{hmac, rand};

use crate::head::Head;
use crate::policy::{CredentialLocation, SessionSource};

use super::Caller;
use super::place::{Standing, standing};

/// Bytes of an identity: that two of 2^32 sessions share one has a probability of 2^-65.
pub const SESSION_BYTES: usize = 16;
/// Longest value that identifies a session: the size of a cookie that every browser keeps (RFC 6265, 6.1).
const MAX_VALUE_BYTES: usize = 4096;

/// When the policy has no key: identities of one process, which say nothing to another.
static OF_PROCESS: LazyLock<Option<[u8; 32]>> = LazyLock::new(|| {
    let mut key = [0; 32];
    rand::fill(&mut key).ok().map(|()| key)
});

/// What sessions are hashed with; prepared once a snapshot.
#[derive(Debug, Clone)]
pub struct SessionKey(hmac::Key);

impl SessionKey {
    /// 64 hex digits; empty: a key of this process. None: neither.
    #[must_use]
    pub fn read(hex: &str) -> Option<SessionKey> {
        let key = if hex.is_empty() { (*OF_PROCESS)? } else { digits(hex)? };
        Some(SessionKey(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// A key for something else, which says nothing about this one.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> [u8; SESSION_BYTES] {
        self.hash(Kind::Derived, &[], purpose.as_bytes())
    }

    fn hash(&self, kind: Kind, name: &[&str], value: &[u8]) -> [u8; SESSION_BYTES] {
        let mut hash = hmac::Context::with_key(&self.0);
        hash.update(&[kind as u8]);
        for part in name {
            // Names hold no NUL: what follows cannot be taken for a part of one.
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        hash.update(value);
        let tag = hash.sign();
        let mut session = [0; SESSION_BYTES];
        session.copy_from_slice(&tag.as_ref()[..SESSION_BYTES]);
        session
    }
}

fn digits(hex: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != key.len() || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in key.iter_mut().zip(pairs) {
        let digit = |digit: u8| (digit as char).to_digit(16);
        *byte = (digit(high)? << 4 | digit(low)?) as u8;
    }
    Some(key)
}

/// Goes into the hash first: the value of a header is never the subject of a token.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Kind {
    Header = 1,
    Cookie = 2,
    Claim = 3,
    Certificate = 4,
    Key = 5,
    Derived = 6,
}

/// The sources of a host, in the operator's order.
#[derive(Debug)]
pub(super) struct Sessions {
    key: SessionKey,
    sources: Vec<Source>,
}

#[derive(Debug)]
enum Source {
    Place(Kind, String, CredentialLocation),
    Claim(String),
    Certificate,
    Key,
}

impl Sessions {
    pub(super) fn new(key: &SessionKey, written: &[SessionSource]) -> Sessions {
        let source = |source: &SessionSource| match source.clone() {
            SessionSource::Header { name } => {
                Source::Place(Kind::Header, name.clone(), CredentialLocation::Header { name, scheme: None })
            }
            SessionSource::Cookie { name } => {
                Source::Place(Kind::Cookie, name.clone(), CredentialLocation::Cookie { name })
            }
            SessionSource::Jwt { claim } => Source::Claim(claim),
            SessionSource::Certificate => Source::Certificate,
            SessionSource::Key => Source::Key,
        };
        Sessions { key: key.clone(), sources: written.iter().map(source).collect() }
    }

    /// The identity by the first source that a request has. A source that comes twice, or is too long, identifies nobody.
    pub(super) fn identify(
        &self,
        head: &Head,
        caller: &Caller,
        certificate: Option<&[u8; 32]>,
    ) -> Option<[u8; SESSION_BYTES]> {
        self.sources.iter().find_map(|source| match source {
            Source::Place(kind, name, place) => match standing(head, place) {
                Standing::Value(value) if value.len() <= MAX_VALUE_BYTES => {
                    Some(self.key.hash(*kind, &[name], value.as_bytes()))
                }
                _ => None,
            },
            Source::Claim(claim) => {
                let token = caller.token.as_ref()?;
                let mut texts = token.claim(claim);
                let value = texts.next().filter(|text| !text.is_empty() && text.len() <= MAX_VALUE_BYTES)?;
                // Two issuers may give one subject to two people.
                let alone = texts.next().is_none();
                alone.then(|| self.key.hash(Kind::Claim, &[&token.configuration, claim], value.as_bytes()))
            }
            Source::Certificate => Some(self.key.hash(Kind::Certificate, &[], certificate?)),
            Source::Key => Some(self.key.hash(Kind::Key, &[], caller.key.as_ref()?.id.as_bytes())),
        })
    }
}
