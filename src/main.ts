#!/usr/bin/env node
// The composition root: the only file that sees everything.
//
// The same script is the command line, the supervisor (`run`) and the gateway process that it starts (`serve`).
// Native code is loaded only where it is needed: it wants its environment set before.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { systemLookups } from './config/load.js';
import { Metrics } from './journal/metrics/registry.js';
import { addCheck } from './manage/cli/check.js';
import { addExplain } from './manage/cli/explain.js';
import { addRun } from './manage/cli/run.js';
import { addSchema } from './manage/cli/schema.js';
import { addVersion } from './manage/cli/version.js';
import { startWorker } from './manage/edge-thread.js';
import { makeLog } from './manage/log.js';
import { live } from './manage/process.js';
import { FOLDER_VARIABLE, supervise } from './manage/supervisor.js';
import { makeNotify } from './manage/systemd.js';

/** Of what cannot be done as asked: 0 is success, 1 a configuration with problems. */
const USAGE = 2;

const script = fileURLToPath(import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function run(args: string[]): Promise<number> {
  const log = makeLog('supervisor');
  return supervise({ script, args, log, notify: makeNotify(log) });
}

async function serve(file: string): Promise<void> {
  // Until it has a meaning: unheard, this signal opens Node's debugger.
  process.on('SIGUSR1', () => {});
  const folder = process.env[FOLDER_VARIABLE];
  if (folder === undefined || !process.connected) throw new Error('`serve` is started by `portcullis run`');
  const native = await import('./native.js');
  const claimed = native.claimStdout();
  await live({
    file,
    folder,
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
    lookups: systemLookups,
  });
}

const program = new Command('portcullis')
  .description('An API shield that teams run themselves.')
  .version(version, '-V, --version')
  .exitOverride();
addRun(program, { supervise: run, serve });
addCheck(program, async () => (await import('./native.js')).compile, systemLookups);
addExplain(program, async () => (await import('./native.js')).explain, systemLookups);
addSchema(program);
addVersion(program, version);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) process.stderr.write(`portcullis: ${(error as Error).message}\n`);
  process.exitCode = error instanceof CommanderError && error.exitCode === 0 ? 0 : USAGE;
}
