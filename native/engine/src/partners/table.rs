//! All partners of one moment, with whose credentials are whose.
//!
//! What names one certificate or one value is found in a map; only patterns with a star are walked, those of other
//! authorities left out. Each pattern lies under the part of it that few others have, and is held against the certificate
//! whole.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::HashMap;

use super::name::{NamePattern, Names};
use super::subject::{Subject, SubjectPattern};
use super::{CertificatePattern, Partner, TokenPattern, Written};
use crate::mtls::{Certificate, CertificateField, CertificateNames};
use crate::reason::Reason;

/// Most partners: organisations that somebody has an agreement with.
pub const MAX_PARTNERS: usize = 10_000;
/// Most patterns of one partner of each kind, lone fingerprints aside.
pub const MAX_PATTERNS: usize = 100;
/// Most operations of one partner: of all that are described; who needs more leaves the list out.
pub const MAX_OPERATIONS: usize = 1_000;
/// Most lone fingerprints of all partners: 40 bytes each.
pub const MAX_FINGERPRINTS: usize = 1_000_000;
/// Most patterns that one certificate is held against one by one: 1 ms, once a certificate and change.
pub const MAX_WALKED: usize = 20_000;
/// Most claims that tokens are asked for.
pub const MAX_CLAIMS: usize = 100;
/// Longest text of a pattern, in bytes: the longest SPIFFE id is 2,048 characters.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

#[derive(Default)]
pub(super) struct Table {
    partners: Vec<Arc<Partner>>,
    names: HashMap<Arc<str>, u32>,
    /// Of patterns that say nothing else.
    fingerprints: HashMap<[u8; 32], u32>,
    patterns: Vec<Pattern>,
    /// By what each says, the first of these that it has; numbers in `patterns`.
    by_fingerprint: HashMap<[u8; 32], Vec<u32>>,
    by_name: HashMap<String, Vec<u32>>,
    by_subject: HashMap<Subject, Vec<u32>>,
    /// By authority; None: those that name none.
    walked: HashMap<Option<Box<str>>, Vec<u32>>,
    /// By configuration, and those that name none.
    tokens: HashMap<Box<str>, Tokens>,
    all_tokens: Tokens,
}

/// Whose the tokens of one configuration are.
#[derive(Default)]
struct Tokens {
    /// All of them.
    all: Vec<u32>,
    claims: HashMap<String, Values>,
}

/// Whose the tokens with one claim are.
#[derive(Default)]
struct Values {
    /// Whatever it says.
    any: Vec<u32>,
    exact: HashMap<String, Vec<u32>>,
}

struct Pattern {
    partner: u32,
    authority: Option<Box<str>>,
    subject: Option<SubjectPattern>,
    name: Option<NamePattern>,
}

impl Table {
    pub(super) fn new(written: &[Written]) -> Result<Table, String> {
        if written.len() > MAX_PARTNERS {
            return Err(format!("more than {MAX_PARTNERS} partners"));
        }
        let mut table = Table::default();
        for (index, partner) in written.iter().enumerate() {
            table.add(partner).map_err(|problem| format!("[{index}] \"{}\" {problem}", partner.name))?;
        }
        let walked = table.walked.values().map(Vec::len).sum::<usize>();
        if walked > MAX_WALKED {
            return Err(format!("more than {MAX_WALKED} patterns with `*`, or of whole authorities"));
        }
        let tokens = table.tokens.values().chain([&table.all_tokens]);
        let claims = tokens.map(|tokens| tokens.claims.len()).sum::<usize>();
        if claims > MAX_CLAIMS {
            return Err(format!("more than {MAX_CLAIMS} different claims"));
        }
        Ok(table)
    }

