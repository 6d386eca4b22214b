#!/usr/bin/env node
// The composition root: the only file that sees everything.
//
// The same script is the command line, the supervisor (`run`) and the gateway process that it starts (`serve`).
// What only the gateway needs is loaded there, native code above all, which wants its environment set before: a command
// answers within a blink.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lookups } from './config/load.js';
import { systemLookups } from './config/lookups.js';
import { FOLDER_VARIABLE, SUCCESSOR_VARIABLE } from './manage/child.js';
import { makeProgram, runProgram } from './manage/cli/program.js';
import { systemTerminal } from './manage/cli/terminal.js';
import { makeLog } from './manage/log.js';
import { findProgram } from './manage/program.js';
import { supervise } from './manage/supervisor.js';
import { makeNotify } from './manage/systemd.js';

const script = fileURLToPath(import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const lookups: Lookups = {
  ...systemLookups,
  describeCalls: async asked => (await import('./native.js')).describeCalls(asked),
};

function run(args: string[]): Promise<number> {
  const log = makeLog('supervisor');
  return supervise({ ...findProgram(script), args, log, notify: makeNotify(log) });
}

async function serve(file: string): Promise<void> {
  // Until it has a meaning: unheard, this signal opens Node's debugger.
  process.on('SIGUSR1', () => {});
  const folder = process.env[FOLDER_VARIABLE];
  if (folder === undefined || !process.connected) throw new Error('`serve` is started by `portcullis run`');
  const [native, { live }, { startWorker }, { Metrics }] = await Promise.all([
    import('./native.js'),
    import('./manage/process.js'),
    import('./manage/edge-thread.js'),
    import('./journal/metrics/registry.js'),
  ]);
  const claimed = native.claimStdout();
  await live({
    file,
    folder,
    version,
    successor: process.env[SUCCESSOR_VARIABLE] !== undefined,
    stdout: claimed >= 0 ? claimed : 1,
    native,
    startThread: startWorker(new URL('./edge.js', import.meta.url)),
    metrics: new Metrics(native.metrics, {
      version,
      node: process.version,
      platform: process.platform,
      arch: process.arch,
    }),
    log: makeLog('gateway'),
    lookups,
  });
}

const terminal = systemTerminal();
const program = makeProgram({
  version,
  processes: { supervise: run, serve },
  compile: async () => (await import('./native.js')).compile,
  explain: () => import('./native.js'),
  pki: async () => (await import('./native.js')).pki,
  lookups,
  terminal,
});
const exit = await runProgram(program, process.argv.slice(2), terminal);
if (exit !== null) process.exitCode = exit;
