// `portcullis login`: a token is checked against its gateway, then kept for later commands.

import type { Command } from 'commander';
import type { Me } from '../admin/me-routes.js';
import { Client } from './client.js';
import { folderOf, readSecret, write } from './files.js';
import { print, say } from './print.js';
import { kept, keptFile, type ReachOptions, reach, reaching } from './reach.js';
import { secret, type Terminal } from './terminal.js';

export function addLogin(program: Command, terminal: Terminal): void {
  reaching(program.command('login'))
    .description('check a token of the admin API and keep it for later commands')
    .action(async (options: ReachOptions) => {
      const { env } = terminal;
      const token = options.tokenFile
        ? readSecret(options.tokenFile)
        : env.PORTCULLIS_TOKEN || (await secret(terminal, 'token', '`--token-file` or PORTCULLIS_TOKEN')).trim();
      await keep(terminal, options, token);
    });
  program
    .command('logout')
    .description('forget all tokens that `login` kept')
    .action(() => {
      if (kept(terminal).size > 0) write(keptFile(terminal), '', 'secret', true);
      say(terminal, 'no token is kept any more');
    });
}

async function keep(terminal: Terminal, options: ReachOptions, token: string): Promise<void> {
  const with_ = reach({ ...options }, { ...terminal, env: { ...terminal.env, PORTCULLIS_TOKEN: token } });
  const me = await new Client(with_).get<Me>('/me');
  const file = keptFile(terminal);
  folderOf(file);
  const tokens = kept(terminal).set(with_.base.origin, token);
  write(file, [...tokens].map(pair => `${pair.join(' ')}\n`).join(''), 'secret', true);
  print(terminal, options.output, me, () => `${me.name} (${me.role}) at ${with_.base.origin}: kept in ${file}\n`);
}
