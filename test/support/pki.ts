// Certificates of every good and bad kind, made while the test runs. None is kept, none can expire in the repository.
//
//     const devices = await authority('devices');
//     const client = await devices.client('sensor-1');
//     const late = await devices.client('sensor-2', { notAfter: hours(-1) });

import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { temporaryFolder } from './cleanup.js';

// Only here: the library wants `reflect-metadata` loaded before it.
export { x509 };

const CLOCK_SKEW_MS = 60_000;
const DAY_MS = 86_400_000;

const KEY_KINDS = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384' },
  Ed25519: { name: 'Ed25519' },
  /** What OpenSSL takes and BoringSSL does not know. */
  Ed448: { name: 'Ed448' },
  'RSA-2048': rsa(2048),
  'P-521': { name: 'ECDSA', namedCurve: 'P-521' },
  'RSA-1024': rsa(1024),
} as const;

export type KeyKind = keyof typeof KEY_KINDS;

/** A certificate with its key, as node:tls takes them. */
export interface Identity {
  cert: string;
  key: string;
  certificate: x509.X509Certificate;
}

export interface Made {
  key?: KeyKind;
  /** Hash of the signature on this certificate; SHA-1 makes it unacceptable. */
  hash?: 'SHA-1' | 'SHA-256' | 'SHA-384';
  notBefore?: Date;
  notAfter?: Date;
  /** Distinguished name; `CN=<name>` unless given. */
  subject?: string;
  /** Extended key usages; clientAuth or serverAuth unless given, none when empty. */
  usages?: x509.ExtendedKeyUsage[];
  keyUsages?: x509.KeyUsageFlags;
  alternativeNames?: x509.JsonGeneralName[];
  /** Authorities: most intermediates below. */
  pathLength?: number;
  /** Added as they are: name constraints, unknown critical extensions. */
  extensions?: x509.Extension[];
}

/** A point in time from now. */
export function hours(count: number): Date {
  return new Date(Date.now() + count * 3_600_000);
}

/** A self-signed root. */
export async function authority(name: string, made: Made = {}): Promise<Authority> {
  const keys = await keysOf(made);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...(await shape(made, keys, authorityExtensions(made))),
    name: made.subject ?? `CN=${name}`,
    keys,
    signingAlgorithm: signing(keys, made.hash),
  });
  return new Authority(certificate, keys);
}

/** Issues leaves, intermediates and revocation lists. */
export class Authority {
  readonly pem: string;

  constructor(
    readonly certificate: x509.X509Certificate,
    readonly keys: CryptoKeyPair,
  ) {
    this.pem = pemOf(certificate);
  }

  client(name: string, made: Made = {}): Promise<Identity> {
    return this.leaf(name, { usages: [x509.ExtendedKeyUsage.clientAuth], ...made });
  }

  /** For 127.0.0.1 and ::1 beside its names; the first is the common name. */
  server(names: string[], made: Made = {}): Promise<Identity> {
    const alternativeNames: x509.JsonGeneralName[] = [
      ...names.map(value => ({ type: 'dns' as const, value })),
      { type: 'ip', value: '127.0.0.1' },
      { type: 'ip', value: '::1' },
    ];
    return this.leaf(names[0] ?? 'server', { usages: [x509.ExtendedKeyUsage.serverAuth], alternativeNames, ...made });
  }

