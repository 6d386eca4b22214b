//! Any bytes become a certificate or one with a fault; its fields can be read.
#![no_main]

mod ask;

use ask::base64;
use libfuzzer_sys::fuzz_target;
use portcullis_engine::mtls::{Certificate, CertificateField, Standings, TrustSet};

fuzz_target!(|der: &[u8]| {
    let encoded = base64(der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
    let certificate = Certificate::from_pem(&pem);
    let _ = certificate.field(CertificateField::SubjectDn);
    let _ = certificate.field(CertificateField::NotAfter);
    let trust = TrustSet::compile(&[], 1_800_000_000, &mut Vec::new());
    let verdict = trust.verify(&certificate, &Standings::default(), 1_800_000_000);
    assert!(verdict.fault.is_some(), "nobody is trusted by an empty set");
});
