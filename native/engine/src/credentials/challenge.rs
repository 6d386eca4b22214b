//! `WWW-Authenticate`: what a client has to come with (RFC 9110, 11.6.1).
//!
//! One challenge for each scheme that the requirement accepts, each in a field of its own. A key that stands in a header
//! of its own, a cookie or the query has no registered scheme, but a 401 has to have a challenge: `ApiKey`, with `in` and
//! `name` in the words of OpenAPI. What is wrong with the credential that was presented goes into the challenges of its
//! scheme (RFC 6750, 3.1; RFC 9449, 7.1); nothing is said when none was presented.

use std::fmt::{self, Write as _};

use crate::policy::CredentialLocation;
use crate::reason::Reason;

use super::Refusal;

/// One scheme's challenge, without what a denial adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    scheme: Scheme,
    /// Scheme and parameters that never change.
    text: String,
    /// Told only to those whose proof is at fault: tokens may be bound, and need not be.
    on_fault: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
    /// Has no parameters for errors.
    Other,
}

impl Scheme {
    /// Of a place.
    pub(super) fn of(place: &CredentialLocation) -> Scheme {
        match place {
            CredentialLocation::Header { scheme: Some(scheme), .. } if scheme.eq_ignore_ascii_case("bearer") => {
                Scheme::Bearer
            }
            CredentialLocation::Header { scheme: Some(scheme), .. } if scheme.eq_ignore_ascii_case("dpop") => {
                Scheme::Dpop
            }
            _ => Scheme::Other,
        }
    }
}

impl Challenge {
    pub(super) fn bearer(realm: &str) -> Challenge {
        Challenge::new(Scheme::Bearer, "Bearer", &[("realm", realm)])
    }

    pub(super) fn dpop(realm: &str, algorithms: &[String], on_fault: bool) -> Challenge {
        let challenge = Challenge::new(Scheme::Dpop, "DPoP", &[("realm", realm), ("algs", &algorithms.join(" "))]);
        Challenge { on_fault, ..challenge }
    }

    /// For a key that stands there.
    pub(super) fn key(place: &CredentialLocation, realm: &str) -> Challenge {
        let (place, name) = match place {
            CredentialLocation::Header { name, scheme: Some(scheme) } if name == "authorization" => {
                return match Scheme::of(place) {
                    Scheme::Bearer => Challenge::bearer(realm),
                    of => Challenge::new(of, scheme, &[("realm", realm)]),
                };
            }
            CredentialLocation::Basic => {
                return Challenge::new(Scheme::Other, "Basic", &[("realm", realm), ("charset", "UTF-8")]);
            }
            CredentialLocation::Header { name, .. } => ("header", name.clone()),
            CredentialLocation::Cookie { name } => ("cookie", name.clone()),
            CredentialLocation::Query { name } => ("query", name.clone()),
            CredentialLocation::Pair { id, secret } => ("header", format!("{id} {secret}")),
        };
        Challenge::new(Scheme::Other, "ApiKey", &[("realm", realm), ("in", place), ("name", &name)])
    }

    fn new(scheme: Scheme, name: &str, parameters: &[(&str, &str)]) -> Challenge {
        let mut text = name.to_owned();
        let mut separator = " ";
        for (name, value) in parameters {
            let _ = write!(text, "{separator}{name}={}", Quoted(value));
            separator = ", ";
        }
        Challenge { scheme, text, on_fault: false }
    }
}

/// The fields of a denial, each preceded by CR LF. `scheme`: by which the credential came that the denial is about; None:
/// none came.
pub(super) fn fields(challenges: &[Challenge], scheme: Option<Scheme>, refusal: &Refusal<'_>) -> String {
    let mut fields = String::new();
    match refusal.reason {
        Reason::CredentialsScope => {
            // The one that has to be asked again with more; whoever came without a scheme has none to be told in.
            let wanted = |challenge: &&Challenge| Some(challenge.scheme) == scheme && challenge.scheme != Scheme::Other;
            if let Some(Challenge { text, .. }) = challenges.iter().find(wanted) {
                let scopes = Quoted(&refusal.scopes.join(" ")).to_string();
                let _ = write!(fields, "\r\nWWW-Authenticate: {text}, error=\"insufficient_scope\", scope={scopes}");
            }
        }
        reason if reason.entry().status == 401 => {
            let proof = matches!(reason, Reason::JwtDpop | Reason::JwtDpopReplayed);
            let told = || challenges.iter().filter(|challenge| proof || !challenge.on_fault);
            let error = if proof { "invalid_dpop_proof" } else { "invalid_token" };
            let of = if proof { Some(Scheme::Dpop) } else { scheme.filter(|scheme| *scheme != Scheme::Other) };
            // What came by a scheme that is not accepted at all is told in the one that is.
            let exact = told().any(|challenge| Some(challenge.scheme) == of);
            for Challenge { scheme, text, .. } in told() {
                let _ = write!(fields, "\r\nWWW-Authenticate: {text}");
                if of.is_some() && (Some(*scheme) == of || (!exact && *scheme != Scheme::Other)) {
                    let _ = write!(fields, ", error=\"{error}\"");
                }
            }
        }
        _ => {}
    }
    fields
}

/// A quoted-string (RFC 9110, 5.6.4).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}
