// Every table of the store. The same on SQLite and PostgreSQL: text, and integers that JavaScript holds exactly.
//
// Times are Unix milliseconds. Columns that hold JSON say so. `serial`, `fingerprint` and `key_id` are spelled as in
// docs/pki.md: upper-case hex; lower-case hex SHA-256 of the certificate; lower-case hex SHA-256 of the issuer's key.

export interface Tables {
  meta: { key: string; value: string };
  /** One row per topic: grows with every change of what the topic stands for, in the order of commits. */
  revisions: { topic: Topic; value: number };
  audit: AuditTable;
  tokens: TokensTable;
  authorities: AuthoritiesTable;
  generations: GenerationsTable;
  certificates: CertificatesTable;
  revocations: RevocationsTable;
  revocation_lists: RevocationListsTable;
  enrolments: EnrolmentsTable;
  mtls_rules: MtlsRulesTable;
  seen: SeenTable;
  mtls_hours: MtlsHoursTable;
  partners: PartnersTable;
  keys: KeysTable;
  key_secrets: KeySecretsTable;
  token_revocations: TokenRevocationsTable;
  limit_exemptions: LimitExemptionsTable;
  limit_resets: LimitResetsTable;
  volumes: VolumesTable;
}

/** What readers follow: `revisions` has a row for each. */
export const TOPICS = [
  'audit',
  'tokens',
  'authorities',
  'certificates',
  'revocations',
  'revocation_lists',
  'enrolments',
  'mtls_rules',
  'partners',
  'keys',
  'token_revocations',
  'limits',
] as const;
export type Topic = (typeof TOPICS)[number];

export type Role = 'viewer' | 'operator' | 'admin';

/** Hash-chained: `hash` is over the entry and the `previous` one's hash. */
export interface AuditTable {
  /** The revision of the topic `audit`: without gaps. */
  seq: number;
  at: number;
  /** Name of the token or certificate, or `system`. */
  actor: string;
  action: string;
  target: string;
  /** JSON, or null. Never holds a secret. */
  before: string | null;
  after: string | null;
  previous: string;
  hash: string;
}

export interface TokensTable {
  id: string;
  name: string;
  role: Role;
  /** SHA-256 of the token, hex: tokens are random, 256 bits. */
  hash: string;
  created_at: number;
  created_by: string;
  expires_at: number | null;
  last_used_at: number | null;
  revoked_at: number | null;
  version: number;
}

export interface AuthoritiesTable {
  name: string;
  /** `hosted`: the key is here. `imported`: through the API; only certificates, or with the key. */
  kind: 'hosted' | 'imported';
  state: 'active' | 'retired';
  created_at: number;
  /** JSON: key type, validity, name constraints, profiles. */
  settings: string;
  /** JSON: how revocation is looked up, as under `revocation` in the configuration. */
  revocation: string;
  version: number;
}

/** One certificate of an authority: the newest one with a key issues, the others are trusted until a date. */
export interface GenerationsTable {
  /** `name/number` */
  id: string;
  authority: string;
  number: number;
  state: 'trusted' | 'withdrawn';
  /** PEM. */
  certificate: string;
  /** Certificates between it and its root, and the root, PEM; empty for a root. */
  chain: string;
  /** Sealed PKCS#8 PEM, null without key. */
  sealed_key: string | null;
  key_id: string;
  subject: string;
  not_before: number;
  not_after: number;
  /** After a rotation: when it is no longer trusted. */
  trusted_until: number | null;
  created_at: number;
}

/** What was issued here. */
export interface CertificatesTable {
  key_id: string;
  serial: string;
  fingerprint: string;
  authority: string;
  generation: number;
  /** What the operator calls it: a device, a person. */
  name: string;
  subject: string;
  /** JSON: { dns, email, uri, ip }. */
  names: string;
  profile: string;
  partner: string | null;
  not_before: number;
  not_after: number;
  issued_at: number;
  issued_by: string;
  /** Fingerprint of the certificate that this one renews. */
  renews: string | null;
  certificate: string;
  revision: number;
}

/** What is refused, also of certificates that were not issued here. A row stays when it is lifted. */
export interface RevocationsTable {
  /** `key_id:serial`, or `sha256:fingerprint` for a certificate of which no more is known. */
  id: string;
  key_id: string | null;
  serial: string | null;
  fingerprint: string | null;
  authority: string | null;
  state: 'revoked' | 'held' | 'restored';
  /** RFC 5280, 5.3.1, in its spelling: keyCompromise, ... */
  reason: string;
  at: number;
  by: string;
  /** Of the topic `revocations`: readers ask for what is newer than they know. */
  revision: number;
}

