//! The one catalogue of reasons: why an exchange was denied.
//!
//! The response, the log field, the metric label and docs/reasons.md all come from this list.

/// One row of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Stable id, `<capability>.<what>`; the log field and metric label.
    pub id: &'static str,
    /// HTTP status of the answer.
    pub status: u16,
    /// gRPC status code of the answer (google.golang.org/grpc/codes numbering).
    pub grpc: u8,
    /// What the client is told. Says nothing about the policy.
    pub title: &'static str,
    /// What the operator should look at.
    pub hint: &'static str,
}

macro_rules! catalogue {
    ($($variant:ident = $id:literal, $status:literal, $grpc:literal, $title:literal, $hint:literal;)*) => {
        /// Why an exchange was denied.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($variant),* }

        /// The catalogue in order; `CATALOGUE[reason as usize]` is its row.
        pub const CATALOGUE: &[Entry] = &[
            $(Entry { id: $id, status: $status, grpc: $grpc, title: $title, hint: $hint }),*
        ];

        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];
        }
    };
}

catalogue! {
    // http: what has more than one meaning, or none
    HttpMalformed = "http.malformed", 400, 3, "The request is malformed.", "A method, target, header name or value holds bytes that HTTP does not allow there (RFC 9110, RFC 9112).";
    HttpFraming = "http.framing", 400, 3, "The request's length is ambiguous.", "Repeated or malformed Content-Length, or a Transfer-Encoding that is not exactly `chunked` (RFC 9112, 6.3): the shape of request smuggling.";
    HttpPath = "http.path", 400, 3, "The request's path is not acceptable.", "An encoded slash, backslash or NUL, a broken percent-encoding, or dot segments that leave the root: such paths mean different things to different readers.";
    HttpHeadTooLarge = "http.head_too_large", 431, 8, "The request's header is too large.", "More than 16 KiB or 100 fields.";
    HttpBodyTooLarge = "http.body_too_large", 413, 8, "The request's body is too large.", "Above the host's `maxBodyBytes`, or above the bound for bodies that are inspected.";
    HttpUnknownHost = "http.unknown_host", 421, 5, "This host is not served here.", "No entry under `hosts` matches the Host header.";
    HttpMisdirected = "http.misdirected", 421, 5, "This host has to be asked on a connection of its own.", "An HTTP/2 connection was made for a host (SNI) whose TLS asks for certificates of other authorities. Clients connect anew by themselves (RFC 9113, 9.1.2).";
    HttpPipelined = "http.pipelined", 400, 3, "Nothing may follow a chunked request on its connection.", "What arrives behind a chunked body is refused, because its start cannot be told for certain.";

    // mtls: the client certificate
    MtlsMissing = "mtls.missing", 403, 16, "A client certificate is required.", "The client presented no certificate.";
    MtlsMalformed = "mtls.malformed", 403, 16, "The client certificate cannot be read.", "The certificate is not valid DER or holds a critical extension that is not understood.";
    MtlsVersion = "mtls.x509_v1", 403, 16, "The client certificate is X.509 version 1 and has to be reissued as version 3.", "`openssl x509 -req` without extensions makes version 1; reissue with `-extfile` holding `basicConstraints=CA:FALSE` and `extendedKeyUsage=clientAuth`.";
    MtlsUntrusted = "mtls.untrusted", 403, 16, "The client certificate was not issued by a trusted authority.", "No path to an authority in the host's `mtls.trust`. An intermediate may be missing under `authorities.<name>.intermediates`.";
    MtlsSignature = "mtls.signature", 403, 16, "The client certificate's signature is not valid.", "A signature in the path does not verify, or uses an algorithm or key that is too weak (SHA-1, RSA below 2048 bits).";
    MtlsExpired = "mtls.expired", 403, 16, "The client certificate has expired.", "notAfter of the certificate or of its issuer has passed.";
    MtlsNotYetValid = "mtls.not_yet_valid", 403, 16, "The client certificate is not valid yet.", "notBefore lies in the future: compare clocks.";
    MtlsUsage = "mtls.usage", 403, 16, "The client certificate may not be used for client authentication.", "Extended key usage lacks clientAuth, or key usage lacks digitalSignature.";
    MtlsConstraints = "mtls.constraints", 403, 16, "The client certificate violates a constraint of its issuer.", "Basic constraints, path length or name constraints of an issuer forbid this certificate.";
    MtlsRevoked = "mtls.revoked", 403, 16, "The client certificate has been revoked.", "Its serial is on the issuer's revocation list.";
    MtlsCrlExpired = "mtls.crl_expired", 403, 16, "The client certificate's revocation status is unknown.", "The issuer's CRL is past its nextUpdate: load a newer one. Nobody passes on a stale list, unless `authorities.<name>.revocation.stale` says so.";
    MtlsRevocationUnknown = "mtls.revocation_unknown", 503, 14, "The client certificate's revocation status is not known yet.", "No revocation list or OCSP answer has arrived for the certificate's issuer (`authorities.<name>.revocation`), or more is revoked than the engine holds. The client did nothing wrong and may try again, hence 503.";

    // credentials: what an operation requires of who calls it
    CredentialsMissing = "credentials.missing", 401, 16, "A credential is required.", "The operation requires a token, key or certificate, and the request has none in the places where it is looked for.";
    CredentialsRepeated = "credentials.repeated", 400, 3, "A credential appears twice.", "Two Authorization fields, two cookies or parameters of one name: readers differ in which of them counts.";
    CredentialsUnaccepted = "credentials.unaccepted", 403, 7, "This credential is not accepted here.", "The credential is good, but the operation requires one of another kind, configuration or authority.";
    CredentialsScope = "credentials.scope", 403, 7, "The credential lacks a scope.", "The scopes of the token or key do not cover what the operation requires.";
    CredentialsRole = "credentials.role", 403, 7, "The credential lacks a role.", "None of the token's roles is one of those that the operation requires.";
    CredentialsClaim = "credentials.claim", 403, 7, "A claim of the token does not allow this.", "A claim that the operation requires is missing or has another value.";

    // jwt: tokens
    JwtMalformed = "jwt.malformed", 401, 16, "The token is malformed.", "Not three base64url parts without padding, not JSON objects, a name twice, or nested too deeply (RFC 7515, RFC 7519).";
    JwtTooLarge = "jwt.too_large", 401, 16, "The token is too large.", "Longer than the configuration's `maxBytes`.";
    JwtAlgorithm = "jwt.algorithm", 401, 16, "The token's algorithm is not accepted.", "`alg` is not among the configuration's `algorithms`, or is not one of the key that `kid` names. `none` never is.";
    JwtType = "jwt.type", 401, 16, "The token's type is not accepted.", "`typ` is not among the configuration's `types`.";
    JwtCritical = "jwt.critical", 401, 16, "The token has a critical extension that is not understood.", "`crit` names something, and no extension is understood (RFC 7515, 4.1.11).";
    JwtKey = "jwt.key", 401, 16, "The token's key is not known.", "No key of the set has this `kid`, or several could be meant because it is missing. A set with a URL is fetched again, once per interval.";
    JwtNoKeys = "jwt.no_keys", 503, 14, "The token cannot be checked at the moment.", "The configuration's key set has not been fetched yet, or too long ago. The client did nothing wrong, hence 503.";
    JwtSignature = "jwt.signature", 401, 16, "The token's signature is not valid.", "It was changed on its way, or signed with another key.";
    JwtExpired = "jwt.expired", 401, 16, "The token has expired.", "`exp` has passed, the clock skew included.";
    JwtNotYetValid = "jwt.not_yet_valid", 401, 16, "The token is not valid yet.", "`nbf` or `iat` lies in the future by more than the clock skew: compare clocks.";
    JwtLifetime = "jwt.lifetime", 401, 16, "The token is valid for too long.", "It has no `exp`, or lives longer than the configuration's `maxLifetime`.";
    JwtIssuer = "jwt.issuer", 401, 16, "The token's issuer is not accepted.", "`iss` is not the configuration's `issuer`.";
    JwtAudience = "jwt.audience", 401, 16, "The token is meant for another audience.", "`aud` holds none of the configuration's `audiences`.";
    JwtClaims = "jwt.claims", 401, 16, "A claim of the token is missing or not acceptable.", "A claim of `requiredClaims` is missing or has another value, a registered claim has the wrong type, or a claim that is told to the origin fits in no header.";
    JwtRevoked = "jwt.revoked", 401, 16, "The token has been revoked.", "Its `jti`, or all tokens of its subject that were issued until then, were revoked.";
    JwtRevocationUnknown = "jwt.revocation_unknown", 503, 14, "The token cannot be checked at the moment.", "More tokens are revoked than the engine holds, so that none can be told from a revoked one. The client did nothing wrong, hence 503.";
    JwtBinding = "jwt.binding", 401, 16, "The token belongs to another client.", "`cnf` names another certificate or key than the one presented, or the configuration demands a binding that the token lacks (RFC 8705, RFC 9449).";
    JwtDpop = "jwt.dpop", 401, 16, "The DPoP proof is missing or not valid.", "Signature, type, method, URI, age or token hash of the `DPoP` field's proof do not fit (RFC 9449, 4.3).";
    JwtDpopReplayed = "jwt.dpop_replayed", 401, 16, "The DPoP proof has been used before.", "Each proof counts once: its `jti` was seen within its lifetime (RFC 9449, 11.1).";
    JwtDpopOverload = "jwt.dpop_overload", 503, 14, "The service is busy.", "More proofs within their lifetime than are remembered: none can be told from a replayed one.";

    // keys: API keys and service tokens
    KeysMalformed = "keys.malformed", 401, 16, "The API key is malformed.", "Prefix, length or checksum do not fit: a typing error, or a key of something else.";
    KeysUnknown = "keys.unknown", 401, 16, "The API key is not known.", "It was never issued here, has been revoked, or its rotation's deadline has passed.";
    KeysExpired = "keys.expired", 401, 16, "The API key has expired.", "`portcullis keys list` shows when.";
    KeysBinding = "keys.binding", 403, 7, "The API key may not be used from here.", "It is bound to a client certificate, to networks or to hosts that the request did not come with, from or for.";
    KeysNotReady = "keys.not_ready", 503, 14, "The API key cannot be checked at the moment.", "The keys have not been read from the store yet, or are more than the engine holds. The client did nothing wrong, hence 503.";

    // partners
    PartnersSuspended = "partners.suspended", 403, 7, "Access has been suspended.", "The partner that the credential belongs to is suspended.";
    PartnersExpired = "partners.expired", 403, 7, "Access has ended.", "The partner's agreement has expired.";
    PartnersUnknown = "partners.unknown", 403, 7, "Access has not been agreed on.", "The key belongs to a partner that does not exist any more: `portcullis keys show` names it.";
    PartnersMismatch = "partners.mismatch", 403, 7, "The credentials belong to different parties.", "The certificate, key and token of one request belong to different partners, or one of them fits the patterns of several.";
    PartnersOperation = "partners.operation", 403, 7, "This operation is not part of the agreement.", "The partner's `operations` do not list it.";

    // limits
    Limit = "limits.", 429, 8, "Too many requests.", "The limit's name follows the dot. `portcullis limits top` shows who reaches it.";
    LimitsQuota = "limits.quota", 429, 8, "Too many requests.", "The partner's `quota` is used up.";
    LimitsFull = "limits.full", 503, 14, "The service is busy.", "`limits.entries` keys are being counted, so that a new one finds no place: raise it, or let new ones pass with `limits.allowUncounted`.";
    LimitsUnavailable = "limits.unavailable", 503, 14, "The service is busy.", "The fleet's counters cannot be asked, and the limit says `fallback: closed`.";

    // rules, endpoints, schema
    Rule = "rules.", 403, 7, "The request was blocked by a rule.", "The rule's name follows the dot.";
    EndpointsFallthrough = "endpoints.fallthrough", 404, 12, "No operation of this API matches the request.", "No operation of the host's OpenAPI description has this path.";
    EndpointsMethod = "endpoints.method", 405, 12, "This method is not an operation of the resource.", "The path is described, the method is not.";
    SchemaParameter = "schema.parameter", 400, 3, "A parameter of the request does not match its description.", "The answer's `errors` name the parameter: its location, a JSON Pointer, and what was expected.";
    SchemaUnknownParameter = "schema.unknown_parameter", 400, 3, "The request holds a query parameter that is not described.", "`unknownQuery` of the host or operation says `block`; the operation's `parameters` do not list it.";
    SchemaMediaType = "schema.media_type", 415, 3, "The request's media type is not accepted here.", "The operation's requestBody has no matching entry under `content`, or the charset is not UTF-8.";
    SchemaEncoding = "schema.content_encoding", 415, 3, "The request's content encoding is not accepted here.", "A body that has to be checked may be encoded with gzip, deflate, br or zstd, once.";
    SchemaDecoding = "schema.decoding", 400, 3, "The request's body cannot be decoded.", "The body is not what its Content-Encoding says, or expands beyond the bounds on size and ratio.";
    SchemaXml = "schema.xml", 415, 3, "XML is not accepted here.", "The operation describes an XML body, which is not checked: `allowXml` lets it through unchecked.";
    SchemaBody = "schema.body", 400, 3, "The request's body does not match its description.", "The answer's `errors` hold a JSON Pointer and what was expected.";
    SchemaJson = "schema.json", 400, 3, "The request's body is not valid JSON.", "The media type says JSON, the bytes are something else or end too early (RFC 8259).";
    SchemaDuplicateKey = "schema.duplicate_key", 400, 3, "A name appears twice in one JSON object.", "Readers differ in which of two equal names counts: the check and the origin could see different values (RFC 8259, 4).";
    SchemaUtf8 = "schema.utf8", 400, 3, "The request's body is not valid UTF-8.", "JSON between systems is UTF-8 (RFC 8259, 8.1).";
    SchemaSurrogate = "schema.surrogate", 400, 3, "A JSON string holds half of a surrogate pair.", "Readers differ in what they make of it (RFC 8259, 8.2).";
    SchemaDepth = "schema.depth", 400, 3, "The request's body is nested too deeply.", "More than 64 levels.";
    SchemaNumber = "schema.number", 400, 3, "A number in the request's body is out of range.", "A number that no double holds, or with more digits than any reader keeps.";
    SchemaPrecision = "schema.precision", 400, 3, "A number in the request's body has more digits than readers agree on.", "An integer that 64 bits do not hold, or more than 17 significant digits beside a fraction or exponent: readers round it differently.";
    SchemaForm = "schema.form", 400, 3, "The request's body is not a valid form.", "Broken percent-encoding, or more fields than are read (`application/x-www-form-urlencoded`).";
    SchemaMultipart = "schema.multipart", 400, 3, "The request's body is not a valid multipart message.", "No boundary, a part without a name, a name twice where one value is described, or more parts than are read (RFC 7578).";
    SchemaSteps = "schema.steps", 400, 3, "The request's body takes too long to check.", "The bound on steps was reached: many alternatives over a large body.";
    SchemaOverload = "schema.overload", 503, 14, "The service is busy.", "The queue of bodies that wait for inspection is full; `overload: pass` would let them through unchecked.";
    SchemaResponseStatus = "schema.response_status", 502, 13, "The origin's answer is not as it is described.", "The operation's `responses` have no entry for this status, and no `default`.";
    SchemaResponseHeader = "schema.response_header", 502, 13, "The origin's answer is not as it is described.", "A header of the response violates its description.";
    SchemaResponseMediaType = "schema.response_media_type", 502, 13, "The origin's answer is not as it is described.", "The response's media type is not among its `content`.";
    SchemaResponseBody = "schema.response_body", 502, 13, "The origin's answer is not as it is described.", "The event's `SchemaViolations` say where; the client is not told.";

    // grpc: calls
    GrpcCall = "grpc.call", 400, 3, "This is not a valid gRPC call.", "A content type of gRPC with a method other than POST, without `te: trailers`, or with a `grpc-timeout` that is not up to eight digits and one of H, M, S, m, u, n.";
    GrpcText = "grpc.text", 400, 3, "The call's body is not valid base64.", "A body of `application/grpc-web-text` holds something else, or ends in the middle of a group of four characters.";
    GrpcReflection = "grpc.reflection", 404, 12, "This service does not describe itself.", "A call of `grpc.reflection`: whoever may make it learns all that can be called. `grpc.allowReflection` of the host lets it through.";
    GrpcDeadline = "grpc.deadline", 504, 4, "The call's deadline has passed.", "The client's `grpc-timeout`, or the host's `grpc.maxDeadline`, ran out: the event's `OriginResponseDurationUs` tells how much of it the origin took.";

    GrpcMalformed = "grpc.malformed", 400, 3, "A message of the call is malformed.", "Not framed as gRPC frames messages, not in the wire format of Protocol Buffers, or not of the method's type: the answer's `errors` name the place.";
    GrpcTooLarge = "grpc.message_too_large", 413, 8, "A message of the call is too large.", "Above the host's `grpc.maxMessageBytes`, decoded where it is compressed.";
    GrpcDepth = "grpc.depth", 400, 3, "A message of the call is nested too deeply.", "More levels than the host's `grpc.maxDepth`, or more fields than its `grpc.maxFields`.";
    GrpcUnknownField = "grpc.unknown_field", 400, 3, "A message of the call has a field that is not described.", "`grpc.unknownFields` says `block`, and the descriptors have no field of that number, or no such value of a closed enumeration.";
    GrpcMessage = "grpc.message", 400, 3, "A message of the call does not match its description.", "A rule of its annotations (`buf.validate`) does not hold: the answer's `errors` name the field and what was expected.";
    GrpcEncoding = "grpc.encoding", 415, 12, "The call's message encoding is not accepted here.", "Messages that have to be checked may be compressed with gzip or deflate (`grpc-encoding`).";
    GrpcFormat = "grpc.format", 415, 3, "The call's content type is not accepted here.", "A method of the host's descriptors takes `application/grpc` or `application/grpc-web`, with `+proto` or nothing behind it: other formats cannot be checked.";

    // origin: not the client's fault
    OriginConnect = "origin.connect", 502, 14, "The origin cannot be reached.", "Connecting failed at every address of the origin.";
    OriginClosed = "origin.closed", 502, 14, "The origin closed the connection.", "The origin ended the connection before a whole response head.";
    OriginMalformed = "origin.malformed", 502, 14, "The origin's response is malformed.", "The response head cannot be parsed, or its framing is ambiguous.";
    OriginTimeout = "origin.timeout", 504, 4, "The origin did not answer in time.", "`timeouts.connect` or `timeouts.firstByte` of the origin ran out.";
    OriginTls = "origin.tls", 502, 14, "The origin cannot be trusted.", "The TLS handshake with the origin failed: its certificate is expired, is not issued by `tls.authorities`, does not cover `tls.serverName`, it refused ours, or it does not speak HTTP/2 where `protocol: h2` is written.";
    OriginSaturated = "origin.saturated", 503, 14, "The service is busy.", "All connections to the origin are in use and its queue is full.";

    // own: what the gateway itself answers
    OwnTimeout = "own.timeout", 504, 4, "The service did not answer in time.", "A request to one of the gateway's own paths (`mtls.own`) was not answered within 10 s: the main thread is busy, or its store is.";

    // internal: our own
    InternalPanic = "internal.panic", 500, 13, "Internal error.", "A bug: a panic was caught while the request was decided. Please report it with the log line.";
    InternalOverload = "internal.overload", 503, 14, "The service is busy.", "Exchange slots, or the queue of bodies to inspect, are full.";
    InternalTimeout = "internal.timeout", 503, 14, "The service is busy.", "The body was not inspected in time.";
}

impl Reason {
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        &CATALOGUE[self as usize]
    }

    /// Whether it speaks of a certificate whose path holds: revoked, or not known not to be.
    #[must_use]
    pub fn is_standing(self) -> bool {
        matches!(self, Reason::MtlsRevoked | Reason::MtlsCrlExpired | Reason::MtlsRevocationUnknown)
    }

    #[must_use]
    pub fn id(self) -> &'static str {
        self.entry().id
    }
}

/// docs/reasons.md.
#[must_use]
pub fn markdown() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "# Reasons\n\nWhy an exchange was denied. The id stands in the answer (`reason`), in the event line \
         (`SecurityRuleID`) and in the label of `portcullis_denials_total`.\nThis page is rendered from \
         native/engine/src/reason.rs.\n\n| id | HTTP | gRPC | what the client is told | what to look at |\n\
         |---|---|---|---|---|\n",
    );
    for entry in CATALOGUE {
        let id = if entry.id.ends_with('.') { format!("{}<name>", entry.id) } else { entry.id.to_owned() };
        let _ = writeln!(out, "| `{id}` | {} | {} | {} | {} |", entry.status, entry.grpc, entry.title, entry.hint);
    }
    out
}
