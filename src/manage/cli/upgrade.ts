// `portcullis upgrade`: another gateway process takes the place of the one that runs, and nobody is cut off.

import type { Command } from 'commander';
import { connect } from './client.js';
import { print } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import type { Terminal } from './terminal.js';

/** Above what the supervisor waits for a successor, so that its own word is heard. */
const TIMEOUT = '90s';

export function addUpgrade(program: Command, terminal: Terminal): void {
  const command = reaching(program.command('upgrade'))
    .description('start the gateway anew from what is on the disk now, without refusing a connection')
    .action(async (options: ReachOptions) => {
      const answer = await connect(options, terminal).send<{ version: string; process: number }>('POST', '/upgrade');
      print(terminal, options.output, answer, () => {
        const { version, process } = answer;
        return `portcullis ${version} serves, as process ${process}; the one before ends what it has under way\n`;
      });
    });
  command.options.find(({ long }) => long === '--timeout')?.default(TIMEOUT);
  command.setOptionValueWithSource('timeout', TIMEOUT, 'default');
}
