// The certificate that the demo's gateway shows, made on this machine at the first start and again before it expires.
//
// server-ca.pem signs localhost.pem. The authority's key is thrown away once it has signed: nothing more can be issued
// from it. Certificates of clients are the gateway's own business: it keeps their authority.

import 'reflect-metadata';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const DAY_MS = 86_400_000;
const VALID_DAYS = 90;
/** Made anew when less than this is left, so that a demo left running does not expire under its user. */
export const RENEW_DAYS = 14;
/** Clocks of containers and virtual machines differ a little. */
const BACKDATED_MS = 3_600_000;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const FILES = ['server-ca.pem', 'localhost.key', 'localhost.pem'];

/** Makes them in `folder` unless good ones are there; says whether it did. */
export async function makePki(folder) {
  if (FILES.every(name => existsSync(join(folder, name))) && daysLeft(join(folder, 'localhost.pem')) > RENEW_DAYS) {
    return false;
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Written last and removed first: where it stands, all of them stand and belong together.
  rmSync(join(folder, 'localhost.pem'), { force: true });
  const serverAuthority = await authority('Portcullis demo server CA');
  const server = await leaf(serverAuthority, 'CN=localhost', x509.ExtendedKeyUsage.serverAuth, [
    { type: 'dns', value: 'localhost' },
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ]);

  writeWhole(join(folder, 'server-ca.pem'), serverAuthority.certificate.toString('pem'));
  writeWhole(join(folder, 'localhost.key'), server.key, 0o600);
  writeWhole(join(folder, 'localhost.pem'), server.certificate.toString('pem'));
  return true;
}

/** Until the certificate ends; 0 when there is none. */
export function daysLeft(path) {
  try {
    return (new x509.X509Certificate(readFileSync(path, 'utf8')).notAfter - Date.now()) / DAY_MS;
  } catch {
    return 0;
  }
}

async function authority(commonName) {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity(),
    serialNumber: serialNumber(),
    name: `CN=${commonName}`,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate, signingKey: keys.privateKey };
}

async function leaf({ certificate: issuer, signingKey }, subject, usage, alternativeNames) {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const extensions = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([usage]),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    await x509.AuthorityKeyIdentifierExtension.create(issuer),
    new x509.SubjectAlternativeNameExtension(alternativeNames),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    ...validity(),
    serialNumber: serialNumber(),
    subject,
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions,
  });
  const der = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { certificate, key: x509.PemConverter.encode(der, 'PRIVATE KEY') };
}

function validity() {
  const now = Date.now();
  return { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(now + VALID_DAYS * DAY_MS) };
}

/** Positive and 64 random bits, as RFC 5280, 4.1.2.2 wants it. */
function serialNumber() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  bytes[0] = 1;
  return Buffer.from(bytes).toString('hex');
}

/** A gateway that watches the file never reads half of it. */
function writeWhole(path, text, mode = 0o644) {
  const fresh = `${path}.fresh`;
  writeFileSync(fresh, `${text.trimEnd()}\n`, { mode });
  chmodSync(fresh, mode);
  renameSync(fresh, path);
}
