//! What a client certificate costs: once a certificate (`from_pem`, the first `field`), once a verdict (`verify`), once
//! a change of what is revoked (`renew`), and once a request (a `field` that has been read).
//!
//! `signatures` is the bare work that no verification can do without: the one or two checks of a path, by the same
//! library. `verify` may take 1.15 times that, with and without a list of a million serials.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use portcullis_engine::mtls::{Certificate, CertificateField, Change, Named, Standings, TrustSet};
use portcullis_engine::policy::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use x509_parser::parse_x509_certificate;

/// 2030-01-01
const NOW: u64 = 1_893_456_000;
const SERIALS: u64 = 1_000_000;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2035, 1, 1);
    params
}

fn ca(name: &str) -> CertificateParams {
    let mut ca = params(name);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca
}

/// A serial of 16 octets, as authorities draw them.
fn serial(number: u64) -> SerialNumber {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    SerialNumber::from_slice(&[[0x40; 8], spread.to_be_bytes()].concat())
}

fn list(issuer: &CertifiedIssuer<'_, KeyPair>) -> Vec<u8> {
    let revoked = |number| RevokedCertParams {
        serial_number: serial(number),
        revocation_time: date_time_ymd(2029, 6, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2029, 12, 1),
        next_update: date_time_ymd(2031, 1, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: (0..SERIALS).map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

/// The checks of a path's signatures and nothing else, of certificates that were read before.
fn signatures(path: &[(Vec<u8>, Vec<u8>)]) -> impl Fn() {
    let read = path.iter().map(|(certificate, issuer)| {
        let (_, certificate) = parse_x509_certificate(certificate).unwrap();
        let (_, issuer) = parse_x509_certificate(issuer).unwrap();
        let key = issuer.public_key().subject_public_key.data.to_vec();
        (key, certificate.tbs_certificate.as_ref().to_vec(), certificate.signature_value.data.to_vec())
    });
    let read: Vec<_> = read.collect();
    move || {
        for (key, tbs, signature) in &read {
            let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, black_box(key)).unwrap();
            key.verify_sig(tbs, signature).unwrap();
        }
    }
}

fn bench(criterion: &mut Criterion) {
    let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
    let issuing = CertifiedIssuer::signed_by(ca("issuing"), KeyPair::generate().unwrap(), &root).unwrap();
    let mut leaf = params("client");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let of_root = leaf.signed_by(&key, &root).unwrap();
    let of_issuing = leaf.signed_by(&key, &issuing).unwrap();
    let (pem_of_root, pem_of_issuing) = (of_root.pem(), of_issuing.pem());
    let authority = Authority { certificates: root.pem(), intermediates: issuing.pem(), ..Authority::default() };
    let compiled = portcullis_engine::mtls::Authority::compile(&authority, NOW, &mut Vec::new()).into();
    let trust = TrustSet::of(vec![std::sync::Arc::clone(&compiled)]);
    let (short, long) = (Certificate::from_pem(&pem_of_root), Certificate::from_pem(&pem_of_issuing));
    let none = Standings::default();
    assert_eq!((trust.verify(&short, &none, NOW).fault, trust.verify(&long, &none, NOW).fault), (None, None));

    let million = Standings::default();
    for issuer in [&root, &issuing] {
        let list = list(issuer);
        let start = Instant::now();
        million.load_list(&compiled, &list).unwrap();
        println!("a list of a million serials, {} MB: loaded in {} ms", list.len() >> 20, start.elapsed().as_millis());
    }
    let mut revoked = leaf.clone();
    revoked.serial_number = Some(serial(SERIALS / 2));
    let revoked = Certificate::from_pem(&revoked.signed_by(&key, &root).unwrap().pem());
    assert!(trust.verify(&revoked, &million, NOW).fault.is_some());

    let mut group = criterion.benchmark_group("mtls");
    group.bench_function("from_pem", |bencher| bencher.iter(|| Certificate::from_pem(black_box(&pem_of_root))));
    let bytes = |der: &[u8]| der.to_vec();
    let first = (bytes(of_root.der()), bytes(root.der()));
    let both = [(bytes(of_issuing.der()), bytes(issuing.der())), (bytes(issuing.der()), bytes(root.der()))];
    for (name, certificate, bare) in
        [("path of two", &short, signatures(&[first])), ("path of three", &long, signatures(&both))]
    {
        group.bench_function(format!("signatures, P-256, {name}"), |bencher| bencher.iter(&bare));
        for (with, standings) in [("", &none), (", a million revoked", &million)] {
            group.bench_function(format!("verify, P-256, {name}{with}"), |bencher| {
                bencher.iter(|| trust.verify(black_box(certificate), standings, NOW));
            });
        }
        // Two look-ups' difference is the cost of a link in a path whose verdict is kept.
        let other = Named { key_id: "00".repeat(32), serial: "01".into() };
        million.change(&Change { revoked: vec![other], ..Change::default() }).unwrap();
        let mut verdict = trust.verify(certificate, &million, NOW);
        group.bench_function(format!("renew, nothing changed, {name}"), |bencher| {
            bencher.iter(|| trust.renew(black_box(&mut verdict), certificate, &million, NOW));
        });
        group.bench_function(format!("renew, the epoch moved, {name}, a million revoked"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    million.change(&Change::default()).unwrap();
                    let start = Instant::now();
                    black_box(trust.renew(&mut verdict, certificate, &million, NOW));
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.bench_function("field, first of a certificate", |bencher| {
        bencher.iter_batched_ref(
            || Certificate::from_pem(&pem_of_root),
            |certificate| certificate.field(CertificateField::SubjectDn).len(),
            BatchSize::SmallInput,
        );
    });
    group
        .bench_function("field", |bencher| bencher.iter(|| black_box(&short).field(CertificateField::SubjectDn).len()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = bench
}
criterion_main!(benches);
