import type { Command } from 'commander';
import { CONFIG_OPTION, DEFAULT_FILE } from './options.js';

export interface Processes {
  /** Runs until told to stop; answers the exit code. `args` start the gateway process with this same script. */
  supervise(args: string[]): Promise<number>;
  /** The gateway process itself. */
  serve(file: string): Promise<void>;
}

export function addRun(program: Command, { supervise, serve }: Processes): void {
  program
    .command('run')
    .description('run the gateway until it is told to stop')
    .option(...CONFIG_OPTION, DEFAULT_FILE)
    .action(async ({ config }: { config: string }) => {
      process.exitCode = await supervise(['serve', '--config', config]);
    });
  program
    .command('serve', { hidden: true })
    .requiredOption(...CONFIG_OPTION)
    .action(({ config }: { config: string }) => serve(config));
}
