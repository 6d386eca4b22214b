/**
 * The typed face of native/pki. Each function is one command: it runs off the event loop and throws `PkiError` with
 * what was found and what would do. Times are Unix milliseconds; keys are PKCS#8 PEM; bytes are base64.
 *
 *     import { pki } from '../../native.js';
 *     const { certificate, key } = await createAuthority(pki, { subject: { common_name: 'Devices' }, ... });
 */

/** What runs a command: `pki` of src/native.ts. */
export type Run = (request: string) => Promise<string>;

/** A refused command. `message` says what was found, `hint` what would do; neither holds a secret. */
export class PkiError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'PkiError';
    this.hint = hint;
  }
}

/** Keys that are made here. RSA takes up to some seconds. */
export type KeyType = 'P-256' | 'P-384' | 'Ed25519' | 'RSA 3072' | 'RSA 4096';

export interface Subject {
  /** 64 characters at most (RFC 5280, ub-common-name), as all but the country. */
  common_name?: string;
  organization?: string;
  organizational_unit?: string;
  /** Two capital letters. */
  country?: string;
}

export interface Names {
  dns: string[];
  email: string[];
  uri: string[];
  ip: string[];
}

/** A certificate with its private key. */
export interface Signer {
  /** PEM; of several certificates the first. */
  certificate: string;
  /** PKCS#8 PEM, or what OpenSSL wrote before that. */
  key: string;
}

export interface Facts {
  /** RFC 4514: for people, never to compare with. */
  subject: string;
  issuer: string;
  /** Upper-case hex, whole bytes, no leading zero byte. */
  serial: string;
  /** Lower-case hex SHA-256 of the DER. */
  fingerprint: string;
  /** Lower-case hex SHA-256 of the certificate's own public key (SubjectPublicKeyInfo). */
  key_id: string;
  /** Authority key identifier, lower-case hex. Names the issuer's key in the issuer's own way: not a `key_id`. */
  issuer_key_id: string | null;
  /** `P-256`, `P-384`, `P-521`, `Ed25519`, `RSA 3072`; what else there is, in words. */
  key_type: string;
  not_before: number;
  not_after: number;
  is_authority: boolean;
  path_length: number | null;
  dns: string[];
  email: string[];
  uri: string[];
  ip: string[];
  /** `clientAuth`, `serverAuth`; dotted identifiers where there is no name. */
  eku: string[];
  self_signed: boolean;
  crl_urls: string[];
  ocsp_urls: string[];
}

export interface CreateAuthority {
  subject: Subject;
  key_type: KeyType;
  not_before: number;
  not_after: number;
  /** How many authorities may follow below; null: any number. */
  path_length: number | null;
  /** Networks as `192.0.2.0/24`; URIs by their host, with a dot in front all hosts below it. */
  name_constraints?: { permitted?: Partial<Names>; excluded?: Partial<Names> };
  /** Without: signed by itself. */
  parent?: Signer;
  /** Ends with its parent when that is earlier; without, that is refused. */
  clamp?: boolean;
  crl_url?: string;
  ocsp_url?: string;
}

export interface Created {
  certificate: string;
  key: string;
  facts: Facts;
}

export const createAuthority = (run: Run, command: CreateAuthority) =>
  ask<Created>(run, 'create_authority', {
    ...command,
    parent: command.parent && signer(command.parent),
  });

export interface ReadAuthority {
  /** PEM, up to 32 certificates; the same one twice is read once. */
  certificates: string;
  key?: string;
}

/** Refused when one of the certificates can be no authority, or the key is none of theirs. */
export const readAuthority = (run: Run, command: ReadAuthority) =>
  ask<{
    certificates: { pem: string; facts: Facts }[];
    /** Index of the certificate that the key belongs to. */
    key_matches: number | null;
    /** The key as PKCS#8 PEM, in whatever form it came. */
    key: string | null;
  }>(run, 'read_authority', command);

/** What is to be in a certificate. With `csr` only its public key is taken: names and usages are these. */
export interface IssueItem extends Partial<Names> {
  /** PEM, or DER as base64. */
  csr?: string;
  /** Without `csr`: a key is made. */
  key_type?: KeyType;
  /** null: an empty subject; then there has to be an alternative name. */
  subject: Subject | null;
  not_before: number;
  not_after: number;
  /** Ends with its authority when that is earlier; without, that is refused. */
  clamp?: boolean;
  /** Names such as `clientAuth`, or dotted identifiers. */
  eku: string[];
  crl_url?: string;
  ocsp_url?: string;
}

export interface Issued {
  certificate: string;
  /** PEM of the key that was made; null with a CSR. */
  key: string | null;
  facts: Facts;
}

export const issue = (run: Run, command: IssueItem & { issuer: Signer }) => ask<Issued>(run, 'issue', signing(command));

export interface Refusal {
  error: { message: string; hint: string };
}

/** One answer an item, in order; up to 10,000 items. */
export const issueMany = (run: Run, command: { issuer: Signer; items: IssueItem[] }) =>
  ask<{ items: (Issued | Refusal)[] }>(run, 'issue_many', signing(command));

