// Who is exempt from a limit, and whose counters are emptied: rows of the store, that every process follows.

import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import type { By } from '../pki/service.js';
import type { Store, Writing } from '../store/open.js';
import type { LimitExemptionsTable } from '../store/tables.js';

/** Each is known to every process, and read anew at every change: an exemption is for few, a limit's expression for many. */
export const MAX_EXEMPTIONS = 10_000;

/** Where a page ended: limit and key. */
const PLACE = z.tuple([z.string(), z.string()]);

export interface Exempting {
  rule: string;
  key: string;
  /** Unix milliseconds; null: until it is taken away. */
  until: number | null;
  why: string | null;
}

export class Exemptions {
  readonly #store: Store;
  readonly now: () => number;

  constructor(store: Store, now: () => number = Date.now) {
    this.#store = store;
    this.now = now;
  }

  /** By limit and key, without those that have ended. */
  async page(rule: string | undefined, cursor: string | undefined, limit: number) {
    const after = readCursor(PLACE, cursor);
    let query = this.#store.db.selectFrom('limit_exemptions').selectAll();
    if (rule !== undefined) query = query.where('rule', '=', rule);
    if (after !== null) {
      const [name, key] = after;
      query = query.where(it => it.or([it('rule', '>', name), it.and([it('rule', '=', name), it('key', '>', key)])]));
    }
    const rows = await query
      .where(it => it.or([it('until', 'is', null), it('until', '>', this.now())]))
      .orderBy('rule')
      .orderBy('key')
      .limit(limit + 1)
      .execute();
    return paged(rows, limit, row => [row.rule, row.key], shownExemption);
  }

  /** From now on, in place of an exemption that there is. */
  async exempt({ rule, key, until, why }: Exempting, by: By) {
    const now = this.now();
    if (until !== null && until <= now) {
      throw new Refusal(422, 'It would have ended already.', 'A time in the future.', [
        { pointer: '/until', detail: 'lies in the past' },
      ]);
    }
    return await this.#store.write(['limits'], async (tx, revisions) => {
      const before = await read(tx, rule, key);
      if (!before) await refuseTooMany(tx, now);
      const row = { rule, key, until, why, by: by.name, created_at: now, revision: revisions.limits };
      const { rule: _, key: _key, ...changes } = row;
      await tx
        .insertInto('limit_exemptions')
        .values(row)
        .onConflict(conflict => conflict.columns(['rule', 'key']).doUpdateSet(changes))
        .execute();
      const target = `${rule} ${key}`;
      await by.audit(tx, revisions, {
        ...{ action: 'limits.exempt', target, after: told(row) },
        before: before && told(before),
      });
      return shownExemption(row);
    });
  }

  async unexempt(rule: string, key: string, by: By) {
    return await this.#store.write(['limits'], async (tx, revisions) => {
      const before = await read(tx, rule, key);
      if (!before || (before.until !== null && before.until <= this.now())) {
        throw new Refusal(404, 'There is no such exemption.', '`portcullis limits exemptions` shows them.');
      }
      await tx.deleteFrom('limit_exemptions').where('rule', '=', rule).where('key', '=', key).execute();
      const target = `${rule} ${key}`;
      await by.audit(tx, revisions, { action: 'limits.unexempt', target, before: told(before) });
      return shownExemption(before);
    });
  }

  /** What the key has spent is forgotten by every process that shares the store, penalty included. */
  async reset(rule: string, key: string, by: By): Promise<{ rule: string; key: string; at: number }> {
    const at = this.now();
    await this.#store.write(['limits'], async (tx, revisions) => {
      const changes = { at, revision: revisions.limits };
      await tx
        .insertInto('limit_resets')
        .values({ rule, key, ...changes })
        .onConflict(conflict => conflict.columns(['rule', 'key']).doUpdateSet(changes))
        .execute();
      await by.audit(tx, revisions, { action: 'limits.reset', target: `${rule} ${key}` });
    });
    return { rule, key, at };
  }
}

async function refuseTooMany(tx: Writing, now: number): Promise<void> {
  const { rows } = await tx
    .selectFrom('limit_exemptions')
    .select(({ fn }) => fn.countAll<number>().as('rows'))
    .where(it => it.or([it('until', 'is', null), it('until', '>', now)]))
    .executeTakeFirstOrThrow();
  if (Number(rows) < MAX_EXEMPTIONS) return;
  throw new Refusal(
    409,
    `${MAX_EXEMPTIONS} keys are exempt already.`,
    "Leave whole groups out by the limit's `expression`.",
  );
}

function read(tx: Writing, rule: string, key: string) {
  return tx
    .selectFrom('limit_exemptions')
    .selectAll()
    .where('rule', '=', rule)
    .where('key', '=', key)
    .executeTakeFirst();
}

function told({ until, why }: Pick<LimitExemptionsTable, 'until' | 'why'>) {
  return { until: timeOf(until), why };
}

export function shownExemption({ rule, key, until, why, by, created_at }: LimitExemptionsTable) {
  return {
    limit: rule,
    key,
    until: timeOf(until),
    why,
    created_at: new Date(created_at).toISOString(),
    created_by: by,
  };
}

export function timeOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
