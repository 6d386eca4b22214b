// The acceptor: what a connection begins with is read before any edge thread has it, and whatever is no ClientHello in
// time ends there.

import { connect as tlsConnect } from 'node:tls';
import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { askH2 } from '../support/http2.js';
import { type Answered, ask, type Caller, connect, RawClient } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { until } from '../support/waiting.js';
import { bytewise, plain, records, wire } from '../support/wire.js';

const HELLO_TIMEOUT_MS = 2_000;
const PER_ADDRESS = 40;

const origin = await httpOrigin((_, response) => response.end('here'));
const host = { origin: origin.url };
const connections = { helloTimeout: `${HELLO_TIMEOUT_MS}ms`, perAddress: PER_ADDRESS };
const front = await startFront({ 'api.test': host, 'other.test': host }, { config: { listen: { connections } } });
const { gateway } = front;
const caller = front.caller('api.test');

const blockedBy = ({ status, body }: Answered) => (status === 403 ? JSON.parse(body).reason : status);
const refused = (reason: string) => gateway.count('portcullis_connections_refused_total', `reason="${reason}"`);
const open = () => gateway.count('portcullis_connections_open');

/** Greets through a wire that cuts the ClientHello, and asks once. */
async function askThrough(cut: (hello: Buffer) => Buffer[], gapMs = 0) {
  const { host: servername, ca, cert, key } = caller;
  const socket = tlsConnect({ socket: wire(gateway.https, cut, gapMs), servername, ca, cert, key });
  const client = new RawClient(socket);
  const answer = await client.ask('GET / HTTP/1.1\r\nHost: api.test\r\n\r\n');
  client.close();
  return answer;
}

test('a ClientHello is waited for, however it comes', async () => {
  expect(await askThrough(hello => bytewise(hello))).toMatchObject({ status: 200, body: 'here' });
  expect(await askThrough(hello => records(hello, 1))).toMatchObject({ status: 200 });
  expect(await askThrough(hello => records(hello, 100))).toMatchObject({ status: 200 });
  expect(await askThrough(hello => bytewise(records(hello, 20)[0] as Buffer))).toMatchObject({ status: 200 });
  expect(
    await askThrough(hello => [hello.subarray(0, 3), hello.subarray(3, 200), hello.subarray(200)], 50),
  ).toMatchObject({
    status: 200,
  });
});

test('HTTP without TLS is told so, and closed', async () => {
  const before = await refused('plain_http');
  const answer = await plain(gateway.https, 'GET / HTTP/1.1\r\nHost: api.test\r\n\r\n').ended;
  expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(answer).toMatch(/\r\n\r\nThis port speaks HTTPS\.\n$/);
  expect(await refused('plain_http')).toBe(before + 1);
});

test('garbage, and a ClientHello above the bound, are closed', async () => {
  expect(await plain(gateway.https, 'SSH-2.0-OpenSSH_9.2\r\n').ended).toBe('');
  expect(await plain(gateway.https, Buffer.from([0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x80, 0])).ended).toBe('');
  expect(await refused('garbage')).toBe(1);
  expect(await refused('oversize')).toBe(1);
});

test('who says nothing is closed after the deadline, and others are served meanwhile', async () => {
  const begun = Date.now();
  const silent = [plain(gateway.https), plain(gateway.https, Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1]))];
  await gateway.counted('portcullis_connections_pending', 2);
  expect(await ask(caller, '/')).toMatchObject({ status: 200 });
  expect(Date.now() - begun).toBeLessThan(HELLO_TIMEOUT_MS);
  expect(await Promise.all(silent.map(({ ended }) => ended))).toEqual(['', '']);
  expect(Date.now() - begun).toBeGreaterThanOrEqual(HELLO_TIMEOUT_MS - 20);
  expect(Date.now() - begun).toBeLessThan(3 * HELLO_TIMEOUT_MS);
  expect(await refused('timeout')).toBe(2);
  expect(await gateway.count('portcullis_connections_pending')).toBe(0);
});

