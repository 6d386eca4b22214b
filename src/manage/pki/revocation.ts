// Which certificates are refused: what operators revoke, hold and restore, as rows of the store.
//
// A row names a certificate by its issuer's key and its serial, or by its fingerprint where no more is known. How it
// comes into force is the flow's: flow.ts.

import { sql } from 'kysely';
import { z } from 'zod';
import { type Audit, Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import type { Store, Writing } from '../store/open.js';
import type { RevocationsTable } from '../store/tables.js';

/** RFC 5280, 5.3.1. `certificateHold` is what `hold` writes, `removeFromCRL` is for delta lists, which we do not make. */
export const REASONS = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
  'aACompromise',
] as const;
export type Reason = (typeof REASONS)[number];
export const HOLD = 'certificateHold';

/** Where a page ended: revision and id. */
const PLACE = z.tuple([z.int(), z.string()]);

export type Action = 'revoke' | 'hold' | 'restore';
type State = RevocationsTable['state'];

/** Of one call. A partner's whole fleet fits; more is a mistake, or is done in parts. */
export const MAX_HITS = 10_000;
/** Rows of one statement, ten columns each: SQLite takes 32,766 values. */
const ROWS = 1_000;
/** Hits that an audit entry names. */
const NAMED = 100;

/** One of `serial` (with `authority`), `fingerprint`, `subject` or `partner`; the last two within `authority` if given. */
export interface Selection {
  authority?: string | undefined;
  /** Hex in any spelling. */
  serial?: string | undefined;
  fingerprint?: string | undefined;
  /** RFC 4514, as issued and seen certificates show it: equal to the letter. */
  subject?: string | undefined;
  partner?: string | undefined;
}

/** A certificate that a selection means. */
export interface Hit {
  id: string;
  authority: string | null;
  keyId: string | null;
  serial: string | null;
  fingerprint: string | null;
  subject: string | null;
  /** Unix milliseconds; null when the certificate itself was never here. */
  notAfter: number | null;
  /** Where it was found. */
  known: 'issued' | 'seen' | 'unknown';
  before: State | null;
  after: State | null;
}

export interface Outcome {
  hits: Hit[];
  /** How many of them are not what they were. */
  changed: number;
  /** Every process that shares the store knows what it says from this revision on. */
  revision: number;
}

export interface Revoking {
  selection: Selection;
  action: Action;
  reason: Reason;
  /** Only tells what would be hit. */
  dryRun: boolean;
  /** Name of who asks. */
  by: string;
  audit: Audit;
}

/** Key ids of an authority's certificates, of all generations; empty when no authority is called so. */
export type KeysOf = (authority: string) => Promise<string[]>;

export class Revocations {
  readonly #store: Store;
  readonly #keysOf: KeysOf;
  readonly #now: () => number;

  constructor(store: Store, keysOf: KeysOf, now: () => number = Date.now) {
    this.#store = store;
    this.#keysOf = keysOf;
    this.#now = now;
  }

  /** Rejects with a Refusal when nothing is meant, or what is asked for cannot be. */
  async apply({ selection, action, reason, dryRun, by, audit }: Revoking): Promise<Outcome> {
    const keys = selection.serial === undefined ? [] : await this.#keys(selection.authority ?? '');
    const found = async (tx: Writing | Store['db']) => {
      const hits = await this.#select(tx, selection, keys);
      for (const hit of hits) hit.after = next(hit.before, action);
      refuseUseless(hits, action);
      return hits;
    };
    if (dryRun) {
      const hits = await found(this.#store.db);
      const revision = (await this.#store.revisions()).get('revocations') ?? 0;
      return { hits, changed: changedOf(hits).length, revision };
    }
    return await this.#store.write(['revocations'], async (tx, revisions) => {
      const hits = await found(tx);
      const changed = changedOf(hits);
      const written = {
        reason: action === 'hold' ? HOLD : reason,
        at: this.#now(),
        by,
        revision: revisions.revocations,
      };
      for (let at = 0; at < changed.length; at += ROWS) {
        await save(
          tx,
          changed.slice(at, at + ROWS).map(hit => ({ ...rowOf(hit), ...written })),
        );
      }
      await audit(tx, revisions, {
        action: `pki.certificate.${action}`,
        target: targetOf(selection),
        before: { hits: hits.length, states: hits.slice(0, NAMED).map(({ id, before }) => ({ id, state: before })) },
        after: {
          changed: changed.length,
          reason: written.reason,
          states: changed.slice(0, NAMED).map(({ id, after }) => ({ id, state: after })),
        },
      });
      return { hits, changed: changed.length, revision: revisions.revocations };
    });
  }

