// `portcullis jwt`: key sets that tokens are verified with, tokens judged step by step, and tokens taken back.

import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { printable } from '../../config/problem.js';
import type { configuration, inspected, revocation } from '../jwt/shapes.js';
import { at, type Client, connect, type Page } from './client.js';
import { Exit, Fault, usage } from './fault.js';
import { givenSecret } from './given.js';
import { mostOf } from './limit.js';
import { count, dayAndDistance, moment, print, say } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { pairs, shownTable } from './table.js';
import { confirm, type Terminal } from './terminal.js';
import { whenGone } from './time.js';

type Configuration = z.output<typeof configuration>;
type Inspected = z.output<typeof inspected>;
type Revocation = z.output<typeof revocation>;

/** Rows that are shown unless more are asked for. */
const SHOWN = '100';
/** Above the longest token that a configuration lets through. */
const MAX_TOKEN_BYTES = 64 * 1024;
const NEVER = 'never';

interface Which {
  jti?: string | undefined;
  subject?: string | undefined;
}

type Inspect = ReachOptions & { file?: string };
type Revoke = ReachOptions & Which & { fromStdin?: true; until?: string; why?: string; yes?: true };
type Filter = ReachOptions & Which & { state?: Revocation['state']; limit: string };

const CONFIGURATION = 'as under `jwt` in the configuration';

export function addJwt(program: Command, terminal: Terminal): void {
  const jwt = program.command('jwt').description('key sets of token configurations; tokens judged and taken back');
  reaching(jwt.command('list'))
    .description('list token configurations, with the state of their key sets')
    .action(async (options: ReachOptions) => {
      const found = await connect(options, terminal).get<Page<Configuration>>('/jwt');
      print(terminal, options.output, found, () => listed(terminal, found.items));
    });
  reaching(jwt.command('show').argument('<configuration>', CONFIGURATION))
    .description('show a token configuration, its key set, and the keys in it')
    .action(async (name: string, options: ReachOptions) => {
      const found = await connect(options, terminal).get<Configuration>(at`/jwt/${name}`);
      print(terminal, options.output, found, () => described(terminal, found));
    });
  reaching(jwt.command('refresh').argument('<configuration>', CONFIGURATION))
    .description('fetch the key set now: a key that its provider has withdrawn counts no longer')
    .action(async (name: string, options: ReachOptions) => {
      const found = await connect(options, terminal).send<Configuration>('POST', at`/jwt/${name}/refresh`);
      print(terminal, options.output, found, () => described(terminal, found));
      const error = found.key_set?.error;
      if (error) throw new Fault(`the key set cannot be had: ${error.message}`, Exit.Failed);
    });
  reaching(jwt.command('inspect').argument('<configuration>', CONFIGURATION))
    .description('would a token be accepted, and if not why: read from standard input, or asked for')
    .option('--file <file>', 'whose first line is the token')
    .action(async (name: string, options: Inspect) => {
      const token = await tokenFrom(terminal, options.file);
      const client = connect(options, terminal);
      const found = await client.send<Inspected>('POST', at`/jwt/${name}/inspect`, { body: { token } });
      print(terminal, options.output, found, () => judgement(found));
      if (!found.accepted) throw new Fault(`it would not be accepted: ${found.reason}`, Exit.Failed);
    });
  named(reaching(jwt.command('revoke').argument('<configuration>', CONFIGURATION)))
    .description('take tokens back before their end: refused within a second, by every gateway on the store')
    .option('--from-stdin', 'the token that standard input holds, by its `jti`')
    .option('--until <when>', 'when it lapses: 30d, 2027-01-31, never; else when no such token can be good any more')
    .option('--why <text>', 'for whoever reads it later')
    .option('-y, --yes', 'do it without asking')
    .action(async (name: string, options: Revoke) => {
      const what = options.fromStdin ? await identified(terminal, options) : chosen(options);
      const { until, why, yes, output } = options;
      const client = connect(options, terminal);
      await confirm(terminal, `Revoke ${words(what)} of ${name}?`, yes);
      const body = { ...what, until: until && untilOf(until, terminal), why };
      const done = await client.send<Revocation>('POST', at`/jwt/${name}/revocations`, { body });
      const ends = done.until === null ? 'for ever' : `until ${moment(done.until)}, when none can be good any more`;
      print(terminal, output, done, () => `${words(done)}: refused from now on, ${ends}\n`);
    });
  named(reaching(jwt.command('revocations').argument('<configuration>', CONFIGURATION)))
    .description('list what was taken back and restored and has not lapsed, the newest change first')
    .addOption(new Option('--state <state>', 'only these').choices(['revoked', 'restored']))
    .option('--limit <number>', 'how many at most', SHOWN)
    .action(async (name: string, { jti, subject, state, limit, ...options }: Filter) => {
      const only = jti === undefined && subject === undefined ? {} : chosen({ jti, subject });
      const client = connect(options, terminal);
      const found = await client.list<Revocation>(at`/jwt/${name}/revocations`, { ...only, state }, mostOf(limit));
      print(terminal, options.output, found, () => revocations(terminal, found.items));
      if (found.next !== null) say(terminal, 'there are more: see `--limit`');
    });
  named(
    reaching(jwt.command('restore').argument('<configuration>', CONFIGURATION).argument('[id]', 'of the revocation')),
  )
    .description('let tokens count again that were revoked')
    .option('-y, --yes', 'do it without asking')
    .action(
      async (name: string, id: string | undefined, { yes, ...options }: ReachOptions & Which & { yes?: true }) => {
        const client = connect(options, terminal);
        const one = id ?? (await find(client, name, options)).id;
        await confirm(terminal, `Let ${id ?? words(chosen(options))} of ${name} count again?`, yes);
        const done = await client.send<Revocation>('DELETE', at`/jwt/${name}/revocations/${one}`);
        print(terminal, options.output, done, () => `${words(done)}: counts again\n`);
      },
    );
}

