//! Client certificates: read once, verified against the trust of the host that is asked for.

/// A parsed client certificate.
#[derive(Debug)]
pub struct Certificate;