  /** Newest change first. `cursor` is the last page's `next`. */
  async page(
    cursor: string | undefined,
    limit: number,
    only: { authority?: string | undefined; state?: State | undefined },
  ): Promise<{ items: RevocationsTable[]; next: string | null }> {
    const [revision, id] = readCursor(PLACE, cursor) ?? [null, ''];
    let query = this.#store.db.selectFrom('revocations').selectAll();
    if (only.authority !== undefined) query = query.where('authority', '=', only.authority);
    if (only.state !== undefined) query = query.where('state', '=', only.state);
    if (revision !== null) {
      query = query.where(it =>
        it.or([it('revision', '<', revision), it.and([it('revision', '=', revision), it('id', '>', id)])]),
      );
    }
    const rows = await query
      .orderBy('revision', 'desc')
      .orderBy('id')
      .limit(limit + 1)
      .execute();
    return paged(
      rows,
      limit,
      row => [row.revision, row.id],
      row => row,
    );
  }

  async #keys(authority: string): Promise<string[]> {
    const keys = await this.#keysOf(authority);
    if (keys.length > 0) return keys;
    throw new Refusal(404, `No authority is called ${JSON.stringify(authority)}.`);
  }

  async #select(db: Writing | Store['db'], selection: Selection, keys: string[]): Promise<Hit[]> {
    const hits = new Map<string, Hit>();
    const add = (hit: Hit) => {
      if (!hits.has(hit.id)) hits.set(hit.id, hit);
    };
    for (const hit of await this.#issued(db, selection, keys)) add(hit);
    for (const hit of await this.#seen(db, selection, keys)) add(hit);
    if (hits.size > MAX_HITS) {
      throw new Refusal(422, `More than ${MAX_HITS} certificates are meant.`, 'Name a narrower selection.');
    }
    for (const hit of await this.#listed(db, selection, keys)) add(hit);
    if (hits.size === 0) for (const hit of unknown(selection, keys)) add(hit);
    await states(db, hits);
    return [...hits.values()];
  }

  async #issued(db: Writing | Store['db'], selection: Selection, keys: string[]): Promise<Hit[]> {
    const { authority, serial, fingerprint, subject, partner } = selection;
    let query = db
      .selectFrom('certificates')
      .select(['authority', 'key_id', 'serial', 'fingerprint', 'subject', 'not_after'])
      .limit(MAX_HITS + 1);
    if (serial !== undefined) query = query.where('serial', '=', plainSerial(serial)).where('key_id', 'in', keys);
    else if (fingerprint !== undefined) query = query.where('fingerprint', '=', plainHex(fingerprint));
    else {
      if (subject !== undefined) query = query.where('subject', '=', subject);
      if (partner !== undefined) query = query.where('partner', '=', partner);
      if (authority !== undefined) query = query.where('authority', '=', authority);
      // What nobody takes any more need not be refused once more.
      query = query.where('not_after', '>', this.#now());
    }
    return (await query.execute()).map(row => hitOf(row, 'issued'));
  }

  async #seen(db: Writing | Store['db'], selection: Selection, keys: string[]): Promise<Hit[]> {
    const { authority, serial, fingerprint, subject, partner } = selection;
    if (partner !== undefined) return [];
    // A certificate that nobody verified may claim any serial and subject: only its fingerprint is its own.
    let query = db
      .selectFrom('seen')
      .select(['authority', 'key_id', 'serial', 'fingerprint', 'subject', 'not_after'])
      .where('authority', 'is not', null)
      .where('key_id', 'is not', null)
      .limit(MAX_HITS + 1);
    if (serial !== undefined) query = query.where('serial', '=', plainSerial(serial)).where('key_id', 'in', keys);
    else if (fingerprint !== undefined) query = query.where('fingerprint', '=', plainHex(fingerprint));
    else {
      query = query.where('subject', '=', subject ?? '').where('not_after', '>', this.#now());
      if (authority !== undefined) query = query.where('authority', '=', authority);
    }
    return (await query.execute()).map(row => hitOf(row, 'seen'));
  }

  /** Rows that were written when less, or nothing, was known of the certificate. */
  async #listed(db: Writing | Store['db'], selection: Selection, keys: string[]): Promise<Hit[]> {
    const { serial, fingerprint } = selection;
    if (serial === undefined && fingerprint === undefined) return [];
    const rows = await db
      .selectFrom('revocations')
      .selectAll()
      .where(it =>
        fingerprint !== undefined
          ? it('fingerprint', '=', plainHex(fingerprint))
          : it.and([it('serial', '=', plainSerial(serial ?? '')), it('key_id', 'in', keys)]),
      )
      .execute();
    return rows.map(row => ({ ...hitOf({ ...row, subject: null, not_after: null }, 'unknown'), id: row.id }));
  }
}

