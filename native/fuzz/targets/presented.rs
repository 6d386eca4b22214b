//! Any bytes become a client's chain, as TLS hands it over: what the handshake reads of a certificate, x509-parser reads
//! alike, and nobody is trusted for what came along.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::mtls::{Certificate, CertificateField, Standings, TrustSet};
use portcullis_listener::tls::x509;
use x509_parser::prelude::{FromDer, X509Certificate};

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes say where the leaf ends, and the first issuer.
    let [first, second, rest @ ..] = bytes else { return };
    let (leaf, rest) = rest.split_at(usize::from(*first) * 8 % (rest.len() + 1));
    let (issuer, other) = rest.split_at(usize::from(*second) * 8 % (rest.len() + 1));
    if let (Some(parts), Ok((_, read))) = (x509::read(leaf), X509Certificate::from_der(leaf)) {
        // It leaves out what stands behind the key within its SEQUENCE; whoever checks a signature refuses that.
        assert!(parts.public_key.as_ref().starts_with(read.public_key().raw));
    }
    let certificate = Certificate::from_chain(leaf, &[issuer, other]);
    let _ = certificate.field(CertificateField::ChainRfc9440);
    let trust = TrustSet::compile(&[], 1_800_000_000, &mut Vec::new());
    let verdict = trust.verify(&certificate, &Standings::default(), 1_800_000_000);
    assert!(verdict.fault.is_some(), "nobody is trusted by an empty set");
});
