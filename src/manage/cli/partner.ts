// `portcullis partner`: to whom certificates, keys and tokens belong, and what they may call.

import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import type { key } from '../keys/shapes.js';
import type { Rotated } from '../partners/rotation.js';
import type { MadePartner, Partner, ShownPartner } from '../partners/shapes.js';
import { at, type Client, connect } from './client.js';
import { usage } from './fault.js';
import { folder, mustBeFree, writeTogether } from './files.js';
import { listed as listedKeys, NONE, overlapOf, secretLines } from './keys.js';
import { mostOf } from './limit.js';
import { certificatePattern, certificateText, quotaOf, tokenPattern, tokenText } from './patterns.js';
import { type Certificate, listed as listedCertificates } from './pki/certificates.js';
import { count, dayAndDistance, moment, print, say } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { pairs, shownTable } from './table.js';
import { confirm, type Terminal } from './terminal.js';
import { whenGone } from './time.js';

type Key = z.output<typeof key>;

const STATUSES = ['active', 'suspended', 'expired'] as const satisfies readonly Partner['status'][];
/** What `--clear` empties: lists as an empty list, the others as null. */
const LISTS = { certificates: [], jwt: [], operations: [], quota: null, expires: null } as const;
type Clearable = keyof typeof LISTS;
const MEMBER: Record<Clearable, string> = {
  ...{ certificates: 'certificates', jwt: 'tokens', operations: 'operations', quota: 'quota', expires: 'expires_at' },
};

/** Rows of a kind that `show` lists; the API has the rest. */
const HELD = 20;

interface Tied {
  expires?: string;
  certificate?: Partner['certificates'];
  jwt?: Partner['tokens'];
  operation?: string[];
  quota?: { requests: number; period: string };
}

type Add = ReachOptions & Tied & { owner: string; contact: string };
type Update = ReachOptions & Tied & { owner?: string; contact?: string; clear?: Clearable[] };
type Rotate = ReachOptions & { overlap?: string; endOldest?: true; out?: string; force?: boolean; yes?: boolean };

