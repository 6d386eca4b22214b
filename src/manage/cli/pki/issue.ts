// `portcullis pki issue`: a certificate, or one for each line of a CSV file.

import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { printable } from '../../../config/problem.js';
import { fileName } from '../../pki/file-name.js';
import type { issuedCertificate } from '../../pki/shapes.js';
import { connect } from '../client.js';
import { Fault, usage } from '../fault.js';
import { folder, mustBeFree, readInput, type Written, write, writeTogether } from '../files.js';
import { print, say } from '../print.js';
import { type ReachOptions, reaching } from '../reach.js';
import type { Terminal } from '../terminal.js';
import { given, KEY_TYPES } from './authority.js';
import { issueBulk } from './bulk.js';
import { shown } from './certificates.js';
import { collect } from './names.js';
import { newPassword } from './password.js';

type Issued = z.output<typeof issuedCertificate>;

export interface IssueOptions extends ReachOptions {
  authority: string;
  csr?: string;
  keyType?: string;
  profile?: string;
  days?: string;
  partner?: string;
  dns: string[];
  email: string[];
  uri: string[];
  ip: string[];
  allowDropping?: boolean;
  format: 'pem' | 'pkcs12' | 'zip';
  encryption: 'modern' | 'legacy';
  passwordFile?: string;
  out?: string;
  force?: boolean;
  bulk?: string;
  allowPartial?: boolean;
}

/** A request is a few kilobytes; the gateway reads 64 KiB. */
const MAX_CSR_BYTES = 64 * 1024;

export function addIssue(pki: Command, terminal: Terminal): void {
  reaching(pki.command('issue').argument('[name]', 'its common name: a device, a service, a person'))
    .description('issue a certificate: from a request, or with a key that the gateway makes and shows this once')
    .requiredOption('--authority <name>', 'who issues it')
    .option('--csr <file>', 'certification request: the device keeps its key')
    .addOption(new Option('--key-type <type>', 'of the key that is made').choices(KEY_TYPES).conflicts('csr'))
    .option('--profile <name>', 'of the authority; `client` unless given')
    .option('--days <number>', 'how long it is good for; the profile’s unless given')
    .option('--partner <name>', 'whom it belongs to: found and revoked by it')
    .option('--dns <name>', 'alternative name; repeatable, as the next ones', collect, [])
    .option('--email <address>', 'alternative name', collect, [])
    .option('--uri <uri>', 'alternative name, such as a SPIFFE id', collect, [])
    .option('--ip <address>', 'alternative name', collect, [])
    .option('--allow-dropping', 'leave out what the request asks for beyond its profile')
    .addOption(
      new Option('--format <format>', 'pem: files; pkcs12: one file with a password; zip: both and how to use them')
        .choices(['pem', 'pkcs12', 'zip'])
        .default('pem'),
    )
    .addOption(
      new Option('--encryption <way>', 'of PKCS#12; legacy: Android before 12, iOS before 14, Windows before 2019')
        .choices(['modern', 'legacy'])
        .default('modern'),
    )
    .option('--bulk <file>', 'CSV: columns name, dns, email, uri, ip, partner, password; a device a line')
    .option('--allow-partial', 'with `--bulk`: issue the other lines when some have mistakes')
    .option('--password-file <file>', 'of PKCS#12, its first line; PORTCULLIS_PASSWORD, else it is asked for')
    .option('--out <folder>', 'where the files go; a folder of its name unless given')
    .option('--force', 'over files that are there')
    .action(async (name: string | undefined, options: IssueOptions) => {
      if ((name === undefined) === (options.bulk === undefined)) {
        throw usage(
          name === undefined ? 'the name is missing' : 'a name means nothing with `--bulk`: the file has them',
        );
      }
      if (options.bulk !== undefined) await issueBulk(terminal, options.bulk, options);
      else if (name !== undefined) await issueOne(terminal, name, options);
    });
}

async function issueOne(terminal: Terminal, name: string, options: IssueOptions): Promise<void> {
  const { format, output, force, csr } = options;
  const asJson = output === 'json' && options.out === undefined;
  if (asJson && format !== 'pem')
    throw usage(`\`-o json\` shows PEM, not ${format}`, 'add `--out`, or leave out `--format`');
  const files = filesOf(name, options.out ?? fileName(name), csr !== undefined);
  const ending = format === 'pkcs12' ? files.pkcs12 : files.zip;
  const written = format === 'pem' ? [files.certificate, files.chain, files.ownAuthority, files.key] : [ending];
  if (!asJson) {
    folder(files.folder);
    mustBeFree(
      written.filter(file => file !== null),
      force,
    );
  }
  const client = connect(options, terminal);
  const body = { name, ...wanted(options), ...(await lockedOf(terminal, options)) };
  if (format !== 'pem') {
    const bytes = await client.fetch('POST', '/pki/certificates', { body: { ...body, format } });
    kept(() => write(ending, bytes, 'secret', force), `the newest of \`portcullis pki list --name ${name}\``);
    say(terminal, `${ending} written`);
    return;
  }
  const issued = await client.send<Issued>('POST', '/pki/certificates', { body });
  for (const warning of [...issued.warnings, ...issued.dropped.map(one => `left out: ${one}`)]) {
    say(terminal, `note: ${printable(warning)}`);
  }
  if (asJson) return print(terminal, output, issued, () => '');
  const done = kept(() => writeIssued(files, issued, force), `it: \`portcullis pki revoke ${issued.fingerprint}\``);
  const { key: _, ...rest } = issued;
  print(terminal, output, rest, () => `${shown(terminal, issued)}\n${done.map(file => `${file}\n`).join('')}`);
}

