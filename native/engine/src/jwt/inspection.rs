//! Whether a token would count, and why, step by step: for people.
//!
//! The steps are those of [`Configuration::read`], by the same call; where a request would have been refused, an
//! inspection notes it and goes on as far as it can.

use serde::Serialize;
use serde_json::Value;

use super::Configuration;
use super::compact::Compact;
use super::revoked::Revoked;
use crate::reason::Reason;

/// Who is told of the steps on the way.
pub(super) trait Telling {
    /// What is handed back decides whether the next step is taken.
    fn step(
        &mut self,
        step: &'static str,
        outcome: Result<(), Reason>,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Reason>;

    /// A step that the next ones cannot do without.
    fn found<T>(
        &mut self,
        step: &'static str,
        outcome: Result<T, Reason>,
        detail: impl FnOnce(&T) -> String,
    ) -> Result<T, Reason>;

    fn token(&mut self, compact: &Compact<'_>);
}

/// For requests.
pub(super) struct Silent;

impl Telling for Silent {
    fn step(&mut self, _: &'static str, outcome: Result<(), Reason>, _: impl FnOnce() -> String) -> Result<(), Reason> {
        outcome
    }

    fn found<T>(
        &mut self,
        _: &'static str,
        outcome: Result<T, Reason>,
        _: impl FnOnce(&T) -> String,
    ) -> Result<T, Reason> {
        outcome
    }

    fn token(&mut self, _: &Compact<'_>) {}
}

#[derive(Debug, Default, Serialize)]
pub struct Inspection {
    pub steps: Vec<Step>,
    /// Of the first step that is not ok; None: it counts.
    pub reason: Option<&'static str>,
    /// As the token says, whoever signed it; null: not JSON.
    pub header: Value,
    pub claims: Value,
}

#[derive(Debug, Serialize)]
pub struct Step {
    /// `size`, `form`, `header`, `algorithm`, `critical`, `type`, `keys`, `key`, `signature`, `claims`, `registered`,
    /// `issuer`, `audience`, `expiry`, `begin`, `lifetime`, `required`, `binding`, `revoked`.
    pub step: &'static str,
    pub ok: bool,
    pub detail: String,
}

impl Inspection {
    fn add(&mut self, step: &'static str, fault: Option<Reason>, detail: String) {
        let detail = match fault {
            Some(reason) => format!("{detail} {}", reason.entry().hint).trim_start().to_owned(),
            None => detail,
        };
        self.steps.push(Step { step, ok: fault.is_none(), detail });
        self.reason = self.reason.or(fault.map(Reason::id));
    }
}

impl Telling for Inspection {
    fn step(
        &mut self,
        step: &'static str,
        outcome: Result<(), Reason>,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Reason> {
        self.add(step, outcome.err(), detail());
        Ok(())
    }

    fn found<T>(
        &mut self,
        step: &'static str,
        outcome: Result<T, Reason>,
        detail: impl FnOnce(&T) -> String,
    ) -> Result<T, Reason> {
        let told = outcome.as_ref().map_or_else(|_| String::new(), detail);
        self.add(step, outcome.as_ref().err().copied(), told);
        outcome
    }

    fn token(&mut self, compact: &Compact<'_>) {
        self.header = serde_json::from_slice(&compact.header).unwrap_or_default();
        self.claims = serde_json::from_slice(&compact.payload).unwrap_or_default();
    }
}

impl Configuration {
    /// What a token would be told at `now`, in Unix milliseconds. Leaves no trace: nothing is cached or counted.
    #[must_use]
    pub fn inspect(&self, raw: &str, now: u64) -> Inspection {
        self.inspect_with(raw, now, Revoked::of_process())
    }

    pub(super) fn inspect_with(&self, raw: &str, now: u64, revoked: &Revoked) -> Inspection {
        let mut inspection = Inspection::default();
        // The reason stands in the inspection.
        let _ = self.read(raw, now, revoked, &mut inspection);
        inspection
    }
}
