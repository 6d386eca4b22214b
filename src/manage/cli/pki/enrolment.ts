// `portcullis pki enrolment`: secrets with which devices get their first certificate over EST.

import type { Command } from 'commander';
import type { z } from 'zod';
import type { enrolment, madeEnrolment } from '../../pki/shapes.js';
import { at, connect } from '../client.js';
import { usage } from '../fault.js';
import { mustBeFree } from '../files.js';
import { type OnceOptions, showOnce } from '../once.js';
import { dayAndDistance, print } from '../print.js';
import { type ReachOptions, reaching } from '../reach.js';
import { shownTable } from '../table.js';
import { confirm, type Terminal } from '../terminal.js';
import { given } from './authority.js';

type Enrolment = z.output<typeof enrolment>;
type Made = z.output<typeof madeEnrolment>;

interface Create extends OnceOptions {
  authority: string;
  profile?: string;
  uses?: string;
  expires?: string;
}

const ALL = 10_000;

export function addEnrolment(pki: Command, terminal: Terminal): void {
  const group = pki.command('enrolment').description('secrets with which devices get their first certificate (EST)');
  reaching(
    group.command('create').argument('<name>', 'of the devices: a common name, in which `*` stands for any characters'),
  )
    .description('make a secret; it is shown only this once')
    .requiredOption('--authority <name>', 'who issues')
    .option('--profile <name>', 'of the authority; `device` unless given')
    .option('--uses <number>', 'how many certificates, or `unlimited`; 1 unless given')
    .option('--expires <time>', 'how long from now on; 7d unless given')
    .option('--out <file>', 'write the secret there, readable for you alone, instead of showing it')
    .option('--force', 'over a file that is there')
    .action(async (name: string, options: Create) => {
      const { authority, profile, uses, expires, out, force } = options;
      if (out !== undefined) mustBeFree([out], force);
      const body = { name, authority, ...given('profile', profile), ...given('expires', expires), ...usesOf(uses) };
      const made = await connect(options, terminal).send<Made>('POST', '/pki/enrolments', { body });
      showOnce(terminal, options, 'secret', made, made.id);
    });
  reaching(group.command('list'))
    .description('list enrolments, without the secrets themselves')
    .option('--all', 'also those that are revoked, used up or over')
    .action(async ({ all, ...options }: ReachOptions & { all?: boolean }) => {
      const found = await connect(options, terminal).list<Enrolment>('/pki/enrolments', {}, ALL);
      const items = found.items.filter(one => all || stateOf(one, terminal.now()) === 'open');
      print(terminal, options.output, { ...found, items }, () => listed(terminal, items));
    });
  reaching(group.command('revoke').argument('<id>', 'of the enrolment'))
    .description('end an enrolment: its secret gets no certificate any more')
    .option('-y, --yes', 'do it without asking')
    .action(async (id: string, { yes, ...options }: ReachOptions & { yes?: boolean }) => {
      const client = connect(options, terminal);
      const { value, etag } = await client.read<Enrolment>(at`/pki/enrolments/${id}`);
      await confirm(terminal, `End the enrolment ${value.id} of ${value.name} (${value.authority})?`, yes);
      await client.send('DELETE', at`/pki/enrolments/${id}`, { etag });
      const after = await client.get<Enrolment>(at`/pki/enrolments/${id}`);
      print(terminal, options.output, after, () => `${id} has ended\n`);
    });
}

function usesOf(uses: string | undefined): object {
  if (uses === undefined) return {};
  if (uses === 'unlimited') return { uses: null };
  if (/^[1-9]\d{0,5}$/.test(uses)) return { uses: Number(uses) };
  throw usage(`--uses: \`${uses}\` is no number`, 'such as 100, or `unlimited`');
}

function stateOf({ revoked_at, expires_at, uses_left }: Enrolment, now: number): string {
  if (revoked_at !== null) return 'revoked';
  if (uses_left === 0) return 'used up';
  return Date.parse(expires_at) <= now ? 'over' : 'open';
}

function listed(terminal: Terminal, enrolments: readonly Enrolment[]): string {
  return shownTable(
    terminal,
    ['id', 'name', 'authority', 'profile', 'state', 'uses left', 'ends', 'by'],
    enrolments.map(one => [
      one.id,
      one.name,
      one.authority,
      one.profile,
      stateOf(one, terminal.now()),
      one.uses_left === null ? 'unlimited' : String(one.uses_left),
      dayAndDistance(one.expires_at, terminal.now()),
      one.created_by,
    ]),
  );
}
