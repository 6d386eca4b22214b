import type { Command } from 'commander';
import { makeLog } from '../log.js';
import { supervise } from '../supervisor.js';
import { makeNotify } from '../systemd.js';
import { CONFIG_OPTION, DEFAULT_FILE } from './options.js';

/** `serve` is the gateway process itself, started by its supervisor. */
export function addRun(program: Command, script: string, serve: (file: string) => Promise<void>): void {
  program
    .command('run')
    .description('run the gateway until it is told to stop')
    .option(...CONFIG_OPTION, DEFAULT_FILE)
    .action(async ({ config }: { config: string }) => {
      const log = makeLog('supervisor');
      const args = ['serve', '--config', config];
      process.exitCode = await supervise({ script, args, log, notify: makeNotify(log) });
    });
  program
    .command('serve', { hidden: true })
    .requiredOption(...CONFIG_OPTION)
    .action(({ config }: { config: string }) => serve(config));
}
