//! Client certificates: read once, verified against the trust of the host that is asked for.
//!
//! [`Certificate`] is what the client showed, whatever it is worth; [`TrustSet`] is whom a host believes; only
//! [`TrustSet::verify`] joins the two. A verdict is a pure function of certificate, trust set and time, and says
//! itself until when it holds, so that a caller may keep it.

mod certificate;
mod trust_set;

pub use certificate::{Certificate, CertificateField};
pub use trust_set::{TrustSet, Verdict};
