// Another gateway process takes the place of the one that serves, or edge threads are replaced: no connection is refused,
// and no request is cut that ends within the grace.
//
//     HAND_OVER_LONG=1 npx vitest run test/e2e/hand-over.test.ts      20 of each under load

import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';
import { expect, test, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import { atTheEnd } from '../support/cleanup.js';
import { type Front, startFront } from '../support/front.js';
import type { Gateway } from '../support/gateway.js';
import { ask, type Caller, connect } from '../support/https.js';
import { type Connection, httpOrigin, rawOrigin } from '../support/origin.js';
import { freePort } from '../support/ports.js';
import { lives } from '../support/processes.js';
import { Visitors } from '../support/visitors.js';
import { until } from '../support/waiting.js';

const LONG = process.env.HAND_OVER_LONG === '1';
const TURNS = LONG ? 20 : 2;
/** A start on a busy machine, and what drains before the next. */
const TURN_MS = 60_000;
vi.setConfig({ testTimeout: 3 * TURN_MS });
const LOAD = { staying: 8, calling: 4, streaming: 4 };

/** Slow enough that requests are under way whenever something happens. */
const origin = await httpOrigin((_, response) => void setTimeout(() => response.end('ok'), 30));

interface Serving {
  version: string;
  process: number;
}

async function upgrade(gateway: Gateway): Promise<Serving> {
  const answer = await gateway.ask('/admin/v1/upgrade', { method: 'POST', signal: AbortSignal.timeout(TURN_MS) });
  const body = await answer.json();
  expect([answer.status, body], gateway.log).toEqual([200, body]);
  return body as Serving;
}

/** The process that was replaced has ended. */
const retired = (gateway: Gateway, pid: number) => until(() => !lives(pid), TURN_MS).catch(() => fail(gateway));

function fail(gateway: Gateway): never {
  throw new Error(`not in time:\n${gateway.log}`);
}

const front = (hosts: Record<string, object>, config: object = {}): Promise<Front> =>
  startFront(hosts, { config: { drain: { grace: '5s' }, ...config } });

test(
  `${TURNS} upgrades under load refuse no connection and cut no request`,
  async () => {
    const { gateway, caller } = await front({ 'api.test': { origin: origin.url } });
    const visitors = new Visitors(caller('api.test'), LOAD);
    const pids = [gateway.pid];
    for (let turn = 0; turn < TURNS; turn++) {
      await visitors.answered(100);
      const { process } = await upgrade(gateway);
      await visitors.answered(100);
      await retired(gateway, pids.at(-1) as number);
      pids.push(process);
    }
    const { refused, cut, answered, connections } = await visitors.stop();
    expect({ refused, cut }, gateway.log).toEqual({ refused: [], cut: [] });
    expect(new Set(pids).size).toBe(TURNS + 1);
    if (LONG) console.info(`${TURNS} upgrades: ${answered} requests on ${connections} connections, none lost`);
    await everyRequestWasTold(gateway, answered);
  },
  TURN_MS * (TURNS + 1),
);

test(
  `${TURNS} replacements of all edge threads under load refuse no connection and cut no request`,
  async () => {
    const { gateway, caller } = await front({ 'api.test': { origin: origin.url } });
    const { pid } = gateway;
    const visitors = new Visitors(caller('api.test'), LOAD);
    for (let turn = 0; turn < TURNS; turn++) {
      await visitors.answered(100);
      gateway.writeConfig({ threads: 1 + ((turn + 1) % 3), inspect: { inlineBytes: turn + 1 } });
      expect((await gateway.ask('/admin/v1/reload', { method: 'POST' })).status, gateway.log).toBe(200);
      await visitors.answered(100);
    }
    const { refused, cut, answered, connections } = await visitors.stop();
    expect({ refused, cut }, gateway.log).toEqual({ refused: [], cut: [] });
    expect(lives(pid)).toBe(true);
    if (LONG) console.info(`${TURNS} replacements: ${answered} requests on ${connections} connections, none lost`);
  },
  TURN_MS * (TURNS + 1),
);

test('who connects while the gateway is killed and started again is served, and none is refused', async () => {
  const { gateway, caller } = await front({ 'api.test': { origin: origin.url } });
  const visitors = new Visitors(caller('api.test'), LOAD);
  await visitors.answered(50);
  const killed = gateway.pid;
  process.kill(killed, 'SIGKILL');
  await until(() => !lives(killed));
  // Nobody accepts now.
  const waiting = await Promise.all(Array.from({ length: 20 }, () => ask(caller('api.test'), '/')));
  expect(waiting.map(({ status }) => status)).toEqual(Array(20).fill(200));
  await visitors.answered(50);
  const { refused } = await visitors.stop();
  // Whoever was accepted by the process that is dead is told so by the system; everybody else is waited for.
  expect(refused.filter(message => message.includes('ECONNREFUSED'))).toEqual([]);
});

test('a client that has connected but not spoken yet is served by the gateway that accepted it', async () => {
  const { gateway, caller } = await front({ 'api.test': { origin: origin.url } }, { drain: { grace: '20s' } });
  const before = gateway.pid;
  gateway.writeConfig({ listen: { ...gateway.listen, connections: { helloTimeout: '1m' } } });
  expect((await gateway.ask('/admin/v1/reload', { method: 'POST' })).status, gateway.log).toBe(200);
  const { port, host, ca, cert, key } = caller('api.test') as Required<Caller>;
  const silent = createConnection(port, '127.0.0.1');
  atTheEnd(() => silent.destroy());
  await once(silent, 'connect');
  await pause(100);
  await upgrade(gateway);
  await gateway.logged('stopping: exchanges');
  const socket = tlsConnect({ socket: silent, servername: host, ca, cert, key });
  await once(socket, 'secureConnect');
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString('latin1')).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer.toString('latin1')).toMatch(/^Connection: close\r$/im);
  socket.destroy();
  await retired(gateway, before);
});