test('an address has so many connections and no more, until it closes some', async () => {
  await until(async () => (await open()) === 0);
  const held = await Promise.all(Array.from({ length: PER_ADDRESS }, () => connect(caller)));
  await expect(connect(caller)).rejects.toThrow();
  expect(await refused('per_address')).toBe(1);
  held.pop()?.close();
  await until(async () => (await open()) === PER_ADDRESS - 1);
  const late = await connect(caller);
  expect(await late.ask('GET / HTTP/1.1\r\nHost: api.test\r\n\r\n')).toMatchObject({ status: 200 });
  for (const client of [late, ...held]) client.close();
  await until(async () => (await open()) === 0);
});

test('the fingerprint is in rules and records', async () => {
  const record = async (by: Caller, path: string) => {
    expect(await ask(by, path)).toMatchObject({ status: 200 });
    return gateway.event(event => event.ClientRequestPath === path);
  };
  const { JA4: ours } = await record(caller, '/first');
  // SNI, no ALPN, TLS 1.3; Node.js offers what OpenSSL does.
  expect(ours).toMatch(/^t13d\d{4}00_[0-9a-f]{12}_[0-9a-f]{12}$/);
  const other = { ...caller, tls: { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' as const } };
  const { JA4: theirs } = await record(other, '/other');
  expect(theirs).toMatch(/^t12d02\d{2}00_/);
  expect(theirs).not.toBe(ours);
  gateway.writeConfig({
    rules: [
      { name: 'no-tool', expression: `cf.bot_management.ja4 eq "${ours}"`, action: 'block' },
      { name: 'length', expression: 'cf.tls_client_hello_length gt 100', action: 'log' },
    ],
  });
  await gateway.logged('the configuration was applied');
  expect(blockedBy(await ask(caller, '/again'))).toBe('rules.no-tool');
  expect(await record(other, '/let-through')).toMatchObject({ SecurityRuleID: 'rules.length', SecurityAction: 'log' });
});

test('the name that TLS was asked for is recorded where it is another than the host', async () => {
  await ask(caller, '/elsewhere', { headers: { host: 'other.test' } });
  const event = await gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/elsewhere');
  expect(event).toMatchObject({ TLSServerName: 'api.test', ClientRequestHost: 'other.test' });
  const plainly = await gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/first');
  expect(plainly.TLSServerName).toBeUndefined();
});

test('ALPN chooses the door, and both know the fingerprint', async () => {
  const offering = { ...caller, tls: { ALPNProtocols: ['http/1.1'] } };
  expect(await ask(offering, '/by-http1')).toMatchObject({ status: 200 });
  expect(await gateway.event(event => event.ClientRequestPath === '/by-http1')).toMatchObject({
    ClientRequestProtocol: 'HTTP/1.1',
    JA4: expect.stringMatching(/^t13d\d{4}h1_/),
  });
  expect(await askH2(caller, '/by-http2')).toMatchObject({ status: 200 });
  const { JA4, ...event } = await gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/by-http2');
  expect(event).toMatchObject({ ClientRequestProtocol: 'HTTP/2', SecurityRuleID: 'rules.length' });
  expect(JA4).toMatch(/^t13d\d{4}h2_/);
  const rules = [{ name: 'no-tool', expression: `cf.bot_management.ja4 eq "${JA4}"`, action: 'block' }];
  gateway.writeConfig({ rules });
  await until(async () => blockedBy(await askH2(caller, '/again')) === 'rules.no-tool');
});

test('limits tell callers apart by the fingerprint', async () => {
  const limit = { name: 'by-client', characteristics: ['cf.bot_management.ja4'], requestsPerPeriod: 2, period: '1h' };
  gateway.writeConfig({ limits: { rules: [limit] } });
  const h1 = { ...caller, tls: { ALPNProtocols: ['http/1.1'] } };
  // Each its own counter, whatever the reload has left of time between the first answers.
  await until(async () => (await ask(h1, '/limited')).status === 429);
  const answers = [await ask(caller, '/'), await ask(caller, '/'), await ask(caller, '/')];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
});

test('without HTTP/2 nobody looks, and the field is empty', async () => {
  const expression = 'cf.bot_management.ja4 eq ""';
  const itself = await startFront(
    { 'api.test': host },
    { config: { listen: { h2: false }, rules: [{ name: 'unknown', expression, action: 'block' }] } },
  );
  const answered = await ask(itself.caller('api.test'), '/');
  expect(blockedBy(answered)).toBe('rules.unknown');
  expect(await itself.gateway.count('portcullis_connections_total')).toBe(1);
});
