// From the word of an operator to the refusal of a caller: two gateways that share a store, on live connections of every
// edge thread.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { atTheEnd } from '../support/cleanup.js';
import { type Gateway, startTogether } from '../support/gateway.js';
import { connect, type RawClient, type Response } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority, type Identity } from '../support/pki.js';
import { describeStores } from '../support/stores.js';
import { tokenIssuer } from '../support/tokens.js';
import { pause, until } from '../support/waiting.js';

/** It bites in every process within one second. */
const WITHIN_MS = 1_000;
/** Some on each gateway: the kernel spreads them over both of its edge threads. */
const CONNECTIONS = 4;
/** Until when an old secret counts: well beyond the time that its successor takes to get everywhere. */
const OVERLAP_MS = 3_000;

const origin = await httpOrigin((_, response) => response.end('ok'));
const [servers, theirs] = await Promise.all([authority('servers'), authority('partners')]);
const server = await servers.server(['api.test', 'live.test']);
const issuer = tokenIssuer('https://login.test/', 'orders');
const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
await once(sockets, 'listening');
atTheEnd(() => {
  for (const socket of sockets.clients) socket.terminate();
  sockets.close();
});

/** What a caller comes with. */
interface Credential {
  identity?: Identity;
  headers?: Record<string, string>;
}

