// Several processes that write lines to one pipe, with a slow reader at its other end: every line arrives whole.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { forgetTurn, Turn } from '../../src/journal/events/turn.js';
import { type Folder, makeFolder } from './folder.js';

const WRITER = fileURLToPath(new URL('../support/line-writer.mjs', import.meta.url));
const LINES = 200;
/** Above PIPE_BUF, and of a pipe's 64 KiB a part that does not divide it. */
const LENGTH = 20_011;

let folder: Folder;
beforeEach(() => {
  folder = makeFolder();
});
afterEach(() => folder.remove());

test('lines of two processes on one pipe are whole', async () => {
  const shell = spawn(
    'sh',
    ['-c', '"$0" "$1" "$2" a "$3" "$4" & "$0" "$1" "$2" b "$3" "$4" & wait', process.execPath].concat([
      WRITER,
      folder.path,
      String(LINES),
      String(LENGTH),
    ]),
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const counts: Record<string, number> = {};
  for await (const line of createInterface({ input: shell.stdout })) {
    const whole = /^([ab])\1*$/.exec(line);
    expect([whole !== null, line.length], line.slice(0, 40)).toEqual([true, LENGTH]);
    const writer = line[0] as string;
    counts[writer] = (counts[writer] ?? 0) + 1;
    // Slower than they write: the pipe is full most of the time.
    if (counts[writer] % 10 === 0) await new Promise(resolve => setTimeout(resolve, 5));
  }
  if (shell.exitCode === null) await once(shell, 'exit');
  expect(counts).toEqual({ a: LINES, b: LINES });
});

test("a turn is one process's until it is passed", () => {
  const turn = new Turn(folder.path);
  const link = join(folder.path, 'writing');
  expect([turn.take(), turn.take()]).toEqual([true, true]);
  turn.pass();
  expect(existsSync(link)).toBe(false);
  symlinkSync('12345', link);
  expect(turn.take()).toBe(false);
  turn.pass();
  forgetTurn(folder.path, 1234);
  expect(turn.take()).toBe(false);
  forgetTurn(folder.path, 12_345);
  expect(turn.take()).toBe(true);
});

test('without its folder nobody waits', () => {
  rmSync(folder.path, { recursive: true });
  const turn = new Turn(folder.path);
  expect(turn.take()).toBe(true);
  turn.pass();
  forgetTurn(folder.path, 1);
});