export function addPartner(program: Command, terminal: Terminal): void {
  const group = program
    .command('partner')
    .description('partners: whose certificates, keys and tokens those are, and what they may call');
  tied(reaching(group.command('add').argument('<name>', NAME)))
    .description('add a partner: what fits it is its own from then on, everywhere within a second')
    .requiredOption('--owner <text>', 'who answers for it on this side')
    .requiredOption('--contact <text>', 'how it is reached')
    .action(async (name: string, options: Add) => {
      const { owner, contact } = options;
      const body = { name, owner, contact, ...wanted(options, terminal) };
      const made = await connect(options, terminal).send<MadePartner>('POST', '/partners', { body });
      show(terminal, options, made);
    });
  reaching(group.command('list'))
    .description('list partners, by name')
    .addOption(new Option('--status <status>', 'only these').choices(STATUSES))
    .option('--limit <number>', 'how many at most', '100')
    .action(async ({ status, limit, ...options }: ReachOptions & { status?: string; limit: string }) => {
      const found = await connect(options, terminal).list<Partner>('/partners', { status }, mostOf(limit));
      print(terminal, options.output, found, () => listed(terminal, found.items));
      if (found.next !== null) say(terminal, 'there are more: see `--limit`');
    });
  reaching(group.command('show').argument('<name>', NAME))
    .description('show a partner and everything that is tied to it: certificates, keys, tokens, operations')
    .action(async (name: string, options: ReachOptions) => {
      const client = connect(options, terminal);
      const partner = await client.get<ShownPartner>(at`/partners/${name}`);
      const keys = await client.list<Key>('/keys', { partner: name, state: 'active' }, HELD);
      const certificates = await client.list<Certificate>(
        '/pki/certificates',
        { partner: name, status: 'valid' },
        HELD,
      );
      const value = { ...partner, keys: keys.items, issued: certificates.items };
      print(terminal, options.output, value, () => whole(terminal, partner, keys.items, certificates.items));
    });
  tied(reaching(group.command('update').argument('<name>', NAME)))
    .description('change a partner; a list that is given replaces the one before')
    .option('--owner <text>', 'who answers for it on this side')
    .option('--contact <text>', 'how it is reached')
    .addOption(
      new Option('--clear <what...>', 'empty it; without operations it may call all').choices(
        Object.keys(LISTS) as Clearable[],
      ),
    )
    .action(async (name: string, options: Update) => {
      const { owner, contact, clear = [] } = options;
      const given: Record<string, unknown> = { owner, contact, ...wanted(options, terminal) };
      const twice = clear.find(what => given[MEMBER[what]] !== undefined);
      if (twice) throw usage(`\`--clear ${twice}\` stands beside values for it`);
      for (const what of clear) given[MEMBER[what]] = LISTS[what];
      if (Object.values(given).every(value => value === undefined)) {
        throw usage('nothing is to be changed', 'see `portcullis partner update --help`');
      }
      const client = connect(options, terminal);
      const { etag } = await client.read(at`/partners/${name}`);
      show(terminal, options, await client.send<MadePartner>('PATCH', at`/partners/${name}`, { body: given, etag }));
    });
  reaching(group.command('suspend').argument('<name>', NAME))
    .description('refuse whatever is a partner’s own, everywhere within a second, until it is resumed')
    .requiredOption('--why <text>', 'for whoever meets it later')
    .option('-y, --yes', 'do it without asking')
    .action(async (name: string, { why, yes, ...options }: ReachOptions & { why: string; yes?: boolean }) => {
      const client = connect(options, terminal);
      if (!yes) await confirm(terminal, `Suspend ${name} (${told(await find(client, name))})?`, yes);
      const partner = await client.send<Partner>('POST', at`/partners/${name}/suspend`, { body: { why } });
      print(terminal, options.output, partner, () => `${name} is refused from now on\n`);
    });
  reaching(group.command('resume').argument('<name>', NAME))
    .description('end a suspension')
    .option('-y, --yes', 'do it without asking')
    .action(async (name: string, { yes, ...options }: ReachOptions & { yes?: boolean }) => {
      const client = connect(options, terminal);
      const { value, etag } = await client.read<ShownPartner>(at`/partners/${name}`);
      if (value.suspended === null) throw usage(`${name} is not suspended`);
      const { at: since, why } = value.suspended;
      await confirm(terminal, `Resume ${name}, suspended ${moment(since)}: ${why}?`, yes);
      const partner = await client.send<Partner>('POST', at`/partners/${name}/resume`, { etag });
      print(
        terminal,
        options.output,
        partner,
        () => `${name} is let in again${partner.status === 'expired' ? ', but it has expired' : ''}\n`,
      );
    });
  reaching(group.command('rotate').argument('<name>', NAME))
    .description('make another secret of every live key of a partner, and list certificates that are to be renewed')
    .option('--overlap <when>', 'how long, or until when, those so far count; 24h unless given, 0h: not at all')
    .option('--end-oldest', 'of keys that have two secrets already: the older ones end at once')
    .option('--out <folder>', 'write a file for each key there, readable for you alone, instead of showing them')
    .option('--force', 'over files that are there')
    .option('-y, --yes', 'do it without asking')
    .action(async (name: string, options: Rotate) => {
      await rotate(terminal, connect(options, terminal), name, options);
    });
  reaching(group.command('remove').argument('<name>', NAME))
    .description('take a partner away that holds no live key and no live certificate')
    .option('-y, --yes', 'do it without asking')
    .action(async (name: string, { yes, ...options }: ReachOptions & { yes?: boolean }) => {
      const client = connect(options, terminal);
      const { value, etag } = await client.read<ShownPartner>(at`/partners/${name}`);
      const open = value.certificates.length + value.tokens.length;
      const left = open === 0 ? '' : `; what fits its ${count(open, 'pattern')} counts as nobody’s then`;
      await confirm(terminal, `Take away ${name} (${told(value)})${left}?`, yes);
      await client.send('DELETE', at`/partners/${name}`, { etag });
      print(terminal, options.output, value, () => `${name} is gone\n`);
    });
}

const NAME = 'letters, digits, `-` and `_`';

function tied(command: Command): Command {
  return command
    .option('--expires <when>', 'until when it is let in: 365d, 2027-01-31')
    .option(
      '--certificate <pattern>',
      'its client certificates: authority=partners;subject=CN=*,O=Acme, san=*.acme.example, a fingerprint, or a file; repeatable',
      certificatePattern as never,
    )
    .option('--jwt <pattern>', 'its tokens: customers, or customers:azp=acme; repeatable', tokenPattern as never)
    .option('--operation <operation>', 'all that it may call: listOrders, "GET /orders"; repeatable', several)
    .option('--quota <requests/time>', 'what it is allowed: 1000/1h', quotaOf);
}

