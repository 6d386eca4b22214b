//! How a certificate is told to origins: header lines, made once for a certificate and a selection of headers.
//!
//! Every value is made of parsed fields and holds printable ASCII alone, whatever the certificate holds. A value that
//! is too large is left out with its header: an origin that demands it then refuses, which a cut value would not make
//! it do.

use std::fmt::Write as _;

use super::fields::{MAX_RFC9440_BYTES, rfc9440};
use super::pem::pem;
use super::{Certificate, CertificateField, CertificateNames};
use crate::policy::CertificateHeader;

/// Largest `Client-Cert-Chain`: Cloudflare's bound of `cert_chain_rfc9440` (16 KiB), and what Node.js takes as a head.
pub(super) const MAX_CHAIN_BYTES: usize = 16 * 1024;
/// Largest `X-Forwarded-Client-Cert` and `X-SSL-Client-Cert`: what Node.js takes as a head. A certificate of 2 KiB with
/// two intermediates stays below 14 KiB in the former, which holds the leaf twice.
const MAX_PEM_VALUE_BYTES: usize = 16 * 1024;
/// Largest value of one of `Cf-Cert-*`: half of what nginx takes as a line; names of public authorities stay below 300.
const MAX_NAME_BYTES: usize = 4 * 1024;

/// Which headers a host's origin gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Forwarding {
    headers: Vec<CertificateHeader>,
    /// URI names of the host's own certificate: `By` of `X-Forwarded-Client-Cert`.
    by: Vec<String>,
}

impl Forwarding {
    #[must_use]
    pub fn new(headers: &[CertificateHeader], by: &[String]) -> Forwarding {
        Forwarding { headers: headers.to_vec(), by: by.to_vec() }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// The lines where there is no verified certificate: only Cloudflare's set says so.
    #[must_use]
    pub fn unverified(&self, presented: bool, revoked: bool) -> &'static str {
        if !self.headers.contains(&CertificateHeader::Cloudflare) {
            return "";
        }
        match (presented, revoked) {
            (false, _) => "cf-cert-revoked: false\r\ncf-cert-verified: false\r\ncf-cert-presented: false\r\n",
            (true, false) => "cf-cert-revoked: false\r\ncf-cert-verified: false\r\ncf-cert-presented: true\r\n",
            (true, true) => "cf-cert-revoked: true\r\ncf-cert-verified: false\r\ncf-cert-presented: true\r\n",
        }
    }

    /// The lines for a verified certificate, each ended by CR LF; `chain` is DER, without leaf and anchor.
    #[must_use]
    pub fn lines<'a>(&self, certificate: &Certificate, chain: impl Iterator<Item = &'a [u8]> + Clone) -> String {
        let mut lines = Lines(String::new());
        for header in &self.headers {
            match header {
                CertificateHeader::Rfc9440 => lines.put("client-cert", certificate.rfc9440(), MAX_RFC9440_BYTES),
                CertificateHeader::Chain => {
                    let value = chain_value(chain.clone()).unwrap_or_default();
                    lines.put("client-cert-chain", &value, MAX_CHAIN_BYTES);
                }
                CertificateHeader::Xfcc => {
                    let value = self.xfcc(certificate, chain.clone());
                    lines.put("x-forwarded-client-cert", &value, MAX_PEM_VALUE_BYTES);
                }
                CertificateHeader::Nginx => {
                    let value = percent(&pem(certificate.der()), is_unreserved);
                    lines.put("x-ssl-client-cert", &value, MAX_PEM_VALUE_BYTES);
                }
                CertificateHeader::Cloudflare => {
                    lines.0.push_str("cf-cert-revoked: false\r\ncf-cert-verified: true\r\ncf-cert-presented: true\r\n");
                    for (name, field) in CLOUDFLARE {
                        lines.put(name, certificate.field(field), MAX_NAME_BYTES);
                    }
                }
                CertificateHeader::Sha256 => {
                    lines.put("cf-client-cert-sha256", certificate.sha256_hex(), MAX_NAME_BYTES);
                }
            }
        }
        lines.0
    }

    /// Envoy's `X-Forwarded-Client-Cert`, one element: elements of earlier proxies are never kept.
    fn xfcc<'a>(&self, certificate: &Certificate, chain: impl Iterator<Item = &'a [u8]>) -> String {
        let mut value = String::new();
        for by in &self.by {
            pair(&mut value, "By", by);
        }
        pair(&mut value, "Hash", certificate.sha256_hex());
        let leaf = percent(&pem(certificate.der()), is_unreserved);
        let _ = write!(value, ";Cert=\"{leaf}\";Chain=\"{leaf}");
        for der in chain {
            value.push_str(&percent(&pem(der), is_unreserved));
        }
        // RFC 2253 has escaped quotes already. Its `\\` is written as `\5C`, which means the same: a reader that takes
        // any backslash before a quote for an escape would miss where the value ends.
        let subject = certificate.field(CertificateField::SubjectDnRfc2253);
        let _ = write!(value, "\";Subject=\"{}\"", subject.replace("\\\\", "\\5C"));
        for uri in certificate.names(CertificateNames::Uri) {
            pair(&mut value, "URI", uri);
        }
        for name in certificate.names(CertificateNames::Dns) {
            pair(&mut value, "DNS", name);
        }
        value
    }
}

