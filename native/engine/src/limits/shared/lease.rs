//! What this node may spend of one key, and what it owes to the fleet.
//!
//! A request is paid from what was granted (the server has counted that already), else on credit: up to the limit's
//! advance of what the server has not acknowledged, as long as its last word leaves room. What is owed is told until it
//! was acknowledged, so it may be counted twice and never not at all; what was granted and is not needed goes back
//! once, so it may be lost and never be had twice. Grants carry keys that want more between two settlings than their
//! advance.
//!
//! Why all nodes together go over by no more than an advance each: who owes has seen the key with room, or nothing of
//! it. Before a node goes on credit again, its last debt was acknowledged, and if the key was beyond its policy with
//! it, the node waits until all that was told of is within: so of what lies beyond at any moment, each node has put
//! there one advance at most.

use super::record::{tolerance, unit_us, whole};
use super::{Ask, Key, Quota, Taken, most, refused};
use crate::policy::Algorithm;

/// What was granted may be spent for so long, by this node's clock from when it was asked for.
const GRANT_US: u64 = 500_000;
/// When somebody may try again who only lacks the server's word.
const SETTLING_US: u64 = 100_000;
/// A sum of doubles is off by so much at most, far below the grain of the clock.
const ROUNDING: f64 = 1.0 + 1.0 / (1_u64 << 50) as f64;

#[derive(Debug)]
pub(super) struct Lease {
    pub key: Key,
    pub rule: u32,
    pub quota: Quota,
    advance: u64,
    /// Spent on credit: not acknowledged, `sent` of it told.
    owed: u64,
    sent: u64,
    /// What was granted: before the last settling, and by it.
    grants: [Grant; 2],
    view: View,
    /// As the server has told; or this node has, and will.
    penalty_ends_us: u64,
    /// The penalty is still to be told; and it was told.
    punish: bool,
    punished: bool,
    /// Since the last settling: spent, and refused.
    used: u64,
    missed: u64,
    asked_us: u64,
    wanted: u64,
    /// Told, and not answered yet.
    pub flying: bool,
    /// Has something to tell.
    pub dirty: bool,
    /// Looked at since the last walk for a place.
    pub touched: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Grant {
    units: u64,
    /// Server's time.
    at_us: f64,
    ends_us: u64,
}

/// The key's counter as the server told it, and what this node has added since.
#[derive(Debug, Default)]
struct View {
    told: bool,
    seen_us: u64,
    /// Of a bucket: what is overdrawn.
    backlog_us: f64,
    /// Of a window.
    left: u64,
    /// Not one unit fits until then.
    full_until_us: u64,
}

/// What a lease tells when it is settled.
#[derive(Debug)]
pub(super) struct Settle {
    /// What goes back: units, and when they were granted.
    pub returned: [(u64, f64); 2],
    pub spent: u64,
    pub want: u64,
    pub penalize: bool,
}

impl Lease {
    pub(super) fn new(ask: &Ask) -> Lease {
        Lease {
            key: ask.key,
            rule: ask.rule,
            quota: ask.quota,
            advance: 1,
            owed: 0,
            sent: 0,
            grants: [Grant::default(); 2],
            view: View::default(),
            penalty_ends_us: 0,
            punish: false,
            punished: false,
            used: 0,
            missed: 0,
            asked_us: 0,
            wanted: 0,
            flying: false,
            dirty: false,
            touched: true,
        }
    }

    /// Spends, or peeks. `birth_us`: what the server granted before knows nobody any more.
    pub(super) fn take(&mut self, ask: &Ask, birth_us: f64, now_us: u64) -> Taken {
        self.by(ask);
        if now_us < self.penalty_ends_us {
            return Taken::Refused { wait_us: self.penalty_ends_us - now_us, penalty: true };
        }
        if ask.cost > most(&self.quota) {
            return refused(ask, self.reset_us(now_us));
        }
        let granted = self.granted(birth_us, now_us);
        let credit = ask.cost.saturating_sub(granted);
        match self.turn(credit, ask.delay_us, now_us) {
            Ok(wait_us) => {
                if !ask.peek {
                    self.drain(now_us);
                    self.pay(ask.cost - credit, birth_us, now_us);
                    self.owe(credit);
                    self.used = self.used.saturating_add(ask.cost);
                }
                match wait_us {
                    0 => {
                        Taken::Admitted { remaining: self.remaining(birth_us, now_us), reset_us: self.reset_us(now_us) }
                    }
                    wait_us => Taken::Refused { wait_us, penalty: false },
                }
            }
            Err(wait_us) => {
                self.missed = self.missed.saturating_add(ask.cost).min(most(&self.quota));
                let full = now_us < self.view.full_until_us;
                if full && self.quota.penalty_us > 0 {
                    self.penalty_ends_us = now_us + self.quota.penalty_us;
                    self.punish = true;
                    return Taken::Refused { wait_us: self.quota.penalty_us, penalty: true };
                }
                refused(ask, wait_us)
            }
        }
    }

