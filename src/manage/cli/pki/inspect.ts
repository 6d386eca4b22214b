// `portcullis pki inspect`: what a file is, and whether the gateway would accept it, step by step.

import type { Command } from 'commander';
import { printable } from '../../../config/problem.js';
import { type Explained, inspect, PkiError, type Run } from '../../pki/commands.js';
import type { Judged } from '../../pki/inspect-routes.js';
import { type Client, connect } from '../client.js';
import { Exit, Fault, usage } from '../fault.js';
import { readInput } from '../files.js';
import { print, say } from '../print.js';
import { type ReachOptions, reaching } from '../reach.js';
import { pairs } from '../table.js';
import type { Terminal } from '../terminal.js';
import { password } from './password.js';

interface Options extends ReachOptions {
  host?: string;
  path: string;
  offline?: boolean;
  passwordFile?: string;
}

/** A file, what it is, and what the gateway says of each of its certificates; null where it was not asked. */
interface Inspected {
  file: string;
  kind: Explained['kind'];
  items: (Explained['items'][number] & { judged: Judged[] | null })[];
}

export function addInspect(pki: Command, terminal: Terminal, native: () => Promise<Run>): void {
  reaching(pki.command('inspect').argument('<file...>', 'PEM or DER; `-` for standard input'))
    .description('explain certificates, requests, revocation lists, PKCS#12, PKCS#7; would the gateway accept them?')
    .option('--host <host>', 'ask for this host only, and fail when it would not accept')
    .option('--path <path>', 'and this path', '/')
    .option('--offline', 'only explain, ask no gateway')
    .option('--password-file <file>', 'holds the password of a PKCS#12 file; PORTCULLIS_PASSWORD, else it is asked for')
    .action(async (files: string[], options: Options) => {
      if (options.offline && options.host !== undefined) throw usage('`--host` asks a gateway, `--offline` none');
      const run = await native();
      const inspected: Inspected[] = [];
      for (const file of files) inspected.push(await explain(terminal, run, file, options));
      const unasked = options.offline ? null : await judge(inspected, () => connect(options, terminal), options);
      print(terminal, options.output, inspected, () => inspected.map(told).join('\n'));
      if (unasked !== null) say(terminal, `would the gateway accept it? ${printable(unasked.message)}`);
      const all = inspected.flatMap(({ items }) => items.flatMap(({ judged }) => judged ?? []));
      if (options.host === undefined) return;
      if (unasked !== null) throw unasked;
      if (all.length === 0) throw new Fault('there is no client certificate in it', Exit.Failed);
      const denied = all.find(({ accepted }) => !accepted);
      if (denied) throw new Fault(`${denied.host} would not accept it: ${denied.reason}`, Exit.Failed);
    });
}

async function explain(terminal: Terminal, run: Run, file: string, options: Options): Promise<Inspected> {
  const bytes = readInput(file);
  const secret = isPkcs12(bytes) ? await password(terminal, file, options.passwordFile) : undefined;
  try {
    const { kind, items } = await inspect(run, {
      bytes: bytes.toString('base64'),
      ...(secret !== undefined && { password: secret }),
    });
    return { file, kind, items: items.map(item => ({ ...item, judged: null })) };
  } catch (error) {
    if (error instanceof PkiError) throw new Fault(`${file}: ${error.message}`, Exit.Failed, [error.hint]);
    throw error;
  }
}

/** Version 3 in a sequence (RFC 7292, 4), which nothing else that is inspected begins with. */
function isPkcs12(bytes: Buffer): boolean {
  const [tag, length = 0] = bytes;
  const header = length < 0x80 ? 2 : 2 + (length & 0x7f);
  return tag === 0x30 && bytes.subarray(header, header + 3).equals(Buffer.from([0x02, 0x01, 0x03]));
}

/**
 * Asks about each client certificate; the gateway sees nothing else of the files, no key and no password. Answers why
 * it could not be asked, or null.
 */
async function judge(inspected: Inspected[], connected: () => Client, { host, path }: Options): Promise<Fault | null> {
  const clients = inspected.flatMap(({ items }) =>
    items.filter(({ pem, facts }) => pem !== undefined && facts !== undefined && !facts.is_authority),
  );
  if (clients.length === 0) return null;
  try {
    const client = connected();
    for (const item of clients) {
      const body = { file: Buffer.from(item.pem ?? '').toString('base64'), path, ...(host !== undefined && { host }) };
      const { items } = await client.send<{ items: { judged: Judged[] | null }[] }>('POST', '/pki/inspect', { body });
      item.judged = items[0]?.judged ?? null;
    }
    return null;
  } catch (error) {
    if (error instanceof Fault && (host === undefined || error.exit === Exit.Unreachable)) return error;
    throw error;
  }
}

function told({ file, items }: Inspected): string {
  return items
    .map(({ title, rows, warnings, judged }) => {
      const parts = [`${printable(file)}: ${printable(title)}\n`, indented(pairs(rows))];
      for (const warning of warnings) parts.push(`  ! ${printable(warning)}\n`);
      if (judged !== null) parts.push(judgement(judged));
      return parts.join('');
    })
    .join('\n');
}

/** One host with all steps; of several, the failing ones. */
function judgement(judged: readonly Judged[]): string {
  const lines = judged.flatMap(({ host, accepted, reason, steps }) => {
    const verdict = accepted ? `${host} would accept it` : `${host} would not accept it: ${reason}`;
    const shown = judged.length === 1 ? steps : steps.filter(({ ok }) => !ok);
    return [verdict, ...shown.map(({ step, ok, detail }) => `  ${ok ? 'ok  ' : 'FAIL'} ${step}: ${detail}`)];
  });
  return `${lines.map(line => `  ${printable(line)}\n`).join('')}`;
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