export interface Request extends Names {
  subject: Subject;
  /** RFC 4514, with every attribute. */
  subject_text: string;
  /** Alternative names of other kinds, in words. */
  other_names: string[];
  key_type: string;
  key_id: string;
  /** Usages that were asked for. */
  eku: string[];
  /** Identifiers of all extensions that were asked for. */
  extensions: string[];
  challenge_password: boolean;
}

/** Refused: a bad signature, a weak key, more than 64 KiB or 100 names, control characters, unknown critical wishes. */
export const readCsr = (run: Run, command: { csr: string }) => ask<Request>(run, 'read_csr', command);

/** RFC 5280, 5.3.1 */
export type Reason =
  | 'unspecified'
  | 'key_compromise'
  | 'ca_compromise'
  | 'affiliation_changed'
  | 'superseded'
  | 'cessation_of_operation'
  | 'certificate_hold'
  | 'privilege_withdrawn'
  | 'aa_compromise';

export interface MakeList {
  issuer: Signer;
  /** Greater than that of any list before. */
  number: number;
  this_update: number;
  next_update: number;
  /** Adds an issuing distribution point: only for authorities all of whose certificates name this URL. */
  url?: string;
  revoked: { serial: string; at: number; reason?: Reason | null }[];
}

/** A signed revocation list; `der` is base64. */
export const makeList = (run: Run, command: MakeList) =>
  ask<{ der: string; pem: string }>(run, 'crl', signing(command));

export interface OcspItem {
  hash: 'sha1' | 'sha256';
  /** Lower-case hex, of the issuer's name and of its key's bits. */
  issuer_name_hash: string;
  issuer_key_hash: string;
  serial: string;
}

/** `request`: base64 of the DER. */
export const readOcsp = (run: Run, command: { request: string }) =>
  ask<{ items: OcspItem[]; nonce: boolean }>(run, 'ocsp_read', command);

export interface OcspAnswer {
  serial: string;
  status: 'good' | 'revoked' | 'unknown';
  revoked_at?: number;
  reason?: Reason | null;
}

/** Items of the request without an answer, or of another issuer, are answered `unknown`. */
export const signOcsp = (
  run: Run,
  command: {
    issuer: Signer;
    request: string;
    answers: OcspAnswer[];
    this_update: number;
    next_update: number;
  },
) => ask<{ der: string }>(run, 'ocsp_sign', signing(command));

/** An answer without a signature. */
export const ocspError = (run: Run, command: { error: 'malformed' | 'internal' | 'try_later' | 'unauthorized' }) =>
  ask<{ der: string }>(run, 'ocsp_error', command);

export const requestOcsp = (run: Run, command: { issuer: string; serial: string; nonce: boolean }) =>
  ask<{
    der: string;
    /** base64; to be handed to `verifyOcsp`. */
    nonce: string | null;
  }>(run, 'ocsp_request', command);

export interface VerifiedAnswer {
  status: 'good' | 'revoked' | 'unknown';
  this_update: number;
  next_update: number | null;
  revoked_at: number | null;
  reason: Reason | null;
}

/** Refused unless everything holds: who signed it, for which certificate, when. `response`: base64. */
export const verifyOcsp = (
  run: Run,
  command: { response: string; issuer: string; serial: string; nonce: string | null; now: number },
) => ask<VerifiedAnswer>(run, 'ocsp_verify', command);

export interface Bundle {
  certificate: string;
  chain: string[];
  key: string;
  /** Not empty. */
  password: string;
  /** What phones and browsers show. */
  name: string;
  /** `legacy` (3DES, SHA-1) for devices that cannot read the other: Android before 12, iOS before 14, Windows before 2019. */
  encryption: 'modern' | 'legacy';
}

/** PKCS#12; base64. */
export const pkcs12 = (run: Run, command: Bundle) => ask<{ der: string }>(run, 'pkcs12', command);

/** PKCS#7 with certificates only, as EST answers (RFC 7030, 4.1.3); base64. */
export const pkcs7 = (run: Run, command: { certificates: string[] }) => ask<{ der: string }>(run, 'pkcs7', command);

export type Kind =
  | 'certificate'
  | 'csr'
  | 'crl'
  | 'pkcs12'
  | 'pkcs7'
  | 'key'
  | 'ocsp_request'
  | 'ocsp_response'
  /** PEM with sections of several kinds. */
  | 'several';

export interface Explained {
  kind: Kind;
  items: {
    title: string;
    rows: [label: string, value: string][];
    warnings: string[];
    pem?: string;
    facts?: Facts;
  }[];
}

/** Explains a file, PEM or DER. `now`: what "days left" counts from, the present unless given. */
export const inspect = (run: Run, command: { bytes: string; password?: string; now?: number }) =>
  ask<Explained>(run, 'inspect', command);

/** Without what else the object holds: the commands refuse fields that they do not know. */
const signing = <C extends { issuer: Signer }>(command: C): C => ({ ...command, issuer: signer(command.issuer) });
const signer = ({ certificate, key }: Signer): Signer => ({ certificate, key });

async function ask<Answer>(run: Run, command: string, fields: object): Promise<Answer> {
  const answer: Answer & Partial<Refusal> = JSON.parse(await run(JSON.stringify({ ...fields, command })));
  // Answers of `issueMany` carry errors in their items, never at the top.
  if (answer.error !== undefined) throw new PkiError(answer.error.message, answer.error.hint);
  return answer;
}
