//! One exchange: a request, what was found out about it, and its answer. Lives in a slot and keeps its buffers.

use std::sync::Arc;

use crate::credentials::Caller;
use crate::grpc::{Call, Dialect};
use crate::head::Head;
use crate::limits::{Exceeded, Limited};
use crate::meters::{Came, Meters, Named, Verdict, Worth};
use crate::own::Own;
use crate::reason::Reason;
use crate::rules::{self, Found};
use crate::schema::{Chosen, Parameters, Violation, ViolationError};
use crate::snapshot::{Host, Operation, Snapshot};

/// Two clocks, read together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// Monotonic, microseconds.
    pub mono_us: u64,
    /// Unix time, milliseconds.
    pub unix_ms: u64,
}

/// Why an exchange was denied, or would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub reason: Reason,
    /// Index of the rule, for [`Reason::Rule`].
    pub rule: Option<u32>,
    /// Which limit, and when to come back, for those of [`crate::limits`].
    pub limit: Option<Box<Exceeded>>,
    /// Value of the answer's Allow field, for 405.
    pub allow: Option<String>,
    /// What does not match the description.
    pub errors: Vec<ViolationError>,
    /// The answer's WWW-Authenticate fields, each preceded by CR LF.
    pub challenges: Box<str>,
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Denial {
        Denial { reason, rule: None, limit: None, allow: None, errors: Vec::new(), challenges: Box::default() }
    }
}

impl From<Violation> for Denial {
    fn from(Violation { reason, errors }: Violation) -> Denial {
        Denial { errors, ..reason.into() }
    }
}

/// What the client's certificate was worth, for the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Presented {
    /// The mode is `off`, or the exchange ended before the certificate counted.
    #[default]
    NotLooked,
    Absent,
    Verified,
    Fault(Reason),
}

#[derive(Default)]
pub struct Exchange {
    pub head: Head,
    /// 32 hex digits; also the trace id when the client brought no traceparent.
    pub id: String,
    /// The policy this exchange is decided by, from start to end.
    pub snapshot: Option<Arc<Snapshot>>,
    pub host: Option<usize>,
    /// It is a gRPC call: so are its answers.
    pub grpc: Option<Dialect>,
    /// When the call's client stops waiting, by the monotonic clock.
    pub deadline_us: Option<u64>,
    /// How the call ended, as far as its client was told.
    pub grpc_status: Option<u8>,
    /// What the gateway itself answers.
    pub own: Option<Own>,
    pub operation: Option<u32>,
    /// What stood in the place of the path template's parameters: ranges of the head's path.
    pub captures: Vec<(u32, u32)>,
    pub parameters: Parameters,
    pub found: Found,
    /// What checks the body that is waited for.
    pub chosen: Option<Chosen>,
    /// Its messages are looked at as they come.
    pub call: Option<Box<Call>>,
    /// The rules wait for the body too.
    pub rules_wait: bool,
    pub presented: Presented,
    /// Name of the authority that the client's certificate was verified by.
    pub authority: Option<Arc<str>>,
    pub caller: Caller,
    pub limited: Limited,
    pub denial: Option<Denial>,
    /// Denials of controls in log mode.
    pub logged: Vec<Denial>,
    pub scratch: rules::Scratch,
    pub matched: Vec<u32>,

    pub started: Now,
    /// Time spent waiting for the client's body.
    pub upload_us: u64,
    /// From the request written to the first byte of the response.
    pub origin_us: u64,
    pub origin_status: u16,
}

