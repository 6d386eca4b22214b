// `portcullis limits`: rate limits in force, whom they refuse, and what would be good ones.

import type { Command } from 'commander';
import type { z } from 'zod';
import type { exemption, limit, limitedKey, resetAnswer } from '../limits/shapes.js';
import { at, type Client, connect, type Page } from './client.js';
import { Exit, Fault, usage } from './fault.js';
import { MOST_AT_ONCE, mostOf, numberOf } from './limit.js';
import { addVolume } from './limits-volume.js';
import { moment, print, say } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { pairs, shownTable } from './table.js';
import { confirm, type Terminal } from './terminal.js';
import { whenGone } from './time.js';

type Limit = z.output<typeof limit>;
type Counted = z.output<typeof limitedKey>;
type Exemption = z.output<typeof exemption>;
type Reset = z.output<typeof resetAnswer>;

/** Rows that are shown unless more are asked for. */
const SHOWN = '100';
const TOP = '20';
const NAME = 'name of the limit';
const KEY = 'as `limits top` shows it; or its first 8 digits, as events do';

export function addLimits(program: Command, terminal: Terminal): void {
  const group = program
    .command('limits')
    .description('rate limits: see whom they refuse, reset and exempt keys, find good ones');
  reaching(group.command('list'))
    .description('list the limits in force, with what the gateway has counted')
    .action(async (options: ReachOptions) => {
      const found = await connect(options, terminal).get<Page<Limit>>('/limits');
      print(terminal, options.output, found, () => listed(terminal, found.items));
    });
  reaching(group.command('show').argument('<limit>', NAME))
    .description('show a limit, what the gateway has counted, and who is exempt')
    .action(async (name: string, options: ReachOptions) => {
      const client = connect(options, terminal);
      const found = await client.get<Limit>(at`/limits/rules/${name}`);
      const exempt = await client.list<Exemption>('/limits/exemptions', { rule: name }, Number(SHOWN));
      const both = { ...found, exemptions: exempt.items };
      print(terminal, options.output, both, () => described(terminal, found, exempt.items));
      if (exempt.next !== null) say(terminal, 'more keys are exempt: see `portcullis limits exemptions`');
    });
  reaching(group.command('top').argument('[limit]', `${NAME}; all unless given`))
    .description('list the keys that are counted by this gateway, those that were refused most first')
    .option('--most <number>', 'how many at most', TOP)
    .action(async (name: string | undefined, { most, ...options }: ReachOptions & { most: string }) => {
      const query = { rule: name, most: numberOf(most, '--most', MOST_AT_ONCE) };
      const found = await connect(options, terminal).get<{ items: Counted[] }>('/limits/top', query);
      print(terminal, options.output, found, () => tops(terminal, found.items));
    });
  reaching(group.command('reset').argument('<limit>', NAME).argument('<key>', KEY))
    .description('forget what a key has spent, penalty included: everywhere, within a second')
    .action(async (name: string, key: string, options: ReachOptions) => {
      const client = connect(options, terminal);
      const body = { key: await keyOf(client, name, key, counted) };
      const done = await client.send<Reset>('POST', at`/limits/rules/${name}/reset`, { body });
      print(terminal, options.output, done, () => `${name} ${done.key}: what it has spent is forgotten\n`);
      if (done.fleet === 'failed') {
        throw new Fault("the fleet's counters did not answer: there it counts on", Exit.Failed, ['try again']);
      }
    });
  reaching(group.command('exempt').argument('<limit>', NAME).argument('<key>', KEY))
    .description('let a limit not hold for a key: never refused and not counted, everywhere, within a second')
    .option('--until <when>', 'when that ends: 7d, 2027-01-31; else when it is taken away')
    .option('--why <text>', 'for whoever meets it later')
    .action(
      async (name: string, key: string, options: ReachOptions & { until?: string; why?: string }): Promise<void> => {
        const { until, why, output } = options;
        const body = { until: until === undefined ? null : whenGone(until, '--until', terminal.now()), why };
        const client = connect(options, terminal);
        const path = at`/limits/rules/${name}/exemptions/${await keyOf(client, name, key, counted)}`;
        const done = await client.send<Exemption>('PUT', path, { body });
        print(terminal, output, done, () => `${name} does not hold for ${done.key} ${endOf(done)}\n`);
      },
    );
  reaching(group.command('unexempt').argument('<limit>', NAME).argument('<key>', KEY))
    .description('let a limit hold again for a key')
    .option('-y, --yes', 'do it without asking')
    .action(async (name: string, key: string, { yes, ...options }: ReachOptions & { yes?: boolean }) => {
      const client = connect(options, terminal);
      const found = await keyOf(client, name, key, exempted);
      await confirm(terminal, `Let ${name} hold for ${found} again?`, yes);
      const done = await client.send<Exemption>('DELETE', at`/limits/rules/${name}/exemptions/${found}`);
      print(terminal, options.output, done, () => `${name} holds for ${found} again\n`);
    });
  reaching(group.command('exemptions').argument('[limit]', `${NAME}; all unless given`))
    .description('list the keys that a limit does not hold for')
    .option('--limit <number>', 'how many at most', SHOWN)
    .action(async (name: string | undefined, { limit, ...options }: ReachOptions & { limit: string }) => {
      const client = connect(options, terminal);
      const found = await client.list<Exemption>('/limits/exemptions', { rule: name }, mostOf(limit));
      print(terminal, options.output, found, () => exemptions(terminal, found.items));
      if (found.next !== null) say(terminal, 'there are more: see `--limit`');
    });
  addVolume(group, terminal);
}

