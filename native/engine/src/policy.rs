//! What the control plane hands over to be compiled: plain values, file contents already read.
//!
//! Every `at` is the JSON pointer of the configuration value that the policy value came from
//! (`/rules/3/expression`), so that a [`Problem`] can be shown with its file, line and column.

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(default)]
    pub authorities: Vec<Authority>,
    #[serde(default)]
    pub lists: Vec<List>,
    #[serde(default)]
    pub rules: Vec<Rule>,
    #[serde(default)]
    pub origins: Vec<Origin>,
    #[serde(default)]
    pub hosts: Vec<Host>,
}

/// Who may issue client certificates.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    pub name: String,
    pub at: String,
    /// Trust anchors, PEM, one or more; none while a hosted authority has no certificate yet.
    #[serde(default)]
    pub certificates: String,
    /// Certificates that clients do not send but their chains need, PEM.
    #[serde(default)]
    pub intermediates: String,
    /// Each PEM (`X509 CRL`) or base64 of DER.
    #[serde(default)]
    pub crls: Vec<String>,
    /// Its certificates come from the store: without one it trusts nobody, which is no problem of the policy.
    #[serde(default)]
    pub hosted: bool,
    #[serde(default)]
    pub revocation: Revocation,
}

/// How the standing of an authority's certificates becomes known, and what counts while it is not.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Revocation {
    pub stale: Stale,
    /// For [`Stale::Grace`].
    pub grace_s: u64,
    /// Revocation lists arrive at run time; until one is there the standing is unknown.
    pub fetch: bool,
    /// OCSP answers arrive at run time, one a client certificate.
    pub ocsp: bool,
}

/// What an unknown or outdated standing means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stale {
    /// Denied.
    #[default]
    Hard,
    /// Passes, and is counted.
    Soft,
    /// Passes and is counted until the grace is over, then denied.
    Grace,
}

/// A named list, written `$name` in expressions.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    pub name: String,
    pub at: String,
    /// Addresses and prefixes when every item is one, else strings.
    pub items: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    /// Pointer of the expression itself.
    pub at: String,
    pub expression: String,
    pub action: RuleAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    Log,
    Block,
    /// The rules after this one are not evaluated.
    Skip,
}

/// The staged life of every control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Not looked at.
    Off,
    /// Recorded, let through.
    Log,
    #[default]
    Block,
}

