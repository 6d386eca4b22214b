// What a person takes to a device: a PKCS#12 file, or a zip with everything and how to use it. Made once, from memory;
// keys are never stored.

import { type ZipAttributes, zipSync } from 'fflate';
import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import * as commands from './commands.js';
import { fileName } from './file-name.js';
import type { IssuedCertificate } from './issue.js';
import { readme } from './readme.js';
import type { Pki } from './service.js';

/** A file that leaves this machine is only as safe as its password: eight characters, NIST SP 800-63B, 5.1.1.2. */
const MIN_PASSWORD = 8;
const MAX_PASSWORD = 256;

export const password = z
  .string()
  .min(MIN_PASSWORD)
  .max(MAX_PASSWORD)
  .refine(written => !/\p{C}/u.test(written), { error: 'holds a control character' });
export const encryption = z
  .enum(['modern', 'legacy'])
  .default('modern')
  .describe('Of PKCS#12: AES-256, or 3DES with SHA-1 for Android before 12, iOS before 14 and Windows before 2019.');

export type Encryption = z.output<typeof encryption>;

export type File = [content: Uint8Array, attributes: ZipAttributes];

/** What is asked for of PKCS#12. */
export interface Locked {
  password: string;
  encryption: Encryption;
}

export async function pkcs12(
  pki: Pki,
  issued: IssuedCertificate,
  { password: secret, encryption: kind }: Locked,
): Promise<Buffer> {
  const { row, key, chain } = issued;
  if (key === null) {
    throw new Refusal(
      422,
      'PKCS#12 needs the private key, which the device kept.',
      'Ask for `format: pem`, or leave out csr.',
    );
  }
  const { der } = await pki.ask(commands.pkcs12, {
    certificate: row.certificate,
    chain: chain.whole,
    key,
    password: secret,
    name: row.name,
    encryption: kind,
  });
  return Buffer.from(der, 'base64');
}

/** Certificate, key, chain, PKCS#12 when there is a password, and README.md. */
export async function zipBundle(pki: Pki, issued: IssuedCertificate, locked: Locked | null): Promise<Uint8Array> {
  const name = fileName(issued.row.name);
  const files = await filesOf(pki, issued, name, locked);
  const text = readme({
    name: issued.row.name,
    file: name,
    notAfter: issued.row.not_after,
    key: issued.key !== null,
    pkcs12: locked !== null && issued.key !== null,
    hosts: pki.hosts.filter(({ trust }) => trust.includes(issued.row.authority)),
  });
  return zipSync({ ...files, 'README.md': Buffer.from(text) }, { mtime: new Date(pki.now()) });
}

/** The files of one certificate, without the README. Private keys are readable by their owner only. */
export async function filesOf(
  pki: Pki,
  issued: IssuedCertificate,
  name: string,
  locked: Locked | null,
): Promise<Record<string, File>> {
  const { row, key, chain } = issued;
  const file = (content: string | Uint8Array, mode: number): File => [
    typeof content === 'string' ? Buffer.from(content) : content,
    { os: UNIX, attrs: ((REGULAR | mode) << 16) >>> 0 },
  ];
  return {
    [`${name}.pem`]: file(row.certificate, 0o644),
    [`${name}-chain.pem`]: file(row.certificate + chain.withoutRoot.join(''), 0o644),
    'authority.pem': file(chain.whole.join(''), 0o644),
    ...(key !== null && { [`${name}.key`]: file(key, 0o600) }),
    ...(key !== null && locked && { [`${name}.p12`]: file(await pkcs12(pki, issued, locked), 0o600) }),
  };
}

/** Of zip's `external file attributes`: made on Unix, a regular file. */
const UNIX = 3;
const REGULAR = 0o100000;
