import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Gateway, Refused } from '../../src/manage/gateway.js';
import { ownSocket } from '../../src/manage/supervision.js';
import { freePort as unused } from '../support/ports.js';
import { until } from '../support/waiting.js';
import { FakeNative, FakeThreads, fakeMetrics, silent } from './fakes.js';
import { database, type Folder, GOOD, makeFolder } from './folder.js';

let folder: Folder;
let own: string;
let native: FakeNative;
let threads: FakeThreads;
let gateway: Gateway;
const configuration = `${GOOD.replace('drain', 'drain')}events: { destination: events.ndjson }\n`;

beforeEach(() => {
  folder = makeFolder();
  own = mkdtempSync(join(tmpdir(), 'portcullis-test-own-'));
  native = new FakeNative();
  threads = new FakeThreads();
});
afterEach(async () => {
  await gateway?.stop(100);
  folder.remove();
  rmSync(own, { recursive: true, force: true });
});

async function start(text = configuration): Promise<void> {
  gateway = new Gateway({
    file: folder.write('portcullis.yaml', text),
    folder: own,
    stdout: 1,
    native,
    startThread: threads.start,
    metrics: fakeMetrics(),
    log: silent(),
    lookups: { env: {}, resolve: async () => ['127.0.0.1'] },
    takeSocket: ownSocket,
    successor: false,
    upgrade: () => Promise.reject(new Error('there is no supervisor')),
    report: () => {},
  });
  await gateway.start();
}

const write = (text: string) => folder.write('portcullis.yaml', text);
const metric = async (name: string) => new RegExp(`^${name} (.*)$`, 'm').exec((await gateway.metrics()).text)?.[1];

test('is ready when every edge thread listens, and not any more when it stops', async () => {
  await start(configuration.replace('threads: 1', 'threads: 3'));
  expect(threads.started.map(({ options }) => options.thread)).toEqual([0, 1, 2]);
  const ports = new Set(threads.started.map(({ options }) => options.listen.port));
  expect([ports.size, ports.has(0)], 'what the system chose is one for all').toEqual([1, false]);
  expect(gateway.ready()).toBe(true);
  const stopped = gateway.stop(100);
  expect(gateway.ready()).toBe(false);
  expect(await stopped).toBe(0);
});

test('a configuration with a problem is refused whole, and the old one goes on', async () => {
  await start();
  const bad = `${configuration}rules: [{ name: good, action: log, expression: fine }, { name: worse, action: log, expression: bad }]\n`;
  write(bad);
  const result = await gateway.reload('test');
  expect(result).toMatchObject({ applied: false, problems: [{ message: 'unknown field', place: { line: 11 } }] });
  expect(native.policy?.rules).toEqual([]);
  expect(native.generation).toBe(1);
  expect(await metric('portcullis_config_last_reload_successful')).toBe('0');
  write(bad.replace('bad', 'fine'));
  expect(await gateway.reload('test')).toEqual({ applied: true, generation: 2 });
  expect(await metric('portcullis_config_last_reload_successful')).toBe('1');
  expect(await metric('portcullis_config_reloads_total{result="refused"}')).toBe('1');
  expect(threads.started).toHaveLength(1);
});

test('databases of addresses are there before the policy that reads them, and again when they change', async () => {
  const text = `${configuration}limits: { databases: { country: geo/country.mmdb } }\n`;
  folder.write('geo/broken.mmdb', Buffer.concat([database('GeoLite2-ASN'), Buffer.from('broken')]));
  await start(text);
  expect(native.databases.map(([kind]) => kind)).toEqual(['country']);
  write(text.replace('geo/country.mmdb', 'geo/country.mmdb, asn: geo/broken.mmdb'));
  const result = await gateway.reload('test');
  expect(result).toMatchObject({ applied: false, problems: [{ message: 'the search tree is broken' }] });
  expect([native.generation, native.databases.length]).toEqual([1, 1]);
  folder.write('geo/country.mmdb', database('GeoIP2-City'));
  write(text);
  await until(() => native.databases.length === 2);
  expect(native.databases.at(-1)?.[1]).toContain('GeoIP2-City');
});

