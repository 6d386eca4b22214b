// `portcullis pki issue --bulk`: a CSV of devices becomes a folder with a folder for each.
//
// The file goes to the gateway in parts, so that there is progress to show and a lost connection costs one part. A part
// is issued whole or not at all; what was issued before it is in the folder, and is said.

import { basename, extname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { printable } from '../../../config/problem.js';
import { type CsvLine, CsvProblem, parseCsv } from '../../pki/csv.js';
import { fileName } from '../../pki/file-name.js';
import { type Client, connect } from '../client.js';
import { Fault, usage } from '../fault.js';
import { folder, mustBeFree, readInput, write } from '../files.js';
import { count, print } from '../print.js';
import { progress } from '../progress.js';
import type { Terminal } from '../terminal.js';
import { type IssueOptions, optionsOf } from './issue.js';

/** Of one call: some hundred milliseconds of the gateway; keys of RSA take up to a second each. */
const PART = 100;
const RSA_PART = 5;
const MAX_CSV_BYTES = 16 * 2 ** 20;
const HEAD = ['name', 'folder', 'serial', 'fingerprint', 'not_after'];

interface Device {
  line: number;
  name: string;
  /** Below the folder of all. */
  folder: string;
}

export async function issueBulk(terminal: Terminal, file: string, options: IssueOptions): Promise<void> {
  refuseMeaningless(options);
  const text = readInput(file, MAX_CSV_BYTES).toString('utf8');
  const [head, ...lines] = read(file, text);
  const devices = devicesOf(file, head, lines);
  const out = folder(options.out ?? basename(file, extname(file)));
  const index = join(out, 'devices.csv');
  mustBeFree([index, ...devices.map(device => join(out, device.folder))], false);
  const client = connect(options, terminal);
  const shown = progress(terminal, 'issuing', devices.length);
  const issued: string[] = [];
  const failed: string[] = [];
  const written = text.split('\n');
  const byName = new Map(devices.map(device => [shownName(device.name), device]));
  const size = options.keyType?.startsWith('RSA') ? RSA_PART : PART;
  try {
    for (let at = 0; at < devices.length; at += size) {
      const part = partOf(written, lines, at, Math.min(at + size, devices.length));
      const files = await ask(client, part, options);
      const kept = save(out, files, byName);
      issued.push(...kept.issued);
      failed.push(...kept.failed);
      shown.step(Math.min(at + size, devices.length));
    }
  } catch (error) {
    shown.end();
    if (issued.length > 0) write(index, listed(HEAD, issued), 'public');
    throw told(error, issued.length, index);
  }
  shown.end();
  write(index, listed(HEAD, issued), 'public');
  if (failed.length > 0) write(join(out, 'errors.csv'), listed(['line', 'error'], failed), 'public', true);
  const sum = { folder: out, issued: issued.length, failed: failed.length };
  print(terminal, options.output, sum, () => {
    const wrong = failed.length > 0 ? `; ${count(failed.length, 'line')} could not be: see errors.csv there` : '';
    return `${count(issued.length, 'certificate')} in ${printable(out)}${wrong}\n`;
  });
  if (failed.length > 0) throw new Fault(`${count(failed.length, 'line')} of ${file} could not be issued`);
}

/** What is said for one certificate is said by the file for many. */
function refuseMeaningless({ csr, dns, email, uri, ip, partner, format, passwordFile, force }: IssueOptions): void {
  const said = { '--csr': csr, '--partner': partner, '--password-file': passwordFile, '--force': force };
  const named = { '--dns': dns, '--email': email, '--uri': uri, '--ip': ip };
  const wrong = [
    ...Object.entries(said).filter(([, value]) => value !== undefined),
    ...Object.entries(named).filter(([, values]) => values.length > 0),
    ...(format === 'pem' ? [] : [['--format']]),
  ];
  if (wrong.length === 0) return;
  throw usage(
    `${wrong[0]?.[0]} means nothing with \`--bulk\``,
    'columns: name, dns, email, uri, ip, partner, password',
  );
}

function read(file: string, text: string): CsvLine[] {
  try {
    return parseCsv(text);
  } catch (error) {
    if (error instanceof CsvProblem) throw usage(`${file}, line ${error.line}: ${error.message}`);
    throw error;
  }
}

/** Names and folders are told apart over all parts; the rest is the gateway's to judge. */
function devicesOf(file: string, head: CsvLine | undefined, lines: readonly CsvLine[]): Device[] {
  const column = head?.cells.findIndex(cell => cell.trim().toLowerCase() === 'name') ?? -1;
  if (column < 0) throw usage(`${file}: the first line has to name the columns, \`name\` among them`);
  if (lines.length === 0) throw usage(`${file} names no device`);
  const names = new Map<string, number>();
  const folders = new Set<string>();
  return lines.map(({ line, cells }) => {
    const name = cells[column] ?? '';
    const before = names.get(shownName(name));
    if (before !== undefined) throw usage(`${file}, line ${line}: the name is that of line ${before}`);
    names.set(shownName(name), line);
    return { line, name, folder: unique(fileName(name), folders) };
  });
}

function unique(wanted: string, taken: Set<string>): string {
  let name = wanted;
  // File systems of desktops do not tell cases apart.
  for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${wanted}-${n}`;
  taken.add(name.toLowerCase());
  return name;
}

/** The lines as they stand, each at its own line number, so that the gateway's complaints name the file's. */
function partOf(all: readonly string[], lines: readonly CsvLine[], from: number, to: number): string {
  const start = (lines[from] as CsvLine).line - 1;
  const first = (lines[0] as CsvLine).line - 1;
  const end = lines[to] ? lines[to].line - 1 : all.length;
  const before = all.slice(0, first);
  return [...before, ...Array<string>(start - first).fill(''), ...all.slice(start, end)].join('\n');
}

async function ask(client: Client, part: string, options: IssueOptions): Promise<Record<string, Uint8Array>> {
  const { encryption, allowPartial } = options;
  const query = { ...optionsOf(options), encryption, ...(allowPartial && { allow_partial: 'true' }) };
  const zip = await client.fetch('POST', '/pki/certificates/bulk', { query, body: part, contentType: 'text/csv' });
  return unzipSync(zip);
}

/** A folder and a file in it, neither hidden nor above: nothing else is written. */
const ENTRY = /^([A-Za-z0-9][A-Za-z0-9._-]*)\/([A-Za-z0-9][A-Za-z0-9._-]*)$/;

/** Writes a part; answers the lines of its two lists. */
function save(out: string, files: Record<string, Uint8Array>, devices: ReadonlyMap<string, Device>) {
  const lists = (name: string) => parseCsv(Buffer.from(files[name] ?? []).toString('utf8')).slice(1);
  const issued = lists('devices.csv').map(({ cells }) => {
    const [name = '', from = '', ...rest] = cells;
    const device = devices.get(name);
    if (!device) throw new Fault('the answer names a device that was not asked for');
    const inside = folder(join(out, device.folder));
    for (const [path, content] of Object.entries(files)) {
      const [, zipped, file] = ENTRY.exec(path) ?? [];
      if (zipped !== from || file === undefined) continue;
      write(join(inside, file), content, /\.(key|p12)$/.test(file) ? 'secret' : 'public');
    }
    return line([name, device.folder, ...rest]);
  });
  if (files['README.md']) write(join(out, 'README.md'), files['README.md'], 'public', true);
  return { issued, failed: lists('errors.csv').map(({ cells }) => line(cells)) };
}

/** As the gateway's lists show it: spreadsheets run what begins so as a formula (OWASP, CSV injection). */
function shownName(name: string): string {
  return /^[=+\-@\t\r]/.test(name) ? `'${name}` : name;
}

/** What the gateway wrote harmless stays so: it is only put together again. */
function line(cells: readonly string[]): string {
  return cells.map(cell => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',');
}

function listed(head: readonly string[], lines: readonly string[]): string {
  return [head.join(','), ...lines].map(one => `${one}\r\n`).join('');
}

function told(error: unknown, issued: number, index: string): unknown {
  if (!(error instanceof Fault) || issued === 0) return error;
  const done = `${count(issued, 'certificate')} of earlier lines ${issued === 1 ? 'was' : 'were'} issued: see ${index}`;
  return new Fault(error.message, error.exit, [...error.lines, done]);
}
