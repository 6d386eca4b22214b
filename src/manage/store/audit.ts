// The audit log: one entry for each change, chained by hashes.
//
// An entry's hash is the SHA-256 over itself and the hash of the one before. So no entry can be changed, removed or put
// in without changing every hash after it: who keeps a copy of a late hash elsewhere can prove all that came before.

import { createHash } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Writing } from './open.js';
import type { AuditTable, Tables, Topic } from './tables.js';
import { withoutSecrets } from './unsecret.js';

/** What the first entry has for a hash before it. */
export const GENESIS = '0'.repeat(64);
/** Entries that are in memory at once while the chain is walked. */
const PAGE = 500;

export interface AuditEntry {
  /** Name of the token or certificate, or `system`. */
  actor: string;
  /** `pki.authority.create` */
  action: string;
  target: string;
  /** What JSON can say; undefined and null are nothing. What looks like a secret is left out. */
  before?: unknown;
  after?: unknown;
}

/**
 * Appends one entry, in the transaction of the change it tells of: call it within `Store.write`, with the revisions
 * that `act` was given. Answers the entry's number.
 */
export async function audit(tx: Writing, revisions: Record<Topic, number>, entry: AuditEntry): Promise<number> {
  const seq = revisions.audit;
  const before = await tx
    .selectFrom('audit')
    .select('hash')
    .where('seq', '=', seq - 1)
    .executeTakeFirst();
  const row: Omit<AuditTable, 'hash'> = {
    seq,
    at: Date.now(),
    actor: storable(entry.actor),
    action: storable(entry.action),
    target: storable(entry.target),
    before: json(entry.before),
    after: json(entry.after),
    previous: before?.hash ?? GENESIS,
  };
  await tx
    .insertInto('audit')
    .values({ ...row, hash: hashOf(row) })
    .execute();
  // The lock on the topic is held since the transaction began; a second entry of the same change is the next number.
  await tx.updateTable('revisions').set({ value: seq }).where('topic', '=', 'audit').execute();
  revisions.audit = seq + 1;
  return seq;
}

export interface AuditVerdict {
  /** How many were walked and found whole. */
  entries: number;
  /** Number and hash of the last of them: worth keeping elsewhere. */
  head: { seq: number; hash: string };
  /** The first entry that is not as it was written, or null. */
  broken: { seq: number; why: string } | null;
}

/** Walks the chain in pages, from an entry on (the one before is taken on trust), to the newest. */
export async function verifyAudit(db: Kysely<Tables>, from = 1): Promise<AuditVerdict> {
  const head = { seq: from - 1, hash: GENESIS };
  const counted = await count(db);
  let entries = 0;
  const broken = (seq: number, why: string): AuditVerdict => ({ entries, head, broken: { seq, why } });
  if (from > 1) {
    const before = await db.selectFrom('audit').select('hash').where('seq', '=', head.seq).executeTakeFirst();
    if (!before) return broken(head.seq, 'is missing');
    head.hash = before.hash;
  }
  let after = from > 1 ? head.seq : Number.MIN_SAFE_INTEGER;
  for (;;) {
    const page = await db.selectFrom('audit').selectAll().where('seq', '>', after).orderBy('seq').limit(PAGE).execute();
    for (const row of page) {
      const next = head.seq + 1;
      if (row.seq < next) return broken(row.seq, 'was put in');
      if (row.seq > next) return broken(next, 'is missing');
      if (row.previous !== head.hash) return broken(row.seq, 'does not follow the one before');
      if (row.hash !== hashOf(row)) return broken(row.seq, 'was changed');
      [head.seq, head.hash] = [row.seq, row.hash];
      entries += 1;
    }
    if (page.length < PAGE) break;
    after = head.seq;
  }
  // The topic counts the entries, in the same transactions: others may be added while this walks, but not on one side.
  if (head.seq < counted) return broken(head.seq + 1, 'is missing');
  if (head.seq > (await count(db))) return broken(head.seq, 'was put in');
  return { entries, head, broken: null };
}

async function count(db: Kysely<Tables>): Promise<number> {
  const row = await db.selectFrom('revisions').select('value').where('topic', '=', 'audit').executeTakeFirst();
  return row?.value ?? 0;
}

/** In this order of members: it is what canonical means here. */
function hashOf(row: Omit<AuditTable, 'hash'>): string {
  const { seq, at, actor, action, target, before, after, previous } = row;
  const canonical = JSON.stringify({ seq, at, actor, action, target, before, after, previous });
  return createHash('sha256').update(canonical).digest('hex');
}

function json(value: unknown): string | null {
  return value === undefined || value === null ? null : JSON.stringify(withoutSecrets(value));
}

/** As a database gives it back, or the chain would look broken: no NUL (PostgreSQL), no half of a surrogate pair. */
function storable(text: string): string {
  return Buffer.from(text).toString('utf8').replaceAll('\0', '\ufffd');
}
