//! A small PKI: authorities that issue, leaves as PEM, and DER made by hand for what rcgen refuses to make.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, RevokedCertParams,
    SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};

use crate::mtls::{Certificate, Standings, TrustSet, Verdict};
use crate::policy::{Authority, Problem};
use crate::reason::Reason;

/// 2030-01-01: the moment of every judgement. What is made without dates is valid from 2025 to 2035.
pub const NOW: u64 = 1_893_456_000;
pub const YEAR: u64 = 365 * 86_400;

/// An authority that can issue: its certificate, and its key.
pub struct Ca {
    pub pem: String,
    pub der: Vec<u8>,
    pub issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn root(name: &str) -> Ca {
        Ca::root_with(name, |_| {})
    }

    pub fn root_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Ca {
        let mut params = ca_params(name);
        change(&mut params);
        Ca::root_of(params, KeyPair::generate().unwrap())
    }

    pub fn root_of(params: CertificateParams, key: KeyPair) -> Ca {
        let certificate = params.self_signed(&key).unwrap();
        Ca::new(&certificate, params, key)
    }

    pub fn sub(&self, name: &str) -> Ca {
        self.sub_with(name, |_| {})
    }

    pub fn sub_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Ca {
        let mut params = ca_params(name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Ca::new(&certificate, params, key)
    }

    fn new(certificate: &rcgen::Certificate, params: CertificateParams, key: KeyPair) -> Ca {
        Ca { pem: certificate.pem(), der: certificate.der().to_vec(), issuer: Issuer::new(params, key) }
    }

    pub fn leaf(&self) -> Certificate {
        self.leaf_with(|_| {})
    }

    pub fn leaf_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        self.leaf_of(&KeyPair::generate().unwrap(), change)
    }

    pub fn leaf_of(&self, key: &impl PublicKeyData, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        Certificate::from_pem(&self.leaf_pem(key, change))
    }

    pub fn leaf_pem(&self, key: &impl PublicKeyData, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = leaf_params();
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// A list of the given serials, good for a year.
    pub fn crl(&self, serials: &[&[u8]]) -> String {
        self.crl_with(serials, |_| {})
    }

    pub fn crl_with(&self, serials: &[&[u8]], change: impl FnOnce(&mut CertificateRevocationListParams)) -> String {
        let mut params = CertificateRevocationListParams {
            this_update: date_time_ymd(2029, 12, 1),
            next_update: date_time_ymd(2031, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(serial),
                    revocation_time: date_time_ymd(2029, 6, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// An authority of the policy with this certificate as its anchor.
    pub fn authority(&self) -> Authority {
        Authority {
            name: "devices".into(),
            at: "/authorities/devices".into(),
            certificates: self.pem.clone(),
            ..Authority::default()
        }
    }

    pub fn trust(&self) -> TrustSet {
        trust(&self.authority())
    }
}

pub fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2035, 1, 1);
    params
}

pub fn leaf_params() -> CertificateParams {
    let mut params = ca_params("client");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Compiles an authority that has to be without problems.
pub fn trust(authority: &Authority) -> TrustSet {
    let mut problems = Vec::new();
    let set = TrustSet::compile(&[authority], NOW, &mut problems);
    assert_eq!(problems, [], "the authority should compile");
    set
}

pub fn problems(authority: &Authority) -> Vec<Problem> {
    let mut problems = Vec::new();
    let _ = TrustSet::compile(&[authority], NOW, &mut problems);
    problems
}

pub fn intermediates(authority: Authority, certificates: &[&Ca]) -> Authority {
    Authority { intermediates: certificates.iter().map(|ca| ca.pem.as_str()).collect(), ..authority }
}

pub fn crls(authority: Authority, crls: &[&str]) -> Authority {
    Authority { crls: crls.iter().map(|crl| (*crl).to_owned()).collect(), ..authority }
}

#[track_caller]
pub fn assert_passes(set: &TrustSet, certificate: &Certificate) -> Verdict {
    let verdict = set.verify(certificate, &Standings::default(), NOW);
    assert_eq!(verdict.fault, None);
    assert!(verdict.expires_at > NOW);
    verdict
}

#[track_caller]
pub fn assert_denies(set: &TrustSet, certificate: &Certificate, reason: Reason) -> Verdict {
    let verdict = set.verify(certificate, &Standings::default(), NOW);
    assert_eq!(verdict.fault, Some(reason));
    assert!(verdict.expires_at > NOW, "a denial may be kept for a while");
    assert!(verdict.expires_at <= NOW + 300, "a denial has to be looked at again");
    verdict
}

pub fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// One DER element.
pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=127 => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[bytes.iter().position(|&byte| byte != 0).unwrap()..];
            out.push(0x80 | bytes.len() as u8);
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

pub const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
pub const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];

/// SEQUENCE { tbs, algorithm, signature }, the shape of certificates and revocation lists.
pub fn signed(tbs: &[u8], algorithm: &[u8], key: &impl SigningKey) -> Vec<u8> {
    let algorithm = der(0x30, &[&der(0x06, &[algorithm])]);
    let signature = key.sign(tbs).unwrap();
    der(0x30, &[tbs, &algorithm, &der(0x03, &[&[0], &signature])])
}

/// A certificate by hand. `version` and `extensions` are whole elements, or empty.
pub fn certificate_by_hand(
    version: &[u8],
    algorithm: &[u8],
    issuer: &str,
    subject: &str,
    subject_key: &impl PublicKeyData,
    extensions: &[u8],
    key: &impl SigningKey,
) -> Vec<u8> {
    let tbs = der(
        0x30,
        &[
            version,
            &der(0x02, &[&[7]]),
            &der(0x30, &[&der(0x06, &[algorithm])]),
            &common_name(issuer),
            &der(0x30, &[&der(0x17, &[b"250101000000Z"]), &der(0x17, &[b"350101000000Z"])]),
            &common_name(subject),
            &subject_key.subject_public_key_info(),
            extensions,
        ],
    );
    signed(&tbs, algorithm, key)
}

pub fn common_name(name: &str) -> Vec<u8> {
    let attribute = der(0x30, &[&der(0x06, &[&[0x55, 4, 3]]), &der(0x0c, &[name.as_bytes()])]);
    der(0x30, &[&der(0x31, &[&attribute])])
}

pub const VERSION_3: &[u8] = &[0xa0, 3, 2, 1, 2];

/// A public key that is only carried, never used: for kinds that the cryptographic library will not make.
pub struct CarriedKey {
    pub algorithm: Vec<u8>,
    pub key: Vec<u8>,
}

impl PublicKeyData for CarriedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }

    fn subject_public_key_info(&self) -> Vec<u8> {
        der(0x30, &[&der(0x30, &[&self.algorithm]), &der(0x03, &[&[0], &self.key])])
    }
}

/// An RSA key of the given size; the modulus is odd and has its highest bit set, and is no product of primes.
pub fn rsa_key(bits: usize) -> CarriedKey {
    let mut modulus = vec![0xa5; bits / 8];
    *modulus.last_mut().unwrap() |= 1;
    let oid = der(0x06, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]]);
    CarriedKey {
        algorithm: [oid, vec![5, 0]].concat(),
        key: der(0x30, &[&der(0x02, &[&[0], &modulus]), &der(0x02, &[&[1, 0, 1]])]),
    }
}

/// A point on the named curve, or rather bytes of its length.
pub fn ec_key(curve: &[u8], length: usize) -> CarriedKey {
    let ec = der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]]);
    CarriedKey { algorithm: [ec, der(0x06, &[curve])].concat(), key: [vec![4], vec![0x5a; length * 2]].concat() }
}
