// `portcullis pki revoke|hold|restore|revocations`: what is refused from the next second on, on every gateway.

import { type Command, Option } from 'commander';
import type { Action, Reason } from '../../pki/revocation.js';
import type { Outcome, ShownRevocation as Revocation } from '../../pki/revocation-routes.js';
import { connect } from '../client.js';
import { usage } from '../fault.js';
import { mostOf } from '../limit.js';
import { count, dayAndDistance, moment, print, say } from '../print.js';
import { type ReachOptions, reaching } from '../reach.js';
import { shownTable } from '../table.js';
import { confirm, type Terminal } from '../terminal.js';

interface Options extends ReachOptions {
  authority?: string;
  serial?: string;
  fingerprint?: string;
  subject?: string;
  partner?: string;
  reason?: Reason;
  yes?: boolean;
  dryRun?: boolean;
}

/** RFC 5280, 5.3.1: what an operator may say. */
const REASONS = Object.keys({
  unspecified: 0,
  keyCompromise: 0,
  cACompromise: 0,
  affiliationChanged: 0,
  superseded: 0,
  cessationOfOperation: 0,
  privilegeWithdrawn: 0,
  aACompromise: 0,
} satisfies Record<Reason, 0>);
/** Of what is about to be hit. */
const SHOWN = 20;

const WORDS: Record<Action, { description: string; question: string; done: string }> = {
  revoke: {
    description: 'take certificates back for good: refused within a second, on live connections too',
    question: 'Revoke',
    done: 'refused for good',
  },
  hold: {
    description: 'refuse certificates until they are restored',
    question: 'Hold',
    done: 'refused until restored',
  },
  restore: { description: 'accept certificates again that were held', question: 'Restore', done: 'accepted again' },
};

export function addRevoke(pki: Command, terminal: Terminal): void {
  for (const action of ['revoke', 'hold', 'restore'] as const) {
    const command = reaching(pki.command(action).argument('[certificate]', 'serial with --authority, or fingerprint'))
      .description(WORDS[action].description)
      .option('--authority <name>', 'who issued it')
      .option('--serial <hex>', 'by serial number, with --authority')
      .option('--fingerprint <hex>', 'by SHA-256 of the certificate; it need never have been seen here')
      .option('--subject <text>', 'by whole subject, as `pki list` shows it')
      .option('--partner <name>', 'everything that was issued to this partner')
      .option('--dry-run', 'only show what would be hit')
      .option('-y, --yes', 'do it without asking');
    if (action === 'revoke') {
      command.addOption(new Option('--reason <reason>', 'RFC 5280').choices(REASONS).default('unspecified'));
    }
    command.action(async (certificate: string | undefined, options: Options) => {
      await act(terminal, action, selection(certificate, options), options);
    });
  }
  reaching(pki.command('revocations'))
    .description('list what was revoked, held and restored, newest first')
    .option('--authority <name>', 'of this authority')
    .addOption(new Option('--state <state>', 'only these').choices(['revoked', 'held', 'restored']))
    .option('--limit <number>', 'how many', '100')
    .action(async ({ authority, state, limit, ...options }: ReachOptions & Record<string, string>) => {
      const client = connect(options as ReachOptions, terminal);
      const found = await client.list<Revocation>('/pki/revocations', { authority, state }, mostOf(limit ?? ''));
      print(terminal, options.output, found, () => listed(terminal, found.items));
    });
}

async function act(terminal: Terminal, action: Action, selection: object, options: Options): Promise<void> {
  const { reason, yes, dryRun, output } = options;
  const client = connect(options, terminal);
  const body = { ...selection, action, ...(reason && { reason }) };
  const ask = (dry: boolean) =>
    client.send<Outcome>('POST', '/pki/revocations', { body: { ...body, ...(dry && { dry_run: true }) } });
  const would = await ask(true);
  if (dryRun) {
    print(terminal, output, would, () => hits(terminal, would));
    return;
  }
  terminal.error.write(hits(terminal, would));
  if (would.changed === 0) {
    say(terminal, 'nothing is to be changed');
    print(terminal, output, would, () => '');
    return;
  }
  await confirm(terminal, `${WORDS[action].question} ${count(would.changed, 'certificate')}?`, yes);
  const done = await ask(false);
  print(terminal, output, done, () => `${count(done.changed, 'certificate')} ${WORDS[action].done}\n`);
}

const FINGERPRINT = /^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/;

/** The one way that was chosen, as the API takes it. */
function selection(certificate: string | undefined, options: Options): object {
  const { authority, serial, fingerprint, subject, partner } = options;
  const bare =
    certificate === undefined
      ? {}
      : FINGERPRINT.test(certificate)
        ? { fingerprint: certificate }
        : { serial: certificate };
  const ways = [certificate, serial, fingerprint, subject, partner].filter(way => way !== undefined);
  if (ways.length !== 1) {
    throw usage('say which, in one way: a serial, a fingerprint, `--subject` or `--partner`');
  }
  const chosen = { ...bare, ...defined({ serial, fingerprint, subject, partner }) };
  if ('serial' in chosen && authority === undefined) {
    throw usage('a serial says nothing without who issued it', 'add `--authority`, or take the fingerprint');
  }
  return { ...chosen, ...(authority !== undefined && !('fingerprint' in chosen) && { authority }) };
}

function defined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function hits(terminal: Terminal, { hits, changed }: Outcome): string {
  const rows = hits
    .slice(0, SHOWN)
    .map(({ authority, serial, fingerprint, subject, not_after, known, before, after }) => [
      subject ?? '(not seen here)',
      authority ?? '-',
      serial ?? fingerprint ?? '-',
      dayAndDistance(not_after, terminal.now()),
      known,
      before === after ? `${before ?? 'good'} already` : `${before ?? 'good'} -> ${after ?? 'good'}`,
    ]);
  const more = hits.length > SHOWN ? `and ${hits.length - SHOWN} more\n` : '';
  const sum = `${count(hits.length, 'certificate')} found, ${changed} to change\n`;
  return `${shownTable(terminal, ['subject', 'authority', 'serial', 'ends', 'known', 'state'], rows)}${more}${sum}`;
}

function listed(terminal: Terminal, revocations: readonly Revocation[]): string {
  return shownTable(
    terminal,
    ['state', 'reason', 'authority', 'serial or fingerprint', 'at', 'by'],
    revocations.map(({ state, reason, authority, serial, fingerprint, at, by }) => [
      state,
      reason,
      authority ?? '-',
      serial ?? fingerprint ?? '-',
      moment(at),
      by,
    ]),
  );
}
