// How a gateway ends: what is under way may finish, nothing waits for ever.

import { expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { atTheEnd } from '../support/cleanup.js';
import { type Front, startFront } from '../support/front.js';
import { connect, type RawClient } from '../support/https.js';
import { type Connection, rawOrigin } from '../support/origin.js';
import { until } from '../support/waiting.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
/** From the end of the grace to the end of the process, on a busy machine. */
const MARGIN_MS = 5000;

test.each(['SIGTERM', 'SIGINT'] as const)('%s lets a slow exchange end with its answer', async signal => {
  const { front, under, way } = await busy('20s');
  front.gateway.signal(signal);
  await until(async () => (await front.gateway.ask('/readyz').catch(() => null))?.status !== 200);
  await until(() => refusesConnections(front));
  way.write(OK);
  const response = await under.response();
  expect(response).toMatchObject({ status: 200, body: 'ok' });
  expect(response.headers.connection).toBe('close');
  expect(await front.gateway.ended).toBe(0);
  const event = await front.gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/slow');
  expect(event.EdgeResponseStatus, 'the last records are written').toBe(200);
});

test('a response that streams while the gateway drains arrives whole', async () => {
  const { front, under, way } = await busy('20s');
  way.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n');
  await until(() => under.received.includes('first'));
  front.gateway.signal('SIGTERM');
  await until(() => refusesConnections(front));
  way.write('6\r\nsecond\r\n0\r\n\r\n');
  expect(await under.response()).toMatchObject({ status: 200, body: 'firstsecond' });
  // The head went out before the drain: a client that means to keep the connection does not hold the end up.
  under.close();
  expect(await front.gateway.ended).toBe(0);
});

test('an exchange that takes longer than the grace is cut off, without an end made up for it', async () => {
  const { front, under, way } = await busy('300ms');
  way.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n');
  await until(() => under.received.includes('first'));
  const since = Date.now();
  front.gateway.signal('SIGTERM');
  await under.closed;
  expect(under.received).not.toContain('\r\n0\r\n\r\n');
  expect(await front.gateway.ended).toBe(0);
  expect(Date.now() - since).toBeLessThan(300 + MARGIN_MS);
});

test('idle connections and WebSockets do not hold the end up beyond the grace', async () => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  atTheEnd(() => sockets.close());
  const { port } = sockets.address() as { port: number };
  const front = await startFront(
    { 'ws.test': { origin: `http://127.0.0.1:${port}` } },
    { config: { drain: { grace: '300ms' } } },
  );
  const idle = await connect(front.caller('ws.test'));
  const socket = await connect(front.caller('ws.test'));
  socket.send(
    'GET / HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n',
  );
  expect((await socket.response()).status).toBe(101);
  const since = Date.now();
  front.gateway.signal('SIGTERM');
  await Promise.all([idle.closed, socket.closed]);
  expect(await front.gateway.ended).toBe(0);
  expect(Date.now() - since).toBeLessThan(300 + MARGIN_MS);
});

test('a second SIGINT, after a moment, ends it at once', async () => {
  const { front } = await busy('30s');
  const since = Date.now();
  front.gateway.signal('SIGINT');
  await new Promise(resolve => setTimeout(resolve, 1200));
  front.gateway.signal('SIGINT');
  await front.gateway.ended;
  expect(Date.now() - since).toBeLessThan(MARGIN_MS + 1200);
});

/** A gateway with one exchange under way: the client that waits, and the origin's connection that has not answered. */
async function busy(grace: string): Promise<{ front: Front; under: RawClient; way: Connection }> {
  let reached: (connection: Connection) => void = () => {};
  const arrived = new Promise<Connection>(resolve => {
    reached = resolve;
  });
  const origin = await rawOrigin(async connection => {
    await connection.head();
    reached(connection);
  });
  const front = await startFront({ 'api.test': { origin: origin.url } }, { config: { drain: { grace } } });
  const under = await connect(front.caller('api.test'));
  under.send('GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n');
  return { front, under, way: await arrived };
}

async function refusesConnections(front: Front): Promise<boolean> {
  const client = await connect(front.caller('api.test')).catch(() => null);
  client?.close();
  return client === null;
}
