// What docs/store.md says of backups, done: while changes go on, and back in another place.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { audit, verifyAudit } from '../../src/manage/store/audit.js';
import { Store } from '../../src/manage/store/open.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { Postgres, programs } from '../support/postgres.js';
import { needsPostgres, sqlitePlace } from '../support/stores.js';

const PURPOSE = 'generations/devices/1';

test('SQLite: a copy made by VACUUM INTO while changes go on opens with the same key', async () => {
  const place = await sqlitePlace();
  const store = await place.open();
  const copy = join(temporaryFolder(), 'copy.db');
  const sealed = store.seal('secret', PURPOSE);
  await Promise.all([changes(store), sql`vacuum into ${sql.lit(copy)}`.execute(store.db), changes(store)]);
  const folder = join(temporaryFolder(), 'restored');
  mkdirSync(folder);
  copyFileSync(copy, join(folder, 'store.db'));
  await whole(await place.open({ folder }), sealed);
  await expect(place.open({ folder, key: randomBytes(32) })).rejects.toThrow('made with another key');
});

needsPostgres('PostgreSQL', () => {
  test('a dump made while changes go on opens with the same key', async () => {
    const server = await Postgres.start();
    const options = { folder: '', key: randomBytes(32) };
    const open = async (url: string) => {
      const store = await Store.open({ ...options, url });
      atTheEnd(() => store.close());
      return store;
    };
    const first = await server.database();
    const store = await open(first);
    const sealed = store.seal('secret', PURPOSE);
    const writing = changes(store);
    const dump = execFileSync(join(programs as string, 'pg_dump'), ['--format=custom', first]);
    await writing;
    const second = await server.database();
    execFileSync(join(programs as string, 'pg_restore'), ['--exit-on-error', `--dbname=${second}`], { input: dump });
    await whole(await open(second), sealed);
  });
});

async function changes(store: Store): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await store.write(['tokens'], (tx, revisions) =>
      audit(tx, revisions, { actor: 'system', action: 'test', target: 'x' }),
    );
  }
}

async function whole(store: Store, sealed: string): Promise<void> {
  expect(store.unseal(sealed, PURPOSE)).toBe('secret');
  expect((await verifyAudit(store.db)).broken).toBeNull();
  await changes(store);
  expect((await verifyAudit(store.db)).broken).toBeNull();
}
