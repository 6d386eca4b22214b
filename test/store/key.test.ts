import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findKey, type KeyPlaces, parseKey } from '../../src/manage/store/key.js';
import { temporaryFolder } from '../support/cleanup.js';

const fresh = (): KeyPlaces => ({ url: null, folder: join(temporaryFolder(), 'state'), keyFile: null });
const written = (key: Buffer, name = 'key') => {
  const file = join(temporaryFolder(), name);
  writeFileSync(file, `${key.toString('base64')}\n`, { mode: 0o600 });
  return file;
};

test('the first start on SQLite makes a key that only its owner can read, and later ones use it', () => {
  const places = fresh();
  const made = findKey(places, {});
  const file = join(places.folder, 'store.key');
  expect(made).toMatchObject({ source: file, warning: null });
  expect(made.key).toHaveLength(32);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(places.folder).mode & 0o777).toBe(0o700);
  expect(readdirSync(places.folder)).toEqual(['store.key']);
  expect(findKey(places, {}).key).toEqual(made.key);
});

test('a store whose key is gone is refused, and no new key is made', () => {
  const places = fresh();
  mkdirSync(places.folder);
  writeFileSync(join(places.folder, 'store.db'), '');
  expect(() => findKey(places, {})).toThrow('holds a store, but its key is not there');
  expect(existsSync(join(places.folder, 'store.key'))).toBe(false);
});

test.each(['base64', 'hex'] as const)('a key in %s is taken from every place that may have one', encoding => {
  const key = randomBytes(32);
  const file = join(temporaryFolder(), 'portcullis-store-key');
  writeFileSync(file, `${key.toString(encoding)}\n`, { mode: 0o600 });
  for (const url of [null, 'postgres://localhost/x']) {
    const places = { ...fresh(), url };
    expect(findKey({ ...places, keyFile: file }, {}).key).toEqual(key);
    expect(findKey(places, { PORTCULLIS_STORE_KEY: key.toString(encoding) }).key).toEqual(key);
    expect(findKey(places, { CREDENTIALS_DIRECTORY: join(file, '..') }).key).toEqual(key);
    expect(existsSync(places.folder)).toBe(false);
  }
});

test('PostgreSQL without a key is told how to make one', () => {
  const act = () =>
    findKey({ ...fresh(), url: 'postgres://localhost/x' }, { CREDENTIALS_DIRECTORY: temporaryFolder() });
  expect(act).toThrow(expect.objectContaining({ hint: expect.stringContaining('openssl rand -base64 32') }));
});

test('two places with one key are fine, with two keys refused without showing either', () => {
  const places = fresh();
  const key = findKey(places, {}).key;
  expect(findKey({ ...places, keyFile: written(key) }, { PORTCULLIS_STORE_KEY: key.toString('hex') }).key).toEqual(key);
  const other = randomBytes(32);
  const differing: [KeyPlaces, NodeJS.ProcessEnv][] = [
    [{ ...places, keyFile: written(other) }, {}],
    [places, { PORTCULLIS_STORE_KEY: other.toString('base64') }],
    [places, { CREDENTIALS_DIRECTORY: join(written(other, 'portcullis-store-key'), '..') }],
    [{ ...fresh(), keyFile: written(other) }, { PORTCULLIS_STORE_KEY: key.toString('base64') }],
  ];
  for (const [where, env] of differing) {
    const message = messageOf(() => findKey(where, env));
    expect(message).toMatch(/^the keys in .* and .* differ$/);
    expect(message).not.toContain(other.toString('base64'));
  }
});

test('a key file that everybody can read is worth a warning', () => {
  const places = fresh();
  findKey(places, {});
  chmodSync(join(places.folder, 'store.key'), 0o644);
  expect(findKey(places, {}).warning).toBe('every user of this machine can read the key');
});

test('a key file that is not there, empty, a folder or large is told', () => {
  const large = join(temporaryFolder(), 'large');
  writeFileSync(large, 'A'.repeat(100_000));
  for (const keyFile of [join(temporaryFolder(), 'nowhere'), '/dev/null', temporaryFolder(), large]) {
    expect(messageOf(() => findKey({ ...fresh(), keyFile }, {}))).toContain(keyFile);
  }
});

test('what is not 32 bytes in base64 or hex is no key, and is not repeated', () => {
  const key = randomBytes(32);
  const [base64, hex] = [key.toString('base64'), key.toString('hex')];
  for (const good of [base64, hex, hex.toUpperCase(), ` ${base64}\r\n`]) expect(parseKey(good, 'it')).toEqual(key);
  const wrong = [
    '',
    'secret',
    base64.slice(0, -1),
    `${base64}=`,
    `${base64} ${base64}`,
    hex.slice(2),
    `${hex}00`,
    `0x${hex}`,
    randomBytes(31).toString('base64'),
    randomBytes(33).toString('base64'),
    `"${base64}"`,
    'g'.repeat(64),
  ];
  for (const text of wrong) {
    const message = messageOf(() => parseKey(text, 'it'));
    expect(message).toBe('what it holds is not 32 bytes in base64 or hex');
  }
  fc.assert(
    fc.property(fc.string(), text => {
      const message = messageOf(() => parseKey(text, 'it'));
      expect(message).toBe('what it holds is not 32 bytes in base64 or hex');
    }),
  );
});

test('a folder that cannot be written to is told', () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  expect(messageOf(() => findKey({ url: null, folder: join(file, 'state'), keyFile: null }, {}))).toMatch(
    /^the store's key cannot be made: ENOTDIR/,
  );
});

test('processes that start at once agree on the key', async () => {
  const places = fresh();
  const script = `import { findKey } from './dist/manage/store/key.js';
    console.log(findKey(${JSON.stringify(places)}, {}).key.toString('hex'));`;
  const run = promisify(execFile);
  const all = await Promise.all(
    Array.from({ length: 6 }, () => run(process.execPath, ['--input-type=module', '-e', script])),
  );
  const [first] = all;
  expect(new Set(all.map(({ stdout }) => stdout))).toEqual(new Set([first?.stdout]));
  expect(Buffer.from(first?.stdout.trim() ?? '', 'hex')).toEqual(findKey(places, {}).key);
  expect(readFileSync(join(places.folder, 'store.key'), 'utf8')).toMatch(/^\S{44}\n$/);
});

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}