test('two hundred reloads leave the edge threads alone', async () => {
  await start();
  for (let i = 0; i < 200; i++) expect(await gateway.reload('test')).toMatchObject({ applied: true });
  expect(native.generation).toBe(201);
  expect(threads.started).toHaveLength(1);
  expect(threads.started[0]?.told).toEqual([]);
});

test('a change of the file is noticed, also when a new file takes its place', async () => {
  await start();
  folder.write('next.yaml', `${configuration}rules: [{ name: new, action: log, expression: fine }]\n`);
  renameSync(join(folder.path, 'next.yaml'), join(folder.path, 'portcullis.yaml'));
  await vi.waitFor(() => expect(native.policy?.rules).toMatchObject([{ name: 'new' }]), { timeout: 3_000 });
});

test('other authorities mean fresh edge threads: the new listen before the old drain', async () => {
  await start();
  write(configuration.replace('pki/ca.pem', 'pki/ca.pem, intermediates: pki/intermediate.pem'));
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  const [old, fresh] = threads.started;
  expect(old?.told).toMatchObject([{ type: 'drain', graceMs: 30_000 }]);
  expect(fresh?.options.thread).toBe(1);
  expect(existsSync(fresh?.options.tls.fallback.clientAuthorities as string)).toBe(true);
  expect(gateway.ready()).toBe(true);
});

test('another certificate of any host means fresh edge threads, too', async () => {
  const second = configuration.replace(
    'events:',
    '  localhost: { tls: { certificate: pki/server.pem, key: pki/server.key }, mtls: { mode: off }, origin: "http://127.0.0.1:1" }\nevents:',
  );
  await start(second);
  const at = second.lastIndexOf('pki/server.pem, key: pki/server.key');
  write(
    second.slice(0, at) + second.slice(at).replace('server.pem', 'expired.pem').replace('server.key', 'expired.key'),
  );
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  expect(threads.started).toHaveLength(2);
  expect(threads.started[0]?.told).toMatchObject([{ type: 'drain' }]);
});

/** What the acceptor was told, without its bounds. */
const accepting = () => native.accepting.filter(told => !told.startsWith('bound'));

test('the acceptor listens once, whoever serves; edge threads do not', async () => {
  await start();
  write(configuration.replace('pki/ca.pem', 'pki/ca.pem, intermediates: pki/intermediate.pem'));
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  expect(threads.started.map(({ options }) => options.listen.h2)).toEqual([true, true]);
  expect(accepting()).toEqual(['listen']);
  await gateway.stop(100);
  expect(accepting()).toEqual(['listen', 'stop']);
});

test('on another port the acceptor listens before it leaves the old one, and edge threads stay', async () => {
  await start();
  const before = gateway.port;
  const after = await unused();
  write(configuration.replace('https: 0', `https: "127.0.0.1:${after}"`));
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  expect(accepting()).toEqual(['listen', 'listen', `close :: ${before}`]);
  expect(gateway.port).toBe(after);
  expect(threads.started).toHaveLength(1);
});

test('without HTTP/2 edge threads listen themselves, which another port alone can change', async () => {
  const itself = configuration.replace('https: 0', 'https: 0, h2: false');
  await start(itself);
  expect(accepting()).toEqual([]);
  write(configuration);
  const message = expect.stringContaining('takes effect when the service starts');
  expect(await gateway.reload('test')).toMatchObject({ applied: false, problems: [{ message }] });
  const after = await unused();
  write(configuration.replace('https: 0', `https: "127.0.0.1:${after}"`));
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  expect(accepting()).toEqual(['listen']);
  write(itself);
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  expect(accepting()).toEqual(['listen', `close 127.0.0.1 ${after}`]);
  expect(threads.started.map(({ options }) => options.listen.h2)).toEqual([false, true, false]);
});

