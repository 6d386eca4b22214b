// `portcullis keys`: API keys and service tokens of those who call the APIs behind the gateway.

import { X509Certificate } from 'node:crypto';
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { digestOf, keyId } from '../keys/form.js';
import type { identified, key, madeKey } from '../keys/shapes.js';
import { at, type Client, connect } from './client.js';
import { Fault, usage } from './fault.js';
import { folderOf, mustBeFree, readInput, write } from './files.js';
import { givenSecret } from './given.js';
import { mostOf } from './limit.js';
import { dayAndDistance, moment, print, say } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { pairs, shownTable } from './table.js';
import { confirm, type Terminal } from './terminal.js';
import { whenGone, whenPast } from './time.js';

type Key = z.output<typeof key>;
type Made = z.output<typeof madeKey>;
type Identified = z.output<typeof identified>;

const STATES = ['active', 'expired', 'revoked'] as const satisfies readonly Key['state'][];
const LISTS = ['scopes', 'certificates', 'networks', 'hosts'] as const;
type List = (typeof LISTS)[number];

/** Rows that are shown unless more are asked for. */
const SHOWN = '100';
/** Keys of one name: among more than that a name tells nothing. */
const NAMESAKES = 100;
/** Of standard input, where a key is expected: more is something else. */
const MAX_KEY_BYTES = 4_096;

interface Writing {
  out?: string;
  force?: boolean;
}

interface Bound extends Partial<Record<'scope' | 'certificate' | 'network' | 'host', string[]>> {
  expires?: string;
  allowNoExpiry?: true;
}

type Create = ReachOptions & Writing & Bound & { kind: Key['kind']; partner?: string };
type Update = ReachOptions & Bound & { name?: string; clear?: List[]; endPrevious?: true };
type Rotate = ReachOptions &
  Writing &
  Pick<Bound, 'expires' | 'allowNoExpiry'> & { overlap?: string; endOldest?: true; yes?: boolean };
type Filter = ReachOptions & {
  partner?: string;
  state?: Key['state'];
  all?: true;
  name?: string;
  unusedSince?: string;
  limit: string;
};

