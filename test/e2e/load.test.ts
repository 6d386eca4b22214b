// Many idle connections and many slow senders leave everybody else unharmed.

import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { ask, connect, keptAlive, type RawClient } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { pause } from '../support/waiting.js';

/** As many as a usual limit of 4,096 open files leaves to a test that holds both ends of a path. */
const IDLE = 1500;
const SLOW = 200;
const GOOD = 200;
/** A connection without a whole request is closed after this by uWebSockets.js (10 s, in steps of 4 s). */
const HEAD_BOUND_MS = 18_000;

const origin = await httpOrigin(({ body }, response) => response.end(String(body.length)));
const front = await startFront({ 'api.test': { origin: origin.url } });
const caller = front.caller('api.test');

test(`${IDLE} idle connections leave others unharmed`, async () => {
  const { gateway } = front;
  const before = await gateway.count('process_resident_memory_bytes');
  const idle: RawClient[] = [];
  while (idle.length < IDLE) {
    idle.push(...(await Promise.all(Array.from({ length: 50 }, () => connect(caller)))));
  }
  // Those that have been open for longest may have met their idle timeout already.
  expect(await gateway.count('portcullis_connections_open')).toBeGreaterThan(IDLE / 4);
  await allServed();
  const grown = (await gateway.count('process_resident_memory_bytes')) - before;
  expect(grown / IDLE).toBeLessThan(100_000);
  for (const client of idle) client.close();
  await expect.poll(() => gateway.count('portcullis_connections_open'), { timeout: 10_000 }).toBeLessThan(50);
});

test(`${SLOW} slow senders leave others unharmed, and are closed in the end`, async () => {
  const slow = await Promise.all(Array.from({ length: SLOW }, () => connect(caller)));
  const since = Date.now();
  let done = false;
  const dripping = (async () => {
    for (let at = 0; !done; at++) {
      slow.forEach((client, index) => {
        // Half of them send a head that never ends, the other half a body that never ends.
        const head = 'GET / HTTP/1.1\r\nHost: api.test\r\nX-Slow: ';
        const body = 'POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10000\r\n\r\n';
        const text = index % 2 === 0 ? head : body;
        client.send(at === 0 ? text : 'x');
      });
      await pause(200);
    }
  })();
  await pause(300);
  await allServed();
  await allServed();
  const heads = slow.filter((_, index) => index % 2 === 0);
  const closed = await Promise.race([
    Promise.all(heads.map(client => client.closed)).then(() => true),
    pause(HEAD_BOUND_MS).then(() => false),
  ]);
  done = true;
  await dripping;
  expect(closed, `heads that never end are given up; ${Date.now() - since} ms`).toBe(true);
  for (const client of slow) client.close();
  await expect.poll(() => front.gateway.count('portcullis_exchanges_open'), { timeout: 5000 }).toBe(0);
}, 60_000);

test('as many connections that only begin a handshake do no harm', async () => {
  const { connect: tcp } = await import('node:net');
  const sockets = Array.from({ length: SLOW }, () => tcp(front.gateway.https, '127.0.0.1'));
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
  }
  await allServed();
  for (const socket of sockets) socket.destroy();
});

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
