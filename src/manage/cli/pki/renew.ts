// `portcullis pki renew`: a certificate asks for its successor by itself, over mTLS, on the gateway's own host. Needs no
// token, and no admin API.

import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { call } from '../call.js';
import { refusal } from '../client.js';
import { Exit, Fault, usage } from '../fault.js';
import { folder, mustBeFree, readInput, writeTogether } from '../files.js';
import { moment, print } from '../print.js';
import { DEFAULT_TIMEOUT, timeoutOf, withOutput } from '../reach.js';
import type { Terminal } from '../terminal.js';
import { password } from './password.js';
import { signingRequest } from './signing-request.js';

/** src/manage/pki/own.ts */
const PATH = '/.well-known/portcullis/renew';
const MAX_PEM_BYTES = 256 * 1024;

interface Options {
  cert: string;
  key: string;
  newKey?: boolean;
  out?: string;
  force?: boolean;
  ca?: string;
  passwordFile?: string;
  timeout: string;
  output: 'table' | 'json';
}

export function addRenew(pki: Command, terminal: Terminal): void {
  withOutput(pki.command('renew').argument('<url>', 'of a host that the certificate is for: https://api.example.com'))
    .description('have a certificate renew itself, with its own key, within its last days')
    .requiredOption('--cert <file>', 'the certificate, PEM')
    .requiredOption('--key <file>', 'its key, PEM')
    .option('--new-key', 'for a new key of the same kind')
    .option('--out <folder>', 'write the new ones there; in their place, with `--force`, unless given')
    .option('--force', 'over files that are there')
    .option('--ca <file>', 'who issued the certificate of the host, PEM')
    .option('--password-file <file>', 'of the key; PORTCULLIS_PASSWORD, else it is asked for')
    .option('--timeout <duration>', 'how long an answer may take', DEFAULT_TIMEOUT)
    .action(async (url: string, options: Options) => renew(terminal, url, options));
}

async function renew(terminal: Terminal, written: string, options: Options): Promise<void> {
  const url = urlOf(written);
  const { out, force, newKey } = options;
  const target = (file: string) => (out === undefined ? file : join(folder(out), basename(file)));
  const files = { certificate: target(options.cert), key: target(options.key) };
  mustBeFree(newKey ? [files.certificate, files.key] : [files.certificate], force);
  const old = await keyOf(terminal, options);
  const key = newKey ? another(old) : old;
  const answer = await call(url, {
    method: 'POST',
    headers: { 'content-type': 'application/pkcs10', accept: 'application/pem-certificate-chain' },
    body: signingRequest(key),
    tls: {
      cert: readInput(options.cert, MAX_PEM_BYTES),
      key: Buffer.from(pemOf(old)),
      ...(options.ca !== undefined && { ca: readInput(options.ca, MAX_PEM_BYTES) }),
    },
    timeoutMs: timeoutOf(options),
  });
  if (answer.status !== 200) throw refusal(answer, 'certificate');
  const pem = answer.body.toString('latin1');
  const certificate = fitting(pem, key);
  writeTogether(
    [
      ...(newKey ? [{ file: files.key, content: pemOf(key), kind: 'secret' as const }] : []),
      { file: files.certificate, content: pem, kind: 'public' },
    ],
    force,
  );
  const told = {
    certificate: files.certificate,
    key: newKey ? files.key : options.key,
    not_after: new Date(certificate.validTo).toISOString(),
  };
  print(terminal, options.output, told, () => `${told.certificate}: good until ${moment(told.not_after)}\n`);
}

function urlOf(written: string): URL {
  const url = URL.canParse(written) ? new URL(PATH, written) : null;
  if (url?.protocol === 'https:') return url;
  throw usage(`\`${written}\` is no https address`, 'such as https://api.example.com');
}

async function keyOf(terminal: Terminal, { key: file, passwordFile }: Options): Promise<KeyObject> {
  const key = readInput(file, MAX_PEM_BYTES);
  const passphrase = key.includes('ENCRYPTED') ? await password(terminal, file, passwordFile) : undefined;
  try {
    return createPrivateKey({ key, ...(passphrase !== undefined && { passphrase }) });
  } catch {
    throw usage(`${file} holds no private key that can be read`, passphrase === undefined ? '' : 'is it the password?');
  }
}

function another({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): KeyObject {
  const { namedCurve, modulusLength } = details ?? {};
  if (asymmetricKeyType === 'ec' && namedCurve) return generateKeyPairSync('ec', { namedCurve }).privateKey;
  if (asymmetricKeyType === 'ed25519') return generateKeyPairSync('ed25519').privateKey;
  if (asymmetricKeyType === 'rsa' && modulusLength) return generateKeyPairSync('rsa', { modulusLength }).privateKey;
  throw usage(`no new key of the kind ${asymmetricKeyType} can be made`);
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Before anything is replaced: is it a certificate of this key at all? */
function fitting(pem: string, key: KeyObject): X509Certificate {
  try {
    const certificate = new X509Certificate(pem);
    if (certificate.checkPrivateKey(key)) return certificate;
  } catch {
    // Told below.
  }
  throw new Fault('what was answered is no certificate of this key', Exit.Unreachable, [
    'does this host have `mtls.own.renew`?',
  ]);
}
