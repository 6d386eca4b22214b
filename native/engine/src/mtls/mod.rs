//! Client certificates: read once, verified against the trust of the host that is asked for.
//!
//! [`Certificate`] is what the client showed, whatever it is worth; [`TrustSet`] is whom a host believes; only
//! [`TrustSet::verify`] joins the two. A verdict is a pure function of certificate, trust set, standings and time, and says
//! itself until when it holds, so that a caller may keep it. What is revoked changes between snapshots: that is state,
//! [`Standings`], and a kept verdict is held against it with each request.
//!
//! Two readers look at every leaf: rustls-webpki builds and checks the path, x509-parser reads the fields and what
//! webpki leaves out (key usage, the strength of the leaf's own key). What either cannot read is refused.

mod authority;
mod certificate;
mod distinguished_name;
mod fields;
mod headers;
mod judgement;
mod key_strength;
mod path;
mod pem;
mod revocation;
mod revocation_list;
pub mod seen;
mod serial_set;
mod standings;
#[cfg(test)]
mod tests;
mod trust_set;

pub use authority::{Authority, KeyId};
pub use certificate::{Certificate, MAX_DER_BYTES, MAX_SENT, MAX_SENT_BYTES};
pub use fields::{CertificateField, CertificateNames, MAX_RFC9440_BYTES};
pub use headers::Forwarding;
pub use judgement::{Judgement, Step};
pub use revocation_list::Refusal;
pub use standings::{Answered, Change, Loaded, Named, Standings};
pub use trust_set::{FAULT_RECHECK_SECONDS, Lenient, Renewal, TrustSet, Verdict};
