//! Any bytes become a certificate or one with a fault; its fields can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::mtls::{Certificate, CertificateField, TrustSet};

fuzz_target!(|der: &[u8]| {
    let encoded = base64(der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
    let certificate = Certificate::from_pem(&pem);
    let _ = certificate.field(CertificateField::SubjectDn);
    let _ = certificate.field(CertificateField::NotAfter);
    let trust = TrustSet::compile(&[], 1_800_000_000, &mut Vec::new());
    assert!(trust.verify(&certificate, 1_800_000_000).fault.is_some(), "nobody is trusted by an empty set");
});

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = if place <= chunk.len() { DIGITS[(word >> (18 - 6 * place)) as usize & 63] } else { b'=' };
            out.push(digit as char);
        }
    }
    out
}
