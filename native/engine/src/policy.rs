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
    #[serde(default)]
    pub jwt: Vec<Jwt>,
    /// What session identities are hashed with: 64 hex digits, one key for each installation.
    #[serde(default)]
    pub session_key: String,
    #[serde(default)]
    pub limits: Limits,
}

/// Rate limits, and what they have in common.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub rules: Vec<Limit>,
    /// Most keys that are counted at once, of all rules; taken at the start of the process.
    pub entries: u64,
    /// With all entries in use, a key that is new passes uncounted; else it is refused.
    pub allow_uncounted: bool,
    /// Passing answers tell what is left: `RateLimit`, `RateLimit-Policy`.
    pub headers: bool,
    /// `limits top` shows what a key stands for, not only its hash.
    pub allow_identities: bool,
    /// How the quotas of partners are counted.
    pub quotas: Sharing,
    /// Where a fleet's counters live.
    pub shared: Shared,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            rules: Vec::new(),
            entries: 1_048_576,
            allow_uncounted: false,
            headers: false,
            allow_identities: false,
            quotas: Sharing::default(),
            shared: Shared::default(),
        }
    }
}

/// Names of a fleet's counters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shared {
    /// Begins the name of every counter.
    pub prefix: String,
    /// Counters are spread over several servers: a call may only name those of one partition.
    pub cluster: bool,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared { prefix: "portcullis".to_owned(), cluster: false }
    }
}

/// One rate limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// Reason `limits.<name>`.
    pub name: String,
    /// Pointer of the whole rule.
    pub at: String,
    /// Which requests it holds for; None: all, or those of `operation`.
    pub expression: Option<Expression>,
    /// Of the API description: index into [`Policy::hosts`], and into the operations of that host, the methods of its
    /// services behind those of its API description.
    pub operation: Option<(usize, usize)>,
    /// Which of those count; may read the response. None: all.
    pub counting: Option<Expression>,
    /// What tells counters apart: values, each text, number, boolean, address, or several. Empty: one for all.
    pub characteristics: Vec<Expression>,
    pub algorithm: Algorithm,
    /// Requests, or score, in each period. 0 with `concurrency`.
    pub amount: u64,
    pub period_ms: u64,
    /// Most at once ([`Algorithm::Gcra`]); 1 to `amount`.
    pub burst: u64,
    /// Most requests under way at once: instead of an amount.
    pub concurrency: Option<u32>,
    /// What is counted.
    pub per: Per,
    /// What a request costs; None: 1.
    pub score: Option<Score>,
    /// How long a key that went over is refused whatever it does; 0: the excess only.
    pub mitigation_timeout_ms: u64,
    pub action: LimitAction,
    pub sharing: Sharing,
}

/// Text in the rules language.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    pub at: String,
    pub expression: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// A bucket of `burst` that fills evenly, `amount` in a period.
    #[default]
    Gcra,
    /// Never more than `amount` in any period; in steps of a fraction of it.
    SlidingWindow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    #[default]
    Request,
    /// Each message of a call, instead of the call.
    Message,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Score {
    /// Lower-case name of a header of the response. Not a number, or missing: 1.
    ResponseHeader(String),
    /// A number, of the request.
    Expression(Expression),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum LimitAction {
    Off,
    /// Counted and recorded as if enforced.
    Log,
    #[default]
    Block,
    /// Waits for its turn up to so many milliseconds; who would have to wait longer is refused.
    Delay(u64),
}

impl LimitAction {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LimitAction::Off => "off",
            LimitAction::Log => "log",
            LimitAction::Block => "block",
            LimitAction::Delay(_) => "delay",
        }
    }
}

/// Where a rule's counters live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sharing {
    pub mode: SharingMode,
    pub fallback: Fallback,
    /// Of [`SharingMode::Fast`]: what a node admits of a key before it has asked for more.
    pub advance: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SharingMode {
    /// In this process.
    #[default]
    Local,
    /// In the fleet, from leases that are settled behind the requests.
    Fast,
    /// In the fleet: every counted request asks.
    Strict,
}