export function addKeys(program: Command, terminal: Terminal): void {
  const group = program
    .command('keys')
    .description('API keys and service tokens: make, find, change, rotate and revoke');
  writing(bound(reaching(group.command('create').argument('<name>', 'what it is called'))))
    .description('make a key; it is shown only this once')
    .addOption(
      new Option('--kind <kind>', 'a key, or a client id and secret').choices(['key', 'service']).default('key'),
    )
    .option('--partner <name>', 'to whom it belongs')
    .action(async (name: string, options: Create) => {
      const { kind, partner, out, force } = options;
      if (out !== undefined) mustBeFree([out], force);
      const body = { name, kind, partner, ...wanted(options, terminal) };
      show(terminal, options, await connect(options, terminal).send<Made>('POST', '/keys', { body }));
    });
  reaching(group.command('list'))
    .description('list keys, the newest first, without the secrets themselves')
    .option('--partner <name>', 'of this partner')
    .addOption(new Option('--state <state>', 'active unless given').choices(STATES))
    .option('--all', 'of any state')
    .option('--name <text>', 'what its name begins with')
    .option('--unused-since <when>', 'not used for so long, or since then: 90d, 2027-01-31')
    .option('--limit <number>', 'how many at most', SHOWN)
    .action(async ({ partner, state, all, name, unusedSince, limit, ...options }: Filter) => {
      if (all && state) throw usage('`--all` is every state', 'leave out one of `--all` and `--state`');
      const unused_since = unusedSince && whenPast(unusedSince, '--unused-since', terminal.now());
      const query = { partner, state: all ? undefined : (state ?? 'active'), name, unused_since };
      const found = await connect(options, terminal).list<Key>('/keys', query, mostOf(limit));
      print(terminal, options.output, found, () => listed(terminal, found.items));
      if (found.next !== null) say(terminal, 'there are more: see `--limit`');
    });
  reaching(group.command('show').argument('<key>', WHICH))
    .description('show a key, without the secret itself')
    .action(async (which: string, options: ReachOptions) => {
      const found = await find(connect(options, terminal), which);
      print(terminal, options.output, found, () => described(terminal, found));
    });
  bound(reaching(group.command('update').argument('<key>', WHICH)))
    .description('change what a key may do, from where, and until when; a list that is given replaces the one before')
    .option('--name <name>', 'what it is called from now on')
    .addOption(new Option('--clear <list...>', 'empty it: it then binds to nothing').choices(LISTS))
    .option('--end-previous', 'after a rotation: the older secret counts no longer')
    .action(async (which: string, options: Update) => {
      const { name, clear = [], endPrevious } = options;
      const given = wanted(options, terminal);
      const twice = clear.find(list => given[list] !== undefined);
      if (twice) throw usage(`\`--clear ${twice}\` stands beside values for it`);
      const empty = Object.fromEntries(clear.map(list => [list, []]));
      const body = { name, ...given, ...empty, end_previous: endPrevious };
      if (Object.values(body).every(value => value === undefined)) {
        throw usage('nothing is to be changed', 'see `portcullis keys update --help`');
      }
      const client = connect(options, terminal);
      const { id } = await find(client, which);
      const { etag } = await client.read(at`/keys/${id}`);
      const changed = await client.send<Key>('PATCH', at`/keys/${id}`, { body, etag });
      print(terminal, options.output, changed, () => described(terminal, changed));
    });
  writing(ending(reaching(group.command('rotate').argument('<key>', WHICH))))
    .description('make another secret of a key, shown only this once; the one so far counts until a deadline')
    .option('--overlap <when>', 'how long, or until when, the one so far counts; 24h unless given, 0h: not at all')
    .option('--end-oldest', 'of a key that has two secrets already: the older one ends at once')
    .option('-y, --yes', 'do it without asking')
    .action(async (which: string, options: Rotate) => {
      const { overlap, endOldest, out, force, yes } = options;
      if (out !== undefined) mustBeFree([out], force);
      const body = { ...overlapOf(overlap, terminal), ...endOf(options, terminal), end_oldest: endOldest };
      const client = connect(options, terminal);
      const { id, name } = await find(client, which);
      const ends = NONE.test(overlap ?? '') ? 'the secret so far' : endOldest ? 'its older secret' : null;
      if (ends) await confirm(terminal, `Rotate ${name} (${id}), and end ${ends} at once?`, yes);
      const { etag } = await client.read(at`/keys/${id}`);
      show(terminal, options, await client.send<Made>('POST', at`/keys/${id}/rotate`, { body, etag }));
    });
  reaching(group.command('revoke').argument('<key>', WHICH))
    .description('revoke a key, for ever: it is refused within a second, everywhere')
    .option('--why <text>', 'for whoever reads it later')
    .option('-y, --yes', 'do it without asking')
    .action(async (which: string, { why, yes, ...options }: ReachOptions & { why?: string; yes?: boolean }) => {
      const client = connect(options, terminal);
      const { id, name, partner } = await find(client, which);
      const whose = partner === null ? '' : ` of ${partner}`;
      await confirm(terminal, `Revoke the key ${name} (${id})${whose}, for ever?`, yes);
      const { etag } = await client.read(at`/keys/${id}`);
      const revoked = await client.send<Key>('POST', at`/keys/${id}/revoke`, { body: { why }, etag });
      print(terminal, options.output, revoked, () => `${name} (${id}) is refused from now on\n`);
    });
  reaching(group.command('check'))
    .description('tell whose a key is that was found somewhere: read from standard input, or asked for')
    .option('--file <file>', 'whose first line is the key')
    .option('--offline', 'only whether it is one, without asking a gateway')
    .action(async (options: ReachOptions & { file?: string; offline?: true }) => {
      const text = await givenSecret(terminal, { what: 'API key', file: options.file, maxBytes: MAX_KEY_BYTES });
      const id = keyId(text);
      if (id === null) throw new Fault('that is no API key: prefix, length or checksum do not fit');
      if (options.offline) {
        print(terminal, options.output, { id }, () => `${id}: prefix, length and checksum fit\n`);
        return;
      }
      // Its hash alone travels.
      const body = { id, digest: digestOf(text) };
      const found = await connect(options, terminal).send<Identified>('POST', '/keys/identify', { body });
      print(terminal, options.output, found, () => described(terminal, found, found.secret));
      if (found.state === 'active' && found.secret !== 'none') {
        say(terminal, `it counts: \`portcullis keys revoke ${id}\` ends that, \`keys rotate\` replaces it`);
      }
    });
}

const WHICH = 'its id or its name';
/** An overlap of nothing. */
export const NONE = /^0+[mhdy]?$/;

function writing(command: Command): Command {
  return command
    .option('--out <file>', 'write the secret there, readable for you alone, instead of showing it')
    .option('--force', 'over a file that is there');
}

function ending(command: Command): Command {
  return command
    .option('--expires <when>', 'how long it is good for, or until when: 90d, 2027-01-31')
    .option('--allow-no-expiry', 'it never ends by itself');
}

function bound(command: Command): Command {
  return ending(command)
    .option('--scope <scopes>', 'what it may do; repeatable, or with spaces between', words)
    .option('--certificate <file or fingerprint>', 'only together with this client certificate; repeatable', words)
    .option('--network <network>', 'only from there: 192.0.2.0/24; repeatable', words)
    .option('--host <host>', 'only for this host; repeatable', words);
}

/** A scope may hold a comma, but no space (RFC 6749, 3.3). */
function words(value: string, before: readonly string[] = []): string[] {
  return [...before, ...value.split(/\s+/).filter(Boolean)];
}

function wanted(options: Bound, terminal: Terminal) {
  return {
    scopes: options.scope,
    certificates: options.certificate?.map(fingerprintOf),
    networks: options.network,
    hosts: options.host,
    ...endOf(options, terminal),
  };
}

function endOf({ expires, allowNoExpiry }: Bound, terminal: Terminal) {
  if (expires !== undefined && allowNoExpiry) throw usage('`--expires` stands beside `--allow-no-expiry`');
  return {
    expires_at: expires === undefined ? undefined : whenGone(expires, '--expires', terminal.now()),
    allow_no_expiry: allowNoExpiry,
  };
}

