import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Log } from '../../src/manage/log.js';
import { supervise } from '../../src/manage/supervisor.js';
import { freePort } from '../support/ports.js';
import { lives } from '../support/processes.js';
import { silent } from './fakes.js';
import { type Folder, makeFolder } from './folder.js';

let folder: Folder;
let script: string;
let states: string[];
let logged: string[];
let running: Promise<number> | null = null;
const lines = () => readFileSync(join(folder.path, 'said'), 'utf8').trim().split('\n');
const said = (word: string) => lines().filter(line => line.split(' ')[1] === word);
/** Of gateway processes, in the order of their start. */
const pids = () => said('start').map(line => Number(line.split(' ')[0]));

/** A gateway process as its supervisor sees it; it writes down what happens to it, and does what `plan` says. */
const CHILD = `
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
const [said, mode, port] = process.argv.slice(2);
const say = text => appendFileSync(said, process.pid + ' ' + text + '\\n');
say('start ' + process.env.UWS_HTTP_MAX_HEADERS_SIZE + ' ' + process.env.PORTCULLIS_SUCCESSOR);
const plan = process.env.PORTCULLIS_SUCCESSOR && existsSync(said + '.plan') ? readFileSync(said + '.plan', 'utf8') : '';
const name = 'listen.admin 127.0.0.1 ' + port;
const ready = () => process.send({ type: 'ready', graceMs: 1000, uses: port ? [name] : [], version: '1.0.0' });
const end = () => setTimeout(() => process.exit(0), 20);
const server = createServer(socket => socket.end('from ' + process.pid));
process.on('SIGHUP', () => say('hup'));
process.on('SIGUSR1', () => say('usr1'));
process.on('SIGTERM', () => { process.send({ type: 'stopping' }); say('term'); end(); });
process.on('message', (order, handle) => {
  say(order.type + ' ' + JSON.stringify(order));
  if (order.type === 'retire') server.close();
  if (order.type === 'retire' && plan !== 'lingers') end();
  if (order.type === 'socket') server.listen(handle, ready);
});
if (mode === 'fails') process.exit(1);
if (plan === 'dies') process.exit(7);
if (plan === 'refuses') {
  const problem = { severity: 'problem', file: 'portcullis.yaml', line: 3, column: 5, message: 'unknown key' };
  process.send({ type: 'refused', message: 'it was refused', problems: [problem] }, () => process.exit(1));
} else if (port) process.send({ type: 'socket', id: 1, what: 'listen.admin', address: '127.0.0.1', port: Number(port), shared: false });
else ready();
setInterval(() => {}, 1000);
`;

beforeEach(() => {
  folder = makeFolder();
  script = folder.write('child.mjs', CHILD);
  folder.write('said', '');
  states = [];
  logged = [];
});
afterEach(async () => {
  // A test that failed leaves it running.
  process.emit('SIGTERM');
  await running;
  folder.remove();
});

/** Calls of the log, whichever. */
function listening(): Log {
  const log = silent();
  for (const level of ['info', 'warn', 'error'] as const) {
    log[level] = ((fields: object, message: string) =>
      void logged.push(`${message} ${JSON.stringify(fields)}`)) as never;
  }
  return log;
}

const run = (...args: string[]) => {
  running = supervise({
    script,
    args: [join(folder.path, 'said'), ...args],
    log: listening(),
    notify: (...state) => states.push(state[0] as string),
  });
  return running;
};

/** Runs until the first gateway serves. */
async function serving(...args: string[]): Promise<{ ended: Promise<number> }> {
  const ended = run('serves', ...args);
  await vi.waitFor(() => expect(states).toEqual(['READY=1']), { timeout: 5_000 });
  return { ended };
}

async function stopped(ended: Promise<number>): Promise<void> {
  process.emit('SIGTERM');
  expect(await ended).toBe(0);
}

const upgraded = (count: number) =>
  vi.waitFor(() => expect(pids()).toHaveLength(count), { timeout: 5_000 }).then(() => pids()[count - 1] as number);

test('starts a gateway that was killed again, hands signals on, and ends with it', async () => {
  const { ended } = await serving();
  const killed = Date.now();
  process.kill(pids()[0] as number, 'SIGKILL');
  await vi.waitFor(() => expect(states).toEqual(['READY=1', 'READY=1']), { timeout: 3_000 });
  expect(Date.now() - killed).toBeLessThan(3_000);
  process.emit('SIGHUP');
  await vi.waitFor(() => expect(said('hup')).toHaveLength(1));
  await stopped(ended);
  expect(said('term')).toHaveLength(1);
  expect(states.at(-1)).toBe('STOPPING=1');
}, 15_000);

test('a first start that fails ends it with the same code, and is not tried again', async () => {
  expect(await run('fails')).toBe(1);
  expect(lines()).toHaveLength(1);
});

test('the gateway reads request heads of up to 16 KiB', async () => {
  await run('fails');
  expect(lines()[0]).toContain(' 16384 ');
});