function several(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function wanted({ expires, certificate, jwt, operation, quota }: Tied, terminal: Terminal) {
  return {
    expires_at: expires === undefined ? undefined : whenGone(expires, '--expires', terminal.now()),
    certificates: certificate,
    tokens: jwt,
    operations: operation,
    quota,
  };
}

function find(client: Client, name: string): Promise<ShownPartner> {
  return client.get<ShownPartner>(at`/partners/${name}`);
}

async function rotate(terminal: Terminal, client: Client, name: string, options: Rotate): Promise<void> {
  const { overlap, endOldest, out, force, output, yes } = options;
  const partner = await find(client, name);
  const ends = NONE.test(overlap ?? '')
    ? ', and end the secrets so far at once'
    : endOldest
      ? ', and end older ones'
      : '';
  await confirm(terminal, `Rotate ${count(partner.holds.keys.live, 'key')} of ${name}${ends}?`, yes);
  if (out !== undefined) {
    const keys = await client.list<Key>('/keys', { partner: name, state: 'active' }, partner.holds.keys.all);
    mustBeFree(
      keys.items.map(({ id }) => join(folder(out), id)),
      force,
    );
  }
  const body = { ...overlapOf(overlap, terminal), end_oldest: endOldest };
  const rotated = await client.send<Rotated>('POST', at`/partners/${name}/rotate`, { body });
  const { certificates, more_certificates, keys } = rotated;
  if (out === undefined) {
    if (output === 'table' && keys.length > 0) say(terminal, 'the secrets are shown only this once');
    print(terminal, output, rotated, () =>
      keys.map(made => `# ${made.id} ${made.name}\n${secretLines(made)}`).join(''),
    );
  } else {
    const files = keys.map(made => ({
      ...{ file: join(folder(out), made.id), content: secretLines(made), kind: 'secret' as const },
    }));
    writeTogether(files, force);
    const rest = keys.map(({ key: _, client_id: _id, client_secret: _secret, ...one }) => one);
    print(terminal, output, { ...rotated, keys: rest }, () => `${count(files.length, 'secret')} in ${out}\n`);
  }
  if (certificates.length === 0 || output === 'json') return;
  say(terminal, `${count(certificates.length, 'certificate')}${more_certificates ? ' and more' : ''} to be renewed:`);
  const rows = certificates.map(({ name, authority, serial, not_after }) => [
    ...[name, authority, serial, dayAndDistance(not_after, terminal.now())],
  ]);
  terminal.error.write(shownTable(terminal, ['name', 'authority', 'serial', 'expires'], rows));
}

function show(terminal: Terminal, { output }: ReachOptions, made: MadePartner): void {
  print(terminal, output, made, () => described(terminal, made));
  if (output === 'table') for (const warning of made.warnings) say(terminal, `note: ${warning}`);
}

/** In a question. */
function told({ owner, holds }: ShownPartner): string {
  const { keys, certificates } = holds;
  return `${owner}; ${count(keys.live, 'key')}, ${count(certificates.live, 'certificate')}`;
}

function described({ now }: Terminal, partner: Partner, holds?: ShownPartner['holds']): string {
  const rows: [string, string][] = [
    ['name', partner.name],
    ['status', partner.status],
    ['owner', partner.owner],
    ['contact', partner.contact],
    ['expires', dayAndDistance(partner.expires_at, now())],
    ...lines('certificates', partner.certificates.map(certificateText)),
    ...lines('tokens', partner.tokens.map(tokenText)),
    ...lines('operations', partner.operations, 'all'),
    ['quota', partner.quota ? `${partner.quota.requests} in ${partner.quota.period}` : '-'],
  ];
  if (partner.suspended) rows.splice(2, 0, ['suspended', `${moment(partner.suspended.at)}: ${partner.suspended.why}`]);
  if (holds) {
    const { keys, certificates, last_used_at } = holds;
    rows.push(
      ['keys', `${keys.live} live of ${keys.all}`],
      ['issued', `${certificates.live} live of ${certificates.all}`],
    );
    rows.push(['last used', moment(last_used_at)]);
  }
  rows.push(['created', `${moment(partner.created_at)} by ${partner.created_by}`]);
  return pairs(rows);
}

/** A line each, the label on the first. */
function lines(label: string, all: readonly string[], none = '-'): [string, string][] {
  return all.length === 0 ? [[label, none]] : all.map((one, index) => [index === 0 ? label : '', one]);
}

function whole(
  terminal: Terminal,
  partner: ShownPartner,
  keys: readonly Key[],
  certificates: readonly Certificate[],
): string {
  const { name, holds } = partner;
  const rest = (shown: number, all: number, command: string) =>
    all > shown ? `${all - shown} more: portcullis ${command} --partner ${name}\n` : '';
  return [
    described(terminal, partner, holds),
    ...(keys.length > 0 ? [`\n${listedKeys(terminal, keys)}${rest(keys.length, holds.keys.live, 'keys list')}`] : []),
    ...(certificates.length > 0
      ? [
          `\n${listedCertificates(terminal, certificates)}${rest(certificates.length, holds.certificates.live, 'pki list')}`,
        ]
      : []),
  ].join('');
}

function listed(terminal: Terminal, partners: readonly Partner[]): string {
  if (partners.length === 0) return 'no such partners: `portcullis partner add` makes one\n';
  return shownTable(
    terminal,
    ['name', 'status', 'owner', 'contact', 'expires', 'operations'],
    partners.map(({ name, status, owner, contact, expires_at, operations }) => [
      ...[name, status, owner, contact, dayAndDistance(expires_at, terminal.now())],
      operations.length === 0 ? 'all' : String(operations.length),
    ]),
  );
}
