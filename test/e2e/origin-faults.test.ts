// What clients are told when an origin fails, in every way that an origin can.

import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { ask, connect, keptAlive } from '../support/https.js';
import { httpOrigin, rawOrigin } from '../support/origin.js';
import { freePort } from '../support/ports.js';
import { scriptedOrigin } from '../support/scripted-origin.js';
import { pause } from '../support/waiting.js';

const FIRST_BYTE_MS = 300;
const IDLE_MS = 300;

const origin = await scriptedOrigin();
const down = `http://127.0.0.1:${await freePort()}`;
const closing = await rawOrigin(async connection => {
  await connection.head();
  connection.end();
});
const good = await httpOrigin();
const timeouts = { firstByte: `${FIRST_BYTE_MS}ms`, idle: `${IDLE_MS}ms` };
const front = await startFront(
  {
    'api.test': { origin: { url: origin.url, timeouts } },
    'down.test': { origin: down },
    'half-down.test': { origin: { addresses: [down, good.url] } },
    'half-closing.test': { origin: { addresses: [closing.url, good.url] } },
  },
  // One thread: what it learns of an origin is asked for on the next connection, too.
  { threads: 1 },
);
const api = front.caller('api.test');
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('an origin that is down is a 502 that says so', async () => {
  const { status, headers, body } = await ask(front.caller('down.test'), '/');
  expect(status).toBe(502);
  expect(headers['content-type']).toBe('application/problem+json');
  expect(JSON.parse(body)).toMatchObject({ status: 502, reason: 'origin.connect' });
  const event = await front.gateway.event(({ SecurityRuleID }) => SecurityRuleID === 'origin.connect');
  expect(event).toMatchObject({ ClientRequestHost: 'down.test', EdgeResponseStatus: 502 });
});

test.each([
  ['closes without a word', ''],
  ['closes within the head', 'HTTP/1.1 200 OK\r\nContent-Le'],
])('an origin that %s is a 502', async (how, words) => {
  const path = `/${how.replaceAll(' ', '-')}`;
  origin.on(path, connection => connection.socket.end(words));
  expect(await reasonOf(path)).toEqual([502, 'origin.closed']);
});

test('an origin that resets the connection is a 502', async () => {
  origin.on('/reset', connection => connection.reset());
  expect(await reasonOf('/reset')).toEqual([502, 'origin.closed']);
});