  async intermediate(name: string, made: Made = {}): Promise<Authority> {
    const keys = await keysOf(made);
    return new Authority(await this.#sign(name, made, keys, authorityExtensions(made)), keys);
  }

  /** A second certificate for an authority's name and key, as its renewal would be: what it issued fits either. */
  async certify(other: Authority, made: Made = {}): Promise<Authority> {
    const subject = other.certificate.subject;
    return new Authority(await this.#sign('', { subject, ...made }, other.keys, authorityExtensions(made)), other.keys);
  }

  /** A list of revoked certificates, PEM; `signer` makes it one that somebody else signed in this authority's name. */
  async crl(
    revoked: Identity[],
    { thisUpdate = hours(-1), nextUpdate = hours(24), signer = this as Authority } = {},
  ): Promise<string> {
    const list = await x509.X509CrlGenerator.create({
      issuer: this.certificate.subject,
      thisUpdate,
      nextUpdate,
      entries: revoked.map(({ certificate }) => ({
        serialNumber: certificate.serialNumber,
        revocationDate: thisUpdate,
      })),
      extensions: [
        await x509.AuthorityKeyIdentifierExtension.create(this.certificate),
        new x509.Extension('2.5.29.20', false, Uint8Array.of(2, 1, 1)), // cRLNumber 1
      ],
      signingKey: signer.keys.privateKey,
      signingAlgorithm: signing(signer.keys),
    });
    return `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`;
  }

  /** What `openssl x509 -req` makes when it is given no extensions: X.509 version 1. Needs openssl. */
  async clientVersion1(name: string): Promise<Identity> {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'ca.pem'), this.pem);
    writeFileSync(join(folder, 'ca.key'), await keyPem(this.keys), { mode: 0o600 });
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key'];
    openssl('req', '-new', ...key, '-subj', `/CN=${name}`, '-out', 'request');
    // The configuration that OpenSSL 3.2 and newer would take extensions from is left out.
    openssl('x509', '-req', '-in', 'request', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '7', '-out', 'v1.pem');
    const cert = readFileSync(join(folder, 'v1.pem'), 'utf8');
    return { cert, key: readFileSync(join(folder, 'key'), 'utf8'), certificate: new x509.X509Certificate(cert) };
  }

  private async leaf(name: string, made: Made): Promise<Identity> {
    const keys = await keysOf(made);
    const extensions: x509.Extension[] = [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(made.keyUsages ?? x509.KeyUsageFlags.digitalSignature, true),
    ];
    if (made.usages?.length) extensions.push(new x509.ExtendedKeyUsageExtension(made.usages));
    if (made.alternativeNames) extensions.push(new x509.SubjectAlternativeNameExtension(made.alternativeNames));
    const certificate = await this.#sign(name, made, keys, extensions);
    return { cert: pemOf(certificate), key: await keyPem(keys), certificate };
  }

  async #sign(name: string, made: Made, keys: CryptoKeyPair, extensions: x509.Extension[]) {
    extensions.push(await x509.AuthorityKeyIdentifierExtension.create(this.certificate));
    return x509.X509CertificateGenerator.create({
      ...(await shape(made, keys, extensions)),
      subject: made.subject ?? `CN=${name}`,
      issuer: this.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      signingAlgorithm: signing(this.keys, made.hash),
    });
  }
}

function authorityExtensions(made: Made): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, made.pathLength, true),
    new x509.KeyUsagesExtension(made.keyUsages ?? x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ];
}

async function shape(made: Made, keys: CryptoKeyPair, extensions: x509.Extension[]) {
  return {
    // Positive, 20 bytes at most (RFC 5280, 4.1.2.2).
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    notBefore: made.notBefore ?? new Date(Math.min(Date.now(), made.notAfter?.getTime() ?? Infinity) - CLOCK_SKEW_MS),
    notAfter: made.notAfter ?? new Date(Date.now() + 60 * DAY_MS),
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(made.extensions ?? []),
    ],
  };
}

function keysOf({ key = 'P-256', hash = 'SHA-256' }: Made): Promise<CryptoKeyPair> {
  const algorithm: object = { ...KEY_KINDS[key], hash };
  return crypto.subtle.generateKey(algorithm as EcKeyGenParams, true, ['sign', 'verify']) as Promise<CryptoKeyPair>;
}

function rsa(modulusLength: number) {
  return { name: 'RSASSA-PKCS1-v1_5', modulusLength, publicExponent: Uint8Array.of(1, 0, 1) };
}

/** WebCrypto ties an RSA key to one hash; elliptic keys sign with any. */
function signing(keys: CryptoKeyPair, hash: Made['hash'] = 'SHA-256') {
  return { name: keys.privateKey.algorithm.name, hash } as EcdsaParams;
}

async function keyPem(keys: CryptoKeyPair): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')}\n`;
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
