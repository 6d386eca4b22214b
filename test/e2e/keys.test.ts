// API keys and service tokens from the command that makes one to the request that comes with it: two gateways that share
// a store.

import { createHash } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../support/cleanup.js';
import { commandLine } from '../support/command.js';
import { type Gateway, startTogether } from '../support/gateway.js';
import { connect, type RawClient } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority, type Identity } from '../support/pki.js';
import { describeStores } from '../support/stores.js';
import { until } from '../support/waiting.js';

/** It bites in every process within one second. */
const WITHIN_MS = 1_000;
/** Longer than gateways keep when keys were used to themselves. */
const USED_MS = 15_000;

const origin = await httpOrigin((_, response) => response.end('ok'));
const [servers, devices] = await Promise.all([authority('servers'), authority('devices')]);
const server = await servers.server(['api.test', 'other.test']);

describeStores('keys over two gateways', newPlace => {
  let gateways: Gateway[];
  let keys: (...args: string[]) => Promise<string>;
  // biome-ignore lint/suspicious/noExplicitAny: the API's JSON, which the tests look into
  let json: (...args: string[]) => Promise<any>;

  beforeAll(async () => {
    const { config: store } = await newPlace();
    const files = { 'server.pem': server.cert, 'server.key': server.key, 'devices.pem': devices.pem };
    const host = {
      tls: { certificate: 'server.pem', key: 'server.key' },
      mtls: { mode: 'request', trust: ['devices'] },
      origin: origin.url,
      credentials: {
        action: 'block',
        keys: [
          { header: 'X-API-Key' },
          { header: 'Authorization', scheme: 'Bearer' },
          { pair: ['CF-Access-Client-Id', 'CF-Access-Client-Secret'] },
          { basic: true },
          { cookie: 'api_key' },
        ],
        require: [{ keys: true }],
      },
    };
    const config = {
      store,
      authorities: { devices: { certificates: 'devices.pem' } },
      hosts: { 'api.test': host, 'other.test': host },
    };
    gateways = await startTogether(2, config, { files });
    const run = commandLine(gateways[0] as Gateway, temporaryFolder());
    keys = async (...args) => (await run('keys', ...args)).trim();
    json = async (...args) => JSON.parse(await keys(...args, '-o', 'json'));
  });

  test('without one nobody passes, and is told how to', async () => {
    const [answer] = await ask({});
    expect(answer).toMatchObject({ status: 401, reason: 'credentials.missing' });
    expect(answer?.challenge).toContain('Bearer');
  });

  test('one that was made counts in every place where keys may stand', async () => {
    const key = await keys('create', 'places');
    const id = key.slice(4, 16);
    await counts(key);
    for (const fields of [
      { 'X-API-Key': key },
      { Authorization: `Bearer ${key}` },
      { Authorization: `Basic ${Buffer.from(`${id}:${key}`).toString('base64')}` },
      { 'CF-Access-Client-Id': id, 'CF-Access-Client-Secret': key },
      { Cookie: `api_key=${key}` },
    ]) {
      expect((await ask(fields)).map(({ status }) => status)).toEqual([200, 200]);
    }
    const stranger = { 'CF-Access-Client-Id': '000000000000', 'CF-Access-Client-Secret': key };
    expect((await ask(stranger)).map(({ status }) => status)).toEqual([401, 401]);
    const typo = `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`;
    expect(await ask({ 'X-API-Key': typo })).toMatchObject([{ status: 401, reason: 'keys.malformed' }, {}]);
    expect(await ask({}, { path: `/?api_key=${key}` })).toMatchObject([{ reason: 'credentials.missing' }, {}]);
  });

  test('a service token is its client id and its client secret', async () => {
    const { client_id, client_secret } = await json('create', 'robot', '--kind', 'service');
    await counts(client_secret);
    const fields = { 'CF-Access-Client-Id': client_id, 'CF-Access-Client-Secret': client_secret };
    expect((await ask(fields)).map(({ status }) => status)).toEqual([200, 200]);
  });

  test('bound to a network, a host or a certificate it counts there alone', async () => {
    const device = await devices.client('device');
    const refused = { status: 403, reason: 'keys.binding' };
    const elsewhere = await keys('create', 'network', '--network', '192.0.2.0/24');
    const here = await keys('create', 'here', '--network', '127.0.0.0/8', '--host', 'api.test');
    const bound = await keys('create', 'device', '--certificate', fingerprintOf(device));
    // The last that was made: where it is known, the others are.
    await counts(bound, { identity: device });
    expect(await ask({ 'X-API-Key': elsewhere })).toMatchObject([refused, refused]);
    expect(await ask({ 'X-API-Key': here }, { host: 'other.test' })).toMatchObject([refused, refused]);
    expect(await ask({ 'X-API-Key': bound })).toMatchObject([refused, refused]);
    await counts(here);
    const another = await ask({ 'X-API-Key': bound }, { identity: await devices.client('another') });
    expect(another).toMatchObject([refused, refused]);
  });

  test('rotated, both secrets count on live connections until the older one is ended', async () => {
    const old = await keys('create', 'turning');
    const fresh = await keys('rotate', 'turning', '--overlap', '1h');
    await Promise.all([counts(old), counts(fresh)]);
    const [before, after] = [await live(old), await live(fresh)];
    const since = Date.now();
    await keys('update', 'turning', '--end-previous');
    await Promise.all(before.map(one => refused(one)));
    expect(Date.now() - since).toBeLessThan(WITHIN_MS + COMMAND_MS);
    for (const one of after) expect((await one()).status).toBe(200);
  });

  test('revoked, it is refused within a second on every live connection, and others go on', async () => {
    const [stolen, other] = [await json('create', 'stolen'), await json('create', 'other')];
    await Promise.all([counts(stolen.key), counts(other.key)]);
    const [ending, lasting] = [await live(stolen.key), await live(other.key)];
    const since = await revoke(stolen.id);
    await Promise.all(ending.map(one => refused(one)));
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
    for (const one of lasting) expect((await one()).status).toBe(200);
  });

  test('a gateway that starts later knows all of them before its first request', async () => {
    const { key } = await json('create', 'early');
    const gone = await json('create', 'gone');
    await revoke(gone.id);
    const one = gateways[1] as Gateway;
    const before = one.pid;
    process.kill(before, 'SIGKILL');
    await until(() => one.pid !== before);
    await one.ready();
    expect((await request(one, { 'X-API-Key': key })).status).toBe(200);
    expect(await request(one, { 'X-API-Key': gone.key })).toMatchObject({ status: 401, reason: 'keys.unknown' });
  });

  test('its last use is told, and whose it is when it is found', async () => {
    const { id, key } = await json('create', 'used');
    await counts(key);
    await until(async () => (await json('show', id)).last_used_at !== null, USED_MS);
    const [gateway] = gateways as [Gateway];
    const digest = createHash('sha256').update(key).digest('hex');
    const answer = await post(gateway, '/keys/identify', { id, digest });
    expect(await answer.json()).toMatchObject({ name: 'used', state: 'active', secret: 'current' });
    for (const { log } of gateways) expect(log).not.toContain(key.slice(17, 60));
    for (const { events } of gateways) expect(JSON.stringify(events)).not.toContain(key.slice(17, 60));
  });

  /** Of each gateway, in their order. */
  function ask(fields: Record<string, string>, more: { host?: string; path?: string; identity?: Identity } = {}) {
    return Promise.all(gateways.map(gateway => request(gateway, fields, more)));
  }

  /** It counts on all of them, within a second. */
  async function counts(key: string, as: Parameters<typeof ask>[1] = {}): Promise<void> {
    await until(async () => (await ask({ 'X-API-Key': key }, as)).every(({ status }) => status === 200), WITHIN_MS * 5);
  }

  /** Some connections to each: both edge threads of both processes. */
  async function live(key: string) {
    const many = gateways.flatMap(gateway => Array.from({ length: 4 }, () => gateway));
    const clients = await Promise.all(many.map(gateway => open(gateway)));
    const asking = clients.map(client => () => client.ask(head({ 'X-API-Key': key })));
    for (const one of asking) expect((await one()).status).toBe(200);
    return asking;
  }

  /** Answers when it was asked for. */
  async function revoke(id: string): Promise<number> {
    const since = Date.now();
    const [gateway] = gateways as [Gateway];
    expect((await post(gateway, `/keys/${id}/revoke`, { why: 'a test' })).status).toBe(200);
    return since;
  }

  function post(gateway: Gateway, path: string, body: object): Promise<Response> {
    return gateway.ask(`/admin/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'if-match': '*' },
      body: JSON.stringify(body),
    });
  }
});

/** A command is a process of its own, and asks twice. */
const COMMAND_MS = 10_000;

type Asking = () => ReturnType<RawClient['ask']>;

async function refused(ask: Asking): Promise<void> {
  await until(async () => (await ask()).status === 401);
}

function open(gateway: Gateway, host = 'api.test', identity: Partial<Identity> = {}): Promise<RawClient> {
  return connect({ port: gateway.https, host, ca: servers.pem, cert: identity.cert, key: identity.key });
}

async function request(
  gateway: Gateway,
  fields: Record<string, string>,
  { host = 'api.test', path = '/', identity }: { host?: string; path?: string; identity?: Identity } = {},
) {
  const client = await open(gateway, host, identity);
  const { status, headers, body } = await client.ask(head(fields, host, path));
  client.close();
  const reason: string | null = status === 200 ? null : JSON.parse(body).reason;
  return { status, reason, challenge: headers['www-authenticate'] };
}

function head(fields: Record<string, string>, host = 'api.test', path = '/'): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${lines.join('')}\r\n`;
}

function fingerprintOf({ certificate }: Identity): string {
  return createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex');
}