test.each([
  ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['bytes', '\x16\x03\x01\x00\xff\x00garbage\r\n\r\n'],
  ['HTTP/2', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['a status that is none', 'HTTP/1.1 99 No\r\n\r\n'],
  ['a head without an end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`],
  ['too many fields', `HTTP/1.1 200 OK\r\n${'X: x\r\n'.repeat(200)}\r\n`],
  ['a broken chunk at once', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
  ['an upgrade that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
])('an origin that sends garbage is a 502: %s', async (what, words) => {
  const path = `/garbage-${what.replaceAll(/\W/g, '-')}`;
  origin.on(path, connection => connection.write(words));
  expect(await reasonOf(path)).toEqual([502, 'origin.malformed']);
});

test('an origin that says nothing in time is a 504', async () => {
  let gone: Promise<void> | undefined;
  origin.on('/silent', connection => {
    gone = connection.ended;
  });
  const since = Date.now();
  expect(await reasonOf('/silent')).toEqual([504, 'origin.timeout']);
  expect(Date.now() - since).toBeGreaterThanOrEqual(FIRST_BYTE_MS);
  await gone;
});

test('an origin that falls silent within its head is a 504', async () => {
  origin.on('/stuck', connection => connection.write('HTTP/1.1 200 OK\r\nContent-'));
  expect(await reasonOf('/stuck')).toEqual([504, 'origin.timeout']);
});

const HALVES = [
  { by: 'length', half: `HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(100_000)}` },
  { by: 'chunks', half: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n' },
];

test.each(HALVES)('an origin that dies within its response ends the client connection, $by', async ({ by, half }) => {
  const path = `/dies-${by.replaceAll(' ', '-')}`;
  origin.on(path, connection => connection.socket.end(half, 'latin1'));
  await neverEnds(path);
});

test.each(HALVES.slice(0, 2))(
  'an origin that falls silent within its response does so, too, $by',
  async ({ by, half }) => {
    const path = `/hangs-${by}`;
    origin.on(path, connection => connection.write(half));
    await neverEnds(path);
  },
);

test('an origin that sends less than a small Content-Length never gets an end made up for it', async () => {
  origin.on('/short', connection => connection.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'));
  const client = await connect(api);
  client.send('GET /short HTTP/1.1\r\nHost: api.test\r\n\r\n');
  const answer = await client.response().catch(() => null);
  // Nothing was sent yet when the origin died: either an honest 502, or a connection that ends in the middle.
  if (answer) expect(answer.status).toBe(502);
  else expect(client.received).not.toContain('\r\n\r\nhello\r\n');
});

test('bytes behind a response never reach the next request', async () => {
  const smuggled = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled';
  origin.on('/extra', connection => connection.write(OK + smuggled));
  origin.on('/extra-later', async connection => {
    connection.write(OK);
    await pause(30);
    connection.write(smuggled);
  });
  origin.on('/after', connection => connection.write(OK));
  for (const path of ['/extra', '/extra-later', '/extra', '/extra-later']) {
    const client = await connect(api);
    expect((await client.ask(get(path))).body).toBe('ok');
    await pause(60);
    expect((await client.ask(get('/after'))).body).toBe('ok');
    expect((await (await connect(api)).ask(get('/after'))).body).toBe('ok');
  }
});

test('a body where none may be never reaches the next request', async () => {
  origin.on('/204', connection =>
    connection.write('HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK'),
  );
  origin.on('/after', connection => connection.write(OK));
  const client = await connect(api);
  expect((await client.ask(get('/204'))).status).toBe(204);
  expect((await client.ask(get('/after'))).body).toBe('ok');
});

test('a GET on a kept-alive connection that the origin gave up is sent once more', async () => {
  const { paths, client } = await givenUp('GET /again HTTP/1.1\r\nHost: stale.test\r\n\r\n');
  expect(await client.response()).toMatchObject({ status: 200, body: 'ok' });
  expect(paths).toEqual(['GET /first', 'GET /again', 'GET /again']);
});

test('a POST on a kept-alive connection that the origin gave up is not sent twice', async () => {
  const { paths, client } = await givenUp('POST /order HTTP/1.1\r\nHost: stale.test\r\nContent-Length: 5\r\n\r\nhello');
  const response = await client.response();
  expect([response.status, JSON.parse(response.body).reason]).toEqual([502, 'origin.closed']);
  expect(paths).toEqual(['GET /first', 'POST /order']);
});

test('a request is retried once and not for ever', async () => {
  let tries = 0;
  const stubborn = await rawOrigin(async connection => {
    for (;;) {
      const head = await connection.head();
      if (head.startsWith('GET /first')) connection.write(OK);
      else {
        tries++;
        connection.end();
      }
    }
  });
  const stale = await startFront({ 'stale.test': { origin: stubborn.url } }, { threads: 1 });
  const client = await connect(stale.caller('stale.test'));
  await client.ask('GET /first HTTP/1.1\r\nHost: stale.test\r\n\r\n');
  const response = await client.ask('GET /again HTTP/1.1\r\nHost: stale.test\r\n\r\n');
  expect([response.status, tries]).toEqual([502, 2]);
});

test('connections that the origin closed while they were idle are not used', async () => {
  origin.on('/idle', connection => {
    connection.write(OK);
    setTimeout(() => connection.end(), 20);
  });
  const client = await connect(api);
  for (let turn = 0; turn < 5; turn++) {
    const response = await client.ask('POST /idle HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n');
    expect(response.status).toBe(200);
    await pause(50);
  }
});

test('a dead address among two costs no request, and is taken out of rotation', async () => {
  const agent = keptAlive();
  for (let turn = 0; turn < 12; turn++) {
    expect((await ask(front.caller('half-down.test'), '/', { agent })).status).toBe(200);
  }
  await front.gateway.counted('portcullis_origin_ejections_total', 1);
});

test('an address that accepts and closes is taken out of rotation after a few failures', async () => {
  const agent = keptAlive();
  const statuses: number[] = [];
  for (let turn = 0; turn < 12; turn++) {
    statuses.push((await ask(front.caller('half-closing.test'), '/', { agent })).status);
  }
  expect(statuses.filter(status => status === 502).length).toBeLessThanOrEqual(3);
  expect(statuses.slice(-5)).toEqual([200, 200, 200, 200, 200]);
});

test('after all this the gateway serves as before', async () => {
  origin.on('/', connection => connection.write(OK));
  expect((await (await connect(api)).ask(get('/'))).body).toBe('ok');
  const metrics = await front.gateway.metrics();
  expect(metrics).toMatch(/^portcullis_engine_panics_total 0$/m);
  expect(metrics).not.toMatch(/^portcullis_edge_replacements_total/m);
});

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: api.test\r\n\r\n`;

async function reasonOf(path: string): Promise<[number, string]> {
  const response = await (await connect(api)).ask(get(path));
  return [response.status, JSON.parse(response.body).reason];
}

/** The client sees its connection closed, with no end of the response that it could take for one. */
async function neverEnds(path: string): Promise<void> {
  const client = await connect(api);
  client.send(get(path));
  await client.closed;
  expect(client.received).toMatch(/^HTTP\/1\.1 200 /);
  await expect(client.response()).rejects.toThrow('closed by the gateway');
  expect(client.received).not.toMatch(/\r\n0\r\n\r\n$/);
}

/** A client whose second request goes to a kept-alive connection that the origin closes when it sees the request. */
async function givenUp(request: string) {
  const paths: string[] = [];
  const fickle = await rawOrigin(async (connection, index) => {
    for (let turn = 0; ; turn++) {
      paths.push((await connection.head()).split(' HTTP', 1)[0] as string);
      if (index === 0 && turn === 1) return connection.end();
      connection.write(OK);
    }
  });
  const stale = await startFront({ 'stale.test': { origin: fickle.url } }, { threads: 1 });
  const client = await connect(stale.caller('stale.test'));
  await client.ask('GET /first HTTP/1.1\r\nHost: stale.test\r\n\r\n');
  client.send(request);
  return { paths, client };
}
