//! TLS towards origins: how an origin is known, and what it is shown.

mod session;

use std::io;
use std::sync::Arc;

use portcullis_engine::policy::{OriginProtocol, OriginTls};
use portcullis_reactor::Socket;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

pub(crate) use session::Session;

/// What handshakes with one origin need. Sessions are resumed among its connections.
#[derive(Debug)]
pub struct Identity {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Identity {
    /// None when certificates or names cannot be read: the control plane has refused such a policy.
    pub(crate) fn new(tls: &OriginTls, protocol: OriginProtocol) -> Option<Identity> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.ok()?;
        let builder = if tls.allow_unverified {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone { provider }))
        } else {
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_slice_iter(tls.roots.as_bytes()).filter_map(Result::ok);
            roots.add_parsable_certificates(certificates);
            builder.with_root_certificates(roots)
        };
        let mut config = match &tls.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
                builder.with_client_auth_cert(chain.ok()?, key).ok()?
            }
        };
        config.alpn_protocols = match protocol {
            OriginProtocol::Http1 => vec![b"http/1.1".to_vec()],
            OriginProtocol::H2 => vec![b"h2".to_vec()],
        };
        Some(Identity { config: Arc::new(config), name: ServerName::try_from(tls.server_name.clone()).ok()? })
    }

    pub(crate) async fn connect(&self, socket: Socket) -> io::Result<tokio_rustls::client::TlsStream<Socket>> {
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), socket).await
    }
}

/// Whether it is TLS that failed, not the socket under it.
#[must_use]
pub fn is_fault(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Takes any certificate whose possession is proven: `allowUnverified`, which the operator was warned of.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