/** `--overlap`, as a length or as a deadline. */
export function overlapOf(overlap: string | undefined, terminal: Terminal): object {
  if (overlap === undefined) return {};
  if (NONE.test(overlap)) return { overlap: '0h' };
  if (/^\d{1,6}[hdy]$/.test(overlap)) return { overlap };
  return { deadline: whenGone(overlap, '--overlap', terminal.now()) };
}

/** SHA-256 as hex, or a file with the certificate. */
export function fingerprintOf(written: string): string {
  if (/^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/.test(written)) return written;
  const bytes = readInput(written);
  try {
    return new X509Certificate(bytes).fingerprint256;
  } catch {
    throw usage(`${written} holds no certificate, nor is it a SHA-256 fingerprint`);
  }
}

async function find(client: Client, which: string): Promise<Key> {
  if (which.startsWith('pck_')) {
    throw usage(
      'that is a key itself, which others on this machine can see on command lines: rotate it',
      'name it by its id, the 12 hex digits behind `pck_`; `portcullis keys check` takes it on standard input',
    );
  }
  if (/^[0-9a-f]{12}$/.test(which)) return client.get<Key>(at`/keys/${which}`);
  const { items } = await client.list<Key>('/keys', { name: which }, NAMESAKES);
  const named = items.filter(({ name, state }) => name === which && state !== 'revoked');
  const [only, ...others] = named;
  if (!only) throw usage(`there is no key \`${which}\``, '`portcullis keys list` shows them');
  if (others.length === 0) return only;
  throw usage(`${named.length} keys are called ${which}: name one by its id`, ...named.map(({ id }) => id));
}

/** What is shown only once: alone on standard output, so that a script can take it. */
function show(terminal: Terminal, { out, force, output }: ReachOptions & Writing, made: Made): void {
  const { key: _, client_id: _id, client_secret: _secret, ...rest } = made;
  const lines = secretLines(made);
  if (out !== undefined) {
    folderOf(out);
    write(out, lines, 'secret', force);
    print(terminal, output, rest, () => `${made.id} ${made.name}: the secret is in ${out}\n`);
    return;
  }
  if (output === 'table') say(terminal, `${told(made)}; the secret is shown only this once`);
  print(terminal, output, made, () => lines);
}

export function secretLines({ key, client_id, client_secret }: Made): string {
  return key === undefined ? `client_id=${client_id}\nclient_secret=${client_secret}\n` : `${key}\n`;
}

function told({ id, name, expires_at, secrets }: Made): string {
  const until = secrets[1]?.valid_until;
  const end = expires_at === null ? 'does not expire' : `expires ${moment(expires_at)}`;
  return `${id} ${name} ${end}${until ? `; the one before counts until ${moment(until)}` : ''}`;
}

function described(terminal: Terminal, key: Key, which?: Identified['secret']): string {
  const now = terminal.now();
  const list = (some: readonly string[], none: string) => (some.length === 0 ? none : some.join(', '));
  const rows: [string, string][] = [
    ['id', key.id],
    ['name', key.name],
    ['kind', key.kind === 'service' ? 'service token' : 'API key'],
    ['partner', key.partner ?? '-'],
    ['state', key.state],
    ...(which ? [['this secret', SECRETS[which]] as [string, string]] : []),
    ['expires', dayAndDistance(key.expires_at, now)],
    ['scopes', list(key.scopes, '-')],
    ['certificates', list(key.certificates, 'with or without')],
    ['networks', list(key.networks, 'any')],
    ['hosts', list(key.hosts, 'all')],
    ...key.secrets.map(({ created_at, valid_until }): [string, string] => [
      'secret',
      `made ${moment(created_at)}${valid_until === null ? '' : `, counts until ${moment(valid_until)}`}`,
    ]),
    ['last used', moment(key.last_used_at)],
    ['created', `${moment(key.created_at)} by ${key.created_by}`],
  ];
  if (key.revoked_at !== null) {
    const why = key.revoked_why === null ? '' : `: ${key.revoked_why}`;
    rows.push(['revoked', `${moment(key.revoked_at)} by ${key.revoked_by}${why}`]);
  }
  return pairs(rows);
}

const SECRETS: Record<Identified['secret'], string> = {
  current: 'the one in use',
  previous: 'the older one of a rotation, which still counts',
  none: 'none that counts: it was replaced, or never was one',
};

export function listed(terminal: Terminal, keys: readonly Key[]): string {
  if (keys.length === 0) return 'no such keys: `portcullis keys create` makes one\n';
  return shownTable(
    terminal,
    ['id', 'name', 'kind', 'partner', 'state', 'expires', 'last used', 'scopes'],
    keys.map(key => [
      key.id,
      key.name,
      key.kind,
      key.partner ?? '-',
      key.state === 'active' && key.secrets.length > 1 ? 'rotating' : key.state,
      dayAndDistance(key.expires_at, terminal.now()),
      moment(key.last_used_at),
      key.scopes.join(' '),
    ]),
  );
}
