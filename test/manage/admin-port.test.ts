// The admin port on real sockets: TLS, client certificates, hosts, bodies, and what a reload changes.

import { once } from 'node:events';
import { type IncomingHttpHeaders, request as plainRequest } from 'node:http';
import { type RequestOptions, request as tlsRequest } from 'node:https';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { spelled } from '../../src/manage/admin/certificates.js';
import type { AdminPlan } from '../../src/manage/admin/compile.js';
import { firstToken } from '../../src/manage/admin/first-token.js';
import { AdminPort } from '../../src/manage/admin/port.js';
import type { Store } from '../../src/manage/store/open.js';
import { ownSocket } from '../../src/manage/supervision.js';
import { silent } from '../config/fakes.js';
import { type Authority, authority, type Identity, x509 } from '../support/pki.js';
import { sqlitePlace } from '../support/stores.js';

let store: Store;
let port: AdminPort;
let staff: Authority;
let servers: Authority;
let server: Identity;
let token: string;
let verdict = '{"reason":null}';
const counted: string[] = [];

const plan: AdminPlan = { address: '127.0.0.1', port: 0, tls: null, hosts: [], clients: null };
const secure = (): AdminPlan => ({ ...plan, tls: { certificate: server.cert, key: server.key } });

beforeAll(async () => {
  store = await (await sqlitePlace()).open();
  [staff, servers] = await Promise.all([authority('staff'), authority('servers')]);
  server = await servers.server(['gw.example.com']);
  token = (await firstToken(store)) as string;
});
afterAll(() => port?.close());