/// Where requests are forwarded to. Names are resolved by the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// `address:port`, IPv6 in brackets.
    pub addresses: Vec<String>,
    /// Most connections an edge thread keeps to one address.
    pub connections: u32,
    pub connect_timeout_ms: u32,
    pub first_byte_timeout_ms: u32,
    pub idle_timeout_ms: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// `api.example.com` or `*.example.com`, lower-case.
    pub name: String,
    pub at: String,
    /// Index into [`Policy::origins`].
    pub origin: usize,
    pub mtls: HostMtls,
    #[serde(default)]
    pub openapi: Option<HostOpenapi>,
    /// Most bytes of a request body; 413 above.
    pub max_body_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostMtls {
    pub mode: MtlsMode,
    /// `log`: what `require` would deny passes, and is recorded.
    #[serde(default)]
    pub action: Action,
    /// Names of authorities.
    #[serde(default)]
    pub trust: Vec<String>,
    /// Longest prefix wins; a prefix matches whole path segments.
    #[serde(default)]
    pub paths: Vec<PathMtls>,
    /// Which headers carry the certificate to the origin.
    #[serde(default)]
    pub forward: Vec<CertificateHeader>,
    /// URI names of the host's own certificate, for `X-Forwarded-Client-Cert`.
    #[serde(default)]
    pub by: Vec<String>,
    /// What the gateway itself answers on this host.
    #[serde(default)]
    pub own: OwnPaths,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathMtls {
    pub prefix: String,
    pub mode: MtlsMode,
    #[serde(default)]
    pub action: Action,
    /// Names of authorities; None: those of the host.
    #[serde(default)]
    pub trust: Option<Vec<String>>,
}

/// Paths below `/.well-known/` that the gateway answers instead of the origin: native/engine/src/own.rs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnPaths {
    pub renew: bool,
    pub est: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtlsMode {
    /// Not looked at: rules see no certificate.
    Off,
    /// Verified when presented, never demanded; rules decide.
    Request,
    #[default]
    Require,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateHeader {
    /// `Client-Cert` (RFC 9440).
    Rfc9440,
    /// `Client-Cert-Chain` (RFC 9440): the intermediates of the verified path.
    Chain,
    /// `X-Forwarded-Client-Cert`, as Envoy writes it.
    Xfcc,
    /// `X-SSL-Client-Cert`, as nginx spells `$ssl_client_escaped_cert`.
    Nginx,
    /// `Cf-Cert-*`, as Cloudflare's managed transform writes them.
    Cloudflare,
    /// `Cf-Client-Cert-Sha256`.
    Sha256,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostOpenapi {
    /// What happens to a request for a path that is described with another method.
    pub action: Action,
    /// What happens to a request that matches no operation.
    pub fallthrough: Action,
    /// What happens to an exchange whose body finds no place in the inspection pool's queue.
    pub overload: Overload,
    /// How much of a violation the client is told.
    pub detail: Detail,
    /// Violations may show what was found.
    pub allow_values: bool,
    pub operations: Vec<Operation>,
    /// One JSON Schema document (draft 2020-12) whose `properties` hold one schema per checked value (a body, a
    /// parameter, a response, a header); shared components sit under its `$defs`.
    pub schema: serde_json::Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overload {
    #[default]
    Block,
    /// Passed on unchecked, and counted.
    Pass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Where, and what was expected there.
    #[default]
    Full,
    /// Where.
    Pointer,
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operation {
    /// `operationId`, else `METHOD /template`.
    pub id: String,
    pub at: String,
    /// Upper-case.
    pub method: String,
    /// `/orders/{id}`, base path included.
    pub path: String,
    /// What happens to a request whose parameters or body violate the description.
    pub action: Action,
    /// What happens to a request with query parameters that are not described.
    pub unknown_query: Action,
    pub parameters: Vec<Parameter>,
    pub body: Option<OperationBody>,
    /// None: what the origin answers is not looked at.
    pub responses: Option<Responses>,
}

/// One parameter, or one header of a response or of a part.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Headers in lower case.
    pub name: String,
    pub location: ParameterLocation,
    #[serde(default)]
    pub required: bool,
    pub style: Style,
    #[serde(default)]
    pub explode: bool,
    /// `allowEmptyValue`
    #[serde(default)]
    pub allow_empty: bool,
    /// `allowReserved`
    #[serde(default)]
    pub allow_reserved: bool,
    /// A property of [`HostOpenapi::schema`].
    pub schema: String,
    /// The media type of a `content` parameter: JSON is parsed as JSON, everything else is text.
    #[serde(default)]
    pub content: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterLocation {
    Path,
    Query,
    Header,
    Cookie,
}

/// How arrays and objects are written as text (OpenAPI, Style Values).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Style {
    Simple,
    Label,
    Matrix,
    #[default]
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationBody {
    pub required: bool,
    /// What the operation accepts; the most specific entry counts.
    pub content: Vec<Content>,
}

/// One media type of a body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Lower-case, without parameters: a type, a range, or a range of suffixes (`application/*+json`).
    pub media_type: String,
    pub format: Format,
    /// A property of [`HostOpenapi::schema`]; None: only the form of the body counts.
    #[serde(default)]
    pub schema: Option<String>,
    /// Of forms and multiparts: what is said about single properties.
    #[serde(default)]
    pub encoding: Vec<PropertyEncoding>,
}

/// How the bytes of a body become a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Json,
    /// One JSON value a line.
    Ndjson,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `multipart/form-data` and its kin
    Multipart,
    /// The whole body is one string.
    Text,
    /// Passed on without a look.
    Unchecked,
    /// Nothing here reads it, and nobody said that it may pass: XML.
    Refused,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropertyEncoding {
    pub name: String,
    /// Media types that a part may have; empty: any.
    #[serde(default)]
    pub content_types: Vec<String>,
    #[serde(default)]
    pub style: Style,
    #[serde(default)]
    pub explode: bool,
    #[serde(default)]
    pub allow_reserved: bool,
    /// A file: size and media type count, its bytes are no JSON value.
    #[serde(default)]
    pub binary: bool,
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// Of parts.
    #[serde(default)]
    pub headers: Vec<Parameter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Responses {
    pub action: ResponseAction,
    pub statuses: Vec<Response>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseAction {
    Log,
    /// 502, and nothing of what the origin answered.
    Block,
    /// Members that are not described are taken out; what else is wrong is blocked.
    Strip,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// `200`, `4XX` or `default`.
    pub status: String,
    #[serde(default)]
    pub headers: Vec<Parameter>,
    /// None: the description says nothing about the body.
    #[serde(default)]
    pub content: Option<Vec<Content>>,
}

/// Something in a policy that cannot be compiled. The whole policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer of the configuration value.
    pub at: String,
    /// Byte range inside the value, where it has inner structure (an expression).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<(usize, usize)>,
    /// What was found, one sentence.
    pub message: String,
    /// What would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