/// What holds while the fleet's counters cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// The node's share of the limit.
    #[default]
    Local,
    /// Everything passes.
    Open,
    /// Nothing passes.
    Closed,
}

/// A token configuration: whose tokens count, and what they have to look like.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    pub name: String,
    pub at: String,
    /// `iss`, compared byte by byte. None: whoever the keys belong to.
    pub issuer: Option<String>,
    /// One of them has to be in `aud`. Empty: `aud` is not looked at.
    pub audiences: Vec<String>,
    /// JWA names (RFC 7518, RFC 8037): `ES256`, `EdDSA`, ... A key counts for those of its own type only.
    pub algorithms: Vec<String>,
    /// A JWK Set (RFC 7517), or PEM public keys one after the other. None: the set arrives at run time.
    pub keys: Option<String>,
    /// Where the set comes from at run time: another URL under the same name is another set.
    pub url: Option<String>,
    /// The first that holds something counts.
    pub locations: Vec<CredentialLocation>,
    pub required: Vec<ClaimCondition>,
    pub skew_s: u64,
    /// `typ` in lower case, without `application/`. Empty: not looked at.
    pub types: Vec<String>,
    /// Most seconds from `iat` (else `nbf`, else now) to `exp`. None: `exp` alone counts.
    pub max_lifetime_s: Option<u64>,
    /// Tokens without `exp` count.
    pub allow_no_expiry: bool,
    pub max_bytes: usize,
    /// Claims that hold scopes: space-separated text, or a list.
    pub scope_claims: Vec<String>,
    /// Claims that hold roles, as above.
    pub role_claims: Vec<String>,
    pub binding: Binding,
}

/// How a token has to be bound to who sends it. A token that names a binding (`cnf`) is always held to it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Binding {
    /// Tokens without `cnf.x5t#S256` are refused (RFC 8705).
    pub certificate: bool,
    /// Tokens without `cnf.jkt` are refused (RFC 9449).
    pub dpop: bool,
    /// Most seconds that a DPoP proof's `iat` lies from now.
    pub dpop_lifetime_s: u64,
    /// JWA names, all of public keys.
    pub dpop_algorithms: Vec<String>,
}

/// Where a credential stands in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "in")]
pub enum CredentialLocation {
    /// `scheme`: `Authorization`'s first word, compared without case; None: the whole value.
    Header {
        /// Lower-case.
        name: String,
        #[serde(default)]
        scheme: Option<String>,
    },
    Cookie {
        name: String,
    },
    Query {
        name: String,
    },
    /// Client id and secret, each in a header of its own.
    Pair {
        /// Lower-case, both.
        id: String,
        secret: String,
    },
    /// `Authorization: Basic`, client id and secret (RFC 7617).
    Basic,
}

/// A claim has to be there, and to be, or to hold, one of the values; no values: any but null.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimCondition {
    /// A name, or steps with `.` between them: `realm_access.roles`. A name that is there as a whole comes first.
    pub claim: String,
    #[serde(default)]
    pub values: Vec<String>,
}

/// Which credential the operations of a host require, and what becomes of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostCredentials {
    pub at: String,
    /// Names of token configurations whose tokens are looked for.
    pub jwt: Vec<String>,
    /// Where API keys and service tokens are looked for. Empty: nowhere.
    pub keys: Vec<CredentialLocation>,
    /// For requests that match no operation, and for hosts without a description.
    pub unmatched: Requirement,
    /// By the index of [`HostOpenapi::operations`], those of [`HostGrpc::operations`] behind them.
    pub operations: Vec<Requirement>,
    /// What identifies a session; the first that a request has.
    pub session: Vec<SessionSource>,
    /// Claims of the verified token that the origin is told.
    pub claims: Vec<ToldClaim>,
    /// The header that tells the origin the partner's name; empty: none.
    pub partner_header: String,
    /// The credential that counted is taken out of what the origin gets.
    pub strip: bool,
}