test('who connects while the gateway is dead waits for the next one', async () => {
  const port = await freePort();
  const { ended } = await serving(String(port));
  expect(await met(port)).toBe(`from ${pids()[0]}`);
  for (let turn = 1; turn <= 3; turn++) {
    process.kill(pids()[turn - 1] as number, 'SIGKILL');
    await vi.waitFor(() => expect(logged.filter(line => line.includes('died'))).toHaveLength(turn));
    const waiting = Array.from({ length: 20 }, () => met(port));
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([`from ${pids()[turn]}`]));
  }
  await stopped(ended);
}, 15_000);

test('SIGUSR2 puts another gateway in the place of the first, which retires once the other serves', async () => {
  const port = await freePort();
  const { ended } = await serving(String(port));
  process.emit('SIGUSR2');
  const [first, second] = [pids()[0], await upgraded(2)];
  await vi.waitFor(() => expect(said('retire')).toHaveLength(1));
  expect(said('retire')[0]).toMatch(`${first} retire`);
  expect(lines().findIndex(line => line.startsWith(`${second} socket`))).toBeLessThan(
    lines().findIndex(line => line.startsWith(`${first} retire`)),
  );
  expect(lines().find(line => line.startsWith(`${second} start`))).toMatch(/ 1$/);
  expect(states).toEqual(['READY=1', 'RELOADING=1', 'READY=1']);
  // For a moment both accept.
  await vi.waitFor(async () => expect(await met(port)).toBe(`from ${second}`));
  process.emit('SIGHUP');
  await vi.waitFor(() => expect(said('hup')).toEqual([`${second} hup`]));
  await vi.waitFor(() => expect(lives(first as number)).toBe(false));
  process.kill(second, 'SIGKILL');
  await upgraded(3);
  await vi.waitFor(() => expect(states).toHaveLength(4), { timeout: 3_000 });
  await stopped(ended);
}, 15_000);

test.each([
  ['refuses', 'it was refused', 'unknown key'],
  ['dies', 'it ended with code 7 before it served', ''],
])(
  'a successor that %s leaves the first serving, and why is told',
  async (plan, message, problem) => {
    const { ended } = await serving();
    folder.write('said.plan', plan);
    process.emit('SIGUSR2');
    await vi.waitFor(() => expect(logged.at(-1)).toContain('the upgrade failed'), { timeout: 5_000 });
    expect(logged.at(-1)).toContain(message);
    expect(logged.join('\n')).toContain(problem);
    expect(said('retire')).toEqual([]);
    expect(lives(pids()[0] as number)).toBe(true);
    expect(states).toEqual(['READY=1', 'RELOADING=1', 'READY=1']);
    folder.write('said.plan', '');
    process.emit('SIGUSR2');
    await vi.waitFor(() => expect(said('retire')).toHaveLength(1), { timeout: 5_000 });
    await stopped(ended);
  },
  15_000,
);

test('one upgrade at a time, and the next one once the gateway before has ended', async () => {
  const { ended } = await serving();
  for (let turn = 0; turn < 3; turn++) process.emit('SIGUSR2');
  await vi.waitFor(() => expect(said('retire')).toHaveLength(1), { timeout: 5_000 });
  expect(pids()).toHaveLength(2);
  expect(logged.filter(line => line.startsWith('no upgrade: an upgrade is under way'))).toHaveLength(2);
  folder.write('said.plan', 'lingers');
  await vi.waitFor(() => expect(lives(pids()[0] as number)).toBe(false));
  process.emit('SIGUSR2');
  await upgraded(3);
  await vi.waitFor(() => expect(said('retire')).toHaveLength(2), { timeout: 5_000 });
  folder.write('said.plan', '');
  await vi.waitFor(() => expect(lives(pids()[1] as number)).toBe(false));
  process.emit('SIGUSR2');
  await upgraded(4);
  await vi.waitFor(() => expect(said('retire')).toHaveLength(3), { timeout: 5_000 });
  process.emit('SIGUSR2');
  expect(logged.at(-1)).toContain('still ends what it had under way');
  process.emit('SIGUSR1');
  await vi.waitFor(() => expect(said('usr1')).toHaveLength(2));
  await stopped(ended);
  expect(pids().filter(lives)).toEqual([]);
}, 15_000);

test('a successor serves in the place of a gateway that died meanwhile', async () => {
  const { ended } = await serving();
  process.emit('SIGUSR2');
  process.kill(pids()[0] as number, 'SIGKILL');
  await vi.waitFor(() => expect(states.filter(state => state === 'READY=1')).toHaveLength(2), { timeout: 5_000 });
  await new Promise(resolve => setTimeout(resolve, 300));
  expect(pids().filter(lives)).toEqual([pids()[1]]);
  await stopped(ended);
}, 15_000);

/** What is said to who connects. */
function met(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    createConnection(port, '127.0.0.1')
      .on('error', reject)
      .on('end', () => resolve(text))
      .setEncoding('utf8')
      .on('data', piece => {
        text += piece;
      });
  });
}