    /// Spends whatever is left.
    pub(super) fn spend(&mut self, ask: &Ask, now_us: u64) {
        self.drain(now_us);
        self.by(ask);
        self.owe(ask.cost);
        self.used = self.used.saturating_add(ask.cost);
    }

    /// Of what was taken and not told of yet.
    pub(super) fn give_back(&mut self, cost: u64) {
        let units = cost.min(self.owed - self.sent);
        self.owed -= units;
        self.view.backlog_us -= unit_us(&self.quota) * units as f64;
        self.view.left += units;
    }

    /// What is to be told and asked now.
    pub(super) fn settle(&mut self, now_us: u64) -> Settle {
        let idle = self.used == 0 && self.missed == 0;
        let [older, newer] = self.grants;
        let gone = |grant: Grant| (grant.units, grant.at_us);
        let returned = [gone(older), if idle { gone(newer) } else { (0, 0.0) }];
        self.grants = [if idle { Grant::default() } else { newer }, Grant::default()];
        let demand = self.used.saturating_add(self.missed);
        // Only what the advance does not carry: a bucket leaks what was granted to one and is wanted by another.
        let want = demand.saturating_sub(self.advance).min(most(&self.quota)).saturating_sub(self.grants[0].units);
        (self.sent, self.wanted, self.asked_us) = (self.owed, want, now_us);
        (self.used, self.missed, self.flying, self.punished) = (0, 0, true, self.punish);
        Settle { returned, spent: self.sent, want, penalize: self.punish }
    }

    /// What the server has answered: how many units went beyond the policy with what it was told.
    /// `forgot`: the server may know of no penalty that it has begun.
    pub(super) fn settled(
        &mut self,
        [granted, over, retry_us]: [f64; 3],
        server_us: f64,
        forgot: bool,
        now_us: u64,
    ) -> u64 {
        let told = std::mem::take(&mut self.sent);
        self.owed -= told;
        self.flying = false;
        self.punish &= !self.punished;
        let units = whole(granted.floor()).min(self.wanted);
        self.grants[1] = Grant { units, at_us: server_us, ends_us: self.asked_us + GRANT_US };
        let (unit, full) = (unit_us(&self.quota), tolerance(&self.quota));
        let owed = unit * self.owed as f64;
        let free = if over < 0.0 { whole((-over).floor()) } else { u64::from(over == 0.0 && retry_us == 0.0) };
        let backlog_us = if over > 0.0 {
            full + over * unit
        } else if retry_us > 0.0 {
            full - unit + retry_us
        } else {
            full - unit * free as f64
        };
        self.view = View {
            told: true,
            seen_us: now_us,
            backlog_us: backlog_us.max(0.0) + owed,
            left: free.saturating_sub(self.owed),
            full_until_us: if retry_us > 0.0 { now_us + whole(retry_us) } else { 0 },
        };
        if retry_us < 0.0 {
            self.penalty_ends_us = self.penalty_ends_us.max(now_us + whole(-retry_us));
        } else if !forgot && !self.punish {
            self.penalty_ends_us = 0;
        }
        if told > 0 { whole(over.max(0.0)).min(told) } else { 0 }
    }

    /// Forgets how the key stands; not what is owed. Whether there was something.
    pub(super) fn reset(&mut self) -> bool {
        let before = std::mem::take(&mut self.view);
        let penalty_ends_us = std::mem::take(&mut self.penalty_ends_us);
        self.punish = false;
        before.told || self.owed > 0 || penalty_ends_us > 0
    }

    /// Nobody has answered: what was told may be counted or not, so it is told again.
    pub(super) fn unsettled(&mut self) {
        self.sent = 0;
        self.flying = false;
    }

