//! Paths that the gateway itself answers, on hosts that say so: renewing a certificate, and EST (RFC 7030).
//!
//! What is not exactly one of them goes to the origin like any other path.

use crate::policy::OwnPaths;

/// Below it nothing is ours but what [`find`] names (RFC 8615 registers such names).
const WELL_KNOWN: &str = "/.well-known/";
/// The last segment of EST's paths (RFC 7030, 3.2.2).
const EST_OPERATIONS: [&str; 6] = ["cacerts", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen", "csrattrs"];
/// Longest label between `est` and the operation: a DNS label's length, since operators name tenants and sites so.
const MAX_LABEL_BYTES: usize = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// `/.well-known/portcullis/renew`
    Renew,
    /// `/.well-known/est/...`
    Est,
}

impl Own {
    /// For the event line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Own::Renew => "renew",
            Own::Est => "est",
        }
    }
}

/// Whether a normalised path is one of ours, on a host with those switched on.
#[must_use]
pub fn find(switched: OwnPaths, path: &str) -> Option<Own> {
    if !switched.renew && !switched.est {
        return None;
    }
    let below = path.strip_prefix(WELL_KNOWN)?;
    if switched.renew && below == "portcullis/renew" {
        return Some(Own::Renew);
    }
    (switched.est && is_est(below.strip_prefix("est/")?)).then_some(Own::Est)
}

/// `OPERATION` or `LABEL/OPERATION`; a label is no operation (RFC 7030, 3.2.2).
fn is_est(below: &str) -> bool {
    let (label, operation) = below.split_once('/').map_or((None, below), |(label, rest)| (Some(label), rest));
    EST_OPERATIONS.contains(&operation) && label.is_none_or(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !EST_OPERATIONS.contains(&label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: OwnPaths = OwnPaths { renew: true, est: true };

    #[test]
    fn only_the_exact_paths_are_ours() {
        for (path, expected) in [
            ("/.well-known/portcullis/renew", Some(Own::Renew)),
            ("/.well-known/portcullis/renew/", None),
            ("/.well-known/portcullis/renewal", None),
            ("/.well-known/portcullis", None),
            ("/.well-known/Portcullis/renew", None),
            ("/x/.well-known/portcullis/renew", None),
            ("/.well-known/est/simpleenroll", Some(Own::Est)),
            ("/.well-known/est/simplereenroll", Some(Own::Est)),
            ("/.well-known/est/cacerts", Some(Own::Est)),
            ("/.well-known/est/factory-1/cacerts", Some(Own::Est)),
            ("/.well-known/est/cacerts/cacerts", None),
            ("/.well-known/est//cacerts", None),
            ("/.well-known/est/a/b/cacerts", None),
            ("/.well-known/est/a%20b/cacerts", None),
            ("/.well-known/est/cacerts/", None),
            ("/.well-known/est/", None),
            ("/.well-known/est/unknown", None),
            ("/.well-known/security.txt", None),
        ] {
            assert_eq!(find(BOTH, path), expected, "{path}");
        }
        assert_eq!(find(BOTH, &format!("/.well-known/est/{}/cacerts", "a".repeat(64))), None);
    }

    #[test]
    fn what_is_not_switched_on_is_the_origins() {
        assert_eq!(find(OwnPaths::default(), "/.well-known/portcullis/renew"), None);
        assert_eq!(find(OwnPaths { renew: true, est: false }, "/.well-known/est/cacerts"), None);
        assert_eq!(find(OwnPaths { renew: false, est: true }, "/.well-known/portcullis/renew"), None);
    }
}