interface Files {
  folder: string;
  certificate: string;
  chain: string;
  authority: string;
  /** Where another authority's is there already. */
  ownAuthority: string;
  key: string | null;
  pkcs12: string;
  zip: string;
}

/** Called as in the gateway's zip files. */
function filesOf(name: string, inside: string, keyElsewhere: boolean): Files {
  const file = (ending: string) => join(inside, `${fileName(name)}${ending}`);
  return {
    folder: inside,
    certificate: file('.pem'),
    chain: file('-chain.pem'),
    authority: join(inside, 'authority.pem'),
    ownAuthority: file('-authority.pem'),
    key: keyElsewhere ? null : file('.key'),
    pkcs12: file('.p12'),
    zip: file('.zip'),
  };
}

function writeIssued(files: Files, { certificate, chain, key }: Issued, force?: boolean): string[] {
  const above = pems(chain).filter(pem => !isRoot(pem));
  const written: Written[] = [
    { file: files.certificate, content: certificate, kind: 'public' },
    { file: files.chain, content: certificate + above.join(''), kind: 'public' },
  ];
  const there = existsSync(files.authority) ? readInput(files.authority).toString('utf8') : null;
  const authority = there === null ? files.authority : files.ownAuthority;
  if (there !== chain) written.push({ file: authority, content: chain, kind: 'public' });
  if (key !== null && files.key !== null) written.push({ file: files.key, content: key, kind: 'secret' });
  writeTogether(written, force);
  return written.map(({ file }) => file);
}

/** Peers have their roots: sending them helps nobody (RFC 8446, 4.4.2). */
function isRoot(pem: string): boolean {
  const certificate = new X509Certificate(pem);
  return certificate.checkIssued(certificate);
}

function pems(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
}

/** What was answered once and is gone when it cannot be written. `which` is to be revoked then. */
function kept<T>(save: () => T, which: string): T {
  try {
    return save();
  } catch (error) {
    const { message } = error as Error;
    throw new Fault(`it was issued, but ${message}`, undefined, [`revoke ${which}`]);
  }
}

function wanted(options: IssueOptions): object {
  const { csr, partner, dns, email, uri, ip, allowDropping } = options;
  return {
    ...optionsOf(options),
    ...given('partner', partner),
    ...given('csr', csr === undefined ? undefined : csrOf(csr)),
    ...given('allow_dropping', allowDropping),
    ...{ dns, email, uri, ip },
  };
}

/** What is the same for one and for many. */
export function optionsOf({ authority, keyType, profile, days }: IssueOptions): Record<string, string> {
  return {
    authority,
    ...given('profile', profile),
    ...given('validity', days === undefined ? undefined : validityOf(days)),
    ...given('key_type', keyType),
  };
}

/** `90`, and what the gateway takes besides: `12h`, `2y`. */
function validityOf(days: string): string {
  if (/^\d{1,6}$/.test(days)) return `${Number(days)}d`;
  if (/^\d{1,6}[hdy]$/.test(days)) return days;
  throw usage(`--days: \`${days}\` is no number of days`);
}

/** PEM as it is, DER as base64. */
function csrOf(file: string): string {
  const bytes = readInput(file, MAX_CSR_BYTES);
  return bytes[0] === 0x30 ? bytes.toString('base64') : bytes.toString('utf8');
}

/** A zip holds a PKCS#12 file too when somebody gives a password for it. */
async function lockedOf(terminal: Terminal, options: IssueOptions): Promise<object> {
  const { format, encryption, passwordFile, csr } = options;
  const asked = format === 'pkcs12' || (format === 'zip' && csr === undefined && hasPassword(terminal, passwordFile));
  if (!asked) return {};
  return { password: await newPassword(terminal, passwordFile), encryption };
}

function hasPassword({ env }: Terminal, file: string | undefined): boolean {
  return file !== undefined || Boolean(env.PORTCULLIS_PASSWORD);
}