test('an upgrade to a configuration with a problem leaves the old gateway serving, and says where it is', async () => {
  const { gateway, caller } = await front({ 'api.test': { origin: origin.url } });
  const { pid } = gateway;
  const visitors = new Visitors(caller('api.test'), { staying: 2, calling: 2 });
  gateway.writeConfig({ hosts: { 'api.test': { origin: 'nowhere' } } });
  const refused = await gateway.ask('/admin/v1/upgrade', { method: 'POST', signal: AbortSignal.timeout(TURN_MS) });
  const body = (await refused.json()) as { title: string; problems: { file: string; line: number; message: string }[] };
  expect([refused.status, body.title]).toEqual([422, 'The upgrade failed; the gateway before goes on.']);
  expect(body.problems[0]).toMatchObject({ file: gateway.configFile, line: expect.any(Number) });
  expect(lives(pid)).toBe(true);
  await visitors.answered(20);
  const { refused: away, cut } = await visitors.stop();
  expect({ away, cut }).toEqual({ away: [], cut: [] });
  gateway.writeConfig({});
  expect((await upgrade(gateway)).process).not.toBe(pid);
});

test('there is one upgrade at a time', async () => {
  const { gateway } = await front({ 'api.test': { origin: origin.url } });
  const asked = Array.from({ length: 3 }, () =>
    gateway.ask('/admin/v1/upgrade', { method: 'POST', signal: AbortSignal.timeout(TURN_MS) }),
  );
  const statuses = (await Promise.all(asked)).map(({ status }) => status);
  expect(statuses.sort()).toEqual([200, 409, 409]);
});

test('what takes longer than the grace is cut, and told; what ends in time ends', async () => {
  const under: Connection[] = [];
  const slow = await rawOrigin(async connection => {
    await connection.head();
    under.push(connection);
  });
  const { gateway, caller } = await front({ 'api.test': { origin: slow.url } }, { drain: { grace: '2s' } });
  const { pid } = gateway;
  const clients = await Promise.all(Array.from({ length: 5 }, () => connect(caller('api.test'))));
  for (const client of clients) client.send('GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n');
  await until(() => under.length === clients.length);
  await upgrade(gateway);
  await gateway.logged('stopping: exchanges');
  for (const connection of under) connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
  under[0]?.write('ok');
  const answers = await Promise.allSettled(clients.map(client => client.response()));
  expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  await retired(gateway, pid);
  await gateway.logged('did not finish within drain.grace');
  expect(/"cut":(\d+)/.exec(gateway.log)?.[1]).toBe('4');
});

