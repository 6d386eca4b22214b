// Certificates of one run: made at its start, gone at its end. P-256, leaves issued directly by their CA.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Returns the paths of what it made: a server CA with a certificate for localhost, a client CA with one client. */
export function makePki(folder) {
  const at = name => join(folder, 'pki', name);
  mkdirSync(at(''), { recursive: true });
  authority(at, 'server-ca', 'Bench server CA');
  authority(at, 'client-ca', 'Bench client CA');
  leaf(at, 'server', 'server-ca', 'localhost', 'serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1');
  leaf(at, 'client', 'client-ca', 'bench-client', 'clientAuth');
  // HAProxy wants certificate and key in one file.
  writeFileSync(at('server-both.pem'), readFileSync(at('server.pem')) + readFileSync(at('server.key')), {
    mode: 0o600,
  });
  return {
    serverCa: at('server-ca.pem'),
    clientCa: at('client-ca.pem'),
    server: at('server.pem'),
    serverKey: at('server.key'),
    serverBoth: at('server-both.pem'),
    client: at('client.pem'),
    clientKey: at('client.key'),
  };
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

function authority(at, name, subject) {
  openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    '-keyout',
    at(`${name}.key`),
    '-out',
    at(`${name}.pem`),
    '-days',
    '2',
    '-subj',
    `/CN=${subject}`,
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
  );
}

function leaf(at, name, issuer, subject, extendedUsage) {
  openssl('req', ...NEW_KEY, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', `/CN=${subject}`);
  writeFileSync(
    at(`${name}.ext`),
    'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n' +
      'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' +
      `extendedKeyUsage=${extendedUsage}\n`,
  );
  openssl(
    'x509',
    '-req',
    '-in',
    at(`${name}.csr`),
    '-CA',
    at(`${issuer}.pem`),
    '-CAkey',
    at(`${issuer}.key`),
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    at(`${name}.ext`),
    '-out',
    at(`${name}.pem`),
  );
}

function openssl(...args) {
  try {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    if (error.code === 'ENOENT')
      throw new Error('the bench makes its certificates with the openssl command: install openssl');
    throw new Error(`openssl ${args[0]}: ${error.stderr}`);
  }
}
