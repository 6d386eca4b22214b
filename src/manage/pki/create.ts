// How an authority comes to be: made here, or brought.

import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { PolicyRevocation } from '../../config/policy.js';
import { Refusal } from '../admin/api.js';
import type { Writing } from '../store/open.js';
import type { AuthoritiesTable } from '../store/tables.js';
import type { Generation } from './authorities.js';
import { CLOCK_SKEW_MS } from './clock.js';
import type { Facts, Subject } from './commands.js';
import * as commands from './commands.js';
import { lifetime, milliseconds } from './lifetime.js';
import { besideName, commonName, defined } from './names.js';
import { KEY_TYPES, profiles } from './profiles.js';
import type { By, Pki } from './service.js';
import { KNOWN_HERE, purpose, revocation, rootOf, type Settings } from './settings.js';

/** As names in the configuration, which authorities of the store share. */
export const authorityName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, {
  error: 'is no name of an authority: letters, digits, `-` and `_`, at most 64',
});

const constrained = z.strictObject({
  dns: z.array(z.string().max(253)).max(50).default([]),
  email: z.array(z.string().max(254)).max(50).default([]),
  uri: z.array(z.string().max(253)).max(50).default([]),
  ip: z.array(z.string().max(50)).max(50).default([]),
});

export const newAuthority = z.strictObject({
  name: authorityName,
  key_type: z.enum(KEY_TYPES).default('P-256'),
  validity: lifetime('1d', '50y').default('10y'),
  subject: z
    .strictObject({ common_name: commonName.optional(), ...besideName })
    .prefault({})
    .describe('The common name is the name unless given.'),
  intermediate: z
    .boolean()
    .default(false)
    .describe('A root is made as well, and what issues is an intermediate below it.'),
  name_constraints: z
    .strictObject({ permitted: constrained.prefault({}), excluded: constrained.prefault({}) })
    .optional()
    .describe('Which names its certificates may carry at all (RFC 5280, 4.2.1.10).'),
  profiles: profiles.default({}),
});

export type NewAuthority = z.output<typeof newAuthority>;

const MAX_PEM = 256 * 1024;
const pem = z.string().max(MAX_PEM);

export const broughtAuthority = z.strictObject({
  name: authorityName,
  certificates: pem.describe('PEM. Without a key, each is trusted; with one, its certificate and those above it.'),
  intermediates: pem.optional().describe('PEM: what chains need and clients do not send. Not trusted by themselves.'),
  key: pem.optional().describe('Private key, PEM: the authority then issues here.'),
  revocation: revocation.prefault({}),
  profiles: profiles.default({}),
});

export type BroughtAuthority = z.output<typeof broughtAuthority>;

/** What a generation is before it has its number. */
export type Made = Pick<Generation, 'certificate' | 'chain' | 'key_id' | 'subject' | 'not_before' | 'not_after'> & {
  /** PKCS#8 PEM, null without. */
  key: string | null;
};

export async function createAuthority(pki: Pki, wanted: NewAuthority, by: By): Promise<void> {
  refuseTaken(pki, wanted.name);
  await add(pki, await newHosted(pki, wanted), by);
}

/** Makes keys and certificates; nothing is kept yet. */
export async function newHosted(pki: Pki, wanted: NewAuthority): Promise<NewRow> {
  const { name, key_type, validity, name_constraints = null, profiles } = wanted;
  const subject = defined({ common_name: name, ...defined(wanted.subject) });
  const settings: Settings = { subject, key_type, validity, name_constraints, profiles, root: null };
  if (wanted.intermediate) settings.root = await newRoot(pki, name, settings, 1);
  const generations = [await makeGeneration(pki, name, settings, 1)];
  return { name, kind: 'hosted', settings, revocation: KNOWN_HERE, generations };
}

/** Makes a certificate that issues, below the authority's root if it has one. */
export async function makeGeneration(pki: Pki, name: string, settings: Settings, number: number): Promise<Made> {
  const { key_type, validity, name_constraints } = settings;
  if (key_type === null || validity === null) throw new Error(`${name} was not made here`);
  const root = rootOf(pki.store, name, settings);
  const { certificate, key, facts } = await pki.ask(commands.createAuthority, {
    subject: numbered(settings.subject ?? { common_name: name }, number),
    key_type,
    ...period(pki, validity),
    path_length: 0,
    ...(name_constraints && { name_constraints }),
    ...(root && { parent: root, clamp: true }),
  });
  return { ...factsOf(facts), certificate, chain: root?.certificate ?? '', key };
}

/** A root that signs nothing but the authority's intermediates. */
export async function newRoot(pki: Pki, name: string, settings: Settings, number: number): Promise<Settings['root']> {
  const { key_type, validity, subject } = settings;
  if (key_type === null || validity === null) throw new Error(`${name} was not made here`);
  const { certificate, key } = await pki.ask(commands.createAuthority, {
    subject: numbered({ ...subject, common_name: `${subject?.common_name?.slice(0, MAX_NUMBERED)} Root` }, number),
    key_type,
    ...period(pki, validity),
    path_length: 1,
  });
  return { certificate, sealed_key: pki.store.seal(key, purpose.root(name)) };
}

export function factsOf({ key_id, subject, not_before, not_after }: Facts) {
  return { key_id, subject, not_before, not_after };
}

function period(pki: Pki, validity: string) {
  const now = pki.now();
  return { not_before: now - CLOCK_SKEW_MS, not_after: now + milliseconds(validity) };
}

/** Of the 64 characters that a common name may have, what is left beside ` Root` and ` G` with a number. */
const MAX_NUMBERED = 50;

