// Many certificates at once: a CSV of devices in, a zip with a folder for each out. All or nothing, unless asked for
// what can be had.

import { setImmediate as breathe } from 'node:timers/promises';
import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import { Archive } from './archive.js';
import { type Issuing, issuing } from './authorities.js';
import { type Encryption, encryption, filesOf, password } from './bundle.js';
import * as commands from './commands.js';
import { refuseConstrained } from './constraints.js';
import { authorityName } from './create.js';
import { CsvProblem, parseCsv, writeCsvLine } from './csv.js';
import { fileName } from './file-name.js';
import { type Content, chainOf, itemOf, keep, partner, profileAndValidity, rowOf } from './issue.js';
import { lifetime, rfc3339 } from './lifetime.js';
import { type AlternativeNames, commonName, listedNames } from './names.js';
import { decide, KEY_TYPES, profileName } from './profiles.js';
import { readme } from './readme.js';
import type { By, Pki } from './service.js';
import { settingsOf } from './settings.js';

/** Of one call: ten seconds of a core, and about 30 MiB of answer. */
export const MAX_ROWS = 10_000;
export const MAX_CSV_BYTES = 2 ** 20;
/** Rows with a password: each PKCS#12 takes some milliseconds of a core, on purpose. */
const MAX_LOCKED = 1_000;
/** Certificates of one command: the pool's threads, and this one, have others to serve in between. */
const AT_ONCE = 50;
/** Errors that are told; who has more has one of them often. */
const MAX_TOLD = 100;

export const bulkOptions = z.object({
  authority: authorityName,
  profile: profileName.default('device'),
  validity: lifetime('1h', '10y').optional(),
  key_type: z.enum(KEY_TYPES).default('P-256'),
  encryption,
  allow_partial: z
    .enum(['true', 'false'])
    .default('false')
    .transform(text => text === 'true')
    .meta({ description: 'Lines with mistakes are told in errors.csv of the zip; the others are issued.' }),
});

export type BulkOptions = z.output<typeof bulkOptions>;

/** Several names in one cell are separated by spaces, which no name has. */
const several = z.string().transform(cell => cell.split(/\s+/).filter(name => name !== ''));

const line = z.strictObject({
  name: commonName,
  dns: several.pipe(listedNames).optional(),
  email: several.pipe(listedNames).optional(),
  uri: several.pipe(listedNames).optional(),
  ip: several.pipe(listedNames).optional(),
  partner: z.union([z.literal('').transform(() => undefined), partner]).optional(),
  password: z.union([z.literal('').transform(() => undefined), password]).optional(),
});
const COLUMNS = Object.keys(line.shape);

interface Wanted {
  line: number;
  name: string;
  content: Content;
  partner: string | null;
  password: string | null;
  folder: string;
}

interface Mistake {
  line: number;
  message: string;
}

export interface Bulk {
  zip: Buffer;
  issued: number;
  failed: number;
}

export async function issueBulk(pki: Pki, csv: string, options: BulkOptions, by: By): Promise<Bulk> {
  const from = await issuing(pki, options.authority);
  const { profile, validity } = profileAndValidity(from, options.profile, options.validity);
  const { name_constraints } = settingsOf(from.authority);
  const { wanted, mistakes } = await readLines(csv, (name, names) => {
    const decided = decide(profile, options.profile, { name, names, csr: null, allow_dropping: false });
    refuseConstrained(name_constraints, decided.names, options.authority);
    return decided;
  });
  for (const one of wanted) one.content.usages = profile.usages;
  refuse(mistakes, options, wanted.length);
  const archive = new Archive(pki.now());
  const chain = chainOf(from);
  const rows = [];
  const index = [writeCsvLine(['name', 'folder', 'serial', 'fingerprint', 'not_after'])];
  for (let at = 0; at < wanted.length; at += AT_ONCE) {
    const some = wanted.slice(at, at + AT_ONCE);
    const signed = await sign(pki, from, some, options.key_type, validity);
    for (const [i, result] of signed.entries()) {
      const one = some[i] as Wanted;
      if ('error' in result) {
        mistakes.push({ line: one.line, message: `${result.error.message}: ${result.error.hint}` });
        continue;
      }
      const kept = { name: one.name, profile: options.profile, partner: one.partner, renews: null };
      const row = rowOf(pki, from, result, one.content, kept, by.name);
      const bundle = { row, key: result.key, chain, dropped: [], warnings: [] };
      const files = await filesOf(pki, bundle, fileName(one.name), lockedBy(one.password, options.encryption));
      for (const [name, file] of Object.entries(files)) archive.add(`${one.folder}/${name}`, file);
      index.push(writeCsvLine([one.name, one.folder, row.serial, row.fingerprint, rfc3339(row.not_after)]));
      rows.push(row);
    }
    await breathe();
  }
  refuse(mistakes, options, rows.length);
  archive.add('devices.csv', [Buffer.from(index.join('')), {}]);
  if (mistakes.length > 0) archive.add('errors.csv', [Buffer.from(errorsOf(mistakes)), {}]);
  archive.add('README.md', [Buffer.from(explanation(pki, options.authority, wanted[0], validity)), {}]);
  await keep(pki, rows, (tx, revisions) =>
    by.audit(tx, revisions, {
      action: 'pki.certificate.bulk',
      target: options.authority,
      // Which they are is told by the certificates themselves: all of them carry this revision.
      after: {
        profile: options.profile,
        issued: rows.length,
        failed: mistakes.length,
        revision: revisions.certificates,
      },
    }),
  );
  return { zip: archive.end(), issued: rows.length, failed: mistakes.length };
}

