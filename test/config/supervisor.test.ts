import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { supervise } from '../../src/manage/supervisor.js';
import { silent } from './fakes.js';
import { type Folder, makeFolder } from './folder.js';

let folder: Folder;
let script: string;
let states: string[];
const lines = () => readFileSync(join(folder.path, 'said'), 'utf8').trim().split('\n');

/** A gateway process as its supervisor sees it; it writes down what happens to it. */
const CHILD = `
import { appendFileSync } from 'node:fs';
const say = text => appendFileSync(process.argv[2], text + '\\n');
say('start ' + process.pid + ' ' + process.env.UWS_HTTP_MAX_HEADERS_SIZE);
process.on('SIGHUP', () => say('hup'));
process.on('SIGTERM', () => { process.send({ type: 'stopping' }); say('term'); setTimeout(() => process.exit(0), 20); });
if (process.argv[3] === 'fails') process.exit(1);
process.send({ type: 'ready', graceMs: 1000 });
setInterval(() => {}, 1000);
`;

beforeEach(() => {
  folder = makeFolder();
  script = folder.write('child.mjs', CHILD);
  folder.write('said', '');
  states = [];
});
afterEach(() => folder.remove());

const run = (...args: string[]) =>
  supervise({
    script,
    args: [join(folder.path, 'said'), ...args],
    log: silent(),
    notify: (...state) => states.push(...state),
  });

test('starts a gateway that was killed again, hands signals on, and ends with it', async () => {
  const ended = run();
  await vi.waitFor(() => expect(states).toEqual(['READY=1']), { timeout: 5_000 });
  const pid = Number(lines()[0]?.split(' ')[1]);
  const killed = Date.now();
  process.kill(pid, 'SIGKILL');
  await vi.waitFor(() => expect(states).toEqual(['READY=1', 'READY=1']), { timeout: 3_000 });
  expect(Date.now() - killed).toBeLessThan(3_000);
  process.emit('SIGHUP');
  await vi.waitFor(() => expect(lines()).toContain('hup'));
  process.emit('SIGTERM');
  expect(await ended).toBe(0);
  expect(lines().at(-1)).toBe('term');
  expect(states.at(-1)).toBe('STOPPING=1');
}, 15_000);

test('a first start that fails ends it with the same code, and is not tried again', async () => {
  expect(await run('fails')).toBe(1);
  expect(lines()).toHaveLength(1);
});

test('the gateway reads request heads of up to 16 KiB', async () => {
  await run('fails');
  expect(lines()[0]?.endsWith(' 16384')).toBe(true);
});
