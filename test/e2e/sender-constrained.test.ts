// Tokens that only their owner may send: bound to a client certificate (RFC 8705) or to a key of its own (RFC 9449).

import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { ask } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import type { Identity } from '../support/pki.js';
import { type TokenIssuer, tokenIssuer } from '../support/tokens.js';

const HOST = 'api.test';

let front: Front;
let issuer: TokenIssuer;
let seen: () => Record<string, unknown>[];

beforeAll(async () => {
  const origin = await httpOrigin();
  seen = () => origin.arrived.splice(0).map(({ headers }) => headers);
  issuer = tokenIssuer('https://login.test/', 'orders');
  const login = {
    ...{ issuer: 'https://login.test/', audiences: ['orders'], algorithms: ['ES256'] },
    keys: { inline: issuer.keys },
  };
  front = await startFront(
    {
      [HOST]: {
        mtls: { mode: 'request', trust: ['devices'] },
        origin: origin.url,
        credentials: { require: { jwt: 'login' }, strip: true },
      },
    },
    { config: { jwt: { login } } },
  );
});

const base64url = (bytes: Buffer) => bytes.toString('base64url');
const sha256 = (text: string | Buffer) => base64url(createHash('sha256').update(text).digest());

async function call(headers: Record<string, string>, identity: Identity | null = null) {
  const { status, body, headers: told } = await ask(front.caller(HOST, identity), '/orders?page=2', { headers });
  return { status, reason: status === 200 ? null : JSON.parse(body).reason, challenge: told['www-authenticate'] };
}

describe('a token of a client certificate', () => {
  test('passes with that certificate, and is of no use to anybody else', async () => {
    const print = sha256(new X509Certificate(front.client.cert).raw);
    const authorization = `Bearer ${issuer.token({ sub: 'ada', cnf: { 'x5t#S256': print } })}`;
    const refused = { status: 401, reason: 'jwt.binding' };
    expect(await call({ authorization }, front.client)).toMatchObject({ status: 200 });
    expect(await call({ authorization })).toMatchObject(refused);
    expect(await call({ authorization }, await front.devices.client('thief'))).toMatchObject(refused);
  });
});

describe('a token of a key', () => {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y } = own.publicKey.export({ format: 'jwk' });
  const jwk = { kty, crv, x, y };
  let token: string;

  beforeAll(() => {
    // RFC 7638, 3.2: the members that matter, in the order of their names.
    token = issuer.token({ sub: 'ada', cnf: { jkt: sha256(JSON.stringify({ crv, kty, x, y })) } });
  });

  function proof(claims: object = {}, header: object = {}, key: KeyObject = own.privateKey): string {
    const now = Math.floor(Date.now() / 1000);
    const whole = { jti: randomUUID(), htm: 'GET', htu: target('/orders'), iat: now, ath: sha256(token) };
    const parts = [
      { alg: 'ES256', typ: 'dpop+jwt', jwk, ...header },
      { ...whole, ...claims },
    ];
    const text = parts.map(part => base64url(Buffer.from(JSON.stringify(part)))).join('.');
    return `${text}.${base64url(sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }))}`;
  }

  const target = (path: string, host = HOST) => `https://${host}:${front.gateway.https}${path}`;
  const withProof = (dpop: string) => call({ authorization: `DPoP ${token}`, dpop });

  test('passes with a proof, which the origin sees as little as the token', async () => {
    seen();
    expect(await withProof(proof())).toMatchObject({ status: 200 });
    const [arrived] = seen();
    expect([arrived?.authorization, arrived?.dpop]).toEqual([undefined, undefined]);
  });

  test('passes once with each proof', async () => {
    const once = proof();
    expect(await withProof(once)).toMatchObject({ status: 200 });
    expect(await withProof(once)).toMatchObject({ status: 401, reason: 'jwt.dpop_replayed' });
  });

  test('is of no use without one, and is told what would do', async () => {
    expect(await call({ authorization: `DPoP ${token}` })).toEqual({
      status: 401,
      reason: 'jwt.dpop',
      challenge: `Bearer realm="${HOST}", DPoP realm="${HOST}", algs="ES256 EdDSA", error="invalid_dpop_proof"`,
    });
  });

  test('does not pass as a bearer token, nor an unbound one with a proof', async () => {
    const refused = { status: 401, reason: 'jwt.binding' };
    expect(await call({ authorization: `Bearer ${token}`, dpop: proof() })).toMatchObject(refused);
    const unbound = issuer.token({ sub: 'ada' });
    const forIt = proof({ ath: sha256(unbound) });
    expect(await call({ authorization: `DPoP ${unbound}`, dpop: forIt })).toMatchObject(refused);
  });

  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  test.each<[string, () => string]>([
    ['another method', () => proof({ htm: 'POST' })],
    ['another path', () => proof({ htu: target('/invoices') })],
    ['another host', () => proof({ htu: target('/orders', 'other.test') })],
    ['another token', () => proof({ ath: sha256('another') })],
    ['no token', () => proof({ ath: undefined })],
    ['five minutes ago', () => proof({ iat: Math.floor(Date.now() / 1000) - 300 })],
    ['in five minutes', () => proof({ iat: Math.floor(Date.now() / 1000) + 300 })],
    ['another type', () => proof({}, { typ: 'JWT' })],
    ['no algorithm', () => proof({}, { alg: 'none' })],
    ['the signature of another key', () => proof({}, {}, stranger.privateKey)],
    ['a private key in its header', () => proof({}, { jwk: own.privateKey.export({ format: 'jwk' }) })],
  ])('does not pass with a proof for or by: %s', async (_, made) => {
    expect(await withProof(made())).toMatchObject({ status: 401, reason: 'jwt.dpop' });
  });

  test('does not pass with a good proof of another key', async () => {
    const other = stranger.publicKey.export({ format: 'jwk' });
    expect(await withProof(proof({}, { jwk: other }, stranger.privateKey))).toMatchObject({ status: 401 });
  });
});
