import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { Store } from '../../src/manage/store/open.js';
import { StoreRefused } from '../../src/manage/store/refused.js';
import { readTarget } from '../../src/manage/store/target.js';
import { temporaryFolder } from '../support/cleanup.js';
import { authority } from '../support/pki.js';
import { freePort } from '../support/ports.js';
import { Postgres } from '../support/postgres.js';
import { describeStores, needsPostgres, sqlitePlace } from '../support/stores.js';

describeStores('a store is opened', newPlace => {
  test('not with another key', async () => {
    const place = await newPlace();
    await (await place.open()).close();
    const refused = await refusal(place.open({ key: randomBytes(32) }));
    expect(refused.message).toMatch(/^the store was made with another key/);
    await place.open();
  });

  test('by whoever comes first, when two with different keys make it at once', async () => {
    const place = await newPlace();
    const all = await Promise.allSettled([place.open(), place.open({ key: randomBytes(32) })]);
    expect(all.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('by many at once, and made once', async () => {
    const place = await newPlace();
    const stores = await Promise.all(Array.from({ length: 5 }, () => place.open()));
    for (const store of stores) await store.write(['tokens'], async () => {});
    expect((await stores[0]?.revisions())?.get('tokens')).toBe(5);
  });

  test('not when a newer version made it', async () => {
    const place = await newPlace();
    const store = await place.open();
    await sql`insert into kysely_migration (name, timestamp) values ('9999-later', '2099')`.execute(store.db);
    await store.close();
    const refused = await refusal(place.open());
    expect(refused.message).toBe(
      'the store was made by a newer version of Portcullis (`9999-later` is unknown to this one)',
    );
  });

  test('and closed twice', async () => {
    const store = await (await newPlace()).open();
    await store.close();
    await store.close();
    await expect(store.revisions()).rejects.toThrow();
  });
});

test('only the owner can read the files of SQLite', async () => {
  const place = await sqlitePlace();
  const store = await place.open();
  await store.write([], async () => {});
  const { folder } = place.options;
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(readdirSync(folder).sort()).toEqual(['store.db', 'store.db-shm', 'store.db-wal']);
  for (const file of readdirSync(folder)) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
});

test('what SQLite keeps is written through to the disk before it is acknowledged', async () => {
  const store = await (await sqlitePlace()).open();
  const pragma = async (name: string) =>
    Object.values((await sql.raw(`pragma ${name}`).execute(store.db)).rows[0] ?? {});
  expect(await pragma('journal_mode')).toEqual(['wal']);
  expect(await pragma('synchronous')).toEqual([2]);
  expect(await pragma('foreign_keys')).toEqual([1]);
});

test('a folder that cannot be made, and a file that is no store, are refused', async () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  const open = (folder: string) => refusal(Store.open({ url: null, folder, key: randomBytes(32) }));
  expect((await open(join(file, 'state'))).message).toMatch(/^the store cannot be opened: ENOTDIR/);
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'store.db'));
  expect((await open(folder)).message).toMatch(/^the store cannot be opened: /);
  rmSync(join(folder, 'store.db'), { recursive: true });
  writeFileSync(
    join(folder, 'store.db'),
    'something else altogether, and longer than a header of SQLite would be: '.repeat(99),
  );
  expect(await open(folder)).toMatchObject({
    message: expect.stringContaining('is no store, or is damaged'),
    hint: expect.stringContaining('backup'),
  });
});

test('a damaged file is refused, with where help is', async () => {
  const place = await sqlitePlace();
  const store = await place.open();
  await sql`pragma wal_checkpoint(truncate)`.execute(store.db);
  await store.close();
  const file = join(place.options.folder, 'store.db');
  const bytes = readFileSync(file);
  bytes.fill(0xa5, 4096, 4096 * 8);
  writeFileSync(file, bytes);
  expect((await refusal(place.open())).message).toContain('is no store, or is damaged');
});

test('a file of SQLite that is taken away while it is in use fails what is asked', async () => {
  const place = await sqlitePlace();
  const store = await place.open();
  const file = join(place.options.folder, 'store.db');
  renameSync(file, `${file}.away`);
  await expect(store.write([], async () => {})).rejects.toThrow('was removed or replaced while it was in use');
  await expect(store.revisions()).rejects.toThrow('was removed or replaced while it was in use');
  renameSync(`${file}.away`, file);
  await store.write([], async () => {});
});