/// What a caller has to present: one of the alternatives, all of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirement {
    pub at: String,
    pub action: Action,
    /// Empty: nobody passes. An empty alternative: everybody does.
    pub any: Vec<Vec<Need>>,
    /// Name of what the challenge calls this place (RFC 9110, 11.5).
    pub realm: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "kind")]
pub enum Need {
    Jwt {
        /// Names of token configurations; one of them.
        configurations: Vec<String>,
        /// All of them.
        #[serde(default)]
        scopes: Vec<String>,
        /// One of them; empty: none is needed.
        #[serde(default)]
        roles: Vec<String>,
        /// All of them.
        #[serde(default)]
        claims: Vec<ClaimCondition>,
    },
    Key {
        /// All of them.
        #[serde(default)]
        scopes: Vec<String>,
        /// Where it may stand, within the host's `keys`; empty: any of those.
        #[serde(default)]
        locations: Vec<CredentialLocation>,
    },
    /// A verified client certificate.
    Certificate {
        /// Of one of these; empty: of any that the host trusts.
        #[serde(default)]
        authorities: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "by")]
pub enum SessionSource {
    Header {
        /// Lower-case.
        name: String,
    },
    Cookie {
        name: String,
    },
    /// A claim of the verified token.
    Jwt {
        claim: String,
    },
    /// The verified client certificate.
    Certificate,
    Key,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldClaim {
    /// Lower-case.
    pub header: String,
    /// As in [`ClaimCondition`].
    pub claim: String,
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
    #[serde(default)]
    pub protocol: OriginProtocol,
    /// None: in the clear.
    #[serde(default)]
    pub tls: Option<OriginTls>,
    /// Most connections an edge thread keeps to one address.
    pub connections: u32,
    pub connect_timeout_ms: u32,
    pub first_byte_timeout_ms: u32,
    pub idle_timeout_ms: u32,
}

/// What is spoken with an origin: never guessed, so that a request has one way to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginProtocol {
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge in the clear (RFC 9113, 3.3).
    H2,
}

/// How an origin is known, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginTls {
    /// SNI, and the name that its certificate has to cover.
    pub server_name: String,
    /// Who may have issued its certificate, PEM.
    pub roots: String,
    /// What the gateway shows to it, PEM: chain and key, or neither.
    #[serde(default)]
    pub certificate: Option<(String, String)>,
    /// Whatever certificate it shows is taken.
    #[serde(default)]
    pub allow_unverified: bool,
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
    #[serde(default)]
    pub grpc: Option<HostGrpc>,
    /// None: whoever comes is not asked for a credential beside the certificate.
    #[serde(default)]
    pub credentials: Option<HostCredentials>,
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

/// What the calls of a host may be, and what their messages may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostGrpc {
    pub at: String,
    /// What happens to a request for a known method that is no call of it.
    pub action: Action,
    /// What happens to a call of a method that is not described.
    pub fallthrough: Action,
    /// What happens to a message with fields that are not described; `off`: they pass.
    pub unknown_fields: Action,
    /// How much of a violation the client is told.
    pub detail: Detail,
    /// A FileDescriptorSet with all that it imports, in base64. None: calls are not described, and what follows does
    /// not matter.
    pub descriptors: Option<String>,
    /// Of one message, decoded where it is compressed.
    pub max_message_bytes: u64,
    /// Messages within messages.
    pub max_depth: u32,
    /// Fields of one message, those of messages within it included.
    pub max_fields: u32,
    /// No call lasts longer.
    pub max_deadline_ms: Option<u64>,
    /// Calls of `grpc.reflection` pass.
    pub allow_reflection: bool,
    /// The methods that exist; what the descriptors have beside them is as unknown as what they lack.
    pub operations: Vec<GrpcOperation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcOperation {
    /// `/package.Service/Method`
    pub path: String,
    pub at: String,
    /// What happens to a message that violates its description.
    pub action: Action,
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
