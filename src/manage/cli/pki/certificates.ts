// `portcullis pki list|show`: what was issued here, and how it stands.

import { type Command, Option } from 'commander';
import type { z } from 'zod';
import type { certificate, shownCertificate } from '../../pki/shapes.js';
import { at, type Client, connect } from '../client.js';
import { usage } from '../fault.js';
import { mostOf } from '../limit.js';
import { dayAndDistance, moment, print, say } from '../print.js';
import { type ReachOptions, reaching } from '../reach.js';
import { pairs, shownTable } from '../table.js';
import type { Terminal } from '../terminal.js';
import { whenGone } from '../time.js';

export type Certificate = z.output<typeof certificate>;
type Shown = z.output<typeof shownCertificate>;

const STANDINGS = ['valid', 'expired', 'held', 'revoked'];

interface Filters extends ReachOptions {
  authority?: string;
  name?: string;
  subject?: string;
  partner?: string;
  status?: string;
  expiring?: string;
  limit: string;
}

export function addCertificates(pki: Command, terminal: Terminal): void {
  reaching(pki.command('list'))
    .description('list certificates that were issued here, newest first')
    .option('--authority <name>', 'of this authority')
    .option('--name <beginning>', 'whose name begins so')
    .option('--subject <text>', 'of this whole subject')
    .option('--partner <name>', 'of this partner')
    .addOption(new Option('--status <status>', 'only these').choices(STANDINGS))
    .option('--expiring <when>', 'valid ones that end within this time, or before a date: 30d, 2027-01-31')
    .option('--limit <number>', 'how many', '100')
    .action(async (options: Filters) => {
      const { authority, name, subject, partner, status, expiring, limit, output } = options;
      if (expiring !== undefined && status !== undefined && status !== 'valid') {
        throw usage('`--expiring` asks for valid certificates', `leave out \`--status ${status}\``);
      }
      const ending =
        expiring === undefined
          ? { status }
          : { status: 'valid', expiring_before: whenGone(expiring, '--expiring', terminal.now()) };
      const query = { authority, name, subject, partner, ...ending };
      const found = await connect(options, terminal).list<Certificate>('/pki/certificates', query, mostOf(limit));
      print(terminal, output, found, () => listed(terminal, found.items));
      if (found.next !== null) say(terminal, `these are the newest ${found.items.length}; more with \`--limit\``);
    });
  reaching(pki.command('show').argument('<certificate>', 'serial, fingerprint, or name'))
    .description('show a certificate that was issued here')
    .option('--authority <name>', 'who issued it')
    .option('--pem', 'print the certificate itself')
    .action(async (which: string, options: ReachOptions & { authority?: string; pem?: boolean }) => {
      const client = connect(options, terminal);
      const { fingerprint } = await meant(client, which, options.authority);
      const found = await client.get<Shown>(at`/pki/certificates/${fingerprint}`);
      if (options.pem && options.output === 'table') terminal.output.write(found.certificate);
      else print(terminal, options.output, found, () => shown(terminal, found));
    });
}

const FINGERPRINT = /^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/;
const SERIAL = /^([0-9A-Fa-f]:?)+$/;
/** Of several that a name may mean. */
const SEVERAL = 10;

/** The certificate that is meant: by its fingerprint, else by its serial, else by its name. */
export async function meant(
  client: Client,
  which: string,
  authority: string | undefined,
): Promise<{ fingerprint: string }> {
  if (FINGERPRINT.test(which)) return { fingerprint: which.replaceAll(':', '').toLowerCase() };
  const ask = (query: object) =>
    client.list<Certificate>('/pki/certificates', { authority, ...query }, SEVERAL).then(({ items }) => items);
  const serial = which.replaceAll(':', '').toUpperCase();
  const bySerial = SERIAL.test(which) ? await ask({ serial: serial.length % 2 ? `0${serial}` : serial }) : [];
  const found = bySerial.length > 0 ? bySerial : (await ask({ name: which })).filter(({ name }) => name === which);
  const [first, ...others] = found;
  if (!first) throw usage(`no certificate \`${which}\` was issued here`, '`portcullis pki list` shows them');
  if (others.length === 0) return first;
  const lines = found.map(({ authority, serial, status }) => `${authority} ${serial} (${status})`);
  throw usage(`\`${which}\` means several certificates`, 'say which, by serial and `--authority`:', ...lines);
}

export function listed(terminal: Terminal, certificates: readonly Certificate[]): string {
  return shownTable(
    terminal,
    ['name', 'authority', 'status', 'ends', 'partner', 'serial'],
    certificates.map(({ name, authority, status, not_after, partner, serial }) => [
      name,
      authority,
      status,
      dayAndDistance(not_after, terminal.now()),
      partner ?? '-',
      serial,
    ]),
  );
}

export function shown(terminal: Terminal, one: Certificate): string {
  const { dns, email, uri, ip, revocation } = one;
  const names = [['dns', dns] as const, ['email', email] as const, ['uri', uri] as const, ['ip', ip] as const];
  const rows: [string, string][] = [
    ['name', one.name],
    ['subject', one.subject],
    ...names
      .filter(([, values]) => values.length > 0)
      .map(([kind, values]): [string, string] => [kind, values.join(', ')]),
    ['authority', `${one.authority}, generation ${one.generation}`],
    ['serial', one.serial],
    ['fingerprint', one.fingerprint],
    ['profile', one.profile],
    ['partner', one.partner ?? '-'],
    ['from', moment(one.not_before)],
    ['until', `${moment(one.not_after)}, ${dayAndDistance(one.not_after, terminal.now()).slice(11)}`],
    ['issued', `${moment(one.issued_at)} by ${one.issued_by}`],
    ['status', revocation ? `${one.status} ${moment(revocation.at)}, ${revocation.reason}` : one.status],
  ];
  if (one.renews !== null) rows.push(['renews', one.renews]);
  return pairs(rows);
}
