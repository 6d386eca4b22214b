//! A verified token, and what it says.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::claims::{Claims, WrongType};
use super::compact::Header;
use super::configuration::Configuration;
use super::key_set::KeySet;
use super::revoked::Marks;
use crate::credentials::Beside;
use crate::policy::ClaimCondition;
use crate::reason::Reason;
use crate::schema::json::Entry;

pub struct Token {
    pub configuration: Arc<str>,
    /// Unix seconds.
    pub expires: Option<u64>,
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
    pub(super) times: Times,
    pub(super) bound: Bound,
    pub(super) marks: Marks,
    pub(super) claims: Claims,
    pub(super) signer: Signer,
    /// What hosts make of it.
    pub(crate) beside: Beside,
}

/// What the signature was found good by.
#[derive(Debug)]
pub(super) struct Signer {
    /// Of the key (RFC 7638).
    pub(super) thumbprint: Box<str>,
    pub(super) header: Header,
    pub(super) algorithm: Algorithm,
}

impl Signer {
    /// Whether the same key would be chosen from a set.
    pub(super) fn is_in(&self, set: &KeySet) -> bool {
        set.choose(&self.header, self.algorithm).is_ok_and(|key| key.thumbprint == self.thumbprint)
    }
}

/// Unix milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// `exp`
    pub(super) until: Option<u64>,
    /// `nbf`
    pub(super) from: Option<u64>,
    /// `iat`
    pub(super) issued: Option<u64>,
}

/// Whom the token belongs to (`cnf`, RFC 7800).
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// SHA-256 of a client certificate (RFC 8705, 3.1).
    pub(super) certificate: Option<[u8; 32]>,
    /// Thumbprint of a key that a proof comes with (RFC 9449, 6.1).
    pub(super) jkt: Option<Box<str>>,
}

impl Token {
    /// Reads the registered claims; whether they will do is for [`Configuration`] to say.
    pub(super) fn read(by: &Configuration, signer: Signer, claims: Claims) -> Result<Token, Reason> {
        let (times, marks) = registered(by, &claims).map_err(|WrongType| Reason::JwtClaims)?;
        Ok(Token {
            configuration: by.name.clone(),
            expires: times.until.map(|until| until / 1000),
            scopes: words(&claims, &by.scope_claims),
            roles: words(&claims, &by.role_claims),
            times,
            bound: Bound::read(&claims)?,
            marks,
            claims,
            signer,
            beside: Beside::default(),
        })
    }

    /// Texts of a claim, a list's one by one: numbers and booleans as JSON writes them. `claim` as in
    /// [`ClaimCondition`].
    pub fn claim<'a>(&'a self, claim: &str) -> impl Iterator<Item = &'a str> {
        self.claims.texts(claim)
    }

    /// Whether a claim is there, and is, or holds, one of the values.
    #[must_use]
    pub fn meets(&self, condition: &ClaimCondition) -> bool {
        self.claims.meet(condition)
    }

    /// The claims as they were sent: a JSON object.
    #[must_use]
    pub fn claims(&self) -> &str {
        self.claims.as_str()
    }

    /// When its life began, by its own words. Unix milliseconds.
    pub(super) fn begins(&self) -> Option<u64> {
        self.times.issued.or(self.times.from)
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let words = self.scopes.iter().chain(&self.roles).map(|word| word.capacity() + size_of::<String>());
        self.claims.bytes() + words.sum::<usize>()
    }

    /// Whether it counts with a DPoP proof only.
    #[must_use]
    pub fn needs_proof(&self) -> bool {
        self.bound.jkt.is_some()
    }
}

#[cfg(test)]
impl Token {
    /// One that nobody verified. Scopes stand in `scope`, roles in `roles`.
    pub(crate) fn of(configuration: &str, claims: &serde_json::Value) -> Token {
        let claims = Claims::read(claims.to_string().into_bytes()).unwrap();
        let header = Header::read(br#"{"alg":"ES256"}"#).unwrap();
        Token {
            configuration: configuration.into(),
            expires: None,
            scopes: words(&claims, &["scope".to_owned()]),
            roles: words(&claims, &["roles".to_owned()]),
            times: Times::default(),
            bound: Bound::default(),
            marks: Marks::default(),
            signer: Signer { thumbprint: "".into(), algorithm: header.algorithm.unwrap(), header },
            beside: Beside::default(),
            claims,
        }
    }
}

/// What a token says is its holder's and its issuer's business: none of it in logs.
impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Token")
            .field("configuration", &self.configuration)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

fn registered(by: &Configuration, claims: &Claims) -> Result<(Times, Marks), WrongType> {
    let times = Times { until: claims.moment("exp")?, from: claims.moment("nbf")?, issued: claims.moment("iat")? };
    claims.text("iss")?;
    claims.text_or_list("aud")?;
    Ok((times, Marks::of(&by.name, claims.text("jti")?, claims.text("sub")?, times.issued)))
}

/// Words of the claims: a text's between spaces (RFC 6749, 3.3), a list's one by one.
fn words(claims: &Claims, names: &[String]) -> Vec<String> {
    let texts = names.iter().flat_map(|name| claims.texts(name));
    texts.flat_map(|text| text.split(' ')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Bound {
    fn read(claims: &Claims) -> Result<Bound, Reason> {
        let json = claims.json();
        let Some(cnf) = json.member(0, "cnf") else { return Ok(Bound::default()) };
        if !matches!(json.tape.entries[cnf as usize], Entry::Object { .. }) {
            return Err(Reason::JwtClaims);
        }
        let text = |name: &str| match json.member(cnf, name) {
            None => Ok(None),
            Some(value) => json.string(value).map(Some).ok_or(Reason::JwtClaims),
        };
        let hash = |text: &str| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok();
        let certificate = text("x5t#S256")?.map(|text| hash(text).ok_or(Reason::JwtBinding)).transpose()?;
        let jkt = text("jkt")?.map(Into::into);
        // It belongs to somebody in a way that nobody here can check (RFC 7800, 3.1).
        if certificate.is_none() && jkt.is_none() {
            return Err(Reason::JwtBinding);
        }
        Ok(Bound { certificate, jkt })
    }
}
