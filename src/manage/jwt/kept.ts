// Key sets outlive the gateway: one that starts while a provider is down goes on with what was good last.
//
// They are sealed, not because they were secret, but because whoever writes to the database alone must not put in a key.

import { z } from 'zod';
import type { Store } from '../store/open.js';

const kept = z.object({
  url: z.string(),
  /** Unix milliseconds: when the provider last said so. */
  at: z.number(),
  etag: z.string().nullable(),
  lastModified: z.string().nullable(),
  document: z.string(),
});

export type KeptKeySet = z.output<typeof kept>;

/** null: none of this URL. Rejects when the store cannot be read, or what it holds was not written here. */
export async function readKept(store: Sealing, name: string, url: string): Promise<KeptKeySet | null> {
  const row = await store.db.selectFrom('meta').select('value').where('key', '=', keyOf(name)).executeTakeFirst();
  if (!row) return null;
  const found = kept.parse(JSON.parse(store.unseal(row.value, keyOf(name))));
  return found.url === url ? found : null;
}

export async function keep(store: Sealing, name: string, set: KeptKeySet): Promise<void> {
  const value = store.seal(JSON.stringify(set), keyOf(name));
  await store.db
    .insertInto('meta')
    .values({ key: keyOf(name), value })
    .onConflict(conflict => conflict.column('key').doUpdateSet({ value }))
    .execute();
}

type Sealing = Pick<Store, 'db' | 'seal' | 'unseal'>;

/** Of the row, and what its seal is bound to. */
function keyOf(name: string): string {
  return `key_set ${name}`;
}
