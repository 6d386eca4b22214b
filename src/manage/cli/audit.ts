// `portcullis audit`: who changed what, and whether the log is as it was written.

import type { Command } from 'commander';
import type { Entry, Verdict } from '../admin/audit-routes.js';
import { type Client, connect } from './client.js';
import { Exit, Fault } from './fault.js';
import { mostOf } from './limit.js';
import { count, moment, print } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { shownTable } from './table.js';
import type { Terminal } from './terminal.js';
import { whenPast } from './time.js';

interface Filters extends ReachOptions {
  actor?: string;
  action?: string;
  target?: string;
  since?: string;
  until?: string;
  limit: string;
}

const SHOWN = '50';

export function addAudit(program: Command, terminal: Terminal): void {
  const audit = program.command('audit').description('read and verify the log of all changes');
  reaching(audit.command('list'))
    .description('list changes, newest first')
    .option('--actor <name>', 'of this token or certificate')
    .option('--action <action>', 'whole, or its beginning up to a dot: pki.authority')
    .option('--target <target>', 'of what was changed')
    .option('--since <when>', 'how long ago, or a date: 2d, 2026-11-01')
    .option('--until <when>', 'the same; not included')
    .option('--limit <number>', 'how many', SHOWN)
    .action(async ({ actor, action, target, since, until, limit, ...options }: Filters) => {
      const time = (written: string | undefined, option: string) =>
        written === undefined ? undefined : whenPast(written, option, terminal.now());
      const query = { actor, action, target, since: time(since, '--since'), until: time(until, '--until') };
      const found = await connect(options, terminal).list<Entry>('/audit', query, mostOf(limit));
      print(terminal, options.output, found, () => listed(terminal, found.items));
    });
  reaching(audit.command('verify'))
    .description('walk the chain of hashes; exit code 1 when an entry is not as it was written')
    .option('--head <hash>', 'the head that an earlier run told: it has to be in the chain still')
    .action(async ({ head, ...options }: ReachOptions & { head?: string }) => {
      const client = connect(options, terminal);
      const verdict = await client.get<Verdict>('/audit/verify');
      print(terminal, options.output, verdict, () => told(verdict));
      if (verdict.broken) throw new Fault(`entry ${verdict.broken.seq}: ${verdict.broken.why}`, Exit.Failed);
      if (head !== undefined && !(await holds(client, head))) {
        throw new Fault(`no entry has the hash ${head}: the log was cut or written anew`, Exit.Failed);
      }
    });
}

async function holds(client: Client, head: string): Promise<boolean> {
  for await (const { items } of client.pages<Entry>('/audit')) {
    if (items.some(({ hash }) => hash === head)) return true;
  }
  return false;
}

function told({ entries, head, broken }: Verdict): string {
  if (broken) return `${count(entries, 'entry', 'entries')} read\n`;
  return `${count(entries, 'entry', 'entries')}, each as it was written; head ${head.seq} ${head.hash}\n`;
}

function listed(terminal: Terminal, entries: readonly Entry[]): string {
  return shownTable(
    terminal,
    ['seq', 'at', 'who', 'action', 'target'],
    entries.map(({ seq, at, actor, action, target }) => [String(seq), moment(at), actor, action, target]),
  );
}
