// A folder with certificates, keys and a configuration, made for one test file and removed afterwards.

import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { make } from './certificates.js';

export interface Folder {
  path: string;
  write(name: string, text: string): string;
  remove(): void;
}

export function makeFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  const write = (name: string, text: string) => {
    const file = join(path, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const ca = make({ name: 'partners', ca: true });
  const server = make({ name: 'api.example.com', dnsNames: ['api.example.com', 'localhost', '*.wild.example.com'] });
  const expired = make({ name: 'old', dnsNames: ['api.example.com'], notAfter: new Date('2024-01-02T03:04:05Z') });
  const issued = make({ name: 'intermediate', ca: true, issuer: ca });
  write('pki/ca.pem', ca.certificate);
  write('pki/intermediate.pem', issued.certificate);
  write('pki/server.pem', server.certificate);
  write('pki/server.key', server.key);
  write('pki/expired.pem', expired.certificate);
  write('pki/expired.key', expired.key);
  write('pki/garbage.pem', 'not a certificate\n');
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  write('keys/public.pem', publicKey.export({ type: 'spki', format: 'pem' }) as string);
  write('keys/private.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
  write('keys/set.json', JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one' }] }));
  write('keys/private.json', JSON.stringify(privateKey.export({ format: 'jwk' })));
  return { path, write, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A configuration without a fault, to be varied. */
export const GOOD = `listen: { https: 0, admin: "127.0.0.1:0" }
threads: 1
authorities:
  partners: { certificates: pki/ca.pem }
hosts:
  api.example.com:
    tls: { certificate: pki/server.pem, key: pki/server.key }
    mtls: { mode: require, trust: [partners] }
    origin: http://127.0.0.1:3000
`;
