// A folder with certificates, keys and a configuration, made for one test file and removed afterwards.

import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { make } from './certificates.js';

export interface Folder {
  path: string;
  write(name: string, text: string | Uint8Array): string;
  remove(): void;
}

export function makeFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  const write = (name: string, text: string | Uint8Array) => {
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
  write('geo/country.mmdb', database('GeoLite2-Country'));
  write('geo/asn.mmdb', database('DBIP-ASN-Lite (compat=GeoLite2-ASN)'));
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  write('keys/public.pem', publicKey.export({ type: 'spki', format: 'pem' }) as string);
  write('keys/private.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
  write('keys/set.json', JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one' }] }));
  write('keys/private.json', JSON.stringify(privateKey.export({ format: 'jwk' })));
  return { path, write, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** As much of a MaxMind database as tells what it is. */
export function database(type: string): Uint8Array {
  const length = type.length < 29 ? [0x40 | type.length] : [0x40 | 29, type.length - 29];
  const metadata = [Buffer.from([0xe1, 0x4d]), Buffer.from('database_type'), Buffer.from(length), Buffer.from(type)];
  return Buffer.concat([Buffer.alloc(64), Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'), ...metadata]);
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
