// Stands in for an identity provider: signs a token, and keeps the key set that the gateway reads.
//
//   node examples/callers/token.mjs sub=ada scope="invoices:read invoices:write" roles=accountant department=finance
//
// Whatever is given becomes a claim, and replaces what every token has: `aud=elsewhere`, `exp=1`. The private key is made
// at the first call; it and jwks.json stand in .portcullis/callers.

import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '../../.portcullis/callers');
const KEY_ID = 'example';
const LIFETIME_S = 3_600;

const now = Math.floor(Date.now() / 1000);
const claims = { iss: 'https://login.example.com/', aud: 'invoices', iat: now, exp: now + LIFETIME_S };
for (const argument of process.argv.slice(2)) {
  const [name, value] = argument.split(/=(.*)/s);
  // Times are numbers (RFC 7519, 2), roles a list.
  claims[name] = /^(exp|nbf|iat)$/.test(name) ? Number(value) : name === 'roles' ? value.split(',') : value;
}
const encoded = [{ alg: 'ES256', kid: KEY_ID }, claims].map(part =>
  Buffer.from(JSON.stringify(part)).toString('base64url'),
);
const text = encoded.join('.');
// A JWS has the two numbers of the signature one behind the other (RFC 7518, 3.4).
const signature = sign('sha256', Buffer.from(text), { key: privateKey(), dsaEncoding: 'ieee-p1363' });
console.log(`${text}.${signature.toString('base64url')}`);

function privateKey() {
  const file = join(FOLDER, 'issuer.key');
  if (!existsSync(file)) {
    mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileSync(file, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  }
  const key = createPrivateKey(readFileSync(file));
  const jwk = { ...createPublicKey(key).export({ format: 'jwk' }), kid: KEY_ID, alg: 'ES256', use: 'sig' };
  writeFileSync(join(FOLDER, 'jwks.json'), `${JSON.stringify({ keys: [jwk] }, null, 2)}\n`);
  return key;
}