    fn add(&mut self, written: &Written) -> Result<(), String> {
        let partner = Partner::new(written)?;
        let number = self.partners.len() as u32;
        if self.names.insert(partner.name.clone(), number).is_some() {
            return Err("is there twice".to_owned());
        }
        self.partners.push(Arc::new(partner));
        let mut patterns = 0;
        for (at, pattern) in written.certificates.iter().enumerate() {
            let place = |problem: String| format!("certificates[{at}] {problem}");
            patterns += usize::from(self.add_certificate(number, pattern).map_err(place)?);
        }
        if patterns > MAX_PATTERNS || written.tokens.len() > MAX_PATTERNS {
            return Err(format!("has more than {MAX_PATTERNS} patterns"));
        }
        for (at, pattern) in written.tokens.iter().enumerate() {
            self.add_token(number, pattern).map_err(|problem| format!("tokens[{at}] {problem}"))?;
        }
        Ok(())
    }

    /// True: more than a lone fingerprint.
    fn add_certificate(&mut self, partner: u32, written: &CertificatePattern) -> Result<bool, String> {
        let CertificatePattern { authority, subject, san, fingerprint } = written;
        check([authority, subject, san])?;
        let alone = (authority, subject, san) == (&None, &None, &None);
        let fingerprint = fingerprint
            .as_deref()
            .map(|text| fingerprint_of(text).ok_or("has a `fingerprint` that is not the hex of a SHA-256"));
        let fingerprint = fingerprint.transpose()?;
        if let Some(fingerprint) = fingerprint {
            self.claim(partner, fingerprint, alone)?;
            if alone {
                return Ok(false);
            }
        } else if alone {
            return Err("says nothing: it would fit every certificate".to_owned());
        }
        let number = self.patterns.len() as u32;
        let name = san.as_deref().and_then(NamePattern::exact);
        let exact = subject.as_deref().and_then(SubjectPattern::exact);
        let under = match (fingerprint, name, exact) {
            (Some(fingerprint), ..) => self.by_fingerprint.entry(fingerprint).or_default(),
            (None, Some(name), _) => self.by_name.entry(name).or_default(),
            (None, None, Some(subject)) => self.by_subject.entry(subject).or_default(),
            (None, None, None) => self.walked.entry(authority.as_deref().map(Into::into)).or_default(),
        };
        under.push(number);
        self.patterns.push(Pattern {
            partner,
            authority: authority.as_deref().map(Into::into),
            subject: subject.as_deref().map(SubjectPattern::new),
            name: san.as_deref().map(NamePattern::new),
        });
        Ok(true)
    }

