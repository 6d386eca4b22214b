//! What the control plane sees of limits and takes back, as JSON. Keys are 32 hex digits.

use serde::Deserialize;
use serde_json::json;

use super::shared::Fleet;
use super::{Counters, Key, Limits};
use crate::exchange::Now;
use crate::meters;

/// Most keys that are told at once.
const MOST_TOLD: usize = 1_000;

/// `{ "rule", "most" }`; without a rule, of all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Top {
    #[serde(default)]
    rule: Option<String>,
    most: usize,
}

/// `{ "rule", "key" }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// A key is of one limit: its name is in the hash.
    #[serde(rename = "rule")]
    _rule: String,
    key: String,
}

/// `{ "rule", "key", "until" }`, in Unix milliseconds; null: until it is taken away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exemption {
    #[serde(rename = "rule")]
    _rule: String,
    key: String,
    until: Option<f64>,
}

impl Key {
    /// As it is shown: 32 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Key> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let half = |at| u64::from_str_radix(text.get(at..at + 16)?, 16).ok();
        hex.then_some(())?;
        Some(Key([half(0)?, half(16)?]))
    }
}

/// The limits in force, with what this process has counted: `[{ "name", "action", "checked", "refused", "would_refuse",
/// "delayed" }]`.
#[must_use]
pub fn limits(limits: &Limits) -> String {
    let figures = meters::limits::figures();
    let told = limits.rules().iter().map(|rule| {
        let figures = figures.get(&*rule.name).copied().unwrap_or_default();
        json!({
            "name": rule.name,
            "action": rule.action.name(),
            "checked": figures.checked,
            "refused": figures.refused,
            "would_refuse": figures.would_refuse,
            "delayed": figures.delayed,
        })
    });
    serde_json::Value::from_iter(told).to_string()
}

/// Keys that were refused, those most often first: `[{ "rule", "key", "identity", "used", "refused", "penalty_ends" }]`.
///
/// # Errors
/// What cannot be read.
pub fn top(limits: &Limits, counters: &Counters, asked: &str, now: Now) -> Result<String, String> {
    let Top { rule, most } = serde_json::from_str(asked).map_err(|error| error.to_string())?;
    let told = counters.top(rule.as_deref(), most.min(MOST_TOLD)).into_iter().map(|refused| {
        let rule = limits.rules().iter().find(|rule| *rule.name == *refused.limit);
        let used = rule.map_or(0, |rule| {
            counters.used(refused.key, rule.concurrency.is_none().then_some(&rule.quota), now.mono_us)
        });
        let penalty_us = counters.penalty_us(refused.key, now.mono_us);
        json!({
            "rule": refused.limit,
            "key": refused.key.to_string(),
            "identity": refused.identity.filter(|_| limits.allow_identities),
            "used": used,
            "refused": refused.refused,
            "penalty_ends": (penalty_us > 0).then_some(now.unix_ms + penalty_us / 1000),
        })
    });
    Ok(serde_json::Value::from_iter(told).to_string())
}

/// Whether there was something to forget.
///
/// # Errors
/// What cannot be read.
pub fn reset(counters: &Counters, fleet: &Fleet, asked: &str) -> Result<bool, String> {
    let Reset { key, .. } = serde_json::from_str(asked).map_err(|error| error.to_string())?;
    let key = key_of(&key)?;
    let leased = fleet.reset(key);
    Ok(counters.reset(key) || leased)
}

/// Puts these in place of all before.
///
/// # Errors
/// What cannot be read: those before stay.
pub fn exempt(counters: &Counters, exemptions: &str) -> Result<(), String> {
    let given: Vec<Exemption> = serde_json::from_str(exemptions).map_err(|error| error.to_string())?;
    let read = given.iter().map(|one| Ok((key_of(&one.key)?, one.until.map_or(u64::MAX, |until| until as u64))));
    counters.exempt(read.collect::<Result<Vec<_>, String>>()?);
    Ok(())
}

fn key_of(hex: &str) -> Result<Key, String> {
    Key::from_hex(hex).ok_or_else(|| format!("`{hex}` is no key: 32 hex digits"))
}