async function open(changed: AdminPlan): Promise<void> {
  port ??= new AdminPort({
    gateway: {
      ready: () => true,
      metrics: async () => ({ contentType: 'text/plain', text: 'portcullis 1\n' }),
      reload: async () => ({ applied: true, generation: 1 }),
      upgrade: async () => ({ upgraded: true, version: '1.0.0', process: 1 }),
    },
    store,
    log: silent(),
    judge: () => verdict,
    counted: why => void counted.push(why),
    takeSocket: ownSocket,
    capabilities: [],
  });
  await (await port.open(changed, [staff.pem])).settle();
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

function ask(path: string, { cert, key, body, ...options }: RequestOptions & { body?: string } = {}): Promise<Answer> {
  const tls = { ca: servers.pem, servername: 'gw.example.com', cert, key };
  const send = options.protocol === 'http:' ? plainRequest : tlsRequest;
  return new Promise((resolve, reject) => {
    const sent = send({ host: '127.0.0.1', port: port.port, path, agent: false, ...tls, ...options }, answer => {
      const pieces: Buffer[] = [];
      answer.on('data', piece => pieces.push(piece));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text: Buffer.concat(pieces).toString() }),
      );
      answer.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const plain = (path: string, options: RequestOptions & { body?: string } = {}) =>
  ask(path, { protocol: 'http:', ...options });
const bearer = () => ({ authorization: `Bearer ${token}` });

describe('over plain HTTP', () => {
  beforeAll(() => open(plan));

  test('who writes a body that is too large to its end, and reads then, is told so', async () => {
    const length = 12 * 2 ** 20;
    const fields = Object.entries({ ...bearer(), host: 'localhost', 'content-type': 'application/json' });
    const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    const socket = connect(port.port, '127.0.0.1').pause();
    socket.write(`POST /admin/v1/tokens HTTP/1.1\r\n${head}content-length: ${length}\r\n\r\n`);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.write('x'.repeat(length), error => (error ? reject(error) : resolve()));
    });
    const [answer] = await once(socket.resume(), 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
  });

  test('a body is bounded, also when it does not say how long it is', async () => {
    const headers = { ...bearer(), 'content-type': 'application/json' };
    const large = JSON.stringify({ name: 'x'.repeat(2 ** 20) });
    const post = { method: 'POST', body: large };
    expect((await plain('/admin/v1/tokens', { ...post, headers })).status).toBe(413);
    const chunked = { ...headers, 'transfer-encoding': 'chunked' };
    expect((await plain('/admin/v1/tokens', { ...post, headers: chunked })).status).toBe(413);
    expect((await plain('/admin/v1/reload', { method: 'POST', body: 'x', headers })).status).toBe(415);
    expect((await plain('/admin/v1/reload', { method: 'POST', headers: bearer() })).status).toBe(200);
  });

  test('what is no HTTP, or has an odd method or path, gets an answer and leaves the port alive', async () => {
    for (const head of [
      'TRACE /admin/v1/tokens HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET //evil/../admin/v1/tokens HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET http://evil.example/admin/v1/tokens HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET /admin/v1/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET /admin/v1/tokens HTTP/1.1\r\nHost: a b\r\n\r\n',
      'GET /admin/v1/tokens HTTP/1.1\r\nHost:\r\n\r\n',
      `GET /admin/v1/tokens HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      'garbage\r\n\r\n',
    ]) {
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(await raw(head))?.[1]);
      expect([400, 401, 403, 404, 405, 431, 501], head.slice(0, 60)).toContain(status);
    }
    const large = await raw(`GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
    expect(large).toMatch(/^HTTP\/1\.1 431 .*application\/problem\+json.*"status":431/s);
    expect((await plain('/livez')).status).toBe(200);
  });

  test('a page that rebinds its name to this machine gets nothing', async () => {
    const headers = { ...bearer(), host: 'evil.example:9090' };
    expect((await plain('/admin/v1/tokens', { headers })).status).toBe(403);
    expect((await plain('/metrics', { headers })).status).toBe(403);
  });
});

describe('over TLS', () => {
  let alice: Identity;

  beforeAll(async () => {
    alice = await staff.client('alice', { subject: 'O=Example\\, Inc.,CN=alice' });
    await open({
      ...secure(),
      clients: { trust: ['staff'], roles: { 'CN=alice,O=Example\\, Inc.': 'operator' } },
    });
  });

  test('plain HTTP is not answered any more, on the same port', async () => {
    await expect(plain('/livez')).rejects.toThrow();
    expect((await ask('/livez')).status).toBe(200);
  });

  test('a token does, and without one it is refused', async () => {
    expect((await ask('/admin/v1/tokens', { headers: bearer() })).status).toBe(200);
    expect((await ask('/admin/v1/tokens')).status).toBe(401);
  });

  test('a client certificate is as good as its role', async () => {
    const as = { cert: alice.cert, key: alice.key };
    const me = await ask('/admin/v1/me', as);
    expect(JSON.parse(me.text)).toEqual({ name: 'CN=alice,O=Example\\, Inc.', role: 'operator', kind: 'certificate' });
    expect((await ask('/admin/v1/tokens', as)).status).toBe(403);
    expect((await ask('/admin/v1/reload', { ...as, method: 'POST' })).status).toBe(200);
    const entry = await store.db.selectFrom('audit').selectAll().orderBy('seq', 'desc').executeTakeFirst();
    expect(entry).toMatchObject({ actor: 'CN=alice,O=Example\\, Inc.', action: 'config.reload' });
  });

  test('a bad token is not made good by a certificate', async () => {
    const headers = { authorization: 'Bearer nonsense' };
    expect((await ask('/admin/v1/me', { cert: alice.cert, key: alice.key, headers })).status).toBe(401);
  });

  test('a certificate that nobody names, nobody issued or that was taken back is refused, and why is said', async () => {
    const mallory = await staff.client('mallory');
    const stranger = await (await authority('staff')).client('alice', { subject: 'O=Example\\, Inc.,CN=alice' });
    const twin = await staff.client('twin', { subject: 'CN=alice,O=Example\\, Inc.' });
    const webserver = await staff.client('web', { usages: [x509.ExtendedKeyUsage.serverAuth] });
    const refused = async ({ cert, key }: Identity) => {
      const { status, text } = await ask('/admin/v1/me', { cert, key });
      return [status, JSON.parse(text).detail];
    };
    expect(await refused(mallory)).toEqual([403, expect.stringContaining('names neither CN=mallory')]);
    expect(await refused(twin)).toEqual([403, expect.stringContaining('names neither O=Example')]);
    for (const other of [stranger, webserver]) {
      expect(await refused(other)).toEqual([403, expect.stringContaining('not issued by an authority')]);
    }
    verdict = '{"reason":"mtls.revoked"}';
    expect(await refused(alice)).toEqual([403, 'It is refused: mtls.revoked.']);
    verdict = 'nonsense';
    expect(await refused(alice)).toEqual([403, 'It is refused: it cannot be judged.']);
    verdict = '{"reason":null}';
    expect(counted).toContain('certificate');
  });

  test('a name that is not ASCII is spelled as in rules', async () => {
    const zoe = await staff.client('zoe', { subject: 'C=NL,CN=Zo\u00eb' });
    await open({ ...secure(), clients: { trust: ['staff'], roles: { 'CN=Zo\\C3\\AB,C=NL': 'viewer' } } });
    const { text } = await ask('/admin/v1/me', { cert: zoe.cert, key: zoe.key });
    expect(JSON.parse(text)).toMatchObject({ name: 'CN=Zo\\C3\\AB,C=NL', role: 'viewer' });
    expect(spelled('CN=Zo\u00eb,C=NL')).toBe('CN=Zo\\C3\\AB,C=NL');
  });

  test('its fingerprint does, too, and a subject cannot be spelled to look like another', async () => {
    const eve = await staff.client('eve', { subject: 'CN=alice\\,O=Example' });
    const fingerprint = Buffer.from(await eve.certificate.getThumbprint('SHA-256')).toString('hex');
    const as = { cert: eve.cert, key: eve.key };
    await open({ ...secure(), clients: { trust: ['staff'], roles: { 'CN=alice,O=Example': 'admin' } } });
    expect((await ask('/admin/v1/me', as)).status).toBe(403);
    await open({ ...secure(), clients: { trust: ['staff'], roles: { [fingerprint]: 'viewer' } } });
    expect(JSON.parse((await ask('/admin/v1/me', as)).text)).toMatchObject({ role: 'viewer', kind: 'certificate' });
  });
});

describe('beyond loopback', () => {
  beforeAll(() => open({ ...secure(), address: '0.0.0.0', hosts: ['admin.internal'] }));

  test.each([
    ['gw.example.com', 200],
    ['gw.example.com:9090', 200],
    ['admin.internal', 200],
    ['127.0.0.1', 200],
    ['evil.example', 403],
    ['10.1.2.3', 403],
  ])('as %s it answers %i', async (host, status) => {
    expect((await ask('/metrics', { headers: { ...bearer(), host } })).status).toBe(status);
  });

  test('its own pages come by https', async () => {
    const page = (origin: string) => ask('/admin/v1/me', { headers: { ...bearer(), host: 'gw.example.com', origin } });
    expect((await page('https://gw.example.com')).status).toBe(200);
    expect((await page('http://gw.example.com')).status).toBe(403);
  });

  test('metrics are for those who say who they are', async () => {
    expect((await ask('/metrics')).status).toBe(401);
    expect((await ask('/readyz', { headers: { host: '10.1.2.3:9090' } })).status).toBe(200);
  });
});

function raw(head: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port.port, '127.0.0.1', () => socket.write(head));
    let text = '';
    socket.setTimeout(3_000, () => socket.destroy());
    socket.on('data', piece => {
      text += piece;
      socket.end();
    });
    socket.on('error', error => (text === '' ? reject(error) : resolve(text)));
    socket.on('close', () => resolve(text));
  });
}
