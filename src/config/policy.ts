// What is handed to the engine to be compiled: the same as native/engine/src/policy.rs, field by field.
//
// Every `at` is the JSON pointer of the configuration value that the policy value came from.

export interface Policy {
  authorities: PolicyAuthority[];
  lists: { name: string; at: string; items: string[] }[];
  rules: { name: string; at: string; expression: string; action: 'log' | 'block' | 'skip' }[];
  origins: PolicyOrigin[];
  hosts: PolicyHost[];
  jwt: PolicyJwt[];
  /** 64 hex digits: what session identities are hashed with. Empty: a key of this process alone. */
  session_key: string;
  limits: PolicyLimits;
}

export interface PolicyLimits {
  rules: PolicyLimit[];
  entries: number;
  allow_uncounted: boolean;
  headers: boolean;
  allow_identities: boolean;
  quotas: PolicySharing;
  /** Names of a fleet's counters. */
  shared: { prefix: string; cluster: boolean };
}

export interface PolicyLimit {
  name: string;
  at: string;
  expression: PolicyExpression | null;
  /** Of the API description: indexes of the host, and of its operation. */
  operation: [host: number, operation: number] | null;
  counting: PolicyExpression | null;
  characteristics: PolicyExpression[];
  algorithm: 'gcra' | 'sliding_window';
  amount: number;
  period_ms: number;
  burst: number;
  concurrency: number | null;
  /** `message`: each message of a call is counted instead of the call. */
  per: 'request' | 'message';
  score: { response_header: string } | { expression: PolicyExpression } | null;
  mitigation_timeout_ms: number;
  action: 'off' | 'log' | 'block' | { delay: number };
  sharing: PolicySharing;
}

export interface PolicyExpression {
  at: string;
  expression: string;
}

export interface PolicySharing {
  mode: 'local' | 'fast' | 'strict';
  fallback: 'local' | 'open' | 'closed';
  advance: number;
}

export interface PolicyJwt {
  name: string;
  at: string;
  issuer: string | null;
  audiences: string[];
  algorithms: string[];
  /** A JWK Set or PEM; null: it arrives at run time, from `url`. */
  keys: string | null;
  url: string | null;
  locations: PolicyLocation[];
  required: PolicyClaim[];
  skew_s: number;
  types: string[];
  max_lifetime_s: number | null;
  allow_no_expiry: boolean;
  max_bytes: number;
  scope_claims: string[];
  role_claims: string[];
  binding: { certificate: boolean; dpop: boolean; dpop_lifetime_s: number; dpop_algorithms: string[] };
}

/** Where a credential stands in a request. Names of headers in lower case. */
export type PolicyLocation =
  | { in: 'header'; name: string; scheme: string | null }
  | { in: 'cookie'; name: string }
  | { in: 'query'; name: string }
  | { in: 'pair'; id: string; secret: string }
  | { in: 'basic' };

export interface PolicyClaim {
  claim: string;
  values: string[];
}

export interface PolicyCredentials {
  at: string;
  jwt: string[];
  keys: PolicyLocation[];
  /** For requests that match no operation, and for hosts without a description. */
  unmatched: PolicyRequirement;
  /** By the index of the description's operations. */
  operations: PolicyRequirement[];
  session: PolicySession[];
  claims: { header: string; claim: string }[];
  partner_header: string;
  strip: boolean;
}

/** One of the alternatives, all of it. No alternative: nobody passes; an empty one: everybody does. */
export interface PolicyRequirement {
  at: string;
  action: PolicyAction;
  any: PolicyNeed[][];
  realm: string;
}

export type PolicyNeed =
  | { kind: 'jwt'; configurations: string[]; scopes: string[]; roles: string[]; claims: PolicyClaim[] }
  | { kind: 'key'; scopes: string[]; locations: PolicyLocation[] }
  | { kind: 'certificate'; authorities: string[] };

export type PolicySession =
  | { by: 'header' | 'cookie'; name: string }
  | { by: 'jwt'; claim: string }
  | { by: 'certificate' }
  | { by: 'key' };

export interface PolicyAuthority {
  name: string;
  at: string;
  /** The certificates come from the store: there may be none. */
  hosted: boolean;
  certificates: string;
  intermediates: string;
  crls: string[];
  revocation: PolicyRevocation;
}

