// Secrets of an installation: made once, sealed, the same for every process on the store.

import { randomBytes } from 'node:crypto';
import type { Store } from './open.js';

const SESSION_KEY = 'session_key';
const KEY_BYTES = 32;

/** What session identities are hashed with before anything is told of them: 64 hex digits. */
export async function sessionKey(store: Store): Promise<string> {
  const kept = store.db.selectFrom('meta').select('value').where('key', '=', SESSION_KEY);
  let row = await kept.executeTakeFirst();
  if (!row) {
    // Whoever comes first makes it, for all.
    await store.db
      .insertInto('meta')
      .values({ key: SESSION_KEY, value: store.seal(randomBytes(KEY_BYTES).toString('hex'), SESSION_KEY) })
      .onConflict(conflict => conflict.column('key').doNothing())
      .execute();
    row = await kept.executeTakeFirstOrThrow();
  }
  return store.unseal(row.value, SESSION_KEY);
}
