// Many idle connections and many slow senders leave everybody else unharmed.

import { connect as tcpConnect } from 'node:net';
import { expect, test } from 'vitest';
import { atTheEnd } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { ask, connect, keptAlive, type RawClient } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { pause } from '../support/waiting.js';

/** As many as a usual limit of 4,096 open files leaves to a test that holds both ends of a path. */
const IDLE = 1500;
const SLOW = 200;
const GOOD = 200;
/** uWebSockets.js gives an unfinished request up after 30 s, in steps of 4 s; bytes that trickle in put nothing off. */
const GIVEN_UP_MS = 40_000;

const origin = await httpOrigin(({ body }, response) => response.end(String(body.length)));
const front = await startFront({ 'api.test': { origin: origin.url } });
const caller = front.caller('api.test');

/** Half of them send a head that never ends, the other half a body that never ends. They go on during all that follows. */
const slow = await Promise.all(Array.from({ length: SLOW }, () => connect(caller)));
const since = Date.now();
slow.forEach((client, index) => {
  if (index % 2 === 0) client.send('GET / HTTP/1.1\r\nHost: api.test\r\nX-Slow: ');
  else client.send('POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10000\r\n\r\n');
});
const dripping = setInterval(() => {
  for (const client of slow) client.send('x');
}, 200);
atTheEnd(() => clearInterval(dripping));

test(`${SLOW} slow senders leave others unharmed`, async () => {
  await pause(300);
  await allServed();
  await allServed();
});

test(`${IDLE} idle connections leave others unharmed`, async () => {
  const { gateway } = front;
  const before = await gateway.count('process_resident_memory_bytes');
  const idle: RawClient[] = [];
  while (idle.length < IDLE) {
    idle.push(...(await Promise.all(Array.from({ length: 50 }, () => connect(caller)))));
  }
  expect(await gateway.count('portcullis_connections_open')).toBeGreaterThanOrEqual(IDLE);
  await allServed();
  const grown = (await gateway.count('process_resident_memory_bytes')) - before;
  expect(grown / IDLE).toBeLessThan(100_000);
  for (const client of idle) client.close();
  await expect.poll(() => gateway.count('portcullis_connections_open'), { timeout: 10_000 }).toBeLessThan(SLOW + 50);
});

test('as many connections that only begin a handshake do no harm', async () => {
  const sockets = Array.from({ length: SLOW }, () => tcpConnect(front.gateway.https, '127.0.0.1'));
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
  }
  await allServed();
  for (const socket of sockets) socket.destroy();
});

test('slow senders are given up in the end', async () => {
  const left = () => GIVEN_UP_MS - (Date.now() - since);
  const open = slow.map(client => Promise.race([client.closed.then(() => 0), pause(left()).then(() => 1)]));
  expect(
    (await Promise.all(open)).reduce<number>((sum, one) => sum + one, 0),
    'still open',
  ).toBe(0);
  await expect.poll(() => front.gateway.count('portcullis_exchanges_open'), { timeout: 5000 }).toBe(0);
}, 60_000);

/** Good clients, with one connection each and with a new one for every request. */
async function allServed(): Promise<void> {
  const agents = Array.from({ length: 10 }, keptAlive);
  const statuses = await Promise.all(
    agents.map(async agent => {
      const own: number[] = [];
      for (let turn = 0; turn < GOOD / agents.length; turn++) own.push((await ask(caller, '/', { agent })).status);
      own.push((await ask(caller, '/', { method: 'POST', body: 'x' })).status);
      return own;
    }),
  );
  expect(statuses.flat()).toEqual(Array(GOOD + agents.length).fill(200));
}
