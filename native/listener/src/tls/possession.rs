//! What is demanded of a client certificate in the handshake: that the client holds its key, and nothing else.
//!
//! The signature is checked with the bare key, so that certificates which webpki refuses to read (X.509 version 1, odd
//! extensions) come as far as the engine, which knows what to tell about them.

use std::collections::BTreeSet;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme};
use webpki::RawPublicKeyEntity;

use super::x509;

/// Most certificates of a chain: six intermediates are what the engine follows, beside leaf and anchor. All of them
/// together are below 64 KiB, because rustls reads no longer message.
pub const MAX_CERTIFICATES: usize = 8;
/// Most bytes of names that are hinted at: one TLS record. Beyond them no hint is given, which asks for any certificate
/// (RFC 8446, 4.2.4; RFC 5246, 7.4.4).
pub const MAX_HINT_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Possession {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Possession {
    /// `authorities` are certificates.
    pub(super) fn new(authorities: &[CertificateDer<'_>], algorithms: WebPkiSupportedAlgorithms) -> Possession {
        let read = authorities.iter().filter_map(|der| x509::read(der));
        let subjects: BTreeSet<&[u8]> = read.map(|parts| parts.subject).collect();
        // Two bytes of length, and the head of the SEQUENCE.
        let bytes: usize = subjects.iter().map(|subject| subject.len() + 6).sum();
        let fits = bytes <= MAX_HINT_BYTES;
        let hints = subjects.into_iter().filter(|_| fits).map(DistinguishedName::in_sequence).collect();
        Possession { hints, algorithms }
    }

    fn algorithms(&self, scheme: SignatureScheme) -> Result<&'static [Algorithm], Error> {
        let known = self.algorithms.mapping.iter().find(|(known, _)| *known == scheme);
        known.map(|(_, of)| *of).ok_or_else(|| PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }
}

type Algorithm = &'static dyn rustls::pki_types::SignatureVerificationAlgorithm;

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if others.len() >= MAX_CERTIFICATES {
            return Err(CertificateError::Other(rustls::OtherError(std::sync::Arc::new(TooMany))).into());
        }
        if x509::read(leaf).is_none() {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // The scheme does not say the curve in 1.2: the one that fits the key is tried.
        verify(self.algorithms(signed.scheme)?, message, leaf, signed.signature())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if is_of_tls12(signed.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        // In 1.3 it does (RFC 8446, 4.2.3), and the one of its own curve stands first.
        let algorithms = self.algorithms(signed.scheme)?;
        verify(&algorithms[..1], message, leaf, signed.signature())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// PKCS #1 v1.5 signs no handshake of TLS 1.3 (RFC 8446, 4.2.3).
fn is_of_tls12(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA256 | SignatureScheme::RSA_PKCS1_SHA384 | SignatureScheme::RSA_PKCS1_SHA512
    )
}

fn verify(
    algorithms: &[Algorithm],
    message: &[u8],
    leaf: &[u8],
    signature: &[u8],
) -> Result<HandshakeSignatureValid, Error> {
    let parts = x509::read(leaf).ok_or(CertificateError::BadEncoding)?;
    let key = RawPublicKeyEntity::try_from(&parts.public_key).map_err(|_| CertificateError::BadEncoding)?;
    for &algorithm in algorithms {
        match key.verify_signature(algorithm, message, signature) {
            Ok(()) => return Ok(HandshakeSignatureValid::assertion()),
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
            Err(_) => break,
        }
    }
    Err(CertificateError::BadSignature.into())
}

#[derive(Debug)]
struct TooMany;

impl std::fmt::Display for TooMany {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "more than {MAX_CERTIFICATES} certificates")
    }
}

impl std::error::Error for TooMany {}