/** Lists: our own ones as published, and those of brought authorities that were uploaded or fetched. */
export interface RevocationListsTable {
  /** `own`: `own/key_id`; uploaded: `authority/key_id`; fetched: the URL. */
  id: string;
  authority: string;
  source: 'own' | 'uploaded' | 'fetched';
  key_id: string;
  number: string;
  /** DER, base64. */
  list: string;
  this_update: number;
  next_update: number;
  at: number;
  revision: number;
}

/** Secrets with which a device gets its first certificate (EST simpleenroll). */
export interface EnrolmentsTable {
  id: string;
  name: string;
  authority: string;
  profile: string;
  /** SHA-256 of the secret, hex. */
  hash: string;
  uses_left: number | null;
  expires_at: number;
  created_at: number;
  created_by: string;
  revoked_at: number | null;
  version: number;
}

/** Client-certificate policy that was set through the API; it stands beside what the configuration says. */
export interface MtlsRulesTable {
  id: string;
  host: string;
  /** Prefix of whole segments; `/` is the host itself. */
  path: string;
  mode: 'off' | 'request' | 'require';
  action: 'log' | 'block';
  /** JSON: names of authorities. */
  trust: string;
  created_at: number;
  version: number;
}

/** Client certificates that came, whoever issued them. */
export interface SeenTable {
  fingerprint: string;
  /** That verified it, else null. */
  authority: string | null;
  key_id: string | null;
  serial: string;
  subject: string;
  issuer: string;
  not_before: number;
  not_after: number;
  first_seen: number;
  last_seen: number;
  requests: number;
  /** JSON: at most 8 names. */
  hosts: string;
}

/** How many requests of an hour came with which certificates. */
export interface MtlsHoursTable {
  host: string;
  /** Operation, `-` for what is not described. */
  operation: string;
  /** Hours since 1970. */
  hour: number;
  /** Process that counted. */
  node: string;
  valid: number;
  absent: number;
  invalid: number;
}

/** To whom credentials belong. */
export interface PartnersTable {
  name: string;
  owner: string;
  contact: string;
  expires_at: number | null;
  suspended_at: number | null;
  suspended_why: string | null;
  /** JSON: [{ authority?, subject?, san?, fingerprint? }] */
  certificates: string;
  /** JSON: [{ configuration?, claim?, value? }] */
  tokens: string;
  /** JSON: operations that the partner may call; empty: all. */
  operations: string;
  /** JSON, or null: { requests, period_s }. */
  quota: string | null;
  created_at: number;
  created_by: string;
  version: number;
  revision: number;
}

/** API keys and service tokens. A row stays when the key is revoked. */
export interface KeysTable {
  /** 12 hex digits; of a service token, the client id. */
  id: string;
  name: string;
  kind: 'key' | 'service';
  partner: string | null;
  /** JSON: lists of text. */
  scopes: string;
  certificates: string;
  networks: string;
  hosts: string;
  expires_at: number | null;
  created_at: number;
  created_by: string;
  revoked_at: number | null;
  revoked_by: string | null;
  revoked_why: string | null;
  last_used_at: number | null;
  version: number;
  revision: number;
}

/** One or two of a key: the older one counts until its deadline. */
export interface KeySecretsTable {
  /** SHA-256 of the whole key, hex: 256 random bits need no slow hash. */
  digest: string;
  key_id: string;
  created_at: number;
  not_after: number | null;
}

/** Keys that a limit does not hold for. */
export interface LimitExemptionsTable {
  /** Name of the limit. */
  rule: string;
  /** 32 hex digits: the hash that counters are kept under. */
  key: string;
  /** null: until it is taken away. */
  until: number | null;
  why: string | null;
  by: string;
  created_at: number;
  revision: number;
}

/** Keys whose counters were emptied; read by every process of the fleet, deleted when all have had the time to. */
export interface LimitResetsTable {
  rule: string;
  key: string;
  at: number;
  revision: number;
}

/** What was asked of an operation in ten minutes, as one process saw it. */
export interface VolumesTable {
  host: string;
  operation: string;
  /** When it began: a multiple of 600,000. */
  bucket: number;
  node: string;
  /** JSON of native/engine/src/limits/volume.rs. */
  data: string;
}

/** Tokens that were taken back before their end. A row stays, restored, until no such token can be valid. */
export interface TokenRevocationsTable {
  id: string;
  configuration: string;
  kind: 'jti' | 'subject';
  value: string;
  state: 'revoked' | 'restored';
  /** Of a subject: tokens issued until then. */
  at: number;
  /** When no such token can be valid any more; null: never. */
  until: number | null;
  by: string;
  why: string | null;
  revision: number;
}