test('bounds on connections are in force with the reload that says them', async () => {
  await start();
  write(configuration.replace('https: 0', 'https: 0, connections: { perAddress: 7, helloTimeout: 1s }'));
  expect(await gateway.reload('test')).toMatchObject({ applied: true });
  const bounds = native.accepting.at(-1)?.replace('bound ', '') ?? '';
  expect(JSON.parse(bounds)).toEqual({ max: 65_536, per_address: 7, handshakes: 4_096, hello_timeout_ms: 1_000 });
  expect(threads.started).toHaveLength(1);
});

test('edge threads that cannot start refuse the reload', async () => {
  await start();
  threads.broken = true;
  write(configuration.replace('threads: 1', 'threads: 2'));
  expect(await gateway.reload('test')).toMatchObject({ applied: false });
  expect(native.generation).toBe(1);
  expect(gateway.ready()).toBe(true);
  expect(threads.started[0]?.told).toEqual([]);
});

test.each([
  ['failed', { type: 'failed', what: 'request', message: 'boom' }],
  ['error', new Error('boom')],
  ['exit', 1],
])('an edge thread that tells "%s" is replaced and counted', async (why, told) => {
  await start();
  const [first] = threads.started;
  first?.emit(why === 'failed' ? 'message' : why, told);
  await vi.waitFor(() => expect(threads.started).toHaveLength(2));
  await vi.waitFor(() => expect(gateway.ready()).toBe(true));
  expect(await metric(`portcullis_edge_replacements_total{why="${why}"}`)).toBe('1');
  if (why === 'failed') expect(first?.told).toMatchObject([{ type: 'drain' }]);
});

test('an edge thread that fails again and again is not replaced in a storm', async () => {
  await start();
  const fail = () => threads.started.at(-1)?.emit('message', { type: 'failed', what: 'request', message: 'boom' });
  const timer = setInterval(fail, 5);
  await new Promise(resolve => setTimeout(resolve, 1_000));
  clearInterval(timer);
  expect(threads.started.length).toBeGreaterThan(2);
  expect(threads.started.length).toBeLessThan(8);
});

test('a busy port is a problem that names it', async () => {
  const other = createServer();
  const port = await new Promise<number>(resolve =>
    other.listen(0, () => resolve((other.address() as { port: number }).port)),
  );
  try {
    const failed = await start(configuration.replace('https: 0', `https: ${port}`)).catch(error => error);
    expect(failed).toBeInstanceOf(Refused);
    expect((failed as Refused).remarks).toMatchObject([
      { message: `port ${port} (listen.https) is in use by another process`, place: { line: 1, column: 18 } },
    ]);
  } finally {
    other.close();
  }
});

test('events are written to their file, and to a new one after it was moved away', async () => {
  await start();
  const file = join(folder.path, 'events.ndjson');
  native.lines.push('{"n":1}\n', '{"n":2}\n');
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toBe('{"n":1}\n{"n":2}\n'));
  renameSync(file, `${file}.1`);
  gateway.reopenEvents();
  native.lines.push('{"n":3}\n');
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toBe('{"n":3}\n'));
});

test('the last events are written before the end', async () => {
  await start();
  native.lines.push('{"last":true}\n');
  await gateway.stop(100);
  expect(readFileSync(join(folder.path, 'events.ndjson'), 'utf8')).toBe('{"last":true}\n');
});

test('a destination that cannot be written is refused at load', async () => {
  await start();
  write(configuration.replace('events.ndjson', 'nowhere/events.ndjson'));
  expect(await gateway.reload('test')).toMatchObject({ applied: false, problems: [{ place: { line: 10 } }] });
});

test('the share of access lines reaches native code', async () => {
  await start(configuration.replace('events.ndjson }', 'events.ndjson, sampleRate: 0.25 }'));
  expect(native.rate).toBe(0.25);
});
