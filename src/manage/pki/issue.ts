// One certificate: from a certification request, or with a key that is made here and answered once.

import { X509Certificate } from 'node:crypto';
import { setImmediate as breathe } from 'node:timers/promises';
import { sql } from 'kysely';
import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import type { Writing } from '../store/open.js';
import type { CertificatesTable, Topic } from '../store/tables.js';
import { findAuthority, type Issuing, issuing, pemsOf, refuseRetired } from './authorities.js';
import { CLOCK_SKEW_MS } from './clock.js';
import type { Facts, IssueItem, Request, Issued as Signed, Subject } from './commands.js';
import * as commands from './commands.js';
import { listUrl, ocspUrl } from './config.js';
import { refuseConstrained } from './constraints.js';
import { authorityName } from './create.js';
import { lifetime, milliseconds, rfc3339 } from './lifetime.js';
import { type AlternativeNames, alternativeNames, commonName } from './names.js';
import { decide, KEY_TYPES, profileName, profileOf } from './profiles.js';
import type { By, Pki } from './service.js';
import { settingsOf } from './settings.js';

/** Largest certification request, as native/pki reads it; base64 of 64 KiB. */
const MAX_CSR = 90_000;

export const csr = z.string().min(1).max(MAX_CSR).describe('Certification request, PEM, or DER as base64.');
export const partner = commonName.describe('Whom it belongs to; certificates are found and revoked by it.');

export const wantedCertificate = z.strictObject({
  authority: authorityName,
  profile: profileName.default('client'),
  name: commonName.describe('Its common name: a device, a service, a person.'),
  ...alternativeNames.shape,
  validity: lifetime('1h', '10y').optional().describe("The profile's unless given."),
  partner: partner.optional(),
  csr: csr.optional(),
  key_type: z.enum(KEY_TYPES).optional().describe('Of the key that is made without `csr`; P-256 unless given.'),
  allow_dropping: z
    .boolean()
    .default(false)
    .describe('What the request asks for beyond the profile is left out, and told, instead of refused.'),
});

export type WantedCertificate = z.output<typeof wantedCertificate>;

/** The column `names`: what the certificate says, for whoever renews it. */
export interface KeptNames extends AlternativeNames {
  subject: Subject;
  usages: string[];
}

export type CertificateRow = CertificatesTable;

export interface IssuedCertificate {
  row: CertificateRow;
  /** PKCS#8 PEM; null when the request brought its own. */
  key: string | null;
  chain: Chain;
  /** What was asked for and not given. */
  dropped: string[];
  /** What was given less than asked for, in words. */
  warnings: string[];
}

/** Signs; what is to last has to be kept with `keepIssued` before anybody gets it. */
export async function issue(pki: Pki, wanted: WantedCertificate, issuedBy: string): Promise<IssuedCertificate> {
  const from = await issuing(pki, wanted.authority);
  const asked = wanted.csr === undefined ? null : await readCsr(pki, wanted.csr);
  if (asked && wanted.key_type !== undefined) {
    throw new Refusal(422, 'The key is the one of the certification request.', 'Leave out key_type, or csr.');
  }
  const { profile, validity } = profileAndValidity(from, wanted.profile, wanted.validity);
  const { allow_dropping, name } = wanted;
  const { dns, email, uri, ip } = wanted;
  const { subject, names, dropped } = decide(profile, wanted.profile, {
    name,
    names: { dns, email, uri, ip },
    csr: asked,
    allow_dropping,
  });
  refuseConstrained(settingsOf(from.authority).name_constraints, names, wanted.authority);
  const item = itemOf(pki, from, { subject, names, usages: profile.usages, validity });
  const key = wanted.csr === undefined ? { key_type: wanted.key_type ?? 'P-256' } : { csr: wanted.csr };
  const signed = await pki.ask(commands.issue, { issuer: from.issuer, ...item, ...key });
  const kept: Kept = { name, profile: wanted.profile, partner: wanted.partner ?? null, renews: null };
  const row = rowOf(pki, from, signed, { subject, names, usages: profile.usages }, kept, issuedBy);
  return {
    row,
    key: signed.key,
    chain: chainOf(from),
    dropped,
    warnings: [...shortened(pki, from, signed.facts, validity), ...(await unknownPartner(pki, row.partner))],
  };
}

export function keepIssued(pki: Pki, { row }: IssuedCertificate, by: By): Promise<void> {
  return keep(pki, [row], (tx, revisions) =>
    by.audit(tx, revisions, { action: 'pki.certificate.issue', target: row.fingerprint, after: auditable(row) }),
  );
}

export function readCsr(pki: Pki, csr: string): Promise<Request> {
  return pki.ask(commands.readCsr, { csr });
}

/** Milliseconds; the profile's own unless another is asked for. */
export function profileAndValidity(from: Issuing, name: string, asked: string | undefined) {
  const profile = profileOf(settingsOf(from.authority).profiles, name, from.authority.name);
  const validity = asked ?? profile.validity;
  if (milliseconds(validity) > milliseconds(profile.max_validity)) {
    throw new Refusal(
      422,
      `The profile ${name} gives certificates of ${profile.max_validity} at most.`,
      'Ask for less, or with another profile.',
    );
  }
  return { profile, validity: milliseconds(validity) };
}

export interface Content {
  subject: Subject;
  names: AlternativeNames;
  usages: string[];
}