function named(command: Command): Command {
  return command
    .option('--jti <id>', 'one token, by this claim')
    .option('--subject <sub>', 'all tokens of a subject that were issued until now');
}

type What = Pick<Revocation, 'kind' | 'value'>;

function chosen({ jti, subject }: Which): What {
  if (jti !== undefined && subject === undefined) return { kind: 'jti', value: jti };
  if (subject !== undefined && jti === undefined) return { kind: 'subject', value: subject };
  throw usage('say which, in one way: `--jti` or `--subject`');
}

/** Of a token that nobody has verified: what it says names it, or nothing. */
async function identified(terminal: Terminal, { jti, subject }: Revoke): Promise<What> {
  if (jti !== undefined || subject !== undefined) throw usage('`--from-stdin` says which: leave out the others');
  const [, payload = ''] = (await tokenFrom(terminal, undefined)).split('.');
  let claims: { jti?: unknown } | null = null;
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  } catch {
    throw new Fault('that is no token: its second part is no JSON', Exit.Usage);
  }
  if (typeof claims?.jti === 'string' && claims.jti !== '') return { kind: 'jti', value: claims.jti };
  throw new Fault('the token has no `jti` to be named by', Exit.Failed, ['`--subject` revokes all of its subject']);
}

async function tokenFrom(terminal: Terminal, file: string | undefined): Promise<string> {
  const text = await givenSecret(terminal, { what: 'token', file, maxBytes: MAX_TOKEN_BYTES });
  return text.replace(/^(Authorization:\s*)?(Bearer|DPoP)\s+/i, '');
}

function untilOf(until: string, terminal: Terminal): string | null {
  return until === NEVER ? null : whenGone(until, '--until', terminal.now());
}

async function find(client: Client, name: string, options: Which): Promise<Revocation> {
  const what = chosen(options);
  const { items } = await client.list<Revocation>(at`/jwt/${name}/revocations`, { ...what }, 1);
  if (items[0]) return items[0];
  throw usage(`${words(what)} is not revoked`, `\`portcullis jwt revocations ${name}\` shows what is`);
}

function words({ kind, value }: What): string {
  return kind === 'jti' ? `the token ${value}` : `all tokens of ${value} that were issued until now`;
}

