//! The policy's limits become [`Rule`]s, and tables of which are asked when.

use std::sync::Arc;

use super::key::Keys;
use super::rule::{Cost, Phase, Rule};
use super::told;
use super::{Limits, MOST_OF_WINDOW, Quota, Stage};
use crate::credentials::SessionKey;
use crate::policy::{Algorithm, Expression, Limit, LimitAction, Per, Policy, Problem, Score, SharingMode};
use crate::rules::{Language, Place, Reads, Selection, Test, Value};

/// Most limits: with more, lists and characteristics are the better tool.
pub const MAX_LIMITS: usize = 10_000;
/// Most characteristics of one limit: more never tell callers apart better.
pub const MAX_CHARACTERISTICS: usize = 16;

/// Reasons of the engine's own: a limit of such a name could not be told from them.
const RESERVED: [&str; 3] = ["full", "quota", "unavailable"];

impl Limits {
    /// Compiles all limits; every one that cannot be compiled adds a problem. With problems, what is returned must not
    /// be used.
    #[must_use]
    pub fn compile(
        policy: &Policy,
        key: &SessionKey,
        language: &mut Language<'_>,
        problems: &mut Vec<Problem>,
    ) -> Limits {
        let written = &policy.limits;
        let mut limits = Limits {
            entries: written.entries,
            allow_uncounted: written.allow_uncounted,
            headers: written.headers,
            allow_identities: written.allow_identities,
            quotas: written.quotas,
            quota_keys: Some(Keys::new(key, "")),
            // No limit has such a name.
            volume_keys: Some(Keys::new(key, " volumes")),
            ..Limits::default()
        };
        if written.rules.len() > MAX_LIMITS {
            let message =
                format!("there are {} limits, more than the {MAX_LIMITS} that are allowed", written.rules.len());
            problems.push(Problem { at: written.rules[MAX_LIMITS].at.clone(), span: None, message, hint: None });
            return limits;
        }
        let mut rules = Vec::with_capacity(written.rules.len());
        for limit in &written.rules {
            if let Some(rule) = compile(limit, key, language, problems) {
                rules.push(rule);
            }
        }
        if rules.len() != written.rules.len() {
            return limits;
        }
        for phase in Phase::ALL {
            limits.stages[phase as usize] = stage(&rules, &written.rules, phase);
        }
        let reads_body = |rule: &&Rule| rule.reads_body && rule.action != LimitAction::Off;
        limits.wanted = rules.iter().find(reads_body).map(|_| Arc::new(language.take_wanted()));
        limits.settles = rules.iter().any(|rule| rule.settles && rule.action != LimitAction::Off);
        limits.rules = rules.into();
        limits
    }
}

/// Those that are asked in a phase.
fn stage(rules: &[Rule], written: &[Limit], phase: Phase) -> Stage {
    let mut stage = Stage::default();
    let mut tested = Vec::new();
    for (number, (rule, limit)) in (0..).zip(rules.iter().zip(written)) {
        if rule.phase != phase || rule.action == LimitAction::Off {
            continue;
        }
        stage.settles |= rule.settles;
        match (limit.operation, &rule.expression) {
            (Some((host, operation)), _) => {
                stage.of_operations.entry((host as u32, operation as u32)).or_default().push(number);
            }
            (None, None) => stage.of_all.push(number),
            (None, Some(test)) => tested.push((number, test)),
        }
    }
    stage.tested = Selection::new(tested.into_iter());
    stage
}

