// `portcullis token recover`: when every token is lost. The one command that opens the store itself: whoever can read
// its files and its key can do anything to it anyway.

import { userInfo } from 'node:os';
import { type Command, Option } from 'commander';
import type { Lookups } from '../../config/load.js';
import { render, wantsColour } from '../../config/problem.js';
import { Exit, Fault } from './fault.js';
import { CONFIG_OPTION, DEFAULT_FILE } from './options.js';
import { print, say } from './print.js';
import type { Terminal } from './terminal.js';

/** Long enough to make another token with it. */
const GOOD_FOR_MS = 86_400_000;

interface Recover {
  config: string;
  output: 'table' | 'json';
}

export function addRecover(token: Command, terminal: Terminal, { env }: Lookups): void {
  token
    .command('recover')
    .description('make an admin token that is good for a day, out of the store itself: for when all tokens are lost')
    .option(...CONFIG_OPTION, DEFAULT_FILE)
    .addOption(new Option('-o, --output <format>', 'how to tell').choices(['table', 'json']).default('table'))
    .action(async ({ config, output }: Recover) => {
      const { token, ...rest } = await recover(config, env, terminal);
      if (output === 'table') say(terminal, 'good for a day: make another token with it (`portcullis token create`)');
      print(terminal, output, { ...rest, token }, () => `${token}\n`);
    });
}

async function recover(file: string, env: NodeJS.ProcessEnv, terminal: Terminal) {
  const plan = await storePlan(file, env, terminal);
  // Only here: no other command needs a database.
  const [{ audit }, { findKey }, { Store }, { addToken }] = await Promise.all([
    import('../store/audit.js'),
    import('../store/key.js'),
    import('../store/open.js'),
    import('../admin/tokens.js'),
  ]);
  const store = await opened(() => Store.open({ ...plan, key: findKey(plan, env).key }));
  try {
    return await store.write(['tokens'], async (tx, revisions) => {
      const now = terminal.now();
      const name = `recovered-${new Date(now).toISOString().slice(0, 19).replaceAll(':', '')}`;
      const made = await addToken(tx, { name, role: 'admin', expiresAt: now + GOOD_FOR_MS, createdBy: 'system' });
      const { id, role } = made.row;
      const expires_at = new Date(now + GOOD_FOR_MS).toISOString();
      const after = { name, role, expires_at, user: userInfo().username };
      await audit(tx, revisions, { actor: 'system', action: 'tokens.recover', target: id, after });
      return { id, name, role, expires_at, token: made.token };
    });
  } finally {
    await store.close();
  }
}

/** Other parts of the configuration may be broken: that is no reason to stay outside. */
async function storePlan(file: string, env: NodeJS.ProcessEnv, { error }: Terminal) {
  const { load } = await import('../../config/load.js');
  const loaded = await load(file, { env, resolve: async () => ['127.0.0.1'] });
  if (loaded.parts) return loaded.parts.store;
  const problems = loaded.remarks.map(remark => `${render(remark, wantsColour(error))}\n\n`);
  error.write(problems.join(''));
  throw new Fault('the configuration cannot be read', Exit.Failed);
}

async function opened<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const { message, hint } = error as Error & { hint?: string };
    throw new Fault(message, Exit.Failed, hint === undefined ? [] : [hint]);
  }
}
