// From the word of an operator to the refusal of a client: two gateways that share a store, on live connections.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { atTheEnd } from '../support/cleanup.js';
import { type Gateway, startTogether } from '../support/gateway.js';
import { type Caller, connect, type RawClient } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority, type Identity } from '../support/pki.js';
import { describeStores } from '../support/stores.js';
import { pause, until } from '../support/waiting.js';

/** It bites in every process within one second. */
const WITHIN_MS = 1_000;
const GET = 'GET / HTTP/1.1\r\nHost: api.test\r\n\r\n';

const origin = await httpOrigin((_, response) => response.end('ok'));
const [servers, devices] = await Promise.all([authority('servers'), authority('devices')]);
const server = await servers.server(['api.test', 'live.test']);
const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
await once(sockets, 'listening');
atTheEnd(() => {
  for (const socket of sockets.clients) socket.terminate();
  sockets.close();
});

describeStores('revocation over two gateways', newPlace => {
  let gateways: Gateway[];
  let token: string;

  beforeAll(async () => {
    const { config: store } = await newPlace();
    const files = { 'server.pem': server.cert, 'server.key': server.key, 'devices.pem': devices.pem };
    const config = {
      store,
      authorities: { devices: { certificates: 'devices.pem' } },
      hosts: {
        'api.test': {
          tls: { certificate: 'server.pem', key: 'server.key' },
          mtls: { mode: 'require', trust: ['devices'] },
          origin: origin.url,
        },
        'live.test': {
          tls: { certificate: 'server.pem', key: 'server.key' },
          mtls: { mode: 'require', trust: ['devices'] },
          origin: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`,
        },
      },
    };
    gateways = await startTogether(2, config, { files });
    token = (gateways[0] as Gateway).token;
  });

  test('the next request of every live connection is refused within a second, and the connection closed', async () => {
    const [stolen, other] = [await devices.client('stolen'), await devices.client('other')];
    const clients = await each(stolen);
    const others = await each(other);
    for (const client of [...clients, ...others]) expect((await client.ask(GET)).status).toBe(200);

    const since = Date.now();
    const answer = await post({ authority: 'devices', serial: serialOf(stolen), reason: 'keyCompromise' });
    expect(answer).toMatchObject({ status: 200, body: { changed: 1 } });
    await Promise.all(
      clients.map(async client => {
        const refused = await untilRefused(client);
        expect(refused).toMatchObject({ status: 403, headers: { connection: 'close' } });
        expect(JSON.parse(refused.body).reason).toBe('mtls.revoked');
        await client.closed;
      }),
    );
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
    for (const client of others) expect((await client.ask(GET)).status).toBe(200);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('a resumed %s session is refused as well', async version => {
    const identity = await devices.client('resumed');
    const tls = { minVersion: version, maxVersion: version };
    const before = await Promise.all(gateways.map(gateway => connect(caller(gateway, identity, { tls }))));
    const sessions = [];
    for (const client of before) {
      expect((await client.ask(GET)).status).toBe(200);
      sessions.push(client.session ?? client.socket.getSession());
    }
    await post({ fingerprint: fingerprintOf(identity) });
    await Promise.all(before.map(untilRefused));
    for (const [index, gateway] of gateways.entries()) {
      const again = caller(gateway, identity, { tls: { ...tls, session: sessions[index] } });
      let client = await connect(again);
      // The other edge thread does not know the session, and makes a new one.
      for (let turn = 0; !client.socket.isSessionReused() && turn < 50; turn++) {
        client.close();
        client = await connect(again);
      }
      expect(client.socket.isSessionReused()).toBe(true);
      const refused = await client.ask(GET);
      expect([refused.status, JSON.parse(refused.body).reason]).toEqual([403, 'mtls.revoked']);
    }
  });

  test('an open WebSocket ends, on both sides, and the others go on', async () => {
    const [stolen, other] = [await devices.client('socket'), await devices.client('other socket')];
    const open = async (identity: Identity) => {
      const { port, ca, cert, key } = caller(gateways[1] as Gateway, identity);
      const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
        ...{ ca, cert, key, servername: 'live.test', headers: { host: 'live.test' } },
      });
      const [[atOrigin]] = await Promise.all([once(sockets, 'connection'), once(socket, 'open')]);
      return { socket, atOrigin: atOrigin as WebSocket };
    };
    const [ending, lasting] = [await open(stolen), await open(other)];
    const closed = Promise.all([once(ending.socket, 'close'), once(ending.atOrigin, 'close')]);
    const since = Date.now();
    await post({ authority: 'devices', serial: serialOf(stolen) });
    const [[code], [codeAtOrigin]] = await closed;
    expect([code, codeAtOrigin]).toEqual([1008, 1008]);
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
    expect([lasting.socket.readyState, lasting.atOrigin.readyState]).toEqual([WebSocket.OPEN, WebSocket.OPEN]);
    lasting.socket.terminate();
  });

  test('on hold it is refused, restored it passes again, on all of them', async () => {
    const identity = await devices.client('held');
    const clients = await each(identity);
    for (const client of clients) expect((await client.ask(GET)).status).toBe(200);
    await post({ fingerprint: fingerprintOf(identity), action: 'hold' });
    await Promise.all(clients.map(untilRefused));
    const since = Date.now();
    await post({ fingerprint: fingerprintOf(identity), action: 'restore' });
    for (const gateway of gateways) {
      for (;;) {
        const client = await connect(caller(gateway, identity));
        const { status } = await client.ask(GET);
        client.close();
        if (status === 200) break;
        await pause(10);
      }
    }
    expect(Date.now() - since).toBeLessThan(WITHIN_MS);
  });

  test('a gateway that starts later refuses from its first request on', async () => {
    const identity = await devices.client('early');
    await post({ authority: 'devices', serial: serialOf(identity) });
    const one = gateways[1] as Gateway;
    const before = one.pid;
    process.kill(before, 'SIGKILL');
    await until(() => one.pid !== before);
    await one.ready();
    const client = await connect(caller(one, identity));
    expect((await client.ask(GET)).status).toBe(403);
  });

  test('the list of revocations pages, and says by whom and why', async () => {
    const answer = await ask('/admin/v1/pki/revocations?limit=1&state=revoked');
    const { items, next } = await answer.json();
    expect(items).toMatchObject([{ authority: 'devices', state: 'revoked', reason: 'unspecified' }]);
    expect(next).toEqual(expect.any(String));
    expect(await (gateways[0] as Gateway).count('portcullis_revocation_lag_seconds')).toBeLessThan(1);
  });

  async function each(identity: Identity): Promise<RawClient[]> {
    // Some on each: both edge threads of both processes.
    const many = gateways.flatMap(gateway => Array.from({ length: 4 }, () => gateway));
    return await Promise.all(many.map(gateway => connect(caller(gateway, identity))));
  }

  function ask(path: string, init: RequestInit = {}): Promise<Response> {
    return (gateways[0] as Gateway).ask(path, {
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${token}` },
    });
  }

  async function post(body: object) {
    const answer = await ask('/admin/v1/pki/revocations', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
  }
});

function caller(gateway: Gateway, { cert, key }: Identity, more: Partial<Caller> = {}): Caller {
  return { port: gateway.https, host: 'api.test', ca: servers.pem, cert, key, ...more };
}

async function untilRefused(client: RawClient) {
  for (;;) {
    const answer = await client.ask(GET);
    if (answer.status !== 200) return answer;
    await pause(10);
  }
}

function serialOf({ certificate }: Identity): string {
  return certificate.serialNumber;
}

function fingerprintOf({ certificate }: Identity): string {
  return createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex');
}
