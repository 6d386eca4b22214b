//! The fields: one table of names, and how each is read from a request.

use crate::mtls::{CertificateField, CertificateNames};

use super::request::{ArrayField, Certified, Claim, Finding, MapField, NumberField, TextField};

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Text(TextField),
    Boolean(Boolean),
    Number(NumberField),
    Address,
    Array(ArrayField),
    /// Of numbers.
    Numbers(ArrayField),
    Map(MapField),
    /// All of the request's body.
    Body,
    Graphql(Graphql),
}

/// How much a GraphQL document asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Graphql {
    Depth,
    Fields,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Boolean {
    /// TLS always: the gateway listens for nothing else.
    Always,
    Certificate(Certified),
    Finding(Finding),
}

/// Known only when the body was looked at: rules that read it wait for that.
pub(super) const VIOLATED: &str = "cf.schema_validation.uploaded.violated";

pub(super) const FIELDS: &[(&str, Field)] = {
    use CertificateField as C;
    use CertificateNames as Names;
    use Field::{Address, Array, Body, Boolean as Bool, Map, Number, Numbers, Text};
    &[
        ("grpc.message", Map(MapField::Message)),
        ("grpc.method", Text(TextField::Procedure)),
        ("grpc.service", Text(TextField::Service)),
        ("http.host", Text(TextField::Host)),
        ("http.request.method", Text(TextField::Method)),
        ("http.request.uri", Text(TextField::Uri)),
        ("http.request.uri.path", Text(TextField::Path)),
        ("http.request.uri.query", Text(TextField::Query)),
        ("http.request.uri.args", Map(MapField::Arguments)),
        ("http.request.uri.args.names", Array(ArrayField::ArgumentNames)),
        ("http.request.uri.args.values", Array(ArrayField::ArgumentValues)),
        ("http.request.headers", Map(MapField::Headers)),
        ("http.request.headers.names", Array(ArrayField::HeaderNames)),
        ("http.request.headers.values", Array(ArrayField::HeaderValues)),
        ("http.request.cookies", Map(MapField::Cookies)),
        ("http.request.body.form", Map(MapField::Form)),
        ("http.request.body.raw", Body),
        ("http.request.jwt.claims", Map(MapField::Claims)),
        ("http.request.jwt.claims.aud", Map(MapField::Claim(Claim::Audience))),
        ("http.request.jwt.claims.aud.names", Array(ArrayField::ClaimNames(Claim::Audience))),
        ("http.request.jwt.claims.aud.values", Array(ArrayField::ClaimValues(Claim::Audience))),
        ("http.request.jwt.claims.exp.sec", Map(MapField::Claim(Claim::Expires))),
        ("http.request.jwt.claims.exp.sec.names", Array(ArrayField::ClaimNames(Claim::Expires))),
        ("http.request.jwt.claims.exp.sec.values", Numbers(ArrayField::ClaimValues(Claim::Expires))),
        ("http.request.jwt.claims.iat.sec", Map(MapField::Claim(Claim::IssuedAt))),
        ("http.request.jwt.claims.iat.sec.names", Array(ArrayField::ClaimNames(Claim::IssuedAt))),
        ("http.request.jwt.claims.iat.sec.values", Numbers(ArrayField::ClaimValues(Claim::IssuedAt))),
        ("http.request.jwt.claims.iss", Map(MapField::Claim(Claim::Issuer))),
        ("http.request.jwt.claims.iss.names", Array(ArrayField::ClaimNames(Claim::Issuer))),
        ("http.request.jwt.claims.iss.values", Array(ArrayField::ClaimValues(Claim::Issuer))),
        ("http.request.jwt.claims.jti", Map(MapField::Claim(Claim::Id))),
        ("http.request.jwt.claims.jti.names", Array(ArrayField::ClaimNames(Claim::Id))),
        ("http.request.jwt.claims.jti.values", Array(ArrayField::ClaimValues(Claim::Id))),
        ("http.request.jwt.claims.nbf.sec", Map(MapField::Claim(Claim::NotBefore))),
        ("http.request.jwt.claims.nbf.sec.names", Array(ArrayField::ClaimNames(Claim::NotBefore))),
        ("http.request.jwt.claims.nbf.sec.values", Numbers(ArrayField::ClaimValues(Claim::NotBefore))),
        ("http.request.jwt.claims.sub", Map(MapField::Claim(Claim::Subject))),
        ("http.request.jwt.claims.sub.names", Array(ArrayField::ClaimNames(Claim::Subject))),
        ("http.request.jwt.claims.sub.values", Array(ArrayField::ClaimValues(Claim::Subject))),
        ("http.request.version", Text(TextField::Version)),
        ("http.response.code", Number(NumberField::ResponseCode)),
        ("http.response.headers", Map(MapField::ResponseHeaders)),
        ("http.user_agent", Text(TextField::UserAgent)),
        ("http.cookie", Text(TextField::Cookie)),
        ("http.referer", Text(TextField::Referer)),
        ("ip.src", Address),
        ("ip.src.asnum", Number(NumberField::Asn)),
        ("ip.src.country", Text(TextField::Country)),
        ("ssl", Bool(Boolean::Always)),
        ("path", Map(MapField::Path)),
        ("cf.api_gateway.auth_id_present", Bool(Boolean::Finding(Finding::Identified))),
        ("cf.api_gateway.fallthrough_detected", Bool(Boolean::Finding(Finding::Fallthrough))),
        (VIOLATED, Bool(Boolean::Finding(Finding::Violated))),
        ("cf.bot_management.ja4", Text(TextField::Ja4)),
        ("cf.tls_client_hello_length", Number(NumberField::HelloLength)),
        ("cf.tls_client_auth.cert_presented", Bool(Boolean::Certificate(Certified::Presented))),
        ("cf.tls_client_auth.cert_verified", Bool(Boolean::Certificate(Certified::Verified))),
        ("cf.tls_client_auth.cert_revoked", Bool(Boolean::Certificate(Certified::Revoked))),
        ("cf.tls_client_auth.cert_issuer_dn", Text(TextField::Certificate(C::IssuerDn))),
        ("cf.tls_client_auth.cert_subject_dn", Text(TextField::Certificate(C::SubjectDn))),
        ("cf.tls_client_auth.cert_issuer_dn_rfc2253", Text(TextField::Certificate(C::IssuerDnRfc2253))),
        ("cf.tls_client_auth.cert_subject_dn_rfc2253", Text(TextField::Certificate(C::SubjectDnRfc2253))),
        ("cf.tls_client_auth.cert_issuer_dn_legacy", Text(TextField::Certificate(C::IssuerDnLegacy))),
        ("cf.tls_client_auth.cert_subject_dn_legacy", Text(TextField::Certificate(C::SubjectDnLegacy))),
        ("cf.tls_client_auth.cert_serial", Text(TextField::Certificate(C::Serial))),
        ("cf.tls_client_auth.cert_issuer_serial", Text(TextField::Certificate(C::IssuerSerial))),
        ("cf.tls_client_auth.cert_fingerprint_sha256", Text(TextField::Certificate(C::FingerprintSha256))),
        ("cf.tls_client_auth.cert_fingerprint_sha1", Text(TextField::Certificate(C::FingerprintSha1))),
        ("cf.tls_client_auth.cert_not_before", Text(TextField::Certificate(C::NotBefore))),
        ("cf.tls_client_auth.cert_not_after", Text(TextField::Certificate(C::NotAfter))),
        ("cf.tls_client_auth.cert_ski", Text(TextField::Certificate(C::Ski))),
        ("cf.tls_client_auth.cert_issuer_ski", Text(TextField::Certificate(C::IssuerSki))),
        ("cf.tls_client_auth.cert_rfc9440", Text(TextField::Certificate(C::Rfc9440))),
        ("cf.tls_client_auth.cert_rfc9440_too_large", Bool(Boolean::Certificate(Certified::TooLarge))),
        ("cf.tls_client_auth.cert_chain_rfc9440", Text(TextField::Certificate(C::ChainRfc9440))),
        ("cf.tls_client_auth.cert_chain_rfc9440_too_large", Bool(Boolean::Certificate(Certified::ChainTooLarge))),
        ("cf.tls_client_auth.san_dns", Array(ArrayField::Certificate(Names::Dns))),
        ("cf.tls_client_auth.san_uri", Array(ArrayField::Certificate(Names::Uri))),
        ("cf.tls_client_auth.san_email", Array(ArrayField::Certificate(Names::Email))),
        ("cf.tls_client_auth.eku", Array(ArrayField::Certificate(Names::Usages))),
        ("cf.tls_client_auth.key_type", Text(TextField::Certificate(C::KeyType))),
        ("cf.tls_client_auth.spki_sha256", Text(TextField::Certificate(C::SpkiSha256))),
        ("cf.tls_client_auth.verify_error", Text(TextField::VerifyError)),
        ("cf.tls_client_auth.authority", Text(TextField::Authority)),
        ("cf.tls_client_auth.days_to_expiry", Number(NumberField::DaysToExpiry)),
        ("portcullis.graphql.depth", Field::Graphql(Graphql::Depth)),
        ("portcullis.graphql.fields", Field::Graphql(Graphql::Fields)),
        ("portcullis.key.id", Text(TextField::Key)),
        ("portcullis.operation", Text(TextField::Operation)),
        ("portcullis.partner", Text(TextField::Partner)),
        ("portcullis.scopes", Array(ArrayField::Scopes)),
        ("portcullis.session", Text(TextField::Session)),
    ]
};

/// What begins the name of a path parameter's field: `path.orderId` is `path["orderId"]`.
pub(super) const PATH: &str = "path.";

/// Whether the name is that of a field, or may be that of a path parameter's.
pub(super) fn exists(name: &str) -> bool {
    find(name).is_some() || name.starts_with(PATH)
}

pub(super) fn names() -> Vec<&'static str> {
    FIELDS.iter().map(|(name, _)| *name).collect()
}

pub(super) fn find(name: &str) -> Option<Field> {
    FIELDS.iter().find(|(field, _)| *field == name).map(|(_, field)| *field)
}
