//! What TLS of an HTTP/2 connection costs the edge thread: handshakes, and a request and response over an open one.
//! Clients run in the same thread, outside the time that is taken.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_listener::tls::{Ahead, ContextSpec, Contexts};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;

fn server(asks: bool) -> (Arc<ServerConfig>, RootCertStore) {
    let key = KeyPair::generate().unwrap();
    let shown = CertificateParams::new(vec!["api.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let spec = ContextSpec {
        host: "api.test".to_owned(),
        certificate_pem: shown.pem(),
        key_pem: key.serialize_pem(),
        authorities_pem: asks.then(|| shown.pem()),
    };
    let mut roots = RootCertStore::empty();
    roots.add(shown.der().clone()).unwrap();
    (Arc::clone(&Contexts::new(&spec, &[]).unwrap().find(None).config), roots)
}

fn client(roots: &RootCertStore, shows: bool, resumes: bool) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone());
    let mut config = if shows {
        let key = KeyPair::generate().unwrap();
        let shown = CertificateParams::default().self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder.with_client_auth_cert(vec![shown.der().clone()], key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    if !resumes {
        config.resumption = rustls::client::Resumption::disabled();
    }
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// A handshake; answers what the server's side of it took.
fn shake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Duration {
    let name = ServerName::try_from("api.test").unwrap();
    let mut theirs = ClientConnection::new(Arc::clone(client), name).unwrap();
    let (mut took, mut wire) = (Duration::ZERO, Vec::new());
    let began = Instant::now();
    let mut ours = ServerConnection::new(Arc::clone(server)).unwrap();
    took += began.elapsed();
    while theirs.is_handshaking() || ours.is_handshaking() || ours.wants_write() || theirs.wants_write() {
        wire.clear();
        while theirs.wants_write() {
            theirs.write_tls(&mut wire).unwrap();
        }
        let (mut given, mut answer) = (&wire[..], Vec::with_capacity(8192));
        let began = Instant::now();
        while !given.is_empty() {
            ours.read_tls(&mut given).unwrap();
            ours.process_new_packets().unwrap();
        }
        while ours.wants_write() {
            ours.write_tls(&mut answer).unwrap();
        }
        took += began.elapsed();
        let mut given = &answer[..];
        while !given.is_empty() {
            theirs.read_tls(&mut given).unwrap();
            theirs.process_new_packets().unwrap();
        }
    }
    took
}

fn handshakes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    for (name, asks, shows, resumes) in [
        ("no certificate asked for", false, false, false),
        ("none shown", true, false, false),
        ("P-256", true, true, false),
        ("resumed, P-256", true, true, true),
    ] {
        let (server, roots) = server(asks);
        let client = client(&roots, shows, resumes);
        shake(&server, &client);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| shake(&server, &client)).sum());
        });
    }
}

/// Bytes that a client has sent, and those for it.
#[derive(Default)]
struct Wire {
    came: Vec<u8>,
    taken: usize,
    sent: Vec<u8>,
    reads: u64,
    writes: u64,
}

#[derive(Clone, Default)]
struct End(Rc<RefCell<Wire>>);

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        let count = buffer.remaining().min(wire.came.len() - wire.taken);
        if count == 0 {
            return Poll::Pending;
        }
        wire.reads += 1;
        buffer.put_slice(&wire.came[wire.taken..wire.taken + count]);
        wire.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        wire.writes += 1;
        wire.sent.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The client's side of an open connection.
struct Client(ClientConnection, End);

impl Client {
    fn exchange(&mut self) {
        let wire = &mut *self.1.0.borrow_mut();
        let mut given = &wire.sent[..];
        while !given.is_empty() {
            self.0.read_tls(&mut given).unwrap();
            let state = self.0.process_new_packets().unwrap();
            let mut sink = vec![0; state.plaintext_bytes_to_read()];
            io::Read::read_exact(&mut self.0.reader(), &mut sink).unwrap();
        }
        wire.sent.clear();
        wire.came.clear();
        wire.taken = 0;
        while self.0.wants_write() {
            self.0.write_tls(&mut wire.came).unwrap();
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        io::Write::write_all(&mut self.0.writer(), bytes).unwrap();
        self.exchange();
    }
}

fn opened() -> (Client, tokio_rustls::server::TlsStream<Ahead<End>>) {
    let (server, roots) = server(true);
    let name = ServerName::try_from("api.test").unwrap();
    let end = End::default();
    let mut connection = ClientConnection::new(client(&roots, true, false), name).unwrap();
    connection.set_buffer_limit(None);
    let mut client = Client(connection, end.clone());
    let mut accepting = pin!(TlsAcceptor::from(server).accept(Ahead::new(end)));
    let context = &mut Context::from_waker(Waker::noop());
    loop {
        client.exchange();
        if let Poll::Ready(stream) = accepting.as_mut().poll(context) {
            client.exchange();
            return (client, stream.unwrap());
        }
    }
}

fn open(criterion: &mut Criterion) {
    let (mut client, mut stream) = opened();
    let context = &mut Context::from_waker(Waker::noop());
    let mut into = vec![0; 16 * 1024];
    for (name, request, response) in [("60 B, 200 B back", 60, 200), ("60 B, 16 KiB back", 60, 16_000)] {
        let (request, response) = (vec![1; request], vec![2; response]);
        criterion.bench_function(&format!("request of {name}"), |bencher| {
            bencher.iter_custom(|count| {
                let mut took = Duration::ZERO;
                for _ in 0..count {
                    client.say(&request);
                    let began = Instant::now();
                    let mut buffer = ReadBuf::new(&mut into);
                    assert!(Pin::new(&mut stream).poll_read(context, &mut buffer).is_ready());
                    assert_eq!(buffer.filled().len(), request.len());
                    let mut buffer = ReadBuf::new(&mut into);
                    assert!(Pin::new(&mut stream).poll_read(context, &mut buffer).is_pending());
                    let written = Pin::new(&mut stream).poll_write(context, &response);
                    assert!(matches!(written, Poll::Ready(Ok(length)) if length == response.len()));
                    assert!(Pin::new(&mut stream).poll_flush(context).is_ready());
                    took += began.elapsed();
                }
                took
            });
        });
    }
    let upload = vec![3; 1024 * 1024];
    criterion.bench_function("upload of 1 MiB", |bencher| {
        bencher.iter_custom(|count| {
            let (mut took, mut reads) = (Duration::ZERO, 0);
            for _ in 0..count {
                client.say(&upload);
                let before = client.1.0.borrow().reads;
                let began = Instant::now();
                let mut left = upload.len();
                while left > 0 {
                    let mut buffer = ReadBuf::new(&mut into);
                    assert!(Pin::new(&mut stream).poll_read(context, &mut buffer).is_ready());
                    left -= buffer.filled().len();
                }
                took += began.elapsed();
                reads += client.1.0.borrow().reads - before;
            }
            if count == 1 {
                println!("{reads} reads for 1 MiB");
            }
            took
        });
    });
}

criterion_group!(benches, handshakes, open);
criterion_main!(benches);