/** Each generation has a name of its own: TLS stacks look issuers up by name before they look at keys. */
function numbered(subject: Subject, number: number): Subject {
  if (number === 1) return subject;
  return { ...subject, common_name: `${subject.common_name?.slice(0, MAX_NUMBERED)} G${number}` };
}

/** Takes a brought authority up; what is wrong with its certificates becomes a Refusal. */
export async function importAuthority(pki: Pki, brought: BroughtAuthority, by: By): Promise<void> {
  const { name, revocation: lookedUp, profiles: own } = brought;
  refuseTaken(pki, name);
  const settings: Settings = {
    subject: null,
    key_type: null,
    validity: null,
    name_constraints: null,
    profiles: own,
    root: null,
  };
  const generations = await readBrought(pki, brought);
  await add(pki, { name, kind: 'imported', settings, revocation: lookedUp, generations }, by);
}

/** Generations of one authority: as many as a bundle of a partner's roots, old and new, has been seen to need. */
export const MAX_BROUGHT = 16;

/** Certificates as they were brought, those that are to be trusted. */
export async function readBrought(
  pki: Pki,
  { certificates, intermediates, key }: Pick<BroughtAuthority, 'certificates' | 'intermediates' | 'key'>,
): Promise<Made[]> {
  const read = await pki.ask(commands.readAuthority, { certificates, ...(key !== undefined && { key }) });
  const between =
    intermediates === undefined
      ? []
      : (await pki.ask(commands.readAuthority, { certificates: intermediates })).certificates;
  const issuer = read.key_matches === null ? undefined : read.certificates[read.key_matches];
  if (issuer === undefined) {
    if (read.certificates.length > MAX_BROUGHT) {
      throw new Refusal(422, `${read.certificates.length} certificates in one authority.`, `${MAX_BROUGHT} at most.`);
    }
    const chain = between.map(({ pem }) => pem).join('');
    return read.certificates.map(({ pem, facts }) => ({ ...factsOf(facts), certificate: pem, chain, key: null }));
  }
  const others = [...read.certificates.filter(other => other !== issuer), ...between].map(({ pem }) => pem);
  return [
    { ...factsOf(issuer.facts), certificate: issuer.pem, chain: above(issuer.pem, others).join(''), key: read.key },
  ];
}

/** The path from a certificate upwards. Every one of the others has to be in it. */
function above(pem: string, others: readonly string[]): string[] {
  const rest = others.map(other => ({ pem: other, certificate: new X509Certificate(other) }));
  const path: string[] = [];
  let last = new X509Certificate(pem);
  for (;;) {
    const index = rest.findIndex(
      ({ certificate }) => last.checkIssued(certificate) && last.verify(certificate.publicKey),
    );
    const [next] = index < 0 ? [] : rest.splice(index, 1);
    if (!next) break;
    path.push(next.pem);
    last = next.certificate;
  }
  const stray = rest[0]?.certificate.subject.replaceAll('\n', ', ');
  if (stray === undefined) return path;
  throw new Refusal(
    422,
    `The certificate ${JSON.stringify(stray)} is not above the one whose key this is.`,
    'Give the certificate of the key and those that issued it; import others as an authority of their own.',
  );
}

export interface NewRow {
  name: string;
  kind: AuthoritiesTable['kind'];
  settings: Settings;
  revocation: PolicyRevocation;
  generations: Made[];
}

async function add(pki: Pki, row: NewRow, by: By): Promise<void> {
  await pki.store.write(['authorities'], async (tx, revisions) => {
    if (!(await insert(pki, tx, row, revisions.authorities))) throw taken(row.name);
    const action = row.kind === 'hosted' ? 'pki.authority.create' : 'pki.authority.import';
    await by.audit(tx, revisions, { action, target: row.name, after: auditable(row) });
  });
}

/** False when there is one of this name. */
export async function insert(pki: Pki, tx: Writing, row: NewRow, version: number): Promise<boolean> {
  const inserted = await tx
    .insertInto('authorities')
    .values({
      name: row.name,
      kind: row.kind,
      state: 'active',
      created_at: pki.now(),
      settings: JSON.stringify(row.settings),
      revocation: JSON.stringify(row.revocation),
      version,
    })
    .onConflict(it => it.doNothing())
    .executeTakeFirst();
  if (inserted.numInsertedOrUpdatedRows === 0n) return false;
  for (const [index, made] of row.generations.entries()) await insertGeneration(pki, tx, row.name, index + 1, made);
  return true;
}

export async function insertGeneration(pki: Pki, tx: Writing, authority: string, number: number, made: Made) {
  const { key, ...rest } = made;
  const id = `${authority}/${number}`;
  await tx
    .insertInto('generations')
    .values({
      id,
      authority,
      number,
      state: 'trusted',
      ...rest,
      sealed_key: key === null ? null : pki.store.seal(key, purpose.generation(id)),
      trusted_until: null,
      created_at: pki.now(),
    })
    .execute();
}

/** For the audit log: certificates by name and key, no keys. */
export function auditable({ kind, settings, revocation: lookedUp, generations }: NewRow): object {
  const { root, ...rest } = settings;
  return {
    kind,
    ...rest,
    root: root !== null,
    revocation: lookedUp,
    generations: generations.map(({ subject, key_id, not_after }) => ({ subject, key_id, not_after })),
  };
}

/** Names of the configuration and of the store are one space. */
function refuseTaken(pki: Pki, name: string): void {
  if (pki.fileAuthorities.includes(name)) throw taken(name, 'The configuration brings certificates for this name.');
}

function taken(name: string, why = 'Take another name, or rotate the one there is.'): Refusal {
  return new Refusal(409, `There is an authority ${name} already.`, why);
}