/// Cloudflare's managed transform "Add TLS client auth headers", but for its three booleans.
const CLOUDFLARE: [(&str, CertificateField); 14] = {
    use CertificateField as C;
    [
        ("cf-cert-issuer-dn", C::IssuerDn),
        ("cf-cert-subject-dn", C::SubjectDn),
        ("cf-cert-issuer-dn-rfc2253", C::IssuerDnRfc2253),
        ("cf-cert-subject-dn-rfc2253", C::SubjectDnRfc2253),
        ("cf-cert-issuer-dn-legacy", C::IssuerDnLegacy),
        ("cf-cert-subject-dn-legacy", C::SubjectDnLegacy),
        ("cf-cert-serial", C::Serial),
        ("cf-cert-issuer-serial", C::IssuerSerial),
        ("cf-cert-fingerprint-sha256", C::FingerprintSha256),
        ("cf-cert-fingerprint-sha1", C::FingerprintSha1),
        ("cf-cert-not-before", C::NotBefore),
        ("cf-cert-not-after", C::NotAfter),
        ("cf-cert-ski", C::Ski),
        ("cf-cert-issuer-ski", C::IssuerSki),
    ]
};

struct Lines(String);

impl Lines {
    /// An empty value has no line. The last look at what goes out: nothing but printable ASCII does.
    fn put(&mut self, name: &str, value: &str, most: usize) {
        let clean = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !value.is_empty() && value.len() <= most && clean {
            let _ = write!(self.0, "{name}: {value}\r\n");
        }
    }
}

/// A list of byte sequences (RFC 9440, 2.3; RFC 8941, 3.1); None when one of them is too large.
pub(super) fn chain_value<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let values: Option<Vec<String>> = chain.map(rfc9440).collect();
    Some(values?.join(", "))
}

/// `;KEY=VALUE`, quoted where Envoy demands it (`,`, `;`, `=`), quotes escaped by a backslash. What has no place in a
/// header is percent-encoded, and so is the backslash: see the subject.
fn pair(out: &mut String, key: &str, value: &str) {
    if !out.is_empty() {
        out.push(';');
    }
    let value = percent(value, |byte| (b'!'..=b'~').contains(&byte) && byte != b'\\').replace('"', "\\\"");
    let quote = if value.contains([',', ';', '=', '"']) { "\"" } else { "" };
    let _ = write!(out, "{key}={quote}{value}{quote}");
}

/// RFC 3986, 2.3: all that nginx leaves as it is in `$ssl_client_escaped_cert`, and Envoy in a PEM.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn percent(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_mean_something_in_envoys_syntax_are_quoted() {
        for (value, written) in [
            ("spiffe://a/b", "K=spiffe://a/b"),
            ("a,b", "K=\"a,b\""),
            ("a;By=c", "K=\"a;By=c\""),
            ("a\"b", "K=\"a\\\"b\""),
            ("a\\", "K=a%5C"),
            ("a\\\";URI=x", "K=\"a%5C\\\";URI=x\""),
            ("a\r\nb c\0\u{e9}", "K=a%0D%0Ab%20c%00%C3%A9"),
        ] {
            let mut out = String::new();
            pair(&mut out, "K", value);
            assert_eq!(out, written);
        }
    }
}