export interface PolicyRevocation {
  stale: 'hard' | 'soft' | 'grace';
  grace_s: number;
  fetch: boolean;
  ocsp: boolean;
}

export interface PolicyOrigin {
  /** `address:port`, IPv6 in brackets. */
  addresses: string[];
  protocol: 'http1' | 'h2';
  /** Null: in the clear. */
  tls: PolicyOriginTls | null;
  connections: number;
  connect_timeout_ms: number;
  first_byte_timeout_ms: number;
  idle_timeout_ms: number;
}

export interface PolicyOriginTls {
  /** SNI, and the name that its certificate has to cover. */
  server_name: string;
  /** PEM. */
  roots: string;
  /** Chain and key, PEM. */
  certificate: [string, string] | null;
  allow_unverified: boolean;
}

export interface PolicyHost {
  name: string;
  at: string;
  /** Index into `origins`. */
  origin: number;
  mtls: PolicyMtls;
  openapi: PolicyOpenapi | null;
  grpc: PolicyGrpc | null;
  credentials: PolicyCredentials | null;
  max_body_bytes: number;
}

export type MtlsMode = 'off' | 'request' | 'require';

export type MtlsAction = 'log' | 'block';

export interface PolicyMtls {
  mode: MtlsMode;
  /** What becomes of a request that `mode` denies. */
  action: MtlsAction;
  trust: string[];
  /** `trust` null: the host's. */
  paths: { prefix: string; mode: MtlsMode; action: MtlsAction; trust: string[] | null }[];
  forward: ('rfc9440' | 'chain' | 'xfcc' | 'nginx' | 'cloudflare' | 'sha256')[];
  /** URI names of the host's own certificate. */
  by: string[];
  own: { renew: boolean; est: boolean };
}

export type PolicyAction = 'off' | 'log' | 'block';

export interface PolicyOpenapi {
  action: PolicyAction;
  fallthrough: PolicyAction;
  overload: 'block' | 'pass';
  detail: 'full' | 'pointer' | 'none';
  allow_values: boolean;
  operations: PolicyOperation[];
  schema: unknown;
}

export interface PolicyGrpc {
  at: string;
  action: PolicyAction;
  fallthrough: PolicyAction;
  unknown_fields: PolicyAction;
  detail: 'full' | 'pointer' | 'none';
  /** A FileDescriptorSet in base64; null: calls are not described. */
  descriptors: string | null;
  max_message_bytes: number;
  max_depth: number;
  max_fields: number;
  max_deadline_ms: number | null;
  allow_reflection: boolean;
  /** Behind those of `openapi`, where operations are counted. */
  operations: { path: string; at: string; action: PolicyAction }[];
}

export interface PolicyOperation {
  id: string;
  at: string;
  method: string;
  path: string;
  action: PolicyAction;
  unknown_query: PolicyAction;
  parameters: PolicyParameter[];
  body: PolicyBody | null;
  responses: PolicyResponses | null;
}

export interface PolicyParameter {
  name: string;
  location: 'path' | 'query' | 'header' | 'cookie';
  required: boolean;
  style: PolicyStyle;
  explode: boolean;
  allow_empty: boolean;
  allow_reserved: boolean;
  schema: string;
  content: string | null;
}

export type PolicyStyle = 'simple' | 'label' | 'matrix' | 'form' | 'spaceDelimited' | 'pipeDelimited' | 'deepObject';

export interface PolicyBody {
  required: boolean;
  content: PolicyContent[];
}

export interface PolicyContent {
  media_type: string;
  format: 'json' | 'ndjson' | 'form' | 'multipart' | 'text' | 'unchecked' | 'refused';
  schema: string | null;
  encoding: PolicyEncoding[];
}

export interface PolicyEncoding {
  name: string;
  content_types: string[];
  style: PolicyStyle;
  explode: boolean;
  allow_reserved: boolean;
  binary: boolean;
  max_bytes: number | null;
  headers: PolicyParameter[];
}

export interface PolicyResponses {
  action: 'log' | 'block' | 'strip';
  statuses: { status: string; headers: PolicyParameter[]; content: PolicyContent[] | null }[];
}

/** What the engine answers when it refuses a policy. `span` counts bytes within the value. */
export interface EngineProblem {
  at: string;
  span?: [number, number];
  message: string;
  hint?: string;
}
