// Requests that wait, for their turn or for the fleet's counters, with everything that a client may do meanwhile: the
// origin gets them as if they had come later.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { type Front, startFront } from '../support/front.js';
import { ask, connect, type RawClient, type Response } from '../support/https.js';
import { type Arrived, type HttpOrigin, httpOrigin } from '../support/origin.js';
import { freePort } from '../support/ports.js';
import { pause, until } from '../support/waiting.js';

/** From its coming to its going on, at least: what a client does at once happens within. */
const WAIT_MS = 400;
const MAX_BODY_BYTES = 256 * 1024;
/** More than a read brings, and than any buffer on the way holds. */
const LARGE = 'abcdefgh'.repeat(24 * 1024);

const description = {
  openapi: '3.1.0',
  info: { title: 'Orders', version: '1' },
  paths: {
    '/orders': {
      post: {
        operationId: 'placeOrder',
        requestBody: { content: { 'application/json': { schema: { type: 'array', items: { type: 'integer' } } } } },
        responses: { 201: { description: 'Placed.' } },
      },
    },
  },
};

const ONCE = {
  name: 'once',
  expression: 'http.request.uri.path eq "/once"',
  characteristics: ['http.request.headers["x-client"]'],
  requestsPerPeriod: 1,
  period: '1m',
};
/** Every request of a client waits, but its first. */
const THEIR_TURN = {
  rules: [
    ONCE,
    {
      name: 'turns',
      characteristics: ['http.request.headers["x-client"]'],
      requestsPerPeriod: 2,
      period: '1s',
      burst: 1,
      action: 'delay',
      delay: '5s',
    },
  ],
};

async function counters() {
  const [port, slow] = [await freePort(), await freePort()];
  const server = spawn('redis-server', ['--port', `${port}`, '--save', '', '--dir', temporaryFolder()]);
  atTheEnd(() => void server.kill());
  await until(() => reachable(port));
  // What it answers comes late.
  const late = createServer(client => {
    const to = connectTcp(port, '127.0.0.1');
    client.pipe(to);
    to.on('data', (piece: Buffer) => setTimeout(() => client.write(piece), WAIT_MS));
    for (const [one, other] of [
      [client, to],
      [to, client],
    ] as [Socket, Socket][]) {
      one.on('error', () => {}).on('close', () => other.destroy());
    }
  });
  await new Promise<void>(resolve => late.listen(slow, '127.0.0.1', resolve));
  atTheEnd(() => void late.close());
  return {
    shared: { url: `redis://127.0.0.1:${slow}`, timeout: '1s' },
    rules: [
      { ...ONCE, mode: 'strict' },
      {
        name: 'shared',
        characteristics: ['http.request.headers["x-client"]'],
        requestsPerPeriod: 100,
        period: '1m',
        mode: 'strict',
      },
    ],
  };
}

function reachable(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => resolve(false)).on('connect', () => socket.end(() => resolve(true)));
  });
}

describe('for their turn', () => tests(async () => THEIR_TURN));
describe("for the fleet's counters", () => tests(counters));

