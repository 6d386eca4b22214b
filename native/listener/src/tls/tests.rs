//! Handshakes over socket pairs, with rustls at the other end; every certificate is made here.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis_reactor::{Socket, epoll, sleep, spawn};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::handshake::handshake_within;
use super::*;

const KINDS: [&SignatureAlgorithm; 5] =
    [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512, &PKCS_ED25519, &PKCS_RSA_SHA256];
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

// --- certificates -------------------------------------------------------------------------------------------------

struct Ca {
    pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Ca {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Ca { pem: certificate.pem(), der: certificate.der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn client(&self, kind: &'static SignatureAlgorithm) -> Client {
        let key = KeyPair::generate_for(kind).unwrap();
        let leaf = named("client").signed_by(&key, &self.issuer).unwrap();
        Client { chain: vec![leaf.der().to_vec()], key }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

struct Client {
    chain: Vec<Vec<u8>>,
    key: KeyPair,
}

/// A host's own certificate, and what it asks for.
fn host_of(name: &str, kind: &'static SignatureAlgorithm, authorities: Option<&[&Ca]>) -> ContextSpec {
    let key = KeyPair::generate_for(kind).unwrap();
    let shown = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    ContextSpec {
        host: name.to_owned(),
        certificate_pem: shown.pem(),
        key_pem: key.serialize_pem(),
        authorities_pem: authorities.map(|all| all.iter().map(|ca| ca.pem.as_str()).collect()),
    }
}

fn host(name: &str, authorities: Option<&[&Ca]>) -> ContextSpec {
    host_of(name, &PKCS_ECDSA_P256_SHA256, authorities)
}

fn only(spec: &ContextSpec) -> Arc<Context> {
    Arc::clone(Contexts::new(spec, &[]).unwrap().find(None))
}

/// One DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let head = match content.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

/// A certificate of version 1 as `openssl x509 -req` makes it: neither version nor extensions.
fn version_1(key: &KeyPair) -> Vec<u8> {
    use rcgen::PublicKeyData;
    let algorithm = der(0x30, &der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]));
    let name = der(0x30, &der(0x31, &der(0x30, &[der(0x06, &[0x55, 4, 3]), der(0x0c, b"old")].concat())));
    let dates = der(0x30, &[der(0x17, b"250101000000Z"), der(0x17, b"350101000000Z")].concat());
    let parts = [der(0x02, &[7]), algorithm.clone(), name.clone(), dates, name, key.subject_public_key_info()];
    let fields = der(0x30, &parts.concat());
    let signature = rcgen::SigningKey::sign(key, &fields).unwrap();
    der(0x30, &[fields, algorithm, der(0x03, &[&[0], &signature[..]].concat())].concat())
}

// --- the other end ------------------------------------------------------------------------------------------------

/// Takes any host's certificate.
#[derive(Debug)]
struct Anyone;

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
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Shows a chain whatever is asked for, and keeps the hints.
#[derive(Debug, Default)]
struct Shows {
    certified: Option<Arc<CertifiedKey>>,
    /// None: no certificate was asked for.
    hints: Mutex<Option<Vec<Vec<u8>>>>,
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.hints.lock().unwrap() = Some(hints.iter().map(|hint| hint.to_vec()).collect());
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn shows(client: Option<&Client>) -> Arc<Shows> {
    let certified = client.map(|client| {
        let key = PrivateKeyDer::try_from(client.key.serialize_der()).unwrap();
        let chain = client.chain.iter().cloned().map(CertificateDer::from).collect();
        Arc::new(CertifiedKey::new(chain, any_supported_type(&key).unwrap()))
    });
    Arc::new(Shows { certified, hints: Mutex::default() })
}

fn config(shown: &Arc<Shows>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_cert_resolver(Arc::clone(shown) as _);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn pair() -> (Socket, Socket) {
    let (left, right) = UnixStream::pair().unwrap();
    let watched = |stream: UnixStream| {
        stream.set_nonblocking(true).unwrap();
        Socket::new(stream.into()).unwrap()
    };
    (watched(left), watched(right))
}

/// What the door learned of a connection.
#[derive(Debug, PartialEq)]
struct Seen {
    chain: Vec<Vec<u8>>,
    resumed: bool,
    version: &'static str,
    alpn: Option<Vec<u8>>,
}

/// One connection: the client says `ping`, and is answered, so that it gets tickets too.
fn connect(context: &Arc<Context>, config: &Arc<ClientConfig>, name: &str) -> Result<Seen, Failure> {
    let (context, config) = (Arc::clone(context), Arc::clone(config));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    epoll::block_on(async move {
        let (ours, theirs) = pair();
        spawn(async move {
            let Ok(mut stream) = TlsConnector::from(config).connect(name, theirs).await else { return };
            let _ = stream.write_all(b"ping").await;
            let _ = stream.flush().await;
            let _ = stream.read_exact(&mut [0; 4]).await;
        });
        let established = handshake(&context, ours).await;
        let Established { mut stream, chain, resumed, version, .. } =
            established.map_err(|error| Failure::of(&error))?;
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.map_err(|error| Failure::of(&error))?;
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        // The client ends when it has read the answer.
        let _ = stream.read(&mut bytes).await;
        Ok(Seen { chain, resumed, version, alpn })
    })
}

fn seen(context: &Arc<Context>, client: Option<&Client>, version: &'static SupportedProtocolVersion) -> Seen {
    connect(context, &Arc::new(config(&shows(client), &[version])), "api.example.com").unwrap()
}

// --- what is shown ------------------------------------------------------------------------------------------------

#[test]
fn shows_certificates_of_all_kinds_of_keys() {
    for kind in KINDS {
        let context = only(&host_of("api.example.com", kind, None));
        for version in VERSIONS {
            let seen = seen(&context, None, version);
            assert_eq!((seen.chain.len(), seen.resumed), (0, false), "{kind:?}");
            assert_eq!(seen.alpn.as_deref(), Some(&b"h2"[..]), "of both protocols");
        }
    }
}

#[test]
fn shows_a_certificate_of_version_1() {
    let key = KeyPair::generate().unwrap();
    let pem = rcgen_pem(&version_1(&key));
    let spec =
        ContextSpec { host: "old".into(), certificate_pem: pem, key_pem: key.serialize_pem(), authorities_pem: None };
    assert!(Contexts::new(&spec, &[]).is_ok());
}

fn rcgen_pem(der: &[u8]) -> String {
    let mut base64 = String::new();
    for triple in der.chunks(3) {
        let bits = triple.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - triple.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 63) as usize;
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            base64.push(if place > triple.len() { '=' } else { char::from(alphabet[digit]) });
        }
    }
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

#[test]
fn refuses_what_does_not_belong_together() {
    let (one, other) = (host("one", None), host("other", None));
    let problem = |spec: ContextSpec| Contexts::new(&one, &[spec]).unwrap_err();
    assert_eq!(
        problem(ContextSpec { key_pem: other.key_pem.clone(), ..one.clone() }),
        "one: the key does not belong to the certificate"
    );
    assert!(problem(ContextSpec { key_pem: String::new(), ..one.clone() }).contains("the key cannot be read"));
    assert_eq!(problem(ContextSpec { certificate_pem: String::new(), ..one.clone() }), "one: there is no certificate");
}

#[test]
fn the_name_finds_the_context_and_no_name_the_fallback() {
    let specs = [host("api.example.com", None), host("*.example.com", None)];
    let contexts = Contexts::new(&host("first", None), &specs).unwrap();
    let [fallback, exact, star] =
        [None, Some("api.example.com"), Some("www.example.com")].map(|name| contexts.find(name));
    assert!(!Arc::ptr_eq(fallback, exact) && !Arc::ptr_eq(exact, star) && !Arc::ptr_eq(star, fallback));
    for name in ["example.com", "a.b.example.com", "first", ""] {
        assert!(Arc::ptr_eq(contexts.find(Some(name)), fallback), "{name:?}");
    }
}

// --- what is asked for --------------------------------------------------------------------------------------------

#[test]
fn hints_are_the_subjects_of_the_hosts_authorities() {
    let (devices, partners) = (Ca::new("devices"), Ca::new("partners"));
    for version in VERSIONS {
        let hints = |authorities: Option<&[&Ca]>| {
            let shown = shows(None);
            let client = Arc::new(config(&shown, &[version]));
            connect(&only(&host("api", authorities)), &client, "api").unwrap();
            shown.hints.lock().unwrap().clone()
        };
        assert_eq!(hints(None), None, "a host that wants none asks for none");
        let named = hints(Some(&[&devices, &partners, &devices])).unwrap();
        assert_eq!(named.len(), 2);
        for (hint, name) in named.iter().zip(["devices", "partners"]) {
            assert!(hint.windows(name.len()).any(|part| part == name.as_bytes()), "{hint:?}");
        }
    }
}

#[test]
fn more_names_than_a_record_holds_are_not_hinted_at() {
    let long = "authority ".repeat(60);
    let many: Vec<Ca> = (0..30).map(|number| Ca::new(&format!("{long}{number}"))).collect();
    let shown = shows(None);
    let context = only(&host("api", Some(&many.iter().collect::<Vec<_>>())));
    connect(&context, &Arc::new(config(&shown, &VERSIONS)), "api").unwrap();
    assert_eq!(*shown.hints.lock().unwrap(), Some(Vec::new()), "asked for, without hints");
}

#[test]
fn takes_any_certificate_whose_key_the_client_has() {
    let (devices, strangers) = (Ca::new("devices"), Ca::new("strangers"));
    let context = only(&host("api.example.com", Some(&[&devices])));
    for version in VERSIONS {
        assert_eq!(seen(&context, None, version).chain.len(), 0, "none is taken too");
        for (authority, kind) in KINDS.iter().flat_map(|kind| [(&devices, kind), (&strangers, kind)]) {
            let mut client = authority.client(kind);
            client.chain.push(authority.der.clone());
            let seen = seen(&context, Some(&client), version);
            assert_eq!((seen.chain, seen.version), (client.chain, version_name(version)), "{kind:?}");
        }
        let key = KeyPair::generate().unwrap();
        let old = Client { chain: vec![version_1(&key)], key };
        assert_eq!(seen(&context, Some(&old), version).chain, old.chain, "version 1, which webpki does not read");
    }
}

fn version_name(version: &SupportedProtocolVersion) -> &'static str {
    if version.version == rustls::ProtocolVersion::TLSv1_3 { "TLSv1.3" } else { "TLSv1.2" }
}

#[test]
fn refuses_a_certificate_whose_key_the_client_has_not() {
    let devices = Ca::new("devices");
    let context = only(&host("api", Some(&[&devices])));
    for version in VERSIONS {
        for kind in KINDS {
            let mut stolen = devices.client(kind);
            stolen.key = KeyPair::generate_for(kind).unwrap();
            let client = Arc::new(config(&shows(Some(&stolen)), &[version]));
            assert_eq!(connect(&context, &client, "api"), Err(Failure::Certificate), "{kind:?}");
            // Nor does another kind of key help.
            let other = KINDS[usize::from(std::ptr::eq(kind, KINDS[0]))];
            stolen.key = KeyPair::generate_for(other).unwrap();
            let client = Arc::new(config(&shows(Some(&stolen)), &[version]));
            assert_eq!(connect(&context, &client, "api"), Err(Failure::Certificate), "{kind:?} with {other:?}");
        }
    }
}

#[test]
fn chains_are_bounded() {
    let devices = Ca::new("devices");
    let context = only(&host("api", Some(&[&devices])));
    let mut client = devices.client(KINDS[0]);
    client.chain.resize(MAX_CERTIFICATES, devices.der.clone());
    for version in VERSIONS {
        assert_eq!(seen(&context, Some(&client), version).chain.len(), MAX_CERTIFICATES);
    }
    client.chain.push(devices.der.clone());
    let mut large = devices.client(KINDS[0]);
    large.chain.push(vec![0x30; 64 * 1024]);
    let mut garbage = devices.client(KINDS[0]);
    garbage.chain[0] = vec![0x30, 3, 2, 1, 1];
    for version in VERSIONS {
        let failure = |client: &Client| {
            connect(&context, &Arc::new(config(&shows(Some(client)), &[version])), "api").unwrap_err()
        };
        assert_eq!(failure(&client), Failure::Certificate);
        assert_eq!(failure(&large), Failure::Malformed);
        assert_eq!(failure(&garbage), Failure::Certificate);
    }
}

// --- sessions -----------------------------------------------------------------------------------------------------

#[test]
fn a_session_goes_on_in_any_thread_with_the_chain_that_began_it() {
    let devices = Ca::new("devices");
    let spec = host("api", Some(&[&devices]));
    let (one, other) = (only(&spec), only(&spec));
    for version in VERSIONS {
        let mut client = devices.client(KINDS[0]);
        client.chain.push(devices.der.clone());
        let config = Arc::new(config(&shows(Some(&client)), &[version]));
        let first = connect(&one, &config, "api").unwrap();
        assert_eq!((first.resumed, &first.chain), (false, &client.chain));
        let context = Arc::clone(&other);
        let (config, chain) = (Arc::clone(&config), client.chain.clone());
        let second = std::thread::spawn(move || connect(&context, &config, "api").unwrap()).join().unwrap();
        assert_eq!((second.resumed, second.chain), (true, chain));
    }
}

/// One key for the tickets of two hosts lets a session bring its certificate to a host that never asked for it; ours
/// does not.
#[test]
fn no_session_goes_on_under_another_trust() {
    let (devices, partners) = (Ca::new("devices"), Ca::new("partners"));
    let one = only(&host("api", Some(&[&devices])));
    for other in [host("api", Some(&[&partners])), host("api", Some(&[&devices, &partners])), host("api", None)] {
        let other = only(&other);
        let mut careless = (*other.config).clone();
        careless.ticketer = Arc::clone(&one.config.ticketer);
        let careless = Arc::new(Context { config: Arc::new(careless), trust: other.trust });
        for version in VERSIONS {
            let client = devices.client(KINDS[0]);
            let go_on = |context: &Arc<Context>| {
                let config = Arc::new(config(&shows(Some(&client)), &[version]));
                connect(&one, &config, "api").unwrap();
                connect(context, &config, "api").unwrap().resumed
            };
            assert!(go_on(&one) && go_on(&careless), "sessions are offered, and a shared key takes them");
            assert!(!go_on(&other));
        }
    }
}

#[test]
fn no_session_goes_on_under_another_name() {
    let devices = Ca::new("devices");
    let specs = [host("one", Some(&[&devices])), host("two", Some(&[&devices]))];
    let contexts = Contexts::new(&specs[0], &specs).unwrap();
    for version in VERSIONS {
        let client = devices.client(KINDS[0]);
        let store = Resumption::in_memory_sessions(8);
        // A client that takes every host for the same.
        let mut config = config(&shows(Some(&client)), &[version]);
        config.resumption = store;
        let config = Arc::new(config);
        connect(contexts.find(Some("one")), &config, "one").unwrap();
        assert!(connect(contexts.find(Some("two")), &config, "one").unwrap().resumed, "the same trust, and name");
        assert!(!connect(contexts.find(Some("two")), &config, "two").unwrap().resumed);
    }
}

#[test]
fn sessions_with_long_chains_do_not_go_on() {
    let devices = Ca::new("devices");
    let context = only(&host("api", Some(&[&devices])));
    for version in VERSIONS {
        let mut client = devices.client(KINDS[0]);
        client.chain.push(vec![0x30; super::tickets::MAX_SESSION_BYTES]);
        let config = Arc::new(config(&shows(Some(&client)), &[version]));
        for _ in 0..2 {
            let seen = connect(&context, &config, "api").unwrap();
            assert_eq!((seen.resumed, &seen.chain), (false, &client.chain));
        }
    }
}

#[test]
fn a_connection_covers_hosts_that_ask_for_the_same() {
    let (devices, partners) = (Ca::new("devices"), Ca::new("partners"));
    let specs = [
        host("one", Some(&[&devices, &partners])),
        host("two", Some(&[&partners, &devices])),
        host("other", Some(&[&devices])),
        host("open", None),
    ];
    let contexts = Contexts::new(&specs[0], &specs).unwrap();
    let asked = |name| contexts.asked(contexts.find(Some(name)), Some(name)).unwrap();
    assert!(asked("one").covers("two") && asked("two").covers("one"));
    for (made, wanted) in [("one", "other"), ("other", "one"), ("one", "open"), ("open", "other"), ("nobody", "open")] {
        assert!(!asked(made).covers(wanted), "{made} for {wanted}");
    }
    assert!(asked("one").covers("nobody"), "who is not served is told so");
    assert!(contexts.asked(contexts.find(None), None).is_none(), "without a name");
    let alike = Contexts::new(&specs[0], &specs[..2]).unwrap();
    assert!(alike.asked(alike.find(Some("one")), Some("one")).is_none(), "nothing to compare");
}

// --- handshakes that fail -----------------------------------------------------------------------------------------

fn fails(client: impl AsyncFnOnce(Socket) + 'static) -> Failure {
    let context = only(&host("api", None));
    epoll::block_on(async move {
        let (ours, theirs) = pair();
        spawn(async move { client(theirs).await });
        let Err(error) = handshake_within(&context, ours, Duration::from_millis(300)).await else {
            panic!("it did not fail")
        };
        Failure::of(&error)
    })
}

async fn speak(mut socket: Socket, bytes: &[u8]) -> Socket {
    socket.write_all(bytes).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    socket
}

#[test]
fn failures_are_told_apart() {
    assert_eq!(fails(async |socket| drop(socket)), Failure::Closed);
    assert_eq!(fails(async |socket| drop(speak(socket, b"GET / HTTP/1.1\r\n\r\n").await)), Failure::Malformed);
    assert_eq!(fails(async |socket| drop(speak(socket, &[0x16, 3, 1, 0, 4, 9, 0, 0, 0]).await)), Failure::Malformed);
    let connecting = |config: ClientConfig| {
        fails(async move |socket| {
            let name = ServerName::try_from("api").unwrap();
            let _ = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        })
    };
    let mut only_http1 = config(&shows(None), &VERSIONS);
    only_http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert_eq!(connecting(only_http1), Failure::Incompatible);
    let wary = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    assert_eq!(connecting(wary), Failure::Alert, "it does not know the host's authority");
}

#[test]
fn who_says_nothing_or_speaks_slowly_is_not_waited_for() {
    let began = Instant::now();
    assert_eq!(fails(async |socket| drop(speak(socket, &[]).await)), Failure::Timeout);
    let slowly = async |mut socket: Socket| {
        for byte in [0x16, 3, 1, 2, 0].into_iter().chain(std::iter::repeat_n(1, 500)) {
            if socket.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(fails(slowly), Failure::Timeout);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn names_of_failures_are_labels() {
    let names: Vec<_> = outcomes().map(|(name, _)| name).collect();
    let failures = ["timeout", "closed", "alert", "incompatible", "certificate", "malformed"];
    assert_eq!(names, [&["full", "resumed"][..], &failures].concat());
    for (failure, name) in Failure::ALL.into_iter().zip(failures) {
        assert_eq!((failure.name(), Failure::ALL[failure as usize]), (name, failure));
    }
    assert_eq!(Failure::of(&io::Error::from(io::ErrorKind::ConnectionReset)), Failure::Closed);
}

// --- the reader of certificates -----------------------------------------------------------------------------------

mod reading {
    use proptest::prelude::*;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::super::x509;
    use super::{KINDS, KeyPair, named, version_1};

    #[test]
    fn reads_the_key_and_subject_that_x509_parser_reads() {
        for kind in KINDS {
            let key = KeyPair::generate_for(kind).unwrap();
            for der in [named("some name").self_signed(&key).unwrap().der().to_vec(), version_1(&key)] {
                let (_, expected) = X509Certificate::from_der(&der).unwrap();
                let parts = x509::read(&der).unwrap();
                assert_eq!(parts.public_key.as_ref(), expected.public_key().raw);
                assert!(expected.subject().as_raw().ends_with(parts.subject));
            }
        }
    }

    proptest! {
        /// Of whatever both can read, both find the same key.
        #[test]
        fn agrees_with_x509_parser_on_damaged_certificates(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            cuts in any::<bool>(),
        ) {
            thread_local! {
                static DER: Vec<u8> = named("a").self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
            }
            let mut der = DER.with(Clone::clone);
            for (at, byte) in changes {
                let at = at.index(der.len());
                der[at] = byte;
            }
            if cuts {
                der.truncate(cut.index(der.len()));
            }
            let parts = x509::read(&der);
            if let (Some(parts), Ok((rest, expected))) = (&parts, X509Certificate::from_der(&der)) {
                prop_assert!(rest.is_empty());
                // It leaves out what stands behind the key within its SEQUENCE; whoever checks a signature refuses that.
                prop_assert!(parts.public_key.as_ref().starts_with(expected.public_key().raw));
            }
        }
    }
}