    /// A fingerprint is one certificate: it has one owner, whatever else the patterns say.
    fn claim(&mut self, partner: u32, fingerprint: [u8; 32], alone: bool) -> Result<(), String> {
        let shared = |owner: u32, partners: &[Arc<Partner>]| {
            Err(format!("names a certificate that is \"{}\"'s already", partners[owner as usize].name))
        };
        let others = self.by_fingerprint.get(&fingerprint).into_iter().flatten();
        let other = others.map(|&pattern| self.patterns[pattern as usize].partner).find(|&owner| owner != partner);
        if let Some(owner) = other {
            return shared(owner, &self.partners);
        }
        let full = self.fingerprints.len() >= MAX_FINGERPRINTS;
        match self.fingerprints.entry(fingerprint) {
            Entry::Occupied(known) if *known.get() != partner => shared(*known.get(), &self.partners),
            Entry::Vacant(_) if alone && full => Err(format!("is beyond {MAX_FINGERPRINTS} fingerprints")),
            Entry::Vacant(place) if alone => {
                place.insert(partner);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_token(&mut self, partner: u32, written: &TokenPattern) -> Result<(), String> {
        let TokenPattern { configuration, claim, value } = written;
        check([configuration, claim, value])?;
        if (configuration, claim) == (&None, &None) {
            return Err("says nothing: it would fit every token".to_owned());
        }
        if claim.is_none() && value.is_some() {
            return Err("has a `value`, but no `claim`".to_owned());
        }
        let tokens = match configuration {
            Some(name) => self.tokens.entry(name.as_str().into()).or_default(),
            None => &mut self.all_tokens,
        };
        match (claim, value) {
            (None, _) => tokens.all.push(partner),
            (Some(claim), None) => tokens.claims.entry(claim.clone()).or_default().any.push(partner),
            (Some(claim), Some(value)) => {
                let values = tokens.claims.entry(claim.clone()).or_default();
                values.exact.entry(value.clone()).or_default().push(partner);
            }
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partners.is_empty()
    }

    pub(super) fn named(&self, name: &str) -> Option<Arc<Partner>> {
        Some(self.partners[*self.names.get(name)? as usize].clone())
    }

    pub(super) fn of_certificate(
        &self,
        certificate: &Certificate,
        authority: &str,
    ) -> Result<Option<Arc<Partner>>, Reason> {
        let fingerprint = certificate.sha256();
        let mut owner = Owner::default();
        if let Some(&partner) = self.fingerprints.get(fingerprint) {
            owner.add(partner)?;
        }
        if !self.patterns.is_empty() {
            let names = Names {
                dns: certificate.names(CertificateNames::Dns),
                mail: certificate.names(CertificateNames::Email),
                uris: certificate.names(CertificateNames::Uri),
            };
            let subject = Subject::read(certificate.field(CertificateField::SubjectDnRfc2253));
            let by_name: Vec<&Vec<u32>> = match self.by_name.is_empty() {
                true => Vec::new(),
                false => names.spelled().filter_map(|name| self.by_name.get(&name)).collect(),
            };
            let candidates = (self.by_fingerprint.get(fingerprint).into_iter())
                .chain(by_name)
                .chain(subject.as_ref().and_then(|subject| self.by_subject.get(subject)))
                .chain(self.walked.get(&None))
                .chain(self.walked.get(&Some(authority.into())));
            for &number in candidates.flatten() {
                let pattern = &self.patterns[number as usize];
                if pattern.fits(authority, subject.as_ref(), &names) {
                    owner.add(pattern.partner)?;
                }
            }
        }
        Ok(owner.0.map(|partner| self.partners[partner as usize].clone()))
    }

    /// `texts`: hands over what a claim says.
    pub(super) fn of_token(
        &self,
        configuration: &str,
        texts: impl Fn(&str, &mut dyn FnMut(&str)),
    ) -> Result<Option<Arc<Partner>>, Reason> {
        let mut owner = Owner::default();
        for tokens in self.tokens.get(configuration).into_iter().chain([&self.all_tokens]) {
            tokens.all.iter().try_for_each(|&partner| owner.add(partner))?;
            for (claim, values) in &tokens.claims {
                let mut added = Ok(());
                texts(claim, &mut |text| {
                    let partners = values.any.iter().chain(values.exact.get(text).into_iter().flatten());
                    added = added.and_then(|()| partners.copied().try_for_each(|partner| owner.add(partner)));
                });
                added?;
            }
        }
        Ok(owner.0.map(|partner| self.partners[partner as usize].clone()))
    }
}

/// The one partner that something is of.
#[derive(Default)]
struct Owner(Option<u32>);

impl Owner {
    fn add(&mut self, partner: u32) -> Result<(), Reason> {
        match self.0.replace(partner) {
            Some(other) if other != partner => Err(Reason::PartnersMismatch),
            _ => Ok(()),
        }
    }
}

impl Pattern {
    /// The fingerprint fits already: it is what a pattern with one lies under.
    fn fits(&self, authority: &str, subject: Option<&Subject>, names: &Names<'_>) -> bool {
        self.authority.as_deref().is_none_or(|named| named == authority)
            && self.subject.as_ref().is_none_or(|pattern| subject.is_some_and(|subject| pattern.fits(subject)))
            && self.name.as_ref().is_none_or(|pattern| pattern.fits(names))
    }
}

fn check(texts: [&Option<String>; 3]) -> Result<(), String> {
    match texts.into_iter().flatten().any(|text| text.is_empty() || text.len() > MAX_TEXT_BYTES) {
        true => Err(format!("has a text that is empty or longer than {MAX_TEXT_BYTES} bytes")),
        false => Ok(()),
    }
}

fn fingerprint_of(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}
