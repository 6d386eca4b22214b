//! Points in time: Unix milliseconds outside, whole seconds in certificates.

use std::time::{Duration, SystemTime};

use der::DateTime;
use der::asn1::GeneralizedTime;
use x509_cert::time::Time;

use crate::problem::{Problem, Result};

pub(crate) type UnixMs = i64;

/// RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on.
pub(crate) fn time(at: UnixMs, what: &str) -> Result<Time> {
    date_time(at, what).map(Time::from)
}

pub(crate) fn generalized(at: UnixMs, what: &str) -> Result<GeneralizedTime> {
    date_time(at, what).map(GeneralizedTime::from_date_time)
}

fn date_time(at: UnixMs, what: &str) -> Result<DateTime> {
    u64::try_from(at)
        .ok()
        .and_then(|ms| DateTime::from_unix_duration(Duration::from_secs(ms / 1000)).ok())
        .ok_or_else(|| Problem::new(format!("{what} is not a time from 1970 to 9999"), "Give Unix milliseconds."))
}

pub(crate) fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-11-22 01:02:03 UTC`
pub(crate) fn display(at: UnixMs) -> String {
    match date_time(at, "") {
        Ok(date) => date.to_string().replace('T', " ").replace('Z', " UTC"),
        Err(_) => format!("{} s from 1970", at / 1000),
    }
}
