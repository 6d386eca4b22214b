// npm start as a newcomer meets it: what it prints is typed, word for word.

import { execFile, spawn } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { needs } from '../support/needs.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const START = 'examples/quickstart/start.mjs';
const RUNNING = 'Portcullis is running';
/** The fixed ports of the quickstart; nothing else in the tests uses fixed ones. */
const PORTS = [8443, 9090, 3000];

needs('curl')('npm start prints commands that do what it says of them, and Ctrl-C ends it', async () => {
  const quickstart = start();
  await quickstart.printed('Ctrl-C ends everything');
  const commands = commandsIn(quickstart.output());

  expect(await typed(commands, 'passes: a client certificate')).toMatchObject({ status: 200, body: { id: 1 } });
  expect(await typed(commands, 'no client certificate')).toMatchObject({
    status: 403,
    body: { reason: 'mtls.missing', status: 403 },
  });
  expect(await typed(commands, 'passes: an order')).toMatchObject({ status: 201, body: { customer: 'ada' } });
  expect(await typed(commands, 'schema.body')).toMatchObject({
    status: 400,
    body: { reason: 'schema.body', errors: [{ pointer: '/lines/0/quantity' }] },
  });
  expect(await typed(commands, 'rules.no-scanners')).toMatchObject({
    status: 403,
    body: { reason: 'rules.no-scanners' },
  });
  await shell(commandAbout(commands, 'a certificate for a phone'));
  expect(await typed(commands, 'passes: the phone')).toMatchObject({ status: 200, body: { id: 1 } });
  expect(await shell(commandAbout(commands, 'the phone is lost'))).toContain('refused for good');
  await vi.waitFor(
    async () =>
      expect(await typed(commands, 'mtls.revoked')).toMatchObject({ status: 403, body: { reason: 'mtls.revoked' } }),
    { timeout: 5_000, interval: 100 },
  );
  const metrics = await typed(commands, 'metrics');
  expect(metrics.status).toBe(200);
  expect(metrics.body).toContain('mtls.missing');

  // One line per exchange, with what became of it.
  await quickstart.printed('block mtls.missing');
  await quickstart.printed('block rules.no-scanners');
  expect(quickstart.output()).toMatch(/ {2}200 {2}GET \/orders\/1 .* pass/);

  quickstart.process.kill('SIGINT');
  expect(await quickstart.ended).toBe(0);
  expect(await Promise.all(PORTS.map(isFree))).toEqual([true, true, true]);
});

test('npm start names a busy port and starts nothing', async () => {
  const blocker = createServer();
  await new Promise<void>(resolve => blocker.listen(3000, '127.0.0.1', resolve));
  atTheEnd(() => blocker.close());
  const quickstart = start();
  expect(await quickstart.ended).toBe(1);
  expect(quickstart.output()).toMatch(/^Port 3000 is busy.*\n$/);
  expect(await isFree(8443)).toBe(true);
  blocker.close();
});

test('npm start says in one sentence that cargo is missing', async () => {
  const folder = temporaryFolder();
  for (const program of ['npm', 'cc', 'sh', 'env', 'node']) {
    const path = await promisify(execFile)('sh', ['-c', `command -v ${program}`]);
    symlinkSync(program === 'node' ? process.execPath : path.stdout.trim(), join(folder, program));
  }
  const quickstart = start({ PATH: folder });
  expect(await quickstart.ended).toBe(1);
  expect(quickstart.output()).toContain('cargo is missing: install Rust');
  expect(quickstart.output()).not.toContain(RUNNING);
});

function start(environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [START], { cwd: root, env: { ...process.env, ...environment } });
  let text = '';
  let changed = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      changed();
    });
  }
  const ended = new Promise<number | string>(resolve => {
    child.once('close', (code, signal) => {
      resolve(code ?? signal ?? 'unknown');
      changed();
    });
  });
  atTheEnd(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const printed = async (expected: string) => {
    while (!text.includes(expected)) {
      if (child.exitCode !== null)
        throw new Error(`ended with ${child.exitCode} before it printed ${expected}:\n${text}`);
      await new Promise<void>(resolve => {
        changed = resolve;
      });
    }
  };
  return { process: child, ended, printed, output: () => text };
}

/** What was printed to be typed, by the comment above it. */
function commandsIn(output: string): Map<string, string> {
  return new Map(
    [...output.matchAll(/^ {2}# (.*)\n {2}((?:curl|node) .*)$/gm)].map(match => [match[1] ?? '', match[2] ?? '']),
  );
}

async function typed(commands: Map<string, string>, about: string): Promise<{ status: number; body: unknown }> {
  const stdout = await shell(`${commandAbout(commands, about)} -sS -w '\\n%{http_code}'`);
  const at = stdout.lastIndexOf('\n');
  const text = stdout.slice(0, at);
  return { status: Number(stdout.slice(at + 1)), body: text.startsWith('{') ? JSON.parse(text) : text };
}

function commandAbout(commands: Map<string, string>, about: string): string {
  const command = [...commands].find(([comment]) => comment.includes(about))?.[1];
  if (command === undefined) throw new Error(`nothing to type about ${about} among ${[...commands.keys()].join(', ')}`);
  return command;
}

async function shell(command: string): Promise<string> {
  return (await promisify(execFile)('sh', ['-c', command], { cwd: root })).stdout;
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
