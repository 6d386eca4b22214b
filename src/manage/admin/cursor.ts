// Cursors of lists: the sort key of the last item that was shown, so that pages neither skip nor repeat while the list
// grows. Opaque to callers, and checked when they come back.

import type { z } from 'zod';
import { Refusal } from './refusal.js';

/** Of a cursor that comes back; keys are a time and a name. */
const MAX_DIGITS = 1_000;

export function writeCursor(key: unknown): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** The sort key after which to go on; null at the beginning. Throws Refusal for what `writeCursor` did not write. */
export function readCursor<K extends z.ZodType>(key: K, cursor: string | undefined): z.output<K> | null {
  if (cursor === undefined) return null;
  const { data, success } = key.safeParse(decoded(cursor));
  if (success) return data;
  throw new Refusal(422, 'There is no such page.', 'Pass `next` of the page before, as it is.', [
    { pointer: '/query/cursor', detail: 'is not a cursor of this list' },
  ]);
}

/**
 * Of one more row than fit: the page, and the cursor of the next. Ask for `limit + 1` rows above `readCursor`.
 */
export function paged<R, T>(rows: readonly R[], limit: number, keyOf: (row: R) => unknown, item: (row: R) => T) {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(item), next: rows.length > limit && last !== undefined ? writeCursor(keyOf(last)) : null };
}

function decoded(cursor: string): unknown {
  if (cursor.length > MAX_DIGITS || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