describeStores('callers over two gateways', newPlace => {
  let gateways: Gateway[];
  let token: string;

  beforeAll(async () => {
    const { config: store } = await newPlace();
    const files = { 'server.pem': server.cert, 'server.key': server.key, 'partners.pem': theirs.pem };
    const host = (origin: string) => ({
      tls: { certificate: 'server.pem', key: 'server.key' },
      mtls: { mode: 'request', trust: ['partners'] },
      origin,
      credentials: {
        keys: [{ header: 'X-API-Key' }],
        require: [{ jwt: 'customers' }, { keys: true }, { certificate: true }],
      },
    });
    const config = {
      store,
      authorities: { partners: { certificates: 'partners.pem' } },
      jwt: { customers: { issuer: 'https://login.test/', audiences: ['orders'], keys: { inline: issuer.keys } } },
      hosts: {
        'api.test': host(origin.url),
        'live.test': host(`http://127.0.0.1:${(sockets.address() as AddressInfo).port}`),
      },
    };
    gateways = await startTogether(2, config, { files });
    token = (gateways[0] as Gateway).token;
  });

  test('a key that is made at one counts at the other, and revoked it is refused on every live connection', async () => {
    const [leaked, other] = [await key(), await key()];
    const [clients, others] = [await live(leaked), await live(other)];
    const since = Date.now();
    await manage('POST', `/keys/${leaked.id}/revoke`, { why: 'leaked' }, { 'if-match': '*' });
    for (const { status, reason } of await refusals(clients)) expect([status, reason]).toEqual([401, 'keys.unknown']);
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
    for (const client of others) expect((await client()).status).toBe(200);
  });

  test('an old secret counts beside the new one until the deadline', async () => {
    const old = await key();
    const clients = await live(old);
    // Of a whole second: the one that it lies in is the first in which the secret does not count.
    const deadline = new Date(Math.floor((Date.now() + OVERLAP_MS) / 1_000) * 1_000).toISOString();
    const made = await manage('POST', `/keys/${old.id}/rotate`, { deadline }, { 'if-match': '*' });
    expect(made).toMatchObject({ status: 200 });
    const renewed = await live({ headers: { 'X-API-Key': made.body.key } });
    for (const client of [...clients, ...renewed]) expect((await client()).status).toBe(200);
    expect(Date.now()).toBeLessThan(Date.parse(deadline));
    await refusals(clients);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(deadline));
    for (const client of renewed) expect((await client()).status).toBe(200);
  });

  test('a partner that is suspended is refused by certificate, key and token, and let in again when it is resumed', async () => {
    const { acme, other } = await partners();
    const clients = (await Promise.all(acme.map(live))).flat();
    const others = (await Promise.all(other.map(live))).flat();
    const since = Date.now();
    await manage('POST', '/partners/acme/suspend', { why: 'keys on a forum' });
    for (const { status, reason } of await refusals(clients)) {
      expect([status, reason]).toEqual([403, 'partners.suspended']);
    }
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
    for (const client of others) expect((await client()).status).toBe(200);
    await manage('POST', '/partners/acme/resume', undefined, { 'if-match': '*' });
    for (const credential of acme) await live(credential);
  });

  test('what is issued for a partner, made for it, or says it, is its own; two partners together are refused', async () => {
    const { acme, other } = await partners();
    const [certificate, its, bearer] = acme as [Credential, Credential, Credential];
    const [, , stranger] = other as [Credential, Credential, Credential];
    const both = { identity: certificate.identity, headers: { ...its.headers, ...bearer.headers } } as Credential;
    await live(both);
    const mixed = { ...both, headers: { ...its.headers, ...stranger.headers } };
    const client = await ask(gateways[1] as Gateway, mixed);
    expect(told(await client())).toEqual({ status: 403, reason: 'partners.mismatch' });
  });

  test('open WebSockets of a suspended partner end, on both sides, and others go on', async () => {
    const { acme, other } = await partners();
    const ending = await Promise.all(acme.map(open));
    const lasting = await Promise.all(other.map(open));
    for (const { states } of ending) expect(states()).toEqual([WebSocket.OPEN, WebSocket.OPEN]);
    const since = Date.now();
    await manage('POST', '/partners/acme/suspend', { why: 'keys on a forum' });
    const codes = (await Promise.all(ending.map(({ closed }) => closed))).flat();
    expect(new Set(codes)).toEqual(new Set([1008]));
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
    for (const { socket, states } of lasting) {
      expect(states()).toEqual([WebSocket.OPEN, WebSocket.OPEN]);
      socket.terminate();
    }
    await manage('POST', '/partners/acme/resume', undefined, { 'if-match': '*' });
  });

  test('an open WebSocket of a revoked key ends', async () => {
    const leaked = await key();
    const { closed } = await open(leaked);
    const since = Date.now();
    await manage('POST', `/keys/${leaked.id}/revoke`, {}, { 'if-match': '*' });
    expect((await closed)[0]).toBe(1008);
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
  });

  test.each(['jti', 'subject'] as const)(
    'a token that is taken back by its %s is refused, cached as it is',
    async kind => {
      const [jti, sub] = [randomUUID(), randomUUID()];
      const [taken, other] = [bearer({ jti, sub }), bearer({ jti: randomUUID(), sub: randomUUID() })];
      const [clients, others] = [await live(taken), await live(other)];
      const since = Date.now();
      const value = kind === 'jti' ? jti : sub;
      expect(await manage('POST', '/jwt/customers/revocations', { kind, value })).toMatchObject({ status: 201 });
      for (const { status, reason } of await refusals(clients)) expect([status, reason]).toEqual([401, 'jwt.revoked']);
      expect(Date.now() - since).toBeLessThan(WITHIN_MS);
      for (const client of others) expect((await client()).status).toBe(200);
    },
  );

  test('a gateway that starts later refuses from its first request on', async () => {
    const { acme } = await partners();
    const leaked = await key();
    await manage('POST', '/partners/acme/suspend', { why: 'x' });
    await manage('POST', `/keys/${leaked.id}/revoke`, {}, { 'if-match': '*' });
    const one = gateways[1] as Gateway;
    const before = one.pid;
    process.kill(before, 'SIGKILL');
    await until(() => one.pid !== before);
    await one.ready();
    for (const credential of [...acme, leaked]) {
      expect([401, 403]).toContain((await (await ask(one, credential))()).status);
    }
    await manage('POST', '/partners/acme/resume', undefined, { 'if-match': '*' });
  });

  /** Two partners, each with a certificate, a key and a token, known everywhere. */
  async function partners(): Promise<Record<'acme' | 'other', Credential[]>> {
    const made = {} as Record<'acme' | 'other', Credential[]>;
    for (const name of ['acme', 'other'] as const) {
      const wanted = {
        ...{ name, owner: 'Payments', contact: 'security@acme.example' },
        certificates: [{ authority: 'partners', subject: `CN=${name}*` }],
        tokens: [{ configuration: 'customers', claim: 'azp', value: name }],
      };
      expect([201, 409]).toContain((await manage('POST', '/partners', wanted)).status);
      const identity = await theirs.client(`${name} ${randomUUID().slice(0, 8)}`);
      made[name] = [{ identity }, await key(name), bearer({ azp: name })];
    }
    return made;
  }

  async function key(partner?: string): Promise<Credential & { id: string }> {
    const { status, body } = await manage('POST', '/keys', { name: 'k', partner });
    expect(status).toBe(201);
    return { id: body.id, headers: { 'X-API-Key': body.key } };
  }

  /** Connections of both gateways that the credential is let in on. */
  async function live(credential: Credential): Promise<Asking[]> {
    const many = gateways.flatMap(gateway => Array.from({ length: CONNECTIONS }, () => gateway));
    const clients = await Promise.all(many.map(gateway => ask(gateway, credential)));
    // What was made at one gateway takes its moment to be known at the other.
    await Promise.all(clients.map(client => until(async () => (await client()).status === 200, 2 * WITHIN_MS)));
    return clients;
  }

  /** A WebSocket through the second gateway, watched on both sides from the start. */
  async function open({ identity, headers = {} }: Credential) {
    const { port, ...rest } = whereto(gateways[1] as Gateway, { identity, headers } as Credential);
    const options = { ...rest, servername: 'live.test', headers: { host: 'live.test', ...headers } };
    await live({ identity, headers } as Credential);
    const socket = new WebSocket(`wss://127.0.0.1:${port}/`, options);
    const name = randomUUID();
    const arrived = new Promise<WebSocket>(resolve => {
      sockets.on('connection', function found(atOrigin) {
        atOrigin.once('message', text => {
          if (String(text) !== name) return;
          sockets.off('connection', found);
          resolve(atOrigin);
        });
      });
    });
    await once(socket, 'open');
    socket.send(name);
    const atOrigin = await arrived;
    const closed = Promise.all([socket, atOrigin].map(async side => (await once(side, 'close'))[0] as number));
    return { socket, closed, states: () => [socket.readyState, atOrigin.readyState] };
  }

  async function manage(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
    const answer = await (gateways[0] as Gateway).ask(`/admin/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: await answer.json() };
  }
});

/** Asks once more on the same connection, or on a new one where the gateway has closed it. */
type Asking = () => Promise<Response>;

async function ask(gateway: Gateway, credential: Credential): Promise<Asking> {
  const { headers = {} } = credential;
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const text = `GET / HTTP/1.1\r\nHost: api.test\r\n${fields.join('')}\r\n`;
  let client: RawClient | null = await connect(whereto(gateway, credential));
  return async () => {
    client ??= await connect(whereto(gateway, credential));
    const response = await client.ask(text);
    if (response.headers.connection === 'close') client = null;
    return response;
  };
}

function whereto(gateway: Gateway, { identity }: Credential) {
  return { port: gateway.https, host: 'api.test', ca: servers.pem, cert: identity?.cert, key: identity?.key };
}

function bearer(claims: Record<string, unknown>): Credential {
  return { headers: { Authorization: `Bearer ${issuer.token({ sub: randomUUID(), ...claims })}` } };
}

/** Of each, when it is no longer let in. */
function refusals(clients: readonly Asking[]): Promise<{ status: number; reason: string }[]> {
  return Promise.all(
    clients.map(async client => {
      for (;;) {
        const response = await client();
        if (response.status !== 200) return told(response);
        await pause(10);
      }
    }),
  );
}

function told({ status, body }: Response): { status: number; reason: string } {
  return { status, reason: JSON.parse(body).reason };
}
