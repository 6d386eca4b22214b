//! What a client certificate costs: once a certificate (`from_pem`, the first `field`), once a verdict (`verify`), and
//! once a request (a `field` that has been read).

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use portcullis_engine::mtls::{Certificate, CertificateField, Standings, TrustSet};
use portcullis_engine::policy::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// 2030-01-01
const NOW: u64 = 1_893_456_000;

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

fn bench(criterion: &mut Criterion) {
    let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
    let issuing = CertifiedIssuer::signed_by(ca("issuing"), KeyPair::generate().unwrap(), &root).unwrap();
    let mut leaf = params("client");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let pem_of_root = leaf.signed_by(&key, &root).unwrap().pem();
    let pem_of_issuing = leaf.signed_by(&key, &issuing).unwrap().pem();
    let authority = Authority { certificates: root.pem(), intermediates: issuing.pem(), ..Authority::default() };
    let trust = TrustSet::compile(&[&authority], NOW, &mut Vec::new());
    let (short, long) = (Certificate::from_pem(&pem_of_root), Certificate::from_pem(&pem_of_issuing));
    assert_eq!(
        (trust.verify(&short, &Standings::default(), NOW).fault, trust.verify(&long, &Standings::default(), NOW).fault),
        (None, None)
    );

    let mut group = criterion.benchmark_group("mtls");
    group.bench_function("from_pem", |bencher| bencher.iter(|| Certificate::from_pem(black_box(&pem_of_root))));
    group.bench_function("verify, P-256, path of two", |bencher| {
        bencher.iter(|| trust.verify(black_box(&short), &Standings::default(), NOW))
    });
    group.bench_function("verify, P-256, path of three", |bencher| {
        bencher.iter(|| trust.verify(black_box(&long), &Standings::default(), NOW));
    });
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