/** What the certificate will say. It never ends after its issuer. */
export function itemOf(
  pki: Pki,
  { generation }: Issuing,
  { subject, names, usages, validity }: Content & { validity: number },
): Omit<IssueItem, 'csr' | 'key_type'> {
  const now = pki.now();
  const { url } = pki.settings;
  const { dns, email, uri, ip } = names;
  return {
    subject,
    ...{ dns, email, uri, ip },
    not_before: Math.max(now - CLOCK_SKEW_MS, generation.not_before),
    not_after: now + validity,
    clamp: true,
    eku: usages,
    ...(url !== undefined && { crl_url: listUrl(url, generation.key_id), ocsp_url: ocspUrl(url) }),
  };
}

export interface Kept {
  name: string;
  profile: string;
  partner: string | null;
  renews: string | null;
}

export function rowOf(
  pki: Pki,
  { authority, generation }: Issuing,
  { certificate, facts }: Pick<Signed, 'certificate' | 'facts'>,
  { subject, names, usages }: Content,
  kept: Kept,
  issuedBy: string,
): CertificateRow {
  const { dns, email, uri, ip } = names;
  const said: KeptNames = { dns, email, uri, ip, subject, usages };
  return {
    key_id: generation.key_id,
    serial: facts.serial,
    fingerprint: facts.fingerprint,
    authority: authority.name,
    generation: generation.number,
    subject: facts.subject,
    names: JSON.stringify(said),
    ...kept,
    not_before: facts.not_before,
    not_after: facts.not_after,
    issued_at: pki.now(),
    issued_by: issuedBy,
    certificate,
    revision: 0,
  };
}

/** Rows of one statement: SQLite takes 32,766 parameters, PostgreSQL 65,535; a row has 17. */
const ROWS_AT_ONCE = 200;
const NAMES_AT_ONCE = 1_000;

/** Keeps certificates that were signed, all or none; `also` belongs to the same transaction. */
export async function keep(
  pki: Pki,
  rows: readonly CertificateRow[],
  also: (tx: Writing, revisions: Record<Topic, number>) => Promise<void>,
  topics: readonly Topic[] = [],
): Promise<void> {
  await pki.store.write(['certificates', ...topics], async (tx, revisions) => {
    // What was retired while this was signed has not signed it.
    for (const name of new Set(rows.map(({ authority }) => authority))) refuseRetired(await findAuthority(tx, name));
    await refuseEnded(tx, rows, pki.now());
    for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) {
      const some = rows.slice(at, at + ROWS_AT_ONCE).map(row => ({ ...row, revision: revisions.certificates }));
      await tx.insertInto('certificates').values(some).execute();
      // SQLite works on this thread.
      if (at + ROWS_AT_ONCE < rows.length) await breathe();
    }
    await also(tx, revisions);
  });
}

/** Nothing is issued that would be refused everywhere. */
async function refuseEnded(tx: Writing, rows: readonly CertificateRow[], now: number): Promise<void> {
  const names = [...new Set(rows.flatMap(({ partner }) => partner ?? []))];
  for (let at = 0; at < names.length; at += NAMES_AT_ONCE) {
    const ended = await tx
      .selectFrom('partners')
      .select(['name', 'suspended_at'])
      .where('name', 'in', names.slice(at, at + NAMES_AT_ONCE))
      .where(it => it.or([it('suspended_at', 'is not', null), it('expires_at', '<=', now)]))
      .executeTakeFirst();
    if (!ended) continue;
    const { name, suspended_at } = ended;
    if (suspended_at === null) {
      throw new Refusal(409, `The partner ${name} has expired.`, 'Give it another end first.');
    }
    throw new Refusal(409, `The partner ${name} is suspended.`, 'What is its own is refused: resume it first.');
  }
}

/** A word that nobody is called by stays allowed: it finds certificates, and ties them to nobody. */
async function unknownPartner({ store }: Pki, word: string | null): Promise<string[]> {
  if (word === null) return [];
  const rows = await store.db
    .selectFrom('partners')
    .select('name')
    .orderBy(sql`case when name = ${word} then 0 else 1 end`)
    .limit(1)
    .execute();
  // Where there are no partners at all, nobody expects one.
  if (rows.length === 0 || rows[0]?.name === word) return [];
  return [`No partner is called ${word}: the certificate counts as nobody's until one is.`];
}

/** For the audit log. */
export function auditable({ authority, name, subject, serial, profile, partner, not_after, renews }: CertificateRow) {
  return { authority, name, subject, serial, profile, partner, not_after: rfc3339(not_after), renews };
}

/** What stands above a certificate, PEM, from its issuer upwards. */
export interface Chain {
  whole: string[];
  /** TLS peers have their roots: sending them helps nobody (RFC 8446, 4.4.2). */
  withoutRoot: string[];
}

export function chainOf({ generation }: Issuing): Chain {
  const whole = [...pemsOf(generation.certificate), ...pemsOf(generation.chain)];
  return { whole, withoutRoot: whole.filter(pem => !isRoot(pem)) };
}

function isRoot(pem: string): boolean {
  const certificate = new X509Certificate(pem);
  return certificate.checkIssued(certificate);
}

const MINUTE_MS = 60_000;

function shortened(pki: Pki, { authority }: Issuing, { not_after }: Facts, validity: number): string[] {
  if (not_after >= pki.now() + validity - MINUTE_MS) return [];
  return [`It ends with its authority, on ${rfc3339(not_after)}: rotate ${authority.name} before then.`];
}