function tests(limits: () => Promise<object>): void {
  let origin: HttpOrigin;
  let front: Front;
  let clients = 0;
  const connections: RawClient[] = [];

  beforeAll(async () => {
    const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    sockets.on('connection', socket => socket.on('message', message => socket.send(String(message))));
    atTheEnd(() => {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
    });
    await once(sockets, 'listening');
    origin = await httpOrigin();
    front = await startFront(
      {
        'api.test': { origin: origin.url, maxBodyBytes: `${MAX_BODY_BYTES / 1024}KiB` },
        'orders.test': { origin: origin.url, openapi: { file: 'orders.json', action: 'block', fallthrough: 'log' } },
        'ws.test': { origin: `http://127.0.0.1:${(sockets.address() as { port: number }).port}` },
      },
      {
        files: { 'orders.json': JSON.stringify(description) },
        config: { limits: await limits() },
        threads: 1,
      },
    );
    // From when on they can be asked, or somebody has to wait.
    await until(async () => {
      const since = performance.now();
      await ask(front.caller('api.test'), '/first');
      return performance.now() - since > WAIT_MS / 2;
    });
  });

  /** A client whose next request has to wait. */
  async function client(host = 'api.test'): Promise<{ raw: RawClient; fields: string; name: string }> {
    const name = `client-${clients++}`;
    const raw = await connect(front.caller(host));
    connections.push(raw);
    const fields = `Host: ${host}\r\nX-Client: ${name}\r\n`;
    expect((await raw.ask(`GET /first HTTP/1.1\r\n${fields}\r\n`)).status).toBeLessThan(500);
    return { raw, fields, name };
  }

  /** Its response, which came after a wait. */
  async function waited(raw: RawClient, act: () => unknown, how = {}): Promise<Response> {
    const since = performance.now();
    await act();
    const response = await raw.response(how);
    // A little less: what the first request took is gone of it.
    expect(performance.now() - since).toBeGreaterThan(WAIT_MS / 4);
    return response;
  }

  const arrived = (name: string): Arrived[] =>
    origin.arrived.filter(({ headers, url }) => headers['x-client'] === name && url !== '/first');
  const open = () => front.gateway.count('portcullis_exchanges_open');

  test('a request without a body', async () => {
    const { raw, fields, name } = await client();
    const response = await waited(raw, () => raw.send(`GET /a HTTP/1.1\r\n${fields}\r\n`));
    expect(response.status).toBe(200);
    expect(arrived(name)).toMatchObject([{ method: 'GET', url: '/a' }]);
  });

  test('HEAD', async () => {
    const { raw, fields, name } = await client();
    const response = await waited(raw, () => raw.send(`HEAD /a HTTP/1.1\r\n${fields}\r\n`), { toHead: true });
    expect(response.status).toBe(200);
    expect(arrived(name)).toMatchObject([{ method: 'HEAD' }]);
  });

  test('a body that comes with its head', async () => {
    const { raw, fields, name } = await client();
    const send = () => raw.send(`POST /a HTTP/1.1\r\n${fields}Content-Length: 5\r\n\r\nhello`);
    expect(await waited(raw, send)).toMatchObject({ status: 200, body: 'hello' });
    expect(arrived(name)).toMatchObject([{ headers: { 'content-length': '5' } }]);
    // The connection goes on.
    expect(await waited(raw, send)).toMatchObject({ status: 200, body: 'hello' });
  });

  test('a body that comes behind its head, meanwhile and later', async () => {
    const { raw, fields } = await client();
    const response = await waited(raw, async () => {
      raw.send(`POST /a HTTP/1.1\r\n${fields}Content-Length: 9\r\n\r\n`);
      await pause(WAIT_MS / 8);
      raw.send('one');
      await pause(WAIT_MS / 8);
      raw.send('two');
      await pause(WAIT_MS * 2);
      raw.send('six');
    });
    expect(response).toMatchObject({ status: 200, body: 'onetwosix' });
  });

  test('an empty body', async () => {
    const { raw, fields } = await client();
    const send = () => raw.send(`POST /a HTTP/1.1\r\n${fields}Content-Length: 0\r\n\r\n`);
    expect(await waited(raw, send)).toMatchObject({ status: 200, body: '' });
  });

  test('a large body', async () => {
    const { raw, fields } = await client();
    const send = () => raw.send(`POST /a HTTP/1.1\r\n${fields}Content-Length: ${LARGE.length}\r\n\r\n${LARGE}`);
    const { status, body } = await waited(raw, send);
    expect([status, body.length, body === LARGE]).toEqual([200, LARGE.length, true]);
  });

  test('chunks that are all there, and chunks that are not', async () => {
    const head = (fields: string) => `POST /a HTTP/1.1\r\n${fields}Transfer-Encoding: chunked\r\n\r\n`;
    const whole = await client();
    const send = () => whole.raw.send(`${head(whole.fields)}5\r\nhello\r\n0\r\n\r\n`);
    expect(await waited(whole.raw, send)).toMatchObject({
      status: 200,
      body: 'hello',
      headers: { connection: 'close' },
    });
    const parts = await client();
    const response = await waited(parts.raw, async () => {
      parts.raw.send(`${head(parts.fields)}3\r\none\r\n`);
      await pause(WAIT_MS * 2);
      parts.raw.send('3\r\ntwo\r\n0\r\n\r\n');
    });
    expect(response).toMatchObject({ status: 200, body: 'onetwo', headers: { connection: 'close' } });
  });

  test('a client that waits to be told to go on', async () => {
    const { raw, fields } = await client();
    raw.send(`POST /a HTTP/1.1\r\n${fields}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n`);
    expect((await raw.response()).status).toBe(100);
    raw.send('hello');
    expect(await raw.response()).toMatchObject({ status: 200, body: 'hello' });
  });

  test('a body that is inspected', async () => {
    const { raw, fields, name } = await client('orders.test');
    const type = 'Content-Type: application/json\r\n';
    const send = (body: string) => () =>
      raw.send(`POST /orders HTTP/1.1\r\n${fields}${type}Content-Length: ${body.length}\r\n\r\n${body}`);
    expect(await waited(raw, send('[1,2]'))).toMatchObject({ status: 200, body: '[1,2]' });
    send('["a"]')();
    const refused = await raw.response();
    expect([refused.status, JSON.parse(refused.body).reason]).toEqual([400, 'schema.body']);
    expect(arrived(name)).toHaveLength(1);
  });

  test('a body above the bound is refused as soon as it is', async () => {
    const { raw, fields, name } = await client();
    const chunk = `${LARGE.length.toString(16)}\r\n${LARGE}\r\n`;
    raw.send(`POST /a HTTP/1.1\r\n${fields}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`);
    const { status, body } = await raw.response();
    expect([status, JSON.parse(body).reason]).toEqual([413, 'http.body_too_large']);
    await until(async () => (await open()) === 0);
    // Nothing of it, or what had streamed when the bound was reached.
    expect(arrived(name)).toEqual([]);
  });

  test('a refusal while a body comes leaves the connection as it is', async () => {
    const { raw, fields, name } = await client();
    const body = 'x'.repeat(32 * 1024);
    const head = `POST /once HTTP/1.1\r\n${fields}Content-Length: ${body.length}\r\n\r\n`;
    expect((await raw.ask(head + body)).status).toBe(200);
    raw.send(head + body.slice(0, 10_000));
    const refused = await raw.response();
    expect([refused.status, JSON.parse(refused.body).reason]).toEqual([429, 'limits.once']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(50);
    raw.send(body.slice(10_000));
    expect(await raw.ask(`GET /a HTTP/1.1\r\n${fields}\r\n`)).toMatchObject({ status: 200 });
    expect(arrived(name).map(({ url }) => url)).toEqual(['/once', '/a']);
  });

  test('a WebSocket', async () => {
    const { name } = await client('ws.test');
    const { port, ca, cert, key } = front.caller('ws.test');
    const since = performance.now();
    const socket = new WebSocket(`wss://127.0.0.1:${port}/chat`, {
      ...{ ca, cert, key, servername: 'ws.test' },
      headers: { host: 'ws.test', 'x-client': name },
    } as object);
    atTheEnd(() => socket.terminate());
    await once(socket, 'open');
    expect(performance.now() - since).toBeGreaterThan(WAIT_MS / 4);
    socket.send('hello');
    expect(String((await once(socket, 'message'))[0])).toBe('hello');
    socket.close();
  });

  test('a client that goes away leaves nothing behind', async () => {
    const { raw, fields, name } = await client();
    raw.send(`GET /a HTTP/1.1\r\n${fields}\r\n`);
    await until(async () => (await open()) === 1);
    raw.close();
    await until(async () => (await open()) === 0);
    const again = await client();
    expect((await waited(again.raw, () => again.raw.send(`GET /a HTTP/1.1\r\n${again.fields}\r\n`))).status).toBe(200);
    await pause(WAIT_MS);
    expect(arrived(name)).toEqual([]);
  });

  test('many at once, each its own', async () => {
    const many = await Promise.all(Array.from({ length: 40 }, () => client()));
    const answers = await Promise.all(
      many.map(({ raw, fields, name }) =>
        raw.ask(`POST /a HTTP/1.1\r\n${fields}Content-Length: ${name.length}\r\n\r\n${name}`),
      ),
    );
    expect(answers.map(({ body }) => body)).toEqual(many.map(({ name }) => name));
  });

  test('a gateway that ends lets them go on', async () => {
    const { raw, fields, name } = await client();
    const response = await waited(raw, async () => {
      raw.send(`POST /a HTTP/1.1\r\n${fields}Content-Length: 5\r\n\r\nhello`);
      await until(async () => (await open()) === 1);
      for (const other of connections) if (other !== raw) other.close();
      front.gateway.signal('SIGTERM');
    });
    expect(response).toMatchObject({ status: 200, body: 'hello', headers: { connection: 'close' } });
    expect(arrived(name)).toHaveLength(1);
    expect(await front.gateway.ended).toBe(0);
  });
}
