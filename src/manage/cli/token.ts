// `portcullis token`: who may use the admin API.

import { type Command, Option } from 'commander';
import type { Lookups } from '../../config/load.js';
import type { MadeToken, Token } from '../admin/token-routes.js';
import { at, connect } from './client.js';
import { usage } from './fault.js';
import { mustBeFree } from './files.js';
import { type OnceOptions, showOnce } from './once.js';
import { moment, print } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { addRecover } from './recover.js';
import { shownTable } from './table.js';
import { confirm, type Terminal } from './terminal.js';
import { whenGone } from './time.js';

const ROLES = ['viewer', 'operator', 'admin'] as const;
/** As many as there may be. */
const ALL = 10_000;

interface Create extends OnceOptions {
  role: Token['role'];
  expires?: string;
}

export function addToken(program: Command, terminal: Terminal, lookups: Lookups): void {
  const token = program.command('token').description('make, list and revoke tokens of the admin API');
  reaching(token.command('create').argument('<name>', 'what the audit log names'))
    .description('make a token; it is shown only this once')
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).default('viewer'))
    .option('--expires <when>', 'how long it is good for, or until when: 90d, 2027-01-31')
    .option('--out <file>', 'write the token there, readable for you alone, instead of showing it')
    .option('--force', 'over a file that is there')
    .action(async (name: string, options: Create) => {
      const { role, expires, out, force } = options;
      if (out !== undefined) mustBeFree([out], force);
      const expires_at = expires === undefined ? undefined : whenGone(expires, '--expires', terminal.now());
      const made = await connect(options, terminal).send<MadeToken>('POST', '/tokens', {
        body: { name, role, expires_at },
      });
      const of = `(${made.role})`;
      showOnce(terminal, options, 'token', made, `${made.id} ${of}`, `${made.id} ${made.name} ${of}`);
    });
  reaching(token.command('list'))
    .description('list tokens, without the secrets themselves')
    .option('--all', 'revoked and expired ones too')
    .action(async ({ all, ...options }: ReachOptions & { all?: boolean }) => {
      const found = await connect(options, terminal).list<Token>('/tokens', {}, ALL);
      const live = found.items.filter(one => all || stateOf(one, terminal.now()) === 'good');
      const answer = { ...found, items: live };
      print(terminal, options.output, answer, () => listed(terminal, live));
    });
  reaching(token.command('revoke').argument('<token>', 'its id or its name'))
    .description('revoke a token: it is refused within a second, everywhere')
    .option('-y, --yes', 'do it without asking')
    .action(async (which: string, { yes, ...options }: ReachOptions & { yes?: boolean }) => {
      const client = connect(options, terminal);
      const { items } = await client.list<Token>('/tokens', {}, ALL);
      const named = items.filter(({ name, revoked_at }) => name === which && revoked_at === null);
      const found = items.find(({ id }) => id === which) ?? named[0];
      if (!found) throw usage(`there is no token \`${which}\``, '`portcullis token list` shows them');
      await confirm(terminal, `Revoke the token ${found.name} (${found.role}, ${found.id})?`, yes);
      const { etag } = await client.read(at`/tokens/${found.id}`);
      const value = await client.send<Token>('POST', at`/tokens/${found.id}/revoke`, { etag });
      print(terminal, options.output, value, () => `${found.name} is refused from now on\n`);
    });
  addRecover(token, terminal, lookups);
}

function stateOf({ revoked_at, expires_at }: Token, now: number): 'good' | 'revoked' | 'expired' {
  if (revoked_at !== null) return 'revoked';
  return expires_at !== null && Date.parse(expires_at) <= now ? 'expired' : 'good';
}

function listed(terminal: Terminal, tokens: readonly Token[]): string {
  return shownTable(
    terminal,
    ['id', 'name', 'role', 'state', 'created', 'by', 'expires', 'last used'],
    tokens.map(token => [
      token.id,
      token.name,
      token.role,
      stateOf(token, terminal.now()),
      moment(token.created_at),
      token.created_by,
      moment(token.expires_at),
      moment(token.last_used_at),
    ]),
  );
}
