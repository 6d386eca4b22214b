// The first token: who starts a gateway on an empty store can use its admin API at once.

import { audit } from '../store/audit.js';
import type { Store } from '../store/open.js';
import { addToken } from './tokens.js';

/**
 * Makes an admin token when the store never had one, and answers it; else null. Of several processes that start on the
 * same empty store exactly one gets it: writers of a topic come one after the other.
 */
export async function firstToken(store: Store): Promise<string | null> {
  if (await store.db.selectFrom('tokens').select('id').limit(1).executeTakeFirst()) return null;
  return store.write(['tokens'], async (tx, revisions) => {
    if (await tx.selectFrom('tokens').select('id').limit(1).executeTakeFirst()) return null;
    const { token, row } = await addToken(tx, { name: 'first', role: 'admin', expiresAt: null, createdBy: 'system' });
    const after = { name: row.name, role: row.role, expires_at: null };
    await audit(tx, revisions, { actor: 'system', action: 'tokens.create', target: row.id, after });
    return token;
  });
}

/** For standard error: the one place where it is ever shown, past the log. */
export function introduced(token: string): string {
  return `\nThe first token of the admin API (role admin). It is shown only this once:\n\n    ${token}\n\n`;
}
