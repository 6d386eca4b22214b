// An exception in an edge thread never takes the process down: the thread is replaced, and lets its exchanges end.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { ask, type Caller, connect } from '../support/https.js';
import { type Connection, httpOrigin, rawOrigin } from '../support/origin.js';
import { authority, type Made } from '../support/pki.js';
import { freePort } from '../support/ports.js';
import { until } from '../support/waiting.js';

const EDGES = fileURLToPath(new URL('../support/edges.mjs', import.meta.url));
const servers = await authority('servers');

test('a thread in which an exception was thrown is replaced, and its exchanges end with their answers', async () => {
  const waiting: Connection[] = [];
  const origin = await rawOrigin(async connection => {
    for (;;) {
      const head = await connection.head();
      if (head.startsWith('GET /slow ')) waiting.push(connection);
      else connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  });
  const process = await edges(origin.port);
  const slow = await Promise.all(Array.from({ length: 8 }, () => connect(process.caller)));
  for (const client of slow) client.send('GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n');
  await until(() => waiting.length === slow.length);

  process.tell('hurt');
  await until(async () => (await process.counts()).replaced.length === 1);
  expect(await process.counts()).toMatchObject({ started: 3, replaced: ['failed'], ready: true });
  for (let turn = 0; turn < 20; turn++) expect((await ask(process.caller, '/')).status).toBe(200);
  for (const connection of waiting) connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow');
  const answers = await Promise.all(slow.map(client => client.response()));
  expect(answers.map(({ status, body }) => `${status} ${body}`)).toEqual(Array(8).fill('200 slow'));
  for (const client of slow) client.close();

  process.tell('stop');
  expect(await process.ended, process.log()).toEqual([0, null]);
});

test('a process whose threads fail again and again stays up', async () => {
  const origin = await httpOrigin((_, response) => response.end('ok'));
  const process = await edges(origin.port);
  for (let turn = 1; turn <= 4; turn++) {
    process.tell('hurt');
    await until(async () => (await process.counts()).replaced.length === turn);
    expect((await ask(process.caller, '/')).status).toBe(200);
  }
  process.tell('stop');
  expect(await process.ended, process.log()).toEqual([0, null]);
});

test('a server key that TLS cannot use is refused, and what was before goes on', async () => {
  const origin = await httpOrigin((_, response) => response.end('ok'));
  const unusable = await servers.server(['api.test'], { key: 'Ed448' });
  const { gateway, caller, hosts } = await startFront(
    { 'api.test': { origin: origin.url } },
    { files: { 'unusable.pem': unusable.cert, 'unusable.key': unusable.key } },
  );
  const { pid } = gateway;
  const tls = { certificate: 'unusable.pem', key: 'unusable.key' };
  gateway.writeConfig({ hosts: { 'api.test': { ...hosts['api.test'], tls } } });
  const answer = await gateway.ask('/admin/v1/reload', { method: 'POST' });
  expect([answer.status, await answer.text()]).toEqual([422, expect.stringContaining('ed448')]);
  expect((await ask(caller('api.test'), '/')).status).toBe(200);
  expect(gateway.pid).toBe(pid);
});

test('a thread that cannot take its certificate fails alone', async () => {
  const process = await edges(1, { key: 'Ed448' });
  expect(process.started).toEqual({ error: expect.any(String) });
  expect((await process.counts()).started).toBeGreaterThan(0);
});

async function edges(originPort: number, made: Made = {}) {
  const folder = temporaryFolder();
  const server = await servers.server(['api.test'], made);
  writeFileSync(join(folder, 'server.pem'), server.cert);
  writeFileSync(join(folder, 'server.key'), server.key, { mode: 0o600 });
  const child = fork(EDGES, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const ended = once(child, 'close');
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', piece => {
    log += piece;
  });
  atTheEnd(() => child.kill('SIGKILL'));
  const answer = async (message: object | string) => {
    child.send(message);
    return (await Promise.race([once(child, 'message'), ended.then(() => Promise.reject(new Error(log)))]))[0];
  };
  const port = await freePort();
  const started: unknown = await answer({
    port,
    certificate: join(folder, 'server.pem'),
    key: join(folder, 'server.key'),
    origin: `127.0.0.1:${originPort}`,
  });
  const caller: Caller = { port, host: 'api.test', ca: servers.pem };
  return {
    started,
    caller,
    ended,
    log: () => log,
    tell: (message: string) => child.send(message),
    counts: (): Promise<{ started: number; replaced: string[]; ready: boolean }> => answer('counts'),
  };
}