impl Exchange {
    /// Empties the slot for the next request; buffers stay.
    pub fn begin(&mut self, started: Now, id: &str) {
        self.id.clear();
        self.id.push_str(id);
        self.snapshot = None;
        self.host = None;
        self.grpc = None;
        self.deadline_us = None;
        self.grpc_status = None;
        self.own = None;
        self.operation = None;
        self.captures.clear();
        self.found = Found::default();
        self.chosen = None;
        self.call = None;
        self.rules_wait = false;
        self.presented = Presented::NotLooked;
        self.authority = None;
        self.caller.clear();
        self.limited.clear();
        self.limited.now_us = started.mono_us;
        self.denial = None;
        self.logged.clear();
        self.matched.clear();
        self.started = started;
        self.upload_us = 0;
        self.origin_us = 0;
        self.origin_status = 0;
    }

    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        Some(&self.snapshot.as_ref()?.hosts[self.host?])
    }

    /// The operation that is called.
    #[must_use]
    pub fn operation(&self) -> Option<&Operation> {
        self.host()?.operation(self.operation?)
    }

    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (&self.denial, self.logged.is_empty()) {
            (Some(_), _) => Verdict::Block,
            (None, false) => Verdict::Log,
            (None, true) => Verdict::Pass,
        }
    }

    /// `rules.<name>` or the reason's id.
    #[must_use]
    pub fn reason_id(&self, denial: &Denial) -> String {
        let Some(snapshot) = &self.snapshot else { return denial.reason.id().to_owned() };
        let limit = denial.limit.as_ref().filter(|_| denial.reason == Reason::Limit);
        match (denial.rule, limit) {
            (Some(rule), _) => format!("{}{}", denial.reason.id(), snapshot.rules.name(rule)),
            (None, Some(limit)) => format!("{}{}", denial.reason.id(), snapshot.limits.name(limit.rule)),
            (None, None) => denial.reason.id().to_owned(),
        }
    }

    fn named(&self, denial: &Denial) -> Option<Named> {
        let snapshot = self.snapshot.as_ref()?;
        match (denial.reason, denial.rule, &denial.limit) {
            (Reason::Rule, Some(rule), _) => Some(Named::Rule(snapshot.rule_series[rule as usize])),
            (Reason::Limit, _, Some(limit)) => Some(Named::Limit(snapshot.limit_series[limit.rule as usize])),
            _ => None,
        }
    }

    /// Counts the exchange. Exchanges whose host is unknown are counted by their denial only.
    pub fn count(&self, meters: &mut Meters, status: u16, ended_us: u64) {
        let denials = self.logged.iter().map(|denial| (denial, false));
        for (denial, blocked) in denials.chain(self.denial.iter().map(|denial| (denial, true))) {
            meters.denial(denial.reason, self.named(denial), blocked);
        }
        if let Some(snapshot) = &self.snapshot {
            let series = |&limit: &u32| snapshot.limit_series.get(limit as usize);
            for &limit in self.limited.checked.iter().filter_map(series) {
                meters.limit_checked(limit);
            }
            if let Some(&limit) = self.limited.delayed.as_ref().and_then(series) {
                meters.limit_delayed(limit, self.limited.delay_us);
            }
        }
        if let Some(partner) = &self.caller.partner {
            meters.partner(partner.series(), self.verdict());
        }
        let Some(host) = self.host() else { return };
        let series = match self.operation.and_then(|operation| host.operation(operation)) {
            Some(operation) => operation.series,
            _ if self.own.is_some() => host.own_series,
            _ => host.unmatched,
        };
        meters.exchange(series, self.verdict(), status);
        match self.presented {
            Presented::NotLooked => {}
            Presented::Absent => meters.certificate(series, Worth::Absent),
            Presented::Verified => meters.certificate(series, Worth::Valid),
            Presented::Fault(_) => meters.certificate(series, Worth::Invalid),
        }
        let Caller { looked, presented, token, key, .. } = &self.caller;
        if *looked {
            let came = match (token, key) {
                (Some(_), Some(_)) => Came::WithBoth,
                (Some(_), None) => Came::WithToken,
                (None, Some(_)) => Came::WithKey,
                (None, None) if *presented => Came::Invalid,
                (None, None) => Came::WithNothing,
            };
            meters.credential(series, came);
        }
        let whole = ended_us.saturating_sub(self.started.mono_us);
        let others_us = self.upload_us + self.origin_us + self.limited.delay_us;
        meters.duration(host.series, whole, whole.saturating_sub(others_us));
    }
}