/** Among more keys than that, the first digits are looked for in vain. */
const LOOKED_AT = 1_000;

type Keys = (client: Client, rule: string) => Promise<{ items: { key: string }[] }>;

/** Keys that a limit counts here, and those that it spares. */
const counted: Keys = (client, rule) => client.get('/limits/top', { rule, most: LOOKED_AT });
const exempted: Keys = (client, rule) => client.list('/limits/exemptions', { rule }, LOOKED_AT);

/** The whole key, whose first digits may have been written. */
async function keyOf(client: Client, rule: string, written: string, known: Keys): Promise<string> {
  if (/^[0-9a-f]{32}$/.test(written)) return written;
  if (!/^[0-9a-f]{8,31}$/.test(written)) {
    throw usage(`\`${written}\` is no key: 32 hex digits, or the first 8`, '`portcullis limits top` shows them');
  }
  const { items } = await known(client, rule);
  const [only, ...others] = items.filter(({ key }) => key.startsWith(written));
  if (only && others.length === 0) return only.key;
  if (only) throw usage(`${others.length + 1} keys of ${rule} begin with ${written}`, 'give more of its digits');
  throw usage(`no key of ${rule} that is known here begins with ${written}`, 'give all of its 32 digits');
}

function endOf({ until }: Pick<Exemption, 'until'>): string {
  return until === null ? 'until `limits unexempt`' : `until ${moment(until)}`;
}

function listed(terminal: Terminal, limits: readonly Limit[]): string {
  if (limits.length === 0) {
    return 'no limits: `limits.rules` of the configuration makes them, `portcullis limits recommend` proposes some\n';
  }
  return shownTable(
    terminal,
    ['name', 'action', 'limit', 'counted by', 'mode', 'checked', 'refused', 'delayed'],
    limits.map(one => [
      ...[one.name, one.action, amountOf(one), one.characteristics.join(', ') || 'all together'],
      ...[one.mode, ...[one.figures.checked, refusedOf(one), one.figures.delayed].map(String)],
    ]),
  );
}

/** `10 in 60 s` */
function amountOf({ amount, period_seconds, algorithm, score }: Limit): string {
  if (algorithm === 'concurrency') return `${amount} at once`;
  return `${amount}${score === null ? '' : ' of score'} in ${period_seconds} s`;
}

/** In `log` it is what would be. */
function refusedOf({ figures: { refused, would_refuse } }: Limit): number {
  return refused + would_refuse;
}

function described(terminal: Terminal, limit: Limit, exempt: readonly Exemption[]): string {
  const { figures } = limit;
  const rows: [string, string][] = [
    ['name', limit.name],
    ['action', limit.delay_seconds === null ? limit.action : `${limit.action}, up to ${limit.delay_seconds} s`],
    ['limit', amountOf(limit)],
    ...(limit.burst === null ? [] : [['burst', String(limit.burst)] as [string, string]]),
    ['holds for', limit.expression ?? operationOf(limit) ?? 'all requests'],
    ['counts', limit.counting_expression ?? 'all of them'],
    ['counted by', limit.characteristics.join(', ') || 'all together'],
    ...(limit.score === null ? [] : [['score', limit.score] as [string, string]]),
    ['algorithm', limit.algorithm],
    ['penalty', limit.mitigation_timeout_seconds === 0 ? 'none' : `${limit.mitigation_timeout_seconds} s`],
    ['mode', limit.mode === 'local' ? 'local' : `${limit.mode}, else ${limit.fallback}`],
    ['checked', String(figures.checked)],
    ['refused', limit.action === 'log' ? `${figures.would_refuse}, would be` : String(figures.refused)],
    ['delayed', String(figures.delayed)],
  ];
  const spared = exempt.length === 0 ? '' : `\n${exemptions(terminal, exempt)}`;
  return `${pairs(rows)}${spared}`;
}

function operationOf({ operation }: Limit): string | null {
  return operation && `${operation.operation} of ${operation.host}`;
}

function tops(terminal: Terminal, keys: readonly Counted[]): string {
  if (keys.length === 0) return 'no keys are counted now\n';
  const named = keys.some(({ identity }) => identity !== null);
  return shownTable(
    terminal,
    ['limit', 'key', ...(named ? ['identity'] : []), 'used', 'refused', 'in penalty until'],
    keys.map(({ limit, key, identity, used, refused, penalty_ends }) => [
      ...[limit, key, ...(named ? [identity ?? '-'] : [])],
      ...[String(used), String(refused), moment(penalty_ends)],
    ]),
  );
}

function exemptions(terminal: Terminal, all: readonly Exemption[]): string {
  if (all.length === 0) return 'nobody is exempt\n';
  return shownTable(
    terminal,
    ['limit', 'exempt key', 'until', 'since', 'by', 'why'],
    all.map(({ limit, key, until, created_at, created_by, why }) => [
      ...[limit, key, moment(until), moment(created_at), created_by, why ?? ''],
    ]),
  );
}