test('what a URL says of TLS is verified, unless it says otherwise aloud', async () => {
  const ca = join(temporaryFolder(), 'ca.pem');
  writeFileSync(ca, 'CA');
  const ssl = (url: string) => readTarget(url).ssl;
  expect(ssl('postgres://db.example.com/x')).toEqual({});
  expect(ssl('postgres://db.example.com/x?sslmode=require')).toEqual({});
  expect(ssl(`postgresql://db.example.com/x?sslmode=verify-ca&sslrootcert=${ca}`)).toEqual({ ca: 'CA' });
  expect(ssl('postgres://db.example.com/x?sslmode=disable')).toBe(false);
  expect(ssl('postgres://localhost/x')).toBe(false);
  expect(ssl('postgres://127.0.0.1:5433/x')).toBe(false);
  expect(ssl('postgres://[::1]/x')).toBe(false);
  expect(ssl('postgres://u@localhost/x?host=/run/postgresql')).toBe(false);
  expect(ssl('postgres://127.0.0.1/x?sslmode=verify-full')).toEqual({});
  // The host that counts is the one that is asked.
  expect(ssl('postgres://localhost/x?host=db.example.com')).toEqual({});
  expect(readTarget('postgres://me:secret@db:5433/x?sslmode=disable').shown).toBe('db:5433/x');
});

test.each([
  ['sslmode=no-verify', 'would talk to anybody'],
  ['sslmode=prefer', 'would talk to anybody'],
  ['sslmode=', 'would talk to anybody'],
  ['ssl=true', '`ssl` is not understood'],
  ['uselibpqcompat=true&sslmode=require', '`uselibpqcompat` is not understood'],
  ['sslrootcert=ca.pem', 'not an absolute path'],
  ['sslrootcert=/nowhere/ca.pem', 'cannot be read'],
])('a URL with %s is refused, without its password', (query, message) => {
  const act = () => readTarget(`postgres://me:secret@db.example.com/x?${query}`);
  expect(act).toThrow(message);
  expect(act).not.toThrow('secret');
});

test('a PostgreSQL that cannot be reached is refused with its place, and without the password', async () => {
  const port = await freePort();
  const url = `postgres://me:secret@127.0.0.1:${port}/portcullis`;
  const refused = await refusal(Store.open({ url, folder: '', key: randomBytes(32) }));
  expect(refused.message).toMatch(`PostgreSQL at 127.0.0.1:${port}/portcullis cannot be used: connect ECONNREFUSED`);
  expect(refused.message + refused.hint).not.toContain('secret');
  expect(existsSync('store.db')).toBe(false);
});

needsPostgres('PostgreSQL', () => {
  test('over TLS is asked for its certificate', async () => {
    const root = await authority('root');
    const identity = await root.server(['localhost']);
    const port = await freePort();
    const server = await Postgres.start([], port, identity);
    const ca = join(temporaryFolder(), 'ca.pem');
    writeFileSync(ca, root.pem);
    const open = (query: string) =>
      Store.open({
        url: `postgres://portcullis@127.0.0.1:${port}/postgres?${query}`,
        folder: '',
        key: Buffer.alloc(32),
      });
    await (await open(`sslmode=verify-full&sslrootcert=${ca}`)).close();
    expect((await refusal(open('sslmode=verify-full'))).message).toContain('unable to');
    expect(await server.ask('select count(*)::int as n from kysely_migration')).toEqual([{ n: 3 }]);
  });

  test('that has no such database, no such user, or another encoding says what would do', async () => {
    const server = await Postgres.start();
    const open = (url: string) => refusal(Store.open({ url, folder: '', key: Buffer.alloc(32) }));
    expect(await open(server.url('nothing'))).toMatchObject({
      message: expect.stringContaining('database "nothing" does not exist'),
      hint: expect.stringContaining('createdb'),
    });
    expect(await open(server.url().replace('portcullis@', 'stranger@'))).toMatchObject({
      message: expect.stringContaining('role "stranger" does not exist'),
    });
    const latin = await server.database("encoding 'LATIN1' template template0");
    expect((await open(latin)).message).toContain('keeps text as LATIN1');
    await server.ask('create role guest login');
    const guest = (await server.database()).replace('portcullis@', 'guest@');
    expect(await open(guest)).toMatchObject({
      message: expect.stringContaining('permission denied'),
      hint: expect.stringContaining('own the database'),
    });
  });
});

async function refusal(opening: Promise<unknown>): Promise<StoreRefused> {
  const error = await opening.catch(error => error);
  if (!(error instanceof StoreRefused)) throw error instanceof Error ? error : new Error('it was not refused');
  return error;
}
