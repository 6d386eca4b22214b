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
    /// Trust anchors, PEM, one or more.
    pub certificates: String,
    /// Certificates that clients do not send but their chains need, PEM.
    #[serde(default)]
    pub intermediates: String,
    /// Each PEM (`X509 CRL`) or base64 of DER.
    #[serde(default)]
    pub crls: Vec<String>,
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
    /// Names of authorities.
    #[serde(default)]
    pub trust: Vec<String>,
    /// Longest prefix wins; a prefix matches whole path segments.
    #[serde(default)]
    pub paths: Vec<PathMode>,
    /// Which headers carry the certificate to the origin.
    #[serde(default)]
    pub forward: Vec<CertificateHeader>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathMode {
    pub prefix: String,
    pub mode: MtlsMode,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateHeader {
    /// `Client-Cert` (RFC 9440).
    Rfc9440,
    /// `Cf-Client-Cert-Sha256`.
    Sha256,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostOpenapi {
    /// What happens to a request that violates its operation.
    pub action: Action,
    /// What happens to a request that matches no operation.
    pub fallthrough: Action,
    pub operations: Vec<Operation>,
    /// One JSON Schema document (draft 2020-12) whose `properties` hold one schema per checked body, named by
    /// [`OperationBody::schema`]; shared components sit under its `$defs`.
    #[serde(default)]
    pub schema: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// `operationId`, else `METHOD /template`.
    pub id: String,
    pub at: String,
    /// Upper-case.
    pub method: String,
    /// `/orders/{id}`, base path included.
    pub path: String,
    #[serde(default)]
    pub body: Option<OperationBody>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationBody {
    pub required: bool,
    /// JSON media types (`application/json`, `application/*+json`) that the operation accepts, lower-case,
    /// each with the property of [`HostOpenapi::schema`] that checks it.
    pub json: Vec<JsonBody>,
    /// Other media types the operation accepts; their content is not looked at.
    #[serde(default)]
    pub unchecked: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonBody {
    pub media_type: String,
    pub schema: String,
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