function listed(terminal: Terminal, configurations: readonly Configuration[]): string {
  if (configurations.length === 0) return 'no token configurations: `jwt:` in the configuration makes them\n';
  return shownTable(
    terminal,
    ['name', 'issuer', 'algorithms', 'keys', 'state', 'fetched', 'error'],
    configurations.map(({ name, issuer, algorithms, key_set }) => [
      name,
      issuer ?? 'any',
      algorithms.join(' '),
      key_set ? String(key_set.keys.length) : 'in the configuration',
      key_set?.state ?? '-',
      moment(key_set?.fetched_at),
      key_set?.error?.message ?? '',
    ]),
  );
}

function described(terminal: Terminal, { name, issuer, audiences, algorithms, key_set }: Configuration): string {
  const rows: [string, string][] = [
    ['name', name],
    ['issuer', issuer ?? 'any'],
    ['audiences', audiences.join(', ') || 'any'],
    ['algorithms', algorithms.join(', ')],
  ];
  if (!key_set) return pairs([...rows, ['keys', 'in the configuration']]);
  const { url, state, from, fetched_at, next_fetch_at, error, keys, skipped } = key_set;
  rows.push(
    ['key set', url],
    ['state', STATES[state]],
    ['fetched', `${moment(fetched_at)}${from === 'store' ? ', by the run before' : ''}`],
    ['next fetch', dayAndDistanceOf(next_fetch_at, terminal.now())],
    ...(error ? [['error', `${error.message} (${moment(error.at)})`] as [string, string]] : []),
  );
  const shown = shownTable(
    terminal,
    ['kid', 'algorithms', 'thumbprint'],
    keys.map(({ kid, algorithms, thumbprint }) => [kid ?? '-', algorithms.join(' '), thumbprint]),
  );
  const unusable = skipped.map(({ kid, why }): [string, string] => [`not used: ${kid ?? '-'}`, why]);
  return `${pairs(rows)}\n${keys.length > 0 ? shown : ''}${unusable.length > 0 ? pairs(unusable) : ''}`;
}

const STATES: Record<NonNullable<Configuration['key_set']>['state'], string> = {
  missing: 'missing: it could not be fetched yet, tokens are answered 503',
  good: 'good',
  failing: 'failing: the last good set serves',
  stale: 'stale: too old, tokens are answered 503',
};

/** Key sets are fetched within minutes to hours. */
function dayAndDistanceOf(time: string, now: number): string {
  const seconds = Math.round((Date.parse(time) - now) / 1_000);
  if (seconds <= 0) return 'now';
  if (seconds < 120) return `in ${seconds} s`;
  return seconds < 7_200 ? `in ${Math.round(seconds / 60)} min` : dayAndDistance(time, now);
}

function judgement({ accepted, reason, steps, claims }: Inspected): string {
  const lines = [
    accepted ? 'it would be accepted' : `it would not be accepted: ${reason}`,
    ...steps.map(({ step, ok, detail }) => `  ${ok ? 'ok  ' : 'FAIL'} ${step}: ${detail}`),
  ];
  const said = Object.entries((claims ?? {}) as Record<string, unknown>);
  const table = said.length > 0 ? pairs(said.map(([claim, value]) => [claim, shownClaim(claim, value)])) : '';
  return `${lines.map(line => `${printable(line)}\n`).join('')}${table}`;
}

const TIMES = ['exp', 'nbf', 'iat', 'auth_time'];
/** 31 December 9999. */
const LAST_SECOND = 253_402_300_799;

function shownClaim(claim: string, value: unknown): string {
  const time = TIMES.includes(claim) && typeof value === 'number' && value >= 0 && value <= LAST_SECOND;
  if (time) return `${value} (${moment(new Date(value * 1_000).toISOString())})`;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function revocations(terminal: Terminal, all: readonly Revocation[]): string {
  if (all.length === 0) return 'nothing is revoked\n';
  const table = shownTable(
    terminal,
    ['id', 'kind', 'value', 'state', 'at', 'by', 'lapses', 'why'],
    all.map(({ id, kind, value, state, at, by, until, why }) => [
      ...[id, kind, value, state, moment(at), by],
      until === null ? NEVER : moment(until),
      why ?? '',
    ]),
  );
  return `${table}${count(all.length, 'revocation')}\n`;
}
