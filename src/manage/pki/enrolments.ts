// Secrets with which a device gets its first certificate over EST: made here, shown once, kept as their hash.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { expectVersion, Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import type { Writing } from '../store/open.js';
import type { EnrolmentsTable } from '../store/tables.js';
import { issuing } from './authorities.js';
import { authorityName } from './create.js';
import { lifetime, milliseconds, rfc3339 } from './lifetime.js';
import { commonName } from './names.js';
import { profileName, profileOf } from './profiles.js';
import type { By, Pki } from './service.js';
import { settingsOf } from './settings.js';

const ID_BYTES = 6;
/** No hash that is slow is needed for 256 random bits. */
const SECRET_BYTES = 32;
/** `pce_<id>_<secret>`: a prefix that scanners for leaked secrets recognise, and the row. */
const FORM = /^pce_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/;
/** Each is a row that a person looks through. */
const MAX_ENROLMENTS = 10_000;
const MAX_USES = 100_000;

export const newEnrolment = z.strictObject({
  authority: authorityName,
  profile: profileName.default('device'),
  name: commonName.describe(
    'Of the devices: the common name that a request has to have. A `*` in it stands for any characters.',
  ),
  uses: z.int().min(1).max(MAX_USES).nullable().default(1).describe('How many certificates; null for any number.'),
  expires: lifetime('1h', '10y').default('7d').describe('How long from now on.'),
});

export type NewEnrolment = z.output<typeof newEnrolment>;

export async function createEnrolment(pki: Pki, wanted: NewEnrolment, by: By) {
  const { authority, profile, name, uses } = wanted;
  const from = await issuing(pki, authority);
  profileOf(settingsOf(from.authority).profiles, profile, authority);
  const id = randomBytes(ID_BYTES).toString('hex');
  const secret = `pce_${id}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  const row: EnrolmentsTable = {
    id,
    name,
    authority,
    profile,
    hash: hashOf(secret).toString('hex'),
    uses_left: uses,
    expires_at: pki.now() + milliseconds(wanted.expires),
    created_at: pki.now(),
    created_by: by.name,
    revoked_at: null,
    version: 1,
  };
  await pki.store.write(['enrolments'], async (tx, revisions) => {
    const { count } = await tx
      .selectFrom('enrolments')
      .select(({ fn }) => fn.countAll().as('count'))
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', pki.now())
      .executeTakeFirstOrThrow();
    if (Number(count) >= MAX_ENROLMENTS)
      throw new Refusal(409, 'There are too many enrolments.', 'Revoke some of them.');
    await tx.insertInto('enrolments').values(row).execute();
    await by.audit(tx, revisions, { action: 'pki.enrolment.create', target: id, after: recorded(row) });
  });
  return { row, secret };
}

const PLACE = z.tuple([z.int(), z.string().regex(/^[0-9a-f]{12}$/)]);

export async function listEnrolments(pki: Pki, cursor: string | undefined, limit: number) {
  const after = readCursor(PLACE, cursor);
  let query = pki.store.db.selectFrom('enrolments').selectAll();
  if (after) {
    const [at, id] = after;
    query = query.where(({ eb, or, and }) =>
      or([eb('created_at', '<', at), and([eb('created_at', '=', at), eb('id', '>', id)])]),
    );
  }
  const rows = await query
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(limit + 1)
    .execute();
  return paged(rows, limit, row => [row.created_at, row.id], shownEnrolment);
}

export async function findEnrolment(pki: Pki, id: string): Promise<EnrolmentsTable> {
  return existing(await pki.store.db.selectFrom('enrolments').selectAll().where('id', '=', id).executeTakeFirst());
}

export async function revokeEnrolment(pki: Pki, id: string, version: number, by: By): Promise<void> {
  await pki.store.write(['enrolments'], async (tx, revisions) => {
    const row = existing(await tx.selectFrom('enrolments').selectAll().where('id', '=', id).executeTakeFirst());
    expectVersion(version, row.version);
    const after = { ...row, revoked_at: row.revoked_at ?? pki.now(), version: row.version + 1 };
    const { revoked_at, version: next } = after;
    await tx.updateTable('enrolments').set({ revoked_at, version: next }).where('id', '=', id).execute();
    const change = { action: 'pki.enrolment.revoke', target: id, before: recorded(row), after: recorded(after) };
    await by.audit(tx, revisions, change);
  });
}

/** Whose secret it is; null for what is none, or none any more. */
export async function openEnrolment(pki: Pki, secret: string): Promise<EnrolmentsTable | null> {
  const id = FORM.exec(secret)?.[1];
  if (id === undefined) return null;
  const row = await pki.store.db.selectFrom('enrolments').selectAll().where('id', '=', id).executeTakeFirst();
  const same = timingSafeEqual(Buffer.from(row?.hash ?? '0'.repeat(64), 'hex'), hashOf(secret));
  return row && same && isOpen(row, pki.now()) ? row : null;
}

/** In the transaction that keeps the certificate. Throws a Refusal when another device was faster. */
export async function useEnrolment(pki: Pki, tx: Writing, id: string): Promise<void> {
  const row = await tx.selectFrom('enrolments').selectAll().where('id', '=', id).executeTakeFirst();
  if (!row || !isOpen(row, pki.now())) throw new Refusal(403, 'The enrolment was used up, revoked, or has ended.');
  if (row.uses_left === null) return;
  const left = { uses_left: row.uses_left - 1, version: row.version + 1 };
  await tx.updateTable('enrolments').set(left).where('id', '=', id).execute();
}

/** Whether an enrolment is for a device of this name. */
export function isFor(row: EnrolmentsTable, name: string): boolean {
  const [first = '', ...rest] = row.name.split('*');
  if (rest.length === 0) return name === row.name;
  const last = rest.pop() ?? '';
  let at = first.length;
  if (!name.startsWith(first)) return false;
  for (const piece of rest) {
    const found = name.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return name.length >= at + last.length && name.endsWith(last);
}

function isOpen({ revoked_at, expires_at, uses_left }: EnrolmentsTable, now: number): boolean {
  return revoked_at === null && expires_at > now && (uses_left === null || uses_left > 0);
}

export function shownEnrolment({ hash: _, version: _version, ...row }: EnrolmentsTable) {
  return {
    ...row,
    expires_at: rfc3339(row.expires_at),
    created_at: rfc3339(row.created_at),
    revoked_at: row.revoked_at === null ? null : rfc3339(row.revoked_at),
  };
}

function recorded(row: EnrolmentsTable) {
  const { name, authority, profile, uses_left, expires_at, revoked_at } = shownEnrolment(row);
  return { name, authority, profile, uses_left, expires_at, revoked_at };
}

function existing(row: EnrolmentsTable | undefined): EnrolmentsTable {
  if (row) return row;
  throw new Refusal(404, 'There is no such enrolment.');
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
