// Work that one process of a fleet does for all of them: who takes a turn writes so into the store first. What is
// remembered between turns stands in the same row, of the table `meta`.

import { randomUUID } from 'node:crypto';
import type { Store } from '../store/open.js';

/** Of this process. */
const NODE = randomUUID();

interface Row<T> {
  /** Whose turn it is; null between turns. */
  node: string | null;
  /** Unix milliseconds: a process that died holds no turn for ever. */
  until: number;
  /** Unix milliseconds: nobody needs to before. */
  next: number;
  state: T;
}

export interface Turn<T> {
  state: T;
  /** Ends the turn. False when another process took it over meanwhile, which then has the last word. */
  end(state: T, next: number): Promise<boolean>;
}

export type Taken<T> = { turn: Turn<T> } | { turn: null; next: number };

/**
 * Takes a turn at `key`, or tells when to ask again. `forMs`: longer than the work ever takes. `mostMs`: the longest
 * that there ever is between two turns, so that a date that a jumping clock left behind does not stop the work.
 */
export async function takeTurn<T>(
  store: Store,
  key: string,
  first: T,
  now: number,
  { forMs, mostMs }: { forMs: number; mostMs: number },
): Promise<Taken<T>> {
  const written = await store.db.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst();
  const row: Row<T> = written ? JSON.parse(written.value) : { node: null, until: 0, next: 0, state: first };
  if (row.next > now && row.next <= now + mostMs) return { turn: null, next: row.next };
  if (row.node !== null && row.until > now && row.until <= now + forMs) return { turn: null, next: row.until };
  const mine = JSON.stringify({ ...row, node: NODE, until: now + forMs } satisfies Row<T>);
  if (!(await swap(store, key, written?.value ?? null, mine))) return { turn: null, next: now + 1_000 };
  return {
    turn: {
      state: row.state,
      end: (state, next) =>
        swap(store, key, mine, JSON.stringify({ node: null, until: 0, next, state } satisfies Row<T>)),
    },
  };
}

/** Makes work due at once, whoever does it. */
export async function forgetTurn(store: Store, key: string): Promise<void> {
  await store.db.deleteFrom('meta').where('key', '=', key).execute();
}

async function swap(store: Store, key: string, before: string | null, value: string): Promise<boolean> {
  if (before === null) {
    const { numInsertedOrUpdatedRows } = await store.db
      .insertInto('meta')
      .values({ key, value })
      .onConflict(it => it.column('key').doNothing())
      .executeTakeFirst();
    return numInsertedOrUpdatedRows === 1n;
  }
  const { numUpdatedRows } = await store.db
    .updateTable('meta')
    .set({ value })
    .where('key', '=', key)
    .where('value', '=', before)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}