function sign(pki: Pki, from: Issuing, some: readonly Wanted[], key_type: BulkOptions['key_type'], validity: number) {
  const items = some.map(({ content }) => ({ ...itemOf(pki, from, { ...content, validity }), key_type }));
  return pki.ask(commands.issueMany, { issuer: from.issuer, items }).then(answer => answer.items);
}

type Decide = (name: string, names: AlternativeNames) => Omit<Content, 'usages'>;

async function readLines(csv: string, decided: Decide): Promise<{ wanted: Wanted[]; mistakes: Mistake[] }> {
  const [head, ...lines] = parsed(csv);
  const columns = head?.cells.map(cell => cell.trim().toLowerCase()) ?? [];
  refuseColumns(columns);
  if (lines.length > MAX_ROWS) throw new Refusal(422, `${lines.length} devices at once.`, `Send ${MAX_ROWS} at most.`);
  const wanted: Wanted[] = [];
  const mistakes: Mistake[] = [];
  const names = new Map<string, number>();
  const folders = new Set<string>();
  for (const [index, { line: number, cells }] of lines.entries()) {
    if (index % AT_ONCE === 0) await breathe();
    const wrong = (message: string) => void mistakes.push({ line: number, message });
    if (cells.length !== columns.length) {
      wrong(`${cells.length} cells instead of ${columns.length}`);
      continue;
    }
    const { data, error } = line.safeParse(Object.fromEntries(columns.map((column, at) => [column, cells[at]])));
    if (error) {
      wrong(error.issues.map(({ path, message }) => `${String(path[0])}: ${message}`).join('; '));
      continue;
    }
    const before = names.get(data.name);
    if (before !== undefined) {
      wrong(`name: is the same as in line ${before}`);
      continue;
    }
    names.set(data.name, number);
    try {
      const { dns = [], email = [], uri = [], ip = [] } = data;
      const content = { ...decided(data.name, { dns, email, uri, ip }), usages: [] };
      const folder = unique(fileName(data.name), folders);
      const { name, partner: owner = null, password: secret = null } = data;
      wanted.push({ line: number, name, content, partner: owner, password: secret, folder });
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      wrong(`${refusal.title} ${refusal.detail ?? ''}`.trim());
    }
  }
  if (wanted.filter(({ password: secret }) => secret !== null).length > MAX_LOCKED) {
    throw new Refusal(422, `More than ${MAX_LOCKED} devices with a password.`, 'Send them in parts.');
  }
  return { wanted, mistakes };
}

function parsed(csv: string) {
  try {
    return parseCsv(csv);
  } catch (error) {
    if (!(error instanceof CsvProblem)) throw error;
    throw new Refusal(422, 'The CSV cannot be read.', undefined, [
      { pointer: `/${error.line}`, detail: error.message },
    ]);
  }
}

function refuseColumns(columns: readonly string[]): void {
  const unknown = columns.filter(column => !COLUMNS.includes(column));
  const twice = columns.filter((column, index) => columns.indexOf(column) !== index);
  if (unknown.length === 0 && twice.length === 0 && columns.includes('name')) return;
  const why =
    unknown.length > 0
      ? `there is no column ${JSON.stringify(unknown[0])}`
      : twice.length > 0
        ? `the column ${twice[0]} is there twice`
        : 'the column name is missing';
  throw new Refusal(
    422,
    `The first line of the CSV has to name the columns: ${why}.`,
    `Columns: ${COLUMNS.join(', ')}.`,
  );
}

/** Unless parts are wanted, one mistake is one too many. */
function refuse(mistakes: readonly Mistake[], { allow_partial }: BulkOptions, left: number): void {
  if (left > 0 && (mistakes.length === 0 || allow_partial)) return;
  if (mistakes.length === 0)
    throw new Refusal(422, 'The CSV names no device.', 'A line with names of columns, then one a device.');
  throw new Refusal(
    422,
    `${mistakes.length} lines cannot be issued; nothing was.`,
    left > 0 ? 'Correct them, or ask with allow_partial=true for the others.' : undefined,
    mistakes.slice(0, MAX_TOLD).map(({ line: number, message }) => ({ pointer: `/${number}`, detail: message })),
  );
}

function unique(folder: string, taken: Set<string>): string {
  let name = folder;
  // File systems of desktops do not tell cases apart.
  for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${folder}-${n}`;
  taken.add(name.toLowerCase());
  return name;
}

function lockedBy(secret: string | null, kind: Encryption) {
  return secret === null ? null : { password: secret, encryption: kind };
}

function errorsOf(mistakes: readonly Mistake[]): string {
  return [['line', 'error'], ...mistakes.map(({ line: number, message }) => [String(number), message])]
    .map(writeCsvLine)
    .join('');
}

/** How one is used; the first device stands for all. */
function explanation(pki: Pki, authority: string, first: Wanted | undefined, validity: number): string {
  const name = first?.name ?? 'device';
  return readme({
    name,
    file: fileName(name),
    notAfter: pki.now() + validity,
    key: true,
    pkcs12: first?.password !== null,
    hosts: pki.hosts.filter(({ trust }) => trust.includes(authority)),
  });
}