test('a WebSocket stays with the gateway that it was opened through, for as long as the grace lets it', async () => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(sockets, 'listening');
  atTheEnd(() => sockets.close());
  sockets.on('connection', socket => socket.on('message', data => socket.send(`heard ${data}`)));
  const { port } = sockets.address() as { port: number };
  const { gateway, caller } = await front(
    { 'ws.test': { origin: `http://127.0.0.1:${port}` } },
    { drain: { grace: '3s' } },
  );
  const { pid } = gateway;
  const opened = await connect(caller('ws.test'));
  opened.send(
    'GET / HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n',
  );
  expect((await opened.response()).status).toBe(101);
  await upgrade(gateway);
  await gateway.logged('stopping: exchanges');
  // A text frame of five bytes under a mask of zeros, and its answer without one.
  opened.send('\x81\x85\0\0\0\0hello');
  await until(() => opened.received.includes('heard hello'));
  expect(lives(pid)).toBe(true);
  await opened.closed;
  await retired(gateway, pid);
});

test(
  'the admin port answers throughout, and the new gateway answers as soon as it serves',
  async () => {
    const { gateway } = await front({ 'api.test': { origin: origin.url } });
    const seen: (number | string)[] = [];
    let asking = true;
    const probing = (async () => {
      while (asking) {
        seen.push(await gateway.ask('/readyz').then(({ status }) => status, String));
        await pause(2);
      }
    })();
    let { pid } = gateway;
    for (let turn = 0; turn < TURNS; turn++) {
      const began = await gateway.count('process_start_time_seconds');
      const { process } = await upgrade(gateway);
      await until(async () => (await gateway.count('process_start_time_seconds')) > began);
      await retired(gateway, pid);
      pid = process;
    }
    asking = false;
    await probing;
    expect(new Set(seen)).toEqual(new Set([200]));
    expect(seen.length).toBeGreaterThan(10);
  },
  TURN_MS * (TURNS + 1),
);

test('a reload moves the port: the new one is served, also after a kill, and the old one refuses', async () => {
  const { gateway, caller } = await front({ 'api.test': { origin: origin.url } });
  const [old, moved] = [caller('api.test'), await freePort()];
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  atTheEnd(() => taken.close());
  const { port } = taken.address() as { port: number };
  const reload = () => gateway.ask('/admin/v1/reload', { method: 'POST', signal: AbortSignal.timeout(TURN_MS) });

  gateway.writeConfig({ listen: { ...gateway.listen, https: `127.0.0.1:${port}` } });
  const refused = await reload();
  expect([refused.status, await refused.text()]).toEqual([
    422,
    expect.stringContaining('is in use by another process'),
  ]);
  expect((await ask(old, '/')).status).toBe(200);

  gateway.writeConfig({ listen: { ...gateway.listen, https: `127.0.0.1:${moved}` } });
  expect((await reload()).status, gateway.log).toBe(200);
  expect((await ask({ ...old, port: moved }, '/')).status).toBe(200);
  await until(() =>
    ask(old, '/').then(
      () => false,
      ({ code }) => code === 'ECONNREFUSED',
    ),
  );
  const { pid } = gateway;
  process.kill(pid, 'SIGKILL');
  await until(() => !lives(pid));
  expect((await ask({ ...old, port: moved }, '/')).status).toBe(200);
});

test('where edge threads listen by themselves, another gateway takes the port over too', async () => {
  const itself = { listen: { h2: false }, drain: { grace: '1s' } };
  const { gateway, caller } = await front({ 'api.test': { origin: origin.url } }, itself);
  const { pid } = gateway;
  expect((await ask(caller('api.test'), '/')).status).toBe(200);
  expect((await upgrade(gateway)).process).not.toBe(pid);
  await retired(gateway, pid);
  expect((await ask(caller('api.test'), '/')).status).toBe(200);
  gateway.writeConfig({ listen: { ...gateway.listen, h2: true } });
  const refused = await gateway.ask('/admin/v1/reload', { method: 'POST' });
  expect([refused.status, await refused.text()]).toEqual([
    422,
    expect.stringContaining('takes effect when the service'),
  ]);
});

/** Lines of events of both processes are whole: each is parsed where it is read. */
async function everyRequestWasTold(gateway: Gateway, answered: number): Promise<void> {
  await until(() => gateway.events.filter(({ EdgeResponseStatus }) => EdgeResponseStatus === 200).length >= answered);
}
