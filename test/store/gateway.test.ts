// The store in the gateway: opened at its start, told of when it is away, closed at its end.

import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Gateway, Refused } from '../../src/manage/gateway.js';
import { Store } from '../../src/manage/store/open.js';
import { ownSocket } from '../../src/manage/supervision.js';
import { FakeNative, FakeThreads, fakeMetrics } from '../config/fakes.js';
import { type Folder, GOOD, makeFolder } from '../config/folder.js';

let folder: Folder;
let own: string;
let gateway: Gateway;
let lines: Record<string, unknown>[];

beforeEach(() => {
  folder = makeFolder();
  own = mkdtempSync(join(tmpdir(), 'portcullis-test-own-'));
  lines = [];
});
afterEach(async () => {
  await gateway?.stop(100);
  folder.remove();
  rmSync(own, { recursive: true, force: true });
});

const configuration = `${GOOD}events: { destination: events.ndjson }\n`;
const write = (text: string) => folder.write('portcullis.yaml', text);
const metric = async (name: string) => new RegExp(`^${name} (.*)$`, 'm').exec((await gateway.metrics()).text)?.[1];
const inFolder = (...names: string[]) => join(folder.path, ...names);
const told = (message: string) => lines.find(({ msg }) => msg === message);

async function start(text = configuration, env: NodeJS.ProcessEnv = {}): Promise<void> {
  gateway = new Gateway({
    file: write(text),
    folder: own,
    stdout: 1,
    native: new FakeNative(),
    startThread: new FakeThreads().start,
    metrics: fakeMetrics(),
    log: pino({}, { write: line => void lines.push(JSON.parse(line)) }),
    lookups: { env, resolve: async () => ['127.0.0.1'] },
    takeSocket: ownSocket,
    successor: false,
    upgrade: () => Promise.reject(new Error('there is no supervisor')),
    report: () => {},
  });
  await gateway.start();
}

async function refused(text?: string, env?: NodeJS.ProcessEnv) {
  const error = await start(text, env).catch(error => error);
  if (!(error instanceof Refused)) throw new Error(`not refused: ${error}`);
  return error.remarks;
}

test('the first start makes the store and its key beside the configuration, and the next one uses them', async () => {
  await start();
  const state = inFolder('portcullis-state');
  expect(readdirSync(state)).toEqual(expect.arrayContaining(['store.db', 'store.key']));
  for (const file of readdirSync(state)) expect(statSync(join(state, file)).mode & 0o777).toBe(0o600);
  expect(await metric('portcullis_store_up')).toBe('1');
  expect(told('the store is open')).toMatchObject({ kind: 'sqlite', key: join(state, 'store.key') });
  await gateway.stop(100);
  await start();
  expect(JSON.stringify(lines)).not.toContain('error');
});

test('systemd says where, unless the configuration does', async () => {
  const state = inFolder('from-systemd');
  await start(configuration, { STATE_DIRECTORY: `${state}:/nowhere/else` });
  expect(existsSync(join(state, 'store.db'))).toBe(true);
  await gateway.stop(100);
  await start(`${configuration}store: { folder: written }\n`, { STATE_DIRECTORY: state });
  expect(existsSync(inFolder('written', 'store.db'))).toBe(true);
});

test('another key, a missing key and a store that is not there to be reached refuse the start', async () => {
  await start();
  await gateway.stop(100);
  rmSync(inFolder('portcullis-state', 'store.key'));
  expect(await refused()).toMatchObject([
    { message: expect.stringContaining('holds a store, but its key is not there'), hint: expect.any(String) },
  ]);
  const key = randomBytes(32).toString('base64');
  const remarks = await refused(configuration, { PORTCULLIS_STORE_KEY: key });
  expect(remarks).toMatchObject([{ message: expect.stringMatching(/^the store was made with another key/) }]);
  const away = `${configuration}store: { url: "postgres://me:secret@127.0.0.1:1/x" }\n`;
  expect(await refused(away)).toMatchObject([
    { message: expect.stringContaining('the store has no key'), hint: expect.stringContaining('openssl rand') },
  ]);
  expect(await refused(away, { PORTCULLIS_STORE_KEY: key })).toMatchObject([
    { message: expect.stringContaining('ECONNREFUSED'), place: { line: 11 } },
  ]);
  folder.write('file', '');
  expect(await refused(`${configuration}store: { folder: file/state }\n`)).toMatchObject([
    { message: expect.stringContaining('ENOTDIR'), place: { line: 11 } },
  ]);
});

test('a key that others can read is worth a warning, wherever it is', async () => {
  const key = `${randomBytes(32).toString('hex')}\n`;
  chmodSync(folder.write('store.key', key), 0o644);
  await start(`${configuration}store: { key: store.key }\n`);
  expect(told('in the configuration')).toMatchObject({
    severity: 'warning',
    message: 'every user of this machine can read the key',
    line: 11,
  });
  await gateway.stop(100);
  lines = [];
  await start(`${configuration}store: { folder: other }\n`);
  await gateway.stop(100);
  chmodSync(inFolder('other', 'store.key'), 0o604);
  await start(`${configuration}store: { folder: other }\n`);
  expect(told('every user of this machine can read the key')).toMatchObject({ source: inFolder('other', 'store.key') });
});

test('a change of the store, or of its key, is told to want a restart, and nothing changes', async () => {
  folder.write('store.key', randomBytes(32).toString('hex'));
  const text = `${configuration}store: { key: store.key }\n`;
  await start(text);
  const wants = { applied: false, problems: [{ message: expect.stringContaining('when the gateway starts') }] };
  write(`${configuration}store: { key: store.key, folder: other }\n`);
  expect(await gateway.reload('test')).toMatchObject(wants);
  expect(existsSync(inFolder('other'))).toBe(false);
  write(configuration);
  expect(await gateway.reload('test')).toMatchObject(wants);
  write(text);
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  folder.write('store.key', randomBytes(32).toString('hex'));
  expect(await gateway.reload('test')).toMatchObject(wants);
});

test('a store that goes away is told, requests are served and the configuration is taken up; so is its return', async () => {
  await start();
  const [file, away] = [inFolder('portcullis-state', 'store.db'), inFolder('portcullis-state', 'away.db')];
  renameSync(file, away);
  await vi.waitFor(async () => expect(await metric('portcullis_store_up')).toBe('0'), { timeout: 5_000 });
  expect(gateway.ready()).toBe(true);
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  renameSync(away, file);
  await vi.waitFor(async () => expect(await metric('portcullis_store_up')).toBe('1'), { timeout: 5_000 });
  const messages = lines.map(({ msg }) => String(msg)).filter(message => message.startsWith('the store'));
  expect(messages).toEqual([
    'the store is open',
    'the store does not answer: requests are served, changes are not taken',
    'the store is back',
  ]);
});

test('the end of the gateway closes the store', async () => {
  const close = vi.spyOn(Store.prototype, 'close');
  await start();
  await gateway.stop(100);
  expect(close).toHaveBeenCalledTimes(1);
  close.mockRestore();
});
