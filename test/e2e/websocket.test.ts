// WebSockets pass through the gateway: the handshake is decided like any request, messages go both ways.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws';
import { atTheEnd } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { ask, type Caller, connect } from '../support/https.js';
import { freePort } from '../support/ports.js';
import { until } from '../support/waiting.js';

/** Below the bound of a message, 1 MiB. */
const LARGE = 900_000;
const ROUNDS = 10;

/** Heads of the handshakes that reached the origin. */
const handshakes: { url: string; headers: import('node:http').IncomingHttpHeaders }[] = [];
const server = createServer((_, response) => response.end('plain'));
const sockets = new WebSocketServer({
  noServer: true,
  handleProtocols: offered => (offered.has('orders.v2') ? 'orders.v2' : false),
});
server.on('upgrade', (request, socket, rest) => {
  handshakes.push({ url: request.url ?? '', headers: request.headers });
  if (request.url === '/refused') {
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, rest, socket => {
    socket.on('message', (message, isBinary) => {
      if (isBinary || !String(message).startsWith('close ')) socket.send(message, { binary: isBinary });
      else if (String(message) === 'close hard') socket.terminate();
      else socket.close(Number(String(message).slice(6)), 'as asked');
    });
    socket.on('close', (code, reason) => closes.push([code, String(reason)]));
    if (request.url === '/greets') socket.send('welcome');
    for (let round = 0; request.url === '/large-and-small' && round < ROUNDS; round++) {
      socket.send(Buffer.alloc(LARGE));
      socket.send('small');
    }
  });
});
const closes: [number, string][] = [];
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
atTheEnd(() => {
  for (const socket of sockets.clients) socket.terminate();
  server.closeAllConnections();
  server.close();
});

const front = await startFront(
  {
    'ws.test': {
      origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      mtls: { mode: 'require', trust: ['devices'], forward: ['sha256'] },
    },
    'down.test': { origin: `http://127.0.0.1:${await freePort()}` },
  },
  { config: { rules: [{ name: 'no-secrets', expression: 'http.request.uri.path eq "/secret"', action: 'block' }] } },
);
const caller = front.caller('ws.test');

test('text and binary messages pass both ways as they are', async () => {
  const socket = await opened('/echo');
  expect(await echo(socket, 'hello, wörld')).toEqual(['hello, wörld', false]);
  expect(await echo(socket, '')).toEqual(['', false]);
  const bytes = Buffer.from([0, 255, 128, 10, 13]);
  expect(await echo(socket, bytes)).toEqual([bytes.toString('latin1'), true]);
  const [large, isBinary] = await echo(socket, Buffer.alloc(LARGE, 7));
  expect([large.length, isBinary]).toEqual([LARGE, true]);
});

test('many messages keep their order', async () => {
  const socket = await opened('/echo');
  const got: string[] = [];
  socket.on('message', message => got.push(String(message)));
  const sent = Array.from({ length: 500 }, (_, index) => `message ${index}`);
  for (const message of sent) socket.send(message);
  while (got.length < sent.length) await once(socket, 'message');
  expect(got).toEqual(sent);
});

test('what the origin says first is not lost', async () => {
  const socket = connecting('/greets');
  const [message] = await once(socket, 'message');
  expect(String(message)).toBe('welcome');
});

test('messages of any size reach a client that reads slowly', async () => {
  const socket = await opened('/large-and-small');
  const lengths: number[] = [];
  socket.on('message', message => {
    lengths.push((message as Buffer).length);
    socket.pause();
    setTimeout(() => socket.resume(), 5);
  });
  await until(() => lengths.length === 2 * ROUNDS);
  expect(lengths).toEqual(Array.from({ length: 2 * ROUNDS }, (_, index) => (index % 2 === 0 ? LARGE : 5)));
});

