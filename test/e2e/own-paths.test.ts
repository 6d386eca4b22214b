// What the gateway itself answers: renewal and EST. The origin never sees these requests, the bounds hold, and a client
// that goes away takes nothing with it.

import { fork } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { ask, type Caller, connect, keptAlive } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { type Authority, authority, type Identity } from '../support/pki.js';
import { freePort } from '../support/ports.js';
import { until } from '../support/waiting.js';

const PROCESS = fileURLToPath(new URL('../support/own-answers.mjs', import.meta.url));
const RENEW = '/.well-known/portcullis/renew';

let servers: Authority;
let devices: Authority;
let strangers: Authority;
let client: Identity;
let origin: HttpOrigin;
let gateway: Awaited<ReturnType<typeof start>>;

beforeAll(async () => {
  [servers, devices, strangers] = await Promise.all([authority('servers'), authority('devices'), authority('others')]);
  client = await devices.client('sensor-1');
});

beforeEach(async () => {
  origin = await httpOrigin();
  gateway = await start();
});

test('the main thread is told who asks for what, and its answer reaches the client', async () => {
  const answer = await ask(gateway.caller(), RENEW, {
    method: 'POST',
    body: 'a request',
    headers: { 'content-type': 'application/pkcs10', authorization: 'Bearer t' },
  });
  expect(answer.status).toBe(201);
  expect(answer.headers).toMatchObject({
    'content-type': 'application/json',
    'x-request-id': expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  const told = JSON.parse(answer.body);
  expect(told).toEqual({
    method: 'POST',
    path: RENEW,
    host: 'api.test',
    contentType: 'application/pkcs10',
    authorization: 'Bearer t',
    verified: true,
    certificate: `${client.certificate.toString('pem')}\n`,
    address: '127.0.0.1',
    body: 'a request',
  });
  expect(origin.arrived).toEqual([]);
});

test('clients without a certificate, or with one of no authority of this host, are let in as such', async () => {
  const nobody = await ask(gateway.caller(null), '/.well-known/est/cacerts');
  expect(JSON.parse(nobody.body)).toMatchObject({ verified: false, certificate: null, body: '' });
  const stranger = await strangers.client('sensor-1');
  const other = await ask(gateway.caller(stranger), '/.well-known/est/cacerts');
  expect(JSON.parse(other.body)).toMatchObject({ verified: false, certificate: stranger.cert });
});

test('everything else still demands a certificate, and goes to the origin', async () => {
  expect((await ask(gateway.caller(null), '/')).status).toBe(403);
  expect((await ask(gateway.caller(null), `${RENEW}/`)).status).toBe(403);
  expect((await ask(gateway.caller(), '/.well-known/est/unknown')).status).toBe(200);
  expect(origin.arrived.map(({ url }) => url)).toEqual(['/.well-known/est/unknown']);
});

test('a path spelled otherwise is the same path', async () => {
  const answer = await ask(gateway.caller(), '/x/../.well-known/%70ortcullis/renew');
  expect(JSON.parse(answer.body)).toMatchObject({ path: RENEW });
});

test('rules hold on own paths', async () => {
  const answer = await ask(gateway.caller(), RENEW, { headers: { 'x-blocked': '1' } });
  expect([answer.status, JSON.parse(answer.body).reason]).toEqual([403, 'rules.closed']);
});

test('HEAD has no body, and a kept-alive connection goes on', async () => {
  const raw = await connect(gateway.caller());
  const head = await raw.ask(`HEAD ${RENEW} HTTP/1.1\r\nHost: api.test\r\n\r\n`);
  expect([head.status, head.body]).toEqual([201, '']);
  const second = await raw.ask(`GET ${RENEW} HTTP/1.1\r\nHost: api.test\r\n\r\n`);
  expect(second.status).toBe(201);
  raw.close();
});

test('a body of 64 KiB passes and one byte more is 413, chunked or not', async () => {
  const most = 'a'.repeat(64 * 1024);
  const passed = await ask(gateway.caller(), RENEW, { method: 'POST', body: most });
  expect([passed.status, JSON.parse(passed.body).body.length]).toEqual([201, most.length]);
  const large = await ask(gateway.caller(), RENEW, { method: 'POST', body: `${most}a` });
  expect([large.status, JSON.parse(large.body).reason]).toEqual([413, 'http.body_too_large']);
  const raw = await connect(gateway.caller());
  raw.send(`POST ${RENEW} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n`);
  raw.send(`10001\r\n${most}a\r\n0\r\n\r\n`);
  expect((await raw.response()).status).toBe(413);
  await raw.closed;
});

test('a body in chunks is read, and its connection ends with the answer', async () => {
  const raw = await connect(gateway.caller());
  raw.send(`POST ${RENEW} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n`);
  raw.send('3\r\nabc\r\n0\r\n\r\n');
  const answer = await raw.response();
  expect([answer.status, answer.headers.connection, JSON.parse(answer.body).body]).toEqual([201, 'close', 'abc']);
  await raw.closed;
});

test('64 wait for the main thread at most; the next is told that the service is busy', async () => {
  const callers = Array.from({ length: 64 }, () => ask(gateway.caller(), '/.well-known/est/wait/cacerts'));
  await until(async () => (await gateway.state()).waiting === 64);
  const next = await ask(gateway.caller(), RENEW);
  expect([next.status, next.headers['retry-after']]).toEqual([503, '1']);
  gateway.tell('release');
  expect((await Promise.all(callers)).map(({ status }) => status)).toEqual(Array(64).fill(201));
  expect((await ask(gateway.caller(), RENEW)).status).toBe(201);
});

test('a client that goes away frees its place, and its late answer reaches nobody else', async () => {
  const raw = await connect(gateway.caller());
  raw.send('GET /.well-known/est/wait/cacerts HTTP/1.1\r\nHost: api.test\r\n\r\n');
  await until(async () => (await gateway.state()).waiting === 1);
  raw.close();
  await until(async () => (await gateway.state()).lines.includes('"EdgeResponseStatus":499'));
  const agent = keptAlive();
  const other = ask(gateway.caller(), '/.well-known/est/wait/csrattrs', { agent });
  await until(async () => (await gateway.state()).waiting === 2);
  gateway.tell('release');
  expect(JSON.parse((await other).body).path).toBe('/.well-known/est/wait/csrattrs');
});

test('an answer that fails, or whose header would split the response, is 500', async () => {
  for (const label of ['throw', 'header']) {
    const answer = await ask(gateway.caller(), `/.well-known/est/${label}/cacerts`);
    expect([answer.status, answer.headers['set-cookie']]).toEqual([500, undefined]);
  }
});

test('what the main thread does not answer in time is 504', async () => {
  const answer = await ask(gateway.caller(), '/.well-known/est/wait/cacerts');
  expect([answer.status, JSON.parse(answer.body).reason]).toEqual([504, 'own.timeout']);
});

test('drain waits for the answer', async () => {
  const asked = ask(gateway.caller(), '/.well-known/est/wait/cacerts');
  await until(async () => (await gateway.state()).waiting === 1);
  gateway.tell('stop');
  await new Promise(resolve => setTimeout(resolve, 100));
  gateway.tell('release');
  expect((await asked).status).toBe(201);
  expect(await gateway.ended).toEqual([0, null]);
});

test('events and metrics tell own paths apart', async () => {
  await ask(gateway.caller(), RENEW);
  await ask(gateway.caller(), '/.well-known/est/cacerts');
  await until(async () => (await gateway.state()).lines.split('\n').length > 2);
  const { lines, metrics } = await gateway.state();
  const events = lines
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  expect(events.map(event => [event.OwnPath, event.EdgeResponseStatus, event.OriginResponseStatus])).toEqual([
    ['renew', 201, undefined],
    ['est', 201, undefined],
  ]);
  const requests = metrics.find(({ name }) => name === 'portcullis_requests_total');
  expect(requests?.samples).toEqual([
    { labels: { host: 'api.test', operation: 'own', code: '2xx', verdict: 'pass' }, value: 2 },
  ]);
});

test('the certificates that requests came with are told with what is in them, their bytes only once', async () => {
  const stranger = await strangers.client('sensor-1');
  for (let turn = 0; turn < 3; turn++) await ask(gateway.caller(), RENEW);
  await ask(gateway.caller(stranger), RENEW);
  await ask(gateway.caller(null), RENEW);
  const told: Seen[] = [];
  await until(async () => {
    told.push(...(await gateway.seen()));
    return told.length >= 2;
  });
  const fingerprint = (identity: Identity) =>
    new X509Certificate(identity.cert).fingerprint256.replaceAll(':', '').toLowerCase();
  const keyId = (cert: string) =>
    createHash('sha256')
      .update(new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex');
  const good = told.find(one => one.fingerprint === fingerprint(client));
  const { notBefore, notAfter, serialNumber } = client.certificate;
  expect(good).toEqual({
    fingerprint: fingerprint(client),
    authority: 'devices',
    key_id: keyId(client.cert),
    serial: serialNumber.toUpperCase(),
    subject: 'CN=sensor-1',
    issuer: 'CN=devices',
    not_before: notBefore.getTime(),
    not_after: notAfter.getTime(),
    names: [],
    crl_urls: [],
    ocsp_urls: [],
    issuer_key_id: keyId(devices.pem),
    requests: expect.any(Number),
    last_seen: expect.any(Number),
    hosts: ['api.test'],
    pem: `${client.certificate.toString('pem')}\n`,
  });
  expect(Math.abs(Date.now() - (good?.last_seen ?? 0))).toBeLessThan(30_000);
  const bad = told.find(one => one.fingerprint === fingerprint(stranger));
  expect(bad).toMatchObject({ authority: null, issuer_key_id: null, requests: 1 });
  const requests = () =>
    told.filter(one => one.fingerprint === good?.fingerprint).reduce((sum, one) => sum + one.requests, 0);
  await until(async () => {
    told.push(...(await gateway.seen()));
    return requests() === 3;
  });
  await ask(gateway.caller(), RENEW);
  let again: Seen[] = [];
  await until(async () => {
    again = await gateway.seen();
    return again.length > 0;
  });
  expect(again).toMatchObject([{ fingerprint: good?.fingerprint, requests: 1, pem: null }]);
});

interface Seen {
  fingerprint: string;
  requests: number;
  last_seen: number;
}

interface State {
  waiting: number;
  lines: string;
  metrics: { name: string; samples: unknown[] }[];
}

async function start() {
  const folder = temporaryFolder();
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const server = await servers.server(['api.test']);
  const child = fork(PROCESS, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const ended = once(child, 'close');
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', piece => {
    log += piece;
  });
  atTheEnd(() => child.kill('SIGKILL'));
  const answer = async (message: object | string) => {
    child.send(message);
    return (await Promise.race([once(child, 'message'), ended.then(() => Promise.reject(new Error(log)))]))[0];
  };
  const port = await freePort();
  const started = await answer({
    port,
    certificate: file('server.pem', server.cert),
    key: file('server.key', server.key),
    authority: file('devices.pem', devices.pem),
    // TLS lets more in than the host trusts, as it does when another host trusts them.
    known: file('known.pem', devices.pem + strangers.pem),
    origin: `127.0.0.1:${origin.port}`,
  });
  expect(started).toBe('started');
  return {
    caller: (identity: Identity | null = client): Caller => ({
      port,
      host: 'api.test',
      ca: servers.pem,
      cert: identity?.cert,
      key: identity?.key,
    }),
    ended,
    tell: (message: string) => child.send(message),
    state: (): Promise<State> => answer('state'),
    seen: (): Promise<Seen[]> => answer('seen'),
  };
}
