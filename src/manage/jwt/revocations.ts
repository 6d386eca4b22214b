// Tokens that were taken back before their end: one by its `jti`, or all of a subject issued until now; rows of the store.
//
// A row lapses when no such token can be valid any more. How it comes into force is enforcing.ts's.

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { PolicyJwt } from '../../config/policy.js';
import { type Audit, Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import type { Store, Writing } from '../store/open.js';
import type { TokenRevocationsTable } from '../store/tables.js';

export type Kind = TokenRevocationsTable['kind'];
export type State = TokenRevocationsTable['state'];

/**
 * A tenth below what the engine holds (native/engine/src/jwt/revoked.rs): beyond that it denies everybody, and other
 * processes may write at the same time.
 */
const MAX_IN_FORCE = 900_000;
/** Counting walks all of them. */
const COUNT_EVERY_MS = 60_000;
const ID_DIGITS = 32;

/** Where a page ended: revision and id. */
const PLACE = z.tuple([z.int(), z.string()]);

export interface Revoking {
  configuration: string;
  kind: Kind;
  value: string;
  /** Unix milliseconds; undefined: when no token of the configuration that is good now can be good any more. */
  until: number | null | undefined;
  why: string | null;
  by: string;
  audit: Audit;
}

export class TokenRevocations {
  readonly #store: Store;
  readonly #configurations: () => readonly PolicyJwt[];
  readonly #now: () => number;
  #counted = { at: Number.NEGATIVE_INFINITY, rows: 0 };

  constructor(store: Store, configurations: () => readonly PolicyJwt[], now: () => number = Date.now) {
    this.#store = store;
    this.#configurations = configurations;
    this.#now = now;
  }

  /**
   * Again, for what is revoked already: of a subject, tokens that were issued since then too. It never ends sooner by
   * that.
   */
  async revoke({ configuration, kind, value, until, why, by, audit }: Revoking): Promise<TokenRevocationsTable> {
    const policy = this.#known(configuration);
    const now = this.#now();
    const ends = until === undefined ? endOf(policy, now) : until;
    if (ends !== null && ends <= now) {
      throw new Refusal(422, 'It would have ended already.', 'A time in the future.', [
        { pointer: '/until', detail: 'lies in the past' },
      ]);
    }
    await this.#refuseTooMany();
    const id = idOf(configuration, kind, value);
    const row = await this.#store.write(['token_revocations'], async (tx, revisions) => {
      const before = await read(tx, id);
      const longer = before?.state === 'revoked' ? later(before.until, ends) : ends;
      const written: TokenRevocationsTable = {
        ...{ id, configuration, kind, value, state: 'revoked', at: now, until: longer, by, why },
        revision: revisions.token_revocations,
      };
      const { id: _, ...changes } = written;
      await tx
        .insertInto('token_revocations')
        .values(written)
        .onConflict(conflict => conflict.column('id').doUpdateSet(changes))
        .execute();
      await audit(tx, revisions, { ...changed(written), before: before && told(before), after: told(written) });
      return written;
    });
    this.#counted.rows += 1;
    return row;
  }

  /** Such tokens count again. */
  async restore(configuration: string, id: string, by: string, audit: Audit): Promise<TokenRevocationsTable> {
    return await this.#store.write(['token_revocations'], async (tx, revisions) => {
      const before = await read(tx, id);
      if (!before || before.configuration !== configuration) throw new Refusal(404, 'There is no such revocation.');
      if (before.state === 'restored') throw new Refusal(409, 'It is restored already.');
      const after: TokenRevocationsTable = {
        ...before,
        ...{ state: 'restored', at: this.#now(), by, revision: revisions.token_revocations },
      };
      const { state, at, revision } = after;
      await tx.updateTable('token_revocations').set({ state, at, by, revision }).where('id', '=', id).execute();
      await audit(tx, revisions, { ...changed(after), before: told(before), after: told(after) });
      return after;
    });
  }

  /** Newest change first, without what has lapsed. `cursor` is the last page's `next`. */
  async page(
    configuration: string,
    cursor: string | undefined,
    limit: number,
    only: { kind?: Kind | undefined; state?: State | undefined; value?: string | undefined },
  ): Promise<{ items: TokenRevocationsTable[]; next: string | null }> {
    const now = this.#now();
    const [revision, id] = readCursor(PLACE, cursor) ?? [null, ''];
    let query = this.#store.db
      .selectFrom('token_revocations')
      .selectAll()
      .where('configuration', '=', configuration)
      .where(it => it.or([it('until', 'is', null), it('until', '>', now)]));
    if (only.kind !== undefined) query = query.where('kind', '=', only.kind);
    if (only.state !== undefined) query = query.where('state', '=', only.state);
    if (only.value !== undefined) query = query.where('value', '=', only.value);
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

  #known(configuration: string): PolicyJwt {
    const found = this.#configurations().find(({ name }) => name === configuration);
    if (found) return found;
    throw new Refusal(404, `No token configuration is called ${JSON.stringify(configuration)}.`);
  }

  async #refuseTooMany(): Promise<void> {
    const now = this.#now();
    if (now - this.#counted.at > COUNT_EVERY_MS) {
      const { rows } = await this.#store.db
        .selectFrom('token_revocations')
        .select(({ fn }) => fn.countAll<number>().as('rows'))
        .where('state', '=', 'revoked')
        .where(it => it.or([it('until', 'is', null), it('until', '>', now)]))
        .executeTakeFirstOrThrow();
      this.#counted = { at: now, rows: Number(rows) };
    }
    if (this.#counted.rows < MAX_IN_FORCE) return;
    throw new Refusal(
      409,
      `${MAX_IN_FORCE} revocations are in force already.`,
      'Revoke subjects rather than each of their tokens, give an earlier `until`, or lower `maxLifetime`.',
    );
  }
}

/** The clocks may differ by the skew, to one side when it was issued and to the other when it ends. */
function endOf({ allow_no_expiry, max_lifetime_s, skew_s }: PolicyJwt, now: number): number | null {
  return allow_no_expiry || max_lifetime_s === null ? null : now + (max_lifetime_s + 2 * skew_s) * 1_000;
}

/** null: never. */
function later(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.max(a, b);
}

/** The same for the same thing, and short enough for a path, whatever the value is. */
function idOf(configuration: string, kind: Kind, value: string): string {
  return createHash('sha256')
    .update(JSON.stringify([configuration, kind, value]))
    .digest('hex')
    .slice(0, ID_DIGITS);
}

function read(tx: Writing, id: string): Promise<TokenRevocationsTable | undefined> {
  return tx.selectFrom('token_revocations').selectAll().where('id', '=', id).executeTakeFirst();
}

function changed({ configuration, kind, value, state }: TokenRevocationsTable) {
  return { action: state === 'revoked' ? 'jwt.revoke' : 'jwt.restore', target: `${configuration} ${kind} ${value}` };
}

function told({ state, until, why }: TokenRevocationsTable) {
  return { state, until: until === null ? null : new Date(until).toISOString(), why };
}
