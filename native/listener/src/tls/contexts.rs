//! What is shown to clients, and which certificates they are asked for, by the name that they send.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_engine::by_host::ByHost;
use portcullis_engine::peer::Asked;
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::possession::Possession;
use super::tickets::{self, TrustKey};
use super::x509;

/// One host's, as it is configured.
#[derive(Debug, Clone)]
pub struct ContextSpec {
    /// Lower-case: `api.example.com`, or `*.example.com` whose star stands for exactly one label.
    pub host: String,
    /// The host's own certificate first.
    pub certificate_pem: String,
    pub key_pem: String,
    /// Whose certificates are asked for; None asks for none.
    pub authorities_pem: Option<String>,
}

#[derive(Debug)]
pub struct Context {
    pub config: Arc<ServerConfig>,
    /// Digest of the authorities: contexts with the same one ask for the same certificates.
    pub trust: u64,
}

/// All of a thread's.
#[derive(Debug)]
pub struct Contexts {
    fallback: Arc<Context>,
    by_host: ByHost<Arc<Context>>,
    /// The trust of each; None when all have the same.
    trusts: Option<Arc<ByHost<u64>>>,
}

impl Contexts {
    /// `fallback` serves clients that send no name, or one that no host has.
    ///
    /// # Errors
    /// The host, and what TLS cannot use of it.
    pub fn new(fallback: &ContextSpec, hosts: &[ContextSpec]) -> Result<Contexts, String> {
        let provider = Arc::new(default_provider());
        let make = |spec: &ContextSpec| {
            let made = Context::new(spec, &provider);
            made.map(Arc::new).map_err(|problem| format!("{}: {problem}", spec.host))
        };
        let fallback = make(fallback)?;
        let (mut by_host, mut differ) = (ByHost::default(), false);
        for spec in hosts {
            let context = make(spec)?;
            differ |= context.trust != fallback.trust;
            by_host.insert(&spec.host, context);
        }
        let trusts = differ.then(|| Arc::new(by_host.map(|context| context.trust)));
        Ok(Contexts { fallback, by_host, trusts })
    }

    /// By a lower-case name: exact before `*.`.
    #[must_use]
    pub fn find(&self, server_name: Option<&str>) -> &Arc<Context> {
        server_name.and_then(|name| self.by_host.get(name)).unwrap_or(&self.fallback)
    }

    /// What a connection with this context was asked, for its [`Peer`](portcullis_engine::peer::Peer). None without a
    /// name: the fallback asks for what any host wants, and the client could not ask better.
    #[must_use]
    pub fn asked(&self, context: &Context, server_name: Option<&str>) -> Option<Asked> {
        server_name?;
        Some(Asked { trust: context.trust, by_host: Arc::clone(self.trusts.as_ref()?) })
    }
}

impl Context {
    fn new(spec: &ContextSpec, provider: &Arc<CryptoProvider>) -> Result<Context, String> {
        let shown = certificates(&spec.certificate_pem)?;
        let key = PrivateKeyDer::from_pem_slice(spec.key_pem.as_bytes())
            .map_err(|error| format!("the key cannot be read: {error}"))?;
        let key =
            provider.key_provider.load_private_key(key).map_err(|error| format!("TLS cannot use this key: {error}"))?;
        let parts = x509::read(shown.first().ok_or("there is no certificate")?).ok_or("the certificate is not DER")?;
        if key.public_key().is_some_and(|public| public != parts.public_key) {
            return Err("the key does not belong to the certificate".to_owned());
        }
        let authorities = spec.authorities_pem.as_deref().map(certificates).transpose()?;
        let trust = digest_of(authorities.as_deref());
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match authorities {
            Some(authorities) => {
                let algorithms = provider.signature_verification_algorithms;
                builder.with_client_cert_verifier(Arc::new(Possession::new(&authorities, algorithms)))
            }
            None => builder.with_no_client_auth(),
        };
        // Not `with_single_cert`: webpki would have to read the certificate, and it need not please webpki.
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(shown, key))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets::of(trust).map_err(|error| error.to_string())?;
        let [a, b, c, d, e, f, g, h, ..] = trust;
        Ok(Context { config: Arc::new(config), trust: u64::from_be_bytes([a, b, c, d, e, f, g, h]) })
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("a certificate cannot be read: {error}"))
}

/// The same for the same certificates in any order, and for none another than for not asking.
fn digest_of(authorities: Option<&[CertificateDer<'_>]>) -> TrustKey {
    let mut digests: Vec<_> = authorities.unwrap_or_default().iter().map(|der| digest(&SHA256, der)).collect();
    digests.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    digests.dedup_by(|a, b| a.as_ref() == b.as_ref());
    let mut whole = vec![u8::from(authorities.is_some())];
    digests.iter().for_each(|digest| whole.extend_from_slice(digest.as_ref()));
    digest(&SHA256, &whole).as_ref().try_into().expect("32 bytes")
}