    /// Whether there is something to tell, or to give back.
    pub(super) fn owes(&self) -> bool {
        self.owed > self.sent || self.punish || self.grants.iter().any(|grant| grant.units > 0)
    }

    /// Says nothing that a new one would not.
    pub(super) fn is_idle(&self, now_us: u64) -> bool {
        let full = match self.quota.algorithm {
            Algorithm::Gcra => self.backlog_us(now_us) + unit_us(&self.quota) > tolerance(&self.quota),
            Algorithm::SlidingWindow => false,
        };
        !(self.flying || self.dirty || self.owed > 0 || self.owes() || full)
            && now_us >= self.penalty_ends_us.max(self.view.full_until_us)
    }
}

impl Lease {
    fn by(&mut self, ask: &Ask) {
        (self.rule, self.quota, self.touched) = (ask.rule, ask.quota, true);
        self.advance = ask.sharing.advance.clamp(1, most(&self.quota));
    }

    fn granted(&self, birth_us: f64, now_us: u64) -> u64 {
        self.grants.iter().filter(|grant| grant.counts(birth_us, now_us)).map(|grant| grant.units).sum()
    }

    /// From what was granted, the oldest first.
    fn pay(&mut self, mut units: u64, birth_us: f64, now_us: u64) {
        for grant in self.grants.iter_mut().filter(|grant| grant.counts(birth_us, now_us)) {
            let some = grant.units.min(units);
            grant.units -= some;
            units -= some;
        }
    }

    fn owe(&mut self, units: u64) {
        if units > 0 {
            self.view.backlog_us += unit_us(&self.quota) * units as f64;
            self.view.left = self.view.left.saturating_sub(units);
            self.owed = self.owed.saturating_add(units);
        }
    }

    /// What has come back since the key was last looked at.
    fn drain(&mut self, now_us: u64) {
        if self.quota.algorithm == Algorithm::Gcra {
            self.view.backlog_us = self.backlog_us(now_us);
            self.view.seen_us = self.view.seen_us.max(now_us);
        }
    }

    /// Until as much can be spent on credit. Err: not within the delay; how long at least.
    fn turn(&self, units: u64, delay_us: u64, now_us: u64) -> Result<u64, u64> {
        if units == 0 {
            return Ok(0);
        }
        let wait_us = match self.quota.algorithm {
            Algorithm::Gcra => {
                let over = self.backlog_us(now_us) + unit_us(&self.quota) * units as f64;
                let full = tolerance(&self.quota);
                if over <= full * ROUNDING { 0 } else { whole(over - full).max(1) }
            }
            Algorithm::SlidingWindow => {
                if now_us < self.view.full_until_us {
                    return Err(self.view.full_until_us - now_us);
                }
                let stale = !self.view.told
                    || self.view.full_until_us > 0
                    || now_us.saturating_sub(self.view.seen_us) >= self.quota.period_us / 8;
                if !stale && units > self.view.left {
                    return Err(SETTLING_US);
                }
                0
            }
        };
        // Who costs more than the advance still is one request.
        if self.owed > 0 && self.owed.saturating_add(units) > self.advance {
            return Err(wait_us.max(SETTLING_US));
        }
        if wait_us > delay_us { Err(wait_us) } else { Ok(wait_us) }
    }

    fn backlog_us(&self, now_us: u64) -> f64 {
        (self.view.backlog_us - now_us.saturating_sub(self.view.seen_us) as f64).max(0.0)
    }

    fn remaining(&self, birth_us: f64, now_us: u64) -> u64 {
        let free = match self.quota.algorithm {
            Algorithm::Gcra => {
                let free_us = tolerance(&self.quota) * ROUNDING - self.backlog_us(now_us);
                whole((free_us / unit_us(&self.quota)).floor())
            }
            Algorithm::SlidingWindow if self.view.told => self.view.left,
            Algorithm::SlidingWindow => self.quota.amount.saturating_sub(self.owed),
        };
        free.saturating_add(self.granted(birth_us, now_us)).min(most(&self.quota))
    }

    fn reset_us(&self, now_us: u64) -> u64 {
        match self.quota.algorithm {
            Algorithm::Gcra => whole(self.backlog_us(now_us)),
            Algorithm::SlidingWindow => self.quota.period_us,
        }
    }
}

impl Grant {
    fn counts(&self, birth_us: f64, now_us: u64) -> bool {
        self.units > 0 && now_us < self.ends_us && self.at_us >= birth_us
    }
}