fn compile(limit: &Limit, key: &SessionKey, language: &mut Language<'_>, problems: &mut Vec<Problem>) -> Option<Rule> {
    let before = problems.len();
    let mut problem = |message: &str, hint: &str| {
        let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
        problems.push(Problem { at: limit.at.clone(), span: None, message: message.to_owned(), hint });
    };
    if RESERVED.contains(&&*limit.name) || limit.name.is_empty() {
        problem(&format!("a limit cannot be called `{}`", limit.name), "the gateway's own reasons are");
    }
    if limit.concurrency.is_none() && (limit.amount == 0 || limit.period_ms == 0) {
        problem("a limit needs an amount and a period, or a concurrency", "");
    }
    if limit.algorithm == Algorithm::SlidingWindow && limit.amount > MOST_OF_WINDOW {
        problem(&format!("a sliding window counts up to {MOST_OF_WINDOW}"), "`gcra` has no such bound");
    }
    if limit.concurrency == Some(0) {
        problem("a concurrency of 0 refuses everything", "");
    }
    if limit.characteristics.len() > MAX_CHARACTERISTICS {
        problem(&format!("there are more than {MAX_CHARACTERISTICS} characteristics"), "");
        return None;
    }
    let mut test = |written: &Option<Expression>, place: Place| -> Option<Test> {
        let Expression { at, expression } = written.as_ref()?;
        language.test(at, expression, place, problems)
    };
    let expression = test(&limit.expression, Place::Limit);
    let counting = test(&limit.counting, Place::Counting);
    let mut value = |written: &Expression| language.value(&written.at, &written.expression, Place::Limit, problems);
    let characteristics: Vec<Value> = limit.characteristics.iter().filter_map(&mut value).collect();
    let cost = match &limit.score {
        None => Cost::One,
        Some(Score::ResponseHeader(name)) => Cost::ResponseHeader(name.as_str().into()),
        Some(Score::Expression(written)) => {
            let value = value(written)?;
            if !value.is_number() {
                problems.push(Problem {
                    at: written.at.clone(),
                    span: Some((0, written.expression.len())),
                    message: "a score is a number".to_owned(),
                    hint: Some("`to_number(..)` makes one of a string".to_owned()),
                });
            }
            Cost::Value(value)
        }
    };
    let mut reads = characteristics.iter().fold(Reads::default(), |sum, value| sum.and(value.reads));
    if let Cost::Value(value) = &cost {
        reads = reads.and(value.reads);
    }
    for test in expression.iter().chain(&counting) {
        reads = reads.and(test.reads);
    }
    let settles = reads.response || matches!(cost, Cost::ResponseHeader(_));
    if settles && limit.concurrency.is_some() {
        problems.push(Problem {
            at: limit.at.clone(),
            span: None,
            message: "requests under way have no response to count by".to_owned(),
            hint: Some("leave out `countingExpression` and `score`, or `concurrency`".to_owned()),
        });
    }
    if limit.per == Per::Message {
        problems.extend(of_messages(limit, reads, settles));
    }
    if problems.len() > before {
        return None;
    }
    Some(Rule {
        name: limit.name.as_str().into(),
        action: limit.action,
        quota: Quota {
            algorithm: limit.algorithm,
            amount: limit.amount,
            period_us: limit.period_ms.saturating_mul(1000),
            burst: if limit.burst == 0 { limit.amount } else { limit.burst.min(limit.amount) },
            penalty_us: limit.mitigation_timeout_ms.saturating_mul(1000),
        },
        concurrency: limit.concurrency.map(u64::from),
        sharing: limit.sharing,
        phase: match reads {
            _ if limit.per == Per::Message => Phase::Message,
            Reads { body: true, .. } | Reads { verdict: true, .. } | Reads { message: true, .. } => Phase::Body,
            Reads { caller: true, .. } => Phase::Caller,
            _ => Phase::Endpoint,
        },
        settles,
        reads_body: reads.body,
        expression,
        counting,
        cost,
        characteristics: characteristics.into(),
        keys: Keys::new(key, &limit.name),
        told: if limit.concurrency.is_some() {
            Box::default()
        } else {
            told::policy(&limit.name, limit.amount, limit.period_ms)
        },
    })
}

/// A message of a call waits for nobody, and is no request: what does not go together with that.
fn of_messages(limit: &Limit, reads: Reads, settles: bool) -> Option<Problem> {
    let message = if limit.concurrency.is_some() {
        "messages are not under way at once"
    } else if limit.sharing.mode == SharingMode::Strict {
        "a message does not wait for the fleet's counters"
    } else if matches!(limit.action, LimitAction::Delay(_)) {
        "a message does not wait for its turn"
    } else if settles {
        "a message has no response to count by"
    } else if reads.body {
        "a message is not the request's body"
    } else {
        return None;
    };
    Some(Problem {
        at: limit.at.clone(),
        span: None,
        message: message.to_owned(),
        hint: Some("leave out `per: message`, and requests are counted".to_owned()),
    })
}
