//! JSON Web Tokens (RFC 7519): which ones count, and what they say.
//!
//! A [`Configuration`] is policy. Its keys either stand in the policy or arrive at run time, in [`KeySets`]; what was
//! taken back stands in [`Revoked`]. Both are state of the process: they outlive snapshots, take effect with the next
//! request of any thread, and each change moves an epoch. A verified token is kept in its thread's [`Cache`] with the
//! epochs it was verified in, so that while nothing changes a known token costs one look-up.

mod algorithm;
mod cache;
mod choice;
mod claims;
mod compact;
mod configuration;
mod dpop;
mod inspection;
mod key;
mod key_set;
mod proofs;
mod revoked;
#[cfg(test)]
mod tests;
mod token;

pub use cache::Cache;
pub use choice::verify;
pub use configuration::{Configuration, Presenting};
pub use inspection::{Inspection, Step};
pub use key_set::{KeySets, Loaded};
pub use revoked::{Change, Kind, Named, Revoked};
pub use token::Token;
