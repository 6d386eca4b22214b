import { generateKeyPairSync, sign } from 'node:crypto';
import { beside, onlyPortcullis } from '../beside.mjs';
import { openapi } from '../orders.mjs';

export const name = 'get-jwt';
export const about = 'GET of get-mtls with a token of 800 bytes (ES256, seen before), required and not looked at';

export const absent = onlyPortcullis;

export async function run(place) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'bench', alg: 'ES256', use: 'sig' };
  const headers = { authorization: `Bearer ${token(privateKey)}` };
  const required = {
    headers,
    config: {
      jwt: { bench: { issuer: ISSUER, audiences: [AUDIENCE], keys: { inline: JSON.stringify({ keys: [jwk] }) } } },
    },
    host: { credentials: { jwt: ['bench'], require: [{ jwt: 'bench' }] } },
  };
  return beside(
    place,
    name,
    {
      'seen before': { path: '/orders/1', headers, connections: 64 },
    },
    {
      description: openapi(),
      settings: { on: {}, off: {} },
      options: { on: required, off: {} },
      violation: { path: '/orders/1', headers: { authorization: 'Bearer none' }, status: 401 },
    },
  );
}

const ISSUER = 'https://login.example.com/';
const AUDIENCE = 'orders';

/** As identity providers issue them: some claims of their own make it 800 bytes. */
function token(key) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: ISSUER,
    aud: [AUDIENCE, 'https://api.example.com/'],
    sub: 'auth0|5f7c8ec7c33c6c004bbafe82',
    iat: now,
    exp: now + 43_200,
    azp: 'my_client_id_4711',
    scope: 'openid profile email orders:read orders:write invoices:read',
    roles: ['clerk', 'approver'],
    tenant: '0f5e2a1c-8b7d-4c3e-9a60-5d1f7e2b4c88',
    note: 'x'.repeat(110),
  };
  const text = part => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${text({ alg: 'ES256', typ: 'at+jwt', kid: 'bench' })}.${text(claims)}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
