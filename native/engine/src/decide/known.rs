//! A certificate that a thread has seen, with what was found out about it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::Tally;
use crate::mtls::seen::Count;
use crate::mtls::{Certificate, KeyId, Renewal, Standings, Verdict};
use crate::partners::{Partner, Partners};
use crate::reason::Reason;
use crate::snapshot::{Forward, Trust};

/// Verdicts kept with one certificate: more trust sets than this in one policy only cost verifications.
const MAX_VERDICTS: usize = 8;

/// A certificate that a thread has seen, with the verdicts reached so far.
#[derive(Debug)]
pub struct Known {
    pub certificate: Arc<Certificate>,
    verdicts: RefCell<Vec<(u64, Verdict)>>,
    /// What origins are told, by trust and by forward.
    told: RefCell<Vec<(u64, u64, Rc<str>)>>,
    partner: RefCell<Option<Belonging>>,
    /// Requests that it came with.
    pub count: Count,
}

/// Whose a certificate was in an epoch of the partners, verified by an authority.
#[derive(Debug)]
struct Belonging {
    epoch: u64,
    authority: Option<Arc<str>>,
    partner: Result<Option<Arc<Partner>>, Reason>,
}

impl Known {
    #[must_use]
    pub fn new(certificate: Arc<Certificate>) -> Known {
        Known {
            certificate,
            verdicts: RefCell::default(),
            told: RefCell::default(),
            partner: RefCell::default(),
            count: Count::default(),
        }
    }

    /// The verdict under a trust set, of this moment: cached, and held against what has been revoked since. A new
    /// snapshot's trust sets have new ids. Err: denied; Ok: the authority that it was verified by.
    pub(super) fn verdict(&self, trust: &Trust, now_s: u64, tally: &mut Tally) -> Result<Option<Arc<str>>, Reason> {
        let standings = Standings::of_process();
        let mut verdicts = self.verdicts.borrow_mut();
        let index = if let Some(index) = verdicts.iter().position(|(id, _)| *id == trust.id) {
            let verdict = &mut verdicts[index].1;
            match trust.set.renew(verdict, &self.certificate, standings, now_s) {
                Renewal::Held => tally.verify_hits += 1,
                Renewal::LookedUp => tally.verify_lookups += 1,
                Renewal::Verified => {
                    tally.verify_misses += 1;
                    // The path may be another one now.
                    self.told.borrow_mut().retain(|(id, ..)| *id != trust.id);
                }
            }
            index
        } else {
            tally.verify_misses += 1;
            let verdict = trust.set.verify(&self.certificate, standings, now_s);
            if verdicts.len() == MAX_VERDICTS {
                verdicts.remove(0);
            }
            verdicts.push((trust.id, verdict));
            verdicts.len() - 1
        };
        let verdict = &verdicts[index].1;
        if let Some(lenient) = &verdict.lenient {
            lenient.count();
        }
        match verdict.fault {
            Some(reason) => Err(reason),
            None => Ok(verdict.authority.clone()),
        }
    }

    /// Whose path it has, and its issuer's key; None when no verdict that is kept knows one.
    #[must_use]
    pub fn identity(&self) -> Option<(Arc<str>, KeyId)> {
        let verdicts = self.verdicts.borrow();
        let (_, verdict) = verdicts.iter().rev().find(|(_, verdict)| verdict.authority.is_some())?;
        Some((verdict.authority.clone()?, verdict.issuer_key?))
    }

    /// Whose it is, verified by that authority; kept until the partners change.
    pub(super) fn partner(&self, authority: Option<&Arc<str>>) -> Result<Option<Arc<Partner>>, Reason> {
        let partners = Partners::of_process();
        let epoch = partners.epoch();
        let mut kept = self.partner.borrow_mut();
        if let Some(known) = &*kept
            && known.epoch == epoch
            && known.authority.as_deref() == authority.map(|name| &**name)
        {
            return known.partner.clone();
        }
        let partner = partners.of_certificate(&self.certificate, authority.map_or("", |name| name));
        *kept = Some(Belonging { epoch, authority: authority.cloned(), partner: partner.clone() });
        partner
    }

    /// What origins are told of it while it is verified: made once, kept until the verdict is another.
    pub(super) fn told(&self, trust: &Trust, forward: &Forward) -> Rc<str> {
        let mut told = self.told.borrow_mut();
        if let Some((.., lines)) = told.iter().find(|(by, to, _)| (*by, *to) == (trust.id, forward.id)) {
            return lines.clone();
        }
        let verdicts = self.verdicts.borrow();
        let verdict = verdicts.iter().find(|(id, _)| *id == trust.id);
        let chain: Vec<&[u8]> =
            verdict.map(|(_, verdict)| trust.set.chain(verdict, &self.certificate).collect()).unwrap_or_default();
        let lines: Rc<str> = forward.forwarding.lines(&self.certificate, chain.into_iter()).into();
        if told.len() == MAX_VERDICTS {
            told.remove(0);
        }
        told.push((trust.id, forward.id, lines.clone()));
        lines
    }
}