/** Upper-case hex, whole bytes, no leading zero byte: as the store has it. */
export function plainSerial(written: string): string {
  const digits = written.replaceAll(':', '').toUpperCase().replace(/^0+/, '');
  return digits === '' ? '00' : digits.padStart(digits.length + (digits.length % 2), '0');
}

function plainHex(written: string): string {
  return written.replaceAll(':', '').toLowerCase();
}

function unknown({ serial, authority, fingerprint }: Selection, keys: string[]): Hit[] {
  const of = (known: Partial<Known>) =>
    hitOf(
      { authority: null, key_id: null, serial: null, fingerprint: null, subject: null, not_after: null, ...known },
      'unknown',
    );
  if (fingerprint !== undefined) return [of({ fingerprint: plainHex(fingerprint) })];
  // Which of the authority's keys signed it cannot be told: it is refused under each.
  if (serial !== undefined && authority !== undefined) {
    return keys.map(key_id => of({ authority, key_id, serial: plainSerial(serial) }));
  }
  return [];
}

interface Known {
  authority: string | null;
  key_id: string | null;
  serial: string | null;
  fingerprint: string | null;
  subject: string | null;
  not_after: number | null;
}

function hitOf({ authority, key_id, serial, fingerprint, subject, not_after }: Known, known: Hit['known']): Hit {
  const id = key_id !== null && serial !== null ? `${key_id}:${serial}` : `sha256:${fingerprint}`;
  const place = { id, authority, keyId: key_id, serial, fingerprint };
  return { ...place, subject, notAfter: not_after, known, before: null, after: null };
}

async function states(db: Writing | Store['db'], hits: Map<string, Hit>): Promise<void> {
  const ids = [...hits.keys()];
  for (let at = 0; at < ids.length; at += ROWS) {
    const rows = await db
      .selectFrom('revocations')
      .select(['id', 'state'])
      .where('id', 'in', ids.slice(at, at + ROWS))
      .execute();
    for (const { id, state } of rows) (hits.get(id) as Hit).before = state;
  }
}

/** What a certificate is after an action. Revoked is for ever: RFC 5280, 5.3.1 lets only holds be lifted. */
function next(before: State | null, action: Action): State | null {
  if (before === 'revoked') return 'revoked';
  if (action === 'revoke') return 'revoked';
  if (action === 'hold') return 'held';
  return before === 'held' ? 'restored' : before;
}

function refuseUseless(hits: Hit[], action: Action): void {
  if (hits.length === 0)
    throw new Refusal(404, 'No certificate is meant.', 'Nothing issued or seen fits the selection.');
  if (action === 'restore' && hits.every(({ before }) => before === null)) {
    throw new Refusal(404, 'Nothing of it is on hold.');
  }
  if (action === 'revoke' || hits.some(({ before }) => before !== 'revoked')) return;
  throw new Refusal(
    409,
    'A revoked certificate stays revoked.',
    'Only a certificate on hold can be restored: issue a new one instead.',
  );
}

function changedOf(hits: Hit[]): Hit[] {
  return hits.filter(({ before, after }) => after !== null && before !== after);
}

function rowOf({ id, keyId, serial, fingerprint, authority, after }: Hit) {
  return { id, key_id: keyId, serial, fingerprint, authority, state: after as State };
}

async function save(tx: Writing, rows: RevocationsTable[]): Promise<void> {
  await tx
    .insertInto('revocations')
    .values(rows)
    .onConflict(it =>
      it.column('id').doUpdateSet({
        state: sql`excluded.state`,
        reason: sql`excluded.reason`,
        at: sql`excluded.at`,
        by: sql`excluded.by`,
        revision: sql`excluded.revision`,
        fingerprint: sql`coalesce(excluded.fingerprint, revocations.fingerprint)`,
        authority: sql`coalesce(excluded.authority, revocations.authority)`,
      }),
    )
    .execute();
}

function targetOf({ serial, authority, fingerprint, subject, partner }: Selection): string {
  const within = authority === undefined ? '' : ` of ${authority}`;
  if (serial !== undefined) return `serial ${plainSerial(serial)}${within}`;
  if (fingerprint !== undefined) return `sha256:${plainHex(fingerprint)}`;
  return subject === undefined ? `partner ${partner}${within}` : `subject ${subject}${within}`;
}