test('the handshake reaches the origin with the fields of a request', async () => {
  await opened('/echo?a=1', [], { headers: { 'x-kept': 'yes', 'x-forwarded-for': '10.0.0.1', cookie: 'a=b' } });
  const { url, headers } = handshakes.at(-1) ?? {};
  expect(url).toBe('/echo?a=1');
  expect(headers).toMatchObject({
    host: `ws.test:${caller.port}`,
    'x-kept': 'yes',
    cookie: 'a=b',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'https',
  });
  expect(headers?.['cf-client-cert-sha256']).toMatch(/^[0-9a-f]{64}$/);
  expect(headers?.['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
});

test('the subprotocol is the one that the origin chose', async () => {
  expect((await opened('/echo', ['orders.v1', 'orders.v2'])).protocol).toBe('orders.v2');
  expect((await opened('/echo')).protocol).toBe('');
});

test('close codes and reasons pass both ways', async () => {
  const fromOrigin = await opened('/echo');
  fromOrigin.send('close 4001');
  expect((await once(fromOrigin, 'close')).map(String)).toEqual(['4001', 'as asked']);
  const fromClient = await opened('/echo');
  // Not 3999 or the like: uWebSockets.js takes codes from 1012 to 3999 for a broken frame, and closes without one.
  fromClient.close(4002, 'enough');
  await once(fromClient, 'close');
  await until(() => closes.some(([code]) => code === 4002));
  expect(closes).toContainEqual([4002, 'enough']);
  const withoutCode = await opened('/echo');
  withoutCode.close();
  await once(withoutCode, 'close');
  await until(() => closes.some(([code]) => code === 1005));
});

test('a side that goes away takes the other with it', async () => {
  const toClient = await opened('/echo');
  toClient.send('close hard');
  expect((await once(toClient, 'close'))[0]).toBe(1006);
  const before = closes.length;
  (await opened('/echo')).terminate();
  await until(() => closes.length > before);
});

test('without a client certificate the handshake is denied', async () => {
  const before = handshakes.length;
  expect(await refused('/echo', front.caller('ws.test', null))).toBe(403);
  expect(handshakes).toHaveLength(before);
  const event = await front.gateway.event(({ SecurityRuleID }) => SecurityRuleID === 'mtls.missing');
  expect(event).toMatchObject({ ClientRequestPath: '/echo', EdgeResponseStatus: 403 });
});

test('a rule that blocks a path blocks its handshake', async () => {
  expect(await refused('/secret')).toBe(403);
});

test('an origin that refuses the handshake, or is down, is a 502', async () => {
  expect(await refused('/refused')).toBe(502);
  expect(await refused('/', front.caller('down.test'))).toBe(502);
});

test('a handshake without a key is refused', async () => {
  const client = await connect(caller);
  const response = await client.ask(
    'GET /echo HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n',
  );
  expect(response.status).toBe(400);
});

test('plain requests to the same host go on beside open WebSockets', async () => {
  const socket = await opened('/echo');
  expect((await ask(caller, '/')).body).toBe('plain');
  expect(await echo(socket, 'still here')).toEqual(['still here', false]);
});

test('each WebSocket leaves one record', async () => {
  (await opened('/recorded')).close();
  const event = await front.gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/recorded');
  expect(event).toMatchObject({ EdgeResponseStatus: 101, ClientRequestHost: 'ws.test' });
  expect(front.gateway.events.filter(({ ClientRequestPath }) => ClientRequestPath === '/recorded')).toHaveLength(1);
});

function connecting(
  path: string,
  protocols: string[] = [],
  options: ClientOptions = {},
  by: Caller = caller,
): WebSocket {
  const { port, host, ca, cert, key } = by;
  const socket = new WebSocket(`wss://${host}:${port}${path}`, protocols, {
    ...{ ca, cert, key, servername: host },
    lookup: (_: string, asked: { all?: boolean }, found: (...found: unknown[]) => void) =>
      asked.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4),
    ...options,
  } as ClientOptions);
  atTheEnd(() => socket.terminate());
  return socket;
}

async function opened(...asked: Parameters<typeof connecting>): Promise<WebSocket> {
  const socket = connecting(...asked);
  await once(socket, 'open');
  return socket;
}

/** Status of the answer that refused the handshake. */
async function refused(path: string, by: Caller = caller): Promise<number> {
  const socket = connecting(path, [], {}, by);
  socket.on('error', () => {});
  const [request, response] = await once(socket, 'unexpected-response');
  request.destroy();
  return response.statusCode;
}

async function echo(socket: WebSocket, message: string | Buffer): Promise<[string, boolean]> {
  socket.send(message);
  const [answer, isBinary] = await once(socket, 'message');
  return [answer.toString(isBinary ? 'latin1' : 'utf8'), isBinary];
}
