//! Names of algorithms (RFC 7518, 3.1; RFC 8037, 3.1; RFC 9864, 2.2).

pub(super) use jsonwebtoken::Algorithm;

/// By its name, which is case-sensitive (RFC 7515, 4.1.1). `none`, however it is spelled, is none of them; nor is
/// `ES512`, for want of it in the library.
pub(super) fn named(name: &str) -> Option<Algorithm> {
    match name {
        // Fully specified, Ed448 being the other thing that `EdDSA` can mean.
        "Ed25519" => Some(Algorithm::EdDSA),
        _ => name.parse().ok(),
    }
}

pub(super) fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::HS384 => "HS384",
        Algorithm::HS512 => "HS512",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        _ => "unknown",
    }
}

/// Whoever can verify can sign as well.
pub(super) fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_none_is_no_name() {
        for written in
            ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
        {
            assert_eq!(named(written).map(name), Some(written));
        }
        assert_eq!(named("Ed25519"), Some(Algorithm::EdDSA));
        for wrong in ["none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "ES512", "Ed448", "HS1", "RSA-OAEP", "dir"]
        {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }
}
