// What was issued: found, and shown with its standing.

import { type ExpressionBuilder, sql } from 'kysely';
import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import type { RevocationsTable } from '../store/tables.js';
import type { CertificateRow } from './issue.js';
import { rfc3339 } from './lifetime.js';
import type { AlternativeNames } from './names.js';
import type { Pki } from './service.js';

export const STANDINGS = ['valid', 'expired', 'held', 'revoked'] as const;
export type Standing = (typeof STANDINGS)[number];

export interface Filter {
  authority?: string | undefined;
  /** Its beginning. */
  name?: string | undefined;
  subject?: string | undefined;
  serial?: string | undefined;
  fingerprint?: string | undefined;
  partner?: string | undefined;
  status?: Standing | undefined;
  /** Unix milliseconds. */
  expiringBefore?: number | undefined;
}

type State = RevocationsTable['state'];

/** With what was said of it by its serial, and by its fingerprint. */
export type Found = CertificateRow & {
  serial_state: State | null;
  serial_reason: string | null;
  serial_at: number | null;
  fingerprint_state: State | null;
  fingerprint_reason: string | null;
  fingerprint_at: number | null;
};

export interface Revoked {
  state: 'revoked' | 'held';
  reason: string;
  at: number;
}

/** Pages are in the order of issuing, newest first: by revision and fingerprint. */
const PLACE = z.tuple([z.int(), z.string().regex(/^[0-9a-f]{64}$/)]);

export async function listCertificates(pki: Pki, filter: Filter, cursor: string | undefined, limit: number) {
  const after = readCursor(PLACE, cursor);
  let query = selection(pki);
  for (const column of ['authority', 'subject', 'serial', 'fingerprint', 'partner'] as const) {
    const value = filter[column];
    if (value !== undefined) query = query.where(`c.${column}`, '=', value);
  }
  if (filter.name !== undefined) {
    const { length } = [...filter.name];
    // Neither LIKE nor a range means the same on both databases.
    query = query.where(sql<string>`substr(c.name, 1, ${sql.lit(length)})`, '=', filter.name);
  }
  if (filter.expiringBefore !== undefined) query = query.where('c.not_after', '<', filter.expiringBefore);
  if (filter.status !== undefined) {
    const [status, now] = [filter.status, pki.now()];
    query = query.where(it => hasStanding(it as never, status, now));
  }
  if (after) {
    const [revision, fingerprint] = after;
    query = query.where(({ eb, or, and }) =>
      or([
        eb('c.revision', '<', revision),
        and([eb('c.revision', '=', revision), eb('c.fingerprint', '>', fingerprint)]),
      ]),
    );
  }
  const rows = await query
    .orderBy('c.revision', 'desc')
    .orderBy('c.fingerprint')
    .limit(limit + 1)
    .execute();
  return paged(
    rows,
    limit,
    row => [row.revision, row.fingerprint],
    row => shown(row, pki.now()),
  );
}

/** Throws a Refusal when it was not issued here. */
export async function findCertificate(pki: Pki, fingerprint: string): Promise<Found> {
  const row = await selection(pki).where('c.fingerprint', '=', fingerprint).executeTakeFirst();
  if (row) return row;
  throw new Refusal(404, 'No such certificate was issued here.', 'GET /pki/certificates lists those that were.');
}

function selection(pki: Pki) {
  return pki.store.db
    .selectFrom('certificates as c')
    .leftJoin('revocations as s', 's.id', sql`c.key_id || ':' || c.serial` as never)
    .leftJoin('revocations as f', 'f.id', sql`'sha256:' || c.fingerprint` as never)
    .selectAll('c')
    .select(['s.state as serial_state', 's.reason as serial_reason', 's.at as serial_at'])
    .select(['f.state as fingerprint_state', 'f.reason as fingerprint_reason', 'f.at as fingerprint_at']);
}

// biome-ignore lint/suspicious/noExplicitAny: the joined tables' type says nothing more here
function hasStanding(it: ExpressionBuilder<any, any>, status: Standing, now: number) {
  const stands = (state: State) => it.or([it('s.state', '=', state), it('f.state', '=', state)]);
  const lacks = (state: State) =>
    it.and(['s.state', 'f.state'].map(column => it.or([it(column, 'is', null), it(column, '!=', state)])));
  if (status === 'revoked') return stands('revoked');
  if (status === 'held') return it.and([stands('held'), lacks('revoked')]);
  const dates = it('c.not_after', status === 'expired' ? '<=' : '>', now);
  return it.and([lacks('revoked'), lacks('held'), dates]);
}

/** Null while nothing takes it back. */
export function revokedOf(row: Found): Revoked | null {
  const both = [
    { state: row.serial_state, reason: row.serial_reason, at: row.serial_at },
    { state: row.fingerprint_state, reason: row.fingerprint_reason, at: row.fingerprint_at },
  ];
  const found = both.find(({ state }) => state === 'revoked') ?? both.find(({ state }) => state === 'held');
  return found === undefined ? null : (found as Revoked);
}

export function standingOf(row: Found, now: number): Standing {
  return revokedOf(row)?.state ?? (row.not_after <= now ? 'expired' : 'valid');
}

/** As the admin API shows it, without the certificate itself. */
export function shown(row: Found, now: number) {
  const { dns, email, uri, ip }: AlternativeNames = JSON.parse(row.names);
  const revoked = revokedOf(row);
  return {
    fingerprint: row.fingerprint,
    serial: row.serial,
    key_id: row.key_id,
    authority: row.authority,
    generation: row.generation,
    name: row.name,
    subject: row.subject,
    ...{ dns, email, uri, ip },
    profile: row.profile,
    partner: row.partner,
    not_before: rfc3339(row.not_before),
    not_after: rfc3339(row.not_after),
    issued_at: rfc3339(row.issued_at),
    issued_by: row.issued_by,
    renews: row.renews,
    status: standingOf(row, now),
    revocation: revoked && { ...revoked, at: rfc3339(revoked.at) },
  };
}

/** Just issued: nothing takes it back yet. */
export function fresh(row: CertificateRow): Found {
  const none = { serial_state: null, serial_reason: null, serial_at: null };
  return { ...row, ...none, fingerprint_state: null, fingerprint_reason: null, fingerprint_at: null };
}
